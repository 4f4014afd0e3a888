package Sandbox::Hostile;

# A tenant that does what it can to the others: processes that send hostile requests through
# the gateway, each kind without a pause, until they are told to stop.

use strict;
use warnings;
use IO::Socket::INET;
use JSON::PP;
use Sandbox;
use Sandbox::Load;
use Time::HiRes qw(time sleep);

my $JSON = JSON::PP->new->canonical->utf8;
my $TENANT = 'hostile';

# What each job asks for besides, and how long it is waited for; a test asks for less time.
our $wait = 3;
our %wide = (time => '20s', cpu_time => '60s', cpu => 4, processes => 500);
sub _job { my ($language, $code, %more) = @_; return { language => $language, code => $code, %more } }

# Bodies of jobs, sent one after another by each process of the attack.
my %jobs = (
    spins => [_job('bash', 'for i in 1 2 3 4; do while :; do :; done & done; wait')],
    forks => [
        _job('bash', 'f() { f | f & f | f; }; f'), _job('bash', 'while :; do (:) & (:) & wait; done'),
        _job('python', "import os\nwhile True:\n    p = os.fork()\n    if p == 0: os._exit(0)\n    os.waitpid(p, 0)"),
    ],
    memory => [
        _job('python', "b = []\nwhile True: b.append(bytearray(1 << 22))", limits => { memory => '512Mi' }),
        _job('bash', 'cat /dev/zero | tail -c 1000000000', limits => { memory => '256Mi' }),
    ],
    output => [_job('bash', 'yes; yes >&2', limits => { output => '64Mi' }), _job('bash', 'yes & yes >&2 & wait', limits => { output => '64Mi' })],
    disk => [
        _job('bash', 'while :; do cat /dev/zero > z; rm z; done', limits => { disk => '256Mi', memory => '512Mi' }),
        _job('bash', 'i=0; while :; do i=$((i+1)); : > f$i; done'),
        _job('bash', 'for i in $(seq 60); do head -c 200000 /dev/zero > f$i; done', artifacts => ['**']),
    ],
);

sub names { return (sort(keys %jobs), 'storm', 'bad') }

my $n_processes = 6;

sub _send_jobs {
    my ($load, $number, @bodies) = @_;
    my $body = $bodies[$number % @bodies];
    return $load->ask('POST', '/v1/jobs', $TENANT, $JSON->encode({ %$body, wait => $wait, limits => { %wide, %{ $body->{limits} || {} } } }));
}

# Jobs that are cancelled as soon as they are taken, looked at and listed.
sub _storm {
    my ($load) = @_;
    my $reply = $load->ask('POST', '/v1/jobs', $TENANT, $JSON->encode({ language => 'bash', code => 'sleep 5', wait => 0, files => [{ path => 'f', content => 'x' x 50000 }] }));
    my $id = $reply->{json}{job_id} // return $reply;
    $load->ask('GET', '/v1/jobs?limit=100', $TENANT);
    return $load->ask('DELETE', "/v1/jobs/$id", $TENANT);
}

sub _bad {
    my ($load, $number) = @_;
    my @asks = (
        ['POST', '/v1/jobs', '[' x 5000], ['POST', '/v1/jobs', '{"language":"none","code":1}'], ['POST', '/v1/jobs', '{"code":"' . 'x' x 1_500_000 . '"}'], ['GET', '/v1/jobs/' . 'x' x 3000],
        ['GET', '/v1/jobs?cursor=' . 'A' x 400], ['PUT', '/v1/jobs', 'x'], ['GET', '/v1/jobs/job_00000000000000000000000000/artifacts/%00'], ['GET', '/%2e%2e/%2e%2e/etc'],
        ['POST', '/v1/jobs', $JSON->encode({ language => 'bash', code => 'true', limits => { memory => '60Gi' } })],
    );
    my ($method, $path, $body) = @{ $asks[$number % @asks] };
    return $load->ask($method, $path, $TENANT, $body, $number % 3 ? () : (Authorization => 'Bearer a.b.c'));
}

sub _attack {
    my ($load, $name, $number) = @_;
    return $name eq 'storm' ? _storm($load) : $name eq 'bad' ? _bad($load, $number) : _send_jobs($load, $number, @{ $jobs{$name} });
}

sub start {
    my ($class, $t, @names) = @_;
    my $self = bless { t => $t, names => [@names], pids => [], count => "$t->{dir}/hostile.$$" }, $class;
    open my $out, '>', $self->{count} or die $!;
    for my $i (0 .. $n_processes * (@names > 1 ? 2 : 1) - 1) {
        my $pid = fork // die $!;
        if (!$pid) {
            # The attacker's own machine is another one: its work must not count as our load.
            POSIX::setsid();
            setpriority 0, 0, 19;
            if (open my $group, '>', '/proc/self/autogroup') { print {$group} 19; close $group }
            my $load = Sandbox::Load->new($t);
            my $stop = 0;
            local $SIG{TERM} = sub { $stop = 1; POSIX::_exit(0) };
            for (my $number = $i; !$stop; $number++) {
                my $reply = eval { _attack($load, $names[$i % @names], $number) };
                my $job = $reply && ref $reply->{json} eq 'HASH' ? $reply->{json} : {};
                syswrite $out, join(' ', $names[$i % @names], $reply ? $reply->{status} : 599, $job->{violation}{name} // $job->{status} // '-') . "\n";
                sleep 0.05 if !$reply || $reply->{status} == 429 || $reply->{status} == 503;
            }
            POSIX::_exit(0);
        }
        push @{ $self->{pids} }, $pid;
    }
    return $self;
}

# Until it is at work: requests were answered, or its jobs run.
sub wait_for_it {
    my ($self) = @_;
    my $t = $self->{t};
    $t->wait_until(30, sub { -s $self->{count} || ($t->executor_request('GET', '/metrics')->{content} =~ /^sandbox_executor_jobs_running ([1-9])/m) });
    sleep 0.3;
    return;
}

# How often each came back: {"forks 200 processes" => 3, ...}: attack, HTTP status, limit or status of the job.
sub answers {
    my ($self) = @_;
    my %n;
    $n{$_}++ for split /\n/, Sandbox::_slurp($self->{count});
    return \%n;
}

# Ends the processes and the jobs; the number of requests that were answered.
sub stop {
    my ($self) = @_;
    my $t = $self->{t};
    kill 'TERM', @{ $self->{pids} };
    waitpid $_, 0 for @{ $self->{pids} };
    $self->{pids} = [];
    my $load = Sandbox::Load->new($t);
    $t->wait_until(60, sub {
        my @live = map { @{ $load->ask('GET', "/v1/jobs?limit=100&status=$_", $TENANT)->{json}{jobs} || [] } } qw(queued running);
        $load->ask('DELETE', "/v1/jobs/$_->{job_id}", $TENANT) for @live;
        return !@live;
    });
    my $sent = () = Sandbox::_slurp($self->{count}) =~ /\n/g;
    unlink $self->{count};
    return $sent;
}

sub DESTROY {
    my ($self) = @_;
    local $?;
    kill 'KILL', @{ $self->{pids} } if @{ $self->{pids} };
    waitpid $_, 0 for @{ $self->{pids} };
}

1;
