#!/usr/bin/perl
# A shell on a terminal of a session, through nginx, over a WebSocket; in both tiers.
use strict;
use warnings;
use lib 't/lib';
use IO::Socket::INET;
use JSON::PP;
use Sandbox;
use Sandbox::WebSocket;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 1, 'pool.default.gvisor' => 1 }, launcher => { runsc => 'auto' });
$t->start;
my $token = $t->token;

sub ws {
    my ($path, %headers) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . $t->port) or die $!;
    return Sandbox::WebSocket->open($socket, $path, headers => { Host => 'localhost', Authorization => "Bearer $token", %headers });
}
sub session {
    my ($isolation) = @_;
    my $r = $t->request('POST', '/v1/sessions', json => { language => 'bash', isolation => $isolation });
    is($r->{status}, 201, "$isolation: a session") or diag explain $r;
    return "/v1/sessions/$r->{json}{session_id}";
}

for my $tier (qw(process gvisor)) {
    my $at = session($tier);
    my $r = $t->request('POST', "$at/processes", json => { argv => ['bash', '--norc'], pty => { rows => 30, cols => 100 }, env => { PS1 => '> ' } });
    is($r->{status}, 201, "$tier: a shell") or diag explain $r;
    my $path = "$at/processes/$r->{json}{process_id}/ws";
    my $w = ws($path);
    is($w->{status}, 101, "$tier: through nginx") or diag explain $w;
    ok($w->until(30, sub { $w->{binary} =~ /> $/ }), "$tier: a prompt") or diag explain $w;
    $w->type("stty size\n");
    ok($w->until(30, sub { $w->{binary} =~ /30 100\r\n/ }), "$tier: its size") or diag $w->{binary};
    $w->control({ resize => { rows => 44, cols => 133 } });
    $w->type("stty size\n");
    ok($w->until(30, sub { $w->{binary} =~ /44 133\r\n/ }), "$tier: another size") or diag $w->{binary};
    ok($w->until(30, sub { $w->{binary} =~ /44 133\r\n.*> $/s }), "$tier: a prompt again");
    if ($tier eq 'process') {    # Debian 12's gVisor sends no signal for a key
        $w->type("sh -c 'echo u\"\"p; exec sleep 1000'\n");
        ok($w->until(30, sub { $w->{binary} =~ /up\r\n/ }), "$tier: something runs");
        $w->type("\x03");
        ok($w->until(30, sub { $w->{binary} =~ /up\r\n.*> $/s }), "$tier: ^C interrupts it, the shell goes on") or diag $w->{binary};
    }
    $w->type("exit 3\n");
    ok($w->until(30, sub { $w->{exit} }), "$tier: it ends") or diag $w->{binary};
    is($w->{exit}{exit_code}, 3, "$tier: with its code");
    $w->finish(30);
    is($w->{code}, 1000, "$tier: goodbye");
    is(ws($path, Authorization => undef)->{status}, 401, "$tier: without a token there is none");
    is($t->request('DELETE', $at)->{status}, 200, "$tier: the session ends");
    is(ws($path)->{status}, 410, "$tier: and is gone");
}
$t->finish;
done_testing;
