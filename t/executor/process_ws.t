#!/usr/bin/perl
# Commands of sessions as WebSockets, straight at executord's socket: what an honest client gets, and a hostile one.
use strict;
use warnings;
use lib 't/lib';
use IO::Socket::UNIX;
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Sandbox::Stream;
use Sandbox::WebSocket;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 2 });
$t->start_launcher->start_executor;

sub ask {
    my ($method, $path, %option) = @_;
    my $who = delete $option{who} || {};
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, %$who), %option);
}
my $at = '/v1/sessions/' . ask('POST', '/v1/sessions', json => { language => 'bash' })->{json}{session_id};
sub start { my (%ask) = @_; return "$at/processes/" . ask('POST', "$at/processes", json => \%ask)->{json}{process_id} }
sub ws {
    my ($path, %option) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => "$t->{dir}/sock/executord.sock") or die $!;
    my %headers = ('Sandbox-Context' => Sandbox::Context::sign($t->{key}, %{ $option{who} || {} }), %{ $option{headers} || {} });
    return Sandbox::WebSocket->open($socket, "$path/ws" . ($option{query} // ''), headers => \%headers);
}

# A shell.
my $shell = start(argv => ['bash', '--norc'], pty => { rows => 30, cols => 100 }, env => { PS1 => '> ' });
my $w = ws($shell);
is($w->{status}, 101, 'switched') or diag explain $w;
ok($w->{accepted}, 'the key was answered');
ok($w->until(30, sub { $w->{binary} =~ /> $/ }), 'a prompt') or diag explain $w;
$w->type("stty size\n");
ok($w->until(30, sub { $w->{binary} =~ /30 100\r\n/ }), 'its size');
$w->control({ resize => { rows => 50, cols => 120 } });
$w->type("stty size\n");
ok($w->until(30, sub { $w->{binary} =~ /50 120\r\n/ }), 'another');
$w->type("sh -c 'echo u\"\"p; exec sleep 1000'\n");
ok($w->until(30, sub { $w->{binary} =~ /up\r\n/ }), 'something runs');
$w->type("\x03");
ok($w->until(30, sub { $w->{binary} =~ /\^C\r\n/ }), '^C');
$w->type("echo code=\$?\n");
ok($w->until(30, sub { $w->{binary} =~ /code=130\r\n/ }), 'interrupts it');
ok($w->until(30, sub { $w->{cursor} }), 'a cursor comes');
$w->raw(Sandbox::WebSocket::frame(9, 'ping'));
ok($w->until(30, sub { ($w->{pong} // '') eq 'ping' }), 'a ping is answered');
ok($w->until(30, sub { $w->{binary} =~ /code=130.*> $/s }), 'a prompt');
my $cursor = $w->{cursor};
$w->leave;
$w = ws($shell, query => "?cursor=$cursor");
$w->type("echo ba''ck\n");
# With its prompt: before it the terminal is not the shell's to read, and an end of input would be lost.
ok($w->until(30, sub { $w->{binary} =~ /back\r\n.*> $/s }), 'left, and come back');
unlike($w->{binary}, qr/code=130/, 'what was read is not read again');
is(ws($shell)->{status}, 101, 'a second one beside it');
$w->control({ eof => JSON::PP::true });
ok($w->until(30, sub { $w->{exit} }), 'the end of input is its end');
is($w->{exit}{exit_code}, 0, 'with its code');
$w->finish;
is($w->{code}, 1000, 'then the goodbye');
$w = ws($shell)->finish;
is($w->{exit}{exit_code}, 0, 'one that is over can be read') or diag explain $w->{text};

# Pipes.
$w = ws(start(shell => 'wc -c; echo err >&2; exit 5', stdin => JSON::PP::true));
$w->type(join '', map { chr($_ % 256) x 1000 } 0 .. 999);
$w->control({ eof => JSON::PP::true });
$w->finish(30);
is($w->{binary}, "1000000\n", 'a million bytes go in');
is($w->{stderr}, 'ZXJyCg==', 'stderr is told apart');
is($w->{exit}{exit_code}, 5, 'the code');
$w = ws(start(shell => 'echo up; sleep 100'));
ok($w->until(30, sub { $w->{binary} eq "up\n" }), 'one runs');
$w->control({ signal => 'SIGTERM' });
is($w->finish->{exit}{signal}, 'SIGTERM', 'a signal');

# A flood, and nobody reads: neither the daemon nor the command waits.
my $flood = start(shell => 'yes | head -c 50000000; echo; echo last');
my $slow = ws($flood);
is(ask('GET', "$flood?wait=50")->{json}{status}, 'exited', 'a flood ends while its reader sleeps');
open my $statm, '<', "/proc/$t->{pid}{executor}/status" or die $!;
my ($kib) = join('', <$statm>) =~ /^VmRSS:\s+(\d+)/m;
# In a sanitized one what is freed stays in its quarantine.
cmp_ok($kib, '<', 100_000, "the daemon's memory is no flood: $kib KiB") if $Sandbox::VARIANT ne 'asan';
$slow->finish;
ok($slow->{gap}, 'the reader learns what it missed');
like($slow->{binary}, qr/\nlast\n\z/, 'and gets the end');

# Handshakes that are none.
my $one = start(shell => 'sleep 1000', stdin => JSON::PP::true);
for my $case (
    [426, 'version 8', { 'Sec-WebSocket-Version' => 8 }], [426, 'no version', { 'Sec-WebSocket-Version' => undef }],
    [400, 'no key', { 'Sec-WebSocket-Key' => undef }], [400, 'a short key', { 'Sec-WebSocket-Key' => 'YQ==' }],
    [400, 'a key that is no base64', { 'Sec-WebSocket-Key' => '!!!!!!!!!!!!!!!!!!!!!!==' }], [400, 'another protocol', { Upgrade => 'h2c' }],
    [400, 'two protocols', { Upgrade => 'websocket, h2c' }], [400, 'a body', { 'Content-Length' => 3 }], [400, 'an Upgrade without Connection', { Connection => 'close' }],
    [426, 'no upgrade', { Upgrade => undef, Connection => 'close' }],
    ) {
    my ($status, $name, $headers) = @$case;
    my $w = ws($one, headers => $headers);
    is($w->{status}, $status, "refused: $name");
}
is(ws($one, query => '?cursor=x')->{status}, 422, 'a cursor that is none');
is(ws($one, query => '?what=x')->{status}, 422, 'an unknown parameter');
is(ws($one, who => { tenant => 'other' })->{status}, 404, "another tenant's");
is(ws($one, who => { scopes => 'sessions:read' })->{status}, 403, 'reading is not enough');
is(ws("$at/processes/prc_00000000000000000000000000")->{status}, 404, 'one that is not there');
is(ws($one, headers => { 'Sandbox-Context' => undef })->{status}, 401, 'nobody');
{
    my $socket = IO::Socket::UNIX->new(Peer => "$t->{dir}/sock/executord.sock") or die $!;
    my $w = Sandbox::WebSocket->open($socket, $at, headers => { 'Sandbox-Context' => Sandbox::Context::sign($t->{key}) });
    is($w->{status}, 400, 'elsewhere there is no upgrade');
}

# Frames that are none.
sub f { return Sandbox::WebSocket::frame(@_) }
for my $case (
    [1002, 'unmasked', f(2, 'x', unmasked => 1)], [1002, 'a reserved bit', f(2, 'x', rsv => 4)], [1002, 'a reserved opcode', f(3, 'x')],
    [1002, 'a reserved control', f(11, 'x')], [1002, 'a ping in pieces', f(9, 'x', fin => 0)], [1002, 'a long ping', f(9, 'x' x 126)],
    [1002, 'a continuation of nothing', f(0, 'x')], [1002, 'a message within another', f(1, '{', fin => 0) . f(1, '}')],
    [1009, 'a long text', f(1, 'x' x 65537)], [1009, 'a long text in pieces', f(1, 'x' x 40000, fin => 0) . f(0, 'x' x 40000)],
    [1009, 'a text of 2^40 bytes', f(1, 'x', length => 2**40)], [1007, 'no UTF-8', f(1, "\"\xff\"")], [1008, 'no JSON', f(1, '{')], [1008, 'no object', f(1, '[]')],
    [1008, 'another member', f(1, '{"what":1}')], [1008, 'two at once', f(1, '{"eof":true,"signal":"SIGTERM"}')], [1008, 'another signal', f(1, '{"signal":"SIGSEGV"}')],
    [1008, 'no size', f(1, '{"resize":{"rows":0}}')],
    ) {
    my ($code, $name, $bytes) = @$case;
    my $w = ws($one);
    $w->raw($bytes);
    $w->finish(30);
    is($w->{code}, $code, "$name: $code");
    ok($w->{eof}, 'and the end');
}
$w = ws($one);
$w->raw(f(1, '{"resi', fin => 0) . f(9, '') . f(0, 'ze":{"rows":3,"cols":3}}'));
$w->raw(f(2, '', length => 0));
ok($w->until(30, sub { defined $w->{pong} }), 'a ping between two pieces is one');
$w->raw(f(8, pack 'n', 1000));
is($w->finish(30)->{code}, 1000, 'a goodbye is answered');
is(ask('GET', $one)->{json}{status}, 'running', 'and none of it touched the process');

# Torn connections, and the session's end.
for (1 .. 20) { my $w = ws($one); $w->raw(substr f(2, 'x' x 300), 0, 1 + int rand 300); $w->leave }
$w = ws($one);
ok($w->until(30, sub { @{ $w->{text} } }), 'one reads');
is(ask('DELETE', $at)->{status}, 200, 'the session ends');
$w->finish;
is($w->{exit}{status}, 'failed', 'it is told');
is($w->{code}, 1000, 'and dismissed');
is(ws($one)->{status}, 410, 'and gone');
# Somebody at a terminal keeps a session from being idle; a process in the background does not, nor who listens to it.
my $idler = ask('POST', '/v1/sessions', json => { language => 'bash', idle_timeout => '1h' })->{json}{session_id};
sub idle_at { return ask('GET', "/v1/sessions/$idler")->{json}{idle_expires_at} }
my $path = "/v1/sessions/$idler/processes/" . ask('POST', "/v1/sessions/$idler/processes", json => { shell => 'cat', stdin => JSON::PP::true })->{json}{process_id};
my $listener = Sandbox::Stream->executor($t, 'GET', $path);
ok($listener->until(30, sub { grep { $_ eq 'start' } $listener->names }), 'somebody listens');
ok(idle_at(), 'that is idle');
my $other;
($one, $other) = (ws($path), ws($path));
is(idle_at(), undef, 'who sits there is not');
is(ask('PATCH', "/v1/sessions/$idler", json => { idle_timeout => '1500ms' })->{status}, 200, 'not for more than a moment');
ok(!$t->wait_until(2, sub { ask('GET', "/v1/sessions/$idler")->{json}{status} eq 'ended' }), 'however long');
is(ws("/v1/sessions/$idler/processes/prc_00000000000000000000000000")->{status}, 404, 'nobody at none');
$one->leave;
ok(!$t->wait_until(0.6, sub { idle_at() }), 'one of two leaves');
$other->type("last\n");
ok($other->until(30, sub { $other->{binary} =~ /last/ }), 'the other works');
$other->leave;
ok($t->wait_until(30, sub { (ask('GET', "/v1/sessions/$idler")->{json}{reason} // '') eq 'idle' }), 'then it is idle');
$idler = ask('POST', '/v1/sessions', json => { language => 'bash' })->{json}{session_id};
$path = "/v1/sessions/$idler/processes/" . ask('POST', "/v1/sessions/$idler/processes", json => { shell => 'sleep 1000' })->{json}{process_id};
$one = ws($path);
is(ask('DELETE', "/v1/sessions/$idler")->{json}{reason}, 'cancelled', 'a session ends under one');
ok($one->until(30, sub { $one->{eof} || defined $one->{code} }), 'which is told');

$t->finish;
done_testing;
