#!/usr/bin/perl
# Jobs in both isolation tiers through the front door: the same program ends the same way, and nobody gets a weaker tier than is due.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use MIME::Base64;
use Sandbox;
use Test::More;

# No skipping: a machine that tests the product has both tiers (conf/local/deps.sh test).
die "runsc is not installed\n" unless grep { -x } '/usr/bin/runsc', '/usr/local/bin/runsc';

my $t = Sandbox->new(executor => { 'pool.default' => 1, 'pool.default.gvisor' => 1, 'pool.bare' => 0, 'template.strong.isolation' => 'gvisor', 'pool.strong' => 0 },
                     launcher => { runsc => 'auto', map { ("template.$_.root" => '/') } qw(bare strong) });
$t->write("etc/policies/$_->[0].json", encode_json({ version => 1, isolation => $_->[1] }))
    for ['tenants/strict', { minimum => 'gvisor' }], ['tenants/careful', { default => 'gvisor' }], ['tenants/strict/apps/soft', { minimum => 'process' }];
my $default = decode_json($t->read_file('etc/policies/default.json'));
$t->write('etc/policies/default.json', encode_json({ %$default, templates => [qw(default bare strong unknown)] }));
$t->start;

sub problem { my ($reply) = @_; return "$reply->{status} " . ($reply->{json}{code} // '-') }
sub tier { my ($job, %who) = @_; my $reply = $t->request('POST', '/v1/jobs', json => { language => 'bash', code => 'true', %$job }, %who); return $reply->{status} == 200 ? "$reply->{json}{status} $reply->{json}{isolation}" : problem($reply) }

# gVisor's own kernel answers: the proof that the tier is not only a word in the record.
my $gvisor = $t->job({ language => 'bash', code => 'cat /proc/version; dmesg 2>/dev/null | head -1', isolation => 'gvisor' });
my $process = $t->job({ language => 'bash', code => 'cat /proc/version', isolation => 'process' });
is("$gvisor->{status} $gvisor->{isolation}", 'succeeded gvisor', 'a job in gvisor') or diag explain $gvisor;
is("$process->{status} $process->{isolation}", 'succeeded process', 'and one in process');
isnt($gvisor->{stdout}, '', 'there is a kernel');
isnt($gvisor->{stdout}, $process->{stdout}, 'and not the host\'s');

my %print = (
    python     => 'import sys; print("out"); print("err", file=sys.stderr); sys.exit(3)',
    javascript => 'console.log("out"); console.error("err"); process.exit(3)',
    bash       => 'echo out; echo err >&2; exit 3',
);
my %stdin = (
    python     => 'import sys, hashlib; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())',
    javascript => 'const h = require("crypto").createHash("sha256"); process.stdin.on("data", (d) => h.update(d)).on("end", () => console.log(h.digest("hex")))',
    bash       => 'sha256sum | cut -d" " -f1',
);
my $binary = join '', map { chr($_ * 7 % 256) } 1 .. 1 << 20;
my $text = join '', map { chr(97 + $_ % 26) . ($_ % 60 ? '' : "\n") } 1 .. 1 << 20;

for my $tier (qw(process gvisor)) {
    my %in = (isolation => $tier);
    my $run = sub { my (%job) = @_; return $t->job({ %in, %job }) };
    for my $language (sort keys %print) {
        my $job = $run->(language => $language, code => $print{$language});
        is_deeply([ @$job{qw(status exit_code signal stdout stderr isolation)} ], [ 'failed', 3, undef, "out\n", "err\n", $tier ], "$tier, $language: runs and exits");
        is_deeply($t->request('GET', "/v1/jobs/$job->{job_id}")->{json}, $job, "$tier, $language: the same answer later");
        cmp_ok($job->{usage}{wall_ms}, '>', 0, "$tier, $language: wall time");
        is($run->(language => $language, code => $stdin{$language}, stdin => $text)->{stdout}, sha256_hex($text) . "\n", "$tier, $language: 1 MiB of text on stdin");
        is($run->(language => $language, code => $stdin{$language}, stdin => encode_base64($binary, ''), stdin_encoding => 'base64')->{stdout}, sha256_hex($binary) . "\n",
           "$tier, $language: 1 MiB of bytes on stdin");
        is($run->(language => $language, code => $stdin{$language})->{stdout}, sha256_hex('') . "\n", "$tier, $language: no stdin ends at once");
    }
    is($run->(language => 'python', code => 'import sys; sys.stdout.write(sys.stdin.read())', stdin => "a\"\\\n\t\x{1}\x{7f}")->{stdout}, "a\"\\\n\t\x{1}\x{7f}", "$tier: characters that JSON escapes");
    is($run->(language => 'python', code => 'print(1)', stdin => $text)->{status}, 'succeeded', "$tier: stdin that nobody reads");
    is($run->(language => 'bash', code => 'exec 0<&-; sleep 0.1', stdin => $text)->{status}, 'succeeded', "$tier: stdin that is closed");
    is($run->(language => 'bash', code => 'echo "$A|$1|$2"', env => { A => "x y\n\x{e9}" }, args => ['a b', '']) ->{stdout}, "x y\n\x{e9}|a b|\n", "$tier: env and args");
    is_deeply($run->(language => 'python', code => "def handler(event):\n    return {'sum': sum(event['n'])}", event => { n => [1, 2, 3] })->{result}, { sum => 6 }, "$tier: event and result");
    is_deeply($run->(language => 'node', code => 'exports.handler = async e => ({twice: e.n * 2})', event => { n => 21 })->{result}, { twice => 42 }, "$tier: and of node");
    my $files = $run->(language => 'bash', code => 'cat in/a.txt > out.txt; head -c 100000 /dev/zero > big.bin; ln -s /etc/passwd link.txt; mkdir d; echo n > d/e.txt',
                       files => [ { path => 'in/a.txt', content => 'given' } ], artifacts => ['*.txt', '**/*.bin', 'd/*']);
    is_deeply([ sort map { "$_->{path} $_->{size}" } @{ $files->{files} } ], [ 'big.bin 100000', 'd/e.txt 2', 'out.txt 5' ], "$tier: files in and out");
    is_deeply([ map { $_->{path} } @{ $files->{files_skipped} } ], ['link.txt'], "$tier: a link is skipped");
    is($t->request('GET', "/v1/jobs/$files->{job_id}/artifacts/out.txt")->{content}, 'given', "$tier: its bytes");
    is($run->(language => 'bash', code => 'kill -SEGV $$')->{signal}, 'SIGSEGV', "$tier: a death by signal");

    # Limits: the kernel's word in each tier.
    my %limit = (
        memory    => [ 'python', 'x = bytearray(400 << 20); import time; time.sleep(5)', { memory => '64Mi' } ],
        time      => [ 'bash', 'sleep 20', { time => '1s' } ],
        cpu       => [ 'bash', 'while :; do :; done', { cpu_time => '500ms', time => '20s' } ],
        output    => [ 'bash', 'yes', { output => '64Ki' } ],
        disk      => [ 'bash', 'head -c 100M /dev/zero > full; sleep 5', { disk => '4Mi' } ],
        processes => [ 'bash', 'for i in $(seq 200); do sleep 3 & done; wait', { processes => 20 } ],
    );
    for my $name (sort keys %limit) {
        my ($language, $code, $limits) = @{ $limit{$name} };
        my $job = $run->(language => $language, code => $code, limits => $limits);
        my $said = "$job->{status} " . ($job->{violation}{name} // '-');
        is($said, "limit_exceeded $name", "$tier: limit $name") or diag explain $job;
        cmp_ok($job->{violation}{observed}, '>=', $job->{violation}{limit}, "$tier: limit $name: observed");
        is($job->{isolation}, $tier, "$tier: in the tier that was asked for");
    }
    my $job = $run->(language => 'python', code => 'import subprocess; p = [subprocess.Popen(["sleep", "0.2"]) for i in range(11)]; print(sum(x.wait() == 0 for x in p))',
                     limits => { processes => 12 });
    is("$job->{status} $job->{stdout}", "succeeded 11\n", "$tier: as many processes as allowed") or diag explain $job;
    $job = $t->job({ %in, language => 'bash', code => 'sleep 30', wait => 0 });
    $t->wait_until(30, sub { $t->request('GET', "/v1/jobs/$job->{job_id}")->{json}{status} eq 'running' });
    is(join(' ', map { $_->{job_id} } @{ $t->request('GET', "/v1/jobs?status=running&isolation=$tier")->{json}{jobs} }), $job->{job_id}, "$tier: listed while it runs");
    is($t->request('DELETE', "/v1/jobs/$job->{job_id}")->{json}{status}, 'cancelled', "$tier: cancelled");
}

# Who gets which.
is(tier({}), 'succeeded process', 'nobody says anything');
is(tier({}, tenant => 'careful'), 'succeeded gvisor', 'a policy\'s default');
is(tier({ isolation => 'process' }, tenant => 'careful'), 'succeeded process', 'is no minimum');
is(tier({}, tenant => 'strict'), 'succeeded gvisor', 'a policy\'s minimum');
is(tier({}, tenant => 'strict', app => 'soft'), 'succeeded gvisor', 'that an app cannot lower');
is(tier({ isolation => 'gvisor' }, tenant => 'strict'), 'succeeded gvisor', 'nor needs to');
is(tier({ template => 'strong' }), 'succeeded gvisor', 'a template\'s own tier, made on demand');
is(tier({ template => 'strong', isolation => 'gvisor' }), 'succeeded gvisor', 'asked for');
is(tier({ template => 'bare' }), 'succeeded process', 'a pool of none in the other tier');
for my $who ([ tenant => 'strict' ], [ tenant => 'strict', app => 'soft' ], [ tenant => 'strict', agent => 'x' ]) {
    is(tier({ isolation => 'process' }, @$who), '403 policy_violation', "@$who: less is refused");
}
is(tier(@$_), '503 isolation_unavailable', 'not offered')
    for [ { template => 'bare', isolation => 'gvisor' } ], [ { template => 'bare' }, tenant => 'strict' ], [ { template => 'bare' }, tenant => 'careful' ],
        [ { template => 'strong', isolation => 'process' } ];
is(tier({ isolation => $_ }), '422 invalid_request', 'no tier') for 'vm', '', 'GVISOR', 1, [], {}, ['gvisor'];
is(tier({ template => 'unknown', isolation => 'gvisor' }), '422 invalid_request', 'no template');
is($t->request('GET', "/v1/jobs?isolation=$_")->{status}, 422, "no filter: $_") for 'vm', '', 'process,gvisor';

# Records and metrics.
my %seen;
for my $line ($t->audit_lines) {
    my $event = decode_json($line);
    $seen{ $event->{object} }{ $event->{kind} } = $event->{body}{isolation} if $event->{kind} =~ /^job\./;
}
is_deeply($seen{ $gvisor->{job_id} }, { 'job.accepted' => 'gvisor', 'job.started' => 'gvisor', 'job.finished' => 'gvisor' }, 'the audit says the tier');
is_deeply($seen{ $process->{job_id} }, { 'job.accepted' => 'process', 'job.started' => 'process', 'job.finished' => 'process' }, 'of each job');
is_deeply([ grep { my %tier = map { ($_ // '-') => 1 } values %{ $seen{$_} }; keys %tier != 1 } keys %seen ], [], 'and all events the same one');
my $ready = $t->executor_request('GET', '/readyz');
is_deeply($ready->{json}{isolation}, { process => 'ready', gvisor => 'ready' }, '/readyz knows both');
like($t->executor_request('GET', '/metrics')->{content}, qr/^sandbox_executor_pool_taken_cold_total\{template="strong",isolation="gvisor"\} 2$/m, 'pools by tier');

$t->finish;
done_testing();
