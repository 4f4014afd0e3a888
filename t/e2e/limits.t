#!/usr/bin/perl
# Each limit ends the job, names itself with ceiling and observed value, and is audited.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new->start;

my @case = (
    ['memory', { memory => '48Mi' }, 'python', 'x = []
while True: x.append(bytearray(1 << 20))', 48 << 20, 40 << 20],
    ['memory', { memory => '64Mi', disk => '256Mi' }, 'bash', 'head -c 200000000 /dev/zero > /workspace/full; sleep 5', 64 << 20, 50 << 20],
    ['disk', { disk => '4Mi' }, 'python', 'f = open("/workspace/full", "wb")
while True: f.write(bytes(65536)); f.flush()', 4 << 20, 4 << 20],
    ['disk', { disk => '4Mi' }, 'bash', 'for i in $(seq 100); do head -c 1000000 /dev/zero > /tmp/f$i || true; done; sleep 3', 4 << 20, 4 << 20],
    ['disk', { disk => '64Mi' }, 'python', 'n = 0
while True: open(f"/tmp/{n}", "w").close(); n += 1', 32768, 32768, 'fewer files'],
    ['disk', { disk => '4Mi' }, 'bash', 'exec dd of=/tmp/x bs=1 count=1 seek=200M < /dev/zero', 4 << 20, (4 << 20) + 1],
    ['processes', { processes => 16 }, 'bash', 'f() { f | f & }; f; sleep 10', 16, 17],
    ['processes', { processes => 20 }, 'python', 'import os, time
while True:
    try:
        if os.fork() == 0: time.sleep(30)
    except OSError: time.sleep(0.1)', 20, 21],
    ['cpu', { cpu_time => '300ms', time => '20s' }, 'python', 'while True: pass', 300, 300],
    ['cpu', { cpu_time => '400ms', time => '20s' }, 'javascript', 'for (;;) {}', 400, 400],
    ['time', { time => '700ms' }, 'python', 'import time; time.sleep(30)', 700, 700],
    ['time', { time => '700ms' }, 'bash', 'trap "" TERM INT HUP; setsid sleep 40 & sleep 40', 700, 700],
    ['output', { output => '200000' }, 'bash', 'yes', 200000, 200001],
    ['output', { output => '200000' }, 'python', 'import sys
while True: sys.stderr.write("x" * 4096)', 200000, 200001],
);
for my $case (@case) {
    my ($name, $limits, $language, $code, $limit, $observed, $hint) = @$case;
    my $job = $t->job({ language => $language, code => $code, limits => $limits, wait => 30 });
    my $label = "$name ($language)";
    is($job->{status}, 'limit_exceeded', "$label: status") or diag explain $job;
    is($job->{violation}{name}, $name, "$label: named");
    like($job->{violation}{rule}, qr/^limits\./, "$label: rule");
    cmp_ok($job->{violation}{limit} // -1, '==', $limit, "$label: the ceiling");
    cmp_ok($job->{violation}{observed} // -1, '>=', $observed, "$label: the observed value");
    like($job->{violation}{hint} // '', $hint ? qr/$hint/ : qr/./, "$label: a hint");
}

# Within the limits nothing happens.
for my $case (['python', 'x = bytearray(20 << 20); print(len(x))', { memory => '64Mi' }],
              ['bash', 'head -c 3000000 /dev/zero > f; wc -c < f', { disk => '4Mi' }],
              ['bash', 'for i in 1 2 3 4 5; do sleep 0.1 & done; wait; echo fine', { processes => 16 }],
              ['javascript', 'console.log(require("os").cpus().length > 0)', {}]) {
    my $job = $t->job({ language => $case->[0], code => $case->[1], limits => $case->[2] });
    is($job->{status}, 'succeeded', "inside its limits: $case->[1]") or diag explain $job;
}

# Everything at once, and the machine still answers.
my @hog = (
    { language => 'bash', code => 'f() { f | f & }; f; sleep 20', limits => { processes => 64, time => '8s' }, wait => 0 },
    { language => 'python', code => "x = []\nwhile True: x.append(bytearray(1 << 20))", limits => { memory => '128Mi', time => '8s' }, wait => 0 },
    { language => 'bash', code => 'yes', limits => { output => '64Mi', time => '8s' }, wait => 0 },
);
my @id = map { $t->job($_)->{job_id} } @hog, @hog;
my $start = time;
my $calm = $t->job({ language => 'python', code => 'print(6 * 7)' }, tenant => 'calm');
is($calm->{stdout}, "42\n", 'another tenant runs beside a fork bomb, a memory hog and a flood');
cmp_ok(time - $start, '<', 8, 'and soon');
for my $id (@id) {
    my $job = $t->request('GET', "/v1/jobs/$id?wait=30s")->{json};
    is($job->{status}, 'limit_exceeded', "a hog ends by its limit ($job->{violation}{name})");
}

# What policy does not allow is refused before anything runs.
my $reply = $t->request('POST', '/v1/jobs', json => { language => 'python', code => '1', limits => { memory => '32Gi' } });
is($reply->{status}, 403, 'more than the policy allows');
is($reply->{json}{violations}[0]{rule}, 'limits.memory', 'names the rule');

my ($ok, $text) = $t->audit_verify;
ok($ok, 'the audit chain verifies') or diag $text;
my $log = join '', map { local (@ARGV, $/) = $_; <> } glob $t->dir . '/data/audit/audit-*.jsonl';
for my $name (qw(memory disk processes cpu time output)) {
    like($log, qr/"name":"$name"/, "the audit log tells of $name");
}
$t->finish;
done_testing();
