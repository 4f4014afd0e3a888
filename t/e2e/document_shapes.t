#!/usr/bin/perl
# The requests of the older documents, as they print them: through the gateway, onto the same sessions.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 2, 'pool.python-basic' => 0 }, launcher => { 'template.python-basic.root' => '/' });
$t->start;
sub ask { my ($method, $path, $json, %more) = @_; return $t->request($method, $path, defined $json ? (json => $json) : (), %more) }

# POST /sessions, POST /sessions/{id}/steps.
for my $case ([undef, 'python', 'print(6 * 7)'], ['python', 'python', 'print(6 * 7)'], ['node', 'javascript', 'console.log(6 * 7)']) {
    my ($runtime, $language, $code) = @$case;
    my $session = ask('POST', '/sessions', { defined $runtime ? (runtime => $runtime) : () });
    is($session->{status}, 201, 'POST /sessions ' . ($runtime // 'without a runtime')) or diag $session->{content};
    my $id = $session->{json}{sessionId};
    like($id, qr/^ses_/, 'has a sessionId');
    is_deeply([@{ $session->{json} }{qw(session_id runtime language)}], [$id, $language, $language], 'beside the canonical members');
    my $step = ask('POST', "/sessions/$id/steps", { code => $code });
    is($step->{status}, 200, 'a step') or diag $step->{content};
    is_deeply([@{ $step->{json} }{qw(stdout stderr sessionId session_id)}], ["42\n", '', $id, $id], 'with stdout and stderr');
    like($step->{json}{stepId}, qr/^stp_/, 'and a stepId');
    is($step->{json}{stepId}, $step->{json}{step_id}, 'which is the canonical one');
    is(ask('GET', "/v1/sessions/$id/steps/$step->{json}{stepId}")->{json}{stdout}, "42\n", 'that the canonical path finds');
    is(ask('GET', "/sessions/$id")->{json}{sessionId}, $id, 'GET of it');
    is(ask('DELETE', "/sessions/$id")->{status}, 200, 'DELETE of it');
    is(ask('POST', "/sessions/$id/steps", { code => $code })->{status}, 410, 'and it is gone');
}

# POST /api/v1/sessions, POST /api/v1/sessions/{id}/execute.
my $session = ask('POST', '/api/v1/sessions', { template_id => 'python-basic', timeout => 300, resources => { cpu => '1', memory => '512Mi', disk => '1Gi' } });
SKIP: {
    is($session->{status}, 201, 'POST /api/v1/sessions as it is printed') or diag($session->{content}), skip 'no session', 1;
    my $id = $session->{json}{id};
    is_deeply([@{ $session->{json} }{qw(session_id template_id template timeout ttl)}], [$id, 'python-basic', 'python-basic', 300, '300s'], 'its members in both forms');
    is($session->{json}{resources}{memory_bytes}, 512 << 20, 'its resources');
    is_deeply($session->{json}{resources}, $session->{json}{limits}, 'which are the limits');
    my $ran = ask('POST', "/api/v1/sessions/$id/execute", { code => "def handler(event):\n    return {\"result\": \"hello world\"}", language => 'python', timeout => 30 });
    is($ran->{status}, 200, 'execute as it is printed') or diag $ran->{content};
    is_deeply([@{ $ran->{json} }{qw(status result stdout)}], ['succeeded', { result => 'hello world' }, ''], 'the handler\'s value is the result');
    is($ran->{json}{execution_id}, $ran->{json}{step_id}, 'with an execution_id');
    is_deeply(ask('POST', "/api/v1/sessions/$id/execute", { code => "def handler(event):\n    return [event, 1]\n", event => { a => "\"'\\\n\x{e9}" } })->{json}{result}, [{ a => "\"'\\\n\x{e9}" }, 1], 'an event reaches it whole');
    is(ask('POST', "/api/v1/sessions/$id/execute", { code => '6 * 7', language => 'python' })->{json}{result}, '42', 'an expression\'s value is its text');
    is(ask('POST', "/api/v1/sessions/$id/execute", { code => 'x = 1', language => 'python' })->{json}{result}, undef, 'none is null');
    my $failed = ask('POST', "/api/v1/sessions/$id/execute", { code => "def handler(event):\n    return 1 / 0", language => 'python' })->{json};
    is_deeply([@$failed{qw(status result)}, $failed->{error}{name}], ['failed', undef, 'ZeroDivisionError'], 'a handler that fails');
    is(ask('POST', "/api/v1/sessions/$id/execute", { code => 'import time; time.sleep(60)', timeout => '200ms' })->{json}{status}, 'limit_exceeded', 'the timeout is the step\'s');
    is(ask('GET', "/api/v1/sessions/$id")->{json}{id}, $id, 'GET of it');
    is(ask('DELETE', "/api/v1/sessions/$id")->{status}, 200, 'DELETE of it');
}

# Refused at the edge, under the names that were sent.
for my $case (['/api/v1/sessions', { timeout => 0 }, '/timeout'], ['/api/v1/sessions', { resources => { memory => 'x' } }, '/resources/memory'], ['/api/v1/sessions', { resources => { gpu => 1 } }, '/resources/gpu'],
              ['/sessions', { runtime => 7 }, '/runtime'], ['/sessions', { runtime => 'a b' }, '/runtime'], ['/sessions', { runtime => 'python', language => 'python' }, '/runtime']) {
    my ($path, $json, $field) = @$case;
    my $reply = ask('POST', $path, $json);
    is_deeply([$reply->{status}, $reply->{json}{errors}[0]{field}], [422, $field], "$path: $field");
}
# And by executord, which never saw the old names, too.
for my $case (['/api/v1/sessions', { template_id => 'default', nobody => 1 }, '/nobody'], ['/v1/sessions', { runtime => 'python' }, '/runtime'], ['/v1/sessions', { timeout => 5 }, '/timeout'],
              ['/v1/sessions', { resources => {} }, '/resources'], ['/v1/sessions', { template_id => 'default' }, '/template_id']) {
    my ($path, $json, $field) = @$case;
    my $reply = ask('POST', $path, $json);
    is_deeply([$reply->{status}, $reply->{json}{errors}[0]{field}], [422, $field], "$path: $field is refused");
}
is(ask('POST', '/api/v1/sessions', { timeout => '24h', resources => { memory => '2Gi' } })->{json}{violations}[0]{rule}, 'limits.memory', 'the policy reads resources');
is(ask('POST', '/sessions/ses_00000000000000000000000000/steps', { code => '1' })->{status}, 404, 'no such session');
my $metrics = $t->executor_request('GET', '/metrics')->{content};
my %metric = $metrics =~ /^sandbox_executor_((?:sessions|steps)\S*) (\d+)$/mg;
is_deeply([@metric{qw(sessions_created_total sessions{state="running"} sessions_ended_total{reason="cancelled"})}], [4, 0, 4], 'sessions are counted');
is($metric{steps_total}, 9, 'and steps') or diag $metrics;
$t->finish;
done_testing();
