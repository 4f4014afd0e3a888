#!/usr/bin/perl
# The Python that a session keeps: state, results, displays, interrupts, and code that does its worst.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Driver;
use Test::More;
use utf8;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output);
my $d = Sandbox::Driver->new('python');
sub py { return $d->step(@_) }
# The text of the value of the last expression; undef: there is none.
sub value { my ($r) = @_; return (map { $_->{'text/plain'} } grep { $_->{kind} eq 'result' } @{ $r->{displays} })[0] }
sub is_value { my ($code, $text, $name) = @_; my $r = py($code); is(value($r), $text, $name) or diag explain $r }
sub fails { my ($code, $error, $name, %more) = @_; my $r = py($code, %more); ok($r->{status} eq 'failed' && $r->{error}{name} eq $error, $name) or diag explain $r; return $r }

# State.
my $r = py("x = 1\nimport math\ndef f(a):\n    return a + x\nclass A:\n    pass\n");
is("$r->{status} @{$r->{displays}}", 'succeeded ', 'definitions have no value');
is_value('f(41)', '42', 'functions, and the variables they see, stay');
is_value('x += 1; x', '2', 'the value of the last of several statements');
is_value('math.floor(A() and 2.5)', '2', 'imports and classes stay');
is_value("if True:\n    5\n", undef, 'an expression in a block is none at the end');
is_value('6 * 7', '42', 'a value');
is_value('_ + 1', '43', 'is known as _');
is_value('None', undef, 'None is no value');
is_value('_', '43', 'and not kept as _');
is_value('7;', undef, 'a semicolon keeps it quiet');
is_value("7; # why\n\n", undef, 'also before a comment');
is_value("(7\n)  ;", undef, 'also behind a parenthesis');
is_value("'a;'", "'a;'", 'a semicolon in a text does not');
is_value("'ä;€'; 'ä;€'", "'ä;€'", 'nor behind letters of several bytes');
is_value("7 # ;", '7', 'nor in a comment');
is_value('', undef, 'no code');
is_value("# only this", undef, 'no statement');
is_value('"ä€😀"', "'ä€😀'", 'UTF-8');
is(py('print("ä€😀")')->{stdout}, "ä€😀\n", 'UTF-8 out');
is_value("__name__", "'__main__'", '__main__');
is_value("import __main__; __main__.x", '2', 'is the session');
is_value('import pickle; type(pickle.loads(pickle.dumps(A()))).__name__', "'A'", 'classes pickle');
is_value("from __future__ import annotations\ndef g(a: nothing): pass\ng.__annotations__", "{'a': 'nothing'}", 'a future import');
is_value("def g(a: nothing): pass\ng.__annotations__", "{'a': 'nothing'}", 'stays');
$d->write_file('pkg/__init__.py', "VALUE = 7\n");
is_value('import pkg; pkg.VALUE', '7', 'modules of the workspace');
is_value("import inspect; inspect.getsource(f)", q{'def f(a):\n    return a + x\n'}, 'the source of what was defined');
is_value("import sys; sys.argv", "['']", 'no arguments');

# Await.
is_value("import asyncio\nasync def w(v):\n    await asyncio.sleep(0.01)\n    return v\nawait w(3)", '3', 'await at the top');
is_value("v = await w(4)\nawait w(v + 1)", '5', 'twice');
is_value('asyncio.run(w(8))', '8', 'a loop of its own');
is_value("t = asyncio.create_task(w(9))\nawait t", '9', 'tasks');
$r = fails("async def bad():\n    raise ValueError('deep')\nawait bad()", 'ValueError', 'an exception through an await');
like($r->{error}{traceback}, qr/\ATraceback \(most recent call last\):\n  File "<step \d+>", line 3, in <module>\n    await bad\(\)\n  File "<step \d+>", line 2, in bad\n/, 'without the loop in its traceback');

# Errors.
$r = fails("def inner():\n    return 1 / 0\n\ndef outer():\n    inner()\nouter()", 'ZeroDivisionError', 'an exception');
like($r->{error}{traceback}, qr/\ATraceback \(most recent call last\):\n  File "<step \d+>", line 6, in <module>\n    outer\(\)\n.*line 2, in inner\n    return 1 \/ 0\n.*ZeroDivisionError: division by zero\n\z/s, 'its traceback has lines and sources');
is("$r->{error}{value}|$r->{stderr}|" . ($r->{exit_code} // 'null'), 'division by zero||null', 'and is not printed');
$r = fails('outer()', 'ZeroDivisionError', 'an exception of an earlier step');
like($r->{error}{traceback}, qr/line 2, in inner\n    return 1 \/ 0/, 'knows its source');
is_value("import traceback\ntry:\n    outer()\nexcept ZeroDivisionError:\n    t = traceback.format_exc()\n'return 1 / 0' in t and 'repl' not in t", 'True', "so do the code's own tracebacks");
$r = fails("try:\n    1/0\nexcept Exception as e:\n    raise KeyError('k') from e", 'KeyError', 'chained exceptions');
like($r->{error}{traceback}, qr/ZeroDivisionError.*direct cause.*KeyError: 'k'/s, 'are told');
unlike($r->{error}{traceback}, qr/drivers|repl/, 'without the driver');
$r = fails("x = (\n", 'SyntaxError', 'a syntax error');
like($r->{error}{traceback}, qr/\A  File "<step \d+>", line 1\n    x = \(\n/, 'shows its line');
fails("x = '\0'", 'ValueError', 'a NUL');
is_value('x', '2', 'nothing of such a step has run');
$r = fails("y = 5\nraise RuntimeError('half')", 'RuntimeError', 'an exception half way');
is_value('y', '5', 'what ran before it has run');
fails("€ = 1", 'SyntaxError', 'a letter that is no code');
$d->begin('');
$r = $d->result($d->wait_for(sub { $_[0]{frames} }));
is($r->{status}, 'succeeded', 'an empty step');
{
    my $frame = qq(S{"id":"a","max_displays":1,"max_display_bytes":1}\nx = "\xff\xfe");
    $d->write_all(pack('V', length $frame) . $frame);
    $r = $d->result($d->wait_for(sub { $_[0]{frames} }));
    is($r->{error}{name}, 'UnicodeDecodeError', 'code that is not UTF-8');
}
$r = fails('def f2(): f2()' . "\nf2()", 'RecursionError', 'endless recursion');
like($r->{error}{traceback}, qr/repeated \d+ more times/, 'in few words');
fails("import sys; sys.setrecursionlimit(60)\ndef f3(): f3()\nf3()", 'RecursionError', 'with a low limit');
fails('1/0', 'ZeroDivisionError', 'which stays');
py('sys.setrecursionlimit(1000)');
$r = fails("raise ValueError('x' * 10_000_000)", 'ValueError', 'an error of 10 MB');
ok(length $r->{error}{value} < 8192 && length $r->{error}{traceback} < 40000, 'is cut');
$r = fails("raise ValueError('\\x01' * 100_000)", 'ValueError', 'one that grows in JSON');
$r = fails("raise ValueError('a\\0b\\ud800c')", 'ValueError', 'one that JSON cannot hold');
is($r->{error}{value}, "a\x{fffd}b?c", 'is told nearly');
$r = fails("class E(Exception):\n    def __str__(self): raise OSError('no')\nraise E", 'E', 'an error that cannot be told');
$r = fails("class B(BaseException): pass\nraise B('base')", 'B', 'any BaseException');
$r = fails("raise ExceptionGroup('g', [ValueError('one'), KeyError('two')])", 'ExceptionGroup', 'a group');
like($r->{error}{traceback}, qr/ValueError: one.*KeyError: 'two'/s, 'with its members');

# Leaving.
$r = py('raise SystemExit(3)');
is("$r->{status} $r->{exit_code} $r->{error}{name}", 'failed 3 SystemExit', 'SystemExit ends the step only');
is_value('x', '2', 'the interpreter lives');
$r = py('import sys; sys.exit()');
is("$r->{status} $r->{exit_code} " . ($r->{error} // 'null'), 'succeeded 0 null', 'exit without a code');
$r = py('sys.exit("why")');
is("$r->{status} $r->{exit_code} $r->{stderr}", "failed 1 why\n", 'exit with a message');
is(py('sys.exit(-1)')->{exit_code}, 255, 'exit with a negative code');
is(py('exit(4)')->{exit_code}, 4, 'exit()');
fails('input()', 'EOFError', 'and standard input is there after it, empty');
$r = py("import threading\nt = threading.Thread(target=lambda: sys.exit(9)); t.start(); t.join(); print('on')");
is("$r->{status} $r->{stdout}", "succeeded on\n", 'exit in a thread is harmless');
$r = py("async def q(): sys.exit(6)\nawait q()");
is($r->{exit_code}, 6, 'exit in a coroutine');

# Output.
is(py('print("x", end="")')->{stdout}, 'x', 'the last line is flushed');
is(py('sys.stderr.write("e")')->{stderr}, 'e', 'and that of standard error');
$r = py("import os\nprint('a')\nos.write(1, b'b\\n')\nos.system('echo c')");
is($r->{stdout}, "a\nb\nc\n", 'in the order of writing');
is(py("import io\nsys.stdout = io.StringIO()\nprint('lost')")->{stdout}, '', 'a replaced standard output');
is(py("sys.stdout = sys.__stdout__\nprint('back')")->{stdout}, "back\n", 'and the old one again');
is(py("class Bad:\n    def __getattr__(self, n): raise RuntimeError(n)\nsys.stdout = Bad()")->{status}, 'succeeded', 'one that cannot do anything');
is(py('sys.stdout = None')->{status}, 'succeeded', 'none');
is(py('print("again")')->{stdout}, "again\n", 'is made anew');
is(py('sys.stdout.close()')->{status}, 'succeeded', 'a closed one');
is(py('print("anew")')->{stdout}, "anew\n", 'as well');
py('import os; os.close(1); os.close(2)');
is(py('print("still")')->{stdout}, "still\n", 'and closed descriptors');

# Displays.
$r = py("class H:\n    def _repr_html_(self): return '<b>ü</b>'\n    def _repr_markdown_(self): return '**b**'\n    def _repr_latex_(self): return '\$b\$'\n    def _repr_svg_(self): return '<svg/>'\n"
    . "    def _repr_png_(self): return b'\\x89PNG\\xff'\n    def _repr_jpeg_(self): return '/9j/'\n    def _repr_json_(self): return {'ü': [1, None]}\n    def __repr__(self): return 'H!'\nH()");
my $shown = $r->{displays}[0];
is($shown->{kind}, 'result', 'a value of many forms');
is_deeply({ map { $_->{mime} => $_->{data} } @{ $shown->{items} } },
    { 'text/plain' => 'H!', 'text/html' => '<b>ü</b>', 'text/markdown' => '**b**', 'text/latex' => '$b$', 'image/svg+xml' => '<svg/>', 'image/png' => "\x89PNG\xff",
      'image/jpeg' => "\xff\xd8\xff", 'application/json' => '{"ü": [1, null]}' }, 'gives each');
is($shown->{items}[0]{mime}, 'text/plain', 'text first');
is_value('H', "<class '__main__.H'>", 'its class has none of them');
$r = py("display(1, 'two')\nprint('p')\ndisplay(H())\n3");
is_deeply([map { "$_->{kind} $_->{'text/plain'}" } @{ $r->{displays} }], ['display 1', "display 'two'", 'display H!', 'result 3'], 'display() of several, in order');
$r = py("display({'text/html': '<i>', 'application/json': [1], 'image/png': 'iVBO', 'no mime': 'x', 'a/b' * 40: 'x', 3: 'x'}, raw=True)");
is_deeply([sort map { $_->{mime} } @{ $r->{displays}[0]{items} }], ['application/json', 'image/png', 'text/html', 'text/plain'], 'a bundle by hand, without what is no MIME type');
is($r->{displays}[0]{'image/png'}, "\x89PN", 'pictures are bytes');
$r = py("class M:\n    def _repr_mimebundle_(self, include=None, exclude=None): return {'text/html': 'M', 'text/plain': 'plain M'}, {'meta': 1}\n    def _repr_html_(self): return 'not asked'\nM()");
is("$r->{displays}[0]{'text/html'} $r->{displays}[0]{'text/plain'}", 'M plain M', '_repr_mimebundle_ goes first');
$r = py("class W:\n    def _repr_html_(self): raise ValueError('broken')\n    def _repr_png_(self): return 5\n    def _repr_json_(self): return float('nan')\n    def _repr_svg_(self): return None\n    def _repr_markdown_(self): raise NotImplementedError\nW()");
is_deeply([map { $_->{mime} } @{ $r->{displays}[0]{items} }], ['text/plain'], 'forms that fail are left out');
like($r->{stderr}, qr/\A_repr_html_ of W raised ValueError: broken\n_repr_png_ of W raised TypeError.*\n_repr_json_ of W raised ValueError.*\n\z/, 'and told');
is_value("class R:\n    def __repr__(self): raise ValueError('r')\nR()", '<repr() of R raised ValueError>', 'a repr() that raises');
is_value("class R:\n    def __repr__(self): return 5\nR()", '<repr() of R raised TypeError>', 'a repr() that is no text');
is_value("class G:\n    def __getattr__(self, n): raise ZeroDivisionError\n    def __repr__(self): return 'G'\nG()", 'G', 'attributes that raise');
is_value("from unittest.mock import MagicMock\ntype(MagicMock(name='m')).__name__", "'MagicMock'", 'a mock');
is(scalar @{ py('MagicMock()')->{displays}[0]{items} }, 1, 'which has every method has no form');
is(scalar @{ py('H')->{displays}[0]{items} }, 1, 'nor has a class');
is_value("'a\\0\\ud800'", q{'a\x00\ud800'}, 'a text that is no UTF-8');
$r = py("'x' * 50_000_000");
ok(length value($r) < 70_000, 'a long text is cut');
$r = py('list(range(1_000_000))');
like(value($r), qr/ 998, 999, \.\.\. 999000 more\]\z/, 'a long list');
like(value(py('{i: i for i in range(2000)}')), qr/ 999: 999, \.\.\. 1000 more\}\z/, 'a long dictionary');
like(value(py('set(range(2000))')), qr/, 999, \.\.\. 1000 more\}\z/, 'a long set');
like(value(py('frozenset(range(2000))')), qr/\Afrozenset\(\{0, .*\.\.\. 1000 more/s, 'a long frozen set');
like(value(py('tuple(range(2000))')), qr/, 999, \.\.\. 1000 more\)\z/, 'a long tuple');
is(py('a = []; a.append(a); a')->{displays}[0]{'text/plain'}, '[[...]]', 'a list in itself');
fails("class K:\n    def __repr__(self): raise SystemExit(2)\nK()", 'SystemExit', 'a repr() that leaves');

# What a step may show.
$r = py('for i in range(10): display(i)', max_displays => 3);
is(scalar @{ $r->{displays} } . " $r->{dropped}", '3 7', 'not more displays than allowed');
$r = py('display(1)', max_displays => 0);
is(scalar @{ $r->{displays} } . " $r->{dropped}", '0 1', 'nor one');
$r = py("class P:\n    def _repr_png_(self): return b'p' * 5000\n    def _repr_html_(self): return 'small'\n    def __repr__(self): return 'P'\nP()", max_display_bytes => 1000);
is_deeply([map { $_->{mime} } @{ $r->{displays}[0]{items} }], ['text/plain', 'text/html'], 'not more bytes than allowed');
is("$r->{dropped} $r->{displays}[0]{'text/plain'}", "1 P\n[image/png of 5000 bytes is left out: too large]", 'what is missing is told');
$r = py("for i in range(100): display('x' * 90)", max_display_bytes => 1000, max_displays => 1000);
my $sum = 0;
$sum += $_->{size} for map { @{ $_->{items} } } @{ $r->{displays} };
ok($sum <= 1000 && $sum > 800 && $r->{dropped} > 80, 'not more in all displays together') or diag "$sum $r->{dropped}";
$r = py("class Big:\n    def _repr_html_(self): return 'x' * (40 << 20)\nBig()", max_display_bytes => 1 << 30);
is(scalar @{ $r->{displays}[0]{items} } . " $r->{dropped}", '1 1', 'nor items without end');
is_value('3', '3', 'the next step has its own allowance');

# Figures and tables.
my $plot = "import matplotlib.pyplot as plt\nfig, ax = plt.subplots(); l = ax.plot([1, 2])\n";
$r = py("${plot}plt.figure(); l = plt.plot([3])");
is(scalar(grep { $_->{kind} eq 'display' && $_->{'image/png'} =~ /\A\x89PNG\r\n/ } @{ $r->{displays} }), 2, 'each open figure is shown') or diag explain $r->{error}, $r->{stderr};
is(scalar @{ py('plt.get_fignums()')->{displays} }, 1, 'once');
is_value('plt.get_fignums()', '[]', 'and closed');
$r = py("l = plt.plot([1])\nplt.show()\ndisplay('between')\nl = plt.plot([2])\n'value'");
is_deeply([map { $_->{'text/plain'} =~ s/\A<Figure.*/figure/r } @{ $r->{displays} }], ['figure', "'between'", "'value'", 'figure'], 'show() shows at once');
is(scalar @{ py("${plot}fig")->{displays} }, 1, 'a figure that is the value is shown once');
is(scalar @{ py('plt.figure();')->{displays} }, 0, 'an empty one not at all');
is(scalar @{ py("${plot}plt.close(fig)")->{displays} }, 0, 'nor a closed one');
$r = py("import matplotlib; matplotlib.use('Agg')\n${plot}");
is(scalar @{ $r->{displays} }, 1, 'another backend') or diag explain $r;
$r = py("${plot}fig.savefig = None\n");
is("$r->{status} " . ($r->{stderr} =~ /the picture of Figure raised/), 'succeeded 1', 'a figure that cannot be drawn');
$r = py("from PIL import Image\nImage.new('RGB', (4, 4))");
like($r->{displays}[0]{'image/png'}, qr/\A\x89PNG/, 'a picture of PIL');
$r = py("import pandas as pd\npd.DataFrame({'a': [1, 2]})");
like($r->{displays}[0]{'text/html'}, qr/<table/, 'a table as HTML');
like($r->{displays}[0]{'text/plain'}, qr/   a\n0  1\n1  2/, 'and as text');
like(value(py('pd.Series([1, 2])')), qr/dtype: int64/, 'a series');
ok(!-e "$d->{ws}/.config" && !-e "$d->{ws}/.cache", 'matplotlib keeps its files away from the workspace');
is(py("import subprocess\nsubprocess.run([sys.executable, '-c', 'import matplotlib.pyplot as p; print(p.get_backend())'])")->{stdout}, "agg\n", 'programs that are started draw as ever');

# Interrupts.
for my $case (['an endless loop', "while True: pass"], ['a sleep', 'import time; time.sleep(600)'], ['an await', 'await asyncio.sleep(600)'],
              ['a loop in a coroutine', "async def spin():\n    while True: await asyncio.sleep(0)\nawait spin()"], ['a child', "import subprocess; subprocess.run(['sh', '-c', 'echo go go; sleep 600'])"],
              ['a loop that prints', "while True: print('x' * 1000)"], ['a loop that shows', "while True: display('x')"],
              ['a repr()', "class S:\n    def __repr__(self):\n        while True: pass\nS()"], ['an import', "import http.server; http.server.HTTPServer(('127.0.0.1', 0), None).serve_forever()"]) {
    my ($name, $code) = @$case;
    $r = py("print('go', flush=True)\n$code", interrupt_at => $code =~ /go go/ ? qr/go go\n/ : qr/go\n/, max_displays => 1 << 30, max_display_bytes => 1 << 40);
    ok($r->{status} eq 'interrupted' && $r->{error}{name} eq 'KeyboardInterrupt', "SIGINT ends $name") or diag explain $r->{error}, $r->{status};
    unlike($r->{error}{traceback} // '', qr/repl/, 'without the driver in the traceback');
    is_value('x', '2', 'and leaves the session as it was');
}
srand 1;
my $ends = $d->storm(1500, 'x', 'print(x)', 'display(x)', 'for i in range(3000): pass', '1/0', 'import time; time.sleep(0.0002)', 'print("x" * 100000)', 'half of (');
is(join(' ', sort keys %$ends), 'failed interrupted succeeded', 'SIGINT at any moment ends a step at most') or diag explain $ends;
is_value('x', '2', 'and leaves the session as it was');
$r = py("signal_seen = []\nimport signal\nsignal.signal(signal.SIGINT, lambda *a: signal_seen.append(1))\nprint('go', flush=True)\nwhile not signal_seen: pass\n", interrupt_at => qr/go/);
is($r->{status}, 'succeeded', 'a handler of the code has the signal in its own step');
$r = py("print('go', flush=True)\nwhile True: pass", interrupt_at => qr/go/);
is($r->{status}, 'interrupted', 'but not in the next');
$r = py("try:\n    print('go', flush=True)\n    while True: pass\nexcept KeyboardInterrupt:\n    print('caught')\n5", interrupt_at => qr/go/);
is("$r->{status} " . value($r), 'succeeded 5', 'the code may catch it');
$r = fails('raise KeyboardInterrupt', 'KeyboardInterrupt', 'one that the code raises is an error');
is_deeply([grep { $_ ne 'succeeded' } map { $d->interrupt; py('x')->{status} } 1 .. 200], [], 'a signal that its step has overtaken does nothing');
$d->signal;
$r = py("print(1)\nwhile True: pass");
is("$r->{status} $r->{stdout}", 'interrupted ', 'one that comes before the code ends it');
is_value('x', '2', 'once');
$r = py("print('go', flush=True)\nimport atexit\nwhile True:\n    try:\n        while True: pass\n    finally:\n        z = 1", interrupt_at => qr/go/);
is($r->{status}, 'interrupted', 'through a finally');

# Children.
is(py("pid = os.fork()\nif pid == 0:\n    print('child')\nelse:\n    os.waitpid(pid, 0)\n    print('parent')")->{stdout}, "child\nparent\n", 'a child that comes to the end of the code is no interpreter');
$r = py("pid = os.fork()\nif pid == 0:\n    display(1)\n    raise ValueError('in the child')\nstatus = os.waitpid(pid, 0)[1]\nstatus >> 8");
is(value($r) . ' ' . @{ $r->{displays} } . ' ' . ($r->{stderr} =~ /ValueError: in the child\n\z/), '1 1 1', 'its error is its own, and it shows nothing');
is(py("import multiprocessing as m\ndef sq(v): return v * v\nwith m.Pool(2) as p: print(p.map(sq, [1, 2, 3]))")->{stdout}, "[1, 4, 9]\n", 'multiprocessing');
is(py("p = m.get_context('spawn').Process(target=print, args=('spawned',)); p.start(); p.join()")->{stdout}, "spawned\n", 'by new interpreters too');
is(py("print(subprocess.run(['ls', '/proc/self/fd'], close_fds=False, capture_output=True, text=True).stdout.split())")->{stdout}, "['0', '1', '2', '3']\n", 'descriptor 3 is not handed on');

# Threads.
$r = py("def late():\n    e.wait()\n    display('late')\n    done.set()\ne, done = threading.Event(), threading.Event()\nt = threading.Thread(target=late, daemon=True); t.start()\n1");
is(scalar @{ $r->{displays} }, 1, 'a thread');
$d->begin("e.set(); b = done.wait(30)\nb");
$r = $d->result($d->wait_for(sub { ($_[0]{frames} // [''])->[-1] =~ /\AE/ }));
is(scalar @{ $r->{displays} }, 2, 'may show in a later step');
py("import time\ndef between():\n    time.sleep(0.05)\n    display('between')\n    done.set()\ndone = threading.Event(); threading.Thread(target=between, daemon=True).start()");
my $got = $d->wait_for(sub { 1 });
ok(!$got->{frames}, 'but not between steps');
is_value('done.wait(30)', 'True', 'where it is lost');

# Tampering.
is_value("import builtins\nfor name in ('open', 'print', 'compile', 'exec', 'eval', 'len', 'repr', 'isinstance', 'type', 'dict', 'list', 'str', 'bytes', 'memoryview', 'getattr'):\n    setattr(builtins, 'old_' + name, getattr(builtins, name))\n"
    . "    if name != 'repr': setattr(builtins, name, None)\n5", '5', 'replaced builtins');
is_value('6', '6', 'do not hinder');
is(py('1/0')->{status}, 'failed', 'nor in an error');
is_value("for name in ('open', 'print', 'compile', 'exec', 'eval', 'len', 'isinstance', 'getattr', 'type', 'dict', 'list', 'str', 'bytes', 'memoryview'): builtins.__dict__[name] = builtins.__dict__['old_' + name]\n7", '7', 'put back');
is_value("del builtins.display\n8", '8', 'no display()');
is_value("for name in list(sys.modules):\n    if name not in ('sys', 'builtins'): del sys.modules[name]\n9", '9', 'deleted modules');
is_value('10', '10', 'do not hinder');
is(py('1/0')->{error}{name}, 'ZeroDivisionError', 'nor in an error');
is_value("sys.meta_path.clear(); sys.path.clear(); 11", '11', 'no imports at all');
is(py('1/0')->{error}{name}, 'ZeroDivisionError', 'an error all the same');
is_value("globals().clear()\n12", '12', 'an empty namespace');
is_value('13', '13', 'works');
$d->finish;

$d = Sandbox::Driver->new('python', env => { GIVEN => 'yes' });
is_value("import os; os.environ['GIVEN'], os.environ.get('STEP')", "('yes', None)", 'the environment');
$r = $d->step("os.environ['STEP'], os.environ['GIVEN']", env => { STEP => "a\"b\\\n", GIVEN => 'other' });
is(value($r), q{('a"b\\\\\n', 'other')}, "a step's own");
is_value("os.environ['GIVEN'], os.environ.get('STEP')", "('yes', None)", 'lasts for the step');
$d->step('pass') for 1 .. 1100;
$r = $d->step("def f(): return [1/0]\nf()");
like($r->{error}{traceback}, qr/def f\(\): return \[1\/0\]/, 'after many steps');
$r = $d->step("import os; os.closerange(3, 65536)");
ok($r->{dead}, 'code that closes all descriptors loses its interpreter');
$d->stop;
$d->start;
ok($d->step('import os; os._exit(9)')->{exit} == 9, 'so does os._exit()');
$d->start;
is($d->step('import os, signal; os.kill(os.getpid(), signal.SIGKILL)')->{signal}, 9, 'and a signal');
$d->start;
$r = $d->step("import atexit, threading, time\natexit.register(print, 'bye', flush=True)");
is($r->{status}, 'succeeded', 'atexit');
$d->finish;
done_testing();
