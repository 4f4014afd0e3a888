#!/usr/bin/perl
# The process that sandboxes are cloned from: it has no capability on the host, owns no sandbox, and is dispensable.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Sandbox::Launch;

sub slurp { return Sandbox::Launch::slurp(@_) }
sub status { my ($pid) = @_; return { slurp("/proc/$pid/status") =~ /^(\w+):[ \t]*(.*?)[ \t]*$/mg } }
sub space { my ($pid, $name) = @_; return readlink("/proc/$pid/ns/$name") // '' }
sub children { my ($pid) = @_; return grep { length } split /\s+/, `pgrep -P $pid` }
sub pid_of { my ($l, $id) = @_; return ($l->log =~ /"event":"sandbox.created","sandbox":$id,.*?"pid":(\d+)/)[0] }
sub fds { my ($pid) = @_; return join ' ', sort { $a <=> $b } map { m{(\d+)$} } glob "/proc/$pid/fd/*" }
sub mappings { my ($pid) = @_; return scalar(my @lines = split /\n/, slurp("/proc/$pid/mountinfo")) }

# The user namespace above that of a process: NS_GET_PARENT.
sub above {
    my ($pid) = @_;
    open my $ns, '<', "/proc/$pid/ns/user" or return 'none';
    my $fd = ioctl($ns, 0xb702, 0) or return 'none';
    open my $parent, '<&=', $fd + 0 or return 'none';
    return readlink("/proc/$$/fd/" . fileno $parent);
}

my $l = Sandbox::Launch->new->start(spare_networks => 2, runsc => 'no');
my $c = $l->client;
# Who is started first.
my ($spawner) = sort { $a <=> $b } children($l->{pid});
{
    my $status = status($spawner);
    my $own = $l->{uid_base} + 4 * $l->{max_sandboxes};
    is($status->{Uid}, join("\t", $own, $own + 1, $own, 0), 'its ids are nobody else\'s; what it writes is as root\'s');
    is($status->{NoNewPrivs}, 1, 'it gets no more rights');
    # Those of LAUNCHER_CAPS (executor/launcher/creds.c), whatever root has here, and in this user namespace alone.
    is(hex($status->{$_}) & ~0x12c11eb, 0, "$_: none that the launcher does not keep") for qw(CapPrm CapEff CapBnd);
    is(hex $status->{$_}, 0, "$_: none") for qw(CapInh CapAmb);
    # Zygotes have its user, which owns its user namespace: only that it is not dumpable keeps them out of its memory.
    is((stat "/proc/$spawner/environ")[4], 0, 'it is not dumpable');
    is($status->{Seccomp}, 2, 'it is filtered');
    isnt(space($spawner, 'user'), space($l->{pid}, 'user'), 'its rights are those in a user namespace of its own');
    is(above($spawner), space($l->{pid}, 'user'), 'beneath that of the launcher');
    is_deeply([map { [split] } split /\n/, slurp("/proc/$spawner/uid_map")], [[$l->{uid_base}, $l->{uid_base}, 4 * $l->{max_sandboxes} + 2]], 'which has the ids of sandboxes and not root');
    isnt(space($spawner, 'net'), space($l->{pid}, 'net'), 'it is not in the network of the host');
    cmp_ok(mappings($spawner), '<', mappings($l->{pid}), 'it sees none of the templates') or diag(slurp("/proc/$spawner/mountinfo"));
    is(fds($spawner), join(' ', 0 .. 14), 'and has few descriptors');
}

my $id = $c->create;
is($c->adopt($id), 'adopted', 'a sandbox that was cloned from it');
my $pid = pid_of($l, $id);
is(status($pid)->{PPid}, $l->{pid}, 'is a child of the launcher');
is(above($pid), space($spawner, 'user'), 'its user namespace is beneath');
is(scalar(children($spawner)), 0, 'and it has no children');
is(space($spawner, 'net') eq space($pid, 'net'), '', 'nor does it stay in the network of a sandbox');
# The last it closes when it has answered.
ok($l->wait_until(30, sub { fds($spawner) eq join ' ', 0 .. 14 }), 'nothing of the sandbox stays open') or diag(fds($spawner));
like($c->sh($id, 'id -u; cat /proc/self/uid_map'), qr/^\s*1000\b/m, 'it has its ids');
# What no capability of the sandbox's reaches: the memory belongs to the namespace above.
like(slurp("/proc/$pid/status"), qr/^CapEff:\s+00000000000001e0$/m, 'the agent has four capabilities');
is((stat "/proc/$pid/mem")[4], 0, 'its memory is not its own to look at');

# It is dispensable.
kill 'KILL', $spawner;
ok($l->wait_until(30, sub { $l->log =~ /"event":"spawner.ended"/ }), 'that it is gone is said');
is(status($pid)->{PPid}, $l->{pid}, 'sandboxes live on');
like($c->sh($id, 'echo on'), qr/^on$/m, 'and work');
my $next = $c->create;
is($c->adopt($next), 'adopted', 'the next is made without it');
is(above(pid_of($l, $next)), space($l->{pid}, 'user'), 'by the launcher');
like($c->sh($next, 'cat /proc/net/dev'), qr/^\s*lo:/m, 'with a network');
$c->destroy($_) for $id, $next;
$c->stop;
$l->finish;

# The launcher takes it along however it ends.
my $killed = Sandbox::Launch->new;
$killed->start(spare_networks => 0);
my ($child) = children($killed->{pid});
ok($child, 'it is there without networks, too');
$killed->stop('KILL');
ok($killed->wait_until(30, sub { !-e "/proc/$child" || (status($child)->{State} // 'Z') =~ /^Z/ }), 'it dies with the launcher');
$killed->start;
$killed->stop;
$killed->finish;

# Too few processes for all sandboxes together: each has only its own limit when the launcher clones them.
my $few = Sandbox::Launch->new(under => ['prlimit', '--nproc=100']);
$few->start(runsc => 'no');
my $able = $few->log !~ /"event":"spawner.ended"/;
SKIP: {
    skip 'the launcher may raise its limits here', 1 if $able;
    like($few->log, qr/"event":"spawner.ended","reason":"user namespace","error":122/, 'with a limit of processes that is too low there is none');
}
my $d = $few->client;
is($d->adopt($d->create), 'adopted', 'sandboxes are made');
$d->stop;
$few->finish;
done_testing;
