#!/usr/bin/perl
# A tenant that forks, allocates, floods output, fills disks, spins, cancels and sends nonsense, all at once, with as many
# jobs as it may have: another tenant's jobs come out right, and it meets its limits. How long they take, t/bench/neighbour says.
# alone: it fills the machine
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox;
use Sandbox::Hostile;
use Test::More;

my $t = Sandbox->new->start;
%Sandbox::Hostile::wide = (%Sandbox::Hostile::wide, time => '1s', cpu_time => '3s');
$Sandbox::Hostile::wait = 25;
my $hostile = Sandbox::Hostile->start($t, Sandbox::Hostile::names());
$hostile->wait_for_it;

# The limits that each kind must meet, any of them; one that spins runs into either clock.
my %meets = (spins => [qw(time cpu)], forks => [qw(processes time cpu)], memory => ['memory'], output => ['output'], disk => [qw(disk memory time)]);
my ($n, @wrong) = (0);
sub victim_runs {
    for my $job ({ language => 'python', code => "print($n)" }, { language => 'bash', code => "cat in.txt; echo $n > out.txt", files => [{ path => 'in.txt', content => "$n\n" }], artifacts => ['*.txt'] }) {
        my $reply = $t->job({ %$job, wait => 60 }, tenant => 'victim');
        push @wrong, $reply unless $reply->{status} eq 'succeeded' && $reply->{stdout} eq "$n\n";
    }
    $n++;
    return;
}
sub met { my ($kind) = @_; my $answers = $hostile->answers; return grep { $answers->{"$kind 200 $_"} } @{ $meets{$kind} } }
victim_runs() for 1 .. 10;
ok($t->wait_until(180, sub { victim_runs(); !grep { !met($_) } keys %meets }), 'each kind of hostile job met a limit') or diag explain $hostile->answers;
is_deeply(\@wrong, [], "the victim's jobs, $n of each of two kinds, came out right") or diag explain $wrong[0];
my @odd = grep { /^\w+ 5(?!03)/ } keys %{ $hostile->answers };
is_deeply(\@odd, [], 'nothing broke over it') or diag explain $hostile->answers;
my %listed = map { $_->{job_id} => $_ } @{ $t->request('GET', '/v1/jobs?limit=100', tenant => 'victim')->{json}{jobs} };
is(scalar(grep { $_->{status} ne 'succeeded' } values %listed), 0, 'and so says the list');
cmp_ok($hostile->stop, '>', 10, 'the hostile tenant was at work');
is($t->job({ language => 'bash', code => 'echo fine', wait => 30 }, tenant => 'hostile')->{stdout}, "fine\n", 'which may go on with decent work');
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
