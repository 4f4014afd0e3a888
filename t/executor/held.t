#!/usr/bin/perl
# The accept record of a job whose client waits is held for a moment, to be one commit with the job's end. A kill at any
# time of that leaves either all of the job or nothing, no sandbox, and a retry with its key that runs once.
use strict;
use warnings;
use lib 't/lib';
use IO::Socket::UNIX;
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Test::More;
use Time::HiRes qw(time sleep);

my $t = Sandbox->new(executor => { 'pool.default' => 2 });
$t->start_launcher->start_executor;

sub ask {
    my ($method, $path, %option) = @_;
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, agent => delete $option{agent} // 'coder'), %option);
}
sub log_events { return Sandbox::_records(sort glob "$t->{dir}/data/audit/audit-*.jsonl") }
sub kinds_of { my ($id) = @_; return join ' ', map { $_->{kind} } grep { ($_->{object} // '') eq $id } log_events() }

# Whoever waits for the end gets one commit; the events have their order.
my $run = ask('POST', '/v1/jobs', json => { language => 'bash', code => 'true', wait => 10 });
is($run->{json}{status}, 'succeeded', 'a job that its client waits for');
ok($t->wait_until(30, sub { kinds_of($run->{json}{job_id}) eq 'job.accepted job.started job.finished' }), 'its events, in order') or diag kinds_of($run->{json}{job_id});
my $same = ask('GET', "/v1/jobs/$run->{json}{job_id}");
is_deeply($same->{json}, $run->{json}, 'its record is what was answered');

# Whoever does not wait for the end learns of it at once, and what is said is durable.
my $none = ask('POST', '/v1/jobs', json => { language => 'bash', code => 'sleep 20', wait => 0 });
is($none->{status}, 202, 'who does not wait is told that it was accepted');
$t->kill9('executor');
$t->start_executor;
is(ask('GET', "/v1/jobs/$none->{json}{job_id}")->{json}{status}, 'lost', 'and the record of that outlives a kill');

# Kills at times around the held record's.
my ($n_answered, $n_recorded, $n_gone) = (0, 0, 0);
for my $try (1 .. 14) {
    my ($agent, $key) = ("try$try", "key-$try");
    my $body = '{"language":"bash","code":"read -t 0.00' . $try % 3 . ' x; echo ran","wait":10}';
    my $socket = IO::Socket::UNIX->new(Peer => "$t->{dir}/sock/executord.sock") or die $!;
    my $request = "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: $key\r\nSandbox-Context: "
        . Sandbox::Context::sign($t->{key}, agent => $agent) . "\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
    Sandbox::Contract::sent($socket, $request);
    syswrite $socket, $request;
    my $until = time + $try * 0.001;
    while (time < $until) { }
    kill 'KILL', $t->{pid}{executor};
    my $reply = Sandbox::parse_reply(Sandbox::_converse($socket, ''));
    $t->kill9('executor');
    ok($t->wait_until(30, sub { !$t->sandbox_processes }), "try $try: no sandbox outlives it");
    $t->start_executor;

    my $jobs = ask('GET', "/v1/jobs?agent=$agent", agent => $agent)->{json}{jobs};
    cmp_ok(scalar @$jobs, '<=', 1, "try $try: there is one job, or none");
    is_deeply([grep { !/^(succeeded|lost)$/ } map { $_->{status} } @$jobs], [], "try $try: and it has an end");
    if ($reply) {
        $n_answered++;
        is($reply->{status}, 200, "try $try: an answer is one");
        is_deeply([map { [@{$_}{qw(job_id status)}] } @$jobs], [[@{ $reply->{json} }{qw(job_id status)}]], "try $try: what was answered is on record");
    }
    my $again = ask('POST', '/v1/jobs', agent => $agent, body => $body, headers => { 'Content-Type' => 'application/json', 'Idempotency-Key' => $key });
    is($again->{status}, 200, "try $try: a retry with the key is answered");
    my $after = ask('GET', "/v1/jobs?agent=$agent", agent => $agent)->{json}{jobs};
    is(scalar @$after, 1, "try $try: and then there is one job");
    if (@$jobs) {
        $n_recorded++;
        is($again->{json}{job_id}, $jobs->[0]{job_id}, "try $try: the one that was recorded");
        is($again->{headers}{'idempotency-replayed'}, 'true', "try $try: it did not run again");
    } else {
        $n_gone++;
        is($again->{json}{stdout}, "ran\n", "try $try: nothing of it was recorded, it ran now");
        is($again->{headers}{'idempotency-replayed'}, undef, "try $try: for the first time");
    }
    my $kinds;
    ok($t->wait_until(30, sub { $kinds = kinds_of($after->[0]{job_id}); $kinds =~ /^job\.accepted( job\.started)? job\.(finished|lost)$/ }), "try $try: its events are whole") or diag $kinds;
}
note "answered $n_answered, recorded $n_recorded, without a trace $n_gone";
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
delete $t->{killed};
$t->finish;
done_testing();
