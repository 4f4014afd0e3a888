#!/usr/bin/perl
# The corpus of hostile programs as jobs through the front door of the stack that is measured, as it is shipped: out of sandboxes that wait,
# with whatever was started in them before the program came. t/launcher/escape.t has each in a sandbox that was made for it, in both tiers.
# ESCAPE='fs-01 cap' runs only the cases that begin so.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox;
use Sandbox::Escape;
use Sandbox::Production;
use Test::More;

my $jobs = 3;
my @cases = grep { Sandbox::Escape::is_job($_) && grep { $_ eq 'process' } @{ $_->{tier} } } Sandbox::Escape::cases(split ' ', $ENV{ESCAPE} // '');
Sandbox::Escape::compile($_) for grep { $_->{ext} eq 'c' } @cases;
local $ENV{A_SECRET_OF_THE_HOST} = 'token-of-the-host';    # what no program may find
my $t = Sandbox::Production->new->start;
my @pipes = map {
    my $worker = $_;
    pipe my $read, my $write or die $!;
    my $pid = fork // die $!;
    if (!$pid) {
        for my $i (grep { $_ % $jobs == $worker } 0 .. $#cases) {
            my @outcome = eval { Sandbox::Escape::job($t, $cases[$i], token => $t->token(tenant => "tenant-$worker")) };
            @outcome = ('broken', $@) if $@;
            print {$write} encode_json([$i, @outcome]), "\n";
        }
        close $write;
        POSIX::_exit(0);
    }
    close $write;
    [$read, $pid];
} 0 .. $jobs - 1;
my %outcome;
for my $pipe (@pipes) {
    my ($read, $pid) = @$pipe;
    while (my $line = <$read>) { my ($i, @outcome) = @{ decode_json($line) }; $outcome{$i} = \@outcome }
    waitpid $pid, 0;
}
for my $i (0 .. $#cases) {
    my ($outcome, $reason) = @{ $outcome{$i} // ['broken', 'the worker died'] };
    is($outcome, 'held', "$cases[$i]{name}: $reason") or diag("$cases[$i]{title}; walls: @{ $cases[$i]{wall} }");
}
cmp_ok(scalar @cases, '>=', 100, 'the programs are there') unless $ENV{ESCAPE};
cmp_ok($t->metric('pool_taken_warm_total') // 0, '>', 0, 'sandboxes that waited were taken');
$t->finish;
$t->{group}->remove;
done_testing();
