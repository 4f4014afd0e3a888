#!/usr/bin/perl
# The corpus of hostile programs in each tier: everything holds, and nothing is left behind.
# release: what the programs lean against is the kernel, and the daemons do the same for each of them
# Programs of languages that have slots are run in interpreters that have waited as well; in gVisor only there. Python's
# are run in those that a zygote forked, too.
# A host without runsc fails this: conf/local/deps.sh installs it. ESCAPE='fs-01 cap' runs only the cases that begin so, ESCAPE_TIER only that tier.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Sandbox::Escape;

my @only = split ' ', $ENV{ESCAPE} // '';
my @cases = Sandbox::Escape::cases(@only);
for my $way (split ' ', $ENV{ESCAPE_TIER} // 'process process-prepared process-forked gvisor-prepared') {
    my ($tier, $prepared) = split /-/, $way;
    my $e = Sandbox::Escape->new(tier => $tier, prepared => $prepared)->start;
    my (@here, @absent);
    for my $case (@cases) {
        next if $way eq 'process-prepared' && $case->{ext} !~ /^(?:py|js)$/;    # as before
        next if $way eq 'process-forked' && $case->{ext} ne 'py';
        (grep { $_ eq $tier } @{ $case->{tier} }) ? push @here, $case : push @absent, $case;
    }
    $e->run(\@here, sub {
        my ($case, $outcome, $reason) = @_;
        is($outcome, 'held', "$way $case->{name}: $reason") or diag("$case->{title}; walls: @{ $case->{wall} }");
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
