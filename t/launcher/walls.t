#!/usr/bin/perl
# Each wall can be left out in the mutant build, and is a real hole then: one program looks at everything, first
# behind all walls, then without the named ones. What several walls stop is shown by leaving all of them out.
# release: it starts the mutant build
use strict;
use warnings;
use JSON::PP;
use Test::More;
use lib 't/lib';
use Sandbox::Launch;

my $look = <<'PYTHON';
import ctypes, errno, fcntl, mmap, os, resource, socket, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def call(n, *a):
    r = libc.syscall(ctypes.c_long(n), *[ctypes.c_ulong(x & 0xffffffffffffffff) for x in a])
    if r < 0:
        raise OSError(ctypes.get_errno(), "")
    return r
def status(key, pid="self"):
    return [l.split(":")[1].strip() for l in open("/proc/%s/status" % pid) if l.startswith(key + ":")][0]
def text(path):
    return open(path).read()
def opens(path, flags):
    os.close(os.open(path, flags))
    return True
def in_child(f):
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if f() else 1)
        except BaseException:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0
def forks():
    pids, n = [], 0
    try:
        for _ in range(40):
            pid = os.fork()
            if pid == 0:
                time.sleep(20)
                os._exit(0)
            pids.append(pid)
        n = len(pids)
    finally:
        for pid in pids:
            os.kill(pid, 9)
    return n == 40
def writes(path, n):
    with open(path, "wb") as f:
        for _ in range(n):
            f.write(bytes(1 << 20))
    os.unlink(path)
    return True
def files():
    os.mkdir("/tmp/n")
    for i in range(40000):
        os.close(os.open("/tmp/n/%d" % i, os.O_CREAT | os.O_WRONLY))
    return True
def spins(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return True
def memory():
    m = mmap.mmap(-1, 300 << 20)
    for i in range(0, 300 << 20, 4096):
        m[i] = 1
    return True
def foreign():
    m = mmap.mmap(-1, 4096, prot=7)
    m.write(bytes.fromhex("b814000000cd80c3"))
    return ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(m)))() > 0
def leaked():
    for fd in range(3, 256):
        try:
            if "empty" in os.listdir(fd):
                return True
        except OSError:
            pass
def seals():
    fd = os.open("/proc/1/exe", os.O_RDONLY)
    return not fcntl.fcntl(fd, 1034) & 8
def executable(path):
    with open(path, "wb") as f:
        f.write(open("/bin/true", "rb").read())
    os.chmod(path, 0o755)
    return subprocess.run([path]).returncode == 0
probes = dict(
    pid_namespace=lambda: os.getppid() != 1,
    network_namespace=lambda: len(text("/proc/net/dev").splitlines()) > 3,
    ipc_namespace=lambda: os.readlink("/proc/self/ns/ipc") == event["ipc"],
    uts_namespace=lambda: os.uname().nodename != "sandbox",
    cgroup_namespace=lambda: "ngx_sandbox" in text("/proc/self/cgroup"),
    nested_namespaces=lambda: int(text("/proc/sys/user/max_user_namespaces")) > 0,
    nested=lambda: in_child(lambda: call(272, 0x10000000) == 0),
    own_root=lambda: os.path.exists("/sys/kernel"),
    read_only_root=lambda: opens("/etc/x", os.O_CREAT | os.O_WRONLY),
    devices=lambda: opens("/dev/kmsg", os.O_WRONLY),
    proc_read_only=lambda: opens("/proc/sys/kernel/ns_last_pid", os.O_WRONLY),
    time_namespace=lambda: os.readlink("/proc/self/ns/time") == event["time"],
    own_inodes=lambda: " - overlay " not in text("/proc/self/mountinfo"),
    landlock=lambda: opens("/proc/self/oom_score_adj", os.O_WRONLY),
    proc_masks=lambda: len(text("/proc/interrupts")) > 0,
    hidepid=lambda: os.path.exists("/proc/1"),
    uid=lambda: os.getuid() != 1000,
    capabilities=lambda: in_child(lambda: os.setuid(0) is None),
    no_new_privs=lambda: status("NoNewPrivs") != "1",
    seccomp=lambda: status("Seccomp_filters") != "3",
    seccomp_arch=lambda: in_child(foreign),
    seccomp_calls=lambda: call(250, 0, -3, 1, 0, 0) != 0,
    io_uring=lambda: in_child(lambda: call(425, 4, bytes_at()) >= 0),
    seccomp_sockets=lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) is not None,
    seccomp_ioctl=lambda: ioctl_errno(0x5412) != errno.EPERM,
    seccomp_arguments=lambda: call(135, 8) >= 0,
    descriptors=leaked,
    sealed_agent=seals,
    not_dumpable=lambda: opens("/proc/1/mem", os.O_RDONLY),
    rlimits=lambda: resource.getrlimit(resource.RLIMIT_MSGQUEUE)[1] != 0,
    pids=forks, disk=lambda: writes("/tmp/big", 80), inodes=files, cpu=lambda: spins(1.5), time=lambda: time.sleep(3) is None,
    memory=memory,
)
buffer = ctypes.create_string_buffer(256)
def bytes_at():
    return ctypes.addressof(buffer)
def ioctl_errno(request):
    r = libc.syscall(ctypes.c_long(16), 0, ctypes.c_ulong(request), ctypes.addressof(buffer))
    return ctypes.get_errno() if r < 0 else 0
def handler(e):
    global event
    event = e
    open_ = []
    for name in event["probes"]:
        try:
            if probes[name]():
                open_.append(name)
        except (OSError, ValueError, MemoryError):
            pass
    return open_
PYTHON

# probe => [walls that stop it, probes that are run beside it only for this]. What ends the sandbox runs alone.
my %walls = map { $_ => [$_] } qw(pid_namespace network_namespace ipc_namespace uts_namespace cgroup_namespace nested_namespaces own_root
    time_namespace own_inodes landlock devices proc_masks hidepid uid capabilities no_new_privs seccomp seccomp_arch seccomp_calls seccomp_sockets
    seccomp_ioctl seccomp_arguments descriptors rlimits pids disk inodes cpu time memory);
$walls{read_only_root} = [qw(read_only_root landlock)];
$walls{proc_read_only} = [qw(proc_read_only landlock)];
$walls{nested} = [qw(nested_namespaces seccomp_clone)];
$walls{io_uring} = [qw(seccomp_calls)];
my %fatal = map { $_ => 1 } qw(pids disk inodes cpu time memory);

sub launcher {
    my (@off) = @_;
    my $l = Sandbox::Launch->new(variant => 'mutant')->drivers;
    $l->start(@off ? (walls_off => join(', ', @off)) : ());
    return $l;
}

# The probes that found their hole; those that end the sandbox get one of their own.
sub holes {
    my ($l, @probes) = @_;
    my (@found, @groups);
    push @groups, [$_] for grep { $fatal{$_} } @probes;
    push @groups, [grep { !$fatal{$_} } @probes] if grep { !$fatal{$_} } @probes;
    my $c = $l->client;
    for my $group (@groups) {
        my $id = $c->create;
        $c->adopt($id, memory => 192 << 20, disk => 64 << 20, cpu_ms => $group->[0] eq 'cpu' ? 1000 : 20000,
            wall_ms => $group->[0] eq 'time' ? 2000 : 20000, processes => 24);
        my $ask = sub { my $r = $c->ask("http $id POST $_[0] " . JSON::PP->new->ascii->canonical->encode($_[1])); $r =~ s/^\d+ //r };
        $ask->('/v1/sessions', { sessionId => 's', runtime => 'python', token => '0123456789abcdef' });
        my $reply = $ask->('/v1/steps', { sessionId => 's', stepId => 'p', timeout_ms => 20000, code => $look,
            event => { probes => $group, ipc => readlink '/proc/self/ns/ipc', time => readlink '/proc/self/ns/time' } });
        my $said = eval { decode_json($reply) };
        $c->stat($id);
        push @found, @{ $said->{result} || [] } if $said;
        diag("@$group: $reply") if $said && !$said->{result} && !$fatal{ $group->[0] };
        $c->destroy($id);
    }
    $c->stop;
    return sort @found;
}

my $whole = launcher();
is_deeply([holes($whole, keys %walls)], [], 'behind all walls no hole is found');
$whole->finish;
for my $probe (sort keys %walls) {
    my $l = launcher(@{ $walls{$probe} });
    is_deeply([holes($l, $probe)], [$probe], "$probe: open without @{ $walls{$probe} }");
    if (@{ $walls{$probe} } > 1) {
        for my $one (@{ $walls{$probe} }) {
            my $single = launcher($one);
            is_deeply([holes($single, $probe)], [], "$probe: without $one alone the other holds");
            $single->finish;
        }
    }
    $l->finish;
}

my $l = Sandbox::Launch->new(variant => 'mutant');
is($l->start(fails => 1, walls_off => 'uid, no_such_wall'), 2, 'a wall that does not exist is refused');
$l->{finished} = 1;
my $release = Sandbox::Launch->new;
is($release->start(fails => 1, walls_off => 'uid'), 2, 'and the key where it is not of the mutant build');
$release->{finished} = 1;
done_testing();
