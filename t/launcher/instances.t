#!/usr/bin/perl
# Two launchers on one host: told apart by name, and the same name twice is refused.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Sandbox::Launch;

my $first = Sandbox::Launch->new;
$first->start;
my $c = $first->client;
my $id = $c->create;
is($c->adopt($id), 'adopted', 'the first has a sandbox');

# The same name, everything else its own.
my $twin = Sandbox::Launch->new(instance => $first->{instance});
is($twin->start(fails => 1), 1, 'a second launcher of that name does not start');
like($twin->log, qr/another launcher of this name is running/, 'and says why');
like($c->sh($id, 'echo alive'), qr/^alive$/m, 'the sandbox of the first lives on');
$c->destroy($id);
is(scalar($first->slots), 0, 'no group is in use');
is($twin->start(fails => 1), 1, 'nor does it start while the first is idle');
isnt(scalar($first->cgroups), 0, 'the directories of the first are left alone');
$id = $c->create;
is($c->adopt($id), 'adopted', 'the first goes on making sandboxes');
$c->destroy($id);

# Another name beside it.
my $other = Sandbox::Launch->new;
$other->start;
my $d = $other->client;
my $beside = $d->create;
is($d->adopt($beside), 'adopted', 'another name works beside it');
$d->destroy($beside);
is($other->stop, 0, 'and stops');
$id = $c->create;
is($c->adopt($id), 'adopted', 'which the first does not notice');
$c->destroy($id);

# An operator's rmdir. Serving on without groups would answer every request with a refusal.
rmdir $_ for reverse sort $first->cgroups;
is_deeply([$first->cgroups], [], 'the directories are removed under it');
eval { $c->create };
ok($first->wait_until(30, sub { waitpid($first->{pid}, 1) == $first->{pid} }), 'it ends, for its supervisor to start it again');
is($? >> 8, 1, 'with a failure');
delete $first->{pid};
$first->start;
my $again = $first->client;
$id = $again->create;
is($again->adopt($id), 'adopted', 'and works again');
$again->destroy($id);

$_->finish for $first, $other;
$twin->{finished} = 1;
done_testing;
