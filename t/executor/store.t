#!/usr/bin/perl
# A store that takes no writes: nothing is promised, nothing is forgotten, and it heals by itself.
use strict;
use warnings;
use lib 't/lib';
use Sandbox;
use Sandbox::Context;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 1, 'drain.timeout' => '2s' });
my $disk = "$t->{dir}/disk";
mkdir $disk or die $!;
system('mount', '-t', 'tmpfs', '-o', "size=6m,mode=0700,uid=$t->{executor_uid}", 'sbxtest', $disk) == 0 or die 'mount';
my $mounted = 1;
END { system('umount', '-l', $disk) if $mounted && $disk }
$t->{executor}{'database.url'} = "$disk/state.db";
$t->{executor}{'audit.dir'} = "$disk/audit";
$t->{executor}{'artifacts.dir'} = "$disk/artifacts";
$t->start_launcher->start_executor;

sub ask {
    my ($method, $path, %option) = @_;
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}), %option);
}
sub fill { my ($mib) = @_; system('sh', '-c', "dd if=/dev/zero of=$disk/filler bs=64k count=" . 16 * $mib . ' 2>/dev/null'); return }
sub runs { my ($id) = @_; return $t->wait_until(30, sub { ask('GET', "/v1/jobs/$id")->{json}{status} eq 'running' }) }
sub clear { unlink "$disk/filler" or die $! }

my $before = ask('POST', '/v1/jobs', json => { language => 'bash', code => 'echo before' })->{json};
is($before->{status}, 'succeeded', 'it works');

# A job that is running when the disk fills.
my $running = ask('POST', '/v1/jobs', json => { language => 'bash', code => 'sleep 3; head -c 400000 /dev/zero | tr "\0" x', wait => 0 });
is($running->{status}, 202, 'a job');
ok(runs($running->{json}{job_id}), 'runs');
fill(8);
my $reply = ask('GET', "/v1/jobs/$running->{json}{job_id}?wait=30");
is($reply->{status}, 503, 'its result cannot be kept: 503');
is($reply->{json}{code}, 'unavailable', 'named');
my $now = ask('GET', "/v1/jobs/$running->{json}{job_id}")->{json};
is($now->{status}, 'running', 'and nobody is told an end that is not durable');
is($now->{exit_code}, undef, 'not even its exit code');

my $refused;
ok($t->wait_until(30, sub { $refused = ask('POST', '/v1/jobs', json => { language => 'bash', code => 'head -c 100000 /dev/zero | tr "\0" x' }); $refused->{status} == 503 }), 'new jobs are refused: 503');
is($refused->{json}{code}, 'unavailable', 'named');
ok($refused->{headers}{'retry-after'}, 'with Retry-After');
ok($t->wait_until(30, sub { $t->executor_request('GET', '/readyz')->{status} == 503 }), 'not ready');
is($t->executor_request('GET', '/healthz')->{status}, 200, 'but alive');
ok($t->wait_until(30, sub { $t->sandbox_processes <= 1 }), 'nothing of a refused job runs on');
is(ask('GET', "/v1/jobs/$before->{job_id}")->{json}{stdout}, "before\n", 'reading works');

clear();
ok($t->wait_until(30, sub { $t->executor_request('GET', '/readyz')->{status} == 200 }), 'room again: ready again, by itself');
is(ask('GET', "/v1/jobs/$running->{json}{job_id}?wait=30")->{json}{status}, 'succeeded', 'the result that waited is kept now');
is(ask('POST', '/v1/jobs', json => { language => 'bash', code => 'echo after' })->{json}{stdout}, "after\n", 'and new jobs run');
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;

# Stopped while a result cannot be kept: the next start says lost.
my $late = ask('POST', '/v1/jobs', json => { language => 'bash', code => 'sleep 3; head -c 400000 /dev/zero | tr "\0" x', wait => 0 })->{json}{job_id};
ok(runs($late), 'a job runs');
fill(8);
is(ask('GET', "/v1/jobs/$late?wait=30")->{status}, 503, 'a result that cannot be kept');
my $status = $t->stop('executor', 'TERM', 60);
is($status >> 8, 1, 'executord ends with 1') or diag $status;
clear();
$t->start_executor;
is(ask('GET', "/v1/jobs/$late")->{json}{status}, 'lost', 'the job is lost, on record');
($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->stop('executor');
is(system('umount', $disk), 0, 'nothing holds the disk');
$mounted = 0;
$t->finish;
done_testing();
