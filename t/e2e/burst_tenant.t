#!/usr/bin/perl
# A tenant that sends many times what its policy admits: another tenant's requests all succeed meanwhile, its own excess is told
# when to come again, and who heeds that gets in. What it does to the other's times, t/bench/burst says.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new->start;
my %job = (language => 'bash', code => 'echo fine', wait => 30);
my $admin = $t->token(tenant => 'bursty', scope => 'admin');
my $policy = $t->request('POST', '/v1/policies', token => $admin, json => { name => 'admission', applies_to => [{ tenant => JSON::PP::true }],
    document => { version => 1, rates => { tenant => { rate => '30/m', burst => 4 } }, concurrency => { tenant => 2 } } });
is($policy->{status}, 201, 'a policy with a rate and a concurrency') or diag $policy->{content};

# Replies to $count jobs of a tenant, $width at once: [status, code, Retry-After, what the answer says to wait, output].
sub flood {
    my ($tenant, $width, $count) = @_;
    return map {
        pipe my $read, my $write or die $!;
        my $pid = fork // die $!;
        if (!$pid) {
            for (1 .. $count) {
                my $reply = $t->request('POST', '/v1/jobs', json => \%job, tenant => $tenant);
                print {$write} encode_json([$reply->{status}, $reply->{json}{code}, $reply->{headers}{'retry-after'}, $reply->{json}{retry_after_seconds}, $reply->{json}{stdout}]) . "\n";
            }
            close $write;
            POSIX::_exit(0);
        }
        close $write;
        [$read, $pid];
    } 1 .. $width;
}
sub answers { return map { my ($fh, $pid) = @$_; my @all = map { decode_json($_) } <$fh>; waitpid $pid, 0; @all } @_ }

ok($t->wait_until(30, sub { my @got = answers(flood('bursty', 1, 1)); $got[0][0] == 429 }), 'which is in force');
my @burst = flood('bursty', 10, 30);
my @other = flood('other', 2, 20);
my @fine = answers(@other);
my @got = answers(@burst);
is(scalar @fine, 40, 'the other tenant is answered');
is_deeply([grep { $_->[0] != 200 || $_->[4] ne "fine\n" } @fine], [], 'and all of it ran, nothing refused');
my @refused = grep { $_->[0] == 429 } @got;
is(scalar @got, 300, 'so is the bursty one');
is_deeply([grep { $_->[0] != 200 && $_->[0] != 429 } @got], [], 'with what ran, or 429');
cmp_ok(scalar @refused, '>', 100, 'most of it 429');
is_deeply([grep { $_->[1] !~ /^(?:rate_limited|concurrency_limited)$/ } @refused], [], 'by rate or concurrency') or diag explain $refused[0];
is_deeply([grep { ($_->[2] // '') !~ /^[1-9]\d?$/ || $_->[2] != $_->[3] } @refused], [], 'each with Retry-After, and the same in the body');

# Alone now: refused once more, it waits as long as it is told.
my $last;
ok($t->wait_until(30, sub { $last = $t->request('POST', '/v1/jobs', json => \%job, tenant => 'bursty'); $last->{status} == 429 }), 'refused once more');
my $until = time + ($last->{headers}{'retry-after'} // 60);
ok($t->wait_until(90, sub { time >= $until }), "it waits for the $last->{headers}{'retry-after'} s that it was told");
is($t->job(\%job, tenant => 'bursty')->{stdout}, "fine\n", 'and gets in');

is(scalar @{ $t->request('GET', '/v1/jobs?limit=100', tenant => 'other')->{json}{jobs} }, 40, "each of the other's jobs is on record once");
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
