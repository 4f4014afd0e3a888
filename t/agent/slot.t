#!/usr/bin/perl
# An interpreter that waited for its work does what one does that was started with it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Agent;
use Test::More;
use Time::HiRes qw(time);

my $agent = Sandbox::Agent->new;
my $runtime = 'python';
sub prepare { return $agent->call('POST', '/v1/prepare', { runtime => $_[0] // $runtime }) }

# What a run gives back but for what it took.
sub outcome {
    my ($r) = @_;
    return { map { $_ => $r->{$_} } grep { !/^(?:cpu_ms|wall_ms|peak_memory_bytes)$/ } keys %$r };
}

# Both ways, in one session, so that paths are the same.
sub is_alike {
    my ($name, $code, %more) = @_;
    $more{stepId} = 'alike';
    my $started = outcome($agent->run($code, %more));
    my $prepared = prepare();
    is($prepared->{json}{origin}, 'started', "$name: a slot");
    my $r = $agent->run($code, %more);
    is_deeply(outcome($r), $started, "$name: alike") or diag explain [outcome($r), $started];
    return $r;
}

$agent->session('python', env => { GREETING => "h\xe9llo" });

# What it is.
is_alike('arguments', 'import sys; print(sys.argv, sys.executable, sys.flags, sys.path, sys.prefix, sys.warnoptions, sys._xoptions)',
    args => ['one', "t w \x{20ac}", '']);
is_alike('modules', 'import sys; print(sorted(sys.modules)); print([type(f).__name__ for f in sys.meta_path], sys.path_hooks.__len__())');
is_alike('main', 'import sys; print(sorted(globals()), __name__, __file__, type(__builtins__), sys.modules["__main__"].__dict__ is globals())');
is_alike('environment', q{import os,subprocess
print(sorted(os.environ.items())); print(sorted(os.environb.items()))
print(subprocess.run(["/usr/bin/env"], capture_output=True, text=True).stdout.split("\n").sort())
import posix; print(sorted(posix.environ.items()))
print(sorted(subprocess.run(["/usr/bin/env"], capture_output=True).stdout.split(b"\n")))}, env => { STEP => "two\nlines", EMPTY => '', GREETING => 'replaced' });
is_alike('descriptors', q{import os
for fd in sorted(map(int, os.listdir("/proc/self/fd"))):
    try: print(fd, os.get_inheritable(fd), os.readlink(f"/proc/self/fd/{fd}")[:5])
    except OSError: print("its own")});
is_alike('descriptors of children', q{import os; os.system("ls /proc/self/fd | wc -l")});
is_alike('streams', q{import sys
for f in (sys.stdin, sys.stdout, sys.stderr):
    print(f.name, f.mode, f.encoding, f.errors, f.line_buffering, f.write_through, f.newlines, f.seekable(), f.isatty(), f.fileno(),
          f.buffer, f.buffer.raw, f.buffer.raw.mode, f.buffer.raw.closefd, type(f), repr(f), f.closed)
print(sys.stdin is sys.__stdin__, sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__)});
is_alike('threads', q{import threading,os; print(threading.active_count(), threading.current_thread().name, threading.current_thread() is threading.main_thread(), len(os.listdir("/proc/self/task")))});
is_alike('signals', q{import signal
print([(s, signal.getsignal(s)) for s in sorted(signal.valid_signals())]); print(signal.pthread_sigmask(signal.SIG_BLOCK, []))
print([l for l in open("/proc/self/status") if l.startswith(("Sig", "Shd"))])});
is_alike('limits', q{import resource
print([(n, resource.getrlimit(getattr(resource, n))) for n in sorted(dir(resource)) if n.startswith("RLIMIT")])}, limits => { processes => 40 });
is_alike('rights', q{import os
print(os.getuid(), os.getgid(), os.getgroups(), os.getcwd(), oct(os.umask(0)), os.getpid() == os.getpgid(0) == os.getsid(0))
print([l for l in open("/proc/self/status") if l.startswith(("Cap", "NoNew", "Secc", "Uid", "Gid", "Groups", "Umask", "Threads"))])});
is_alike('depth', q{import sys,inspect
def depth(f, n=0): return n if f is None else depth(f.f_back, n + 1)
print(depth(sys._getframe()), sys.getrecursionlimit(), [f.function for f in inspect.stack()])
n = 0
def down():
    global n
    n += 1
    down()
try: down()
except RecursionError: print(n)});
is_alike('collector', 'import gc; print(gc.isenabled(), gc.get_threshold(), gc.get_freeze_count(), gc.callbacks)');
is_alike('locale', 'import locale,time,sys; print(locale.setlocale(locale.LC_ALL, None), locale.getpreferredencoding(), time.tzname, sys.getfilesystemencoding())');
is_alike('warnings', 'import warnings; print(warnings.filters); warnings.warn("w"); "\d"');
is_alike('hooks', 'import sys; print(sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__, sys.gettrace(), sys.getprofile(), sys.getswitchinterval())');

# What it says and how it ends.
is_alike('a value that is not ASCII', "print('\x{e4}\x{20ac}', input(), end='')", stdin => "\x{20ac}in\nmore");
is_alike('all input', 'import sys,hashlib; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())', stdin => 'x' x 1_000_000);
is_alike('an exception', "def f(a):\n    return 1 / a\n\nf(0)");
is_alike('chained exceptions', "try:\n    {}['k']\nexcept KeyError as e:\n    raise ValueError('v') from e");
is_alike('a syntax error', 'x = (');
is_alike('code that is not UTF-8', "# coding: latin-1\nprint('a')");
is_alike('an exception group', "raise ExceptionGroup('g', [ValueError(1)])");
is_alike('an interrupt', "import os,signal\nos.kill(os.getpid(), signal.SIGINT)\nimport time; time.sleep(5)");
is_alike('a hook of its own', "import sys\nsys.excepthook = lambda *a: print('hook', a[0])\n1/0");
is_alike("exit: $_", "import sys, atexit\natexit.register(print, 'at exit')\nprint('before', end='')\n$_")
    for 'sys.exit()', 'sys.exit(7)', 'sys.exit("why")', 'sys.exit(None)', 'sys.exit(-1)', 'sys.exit(1 << 64)', 'sys.exit(-1 << 63)', 'raise SystemExit', 'exit(3)', 'import os; os._exit(4)',
        'import os; os.abort()', 'import os,signal; os.kill(os.getpid(), signal.SIGKILL)', 'sys.stdout.close()', 'import os; os.close(1); print("lost")';
is_alike('unfinished threads', "import threading,time\nthreading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()");
is_alike('a closed pipe', "import subprocess,sys\nprint(subprocess.run(['/bin/sh', '-c', 'yes | head -n 1; kill -PIPE \$\$'], capture_output=True))");
is_alike('children', "import os\nif os.fork() == 0:\n    print('child', end='')\n    os._exit(0)\nprint(os.wait()[1] == 0)");
is_alike('multiprocessing', "import multiprocessing as m\ndef f(x): return x * x\nif __name__ == '__main__':\n    with m.Pool(2) as p: print(p.map(f, [1, 2, 3]))");
is_alike('spawned processes', "import multiprocessing as m\nprint(m.get_start_method())");
is_alike("what it leaves: $_", "class A:\n    def __init__(self, name): self.name = name\n    def __del__(self): print('gone', self.name)\n$_")
    for 'a = A("global")', '_a = A("private"); a = A("public")', 'a = A("cycle"); a.a = a', 'def f(a=A("default")): pass', 'import types, sys; m = sys.modules["m"] = types.ModuleType("m"); m.a = A("of a module")',
        'import sys; A("x"); sys.exit(A("code").name)', 'import atexit; atexit.register(lambda a=A("late"): print("end"))', 'import threading; t = threading.Timer(0.05, A, ["timer"]); t.start()',
        'import weakref; a = A("seen"); weakref.finalize(a, print, "final")', 'import gc; a = A("old"); a.a = a; gc.collect()', 'import gc; a = A("older"); a.a = a; gc.collect(0); gc.collect(1)',
        'a = A("among many"); a.a = a; many = [[] for _ in range(100_000)]',
        'f = open("left", "w"); f.write("x" * 10); import atexit, os; atexit.register(lambda: print(os.path.getsize("left")))';
is_alike('what was not flushed', "f = open('left', 'w')\nf.write('unflushed')", artifacts => ['left']);
is_alike('what C has not written', "import ctypes\nctypes.CDLL(None).puts(b'from C')\nprint('from Python')");
is_alike('an error at the end', "import atexit\natexit.register(int, 'x')");
is_alike('a module that is none', "import sys\nclass A: pass\nsys.modules['a'] = A; sys.modules['b'] = None\nprint('x')");
is_alike('an exit at the end', "import atexit, os\natexit.register(os._exit, 5)");
is_alike('another program', "import os\nos.execv('/bin/echo', ['echo', 'in its stead'])");
is_alike('classes that are pickled', "import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))))");
is_alike('data classes', "import dataclasses,typing\n\@dataclasses.dataclass\nclass A:\n    x: int = 1\nprint(A(), typing.get_type_hints(A))");
is_alike('asyncio', "import asyncio\nasync def f(): return 5\nprint(asyncio.run(f()))");
is_alike('an endless recursion', "def f(): f()\nf()");
is_alike('much output', "print('x' * 3_000_000)");
is_alike('a deadline', "while True: pass", timeout_ms => 500);
is_alike('a sleep', "import time\ntime.sleep(60)", timeout_ms => 500);

# Handlers.
is_alike('a handler', 'def handler(event, context): return {"e": event, "s": context.session_id}', event => { a => [1] });
is_alike('an async handler', "async def handler(event): return event", event => [1, 2]);
is_alike('a handler without an event', "def handler(event): return event");
is_alike('a handler that fails', "def handler(event): return 1 / 0", event => {});
is_alike('a handler of no JSON', "def handler(event): return {1, 2}", event => {});
is_alike('a result that is a file', "import os\nopen(os.environ['SANDBOX_RESULT_FILE'], 'w').write('[1]')");
is_alike('a handler that exits', "import sys\ndef handler(event): sys.exit(9)", event => {});

# Modules of its own, some of which the slot knew by other names.
is_alike('a module of the workspace', "open('mine.py', 'w').write('V = 1')\nimport mine; print(mine.V)", artifacts => ['mine.py']);
is_alike("a module instead of the library's: $_", "open('$_.py', 'w').write('V = 1')\nimport $_; print($_.V)\nimport os; os.unlink('$_.py')")
    for qw(json random socket _socket _json python_slot repl_core);

# What must not be alike.
{
    my %seen;
    for (1 .. 3) {
        prepare();
        my $r = $agent->run('import random,uuid,secrets,os,tempfile; print(random.random(), uuid.uuid4(), secrets.token_hex(8), hash("a"), tempfile.mktemp(), sep="\n")');
        $seen{$_}++ for split /\n/, $r->{stdout};
    }
    is(scalar keys %seen, 15, 'nothing random is the same twice');
}
{
    prepare();
    my $r = $agent->run('print(open("/proc/self/environ").read()); print(open("/proc/self/cmdline").read())', env => { SECRET => 'of-the-step' });
    unlike($r->{stdout}, qr/of-the-step|A_SECRET_OF_THE_AGENT/, 'what the kernel says it was started with has no secret');
}

# Quick: nothing of the interpreter's start is in the run.
{
    my (%took, $n);
    for my $way (1 .. 10) {
        for my $slot (0, 1) {
            prepare() if $slot;
            push @{ $took{$slot} }, $agent->run('pass')->{wall_ms};
        }
    }
    note "wall_ms started: @{$took{0}}; from a slot: @{$took{1}}";
}

# What a slot cannot do, the interpreter is started for.
{
    my $probe = 'import os; print(os.readlink("/proc/self/exe").startswith("/usr/bin/python3"), b"python.py\0" + os.fsencode(__file__) in open("/proc/self/cmdline", "rb").read())';
    my $is_started = sub {
        my ($name, %more) = @_;
        is(prepare()->{status}, 200, "$name: a slot");
        is($agent->run($probe, %more)->{stdout}, "True True\n", "$name: is started");
        is_deeply([$agent->processes("$agent->{dir}/drivers/python.py")], [], "$name: and no slot is left");
    };
    prepare();
    is($agent->run($probe)->{stdout}, "True False\n", 'a slot is known by its command line');
    $is_started->("the variable $_", env => { $_ => 'C' }) for qw(LANG LC_ALL TZ MALLOC_ARENA_MAX OPENSSL_CONF);
    $is_started->('much environment', env => { map { +"V$_" => 'x' x 30000 } 1 .. 5 });
    $is_started->('many arguments', args => [map { 'x' x 4000 } 1 .. 40]);
    is(prepare()->{status}, 200, 'another runtime: a slot');
    is($agent->run('cat /proc/[0-9]*/cmdline | tr "\0" " " | grep -c "' . $agent->{dir} . '/drivers/[p]ython.py" || true', runtime => 'bash')->{stdout}, "0\n", 'another runtime: does not see it');
    is_deeply([$agent->processes("$agent->{dir}/drivers/python.py")], [], 'another runtime: nor does anybody later');
}

# Its death, before the work.
{
    prepare();
    my ($pid) = $agent->processes("$agent->{dir}/drivers/python.py");
    kill 'KILL', $pid;
    my $end = time + 30;
    Time::HiRes::sleep(0.01) until !$agent->processes("$agent->{dir}/drivers/python.py") || time > $end;
    my $r = $agent->run('print("on")');
    is("$r->{stdout}$r->{exit_code}", "on\n0", 'a slot that is killed costs nothing but time');
    prepare();
    ($pid) = $agent->processes("$agent->{dir}/drivers/python.py");
    kill 'STOP', $pid;
    my $reply = $agent->step('print("never")', timeout_ms => 700)->{json};
    ok($reply->{timed_out} && $reply->{signal} eq 'SIGKILL', 'one that is stopped is killed at the deadline of its work');
}

# Requests.
is($agent->call('POST', '/v1/prepare', { runtime => 'nothing' })->{status}, 422, 'no such runtime');
is($agent->call('POST', '/v1/prepare', { runtime => 'bash' })->{status}, 422, 'one without a slot');
is($agent->call('POST', '/v1/prepare', {})->{status}, 422, 'no runtime');
is($agent->call('POST', '/v1/prepare', { runtime => 'python', more => 1 })->{status}, 422, 'more than a runtime');
is($agent->call('POST', '/v1/prepare', { runtime => 'python', origin => $_ })->{status}, 422, 'an origin that cannot be chosen') for 'started', '', 1;
is($agent->call('POST', '/v1/prepare', { runtime => 'bash', origin => 'forked' })->{status}, 422, 'a forked one of what has no slot');
is($agent->call('POST', '/v1/prepare', { runtime => 'python', origin => 'forked' })->{status}, 503, 'a forked one where nobody forks');
is($agent->call('POST', '/v1/prepare', { runtime => 'python', origin => 'forked' })->{status}, 503, 'which costs nothing: it may be asked for again');
is($agent->call('POST', '/v1/prepare', '[')->{status}, 400, 'no document');
is($agent->call('POST', '/v1/prepare', ' ' x 5000)->{status}, 413, 'too much of one');
is($agent->call('POST', '/v1/prepare', 'runtime=python', 'Content-Type' => 'text/plain')->{status}, 415, 'no JSON');
is($agent->call('GET', '/v1/prepare')->{status}, 405, 'another method');
is(prepare('py')->{status}, 200, 'by an alias');
is(prepare()->{status}, 409, 'a second one is refused');
is($agent->run('print("by alias")')->{stdout}, "by alias\n", 'it runs');
$agent->close_session;
$agent->finish;

# The same for Node.
$agent = Sandbox::Agent->new;
$runtime = 'javascript';
$agent->session('javascript', env => { GREETING => "h\xe9llo" });
is_alike('node: arguments', 'console.log(process.argv, process.argv0, process.execArgv, process.execPath, process.title, process.cwd())', args => ['one', "t \x{20ac}", '']);
is_alike('node: environment', 'console.log(Object.entries(process.env).sort(), require("child_process").execFileSync("/usr/bin/env").toString().split("\n").sort())',
    env => { STEP => "two\nlines", EMPTY => '', GREETING => 'replaced' });
is_alike('node: descriptors', q{process.stdout; const fs = require('fs');
const link = (fd) => { try { return fs.readlinkSync(`/proc/self/fd/${fd}`).replace(/\d+/, '') } catch { return 'its own' } };
console.log(fs.readdirSync('/proc/self/fd').map(link).filter((text) => text !== 'socket:[]').sort(), [0, 1, 2].map(link));
console.log(require('child_process').execSync('ls /proc/self/fd | wc -l').toString())});
is_alike('node: globals', 'console.log(Object.getOwnPropertyNames(globalThis).sort(), Object.keys(require.cache), module.id, module.filename, __filename, module.paths, module.children.length, require.main === module, module.parent, process.mainModule === module)');
is_alike('node: paths', 'console.log(require("module").globalPaths, require.resolve.paths("x"))');
is_alike('node: signals', 'console.log(process.eventNames().sort(), process.listenerCount("exit"), process.getuid(), process.umask(), require("fs").readFileSync("/proc/self/status", "utf8").split("\n").filter((l) => /^(Cap|NoNew|Secc|Uid|Gid|Groups|Umask|Sig(Blk|Ign|Cgt)|Threads)/.test(l)))');
is_alike('node: limits', 'console.log(require("fs").readFileSync("/proc/self/limits", "utf8"))', limits => { processes => 40 });
is_alike('node: streams', 'for (const s of [process.stdin, process.stdout, process.stderr]) console.log(s.constructor.name, s.fd, s.isTTY, s.writableHighWaterMark, s._type); process.stdin.unref()');
is_alike('node: handles', 'process.stdout; process.stderr; console.log(process._getActiveHandles().length, process._getActiveRequests().length, process.stdout._events, process.stdout._eventsCount, Object.keys(process.stdout), Object.keys(process), process.stdout.bytesWritten)');
is_alike('node: counts', 'process.stdout.on("close", () => {}); console.count(); console.group("g"); console.table([1]); console.log(process.stdout.writableLength, process.stdout.writableNeedDrain, process.stdout.listenerCount("error"))');
is_alike('node: colours', 'console.log({ a: "b" }); console.log(require("util").inspect("x", { colors: true })); try { require("assert").deepEqual({ a: 1 }, { a: 2 }) } catch (e) { console.log(e.message) }', env => { FORCE_COLOR => '1' });
is_alike('node: all input', 'process.stdin.on("data", (d) => n += d.length).on("end", () => console.log(n)); let n = 0', stdin => 'x' x 1_000_000);
is_alike('node: input at once', 'console.log(require("fs").readFileSync(0, "utf8"))', stdin => "\x{20ac}in");
is_alike('node: no input', 'console.log(require("fs").readFileSync(0).length)');
is_alike("node: $_", $_) for 'console.log("out"); console.error("err"); process.exitCode = 3', 'throw new TypeError("why")', 'process.exit(4)', 'null.x', 'let = 1', 'x = (',
    'process.on("exit", (c) => console.log("exit", c))', 'Promise.reject(new Error("no"))', 'setTimeout(() => console.log("later"), 20)', 'process.abort()', 'process.kill(process.pid, "SIGKILL")',
    'console.log("x".repeat(3_000_000)); process.exit(0)', 'await 1; console.log(import.meta.url)', 'import fs from "fs"; console.log(typeof fs.readFileSync)', 'await new Promise(() => {})',
    'console.log(new Error("stack").stack)', '(async () => { await 1; console.log(new Error("async").stack) })()', 'console.log(require("crypto").createHash("sha256").update("a").digest("hex"))',
    'require("fs").writeFileSync("m.js", "module.exports = 7"); console.log(require("./m.js"))', 'const { Worker } = require("worker_threads"); new Worker("console.log(1)", { eval: true })',
    'console.log(require("child_process").execSync("cat; echo done", { input: "in" }).toString())', 'require("child_process").spawnSync("/bin/echo", ["inherited"], { stdio: "inherit" })',
    'require("dns").lookup("localhost", (e, a) => console.log(e, a))', 'require("fs").readFile("/etc/passwd", (e, d) => console.log(d.length > 0))', 'require("zlib").gzip("a".repeat(1000), (e, d) => console.log(d.length))',
    'const s = require("net").createServer(() => {}).listen(0, "127.0.0.1", () => { console.log("up"); s.close() })', 'WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])).then(() => console.log("wasm"))',
    'console.log(new Date(0).toString(), Intl.DateTimeFormat().resolvedOptions().locale, process.memoryUsage().rss > 0)', 'process.stdout.write("a"); process.stderr.write("b")';
is_alike('node: a deadline', 'while (true);', timeout_ms => 700);
is_alike('node: a handler', 'exports.handler = async (e, c) => ({ e, s: c.sessionId })', event => { a => [1] });
is_alike('node: a handler that fails', 'exports.handler = () => { throw new Error("x") }', event => {});
is_alike('node: a promise that never settles', 'exports.handler = () => new Promise(() => {})', event => {});
{
    my %seen;
    for (1 .. 3) {
        prepare();
        $seen{$_}++ for split /\n/, $agent->run('console.log(Math.random()); console.log(require("crypto").randomUUID())')->{stdout};
    }
    is(scalar keys %seen, 6, 'node: nothing random is the same twice');
    prepare();
    my ($pid) = $agent->processes("$agent->{dir}/drivers/node.js");
    ok($pid, 'node: a slot waits');
    is($agent->run('console.log(process.pid)')->{stdout}, "$pid\n", 'node: and runs');
    prepare();
    is($agent->run('console.log(process.pid > 0, new Date().getTimezoneOffset())', env => { TZ => 'Asia/Tokyo' })->{stdout}, "true -540\n", 'node: a time zone takes another');
    my @took;
    for (1 .. 5) {
        for my $slot (0, 1) {
            prepare() if $slot;
            push @{ $took[$slot] }, $agent->run('console.log(1)')->{wall_ms};
        }
    }
    note "node: wall_ms started: @{$took[0]}; from a slot: @{$took[1]}";
}
$agent->close_session;
$agent->finish;
$runtime = 'python';

# Slots that break the rules.
{
    my @evil = map { ["evil-$_->[0]", @$_] } (
        ['nonsense', 's.send(b"X")'], ['much', 's.send(b"RR")'], ['empty', 's.send(b"")'], ['leaves', 'sys.exit(0)'], ['dies', 'os.kill(os.getpid(), 9)'],
        ['hangs-up', 's.detach(); os.close(3); time.sleep(60)'], ['is-late', 'time.sleep(60)'],
    );
    my @later = map { ["evil-$_->[0]", @$_] } (
        ['twice', 's.send(b"R"); s.send(b"R"); open("/proc/self/comm", "w").write("is done"); time.sleep(60)'],
        ['ready-and-gone', 's.send(b"R"); sys.exit(0)'],
        ['ready-and-away', 's.send(b"R"); s.detach(); os.close(3); time.sleep(60)'],
    );
    my $dir = File::Temp::tempdir(CLEANUP => 1);
    my @runtimes;
    for my $case (@evil, @later) {
        my ($name, undef, $code) = @$case;
        open my $out, '>', "$dir/$name.py" or die $!;
        print {$out} "import os,socket,sys,time\nif len(sys.argv) > 1:\n    print('started')\n    sys.exit(0)\ns = socket.socket(fileno=3)\n$code\n";
        close $out or die $!;
        push @runtimes, { name => $name, source => 'main.py', argv => ['/usr/bin/python3', '-I', "/opt/sandbox/drivers/$name.py", '{source}'],
            slot => ['/usr/bin/python3', '-I', "/opt/sandbox/drivers/$name.py"] };
    }
    $agent = Sandbox::Agent->new(drivers => [glob "$dir/*.py"], runtimes => \@runtimes);
    for my $case (@evil) {
        my $start = time;
        is(prepare($case->[0])->{status}, 503, "a slot that $case->[1]: none");
        cmp_ok(time - $start, '<', 20, "a slot that $case->[1]: known in time");
        # It was killed before the answer; on a busy host its last way may be longer than the agent waits for it.
        my $end = time + 30;
        Time::HiRes::sleep(0.02) until !$agent->processes("drivers/$case->[0].py") || time > $end;
        is_deeply([$agent->processes("drivers/$case->[0].py")], [], "a slot that $case->[1]: is gone");
    }
    for my $case (@later) {
        is(prepare($case->[0])->{status}, 200, "a slot that is $case->[1]: ready at first");
        my $end = time + 30;
        Time::HiRes::sleep(0.02) until $case->[1] ne 'ready-and-gone' || !$agent->processes("drivers/$case->[0].py") || time > $end;
        my ($pid) = $agent->processes("drivers/$case->[0].py");
        my $comm = sub { open my $in, '<', "/proc/$pid/comm" or return ''; return scalar <$in> };
        Time::HiRes::sleep(0.02) until $case->[1] ne 'ready-and-away' || !-l "/proc/$pid/fd/3" || time > $end;
        Time::HiRes::sleep(0.02) until $case->[1] ne 'twice' || $comm->() eq "is done\n" || time > $end;
        $agent->session($case->[0]);
        is($agent->run('')->{stdout}, "started\n", "a slot that is $case->[1]: is not used");
        is_deeply([$agent->processes("drivers/$case->[0].py")], [], "a slot that is $case->[1]: is gone");
        $agent->close_session;
    }
    is(prepare()->{status}, 200, 'then another is prepared');
    $agent->session('python');
    is($agent->run('print(1)')->{stdout}, "1\n", 'and used');
    $agent->close_session;
    prepare();
    $agent->finish;
}

# Registries whose slot could not become what the entry says.
for my $case (['other options', argv => ['/usr/bin/python3', '-B', 'x', '{source}'], slot => ['/usr/bin/python3', '-I', 'x']],
              ['another program', argv => ['/usr/bin/python3', '{source}'], slot => ['/usr/bin/node', 'x']],
              ['an other repl', argv => ['/bin/a', 'b', '{source}'], repl => ['/bin/c', 'b'], slot => ['/bin/a', 'b']],
              ['more options than there are', argv => ['/bin/a'], slot => ['/bin/a', 'b', 'c']],
              ['no path', argv => ['/bin/a', 'b'], slot => ['a']], ['no argument', argv => ['/bin/a', 'b'], slot => []], ['no array', argv => ['/bin/a', 'b'], slot => 'x']) {
    my ($what, %entry) = @$case;
    my $dir = File::Temp::tempdir(CLEANUP => 1);
    open my $out, '>', "$dir/runtimes.json" or die $!;
    print {$out} JSON::PP->new->encode({ runtimes => [{ name => 'a', source => 'b', %entry }] });
    close $out or die $!;
    my ($status, $text) = Sandbox::Agent::start_fails({ WORKSPACE_ROOT => $dir, SESSION_AGENT_ADDR => '127.0.0.1:0' },
        $> == 0 ? ('--user', '2000:2000') : (), '--opt-dir', $dir);
    ok($status != 0 && $text =~ /runtimes/, "a registry with $what is refused") or diag "$status $text";
}
done_testing();
