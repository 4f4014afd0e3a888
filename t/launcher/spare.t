#!/usr/bin/perl
# Sandboxes for nobody yet have the processors that nobody else wants, once what others could wait for is behind them: until they
# are hastened or adopted, or their time has passed. Nobody else's do, and nothing of it is left in a group that serves again.
use strict;
use warnings;
use JSON::PP;
use Test::More;
use lib 't/lib';
use Sandbox::Launch;

my $agent = "$Sandbox::Launch::OUT/session-agent";
BAIL_OUT("build $agent first") unless -x $agent;

my $l = Sandbox::Launch->new;
$l->start(log_level => 'debug');
my $c = $l->client;
$c->hello;
$c->{hello} = 1;

# 0 or 1; where the groups are is looked for once, since what is to be seen there lasts some 50 ms.
my %groups;

sub idle {
    my ($launch, $id) = @_;
    my $groups = $groups{ $launch->{instance} } //= (map { m{(.*)/s\d+$} && -e "$_/cpu.idle" ? $1 : () } $launch->slots)[0] // return '';
    return Sandbox::Launch::slurp("$groups/s" . $id % $launch->{max_sandboxes} . '/cpu.idle') =~ /^(\d)$/ ? $1 : '';
}
sub made { my ($client, @how) = @_; my ($id) = $client->ask(join ' ', 'create', 'default', 'process', @how) =~ /^created (\d+)/ or die "no sandbox\n"; return $id }
sub begun { my ($launch, $id) = @_; return scalar(() = $launch->log =~ /"event":"spare\.begun","sandbox":$id\b/g) }

my $plain = made($c, '-');
if (idle($l, $plain) eq '') {
    $c->stop;
    $l->finish;
    plan skip_all => 'this kernel has no idle groups (before 5.15)';
}
is(idle($l, $plain), 0, 'what somebody waits for is as any other');

# It is light for some 50 ms, and a look may come late: not each of them is seen.
my $n_light = 0;
ok($l->wait_until(30, sub { my $id = made($c, '-', 'spare'); $n_light++ if idle($l, $id); $c->destroy($id); return $n_light >= 2 }), 'what is for nobody yet is light');

my $id = made($c, '-', 'spare');
ok($l->wait_until(30, sub { begun($l, $id) == 1 }), 'each has been');
ok($l->wait_until(30, sub { idle($l, $id) eq '0' }), 'for a while');
is($c->ask("hasten $id"), 'hastened', 'hastened after that');
is(idle($l, $id), 0, 'it stays as it is');
is($c->adopt($id, share => 7), 'adopted', 'so it does');
is(idle($l, $id), 0, 'when it is adopted');
like($c->sh($id, 'echo runs'), qr/^runs$/m, 'and runs');

for my $turn (1 .. 8) {
    my $id = made($c, '-', 'spare');
    is($c->ask("hasten $id"), 'hastened', 'somebody waits for it now');
    is(idle($l, $id), 0, 'it is as any other');
    is($c->ask("hasten $id"), 'hastened', 'said twice');
    is(idle($l, $id), 0, 'it still is');
    my $other = made($c, '-', 'spare');
    is($c->adopt($other), 'adopted', 'another is adopted');
    is(idle($l, $other), 0, 'and is as any other');
    $c->destroy($_) for $id, $other;
}

# Groups that were light when their sandbox ended serve again.
$c->destroy(made($c, '-', 'spare')) for 1 .. 4;
my @next = map { made($c, '-') } 1 .. 4;
is(idle($l, $_), 0, 'nothing of it is left for the next') for @next;

my $dead = made($c, '-', 'spare');
$c->send($dead, 'exit');
is($c->ended->{what}, 'ended', 'one dies while it waits');
is($c->ask("hasten $dead"), 'hastened', 'to hasten it is no offence');
is($c->destroy($dead)->{what}, 'destroyed', 'it is destroyed');
is(scalar(grep { begun($l, $_) } $plain, @next), 0, 'what somebody waited for has never been light');
$c->stop;
ok($l->wait_until(30, sub { !$l->slots }), 'all go with their client');
$l->finish;

# With an interpreter that is forked into it: not before that is done, since the zygote waits for it.
$l = Sandbox::Launch->new(agent => $agent)->drivers;
$l->start(zygote => 'yes', log_level => 'debug', map { ("template.$_.zygote.python" => 'no') } qw(net still noexec));
ok($l->wait_until(30, sub { $l->log =~ /"event":"zygote\.ready"/ }), 'there is a zygote');
$c = $l->client;
$c->hello;
$id = made($c, 'python', 'spare');
ok($l->wait_until(30, sub { begun($l, $id) }), 'it becomes light when its slot is forked');
ok($l->wait_until(30, sub { idle($l, $id) eq '0' }), 'for a while');
$n_light = 0;
ok($l->wait_until(30, sub { my $id = made($c, 'python', 'spare'); $l->wait_until(30, sub { my $is_light = idle($l, $id); $n_light += $is_light || 0; return $is_light || begun($l, $id) }); $c->destroy($id); return $n_light }), 'which is seen');
my $hasty = made($c, 'python');
my $reply = $c->ask("http $hasty POST /v1/prepare " . JSON::PP->new->canonical->encode({ runtime => 'python' }));
like($reply, qr/^200 .*"origin":"forked"/, 'one that is waited for has its interpreter');
is(begun($l, $hasty), 0, 'and was not light');
is(idle($l, $hasty), 0, 'nor is it');
$c->stop;
$l->finish;
done_testing();
