#!/usr/bin/perl
# What POST and PATCH of sessions, steps and contexts refuse, and how.
use strict;
use warnings;
use lib 't/lib';
use JSON::PP;
use Sandbox;
use Sandbox::Session;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 1 });
$t->start_launcher->start_executor;
my $api = Sandbox::Session->new($t);

# [what, status, field of the first error or the code, body]
sub refused {
    my ($method, $path, @cases) = @_;
    for my $case (@cases) {
        my ($status, $where, $body, %option) = @$case;
        my $text = ref $body ? JSON::PP->new->canonical->allow_nonref->encode($body) : $body;
        my $reply = $api->ask($method, $path, body => $text, %option, headers => { 'Content-Type' => 'application/json', %{ $option{headers} || {} } });
        my $got = $reply->{json}{errors} ? $reply->{json}{errors}[0]{field} : $reply->{json}{violations} ? $reply->{json}{violations}[0]{rule} : $reply->{json}{code};
        is_deeply([$reply->{status}, $got], [$status, $where], "$method: " . substr($text, 0, 70) . " is $status") or diag $reply->{content};
    }
    return;
}

my $big = 'x' x 513;
refused('POST', '/v1/sessions',
    [400, 'malformed_json', ''], [400, 'malformed_json', '{'], [400, 'malformed_json', '{"language":"python","language":"bash"}'], [400, 'malformed_json', "{\"language\":\"a\\u0000\"}"],
    [422, '', '[]'], [422, '', '"python"'],
    [422, '/code', { code => '1' }], [422, '/nonsense', { nonsense => 1 }], [422, '/Language', { Language => 'python' }],
    [422, '/language', { language => 5 }], [422, '/language', { language => 'cobol' }], [422, '/language', { language => 'py thon' }], [422, '/language', { language => 'x' x 65 }],
    [422, '/template', { template => 'nope' }], [422, '/template', { template => '../x' }],
    [422, '/isolation', { isolation => 'none' }], [422, '/isolation', { isolation => JSON::PP::true }],
    [422, '/ttl', { ttl => 'soon' }], [422, '/ttl', { ttl => -1 }], [422, '/ttl', { ttl => 0 }], [422, '/ttl', { ttl => [] }], [422, '/ttl', { ttl => '99999999999h' }],
    [422, '/idle_timeout', { idle_timeout => 0 }], [422, '/idle_timeout', { idle_timeout => '5 s' }], [422, '/step_timeout', { step_timeout => '0ms' }],
    [422, '/limits/time', { limits => { time => '1h' } }], [422, '/limits/nope', { limits => { nope => 1 } }], [422, '/limits/memory', { limits => { memory => '1' } }],
    [422, '/env/A-B', { env => { 'A-B' => '1' } }], [422, '/env/LD_PRELOAD', { env => { LD_PRELOAD => 'x' } }], [422, '/env/A', { env => { A => 1 } }], [422, '/env', { env => [] }],
    [422, '/metadata/k', { metadata => { k => 1 } }], [413, '/metadata/k', { metadata => { k => $big } }], [422, '/metadata/', { metadata => { '' => 'x' } }],
    [422, '/files/0/path', { files => [{ path => '../x', content => '' }] }], [422, '/files/0/path', { files => [{ path => '/etc/x', content => '' }] }],
    [422, '/files/1/path', { files => [{ path => 'a', content => '' }, { path => 'a/b', content => '' }] }], [422, '/files/0/content', { files => [{ path => 'a', content => '*', encoding => 'base64' }] }],
    [422, '/wait', { wait => 'x' }],
    [403, 'limits.memory', { limits => { memory => '4Gi' } }], [403, 'sessions.ttl', { ttl => '48h' }], [403, 'sessions.idle_timeout', { idle_timeout => '48h' }],
    [403, 'sessions.step_timeout', { step_timeout => '1h' }], [403, 'isolation.minimum', { isolation => 'process' }, who => { iso_min => 'gvisor' }],
    [403, 'forbidden', {}, who => { ttl_max => 0 }], [403, 'forbidden', {}, who => { life_ms => 0 }], [403, 'forbidden', {}, who => { limits => undef }],
    [400, 'bad_request', {}, headers => { 'Idempotency-Key' => 'a b' }], [400, 'bad_request', {}, headers => { 'Idempotency-Key' => 'k' x 256 }],
);
is($api->ask('POST', '/v1/sessions', body => '{}', headers => { 'Content-Type' => 'text/plain' })->{status}, 415, 'only JSON');
is($api->ask('POST', '/v1/sessions?x=1', json => {})->{status}, 422, 'no parameters');
is($api->ask('PUT', '/v1/sessions', json => {})->{status}, 405, 'no other methods');
is_deeply($api->ask('GET', '/v1/sessions')->{json}{sessions}, [], 'and no session was made');

my $id = $api->create->{session_id};
refused('PATCH', "/v1/sessions/$id",
    [422, '/language', { language => 'bash' }], [422, '/ttl', { ttl => 0 }], [422, '/ttl', { ttl => 'x' }], [422, '/metadata/k', { metadata => { k => [] } }], [422, '/status', { status => 'ended' }],
    [422, '/limits', { limits => {} }], [403, 'sessions.ttl', { ttl => '25h' }], [403, 'sessions.idle_timeout', { idle_timeout => '25h' }], [400, 'malformed_json', '{}}'],
);
is($api->get($id)->{ttl}, '1800s', 'nothing was changed');

my $steps = "/v1/sessions/$id/steps";
refused('POST', $steps,
    [422, '/code', {}], [422, '/code', { code => '' }], [422, '/code', { code => 5 }], [413, '/code', { code => 'x' x (1024 * 1024 + 1) }], [422, '/args', { code => '1', args => [] }],
    [422, '/stdin', { code => '1', stdin => 'x' }], [422, '/files', { code => '1', files => [] }], [422, '/language', { code => '1', language => 'cobol' }],
    [422, '/language', { code => '1', language => 'bash', context => 'default' }],
    [422, '/context', { code => '1', context => '' }], [422, '/context', { code => '1', context => 'a/b' }], [422, '/context', { code => '1', context => 'x' x 65 }], [422, '/context', { code => '1', context => 7 }],
    [422, '/timeout', { code => '1', timeout => 0 }], [422, '/timeout', { code => '1', timeout => '-1s' }], [403, 'sessions.step_timeout', { code => '1', timeout => '11m' }],
    [422, '/env/PYTHONPATH', { code => '1', env => { PYTHONPATH => 'x' } }], [422, '/wait', { code => '1', wait => {} }], [400, 'malformed_json', 'code'],
    [400, 'bad_request', { code => '1' }, headers => { 'Idempotency-Key' => "\x{7f}" }],
);
refused('POST', "/v1/sessions/$id/contexts",
    [422, '/name', {}], [422, '/name', { name => '' }], [422, '/name', { name => '..' x 40 }], [422, '/name', { name => 'a b' }], [422, '/name', { name => undef }],
    [422, '/language', { name => 'x', language => 'cobol' }], [422, '/code', { name => 'x', code => '1' }],
);
is($api->get($id)->{n_steps}, 0, 'no step was made');
is_deeply([map { $_->{name} } @{ $api->get($id)->{contexts} }], ['default'], 'and no interpreter');

for my $bad ('ses_', 'ses_0', 'job_00000000000000000000000000', 'SES_00000000000000000000000000', '..', '%2e%2e', 'ses_00000000000000000000000000x', 'ses_0000000000000000000000000!') {
    is($api->ask('GET', "/v1/sessions/$bad")->{status}, 404, "no session $bad");
    is($api->ask('POST', "/v1/sessions/$bad/steps", json => { code => '1' })->{status}, 404, "no steps of $bad");
}
is($api->ask('GET', "/v1/sessions/$id/nonsense")->{status}, 404, 'no such route');
is($api->ask('DELETE', "/v1/sessions/$id/contexts")->{status}, 405, 'not all interpreters at once');
is($api->ask('POST', "/v1/sessions/$id/pause?x=1")->{status}, 422, 'no parameters of a pause');
is($t->executor_request('GET', "/v1/sessions/$id")->{status}, 401, 'nobody without an identity');
$t->finish;
done_testing();
