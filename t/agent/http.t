#!/usr/bin/perl
# The HTTP face: tokens, routes, refusals. Most of these requests must fail.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Agent;
use Test::More;

my $agent = Sandbox::Agent->new;
my $token = $Sandbox::Agent::TOKEN;
my %auth = ('X-Session-Token' => $token);

# Health.
for my $method (qw(GET POST)) {
    my $reply = $agent->call($method, '/v1/health');
    is($reply->{status}, 200, "$method health");
    is($reply->{json}{status}, 'ok', '  is ok');
}
is_deeply($agent->call('GET', '/v1/health')->{json}{runtimes}, ['python', 'javascript', 'bash'], 'health names the runtimes');
is($agent->call('POST', '/v1/health', '{}')->{status}, 200, 'health takes a body nobody needs');
like($agent->call('GET', '/v1/health')->{headers}{'x-request-id'}, qr/\Areq_[0-9a-z]{26}\z/, 'a request id is made');
is($agent->call('GET', '/v1/health', undef, 'X-Request-Id' => 'my.own-id_1')->{headers}{'x-request-id'}, 'my.own-id_1', 'or kept');
for my $bad ('a b', 'x' x 65, 'a"b', "a\xff", '<x>') {
    unlike($agent->call('GET', '/v1/health', undef, 'X-Request-Id' => $bad)->{headers}{'x-request-id'}, qr/\Q$bad\E/, 'not this one');
}

# Refusals all have one form.
sub refused {
    my ($reply, $status, $code, $what) = @_;
    my $json = $reply->{json} || {};
    is($reply->{status}, $status, $what) or diag($reply->{content});
    is($reply->{headers}{'content-type'}, 'application/problem+json', '  as a problem document');
    is($json->{code}, $code, '  by its code');
    return $json;
}

refused($agent->call('GET', '/'), 404, 'not_found', 'no root');
refused($agent->call('GET', '/v1/nothing'), 404, 'not_found', 'unknown path');
refused($agent->call('GET', '/v1/health/'), 404, 'not_found', 'a slash too many');
refused($agent->call('GET', '/v1//health'), 404, 'not_found', 'a slash inside');
refused($agent->call('GET', '/v1/Health'), 404, 'not_found', 'paths have case');
for my $case (['DELETE', '/v1/health', 'GET, POST'], ['GET', '/v1/sessions', 'POST'], ['PUT', '/v1/steps', 'POST'], ['POST', '/v1/sessions/x', 'DELETE'],
              ['PATCH', '/v1/sessions/x/files/y', 'GET']) {
    my $reply = $agent->call($case->[0], $case->[1], $case->[0] eq 'GET' ? undef : '{}');
    refused($reply, 405, 'method_not_allowed', "$case->[0] $case->[1]");
    is($reply->{headers}{allow}, $case->[2], '  and what is allowed');
}
refused($agent->call('POST', '/v1/sessions', '{}', 'Content-Type' => 'text/plain'), 415, 'unsupported_media_type', 'text is not JSON');
refused($agent->call('POST', '/v1/sessions', '{}', 'Content-Type' => 'application/jsonx'), 415, 'unsupported_media_type', 'nor is this');
refused($agent->call('POST', '/v1/steps', '{', %auth), 400, 'malformed_json', 'no JSON');
refused($agent->call('POST', '/v1/steps', '{"a":1,"a":1}', %auth), 400, 'malformed_json', 'one member twice');
refused($agent->call('POST', '/v1/sessions', "\xff"), 400, 'malformed_json', 'no UTF-8');
my $json = refused($agent->call('POST', '/v1/sessions', { sessionId => 'x', runtime => 'python', token => $token, colour => 1 }), 422,
                   'invalid_request', 'an unknown member');
is($json->{errors}[0]{field}, '/colour', '  by its name');
refused($agent->call('POST', '/v1/sessions', { sessionId => 'x', runtime => 'cobol', token => $token }), 422, 'invalid_request', 'an unknown runtime');
refused($agent->call('POST', '/v1/sessions', { sessionId => '../x', runtime => 'python', token => $token }), 422, 'invalid_request', 'a bad id');
refused($agent->call('POST', '/v1/sessions', { sessionId => 'x', runtime => 'python' }), 422, 'invalid_request', 'no token, so no later call');
refused($agent->call('POST', '/v1/sessions', { sessionId => 'x', runtime => 'python', token => 'short' }), 422, 'invalid_request', 'a short token');
for my $name ('LD_PRELOAD', 'PYTHONPATH', 'NODE_OPTIONS', 'BASH_ENV', 'SANDBOX_RESULT_FILE', 'A B', '') {
    $json = refused($agent->call('POST', '/v1/sessions', { sessionId => 'x', runtime => 'python', token => $token, env => { $name => 'x' } }), 422,
                    'invalid_request', "variable '$name'");
    is($json->{errors}[0]{field}, "/env/$name", '  by its name');
}
refused($agent->call('POST', '/v1/steps', { sessionId => 'x', stepId => 't', code => 'x' x (1 << 20) . 'y' }, %auth), 413, 'payload_too_large',
        'code past its ceiling');

# Tokens.
is($agent->session('bash')->{status}, 201, 'a session');
my $id = $agent->{session};
my $step = { sessionId => $id, stepId => 't', code => 'echo ran' };
my %answers;
for my $case (['none', {}], ['empty', { 'X-Session-Token' => '' }], ['wrong', { 'X-Session-Token' => 'x' x length $token }],
              ['shorter', { 'X-Session-Token' => substr $token, 0, -1 }], ['longer', { 'X-Session-Token' => $token . 'x' }],
              ['case', { 'X-Session-Token' => uc $token }], ['as bearer', { Authorization => "Bearer $token" }],
              ['twice', { 'X-Session-Token' => [$token, $token] }], ['right and wrong', { 'X-Session-Token' => [$token, 'x'] }]) {
    my ($what, $headers) = @$case;
    for my $call (['POST', '/v1/steps', $step], ['DELETE', "/v1/sessions/$id"], ['GET', "/v1/sessions/$id/files/x"]) {
        my $reply = $agent->call(@$call[0, 1], $call->[2], %$headers);
        refused($reply, 401, 'unauthorized', "token $what: $call->[0]");
        delete $reply->{json}{request_id};
        $answers{ JSON::PP->new->canonical->encode($reply->{json}) } = 1;
    }
}
refused($agent->call('POST', '/v1/steps', { %$step, sessionId => 'unknown' }, %auth), 401, 'unauthorized', 'an unknown session');
refused($agent->call('DELETE', '/v1/sessions/unknown', undef, %auth), 401, 'unauthorized', 'is told apart from no other');
is(scalar keys %answers, 1, 'all of them are answered alike');
is($agent->call('POST', '/v1/steps', $step, %auth)->{json}{stdout}, "ran\n", 'the right token works');
refused($agent->call('POST', '/v1/sessions', { sessionId => $id, runtime => 'bash', token => $token }), 409, 'conflict', 'a session that exists');
is($agent->session('bash', token => 'another-token-of-another-session')->{status}, 201, 'another session');
refused($agent->call('POST', '/v1/steps', { sessionId => $agent->{session}, stepId => 't', code => '' }, %auth), 401, 'unauthorized',
        "one session's token is not another's");
is($agent->call('DELETE', "/v1/sessions/$agent->{session}", undef, 'X-Session-Token' => 'another-token-of-another-session')->{status}, 204, 'deleted');
is($agent->call('DELETE', "/v1/sessions/$id", undef, %auth)->{status}, 204, 'deleted');
refused($agent->call('POST', '/v1/steps', $step, %auth), 401, 'unauthorized', 'a deleted session is gone');

# A step that brings its session.
{
    my %opens = (sessionId => 'within', runtime => 'bash', token => $token);
    my %step = (sessionId => 'within', stepId => 't', code => 'echo "$WHO"; cat a.txt; echo made > out.txt');
    my %whole = (%step, session => { %opens, env => { WHO => 'me' }, files => [{ path => 'a.txt', content => "file\n" }] });
    for my $case (['no object', [], '/session'], ['empty', {}, '/session/sessionId'], ['of another id', { %opens, sessionId => 'other' }, '/session/sessionId'],
                  ['an unknown member', { %opens, step => 1 }, '/session/step'], ['an unknown runtime', { %opens, runtime => 'perl' }, '/runtime'],
                  ['a short token', { %opens, token => 'short' }, '/session/token'], ['no token', { sessionId => 'within', runtime => 'bash' }, '/token'],
                  ['a bad name', { %opens, env => { LD_PRELOAD => 'x' } }, '/session/env/LD_PRELOAD'],
                  ['a bad file', { %opens, files => [{ path => '../x', content => '' }] }, '/session/files/0'],
                  ['no base64', { %opens, files => [{ path => 'x', content => '!', encoding => 'base64' }] }, '/files/0']) {
        my ($what, $session, $field) = @$case;
        my $problem = refused($agent->call('POST', '/v1/steps', { %step, session => $session }), 422, 'invalid_request', "within a step: $what");
        is($problem->{errors}[0]{field}, $field, '  by its field');
    }
    refused($agent->call('DELETE', '/v1/sessions/within', undef, %auth), 401, 'unauthorized', 'none of them opened a session');
    refused($agent->call('POST', '/v1/steps', \%step, %auth), 401, 'unauthorized', 'and without one there is none');
    my $reply = $agent->call('POST', '/v1/steps', \%whole);
    is($reply->{status}, 200, 'a step opens its session, without its token beside it');
    is($reply->{json}{stdout}, "me\nfile\n", '  with environment and files');
    refused($agent->call('POST', '/v1/steps', \%whole, %auth), 409, 'conflict', 'not twice');
    refused($agent->call('GET', '/v1/sessions/within/files/out.txt'), 401, 'unauthorized', 'its files are not for all');
    is($agent->call('GET', '/v1/sessions/within/files/out.txt', undef, %auth)->{content}, "made\n", '  but for its token');
    is($agent->call('POST', '/v1/steps', { %step, code => 'cat out.txt' }, %auth)->{json}{stdout}, "made\n", 'the session stays for other steps');
    is($agent->call('DELETE', '/v1/sessions/within', undef, %auth)->{status}, 204, '  until it is deleted');
}

# Deleted while its step runs.
$agent->session('bash');
my $mark = "77.$$";
my $pid = fork // die $!;
if (!$pid) {
    delete $agent->{pid};
    $agent->step("sleep 100$mark");
    POSIX::_exit(0);
}
my $end = time + 30;
Time::HiRes::sleep(0.01) until $agent->processes("100$mark") || time > $end;
is($agent->close_session->{status}, 204, 'deleted in the middle of a step');
waitpid $pid, 0;
is_deeply([grep { $_ != $pid } $agent->processes("100$mark")], [], 'which ends');

# Broken HTTP.
for my $case (['a length and chunks', "POST /v1/steps HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400],
              ['two hosts', "GET /v1/health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400],
              ['bare line feeds', "GET /v1/health HTTP/1.1\nHost: a\n\n", 400],
              ['chunks cut off', "POST /v1/steps HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a", 400],
              ['a body cut off', "POST /v1/steps HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{}", 400],
              ['a body too large', "POST /v1/steps HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n", 413],
              ['a head too large', "GET /v1/health HTTP/1.1\r\nHost: a\r\nX: " . 'x' x 20000 . "\r\n\r\n", 431]) {
    my $reply = $agent->raw($case->[1]);
    like($reply, qr{\AHTTP/1\.1 $case->[2] }, $case->[0]);
    like($reply, qr{application/problem\+json.*"code":}s, '  as a problem document');
}
is($agent->call('GET', '/v1/health')->{status}, 200, 'the agent is still there');
$agent->finish;

# Without tokens, where that is allowed.
my $open = Sandbox::Agent->new(bypass => 1);
is($open->call('POST', '/v1/sessions', { sessionId => 'open', runtime => 'sh' })->{status}, 201, 'bypass: a session without a token');
is($open->call('POST', '/v1/steps', { sessionId => 'open', stepId => 't', code => 'echo in' })->{json}{stdout}, "in\n", 'bypass: a step');
refused($open->call('POST', '/v1/steps', { sessionId => 'nobody', stepId => 't', code => '' }), 404, 'not_found', 'bypass: an unknown session');
like($open->log, qr/AUTH_BYPASS/, 'bypass: is said aloud');
is($open->call('DELETE', '/v1/sessions/open')->{status}, 204, 'bypass: deleted');
$open->finish;
done_testing();
