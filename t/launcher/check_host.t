#!/usr/bin/perl
# sandbox-launch --check-host: each wall is tried. What this host has it finds; what is taken away it misses,
# and nothing else.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Temp qw(tempdir);
use JSON::PP;
use Test::More;
use lib 't/lib';
use Sandbox::Launch;

plan skip_all => 'needs root' if $>;
my $launch = "$Sandbox::Launch::OUT/sandbox-launch";
my $refuse = "$Sandbox::Launch::OUT/t/launcher/refuse";
my $dir = tempdir('sbx-check.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;

# Runs a command: (exit status, standard output, standard error).
sub run {
    my (@command) = @_;
    my $pid = fork // die $!;
    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$dir/out";
        open STDERR, '>', "$dir/err";
        ref $command[0] ? exit $command[0]->() : exec { $command[0] } @command;
        POSIX::_exit(127);
    }
    waitpid $pid, 0;
    my $status = $?;
    return ($status & 127 ? "signal $status" : $status >> 8, Sandbox::Launch::slurp("$dir/out"), Sandbox::Launch::slurp("$dir/err"));
}

# The walls that are not enforced, as a sorted list of "wall" or "wall (weaker)", after the exit status.
sub lacks {
    my ($status, $out, $err) = run(@_);
    my $report = eval { decode_json($out) } or return "no JSON: $status $out $err";
    return join ' ', $status, sort map { $_->{state} eq 'missing' ? $_->{wall} : "$_->{wall} ($_->{state})" }
        grep { $_->{state} ne 'enforced' } @{ $report->{walls} };
}

my @check = ($launch, '--check-host', '--json');
sub groups { return glob '/sys/fs/cgroup/*/*check-* /sys/fs/cgroup/*/*/*check-*' }
my %groups_before = map { $_ => 1 } groups();
my $usual = lacks(@check);
like($usual, qr/^0( landlock| landlock \(weaker\)| time_namespace| memory \(weaker\))*$/, 'this host holds what is required') or diag $usual;
sub and_usual { my ($status, @walls) = @_; my %all = map { $_ => 1 } @walls, $usual =~ /(\w+(?: \(weaker\))?)(?= |$)/g; delete $all{0}; return join ' ', $status, sort keys %all }

# Calls that a host may lack, and the walls that then are missing.
my @parts = map { "seccomp_$_" } qw(calls clone sockets ioctl arguments);
my @mounts = qw(own_root read_only_root own_inodes devices proc_read_only proc_masks hidepid nested_namespaces);
my @inside = (qw(pid_namespace network_namespace ipc_namespace uts_namespace cgroup_namespace time_namespace own_ids uid capabilities sweep), @parts);
my @cases = (
    ['landlock_create_ruleset', 38, 0, 'landlock'],
    ['landlock_restrict_self', 1, 0, 'landlock'],
    ['memfd_create', 38, 1, 'sealed_agent', @parts],    # filters travel in sealed memory, too
    ['execveat', 1, 1, 'sealed_agent'],
    ['close_range', 38, 1, 'descriptors'],
    ['pidfd_open', 38, 1, 'time'],
    ['pidfd_send_signal', 1, 1, 'time'],
    ['pivot_root', 1, 1, 'own_root'],
    ['mount_setattr', 38, 1, qw(read_only_root own_inodes devices proc_read_only proc_masks)],
    ['fsopen', 38, 1, @mounts, 'disk', 'inodes'],
    ['move_mount', 1, 1, @mounts],
    ['fspick', 38, 1, 'disk'],
    ['openat2', 38, 1, 'workspace'],
    ['capset', 1, 1, 'capabilities'],
    ['prlimit64', 1, 1, 'rlimits'],
    ['seccomp', 22, 1, qw(seccomp seccomp_arch)],    # the parts are tried by prctl
    ['clone3', 38, 1, @mounts, @inside, qw(memory pids cpu)],
    ['unshare:0x80', 22, 0, 'time_namespace'],    # what a kernel without them answers
    ['unshare', 1, 1, qw(network_namespace cgroup_namespace time_namespace nested_namespaces)],
    ['prctl', 1, 1, qw(capabilities no_new_privs not_dumpable seccomp seccomp_arch landlock time_namespace), @parts],
);
for my $case (@cases) {
    my ($call, $error, $status, @walls) = @$case;
    next if $call eq 'prlimit64' && $Sandbox::Launch::OUT =~ /asan$/;    # without it no sanitized program starts
    is(lacks($refuse, $call, $error, @check), and_usual($status, @walls), "without $call: " . join ' ', @walls);
}

# In a user namespace whose limits are ours to set. 0 of each kind in turn; all ids are mapped, so nothing else changes.
sub in_namespace {
    my ($shell) = @_;
    return sub {
        pipe my $ready, my $unshared or die $!;
        pipe my $wait, my $go or die $!;
        my $pid = fork // die $!;
        if (!$pid) {
            syscall(272, 0x10000000) == 0 or POSIX::_exit(124);    # unshare(CLONE_NEWUSER)
            syswrite $unshared, 'x';
            close $go;
            sysread $wait, my $byte, 1;
            exec 'unshare', '--mount', '--pid', '--fork', '--mount-proc', 'sh', '-c', "$shell\nexec '$launch' --check-host --json";
        }
        close $unshared;
        sysread $ready, my $byte, 1;
        for my $map (qw(uid_map gid_map)) {
            open my $out, '>', "/proc/$pid/$map" or die $!;
            syswrite $out, "0 0 4000000000\n";
        }
        syswrite $go, 'x';
        waitpid $pid, 0;
        return $? >> 8;
    };
}

SKIP: {
    skip 'the number of unshare(2) is known for x86-64 only', 1 unless `uname -m` =~ /^x86_64/;
    my $base = lacks(in_namespace(''));
    is($base, $usual, 'a user namespace with all ids is as good');
    my %kind = (
        pid => [qw(pid_namespace sweep nested_namespaces proc_read_only proc_masks hidepid)],
        net => ['network_namespace'],
        ipc => ['ipc_namespace'],
        uts => [qw(uts_namespace capabilities)],
        cgroup => ['cgroup_namespace'],
        time => ['time_namespace'],
        user => [(grep { $_ ne 'own_inodes' } @mounts), @inside],    # these are the launcher's own mounts
    );
    for my $kind (sort keys %kind) {
        next unless -e "/proc/sys/user/max_${kind}_namespaces";
        is(lacks(in_namespace("echo 0 > /proc/sys/user/max_${kind}_namespaces")),
            and_usual($kind eq 'time' ? 0 : 1, @{ $kind{$kind} }), "no $kind namespaces: @{ $kind{$kind} }");
    }
    # Only one id: the map of a sandbox needs two more.
    like(lacks('unshare', '--user', '--map-root-user', '--pid', '--fork', '--mount-proc', @check), qr/^1 .*\bdevices .*\buid\b/, 'ids that are not ours to map');
}

# Things of the file system and of the process.
sub in_mounts { my ($shell) = @_; return ('unshare', '--mount', 'sh', '-c', "$shell\nexec '$launch' --check-host --json") }
is(lacks(in_mounts('umount -l /sys/fs/cgroup || mount -t tmpfs none /sys/fs/cgroup; grep cgroup /proc/self/mountinfo >&2')), and_usual(1, qw(memory pids cpu)), 'without control groups')
    or diag Sandbox::Launch::slurp("$dir/err");
is(lacks(in_mounts('mount --bind /etc/passwd /dev/full')), and_usual(1, 'devices'), 'a device that is a file');
is(lacks(in_mounts('mount --bind /dev/zero /dev/null')), and_usual(1, 'devices'), 'a device that is another');
is(lacks('setpriv', '--bounding-set', '-sys_resource', 'prlimit', '--nofile=1000:1000', @check), and_usual(1, 'rlimits'), 'too few descriptors');
is(lacks('setpriv', '--bounding-set', '-sys_resource', 'prlimit', '--core=0:0', @check), and_usual(1, 'rlimits'), 'no core limit of one byte');

# The forms of the answer.
my ($status, $out, $err) = run(@check);
my $report = decode_json($out);
is_deeply([sort keys %$report], [qw(asked cgroup error host missing tiers walls)], 'members');
is($report->{asked}, JSON::PP::true, 'somebody was asked');
is_deeply($report->{missing}, [], 'nothing is missing');
cmp_ok(scalar @{ $report->{walls} }, '>=', 29, 'every wall');
is_deeply([grep { join(' ', sort keys %$_) ne 'remedy required state stops wall why' } @{ $report->{walls} }], [], 'each with all members');
is_deeply([map { $_->{wall} } grep { !$_->{required} } @{ $report->{walls} }], [qw(time_namespace landlock)], 'two are not required');
is_deeply([map { $_->{tier} } @{ $report->{tiers} }], [qw(process gvisor)], 'both tiers');
is_deeply([grep { join(' ', sort keys %$_) ne 'fine name remedy value' || ($_->{fine} xor !defined $_->{remedy}) } @{ $report->{host} }], [], 'advice with a remedy where it is not fine');
ok((grep { $_->{name} eq 'kernel.core_pattern' } @{ $report->{host} }), 'the host\'s settings are looked at');
sub zygotes { my ($seen) = @_; my ($said) = grep { $_->{name} eq 'zygotes' } @{ $seen->{host} }; return $said->{value} . (defined $said->{remedy} ? ' !' : '') }
my ($landlock) = grep { $_->{wall} eq 'landlock' } @{ $report->{walls} };
is(zygotes($report), $landlock->{state} eq 'missing' ? 'no landlock !' : 'possible', 'and whether zygotes are possible');
is($err, '', 'nothing else is said');
($status, $out, $err) = run($refuse, 'execveat', 38, $launch, '--check-host');
is($status, 1, 'the table: a required wall is missing');
like($out, qr/^sealed_agent +missing +yes .*\n +why: starting a program from sealed memory: Exec format error\n +do:  \S/m, 'which, why, and what to do');
like($out, qr/^Required and missing: sealed_agent$/m, 'summed up');
like($out, qr/^pid_namespace +enforced +yes /m, 'beside what holds');
unlike($out, qr/[^\x20-\x7e\n]/, 'plain text');

# It touches nothing of a launcher that runs, also with its configuration.
my $l = Sandbox::Launch->new;
$l->start;
my $client = $l->client;
my $id = $client->create;
is(lacks(@check, '--config', "$l->{dir}/conf"), $usual, 'beside a launcher, with its configuration');
is($client->adopt($id), 'adopted', 'which does not notice');
$client->destroy($id);
unlike($l->log, qr/"event":"wall\.(missing)"/, 'whose own trial at the start found the same') if $usual eq '0';
$l->finish;
# Others on this host may be checking it now, or have been killed at it before. Who has ended since has taken its own along.
is_deeply([grep { /check-(\d+)/ && !$groups_before{$_} && !-d "/proc/$1" && -d } groups()], [], 'no group is left');

# What the launcher is told not to do is not there, whatever the host could.
{
    open my $file, '>', "$dir/shared.conf" or die $!;
    print {$file} "socket = /x\nagent = /x\nopt_dir = /x\nstate_dir = /x\nown_inodes = no\n";
}
is(lacks(@check, '--config', "$dir/shared.conf"), and_usual(1, 'own_inodes'), 'own_inodes = no: missing');
like(zygotes(JSON::PP->new->decode(scalar qx('$launch' --check-host --json --config '$dir/shared.conf'))), qr/^no own_inodes.* !\z/, 'and no zygotes without');

# Overlays over every template, and no more of them than the kernel stacks.
sub in_templates {
    my ($shell) = @_;
    my $m = "$dir/m";
    mkdir $m;
    open my $file, '>', "$dir/template.conf" or die $!;
    print {$file} "socket = /x\nagent = /x\nopt_dir = /x\nstate_dir = /x\ntemplate.default.root = /\ntemplate.other.root = $m/top\n";
    return ('unshare', '--mount', 'sh', '-ec', "mount -t tmpfs none $m; cd $m; mkdir -p one/usr/bin two one/usr/x empty mid top\n$shell\nexec '$launch' --check-host --json --config '$dir/template.conf'");
}
my $overlay = 'mount -t overlay none -o lowerdir';
is(lacks(in_templates('mount --bind one top')), $usual, 'a template of its own');
is(lacks(in_templates("$overlay=one:two top")), $usual, 'one that is an overlay, as in a container');
is(lacks(in_templates("$overlay=one:two mid; $overlay=mid:two top")), and_usual(1, 'own_inodes'), 'one that is an overlay over an overlay');
is(lacks(in_templates('')), and_usual(1, 'own_inodes'), 'one without usr');

# Without time namespaces sandboxes are made all the same, and the log says what they lack.
my $old = Sandbox::Launch->new(under => [$refuse, 'unshare:0x80', 22]);
$old->start;
like($old->log, qr/"event":"wall\.missing","wall":"time_namespace","reason":"the kernel has none/, 'the launcher finds no time namespaces');
$client = $old->client;
ok($client->create, 'and makes sandboxes without') or diag $old->log;
$old->finish;

# Usage.
my $bad = "$dir/bad.conf";
{ open my $file, '>', $bad or die $!; print {$file} "nonsense\n" }
for my $case ([2, 'without a configuration', '--json'], [2, 'an unknown option', '--check-host', '--yaml'], [2, 'an argument', '--check-host', 'now'],
              [2, '--json of nothing', '--json', '--check-config', '--config', $bad], [2, 'two checks', '--check-host', '--check-config'],
              [2, 'a configuration that is not there', '--check-host', '--config', "$dir/none"], [2, 'a bad one', '--check-host', '--config', $bad]) {
    my ($expect, $name, @options) = @$case;
    ($status, $out, $err) = run($launch, @options);
    is($status, $expect, "$name: refused");
    isnt($err, '', 'with a word');
    is($out, '', 'and no report');
}
($status, $out, $err) = run('setpriv', '--reuid', 65534, '--clear-groups', '--', 'sh', '-c', "cd / && exec '$launch' --check-host");
SKIP: {
    skip 'the build directory is not for everybody', 2 if $status == 126 || $status == 127;
    is($status, 3, 'without root: cannot be tried');
    like($err, qr/root/, 'and says so');
}
done_testing();
