#!/usr/bin/perl
# Event streams through the gateway: nothing on the way buffers, cuts or repeats, and nobody waits for a reader.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256 sha256_hex);
use Sandbox;
use Sandbox::Stream;
use Test::More;

my $t = Sandbox->new(executor => { 'streams.keep' => '16Mi', 'streams.keepalive' => '300ms', 'limits.max_running' => 8 });
# One more than 60 streams of a tenant at once is refused at the edge.
$t->start(gateway => { conf => sub { my ($text) = @_; $text =~ s/(sandbox_limit_zone [^;]*;)/$1\n    sandbox_concurrency tenant 60;/ or die; $text } });

sub ask { my ($method, $path, %option) = @_; return $t->request($method, $path, %option) }
sub stream { my ($method, $path, %option) = @_; return Sandbox::Stream->gateway($t, $method, $path, %option) }
sub run { my ($body, %option) = @_; return stream('POST', '/v1/jobs', json => $body, %option) }
sub id_of { my ($s) = @_; $s->until(30, sub { defined $s->{status} }); return ($s->{headers}{location} // '') =~ m{/(job_\w+)$} ? $1 : undef }

# As it happens: a line of six bytes is here while its job still runs, which ends only when it is told to.
my $s = run({ language => 'python', code => "import time\nprint('first', flush=True)\ntime.sleep(60)" }, headers => { 'Accept-Encoding' => 'gzip, br' });
ok($s->until(30, sub { $s->{stdout} eq "first\n" }), 'a line arrives');
my $id = id_of($s);
is(ask('GET', "/v1/jobs/$id")->{json}{status}, 'running', 'before its job has ended');
is($s->{headers}{'content-type'}, 'text/event-stream', 'its type');
is($s->{headers}{'content-encoding'}, undef, 'nothing is packed');
is($s->{headers}{'content-length'}, undef, 'nor counted beforehand');
ok($s->until(30, sub { $s->{comments} >= 3 }), 'comments come through while nothing is said');
is(stream('GET', "/v1/jobs/$id", who => { tenant => 'other' })->finish->{status}, 404, 'for another tenant there is none');
is(stream('GET', "/v1/jobs/$id", headers => { 'Last-Event-ID' => 'x' })->finish->{status}, 422, 'no cursor');
is(stream('GET', "/v1/jobs/$id", headers => { Authorization => undef })->finish->{status}, 401, 'no token');
my $late = stream('GET', "/v1/jobs/$id", headers => { 'Last-Event-ID' => '3.0.1' });
ok($late->until(30, sub { $late->{stdout} eq "st\n" }), 'Last-Event-ID comes through');
my $later = stream('GET', "/v1/jobs/$id?cursor=4.0.1");
ok($later->until(30, sub { $later->{stdout} eq "t\n" }), '?cursor= too');
ask('DELETE', "/v1/jobs/$id");
$_->finish for $s, $late, $later;
is_deeply([map { $_->last_event('end')->{status} } $s, $late, $later], [('cancelled') x 3], 'all learn the end');

# Cut twenty times: what all the pieces together have is what was said.
my $code = <<'PY';
import hashlib, os, time
for i in range(6000):
    digest = hashlib.sha256(str(i).encode())
    kind = i % 6
    if kind == 0: fd, data = 1, (digest.hexdigest() + '\n').encode() * 20
    if kind == 1: fd, data = 1, ('\u00e4\u20ac\U0001f600\u2028"\\' + digest.hexdigest()).encode() * 15
    if kind == 2: fd, data = 1, digest.digest() * 20
    if kind == 3: fd, data = 2, (digest.hexdigest() + '\t\r\n').encode() * 10
    if kind == 4: fd, data = 2, ('\U0001f600' + digest.hexdigest()).encode() * 10
    if kind == 5: fd, data = 2, digest.digest() * 10
    cut = digest.digest()[0]
    os.write(fd, data[:cut]); os.write(fd, data[cut:])
    if i % 20 == 0: time.sleep(0.01)
time.sleep(600)
PY
my %expected = (stdout => '', stderr => '');
for my $i (0 .. 5999) {
    my ($hex, $raw) = (sha256_hex($i), sha256($i));
    my $kind = $i % 6;
    $expected{ $kind < 3 ? 'stdout' : 'stderr' } .=
          $kind == 0 ? "$hex\n" x 20
        : $kind == 1 ? "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xe2\x80\xa8\"\\$hex" x 15
        : $kind == 2 ? $raw x 20
        : $kind == 3 ? "$hex\t\r\n" x 10
        : $kind == 4 ? "\xf0\x9f\x98\x80$hex" x 10
        :              $raw x 10;
}
my $seed = $ENV{STREAM_SEED} // time;
note "STREAM_SEED=$seed, " . length($expected{stdout}) . ' and ' . length($expected{stderr}) . ' bytes';
srand $seed;
# It runs on until all was read: once it is over, a reader that was not as fast has only what is stored, a part.
$s = run({ language => 'python', code => $code, limits => { output => '16Mi', timeout => '5m' } });
$id = id_of($s);
my ($cuts, $live) = (0, 0);
while ($cuts < 20) {
    $s->take(1 + int rand 200_000);
    last if $s->{over} && !$s->{cut};
    $live += ask('GET', "/v1/jobs/$id")->{json}{status} eq 'running' if $cuts % 4 == 0;
    $cuts++ % 2 ? $s->leave : $s->reset;
    $s = stream('GET', "/v1/jobs/$id", headers => { defined $s->{id} ? ('Last-Event-ID' => $s->{id}) : () })->follow($s);
}
is($cuts, 20, 'cut twenty times');
cmp_ok($live, '>', 0, 'some of them while it ran');
$s->until(60, sub { !grep { length $s->{$_} < length $expected{$_} } qw(stdout stderr) });
ask('DELETE', "/v1/jobs/$id");
$s->finish(60);
ok($s->{over} && !$s->{cut}, 'then it ended');
is(length $s->{$_}, length $expected{$_}, "as many bytes of $_") for qw(stdout stderr);
ok($s->{$_} eq $expected{$_}, "$_ is exact") for qw(stdout stderr);
is($s->{missed}{stdout} + $s->{missed}{stderr} + $s->{missed}{events}, 0, 'nothing was missed');
is(scalar(grep { $_ eq 'start' } $s->names), 1, 'one start');
is(scalar(grep { $_ eq 'end' } $s->names), 1, 'one end');

# A step of a session, the same way.
my $session = ask('POST', '/v1/sessions', json => { language => 'python' });
is($session->{status}, 201, 'a session') or diag explain $session;
my $steps = "/v1/sessions/$session->{json}{session_id}/steps";
$s = stream('POST', $steps, json => { code => "import os, time\nfor i in range(60):\n    print(i, flush=True); time.sleep(0.02)\n    while i == 40 and not os.path.exists('go'): time.sleep(0.02)\ni" });
ok($s->until(30, sub { $s->{stdout} =~ /^2$/m }), 'a step says something');
my $step = $s->{headers}{location};
is(ask('GET', $step)->{json}{status}, 'running', 'before it has ended');
is(ask('PUT', $steps =~ s/steps$/files\/go/r, body => 'x')->{status}, 201, 'now it may');
for my $cut (1 .. 6) {
    $s->take(1 + int rand 200);
    $cut % 2 ? $s->reset : $s->leave;
    $s = stream('GET', $step, headers => { defined $s->{id} ? ('Last-Event-ID' => $s->{id}) : () })->follow($s);
}
$s->finish;
is($s->{stdout}, join('', map { "$_\n" } 0 .. 59), 'cut six times, nothing is lost or repeated');
is($s->last_event('result')->{data}{'text/plain'}, '59', 'its value');
is(stream('GET', $step, who => { tenant => 'other' })->finish->{status}, 404, 'for another tenant there is none');
ask('DELETE', "/v1/sessions/$session->{json}{session_id}");

# 50 readers, a reload in their middle.
my $ticks = "import time\ni = 0\nwhile True:\n    i += 1\n    print(i, flush=True)\n    time.sleep(0.05)\n";
my @jobs = map { run({ language => 'python', code => $ticks }) } 1 .. 5;
my @ids = map { id_of($_) } @jobs;
my @readers = (@jobs, map { my $n = $_; stream('GET', "/v1/jobs/$ids[$n % 5]") } 0 .. 44);
sub all_have { my ($n) = @_; my $have = 0; for my $r (@readers) { $have += $r->until(30, sub { ($r->{stdout} =~ tr/\n//) >= $n }) } return $have }
is(all_have(5), 50, 'fifty streams');
my %before = map { $_ => 1 } $t->gateway_workers;
$t->reload_gateway;
ok($t->wait_until(30, sub { my @new = grep { !$before{$_} } $t->gateway_workers; @new >= keys %before }), 'reloaded');
is(ask('GET', "/v1/jobs/$ids[0]")->{json}{status}, 'running', 'new workers answer');
my $now = ($readers[0]{stdout} =~ tr/\n//);
is(all_have($now + 10), 50, 'all fifty go on');
my @more = map { stream('GET', "/v1/jobs/$ids[0]") } 1 .. 10;
$_->until(30, sub { defined $_[0] || length $more[0]{stdout} }) for $more[0];
for my $m (@more) { $m->until(30, sub { length $m->{stdout} }) }
is(scalar(grep { $_->{status} == 200 } @more), 10, 'new ones may come');
is(stream('GET', "/v1/jobs/$ids[0]")->finish->{status}, 429, 'streams of old workers still count at the edge');
ask('DELETE', "/v1/jobs/$_", tenant => 'demo') for @ids;    # refused, too: counted like any request
$_->leave for @more;
ok($t->wait_until(30, sub { ask('DELETE', "/v1/jobs/$ids[0]")->{status} == 200 }), 'who leaves makes room');
for my $id (@ids) { $t->wait_until(30, sub { ask('DELETE', "/v1/jobs/$id")->{status} == 200 }) }
$_->finish for @readers;
is(scalar(grep { $_->{cut} } @readers), 0, 'none was cut');
is(scalar(grep { ($_->last_event('end') // {})->{status} eq 'cancelled' } @readers), 50, 'all saw the end');
my %of;
$of{ $_->{headers}{location} }{ $_->{stdout} }++ for @readers;
is_deeply([map { scalar keys %$_ } values %of], [(1) x 5], 'readers of one job saw the same');
ok($t->wait_until(30, sub { !grep { $before{$_} } $t->gateway_workers }), 'the old workers have gone');

# 50 who do not read: the job is not slowed, executord's memory is bounded, they learn what they missed.
sub memory { my ($field) = @_; return Sandbox::_slurp("/proc/$t->{pid}{executor}/status") =~ /^$field:\s+(\d+) kB/m ? $1 : die }
$t->stop('executor');
$t->start_executor('streams.keep' => '1Mi', 'streams.linger_bytes' => '8Mi');
ok($t->wait_until(30, sub { ask('GET', '/readyz', anonymous => 1)->{status} == 200 }), 'executord is back');
my $flood = "import sys\nblock = b'x' * 65535 + b'\\n'\nsys.stdout.buffer.write(b'begin\\n'); sys.stdout.flush()\nimport time; time.sleep(%s)\nfor i in range(480): sys.stdout.buffer.write(block)\n";
my $alone = ask('POST', '/v1/jobs', json => { language => 'python', code => sprintf($flood, 0), limits => { output => '64Mi' }, wait => 30 })->{json};
is($alone->{status}, 'succeeded', '30 MiB with no reader');
my $base = memory('VmHWM');
$s = run({ language => 'python', code => sprintf($flood, 3), limits => { output => '64Mi' } }, rcvbuf => 65536);
$id = id_of($s);
my @stalled = ($s, map { stream('GET', "/v1/jobs/$id", rcvbuf => 65536) } 2 .. 50);
my $got = 0;
for my $r (@stalled) { $got += $r->until(30, sub { $r->{stdout} =~ /begin/ }, 8192) }
is($got, 50, 'fifty readers that then read no more');
my $done = ask('GET', "/v1/jobs/$id?wait=30")->{json};
is($done->{status}, 'succeeded', 'the job ends all the same');
my ($wall, $wall_alone) = map { $_->{usage}{wall_ms} } $done, $alone;
note "with 50 stalled readers $wall ms (3000 of them asleep), alone $wall_alone ms; executord's peak $base kB before, " . memory('VmHWM') . ' kB after';
# In a sanitized one what is freed stays in its quarantine.
cmp_ok(memory('VmHWM') - $base, '<', 40 << 10, 'executord held less than 40 MiB for them') if $Sandbox::VARIANT ne 'asan';
$_->finish(60) for @stalled[0 .. 4];
is(scalar(grep { length($_->{stdout}) + $_->{missed}{stdout} == 6 + 480 * 65536 } @stalled[0 .. 4]), 5, 'what came and what was missed is all there was');
is(scalar(grep { $_->{missed}{stdout} > 0 } @stalled[0 .. 4]), 5, 'they know that they missed some');
is(scalar(grep { ($_->names)[-1] eq 'end' } @stalled[0 .. 4]), 5, 'and how it ended');
$_->reset for @stalled[5 .. 49];
ok($t->wait_until(30, sub { $t->executor_request('GET', '/metrics')->{content} =~ /^sandbox_executor_streams 0$/m }), 'no stream is left');
like($t->executor_request('GET', '/metrics')->{content}, qr/^sandbox_executor_stream_gaps_total [1-9]/m, 'gaps are counted');

$t->finish;
done_testing();
