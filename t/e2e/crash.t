#!/usr/bin/perl
# kill -9 of a worker, the executor and the launcher in the middle of fifty jobs.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox;
use Test::More;
use Time::HiRes qw(time sleep);

my $t = Sandbox->new;
$t->{executor} = { 'limits.max_running' => 8 };
$t->{expect_log} = qr/worker process \d+ exited on signal 9/;
$t->start;
my %terminal = map { $_ => 1 } qw(succeeded failed timed_out limit_exceeded denied cancelled lost);

sub submit {
    my ($n, $prefix) = @_;
    my @id;
    for my $i (1 .. $n) {
        my $reply = eval { $t->request('POST', '/v1/jobs', timeout => 10, tenant => 'tenant' . $i % 5, headers => { 'Idempotency-Key' => "$prefix-$i" },
            json => { language => 'bash', code => "sleep 0.3; echo $i", wait => 0 }) };
        push @id, [$reply->{json}{job_id}, 'tenant' . $i % 5] if $reply && $reply->{status} == 202;
    }
    return @id;
}

sub all_terminal {
    my ($label, @id) = @_;
    my %status;
    my $done = $t->wait_until(60, sub {
        %status = ();
        for my $pair (@id) {
            my $reply = $t->request('GET', "/v1/jobs/$pair->[0]", tenant => $pair->[1], timeout => 10);
            $status{ $reply->{json}{status} // "HTTP $reply->{status}" }++;
        }
        return !grep { !$terminal{$_} } keys %status;
    });
    ok($done, "$label: every accepted job reaches a terminal state") or diag explain \%status;
    note explain \%status;
    return \%status;
}

my @id = submit(50, 'worker');
is(scalar @id, 50, 'fifty jobs are accepted');
kill 'KILL', $_ for ($t->gateway_workers)[0];
ok($t->wait_until(30, sub { $t->request('GET', '/healthz', anonymous => 1)->{status} == 200 }), 'a new worker serves');
my $status = all_terminal('nginx worker killed', @id);
is($status->{succeeded}, 50, 'a dead worker costs no accepted job');

@id = submit(50, 'executor');
is(scalar @id, 50, 'fifty more are accepted');
$t->kill9('executor');
my $down = $t->request('POST', '/v1/jobs', json => { language => 'bash', code => 'true' });
ok($down->{status} == 502 || $down->{status} == 503, 'meanwhile the gateway answers with a problem');
is($down->{headers}{'content-type'}, 'application/problem+json', 'as a document');
ok($t->wait_until(30, sub { !$t->sandbox_processes }), 'no sandbox outlives its executor');
$t->start_executor;
all_terminal('executor killed', @id);
is($t->job({ language => 'bash', code => 'echo again' })->{stdout}, "again\n", 'it serves again');
my $same = $t->request('POST', '/v1/jobs', tenant => 'tenant1', headers => { 'Idempotency-Key' => 'executor-1' }, json => { language => 'bash', code => 'sleep 0.3; echo 1', wait => 0 });
is($same->{json}{job_id}, $id[0][0], 'an idempotency key still leads to its job');

@id = submit(50, 'launcher');
$t->kill9('launcher');
ok($t->wait_until(30, sub { !$t->sandbox_processes }), 'no sandbox outlives the launcher');
$t->start_launcher;
$t->{killed}{launcher} = 0;
ok($t->wait_until(30, sub { ($t->request('GET', '/readyz', anonymous => 1)->{status} // 0) == 200 }), 'the executor finds the new launcher');
all_terminal('launcher killed', @id);
is($t->job({ language => 'bash', code => 'echo again' })->{stdout}, "again\n", 'and it runs jobs again');

my ($ok, $text) = $t->audit_verify;
ok($ok, 'the audit chain verifies') or diag $text;
my $log = join '', map { local (@ARGV, $/) = $_; <> } sort glob $t->dir . '/data/audit/audit-*.jsonl';
my %accepted = map { $_ => 1 } $log =~ /"kind":"job\.accepted","object":"(job_\w+)"/g;
my %ended = map { $_ => 1 } $log =~ /"kind":"job\.(?:finished|lost|cancelled)","object":"(job_\w+)"/g;
is_deeply([grep { !$ended{$_} } sort keys %accepted], [], 'each accepted job has its end in the audit log');
$t->finish;
done_testing();
