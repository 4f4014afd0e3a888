#!/usr/bin/perl
# Progress of runs as agents' clients have it: when, what, and the answer at the end.
use strict;
use warnings;
use lib 't/lib';
use Sandbox;
use Sandbox::Stream;
use Sandbox::Tool;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new(executor => { 'pool.default' => 1, 'limits.max_running' => 2, 'streams.keepalive' => '1500ms', 'streams.max' => 6, 'streams.max_per_tenant' => 3 });
$t->start_launcher->start_executor;
my $tool = Sandbox::Tool->new($t);
my $ACCEPT = "$Sandbox::Tool::TYPE, text/event-stream";
sub stream { my ($method, $path, %option) = @_; return Sandbox::Stream->executor($t, $method, $path, %option, headers => { Accept => $option{accept} // $ACCEPT, 'Sandbox-Tool-Call' => $option{call} }) }
sub run { my ($code, %body) = @_; my %option = %{ delete $body{-option} || {} }; return stream('POST', '/tools/jobs', json => { language => 'python', code => $code, %body }, %option) }
sub progress { return grep { $_->{event} eq 'progress' } @{ $_[0]{events} } }
sub grows { my @n = map { $_->{data}{progress} } progress($_[0]); return !grep { $n[$_] <= $n[ $_ - 1 ] } 1 .. $#n }
sub stop { $tool->ask('DELETE', '/tools/runs/' . $_->{headers}{location} =~ s{.*/}{}r) for @_; $_->finish for @_; return }
# When each event came, by the test's own clock.
sub timed {
    my ($s, $seconds) = @_;
    my @at;
    $s->until($seconds, sub { push @at, time while @at < @{ $s->{events} }; $s->{over} });
    return @at;
}

# From its head to its end.
my $s = run("import time\ntime.sleep(25)");
ok($s->until(30, sub { $s->{comments} }), 'the head and a comment');
is(scalar(grep { $_ eq 'complete' } $s->names), 0, 'come before the end');
stop($s);
my $start = time;
$s = run("import time, sys\nfor i in range(34):\n    print('line', i, flush=True)\n    time.sleep(0.1)\nprint('last', file=sys.stderr)");
ok($s->until(30, sub { defined $s->{status} }), 'the head');
is_deeply([$s->{status}, @{ $s->{headers} }{qw(content-type x-accel-buffering cache-control)}], [200, 'text/event-stream', 'no', 'no-store'], 'as a stream that nobody keeps');
my @at = timed($s, 20);
is_deeply([$s->names], [('progress') x (@at - 1), 'complete'], 'progress, then the answer');
cmp_ok(scalar progress($s), '>=', 2, 'more than once');
cmp_ok(scalar progress($s), '<=', 1 + $at[-1] - $start, 'at most every second');
ok(grows($s), 'it grows');
# Before the first line it may be told that it waits and that it runs.
# And after the last one of all, until its end is on record, that one.
like(join(', ', map { $_->{data}{message} } progress($s)), qr/^(?:queued, )*(?:running, )*line \d+(?:, line \d+)*(?:, last)?$/, 'with the last line');
my $result = $s->last_event('complete');
is($result->{structuredContent}{status}, 'succeeded', 'the answer is the whole one');
is_deeply($tool->get('/tools/runs/' . $result->{structuredContent}{job_id})->{json}, $result, 'which get_job has, too');
is($s->{headers}{location}, '/v1/jobs/' . $result->{structuredContent}{job_id}, 'Location names it');
ok($s->{over} && !$s->{cut}, 'and the stream ends');

# Silence.
$start = time;
$s = run("import time\nprint('a word', flush=True)\ntime.sleep(9)");
@at = timed($s, 30);
like(join(', ', map { $_->{data}{message} } progress($s)), qr/^(?:queued, )*(?:running, )*a word(?:, a word)+$/, 'what was said last');
my @said = grep { ($s->{events}[$_]{data}{message} // '') eq 'a word' } 0 .. $#at;
cmp_ok($at[$said[1]] - $at[$said[0]], '>', 3.5, 'is not said again at once');
cmp_ok($at[$said[1]] - $at[$said[0]], '<', 8, 'but within five seconds');
cmp_ok($s->{comments}, '>=', 2, 'comments keep it alive between');
ok(grows($s), 'it grows all the same');

# What is said is bounded, and text.
my @cases = (
    ["print('x' * 5000, flush=True)", qr/^x{200}$/, 'a long line'],
    ["sys.stdout.buffer.write(b'\\xff\\x00\\x1b[2J\\n'); sys.stdout.flush()", qr/^\\xff\\x00\\x1b\[2J$/, 'no text'],
    ["print('\\u20ac' * 100, flush=True)", qr/^\x{20ac}{66}$/, 'characters, whole'],
    ["sys.stdout.buffer.write(b'10%\\r20%\\r'); sys.stdout.flush()", qr/^20%$/, 'a bar'],
    ["print('out', flush=True); sys.stderr.write('err\\n'); sys.stderr.flush()", qr/^err$/, 'the other stream'],
    ["print('one\\n\\n   \\n', flush=True)", qr/^one$/, 'empty lines'],
    ["pass", qr/^running$/, 'nothing'],
    ["print('a\"b\\\\c', flush=True)", qr/^a"b\\c$/, 'what JSON escapes'],
);
while (my @pair = splice @cases, 0, 2) {
    $_->[3] = run("import sys, time\n$_->[0]\ntime.sleep(25)") for @pair;
    for (@pair) {
        my (undef, $message, $name, $s) = @$_;
        ok($s->until(30, sub { grep { $_->{data}{message} =~ $message } progress($s) }), "$name is told of, as far as it can be shown") or diag explain $s->{events};
    }
    stop(map { $_->[3] } @pair);
}

# In the queue.
my @busy = map { run("import time\ntime.sleep(60)") } 1 .. 2;
ok($_->until(30, sub { $_->{comments} }), 'busy') for @busy;
$s = run("print('now')");
ok($s->until(30, sub { progress($s) }), 'a job that waits') or diag explain $s->{events};
is((progress($s))[0]{data}{message}, 'queued', 'says so');
stop(@busy);
is($s->finish->last_event('complete')->{structuredContent}{stdout}, "now\n", 'and runs at last');

# A wait that is over.
$s = run("import time\nprint('on', flush=True)\ntime.sleep(30)", wait => '1500ms')->finish;
$result = $s->last_event('complete');
is($result->{structuredContent}{status}, 'running', 'a wait that is over ends the stream');
my $id = $result->{structuredContent}{job_id};
like($result->{structuredContent}{next}, qr/get_job/, 'with how to go on');
$s = stream('GET', "/tools/runs/$id?wait=2")->finish;
is($s->last_event('complete')->{structuredContent}{status}, 'running', 'get_job streams as well');
$s = stream('GET', "/tools/runs/$id?wait=40");
ok($s->until(30, sub { $s->{comments} }), 'while it is asked about');
my $ended = $tool->ask('DELETE', "/tools/runs/$id");
is($s->finish->last_event('complete')->{structuredContent}{status}, 'cancelled', 'a stream tells of its end');
$s = stream('GET', "/tools/runs/$id")->finish;
is($s->{headers}{'content-type'}, $Sandbox::Tool::TYPE, 'what is over is a plain answer');

# A result that has line breaks in it does not break the stream.
$s = run("def handler(event): return {'a': 'b\\nc', 'd': [1, 2]}", event => {})->finish;
is_deeply($s->last_event('complete')->{structuredContent}{result}, { a => "b\nc", d => [1, 2] }, 'one event, whatever is in it');

# Steps.
my $session = $tool->post('/tools/sessions', { language => 'python' })->{json}{structuredContent}{session_id};
$s = stream('POST', "/tools/sessions/$session/steps", json => { code => "import time\nfor i in range(30): print('step', i, flush=True); time.sleep(0.1)\n6 * 7" })->finish;
like(join(', ', map { $_->{data}{message} } progress($s)), qr/^(?:queued, )*(?:running, )*step \d+(?:, step \d+)*$/, 'a step has progress');
is($s->last_event('complete')->{structuredContent}{result}, '42', 'and its answer');
is($s->{headers}{location}, "/v1/sessions/$session/steps/" . ($s->last_event('complete')->{structuredContent}{job_id} =~ s/.*\.//r), 'and its place');
$s = stream('POST', "/tools/sessions/$session/steps", json => { code => 'raise SystemExit' })->finish;
ok($s->last_event('complete'), 'however it ends');
$s = stream('POST', '/tools/sessions', json => { language => 'python' })->finish;
is($s->{headers}{'content-type'}, $Sandbox::Tool::TYPE, 'making a session streams nothing');
$tool->ask('DELETE', '/tools/sessions/' . $s->json->{structuredContent}{session_id});
$tool->ask('DELETE', "/tools/sessions/$session");

# Who does not take streams gets none, and refusals are none.
for my $accept ($Sandbox::Tool::TYPE, "$Sandbox::Tool::TYPE, text/event-stream;q=0", "$Sandbox::Tool::TYPE, */*", "$Sandbox::Tool::TYPE, text/plain") {
    is(run('1', -option => { accept => $accept })->finish->{headers}{'content-type'}, $Sandbox::Tool::TYPE, "$accept");
}
is(run('1', -option => { accept => "text/event-stream;q=0.1, $Sandbox::Tool::TYPE" })->finish->{headers}{'content-type'}, 'text/event-stream', 'in any order');
$s = run('1', language => 'cobol')->finish;
is_deeply([$s->{status}, $s->{headers}{'content-type'}], [422, 'application/problem+json'], 'a refusal is a problem document');
is(stream('GET', '/tools/runs/job_00000000000000000000000000')->finish->{status}, 404, 'so is what is not there');
my $head = stream('HEAD', "/tools/runs/$id");
$head->until(30, sub { defined $head->{status} });
is($head->{status}, 200, 'HEAD');

# As many as there may be; the others get a plain answer.
my @open = map { run("import time\ntime.sleep(60)", wait => 50) } 1 .. 3;
ok($_->until(30, sub { $_->{comments} }), 'an open stream') for @open;
my $plain = run("print('plain')", wait => '200ms');
is($plain->finish->{headers}{'content-type'}, $Sandbox::Tool::TYPE, 'one too many is a plain answer');
is(run('1', wait => '200ms', -option => { who => { tenant => 'other' } })->finish->{headers}{'content-type'}, 'text/event-stream', "another tenant's streams are its own");
stop(@open);
is(run('1')->finish->{headers}{'content-type'}, 'text/event-stream', 'and there is room again');

# Much output.
$s = run("import time\nfor i in range(12): print('z' * 150, flush=True); time.sleep(0.2)");
is($s->finish->last_event('complete')->{structuredContent}{stdout_bytes}, 12 * 151, 'the answer is whole');

$t->finish;
done_testing();
