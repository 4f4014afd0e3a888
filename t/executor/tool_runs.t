#!/usr/bin/perl
# Runs as agents have them: jobs and steps with one handle, one form, what to do next; waiting, reading on, cancelling, sessions.
use strict;
use warnings;
use lib 't/lib';
use Sandbox;
use Sandbox::Tool;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new(executor => { 'pool.default' => 2, 'output.keep' => '64Ki' });
$t->start_launcher->start_executor;
my $tool = Sandbox::Tool->new($t);
sub run  { my ($code, %body) = @_; my %option = %{ delete $body{-option} || {} }; return $tool->post('/tools/jobs', { language => 'python', code => $code, %body }, %option) }
sub text { return Sandbox::Tool::text($_[0]) }
sub data { return $_[0]{json}{structuredContent} }

# A job.
my $r = run("import sys\nprint('out')\nprint('err', file=sys.stderr)\nopen('a.csv', 'w').write('1,2')\ndef handler(event): return {'n': 9007199254740993, 'f': 0.10}", event => {}, artifacts => ['**']);
is("$r->{status} $r->{result}", '200 complete', 'a job is answered');
is($r->{headers}{'content-type'}, $Sandbox::Tool::TYPE, 'as a tool');
my $id = data($r)->{job_id};
like($id, qr/^job_/, 'its handle');
is($r->{headers}{location}, "/v1/jobs/$id", 'Location names the job');
is_deeply([map { data($r)->{$_} } qw(session_id status exit_code signal stdout stderr stdout_bytes stderr_bytes)], [undef, 'succeeded', 0, undef, "out\n", "err\n", 4, 4], 'what came of it');
ok(!data($r)->{truncated} && !$r->{json}{isError}, 'whole, and no error');
like($r->{content}, qr/"result":\{"n": ?9007199254740993, ?"f": ?0\.10?\}/, 'a result is told to the digit');
is(data($r)->{files}[0]{uri}, "sandbox://job/$id/a.csv", 'a file has a name');
is_deeply([@{ data($r)->{files}[0] }{qw(path mime_type size)}], ['a.csv', 'text/csv', 3], 'and what it is');
is(Sandbox::Tool::types($r), 'text resource_link', 'it is linked');
like(text($r), $_, "the text has $_") for qr/^Status: succeeded, exit code 0/, qr/^job_id: $id$/m, qr/^stdout \(4 bytes\):\nout$/m, qr/^stderr \(4 bytes\):\nerr$/m, qr/9007199254740993/, qr{a\.csv \(text/csv, 3 bytes\) sandbox://job/$id/a\.csv}, qr/^Next: .*read_file/m;
my $again = $tool->get("/tools/runs/$id");
$_->{download_url} =~ s/\?.*// for map { @{ data($_)->{files} } } $r, $again;    # signed anew, for as long from now
is_deeply($again->{json}, $r->{json}, 'get_job says the same');
is($tool->rest('GET', "/tools/runs/$id")->{json}{job_id}, $id, 'without the type it is the plain document');
is($tool->rest('GET', "/tools/jobs/$id")->{json}{stdout}, "out\n", 'as it was');
is($tool->post('/v1/jobs', { language => 'python', code => '1' })->{headers}{'content-type'}, 'application/json', 'the plain interface has no tools');

# Failing is a result.
$r = run("import sys\nsys.exit(3)");
is_deeply([@{ data($r) }{qw(status exit_code)}, !!$r->{json}{isError}], ['failed', 3, !1], 'an exit code is no error');
like(text($r), qr/^Status: failed, exit code 3/, 'and told');
$r = run("raise ValueError('no')");
like(data($r)->{stderr}, qr/ValueError: no/, 'nor is an exception');
ok(!$r->{json}{isError}, 'for it did what was asked');
$r = run("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)");
is_deeply([@{ data($r) }{qw(status signal)}, !!$r->{json}{isError}], ['failed', 'SIGTERM', !1], 'nor a signal');

# Limits are.
$r = run("print('x' * 100)\nwhile True: pass", limits => { cpu_time => '1s' });
is_deeply([data($r)->{status}, !!$r->{json}{isError}, data($r)->{violation}{rule}], ['limit_exceeded', !!1, 'limits.cpu_time'], 'a limit is an error');
like(text($r), qr/^Stopped by limits\.cpu_time: limit \d+, observed \d+$/m, 'that says which');
like(data($r)->{next}, qr/compute less/, 'and what to do');
like(data($r)->{stdout}, qr/^x{100}$/, 'with what was said');

# Waiting and reading on.
my $start = time;
my $said = "import time, sys\nsys.stdout.write('a' * 20000); sys.stdout.flush()\n";
$r = run("${said}time.sleep(60)", wait => '300ms');
cmp_ok(time - $start, '<', 10, 'the wait is over');
like(data($r)->{status}, qr/^(queued|running)$/, 'not the job') or diag $r->{content};
$id = data($r)->{job_id};
ok($t->wait_until(30, sub { $r = $tool->get("/tools/runs/$id?wait=0"); data($r)->{stdout_bytes} == 20000 }), 'which says something') or diag $r->{content};
is_deeply([data($r)->{status}, !!$r->{json}{isError}], ['running', !1], 'and runs: no wait, no end');
like(data($r)->{next}, qr/get_job.*\Q$id\E/, 'it says how to go on');
my ($offset) = data($r)->{stdout} =~ /omitted; get_job stdout_offset=(\d+) \.\.\.\]/;
is($offset, 8192, 'and what it left out');
is(data($r)->{stdout} =~ s/\n\[.*?\]\n//r, 'a' x 16384, 'both ends are there');
$tool->ask('DELETE', "/tools/runs/$id");
$id = data(run("${said}time.sleep(1)\nprint('\\nend')", wait => 0))->{job_id};
$r = $tool->get("/tools/runs/$id?stdout_offset=$offset");
is(data($r)->{status}, 'succeeded', 'get_job waits by itself');
is(data($r)->{stdout}, 'a' x (20000 - 8192) . "\nend\n", 'and reads on to the end');
is(data($tool->get("/tools/runs/$id?stdout_offset=20001"))->{stdout}, "end\n", 'from anywhere');
is(data($tool->get("/tools/runs/$id?stdout_offset=99999999"))->{stdout}, '', 'nothing is behind the end');
is(data($tool->get("/tools/runs/$id?stderr_offset=0"))->{stdout_bytes}, 20005, 'the other stream is as ever');
for my $bad ('stdout_offset=-1', 'stdout_offset=', 'stdout_offset=1x', 'stderr_offset=0x1', 'stderr_offset=1234567890123456789', 'stdout_offset=%31%00', 'wait=x', 'wait=-1', 'cursor=0.0.0', 'offset=1') {
    is($tool->get("/tools/runs/$id?$bad")->{status}, 422, "$bad is refused");
}
is($tool->rest('GET', "/tools/runs/$id?stdout_offset=1")->{status}, 422, 'an offset is of tools');

# More than is kept.
$r = run("print('b' * 200000)");
$id = data($r)->{job_id};
like(data($r)->{stdout}, qr/^b{8192}\n\[\.\.\. 183,6\d\d bytes omitted, 134,\d\d\d of them not kept; get_job stdout_offset=8192 \.\.\.\]\nb+\n$/, 'what is nowhere any more is told apart');
$r = $tool->get("/tools/runs/$id?stdout_offset=32000");
like(data($r)->{stdout}, qr/^b{768}\n\[\.\.\. 134,\d\d\d bytes were not kept \.\.\.\]\nb{1,16384}\n\[\.\.\. [\d,]+ more bytes; get_job stdout_offset=\d+ \.\.\.\]\n$/, 'reading on says so, too');

# Cancelling.
$r = run("import time\nprint('on', flush=True)\ntime.sleep(60)", wait => '500ms');
$id = data($r)->{job_id};
$r = $tool->ask('DELETE', "/tools/runs/$id");
is_deeply([$r->{status}, data($r)->{status}, !!$r->{json}{isError}], [200, 'cancelled', !1], 'what is cancelled is as asked');
$r = $tool->ask('DELETE', "/tools/runs/$id");
is_deeply([data($r)->{status}, !!$r->{json}{isError}], ['cancelled', !1], 'twice is once');
like(data($tool->get("/tools/runs/$id"))->{next}, qr/cancelled/, 'get_job says why there is no result');
$r = run("while True: pass", limits => { cpu_time => '1s' });
ok(!$tool->ask('DELETE', '/tools/runs/' . data($r)->{job_id})->{json}{isError}, 'cancelling what is over is fine');

# Sessions.
$r = $tool->post('/tools/sessions', { language => 'python', ttl => '10m' });
is("$r->{status} $r->{result}", '200 complete', 'a session is made');
my $session = data($r)->{session_id};
like(text($r), qr/^session_id: $session$/m, 'the text has its handle');
like(data($r)->{next}, qr/run_code.*$session/, 'and what to do with it');
sub step { my ($code, %body) = @_; return $tool->post("/tools/sessions/$session/steps", { code => $code, %body }) }
$r = step("x = 20");
$id = data($r)->{job_id};
like($id, qr/^$session\.stp_/, 'a handle of a step resolves by itself');
is($r->{headers}{location}, "/v1/sessions/$session/steps/" . ($id =~ s/.*\.//r), 'Location names the step');
$r = step("print('said')\nx + 22");
is_deeply([@{ data($r) }{qw(session_id status result stdout)}], [$session, 'succeeded', '42', "said\n"], 'state stays');
like(text($r), qr/^result:\n42$/m, 'the text has it');
$r = step("1 / 0");
is_deeply([data($r)->{status}, data($r)->{exception}{name}, !!$r->{json}{isError}], ['failed', 'ZeroDivisionError', !1], 'an exception');
is(() = text($r) =~ /ZeroDivisionError: division by zero/g, 1, 'is told once');
is_deeply($tool->get('/tools/runs/' . data($r)->{job_id})->{json}, $r->{json}, 'and again by its handle');
is($tool->rest('GET', '/tools/runs/' . data($r)->{job_id})->{json}{step_id}, data($r)->{job_id} =~ s/.*\.//r, 'plainly it is the step');
$r = step("import os\nos._exit(1)");
like(data($r)->{next}, qr/starts another/, 'a dead interpreter is told of');
$r = step("'x' in globals()");
is(data($r)->{result}, 'False', 'the next one is new');
like(data($r)->{next}, qr/earlier variables are gone/, 'and says so');
$r = step("import time\ntime.sleep(60)", wait => '200ms', timeout => '90s');
$id = data($r)->{job_id};
ok($t->wait_until(30, sub { data($tool->get("/tools/runs/$id?wait=0"))->{status} eq 'running' }), 'a long step');
my $queued = step('1', wait => 0);
is(data($queued)->{status}, 'queued', 'the next one waits');
is(data($tool->ask('DELETE', "/tools/runs/$id"))->{status}, 'cancelled', 'is interrupted');
is(data($tool->get('/tools/runs/' . data($queued)->{job_id}))->{result}, '1', 'and makes room');
$r = step("while True: pass", timeout => '300ms');
is_deeply([data($r)->{status}, !!$r->{json}{isError}], ['limit_exceeded', !!1], 'its time is a limit');
$r = $tool->ask('DELETE', "/tools/sessions/$session");
is_deeply([@{ data($r) }{qw(closed workspace_deleted status)}], [JSON::PP::true, JSON::PP::true, 'ended'], 'a session is closed');
is($tool->ask('DELETE', "/tools/sessions/$session")->{status}, 200, 'twice is once');
is(Sandbox::Tool::code(step('1')), '410 gone', 'it takes no code any more');
is(data($tool->get("/tools/runs/$id"))->{status}, 'cancelled', 'its runs are still known');

# A key.
my %key = (headers => { 'Idempotency-Key' => 'k1' });
my @r = map { run("import random; print(random.random())", -option => \%key) } 1, 2;
is(data($r[1])->{stdout}, data($r[0])->{stdout}, 'a key runs once');
is($r[1]{headers}{'idempotency-replayed'}, 'true', 'and says so');
is(Sandbox::Tool::code(run('1', -option => \%key)), '422 idempotency_mismatch', 'for one body');

# Refusals are problem documents.
is(Sandbox::Tool::code(run('1', language => 'cobol')), '422 invalid_request', 'no such language');
is(Sandbox::Tool::code($tool->post('/tools/jobs', { language => 'python' })), '422 invalid_request', 'no code');
is(Sandbox::Tool::code(run('1', limits => { memory => '8Gi' })), '403 policy_violation', 'more than granted');
is(Sandbox::Tool::code(run('1', -option => { who => { scopes => 'jobs:read' } })), '403 forbidden', 'no scope');
my ($job) = $r[0]{headers}{location} =~ m{(job_\w+)};
my ($step) = $id =~ /(stp_\w+)/;
for my $none ($job =~ s/.{4}$/0000/r, 'job_x', 'x', "$session", "$session.$job", "$job.$step", "$session.stp_x", "$session.", ".$step", "$session.$step.$step", "$session/$step", "..$job", "%2e$job", "$job%00") {
    is($tool->get("/tools/runs/$none")->{status}, 404, "no run $none");
    is($tool->ask('DELETE', "/tools/runs/$none")->{status}, 404, 'to cancel neither');
}
for my $handle ($job, $id) {
    my $other = $tool->get("/tools/runs/$handle", who => { tenant => 'other' });
    my $none = $tool->get('/tools/runs/' . $handle =~ s/.{4}$/0000/r);
    $_->{json}{request_id} = '' for $other, $none;
    is_deeply($other->{json}, $none->{json}, "another tenant's run is none");
    is($tool->ask('DELETE', "/tools/runs/$handle", who => { tenant => 'other' })->{status}, 404, 'nor to be cancelled');
}
is($tool->get("/tools/runs/$id", who => { scopes => 'jobs:read jobs:write' })->{status}, 403, 'a step takes the scope of steps');
is($tool->ask('DELETE', "/tools/runs/$id", who => { scopes => 'sessions:read jobs:write' })->{status}, 403, 'to cancel, too');
is($tool->get("/tools/runs/$job", who => { scopes => 'sessions:read sessions:write' })->{status}, 403, 'a job that of jobs');
is($tool->get("/tools/runs/$id", who => { scopes => 'sessions:read' })->{status}, 200, 'with it there it is');
is($tool->post("/tools/runs/$job", {})->{status}, 405, 'nothing else can be done with one');

my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
