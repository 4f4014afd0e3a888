#!/usr/bin/perl
# What a step gives back: output, status, result, time, environment, identity.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use MIME::Base64 qw(encode_base64 decode_base64);
use Sandbox::Agent;
use Test::More;
use Time::HiRes qw(time);

my $agent = Sandbox::Agent->new;

for my $case (['python', 'import sys; print("out"); print("err", file=sys.stderr); sys.exit(3)'],
              ['node', 'console.log("out"); console.error("err"); process.exitCode = 3'],
              ['sh', 'echo out; echo err >&2; exit 3']) {
    my ($runtime, $code) = @$case;
    is($agent->session($runtime)->{status}, 201, "$runtime: session");
    my $r = $agent->run($code);
    is($r->{stdout}, "out\n", "$runtime: stdout");
    is($r->{stderr}, "err\n", "$runtime: stderr");
    is($r->{exit_code}, 3, "$runtime: exit code");
    is($r->{signal}, undef, "$runtime: no signal");
    is("$r->{stdout_bytes} $r->{stderr_bytes}", '4 4', "$runtime: bytes");
    ok(!$r->{truncated} && !$r->{timed_out}, "$runtime: whole, in time");
    ok(!exists $r->{result}, "$runtime: no result");
    cmp_ok($r->{wall_ms}, '<', 10000, "$runtime: wall time");
    cmp_ok($r->{peak_memory_bytes}, '>', 500_000, "$runtime: memory");
    is($agent->close_session->{status}, 204, "$runtime: closed");
}

$agent->session('bash', env => { FOO => 'session', BAR => 'session' });
my $r = $agent->run('kill -SEGV $$');
is($r->{signal}, 'SIGSEGV', 'a signal by its name');
is($r->{exit_code}, undef, 'and then no exit code');
is($agent->run('kill -KILL $$')->{signal}, 'SIGKILL', 'SIGKILL of its own');
is($agent->run('exit 255')->{exit_code}, 255, 'the largest exit code');
is($agent->run('printf "%s|" "$0" "$@"', args => ['a b', '', "\xe4", '$x', '-n'])->{stdout} =~ s/^.*main\.sh\|//r,
   "a b||\xe4|\$x|-n|", 'arguments arrive as they are');
is($agent->run('echo $FOO $BAR $BAZ', env => { BAR => 'step', BAZ => 'step' })->{stdout}, "session step step\n",
   "the step's environment goes before the session's");
$r = $agent->run('env; cat /proc/self/environ | tr "\0" "\n"');
unlike($r->{stdout}, qr/A_SECRET_OF_THE_AGENT|must-not-be-seen/, "nothing of the agent's environment");
like($r->{stdout}, qr/^HOME=\S+workspace$/m, 'HOME is the workspace');
like($r->{stdout}, qr/^TMPDIR=\S+tmp$/m, 'TMPDIR is its own');
is($agent->run('echo "$FOO"', env => { FOO => "two\nlines" })->{stdout}, "two\nlines\n", 'a value may hold a line break');
ok($agent->run('echo kept > kept')->{exit_code} == 0 && $agent->run('cat kept')->{stdout} eq "kept\n",
   'files stay for the next step');

# Standard input.
my $megabyte = join '', map { chr(97 + $_ % 26) } 1 .. 1 << 20;
is($agent->run('sha256sum', stdin => $megabyte)->{stdout},
   do { require Digest::SHA; Digest::SHA::sha256_hex($megabyte) . "  -\n" }, '1 MiB of standard input');
my $binary = join '', map { chr } 0 .. 255;
$r = $agent->run('cat', stdin => encode_base64($binary, ''), stdin_encoding => 'base64');
is(decode_base64($r->{stdout_base64} // ''), $binary, 'binary in, binary out');
is($r->{stdout_bytes}, 256, 'every byte counted');
is($agent->run('cat')->{stdout}, '', 'no input is an end of file');
is($agent->run('true', stdin => $megabyte)->{exit_code}, 0, 'input nobody reads does no harm');
is($agent->run('exec 0<&-; sleep 0.1; echo fine', stdin => $megabyte)->{stdout}, "fine\n", 'nor input that is closed');
is($agent->step('cat', stdin => '!', stdin_encoding => 'base64')->{status}, 422, 'bad base64 is refused');

# Output without end.
$r = $agent->run('yes | head -c 5000000; echo END');
ok($r->{truncated}, 'long output is truncated');
is($r->{stdout_bytes}, 5_000_004, 'and counted whole');
like($r->{stdout}, qr/^y\ny\n.*\.\.\. \d+ bytes omitted \.\.\..*END\n\z/s, 'head and tail are kept');
cmp_ok(length $r->{stdout}, '<', 1_100_000, 'within the budget');
$r = $agent->run('yes x >&2', timeout_ms => 2000);
ok($r->{timed_out} && $r->{truncated}, 'an endless flood ends at the deadline');
is($agent->run('sleep 300 & echo left')->{stdout}, "left\n", 'output held open by a child does not hold the answer');

# The payload's rights.
$r = $agent->run('id -u; id -g; id -G; grep -E "^(Cap|NoNewPrivs|Seccomp)" /proc/self/status; ulimit -Hc -Hn -Hq; ls /proc/$$/fd');
if ($> == 0) {
    like($r->{stdout}, qr/^$Sandbox::Agent::USER\n$Sandbox::Agent::USER\n$Sandbox::Agent::USER\n/, 'the user asked for, without groups');
    like($r->{stdout}, qr/^CapBnd:\t0+$/m, 'an empty bounding set');
}
like($r->{stdout}, qr/^CapEff:\t0+$/m, 'no effective capability');
like($r->{stdout}, qr/^CapPrm:\t0+$/m, 'no permitted one');
like($r->{stdout}, qr/^CapAmb:\t0+$/m, 'no ambient one');
like($r->{stdout}, qr/^NoNewPrivs:\t1$/m, 'no_new_privs');
like($r->{stdout}, qr/\n0\n1\n2\n255\n\z/, 'no descriptor but 0, 1, 2 and the script');
is($agent->run('trap')->{stdout}, '', 'no signal is ignored');
is($agent->run('kill -9 ' . $agent->{pid} . ' 2>/dev/null; echo $?')->{stdout}, $> == 0 ? "1\n" : "0\n",
   'the agent cannot be killed') if $> == 0;
is($agent->run('cat /proc/' . $agent->{pid} . '/environ 2>/dev/null | wc -c')->{stdout}, "0\n", 'nor read');

# Deadlines and what is left behind.
my $mark = "31.$$";
my $start = time;
$r = $agent->run("sleep 100$mark", timeout_ms => 300);
ok($r->{timed_out} && $r->{signal} eq 'SIGKILL', 'a deadline kills');
cmp_ok(time - $start, '<', 5, 'in time');
ok(!$agent->run("exit 0", timeout_ms => 5000)->{timed_out}, 'the next step is not affected');
for my $orphan ("sleep 100$mark &", "(setsid sleep 100$mark &)", "setsid sh -c 'setsid sleep 100$mark & sleep 100$mark' &",
                "nohup sleep 100$mark >/dev/null 2>&1 & disown", "(trap '' TERM HUP INT; setsid sleep 100$mark & ) & kill -STOP \$! 2>/dev/null") {
    $agent->run("$orphan\nsleep 0.05");
    is_deeply([$agent->processes("100$mark")], [], "nothing of it survives: $orphan");
}
$r = $agent->run("for i in 1 2 3 4 5 6 7 8; do (setsid sh -c 'while :; do (sleep 100$mark &) ; sleep 0.01; done' &) ; done; sleep 0.3");
is_deeply([$agent->processes("100$mark")], [], 'not of breeders either');

# A caller who leaves.
{
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $agent->{port}) or die $!;
    my $body = qq({"sessionId":"$agent->{session}","stepId":"gone","code":"sleep 100$mark"});
    print {$socket} "POST /v1/steps HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nX-Session-Token: $Sandbox::Agent::TOKEN\r\nContent-Length: "
        . length($body) . "\r\n\r\n$body";
    my $end = time + 30;
    Time::HiRes::sleep(0.01) until $agent->processes("100$mark") || time > $end;
    ok(scalar $agent->processes("100$mark"), 'a step runs');
    is($agent->step('true')->{status}, 409, 'a second one at the same time is refused');
    close $socket;
    $end = time + 30;
    Time::HiRes::sleep(0.01) until !$agent->processes("100$mark") || time > $end;
    is_deeply([$agent->processes("100$mark")], [], 'and ends when its caller leaves');
    $end = time + 30;
    Time::HiRes::sleep(0.01) until !$agent->call('GET', '/v1/health')->{json}{busy} || time > $end;
    is($agent->run('echo next')->{stdout}, "next\n", 'the agent goes on');
}

$agent->close_session;
$agent->finish;
done_testing();
