#!/usr/bin/perl
# Each limit ends the job, names itself and the observed value, and is on record.
use strict;
use warnings;
use lib 't/lib';
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new(executor => { 'pool.default' => 2, 'limits.max_running' => 6 });
$t->start_launcher->start_executor;

sub ask {
    my ($method, $path, %option) = @_;
    my $who = delete $option{who} || {};
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, %$who), %option);
}

my %hog = (
    memory => { language => 'python', code => 'x = []' . "\nwhile True: x.append(bytearray(1 << 20))", limits => { memory => '64Mi' } },
    disk => { language => 'python', code => "f = open('big', 'wb')\nwhile True: f.write(b'x' * 65536); f.flush()", limits => { disk => '4Mi' } },
    processes => { language => 'bash', code => 'bomb() { bomb | bomb & }; bomb; sleep 5', limits => { processes => 16, time => '8s' } },
    cpu => { language => 'python', code => 'while True: pass', limits => { cpu_time => '300ms' } },
    time => { language => 'bash', code => 'echo begin; sleep 30', limits => { time => '500ms' } },
    output => { language => 'bash', code => 'yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', limits => { output => '2Mi' } },
);
my %rule = (cpu => 'cpu_time', map { $_ => $_ } qw(memory disk processes time output));
my %least = (memory => 60 << 20, disk => 4 << 20, processes => 16, cpu => 300, time => 500, output => 2 << 20);

for my $name (sort keys %hog) {
    my $run = ask('POST', '/v1/jobs', json => $hog{$name})->{json};
    is($run->{status}, 'limit_exceeded', "$name ends the job") or diag explain $run;
    my $violation = $run->{violation};
    is($violation->{name}, $name, "$name is named");
    is($violation->{rule}, "limits.$rule{$name}", 'with its rule');
    cmp_ok($violation->{limit} // -1, '>=', $least{$name} * 0.9, 'its limit');
    cmp_ok($violation->{observed} // -1, '>=', $violation->{limit} * 0.9, 'the observed value');
    ok(length $violation->{hint}, 'and what to do');
    is_deeply(ask('GET', "/v1/jobs/$run->{job_id}")->{json}{violation}, $violation, 'the record says the same');
}

my $flood = ask('POST', '/v1/jobs', json => { language => 'bash', code => 'head -c 3000000 /dev/zero | tr "\0" x; echo tail', limits => { output => '4Mi' } })->{json};
is($flood->{status}, 'succeeded', 'much output below the limit is fine');
is($flood->{stdout_bytes}, 3_000_005, 'every byte is counted');
ok($flood->{truncated}, 'what does not fit is left out');
like($flood->{stdout}, qr/^x+\n\[\.\.\. \d+ bytes omitted \.\.\.\]\nx+tail\n$/, 'head and tail are kept');
cmp_ok(length $flood->{stdout}, '<', 1_100_000, 'within the budget');

# Three at once, while another tenant's job is answered promptly.
my @children;
for my $name (qw(processes memory output)) {
    my $pid = fork // die $!;
    if (!$pid) {
        my $run = ask('POST', '/v1/jobs', json => $hog{$name}, who => { tenant => 'hog' })->{json};
        POSIX::_exit(($run->{status} // '') eq 'limit_exceeded' && $run->{violation}{name} eq $name ? 0 : 1);
    }
    push @children, $pid;
}
my $start = time;
is(ask('POST', '/v1/jobs', json => { language => 'bash', code => 'echo fine' }, who => { tenant => 'calm' })->{json}{stdout}, "fine\n", 'another tenant is served');
cmp_ok(time - $start, '<', 4, 'promptly');
for my $pid (@children) {
    waitpid $pid, 0;
    is($?, 0, 'a hog was stopped for the right reason');
}

# What a context does not grant is refused, and is on record.
my $reply = ask('POST', '/v1/jobs', json => { language => 'bash', code => 'true', limits => { memory => '512Mi', time => '10m' } });
is($reply->{status}, 403, 'above the granted limits: 403');
is_deeply([sort map { $_->{rule} } @{ $reply->{json}{violations} }], ['limits.memory', 'limits.time'], 'each is named');
is(ask('POST', '/v1/jobs', json => { language => 'bash', code => 'true' }, who => { limits => undef })->{status}, 403, 'a context without limits creates nothing');

my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
my @finished = $t->audit_events('job.finished');
for my $name (sort keys %hog) {
    ok(scalar(grep { ($_->{body}{violation}{name} // '') eq $name } @finished), "the violation of $name is audited");
}
ok(scalar(grep { $_->{tenant} eq 'acme' } $t->audit_events('request.denied')), 'the denial is audited');
$t->finish;
done_testing();
