#!/usr/bin/perl
# Several ends of one job at the same moment, over and over: whichever the kernel saw, the answer is one of those
# that are allowed, it names the ceiling that was set and no less observed, and the record says the same for ever.
use strict;
use warnings;
use lib 't/lib';
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Test::More;
use Time::HiRes qw(time);

use constant N => 20;

my $t = Sandbox->new(executor => { 'pool.default' => 4, 'limits.max_running' => 6, 'limits.queue_timeout' => '10m' });
$t->start_launcher->start_executor;

sub ask {
    my ($method, $path, %option) = @_;
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}), %option)->{json};
}

# The programs know when the clock that they race against began: the agent makes their file right after ADOPT.
my $clock = q{
import os, sys, time, threading
def until(ms):
    end = os.stat(__file__).st_ctime + ms / 1000
    while time.time() < end: pass
};
my %kill = (oom => 'bytearray(1 << 30)');

# code: sub of the turn, so that the moment wanders through the race; allowed: every end that may be.
my @race = (
    { name => 'oom at the deadline', language => 'python', limits => { memory => '48Mi', time => '600ms' },
      code => sub { $clock . sprintf "until(%d)\n$kill{oom}", 400 + 14 * $_[0] }, allowed => [qw(memory time)] },
    { name => 'exit 0 at the deadline', language => 'python', limits => { time => '500ms' },
      code => sub { $clock . sprintf 'until(%d)', 380 + 8 * $_[0] }, allowed => [qw(succeeded time)] },
    { name => 'exit 1 at the deadline', language => 'python', limits => { time => '500ms' },
      code => sub { $clock . sprintf "until(%d)\nsys.exit(1)", 380 + 8 * $_[0] }, allowed => [qw(failed time)] },
    { name => 'cpu and wall together', language => 'python', limits => { time => '500ms', cpu_time => '200ms' },
      code => sub { 'while True: pass' }, allowed => [qw(cpu time)] },
    { name => 'fork bomb that eats memory', language => 'python', limits => { memory => '64Mi', processes => 24 },
      code => sub { "import os\nx = []\nwhile True:\n  x.append(bytearray(1 << 18))\n  try: os.fork()\n  except OSError: pass" },
      allowed => [qw(memory processes)] },
    { name => 'flood at the deadline', language => 'bash', limits => { output => '64Ki', time => '300ms' },
      code => sub { sprintf 'sleep 0.%03d; yes', 200 + 4 * $_[0] }, allowed => [qw(output time)] },
    { name => 'full disk and exit 1', language => 'bash', limits => { disk => '2Mi' },
      code => sub { 'cat /dev/zero > /tmp/full; exit 1' }, allowed => [qw(disk)] },
    { name => 'full disk and exit 0', language => 'bash', limits => { disk => '2Mi' },
      code => sub { 'cat /dev/zero > /tmp/full 2> /dev/null; exit 0' }, allowed => [qw(disk)] },
    { name => 'full disk and full output', language => 'bash', limits => { disk => '2Mi', output => '64Ki' },
      code => sub { 'yes & cat /dev/zero > /tmp/full; wait' }, allowed => [qw(disk output)] },
    { name => 'a disk as full as it may be', language => 'bash', limits => { disk => '2Mi' },
      code => sub { 'head -c 2000000 /dev/zero > full; wc -c < full' }, allowed => [qw(succeeded)] },
    { name => 'a child is killed for memory, exit 0', language => 'bash', limits => { memory => '48Mi' },
      code => sub { qq{python3 -c "$kill{oom}"; exit 0} }, allowed => [qw(memory)] },
    { name => 'a child is killed for memory, exit 1', language => 'bash', limits => { memory => '48Mi' },
      code => sub { qq{python3 -c "$kill{oom}"; exit 1} }, allowed => [qw(memory)] },
    { name => 'a fork is refused, exit 0', language => 'python', limits => { processes => 4 },
      code => sub { "import os\ntry:\n  while os.fork(): pass\nexcept OSError: pass\nos._exit(0)" }, allowed => [qw(processes)] },
    { name => 'too much output, exit 0', language => 'bash', limits => { output => '64Ki' },
      code => sub { 'yes | head -c 65537; exit 0' }, allowed => [qw(output)] },
    { name => 'as much output as allowed', language => 'bash', limits => { output => '64Ki' },
      code => sub { 'yes | head -c 65536; exit 0' }, allowed => [qw(succeeded)] },
    { name => 'cancelled while killed for memory', language => 'python', limits => { memory => '48Mi' }, cancel => 1,
      code => sub { "print('here', flush=True)\n$kill{oom}\nimport time\ntime.sleep(9)" }, allowed => [qw(cancelled memory)] },
    { name => 'cancelled while it exits', language => 'bash', limits => {}, cancel => 1,
      code => sub { 'echo here' }, allowed => [qw(cancelled succeeded)] },
    { name => 'cancelled while its files are fetched', language => 'bash', limits => {}, cancel => 1, artifacts => ['*'],
      code => sub { 'for i in 1 2 3 4 5 6 7 8; do echo $i > $i; done; echo here' }, allowed => [qw(cancelled succeeded)] },
);
my %ceiling = (memory => sub { ($_[0] =~ /(\d+)Mi/)[0] << 20 }, disk => sub { ($_[0] =~ /(\d+)Mi/)[0] << 20 },
    output => sub { ($_[0] =~ /(\d+)Ki/)[0] << 10 }, time => sub { $_[0] =~ s/ms//r }, cpu => sub { $_[0] =~ s/ms//r }, processes => sub { $_[0] });
my %key = (cpu => 'cpu_time');

# What is wrong with a job's record, or nothing.
sub faults {
    my ($race, $job) = @_;
    my $name = $job->{violation} ? $job->{violation}{name} : $job->{status};
    my @fault;
    push @fault, "ended as $name" unless grep { $_ eq $name } @{ $race->{allowed} };
    push @fault, "$job->{status} with a violation" if !!$job->{violation} != ($job->{status} eq 'limit_exceeded');
    push @fault, 'exit code and signal' if defined $job->{exit_code} && defined $job->{signal};
    push @fault, "exit code $job->{exit_code}" if $job->{status} eq 'succeeded' && $job->{exit_code} != 0;
    if (my $violation = $job->{violation}) {
        my $ceiling = $ceiling{$name}->($race->{limits}{ $key{$name} // $name });
        push @fault, "limit $violation->{limit}, not $ceiling" unless $violation->{limit} == $ceiling;
        push @fault, "observed $violation->{observed} below $ceiling" unless $violation->{observed} >= $ceiling;
        push @fault, "usage $job->{usage}{cpu_ms}" if $name eq 'cpu' && $job->{usage}{cpu_ms} < $ceiling;
        push @fault, "usage $job->{usage}{wall_ms}" if $name eq 'time' && $job->{usage}{wall_ms} < $ceiling;
    }
    return @fault;
}

sub submit {
    my ($race, $turn) = @_;
    my $limits = { memory => '128Mi', time => '10s', %{ $race->{limits} } };
    return ask('POST', '/v1/jobs', json => { language => $race->{language}, code => $race->{code}->($turn), limits => $limits,
        artifacts => $race->{artifacts} // [], wait => 0 })->{job_id};
}

for my $race (@race) {
    my (%seen, @fault, @job);
    my @id = map { submit($race, $_) } 0 .. N - 1;
    for my $turn (0 .. N - 1) {
        my $path = "/v1/jobs/$id[$turn]";
        if ($race->{cancel}) {
            # Nothing is waited for but what the program says, and every other time not even that.
            $t->wait_until(30, sub { my $now = ask('GET', $path); $now->{status} !~ /^(?:queued|running)$/ || ($now->{stdout} // '') =~ /here/ }) if $turn % 2;
            ask('DELETE', $path);
        }
        my $job = ask('GET', "$path?wait=30s");
        push @fault, map { "$turn: $_" } faults($race, $job);
        $seen{ $job->{violation} ? $job->{violation}{name} : $job->{status} }++;
        push @job, $job;
    }
    for my $job (@job) {
        my $again = ask('GET', "/v1/jobs/$job->{job_id}");
        push @fault, "$job->{job_id} is told otherwise later" if JSON::PP->new->canonical->encode($again) ne JSON::PP->new->canonical->encode($job);
    }
    is_deeply(\@fault, [], "$race->{name}: " . join ', ', map { "$_ $seen{$_}" } sort keys %seen);
    # The same race has one answer when only one is allowed.
    is(scalar(keys %seen), 1, "$race->{name}: always the same") if @{ $race->{allowed} } == 1;
}

# A job that is slow for its rate can see that it was. In a period in which a busy host gives it no fifth it is not held back, so it goes
# on until it has worked for as long as thirty of them allow.
my $slow = ask('POST', '/v1/jobs', json => { language => 'python', code => "import time\nwhile time.process_time() < .6: pass",
    limits => { cpu => 0.2 } });
cmp_ok($slow->{usage}{cpu_throttled_ms}, '>', 300, 'a job at its cpu rate: held back');
my $idle = ask('POST', '/v1/jobs', json => { language => 'bash', code => 'sleep 0.3', limits => { cpu => 1 } });
cmp_ok($idle->{usage}{cpu_throttled_ms}, '<', 100, 'one that sleeps: not');

my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
