#!/usr/bin/perl
# The real session agent as pid 1: what its payloads are left with, told by the payload.
use strict;
use warnings;
use JSON::PP;
use Test::More;
use lib 't/lib';
use Sandbox::Launch;

my $agent = "$Sandbox::Launch::OUT/session-agent";
BAIL_OUT("build $agent first") unless -x $agent;
my $l = Sandbox::Launch->new(agent => $agent)->drivers;
$l->start;
my $c = $l->client;

sub http {
    my ($id, $method, $path, $body) = @_;
    my $reply = $c->ask("http $id $method $path" . ($body ? ' ' . JSON::PP->new->canonical->ascii->encode($body) : ''));
    my ($status, $text) = $reply =~ /^(\d{3}) (.*)$/ or return [0, $reply];
    return [$status, eval { decode_json($text) } // $text];
}

sub sandbox {
    my ($runtime, %limit) = @_;
    my $id = $c->create;
    is($c->adopt($id, %limit), 'adopted', 'adopted');
    my $made = http($id, 'POST', '/v1/sessions', { sessionId => 'job_test', runtime => $runtime, token => '0123456789abcdef' });
    is($made->[0], 201, "$runtime: a session") or diag(explain($made));
    return $id;
}

sub step {
    my ($id, %step) = @_;
    return http($id, 'POST', '/v1/steps', { sessionId => 'job_test', stepId => 'stp_1', timeout_ms => 10000, %step });
}

my $look = <<'PYTHON';
import os, socket
def status(pid="self"):
    return dict(l.split(":", 1) for l in open("/proc/%s/status" % pid).read().splitlines() if ":" in l)
def fails(f):
    try:
        f(); return 0
    except OSError as e:
        return e.errno
def handler(event):
    s = status()
    return {
        "status": {k: s[k].strip() for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters", "Uid", "Gid", "SigIgn", "SigBlk")},
        "fds": sorted(int(f) for f in os.listdir("/proc/self/fd") if int(f) < 100 and os.path.exists("/proc/self/fd/" + f)),
        "pids": [p for p in os.listdir("/proc") if p.isdigit()],
        "cwd": os.getcwd(), "env": dict(os.environ),
        "kill": fails(lambda: os.kill(1, 9)), "inet": fails(lambda: socket.socket(socket.AF_INET)),
        "mem": fails(lambda: open("/proc/1/mem", "rb")), "sys": fails(lambda: open("/proc/sys/kernel/core_pattern", "w")),
        "root": os.listdir("/"), "oom": open("/proc/self/oom_score_adj").read().strip(),
    }
PYTHON

my $id = sandbox('python');
my $reply = step($id, code => $look, event => {});
is($reply->[0], 200, 'a step') or diag(explain($reply));
my $seen = $reply->[1]{result};
is($seen->{status}{$_}, '0000000000000000', "$_ empty") for qw(CapInh CapPrm CapEff CapBnd CapAmb);
is($seen->{status}{NoNewPrivs}, 1, 'no_new_privs');
is($seen->{status}{Seccomp}, 2, 'filtered');
is($seen->{status}{Seccomp_filters}, 3, 'by launcher, agent and payload program');
like($seen->{status}{Uid}, qr/^1000\s+1000\s+1000\s+1000$/, 'user 1000');
like($seen->{status}{Gid}, qr/^1000\s+1000\s+1000\s+1000$/, 'group 1000');
is($seen->{status}{SigBlk}, '0000000000000000', 'no signal blocked');
is_deeply($seen->{fds}, [0, 1, 2], 'three descriptors');
is(scalar @{ $seen->{pids} }, 1, 'it sees no process but itself');
is($seen->{cwd}, '/workspace', 'works in the workspace');
is($seen->{kill}, 1, 'cannot signal the agent');
is($seen->{inet}, 0, 'IP sockets, which have nowhere to go');
cmp_ok($seen->{mem}, '>', 0, 'cannot open the memory of pid 1');
cmp_ok($seen->{sys}, '>', 0, 'cannot write a sysctl');
cmp_ok($seen->{oom}, '>=', 500, 'goes first when the host is short of memory');
is(scalar(grep { /^(LD_|SANDBOX_TOKEN|PERL|SSL_|AWS_)/ } keys %{ $seen->{env} }), 0, 'nothing of the host in its environment');
$c->destroy($id);

# Streams made outside.
$id = sandbox('bash');
$reply = step($id, code => 'echo out; echo err >&2; echo again > /dev/stdout; exit 3');
is($reply->[1]{exit_code}, 3, 'the exit code');
like($c->ask("read $id 1"), qr/^bytes=10 out/, 'standard output, opened by name too');
like($c->ask("read $id 2"), qr/^bytes=4 err/, 'standard error');
$c->destroy($id);

# Limits through the agent; it answers or it dies, the verdict is the kernel's.
my %hog = (
    memory => ['python', 'b = bytearray(1 << 30)', 2, memory => 64 << 20],
    processes => ['python', "import subprocess\np=[subprocess.Popen(['sleep','9']) for i in range(40)]", 4, processes => 12],
    disk => ['bash', 'head -c 20000000 /dev/zero > big; true', 3, disk => 4 << 20],
    cpu => ['bash', 'while :; do :; done', 1, cpu_ms => 300],
    time => ['bash', 'sleep 20', 5, wall_ms => 500],
    node => ['javascript', 'const a=[];for(;;)a.push(Buffer.alloc(1<<20,1))', 2, memory => 128 << 20],
);
for my $name (sort keys %hog) {
    my ($runtime, $code, $verdict, %limit) = @{ $hog{$name} };
    $id = sandbox($runtime, %limit);
    step($id, code => $code);
    my $stat = $c->stat($id);
    is($stat->{verdict}, $verdict, "$name: verdict");
    $c->destroy($id);
    is($c->ended(0.05)->{verdict} // $verdict, $verdict, "$name: and the same unasked");
}
# With the page cache cold the program itself is in the sandbox's memory: it is thrown away and read in again rather than that
# the kernel calls it out of memory.
for my $try (1 .. 3) {
    $id = sandbox('javascript', memory => 128 << 20);
    open my $drop, '>', '/proc/sys/vm/drop_caches' or die $!;
    print {$drop} '1';
    close $drop or die $!;
    my $start = time;
    step($id, code => 'const a=[];for(;;)a.push(Buffer.alloc(1<<20,1))');
    is($c->stat($id)->{verdict}, 2, 'a program that is squeezed out by its own data: memory');
    cmp_ok(time - $start, '<', 30, 'long before its time is over');
    $c->destroy($id);
    $c->ended(0.05);
}
# The kernel takes the payload, not the agent, which answers unless the launcher's tick was first.
$id = sandbox('python', memory => 64 << 20);
$reply = step($id, code => 'b = bytearray(1 << 30)');
ok($reply->[0] == 0 || $reply->[1]{signal} eq 'SIGKILL', 'the agent tells how its payload died, or is gone with it');
my $end = $c->stat($id);
is("$end->{verdict} $end->{oom}", '2 1', 'one kill, for memory');
$c->destroy($id);
$c->ended(0.05);

# Exact amounts do not trip.
$id = sandbox('python', processes => 8, disk => 8 << 20, memory => 96 << 20);
$reply = step($id, code => "import subprocess\np=[subprocess.Popen(['sleep','0.05']) for i in range(7)]\n[x.wait() for x in p]\nopen('f','wb').write(b'x'*(7<<20))");
is($reply->[1]{exit_code}, 0, 'eight processes of eight') or diag(explain($reply));
is($c->stat($id)->{verdict}, 0, 'no verdict');
$c->destroy($id);

for my $runtime (qw(python javascript bash)) {
    my %hello = (python => 'print("hi")', javascript => 'console.log("hi")', bash => 'echo hi');
    $id = sandbox($runtime);
    is(step($id, code => $hello{$runtime})->[1]{exit_code}, 0, "$runtime runs");
    like($c->ask("read $id 1"), qr/^bytes=3 hi$/, "$runtime prints");
    $c->destroy($id);
}
$c->stop;
$l->finish;
done_testing();
