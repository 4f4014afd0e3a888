#!/usr/bin/perl
# Interpreters that keep their state: what a step costs and leaves, how it is stopped, and drivers that lie.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox::Agent;
use Sandbox::Mux;
use Test::More;
use Time::HiRes qw(time);

my @modes = qw(plain exits garbage early silent closed);
my $agent = Sandbox::Agent->new(drivers => ["$FindBin::Bin/evil_driver.py"],
    runtimes => [map { { name => "evil-$_", aliases => [], argv => ['/bin/false'], source => 'x', env => {},
                         repl => ['/usr/bin/python3', '-I', '-B', '/opt/sandbox/drivers/evil_driver.py', $_] } } @modes]);
$agent->session('python', env => { LAYER => 'session', SESSION => 'yes' });
my $mux = Sandbox::Mux->attach($agent);
my $n = 0;

sub begin {
    my ($context, $code, %more) = @_;
    my $channel = $mux->open({ op => 'step', context => $context, id => 's' . ++$n, timeout_ms => 20000, max_displays => 5,
                               max_display_bytes => 100_000, %more });
    return $channel->data($code)->shut;
}

sub until_true {
    my ($condition) = @_;
    my $until = time + 30;
    until ($condition->()) {
        return 0 if time > $until;
        select undef, undef, undef, 0.01;
    }
    return 1;
}

# How many sleep for so many seconds.
sub sleepers {
    my ($seconds) = @_;
    return scalar $agent->processes("sleep\0$seconds");
}

# (outcome, channel)
sub step {
    my $channel = begin(@_);
    return ($channel->end // { status => 'no end' }, $channel);
}

sub context {
    my ($name, $language, %more) = @_;
    return $mux->ask({ op => 'context', name => $name, language => $language, %more });
}

# Contexts.
is_deeply(context('main', 'python'), { ok => JSON::PP::true }, 'an interpreter is started');
is_deeply(context('sh', 'bash', env => { LAYER => 'context' }), { ok => JSON::PP::true }, 'another one beside it');
for my $case (['a name that is taken', { name => 'main', language => 'python' }, 'exists'],
              ['no language', { name => 'x' }, 'invalid'], ['a language there is not', { name => 'x', language => 'cobol' }, 'invalid'],
              ['no name', { language => 'python' }, 'invalid'], ['a name with a slash', { name => '../x', language => 'python' }, 'invalid'],
              ['an empty name', { name => '', language => 'python' }, 'invalid'],
              ['a name of 65 bytes', { name => 'x' x 65, language => 'python' }, 'invalid'],
              ['a name that is a number', { name => 5, language => 'python' }, 'invalid'],
              ['a stranger', { name => 'x', language => 'python', more => 1 }, 'invalid'],
              ['a variable that may not be set', { name => 'x', language => 'python', env => { LD_PRELOAD => 'x' } }, 'invalid'],
              ['an env that is none', { name => 'x', language => 'python', env => [] }, 'invalid']) {
    my ($name, $request, $error) = @$case;
    my $end = $mux->ask({ op => 'context', %$request });
    ok(!$end->{ok} && $end->{error} eq $error, "no context with $name") or diag(explain $end);
}
for my $case (['no context', {}, 'invalid'], ['one there is not', { context => 'x' }, 'not_found'],
              ['no id', { context => 'main', id => undef }, 'invalid'], ['a bad id', { context => 'main', id => 'a/b' }, 'invalid'],
              ['no time', { context => 'main', timeout_ms => 0 }, 'invalid'], ['a stranger', { context => 'main', code => 'x' }, 'invalid'],
              ['too many displays', { context => 'main', max_displays => 10_000 }, 'invalid'],
              ['a bad variable', { context => 'main', env => { 'A=B' => 'x' } }, 'invalid']) {
    my ($name, $request, $error) = @$case;
    my $end = $mux->ask({ op => 'step', id => 'x', %$request });
    ok(!$end->{ok} && $end->{error} eq $error, "no step with $name") or diag(explain $end);
}
my $end = $mux->ask({ op => 'step', context => 'main', id => 'x' }, '#' x (1 << 20) . '##');
is($end->{error}, 'too_large', 'no step of more than 1 MiB');
($end) = step('main', '#' x (1 << 20));
is($end->{status}, 'succeeded', 'but one of exactly that');

# Steps.
($end, my $channel) = step('main', "import os\nx = 1\nprint('out')");
is_deeply([@$end{qw(ok status error exit_code signal interpreter restarted displays_dropped)}],
          [JSON::PP::true, 'succeeded', undef, undef, undef, 'alive', JSON::PP::false, 0], 'the outcome of a step');
is($channel->{out}[1], "out\n", 'its output');
($end, $channel) = step('main', "x += 1\nx");
is_deeply($channel->{notes}, [{ display => { kind => 'result', items => [{ mime => 'text/plain', size => 1 }] } }], 'a result is announced');
is($channel->{out}[3], '2', 'then comes');
($end, $channel) = step('main', "import sys\nprint('é' * 3, file=sys.stderr)\n1/0");
is("$end->{status} $end->{error}{name} $end->{interpreter}", 'failed ZeroDivisionError alive', 'an exception');
is($channel->{out}[2], "\xc3\xa9" x 3 . "\n", 'standard error is a stream of its own');
(undef, $channel) = step('sh', 'cd /; A=5; f() { echo "$A $LAYER $SESSION $PWD"; }');
($end, $channel) = step('sh', 'f; exit 3');
is($channel->{out}[1], "5 context yes /\n", 'bash keeps variables, functions and directory; the context\'s env goes before the session\'s');
($end, $channel) = step('main', "os.environ['LAYER'], os.environ['HOME'], os.environ.get('A_SECRET_OF_THE_AGENT')", env => { LAYER => 'step' });
is($channel->{out}[3], "('step', '" . $agent->workspace . "', None)", 'the step\'s env before all others');
(undef, $channel) = step('main', "os.environ['LAYER']");
is($channel->{out}[3], "'session'", 'for that step only');
(undef, $channel) = step('main', "import subprocess as s; print(s.run(['sh', '-c', 'ls -l /proc/self/fd'], stdout=s.PIPE).stdout.decode())");
unlike($channel->{out}[1], qr/socket/, 'children do not get the driver\'s descriptor');
(undef, $channel) = step('main', "s.run(['cat'], timeout=10).returncode");
is($channel->{out}[3], '0', 'standard input is empty');

# Output.
($end, $channel) = step('main', "print('y' * 5_000_000)");
is(length $channel->{out}[1], 5_000_001, 'five million bytes, all before the outcome');
$channel = begin('main', "print('z' * 3_000_000); print('done', file=sys.stderr)");
$channel->{hoard} = 1;
ok($mux->wait(sub { length $channel->{out}[1] >= 262144 }), 'as much as the window');
ok(!$mux->wait(sub { length $channel->{out}[1] > 262144 || $channel->{ended} }, 1), 'a reader that gives no credit holds up the code');
is(length $channel->{out}[1], 262144, 'at the window');
is((step('sh', 'echo still here'))[1]{out}[1], "still here\n", 'while others go on');
delete $channel->{hoard};
$channel->credit(262144);
ok($channel->end->{status} eq 'succeeded' && length $channel->{out}[1] == 3_000_001, 'and lets it go on');
(undef, $channel) = step('main', "import threading, time\nimport os\ndef late():\n    while not os.path.exists('go'): time.sleep(0.01)\n    print('late', flush=True); open('late', 'w')\nthreading.Thread(target=late).start()");
is($channel->{out}[1], '', 'what a thread writes after its step');
open my $go, '>', $agent->workspace . '/go' or die $!;
ok(until_true(sub { -e $agent->workspace . '/late' }), 'a thread goes on');
(undef, $channel) = step('main', "print('next')");
is($channel->{out}[1], "late\nnext\n", 'comes with the next one');

# Stopping.
($end, $channel) = step('main', "x = 7\nwhile True: pass", timeout_ms => 1000);
is("$end->{status} $end->{interpreter} $end->{error}{name}", 'timed_out alive KeyboardInterrupt', 'a step past its time is interrupted');
ok($end->{wall_ms} >= 1000 && $end->{wall_ms} < 10000 && $end->{cpu_ms} > 20, 'after that time') or diag(explain $end);
is((step('main', 'x'))[1]{out}[3], '7', 'and its interpreter goes on');
$channel = begin('main', "print('in', flush=True)\ntime.sleep(1000)");
$mux->wait(sub { $channel->{out}[1] eq "in\n" });
is($mux->ask({ op => 'step', context => 'main', id => 'y' })->{error}, 'busy', 'one step at a time');
$channel->note({ interrupt => JSON::PP::true });
is($channel->end->{status}, 'interrupted', 'a step is cancelled');
is((step('main', 'x'))[1]{out}[3], '7', 'which keeps the state');
$channel = begin('main', "print('in', flush=True)\ntime.sleep(1000)");
$mux->wait(sub { $channel->{out}[1] eq "in\n" });
$channel->reset;
ok($channel->end, 'a step that is given up ends too');
$channel = $mux->open({ op => 'step', context => 'main', id => 'z' });
$channel->note('{"interrupt":"no"}')->note('{}')->note('{"interrupt":true}');
is($channel->end->{status}, 'interrupted', 'also one whose code has not come');
is((step('main', 'x'))[1]{out}[3], '7', 'harms nobody');
($end) = step('main', "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: time.sleep(1)", timeout_ms => 2000);
is("$end->{status} $end->{interpreter} $end->{signal}", 'timed_out dead SIGKILL', 'who ignores the interrupt is killed');
cmp_ok($end->{wall_ms}, '<', 10000, 'soon');
($end, $channel) = step('main', 'x');
ok($end->{restarted} && $end->{error}{name} eq 'NameError', 'the next step starts it again, without its state');
(undef, $channel) = step('main', "import subprocess\nsubprocess.run(['sleep', '1000'])", timeout_ms => 200);
is($channel->{ended}{interpreter}, 'alive', 'an interrupt reaches what the interpreter waits for');
# At once: before the interpreter can have taken up the code.
ok($mux->ask({ op => 'context', name => 'js', language => 'javascript' })->{ok}, 'a node');
step('js', 'var kept = 1');
my @hasty = map { $channel = begin('js', 'for (;;);'); $channel->note({ interrupt => JSON::PP::true }); $end = $channel->end; "$end->{status} $end->{interpreter}" } 1 .. 20;
is_deeply(\@hasty, [('interrupted alive') x 20], 'an interrupt that comes with its step is heard');
is((step('js', 'kept'))[1]{out}[3], '1', 'and costs no state');
ok($mux->ask({ op => 'context_end', name => 'js' })->{ok}, 'its end');
# bash with a trap forks a child that has the trap until it executes its program: an interrupt in between is lost on it.
ok($mux->ask({ op => 'context', name => 'shell', language => 'bash' })->{ok}, 'a shell');
is((step('shell', 'kept=yes'))[0]{status}, 'succeeded', 'with a variable');
my $deaf = q[bash -c 'trap "trap - INT; echo lost" INT; echo in; while :; do :; done'];
$channel = begin('shell', "$deaf; echo no");
$mux->wait(sub { ($channel->{out}[1] // '') eq "in\n" });
$channel->note({ interrupt => JSON::PP::true });
$end = $channel->end;
is("$end->{status} $end->{interpreter} $channel->{out}[1]", "interrupted alive in\nlost\n", 'a child on which the interrupt was lost gets another');
$channel = begin('shell', "($deaf; echo no); echo no");
$mux->wait(sub { ($channel->{out}[1] // '') eq "in\n" });
$channel->note({ interrupt => JSON::PP::true });
$end = $channel->end;
is("$end->{status} $end->{interpreter} $channel->{out}[1]", "interrupted alive in\nlost\n", 'also one below a subshell');
$channel = begin('shell', q{trap '' INT; perl -e '$SIG{INT} = sub { exit }; $| = 1; print "in\n"; 1 while 1'; trap __sandbox_interrupted INT; while :; do :; done});
$mux->wait(sub { ($channel->{out}[1] // '') eq "in\n" });
$channel->note({ interrupt => JSON::PP::true });
$end = $channel->end;
is("$end->{status} $end->{interpreter}", 'interrupted alive', 'a shell on which the interrupt was lost is told again');
@hasty = map { $channel = begin('shell', 'read l < <(sleep 600)'); $channel->note({ interrupt => JSON::PP::true }); $end = $channel->end; "$end->{status} $end->{interpreter}" } 1 .. 10;
is_deeply(\@hasty, [('interrupted alive') x 10], 'an interrupt that comes with its step is heard');
is((step('shell', 'echo $kept'))[1]{out}[1], "yes\n", 'and the state is kept');
$channel = begin('main', "import signal, time\nheard = []\nsignal.signal(signal.SIGINT, lambda *a: heard.append(time.time()))\nprint('in', flush=True)\nwhile not heard: time.sleep(0.01)\nend = time.time() + 1\nwhile time.time() < end: pass\nlen(heard)");
$mux->wait(sub { ($channel->{out}[1] // '') eq "in\n" });
$channel->note({ interrupt => JSON::PP::true });
$end = $channel->end;
is("$end->{status} $channel->{out}[3]", 'succeeded 1', 'the interpreter itself gets one');
ok($mux->ask({ op => 'context_end', name => $_ })->{ok}, "$_ ends") for qw(shell main);
ok($mux->ask({ op => 'context', name => 'main', language => 'python' })->{ok}, 'main is made anew');

# Crashes.
($end) = step('main', 'import os; os._exit(3)');
is("$end->{status} $end->{exit_code} $end->{interpreter}", 'crashed 3 dead', 'an interpreter that leaves');
($end) = step('main', 'import os, signal; os.kill(os.getpid(), signal.SIGSEGV)');
is("$end->{status} $end->{signal} $end->{restarted}", 'crashed SIGSEGV 1', 'one that is killed, after a new start');
cmp_ok($end->{peak_memory_bytes}, '>', 1_000_000, 'with the memory it had');
(undef, $channel) = step('main', "import os, sys\nsys.stdout.write('last words'); sys.stdout.flush(); os.kill(os.getpid(), 9)");
is($channel->{out}[1], 'last words', 'its last words are heard');
(undef, $channel) = step('main', "import os, threading, time\nos.getpid()");
my $pid = $channel->{out}[3];
step('main', "threading.Thread(target=lambda: (time.sleep(0.1), os._exit(1))).start()");
ok(until_true(sub { !-d "/proc/$pid" }), 'an interpreter ends by itself');
($end) = step('main', '1');
ok($end->{status} eq 'succeeded' && $end->{restarted}, 'one that ends between steps is noticed with the next one');
($end) = step('main', "import subprocess, os\nsubprocess.Popen(['sleep', '997'])\nos._exit(0)");
is($end->{status}, 'crashed', 'a crash with a child that keeps the pipes open ends');
ok(until_true(sub { !sleepers(997) }), 'and takes the child along');

# Ends.
is($mux->ask({ op => 'context_end', name => 'nobody' })->{error}, 'not_found', 'what is not there cannot be ended');
is($mux->ask({ op => 'context_end' })->{error}, 'invalid', 'nor what has no name');
$channel = begin('sh', 'echo in; sleep 1000');
$mux->wait(sub { $channel->{out}[1] eq "in\n" });
is_deeply($mux->ask({ op => 'context_end', name => 'sh' }), { ok => JSON::PP::true }, 'a context is ended');
is($channel->end->{status} . " $channel->{ended}{interpreter}", 'interrupted dead', 'with its step');
is((step('sh', 'true'))[0]{error}, 'not_found', 'and is no more');
is_deeply(context('sh', 'bash'), { ok => JSON::PP::true }, 'its name is free');

# Drivers that break the rules before they are ready.
for my $mode (qw(exits garbage early closed)) {
    $end = context("bad", "evil-$mode");
    ok(!$end->{ok} && $end->{error} eq 'crashed', "a driver that $mode: no context") or diag(explain $end);
}
$channel = $mux->open({ op => 'context', name => 'bad', language => 'evil-silent' });
ok(!$mux->wait(sub { $channel->{ended} }, 0.3), 'a driver that says nothing is waited for');
is($mux->ask({ op => 'step', context => 'bad', id => 'x' })->{error}, 'busy', 'no step comes before');
$channel->reset;
ok($channel->end, 'until nobody waits any more');
is_deeply(context('bad', 'evil-plain'), { ok => JSON::PP::true }, 'and leaves no context behind');
context('evil', 'evil-plain');

# And in a step: what the code makes of its driver's descriptor.
my $sure = "print('x', flush=True); ";
for my $case (
    ['a frame of another type', "say(frame(b'X', b'abc'))"],
    ['a frame of nothing', "say((0).to_bytes(4, 'little') + b'E')"],
    ['four gigabytes', "say(frame(b'D', b'{', 0xffffffff))"],
    ['more than 32 MiB', "say(frame(b'D', b'{', (32 << 20) + 1))"],
    ['a long outcome', "say(frame(b'E', b'{' + b' ' * 300000 + b'}'))"],
    ['R with more', "say(frame(b'R', b'x'))"],
    ['an outcome that is no JSON', "say(frame(b'E', b'{{{'))"],
    ['an outcome that is no object', "say(frame(b'E', b'[]'))"],
    ['no UTF-8', "say(frame(b'E', b'{\"status\":\"\\xff\"}'))"],
    ['an unknown status', "say(outcome(status='great'))"],
    ['no status', "say(frame(b'E', b'{}'))"],
    ['an exit code of 256', "say(outcome(exit_code=256))"],
    ['an exit code of -1', "say(outcome(exit_code=-1))"],
    ['an error that is a string', "say(outcome(error='x'))"],
    ['an error with more', "say(outcome(error={'name': 'x', 'more': 1}))"],
    ['a stranger', "say(outcome(ok=True))"],
    ['a display without items', "say(display([]))"],
    ['a display of 33', "say(display([('a/b%d' % i, 0) for i in range(33)]))"],
    ['a type that is none', "say(display([('text', 0)]))"],
    ['a type with parameters', "say(display([('text/plain; a=b', 0)]))"],
    ['a type in capitals', "say(display([('TEXT/plain', 0)]))"],
    ['a type twice', "say(display([('a/b', 0), ('a/b', 0)]))"],
    ['a long type', "say(display([('a/' + 'b' * 100, 0)]))"],
    ['a negative size', "say(display([('a/b', -1)]))"],
    ['a size that is too large', "say(display([('a/b', 1 << 40)]))"],
    ['fewer bytes than told', "say(display([('a/b', 5)], b'abc'))"],
    ['more bytes than told', "say(display([('a/b', 2)], b'abc'))"],
    ['a kind there is not', "say(display([('a/b', 0)], kind='x'))"],
    ['a display without an end', "say(frame(b'D', b'{' + b' ' * 100000))"],
    ['closing the descriptor', "os.close(3); time.sleep(1000)"],
) {
    my ($name, $code) = @$case;
    ($end, $channel) = step('evil', "$sure$code; time.sleep(1000)");
    ok($end->{ok} && $end->{status} eq 'crashed' && $end->{interpreter} eq 'dead', "$name: the interpreter is ended") or diag(explain $end);
    is($channel->{out}[1], "x\n", '  and what it printed is there') or diag(explain $channel);
}
($end, $channel) = step('evil', 'head', env => { A => "\x{e4}" }, max_displays => 3);
is($channel->{out}[1], qq({"env": {"A": "\\u00e4"}, "id": "s$n", "max_display_bytes": 100000, "max_displays": 3}\n), 'a driver is told what it needs');
($end) = step('evil', 'say(GOOD + outcome(status="failed") + display([("a/b", 0)]) + GOOD)');
is($end->{status}, 'succeeded', 'of two outcomes the first counts');
($end, $channel) = step('evil', 'head');
is(scalar @{ $channel->{notes} }, 0, 'and what followed is no other step\'s');
($end, $channel) = step('evil', 'say(display([("a/b", 3), ("c/d", 0)], b"abc", "result") + GOOD)');
is_deeply([$channel->{notes}[0], $channel->{out}[3]], [{ display => { kind => 'result', items => [{ mime => 'a/b', size => 3 }, { mime => 'c/d', size => 0 }] } }, 'abc'], 'a good display');
($end, $channel) = step('evil', 'say(display([("a/b", 60000)], b"1" * 60000)); say(display([("a/b", 60000)], b"2" * 60000)); say(display([("a/b", 3)], b"abc")); say(outcome(dropped=4))');
is("$end->{displays_dropped} " . length $channel->{out}[3], '5 60003', 'more than the step may show is dropped and counted');
($end, $channel) = step('evil', '[say(display([("a/b", 1)], b"x")) for i in range(1000)]; say(GOOD)');
is("$end->{displays_dropped} $channel->{out}[3]", '995 xxxxx', 'a flood of displays too');
($end) = step('evil', 'say(outcome(status="failed", error={"name": "n" * 5000, "value": "\x01" * 10000, "traceback": "\x02\xe9" * 10000}))');
ok($end->{status} eq 'failed' && length JSON::PP->new->utf8->encode($end) < 65536, 'an error that is too long is cut') or diag(explain $end->{status});
($end, $channel) = step('evil', 'say(display([("a/b", 30)], b"1" * 30)[:-10])', timeout_ms => 1000);
is("$end->{status} $end->{interpreter}", 'timed_out dead', 'half a frame holds nobody up for long');
($end) = step('evil', "signal.signal(signal.SIGINT, lambda *a: say(outcome(status='interrupted')))\ntime.sleep(5)\n", timeout_ms => 2000);
is("$end->{status} $end->{interpreter}", 'timed_out alive', 'a driver that obeys');
($end, $channel) = step('evil', 'head');
like($channel->{out}[1], qr/\A\{"after_interrupt": true, "id"/, 'is told once that the step before was interrupted');
($end, $channel) = step('evil', 'head');
unlike($channel->{out}[1], qr/after_interrupt/, 'and no more');
$mux->ask({ op => 'context_end', name => 'evil' });
context('evil', 'evil-plain');
($end) = step('evil', "if os.fork() == 0:\n  [os.write(1, b'f' * 65536) for i in range(100000)]\ntime.sleep(0.2); say(GOOD)");
is($end->{status}, 'succeeded', 'a child that floods the output does not hold up the end');
($end) = step('evil', "os.kill(os.getpid(), 9)");
is($end->{status}, 'crashed', 'nor the death');
($end) = step('evil', "if os.fork() == 0:\n  os.setsid(); time.sleep(30); os._exit(0)\nos._exit(5)");
is("$end->{status} $end->{exit_code}", 'crashed 5', 'nor one that has left the group and keeps all open');

# Many at once, and the end of everything.
my @started = map { $mux->open({ op => 'context', name => "c$_", language => 'bash' }) } 1 .. 20;
$mux->wait(sub { !grep { !$_->{ended} } @started });
is(scalar(grep { $_->{ended}{ok} } @started), 12, 'sixteen contexts and no more');
is((grep { !$_->{ended}{ok} } @started)[0]{ended}{error}, 'busy', 'by that name');
my @running = map { begin("c$_", 'echo $PPID; echo "mine ' . $_ . '"; sleep 0.2') } 1 .. 12;
$mux->wait(sub { !grep { !$_->{ended} } @running });
is(scalar(grep { $running[$_ - 1]{out}[1] =~ /mine $_\n\z/ } 1 .. 12), 12, 'all at once, each its own output');
begin('c1', 'sleep 998 & sleep 998');
$channel = begin('c2', 'echo in; trap "" INT; while :; do sleep 998; done');
$mux->wait(sub { $channel->{out}[1] eq "in\n" });
$mux->close;
ok(until_true(sub { !sleepers(998) }), 'with the conversation everything ends');
$agent->finish;
done_testing();
