#!/usr/bin/perl
# kill -9 of everything under a running step: whoever waits is told, and what can be read afterwards is the truth.
use strict;
use warnings;
use lib 't/lib';
use JSON::PP;
use Sandbox;
use Sandbox::Session;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new(executor => { 'pool.default' => 1, 'sessions.orphans' => '300ms' });
$t->start_launcher->start_executor;
my $api = Sandbox::Session->new($t);

# Processes of sandboxes by what they run.
sub pids {
    my ($pattern) = @_;
    return grep { my $line = join ' ', split /\0/, Sandbox::_slurp("/proc/$_/cmdline"); $line =~ $pattern } $t->sandbox_processes;
}

sub state_of { my ($id, $step) = @_; return $api->ask('GET', "/v1/sessions/$id/steps/$step")->{json}{status} }

# A step in a child that waits for it; returns what reads its answer.
sub waiting {
    my ($id, $code, %body) = @_;
    pipe my $in, my $out or die $!;
    my $pid = fork // die $!;
    if (!$pid) {
        my $reply = $api->ask('POST', "/v1/sessions/$id/steps", json => { code => $code, timeout => '60s', wait => '50s', %body });
        print {$out} encode_json({ status => $reply ? $reply->{status} : 0, json => $reply && $reply->{json} });
        close $out;
        POSIX::_exit(0);
    }
    close $out;
    ok($t->wait_until(30, sub { my $steps = $api->ask('GET', "/v1/sessions/$id/steps?status=running")->{json}{steps}; $steps && @$steps }), 'a step runs');
    return sub { local $/; my $answer = decode_json(<$in>); waitpid $pid, 0; return $answer };
}

# The interpreter: the step fails, the session lives.
my $id = $api->create(language => 'python')->{session_id};
$api->step($id, 'kept = 1');
my $answer = waiting($id, 'import time; time.sleep(50)');
my @interpreter = pids(qr/python.*repl/);
is(scalar @interpreter, 1, 'there is one interpreter') or diag explain [map { Sandbox::_slurp("/proc/$_/cmdline") } $t->sandbox_processes];
kill 'KILL', @interpreter;
my $start = time;
my $reply = $answer->();
cmp_ok(time - $start, '<', 30, 'interpreter: whoever waits is told soon');
is_deeply([$reply->{status}, $reply->{json}{status}, $reply->{json}{interpreter}], [200, 'failed', 'dead'], 'interpreter: its step failed') or diag explain $reply;
is($api->get($id)->{status}, 'running', 'interpreter: the session lives');
my $next = $api->step($id, "'kept' in globals()");
is_deeply([$next->{status}, Sandbox::Session::value($next), !!$next->{restarted}], ['succeeded', 'False', 1], 'interpreter: the next step begins anew and says so');

# The agent: the session has crashed.
$answer = waiting($id, 'import time; time.sleep(50)');
my $queued = $api->step($id, '1', wait => 0);
# The sandbox's first process; those in the pool run nothing yet.
my @agents = grep { my $agent = $_; grep { Sandbox::_slurp("/proc/$_/status") =~ /^PPid:\s+$agent$/m } pids(qr/python.*repl/) } $t->sandbox_processes;
is(scalar @agents, 1, 'agent: it is found');
kill 'KILL', @agents;
$start = time;
$reply = $answer->();
cmp_ok(time - $start, '<', 30, 'agent: whoever waits is told soon');
is_deeply([$reply->{status}, $reply->{json}{status}], [200, 'lost'], 'agent: its step is lost') or diag explain $reply;
is_deeply([@{ $api->get($id) }{qw(status reason)}], ['ended', 'crash'], 'agent: the session has crashed');
is(state_of($id, $queued->{step_id}), 'lost', 'agent: so are the steps that waited');
is($api->ask('POST', "/v1/sessions/$id/steps", json => { code => '1' })->{status}, 410, 'agent: and it is gone');

# The executor.
$id = $api->create(language => 'python')->{session_id};
my $done = $api->step($id, 'print("done")');
$answer = waiting($id, 'import time; time.sleep(50)');
my ($running) = @{ $api->ask('GET', "/v1/sessions/$id/steps?status=running")->{json}{steps} };
$queued = $api->step($id, '1', wait => 0);
my $idle = $api->create(language => 'bash')->{session_id};
$t->kill9('executor');
$reply = $answer->();
is($reply->{status}, 0, 'executor: the connection ends');
ok($t->wait_until(30, sub { !$t->sandbox_processes }), 'executor: and so does everything in the sandboxes');
$t->start_executor;
is_deeply([map { my $s = $api->get($_); "$s->{status} $s->{reason}" } $id, $idle], [('ended lost') x 2], 'executor: after its start its sessions are lost');
is($api->get($id)->{n_steps}, 3, 'executor: with as many steps as there were');
is_deeply([map { state_of($id, $_->{step_id}) } $done, $running, $queued], [qw(succeeded lost lost)], 'executor: what was over is over, what was not is lost');
is($api->ask('GET', "/v1/sessions/$id/steps/$done->{step_id}")->{json}{stdout}, "done\n", 'executor: with its output');
is($api->ask('POST', "/v1/sessions/$id/steps", json => { code => '1' })->{json}{reason}, 'lost', 'executor: gone, and why');
is_deeply($api->ask('GET', '/v1/sessions?status=running')->{json}{sessions}, [], 'executor: none is said to run');

# The launcher: every sandbox goes with it.
$id = $api->create(language => 'python')->{session_id};
$answer = waiting($id, 'import time; time.sleep(50)');
$t->kill9('launcher');
$start = time;
$reply = $answer->();
cmp_ok(time - $start, '<', 30, 'launcher: whoever waits is told soon');
is_deeply([$reply->{status}, $reply->{json}{status}], [200, 'lost'], 'launcher: its step is lost') or diag explain $reply;
my $session = $api->get($id);
is($session->{status}, 'ended', 'launcher: the session has ended');
like($session->{reason}, qr/^(lost|crash)$/, 'launcher: with a reason');
ok($t->wait_until(30, sub { !$t->sandbox_processes }), 'launcher: no process is left');
$t->start_launcher;
ok($t->wait_until(30, sub { $api->ask('GET', '/readyz')->{status} == 200 }), 'launcher: back again');
is(Sandbox::Session::value($api->step($api->create->{session_id}, '6 * 7')), '42', 'launcher: and sessions are made again');

# A record that nobody has any more is noticed; those of the living are left alone.
$id = $api->create->{session_id};
my $lost = 'ses_' . '0' x 26;
system('python3', '-c', <<'PY', "$t->{dir}/data/state.db", $id, $lost) == 0 or die;
import sqlite3, sys
path, like, new = sys.argv[1:]
db = sqlite3.connect(path, timeout=10)
names = [c[1] for c in db.execute('pragma table_info(sessions)')]
row = dict(zip(names, db.execute('select * from sessions where id = ?', (like,)).fetchone()))
row['id'] = new
db.execute('insert into sessions (%s) values (%s)' % (','.join(row), ','.join('?' * len(row))), list(row.values()))
db.commit()
PY
ok($api->until_is(30, $lost, 'status', 'ended'), 'orphan: it ends');
is($api->get($lost)->{reason}, 'lost', 'orphan: as lost');
is($api->get($id)->{status}, 'running', 'orphan: another lives');

my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
