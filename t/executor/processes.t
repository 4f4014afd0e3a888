#!/usr/bin/perl
# Commands in the background of a session, over executord's socket: their life, their streams, and who may.
use strict;
use warnings;
use lib 't/lib';
use IO::Socket::UNIX;
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Sandbox::Stream;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 2, 'streams.keep' => '256Ki' });
$t->start_launcher->start_executor;

sub ask {
    my ($method, $path, %option) = @_;
    my $who = delete $option{who} || {};
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, %$who), %option);
}
sub code { my ($r) = @_; return $r ? "$r->{status} " . ($r->{json}{code} // '') : 'none' }

my $session = ask('POST', '/v1/sessions', json => { language => 'bash', env => { FROM => 'session', BOTH => 'session' } });
is($session->{status}, 201, 'a session') or diag explain $session;
my $at = "/v1/sessions/$session->{json}{session_id}";
sub start { my (%ask) = @_; return ask('POST', "$at/processes", json => \%ask) }
sub over { my ($r) = @_; return ask('GET', "$at/processes/$r->{json}{process_id}?wait=50")->{json} }
sub output { my ($r) = @_; return Sandbox::Stream->executor($t, 'GET', "$at/processes/$r->{json}{process_id}")->finish }

# One from its beginning to its end.
my $r = start(argv => ['echo', 'a b']);
is($r->{status}, 201, 'one starts') or diag explain $r;
like($r->{json}{process_id}, qr/^prc_\w{26}$/, 'its id');
is($r->{headers}{location}, "$at/processes/$r->{json}{process_id}", 'Location');
my $over = over($r);
is($over->{status}, 'exited', 'it ends') or diag explain $over;
is($over->{exit_code}, 0, 'with its code');
is($over->{signal}, undef, 'no signal');
is($over->{stdout_bytes}, 4, 'so much was said');
is_deeply($over->{command}, { argv => ['echo', 'a b'], cwd => '' }, 'what it was');
cmp_ok($over->{usage}{peak_memory_bytes}, '>', 0, 'what it used');
my $s = output($r);
is($s->{stdout}, "a b\n", 'its output can be read afterwards');
is_deeply([grep { !/^std/ } $s->names], [qw(start end)], 'its events');
is($s->last_event('end')->{exit_code}, 0, 'the last says how it ended');
$s = output(start(shell => 'echo out; echo err >&2; exit 7'));
is("$s->{stdout}$s->{stderr}", "out\nerr\n", 'both streams');
is($s->last_event('end')->{exit_code}, 7, 'a code');
$s = output(start(shell => 'pwd; echo $FROM $BOTH $OWN; id -u', env => { BOTH => 'own', OWN => 'x y' }, cwd => ''));
is($s->{stdout}, "/workspace\nsession own x y\n1000\n", 'place, environment, user');
is(over(start(shell => 'kill -9 $$'))->{signal}, 'SIGKILL', 'a signal');
is(over(start(shell => 'sleep 30', timeout => '200ms'))->{timed_out}, JSON::PP::true, 'a deadline');
$s = Sandbox::Stream->executor($t, 'POST', "$at/processes", json => { shell => 'echo streamed' })->finish;
is($s->{stdout}, "streamed\n", 'POST streams') or diag explain $s;

# What cannot run is told as its end.
$over = over(start(argv => ['no-such-program']));
is("$over->{status} $over->{error}", 'failed not_found', 'a program that is not there');
is(over(start(shell => 'true', cwd => 'none'))->{error}, 'not_found', 'nor its directory');
is(over(start(argv => ['/etc/passwd']))->{error}, 'denied', 'a file that is no program');

# Refused before anything is started.
for my $case (
    ['nothing', {}], ['both', { argv => ['ls'], shell => 'ls' }], ['an empty argv', { argv => [] }], ['no name', { argv => [''] }],
    ['a number', { argv => [1] }], ['a path upwards', { shell => 'ls', cwd => '../..' }], ['an absolute one', { shell => 'ls', cwd => '/etc' }],
    ['a name of the loader', { shell => 'ls', env => { LD_PRELOAD => 'x' } }], ['a number as value', { shell => 'ls', env => { A => 1 } }],
    ['no rows', { shell => 'ls', pty => { rows => 0 } }], ['too many', { shell => 'ls', pty => { rows => 1001 } }],
    ['stdin', { shell => 'ls', stdin => 'x' }], ['a deadline', { shell => 'ls', timeout => '25h' }], ['another member', { shell => 'ls', tty => JSON::PP::true }],
    ) {
    is(code(start(%{ $case->[1] })), '422 invalid_request', "refused: $case->[0]");
}
is(code(ask('POST', "$at/processes", body => '[]', headers => { 'Content-Type' => 'application/json' })), '422 invalid_request', 'no object');
is(code(ask('POST', "$at/processes", body => '{', headers => { 'Content-Type' => 'application/json' })), '400 malformed_json', 'no JSON');
is(code(ask('POST', "$at/processes", body => 'x', headers => { 'Content-Type' => 'text/plain' })), '415 unsupported_media_type', 'no type');

# Input.
$r = start(argv => ['wc', '-c'], stdin => JSON::PP::true);
my $in = "$at/processes/$r->{json}{process_id}/stdin";
is(ask('POST', $in, body => 'x' x 3_000_000)->{status}, 204, 'input, larger than any window');
is(ask('POST', "$in?eof=maybe", body => '')->{status}, 422, 'eof is true or false');
is(ask('POST', "$in?eof=true", body => 'yz')->{status}, 204, 'and its end');
is(output($r)->{stdout}, "3000002\n", 'all of it came');
is(code(ask('POST', $in, body => 'x')), '409 conflict', 'after its end there is none to take it');
$r = start(shell => 'sleep 30');
is(code(ask('POST', "$at/processes/$r->{json}{process_id}/stdin", body => 'x')), '409 conflict', 'nor without stdin');
is(ask('DELETE', "$at/processes/$r->{json}{process_id}?wait=10")->{json}{signal}, 'SIGKILL', 'DELETE kills');
is(ask('DELETE', "$at/processes/$r->{json}{process_id}")->{json}{status}, 'exited', 'twice, too');

# Signals and terminals.
$r = start(shell => "trap 'echo caught; exit 3' USR1; echo up; while :; do sleep 0.05; done");
my $one = "$at/processes/$r->{json}{process_id}";
$s = Sandbox::Stream->executor($t, 'GET', $one);
ok($s->until(30, sub { $s->{stdout} =~ /up/ }), 'one waits for a signal');
is(code(ask('POST', "$one/signal", json => { signal => 'SIGSEGV' })), '422 invalid_request', 'not that one');
is(code(ask('POST', "$one/signal", json => { signal => 10 })), '422 invalid_request', 'nor a number');
is(code(ask('POST', "$one/signal", json => {})), '422 invalid_request', 'nor none');
is(code(ask('POST', "$one/resize", json => { rows => 10, cols => 10 })), '409 conflict', 'it has no terminal');
is(ask('POST', "$one/signal", json => { signal => 'SIGUSR1' })->{status}, 200, 'that one');
$s->finish;
is($s->{stdout}, "up\ncaught\n", 'it came');
is($s->last_event('end')->{exit_code}, 3, 'and was handled');
is(code(ask('POST', "$one/signal", json => { signal => 'SIGTERM' })), '409 conflict', 'it is over');
$r = start(argv => ['bash', '--norc'], pty => { rows => 30, cols => 100 }, env => { PS1 => '> ' });
$one = "$at/processes/$r->{json}{process_id}";
$s = Sandbox::Stream->executor($t, 'GET', $one);
ok($s->until(30, sub { $s->{stdout} =~ /> $/ }), 'a shell on a terminal');
is(ask('POST', "$one/resize", json => { rows => 41, cols => 99 })->{status}, 200, 'of another size');
is(ask('POST', "$one/stdin", body => "stty size; tty\n")->{status}, 204, 'is typed to');
ok($s->until(30, sub { $s->{stdout} =~ /41 99\r\n/ }), 'and has that size');
is(ask('POST', "$one/stdin", body => "echo err >&2; echo again >/dev/stdin; ls /dev/pts /dev/ptmx\n")->{status}, 204, 'typed to again');
ok($s->until(30, sub { $s->{stdout} =~ /err\r\nagain\r\n/ }), 'may open its own terminal again') or diag $s->{stdout};
ok($s->until(30, sub { $s->{stdout} =~ m{'/dev/pts': No such} && $s->{stdout} =~ m{'/dev/ptmx': No such} }), 'but finds no other') or diag $s->{stdout};
ok($s->until(30, sub { $s->{stdout} =~ /> $/ }), 'a prompt');
is(ask('POST', "$one/stdin?eof=true", body => '')->{status}, 204, 'an end of input');
$s->finish;
is($s->last_event('end')->{exit_code}, 2, 'is the end of the shell');

# A flood that nobody reads costs no more than the window, and tells how much was missed.
$r = start(shell => 'yes | head -c 20000000; echo; echo last');
is(over($r)->{exit_code}, 0, 'a flood without a reader ends');
$s = output($r);
like($s->{stdout}, qr/\nlast\n\z/, 'its end can be read');
cmp_ok(length $s->{stdout}, '<', 1 << 20, 'the rest was not kept');
ok((grep { $_ eq 'gap' } $s->names), 'which is told');

# Streamed from its first byte; cut, and gone on with.
$s = Sandbox::Stream->executor($t, 'POST', "$at/processes", json => { shell => 'for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 0.05; done; echo e >&2' }, headers => { 'Last-Event-ID' => '4.0.1' });
ok($s->until(30, sub { length $s->{stdout} >= 6 }), 'POST streams');
like($s->{headers}{location}, qr{^\Q$at\E/processes/prc_\w+$}, 'Location says which');
my $rest = Sandbox::Stream->executor($t, 'GET', $s->{headers}{location}, headers => { 'Last-Event-ID' => $s->{id} })->follow($s);
$s->reset;
$rest->finish;
is("$rest->{stdout}$rest->{stderr}", "1\n2\n3\n4\n5\n6\n7\n8\n9\ne\n", 'all of it, once, from its beginning');
is($rest->last_event('end')->{exit_code}, 0, 'and its end');
is(Sandbox::Stream->executor($t, 'GET', $s->{headers}{location}, headers => { 'Last-Event-ID' => $rest->{id} })->finish->{status}, 204, 'then there is nothing more');
is(Sandbox::Stream->executor($t, 'POST', "$at/processes?cursor=0.0.0", json => { shell => ':' })->finish->{status}, 422, 'what is new has no cursor');

# Lists and bounds.
my $list = ask('GET', "$at/processes")->{json}{processes};
cmp_ok(scalar @$list, '>', 10, 'a list');
my @many = map { start(shell => 'sleep 300') } 1 .. 32;
is(scalar(grep { $_->{status} == 201 } @many), 32, 'as many as may live');
is(code(start(shell => 'true')), '429 concurrency_limited', 'and no more');
is(ask('DELETE', "$at/processes/$_->{json}{process_id}?wait=10")->{json}{status}, 'exited', 'killed') for @many;
is(start(shell => 'true')->{status}, 201, 'then others');
over(start(shell => 'true')) for 1 .. 70;
cmp_ok(scalar @{ ask('GET', "$at/processes")->{json}{processes} }, '<=', 96, 'the oldest that ended are forgotten');

# Idempotency.
my %key = (headers => { 'Idempotency-Key' => 'p1' }, json => { shell => 'echo once >>once; sleep 300' });
my $first = ask('POST', "$at/processes", %key);
is("$first->{status} " . ($first->{headers}{'idempotency-replayed'} // 'fresh'), '201 fresh', 'made with a key');
my $replay = ask('POST', "$at/processes", %key);
is("$replay->{status} $replay->{json}{process_id} $replay->{headers}{'idempotency-replayed'}", "200 $first->{json}{process_id} true", 'again: the same process');
is($replay->{headers}{location}, $first->{headers}{location}, 'Location too');
is(code(ask('POST', "$at/processes", %key, json => { shell => 'true' })), '422 idempotency_mismatch', 'another body');
is(code(ask('POST', "$at/processes", headers => { 'Idempotency-Key' => 'a b' }, json => { shell => 'true' })), '400 bad_request', 'no key');
is(code(ask('POST', "$at/processes", %key, who => { tenant => 'other' })), '404 not_found', "another tenant's session has none");
is(code(ask('POST', "/v1/sessions/ses_00000000000000000000000000/processes", %key)), '404 not_found', 'nor has one that is not there');
is(code(ask('POST', "$at/processes", headers => { 'Idempotency-Key' => 'p2' }, json => { shell => 1 })), '422 invalid_request', 'what is refused');
is(ask('POST', "$at/processes", headers => { 'Idempotency-Key' => 'p2' }, json => { shell => 'true' })->{status}, 201, 'takes no key');
is(ask('POST', "$at/pause")->{json}{status}, 'paused', 'paused');
is(ask('POST', "$at/processes", %key)->{json}{process_id}, $first->{json}{process_id}, 'the same while the session is paused');
is(ask('POST', "$at/resume")->{json}{status}, 'running', 'resumed');
is(ask('DELETE', "$at/processes/$first->{json}{process_id}?wait=10")->{json}{signal}, 'SIGKILL', 'it is over');
$replay = ask('POST', "$at/processes", %key);
is("$replay->{status} $replay->{json}{process_id} $replay->{json}{signal}", "200 $first->{json}{process_id} SIGKILL", 'as it is then');
$s = Sandbox::Stream->executor($t, 'POST', "$at/processes", %key)->finish;
is("$s->{headers}{'idempotency-replayed'} " . $s->last_event('end')->{process_id}, "true $first->{json}{process_id}", 'its stream');
is(output(start(shell => 'cat once'))->{stdout}, "once\n", 'it ran once');

# Two at once: both are read in one turn of the loop, when nothing can have started.
sub begin {
    my $context = Sandbox::Context::sign($t->{key});
    my $socket = IO::Socket::UNIX->new(Peer => "$t->{dir}/sock/executord.sock") or die $!;
    my $body = '{"shell":"true"}';
    my $bytes = "POST $at/processes HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nIdempotency-Key: two\r\nSandbox-Context: $context\r\nContent-Length: "
        . length($body) . "\r\n\r\n$body";
    Sandbox::Contract::sent($socket, $bytes);
    syswrite $socket, $bytes;
    return $socket;
}
kill STOP => $t->{pid}{executor};
my @two = (begin(), begin());
kill CONT => $t->{pid}{executor};
my @said = map { my $socket = $_; local $/; my $text = <$socket>; Sandbox::Contract::got($socket, $text); $text =~ m{^HTTP/1.1 (\d+)} ? $1 : $text } @two;
is(join(' ', sort @said), '201 409', 'one is in flight');
over(start(shell => 'true')) for 1 .. 66;
is(code(ask('POST', "$at/processes", %key)), '410 gone', 'one that newer ones took the place of');
my $kept = ask('POST', "$at/processes", headers => { 'Idempotency-Key' => 'p3' }, json => { shell => 'true' });
is($kept->{status}, 201, 'one more key');

# Whose.
$r = start(shell => 'sleep 300');
my $path = "$at/processes/$r->{json}{process_id}";
for my $case (['GET', $path], ['DELETE', $path], ['POST', "$path/signal", json => { signal => 'SIGTERM' }], ['POST', "$path/stdin", body => 'x'], ['GET', "$at/processes"]) {
    my ($method, $where, %option) = @$case;
    is(code(ask($method, $where, %option, who => { tenant => 'other' })), '404 not_found', "$method: another tenant's is none");
}
is(code(ask('GET', "$at/processes/prc_00000000000000000000000000")), '404 not_found', 'one that is not there');
is(code(ask('GET', "$at/processes/$1")), '404 not_found', 'no id') if $session->{json}{session_id} =~ /^(.*)$/;
my $second = ask('POST', '/v1/sessions', json => { language => 'bash' })->{json}{session_id};
is(code(ask('GET', "/v1/sessions/$second/processes/$r->{json}{process_id}")), '404 not_found', "nor in another session");
is(code(ask('POST', $path, json => {})), '405 method_not_allowed', 'another method');

# The session's end is theirs.
$s = Sandbox::Stream->executor($t, 'GET', $path);
ok($s->until(30, sub { grep { $_ eq 'start' } $s->names }), 'a reader');
is(ask('DELETE', $at)->{status}, 200, 'the session ends');
$s->finish;
is($s->last_event('end')->{status}, 'failed', 'so does the process');
is(code(ask('GET', $path)), '410 gone', 'and is gone');
is(code(start(shell => 'true')), '410 gone', 'none can be started');
is(code(ask('POST', "$at/processes", headers => { 'Idempotency-Key' => 'p3' }, json => { shell => 'true' })), '410 gone', 'nor one that was, again');
is(code(ask('GET', "$at/processes")), '410 gone', 'nor listed');

# On record, without what was run.
$t->stop('executor');
my $audit = join '', map { open my $f, '<', $_ or die $!; local $/; <$f> } sort glob "$t->{dir}/data/audit/audit-*.jsonl";
like($audit, qr/"process.started"/, 'starts are on record');
like($audit, qr/"process.ended"/, 'and ends');
unlike($audit, qr/echo streamed/, 'what was run is not');
$t->finish;
done_testing;
