#!/usr/bin/perl
# Transfers whose session, agent or client goes away in the middle: each ends, with a reason where one can still be told.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Select;
use IO::Socket::UNIX;
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new;
$t->start_launcher;
$t->start_executor;

sub context { return Sandbox::Context::sign($t->{key}, tenant => 'demo', up_bytes => 64 << 20) }
sub call { my ($method, $path, %option) = @_; return $t->executor_request($method, $path, %option, context => context()) }
sub session {
    my $r = call('POST', '/v1/sessions', json => { language => 'python' });
    die "no session: $r->{content}" unless $r->{status} == 201;
    return "/v1/sessions/$r->{json}{session_id}";
}
sub begin {
    my ($head, $body) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => "$t->{dir}/sock/executord.sock") or die $!;
    my $bytes = "$head\r\nHost: x\r\nConnection: close\r\nSandbox-Context: " . context() . "\r\n\r\n" . ($body // '');
    Sandbox::Contract::sent($socket, $bytes);
    print {$socket} $bytes;
    $socket->flush;
    return $socket;
}
# All that comes until the end; undef when there is no end in time.
sub rest {
    my ($socket, $seconds) = @_;
    my ($got, $end) = ('', time + ($seconds // 30));
    while (1) {
        return undef if time > $end || !IO::Select->new($socket)->can_read($end - time);
        last unless sysread $socket, $got, 1 << 20, length $got;
    }
    Sandbox::Contract::got($socket, $got);
    return $got;
}
sub entries { my ($base) = @_; return map { $_->{name} } @{ call('GET', "$base/files/")->{json}{entries} || [] } }

# The session is deleted.
my $base = session();
is(call('PUT', "$base/files/big", body => 'x' x (20 << 20))->{status}, 201, 'a large file');
my $down = begin("GET $base/files/big HTTP/1.1");
my $up = begin("PUT $base/files/up HTTP/1.1\r\nContent-Length: 1000000", 'y' x 500_000);
my $pieces = begin("PUT $base/files/pieces HTTP/1.1\r\nContent-Length: 1000000\r\nContent-Range: bytes 0-999999/1000000", 'y' x 500_000);
my $tar = begin("GET $base/archive HTTP/1.1");
ok($t->wait_until(30, sub { (call('HEAD', "$base/files/pieces")->{headers}{'content-length'} // 0) == 500_000 }), 'transfers are under way');
is(call('DELETE', $base)->{status}, 200, 'the session is deleted');
my $got = rest($down);
ok(defined $got && $got =~ /^HTTP\/1.1 200 / && length $got < 20 << 20, 'the download ends before its end');
like(rest($up) // 'nothing', qr/^HTTP\/1.1 410 .*"reason":"cancelled"/s, 'the upload learns why');
like(rest($pieces) // 'nothing', qr/^HTTP\/1.1 410 /s, 'so does the one in pieces');
$got = rest($tar);
ok(defined $got && $got !~ /\r\n0\r\n\r\n$/, 'the archive has no last chunk');

# The agent is killed.
$base = session();
is(call('PUT', "$base/files/big", body => 'x' x (20 << 20))->{status}, 201, 'another');
$down = begin("GET $base/files/big HTTP/1.1");
$up = begin("PUT $base/files/up HTTP/1.1\r\nContent-Length: 1000000", 'y' x 500_000);
ok($t->wait_until(30, sub { IO::Select->new($down)->can_read(0) }), 'under way');
my @agents = grep { (Sandbox::_slurp("/proc/$_/cmdline")) =~ /session-agent/ } $t->sandbox_processes;
kill 'KILL', @agents;
$got = rest($down);
ok(defined $got && length $got < 20 << 20, 'a download from a dead agent ends');
like(rest($up) // 'nothing', qr/^HTTP\/1.1 410 .*"reason":"(crash|lost)"/s, 'an upload to one learns it');
is(call('GET', "$base/files/big")->{status}, 410, 'and so does who comes later');

# The client goes, often, and nothing is left of it.
$base = session();
is(call('PUT', "$base/files/big", body => 'x' x (8 << 20))->{status}, 201, 'a third');
for my $i (1 .. 40) {
    my $one = begin("GET $base/files/big HTTP/1.1");
    my $two = begin("PUT $base/files/up$i HTTP/1.1\r\nContent-Length: 1000000", 'y' x (24_000 * $i));
    close $one;
    close $two;
}
ok($t->wait_until(30, sub { join(' ', entries($base)) eq 'big' }), 'uploads whose clients left leave nothing') or diag(join ' ', entries($base));
is(length call('GET', "$base/files/big")->{content}, 8 << 20, 'and the session goes on');

# Many at once: each is done or told to come again.
my @many = map { begin("PUT $base/files/many/$_ HTTP/1.1\r\nContent-Length: 1000", 'z' x 500) } 1 .. 150;
print {$_} 'z' x 500 for @many;
my %status;
$status{ (rest($_) // '') =~ m{^HTTP/1.1 (\d+)} ? $1 : 'none' }++ for @many;
is_deeply([grep { !/^(201|503)$/ } keys %status], [], 'a crowd of uploads is answered') or diag(explain \%status);
is(scalar @{ call('GET', "$base/files/many")->{json}{entries} || [] }, $status{201} // 0, 'and as many are there as were taken');

# A session that is paused does nothing.
SKIP: {
    my $paused = call('POST', "$base/pause");
    skip 'no pause', 3 unless $paused->{status} == 200;
    is(call('GET', "$base/files/big")->{status}, 409, 'nothing is read of a paused session');
    is(call('PUT', "$base/files/big", body => 'x')->{status}, 409, 'nor written');
    call('POST', "$base/resume");
    is(call('GET', "$base/files/big")->{status}, 200, 'until it goes on');
}
is(call('DELETE', $base)->{status}, 200, 'the end');
$t->finish;
done_testing();
