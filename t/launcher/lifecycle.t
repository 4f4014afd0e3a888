#!/usr/bin/perl
# Coming and going: many at once, many in a row, and every way of dying.
use strict;
use warnings;
use Test::More;
use Time::HiRes 'time';
use lib 't/lib';
use Sandbox::Launch;

my $l = Sandbox::Launch->new;
$l->start;
my $c = $l->client;
my $pid = $l->{pid};

# But for networks, which come back in their own time: as many as are kept, and the launcher's own.
sub networks { return scalar grep { (readlink // '') =~ /^net:/ } glob "/proc/$pid/fd/*" }
sub fds { return scalar grep { my $what = readlink; defined $what && $what !~ /^net:/ } glob "/proc/$pid/fd/*" }
sub mounts { return scalar(() = Sandbox::Launch::slurp("/proc/$_[0]/mountinfo") =~ /\n/g) }
# What is a file's may be gone and be read again.
sub rss { Sandbox::Launch::slurp("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m; return $1 }

# The launcher itself.
my $status = Sandbox::Launch::slurp("/proc/$pid/status");
like($status, qr/^NoNewPrivs:\s+1$/m, 'the launcher has no_new_privs');
like($status, qr/^Seccomp:\s+2$/m, 'and is filtered');
like($status, qr/^Threads:\s+1$/m, 'and has one thread');
like($status, qr/^CapInh:\s+0+$/m, 'and hands no capability on');
my ($bounding) = $status =~ /^CapBnd:\s+(\w+)$/m;
ok(!(hex(substr $bounding, 8) & (1 << 16 | 1 << 17 | 1 << 27 | 1 << 13)), 'and cannot load modules, touch ports, make devices or open raw sockets');
unlike(Sandbox::Launch::slurp("/proc/$pid/environ"), qr/[^\0]/, 'and kept no environment');
cmp_ok(mounts($pid), '<', 24, 'its tree holds its templates and nothing else');
ok(!-e "/proc/$pid/root/root" && !-e "/proc/$pid/root/var", 'the host is out of its sight');
is(scalar(grep { /\Q$l->{dir}\E/ } split /\n/, Sandbox::Launch::slurp('/proc/self/mountinfo')), 0, 'and nothing it mounted is seen outside');
my $host_mounts = Sandbox::Launch::host_mounts();

# One, all of its life.
$c->hello;
$c->{hello} = 1;
my $id = $c->create;
my $idle = fds() - 6;
is($c->stat($id)->{running}, 1, 'warm: it runs');
is($c->stat($id)->{verdict}, 0, 'warm: no verdict');
is(scalar($l->slots), 4, 'a group in each of four hierarchies') if -d '/sys/fs/cgroup/pids';
is($c->adopt($id), 'adopted', 'adopted');
like($c->sh($id, 'echo works'), qr/^works$/m, 'works');
my $gone = $c->destroy($id);
is($gone->{running}, 0, 'nothing runs any more');
is($gone->{signal}, 9, 'it was killed');
is(scalar($l->slots), 0, 'DESTROYED means: no group is left');
is_deeply([$l->processes], [], 'and no process');

# The agent's own end.
$id = $c->create;
$c->send($id, 'exit 7');
my $ended = $c->ended;
is($ended->{what}, 'ended', 'the exit of the agent is told unasked');
is("$ended->{id} $ended->{code} $ended->{signal} $ended->{running}", "$id 7 0 0", 'with its status');
is($c->adopt($id), 'error 3 ended', 'ADOPT comes too late, which is nobody\'s fault');
is($c->stat($id)->{running}, 0, 'STAT can be asked still');
is($c->destroy($id)->{code}, 7, 'and DESTROY knows the status');
$id = $c->create;
$c->adopt($id);
$c->tell($id, 'bg setsid sh -c "while :; do sleep 1; done"');
$c->tell($id, 'bg trap "" TERM INT HUP; sleep 30');
$c->send($id, 'exit 0');
is($c->ended->{code}, 0, 'the agent ends with payloads alive');
is_deeply([$l->processes], [], 'they are gone before it is told');
$c->destroy($id);

# The payload cannot end the agent or outlive it.
$id = $c->create;
$c->adopt($id);
$c->sh($id, 'kill -9 -1; kill -9 1');
is($c->stat($id)->{running}, 1, 'kill -1 by the payload leaves the agent alone');
like($c->sh($id, 'echo still'), qr/^still$/m, 'which answers');
$c->destroy($id);

# An orphan storm and a stopped process at destroy.
$id = $c->create;
$c->adopt($id);
$c->sh($id, 'for i in 1 2 3 4 5 6 7 8 9 10; do (sleep 300 &) ; done > /dev/null 2>&1; sh -c "kill -STOP \$\$" > /dev/null 2>&1 &');
my $start = time;
$c->destroy($id);
cmp_ok(time - $start, '<', 30, 'destroyed, and nobody waits for them');
is_deeply([$l->processes], [], 'orphans and stopped ones included');

# Fifty at once, each its own.
my @many = map { $c->create } 1 .. 50;
my %uid = map { $c->{uid}{$_} => 1 } @many;
is(scalar keys %uid, 50, 'fifty at once with fifty ids');
is((() = $l->processes), 50, 'fifty agents');
is(scalar(grep { $c->adopt($_) eq 'adopted' } @many), 50, 'all adopted');
is(scalar(grep { $c->sh($_, 'echo $((6*7))') =~ /^42$/m } @many), 50, 'all work');
is(scalar(grep { $c->destroy($_)->{what} eq 'destroyed' } @many), 50, 'all destroyed');
is_deeply([$l->processes], [], 'no process is left');

# All slots, then none.
@many = map { $c->create } 1 .. 128;
is($c->ask('create default'), 'error 11 slots', 'one more than there are slots is refused');
$c->destroy(pop @many);
$id = $c->create;
ok($id, 'a slot that became free is used');
$c->destroy($_) for @many, $id;

# Many in a row leave nothing.
my ($fds, $rss) = (fds(), rss());
for (1 .. 500) {
    $id = $c->create;
    $c->destroy($id);
}
# A look at a network that was made meanwhile has a file open.
ok($l->wait_until(30, sub { fds() <= $fds }), '500 in a row: no descriptor is left') or diag(fds() . " for $fds");
cmp_ok(networks(), '<=', 2 * 64, 'nor more networks than are kept');
cmp_ok(rss(), '<=', $rss + (($ENV{SANDBOX_VARIANT} // '') eq 'asan' ? 16384 : 512), '500 in a row: no memory is left');
is(Sandbox::Launch::host_mounts(), $host_mounts, '500 in a row: no mount outside');
cmp_ok(mounts($pid), '<', 24, '500 in a row: no mount inside');
is(scalar($l->slots), 0, '500 in a row: no group');
is_deeply([$l->processes], [], '500 in a row: no process');
my $zombies = grep { /^State:\s+Z/m && /^PPid:\s+$pid$/m } map { Sandbox::Launch::slurp($_) } glob '/proc/[0-9]*/status';
is($zombies, 0, '500 in a row: no zombie');

# An id that was given back rests: the next sandboxes have others.
my %seen;
for (1 .. 20) { $id = $c->create; $seen{ $c->{uid}{$id} }++; $c->destroy($id) }
is(scalar keys %seen, 20, 'ids are used in turn');

# Hang-up.
@many = map { $c->create } 1 .. 5;
$c->adopt($_) for @many;
$c->tell($_, 'bg sleep 60') for @many;
my $other = $l->client;
my $others = $other->create;
$c->stop;
ok($l->wait_until(30, sub { scalar($l->slots) == 4 && (() = $l->processes) == 1 }), 'a client that hangs up takes its sandboxes along, and nobody else\'s');
like($other->sh($others, 'echo mine'), qr/^mine$/m, 'which works on');

# kill -9 of the launcher.
my @rest = map { $other->create } 1 .. 5;
$other->adopt($_) for @rest;
$other->tell($_, 'bg setsid sleep 60 & sleep 60') for @rest;
cmp_ok((() = $l->processes), '>=', 11, 'six sandboxes at work');
$l->stop('KILL');
ok($l->wait_until(30, sub { !$l->processes }), 'kill -9 of the launcher leaves no process');
cmp_ok(scalar($l->slots), '>', 0, 'its groups are left, as it could not remove them');
$other->stop;
mkdir "$_/s999" for grep { m{ngx_sandbox-[^/]*$} } $l->cgroups;
my ($pids) = grep { m{/pids/.*s999$} } $l->cgroups;
my $stray = fork // die $!;
if (!$stray) { exec 'sleep', '60' or POSIX::_exit(1) }
if ($pids) { open my $procs, '>', "$pids/cgroup.procs" or die $!; print {$procs} $stray; close $procs or die $! }
$l->start;
is(scalar($l->slots), 0, 'the next start removes them');
if ($pids) { waitpid $stray, 0; is($? & 127, 9, 'and kills what was in one') } else { kill 9, $stray; waitpid $stray, 0 }
like($l->log, qr/"event":"cgroup.swept"/, 'and says so');
$c = $l->client;
$id = $c->create;
like($c->sh($id, 'echo again'), qr/^again$/m, 'and works');

# kill -9 in the middle of making sandboxes, some of which have not reached the agent yet.
$c->stop;
my $bench = "$Sandbox::Launch::OUT/t/bench/launch";
system('make', '-s', '-C', $Sandbox::Launch::ROOT, 'VARIANT=' . ($ENV{SANDBOX_VARIANT} // 'release'), 'build/' . ($ENV{SANDBOX_VARIANT} // 'release') . '/t/bench/launch') unless -x $bench;
for my $turn (1 .. 8) {
    my $flood = fork // die $!;
    if (!$flood) {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>&', \*STDOUT;
        exec $bench, $l->socket, 100000, 0, 32 or POSIX::_exit(127);
    }
    $l->wait_until(30, sub { ($l->log =~ tr/\n//) > 40 * $turn && $l->slots });
    $l->stop('KILL');
    ok($l->wait_until(30, sub { !$l->processes }), "killed while making sandboxes, turn $turn: no process is left");
    kill 9, $flood;
    waitpid $flood, 0;
    $l->start;
    is(scalar($l->slots), 0, "turn $turn: swept");
}
$c = $l->client;
$id = $c->create;
like($c->sh($id, 'echo well'), qr/^well$/m, 'and all is well');

# A second launcher of the same state directory.
my $twin = Sandbox::Launch->new(dir => $l->{dir}, instance => $l->{instance}, uid_base => $l->{uid_base});
$twin->{dir} = $l->{dir};
is($twin->start(fails => 1), 1, 'a second one for the same state_dir refuses to start');
$twin->{owner} = 0;
like($c->sh($id, 'echo unharmed'), qr/^unharmed$/m, 'and harms nothing');

# SIGTERM with sandboxes at work.
$c->adopt($id);
$c->tell($id, 'bg trap "" TERM; sleep 60');
$start = time;
is($l->stop, 0, 'SIGTERM: a clean end');
cmp_ok(time - $start, '<', 30, 'without waiting for it');
is_deeply([$l->cgroups], [], 'without groups');
is_deeply([$l->processes], [], 'without processes');
ok(!-e $l->socket, 'without a socket');
is($c->ask('stat 1'), 'eof', 'the client sees the end');
$c->stop;
$l->finish;
done_testing();
