#!/usr/bin/perl
# What must work inside with all walls up, in each tier: t/launcher/controls, each program ends with "WORKS" and 0.
# CONTROLS='pip node' runs only the programs that begin so, ESCAPE_TIER only that tier.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Sandbox::Escape;

my @only = split ' ', $ENV{CONTROLS} // '';
my @cases;
for my $file (sort glob "$Sandbox::Launch::ROOT/t/launcher/controls/*") {
    my ($name, $ext) = $file =~ m{/([a-z0-9-]+)\.(py|js|sh|c)$} or next;
    next if @only && !grep { index($name, $_) == 0 } @only;
    my %head = Sandbox::Launch::slurp($file) =~ m{^(?:#|//) (title|needs|limits): (.*)$}mg;
    if ($head{needs} && !-e $head{needs}) { note("$name: there is no $head{needs}"); next }
    my %limits = (memory => 384 << 20, map { /^(\w+)=(\d+)m$/ ? ($1 => $2 << 20) : () } split ' ', $head{limits} // '');
    push @cases, { name => $name, ext => $ext, file => $file, title => $head{title}, expect => 'works', what => {}, limits => \%limits };
}
for my $tier (split ' ', $ENV{ESCAPE_TIER} // 'process gvisor') {
    my $e = Sandbox::Escape->new(tier => $tier, jobs => 2)->start;
    $e->run(\@cases, sub {
        my ($case, $outcome, $reason) = @_;
        is($outcome, 'held', "$tier $case->{name}: $case->{title}") or diag($reason);
    });
    $e->finish;
}
cmp_ok(scalar @cases, '>=', 14, 'the programs are there') unless @only;
done_testing;
