#!/usr/bin/perl
# Control groups of version 1 that wait for their next sandbox: nothing of the last one is in them.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Sandbox::Launch;

plan skip_all => 'version 2 keeps none, they are cheap there' unless -d '/sys/fs/cgroup/pids';
my $l = Sandbox::Launch->new;
$l->start;
my $c = $l->client;

sub made { my %limit = @_; my $id = $c->create; die "no sandbox\n" unless $c->adopt($id, %limit) eq 'adopted'; return $id }
sub kept { return grep { m{/k\d+$} } $l->cgroups }
# Before the next is made: what the last one held may be given back a moment later, and a group that still has it is nobody's.
my $rest = (1 << 20) + (256 << 10) * `nproc`;
sub rested { return $l->wait_until(30, sub { !grep { Sandbox::Launch::slurp("$_/memory.usage_in_bytes") > $rest } grep { /memory/ } kept() }) }
sub inodes { return join ' ', sort map { (stat $_)[1] } grep { /memory/ } @_ }
sub value { my ($id, $file) = @_; my $slot = $id % $l->{max_sandboxes}; my ($path) = grep { -e } map { "$_/$file" } grep { m{/s$slot$} } $l->slots; my $text = Sandbox::Launch::slurp($path); chomp $text; return $text }

my $id = made();
my $group = inodes($l->slots);
is(scalar(kept()), 0, 'none is kept at first');
like($c->sh($id, 'head -c 30000000 /dev/zero > file; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done'), qr/^done$/m, 'a sandbox uses memory, disk and time');
my $used = $c->stat($id);
cmp_ok($used->{peak}, '>', 20_000_000, 'which is counted');
cmp_ok($c->destroy($id)->{what}, 'eq', 'destroyed', 'gone');
is(scalar($l->slots), 0, 'no group is in use');
is(scalar(kept()), 4, 'its group waits, in each hierarchy');
is(join('', map { Sandbox::Launch::slurp("$_/cgroup.procs") } kept()), '', 'with nothing in it');

ok(rested(), 'and next to no memory');
$id = made(memory => 40 << 20, processes => 7, millis => 500);
is(inodes($l->slots), $group, 'the next sandbox has it');
is(scalar(kept()), 0, 'and it waits no more');
my $stat = $c->stat($id);
cmp_ok($stat->{peak}, '<', 4 << 20, 'the peak is its own');
cmp_ok($stat->{cpu_ms}, '<', 200, 'so is the time');
is($stat->{$_}, 0, "$_ is 0") for qw(oom forks verdict);
is(value($id, 'memory.limit_in_bytes'), 40 << 20, 'its memory limit');
is(value($id, 'memory.memsw.limit_in_bytes') || 40 << 20, 40 << 20, 'with swap');
is(value($id, 'memory.kmem.tcp.limit_in_bytes') || 5 << 20, 5 << 20, 'the limit of its sockets');
is(value($id, 'pids.max'), 8, 'its processes');
is(value($id, 'cpu.cfs_quota_us'), 50000, 'its processor');
is(value($id, 'cpu.shares'), 1024, 'a new weight');
$c->sh($id, q{python3 -I -S -c 'x = bytearray(100 << 20)'});
is($c->ended->{verdict}, 2, 'the limit holds');
$c->destroy($id);
is(scalar(kept()), 0, 'a group that was short of memory is not kept');

# Until it is adopted a sandbox may have what the last one had, if that is about what it is to have.
for my $last ([40 << 20, 512 << 20, 65], [300 << 20, 300 << 20, 61], [256 << 20, 256 << 20, 129], [2 << 30, 512 << 20, 65]) {
    my ($memory, $then, $processes) = @$last;
    $c->destroy(made(memory => $memory, processes => $processes - 1));
    is(scalar(kept()), 4, 'one waits');
    ok(rested(), 'with next to no memory');
    $id = $c->create;
    is(value($id, 'memory.limit_in_bytes'), $then, "after one of $memory bytes the next begins with $then");
    is(value($id, 'pids.max'), $processes, 'and as many processes');
    is($c->adopt($id, memory => 20 << 20, processes => 5), 'adopted', 'it is adopted');
    is(value($id, 'memory.limit_in_bytes'), 20 << 20, 'from then on it has what it is given');
    is(value($id, 'memory.memsw.limit_in_bytes') || 20 << 20, 20 << 20, 'with swap');
    is(value($id, 'pids.max'), 6, 'and as many');
    $c->sh($id, q{python3 -I -S -c 'x = bytearray(100 << 20)'});
    is($c->ended->{verdict}, 2, 'which holds');
    $c->destroy($id);
}

$id = made(processes => 3);
$c->sh($id, 'sleep 5 & sleep 5 & sleep 5 & sleep 5 & sleep 5 & wait');
is($c->ended->{verdict}, 4, 'nor is one');
$c->destroy($id);
is(scalar(kept()), 0, 'that was refused a process');

$id = made();
my $what = $c->freeze($id)->{what};
SKIP: {
    skip 'no freezer', 2 unless $what eq 'stats';
    $c->thaw($id);
    $c->destroy($id);
    is(scalar(kept()), 0, 'nor one that was frozen');
    is(scalar($l->slots), 0, 'whose groups are gone');
    $id = made();
}
$c->destroy($id);

# Two of one share weigh half each; what comes after them does not.
my @ids = map { made(share => 7) } 1, 2;
is(value($ids[0], 'cpu.shares'), 512, 'one of two of a share');
$c->destroy($_) for @ids;
cmp_ok(scalar(kept()), '>=', 8, 'both are kept');
@ids = map { made() } 1, 2;
is(value($_, 'cpu.shares'), 1024, 'the next weighs what a new group does') for @ids;
isnt(inodes(grep { m{/s@{[ $ids[0] % $l->{max_sandboxes} ]}$} } $l->slots), inodes(grep { m{/s@{[ $ids[1] % $l->{max_sandboxes} ]}$} } $l->slots), 'two at a time have two');
$c->destroy($_) for @ids;

# Removed under the launcher, which then makes another.
rmdir $_ for kept();
is(scalar(kept()), 0, 'somebody removes what waits');
$id = made();
is(scalar($l->slots), 4, 'a new one is made');
$c->destroy($id);
my ($memory) = grep { /memory/ } kept();
rmdir $memory;
$id = made();
is(scalar($l->slots), 4, 'also where only a part was removed');
is(scalar(kept()), 0, 'the rest of which is gone');
$c->destroy($id);

# A process that somebody put into one: it is left alone, and nobody else gets it.
my ($pids) = grep { m{/pids/} } kept();
my $stranger = fork // die $!;
if (!$stranger) { exec 'sleep', 60 }
open my $procs, '>', "$pids/cgroup.procs" or die $!;
print {$procs} $stranger;
close $procs or die $!;
$id = made();
unlike(join(' ', map { Sandbox::Launch::slurp("$_/cgroup.procs") } $l->slots), qr/\b$stranger\b/, 'a group with a stranger in it is no sandbox\'s');
kill 'KILL', $stranger;
waitpid $stranger, 0;
rmdir $pids;
$c->destroy($id);

# More than are kept.
@ids = map { made() } 1 .. 70;
$c->destroy($_) for @ids;
is(scalar(kept()), 4 * 64, 'no more than 64 wait');
is(scalar($l->slots), 0, 'the others are gone');
$c->stop;
$l->stop('KILL');
is(scalar(kept()), 4 * 64, 'a launcher that is killed leaves them');
$l->start;
is(scalar(kept()), 0, 'the next removes them');
my $d = $l->client;
$d->adopt(my $last = $d->create);
$d->destroy($last);
$d->stop;
$l->finish;
done_testing;
