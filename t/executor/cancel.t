#!/usr/bin/perl
# DELETE ends a job and its whole process tree, whatever state it is in.
use strict;
use warnings;
use lib 't/lib';
use Sandbox;
use Sandbox::Context;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new(executor => { 'pool.default' => 0, 'limits.max_running' => 2 });
$t->start_launcher->start_executor;

sub ask {
    my ($method, $path, %option) = @_;
    my $who = delete $option{who} || {};
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, %$who), %option);
}
sub begin { return ask('POST', '/v1/jobs', json => { wait => 0, @_ })->{json}{job_id} }
sub get { return ask('GET', "/v1/jobs/$_[0]")->{json} }

my $id = begin(language => 'bash', code => 'trap "" TERM INT; for i in 1 2 3 4 5; do (setsid sleep 60 &) ; done; echo up; sleep 60');
ok($t->wait_until(30, sub { get($id)->{stdout} eq "up\n" }), 'it runs, with a tree that ignores signals');
cmp_ok(scalar($t->sandbox_processes), '>', 5, 'the tree is there');
my $start = time;
my $reply = ask('DELETE', "/v1/jobs/$id");
my $took = time - $start;
is($reply->{status}, 200, 'cancelled: 200');
is($reply->{json}{status}, 'cancelled', 'the answer is terminal');
is($reply->{json}{stdout}, "up\n", 'what was printed is kept');
is($reply->{json}{exit_code}, undef, 'there is no exit code');
cmp_ok($took, '<', 30, 'soon');
ok($t->wait_until(30, sub { !$t->sandbox_processes }), 'the whole tree is gone');
is_deeply(get($id), $reply->{json}, 'the record says the same');
my $second = ask('DELETE', "/v1/jobs/$id");
is($second->{status}, 200, 'again: 200');
is_deeply($second->{json}, $reply->{json}, 'and nothing changed');

my $done = ask('POST', '/v1/jobs', json => { language => 'bash', code => 'echo over' })->{json};
$reply = ask('DELETE', "/v1/jobs/$done->{job_id}");
is_deeply([$reply->{status}, $reply->{json}{status}], [200, 'succeeded'], 'an ended job stays what it is');

# Both slots taken, a third waits: it is cancelled where it stands.
my @busy = map { begin(language => 'bash', code => 'sleep 30') } 1 .. 2;
my $waiting = begin(language => 'bash', code => 'echo never');
is(get($waiting)->{status}, 'queued', 'the third waits');
$reply = ask('DELETE', "/v1/jobs/$waiting");
is_deeply([$reply->{status}, $reply->{json}{status}, $reply->{json}{started_at}], [200, 'cancelled', undef], 'cancelled in the queue');

# While it is being started.
my $next = begin(language => 'bash', code => 'sleep 30');
ask('DELETE', "/v1/jobs/$_") for @busy;
is(ask('DELETE', "/v1/jobs/$next")->{json}{status}, 'cancelled', 'cancelled while starting');

# Somebody who waits for it learns it at once.
$id = begin(language => 'bash', code => 'sleep 30');
my $pid = fork // die $!;
if (!$pid) {
    my $run = ask('GET', "/v1/jobs/$id?wait=20")->{json};
    POSIX::_exit($run->{status} eq 'cancelled' ? 0 : 1);
}
ok($t->wait_until(30, sub { get($id)->{status} eq 'running' }), 'it runs');
my $files = ask('GET', "/v1/jobs/$id/artifacts");
is_deeply([$files->{status}, $files->{json}{files}], [200, []], 'it has no files yet, which is no error');
ask('DELETE', "/v1/jobs/$id");
waitpid $pid, 0;
is($?, 0, 'who waits is told');

for my $bad ('job_00000000000000000000000000', 'nonsense', 'job_', "job_01m7yep0vh3nhv2pk7vh28r48r") {
    is(ask('DELETE', "/v1/jobs/$bad")->{status}, 404, "no job $bad");
}
is(ask('DELETE', "/v1/jobs/$id", who => { tenant => 'other' })->{status}, 404, "another tenant's job is no job");

my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
my $log = join '', map { open my $in, '<', $_ or die $!; local $/; <$in> } glob "$t->{dir}/data/audit/audit-*.jsonl";
is(scalar(() = $log =~ /"kind":"job\.cancelled"/g), 6, 'each cancellation is one event');
$t->finish;
done_testing();
