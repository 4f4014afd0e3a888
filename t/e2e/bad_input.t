#!/usr/bin/perl
# Bad input through the front door: the right status, a document that names the field, and no crash.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox;
use Test::More;

my $t = Sandbox->new->start;
my %ok = (language => 'bash', code => 'true');

# [what, job members, status, field]
my @case = (
    ['no language', { language => undef }, 422, '/language'],
    ['no code', { code => undef }, 422, '/code'],
    ['language of a wrong type', { language => 5 }, 422, '/language'],
    ['an unknown language', { language => 'cobol' }, [403, 422], '/language'],
    ['code of a wrong type', { code => ['x'] }, 422, '/code'],
    ['too much code', { code => '#' x (2 << 20) }, 413, '/code'],
    ['args of a wrong type', { args => 'x' }, 422, '/args'],
    ['an argument of a wrong type', { args => [1] }, 422, '/args/0'],
    ['too many arguments', { args => [('x') x 5000] }, [413, 422], '/args'],
    ['stdin of a wrong type', { stdin => {} }, 422, '/stdin'],
    ['stdin that is no base64', { stdin => '!!!', stdin_encoding => 'base64' }, 422, '/stdin'],
    ['an unknown encoding', { stdin => 'x', stdin_encoding => 'rot13' }, 422, '/stdin_encoding'],
    ['env of a wrong type', { env => [] }, 422, '/env'],
    ['a bad name in env', { env => { 'a=b' => 'x' } }, 422, '/env/a=b'],
    ['a loader variable in env', { env => { LD_PRELOAD => 'x' } }, 422, '/env/LD_PRELOAD'],
    ['a value in env of a wrong type', { env => { A => 1 } }, 422, '/env/A'],
    ['NUL in env', { env => { A => "x\0y" } }, [400, 422], undef],
    ['files of a wrong type', { files => {} }, 422, '/files'],
    ['a file without path', { files => [{ content => 'x' }] }, 422, '/files/0/path'],
    ['a file outside', { files => [{ path => '../x', content => 'x' }] }, 422, '/files/0/path'],
    ['an absolute file', { files => [{ path => '/etc/passwd', content => 'x' }] }, 422, '/files/0/path'],
    ['a file with an unknown member', { files => [{ path => 'x', content => 'x', mode => 7 }] }, 422, '/files/0/mode'],
    ['a file that is no base64', { files => [{ path => 'x', content => '#', encoding => 'base64' }] }, 422, '/files/0/content'],
    ['artifacts of a wrong type', { artifacts => 'x' }, 422, '/artifacts'],
    ['an artifact outside', { artifacts => ['../*'] }, 422, '/artifacts/0'],
    ['limits of a wrong type', { limits => 3 }, 422, '/limits'],
    ['an unknown limit', { limits => { bandwidth => 1 } }, 422, '/limits/bandwidth'],
    ['a limit of a wrong form', { limits => { memory => '12 parsecs' } }, 422, '/limits/memory'],
    ['a negative limit', { limits => { memory => -1 } }, 422, '/limits/memory'],
    ['a limit given twice', { limits => { memory => '64Mi', memory_mb => 64 } }, 422, undef],
    ['metadata of a wrong type', { metadata => 'x' }, 422, '/metadata'],
    ['metadata with a wrong value', { metadata => { a => {} } }, 422, '/metadata/a'],
    ['wait of a wrong type', { wait => 'soon' }, 422, '/wait'],
    ['wait below zero', { wait => -1 }, 422, '/wait'],
    ['template of a wrong type', { template => 1 }, 422, '/template'],
    ['an unknown template', { template => 'nope' }, [403, 422], undef],
    ['an unknown member', { colour => 'blue' }, 422, '/colour'],
);
for my $case (@case) {
    my ($what, $members, $status, $field) = @$case;
    my %job = (%ok, %$members);
    delete $job{$_} for grep { !defined $job{$_} } keys %job;
    my $reply = $t->request('POST', '/v1/jobs', json => \%job);
    my @status = ref $status ? @$status : $status;
    ok((grep { $_ == $reply->{status} } @status), "$what: status $reply->{status}") or diag $reply->{content};
    is($reply->{headers}{'content-type'}, 'application/problem+json', "$what: a problem document");
    is($reply->{json}{status}, $reply->{status}, "$what: says its status");
    ok($reply->{json}{request_id}, "$what: has a request id");
    next unless defined $field;
    my @named = map { $_->{field} // '' } @{ $reply->{json}{errors} || [] };
    ok((grep { index($_, $field) == 0 } @named) || $reply->{status} == 403, "$what: names $field") or diag $reply->{content};
}

my %body = ('nothing' => '', 'a word' => 'hello', 'cut short' => '{"language":"bash"', 'two documents' => '{}{}', 'a member twice' => '{"language":"bash","language":"python","code":"true"}',
    'NUL' => "\0", 'an array' => '[]', 'a string' => '"x"', 'deep nesting' => ('[' x 5000) . (']' x 5000), 'bad UTF-8' => "{\"language\":\"bash\",\"code\":\"\xff\"}",
    'a lone surrogate' => '{"language":"bash","code":"\ud800"}', 'a comment' => '{"language":"bash","code":"true"/*x*/}', 'a trailing comma' => '{"language":"bash","code":"true",}', 'NaN' => '{"language":"bash","code":NaN}');
for my $what (sort keys %body) {
    my $reply = $t->request('POST', '/v1/jobs', body => $body{$what}, headers => { 'Content-Type' => 'application/json' });
    ok($reply->{status} == 400 || $reply->{status} == 422, "a body of $what: $reply->{status}") or diag $reply->{content};
    is($reply->{headers}{'content-type'}, 'application/problem+json', "a body of $what: a problem document");
}
is($t->request('POST', '/v1/jobs', body => '{}', headers => { 'Content-Type' => 'text/plain' })->{status}, 415, 'not JSON');
is($t->request('POST', '/v1/jobs', json => { %ok, stdin => 'x' x (30 << 20) })->{status}, 413, 'a body over the ceiling');

my $reply = $t->request('PUT', '/v1/jobs', json => \%ok);
is($reply->{status}, 405, 'a wrong method');
like($reply->{headers}{allow} // '', qr/POST/, 'says which are right');
is($t->request('POST', '/v1/jobs/job_00000000000000000000000000', json => {})->{status}, 405, 'no POST on a job');
is($t->request('DELETE', '/v1/jobs')->{status}, 405, 'no DELETE on the list');
is($t->request('GET', $_)->{status}, 404, "unknown: $_") for '/', '/v1', '/v1/nothing', '/v2/jobs', '/v1/jobs/nope', '/v1/jobs/../../etc/passwd', '/v1/jobs/job_00000000000000000000000000',
    '/v1/jobs/job_00000000000000000000000000/artifacts/x', '/v1/jobs/%2e%2e/x', '/.git/config';
is($t->request('GET', "/v1/jobs?$_")->{status}, 422, "a bad query: $_") for 'limit=0', 'limit=x', 'limit=100000', 'status=odd', 'cursor=%21%21', 'cursor=AAAA', 'wat=1';
is($t->request($_, '/v1/jobs', anonymous => 1)->{status}, 401, "$_ without a token") for qw(GET POST DELETE);
is($t->request('GET', '/v1/nothing', anonymous => 1)->{status}, 401, 'nor may one ask what exists');

# Bytes that are not quite HTTP.
my $auth = 'Authorization: Bearer ' . $t->token . "\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n";
my %raw = (
    'a truncated chunked body' => ["POST /v1/jobs HTTP/1.1\r\n${auth}Transfer-Encoding: chunked\r\n\r\n5\r\n{\"a", qr/^(HTTP\/1\.1 40[08]|$)/],
    'a bad chunk size' => ["POST /v1/jobs HTTP/1.1\r\n${auth}Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", qr/^HTTP\/1\.1 400/],
    'both framings' => ["POST /v1/jobs HTTP/1.1\r\n${auth}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", qr/^HTTP\/1\.1 400/],
    'two lengths' => ["POST /v1/jobs HTTP/1.1\r\n${auth}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", qr/^HTTP\/1\.1 400/],
    'a negative length' => ["POST /v1/jobs HTTP/1.1\r\n${auth}Content-Length: -2\r\n\r\n{}", qr/^HTTP\/1\.1 400/],
    'no version' => ["GET /v1/jobs\r\n\r\n", qr/(400|^$)/],
    'an odd method' => ["BREW /v1/jobs HTTP/1.1\r\n$auth\r\n", qr/^HTTP\/1\.1 40[05]/],
    'TRACE' => ["TRACE /v1/jobs HTTP/1.1\r\n$auth\r\n", qr/^HTTP\/1\.1 405/],
    'no host' => ["GET /v1/jobs HTTP/1.1\r\n\r\n", qr/^HTTP\/1\.1 400/],
    'a huge header' => ["GET /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: " . ('a' x 100000) . "\r\n\r\n", qr/^HTTP\/1\.1 4(00|31|94)/],
    'a huge path' => ['GET /' . ('a' x 100000) . " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", qr/^HTTP\/1\.1 41?4/],
    'NUL in a header' => ["GET /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: a\0b\r\n\r\n", qr/^HTTP\/1\.1 400/],
);
for my $what (sort keys %raw) {
    my $answer = $t->raw($raw{$what}[0], half_close => scalar($what =~ /truncated/), until => qr/\r\n\r\n/);
    like($answer // '', $raw{$what}[1], "$what: the right answer");
    is($t->request('GET', '/healthz', anonymous => 1)->{status}, 200, "$what: and the gateway lives");
}
is($t->job({%ok})->{status}, 'succeeded', 'after all this a job runs');
$t->finish;
done_testing();
