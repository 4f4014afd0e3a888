#!/usr/bin/perl
# What an interpreter says right before it ends is its end: whoever says it is dead then, with all that it started. Nobody but the
# program itself says it, and where it is not said, or files are wanted, everything is as ever.
use strict;
use warnings;
use JSON::PP;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);
use lib 't/lib';
use Sandbox::Launch;

my $agent = "$Sandbox::Launch::OUT/session-agent";
BAIL_OUT("build $agent first") unless -x $agent;

my $l = Sandbox::Launch->new(agent => $agent)->drivers;
$l->start(zygote => 'yes', map { ("template.$_.zygote.python" => 'no') } qw(net still noexec));
sub slurp { return Sandbox::Launch::slurp(@_) }
sub events { my ($name) = @_; return map { decode_json($_) } grep { /"event":"\Q$name\E"/ } split /\n/, $l->log }
ok($l->wait_until(30, sub { scalar events('zygote.ready') }), 'a zygote comes up');
my $c = $l->client;
$c->hello;

sub http {
    my ($id, $method, $path, $body) = @_;
    my ($status, $text) = $c->ask("http $id $method $path" . ($body ? ' ' . JSON::PP->new->canonical->ascii->encode($body) : '')) =~ /^(\d{3}) ?(.*)$/;
    return [$status, eval { decode_json($text) } // $text];
}
sub pid_of { my ($id) = @_; return (grep { $_->{sandbox} == $id } events('sandbox.created'))[0]{pid} }
sub children { my ($pid) = @_; return grep { (slurp("/proc/$_/status") =~ /^PPid:\s*(\d+)/m ? $1 : 0) == $pid } map { m{/proc/(\d+)$} } glob '/proc/[0-9]*' }
sub n_fds { my ($pid) = @_; my @all = glob "/proc/$pid/fd/*"; return scalar @all }

# A sandbox whose interpreter has waited.
sub prepared {
    my ($language) = @_;
    my ($id) = $c->ask("create default process $language") =~ /^created (\d+)/ or die 'no sandbox';
    my $origin = http($id, 'POST', '/v1/prepare', { runtime => $language })->[1]{origin} // 'none';
    is($origin, $language eq 'python' ? 'forked' : 'started', "$language: waits");
    $c->adopt($id);
    my %session = (sessionId => 's', runtime => $language, token => 't' x 16);
    return ($id, sub {
        my ($code, %step) = @_;
        return http($id, 'POST', '/v1/steps', { sessionId => 's', stepId => 'one', timeout_ms => 30000, is_last => JSON::PP::true, session => \%session, code => $code, %step });
    });
}

# A program's end by its last step, in words, and its standard output. Of whom nobody has waited for the most memory is not known:
# so an answer tells whether a word was taken for the end.
my $is_by_word;
sub ends {
    my ($language, $code, %step) = @_;
    my ($id, $run) = prepared($language);
    my $after = delete $step{after};
    my $r = $run->($code, %step);
    my $text = $c->ask("text $id 1") =~ tr/\x01/\n/r;
    $is_by_word = $r->[0] == 200 && $r->[1]{peak_memory_bytes} == 0;
    $after->($id, $r) if $after;
    $c->destroy($id);
    return $r->[0] == 200 ? ($r->[1]{timed_out} ? 'late ' : '') . ($r->[1]{signal} // $r->[1]{exit_code}) . " $text" : "$r->[0] $text";
}

# Of these who says it, or says it in vain, is the program; without its end it would go on for a minute.
my $say = 'import socket, os, sys, time, array
s = socket.socket(fileno=os.dup(63))
def say(b=b"E\x07", *more): return s.sendmsg([b], *more)
';
my $on = "\nprint('on', flush=True); time.sleep(60)";
my %taken = (
    'and goes on'         => ['say()' . $on, qr/^7 (?:on\n)?$/],
    'after some output'   => ['print("a" * 60000, flush=True); say(); time.sleep(60)', qr/^7 a{60000}\n$/],
    'before anything'     => ['say(b"E\0"); time.sleep(60)', qr/^0 $/],
    'many times'          => ["s.setblocking(False)\ntry:\n    while True: say(b'E\\x05')\nexcept BlockingIOError: pass" . $on, qr/^5 (?:on\n)?$/],
    'and then others'     => ['say(b"E\x05"); say(b"E\x06"); say(b"junk"); time.sleep(60)', qr/^5 $/],
    # Never more than the sandbox may have, whoever gets to run: that end would be another's.
    'and forks'           => ["say()\nfor _ in range(20):\n    if os.fork() == 0:\n        while True:\n            if os.fork() == 0: os._exit(0)\n            os.wait()\ntime.sleep(60)", qr/^7 $/],
    'with children'       => ["for _ in range(20):\n    if os.fork() == 0:\n        os.setsid()\n        while True: pass\nsay(); time.sleep(60)", qr/^7 $/],
    'in a thread'         => ['import threading; threading.Thread(target=say).start(); time.sleep(60)', qr/^7 $/],
    'with descriptors'    => ['say(b"E\x07", [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]); time.sleep(60)', qr/^7 $/],
    'and leaves the rest' => ['say(b"E\x09"); os.close(63); s.close(); time.sleep(60)', qr/^9 $/],
);
for my $name (sort keys %taken) {
    my ($code, $like) = @{ $taken{$name} };
    my $start = time;
    my $end = ends('python', $say . $code, limits => { processes => 60 }, after => sub {
        my ($id) = @_;
        my $pid = pid_of($id);
        ok($l->wait_until(30, sub { !children($pid) }), "a program that says that it ends $name: nothing of it is left");
    });
    like($end, $like, "a program that says that it ends $name: has ended");
    ok($is_by_word, 'by that');
    cmp_ok(time - $start, '<', 50, 'before it would have');
}

my %vain = (
    'a child'              => ["pid = os.fork()\nif pid == 0:\n    say(); os._exit(0)\nos.waitpid(pid, 0); print('on'); sys.exit(3)", "3 on\n"],
    'a child, by its exit' => ["pid = os.fork()\nif pid == 0: os._exit(9)\nprint(os.waitpid(pid, 0)[1] >> 8); sys.exit(3)", "3 9\n"],
    'a child that ends as a program does' => ["pid = os.fork()\nif pid == 0: sys.exit(9)\nprint(os.waitpid(pid, 0)[1] >> 8, flush=True); sys.exit(3)", "3 9\n"],
    'a child of a child'   => ["if os.fork() == 0:\n    if os.fork() == 0: say(); os._exit(0)\n    os.wait(); os._exit(0)\nos.wait(); print('on'); sys.exit(3)", "3 on\n"],
    'a word too short'     => ['say(b"E"); print("on"); sys.exit(3)', "3 on\n"],
    'a word too long'      => ['say(b"E\x05\0"); print("on"); sys.exit(3)', "3 on\n"],
    'another word'         => ['say(b"R\0"); print("on"); sys.exit(3)', "3 on\n"],
    'nonsense, then a word' => ['say(b"x" * 60000); say(); print("on"); sys.exit(3)', "3 on\n"],
    'no bytes'             => ['say(b""); print("on"); sys.exit(3)', "3 on\n"],
    'a child, then a word' => ["pid = os.fork()\nif pid == 0:\n    say(); os._exit(0)\nos.waitpid(pid, 0); say(); print('on'); sys.exit(3)", "3 on\n"],
    'a flood of nonsense'  => ["s.setblocking(False)\ntry:\n    while True: say(b'xx')\nexcept BlockingIOError: pass\nprint('on'); sys.exit(3)", "3 on\n"],
    'half a socket'        => ['s.shutdown(socket.SHUT_RDWR); print("on"); sys.exit(3)', "3 on\n"],
);
for my $name (sort keys %vain) {
    is(ends('python', $say . $vain{$name}[0]), $vain{$name}[1], "$name: ends nothing");
    ok(!$is_by_word, "$name: the end is its own") if $vain{$name}[0] =~ /say/;
}

# How programs end that say nothing of it.
my %ordinary = (
    'none'                => ['print(1)', "0 1\n"],
    'exit'                => ['import sys; print(1); sys.exit(3)', "3 1\n"],
    'exit 1'              => ['import sys; sys.exit(1)', '1 '],
    'exit with text'      => ['import sys; sys.exit("why")', '1 '],
    'exit 256'            => ['import sys; sys.exit(256)', '0 '],
    'unflushed'           => ["import os\nprint(1, flush=True); os.close(1)\nimport sys; sys.stdout.write('x')", "120 1\n"],
    'raise'               => ['raise ValueError', '1 '],
    'os._exit'            => ['import os; print(1); os._exit(9)', "9 1\n"],
    'os._exit, late'      => ["import os, threading\nthreading.Thread(target=lambda: os._exit(4)).start()\nthreading.Event().wait()", '4 '],
    'signal'              => ['import os; os.kill(os.getpid(), 9)', 'SIGKILL '],
    'abort'               => ['import os; os.abort()', 'SIGABRT '],
    'another program'     => ['import os; os.execv("/bin/sh", ["sh", "-c", "ls /proc/self/fd | tr \"\\n\" .; exit 6"])', '6 0.1.2.3.'],
    'another that has all' => ["import subprocess\nprint(subprocess.run(['ls', '/proc/self/fd'], close_fds=False, capture_output=True, text=True).stdout.split())", "0 ['0', '1', '2', '3']\n"],
    'closed descriptors'  => ['import os, sys; os.closerange(3, 1024); print(1); sys.exit(5)', "5 1\n"],
    'a file in its place' => ["import os, sys\nf = os.open('f', os.O_RDWR | os.O_CREAT); os.dup2(f, 63); print(1); sys.exit(5)", "5 1\n"],
    'a pipe in its place' => ["import os, sys\nr, w = os.pipe(); os.dup2(w, 63); os.close(r); print(1); sys.exit(5)", "5 1\n"],
    'SIGPIPE'             => ["import signal, sys\nsignal.signal(signal.SIGPIPE, signal.SIG_DFL); sys.exit(5)", '5 '],
    'atexit'              => ["import atexit, sys\natexit.register(print, 'bye'); print('hi'); sys.exit(2)", "2 hi\nbye\n"],
    'a thread'            => ["import threading, time\nthreading.Thread(target=lambda: (time.sleep(.2), print('late'))).start(); print('early')", "0 early\nlate\n"],
    'C'                   => ["import ctypes\nctypes.CDLL(None).puts(b'from C')", "0 from C\n"],
    'children left'       => ["import os, time\nif os.fork() == 0: time.sleep(60)\nprint(1)", "0 1\n"],
    'a pool'              => ["from multiprocessing import Pool\nwith Pool(2) as p: print(p.map(abs, [-1, -2]))", "0 [1, 2]\n"],
    'vfork'               => ["import subprocess\ntry: subprocess.run(['/absent'])\nexcept FileNotFoundError: print('absent')\nraise SystemExit(2)", "2 absent\n"],
    'too late'            => ["print(1, flush=True)\nwhile True: pass", "late SIGKILL 1\n", timeout_ms => 3000],
);
for my $name (sort keys %ordinary) {
    my ($code, $end, %step) = @{ $ordinary{$name} };
    is(ends('python', $code, %step), $end, "an ordinary end: $name");
    ok(!$is_by_word, 'of which nothing was said') if $name =~ /^(?:signal|abort|another program|closed descriptors|. (?:file|pipe) in its place|too late|C)$/;
}
# An agent that looks late finds both. Once is enough to see that it is said.
for my $said (['python', 'print(1)'], ['python', 'import sys; sys.exit(3)'], ['python', 'import os; os._exit(3)'], ['python', "import os\nif os.fork() == 0: os._exit(0)"],
              ['javascript', 'console.log(1)'], ['javascript', 'process.exit(0)'], ['javascript', 'require("http"); console.error(1)']) {
    ok($l->wait_until(30, sub { ends(@$said); return $is_by_word }), "an interpreter says that it ends: @$said");
}

# What the answer holds.
{
    my ($id, $run) = prepared('python');
    is($run->('', stdin => 'x', stdin_encoding => 'rot13')->[0], 422, 'a last step that is refused');
    my $r = $run->("import time\nend = time.process_time() + .3\nwhile time.process_time() < end: pass\ndef handler(event): return {'x': event}", event => [1]);
    is_deeply($r->[1]{result}, { x => [1] }, 'a handler has its result');
    cmp_ok($r->[1]{cpu_ms}, '>=', 250, 'the time that it took is known');
    ok($l->wait_until(30, sub { !children(pid_of($id)) }), 'whoever said that it ended has');
    my $before = n_fds(pid_of($id));
    for my $more (['/v1/steps', { sessionId => 's', stepId => 'two', code => '', session => undef }], ['/v1/prepare', { runtime => 'python' }], ['/v1/attach', {}]) {
        my ($path, $body) = @$more;
        delete $body->{session};
        my $reply = http($id, 'POST', $path, $body);
        like($reply->[0], $path eq '/v1/steps' ? qr/^40[19]$/ : qr/^409$/, "then there is nothing else: $path") or diag explain $reply;
    }
    is($run->('print(2)')->[0], 409, 'nor another step with its session');
    ok($l->wait_until(30, sub { n_fds(pid_of($id)) <= $before }), 'and the agent has kept nothing open') or diag(n_fds(pid_of($id)) . " for $before");
    $c->destroy($id);
}

# Where files are wanted, or something may follow, everybody is dead before the answer: so a word is none.
{
    my ($id, $run) = prepared('python');
    my $r = $run->($say . 'say(); time.sleep(.1); open("a", "w").write("x" * 1000000); sys.exit(4)', artifacts => ['*']);
    is_deeply([@{ $r->[1] }{qw(exit_code files)}], [4, [{ path => 'a', size => 1000000 }]], 'a word is none where files are wanted');
    is_deeply([children(pid_of($id))], [], 'and everybody is gone');
    $c->destroy($id);
    ($id, $run) = prepared('python');
    $r = $run->($say . 'say(); time.sleep(.1); sys.exit(4)', is_last => JSON::PP::false);
    is($r->[1]{exit_code}, 4, 'nor where another step may follow');
    is_deeply([children(pid_of($id))], [], 'for which everybody is gone');
    is(http($id, 'POST', '/v1/prepare', { runtime => 'python' })->[0], 200, 'so that there may be another interpreter');
    $c->destroy($id);
}

# Node says it where it ends by itself.
my %node = (
    'none'              => ['console.log(1)', "0 1\n"],
    'much'              => ['process.stdout.write("x".repeat(60000))', '0 ' . 'x' x 60000],
    'exit'              => ['console.log(1); process.exit(0)', "0 1\n"],
    'exit 3'            => ['console.log(1); process.exit(3)', "3 1\n"],
    'exitCode'          => ['process.exitCode = 3; console.log(1)', "3 1\n"],
    'a listener'        => ['process.on("exit", () => { process.exitCode = 5; console.log("exit") })', "5 exit\n"],
    'throw'             => ['throw new Error', '1 '],
    'signal'            => ['process.kill(process.pid, "SIGKILL")', 'SIGKILL '],
    'abort'             => ['process.abort()', 'SIGABRT '],
    'closed'            => ['require("fs").closeSync(3); console.log(1)', "0 1\n"],
    'another socket'    => ['require("fs").closeSync(3); require("net").createServer().listen("/tmp/s", () => { console.log(1); process.exit(0) })', "0 1\n"],
    'a word'            => ['require("fs").writeSync(3, Buffer.from("E\x07")); setTimeout(() => {}, 60000)', '7 '],
    'no name'           => ['console.log(require("fs").readFileSync("/proc/net/unix", "utf8").match(/@.*/g))', "0 null\n"],
    'nonsense'          => ['require("fs").writeSync(3, "nonsense"); console.log(1); process.exitCode = 2', "2 1\n"],
    'a word too long'   => ['require("fs").writeSync(3, Buffer.from("E\0\0")); console.log(1)', "0 1\n"],
    'a program'         => ['console.log(require("child_process").execSync("ls /proc/self/fd | tr \"\\n\" .").toString())', "0 0.1.2.3.\n"],
    'a child\'s word'   => ['const { spawnSync } = require("child_process"); spawnSync("printf", ["E\\\\007"], { stdio: [0, 3, 2] }); console.log(1); process.exitCode = 2', "2 1\n"],
    'a worker'          => ['const { Worker } = require("worker_threads"); new Worker("console.log(1)", { eval: true })', "0 1\n"],
);
for my $name (sort keys %node) {
    is(ends('javascript', $node{$name}[0]), $node{$name}[1], "node: $name");
    ok(!$is_by_word, 'of which nothing was said') if $name =~ /^(?:exit 3|throw|signal|abort|closed|another socket|nonsense|a word too long|a child's word|a listener)$/;
}
$c->stop;
$l->finish;
done_testing();
