#!/usr/bin/perl
# The gVisor tier from the launcher's side: the same life, limits, verdicts and ends as in the process tier, nothing left
# behind, and what becomes of a runsc that is not as it should be. SANDBOX_RUNSC names another binary than the installed one.
use strict;
use warnings;
use File::Copy 'copy';
use JSON::PP;
use MIME::Base64 'encode_base64';
use Socket;
use Test::More;
use Time::HiRes qw(time);
use lib 't/lib';
use Sandbox::Launch;

# Mounts of whoever else is at work on this host are not to be taken for ours.
if (!$ENV{SANDBOX_OWN_MOUNTS}) {
    local $ENV{SANDBOX_OWN_MOUNTS} = 1;
    exec 'unshare', '-m', '--propagation', 'private', $^X, $0, @ARGV or die "unshare: $!\n";
}

use constant { NONE => 0, CPU => 1, MEMORY => 2, DISK => 3, PROCESSES => 4, TIME => 5 };

my $variant = $ENV{SANDBOX_VARIANT} // 'release';
my $runsc = $ENV{SANDBOX_RUNSC} // 'auto';
die "runsc is not installed\n" unless grep { -x } $runsc, '/usr/bin/runsc', '/usr/local/bin/runsc';
my $agent = "$Sandbox::Launch::OUT/session-agent";
my $json = JSON::PP->new->canonical->ascii;
my $host = footprint();

sub slurp { goto &Sandbox::Launch::slurp }

# What a sandbox could leave on the host besides processes and groups, which finish() looks for.
sub footprint { return { mounts => Sandbox::Launch::host_mounts(), files => [ sort glob('/run/runsc* /var/run/runsc* /tmp/runsc* /run/sandbox*/* /var/lib/runsc*') ] } }

sub launcher {
    my (%option) = @_;
    return Sandbox::Launch->new(agent => $agent, %option)->drivers;
}

my $l = launcher();
$l->start(runsc => $runsc);
my $c = $l->client;
my $mounts_inside = mounts_of($l->{pid});

sub mounts_of { return scalar(() = slurp("/proc/$_[0]/mountinfo") =~ /\n/g) }
sub status_of { my ($pid) = @_; return { slurp("/proc/$pid/status") =~ /^(\w+):[ \t]*(.*)$/mg } }
sub fds_of { my ($pid) = @_; my @open = glob "/proc/$pid/fd/*"; return scalar @open }

sub http {
    my ($id, $method, $path, $body) = @_;
    my $reply = $c->ask("http $id $method $path" . ($body ? ' ' . $json->encode($body) : ''));
    my ($status, $text) = $reply =~ /^(\d{3}) (.*)$/ or return [0, $reply];
    return [$status, eval { decode_json($text) } // $text];
}

sub sandbox { return sandbox_of('default', @_) }

sub sandbox_of {
    my ($template, $runtime, %limit) = @_;
    my $id = $c->create($template, 'gvisor');
    my $adopted = $c->adopt($id, %limit);
    die "adopt: $adopted\n" unless $adopted eq 'adopted';
    my $made = http($id, 'POST', '/v1/sessions', { sessionId => 'job_test', runtime => $runtime, token => '0123456789abcdef' });
    die "session: $made->[0]\n" unless $made->[0] == 201;
    return $id;
}

sub step {
    my ($id, %step) = @_;
    return http($id, 'POST', '/v1/steps', { sessionId => 'job_test', stepId => 'stp_1', timeout_ms => 20000, limits => { processes => 64 }, %step });
}

# A step whose end is not waited for.
sub step_send {
    my ($id, %step) = @_;
    my $file = $l->write('body', $json->encode({ sessionId => 'job_test', stepId => 'stp_1', timeout_ms => 20000, %step }));
    return $c->ask("post $id /v1/steps $file");
}
sub text { my ($id, $fd) = @_; return $c->ask("text $id $fd") =~ tr/\x01/\n/r }

# Which one.
my ($version, $platform) = $l->log =~ /"event":"gvisor.chosen","runsc":"([^"]+)","platform":"(\w+)"/;
like($version // '', qr/^\S+$/, 'the log says which runsc was taken: ' . ($version // '-'));
like($platform // '', qr/^(systrap|ptrace)$/, 'and which platform: ' . ($platform // '-'));
unlike($l->log, qr/"event":"gvisor.absent"/, 'the tier is there');
is(scalar($l->slots), 0, 'what was made to find out is gone');
is_deeply([ $l->processes ], [], 'with its processes');

# One, all of its life.
my $fds = fds_of($c->{pid});
my $id = sandbox('python');
is(fds_of($c->{pid}) - $fds, 3, 'three descriptors: socket, stdout, stderr');
my @pids = $l->processes;
my %uid;
for my $pid (@pids) {
    my $status = status_of($pid);
    my ($uid) = split ' ', $status->{Uid};
    push @{ $uid{ $uid - $c->{uid}{$id} } }, $pid;
    is("$status->{NoNewPrivs} $status->{Seccomp} $status->{Groups}", '1 2 ', "$status->{Name}: no new privileges, filtered, in no group");
}
is_deeply([ grep { $_ != 1 && $_ != 2 } keys %uid ], [], 'they run as two host ids of the sandbox, the payload as none');
cmp_ok(scalar @{ $uid{1} // [] }, '==', 2, 'runsc and its gofer as one');
cmp_ok(scalar @{ $uid{2} // [] }, '>=', 1, 'the sentry, and what it runs the payload with, as the other');
for my $namespace (qw(user pid mnt net ipc uts cgroup)) {
    my $own = readlink "/proc/self/ns/$namespace";
    is(scalar(grep { (readlink("/proc/$_/ns/$namespace") // '') eq $own } @pids), 0, "none of them is in the host's $namespace namespace");
}
is(scalar(grep { slurp("/proc/$_/mountinfo") =~ m{ /(home|root|var|etc) } } @pids), 0, 'none sees the host\'s directories');
is(scalar(grep { slurp("/proc/$_/environ") =~ /[^\0]/ && slurp("/proc/$_/environ") =~ /HOME|SANDBOX|TOKEN/ } @pids), 0, 'nor its environment');

my $reply = step($id, code => <<'PYTHON', event => {});
import os
def handler(event):
    s = dict(l.split(":", 1) for l in open("/proc/self/status").read().splitlines() if ":" in l)
    return {"caps": [s[k].strip() for k in ("CapInh", "CapPrm", "CapEff", "CapBnd")], "uid": os.getresuid(), "gid": os.getresgid(), "seccomp": s["Seccomp"].strip(),
            "fds": sorted(int(f) for f in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + f)), "cwd": os.getcwd(), "host": os.uname().nodename, "version": open("/proc/version").read(), "root": sorted(os.listdir("/"))}
PYTHON
is($reply->[0], 200, 'a step') or diag explain $reply;
my $seen = $reply->[1]{result};
is_deeply($seen->{caps}, [ ('0000000000000000') x 4 ], 'the payload has no capability');
is_deeply([ $seen->{uid}, $seen->{gid} ], [ [ (1000) x 3 ], [ (1000) x 3 ] ], 'is user 1000');
is($seen->{seccomp}, 2, 'is filtered within as well');
is_deeply($seen->{fds}, [ 0, 1, 2 ], 'has three descriptors');
is("$seen->{cwd} $seen->{host}", '/workspace sandbox', 'where it should be');
isnt($seen->{version}, slurp('/proc/version'), 'and its kernel is not the host\'s');
is(scalar(grep { /^(disk|bundle|run\/runsc)$/ } @{ $seen->{root} }), 0, 'nothing of runsc\'s own root is seen');
is($c->settle($id)->{verdict}, NONE, 'no verdict');
my $gone = $c->destroy($id);
is("$gone->{what} $gone->{running} $gone->{signal} $gone->{verdict}", 'destroyed 0 9 0', 'destroyed');
is(scalar($l->slots), 0, 'DESTROYED means: no group is left');
is_deeply([ $l->processes ], [], 'and no process');
is(mounts_of($l->{pid}), $mounts_inside, 'nor a mount');
is_deeply(footprint(), $host, 'nor anything on the host');

# Input in the step, statuses, streams.
$id = sandbox('bash');
my $bytes = join '', map { chr } 0 .. 255;
is(step($id, code => 'cat', stdin => "line\n")->[1]{exit_code}, 0, 'input as text');
is(text($id, 1), "line\n", 'arrives');
is(step($id, code => 'sha256sum | cut -c1-64', stdin => encode_base64($bytes, ''), stdin_encoding => 'base64')->[1]{exit_code}, 0, 'input as bytes');
is(text($id, 1), "40aff2e9d2d8922e47afd4648e6967497158785fbd1da870e7110266bf944880\n", 'arrives whole');
step($id, code => 'cat; echo end');
is(text($id, 1), "end\n", 'none ends at once');
step_send($id, code => 'exec 0<&-; sleep 0.05; exit 4', stdin => 'x' x 300000);
like($c->ask("reply $id"), qr/^200 .*"exit_code":4\b/, 'input that nobody reads is in nobody\'s way');
is(step($id, code => 'cat', stdin => '%%%', stdin_encoding => 'base64')->[0], 422, 'input that is no base64 is refused');
is(step($id, code => 'cat', stdin => 'a', stdin_encoding => 'rot13')->[0], 422, 'nor in another encoding');
is(step($id, code => "exit $_")->[1]{exit_code}, $_, "exit $_") for 0, 1, 42, 255;
is(step($id, code => "kill -$_ \$\$")->[1]{signal}, "SIG$_", "SIG$_") for qw(KILL SEGV TERM ABRT);
$reply = step($id, code => 'sleep 20', timeout_ms => 200)->[1];
is("$reply->{timed_out} $reply->{signal}", '1 SIGKILL', 'the step\'s own deadline');
ok(!$reply->{too_many_processes}, 'which is not for its processes');
step($id, code => 'echo out; echo err >&2; echo again > /dev/stdout');
is(text($id, 1), "out\nagain\n", 'standard output, opened by name too');
is(text($id, 2), "err\n", 'standard error');
is(step($id, code => 'setsid sleep 60 & sleep 60 & disown -a; exit 5')->[1]{exit_code}, 5, 'what is left running');
step($id, code => 'ls /proc | grep -c "^[0-9]"');
cmp_ok(text($id, 1), '<=', 5, 'does not outlive its step');
is($c->stat($id)->{running}, 1, 'many steps, one sandbox');
$c->destroy($id);

# A flood that nobody reads stops at the pipe and goes when the sandbox does.
$id = sandbox('bash');
step_send($id, code => 'yes');
ok($l->wait_until(30, sub { $c->stat($id)->{disk} >= 0 && text($id, 1) =~ /^y/ }), 'output comes while the step runs');
$gone = $c->destroy($id);
is("$gone->{what} $gone->{verdict}", 'destroyed 0', 'destroyed in the middle of a flood');

# Of one that met a limit before it was destroyed there may be a word to read still.
sub ended {
    my ($id) = @_;
    my $report;
    do { $report = $c->ended } while $report->{what} eq 'ended' && $report->{id} != $id;
    return $report;
}

# Each limit: verdict, ceiling, what was observed.
sub ended_by {
    my ($name, $runtime, $code, $step, %limit) = @_;
    my $box = sandbox($runtime, %limit);
    step_send($box, code => $code, %$step);
    my $report = ended($box);
    is("$report->{what} $report->{id} $report->{running}", "ended $box 0", "$name: the launcher says so unasked");
    is($c->stat($box)->{verdict}, $report->{verdict}, "$name: the verdict stays");
    my $last = $c->destroy($box);
    is(join(' ', @$last{qw(what verdict limit observed)}), join(' ', 'destroyed', @$report{qw(verdict limit observed)}), "$name: and is told again");
    return $report;
}
my $bomb = "import os, time\nn = 0\ntry:\n    while n < 3000:\n        if os.fork() == 0: time.sleep(20); os._exit(0)\n        n += 1\nexcept OSError: pass\ntime.sleep(20)";

my $r = ended_by('memory', 'python', 'b = bytearray(1 << 30)', {}, memory => 64 << 20);
is("$r->{verdict} $r->{limit}", MEMORY . ' ' . (64 << 20), 'memory: verdict and ceiling');
cmp_ok($r->{observed}, '>=', 64 << 20, 'memory: observed');
cmp_ok($r->{observed}, '<', 80 << 20, 'memory: without what gVisor takes itself');
cmp_ok($r->{oom}, '>=', 1, 'memory: the kernel counted');
cmp_ok($r->{peak}, '<=', (64 + 96 << 20) + (1 << 20), 'memory: never above both together');
$r = ended_by('memory by files', 'bash', 'cat /dev/zero > /workspace/z; sleep 20', {}, memory => 32 << 20, disk => 512 << 20);
is($r->{verdict}, MEMORY, 'memory by files: they are memory');
$r = ended_by("memory by files in /dev/shm", "bash", "cat /dev/zero > /dev/shm/z; sleep 20", {}, memory => 32 << 20, disk => 512 << 20);
is($r->{verdict}, MEMORY, "memory by files in /dev/shm: which is the sentry's own");
$r = ended_by('processes, agent silent', 'python', $bomb, {}, processes => 1, memory => 512 << 20);
is(join(' ', @$r{qw(verdict limit observed)}), PROCESSES . ' 1 2', 'processes: the host\'s limit stands behind the sentry\'s');
cmp_ok($r->{forks}, '>=', 1, 'processes: a fork was refused');
$r = ended_by('disk', 'bash', 'cat /dev/zero > /workspace/z; sleep 20', {}, disk => 4 << 20);
is("$r->{verdict} $r->{limit} $r->{files}", DISK . ' ' . (4 << 20) . ' 0', 'disk: verdict and ceiling, in bytes');
cmp_ok($r->{observed}, '>', 4 << 20, 'disk: observed');
cmp_ok($r->{observed}, '<=', (4 << 20) + 65536, 'disk: never much more, through the gofer too');
$r = ended_by('disk over all', 'bash', 'for d in /tmp /run/sandbox /workspace; do head -c 2000000 /dev/zero > $d/z; done; sleep 20', {}, disk => 4 << 20);
is($r->{verdict}, DISK, 'disk: one sum for all that can be written');
$r = ended_by('files', 'python', "import os\ntry:\n    for i in range(40000): os.mknod('/tmp/%d' % i)\nexcept OSError: pass\nimport time; time.sleep(20)", { timeout_ms => 60000 }, disk => 64 << 20, memory => 512 << 20, millis => 2000);
is(join(' ', @$r{qw(verdict limit observed files)}), DISK . ' 32768 32768 1', 'inodes: verdict and ceiling, in files');
$r = ended_by('cpu', 'bash', 'while :; do :; done', {}, cpu_ms => 500);
is("$r->{verdict} $r->{limit}", CPU . ' 500', 'cpu: verdict and ceiling');
cmp_ok($r->{observed}, '>=', 500, 'cpu: observed');
cmp_ok($r->{observed}, '<', 900, 'cpu: and not long after');
$r = ended_by('time', 'bash', 'sleep 20', {}, wall_ms => 600);
is("$r->{verdict} $r->{limit}", TIME . ' 600', 'time: verdict and ceiling');
cmp_ok($r->{observed}, '>=', 600, 'time: observed');
cmp_ok($r->{observed}, '<', 1100, 'time: and not long after');

# Processes are counted by the sentry; the agent sees one too many and ends the step.
for my $case ([ 'processes', 'python', $bomb ], [ 'threads', 'python', "import threading, time\ntry:\n    for i in range(40): threading.Thread(target=time.sleep, args=(20,)).start()\nexcept RuntimeError: pass" ],
              [ 'a bomb', 'bash', 'f() { f | f & f | f; }; f; sleep 20' ], [ 'dead ones', 'python', "import os, time\ntry:\n    for i in range(40):\n        if os.fork() == 0: os._exit(0)\nexcept OSError: pass\ntime.sleep(20)" ]) {
    my ($name, $runtime, $code) = @$case;
    $id = sandbox($runtime, processes => 12);
    $reply = step($id, code => $code, limits => { processes => 12 })->[1];
    is(ref $reply ? "$reply->{signal} " . ($reply->{too_many_processes} ? 1 : 0) : $reply, 'SIGKILL 1', "$name: seen and ended");
    is("@{$c->stat($id)}{qw(verdict running forks)}", '0 1 0', "$name: the host's limit was not met");
    $c->destroy($id);
}

# What is allowed is allowed.
for my $n (1, 4, 16) {
    $id = sandbox('python', processes => $n);
    $reply = step($id, limits => { processes => $n }, code => "import os, time\np = []\nfor i in range($n - 1):\n    pid = os.fork()\n    if pid == 0:\n        end = time.time() + 0.5\n        while time.time() < end: os.getpid()\n        os._exit(0)\n    p.append(pid)\nassert all(os.waitpid(x, 0)[1] == 0 for x in p)");
    is(ref $reply->[1] ? $reply->[1]{exit_code} : 'gone', 0, "$n busy processes of $n allowed");
    is($c->stat($id)->{verdict}, NONE, 'no verdict');
    $c->destroy($id);
}
$id = sandbox('bash', disk => 4 << 20, memory => 128 << 20);
is(step($id, code => 'head -c 4100000 /dev/zero > /workspace/z')->[1]{exit_code}, 0, 'as many bytes as allowed');
is(step($id, code => 'python3 -c "bytearray(100<<20)"')->[1]{exit_code}, 0, 'memory below the limit, whatever gVisor takes');
is($c->stat($id)->{verdict}, NONE, 'no verdict');
$c->destroy($id);
$id = sandbox('bash', millis => 200);
step($id, code => 'timeout 4 bash -c "while :; do :; done"');
$r = $c->stat($id);
is($r->{verdict}, NONE, 'rate: no verdict');
cmp_ok($r->{throttled}, '>', 300, 'rate: held back');
$c->destroy($id);
# A template's own settings hold here, too.
for my $case ([ 'default', 'workspace tmp run/sandbox inet' ], [ 'noexec', 'inet' ], [ 'still', 'workspace tmp run/sandbox' ]) {
    $id = sandbox_of($case->[0], 'bash');
    step($id, code => 'for d in workspace tmp run/sandbox dev/shm; do cp /bin/true /$d/t; /$d/t 2> /dev/null && echo -n "$d "; done; python3 -c "import socket; socket.socket(); print(\'inet\')" 2> /dev/null');
    is(text($id, 1) =~ s/\s+\z//r, $case->[1], "template $case->[0]: where programs run, whether there are IP sockets");
    $c->destroy($id);
}

$id = $c->create('default', 'gvisor');
is($c->adopt($id, @$_), 'error 22 limits', "refused: @$_") for [ memory => 0 ], [ processes => 0 ], [ processes => 4294967295 ], [ wall_ms => 0 ];
is($c->stat($id)->{running}, 1, 'and still warm');
$c->destroy($id);
$id = $c->create('default', 'gvisor');
is($c->adopt($id, processes => 4_000_000), 'adopted', 'as many processes as any sandbox may have');
$c->destroy($id);
for my $bad ([ 'nosuch', 'gvisor', 'error 2 template' ], [ 'default', 'vm', qr/^(eof|error 71)/ ]) {
    my $other = $l->client;
    $other->hello;
    like($other->ask("create $bad->[0] $bad->[1]"), ref $bad->[2] ? $bad->[2] : qr/^\Q$bad->[2]\E$/, "create $bad->[0] $bad->[1]");
    $other->stop;
}

# Timeout and exit at the same moment: one of them, and both sides say the same.
my %race;
for my $ms (460, 480, 500, 520, 540, 560) {
    $id = sandbox('bash', wall_ms => 600);
    $reply = step($id, code => sprintf 'sleep %.3f', $ms / 1000);
    $r = $c->settle($id);
    $race{"$r->{verdict}"}++;
    ok($r->{verdict} == TIME ? $r->{observed} >= 600 : $reply->[0] == 200 && $reply->[1]{exit_code} == 0, "a race with the deadline, $ms ms: $r->{verdict}");
    is($c->destroy($id)->{verdict}, $r->{verdict}, 'and it stays so');
}
is(scalar(grep { $_ != NONE && $_ != TIME } keys %race), 0, 'nothing else came of it');

# Ends in the middle of things.
for my $case ([ 'a busy loop', 'while :; do :; done' ], [ 'a fork bomb', 'f() { f | f & f | f; }; f' ], [ 'sleepers', 'for i in 1 2 3 4 5 6; do setsid sleep 60 & done; wait' ],
              [ 'writing', 'cat /dev/zero > /workspace/z' ], [ 'a stopped one', 'kill -STOP $$' ]) {
    $id = sandbox('bash', disk => 200 << 20);
    step_send($id, code => $case->[1], limits => { processes => 64 });
    $l->wait_until(30, sub { $c->stat($id)->{cpu_ms} > 20 });
    my $start = time;
    $gone = $c->destroy($id);
    is("$gone->{what} $gone->{running}", 'destroyed 0', "destroyed in the middle of $case->[0]");
    cmp_ok(time - $start, '<', 30, 'and nobody waits for it');
    is_deeply([ scalar($l->slots), $l->processes ], [0], 'nothing is left');
}
$id = sandbox('bash');
my ($sentry) = grep { slurp("/proc/$_/cmdline") =~ /boot/ && (split ' ', status_of($_)->{Uid})[0] == $c->{uid}{$id} + 2 } $l->processes;
ok($sentry, 'the sentry is found');
kill 9, $sentry;
$r = ended($id);
is("$r->{what} $r->{id} $r->{running} $r->{verdict}", "ended $id 0 0", 'a sentry that dies takes the sandbox with it, which is no verdict');
is_deeply([ $l->processes ], [], 'and leaves no process');
$c->destroy($id);

# Eight at once, by eight clients.
my @clients = map { $l->client } 1 .. 8;
$_->hello for @clients;
for my $client (@clients) { print { $client->{in} } "create default gvisor\n"; $client->{in}->flush }
my @made = map { readline($_->{out}) =~ /^created (\d+) (\d+) fds=1/ ? [ $1, $2 ] : [] } @clients;
is(scalar(grep { @$_ } @made), 8, 'eight are made at once');
my %ids = map { $_->[1] => 1 } grep { @$_ } @made;
is(scalar keys %ids, 8, 'with ids of their own');
is(scalar(grep { $clients[$_]->adopt($made[$_][0]) eq 'adopted' } 0 .. 7), 8, 'all adopted');
is(scalar(grep { $clients[$_]->ask("http $made[$_][0] GET /v1/health") =~ /^200 .*"ok"/ } 0 .. 7), 8, 'all agents answer');
is($clients[0]->destroy($made[0][0])->{what}, 'destroyed', 'one goes as asked');
$_->stop for @clients;
ok($l->wait_until(30, sub { !$l->slots && !$l->processes }), 'the others when their clients hang up');

# Clients that hang up while theirs are being made, at any moment of it.
sub ask_for {
    my ($n) = @_;
    socket my $raw, AF_UNIX, SOCK_SEQPACKET, 0 or die $!;
    connect $raw, pack_sockaddr_un($l->socket) or die $!;
    send $raw, pack('SSLQQLL', 1, 32, 0, 1, 0, Sandbox::Launch::wire_version(), 0), 0;    # HELLO
    recv $raw, my $hello, 512, 0;
    die 'no HELLO back' unless length($hello // '') && unpack('S', $hello) == 1;
    send $raw, pack('SSLQQa32a32LL', 2, 96, 0, 1 + $_, 0, 'default', '', 2, 0), 0 for 1 .. $n;
    return $raw;
}
for my $ms (0, 5, 20, 50, 80, 120, 200) {
    my $raw = ask_for(3);
    select undef, undef, undef, $ms / 1000;
    close $raw;
    ok($l->wait_until(30, sub { !$l->slots && !$l->processes }), "hung up $ms ms after asking for three: nothing is left");
}
is(mounts_of($l->{pid}), $mounts_inside, 'no mount either');
is_deeply(footprint(), $host, 'nor anything on the host');
$id = sandbox('bash');
is(step($id, code => 'true')->[1]{exit_code}, 0, 'and it goes on working');
my $process = $c->create;
$c->destroy($_) for $process, $id;

# kill -9 of the launcher with three alive and at work.
my @alive = map { sandbox('bash') } 1 .. 3;
step_send($_, code => 'setsid sleep 60 & while :; do :; done') for @alive;
cmp_ok(scalar($l->processes), '>=', 9, 'three sandboxes at work');
$l->stop('KILL');
ok($l->wait_until(30, sub { !$l->processes }), 'kill -9 of the launcher leaves no process');
is_deeply(footprint(), $host, 'nor anything else but its groups');
$c->stop;
$l->start(runsc => $runsc);
is(scalar($l->slots), 0, 'which the next start removes');
for my $ms (2, 40, 90, 150) {
    my $raw = ask_for(4);
    ok($l->wait_until(30, sub { $l->slots }), 'four are being made');
    select undef, undef, undef, $ms / 1000;
    $l->stop('KILL');
    ok($l->wait_until(30, sub { !$l->processes }), "killed $ms ms into it: no process is left");
    $l->start(runsc => $runsc);
    is(scalar($l->slots), 0, 'and after the next start no group');
}
is_deeply(footprint(), $host, 'nor anything else');
$c = $l->client;
$id = sandbox('bash');
is(step($id, code => 'exit 7')->[1]{exit_code}, 7, 'and it works');
$c->stop;
$l->finish;
is_deeply(footprint(), $host, 'in the end the host is as it was');

# A runsc that is not as it should be. Named, it ends the start, and the log says why.
system('make', '-s', '-C', $Sandbox::Launch::ROOT, "VARIANT=$variant", "build/$variant/t/launcher/fake_runsc") == 0 or die "fake_runsc\n";
my $broken = launcher();
my $fake = "$broken->{dir}/runsc";

sub fake {
    my ($way, $mode) = @_;
    unlink $fake;
    copy("$Sandbox::Launch::OUT/t/launcher/fake_runsc", $fake) or die $!;
    open my $out, '>>', $fake or die $!;
    print {$out} "\n$way";
    close $out or die $!;
    chmod $mode // 0755, $fake;
    return $fake;
}
sub refused {
    my ($name, $path, $why, %conf) = @_;
    my $start = time;
    my $before = length $broken->log;
    is($broken->start(fails => 1, runsc => $path, %conf), exists $conf{status} ? $conf{status} : 1, "$name: no start");
    like(substr($broken->log, $before), qr/"event":"start.failed".*\Q$why\E/, "$name: and why");
    cmp_ok(time - $start, '<', 9.5, "$name: in time");
    is_deeply([ $broken->processes, $broken->slots ], [], "$name: nothing is left");
    ok(!-e $broken->socket, "$name: no socket");
    return;
}
my $unopened = 'cannot be opened, or others than root can write it';
refused('missing', "$broken->{dir}/absent", $unopened);
refused('a directory', $broken->{dir}, $unopened);
refused('anybody may write it', fake('fine', 0777), $unopened);
fake('fine');
chown 1000, 1000, $fake;
refused('not root\'s', $fake, $unopened);
unlink $fake;
POSIX::mkfifo($fake, 0755) or die $!;
refused('a pipe', $fake, $unopened);
refused('not executable', fake('fine', 0644), 'does not say its version');
unlink $fake;
$broken->write('runsc', "#!/bin/sh\nsleep 600\n");
chmod 0755, $fake;
refused('a script', $fake, 'does not say its version');
refused('no program', '/etc/passwd', 'does not say its version');
refused('another program', '/bin/true', 'does not say its version');
refused('ends at once', fake('exit'), 'does not say its version');
refused('says garbage', fake('garbage'), 'does not say its version');
refused('has an endless version', fake('long'), 'does not say its version');
refused('hangs when asked', fake('hang'), 'does not say its version');
refused('knows no flag that must be', fake('noflags'), 'does not know a flag that must be');
refused('does not run', fake('exit-run'), 'does not run here');
like($broken->log, qr/"event":"runsc.said".*I do not like this host/, 'what it had to say is in the log');

# Found and not named, it costs the tier and nothing else.
sub instead {
    my ($path) = @_;
    my $wrapper = $broken->write('wrapper', "#!/bin/sh\nexec unshare -m --propagation private sh -c 'mount --bind \"\$0\" \"\$(ls /usr/bin/runsc /usr/local/bin/runsc 2>/dev/null | head -1)\" && exec \"\$@\"' $path $Sandbox::Launch::OUT/sandbox-launch \"\$@\"\n");
    chmod 0755, $wrapper;
    return $wrapper;
}
for my $case ([ 'hangs when asked', 'hang', {}, 'does not say its version' ], [ 'does not run', 'exit-run', {}, 'it is there and does not run' ],
              [ 'hangs when run', 'hang-run', { runsc_platform => 'ptrace' }, 'it is there and does not run' ]) {
    my ($name, $way, $conf, $why) = @$case;
    my $before = length $broken->log;
    $broken->{launcher} = instead(fake($way));
    $broken->start(runsc => 'auto', %$conf);
    like(substr($broken->log, $before), qr/"event":"gvisor.absent".*\Q$why\E/, "found, $name: the log says why the tier is not there");
    $c = $broken->client;
    $c->{hello} = $c->hello;
    is($c->ask('create default gvisor'), 'error 95 gvisor', "found, $name: a sandbox of it is refused");
    $id = $c->create;
    is($c->adopt($id), 'adopted', "found, $name: the process tier works");
    is($c->destroy($id)->{what}, 'destroyed', "found, $name: as ever");
    $c->stop;
    is($broken->stop, 0, "found, $name: a clean end");
    is_deeply([ $broken->processes, $broken->cgroups ], [], "found, $name: nothing is left");
}
$broken->finish;
is_deeply(footprint(), $host, 'the host is as it was');
done_testing();
