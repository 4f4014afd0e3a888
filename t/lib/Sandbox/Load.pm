package Sandbox::Load;

# Jobs and sessions of many kinds with what must come of each, for runs of thousands.

use strict;
use warnings;
use JSON::PP;
use IO::Socket::INET;
use Sandbox;
use Socket qw(IPPROTO_TCP TCP_NODELAY);

my $JSON = JSON::PP->new->canonical->utf8->allow_nonref;

sub _stdout { my ($text) = @_; return sub { $_[0]{status} eq 'succeeded' && $_[0]{stdout} eq $text } }
sub _ended { my (%want) = @_; return sub { my ($job) = @_; for (keys %want) { return 0 if ($job->{$_} // '') ne $want{$_} } return 1 } }
sub _limited { my ($name) = @_; return sub { $_[0]{status} eq 'limit_exceeded' && $_[0]{violation}{name} eq $name } }

# [weight, name, tier or '' for both, sub (number) -> {job, good, how}]
our @kinds = (
    [40, 'bash', '', sub { { job => { language => 'bash', code => "echo $_[0]" }, good => _stdout("$_[0]\n") } }],
    [20, 'python', '', sub { { job => { language => 'python', code => "print($_[0])" }, good => _stdout("$_[0]\n") } }],
    [4, 'javascript', '', sub { { job => { language => 'javascript', code => "console.log($_[0])" }, good => _stdout("$_[0]\n") } }],
    [6, 'files and input', '', sub { { job => { language => 'bash', code => 'cat - in.txt; echo $X', stdin => "$_[0]\n", env => { X => 'x' }, files => [{ path => 'in.txt', content => "file\n" }] }, good => _stdout("$_[0]\nfile\nx\n") } }],
    [6, 'artifacts', '', sub { { job => { language => 'bash', code => "echo $_[0] > a.txt; mkdir d; echo y > d/b.txt", artifacts => ['**/*.txt'] }, good => sub { @{ $_[0]{files} || [] } == 2 && $_[0]{status} eq 'succeeded' } } }],
    [4, 'failing', '', sub { { job => { language => 'bash', code => 'echo no >&2; exit 3' }, good => _ended(status => 'failed', exit_code => 3) } }],
    [2, 'crashing', '', sub { { job => { language => 'bash', code => 'kill -SEGV $$' }, good => _ended(status => 'failed', signal => 'SIGSEGV') } }],
    [2, 'leaving processes', '', sub { { job => { language => 'bash', code => 'setsid sleep 300 > /dev/null 2>&1 < /dev/null & echo left' }, good => _stdout("left\n") } }],
    [2, 'too much output', '', sub { { job => { language => 'bash', code => 'yes', limits => { output => '64Ki' } }, good => _limited('output') } }],
    [2, 'too much memory', '', sub { { job => { language => 'python', code => 'b = bytearray(1 << 30)', limits => { memory => '48Mi' } }, good => sub { $_[0]{status} =~ /^(limit_exceeded|failed)$/ } } }],
    [2, 'too long', '', sub { { job => { language => 'bash', code => 'sleep 60', limits => { time => '100ms' } }, good => _limited('time') } }],
    [1, 'too many processes', 'process', sub { { job => { language => 'bash', code => 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; wait', limits => { processes => 8 } }, good => _limited('processes') } }],
    [1, 'too many files', 'process', sub { { job => { language => 'bash', code => 'head -c 8000000 /dev/zero > z; sleep 5', limits => { disk => '1Mi' } }, good => sub { $_[0]{status} =~ /^(limit_exceeded|failed)$/ } } }],
    [3, 'cancelled', '', sub { { job => { language => 'bash', code => 'sleep 60', wait => 0, limits => { time => '90s' } }, how => 'cancel', good => _ended(status => 'cancelled') } }],
    [2, 'asked twice', '', sub { { job => { language => 'bash', code => "echo $_[0]" }, how => 'twice', good => _stdout("$_[0]\n") } }],
    [2, 'refused', '', sub { { job => { language => 'bash', code => "echo $_[0]", limits => { memory => '2Gi' } }, how => 'refused' } }],
    [1, 'client leaves', '', sub { { job => { language => 'bash', code => 'sleep 0.1; echo unseen' }, how => 'leave' } }],
);

# One of the kinds for this tier, by weight; the same for the same number.
sub pick {
    my ($number, $tier) = @_;
    my @fit = grep { $_->[2] eq '' || $_->[2] eq $tier } @kinds;
    my $sum = 0;
    $sum += $_->[0] for @fit;
    my $at = ($number * 7919) % $sum;    # a prime: every kind in each hundred
    for my $kind (@fit) {
        return $kind if ($at -= $kind->[0]) < 0;
    }
    return $fit[0];
}

sub new {
    my ($class, $t, %option) = @_;
    return bless { t => $t, token => {}, http => HTTP::Tiny->new(timeout => 120, keep_alive => 1, max_redirect => 0), %option }, $class;
}

sub ask {
    my ($self, $method, $path, $tenant, $body, %headers) = @_;
    my $token = $self->{token}{$tenant} //= $self->{t}->token(tenant => $tenant, exp => int(time) + 7200);
    # Head and body are written apart, and on a kept connection the second would wait 40 ms for the first's ACK.
    my $kept = $self->{http}{handle};
    setsockopt $kept->{fh}, IPPROTO_TCP, TCP_NODELAY, 1 if $kept && $kept->{fh};
    my $reply = $self->{http}->request($method, $self->{t}->url . $path,
        { headers => { Authorization => "Bearer $token", defined $body ? ('Content-Type' => 'application/json') : (), %headers }, defined $body ? (content => $body) : () });
    $reply->{json} = eval { $JSON->decode($reply->{content}) } if ($reply->{headers}{'content-type'} // '') =~ /json/;
    return $reply;
}

sub _leave {
    my ($self, $body, $tenant) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{t}->port) or return 'no connection';
    my $token = $self->{t}->token(tenant => $tenant);
    syswrite $socket, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $token\r\nContent-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
    select undef, undef, undef, 0.02;
    close $socket;
    return '';
}

# Runs job $number to its end; '' or what is wrong with it.
sub run {
    my ($self, $number, $tenant, $tier) = @_;
    my $kind = pick($number, $tier);
    my $made = $kind->[3]->($number);
    my $how = $made->{how} // '';
    my $body = $JSON->encode({ wait => 60, %{ $made->{job} }, $tier eq 'process' ? () : (isolation => $tier) });
    return $self->_leave($body, $tenant) if $how eq 'leave';
    my @key = $how eq 'twice' ? ('Idempotency-Key' => "soak-$tier-$number") : ();
    my $reply = $self->ask('POST', '/v1/jobs', $tenant, $body, @key);
    my $job = $reply->{json} // {};
    if ($how eq 'refused') {
        return $reply->{status} == 403 ? '' : "$kind->[1] $number: $reply->{status} $reply->{content}";
    }
    return "$kind->[1] $number: $reply->{status} $reply->{content}" unless $job->{job_id};
    if ($how eq 'cancel') {
        $reply = $self->ask('DELETE', "/v1/jobs/$job->{job_id}", $tenant);
        $reply = $self->ask('GET', "/v1/jobs/$job->{job_id}?wait=30", $tenant) if $reply->{status} == 202;
        $job = $reply->{json} // {};
    }
    if ($how eq 'twice') {
        my $again = $self->ask('POST', '/v1/jobs', $tenant, $body, @key);
        return "$kind->[1] $number: not replayed: $again->{content}" unless ($again->{headers}{'idempotency-replayed'} // '') eq 'true' && $again->{json}{job_id} eq $job->{job_id};
    }
    return "$kind->[1] $number: $reply->{status} $reply->{content}" unless $reply->{status} == 200 && $made->{good}->($job);
    return "$kind->[1] $number: ran under " . ($job->{isolation} // 'nothing named') if $tier ne 'process' && ($job->{isolation} // '') ne $tier;
    return '';
}

# How a session keeps a number and says it again.
my %keep = (
    python => ['x = %d', 'print(x)'],
    javascript => ['const x = %d', 'console.log(x)'],
    bash => ['x=%d', 'echo "$x"'],
);

sub _step {
    my ($self, $session, $tenant, $code, $want) = @_;
    my $reply = $self->ask('POST', "/v1/sessions/$session/steps", $tenant, $JSON->encode({ code => $code, wait => 60 }));
    my $step = $reply->{json} // {};
    return ($step->{status} // '') eq 'succeeded' && ($step->{stdout} // '') eq $want ? () : "$code: $reply->{status} $reply->{content}";
}

sub _file {
    my ($self, $session, $tenant, $text) = @_;
    my $path = "/v1/sessions/$session/files/d/f.txt";
    my $put = $self->ask('PUT', $path, $tenant, $text, 'Content-Type' => 'application/octet-stream');
    return "put: $put->{status} $put->{content}" unless $put->{success};
    my $got = $self->ask('GET', $path, $tenant);
    return $got->{content} eq $text ? () : "get: $got->{status} $got->{content}";
}

sub _process {
    my ($self, $session, $tenant) = @_;
    my $reply = $self->ask('POST', "/v1/sessions/$session/processes", $tenant, '{"argv":["/bin/cat","d/f.txt"]}');
    my $id = ($reply->{json} // {})->{process_id} // return "process: $reply->{status} $reply->{content}";
    $reply = $self->ask('GET', "/v1/sessions/$session/processes/$id?wait=30", $tenant);
    return (($reply->{json} // {})->{exit_code} // -1) == 0 ? () : "process: $reply->{status} $reply->{content}";
}

# One session from its making to its end: by its client, by its idle clock, or with a step under way. '' or what is wrong.
sub session {
    my ($self, $number, $tenant) = @_;
    my $language = (qw(python bash javascript))[$number % 3];
    # By the fives: the tenants go by the ones, and all that idle must not be of one tenant, who may have only so many.
    my $end = (qw(delete delete delete idle busy))[($number / 5) % 5];
    my ($set, $say) = @{ $keep{$language} };
    my $reply = $self->ask('POST', '/v1/sessions', $tenant, $JSON->encode({ language => $language }));
    my $id = ($reply->{json} // {})->{session_id} // return "session $number: $reply->{status} $reply->{content}";
    my ($wrong) = ($self->_step($id, $tenant, sprintf($set, $number), ''), $self->_step($id, $tenant, $say, "$number\n"),
        $self->_file($id, $tenant, "file $number\n"), $self->_process($id, $tenant));
    return "session $number ($language): $wrong" if defined $wrong;
    # Its clock counts once all was done: a busy machine may let more than a second pass between two steps.
    if ($end eq 'idle') {
        $reply = $self->ask('PATCH', "/v1/sessions/$id", $tenant, '{"idle_timeout":"1s"}');
        return $reply->{status} == 200 ? '' : "session $number: idle: $reply->{status} $reply->{content}";
    }
    $self->ask('POST', "/v1/sessions/$id/steps", $tenant, '{"code":"import time; time.sleep(60)","wait":0}') if $end eq 'busy' && $language eq 'python';
    $reply = $self->ask('DELETE', "/v1/sessions/$id", $tenant);
    return "session $number: delete: $reply->{status} $reply->{content}" if ($reply->{json} // {})->{reason} ne 'cancelled';
    $reply = $self->ask('GET', "/v1/sessions/$id/files/d/f.txt", $tenant);
    return $reply->{status} == 410 ? '' : "session $number: afterwards $reply->{status} $reply->{content}";
}

1;
