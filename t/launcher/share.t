#!/usr/bin/perl
# Sandboxes of one share weigh as much as one: as the control groups say, and by
# the time that the kernel gave them.
# alone: it measures shares of the processors
# release: it measures
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Sandbox::Launch;

my $l = Sandbox::Launch->new;
$l->start;
my $c = $l->client;

sub number {
    my ($id, @files) = @_;
    my $slot = $id % $l->{max_sandboxes};
    for my $dir (grep { m{/s$slot$} } $l->slots) {
        for my $file (@files) {
            return $1 if Sandbox::Launch::slurp("$dir/$file") =~ /(\d+)/;
        }
    }
    return undef;
}
sub weight { return number($_[0], 'cpu.shares', 'cpu.weight') }
sub cpu_ms { return $c->stat($_[0])->{cpu_ms} }

my $probe = $c->create;
# The launcher itself goes first, and what it starts does not.
SKIP: {
    skip 'this host has no real-time share for us', 2 if system 'chrt -r 1 true 2>/dev/null';
    my ($pid) = map { split ' ', Sandbox::Launch::slurp("$_/cgroup.procs") } $l->slots;
    like(scalar `chrt -p $l->{pid}`, qr/policy: SCHED_RR/, 'the launcher waits for no sandbox');
    like(scalar `chrt -p $pid`, qr/policy: SCHED_OTHER/, 'and a sandbox is as any other process');
}
my $normal = weight($probe);
ok($normal == 1024 || $normal == 100, 'a new sandbox has what the kernel gives');
is($c->adopt($probe, share => 11), 'adopted', 'alone with its share');
is(weight($probe), $normal, 'it keeps that');

my @many = map { my $id = $c->create; $c->adopt($id, share => 22, millis => 2000); $id } 1 .. 6;
is(weight($_), int($normal / 6), 'six of one share: a sixth each') for @many;
is(weight($probe), $normal, 'the other share is as it was');
my @plain = map { my $id = $c->create; $c->adopt($id); $id } 1 .. 2;
is(weight($_), $normal, 'without a share: normal') for @plain;

# Both processors are wanted by six of the one and by one of the other, which spins on both, too.
$c->tell($_, 'bg while :; do :; done & while :; do :; done') for @many, $probe;
my %from = map { $_ => cpu_ms($_) } @many, $probe;
ok($l->wait_until(60, sub { cpu_ms($probe) - $from{$probe} > 1500 }), 'the one runs') or diag cpu_ms($probe);
my $one = cpu_ms($probe) - $from{$probe};
my $six = 0;
$six += cpu_ms($_) - $from{$_} for @many;
cmp_ok($one, '>', $six / 3, "the one got $one ms, the six together $six ms");
cmp_ok($six, '>', $one / 6, 'and they were not starved');


# The six alone, with more than their part. What a busy host does not give them is not too much.
$c->destroy($_) for $probe, @plain;
sub used { my $sum = 0; $sum += cpu_ms($_) for @many; return $sum }
sub base_weight { my ($dir) = map { s{/s\d+$}{}r } grep { -e "$_/cpu.shares" || -e "$_/cpu.weight" } $l->slots; return Sandbox::Launch::slurp(-e "$dir/cpu.shares" ? "$dir/cpu.shares" : "$dir/cpu.weight") + 0 }
my $usual = 2 * `nproc` * $normal;
my $part = int(int($normal / 32) / 6) || 1;
SKIP: {
    my ($start, $before) = (time, used());
    my $greedy = $l->wait_until(20, sub { base_weight() == int($usual / 8) && !grep { weight($_) != $part } @many });
    skip 'the host has no time for more than a part', 7 if !$greedy && (used() - $before) < 1000 * (time - $start) * `nproc` / 2;
    ok($greedy, 'who takes too much weighs next to nothing, and all sandboxes go behind the host') or diag explain [base_weight(), map { weight($_) } @many];
    my $modest = $c->create;
    is($c->adopt($modest, share => 33), 'adopted', 'another tenant comes');
    is(weight($modest), $normal, 'and weighs what it should');
    $c->tell($modest, 'bg while :; do i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; sleep 0.05; done');
    my $idle = number($modest, 'cpu.idle');
    SKIP: {
        skip 'this kernel has no idle groups (before 5.15)', 2 unless defined $idle;
        is($idle, 0, 'it is before the greedy');
        ok($l->wait_until(30, sub { !grep { number($_, 'cpu.idle') != 1 } @many }), 'who are behind it') or diag explain [map { number($_, 'cpu.idle') } @many];
    }
    ok($l->wait_until(30, sub { base_weight() == $usual }), 'all together weigh as much as ever') or diag base_weight();
    $c->destroy($modest);
    ok(!defined $idle || $l->wait_until(30, sub { !grep { number($_, 'cpu.idle') != 0 || weight($_) != $part } @many }), 'alone again they have their parts') or diag explain [map { weight($_) } @many];
}
$c->stop;
ok($l->wait_until(30, sub { !$l->slots }), 'all go with their client');

# Members that do nothing.
$c = $l->client;
@many = map { my $id = $c->create; $c->adopt($id, share => 44); $id } 1 .. 6;
for my $left (5, 4) {
    $c->destroy(pop @many);
    is(weight($_), int($normal / $left), "$left left: more for each") for @many;
}
$c->settle($many[0]);
is(weight($many[0]), int($normal / 4), 'a settled one may still run: it counts');
$c->send($many[1], 'exit');
is($c->ended->{what}, 'ended', 'one dies by itself');
is(weight($_), int($normal / 3), 'three left') for @many[0, 2, 3];
$c->destroy($_) for @many[0, 1, 2];
is(weight($many[3]), $normal, 'the last has it all');

my $wild = $c->create;
is($c->adopt($wild, share => '18446744073709551615'), 'adopted', 'any number is a share');
my $bad = $c->create;
like($c->adopt($bad, share => 18446744073709551615, memory => 1), qr/^error 22 limits/, 'refused limits');
is(weight($wild), $normal, 'do not count');
$c->stop;
ok($l->wait_until(30, sub { !$l->slots }), 'all go with their client');
$c = $l->client;
my $again = $c->create;
is($c->adopt($again, share => 44), 'adopted', 'a share that had members');
is(weight($again), $normal, 'has none left');
$c->stop;
$l->finish;
done_testing();
