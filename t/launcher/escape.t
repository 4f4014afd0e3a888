#!/usr/bin/perl
# The corpus of hostile programs in each tier: everything holds, and nothing is left behind.
# A host without runsc fails this: conf/local/deps.sh installs it. ESCAPE='fs-01 cap' runs only the cases that begin so, ESCAPE_TIER only that tier.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Sandbox::Escape;

my @only = split ' ', $ENV{ESCAPE} // '';
my @cases = Sandbox::Escape::cases(@only);
for my $tier (split ' ', $ENV{ESCAPE_TIER} // 'process gvisor') {
    my $e = Sandbox::Escape->new(tier => $tier)->start;
    my (@here, @absent);
    for my $case (@cases) { (grep { $_ eq $tier } @{ $case->{tier} }) ? push @here, $case : push @absent, $case }
    $e->run(\@here, sub {
        my ($case, $outcome, $reason) = @_;
        is($outcome, 'held', "$tier $case->{name}: $reason") or diag("$case->{title}; walls: @{ $case->{wall} }");
    });
    note("$tier does without $_->{name}: $_->{without}") for @absent;
    $e->finish;
}
if (!@only) {
    my %class = map { $_->{class} => 1 } @cases;
    cmp_ok(scalar @cases, '>=', 120, 'the programs are there');
    cmp_ok(scalar(grep { my $case = $_; grep { $_ eq 'gvisor' } @{ $case->{tier} } } @cases), '>=', 100, 'most of them for gVisor too');
    ok($class{$_}, "class $_ is there") for qw(ag cap fs ns nt pr rs sh sk sy xt);
}
done_testing;
