#!/usr/bin/perl
# Jobs as event streams, straight at executord's socket.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Sandbox::Stream;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 2, 'limits.max_running' => 5, 'output.keep' => '64Ki', 'streams.keep' => '256Ki', 'streams.memory' => '1Mi', 'streams.keepalive' => '300ms',
    'streams.max' => 60, 'streams.max_per_tenant' => 40, 'streams.linger' => '60s' });
$t->start_launcher->start_executor;

sub ask {
    my ($method, $path, %option) = @_;
    my $who = delete $option{who} || {};
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, %$who), %option);
}
sub stream { my ($method, $path, %option) = @_; return Sandbox::Stream->executor($t, $method, $path, %option) }
sub run { my ($body, %option) = @_; return stream('POST', '/v1/jobs', json => $body, %option) }

# One job from its first byte to its end.
my $s = run({ language => 'python', code => "import sys\nprint('out', flush=True)\nprint('err', file=sys.stderr, flush=True)\ndef handler(event): return {'n': event['n'] + 1}\n", event => { n => 1 } })->finish;
is($s->{status}, 200, 'POST streams');
is($s->{headers}{'content-type'}, 'text/event-stream', 'its type');
is($s->{headers}{'cache-control'}, 'no-store', 'nobody keeps it');
is($s->{headers}{'x-accel-buffering'}, 'no', 'nobody buffers it');
my $id = $s->{events}[0]{data}{job_id};
is($s->{headers}{location}, "/v1/jobs/$id", 'Location names the job');
is($s->{stdout} . $s->{stderr}, "out\nerr\n", 'all output');
is_deeply([grep { !/^std/ } $s->names], [qw(start result usage end)], 'all events in order');
is(($s->names)[0], 'start', 'start is first');
is(($s->names)[-1], 'end', 'end is last');
is_deeply($s->last_event('result'), { n => 2 }, 'the result');
my $doc = ask('GET', "/v1/jobs/$id")->{json};
is_deeply($s->last_event('end'), { map { $_ => $doc->{$_} } grep { !/^(stdout|stderr|result)$/ } keys %$doc }, 'end is the document without output and result');
is_deeply($s->last_event('usage'), $doc->{usage}, 'usage is its usage');
is($s->{events}[0]{id}, '0.0.1', 'ids count');
my $last = $s->{id};

# Again, from anywhere: live no more.
my $again = stream('GET', "/v1/jobs/$id")->finish;
is_deeply([map { [@$_{qw(event id data)}] } @{ $again->{events} }], [map { [@$_{qw(event id data)}] } @{ $s->{events} }], 'read again: the same');
is(stream('GET', "/v1/jobs/$id", headers => { 'Last-Event-ID' => $last })->finish->{status}, 204, 'who has everything is told to stay away');
is(stream('GET', "/v1/jobs/$id?cursor=$last")->finish->{status}, 204, 'the same by parameter');
my $rest = stream('GET', "/v1/jobs/$id?cursor=0.0.0", headers => { 'Last-Event-ID' => '3.4.1' })->finish;
is($rest->{stdout}, "\n", 'the header goes before the parameter, in the middle of a piece');
is($rest->{stderr}, '', 'what one has does not come again');
is_deeply([grep { !/^std/ } $rest->names], [qw(result usage end)], 'nor do events');

# What is not a cursor, not a job, not one's own.
for my $bad ('', 'x', '1', '1.2', '1.2.3.4', '-1.0.0', '01.0.0', '1.2.3%20', '99999999999999999999.0.0', '0.0.0%00', '%ff', '%zz', '1.2.3' x 20) {
    is(stream('GET', "/v1/jobs/$id?cursor=$bad")->finish->{status}, 422, "cursor '$bad' is refused");
}
for my $bad ('x', '1.2', '1.2.3.4', '1,2,3', ' 1 . 2 . 3', '1.2.3;', '0x1.0.0') {
    is(stream('GET', "/v1/jobs/$id", headers => { 'Last-Event-ID' => $bad })->finish->{status}, 422, "Last-Event-ID '$bad' is refused");
}
is(stream('GET', "/v1/jobs/$id", headers => { 'Last-Event-ID' => '' })->finish->{status}, 200, 'an empty one is none');
is(stream('GET', "/v1/jobs/$id?cursor=0.0.0&cursor=1.1.1")->finish->{status}, 200, 'of two the first counts');
is(ask('GET', "/v1/jobs/$id?cursor=0.0.0")->{status}, 422, 'a cursor without a stream is refused');
is(stream('POST', '/v1/jobs?cursor=0.0.0', json => { language => 'bash', code => ':' })->finish->{status}, 422, 'POST takes no cursor');
is(stream('GET', "/v1/jobs/$id", who => { tenant => 'other' })->finish->{status}, 404, 'of another tenant there is none, on the shelf');
is(stream('GET', '/v1/jobs/job_00000000000000000000000000')->finish->{status}, 404, 'of no job neither');
is(stream('GET', '/v1/jobs/nonsense')->finish->{status}, 404, 'nor of none at all');
is(stream('GET', "/v1/jobs/$id", who => { scopes => 'jobs:write' })->finish->{status}, 403, 'scopes hold');
is(run({ language => 'cobol', code => ':' })->finish->{status}, 422, 'a job that is refused is answered as ever');
my $head = stream('HEAD', "/v1/jobs/$id");
$head->until(30, sub { defined $head->{status} });
is($head->{headers}{'content-type'}, 'text/event-stream', 'HEAD');
is(stream('DELETE', "/v1/jobs/$id")->finish->{headers}{'content-type'}, 'application/json', 'DELETE does not stream');
is(stream('GET', '/v1/jobs')->finish->{headers}{'content-type'}, 'application/json', 'nor does the list');

# Accept.
for my $case (
    ['text/event-stream', 1], ['TEXT/Event-Stream', 1], ['text/*', 1], ['text/event-stream; q=0.5', 1], ['text/event-stream;charset=utf-8', 1],
    ['text/event-stream, */*', 1], ['text/event-stream;q=1, application/json;q=0.9', 1], ['application/json;q=0, */*', 1],
    ['application/*;q=0.2,text/event-stream;q=0.3', 1], [' text/event-stream , text/plain', 1],
    ['*/*', 0], ['application/json', 0], ['text/event-stream;q=0', 0], ['text/event-stream;q=0.0, */*', 0], ['application/json, text/event-stream', 0],
    ['text/event-stream, application/json', 0], ['text/event-stream;q=0.5, application/json;q=0.6', 0], ['text/event-stream;q=0.5, */*', 0],
    ['text/event-stream;q=2', 0], ['text/event-stream;q=', 0], ['text/event-stream;q=0.0001', 0], ['text/event-stream;q=-1', 0], ['text/event-streams', 0],
    ['xtext/event-stream', 0], ['text/event', 0], ['"text/event-stream"', 0], ['text/plain;x="a,text/event-stream"', 0], [',,,;;=', 0], ['', 0],
    ['*/*;q=0, text/event-stream', 1], ['text/*;q=0, text/event-stream', 1], ['text/event-stream;q=0, text/*', 0],
) {
    my ($accept, $wanted) = @$case;
    my $got = stream('GET', "/v1/jobs/$id", headers => { Accept => $accept })->finish;
    is("$got->{status} $got->{headers}{'content-type'}", '200 ' . ($wanted ? 'text/event-stream' : 'application/json'), "Accept: $accept");
}
is(stream('GET', "/v1/jobs/$id", headers => { Accept => undef })->finish->{headers}{'content-type'}, 'application/json', 'no Accept: the document');

# Live: what it says arrives while it runs. A file of the job's own says when it may go on, nobody sleeps.
my $wait_code = "import sys, os, time\nprint('first', flush=True)\nsys.stdin.read()\nwhile True:\n    print('tick', flush=True); time.sleep(0.05)\n";
$s = run({ language => 'python', code => $wait_code });
ok($s->until(30, sub { ($s->{stdout} =~ tr/\n//) >= 5 }), 'output arrives while it runs');
$id = $s->{events}[0]{data}{job_id};
is(ask('GET', "/v1/jobs/$id")->{json}{status}, 'running', 'it runs');
my $second = stream('GET', "/v1/jobs/$id");
ok($second->until(30, sub { $second->{stdout} =~ /tick/ }), 'a second reader has all from the beginning');
like($second->{stdout}, qr/^first\n/, 'all');
is(stream('GET', "/v1/jobs/$id", who => { tenant => 'other' })->finish->{status}, 404, 'of another tenant there is none, live');
$s->leave;
my $seen = length $second->{stdout};
ok($second->until(30, sub { length $second->{stdout} > $seen + 20 }), 'who leaves takes nothing along');
is(ask('GET', "/v1/jobs/$id")->{json}{status}, 'running', 'not the job either');
ask('DELETE', "/v1/jobs/$id");
$second->finish;
is($second->last_event('end')->{status}, 'cancelled', 'the end says how');
is($second->{stdout}, ask('GET', "/v1/jobs/$id/stdout")->{content}, 'the stream had what the record has');

# Cancelled in the queue: never started.
my @busy = map { run({ language => 'bash', code => 'sleep 60' }) } 1 .. 12;
my ($queued) = reverse @busy;
ok($queued->until(30, sub { grep { $_ eq 'queued' } $queued->names }), 'one waits in the queue with its stream open') or diag explain $queued;
ask('DELETE', $queued->{headers}{location});
$queued->finish;
is_deeply([$queued->names], [qw(queued usage end)], 'who never ran has no start');
is($queued->last_event('end')->{status}, 'cancelled', 'and an end');
for my $b (@busy) {
    $b->until(30, sub { defined $b->{status} });
    ask('DELETE', $b->{headers}{location} // next);
}
$_->finish for @busy;
is(scalar(grep { ($_->last_event('end') // {})->{status} eq 'cancelled' } @busy), 12, 'all ended');

# Comments while there is nothing to say.
$s = run({ language => 'bash', code => 'read x; sleep 60' });
ok($s->until(30, sub { $s->{comments} >= 3 }), 'comments while nothing is said');
ask('DELETE', "/v1/jobs/$s->{events}[0]{data}{job_id}");
$s->finish;

# Characters cut in two, and bytes that are none.
$s = run({ language => 'python', code => <<'PY' })->finish;
import os, time
text = ('\u00e4\u20ac\U0001f600' * 500).encode()
for i in range(0, len(text), 1):
    os.write(1, text[i:i+1])
os.write(2, b'\xff\xfe\xe2\x82')
os.write(1, b'\xe2')
os.write(2, b'\xac')
os.write(1, b'\x28\xf0\x9f')
PY
my $text = "\x{e4}\x{20ac}\x{1f600}" x 500;
utf8::encode($text);
is($s->{stdout}, $text . "\xe2\x28\xf0\x9f", 'bytes are what they were');
is($s->{stderr}, "\xff\xfe\xe2\x82\xac", 'on both');
is(scalar(grep { $_->{event} eq 'stdout' && exists $_->{data}{base64} && length $_->{bytes} > 4 && $_->{bytes} !~ /\xe2\x28/ } @{ $s->{events} }), 0, 'a character is never cut into base64');

# More than the window for who does not read: the job is not slowed, the reader learns what it missed.
my $flood = "import sys\nfor i in range(3000): sys.stdout.write('%07d\\n' % i * 100)\nsys.stdout.flush()\nsys.stderr.write('e' * 1000)\n";
my @slow = map { run({ language => 'python', code => $flood, limits => { output => '4Mi' } }) } 1;
ok($slow[0]->until(30, sub { @{ $slow[0]{events} } }), 'a flood began');
$id = $slow[0]{events}[0]{data}{job_id};
is(ask('GET', "/v1/jobs/$id?wait=50")->{json}{status}, 'succeeded', 'it ends while nobody reads');
$slow[0]->finish(30);
is(length($slow[0]{stdout}) + $slow[0]{missed}{stdout}, 2_400_000, 'what came and what was missed is all there was');
cmp_ok($slow[0]{missed}{stdout}, '>', 0, 'something was missed');
is($slow[0]{stderr}, 'e' x 1000, 'the newest is there');
is(($slow[0]->names)[-1], 'end', 'and the end');
my $full = join '', map { sprintf("%07d\n", $_) x 100 } 0 .. 2999;
my $at = 0;
my $exact = 1;
for my $event (@{ $slow[0]{events} }) {
    $at += $event->{data}{stdout_bytes} if $event->{event} eq 'gap';
    next unless $event->{event} eq 'stdout';
    $exact &&= substr($full, $at, length $event->{bytes}) eq $event->{bytes};
    $at += length $event->{bytes};
    $exact &&= $event->{id} =~ /^$at\./;
}
ok($exact, 'each byte where the cursor says');

# Many such readers of many jobs: together they hold no more than they may.
my @crowd = map { run({ language => 'python', code => $flood, limits => { output => '4Mi' } }) } 1 .. 8;
for my $c (@crowd) { $c->until(30, sub { @{ $c->{events} } }, 8192) }
is(scalar(grep { ask('GET', "$_->{headers}{location}?wait=50")->{json}{status} eq 'succeeded' } @crowd), 8, 'eight floods that nobody reads');
my ($held) = $t->executor_request('GET', '/metrics')->{content} =~ /^sandbox_executor_stream_bytes (\d+)$/m;
ok($held > 0 && $held <= 1 << 20, "hold $held bytes, no more than they may");
$_->finish(30) for @crowd;
is(scalar(grep { length($_->{stdout}) + $_->{missed}{stdout} == 2_400_000 } @crowd), 8, 'each has or knows');

# From the record: after a restart, with the middle as a gap.
is(stream('GET', "/v1/jobs/$id")->finish->{status}, 200, 'from the shelf');
$t->stop('executor');
$t->start_executor;
$s = stream('GET', "/v1/jobs/$id")->finish;
is(length $s->{stdout}, 65536, 'the record has head and tail');
is($s->{missed}{stdout}, 2_400_000 - 65536, 'and says what it left out');
is($s->{stdout}, substr($full, 0, 32768) . substr($full, -32768), 'exactly');
is_deeply([map { $_->{event} } grep { $_->{event} !~ /^std/ } @{ $s->{events} }], [qw(start gap usage end)], 'with its events');
$rest = stream('GET', "/v1/jobs/$id", headers => { 'Last-Event-ID' => '2399990.400.1' })->finish;
is($rest->{stdout} . $rest->{stderr}, substr($full, -10) . 'e' x 600, 'a cursor of before fits');
is($rest->{missed}{stdout}, 0, 'without a gap');
is(stream('GET', "/v1/jobs/$id", headers => { 'Last-Event-ID' => $s->{id} })->finish->{status}, 204, 'and the last one is the last');
is(stream('GET', "/v1/jobs/$id", who => { tenant => 'other' })->finish->{status}, 404, 'of another tenant there is none, in the record');

# A key: the first stream is cut, the second joins.
my %key = (headers => { 'Idempotency-Key' => 'stream-1' });
my $job = { language => 'bash', code => 'for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 0.1; done' };
my $first = run($job, %key);
ok($first->until(30, sub { length $first->{stdout} >= 4 }), 'a stream with a key');
my $join = run($job, headers => { %{ $key{headers} }, 'Last-Event-ID' => $first->{id} });
$join->follow($first);
$first->reset;
$join->finish;
is($join->{headers}{'idempotency-replayed'}, 'true', 'the same job again');
is($join->{stdout}, "1\n2\n3\n4\n5\n6\n7\n8\n9\n", 'goes on where the first was');
is(run($job, headers => { %{ $key{headers} }, 'Last-Event-ID' => $join->{id} })->finish->{status}, 204, 'and later there is nothing more');
is(run($job, %key)->finish->{stdout}, $join->{stdout}, 'or all of it');
is(run({ %$job, code => ':' }, %key)->finish->{status}, 422, 'with another body it is refused');

is(run({ language => 'bash', code => 'echo all' }, headers => { 'Last-Event-ID' => '3.0.4294967300' })->finish->{stdout}, "all\n", 'a job that is new has nothing to go on from');

# As many as may be.
my @open = map { run({ language => 'bash', code => 'sleep 60' }, who => { tenant => 'crowd' . ($_ > 40) }) } 1 .. 40;
for my $open (@open) { $open->until(30, sub { defined $open->{status} }) }
is(scalar(grep { $_->{status} == 200 } @open), 40, 'forty streams of one tenant');
my $more = run({ language => 'bash', code => ':' }, who => { tenant => 'crowd' })->finish;
is($more->{status}, 429, 'one more is refused') or diag explain $more->json;
is($more->json->{code}, 'tenant_queue_full', 'by its code');
$_->reset for @open;
ok($t->wait_until(30, sub { $t->executor_request('GET', '/metrics')->{content} =~ /^sandbox_executor_streams 0$/m }), 'who left is gone');
my $page = ask('GET', '/v1/jobs?status=queued&limit=100', who => { tenant => 'crowd' })->{json}{jobs};
my $running = ask('GET', '/v1/jobs?status=running&limit=100', who => { tenant => 'crowd' })->{json}{jobs};
is(@$page + @$running, 40, 'their jobs are not');
ask('DELETE', "/v1/jobs/$_->{job_id}", who => { tenant => 'crowd' }) for @$page, @$running;

$t->finish;
done_testing();
