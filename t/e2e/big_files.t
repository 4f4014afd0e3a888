#!/usr/bin/perl
# A large file up and down through the gateway: byte-exact, broken off at random points and taken up again, in constant
# memory of everything on the way. BIG_MIB is its size, 64 by default; t/soak/files asks for 1024.
use strict;
use warnings;
use Digest::SHA;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox;
use Test::More;
use Time::HiRes qw(time);

my $mib = $ENV{BIG_MIB} // 64;
my $size = $mib << 20;
my $piece = 1 << 20;
my $breaks = $ENV{BIG_BREAKS} // 12;
my $spare = 12 << 10;    # KiB that a process may grow by

my $t = Sandbox->new;
my $policy = decode_json($t->read_file('etc/policies/default.json'));
my $disk = ($mib < 32 ? 64 : $mib + 32) . 'Mi';
my $memory = ($mib + 256) . 'Mi';
$policy->{limits}{disk}{max} = $disk;
$policy->{limits}{memory}{max} = $memory;
$t->write('etc/policies/default.json', encode_json($policy));
$t->start;
srand($ENV{BIG_SEED} // 20261121);    # not before: names and ports of a test are by chance

my $r = $t->request('POST', '/v1/sessions', json => { language => 'python', limits => { disk => $disk, memory => $memory } });
is($r->{status}, 201, 'a session with room') or diag(explain $r->{json});
my $base = "/v1/sessions/$r->{json}{session_id}";
my $token = $t->token(exp => int(time) + 3600);
is($t->request('PUT', "$base/files/warm", body => 'x' x $piece)->{status}, 201, 'everything is warm');
is(length $t->request('GET', "$base/files/warm")->{content}, $piece, 'both ways');

my $block = join '', map { pack 'N', ($_ * 2654435761) % 4294967296 } 1 .. $piece / 4;
sub bytes { my ($i) = @_; my $at = $i * 7919 % $piece; return pack('Q>', $i) . substr($block . $block, $at, $piece - 8) }
my $whole = Digest::SHA->new(256);
$whole->add(bytes($_)) for 0 .. $mib - 1;
$whole = $whole->hexdigest;

sub peaks {
    my %peak;
    for my $pid ($t->{pid}{gateway}, $t->{pid}{executor}, $t->gateway_workers, $t->sandbox_processes) {
        my $name = (split /\0/, Sandbox::_slurp("/proc/$pid/cmdline"))[0] // '';
        $name =~ s{^\S*/}{};
        my ($kib) = Sandbox::_slurp("/proc/$pid/status") =~ /^VmHWM:\s+(\d+)/m;
        $peak{"$name $pid"} = $kib if $kib;
    }
    return \%peak;
}
my $before = peaks();
cmp_ok(scalar keys %$before, '>=', 4, 'processes to look at');

sub connection { return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port, Timeout => 20) // die $! }

sub head_of {
    my ($socket) = @_;
    my $head = '';
    while ($head !~ /\r\n\r\n/) { sysread $socket, $head, 1, length $head or last }
    Sandbox::Contract::got($socket, $head, cut => 1);
    return $head;
}

# From $from on; with $stop, the connection is cut there without a word. The status, 0 when cut.
sub upload {
    my ($from, $stop) = @_;
    my $socket = connection();
    my $last = $size - 1;
    Sandbox::Contract::sent($socket, "PUT $base/files/big HTTP/1.1\r\n\r\n");
    print {$socket} "PUT $base/files/big HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $token\r\nContent-Range: bytes $from-$last/$size\r\nContent-Length: "
        . ($size - $from) . "\r\n\r\n";
    $socket->flush;
    for (my $at = $from; $at < ($stop // $size);) {
        my $i = int($at / $piece);
        my $data = substr bytes($i), $at % $piece;
        $data = substr $data, 0, $stop - $at if defined $stop && $at + length $data > $stop;
        for (my $sent = 0; $sent < length $data;) { my $n = syswrite($socket, $data, length($data) - $sent, $sent) // last; $sent += $n }
        $at += length $data;
    }
    return 0 if defined $stop;
    return head_of($socket) =~ m{^HTTP/1.1 (\d+)} ? $1 : -1;
}

sub stored {
    my $reply = $t->request('HEAD', "$base/files/big", token => $token);
    return $reply->{status} == 404 ? 0 : $reply->{headers}{'content-length'};
}

# What was sent before a cut arrives; when it stops growing, that is what there is.
sub settled {
    my $last = -1;
    $t->wait_until(20, sub { my $now = stored(); my $same = $now == $last; $last = $now; select undef, undef, undef, 0.05; $same });
    return $last;
}

my $began = time;
my ($at, $resumed) = (0, 0);
for my $cut (sort { $a <=> $b } map { int rand $size } 1 .. $breaks) {
    next if $cut <= $at;
    upload($at, $cut);
    my $has = settled();
    $resumed++ if $has > 0 && $has <= $cut;
    is(1, 0, "more is stored than was sent: $has of $cut") if $has > $cut;
    $at = $has;
}
my $status = upload($at);
is($status, $at == 0 ? 201 : 200, 'the upload ends');
my $up = time - $began;
cmp_ok($resumed, '>=', $breaks / 2, "after $resumed breaks");
is(stored(), $size, 'all of it is there');

# What the session itself sees.
$r = $t->request('POST', "$base/steps", timeout => 120, json => { timeout => '100s', code => <<'PY' });
import hashlib
h = hashlib.sha256()
with open('big', 'rb') as f:
    while True:
        b = f.read(1 << 20)
        if not b: break
        h.update(b)
h.hexdigest()
PY
is($r->{json}{results}[0]{data}{'text/plain'}, "'$whole'", 'byte for byte') or diag(explain $r->{json});

$began = time;
my $digest = Digest::SHA->new(256);
my ($got, $etag, $parts) = (0, '', 0);
my @cuts = sort { $a <=> $b } map { int rand $size } 1 .. $breaks;
while ($got < $size) {
    my $socket = connection();
    shift @cuts while @cuts && $cuts[0] <= $got;
    my $stop = @cuts ? shift @cuts : $size;
    Sandbox::Contract::sent($socket, "GET $base/files/big HTTP/1.1\r\n\r\n");
    print {$socket} "GET $base/files/big HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer $token\r\n" . ($got ? "Range: bytes=$got-\r\nIf-Range: $etag\r\n" : '') . "\r\n";
    $socket->flush;
    my $head = head_of($socket);
    my $want = $got ? "206 bytes $got-" . ($size - 1) . "/$size" : '200 ';
    my ($code) = $head =~ m{^HTTP/1.1 (\d+)};
    my ($part) = $head =~ /^Content-Range: (.*?)\r/mi;
    my $have = ($code // '-') . ' ' . ($part // '');
    if ($have ne $want) { is($have, $want, 'a part'); last }
    $etag = $1 if $head =~ /^ETag: (.*?)\r/mi;
    $parts++;
    while ($got < $stop) {
        my $n = sysread $socket, my $data, $stop - $got < 262144 ? $stop - $got : 262144;
        last unless $n;
        $digest->add($data);
        $got += $n;
    }
}
my $down = time - $began;
is($got, $size, "the download in $parts parts");
is($digest->hexdigest, $whole, 'is byte-exact');
cmp_ok($parts, '>=', $breaks / 2, 'and was taken up again');

my $after = peaks();
for my $name (sort keys %$before) {
    my $grown = ($after->{$name} // 0) - $before->{$name};
    note(sprintf '%-28s %7d KiB, grew by %d', $name, $after->{$name} // 0, $grown);
    next if $Sandbox::VARIANT eq 'asan';    # what is freed stays in its quarantine
    next if $name =~ /^python/;             # the interpreter is the tenant's
    cmp_ok($grown, '<', $spare, "$name grew by $grown KiB for $mib MiB");
}
note(sprintf '%d MiB: up %.1f s (%.0f MiB/s) with %d breaks, down %.1f s (%.0f MiB/s) in %d parts', $mib, $up, $mib / $up, $resumed, $down, $mib / $down, $parts);

# A client that reads nothing holds nobody up and costs no more than what is on its way.
my $slow = connection();
Sandbox::Contract::sent($slow, "GET $base/files/big HTTP/1.1\r\n\r\n");
print {$slow} "GET $base/files/big HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $token\r\n\r\n";
$slow->flush;
head_of($slow);
$began = time;
is($t->request('GET', "$base/files/warm")->{status}, 200, 'others are served beside a reader that does not read');
cmp_ok(time - $began, '<', 5, 'at once');
close $slow;
# The disk's limit is one that ends a session: which of the two is told first depends on who looks first.
like($t->request('PUT', "$base/files/more", body => 'x' x (($disk =~ s/Mi//r) - $mib + 1 << 20))->{status}, qr/^(507|410)$/, 'what has no room is told');
like($t->request('GET', "$base/stat?path=more")->{status}, qr/^(404|410)$/, 'and nothing of it stays');

is($t->request('DELETE', $base)->{status}, 200, 'the session goes');
$t->finish;
done_testing();
