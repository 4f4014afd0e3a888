#!/usr/bin/perl
# Function and file budgets. Lengths from the opening line to the closing brace.
use strict;
use warnings;
use Test::More;
use FindBin;

chdir "$FindBin::Bin/../.." or die $!;

# Functions that may be longer, each with the reason.
my %exception = (
);

my @files = grep { -f && !m{^t/} } split /\n/, `git ls-files -co --exclude-standard '*.c'`;
cmp_ok(scalar @files, '>', 10, 'there is code to look at');

my (%length, @long, @big);
for my $file (@files) {
    open my $in, '<', $file or die "$file: $!";
    my @lines = <$in>;
    push @big, "$file has " . @lines . ' lines' if @lines > 1000;
    my ($start, $name);
    for my $i (0 .. $#lines) {
        if ($lines[$i] =~ /^\{/ && $i > 0) {
            my $head = $i - 1;
            $head-- while $head > 0 && $lines[$head] !~ /^\w[\w ]*\(|^\w+\(/;
            ($name) = $lines[$head] =~ /(\w+)\s*\(/;
            $start = $head;
        }
        if ($lines[$i] =~ /^\}/ && defined $start) {
            my $lines = $i - $start + 1;
            my $edge = $file =~ m{^ngx_sandbox_module/} ? 1 : 0;
            push @{ $length{$edge} }, $lines;
            my $limit = $edge ? 140 : 100;
            if ($lines > $limit && !$exception{ $name // '' }) {
                push @long, "$file: " . ($name // '?') . " has $lines lines";
            }
            undef $start;
        }
    }
}
is_deeply(\@long, [], 'no function over the hard limit');
is_deeply(\@big, [], 'no file over 1000 lines');
for my $edge (0, 1) {
    my @sorted = sort { $a <=> $b } @{ $length{$edge} || [] };
    next unless @sorted;
    my $p90 = $sorted[ int(@sorted * 0.9) ];
    my $median = $sorted[ @sorted / 2 ];
    diag(sprintf '%s: %d functions, median %d, p90 %d', $edge ? 'gateway' : 'lib, executor, agent', scalar @sorted, $median, $p90);
    cmp_ok($p90, '<=', $edge ? 80 : 60, 'nine of ten functions are short');
}
done_testing();
