#!/usr/bin/perl
# Requests that are wrong: the right status, the field named, no crash. And requests nobody vouches for.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(hmac_sha256);
use JSON::PP;
use MIME::Base64 qw(encode_base64 encode_base64url);
use Sandbox;
use Sandbox::Context;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new(executor => { 'pool.default' => 0 });
$t->start_launcher->start_executor;
my $key = $t->{key};

sub ask {
    my ($method, $path, %option) = @_;
    my $who = delete $option{who} || {};
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($key, %$who), %option);
}
sub post { my ($body, %headers) = @_; return ask('POST', '/v1/jobs', body => $body, headers => { 'Content-Type' => 'application/json', %headers }) }
sub problem {
    my ($reply, $status, $code, $what) = @_;
    is($reply->{status}, $status, "$what: $status") or diag $reply->{content};
    is($reply->{headers}{'content-type'}, 'application/problem+json', 'a problem document');
    is($reply->{json}{code}, $code, "code $code");
    is($reply->{json}{status}, $status, 'the document agrees');
    ok(length $reply->{json}{request_id} && $reply->{json}{request_id} eq $reply->{headers}{'x-request-id'}, 'the request id is in both');
}

my %fine = (language => 'bash', code => 'true');
for my $case (
    ['/language', 422, { language => undef }], ['/language', 422, { language => 1 }], ['/language', 422, { language => '' }], ['/language', 422, { language => 'cobol' }],
    ['/language', 422, { language => 'a b' }], ['/language', 422, { language => 'x' x 5000 }], ['/code', 422, { code => undef }], ['/code', 422, { code => [] }],
    ['/code', 422, { code => '' }], ['/code', 413, { code => 'x' x 1_048_577 }], ['/args', 422, { args => 'x' }], ['/args/1', 422, { args => ['a', 1] }],
    ['/args', 413, { args => [('a') x 257] }], ['/args/0', 413, { args => ['x' x 4097] }], ['/stdin', 422, { stdin => 5 }], ['/stdin', 413, { stdin => 'x' x (8_388_609) }],
    ['/stdin', 422, { stdin => '***', stdin_encoding => 'base64' }], ['/stdin_encoding', 422, { stdin => 'x', stdin_encoding => 'latin1' }], ['/stdin_encoding', 422, { stdin_encoding => {} }],
    ['/env', 422, { env => [] }], ['/env/A', 422, { env => { A => 1 } }], ['/env/1A', 422, { env => { '1A' => 'x' } }], ['/env/A=B', 422, { env => { 'A=B' => 'x' } }],
    ['/env/LD_PRELOAD', 422, { env => { LD_PRELOAD => '/x' } }], ['/env/PYTHONPATH', 422, { env => { PYTHONPATH => '/x' } }], ['/env/NODE_OPTIONS', 422, { env => { NODE_OPTIONS => '-r x' } }],
    ['/env/BASH_ENV', 422, { env => { BASH_ENV => 'x' } }], ['/env/SANDBOX_X', 422, { env => { SANDBOX_X => 'x' } }], ['/env', 413, { env => { map { ("V$_" => '') } 1 .. 65 } }],
    ['/env/SHELLOPTS', 422, { env => { SHELLOPTS => 'xtrace' } }], ['/env', 413, { env => { map { ("V$_" => 'x' x 32768) } 1 .. 8 } }],
    ['/files/1/path', 422, { files => [{ path => 'a', content => '' }, { path => 'a/b', content => '' }] }],
    ['/files/1/path', 422, { files => [{ path => 'a/b', content => '' }, { path => 'a', content => '' }] }],
    ['/env/A', 413, { env => { A => 'x' x 32769 } }], ['/files', 422, { files => {} }], ['/files/0', 422, { files => ['x'] }], ['/files/0/path', 422, { files => [{ content => '' }] }],
    ['/files/0/content', 422, { files => [{ path => 'a' }] }], ['/files/0/path', 422, { files => [{ path => '../a', content => '' }] }],
    ['/files/0/path', 422, { files => [{ path => '/etc/passwd', content => '' }] }], ['/files/0/path', 422, { files => [{ path => 'a//b', content => '' }] }],
    ['/files/0/path', 422, { files => [{ path => 'a/./b', content => '' }] }], ['/files/0/path', 422, { files => [{ path => "a\nb", content => '' }] }],
    ['/files/1/path', 422, { files => [{ path => 'a', content => '' }, { path => 'a', content => '' }] }], ['/files/0/encoding', 422, { files => [{ path => 'a', content => '', encoding => 'hex' }] }],
    ['/files/0/content', 422, { files => [{ path => 'a', content => 'A', encoding => 'base64' }] }], ['/files/0/mode', 422, { files => [{ path => 'a', content => '', mode => 7 }] }],
    ['/files', 413, { files => [map { { path => "f$_", content => '' } } 1 .. 65] }], ['/files', 413, { files => [map { { path => "f$_", content => 'x' x 3_000_000 } } 1 .. 3] }],
    ['/artifacts', 422, { artifacts => '*' }], ['/artifacts/0', 422, { artifacts => [1] }], ['/artifacts/0', 422, { artifacts => ['/etc/*'] }], ['/artifacts/0', 422, { artifacts => ['../*'] }],
    ['/artifacts', 413, { artifacts => [('*') x 65] }], ['/limits', 422, { limits => 1 }], ['/limits/memory', 422, { limits => { memory => 'lots' } }], ['/limits/memory', 422, { limits => { memory => -1 } }],
    ['/limits/gpu', 422, { limits => { gpu => 1 } }], ['/limits/time', 422, { limits => { time => [] } }], ['/metadata', 422, { metadata => [] }], ['/metadata/a', 422, { metadata => { a => 1 } }],
    ['/metadata/', 422, { metadata => { '' => 'x' } }], ['/metadata/a', 413, { metadata => { a => 'x' x 513 } }], ['/metadata', 413, { metadata => { map { ("k$_" => 'v') } 1 .. 33 } }],
    ['/wait', 422, { wait => 'soon' }], ['/wait', 422, { wait => -1 }], ['/wait', 422, { wait => {} }], ['/template', 422, { template => 'none-such' }], ['/template', 422, { template => 7 }],
    ['/event', 413, { event => 'x' x 1_048_577 }], ['/priority', 422, { priority => 1 }],
) {
    my ($field, $status, $change) = @$case;
    my %body = (%fine, %$change);
    delete $body{$_} for grep { !defined $body{$_} } keys %body;
    my $reply = ask('POST', '/v1/jobs', json => \%body);
    is($reply->{status}, $status, "$field: $status") or diag substr $reply->{content}, 0, 300;
    is($reply->{json}{errors}[0]{field}, $field, 'the field is named') or diag substr $reply->{content}, 0, 300;
    unlike($reply->{json}{errors}[0]{message} // '', qr/[<>\n]/, 'the message holds nothing of the body');
}

for my $text ('', '{', '{"a":1}x', '[1', "{\"language\":\"bash\",\"language\":\"bash\",\"code\":\"x\"}", '{"code":"a\u0000b","language":"bash"}', "\xff\xfe", '{"a":1e999}', '[' x 100 . ']' x 100,
              "{\"language\":\"bash\",\"code\":\"\xc3\x28\"}", "nul", '{"language":"bash","code":"x",}') {
    problem(post($text), 400, 'malformed_json', 'not JSON');
}
for my $text ('[]', '"x"', '5', 'null', 'true') {
    is(post($text)->{status} =~ /^(400|422)$/ ? 1 : 0, 1, "$text is no job");
}
problem(post('{}', 'Content-Type' => 'text/plain'), 415, 'unsupported_media_type', 'text');
problem(post('{}', 'Content-Type' => 'application/jsonp'), 415, 'unsupported_media_type', 'nearly JSON');
is(post('{"language":"bash","code":"true"}', 'Content-Type' => 'application/json; charset=utf-8')->{status}, 200, 'a charset is fine');

for my $case (['PUT', '/v1/jobs', 'GET, HEAD, POST'], ['DELETE', '/v1/jobs', 'GET, HEAD, POST'], ['POST', '/v1/jobs/job_x', 'GET, HEAD, DELETE'], ['PATCH', '/v1/jobs/x/stdout', 'GET, HEAD'], ['POST', '/healthz', 'GET, HEAD']) {
    my $reply = ask(@$case[0, 1]);
    problem($reply, 405, 'method_not_allowed', "$case->[0] $case->[1]");
    is($reply->{headers}{allow}, $case->[2], 'Allow says what is');
}
for my $path ('/', '/v1', '/v1/', '/v1/job', '/v1/jobs/', '/v1//jobs', '/v1/jobs/a/b', '/v1/jobs/a/artifacts/', '/V1/jobs', '/v1/jobs%2f', '/v1/jobs/../jobs', '/healthz/', '/metrics/x') {
    problem(ask('GET', $path), 404, 'not_found', $path);
}
problem(ask('GET', $_), 422, 'invalid_request', $_) for '/v1/jobs?wat=1', '/v1/jobs?Limit=1', '/v1/jobs?limit=1&x', '/v1/jobs/job_x?wait=1&wait2=1', '/v1/jobs?%6cimit=1';
is(ask('GET', '/v1/jobs?&limit=1&')->{status}, 200, 'an empty parameter is none');

# Framing.
my $context = Sandbox::Context::sign($key);
my $whole = qr/\r\n\r\n\{.*\}\s*\z/s;
sub raw { my ($bytes, %option) = @_; my $reply = $t->executor_raw($bytes, until => $whole, %option); return $reply =~ m{^HTTP/1\.1 (\d+)} ? $1 : "none" }
my $head = "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nSandbox-Context: $context\r\n";
is(raw("${head}Transfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n", half_close => 1), 400, 'a chunked body that breaks off');
is(raw("${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 400, 'a chunk size that is none');
is(raw("${head}Content-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400, 'two framings');
is(raw("${head}Content-Length: 10\r\nContent-Length: 11\r\n\r\n"), 400, 'two lengths');
is(raw("${head}Content-Length: 50\r\n\r\n{\"language\"", half_close => 1), 400, 'a body that breaks off');
is(raw("${head}Content-Length: 99999999999\r\n\r\n"), 413, 'a body far too large');
is(raw("GET /v1/jobs HTTP/1.1\r\nHost: x\r\nX: " . 'a' x 40000 . "\r\n\r\n"), 431, 'a head too large');
is(raw("GARBAGE\r\n\r\n"), 400, 'no HTTP');
my $garbage = Sandbox::parse_reply($t->executor_raw("GARBAGE\r\n\r\n", until => $whole));
problem($garbage, 400, 'bad_request', 'what is no request');
like($garbage->{headers}{'x-request-id'}, qr/\Areq_[0-9a-z]{26}\z/, 'it has an id all the same');
is($garbage->{json}{request_id}, $garbage->{headers}{'x-request-id'}, 'the one in its body');
is($garbage->{headers}{'cache-control'}, 'no-store', 'and is not to be kept');
is(raw("GET http://x/v1/jobs HTTP/1.1\r\nHost: x\r\nSandbox-Context: $context\r\n\r\n"), 400, 'absolute form');

# Identity.
my $members = Sandbox::Context::members();
my $good = Sandbox::Context::seal($key, encode_json($members));
is($t->executor_request('GET', '/v1/jobs', context => $good)->{status}, 200, 'a proper context passes');
my ($version, $payload, $mac) = split /\./, $good;
sub sealed { return Sandbox::Context::seal($key, $_[0]) }
my %forged = (
    'none' => undef, 'empty' => '', 'no dots' => 'v1', 'no mac' => "$version.$payload", 'other version' => "v2.$payload.$mac", 'empty mac' => "$version.$payload.", 'short mac' => "$version.$payload." . substr($mac, 0, 40),
    'long mac' => "$good" . 'A', 'padded' => "$good=", 'space' => "$version.$payload. $mac", 'other key' => Sandbox::Context::sign('x' x 64), 'flipped' => "$version." . ($payload =~ s/A/B/r) . "x.$mac",
    'payload swapped' => do { my %m = (%$members, tenant => 'victim'); "$version." . encode_base64url(encode_json(\%m)) . ".$mac" },
    'extra part' => "$good.x", 'not JSON' => sealed('hello'), 'array' => sealed('[]'), 'no tenant' => do { my %m = %$members; delete $m{tenant}; sealed(encode_json(\%m)) },
    'empty tenant' => Sandbox::Context::sign($key, tenant => ''), 'tenant with slash' => Sandbox::Context::sign($key, tenant => 'a/b'), 'tenant too long' => Sandbox::Context::sign($key, tenant => 'a' x 65),
    'tenant number' => Sandbox::Context::sign($key, tenant => 5), 'unknown member' => Sandbox::Context::sign($key, admin => JSON::PP::true), 'duplicate member' => sealed('{"tenant":"a",' . substr(encode_json($members), 1)),
    'expired' => Sandbox::Context::sign($key, iat => int(time * 1000) - 120_000), 'from the future' => Sandbox::Context::sign($key, iat => int(time * 1000) + 60_000), 'iat text' => Sandbox::Context::sign($key, iat => 'now'),
    'iat zero' => Sandbox::Context::sign($key, iat => 0), 'bypass not allowed here' => Sandbox::Context::sign($key, bypass => JSON::PP::true), 'bad limits' => Sandbox::Context::sign($key, limits => { memory => 'x' }), 'huge' => sealed('{"a":"' . 'x' x 9000 . '"}'),
);
delete $forged{'tenant number'};    # JSON::PP writes 5 as a number only by chance
for my $name (sort keys %forged) {
    my $reply = $t->executor_request('GET', '/v1/jobs', defined $forged{$name} ? (context => $forged{$name}) : ());
    is($reply->{status}, 401, "$name: 401");
    is_deeply([sort keys %{ $reply->{json} }], ['code', 'request_id', 'status', 'title', 'type'], 'without a reason');
}
is($t->executor_request('POST', '/v1/jobs', json => \%fine)->{status}, 401, 'no job without a context');
is($t->executor_request('GET', '/no/such/path')->{status}, 401, 'no path is told to a stranger');
like($t->executor_raw("GET /v1/jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nSandbox-Context: $good\r\nSandbox-Context: $good\r\n\r\n"), qr{^HTTP/1\.1 401 }, 'two contexts: 401');

# Scopes, once a token names any of ours.
is(ask('GET', '/v1/jobs', who => { scopes => 'jobs:read' })->{status}, 200, 'jobs:read reads');
problem(ask('POST', '/v1/jobs', json => \%fine, who => { scopes => 'jobs:read' }), 403, 'forbidden', 'and does not write');
is(ask('GET', '/v1/jobs', who => { scopes => 'jobs:write' })->{status}, 403, 'jobs:write does not read');
is(ask('GET', '/v1/jobs', who => { scopes => 'openid profile' })->{status}, 200, 'scopes of others say nothing');
is(ask('GET', '/v1/jobs', who => { scopes => 'jobs:readx jobs:rea' })->{status}, 403, 'a scope is compared whole');

is(ask('POST', '/v1/jobs', json => \%fine)->{json}{status}, 'succeeded', 'after all that it still works');
$t->finish;
done_testing();
