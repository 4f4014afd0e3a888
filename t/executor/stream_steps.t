#!/usr/bin/perl
# Steps of a session as event streams, straight at executord's socket.
use strict;
use warnings;
use lib 't/lib';
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Sandbox::Stream;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 1, 'output.keep' => '64Ki', 'streams.keepalive' => '300ms', 'streams.linger' => '60s' });
$t->start_launcher->start_executor;

sub ask {
    my ($method, $path, %option) = @_;
    my $who = delete $option{who} || {};
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, %$who), %option);
}
sub stream { my ($method, $path, %option) = @_; return Sandbox::Stream->executor($t, $method, $path, %option) }

my $session = ask('POST', '/v1/sessions', json => { language => 'python' });
is($session->{status}, 201, 'a session') or diag explain $session;
my $at = "/v1/sessions/$session->{json}{session_id}";
sub run { my ($code, %option) = @_; return stream('POST', "$at/steps", json => { code => $code }, %option) }

my $s = run("import sys\nprint('out', flush=True)\nprint('err', file=sys.stderr, flush=True)\nx = 6\nx * 7")->finish;
is($s->{status}, 200, 'POST of a step streams');
is($s->{headers}{'content-type'}, 'text/event-stream', 'its type');
my $path = $s->{headers}{location};
like($path, qr{^\Q$at\E/steps/stp_\w+$}, 'Location names the step');
is("$s->{stdout}$s->{stderr}", "out\nerr\n", 'all output');
is_deeply([grep { !/^std/ } $s->names], [qw(start result usage end)], 'all events in order') or diag explain $s->{events};
is($s->last_event('start')->{number}, 1, 'start says which');
is($s->last_event('result')->{data}{'text/plain'}, '42', 'the value of the last expression');
is($s->last_event('end')->{status}, 'succeeded', 'the end');
ok($t->wait_until(30, sub { ask('GET', $path)->{json}{status} eq 'succeeded' }), 'recorded');
my $again = stream('GET', $path)->finish;
is_deeply([map { [@$_{qw(event id data)}] } @{ $again->{events} }], [map { [@$_{qw(event id data)}] } @{ $s->{events} }], 'read again: the same');
is(stream('GET', $path, headers => { 'Last-Event-ID' => $s->{id} })->finish->{status}, 204, 'who has everything is told to stay away');
is(stream('GET', "$path?cursor=3.0.1")->finish->{stdout}, "\n", 'a cursor');
is(stream('GET', "$path?cursor=x")->finish->{status}, 422, 'none');
is(stream('GET', $path, who => { tenant => 'other' })->finish->{status}, 404, 'of another tenant there is none');
is(stream('GET', "$at/steps/stp_00000000000000000000000000")->finish->{status}, 404, 'of no step neither');
my $other = ask('POST', '/v1/sessions', json => { language => 'bash' })->{json}{session_id};
($path) = $path =~ m{(stp_\w+)$};
is(stream('GET', "/v1/sessions/$other/steps/$path")->finish->{status}, 404, 'nor of a step of another session');
ask('DELETE', "/v1/sessions/$other");
$path = "$at/steps/$path";

# As it happens, cut, gone on with.
$s = run("import os, time\nfor i in range(100):\n    print(i, flush=True)\n    time.sleep(0.02)\n    while i == 5 and not os.path.exists('go'): pass\n");
ok($s->until(30, sub { ($s->{stdout} =~ tr/\n//) >= 3 }), 'output arrives');
my $live = $s->{headers}{location};
is(ask('GET', $live)->{json}{status}, 'running', 'while it runs');
is(ask('PUT', "$at/files/go", body => 'x')->{status}, 201, 'it goes on');
for my $cut (1 .. 10) {
    $s->take(1 + int rand 300);
    $cut % 2 ? $s->reset : $s->leave;
    $s = stream('GET', $live, headers => { defined $s->{id} ? ('Last-Event-ID' => $s->{id}) : () })->follow($s);
}
$s->finish;
is($s->{stdout}, join('', map { "$_\n" } 0 .. 99), 'cut ten times, nothing is lost or repeated');
is($s->last_event('end')->{status}, 'succeeded', 'nobody who left ended it');
is(run('x')->finish->last_event('result')->{data}{'text/plain'}, '6', 'the interpreter remembers');

# Queued behind another; cancelled there.
my $long = run("import time\ntime.sleep(15)");
ok($long->until(30, sub { @{ $long->{events} } }), 'one runs');
my $queued = run('1');
ok($queued->until(30, sub { defined $queued->{status} }), 'one waits, its stream is open');
ask('DELETE', $queued->{headers}{location});
$queued->finish;
is($queued->last_event('end')->{status}, 'cancelled', 'and ends');
is((grep { $_ eq 'start' } $queued->names), 0, 'without a start');
ask('DELETE', $long->{headers}{location});
is($long->finish->last_event('end')->{status}, 'cancelled', 'so does the other');

# A key; a cursor that belongs to nothing yet.
my %key = (headers => { 'Idempotency-Key' => 'k' });
is(run('print("once")', headers => { 'Last-Event-ID' => '4.0.1', 'Idempotency-Key' => 'k' })->finish->{stdout}, "once\n", 'a new step is streamed from its beginning');
my $replay = run('print("once")', %key)->finish;
is("$replay->{headers}{'idempotency-replayed'} $replay->{stdout}", "true once\n", 'again: the same step');
is(run('print("once")', headers => { %{ $key{headers} }, 'Last-Event-ID' => '2.0.1' })->finish->{stdout}, "ce\n", 'from a cursor');

# Displays and a flood, from the record after a restart.
$s = run("for i in range(3): display(i)\nprint('y' * 200000)\n'say \"\\\\\" {[' + 'z'")->finish;
my $flood = $s->{headers}{location};
my @rich = map { $_->{data} } grep { $_->{event} =~ /^(display|result)$/ } @{ $s->{events} };
is(scalar @rich, 4, 'displays as they are made') or diag explain [$s->names];
ok($t->wait_until(30, sub { ask('GET', $flood)->{json}{status} eq 'succeeded' }), 'recorded');
$t->stop('executor');
$t->start_executor;
my $stored = stream('GET', $flood)->finish;
is(length $stored->{stdout}, 65536, 'the record has head and tail');
is($stored->{missed}{stdout}, 200001 - 65536, 'and says what it left out');
is_deeply([map { $_->{data} } grep { $_->{event} =~ /^(display|result)$/ } @{ $stored->{events} }], \@rich, 'displays are as they were');
is($stored->{id}, $s->{id}, 'with the same cursor in the end');
is_deeply([map { $_->{event} } grep { $_->{event} =~ /^(usage|end)$/ } @{ $stored->{events} }], [qw(usage end)], 'and the same end');
is(stream('POST', "$at/steps", json => { code => '1' })->finish->{status}, 410, 'the session has ended: no stream of new ones');

# The executor is killed under a job's stream and a step's: both are cut, and who comes back learns what became of it.
$at = '/v1/sessions/' . ask('POST', '/v1/sessions', json => { language => 'python' })->{json}{session_id};
my %open = (
    job  => stream('POST', '/v1/jobs', json => { language => 'python', code => "import time\nprint('on', flush=True)\ntime.sleep(15)" }),
    step => run("import time\nprint('on', flush=True)\ntime.sleep(15)"),
);
for my $what (sort keys %open) {
    my $o = $open{$what};
    ok($o->until(30, sub { $o->{stdout} eq "on\n" }), "a $what says something");
}
$t->kill9('executor');
$_->finish for values %open;
is(scalar(grep { $_->{cut} && !$_->last_event('end') } values %open), 2, 'both streams are cut, without an end');
$t->start_executor;
for my $what (sort keys %open) {
    my $back = stream('GET', $open{$what}{headers}{location}, headers => { 'Last-Event-ID' => $open{$what}{id} })->finish;
    is($back->{status}, 200, "the $what is still to be asked");
    is(($back->last_event('end') // {})->{status}, 'lost', 'and its end says lost') or diag explain $back->{events};
    is($back->{stdout}, '', 'nothing is repeated');
    is(stream('GET', $open{$what}{headers}{location}, headers => { 'Last-Event-ID' => $back->{id} })->finish->{status}, 204, 'then there is nothing more');
}

$t->finish;
done_testing();
