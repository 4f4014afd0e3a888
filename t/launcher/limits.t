#!/usr/bin/perl
# Each limit ends its sandbox with a verdict that names limit and observed value;
# a sandbox beside is served all the while.
use strict;
use warnings;
use Test::More;
use Time::HiRes 'time';
use lib 't/lib';
use Sandbox::Launch;

use constant { NONE => 0, CPU => 1, MEMORY => 2, DISK => 3, PROCESSES => 4, TIME => 5 };

my $l = Sandbox::Launch->new;
$l->start;
my $c = $l->client;

my $hog = q{exec python3 -c "b=bytearray(1<<30)"};
my $spin = 'while :; do :; done';
my $fork_bomb = q{f() { f | f & f | f; }; f; sleep 20};

# Runs a payload that must be ended by the limit; returns the report of ENDED.
sub ended_by {
    my ($name, $command, %limit) = @_;
    my $id = $c->create;
    is($c->adopt($id, %limit), 'adopted', "$name: adopted");
    $c->tell($id, "bg $command");
    my $report = $c->ended(60);
    is($report->{what}, 'ended', "$name: the launcher says so unasked");
    is($report->{id}, $id, "$name: of the right sandbox");
    is($report->{running}, 0, "$name: nothing runs any more");
    is($report->{signal}, 9, "$name: killed");
    my $stat = $c->stat($id);
    is($stat->{verdict}, $report->{verdict}, "$name: the verdict stays");
    my $gone = $c->destroy($id);
    is($gone->{what}, 'destroyed', "$name: destroyed");
    is($gone->{$_}, $report->{$_}, "$name: $_ as told before") for qw(verdict limit observed);
    return $report;
}

my $r = ended_by('memory', $hog, memory => 64 << 20);
is($r->{verdict}, MEMORY, 'memory: verdict');
is($r->{limit}, 64 << 20, 'memory: limit');
cmp_ok($r->{observed}, '>=', 64 << 20, 'memory: observed');
cmp_ok($r->{oom}, '>=', 1, 'memory: the kernel counted');
cmp_ok($r->{peak}, '>', 60 << 20, 'memory: peak');
cmp_ok($r->{peak}, '<=', 65 << 20, 'memory: never above the limit');

$r = ended_by('memory by files', 'cat /dev/zero > /workspace/z; sleep 20', memory => 32 << 20, disk => 512 << 20);
is($r->{verdict}, MEMORY, 'memory by files: files in the workspace are memory');

$r = ended_by('processes', $fork_bomb, processes => 16);
is($r->{verdict}, PROCESSES, 'processes: verdict');
is($r->{limit}, 16, 'processes: limit');
is($r->{observed}, 17, 'processes: observed');
cmp_ok($r->{forks}, '>=', 1, 'processes: refusals');

$r = ended_by('threads', q{exec python3 -c "import threading,time;[threading.Thread(target=time.sleep,args=(20,)).start() for i in range(40)]"}, processes => 20);
is($r->{verdict}, PROCESSES, 'threads count as processes');

$r = ended_by('disk', 'cat /dev/zero > /workspace/z; sleep 20', disk => 4 << 20);
is($r->{verdict}, DISK, 'disk: verdict');
is($r->{limit}, 4 << 20, 'disk: limit');
is($r->{files}, 0, 'disk: counted in bytes');
cmp_ok($r->{observed}, '>', 4 << 20, 'disk: observed');
cmp_ok($r->{observed}, '<=', (4 << 20) + 65536, 'disk: and never much more');
$r = ended_by("disk in $_", "cat /dev/zero > $_/z; sleep 20", disk => 1 << 20) for '/tmp', '/dev/shm', '/run/sandbox';
is($r->{verdict}, DISK, 'disk: one sum for all that can be written');
$r = ended_by('disk over all', 'for d in /tmp /dev/shm /workspace; do head -c 2000000 /dev/zero > $d/z; done; sleep 20', disk => 4 << 20);
is($r->{verdict}, DISK, 'disk: three directories together');
$r = ended_by('files', 'cd /tmp; i=0; while : > $i; do i=$((i+1)); done; sleep 20', disk => 64 << 20, memory => 512 << 20);
is($r->{verdict}, DISK, 'disk: too many files');
is($r->{files}, 1, 'disk: counted in files');
is($r->{limit}, 32768, 'disk: as many as there may be');
is($r->{observed}, 32768, 'disk: and as many as there are');

$r = ended_by('cpu', $spin, cpu_ms => 300);
is($r->{verdict}, CPU, 'cpu: verdict');
is($r->{limit}, 300, 'cpu: limit');
cmp_ok($r->{observed}, '>=', 300, 'cpu: observed');
cmp_ok($r->{observed}, '<', 600, 'cpu: and not long after');
$r = ended_by('cpu of children', "($spin) & ($spin) & wait", cpu_ms => 400, millis => 2000);
is($r->{verdict}, CPU, 'cpu: of all processes together');

$r = ended_by('time', 'sleep 20', wall_ms => 400);
is($r->{verdict}, TIME, 'time: verdict');
is($r->{limit}, 400, 'time: limit');
cmp_ok($r->{observed}, '>=', 400, 'time: observed');
cmp_ok($r->{observed}, '<', 900, 'time: and not long after');
cmp_ok($r->{cpu_ms}, '<', 200, 'time: without using the processor');

# The rate is held, and is no verdict.
my $id = $c->create;
$c->adopt($id, millis => 200);
my $begin = time;
$c->tell($id, 'bg while :; do :; done');
# On a busy host it does not get its fifth in each period, and is held back in fewer.
ok($l->wait_until(30, sub { $r = $c->stat($id); $r->{throttled} > 300 }), 'rate: what it was held back is told');
is($r->{verdict}, NONE, 'rate: no verdict');
cmp_ok($r->{cpu_ms}, '<', 1000 * (time - $begin) * 0.35 + 30, 'rate: a fifth of a core was given');
$c->destroy($id);

# All sandboxes together are more to the scheduler than one process.
my ($base) = grep { -e "$_/cpu.shares" || -e "$_/cpu.weight" } grep { !m{/s\d+$} } $l->cgroups;
my $n_cpus = () = Sandbox::Launch::slurp('/proc/cpuinfo') =~ /^processor\s/mg;
is(Sandbox::Launch::slurp(-e "$base/cpu.shares" ? "$base/cpu.shares" : "$base/cpu.weight") + 0,
    -e "$base/cpu.shares" ? 2 * 1024 * $n_cpus : 2 * 100 * $n_cpus, 'weight: two processes a processor');

# A kill for want of memory outside of the sandbox is not its limit.
my ($memory) = grep { -e "$_/memory.limit_in_bytes" || -e "$_/memory.max" } grep { !m{/s\d+$} } $l->cgroups;
my $ceiling = -e "$memory/memory.max" ? "$memory/memory.max" : "$memory/memory.limit_in_bytes";
sub set_ceiling { my ($value) = @_; open my $out, '>', $ceiling or die "$ceiling: $!"; print {$out} $value; return close $out }
ok(set_ceiling(96 << 20), 'all sandboxes together may have 96 MiB');
$id = $c->create;
$c->adopt($id, memory => 512 << 20);
like($c->sh($id, $hog), qr/signal=9/, 'a hog below its own limit is killed');
$r = $c->stat($id);
is("$r->{verdict} $r->{host_oom} $r->{running}", '0 1 1', 'that is no verdict on it, but is told');
cmp_ok($r->{peak}, '<', 100 << 20, 'and it never came near its limit');
ok(set_ceiling($ceiling =~ /max$/ ? 'max' : -1), 'the ceiling is gone');
$c->sh($id, $hog);
$r = $c->ended;
is("$r->{verdict} $r->{host_oom}", MEMORY . ' 0', 'its own limit still is one');
cmp_ok($r->{observed}, '>=', 512 << 20, 'with what was observed');
$c->destroy($id);

# At the limit but not over it.
$id = $c->create;
$c->adopt($id, disk => 4 << 20, processes => 4, memory => 128 << 20);
like($c->sh($id, 'head -c 4194304 /dev/zero > /workspace/z; echo rc=$?'), qr/rc=0/, 'as many bytes as allowed can be written');
like($c->sh($id, 'sleep 0.01 & sleep 0.01 & sleep 0.01 & wait; echo rc=$?'), qr/rc=0/, 'as many processes as allowed can run');
like($c->sh($id, q{python3 -c "bytearray(60<<20)"; echo rc=$?}), qr/rc=0/, 'memory below the limit');
is($c->stat($id)->{verdict}, NONE, 'no verdict');
$c->destroy($id);

# Its disk is made as large as the last one's; whatever that was, it has what it is given, to the byte.
for my $mib (64, 64, 4, 200, 200, 4, 64) {
    $id = $c->create;
    is($c->adopt($id, disk => $mib << 20), 'adopted', "one with $mib MiB");
    like($c->sh($id, 'echo $(($(stat -f -c "%b * %S" /workspace)))'), qr/^@{[ ($mib << 20) + 65536 ]}$/m, 'has as much and the spare');
    $c->destroy($id);
}
$r = ended_by('disk of one after one of more', 'cat /dev/zero > /workspace/z; sleep 20', disk => 2 << 20);
is("$r->{verdict} $r->{limit}", DISK . ' ' . (2 << 20), 'its own limit ends it');

# What happened between two ticks is in STAT's answer, though the payload ended well.
$id = $c->create;
$c->adopt($id, processes => 4);
$c->sh($id, 'for i in 1 2 3 4 5 6 7 8; do sleep 0.01 & done; wait; true');
$r = $c->stat($id);
is($r->{verdict}, PROCESSES, 'STAT finds a refused fork by itself');
is($c->ended->{verdict}, PROCESSES, 'and the sandbox is ended');
$c->destroy($id);
$id = $c->create;
$c->adopt($id, disk => 1 << 20);
$c->sh($id, 'head -c 3000000 /dev/zero > /tmp/z; true');
is($c->stat($id)->{verdict}, DISK, 'STAT finds a full disk by itself');
is($c->ended->{verdict}, DISK, 'and this one is ended too');
$c->destroy($id);

# SETTLE: the run is over, and so is its measuring.
$id = $c->create;
$c->adopt($id, wall_ms => 3000, cpu_ms => 300, disk => 4 << 20);
$c->sh($id, 'echo result > /workspace/result');
$r = $c->settle($id);
is("$r->{what} $r->{verdict} $r->{running}", 'stats 0 1', 'SETTLE finds nothing and leaves it alive');
like($c->sh($id, 'sleep 3.1; timeout 2 sh -c "while :; do :; done"; head -c 5000000 /dev/zero > /tmp/z; cat /workspace/result'), qr/^result$/m,
    'longer than its time, its cpu time and its disk');
my $s = $c->stat($id);
is("$s->{verdict} $s->{running}", '0 1', 'there is no verdict any more');
is($s->{$_}, $r->{$_}, "and $_ is what it was") for qw(wall_ms cpu_ms disk peak forks);
$c->send($id, 'exit 3');
$s = $c->ended;
is("$s->{verdict} $s->{code} $s->{wall_ms}", "0 3 $r->{wall_ms}", 'its end is told, with the same numbers');
$s = $c->destroy($id);
is("$s->{verdict} $s->{cpu_ms} $s->{wall_ms}", "0 $r->{cpu_ms} $r->{wall_ms}", 'and again when it is gone');
$id = $c->create;
$c->adopt($id, processes => 4);
$c->sh($id, 'for i in 1 2 3 4 5 6 7 8; do sleep 0.01 & done; wait; true');
is($c->settle($id)->{verdict}, PROCESSES, 'SETTLE finds what happened before it');
is($c->ended->{verdict}, PROCESSES, 'which ends the sandbox');
is($c->settle($id)->{verdict}, PROCESSES, 'and can be asked of one that ended');
$c->destroy($id);
$id = $c->create;
$c->adopt($id, memory => 64 << 20);
$c->settle($id);
$c->send($id, "bg $hog");
$c->sh($id, 'sleep 0.3; echo');
cmp_ok($c->stat($id)->{peak}, '<=', 65 << 20, 'the kernel holds a settled one to its limits as before');
$c->destroy($id);

# Several at once: the order is fixed, the first is final.
$id = $c->create;
$c->adopt($id, cpu_ms => 100, wall_ms => 100);
$c->send($id, "sh $spin");
$r = $c->ended;
ok($r->{verdict} == CPU || $r->{verdict} == TIME, 'one of two that come together');
is($c->stat($id)->{verdict}, $r->{verdict}, 'asked again the same');
is($c->destroy($id)->{verdict}, $r->{verdict}, 'and at the end the same');

# Usage of what went before does not count.
$id = $c->create;
$c->sh($id, 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done');
$c->adopt($id, cpu_ms => 2000);
cmp_ok($c->stat($id)->{cpu_ms}, '<', 60, 'cpu counts from ADOPT on');
$c->destroy($id);

# Values no sandbox can have.
for my $bad ([memory => 0], [memory => 4096], [disk => 0], [cpu_ms => 0], [wall_ms => 0], [millis => 0], [millis => 5], [processes => 0],
    [memory => '18446744073709551615'], [disk => '18446744073709551615'], [wall_ms => '18446744073709551615'], [processes => 4294967295], [millis => 4294967295]) {
    $id = $c->create;
    is($c->adopt($id, @$bad), 'error 22 limits', "refused: @$bad");
    is($c->stat($id)->{verdict}, NONE, 'and still warm');
    $c->destroy($id);
}

# Bomb, hog and flood at once; a fourth answers as ever.
my $calm = $c->create;
$c->adopt($calm);
my %bad;
$bad{$_} = $c->create for qw(bomb hog disk spin);
$c->adopt($bad{bomb}, processes => 64, millis => 500);
$c->adopt($bad{hog}, memory => 128 << 20);
$c->adopt($bad{disk}, disk => 8 << 20);
$c->adopt($bad{spin}, cpu_ms => 1000);
$c->send($bad{bomb}, "bg $fork_bomb");
$c->send($bad{hog}, "bg $hog");
$c->send($bad{disk}, 'bg cat /dev/zero > /tmp/z; sleep 20');
$c->send($bad{spin}, "bg $spin");
my $worst = 0;
my $answered = 0;
$begin = time;
my %left = map { $bad{$_} => $_ } keys %bad;
my $rounds = 0;
while (%left && time < $begin + 60) {
    my $start = time;
    $answered++ if $c->sh($calm, 'echo calm') =~ /^calm$/m;
    $worst = time - $start if time - $start > $worst;
    $rounds++;
    for my $one (keys %left) {
        my $stat = $c->stat($one);
        delete $left{$one} if !$stat->{running};
    }
}
is(scalar(keys %left), 0, 'all four ended');
is($answered, $rounds, 'the calm one answered every time');
cmp_ok($worst, '<', 15, sprintf 'and not only when they had ended: the slowest answer took %.0f ms', 1000 * $worst);
my %verdict = map { $_ => $c->destroy($bad{$_})->{verdict} } sort keys %bad;
is_deeply(\%verdict, { bomb => PROCESSES, hog => MEMORY, disk => DISK, spin => CPU }, 'each for its own reason');
is($c->destroy($calm)->{verdict}, NONE, 'the calm one had no verdict');

$c->stop;
$l->finish;
done_testing();
