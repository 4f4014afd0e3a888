#!/usr/bin/perl
# Steps: state, results, output, errors, order, waiting, cancelling, timeouts, dead interpreters.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(sha256_hex);
use MIME::Base64;
use Sandbox;
use Sandbox::Session;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new(executor => { 'pool.default' => 3 });
$t->start_launcher->start_executor;
my $api = Sandbox::Session->new($t);
sub value { return Sandbox::Session::value($_[0]) }

# What an interpreter keeps.
my %id = map { $_ => $api->create(language => $_)->{session_id} } qw(python javascript bash);
my %first = (python => "x = 1\ndef f(): return x * 2\nimport math", javascript => 'let x = 1; function f() { return x * 2 }', bash => 'x=1; f() { echo $((x * 2)); }; mkdir d; cd d');
my %then = (python => ['x += 1; (f(), math.floor(2.5))', '(4, 2)'], javascript => ['x += 1; f()', '4'], bash => ['x=$((x + 1)); f; basename $PWD', undef]);
for my $language (sort keys %id) {
    my $step = $api->step($id{$language}, $first{$language});
    is($step->{status}, 'succeeded', "$language runs") or diag explain $step;
    is_deeply([@$step{qw(number context language interpreter stdout stderr)}], [1, 'default', $language, 'alive', '', ''], "$language: what it says");
    is($step->{code_sha256}, sha256_hex($first{$language}), "$language: the code's digest");
    $step = $api->step($id{$language}, $then{$language}[0]);
    is($step->{number}, 2, "$language: the second step");
    is(value($step), $then{$language}[1], "$language remembers and returns a value") or diag explain $step;
    is($step->{stdout}, "4\nd\n", 'bash remembers directory, variables and functions') if $language eq 'bash';
}
my $id = $id{python};

# Errors.
my $step = $api->step($id, "def g():\n    raise ValueError('no')\ng()");
is($step->{status}, 'failed', 'an exception fails');
is_deeply([@{ $step->{error} }{qw(name value)}], ['ValueError', 'no'], 'and says which');
like($step->{error}{traceback}, qr/line 2, in g/, 'and where');
is($step->{interpreter}, 'alive', 'the interpreter stays');
is($api->step($id, 'this is no python')->{error}{name}, 'SyntaxError', 'so does nonsense');
is($api->step($id{javascript}, 'null.x')->{error}{name}, 'TypeError', 'in javascript too');
is($api->step($id{bash}, 'false')->{status}, 'failed', 'bash fails by its status');
is($api->step($id, 'x')->{status}, 'succeeded', 'the next step works');

# Output.
$step = $api->step($id, "import sys; print('out'); print('err', file=sys.stderr)");
is_deeply([@$step{qw(stdout stderr stdout_bytes stderr_bytes)}, !!$step->{truncated}], ["out\n", "err\n", 4, 4, ''], 'both streams');
$step = $api->step($id, "import os; os.write(1, bytes(range(256))); None");
is(decode_base64($step->{stdout_base64}), join('', map { chr } 0 .. 255), 'bytes are whole');
is($api->ask('GET', "/v1/sessions/$id/steps/$step->{step_id}/stdout")->{content}, join('', map { chr } 0 .. 255), 'and raw');
$step = $api->step($id, "print('a' * 3_000_000)");
ok($step->{truncated}, 'much is cut');
is($step->{stdout_bytes}, 3_000_001, 'and counted');
$step = $api->step($id, "import time\nwhile True: print('y' * 65536)", timeout => '50s', wait => '50s');
is($step->{status}, 'limit_exceeded', 'more than the limit ends a step') or diag explain { %$step, stdout => '' };
is($step->{violation}{name}, 'output', 'for its output');
is($api->get($id)->{status}, 'running', 'and not its session');
is(value($api->step($id, 'x')), '2', 'nor its interpreter');

# Results.
$step = $api->step($id, <<'PY');
class Rich:
    def _repr_html_(self): return '<b>rich</b>'
    def _repr_png_(self): return bytes(range(16))
Rich()
PY
is($step->{results}[0]{data}{'text/html'}, '<b>rich</b>', 'a bundle has html') or diag explain $step;
is(decode_base64($step->{results}[0]{data}{'image/png'} // ''), join('', map { chr } 0 .. 15), 'and a picture');
my $read = $api->ask('GET', "/v1/sessions/$id/steps/$step->{step_id}")->{json};
is_deeply($read->{results}, $step->{results}, 'read again they are the same');

# Waiting, order, the queue.
my $start = time;
my $reply = $api->ask('POST', "/v1/sessions/$id/steps", json => { code => "import os, time\nprint('one', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.02)", wait => '100ms', timeout => '90s' });
is($reply->{status}, 202, 'not over within its wait');
cmp_ok(time - $start, '<', 10, 'and in time');
my $slow = $reply->{json};
like($reply->{headers}{location}, qr{^/v1/sessions/$id/steps/$slow->{step_id}$}, 'Location says where');
ok($t->wait_until(30, sub { $api->ask('GET', "/v1/sessions/$id/steps/$slow->{step_id}")->{json}{stdout} eq "one\n" }), 'its output so far is shown');
is($api->ask('GET', "/v1/sessions/$id/steps/$slow->{step_id}")->{json}{status}, 'running', 'it runs');
my @queued = map { $api->ask('POST', "/v1/sessions/$id/steps", json => { code => "print($_)", wait => 0, $_ == 2 ? (context => 'other') : () })->{json} } 1 .. 3;
is_deeply([map { $_->{status} } @queued], [('queued') x 3], 'the others wait');
is($api->get($id)->{queued_steps}, 3, 'and are counted');
is_deeply([map { $_->{step_id} } @{ $api->ask('GET', "/v1/sessions/$id/steps?status=queued")->{json}{steps} }], [reverse map { $_->{step_id} } @queued], 'and listed');
is($api->ask('POST', "/v1/sessions/$id/pause")->{status}, 409, 'a session with steps is not paused');
my $cancelled = $api->ask('DELETE', "/v1/sessions/$id/steps/$queued[0]{step_id}");
is_deeply([$cancelled->{status}, $cancelled->{json}{status}, $cancelled->{json}{started_at}], [200, 'cancelled', undef], 'a waiting one is taken out');
is($api->ask('PUT', "/v1/sessions/$id/files/go", body => 'x')->{status}, 201, 'the first goes on');
my @done = map { $api->ask('GET', "/v1/sessions/$id/steps/$_->{step_id}?wait=30s")->{json} } $slow, @queued;
is_deeply([map { $_->{status} } @done], [qw(succeeded cancelled succeeded succeeded)], 'all come to their end');
ok($done[2]{started_at} ge $done[0]{finished_at} && $done[3]{started_at} ge $done[2]{finished_at}, 'one after another, whatever their contexts');

$slow = $api->step($id, 'import time; time.sleep(60)', wait => 0, timeout => '60s');
my @wait = map { $api->ask('POST', "/v1/sessions/$id/steps", json => { code => '1', wait => 0 })->{status} } 1 .. 33;
is_deeply([@wait[30 .. 32]], [202, 202, 429], 'thirty-two may wait');
$start = time;
$cancelled = $api->ask('DELETE', "/v1/sessions/$id/steps/$slow->{step_id}")->{json};
is($cancelled->{status}, 'cancelled', 'a running one is interrupted') or diag explain $cancelled;
cmp_ok(time - $start, '<', 15, 'soon');
is($cancelled->{interpreter}, 'alive', 'and its interpreter stays');
is($api->ask('DELETE', "/v1/sessions/$id/steps/$slow->{step_id}")->{json}{status}, 'cancelled', 'cancelled again it is as it was');
ok($api->until_is(30, $id, 'queued_steps', 0), 'the others follow');
is(value($api->step($id, 'x')), '2', 'its state is still there');

# Time.
$start = time;
$step = $api->step($id, 'while True: pass', timeout => '300ms');
is_deeply([$step->{status}, $step->{violation}{name}, $step->{interpreter}], ['limit_exceeded', 'time', 'alive'], 'a timeout interrupts') or diag explain $step;
cmp_ok(time - $start, '<', 15, 'in time');
is(value($api->step($id, 'x')), '2', 'and keeps the state');
$step = $api->step($id, "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass", timeout => '300ms', wait => '50s');
is_deeply([$step->{status}, $step->{violation}{name}, $step->{interpreter}], ['limit_exceeded', 'time', 'dead'], 'who does not listen is killed') or diag explain $step;
is_deeply([map { $_->{status} } grep { $_->{name} eq 'default' } @{ $api->get($id)->{contexts} }], ['crashed'], 'the session says so');
$step = $api->step($id, "'x' in globals()");
is_deeply([value($step), !!$step->{restarted}], ['False', 1], 'the next step begins anew and says so') or diag explain $step;
is_deeply([map { $_->{restarts} } grep { $_->{name} eq 'default' } @{ $api->get($id)->{contexts} }], [1], 'it is counted');

# A dead interpreter.
$step = $api->step($id, 'import os; os.kill(os.getpid(), 9)');
is_deeply([@$step{qw(status interpreter)}], ['failed', 'dead'], 'an interpreter that dies fails its step') or diag explain $step;
ok($step->{message}, 'with a word about it');
is(value($api->step($id, '6 * 7')), '42', 'and is started again');
is($api->step($id{bash}, 'exit 3')->{status}, 'failed', 'so is a shell that leaves');
is($api->step($id{bash}, 'echo here')->{stdout}, "here\n", 'and the next works');

# Idempotency.
my %key = (headers => { 'Idempotency-Key' => 's1' }, json => { code => "n = globals().get('n', 0) + 1; n" });
my $once = $api->ask('POST', "/v1/sessions/$id/steps", %key);
my $twice = $api->ask('POST', "/v1/sessions/$id/steps", %key);
is($twice->{json}{step_id}, $once->{json}{step_id}, 'a key runs once');
is($twice->{headers}{'idempotency-replayed'}, 'true', 'and says so');
is(value($api->step($id, 'n')), '1', 'indeed');
isnt($api->ask('POST', "/v1/sessions/$id{bash}/steps", headers => $key{headers}, json => { code => 'echo 1' })->{status}, 422, "another session's key is another");

# Bounds, names and others.
is($api->ask('GET', "/v1/sessions/$id{bash}/steps/$once->{json}{step_id}")->{status}, 404, "another session's step is none");
is($api->ask('GET', "/v1/sessions/$id/steps/stp_00000000000000000000000000")->{status}, 404, 'no such step');
is($api->ask('DELETE', "/v1/sessions/$id/steps/nonsense")->{status}, 404, 'nor such a name');
is($api->ask('POST', "/v1/sessions/$id/steps", json => { code => '1', timeout => '1h' }, who => { step_max => 60_000 })->{json}{violations}[0]{rule}, 'sessions.step_timeout', 'not longer than the policy grants');
my $steps = $api->ask('GET', "/v1/sessions/$id/steps?limit=2")->{json};
cmp_ok($steps->{steps}[0]{number}, '>', $steps->{steps}[1]{number}, 'steps are listed, newest first');
ok(!exists $steps->{steps}[0]{stdout}, 'without output');
my $older = $api->ask('GET', "/v1/sessions/$id/steps?limit=2&cursor=$steps->{next_cursor}")->{json};
is($older->{steps}[0]{number}, $steps->{steps}[1]{number} - 1, 'page by page');
is(scalar @{ $api->ask('GET', "/v1/sessions/$id/steps?context=other")->{json}{steps} }, 1, 'by context');
is($api->ask('GET', "/v1/sessions/$id/steps?$_")->{status}, 422, "not by $_") for 'status=starting', 'limit=x', 'wait=1', 'cursor=a';

$api->delete($_) for values %id;
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
