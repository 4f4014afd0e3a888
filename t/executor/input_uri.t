#!/usr/bin/perl
# Input that is named instead of brought: files of jobs and artifacts as files of jobs and sessions. Looked up before anything
# begins, counted as if it had been sent, read under its own scope and by its own tenant.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox;
use Sandbox::Tool;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 2 });
$t->start_launcher->start_executor;
my $tool = Sandbox::Tool->new($t);
sub code { return Sandbox::Tool::code($_[0]) }
sub rest { return $tool->rest(@_) }
sub run { my ($files, %option) = @_; return rest('POST', '/v1/jobs', json => { language => 'bash', code => $option{code} // 'cat *', files => $files, wait => 20, %{ $option{body} || {} } }, who => $option{who}, headers => $option{headers}) }
sub refused { my ($reply) = @_; return code($reply) . ' ' . ($reply->{json}{errors}[0]{field} // '') }

my $job = rest('POST', '/v1/jobs', json => { language => 'bash', code => 'mkdir d; printf "of a job" > "d/x y.txt"; head -c 5000000 /dev/zero > five; : > nothing', artifacts => ['**'], wait => 20 })->{json};
my %uri = map { $_->{path} => $_->{uri} } @{ $job->{files} };
is(scalar keys %uri, 3, 'a job left files') or diag explain $job;
my $bytes = join '', map { chr } 0 .. 255;
my $art = rest('POST', '/v1/artifacts?name=bytes', body => $bytes)->{json}{artifact_id};

# They are there before anything runs.
my $r = run([{ path => 'in/a', uri => $uri{'d/x y.txt'} }, { path => 'b', content => 'brought' }, { path => 'empty', uri => $uri{nothing} }], code => 'cat in/a b empty; wc -c < empty');
is("$r->{status} $r->{json}{stdout}", "200 of a jobbrought0\n", 'a file of a job') or diag $r->{content};
my ($accepted) = grep { $_->{object} eq $r->{json}{job_id} } $t->audit_events('job.accepted');
is_deeply([map { [@$_{qw(path size sha256)}] } @{ $accepted->{body}{files} }], [['in/a', 8, sha256_hex('of a job')], ['b', 7, sha256_hex('brought')], ['empty', 0, sha256_hex('')]], 'is in the event of the job as if it had been brought');
my @read = grep { ($_->{body}{job_id} // '') eq $job->{job_id} } $t->audit_events('artifact.read');
is_deeply([sort map { $_->{body}{size} } @read], [0, 8], 'and was read');
is_deeply([map { $_->{request_id} } @read], [($accepted->{request_id}) x 2], '  by that request');
$r = run([{ path => 'x', uri => "sandbox://artifact/$art" }], code => 'sha256sum x');
is($r->{json}{stdout}, sha256_hex($bytes) . "  x\n", 'an artifact, byte for byte');
$r = run([map { { path => "f$_", uri => "sandbox://artifact/$art" } } 1 .. 64], code => 'cat f* | wc -c');
is($r->{json}{stdout}, 64 * 256 . "\n", 'the same one 64 times');
my $session = rest('POST', '/v1/sessions', json => { language => 'python', files => [{ path => 'x', uri => "sandbox://artifact/$art" }, { path => 'y', uri => $uri{'d/x y.txt'} }] })->{json}{session_id};
is(rest('POST', "/v1/sessions/$session/steps", json => { code => 'open("x","rb").read() == bytes(range(256)), open("y").read()' })->{json}{results}[-1]{data}{'text/plain'}, q{(True, 'of a job')}, 'in a session');
$r = $tool->post("/tools/sessions/$session/files", { files => [{ path => 'z', uri => "sandbox://artifact/$art" }, { path => 'w', content => 'brought' }] });
is_deeply([map { $_->{sha256} } @{ $r->{json}{structuredContent}{files} }], [sha256_hex($bytes), sha256_hex('brought')], 'among files that are written');
is(rest('GET', "/v1/sessions/$session/files/z")->{content}, $bytes, '  byte for byte');

# As large as what is brought may be.
is(refused(run([{ path => 'a', uri => $uri{five} }, { path => 'b', uri => $uri{five} }])), '413 payload_too_large /files', 'not more than 8 MiB together');
is(refused(run([{ path => 'a', uri => $uri{five} }, { path => 'b', content => 'x' x 4_000_000 }])), '413 payload_too_large /files', 'counted with what is brought');
is(run([{ path => 'a', uri => $uri{five} }, { path => 'b', content => 'x' x 3_000_000 }], code => 'cat a b | wc -c')->{json}{stdout}, "8000000\n", 'but as much');
my $large = rest('POST', '/v1/artifacts', body => 'x' x (9 << 20))->{json}{artifact_id};
is(refused(run([{ path => 'a', uri => "sandbox://artifact/$large" }])), '413 payload_too_large /files', 'one that is larger is not read');
is(code(run([map { { path => "f$_", uri => "sandbox://artifact/$art" } } 1 .. 65])), '413 payload_too_large', 'not 65 of them');
ok(!(grep { $_->{object} eq $large } $t->audit_events('artifact.read')), 'what is refused was not read');

# The policy's word.
my $policy = rest('POST', '/v1/policies', json => { name => 'files', document => { version => 1, files => { max => 2, max_bytes => '1Mi' } }, applies_to => [{ tenant => JSON::PP::true }] }, who => { scopes => 'admin' })->{json}{policy_id};
$r = run([{ path => 'a', uri => $uri{five} }]);
is(code($r) . " $r->{json}{violations}[0]{rule}", '403 policy_violation files.max_bytes', 'files.max_bytes holds what is named');
$r = rest('POST', '/v1/sessions', json => { language => 'bash', files => [{ path => 'a', uri => $uri{five} }] });
is(code($r) . " $r->{json}{violations}[0]{rule}", '403 policy_violation files.max_bytes', '  of a session too');
$r = run([map { { path => "f$_", uri => "sandbox://artifact/$art" } } 1 .. 3]);
is(code($r) . " $r->{json}{violations}[0]{rule}", '403 policy_violation files.max', 'files.max counts it');
is(run([{ path => 'a', uri => "sandbox://artifact/$art" }])->{status}, 200, 'what it allows passes');
rest('DELETE', "/v1/policies/$policy", who => { scopes => 'admin' });

# What there is not.
my $running = rest('POST', '/v1/jobs', json => { language => 'bash', code => 'echo x > x; sleep 60', artifacts => ['x'], wait => 0 })->{json}{job_id};
my $gone = rest('POST', '/v1/artifacts', body => 'gone')->{json}{artifact_id};
rest('DELETE', "/v1/artifacts/$gone");
my $short = rest('POST', '/v1/artifacts', body => 'short')->{json}{artifact_id};
rest('PATCH', "/v1/artifacts/$short", json => { expires_in => '1ms' });
my @none = ('', 'x', 'file:///etc/passwd', 'http://127.0.0.1/', 'sandbox://artifact/', "sandbox://artifact/$art/x", "sandbox://artifact/$gone", "sandbox://artifact/$short", 'sandbox://artifact/art_00000000000000000000000000',
    "sandbox://job/$running/x", "sandbox://job/$job->{job_id}", "sandbox://job/$job->{job_id}/", "sandbox://job/$job->{job_id}/d", (map { "sandbox://job/$job->{job_id}/$_" } 'none', '../five', 'd/../five', '%2e%2e/five', 'd%2fx%20y.txt', 'five%00', 'd//x%20y.txt'),
    'sandbox://job/job_00000000000000000000000000/five', "sandbox://job/$art/five");
for my $uri (@none) {
    is(refused(run([{ path => 'a', content => 'x' }, { path => 'b', uri => $uri }])), '422 invalid_request /files/1/uri', 'nothing is: ' . substr $uri, 0, 60);
}
is(refused(rest('POST', '/v1/sessions', json => { language => 'bash', files => [{ path => 'a', uri => $none[6] }] })), '422 invalid_request /files/0/uri', 'nor for a session');
is(refused($tool->post("/tools/sessions/$session/files", { files => [{ path => 'a', content => 'x' }, { path => 'b', uri => $none[6] }] })), '422 invalid_request /files/1/uri', 'nor to be written');
is(code(rest('GET', "/v1/sessions/$session/files/a")), '404 not_found', '  and nothing was');
is(refused(run([{ path => 'a', uri => "sandbox://session/$session/x" }])), '422 invalid_request /files/0/uri', 'a file of a session is none of these');
for my $case (['both', { content => 'x' }], ['an encoding', { encoding => 'utf-8' }], ['null for content and an encoding', { content => undef, encoding => 'base64' }]) {
    is(code(run([{ path => 'a', uri => "sandbox://artifact/$art", %{ $case->[1] } }])), '422 invalid_request', "not with $case->[0]");
}
is(code(run([{ path => 'a', uri => $_ }])), '422 invalid_request', 'no URI of another type') for 1, JSON::PP::true, [], {}, 'x' x 5000;
is(code(run([{ path => $_, uri => "sandbox://artifact/$art" }])), '422 invalid_request', "not to $_") for '..', '../x', '/x', 'a//b';
is(code(run([{ path => 'a', uri => "sandbox://artifact/$art" }, { path => 'a/b', uri => "sandbox://artifact/$art" }])), '422 invalid_request', 'nor below a file');

# Nobody else's.
for my $uri ($uri{'d/x y.txt'}, "sandbox://artifact/$art") {
    is(refused(run([{ path => 'a', uri => $uri }], who => { tenant => 'umbrella' })), '422 invalid_request /files/0/uri', "not another tenant's");
    is(refused(rest('POST', '/v1/sessions', json => { language => 'bash', files => [{ path => 'a', uri => $uri }] }, who => { tenant => 'umbrella' })), '422 invalid_request /files/0/uri', '  nor for a session');
}
is(code(run([{ path => 'a', uri => $uri{five} }], who => { scopes => 'jobs:write artifacts:read' })), '403 forbidden', "a job's file takes jobs:read");
is(code(run([{ path => 'a', uri => "sandbox://artifact/$art" }], who => { scopes => 'jobs:write jobs:read' })), '403 forbidden', 'an artifact takes artifacts:read');
is(run([{ path => 'a', uri => "sandbox://artifact/$art" }], who => { scopes => 'jobs:write artifacts:read' })->{status}, 200, 'and no more');
is(code(rest('POST', '/v1/sessions', json => { language => 'bash', files => [{ path => 'a', uri => "sandbox://artifact/$art" }] }, who => { scopes => 'sessions:write' })), '403 forbidden', 'for a session too');

# Idempotency: the first one's bytes, whatever became of what they were.
my $once = rest('POST', '/v1/artifacts', body => 'once')->{json}{artifact_id};
my @same = ([{ path => 'a', uri => "sandbox://artifact/$once" }], headers => { 'Idempotency-Key' => 'once' });
$r = run(@same);
is("$r->{status} $r->{json}{stdout}", '200 once', 'with a key');
rest('DELETE', "/v1/artifacts/$once");
my $again = run(@same);
is("$again->{status} $again->{json}{job_id} $again->{headers}{'idempotency-replayed'}", "200 $r->{json}{job_id} true", 'the same job again, though the artifact is gone');
is(code(run($same[0], headers => { 'Idempotency-Key' => 'other' })), '422 invalid_request', 'and not another');
is(code(run($same[0], headers => { 'Idempotency-Key' => 'other' })), '422 invalid_request', '  whose key was not taken');

# Clients that leave while it is looked up and read: no job is left that nobody asked for.
my $before = @{ rest('GET', '/v1/jobs?limit=100')->{json}{jobs} };
for (1 .. 20) {
    my $body = JSON::PP->new->encode({ language => 'bash', code => 'cat a | wc -c', files => [{ path => 'a', uri => $uri{five} }] });
    my $socket = IO::Socket::UNIX->new(Peer => "$t->{dir}/sock/executord.sock");
    print $socket "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nSandbox-Context: " . Sandbox::Context::sign($t->{key}) . "\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
    close $socket;
}
is(run([{ path => 'a', uri => $uri{five} }], code => 'cat a | wc -c')->{json}{stdout}, "5000000\n", 'the executor is well');
rest('DELETE', "/v1/jobs/$running");
cmp_ok(@{ rest('GET', '/v1/jobs?limit=100')->{json}{jobs} } - $before, '<=', 21, 'and has no more jobs than were asked for');

$t->finish;
done_testing();
