#!/usr/bin/perl
# Runs as tasks of the protocol's extension: when one is made, what it says, its end, and who may know of it.
use strict;
use warnings;
use lib 't/lib';
use JSON::PP;
use Sandbox;
use Sandbox::Stream;
use Sandbox::Tool;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new(executor => { 'pool.default' => 2 });
$t->start_launcher->start_executor;
my $tool = Sandbox::Tool->new($t);
my %TASK = (headers => { 'Sandbox-Tool-Call' => 'modern, task' });
sub run { my ($code, %body) = @_; my %option = (%TASK, %{ delete $body{-option} || {} }); return $tool->post('/tools/jobs', { language => 'python', code => $code, %body }, %option) }
sub task { my ($id, %option) = @_; return $tool->get("/tools/tasks/$id", %option) }
sub cancel { my ($id, %option) = @_; return $tool->ask('DELETE', "/tools/tasks/$id", %option) }
sub until_over { my ($id) = @_; my $r; $t->wait_until(30, sub { $r = task($id); $r->{json}{status} ne 'working' }); return $r }
my @MEMBERS = qw(createdAt lastUpdatedAt pollIntervalMs status statusMessage taskId ttlMs);

# What is over within the wait is a result.
my $r = run('print(1)');
is_deeply([$r->{result}, $r->{json}{structuredContent}{stdout}], ['complete', "1\n"], 'a run that is over is its result');

# What is not is a task.
my $start = time;
$r = run("import time\ntime.sleep(60)", wait => '300ms');
cmp_ok(time - $start, '<', 10, 'told when the wait is over');
is($r->{result}, 'task', 'one that is not is a task');
is_deeply([sort keys %{ $r->{json} }], \@MEMBERS, 'flat');
my $id = $r->{json}{taskId};
is($r->{json}{status}, 'working', 'at work');
like($r->{content}, qr/"ttlMs":\d+,"pollIntervalMs":\d+/, 'whole numbers');
like($r->{json}{$_}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, $_) for 'createdAt', 'lastUpdatedAt';
$r = task($id);
is_deeply([$r->{status}, $r->{result}, $r->{json}{status}, $r->{json}{taskId}], [200, 'complete', 'working', $id], 'it is there at once');
ok(!exists $r->{json}{result}, 'without a result');
ok($t->wait_until(30, sub { task($id)->{json}{statusMessage} eq 'running' }), 'asking for it does not wait for its end');
cancel($id);
$id = run("import time\ntime.sleep(0.3)\nprint('done')", wait => 0)->{json}{taskId};
$r = until_over($id);
is_deeply([sort keys %{ $r->{json} }], [sort @MEMBERS, 'result'], 'at its end it has one');
is_deeply([@{ $r->{json} }{qw(status statusMessage)}], ['completed', 'succeeded'], 'it is completed');
is_deeply($r->{json}{result}, $tool->get("/tools/runs/$id")->{json}, 'with what the tool would have answered');
cmp_ok($r->{json}{lastUpdatedAt}, 'gt', $r->{json}{createdAt}, 'and was touched');
is($tool->get("/tools/runs/$id", %TASK)->{result}, 'complete', 'get_job never answers with a task');

# A failure is completed; so is a limit.
my %made = map { $_->[0] => run($_->[1], wait => 0, %{ $_->[2] || {} })->{json}{taskId} } ['failed', "import time\ntime.sleep(0.3)\nraise SystemExit(3)"], ['limit_exceeded', 'while True: pass', { limits => { cpu_time => '1s' } }];
for my $status (sort keys %made) {
    $r = until_over($made{$status});
    is_deeply([@{ $r->{json} }{qw(status statusMessage)}, !!$r->{json}{result}{isError}], ['completed', $status, $status eq 'limit_exceeded'], "$status is an end as well");
}

# Cancelling.
$id = run("import time\ntime.sleep(60)", wait => 0)->{json}{taskId};
$start = time;
$r = cancel($id);
is_deeply([$r->{status}, $r->{result}, $r->{content}], [200, 'complete', '{}'], 'cancelling is heard');
cmp_ok(time - $start, '<', 10, 'at once');
$r = until_over($id);
is($r->{json}{status}, 'cancelled', 'and done');
ok(!exists $r->{json}{result}, 'a cancelled task has no result');
is(cancel($id)->{content}, '{}', 'twice is once');
is(cancel($made{failed})->{content}, '{}', 'what is over is left so');
is(task($made{failed})->{json}{status}, 'completed', 'indeed');

# Steps.
my $session = $tool->post('/tools/sessions', { language => 'python' })->{json}{structuredContent}{session_id};
sub step { my ($code, %body) = @_; return $tool->post("/tools/sessions/$session/steps", { code => $code, %body }, %TASK) }
is(step('1')->{result}, 'complete', 'a step that is over');
$r = step("import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)\n6 * 7", wait => 0, timeout => '90s');
is($r->{result}, 'task', 'one that is not');
like($r->{json}{taskId}, qr/^$session\.stp_/, 'has its handle');
my $queued = step('1', wait => 0)->{json};
is_deeply([@$queued{qw(status statusMessage)}], ['working', 'queued'], 'one that waits');
is($tool->rest('PUT', "/v1/sessions/$session/files/go", body => 'x')->{status}, 201, 'the first goes on');
is(until_over($r->{json}{taskId})->{json}{result}{structuredContent}{result}, '42', 'its result');
is(until_over($queued->{taskId})->{json}{status}, 'completed', 'and the other');
my $step = step("import time\ntime.sleep(60)", wait => 0, timeout => '90s')->{json}{taskId};
is(cancel($step)->{content}, '{}', 'a step is cancelled');
is(until_over($step)->{json}{status}, 'cancelled', 'indeed');
$r = $tool->post('/tools/sessions', { language => 'python' }, %TASK);
is($r->{result}, 'complete', 'a session is no task');
$tool->ask('DELETE', '/tools/sessions/' . $r->{json}{structuredContent}{session_id});

# Who did not declare them gets none.
for my $call (undef, 'modern', 'legacy', 'tasks', 'task=1', 'TASK') {
    $r = run("import time\ntime.sleep(2)", wait => 0, -option => { headers => { defined $call ? ('Sandbox-Tool-Call' => $call) : () } });
    is($r->{result}, 'complete', 'no task for ' . ($call // 'nothing'));
    $tool->ask('DELETE', '/tools/runs/' . $r->{json}{structuredContent}{job_id});
}
# In a stream, and again by its key.
my %key = (headers => { 'Sandbox-Tool-Call' => 'task', 'Idempotency-Key' => 'k' });
my $body = { language => 'python', code => "import time\ntime.sleep(60)", wait => '1200ms' };
my $s = Sandbox::Stream->executor($t, 'POST', '/tools/jobs', json => $body, headers => { Accept => "$Sandbox::Tool::TYPE, text/event-stream", %{ $key{headers} } })->finish;
is_deeply([($s->names)[-1], $s->last_event('task')->{status}], ['task', 'working'], 'a stream ends with the task');
$r = $tool->post('/tools/jobs', { %$body, wait => 0 }, %key);
is(Sandbox::Tool::code($r), '422 idempotency_mismatch', 'another body is another request');
cancel($s->last_event('task')->{taskId});

# What is no task of the tenant's, in one form.
my %error = (code => -32602, message => 'there is no such task');
my @none = ('job_00000000000000000000000000', 'x', 'job_x', $session, "$session.stp_00000000000000000000000000", "$session.$id", "$id.stp_00000000000000000000000000", $id =~ s/.{3}$/000/r, "$id%00");
for my $none (@none) {
    for my $r (task($none), cancel($none)) {
        is_deeply([$r->{status}, $r->{result}, $r->{json}], [200, 'error', \%error], "no task $none");
    }
}
for my $handle ($id, $step) {
    for my $r (task($handle, who => { tenant => 'other' }), cancel($handle, who => { tenant => 'other' })) {
        is_deeply([$r->{status}, $r->{result}, $r->{json}], [200, 'error', \%error], "another tenant's task is none");
    }
}
is(task($id, who => { scopes => 'sessions:read' })->{status}, 403, 'a task of a job takes the scope of jobs');
is(task($step, who => { scopes => 'jobs:read' })->{status}, 403, 'of a step that of sessions');
is(cancel($step, who => { scopes => 'sessions:read' })->{status}, 403, 'cancelling that of writing');
is(task("$id?wait=1")->{status}, 422, 'nothing can be asked besides');
is($tool->post("/tools/tasks/$id", {})->{status}, 405, 'nor said');
is($tool->rest('GET', "/tools/tasks/$id")->{headers}{'content-type'}, $Sandbox::Tool::TYPE, 'a task has this form only');

# Kept as long as its record may be; gone with a restart it is not.
is(run('import time; time.sleep(9)', wait => 0, -option => { %TASK, who => { keep_rec => 3_600_000 } })->{json}{ttlMs}, 3_600_000, 'as long as the policy says');
$id = run("import time\ntime.sleep(0.2)\nprint('kept')", wait => 0)->{json}{taskId};
until_over($id);
$t->stop('executor');
$t->start_executor;
is(task($id)->{json}{result}{structuredContent}{stdout}, "kept\n", 'another process knows it');

my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
