#!/usr/bin/perl
# docs/walls.md is what the heads of the hostile programs say. t/launcher/mutants holds the heads against what happens.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Escape;

chdir "$FindBin::Bin/../.." or die $!;
ok(Sandbox::Escape::slurp('docs/walls.md') eq Sandbox::Escape::document(), 'docs/walls.md is up to date')
    or diag('write it with t/launcher/mutants --table docs/walls.md');
my @cases = Sandbox::Escape::cases();
is_deeply([map { $_->{name} } grep { !@{ $_->{wall} } && !@{ $_->{gvisor} } } @cases], [], 'each program names a wall');
my %named = map { $_ => 1 } map { @{ $_->{wall} } } @cases;
my %walls = Sandbox::Escape::walls();
is_deeply([grep { !$named{$_} } sort keys %walls], [], 'and each wall is named by one');
done_testing();
