#!/usr/bin/perl
# Records go when their time is over, as the tenant's policy or else the configuration says; the audit chain stays.
use strict;
use warnings;
use lib 't/lib';
use Sandbox;
use Sandbox::Context;
use Sandbox::Stream;
use Test::More;

my $t = Sandbox->new(executor => { 'retention.records' => '1s' });
$t->start_launcher->start_executor;

sub ask {
    my ($method, $path, %option) = @_;
    my $who = delete $option{who} || {};
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, %$who), %option);
}
my %says_not = (keep_rec => 0);
my $job = { language => 'bash', code => 'echo kept; echo x > a.txt', artifacts => ['*.txt'] };
my $session = ask('POST', '/v1/sessions', json => { language => 'bash' }, who => { keep_rec => 1 })->{json}{session_id};
my $long_session = ask('POST', '/v1/sessions', json => { language => 'bash' })->{json}{session_id};
my ($step, $long_step) = map { ask('POST', "/v1/sessions/$_/steps", json => { code => 'echo step' })->{json}{step_id} } $session, $long_session;
my %id = (
    policy => ask('POST', '/v1/jobs', json => $job, who => { keep_rec => 1 }, headers => { 'Idempotency-Key' => 'a' })->{json}{job_id},
    config => ask('POST', '/v1/jobs', json => $job, who => {%says_not})->{json}{job_id},
    long   => ask('POST', '/v1/jobs', json => $job, headers => { 'Idempotency-Key' => 'b' })->{json}{job_id},
);
my $live = Sandbox::Stream->executor($t, 'POST', '/v1/jobs', who => { keep_rec => 1 }, json => { language => 'bash', code => 'echo on; sleep 15' });
ok($live->until(30, sub { $live->{stdout} eq "on\n" }), 'one runs longer than its record is kept');
$id{live} = $live->{events}[0]{data}{job_id};

my $alive = ask('POST', '/v1/sessions', json => { language => 'bash' }, who => { keep_rec => 1 })->{json}{session_id};
ask('POST', "/v1/sessions/$alive/steps", json => { code => 'y=1' });
ask('DELETE', "/v1/sessions/$_") for $session, $long_session;
ok($t->wait_until(30, sub { ask('GET', "/v1/sessions/$session")->{status} == 404 }), 'a session whose record is not kept: gone');
is(ask('GET', "/v1/sessions/$session/steps/$step")->{status}, 404, 'with its steps');
is(ask('GET', "/v1/sessions/$long_session")->{json}{status}, 'ended', 'one that is kept longer is there');
is(ask('GET', "/v1/sessions/$long_session/steps/$long_step")->{json}{stdout}, "step\n", 'with its steps');
sub gone { my ($id) = @_; return ask('GET', "/v1/jobs/$id")->{status} == 404 }
ok($t->wait_until(80, sub { gone($id{policy}) }), 'the policy said so: gone');
ok($t->wait_until(80, sub { gone($id{config}) }), 'the configuration, where no policy says: gone');
is(ask('GET', "/v1/jobs/$id{policy}/stdout")->{status}, 404, 'its output too');
is(ask('GET', "/v1/jobs/$id{policy}", headers => { Accept => 'text/event-stream' })->{status}, 404, 'nor is it streamed');
is_deeply([grep { $_ eq $id{policy} || $_ eq $id{config} } map { $_->{job_id} } @{ ask('GET', '/v1/jobs')->{json}{jobs} }], [], 'nor listed');
my $again = ask('POST', '/v1/jobs', json => $job, headers => { 'Idempotency-Key' => 'a' });
is($again->{status}, 200, 'its key is free');
is($again->{headers}{'idempotency-replayed'}, undef, 'and makes another job');
isnt($again->{json}{job_id}, $id{policy}, 'a new one');
is(ask('GET', "/v1/jobs/$id{long}")->{json}{stdout}, "kept\n", 'one that is kept longer is there');
is(ask('POST', '/v1/jobs', json => $job, headers => { 'Idempotency-Key' => 'b' })->{json}{job_id}, $id{long}, 'so is its key');
$live->finish(30);
is($live->last_event('end')->{status}, 'succeeded', 'who runs is not purged');

is(ask('GET', "/v1/sessions/$alive")->{json}{status}, 'running', 'a session that lives is not purged');
is(ask('POST', "/v1/sessions/$alive/steps", json => { code => 'echo $y' })->{json}{stdout}, "1\n", 'nor what it knows');
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
like($t->read_file('logs/executor.log'), qr/"event":"records\.purged","rows":\d/, 'the log counts them');
$t->finish;
done_testing();
