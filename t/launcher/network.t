#!/usr/bin/perl
# Networks of sandboxes that are made ahead: never two sandboxes' at a time, and another's only when nothing of it is left.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Sandbox::Launch;

my $l = Sandbox::Launch->new;
$l->start(spare_networks => 1);
my $c = $l->client;

sub made { my $id = $c->create; die "no sandbox\n" unless $c->adopt($id) eq "adopted"; return $id }
# A network's number is the next one's as soon as nobody has it open.
sub held_open { my ($id) = @_; my ($pid) = $l->log =~ /"event":"sandbox.created","sandbox":$id,.*?"pid":(\d+)/; open my $ns, '<', "/proc/$pid/ns/net" or die $!; return $ns }
sub network { my ($id) = @_; return ($c->sh($id, "readlink /proc/self/ns/net") =~ /(net:\[\d+\])/)[0] }
# What a program can see of the network that it is in, without what the whole host shares.
sub seen { my ($id) = @_; return $c->sh($id, 'cat /proc/net/snmp /proc/net/snmp6 /proc/net/netstat /proc/net/dev /proc/net/unix /proc/net/tcp /proc/net/udp; head -1 /proc/net/sockstat') }
sub python { my ($id, $code) = @_; return $c->sh($id, "python3 -I -S -c '$code' 2>&1") }

# The processes beside a launcher: who makes them is the one that steps back behind others.
sub beside { my ($launcher) = @_; return sort { nice($b) <=> nice($a) } grep { length } split /\s+/, `pgrep -P $launcher->{pid}` }
sub nice { return (split ' ', Sandbox::Launch::slurp("/proc/$_[0]/stat"))[18] // 0 }

sub fds { my ($pid) = @_; return join ' ', sort map { m{(\d+)$} } glob "/proc/$pid/fd/*" }

# The launcher does not wait for it: it steps back last of all, then has its own network.
my ($maker, $spawner);
ok($l->wait_until(30, sub { ($maker, $spawner) = beside($l); nice($maker) > 0 && fds($maker) eq '0 1' }), 'a process makes them');
my $status = Sandbox::Launch::slurp("/proc/$maker/status");
my $owner = $l->{uid_base} + 4 * $l->{max_sandboxes};
like($status, qr/^Uid:\s+$owner\s+$owner\s+$owner\s+$owner$/m, 'as a user of no sandbox');
isnt(readlink "/proc/$maker/ns/user", readlink '/proc/self/ns/user', 'it has no right on the host');
is(readlink "/proc/$maker/ns/user", readlink "/proc/$spawner/ns/user", 'it is where sandboxes are cloned from');
isnt(readlink "/proc/$maker/ns/net", readlink '/proc/self/ns/net', 'and is not in its network');
like($status, qr/^Seccomp:\s+2$/m, 'it is filtered');
ok($l->wait_until(30, sub { fds($maker) eq '0 1' }), 'it has its socket and its own network') or diag(fds($maker));

# A launcher that keeps one has it ready only when the first look at it was had.
my ($id, $first, $new);
ok($l->wait_until(30, sub { $id = made(); $first = network($id); $new = seen($id); $c->destroy($id); my $next = made(); my $same = network($next) eq $first; $c->destroy($next); $same }),
    'who comes after one that did nothing has the same network');
$id = made();
is(seen($id), $new, 'in which everything is as in a new one');
my $other = made();
isnt(network($other), network($id), 'two at a time have two');
$c->destroy($_) for $id, $other;

my @traces = (
    ['a datagram to itself', 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 999 + 1000)); s.sendto(b"x", s.getsockname())'],
    ['a datagram to nobody', 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))'],
    ['a datagram that has no way', 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 9))'],
    ['a connection that is refused', 'import socket; socket.socket().connect(("127.0.0.1", 9))'],
    ['a connection, which stays in TIME_WAIT', 'import socket; a = socket.socket(); a.bind(("127.0.0.1", 0)); a.listen(); b = socket.create_connection(a.getsockname()); a.accept()[0].close(); b.close()'],
    ['a connection of IPv6', 'import socket; a = socket.socket(socket.AF_INET6); a.bind(("::1", 0)); a.listen(); socket.create_connection(a.getsockname()[:2])'],
    ['a datagram of IPv6', 'import socket; socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b"x", ("::1", 9))'],
);
for my $trace (@traces) {
    my ($what, $code) = @$trace;
    $id = made();
    my ($used, $open) = (network($id), held_open($id));
    python($id, $code);
    isnt(seen($id), $new, "$what leaves a trace");
    $c->destroy($id);
    $id = made();
    isnt(network($id), $used, 'whose network nobody else gets');
    is(seen($id), $new, 'the next has a new one');
    $c->destroy($id);
}

# What the kernel says of groups of multicast is said a while after they are joined and left.
my @groups = (
    ['IPv4', 's = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(0, 35, struct.pack("4s4si", socket.inet_aton("239.1.2.3"), bytes(4), 1))'],
    ['IPv6', 's = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.setsockopt(41, 20, socket.inet_pton(socket.AF_INET6, "ff05::1234") + struct.pack("I", 1))'],
);
for my $group (@groups) {
    my ($what, $code) = @$group;
    $id = made();
    like(python($id, "import socket, struct; $code; print(\"joined\")"), qr/^joined$/m, "a group of $what is joined, and left");
    $c->destroy($id);
    $id = made();
    ok(!$l->wait_until(2, sub { seen($id) ne $new }), 'the next hears nothing of it, nor later');
    $c->destroy($id);
}

# Names of unix sockets are the network's, too, and end with their sockets, unless those keep each other open.
$id = made();
my $held = network($id);
like(python($id, 'import socket; s = socket.socket(socket.AF_UNIX); s.bind("\0name"); print("bound")'), qr/^bound$/m, 'a name is taken');
$c->tell($id, 'bg ' . q{python3 -I -S -c 'import array, socket, time; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind("\0cycle"); s.connect("\0cycle"); s.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno()]))]); time.sleep(60)'});
ok($l->wait_until(30, sub { $c->sh($id, 'cat /proc/net/unix') =~ /\@cycle/ }), 'and a socket is in flight in itself');
$c->destroy($id);
$id = made();
unlike($c->sh($id, 'cat /proc/net/unix'), qr/\@(?:name|cycle)/, 'the next sees neither');
like(python($id, 'import socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).bind("\0cycle"); print("bound")'), qr/^bound$/m, 'and may take the name');
unlike($c->sh($id, 'ls -ld /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv4/ip_forward'), qr/status=0/, 'a payload changes nothing of it');
$c->destroy($id);

# Without the maker sandboxes make their own.
kill 'KILL', $maker;
ok($l->wait_until(30, sub { $l->log =~ /"event":"networks.ended"/ }), 'that it is gone is said');
my @ids = map { made() } 1 .. 3;
my %networks = map { network($_) => 1 } @ids;
is(scalar(keys %networks), 3, 'three sandboxes have three networks without it');
is(seen($_), $new, 'as new') for @ids;
$c->destroy($_) for @ids;
is(join(' ', beside($l)), $spawner, 'and nothing is left of it');
$c->stop;
$l->finish;

# The launcher takes it along however it ends.
my $killed = Sandbox::Launch->new;
$killed->start;
my $socket = $killed->socket;
my ($child) = beside($killed);
$killed->stop('KILL');
ok($killed->wait_until(30, sub { !-e "/proc/$child" || Sandbox::Launch::slurp("/proc/$child/status") =~ /^State:\s+Z/m }), 'it dies with the launcher');
$killed->start(spare_networks => 0);
is(scalar(my @beside = beside($killed)), 1, 'there is none where no network is to be kept');
my $d = $killed->client;
my $alone = $d->create;
is($d->adopt($alone), 'adopted', 'sandboxes work all the same');
like($d->sh($alone, 'cat /proc/net/dev'), qr/^\s*lo:/m, 'with a lo of their own');
my $hosts = readlink '/proc/self/ns/net';
unlike($d->sh($alone, 'readlink /proc/self/ns/net'), qr/\Q$hosts\E/, 'in a network of their own');
$d->destroy($alone);
$d->stop;
$killed->finish;
done_testing;
