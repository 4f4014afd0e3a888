#!/usr/bin/perl
# Ends of daemons, kind and unkind: every accepted job reaches a terminal state and nothing is left running.
use strict;
use warnings;
use lib 't/lib';
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new(executor => { 'pool.default' => 2, 'limits.max_running' => 8, 'drain.timeout' => '30s', 'limits.queue_timeout' => '60s' });
$t->start_launcher->start_executor;

sub ask {
    my ($method, $path, %option) = @_;
    my $who = delete $option{who} || {};
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, %$who), %option);
}
sub begin { my ($code, %who) = @_; return ask('POST', '/v1/jobs', json => { language => 'bash', code => $code, wait => 0 }, who => \%who)->{json}{job_id} }
sub get { my ($id, %who) = @_; return ask('GET', "/v1/jobs/$id", who => \%who)->{json} }
sub in_child {
    my ($run) = @_;
    my $pid = fork // die $!;
    return $pid if $pid;
    POSIX::_exit($run->() ? 0 : 1);
}
# What was written to the socket before this has been read after it: later connections are served later.
sub settle { $t->executor_request('GET', '/healthz') for 1 .. 3; return }
sub child_was_fine { my ($pid, $what) = @_; waitpid $pid, 0; is($?, 0, $what) }

# SIGTERM: what runs ends, who waits is answered, who asks is served; only new jobs are refused.
sub draining { my $ready = $t->executor_request('GET', '/readyz') or return; return $ready->{status} == 503 && $ready->{json}{reasons}[0] eq 'draining' }
$t->start_gateway;
$t->wait_until(30, sub { $t->request('GET', '/readyz', anonymous => 1)->{status} == 200 }) or die 'not ready';
my $waiter = in_child(sub { my $run = ask('POST', '/v1/jobs', json => { language => 'bash', code => 'sleep 8; echo ended', wait => 30 }, who => { agent => 'w' }); $run->{json}{stdout} eq "ended\n" });
my $id;
ok($t->wait_until(30, sub { my $jobs = ask('GET', '/v1/jobs?agent=w&status=running')->{json}{jobs}; $id = @$jobs && $jobs->[0]{job_id} }), 'a job runs');
my $keep = IO::Socket::UNIX->new(Peer => "$t->{dir}/sock/executord.sock");
my $context = Sandbox::Context::sign($t->{key});
Sandbox::Contract::sent($keep, "GET /v1/jobs HTTP/1.1\r\n\r\n");
print {$keep} "GET /v1/jobs HTTP/1.1\r\nHost: x\r\n";    # half a head: this connection stays open while it drains
$keep->flush;
settle();
kill 'TERM', $t->{pid}{executor};
ok($t->wait_until(30, \&draining), 'not ready, for the reason that it drains');
is($t->executor_request('GET', '/healthz')->{status}, 200, 'alive');
is(get($id)->{status}, 'running', 'who connects now may read');
my $refused = ask('POST', '/v1/jobs', json => { language => 'bash', code => 'true' });
is_deeply([$refused->{status}, $refused->{json}{code}], [503, 'unavailable'], 'a new job is refused');
like($refused->{headers}{'retry-after'} // '', qr/^[1-9]\d*$/, 'and told when to come back');
is($t->request('GET', '/readyz', anonymous => 1)->{status}, 503, 'through the gateway: not ready');
is($t->request('GET', '/v1/jobs')->{status}, 200, 'reads are served');
$refused = $t->request('POST', '/v1/jobs', json => { language => 'bash', code => 'true' });
is_deeply([$refused->{status}, $refused->{json}{code}], [503, 'unavailable'], 'jobs are refused');
like($refused->{headers}{'retry-after'} // '', qr/^[1-9]\d*$/, 'with the same advice');
my $late = ask('GET', "/v1/jobs/$id?wait=30");
is_deeply([@{ $late->{json} }{qw(status stdout)}], ['succeeded', "ended\n"], 'who begins to wait now is answered');
ok($t->wait_until(30, sub { !-S "$t->{dir}/sock/executord.sock" }), 'nobody connects after the last job');
print {$keep} "Content-Type: application/json\r\nSandbox-Context: $context\r\n\r\n";
$keep->flush;
my $text = Sandbox::_converse($keep, '');
like($text, qr{^HTTP/1\.1 200 .*Connection: close}s, 'a connection that is there at the end may still read');
child_was_fine($waiter, 'who waits is answered');
is($t->stop('executor'), 0, 'and the daemon ends with 0');
ok(!-S "$t->{dir}/sock/executord.sock", 'and takes its socket with it');
is($t->stop('gateway'), 0, 'the gateway ends');
$t->start_executor('drain.timeout' => '3s');

# Jobs that do not end within the drain.
my $stuck = begin('sleep 60');
ok($t->wait_until(30, sub { get($stuck)->{status} eq 'running' }), 'a long job runs');
my $waits = IO::Socket::UNIX->new(Peer => "$t->{dir}/sock/executord.sock");
Sandbox::Contract::sent($waits, "GET /v1/jobs/$stuck?wait=30 HTTP/1.1\r\n\r\n");
print {$waits} "GET /v1/jobs/$stuck?wait=30 HTTP/1.1\r\nHost: x\r\nSandbox-Context: " . Sandbox::Context::sign($t->{key}) . "\r\n\r\n";
$waits->flush;
settle();
my $start = time;
is($t->stop('executor'), 0, 'stopped with 0');
cmp_ok(time - $start, '<', 14, 'after the drain');
is(Sandbox::parse_reply(Sandbox::_converse($waits, ''))->{json}{status}, 'lost', 'who waited learns that it is lost');
ok($t->wait_until(30, sub { !$t->sandbox_processes }), 'nothing of it runs');
$t->start_executor;
is_deeply([@{ get($stuck) }{qw(status message)}], ['lost', 'the executor was stopped'], 'on record with the reason');

# A second signal does not wait.
$stuck = begin('sleep 60');
ok($t->wait_until(30, sub { get($stuck)->{status} eq 'running' }), 'a long job runs');
$start = time;
kill 'TERM', $t->{pid}{executor};
ok($t->wait_until(30, \&draining), 'stopping');
is($t->stop('executor'), 0, 'a second SIGTERM ends it');
cmp_ok(time - $start, '<', 15, 'and does not wait for the drain');
$t->start_executor;

# kill -9 of executord in the middle of 50 jobs and two more, which run on whatever the moment.
sub in_the_middle {
    my ($name) = @_;
    my %child;
    my @ids = map { begin('sleep 60', agent => $name) } 1, 2;
    for my $i (1 .. 50) {
        pipe my $read, my $write or die $!;
        my $pid = fork // die $!;
        if (!$pid) {
            my $reply = ask('POST', '/v1/jobs', json => { language => 'bash', code => "sleep 0.$i; echo $i", wait => 0 }, who => { agent => $name }, timeout => 20);
            syswrite $write, ($reply && $reply->{status} == 202 ? $reply->{json}{job_id} : '-');
            POSIX::_exit(0);
        }
        close $write;
        $child{$pid} = $read;
    }
    for my $pid (keys %child) {
        sysread $child{$pid}, my $id, 64;
        push @ids, $id if defined $id && $id =~ /^job_/;
        waitpid $pid, 0;
    }
    return @ids;
}
# Some are over, and of some the program runs now: not only their sandboxes are being made.
sub some_run {
    my (@ids) = @_;
    return $t->wait_until(30, sub { my %n; for (map { get($_) } @ids) { $n{over}++ if $_->{finished_at}; $n{runs}++ if $_->{started_at} && !$_->{finished_at} } return ($n{over} // 0) >= 5 && ($n{runs} // 0) >= 2 });
}
my @ids = in_the_middle('k9');
cmp_ok(scalar @ids, '>', 20, 'many jobs were accepted');
ok(some_run(@ids), 'some are over, some run');
$t->kill9('executor');
$t->start_executor;
my %status;
$status{ get($_)->{status} }++ for @ids;
is_deeply([grep { !/^(succeeded|lost)$/ } keys %status], [], 'after kill -9 and a start each accepted job is terminal') or diag explain \%status;
cmp_ok($status{lost} // 0, '>', 0, 'what was running is lost');
is(get((grep { get($_)->{status} eq 'lost' } @ids)[0])->{message}, 'the executor was restarted', 'and says why');
ok($t->wait_until(30, sub { $t->sandbox_processes <= 2 * 2 }), 'no process of them is left (the pool is refilled)');
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
my %ends;
for ($t->audit_lines) { my $event = decode_json($_); $ends{ $event->{object} // '' }++ if $event->{kind} =~ /^job\.(finished|lost|cancelled)$/ }
is(scalar(grep { ($ends{$_} // 0) != 1 } @ids), 0, 'each has exactly one end in the audit log');

# kill -9 of the launcher in the middle of 50 jobs.
@ids = in_the_middle('l9');
ok(some_run(@ids), 'some are over, some run');
$t->kill9('launcher');
ok($t->wait_until(30, sub { $t->executor_request('GET', '/readyz')->{status} == 503 }), 'not ready without a launcher');
$t->start_launcher;
ok($t->wait_until(30, sub { $t->executor_request('GET', '/readyz')->{status} == 200 }), 'ready with a new one');
my %after;
ok($t->wait_until(40, sub { %after = (); $after{ get($_)->{status} }++ for @ids; !grep { /^(queued|running)$/ } keys %after }), 'each job reaches a terminal state');
is_deeply([grep { !/^(succeeded|lost)$/ } keys %after], [], 'succeeded or lost') or diag explain \%after;
my ($lost) = grep { get($_)->{status} eq 'lost' } @ids;
ok($lost, 'what ran was lost') and is_deeply([@{ get($lost) }{qw(message violation)}], ['sandbox launcher restarted', undef], 'with the reason');
cmp_ok($after{succeeded} // 0, '>', 5, 'what waited ran afterwards') or diag explain \%after;
is(ask('POST', '/v1/jobs', json => { language => 'bash', code => 'echo alive' })->{json}{stdout}, "alive\n", 'and new jobs run');
($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
delete $t->{killed};
$t->finish;
done_testing();
