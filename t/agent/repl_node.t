#!/usr/bin/perl
# The JavaScript that a session keeps: state, results, displays, interrupts, and code that does its worst.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Driver;
use Test::More;
use utf8;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output);
my $d = Sandbox::Driver->new('javascript');
$d->write_file('util.js', "exports.value = 7\n");
$d->write_file('esm.mjs', "export const value = 8; export default 'def'\n");
$d->write_file('node_modules/dep/index.js', "module.exports = 9\n");
$d->write_file('node_modules/only/package.json', '{"name":"only","type":"module","exports":{"import":"./i.js"}}');
$d->write_file('node_modules/only/i.js', "export default 10\n");
sub js { return $d->step(@_) }
sub value { my ($r) = @_; return (map { $_->{'text/plain'} } grep { $_->{kind} eq 'result' } @{ $r->{displays} })[0] }
sub is_value { my ($code, $text, $name) = @_; my $r = js($code); is(value($r), $text, $name) or diag explain $r }
sub fails { my ($code, $error, $name, %more) = @_; my $r = js($code, %more); ok($r->{status} eq 'failed' && $r->{error}{name} eq $error, $name) or diag explain $r; return $r }

# State.
my $r = js("let x = 1; const c = 2; var v = 3; function f(a) { return a + x }\nclass A { get one() { return 1 } }");
is("$r->{status} @{$r->{displays}}", 'succeeded ', 'definitions have no value');
is_value('f(41) + v', '45', 'functions and variables stay');
is_value('x += 1; x', '2', 'the value of the last statement');
is_value('let x = 5; const c = 6; x + c', '11', 'let and const again');
is_value('class A { get one() { return 2 } }; new A().one', '2', 'a class again');
is_value('const { p, q: [r] } = { p: 1, q: [2] }; p + r', '3', 'patterns');
is_value('x = 2;', '2', 'a semicolon changes nothing');
is_value('undefined', undef, 'undefined is no value');
is_value('null', 'null', 'null is one');
is_value('', undef, 'no code');
is_value('// only this', undef, 'no statement');
is_value('5 // behind', '5', 'a comment at the end');
is_value('{ a: 1 }', '{ a: 1 }', 'an object that looks like a block');
is_value('{ let y = 3; y }', '3', 'a block');
is_value('{ a: 1 };', '1', 'one with a label');
is_value('"ä€😀"', "'ä€😀'", 'UTF-8');
is(js('console.log("ä€😀")')->{stdout}, "ä€😀\n", 'UTF-8 out');
is_value('[NaN, -0, Infinity, 10n ** 30n, Symbol("s"), () => 1].map((v) => typeof v).join()', "'number,number,number,bigint,symbol,function'", 'all kinds');
is_value('-0', '-0', 'minus zero');
is_value('NaN', 'NaN', 'NaN');
is_value('10n ** 20n', '100000000000000000000n', 'a large number');
is_value('Symbol("s")', 'Symbol(s)', 'a symbol');
is_value('(function name() {})', '[Function: name]', 'a function');
is_value('new Map([[1, { a: [] }]])', 'Map(1) { 1 => { a: [] } }', 'a map');
is_value('Promise.resolve(4)', 'Promise { 4 }', 'a promise is not waited for');
is_value('"use strict"; x', '2', 'strict code');
is_value('typeof __filename + typeof __dirname', "'stringstring'", 'names of the module');
is_value('process.argv.length', '2', 'no arguments');

# Modules.
is_value('require("./util").value + require("dep")', '16', 'require, from the workspace');
is_value('(await import("./esm.mjs")).value', '8', 'dynamic import, from the workspace');
is_value('(await import("dep")).default', '9', 'and its packages');
is_value('(await import("only")).default', '10', 'those that can only be imported too');
is_value('import d, { value as w } from "./esm.mjs"; import * as all from "./esm.mjs"; import "dep"; d + w + all.value', "'def88'", 'declarations of import');
is_value('import fs, { readFileSync } from "node:fs"; typeof fs.readFileSync + typeof readFileSync', "'functionfunction'", 'of what is built in');
is_value('const late = () => import("./esm.mjs"); (await late()).value', '8', 'import in a function');
is_value('"import(" + `import x from "y"` // import("z")', q{'import(import x from "y"'}, 'in texts and comments it is left alone');
is_value('import.meta.url.startsWith("file:///")', 'true', 'import.meta');
is_value('export const e = 4; e', '4', 'an export is a definition');
fails('import nothing from "./nothing.mjs"', 'Error', 'a module that is not there');
fails('require("nothing")', 'Error', 'a package that is not there');
fails('import { from', 'SyntaxError', 'half an import');
is(js('import { from')->{error}{traceback} =~ /sandbox_step/ ? 1 : 0, 0, 'is told as it stands');

# Await.
is_value('await Promise.resolve(3)', '3', 'await at the top');
is_value('const waited = await new Promise((r) => setTimeout(() => r(4), 5)); waited', '4', 'for a while');
is_value('for await (const i of (async function* () { yield 1; yield 2 })()) x = i; x', '2', 'for await');
$r = fails('async function bad() { throw new RangeError("deep") }' . "\nawait bad()", 'RangeError', 'an exception through an await');
like($r->{error}{traceback}, qr/\ARangeError: deep\n    at bad \(step-\d+\.js:1:30\)\n/, 'with its lines');

# Errors.
$r = fails("function inner() {\n  throw new TypeError('no')\n}\ninner()", 'TypeError', 'an exception');
like($r->{error}{traceback}, qr/\ATypeError: no\n    at inner \(step-\d+\.js:2:9\)\n    at step-\d+\.js:4:1\n\z/, 'its lines are right, and the driver is not in them');
is("$r->{error}{value}|$r->{stderr}|" . ($r->{exit_code} // 'null'), 'no||null', 'and it is not printed');
$r = fails("let z = 1;\n\n1 +", 'SyntaxError', 'a syntax error');
is_value('typeof z', "'undefined'", 'nothing of such a step has run');
$r = fails('throw { code: 5 }', 'object', 'anything may be thrown');
is($r->{error}{value}, '{ code: 5 }', 'an object');
is(fails('throw "text"', 'string', 'a text')->{error}{value}, "'text'", 'is told');
fails('throw null', 'null', 'null');
fails('throw undefined', 'undefined', 'undefined');
fails('throw Symbol("s")', 'symbol', 'a symbol');
fails('throw new Proxy({}, { get() { throw 1 }, getPrototypeOf() { throw 2 } })', 'Error', 'what cannot be told');
fails('throw Object.assign(new Error("m"), { stack: 5, name: { toString() { throw 1 } } })', 'Error', 'an error made by hand');
fails('function g() { g() }' . "\ng()", 'RangeError', 'endless recursion');
$r = fails('throw new Error("x".repeat(10_000_000))', 'Error', 'an error of 10 MB');
ok(length $r->{error}{value} < 8192 && length $r->{error}{traceback} < 40000, 'is cut');
fails('throw new Error("\\x01".repeat(100_000))', 'Error', 'one that grows in JSON');
$r = fails('throw new Error("a\\0b\\ud800c")', 'Error', 'one that JSON cannot hold');
is($r->{error}{value}, "a\x{fffd}b\x{fffd}c", 'is told nearly');
is(fails('const broken = 1; undefinedName', 'ReferenceError', 'an unknown name')->{displays}[0], undef, 'shows nothing');
is_value('broken', '1', 'what ran before it has run');
$r = js('setTimeout(() => { throw new Error("in a timer") }, 1); await new Promise((r) => setTimeout(r, 30)); 5');
is("$r->{status} " . value($r), 'succeeded 5', 'an exception in a timer ends nothing');
like($r->{stderr}, qr/\AError: in a timer\n    at .*step-\d+\.js:1/, 'and is told');
$r = js('Promise.reject(new Error("alone")); await new Promise((r) => setTimeout(r, 5)); 6');
is("$r->{status} " . value($r), 'succeeded 6', 'nor does a rejection');
like($r->{stderr}, qr/\AUnhandled rejection: Error: alone\n/, 'which is told');
js('process.removeAllListeners(); setTimeout(() => { throw new Error("second") }, 20)');
is_value('await new Promise((r) => setTimeout(r, 60)); 7', '7', 'also when the code removes all listeners');

# Displays.
$r = js('display({ a: [1, "zwei", null, true] }); console.log("p"); display(2); 3');
is_deeply([map { "$_->{kind} $_->{'text/plain'}" } @{ $r->{displays} }], ["display { a: [ 1, 'zwei', null, true ] }", 'display 2', 'result 3'], 'display(), in order');
is($r->{displays}[0]{'application/json'}, '{"a":[1,"zwei",null,true]}', 'plain data is JSON too');
for my $case (['a number', '1'], ['a date', 'new Date(0)'], ['a class', 'new A()'], ['a getter', '({ get a() { return 1 } })'], ['a hole', '[1, , 2]'], ['NaN', '[NaN]'], ['a function', '({ f() {} })'],
              ['undefined', '[undefined]'], ['itself', '(() => { const a = []; a.push(a); return a })()'], ['a proxy', 'new Proxy({}, {})'], ['a proxy inside', '[new Proxy({}, { ownKeys() { throw 1 } })]'],
              ['a symbol', '({ [Symbol.iterator]: 1 })'], ['toJSON', '({ toJSON() { return 1 } })'], ['much', 'new Array(20000).fill(0)'], ['a bigint', '[1n]']) {
    is_deeply([map { $_->{mime} } @{ js("($case->[1])")->{displays}[0]{items} }], ['text/plain'], "what is more than data is not: $case->[0]");
}
$r = js('class H { _repr_html_() { return "<b>ü</b>" } _repr_markdown_() { return "**b**" } _repr_latex_() { return "$b$" } _repr_svg_() { return "<svg/>" } _repr_png_() { return Buffer.from("iVBO", "base64") }'
    . ' _repr_jpeg_() { return "/9j/" } _repr_json_() { return { ü: [1, null] } } }; new H()');
is_deeply({ map { $_->{mime} => $_->{data} } @{ $r->{displays}[0]{items} } },
    { 'text/plain' => 'H {}', 'text/html' => '<b>ü</b>', 'text/markdown' => '**b**', 'text/latex' => '$b$', 'image/svg+xml' => '<svg/>', 'image/png' => "\x89PN", 'image/jpeg' => "\xff\xd8\xff",
      'application/json' => '{"ü":[1,null]}' }, 'methods give forms');
for my $hook ('[Symbol.for("sandbox.display")]', '[Symbol.for("Jupyter.display")]', '_repr_mimebundle_') {
    $r = js("({ $hook() { return { 'text/plain': 'P', 'text/html': 'H', 'no mime': 'x' } } })");
    is(join('|', map { "$_->{mime}=$_->{data}" } @{ $r->{displays}[0]{items} }), 'text/plain=P|text/html=H', "a bundle by $hook");
}
$r = js('display({ "text/html": "<i>", "application/json": [1], "image/png": "iVBO" }, { raw: true })');
is("$r->{displays}[0]{'text/html'} $r->{displays}[0]{'application/json'} $r->{displays}[0]{'image/png'}", "<i> [1] \x89PN", 'or by hand');
$r = js('({ _repr_html_() { throw new Error("broken") }, _repr_png_() { return 5 }, _repr_svg_() { return null } })');
is_deeply([map { $_->{mime} } @{ $r->{displays}[0]{items} }], ['text/plain'], 'forms that fail are left out');
like($r->{stderr}, qr/\A_repr_html_ failed: Error: broken\n_repr_png_ failed: TypeError/, 'and told');
is_value('({ [require("util").inspect.custom]() { throw 1 } })', '<the value cannot be inspected>', 'a value that cannot be inspected');
is_value('({ get _repr_html_() { throw 1 }, [Symbol.for("sandbox.display")]: 5 })', '{ _repr_html_: [Getter], [Symbol(sandbox.display)]: 5 }', 'attributes that throw');
ok(length value(js('"x".repeat(50_000_000)')) < 70_000, 'a long text is cut');
like(value(js('new Array(1_000_000).fill(1)')), qr/999900 more items/, 'a long array');

# What a step may show.
$r = js('for (let i = 0; i < 10; i++) display(i)', max_displays => 3);
is(scalar @{ $r->{displays} } . " $r->{dropped}", '3 7', 'not more displays than allowed');
$r = js('({ _repr_png_() { return Buffer.alloc(5000) }, _repr_html_() { return "small" }, [require("util").inspect.custom]() { return "P" } })', max_display_bytes => 1000);
is_deeply([map { $_->{mime} } @{ $r->{displays}[0]{items} }], ['text/plain', 'text/html'], 'not more bytes than allowed');
is("$r->{dropped} $r->{displays}[0]{'text/plain'}", "1 P\n[image/png of 5000 bytes is left out: too large]", 'what is missing is told');
$r = js('for (let i = 0; i < 100; i++) display("ä".repeat(40))', max_display_bytes => 1001, max_displays => 1000);
my $sum = 0;
$sum += $_->{size} for map { @{ $_->{items} } } @{ $r->{displays} };
ok($sum <= 1001 && $sum > 800 && $r->{dropped} > 80, 'not more in all displays together');
$r = js('({ _repr_html_() { return "x".repeat(40 << 20) } })', max_display_bytes => 1 << 30);
is(scalar @{ $r->{displays}[0]{items} } . " $r->{dropped}", '1 1', 'nor items without end');
js('setTimeout(() => display("late"), 20)');
my $got = $d->wait_for(sub { 1 });
is_value('await new Promise((r) => setTimeout(r, 60)); 8', '8', 'a display between steps is lost') if !$got->{frames};

# Output.
$r = js('process.stdout.write("no newline"); process.stderr.write("e")');
is("$r->{stdout} $r->{stderr}", 'no newline e', 'output is out when the step ends');
is(length js('console.log("x".repeat(3_000_000))')->{stdout}, 3_000_001, 'all of it');
is(js('await new Promise((r) => require("child_process").exec("ls /proc/self/fd", (e, out) => { console.log(out.split("\n").join()); r() }))')->{stdout}, "0,1,2,3,\n", 'descriptor 3 is not handed on');
is_value('require("fs").readFileSync(0).length', '0', 'standard input is empty');

# Interrupts.
for my $case (['an endless loop', 'while (true) {}'], ['an endless await', 'await new Promise(() => {})'], ['a loop behind an await', 'await 1; while (true) {}'], ['a wait for a timer', 'await new Promise((r) => setTimeout(r, 600000))'],
              ['a loop in a catch', 'for (;;) { try { for (;;) {} } catch {} finally { x = 2 } }'], ['a loop that shows', 'for (;;) { display(1) }'], ['a loop that prints', 'for (;;) console.log("x".repeat(1000))'],
              ['a loop in an async function', 'await (async () => { await null; for (;;) {} })()'], ['a regular expression', '/^(a+)+$/.test("a".repeat(60) + "b")'], ['a child', 'require("child_process").spawnSync("sleep", ["600"]); while (true) {}']) {
    my ($name, $code) = @$case;
    $r = js("console.log('go'); $code", interrupt_at => qr/go\n/, max_displays => 10, max_display_bytes => 1 << 20);
    ok($r->{status} eq 'interrupted' && $r->{error}{name} eq 'Interrupted', "SIGINT ends $name") or diag explain [@$r{qw(status error dead signal)}];
    is_value('x', '2', 'and leaves the session as it was');
}
is_deeply([grep { $_ ne 'succeeded' } map { $d->interrupt; js('x')->{status} } 1 .. 200], [], 'a signal that its step has overtaken does nothing');
$d->signal;
is(js('for (;;);')->{status}, 'interrupted', 'one that comes before the code ends it');
is_value('x', '2', 'once');
# An interrupt races with the end of its step, with the next frame, and with what the engine does around the code.
srand 1;
my $ends = $d->storm(1500, 'x', 'await 1; x', 'console.log(x); x', 'for (let i = 0; i < 3e4; i++); x', 'display({ a: x }); x', 'await new Promise((r) => setImmediate(r)); x',
    'process.nextTick(() => {}); queueMicrotask(() => {}); await null; x', 'setTimeout(() => {}, 0); x', 'throw new Error("expected")', 'await import("node:fs"); x', 'console.log("x".repeat(1e5)); x', 'half of (');
is(join(' ', sort keys %$ends), 'failed interrupted succeeded', 'SIGINT at any moment ends a step at most') or diag explain $ends;
is_value('x', '2', 'and leaves the session as it was');
js('process.on("SIGINT", () => console.log("mine"))');
$r = js('console.log("go"); for (;;) {}', interrupt_at => qr/go\n/);
is("$r->{status} $r->{stdout}", "interrupted go\n", "a listener of the code's does not keep it from the driver");
js('process.removeAllListeners("SIGINT")');
$d->interrupt;
is_value('x', '2', 'nor does the end of one');
$r = js('process.nextTick(() => { require("fs").writeSync(1, "go\n"); for (;;) {} }); await new Promise(() => {})', interrupt_at => qr/go\n/);
is($r->{status}, 'interrupted', "a loop in the engine's own queue");
is_value('x', '2', 'takes nothing with it');
is(js("\n  'use strict'; undeclared = 1")->{error}{name}, 'ReferenceError', 'strict code is strict');
is_value('delete Promise.prototype.constructor; await 4', '4', 'without what the driver asks promises for');
is_value('Object.hasOwn(Promise.prototype, "constructor")', 'false', 'which is put back as it was');
fails('throw new RangeError("x")', 'RangeError', 'errors come through');
js('Promise.prototype.constructor = Promise; Object.defineProperty(Promise.prototype, "constructor", { configurable: false })');
is_value('await 5', '5', 'nor when it is frozen');
fails('throw new RangeError("x")', 'RangeError', 'errors then');
js('setInterval(() => { x = 3 }, 5).unref()');
is_value('await new Promise((r) => setTimeout(r, 50)); x', '3', 'timers go on between steps');

# Tampering.
is_value('JSON.parse = JSON.stringify = null; Buffer.from = Buffer.concat = null; Array.prototype.map; 1', '1', 'replaced builtins');
is_value('2', '2', 'do not hinder');
is_value('globalThis.display = globalThis.require = null; delete globalThis.console; 3', '3', 'nor deleted globals');
is_value('try { __sandbox_step__ = 1 } catch {} typeof __sandbox_step__', "'object'", 'the way into the driver cannot be replaced');
$d->finish;

$d = Sandbox::Driver->new('javascript', env => { GIVEN => 'yes' });
is_value('process.env.GIVEN + process.env.STEP', "'yesundefined'", 'the environment');
is(value(js('process.env.STEP + process.env.GIVEN', env => { STEP => "a\"b\\\n", GIVEN => 'other' })), q{'a"b\\\\\nother'}, "a step's own");
is_value('process.env.GIVEN + process.env.STEP', "'yesundefined'", 'lasts for the step');
$r = js('console.log("bye"); process.exit(4)');
is("$r->{dead} $r->{exit} $r->{stdout}", "1 4 bye\n", 'process.exit() ends the interpreter');
$d->start;
is(js('process.kill(process.pid, "SIGKILL")')->{signal}, 9, 'so does a signal');
$d->start;
ok(js('process.abort()')->{dead}, 'and abort()');
$d->start;
js('process.kill(process.pid, "SIGINT")');
ok(js('1')->{dead}, 'it ends when node has shut down what it needs');
$d->start;
is(js('require("fs").closeSync(3); 1')->{status} =~ /dead|succeeded/ ? 1 : 0, 1, 'closing descriptor 3 hangs nothing');
$d->stop;
$d->start;
is_value('1', '1', 'a new one');
$d->finish;
done_testing();
