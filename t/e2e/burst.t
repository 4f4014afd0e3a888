#!/usr/bin/perl
# A hundred jobs at once from ten tenants, each seeing only its own.
# alone: it measures one tenant beside another
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox;
use Test::More;

my $t = Sandbox->new->start;
my @pipe;
for my $i (0 .. 99) {
    my $tenant = 'tenant' . $i % 10;
    pipe my $read, my $write or die $!;
    my $pid = fork // die $!;
    if (!$pid) {
        my $language = (qw(python javascript bash))[$i % 3];
        my %code = (python => "import os; print('$tenant-$i'); print(sorted(os.listdir('/workspace')))",
                    javascript => "console.log('$tenant-$i'); console.log(require('fs').readdirSync('/workspace').join())",
                    bash => "echo $tenant-$i; ls /workspace");
        my $job = $t->job({ language => $language, code => $code{$language}, wait => 60, files => [{ path => "f$i", content => 'x' }], limits => { time => '60s', cpu_time => '60s' } },
                          tenant => $tenant);
        print {$write} encode_json({ i => $i, tenant => $tenant, job => $job });
        close $write;
        POSIX::_exit(0);
    }
    close $write;
    push @pipe, [$read, $pid];
}
my (%seen, @jobs);
for my $pair (@pipe) {
    my $fh = $pair->[0];
    my $text = do { local $/; <$fh> };
    waitpid $pair->[1], 0;
    push @jobs, decode_json($text);
}
is(scalar @jobs, 100, 'a hundred answers');
my @wrong = grep { $_->{job}{status} ne 'succeeded' || $_->{job}{stdout} !~ /^\Q$_->{tenant}-$_->{i}\E\n.*\bf$_->{i}\b/ || $_->{job}{stdout} =~ /\bf(?!$_->{i}\b)\d/ } @jobs;
is(scalar @wrong, 0, 'each ran, and saw its own file only') or diag explain $wrong[0];
is(scalar(grep { !$seen{ $_->{job}{job_id} }++ } @jobs), 100, 'a hundred different ids');
my $other = $jobs[1]{job}{job_id};
my $foreign = $t->request('GET', "/v1/jobs/$other", tenant => 'tenant0');
my $unknown = $t->request('GET', '/v1/jobs/job_00000000000000000000000000', tenant => 'tenant0');
is($foreign->{status}, 404, "another tenant's job is not there");
delete $_->{json}{request_id} for $foreign, $unknown;
is_deeply($foreign->{json}, $unknown->{json}, 'exactly as one that never was');
my %listed = map { $_->{job_id} => 1 } @{ $t->request('GET', '/v1/jobs?limit=100', tenant => 'tenant0')->{json}{jobs} };
is_deeply([sort keys %listed], [sort map { $_->{job}{job_id} } grep { $_->{tenant} eq 'tenant0' } @jobs], 'a tenant lists its own ten');
$t->finish;
done_testing();
