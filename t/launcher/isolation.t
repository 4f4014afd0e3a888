#!/usr/bin/perl
# What a payload is, sees and cannot do, told from inside and by the host's /proc.
use strict;
use warnings;
use POSIX ();
use Test::More;
use lib 't/lib';
use Sandbox::Launch;

# Whoever starts the launcher may ignore anything, also what the C library keeps for itself and sigaction() refuses.
my $ignore_all = 'my $ignored = pack "Q4", 1, 0, 0, 0; syscall ' . ((POSIX::uname())[4] eq 'aarch64' ? 134 : 13) . ', $_, $ignored, 0, 8 for 1 .. 64; exec @ARGV';
my $l = Sandbox::Launch->new(under => [$^X, '-e', $ignore_all, '--']);
$l->start;
my $c = $l->client;
my $began = time;
my $id = $c->create;
is($c->adopt($id), 'adopted', 'adopted');
my $uid = $c->{uid}{$id};
is(($uid - $l->{uid_base}) % 4, 0, 'a payload id from the range');

my ($agent) = $l->processes;
my @ns = qw(user pid mnt net ipc uts cgroup time);
for my $ns (@ns) {
    isnt(readlink "/proc/$agent/ns/$ns", readlink "/proc/self/ns/$ns", "$ns namespace is its own");
}

my $status = $c->tell($id, 'cat /proc/self/status');
like($status, qr/^CapEff:\s+00000000000001e0$/m, 'the agent holds kill, setgid, setuid, setpcap and no more');
like($status, qr/^CapBnd:\s+00000000000001e0$/m, 'and can get no more');
like($status, qr/^CapInh:\s+0+$/m, 'and hands none on');
like($status, qr/^NoNewPrivs:\s+1$/m, 'the agent has no_new_privs');
like($status, qr/^Seccomp:\s+2$/m, 'the agent is filtered');
like($status, qr/^SigBlk:\s+0+$/m, 'no signal is blocked');
like($status, qr/^SigIgn:\s+0+$/m, 'no signal is ignored');
like($status, qr/^Groups:\s*$/m, 'no supplementary group');
my $fds = $c->tell($id, 'fds');
is(join(' ', map { (split)[0] } split /\n/, $fds), '0 1 2 3 4 5 6 7 8', 'descriptors 0 to 8 and no other');
like($fds, qr{^$_ /dev/null$}m, "$_ is /dev/null") for 0 .. 2;
like($fds, qr{^7 /memfd:seccomp}m, '7 is the program');
like($c->tell($id, 'try write-filter'), qr/result=-1/, 'which cannot be written');
like($c->tell($id, "try $_"), qr/result=-1 errno=1$/m, "the agent itself cannot: $_") for qw(mount unshare ptrace);
my $still = $c->create('still');
like($c->tell($still, 'try inet'), qr/result=-1 errno=97$/m, 'nor get an IP socket where the template has none');
for my $family (qw(AF_INET AF_INET6)) {
    like($c->sh($still, "python3 -c 'import socket; socket.socket(socket.$family)' 2>&1"), qr/Address family not supported/, "nor the payload one of $family");
}
is($c->destroy($still)->{what}, 'destroyed', 'destroyed');

$status = $c->sh($id, 'cat /proc/self/status');
like($status, qr/^$_:\s+0+$/m, "payload: $_ empty") for qw(CapInh CapPrm CapEff CapBnd CapAmb);
like($status, qr/^NoNewPrivs:\s+1$/m, 'payload: no_new_privs');
like($status, qr/^Seccomp:\s+2$/m, 'payload: filtered from its first instruction');
like($status, qr/^Seccomp_filters:\s+3$/m, 'by three filters');
like($status, qr/^Uid:\s+1000\s+1000\s+1000\s+1000$/m, 'payload: user 1000 inside');
like($c->sh($id, 'cat /proc/self/uid_map'), qr/^\s*0\s+@{[$uid + 1]}\s+1\n\s*1000\s+$uid\s+1$/m, 'two ids are mapped');
like($c->sh($id, 'cat /proc/self/gid_map'), qr/^\s*0\s+@{[$uid + 1]}\s+1\n\s*1000\s+$uid\s+1$/m, 'and two groups');
like($c->sh($id, 'cat /proc/self/setgroups'), qr/^deny/, 'groups cannot be set');
like($c->tell($id, 'bg sleep 30'), qr/pid=\d+/, 'a payload in the background');
my $seen = $l->wait_until(30, sub { grep { Sandbox::Launch::slurp("/proc/$_/status") =~ /^Uid:\s+$uid\s/m } $l->processes });
ok($seen, 'outside, the payload has its own host id');

like($c->sh($id, 'cat /proc/self/oom_score_adj'), qr/^500$/m, 'payloads are the first to go');
# The kernel keeps a floor under the score only when the writer, the launcher, has CAP_SYS_RESOURCE.
my ($held) = Sandbox::Launch::slurp('/proc/self/status') =~ /^CapEff:\s+\w{8}(\w{8})$/m;
my $floor = hex($held) & 1 << 24 ? 500 : 0;
like($c->sh($id, "echo @{[$floor - 1]} > /proc/self/oom_score_adj; echo rc=\$?"), qr/Permission|rc=[12]/, 'and cannot go below the floor');
like($c->sh($id, 'cat /proc/self/limits'), qr/Max core file size\s+[01]\s+1/, 'core size is 1: no pipe handler');
like($c->sh($id, 'cat /proc/self/limits'), qr/Max open files\s+4096\s+4096/, 'open files');
like($c->sh($id, 'uname -n'), qr/^sandbox$/m, 'host name');
like($c->sh($id, 'cat /proc/self/cgroup'), qr{memory:/$}m, 'its control group is the root it sees');
unlike($c->sh($id, 'cat /proc/self/cgroup'), qr/ngx_sandbox/, 'no group name leaks');

# Mounts.
my %mount = map { my @f = split; $f[4] => [$f[5], $_] } split /\n/, $c->tell($id, 'cat /proc/self/mountinfo');
ok($mount{$_}, "$_ is a mount") for qw(/ /usr /dev /proc /workspace /tmp /dev/shm /run/sandbox /proc/sys /proc/irq /proc/sys/kernel/random/boot_id);
like($mount{$_}[0], qr/\bnosuid\b/, "$_ nosuid") for sort keys %mount;
like($mount{$_}[0], qr/\bnodev\b/, "$_ nodev") for grep { $_ ne '/dev' } sort keys %mount;
like($mount{$_}[0], qr/^ro\b/, "$_ read-only") for grep { !m{^/(workspace|tmp|dev/shm|run/sandbox|proc)$} } sort keys %mount;
like($mount{$_}[0], qr/\bnoexec\b/, "$_ noexec") for qw(/proc /dev /dev/shm);
like($mount{'/proc'}[1], qr/hidepid=invisible/, '/proc hides the processes of others');
is(scalar(grep { m{^/sys} || m{^/(home|root|var|work|mnt|boot)/} } keys %mount), 0, 'nothing else of the host is mounted');
unlike(join('', map { $_->[1] } values %mount), qr{\Q$l->{dir}\E|$Sandbox::Launch::ROOT}, 'no host path in the mount table');

for my $path (qw(/etc/shadow /root/.bashrc /root/.ssh /home/root /var/log /var/lib /sys /boot /proc/1 /proc/1/root /proc/kcore/x /dev/mem /dev/kmsg /dev/tty /dev/pts /dev/fuse /t /new /mask /.dockerenv)) {
    like($c->sh($id, "test -e $path && echo there || echo absent"), qr/^absent$/m, "$path is absent");
}
like($c->sh($id, 'find /home /root /var -mindepth 1 | wc -l'), qr/^1$/m, 'home, root and var hold nothing but the link var/tmp');
like($c->sh($id, "cat /proc/$_ | wc -c"), qr/^0$/m, "/proc/$_ is empty")
    for grep { -f "/proc/$_" } map { m{/proc/([^/]+)$} ? $1 : () } grep { !m{/(?:\d+|self|thread-self|mounts|net|sys|sysvipc|cpuinfo|filesystems|loadavg|meminfo|stat|uptime|version)$} } glob '/proc/*';
# What only the host's root may open is not covered, for nobody in a sandbox is that: neither the payload nor its agent.
for my $name (map { m{/proc/([^/]+)$} ? $1 : () } grep { -f $_ && !((stat _)[2] & 7) } glob '/proc/*') {
    next if $mount{"/proc/$name"};
    like($c->sh($id, "head -c 1 /proc/$name; echo rc=\$?"), qr/Permission denied.*rc=1/s, "/proc/$name is refused to the payload");
    like($c->tell($id, "cat /proc/$name"), qr/^errno=13$/m, 'and to root of the sandbox');
}
like($c->sh($id, 'cat /proc/sys/kernel/random/boot_id'), qr/^(?:0+-){4}0+$/m, 'no id of the boot');
like($c->sh($id, "ls -A /proc/$_ | wc -l"), qr/^0$/m, "/proc/$_ is empty") for grep { -d "/proc/$_" } qw(bus fs irq acpi driver tty scsi);
like($c->sh($id, 'ls -A /proc/pressure | wc -l'), qr/^0$/m, '/proc/pressure, which anyone may write, is empty');
for my $path (qw(/proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sys/user/max_user_namespaces /proc/irq/default_smp_affinity /usr/x /etc/passwd /etc/x /x
                 /opt/sandbox/runtimes.json /opt/sandbox/drivers/x /dev/x /bin/sh /proc/cmdline /proc/sysrq-trigger)) {
    like($c->sh($id, "(echo x > $path) 2>/dev/null && echo written || echo refused"), qr/^refused$/m, "$path cannot be written");
}
for my $path (qw(/workspace/a /tmp/a /dev/shm/a /run/sandbox/a)) {
    like($c->sh($id, "echo x > $path && cat $path"), qr/^x$/m, "$path can be written");
}
like($c->sh($id, 'cp /bin/true /workspace/t && /workspace/t; echo rc=$?'), qr/rc=0/, 'programs run from the workspace');
like($c->sh($id, 'cp /bin/true /dev/shm/t && /dev/shm/t; echo rc=$?'), qr/rc=126/, 'not from /dev/shm');
my $noexec = $c->create('noexec');
for my $dir (qw(/workspace /tmp /dev/shm /run/sandbox)) {
    like($c->sh($noexec, "cp /bin/true $dir/t && $dir/t; echo rc=\$?"), qr/rc=126/, "workspace_exec = no: nothing runs from $dir");
}
is($c->destroy($noexec)->{what}, 'destroyed', 'destroyed');
my ($up) = $c->sh($id, 'cat /proc/uptime') =~ /^([\d.]+)/;
my $age = time - $began + 2;
cmp_ok($up, '<', $age, 'the clock since boot began with the sandbox');
like($c->sh($id, q{python3 -c 'import time; print(all(time.clock_gettime(c) < } . (60 + $age) . q{ for c in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME)))'}), qr/^True$/m, 'so did its clocks');
like($c->sh($id, q{python3 -c 'import ctypes; b = (ctypes.c_long * 64)(); ctypes.CDLL(None).sysinfo(b); print(b[0] < } . (60 + $age) . q{)'}), qr/^True$/m, 'and sysinfo');
like($c->sh($id, 'cat /proc/sys/user/max_user_namespaces'), qr/^0$/m, 'no more user namespaces');
like($c->sh($id, 'cat /opt/sandbox/runtimes.json'), qr/"runtimes"/, 'the registry');
like($c->sh($id, 'cat /opt/sandbox/drivers/hello.py'), qr/hello/, 'the drivers');

like($c->sh($id, "test -e $_ && echo there || echo absent"), qr/^absent$/m, "$_ of the host is hidden") for qw(/usr/local/etc /usr/etc);
like($c->sh($id, 'ls /usr/local'), qr/^lib$/m, 'the rest of /usr/local is there');

# Calls that must fail, as the payload.
my @refused = (
    ['unshare -U true', qr/not permitted|failed/i], ['unshare -n true', qr/not permitted|failed/i], ['mount -t tmpfs none /tmp', qr/permi|must be/i],
    ['mknod /workspace/n c 1 3', qr/not permitted/i], ['mknod /workspace/n b 8 0', qr/not permitted/i], ['/usr/sbin/chroot /tmp true', qr/not permitted/i],
    ['kill -9 1; echo rc=$?', qr/not permitted|No such|rc=1/i], ['dmesg', qr/not permitted/i], ['hostname x', qr/not permitted|must be root/i], ['su -c id root', qr/./],
    ['nsenter -t 1 -a id', qr/No such|not permitted|cannot/i], ['chmod u+s /usr/bin/id', qr/Read-only|not permitted/i], ['renice -n -5 $$', qr/denied|not permitted|failed/i],
);
unlike($c->sh($id, "$_->[0] 2>&1"), qr/^status=0 signal=0$/m, "fails: $_->[0]") for grep { $_->[0] !~ /;/ } @refused;
like($c->sh($id, "$_->[0] 2>&1"), $_->[1], "says so: $_->[0]") for @refused;

my %python = (
    'socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)' => 97,
    'socket.socket(40, socket.SOCK_STREAM)' => 97, 'socket.socket(38, socket.SOCK_SEQPACKET)' => 97, 'socket.socket(socket.AF_PACKET, socket.SOCK_RAW)' => 97,
    'os.fdopen(os.open("/proc/self/mem", os.O_RDWR)) and call(101, 16, 1, 0, 0)' => 1, 'call(425, 4, 0)' => 38, 'call(435, 0, 0)' => 38, 'call(321, 0, 0, 0)' => 1,
    'call(298, 0, 0, -1, -1, 0)' => 1, 'call(250, 0, 0, 0)' => 1, 'call(248, 0, 0, 0, 0, 0)' => 1, 'call(304, 0, 0)' => 1, 'call(310, 1, 0, 0, 0, 0, 0)' => 1,
    'call(272, 0x10000000)' => 1, 'call(56, 0x10000011, 0, 0, 0, 0)' => 1, 'call(308, 3, 0)' => 1, 'call(323, 0)' => 38, 'call(165, 0, 0, 0, 0, 0)' => 1, 'call(155, 0, 0)' => 1,
    'call(169, 0, 0, 0)' => 1, 'call(428, 0, 0, 0)' => 1, 'call(442, 0, 0, 0, 0, 0)' => 1, 'call(135, 8)' => 1, 'call(16, 0, 0x5412, 0)' => 1, 'call(16, 0, 0xffffffff00005412, 0)' => 1,
    'call(157, 22, 2, 0)' => 1, 'call(202, 0, 6, 0, 0, 0, 0)' => 38, 'call(302, 1, 7, 0, 0)' => 1, 'call(453, 0)' => 38, 'call(500, 0)' => 38, 'call(175, 0, 0, 0)' => 1, 'call(240, 0, 0, 0, 0)' => 1,
    'call(54, 0, 6, 31, 0, 0)' => 1, 'call(54, 0, 0x100000006, 31, 0, 0)' => 1, 'call(259, -100, 0, 0o20666, 259)' => 1,
);
for my $try (sort keys %python) {
    my $code = "import os,socket,ctypes\nl=ctypes.CDLL(None,use_errno=True)\ndef call(n,*a):\n r=l.syscall(ctypes.c_long(n),*[ctypes.c_ulong(x & 0xffffffffffffffff) for x in a])\n"
        . " if r < 0: raise OSError(ctypes.get_errno(), \"\")\ntry:\n $try\n print(\"done\")\nexcept OSError as e: print(\"errno=%d\" % e.errno)\n";
    $code =~ s/\n/\\n/g;
    like($c->sh($id, "printf '%b' '$code' > /tmp/t.py; python3 /tmp/t.py 2>&1"), qr/^errno=$python{$try}$/m, "$try");
}
# A foreign ABI kills the process: int 0x80, and an x32 call.
my $raw = 'import ctypes,mmap;m=mmap.mmap(-1,4096,prot=7);m.write(bytes.fromhex("%s"));ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()';
like($c->sh($id, "exec python3 -c '" . sprintf($raw, 'b814000000cd80c3') . "'"), qr/signal=31/, 'int 0x80 kills');
like($c->sh($id, "exec python3 -c '" . sprintf($raw, 'b8270000400f05c3') . "'"), qr/signal=31/, 'an x32 call kills');

# Network: lo alone, and up.
like($c->sh($id, 'tail -n +3 /proc/net/dev | cut -d: -f1'), qr/^\s*lo\s*$/m, 'there is lo');
is(scalar(grep { /:/ } split /\n/, $c->sh($id, 'tail -n +3 /proc/net/dev')), 1, 'and nothing but lo');
like($c->sh($id, 'cat /proc/net/route | wc -l'), qr/^1$/m, 'no route leads out');
my $net = $c->create('net');
like($c->sh($net, q{python3 -c 'import socket;s=socket.create_server(("127.0.0.1",0));c=socket.create_connection(s.getsockname(),2);print("met")'}), qr/^met$/m, 'a template with inet meets itself on lo');
like($c->sh($net, q{python3 -c 'import socket;s=socket.socket();s.settimeout(2);print(s.connect_ex(("192.0.2.1",80)))'}), qr/^101$/m, 'and nobody else: network is unreachable');
like($c->sh($net, q{python3 -c 'import socket;socket.socket(socket.AF_INET,socket.SOCK_RAW)' 2>&1}), qr/not permitted/, 'no raw sockets');

# What ordinary programs need.
like($c->sh($id, q{python3 -c 'import multiprocessing as m; p=m.get_context("fork").Pool(2); print(sum(p.map(abs,[1,-2])))'}), qr/^3$/m, 'python forks workers');
like($c->sh($id, q{python3 -c 'import asyncio; print(asyncio.run(asyncio.sleep(0,7)))'}), qr/^7$/m, 'asyncio');
like($c->sh($id, q{python3 -c 'import threading; t=threading.Thread(target=print,args=(9,)); t.start(); t.join()'}), qr/^9$/m, 'threads');
like($c->sh($id, q{python3 -c 'import sqlite3; c=sqlite3.connect("/workspace/w.db"); c.execute("pragma journal_mode=wal"); c.execute("create table t(x)"); print(5)'}), qr/^5$/m, 'sqlite with a log');
like($c->sh($id, q{node -e 'console.log(require("os").cpus().length > 0, require("worker_threads").isMainThread)' 2>&1}), qr/^true true$/m, 'node sees processors');
like($c->sh($id, q{node -e 'require("child_process").execFile("true",(e)=>console.log("child",e))' 2>&1}), qr/^child null$/m, 'node starts children');
like($c->sh($id, q{bash -c 'cp -r /usr/share/doc/bash /tmp/d && tar cf /tmp/d.tar -C /tmp d && ls /tmp/d.tar'}), qr/d\.tar/, 'cp and tar');
like($c->tell($id, 'bg echo to-stdout > /dev/stdout'), qr/pid/, 'the streams');
ok($l->wait_until(30, sub { $c->ask("read $id 1") =~ /to-stdout/ }), '/dev/stdout of a stream made outside can be opened');

# Two sandboxes share nothing.
my $other = $c->create;
isnt($c->{uid}{$other}, $uid, 'another id');
$c->sh($id, 'echo secret > /tmp/s; echo secret > /dev/shm/s');
like($c->sh($other, 'find /tmp /dev/shm /workspace /run/sandbox -mindepth 1 | wc -l'), qr/^0$/m, 'no file of the other');
$c->sh($id, q{python3 -c 'import ctypes; print(ctypes.CDLL(None).shmget(4242,4096,0o1666))'});
like($c->sh($other, q{python3 -c 'import ctypes; print(ctypes.CDLL(None).shmget(4242,0,0))'}), qr/^-1$/m, 'no System V memory of the other');

is($c->destroy($_)->{what}, 'destroyed', 'destroyed') for $id, $net, $other;
$c->stop;
$l->finish;
done_testing();
