#!/usr/bin/perl
# A client that leaves before it knows a handle takes what it began along, when it said so, and nothing else.
use strict;
use warnings;
use lib 't/lib';
use IO::Select;
use Sandbox;
use Sandbox::Stream;
use Sandbox::Tool;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new(executor => { 'pool.default' => 0, 'limits.max_running' => 2, 'sessions.max' => 20 });
$t->start_launcher->start_executor;
my $tool = Sandbox::Tool->new($t);
sub data { return $_[0]{json}{structuredContent} }
sub client {
    my ($method, $path, $json, %option) = @_;
    my %headers = (Accept => $Sandbox::Tool::TYPE . ($option{stream} ? ', text/event-stream' : ''), 'Sandbox-Tool-Call' => $option{call}, 'Idempotency-Key' => $option{key}, %{ $option{headers} || {} });
    return Sandbox::Stream->executor($t, $method, $path, headers => \%headers, json => $json, who => $option{who} || {});
}
my $SLEEP = "import time\nprint('up', flush=True)\ntime.sleep(50)";
my $LONG = { language => 'python', code => $SLEEP, wait => 50 };    # the same, and so the same bytes, for a key
sub job { my (%option) = @_; return client('POST', '/tools/jobs', defined $option{code} ? { %$LONG, code => $option{code} } : $LONG, %option) }
sub jobs { my ($status) = @_; return @{ $tool->rest('GET', '/v1/jobs?limit=100' . ($status ? "&status=$status" : ''))->{json}{jobs} } }
sub status { return $tool->rest('GET', "/v1/jobs/$_[0]")->{json}{status} }
sub up { my ($id) = @_; return $t->wait_until(30, sub { ($tool->rest('GET', "/v1/jobs/$id")->{json}{stdout} // '') =~ /up/ }) }
# The job that runs by now and says so.
sub begun { my ($before) = @_; my $id; $t->wait_until(30, sub { my ($job) = jobs("running"); $id = $job->{job_id} if $job && $job->{job_id} ne ($before // q()); $id }) or die "nothing began"; up($id) or die "$id did not begin"; return $id }
sub end_of { my ($id) = @_; my $kind = $id =~ /^job/ ? 'job.cancelled' : 'step.ended'; my @found; $t->wait_until(30, sub { @found = grep { $_->{object} eq $id } $t->audit_events($kind) }); return @found ? { kind => $found[-1]{kind}, %{ $found[-1]{body} } } : {} }
sub gone { my ($id, $what) = @_; ok($t->wait_until(30, sub { !$t->sandbox_processes }), "$what: the sandbox is gone") or diag $t->sandbox_processes_text; return }
sub stop { $tool->ask('DELETE', "/tools/runs/$_") for @_; return }

# Every way to leave.
my $id;
for my $way (['closes', sub { $_[0]->leave }], ['resets', sub { $_[0]->reset }], ['shuts its side', sub { shutdown $_[0]{socket}, 1 }]) {
    for my $stream (0, 1) {
        my $what = "a client that $way->[0]" . ($stream ? ' a stream' : '');
        my $s = job(call => 'modern, cancel', stream => $stream, who => { rid => "req_way_$stream" });
        ok($s->until(30, sub { defined $s->{status} }), 'its head comes at once') if $stream;
        $id = begun($id);
        $way->[1]->($s);
        gone($id, $what);
        ok($t->wait_until(30, sub { status($id) eq 'cancelled' }), "$what: the job is cancelled") or diag status($id);
        my $event = end_of($id);
        is($event->{kind}, 'job.cancelled', "$what: and audited so");
        is_deeply([@{ $event->{cancelled_by} }{qw(reason request_id)}], ['client_gone', "req_way_$stream"], "$what: with who and why") or diag explain $event;
    }
}
my $asked = data($tool->post('/tools/jobs', { language => 'python', code => $SLEEP, wait => 0 }))->{job_id};
stop($asked);
ok(!exists end_of($asked)->{cancelled_by}{reason}, 'one that is asked for needs no reason');

# Who did not say so leaves it running.
for my $call (undef, 'legacy', 'modern', 'task', 'cancelled', 'nocancel', 'cancel=1', 'CANCEL', 'progress', 'key=' . 'a' x 32) {
    my $s = job(call => $call);
    $id = begun($id);
    $s->leave;
    is(status($id), 'running', 'with ' . ($call // 'nothing') . ' it goes on');
    ok(scalar($t->sandbox_processes), 'really');
    stop($id);
}

# In the queue, and while it starts.
my @busy = map { data($tool->post('/tools/jobs', { language => 'python', code => $SLEEP, wait => 0 }))->{job_id} } 1 .. 2;
up($_) for @busy;
my $s = job(call => 'cancel');
ok($t->wait_until(30, sub { $id = (jobs('queued'))[0]; $id }), 'a third job waits');
$id = $id->{job_id};
$s->leave;
ok($t->wait_until(30, sub { status($id) eq 'cancelled' }), 'it is taken out of the queue');
is_deeply([map { status($_) } @busy], [qw(running running)], 'the others run');
stop(@busy);
my $n = jobs();
job(call => 'cancel')->leave for 1 .. 30;
ok($t->wait_until(30, sub { !jobs('queued') && !jobs('running') }), 'at whatever moment it leaves, nothing is left');
is_deeply([grep { $_->{status} ne 'cancelled' } grep { !{ map { $_ => 1 } @busy }->{ $_->{job_id} } } (jobs())[0 .. jobs() - $n - 1]], [], 'and all are cancelled');
ok($t->wait_until(30, sub { !$t->sandbox_processes }), 'no sandbox stays');

# Not what another call began.
$s = job(key => 'k0', call => 'cancel');
$id = begun($id);
is(job(key => 'k0', call => 'cancel')->finish->{status}, 409, 'while the first one waits there is no second');
is($tool->get("/tools/runs/$id?wait=0")->{json}{structuredContent}{status}, 'running', 'which ends nothing');
$s->leave;
gone($id, 'the first');
my %first = (wait => '200ms', language => 'python', code => $SLEEP);
$s = client('POST', '/tools/jobs', \%first, key => 'k1')->finish;
$id = $s->json->{structuredContent}{job_id};
my $replay = client('POST', '/tools/jobs', \%first, key => 'k1', call => 'cancel');
my $watch = client('POST', '/tools/jobs', \%first, key => 'k1', call => 'cancel', stream => 1);
ok($watch->until(30, sub { defined $watch->{status} }), 'a stream of the same');
is($watch->{headers}{'idempotency-replayed'}, 'true', 'which says so');
$_->leave for $replay, $watch;
my $get = client('GET', "/tools/runs/$id?wait=50", undef, call => 'cancel');
my $see = client('GET', "/tools/runs/$id?wait=50", undef, call => 'cancel', stream => 1);
ok($see->until(30, sub { defined $see->{status} }), 'who asks about it');
$_->leave for $get, $see;
is($tool->get("/tools/runs/$id?wait=1")->{json}{structuredContent}{status}, 'running', 'does not end it by leaving');
$get = client('GET', "/tools/runs/$id?wait=50", undef, call => 'cancel');
stop($id);
is($get->finish->json->{structuredContent}{status}, 'cancelled', 'who waits is told of the end');

# The daemon is late: it is to answer, and the client has left by then. Timers go before sockets, so it knows nothing of that yet.
sub halt { kill STOP => $t->{pid}{executor}; $t->wait_until(30, sub { Sandbox::_slurp("/proc/$t->{pid}{executor}/stat") =~ /\) T / }) or die 'it runs on'; return }
sub answered { return IO::Select->new($_[0]{socket})->can_read(0) }
my $sent = time;
my @late = map { client('POST', '/tools/jobs', { language => 'python', code => $SLEEP, wait => '10s' }, call => 'cancel', stream => $_) } 0, 1;
ok($late[1]->until(30, sub { defined $late[1]{status} }) && $t->wait_until(30, sub { jobs('running') == 2 }), 'two calls wait');
my @id = map { $_->{job_id} } jobs('running');
halt();
ok(time - $sent < 10 && !answered($late[0]), 'and have no answer');
$_->leave for @late;
$t->wait_until(30, sub { time - $sent > 10.1 });
kill CONT => $t->{pid}{executor};
ok($t->wait_until(30, sub { !grep { status($_) ne 'cancelled' } @id }), 'which nobody is there for any more') or stop(@id);

# By its key, whatever became of the call.
sub cancel { my ($key, %option) = @_; return $tool->post('/tools/cancellations', { key => $key }, %option)->{status} }
my $key = 'c' x 32;
$s = job(call => "legacy, key=$key");
$id = begun($id);
is(cancel($key, who => { tenant => 'other' }), cancel('d' x 32), "another tenant's key is like none");
is(status($id), 'running', 'and ends nothing');
cancel($key);
is($s->finish(30)->json->{structuredContent}{status}, 'cancelled', 'a call that waits is told of its end');
is(end_of($id)->{cancelled_by}{reason}, 'cancelled_by_client', 'which is audited so');
$s = job(call => "legacy, key=$key", stream => 1);
$id = begun($id);
$s->leave;
is(status($id), 'running', 'a call whose client is gone');
cancel($key);
gone($id, 'can still be cancelled');
$s = client('GET', "/tools/runs/$id?wait=50", undef, call => "key=$key");
is($s->finish->json->{structuredContent}{status}, 'cancelled', 'who asks has a key, too');
my @two = map { job(call => "legacy, key=$key") } 1, 2;
ok($t->wait_until(30, sub { jobs('running') == 2 }), 'two calls of one name');
cancel($key);
is(scalar(jobs('running')), 2, 'are not told apart, and so neither ends');
stop(map { $_->{job_id} } jobs('running'));
$_->finish for @two;
$s = job(code => 'print(1)', call => "key=$key")->finish;
is($s->json->{structuredContent}{status}, 'succeeded', 'what is over');
cancel($key);
is(status($s->json->{structuredContent}{job_id}), 'succeeded', 'stays as it is');

# Not after the handle was told.
for my $stream (0, 1) {
    $s = client('POST', '/tools/jobs', { language => 'python', code => $SLEEP, wait => '300ms' }, call => 'cancel', stream => $stream, headers => { Connection => 'keep-alive' });
    ok($s->until(30, sub { $stream ? $s->last_event('complete') : $s->json }), 'the wait is over');
    $id = ($stream ? $s->last_event('complete') : $s->json)->{structuredContent}{job_id};
    $s->leave;
    is($tool->get("/tools/runs/$id?wait=1")->{json}{structuredContent}{status}, 'running', 'it knows the handle: the job goes on');
    stop($id);
}

# Steps.
my $session = data($tool->post('/tools/sessions', { language => 'python' }))->{session_id};
sub step { my (%option) = @_; return client('POST', "/tools/sessions/$session/steps", { code => $option{code} // $SLEEP, wait => 50, timeout => '60s' }, %option) }
sub steps { my ($status) = @_; return @{ $tool->rest('GET', "/v1/sessions/$session/steps?status=$status")->{json}{steps} } }
sub step_status { return $tool->rest('GET', "/v1/sessions/$session/steps/$_[0]")->{json}{status} }
for my $stream (0, 1) {
    $s = step(call => 'cancel,modern', stream => $stream);
    my ($running, $queued);
    ok($t->wait_until(30, sub { ($running) = steps('running'); $running }), 'a step runs');
    my $next = step(call => 'cancel', code => 'print(1)', stream => $stream);
    ok($t->wait_until(30, sub { ($queued) = steps('queued'); $queued }), 'another waits');
    $next->leave;
    ok($t->wait_until(30, sub { step_status($queued->{step_id}) eq 'cancelled' }), 'which is taken out');
    is(step_status($running->{step_id}), 'running', 'alone');
    my $start = time;
    $s->leave;
    ok($t->wait_until(30, sub { step_status($running->{step_id}) eq 'cancelled' }), 'the running one is interrupted');
    cmp_ok(time - $start, '<', 30, 'soon');
    ok($t->wait_until(30, sub { (end_of($running->{step_id})->{cancelled_by}{reason} // '') eq 'client_gone' }), 'and audited so') or diag explain end_of($running->{step_id});
}
is(data($tool->post("/tools/sessions/$session/steps", { code => '6 * 7' }))->{result}, '42', 'the session and its interpreter live');
$s = step();
ok($t->wait_until(30, sub { steps('running') }), 'one that nobody gave up');
$s->leave;
is(scalar(steps('running')), 1, 'runs on');
$tool->ask('DELETE', "/tools/sessions/$session");

# Sessions.
my $n_left = 0;
for my $try (1 .. 24) {
    $s = client('POST', '/tools/sessions', { language => 'python' }, call => 'cancel');
    my $until = time + $try * 0.0005;
    while (time < $until) { }
    halt();
    if (answered($s)) {
        kill CONT => $t->{pid}{executor};
        $tool->ask('DELETE', '/tools/sessions/' . $s->finish->json->{structuredContent}{session_id});
    } else {
        # Not at once: what it waits for comes to be there first.
        $until = time + 0.03;
        while (time < $until) { }
        $s->leave;
        $n_left++;
        kill CONT => $t->{pid}{executor};
    }
}
note "clients left at $n_left moments";
ok($t->wait_until(30, sub { !grep { $_->{status} ne 'ended' } @{ $tool->rest('GET', '/v1/sessions')->{json}{sessions} } }), 'a session that nobody was told of ends');
ok($t->wait_until(30, sub { !$t->sandbox_processes }), 'with its sandbox');
$session = data($tool->post('/tools/sessions', { language => 'python' }, headers => { 'Sandbox-Tool-Call' => 'cancel' }))->{session_id};
is(data($tool->post("/tools/sessions/$session/steps", { code => '1' }))->{result}, '1', 'one that was told of stays');
$tool->ask('DELETE', "/tools/sessions/$session");

my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
