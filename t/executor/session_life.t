#!/usr/bin/perl
# How a session ends by itself: its time, idleness, its limits, the executor's stop. Nothing of it is left.
use strict;
use warnings;
use lib 't/lib';
use Sandbox;
use Sandbox::Session;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new(executor => { 'pool.default' => 0, 'drain.timeout' => '5s' });
$t->start_launcher->start_executor;
my $api = Sandbox::Session->new($t);

sub mounts { open my $in, '<', '/proc/self/mountinfo' or die $!; return grep { /\Q$t->{instance}\E|\Q$t->{dir}\E/ } <$in> }
my %before = (mounts => scalar mounts(), cgroups => scalar $t->cgroups);

# No process, control group or mount of any sandbox is there.
sub nothing_left {
    my ($what) = @_;
    ok($t->wait_until(30, sub { !$t->sandbox_processes }), "$what: no process is left") or diag $t->sandbox_processes_text;
    ok($t->wait_until(30, sub { $t->cgroups <= $before{cgroups} }), "$what: no control group is left") or diag join "\n", $t->cgroups;
    ok($t->wait_until(30, sub { mounts() <= $before{mounts} }), "$what: no mount is left");
}

sub gone {
    my ($id, $reason, $what) = @_;
    my $reply = $api->ask('POST', "/v1/sessions/$id/steps", json => { code => '1' });
    is_deeply([$reply->{status}, $reply->{json}{code}, $reply->{json}{reason}], [410, 'gone', $reason], "$what: the next call is told so") or diag $reply->{content};
    my $session = $api->get($id);
    is_deeply([@$session{qw(status reason contexts queued_steps)}], ['ended', $reason, [], 0], "$what: and the session says so");
    ok($session->{ended_at}, "$what: and when");
}

# Its time. Given once what the test is about has begun: from then on it counts.
sub ttl { my ($id, $ttl) = @_; return $api->ask('PATCH', "/v1/sessions/$id", json => { ttl => $ttl })->{status} }
sub runs { my ($id, $step) = @_; return $t->wait_until(30, sub { $api->ask('GET', "/v1/sessions/$id/steps/$step->{step_id}")->{json}{status} eq 'running' }) }
my $id = $api->create(ttl => '1h')->{session_id};
my $step = $api->step($id, "import subprocess; open('f', 'w').write('x' * 65536); subprocess.Popen(['sleep', '1000']); 1");
is($step->{status}, 'succeeded', 'a process runs in it');
my $start = time;
is(ttl($id, '1s'), 200, 'it gets a second');
ok($api->until_is(30, $id, 'status', 'ended'), 'past its ttl it has ended');
cmp_ok(time - $start, '>', 0.9, 'not before');
gone($id, 'ttl', 'ttl');
nothing_left('ttl');

$id = $api->create(ttl => '1h')->{session_id};
$step = $api->step($id, 'import time; time.sleep(60)', timeout => '90s', wait => 0);
ok(runs($id, $step), 'a step runs');
$start = time;
is(ttl($id, '200ms'), 200, 'when the time is over');
$step = $api->ask('GET', "/v1/sessions/$id/steps/$step->{step_id}?wait=30")->{json};
is_deeply([@$step{qw(status message)}], ['cancelled', "the session's time was over"], 'it is cancelled') or diag explain $step;
cmp_ok(time - $start, '<', 10, 'at once');
gone($id, 'ttl', 'ttl in a step');

$id = $api->create(ttl => '5s')->{session_id};
is(ttl($id, '1h'), 200, 'extended');
ok(!$t->wait_until(5.5, sub { $api->get($id)->{status} eq 'ended' }), 'it lives on');
is(ttl($id, '200ms'), 200, 'shortened');
ok($api->until_is(30, $id, 'status', 'ended'), 'it ends');

my %short = (who => { life_ms => 4000 });
is($api->ask('POST', '/v1/sessions', json => { ttl => '5s' }, %short)->{json}{violations}[0]{rule}, 'sessions.ttl', 'not longer than the longest life');
my $made = $api->ask('POST', '/v1/sessions', json => {}, %short)->{json};
$id = $made->{session_id};
my $longest = sprintf '%.3f', Sandbox::_unix($made->{created_at}) + 4;
my %ends;
$t->wait_until(0.5, sub { $ends{ sprintf '%.3f', Sandbox::_unix($api->ask('PATCH', "/v1/sessions/$id", json => { ttl => '3999ms' }, %short)->{json}{expires_at}) }++; 0 });
is_deeply([keys %ends], [$longest], 'whatever extends it');
ok($api->until_is(30, $id, 'status', 'ended'), 'it ends with its longest life');
gone($id, 'ttl', 'longest life');

# Idleness.
sub idle { my ($id, $idle) = @_; return $api->ask('PATCH', "/v1/sessions/$id", json => { idle_timeout => $idle })->{status} }
$id = $api->create(idle_timeout => '1h')->{session_id};
$step = $api->step($id, 'import time; time.sleep(60)', timeout => '90s', wait => 0);
ok(runs($id, $step), 'a step runs');
is(idle($id, '1s'), 200, 'longer than it may be idle');
ok(!$t->wait_until(1.5, sub { $api->get($id)->{status} eq 'ended' }), 'who works is not idle');
$start = time;
$api->ask('DELETE', "/v1/sessions/$id/steps/$step->{step_id}");
ok($api->until_is(30, $id, 'status', 'ended'), 'then it is');
cmp_ok(time - $start, '>', 0.9, 'for as long as was said');
gone($id, 'idle', 'idle');
nothing_left('idle');

# A paused one is not idle, and its time runs on.
$id = $api->create(idle_timeout => '1h', ttl => '1h')->{session_id};
is($api->ask('POST', "/v1/sessions/$id/pause")->{json}{status}, 'paused', 'paused');
is(idle($id, '400ms'), 200, 'however short');
ok(!$t->wait_until(1, sub { $api->get($id)->{status} eq 'ended' }), 'it is not ended as idle');
is(ttl($id, '200ms'), 200, 'its time runs');
ok($api->until_is(30, $id, 'status', 'ended'), 'and ends it');
gone($id, 'ttl', 'paused');
nothing_left('paused');

# Limits of the whole session.
$id = $api->create(limits => { memory => '64Mi' })->{session_id};
$step = $api->step($id, "b = bytearray(200 << 20)\nb[::4096] = b'x' * len(b[::4096])", wait => '50s', timeout => '50s');
is($step->{status}, 'limit_exceeded', 'more memory than it has') or diag explain $step;
is($step->{violation}{name}, 'memory', 'the step says so');
gone($id, 'oom', 'memory');
is($api->get($id)->{violation}{name}, 'memory', 'and the session');
nothing_left('memory');

# Who makes too many processes meets the control group, not a refusal: in a step, and in a command beside it.
$id = $api->create(language => 'bash', limits => { processes => 16 })->{session_id};
$step = $api->step($id, 'for i in {1..100}; do sleep 100 & done; wait', wait => '50s', timeout => '50s');
is_deeply([$step->{status}, $step->{violation}{name}], ['limit_exceeded', 'processes'], 'more processes than it has') or diag explain $step;
gone($id, 'limit_exceeded', 'processes');
$id = $api->create(language => 'bash', limits => { processes => 16 })->{session_id};
is($api->ask('POST', "/v1/sessions/$id/processes", json => { shell => 'for i in {1..100}; do sleep 100 & done; wait' })->{status}, 201, 'a command that makes too many');
ok($api->until_is(30, $id, 'reason', 'limit_exceeded'), 'ends the session');
is($api->get($id)->{violation}{name}, 'processes', 'by the same limit');
nothing_left('processes');

$id = $api->create(limits => { cpu_time => '1s' })->{session_id};
$step = $api->step($id, 'while True: pass', wait => '50s', timeout => '50s');
is_deeply([$step->{status}, $step->{violation}{name}], ['limit_exceeded', 'cpu'], 'more time of the processors than it has') or diag explain $step;
gone($id, 'limit_exceeded', 'cpu');
nothing_left('cpu');

# The executor stops: what works may end, what is idle ends at once.
my ($idle, $busy, $late) = map { $api->create(language => 'bash')->{session_id} } 1 .. 3;
my $quick = $api->step($busy, 'sleep 2; echo done', wait => 0);
my $long = $api->step($late, 'sleep 60', wait => 0, timeout => '100s');
ok($t->wait_until(30, sub { $api->ask('GET', "/v1/sessions/$_->[0]/steps/$_->[1]")->{json}{status} eq 'running' }), 'a step runs') for [$busy, $quick->{step_id}], [$late, $long->{step_id}];
$start = time;
is($t->stop('executor'), 0, 'the executor stops');
cmp_ok(time - $start, '<', 15, 'in its time');
$t->start_executor;
is_deeply([map { my $s = $api->get($_); "$s->{status} $s->{reason}" } $idle, $busy, $late], [('ended evicted') x 3], 'its sessions were evicted');
is($api->ask('GET', "/v1/sessions/$busy/steps/$quick->{step_id}")->{json}{stdout}, "done\n", 'a step that could end did');
is($api->ask('GET', "/v1/sessions/$late/steps/$long->{step_id}")->{json}{status}, 'lost', 'one that could not is lost');
gone($idle, 'evicted', 'stop');
nothing_left('stop');

my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
