#!/usr/bin/perl
# The interpreters' drivers: programs run as if nothing stood between, handlers give results.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Agent;
use Test::More;

my $agent = Sandbox::Agent->new;

# Python.
$agent->session('py', files => [{ path => 'pkg/__init__.py', content => "VALUE = 7\n" },
                                { path => 'main.py', content => 'raise SystemExit("the wrong file")' },
                                { path => 'data.csv', content => "a,b\n1,2\n" }]);
sub py { return $agent->run(@_) }

is(py('print(__name__, __file__.endswith("/main.py"))')->{stdout}, "__main__ True\n", 'python: __main__');
is(py("def main():\n    print('ran')\nif __name__ == '__main__':\n    main()")->{stdout}, "ran\n", 'python: the main idiom');
is(py('import sys; print(sys.argv)', args => ['a', '-x'])->{stdout}, "['main.py', 'a', '-x']\n", 'python: argv');
is(py('import pkg; print(pkg.VALUE)')->{stdout}, "7\n", 'python: uploaded packages are found');
is(py('print(open("data.csv").read(), end="")')->{stdout}, "a,b\n1,2\n", 'python: and uploaded files');
is(py("import __main__; x = 5\nprint(__main__.x)")->{stdout}, "5\n", 'python: __main__ is the program');
is(py("import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))).__name__)")->{stdout}, "A\n", 'python: classes pickle');
is(py("import dataclasses, typing\n\@dataclasses.dataclass\nclass P:\n    x: int\nprint(P(1), typing.get_type_hints(P))")->{stdout},
   "P(x=1) {'x': <class 'int'>}\n", 'python: dataclasses');
is(py('# -*- coding: latin-1 -*-' . "\nprint('fine')")->{stdout}, "fine\n", 'python: a coding line');
is(py('print("\u00e4\u20ac\U0001f600")')->{stdout}, "\x{e4}\x{20ac}\x{1f600}\n", 'python: UTF-8 out');
is(py('import sys; sys.exit()')->{exit_code}, 0, 'python: exit without a code');
is(py('raise SystemExit(7)')->{exit_code}, 7, 'python: SystemExit with a code');
my $r = py('import sys; sys.exit("why")');
is("$r->{exit_code} $r->{stderr}", "1 why\n", 'python: exit with a message');
is(py('import os; os._exit(9)')->{exit_code}, 9, 'python: os._exit');
is(py('import os, signal; os.kill(os.getpid(), signal.SIGTERM)')->{signal}, 'SIGTERM', 'python: a signal');
is(py('print("x", end="")')->{stdout}, 'x', 'python: the last line is flushed');
is(py('import sys; sys.stdout.write("soon\n"); import time; time.sleep(60)', timeout_ms => 4000)->{stdout}, "soon\n",
   'python: what was printed before a deadline is there');
is(py("import atexit; atexit.register(print, 'bye')\nprint('hi')")->{stdout}, "hi\nbye\n", 'python: atexit');
is(py("import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()")->{stdout}, "thread\n",
   'python: threads are waited for');
is(py("import multiprocessing as m\nif __name__ == '__main__':\n    p = m.Process(target=print, args=('child',)); p.start(); p.join()")->{stdout},
   "child\n", 'python: multiprocessing');

$r = py("def inner():\n    return 1 / 0\n\n\ndef outer():\n    inner()\n\n\nouter()\n");
is($r->{exit_code}, 1, 'python: an exception exits 1');
like($r->{stderr}, qr/\ATraceback \(most recent call last\):\n  File "\S+\/main\.py", line 9, in <module>\n    outer\(\)\n/,
     'python: the traceback begins with the program');
like($r->{stderr}, qr/line 2, in inner\n    return 1 \/ 0\n.*ZeroDivisionError: division by zero\n\z/s, 'python: and shows its lines');
unlike($r->{stderr}, qr/drivers/, 'python: and no frame of the driver');
$r = py("x = (\n");
like($r->{stderr}, qr/main\.py", line 1\n.*SyntaxError/s, 'python: a syntax error shows its line');
unlike($r->{stderr}, qr/drivers|Traceback/, 'python: and nothing else');
$r = py("try:\n    1/0\nexcept Exception as e:\n    raise ValueError('second') from e\n");
like($r->{stderr}, qr/ZeroDivisionError.*direct cause.*ValueError: second/s, 'python: chained exceptions');
unlike($r->{stderr}, qr/drivers/, 'python: without the driver');
like(py("def f(): f()\nf()")->{stderr}, qr/RecursionError/, 'python: endless recursion');

is_deeply(py("def handler(event):\n    return {'sum': event['a'] + event['b']}", event => { a => 1, b => 2 })->{result}, { sum => 3 },
          'python: a handler');
is_deeply(py("def handler(event, context):\n    return [event, bool(context.aws_request_id), context.function_name]", event => undef)->{result},
          [undef, JSON::PP::true, 'handler'], 'python: an event of null, and a context');
is_deeply(py("async def handler(event):\n    return event", event => [1, 'x'])->{result}, [1, 'x'], 'python: an async handler');
is_deeply(py("def handler(e, c=None, *a):\n    return 1", event => {})->{result}, 1, 'python: any name for the event');
is(py("handler = lambda event: event", event => 'text')->{result}, 'text', 'python: a lambda');
is(py("def handler(): return 'nothing asked'", event => {})->{result}, 'nothing asked', 'python: a handler without parameters');
is_deeply(py("def handler(event): return event")->{result}, {}, 'python: called without an event when it says event');
$r = py("def handler(request): print('called')");
ok($r->{stdout} eq '' && !exists $r->{result}, 'python: not called otherwise');
$r = py('print("script")', event => {});
ok($r->{stdout} eq "script\n" && !exists $r->{result}, 'python: an event without a handler is a script');
ok(exists py("def handler(event): pass", event => {})->{result}, 'python: None is a result');
for my $bad ('set()', 'float("nan")', 'float("inf")', 'object()', 'b"x"', '{1: {2: lambda: 0}}') {
    $r = py("def handler(event): return $bad", event => {});
    ok($r->{exit_code} == 1 && $r->{stderr} =~ /\Athe handler's result is not JSON: .+\n\z/ && !exists $r->{result},
       "python: no JSON: $bad");
}
$r = py("def handler(event):\n    raise KeyError('k')", event => {});
like($r->{stderr}, qr/line 2, in handler\n    raise KeyError\('k'\)\nKeyError: 'k'\n\z/, 'python: an exception in the handler');
ok($r->{exit_code} == 1 && !exists $r->{result}, 'python: gives no result');
$r = py("def handler(event): return 'x' * (2 << 20)", event => {});
like($r->{result_error}, qr/larger than 1 MiB/, 'python: a result too large');
$r = py("def handler(event): return '\\x00'", event => {});
ok(!exists $r->{result} && $r->{result_error}, 'python: a result that strict readers refuse');
$r = py("import os\nopen(os.environ['SANDBOX_RESULT_FILE'], 'w').write('1, \"exit_code\": 99')");
ok($r->{exit_code} == 0 && $r->{result_error}, 'python: a result that tries to say more');
$r = py("import os\nos.symlink('/etc/passwd', os.environ['SANDBOX_RESULT_FILE'])");
like($r->{result_error}, qr/not a regular file/, 'python: a result that is a link');
$r = py("import os\nos.mkfifo(os.environ['SANDBOX_RESULT_FILE'])");
like($r->{result_error}, qr/not a regular file/, 'python: a result that is a pipe');
ok(!exists py('print(1)')->{result_error}, 'python: the next step starts without it');
is($agent->run('echo $((6 * 7)) > $SANDBOX_RESULT_FILE', runtime => 'bash')->{result}, 42, 'bash: a result by file');
is_deeply($agent->run('cp $SANDBOX_EVENT_FILE $SANDBOX_RESULT_FILE', runtime => 'bash', event => { a => [1, undef] })->{result},
          { a => [1, undef] }, 'bash: an event by file');
is($agent->run('echo ${SANDBOX_EVENT_FILE-none}', runtime => 'bash')->{stdout}, "none\n", 'bash: no event, no file');

# What a step puts in the place of the next one's program, event and result.
my $outside = "$agent->{dir}/outside";
for my $put ("ln -s $outside", "ln $outside", 'ln -s nowhere', 'mkfifo', ': >', 'umask 0777; : >') {
    open my $out, '>', $outside or die $!;
    print {$out} "kept\n";
    close $out or die $!;
    $agent->run(qq{event=\$(dirname "\$0")/event.json; for f in "\$0" "\$event" "\$SANDBOX_RESULT_FILE"; do rm -f "\$f"; $put "\$f"; done}, runtime => 'bash');
    $r = $agent->run('cat $SANDBOX_EVENT_FILE; echo " then"; [ -e $SANDBOX_RESULT_FILE ] || [ -L $SANDBOX_RESULT_FILE ] || echo none', runtime => 'bash', event => { a => 1 });
    is($r->{stdout}, qq({"a":1} then\nnone\n), "the next step has its own in place of: $put");
    ok(!exists $r->{result} && !exists $r->{result_error}, 'and no result of another');
    open my $in, '<', $outside or die $!;
    is(join('', <$in>), "kept\n", 'nothing was written through it');
}
$agent->run('rm "$0"; mkdir "$0"', runtime => 'bash');
is($agent->step('echo no', runtime => 'bash')->{status}, 500, 'a directory in its place is not written to');
$agent->close_session;

# Node.
$agent->session('node', files => [{ path => 'util.js', content => 'exports.value = 7' },
                                  { path => 'esm.mjs', content => 'export const value = 8' },
                                  { path => 'node_modules/dep/index.js', content => 'module.exports = 9' },
                                  { path => 'data.json', content => '{"x":10}' }]);
sub js { return $agent->run(@_) }

is(js('console.log(require("./util").value, require("dep"), require("./data.json").x)')->{stdout}, "7 9 10\n", 'node: require');
is(js('console.log(require.main === module, typeof __filename, typeof exports)')->{stdout}, "true string object\n", 'node: main module');
is(js('console.log(process.argv.slice(1).map((a) => a.replace(/.*\//, "")))', args => ['a', '-x'])->{stdout},
   "[ 'main.js', 'a', '-x' ]\n", 'node: argv');
is(js("#!/usr/bin/env node\nconsole.log('shebang')")->{stdout}, "shebang\n", 'node: a hash-bang line');
is(js('import { value } from "./esm.mjs"; import fs from "node:fs"; console.log(value, typeof fs.readFileSync, typeof require)')->{stdout},
   "8 function undefined\n", 'node: import');
is(js('const x = await Promise.resolve(5); console.log(x)')->{stdout}, "5\n", 'node: await at the top');
is(js('console.log(import.meta.url.startsWith("file:"))')->{stdout}, "true\n", 'node: import.meta');
is(js('import("./esm.mjs").then((m) => console.log(m.value))')->{stdout}, "8\n", 'node: dynamic import in a script');
is(js('// import and export in a comment' . "\n" . 'console.log(typeof require, "await")')->{stdout}, "function await\n",
   'node: words in comments change nothing');
is(js('async function f() { await 0; console.log("in") } f()')->{stdout}, "in\n", 'node: await inside a function is a script');
is(js('process.exit(4)')->{exit_code}, 4, 'node: exit code');
is(js('process.kill(process.pid, "SIGTERM")')->{signal}, 'SIGTERM', 'node: a signal');
is(js('setTimeout(() => console.log("late"), 50)')->{stdout}, "late\n", 'node: timers are waited for');
is(js('let s = ""; process.stdin.on("data", (d) => s += d).on("end", () => console.log(s.length))', stdin => 'x' x 100000)->{stdout},
   "100000\n", 'node: standard input');
is(js('process.stdout.write("y".repeat(300000)); process.exit(0)')->{stdout_bytes}, 300000, 'node: output is whole at exit');

$r = js("function inner() {\n  null.x;\n}\ninner();\n");
is($r->{exit_code}, 1, 'node: an exception exits 1');
like($r->{stderr}, qr/TypeError: Cannot read.*at inner \(\S+main\.js:2:8\)/s, 'node: with its place');
unlike($r->{stderr}, qr/drivers|node:internal/, 'node: and no frame of the driver');
like(js('const x = ;')->{stderr}, qr/main\.js:1.*SyntaxError/s, 'node: a syntax error with its place');
like(js("import x from './nothing.mjs'")->{stderr}, qr/ERR_MODULE_NOT_FOUND|Cannot find module/, 'node: a missing import');
$r = js('throw "text"');
ok($r->{exit_code} == 1 && $r->{stderr} =~ /Uncaught 'text'/, 'node: something thrown that is no Error');
$r = js('Promise.reject(new Error("nobody caught me"))');
ok($r->{exit_code} == 1 && $r->{stderr} =~ /nobody caught me/, 'node: an unhandled rejection exits 1');
$r = js('await Promise.reject(new Error("in a module"))');
ok($r->{exit_code} == 1 && $r->{stderr} =~ /in a module/ && $r->{stderr} !~ /drivers/, 'node: in a module too');
is(js('process.on("uncaughtException", (e) => { console.log("mine", e.message); process.exit(6) }); throw new Error("x")')->{exit_code}, 6,
   'node: a handler of its own for exceptions');

# Its end is as node's own, whoever has something to do at it.
my $after = 'const { emit } = process; process.emit = function (...a) { const r = emit.apply(this, a); if (a[0] === "exit") console.log("after", a[1]); return r };';
for (['a listener', 'process.on("exit", (c) => console.log("exit", c))', "exit 0\n", 0],
     ['a listener before the driver\'s', 'process.prependListener("exit", (c) => console.log("exit", c))', "exit 0\n", 0],
     ['a code that a listener gives', 'process.on("exit", () => { process.exitCode = 5 })', '', 5],
     ['the same before the driver\'s', 'process.prependListener("exit", () => { process.exitCode = 6 })', '', 6],
     ['two listeners, the last of which exits', 'process.on("exit", () => console.log(1)); process.on("exit", () => process.exit(7))', "1\n", 7],
     ['no listener at all', 'process.removeAllListeners("exit"); console.log("x")', "x\n", 0],
     ['more to do when nothing was left', 'let n = 0; process.on("beforeExit", () => { if (n++ < 2) setTimeout(() => console.log(n), 5) })', "1\n2\n", 0],
     ['an exception then', 'process.once("beforeExit", () => setTimeout(() => { throw new Error("late") }, 5))', '', 1, qr/Error: late/],
     ['a rejection then', 'process.once("beforeExit", () => setTimeout(() => Promise.reject(new Error("late")), 5))', '', 1, qr/Error: late/],
     ['an exception in a listener', 'process.prependListener("exit", () => { throw new Error("at the end") })', '', 1, qr/Error: at the end/],
     ['who stands in for emit', $after, "after 0\n", 0],
     ['who stands in for emit, at process.exit', "$after process.exit(0)", "after 0\n", 0],
     ['who stands in for reallyExit', 'const { reallyExit } = process; process.reallyExit = (c) => { console.log("mine", c); reallyExit.call(process, c) }', '', 0],
     ['who stands in for reallyExit, at process.exit', 'const { reallyExit } = process; process.reallyExit = (c) => { console.log("mine", c); reallyExit.call(process, c) }; process.exit(0)', "mine 0\n", 0],
     ['files that are written', 'const fs = require("fs"); const s = fs.createWriteStream("out"); for (let i = 0; i < 50; i++) s.write("y".repeat(10000)); s.end(); process.once("exit", () => console.log(fs.statSync("out").size))', "500000\n", 0],
     ['a thread that nobody waits for', 'new (require("worker_threads").Worker)("setInterval(() => {}, 1)", { eval: true }).unref(); console.log("x")', "x\n", 0],
     ['a thread with something to say', 'new (require("worker_threads").Worker)("process.on(\"exit\", () => console.log(\"thread\"))", { eval: true })', "thread\n", 0],
     ['a child that goes on', 'require("child_process").spawn("/bin/sleep", ["993"], { stdio: "ignore", detached: true }).unref(); console.log("x")', "x\n", 0]) {
    my ($what, $code, $out, $exit, $err) = @$_;
    $r = js($code);
    ok($r->{stdout} eq $out && ($r->{exit_code} // -1) == $exit && ($err ? $r->{stderr} =~ $err : $r->{stderr} eq ''), "node: the end: $what") or diag explain $r;
}

is_deeply(js('exports.handler = (event) => ({ sum: event.a + event.b })', event => { a => 1, b => 2 })->{result}, { sum => 3 }, 'node: a handler');
is_deeply(js('exports.handler = async (event, context) => [event, context.functionName]', event => undef)->{result}, [undef, 'handler'],
          'node: an async handler, an event of null');
is(js('exports.handler = (event, context, callback) => setTimeout(() => callback(null, "called back"), 10)', event => {})->{result},
   'called back', 'node: a handler with a callback');
is(js('module.exports = { handler() { return 1 } }', event => {})->{result}, 1, 'node: module.exports');
is(js('export const handler = async (event) => event.x', event => { x => 2 })->{result}, 2, 'node: an exported handler');
is(js('export default { handler: () => 3 }', event => {})->{result}, 3, 'node: of a default export');
is_deeply(js('exports.handler = (event) => event')->{result}, {}, 'node: called without an event');
ok(exists js('exports.handler = () => {}')->{result}, 'node: undefined is a result of null');
$r = js('console.log("script")', event => {});
ok($r->{stdout} eq "script\n" && !exists $r->{result}, 'node: an event without a handler is a script');
for my $bad ('NaN', '[1, Infinity]', '10n', '() => 1', 'Symbol("x")', '(() => { const a = {}; a.a = a; return a })()') {
    $r = js("exports.handler = () => $bad", event => {});
    ok($r->{exit_code} == 1 && $r->{stderr} =~ /\Athe handler's result is not JSON: / && !exists $r->{result}, "node: no JSON: $bad");
}
for my $bad ('() => { throw new Error("inside") }', 'async () => { throw new Error("inside") }',
             '(e, c, done) => done(new Error("inside"))') {
    $r = js("exports.handler = $bad", event => {});
    ok($r->{exit_code} == 1 && $r->{stderr} =~ /Error: inside/ && $r->{stderr} !~ /drivers/ && !exists $r->{result}, "node: $bad");
}
my $unsettled = qr/\Athe handler's promise never settled: [^\n]+\n\z/;
for my $bad ('() => new Promise(() => {})', 'async () => { await new Promise(() => {}) }', '(e, c, done) => {}', '() => ({ then() {} })',
             'async () => { process.on("beforeExit", () => {}); await new Promise((done) => setTimeout(() => {}, 20)) }') {
    $r = js("exports.handler = $bad", event => {});
    ok($r->{exit_code} == 1 && $r->{stderr} =~ $unsettled && !exists $r->{result}, "node: never settled: $bad") or diag explain $r;
}
$r = js('await new Promise(() => {}); console.log("never")');
ok($r->{exit_code} == 1 && $r->{stderr} =~ /\Athe program's top-level await never settled: [^\n]+\n\z/, 'node: a top-level await that never ends')
    or diag explain $r;
$r = js('exports.handler = () => new Promise((done) => process.once("beforeExit", () => setTimeout(done, 20, "late")))', event => {});
is($r->{result}, 'late', 'node: settled when everything else was over');
is("$r->{exit_code} $r->{stderr}", '0 ', 'node: is no failure');
is(js('exports.handler = () => new Promise(() => process.exit(0))', event => {})->{exit_code}, 0, 'node: an exit of its own is its own word');
is(js('exports.handler = () => new Promise(() => { process.exitCode = 4 })', event => {})->{exit_code}, 4, 'node: so is its exit code');
is(js('new Promise(() => {})')->{exit_code}, 0, 'node: promises that nobody waits for do not matter');
$r = js('console.log(__filename, require("path").resolve("main.js"), new Error("x").stack.match(/\((\S+main\.js):/)[1])');
is(scalar(keys %{ { map { $_ => 1 } split ' ', $r->{stdout} } }), 1, 'node: __filename is the name in stack traces') or diag explain $r;
is_deeply([glob $agent->workspace . '/.main*'], [], 'node: modules leave no file behind') if $> == 0;
$agent->close_session;
$agent->finish;
done_testing();
