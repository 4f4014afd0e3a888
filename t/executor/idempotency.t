#!/usr/bin/perl
# Idempotency-Key: one job a key, the same answer again, across restarts too.
use strict;
use warnings;
use lib 't/lib';
use IO::Socket::UNIX;
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 1 });
$t->start_launcher->start_executor;

sub post {
    my ($key, $body, %who) = @_;
    return $t->executor_request('POST', '/v1/jobs', body => $body, context => Sandbox::Context::sign($t->{key}, %who),
        headers => { 'Content-Type' => 'application/json', defined $key ? ('Idempotency-Key' => $key) : () });
}
sub count { return scalar @{ $t->executor_request('GET', '/v1/jobs?limit=100', context => Sandbox::Context::sign($t->{key}, @_))->{json}{jobs} } }

my $body = '{"language":"bash","code":"echo $RANDOM$RANDOM"}';
my $first = post('k1', $body);
is($first->{status}, 200, 'the first runs');
is($first->{headers}{'idempotency-replayed'}, undef, 'and is no replay');
my $again = post('k1', $body);
is($again->{status}, 200, 'the same again');
is($again->{content}, $first->{content}, 'is the same answer, byte for byte');
is($again->{headers}{'idempotency-replayed'}, 'true', 'and says so');
is(count(), 1, 'one job');

my $other = post('k1', '{"language":"bash","code":"echo other"}');
is($other->{status}, 422, 'another body with the key: 422');
is($other->{json}{code}, 'idempotency_mismatch', 'named');
is(post('k1', $body . ' ')->{status}, 422, 'a body is compared byte for byte');
isnt(post('k2', $body)->{content}, $first->{content}, 'another key is another job');
isnt(post('k1', $body, sub => 'someone')->{content}, $first->{content}, 'a key belongs to the subject');
isnt(post('k1', $body, tenant => 'other')->{content}, $first->{content}, 'and to the tenant');

for my $bad ('', ' ', 'a b', "tab\there", "\xe9", 'x' x 256) {
    my $reply = post($bad, $body);
    is($reply->{status}, 400, 'a key of the wrong form: 400') or diag $bad;
}
is(post('x' x 255, $body)->{status}, 200, '255 characters are fine');
my $twice = $t->executor_raw("POST /v1/jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\nSandbox-Context: "
    . Sandbox::Context::sign($t->{key}) . "\r\nContent-Length: " . length($body) . "\r\n\r\n$body");
like($twice, qr{^HTTP/1\.1 400 }, 'two keys: 400');

# In flight.
# It ends when all was asked.
my $slow = '{"language":"bash","code":"sleep 25"}';
my $pid = fork // die $!;
if (!$pid) {
    my $reply = post('slow', $slow, agent => 'slow');
    POSIX::_exit($reply->{status} == 200 ? 0 : 1);
}
my $job;
ok($t->wait_until(30, sub { ($job) = @{ $t->executor_request('GET', '/v1/jobs?agent=slow', context => Sandbox::Context::sign($t->{key}))->{json}{jobs} }; $job }), 'it is there');
my $flight = post('slow', $slow);
is($flight->{status}, 409, 'in flight: 409');
is($flight->{json}{code}, 'idempotency_in_flight', 'named');
ok($flight->{headers}{'retry-after'} >= 1, 'with Retry-After');
is(post('slow', $body)->{status}, 422, 'another body is a mismatch even then');
is($t->executor_request('DELETE', "/v1/jobs/$job->{job_id}", context => Sandbox::Context::sign($t->{key}))->{status}, 200, 'it is ended');
waitpid $pid, 0;
is($?, 0, 'the first gets its answer');
my $after = post('slow', $slow);
is($after->{headers}{'idempotency-replayed'}, 'true', 'afterwards it is replayed');

# A client that left: the next one with the key joins its job.
my $left = '{"language":"bash","code":"sleep 1.5; echo joined"}';
my $context = Sandbox::Context::sign($t->{key}, agent => 'leaver');
my $leaving = IO::Socket::UNIX->new(Peer => "$t->{dir}/sock/executord.sock") or die $!;
syswrite $leaving, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: left\r\nSandbox-Context: $context\r\nContent-Length: "
    . length($left) . "\r\n\r\n$left";
ok($t->wait_until(30, sub { scalar @{ $t->executor_request('GET', '/v1/jobs?agent=leaver', context => Sandbox::Context::sign($t->{key}))->{json}{jobs} } }), 'its job is there');
close $leaving;
my $joined;
ok($t->wait_until(30, sub { $joined = post('left', $left); $joined->{status} == 200 }), 'the key of a client that left joins');
is($joined->{json}{stdout}, "joined\n", 'the same job');
is($joined->{headers}{'idempotency-replayed'}, 'true', 'as a replay');

# 202 and then the key again.
my $async = '{"language":"bash","code":"sleep 0.5; echo async","wait":0}';
my $accepted = post('async', $async);
is($accepted->{status}, 202, 'accepted');
my $poll;
ok($t->wait_until(30, sub { $poll = post('async', $async); $poll->{status} == 200 }), 'the key answers 200 once it is over');
is($poll->{json}{job_id}, $accepted->{json}{job_id}, 'the same job');

# A refused body takes no key.
is(post('fix', '{"language":"bash"}')->{status}, 422, 'a bad body');
is(post('fix', $body)->{status}, 200, 'leaves the key free');

# Many at once: one job.
my $burst = '{"language":"bash","code":"sleep 0.3; echo burst"}';
my @children = map {
    my $child = fork // die $!;
    if (!$child) {
        my $reply = post('burst', $burst, agent => 'burst');
        POSIX::_exit($reply->{status} == 200 ? 10 : $reply->{status} == 409 ? 20 : 30);
    }
    $child;
} 1 .. 20;
my %seen;
for my $child (@children) { waitpid $child, 0; $seen{ $? >> 8 }++ }
is_deeply([grep { $_ != 10 && $_ != 20 } keys %seen], [], 'each of 20 gets the answer or 409');
cmp_ok($seen{10} // 0, '>=', 1, 'at least one gets it');
is(scalar @{ $t->executor_request('GET', '/v1/jobs?agent=burst', context => Sandbox::Context::sign($t->{key}))->{json}{jobs} }, 1, 'one job ran');

is($t->stop('executor'), 0, 'restart');
$t->start_executor;
$again = post('k1', $body);
is($again->{content}, $first->{content}, 'the answer outlives a restart');
is(post('k1', '{"language":"bash","code":"echo other"}')->{status}, 422, 'so does the mismatch');
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
