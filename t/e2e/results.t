#!/usr/bin/perl
# What a client gets of what code shows, through all of the stack: figures, tables, objects and errors of each language, in both tiers.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use MIME::Base64 qw(decode_base64);
use Sandbox;
use Test::More;

my $t = Sandbox->new(launcher => { runsc => 'auto' });
$t->start(executor => { 'pool.default' => 1, 'pool.default.gvisor' => 1 });

sub session {
    my (%body) = @_;
    my $reply = $t->request('POST', '/v1/sessions', json => { wait => '50s', %body });
    is("$reply->{status} " . ($reply->{json}{status} // $reply->{content}), '201 running', "a session of $body{language}") or diag $reply->{content};
    return $reply->{json}{session_id} // BAIL_OUT('no session');
}
sub step {
    my ($id, $code, %body) = @_;
    my $reply = $t->request('POST', "/v1/sessions/$id/steps", json => { code => $code, wait => '50s', timeout => '50s', %body });
    return $reply->{status} =~ /^20/ ? $reply->{json} : { status => "HTTP $reply->{status}", message => $reply->{content} };
}
sub shown { my ($step) = @_; return join ' ', map { my $r = $_; "$r->{kind}:" . join ',', sort keys %{ $r->{data} } } @{ $step->{results} || [] } }

for my $tier (qw(process gvisor)) {
    my $id = session(language => 'python', isolation => $tier, limits => { memory => '512Mi' });
    is(step($id, 'x = 20')->{status}, 'succeeded', "$tier: state");
    my $r = step($id, 'x += 1; x');
    is_deeply($r->{results}, [{ kind => 'result', data => { 'text/plain' => '21' } }], "$tier: a value");
    $r = step($id, "import matplotlib.pyplot as plt\nfor i in range(2):\n    plt.figure()\n    l = plt.plot([1, 2, i])\nprint('drawn')");
    is("$r->{status} $r->{stdout}" . shown($r), "succeeded drawn\ndisplay:image/png,text/plain display:image/png,text/plain", "$tier: each figure") or diag explain $r;
    like(decode_base64($r->{results}[1]{data}{'image/png'} // ''), qr/\A\x89PNG\r\n/, "$tier: is a picture");
    is(step($id, "import os\nsorted(os.listdir('.'))")->{results}[0]{data}{'text/plain'}, '[]', "$tier: and leaves nothing in the workspace");
    $r = step($id, "class V:\n    def _repr_json_(self): return {'a': [1, None]}\n    def _repr_html_(self): return '<b>\\u00fc</b>'\nV()");
    is_deeply([@{ $r->{results}[0]{data} }{qw(application/json text/html)}], [{ a => [1, undef] }, "<b>\x{fc}</b>"], "$tier: JSON is JSON, text is text");
    $r = step($id, "def f():\n    return 1 / 0\nf()");
    is("$r->{status} $r->{error}{name} $r->{interpreter}", 'failed ZeroDivisionError alive', "$tier: an exception");
    like($r->{error}{traceback}, qr/File "<step \d+>", line 2, in f\n    return 1 \/ 0\n/, "$tier: with its lines");
    unlike($r->{error}{traceback}, qr/drivers/, "$tier: and none of the driver");
    $r = step($id, 'while True: pass', timeout => '1s');
    is("$r->{status} $r->{violation}{name} $r->{interpreter}", 'limit_exceeded time alive', "$tier: a timeout interrupts") or diag explain $r;
    is(step($id, 'x')->{results}[0]{data}{'text/plain'}, '21', "$tier: and leaves the session as it was");
    $r = step($id, 'for i in range(100): display(i)');
    is(scalar(@{ $r->{results} }) . " $r->{usage}{displays_dropped}", '32 68', "$tier: not more displays than allowed");
    $r = step($id, "import subprocess, multiprocessing\nwith multiprocessing.Pool(2) as p: print(p.map(abs, [-1, -2]))");
    is($r->{stdout}, "[1, 2]\n", "$tier: processes") or diag explain $r;
    $t->request('DELETE', "/v1/sessions/$id");

    $id = session(language => 'javascript', isolation => $tier, limits => { memory => '512Mi' });
    step($id, 'let o = { a: 1 }');
    is_deeply(step($id, 'o')->{results}, [{ kind => 'result', data => { 'text/plain' => '{ a: 1 }', 'application/json' => { a => 1 } } }], "$tier: an object of node");
    $r = step($id, 'while (true) {}', timeout => '1s');
    is("$r->{status} $r->{interpreter}", 'limit_exceeded alive', "$tier: a timeout interrupts node") or diag explain $r;
    is(step($id, 'await new Promise((r) => setTimeout(r, 5)); o.a')->{results}[0]{data}{'text/plain'}, '1', "$tier: and leaves it as it was");
    $t->request('DELETE', "/v1/sessions/$id");

    $id = session(language => 'bash', isolation => $tier);
    step($id, 'v=1; mkdir d; cd d');
    is(step($id, 'echo $v ${PWD##*/}')->{stdout}, "1 d\n", "$tier: state of bash");
    $r = step($id, 'sleep 600', timeout => '1s');
    is("$r->{status} $r->{interpreter}", 'limit_exceeded alive', "$tier: a timeout interrupts bash") or diag explain $r;
    is(step($id, 'set -e; echo a; false; echo b')->{exit_code}, 1, "$tier: set -e ends a step");
    is(step($id, 'echo $v ${PWD##*/}')->{stdout}, "1 d\n", "$tier: and the session is as it was");
    $t->request('DELETE', "/v1/sessions/$id");
}
$t->finish;
done_testing();
