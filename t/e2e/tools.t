#!/usr/bin/perl
# The paths of tools: the same jobs, sessions and artifacts, held by what policy says of tools.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 1, 'pool.python-basic' => 0 });
$t->start;
sub ask { my ($method, $path, $json, %more) = @_; return $t->request($method, $path, defined $json ? (json => $json) : (), %more) }

my $job = ask('POST', '/tools/jobs', { language => 'python', code => 'print(6 * 7)' });
is($job->{status}, 200, 'POST /tools/jobs') or diag $job->{content};
is($job->{json}{stdout}, "42\n", 'runs it');
my $id = $job->{json}{job_id};
is(ask('GET', "/tools/jobs/$id")->{json}{stdout}, "42\n", 'GET /tools/jobs/{id}');
is(ask('GET', "/v1/jobs/$id")->{json}{job_id}, $id, 'which is the job of the canonical path');
is(ask('GET', '/tools/jobs/job_00000000000000000000000000')->{status}, 404, 'another is not found');
is(ask('GET', "/tools/jobs/$id", undef, tenant => 'other')->{status}, 404, 'nor is that of another tenant');

my $session = ask('POST', '/tools/sessions', { language => 'python' });
is($session->{status}, 201, 'POST /tools/sessions') or diag $session->{content};
my $ses = $session->{json}{session_id};
is(ask('POST', "/tools/sessions/$ses/steps", { code => 'x = 6 * 7' })->{status}, 200, 'POST /tools/sessions/{id}/steps');
is(ask('POST', "/v1/sessions/$ses/steps", { code => 'print(x)' })->{json}{stdout}, "42\n", 'in the session of the canonical path');
is(ask('DELETE', "/v1/sessions/$ses")->{status}, 200, 'which ends');
is(ask('POST', "/tools/sessions/$ses/steps", { code => 'x' })->{status}, 410, 'for both');

my $stored = $t->request('POST', '/tools/artifacts/upload?name=a.bin', body => "bytes\0of a file", headers => { 'Content-Type' => 'application/octet-stream' });
is($stored->{status}, 201, 'POST /tools/artifacts/upload') or diag $stored->{content};
my $art = $stored->{json}{artifact_id};
my $bytes = $t->request('GET', "/tools/artifacts/$art/download");
is($bytes->{content}, "bytes\0of a file", 'GET /tools/artifacts/{id}/download');
is($t->request('GET', "/tools/artifacts/$art/download", tenant => 'other')->{status}, 404, 'not by another tenant');

# A method that a tool's path has not, paths that are none, and what the policy of requests refuses there as well.
is(ask(@$_)->{status}, 405, "@$_[0, 1]: no such method")
    for ['GET', '/tools/jobs'], ['GET', '/tools/sessions'], ['GET', "/tools/sessions/$ses/steps"], ['GET', '/tools/artifacts/upload'], ['DELETE', "/tools/artifacts/$art/download"];
is(ask('GET', $_)->{status}, 404, "$_: no such path") for '/tools', '/tools/', '/tools/jobs/a/b', "/tools/artifacts/$art", '/tools/sessions/x/y', '/v1/tools/jobs';
is(ask('POST', '/tools/jobs', { language => 'cobol', code => 'x' })->{json}{violations}[0]{rule}, 'languages', 'the policy of a job');
is(ask('POST', '/tools/jobs', { language => 'python', code => 'x', egress => ['a.example:443'] })->{json}{violations}[0]{rule}, 'egress', 'its lists, too');
is(ask('POST', '/tools/sessions', { language => 'python', secrets => ['TOKEN'] })->{json}{violations}[0]{rule}, 'secrets', 'those of a session');
is($t->request('POST', '/tools/jobs', json => { language => 'python', code => 'x' }, token => '')->{status}, 401, 'nobody without a token');

# Files by what agents call them, through the gateway: it takes input that is only named, and hands on what they are shown.
my $TOOL = 'application/vnd.sandbox.tool+json';
sub tool { my ($method, $path, $json, %more) = @_; return ask($method, $path, $json, headers => { Accept => $TOOL, %{ delete $more{headers} || {} } }, %more) }
my $left = ask('POST', '/tools/jobs', { language => 'bash', code => 'printf "a,b" > "x y.csv"', artifacts => ['*'] })->{json};
my $uri = $left->{files}[0]{uri};
is($uri, "sandbox://job/$left->{job_id}/x%20y.csv", 'what a job left has a URI');
is(ask('POST', '/tools/jobs', { language => 'bash', code => 'cat in', files => [{ path => 'in', uri => $uri }] })->{json}{stdout}, 'a,b', 'by which the next one has it');
is(ask('POST', '/tools/jobs', { language => 'bash', code => 'cat in', files => [{ path => 'in', uri => $uri }] }, tenant => 'other')->{status}, 422, 'but no other tenant');
my $live = ask('POST', '/tools/sessions', { language => 'python', files => [{ path => 'in', uri => $uri }] })->{json}{session_id};
my $wrote = tool('POST', "/tools/sessions/$live/files", { files => [{ path => 'd/f.txt', content => 'hello' }, { path => 'copy', uri => $uri }] });
is("$wrote->{status} $wrote->{headers}{'content-type'}", "200 $TOOL", 'POST /tools/sessions/{id}/files') or diag $wrote->{content};
my $escaped = "sandbox%3A%2F%2Fsession%2F$live%2Fd%2Ff.txt";
is(tool('GET', "/tools/files?uri=$escaped")->{content}, '{"content":[{"type":"text","text":"hello"}],"isError":false}', 'GET /tools/files');
is(tool('GET', "/tools/files?session=$live&path=copy")->{content}, '{"content":[{"type":"text","text":"a,b"}],"isError":false}', '  by its session');
is(tool('GET', "/tools/files?uri=$escaped", undef, tenant => 'other')->{status}, 404, '  not by another tenant');
is(tool('GET', "/tools/resource?uri=$escaped")->{content}, qq[{"contents":[{"uri":"sandbox://session/$live/d/f.txt","mimeType":"text/plain","text":"hello"}]}], 'GET /tools/resource');
my $none = tool('GET', "/tools/resource?uri=$escaped", undef, tenant => 'other');
is("$none->{status} $none->{headers}{'sandbox-tool-result'}", '200 error', '  which says what is none');
like(tool('GET', '/tools/status')->{json}{content}[0]{text}, qr/^  $live  python, /m, 'GET /tools/status');
is(ask('GET', '/v1/status')->{json}{sessions}[0]{session_id}, $live, 'GET /v1/status');
unlike(tool('GET', '/tools/status', undef, tenant => 'other')->{content}, qr/$live/, '  of the tenant alone');
is_deeply(tool('GET', '/tools/complete?kind=session&value=ses_')->{json}{completion}{values}, [$live], 'GET /tools/complete');
is(tool('GET', '/tools/status', undef, token => '')->{status}, 401, 'nobody without a token');

$t->finish;
done_testing();
