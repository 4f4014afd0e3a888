package Sandbox::Peers;

# How others run `print(1)` and `console.log(1)` once, each from nothing: commands for t/bench/load. What is not on this machine is said.
# bwrap, nsjail and isolate run without control groups; crun, runc and runsc run a bundle with the namespaces, user and mounts alike.

use strict;
use warnings;
use JSON::PP;
use Sandbox;

my @PYTHON = ('/usr/bin/python3', '-I', '-c', 'print(1)');
my @BWRAP = qw(bwrap --unshare-all --die-with-parent --new-session --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib
               --symlink usr/lib64 /lib64 --proc /proc --dev /dev --tmpfs /tmp --chdir /tmp --uid 1000 --gid 1000 --clearenv);

# What Debian has of them and this machine has not; those that could not be installed stay absent.
sub install {
    my %package = (bwrap => 'bubblewrap', crun => 'crun', runc => 'runc', runsc => 'runsc', nsjail => 'nsjail', isolate => 'isolate');
    my @missing = grep { !_path($_) } sort keys %package;
    return unless @missing;
    local $ENV{DEBIAN_FRONTEND} = 'noninteractive';
    for my $name (@missing) {
        system("apt-cache show $package{$name} > /dev/null 2>&1 && apt-get install -y -qq --no-install-recommends $package{$name} > /dev/null 2>&1") == 0 or next;
        print "installed $package{$name}\n" if _path($name);
    }
    return;
}

sub _path { my ($name) = @_; return (grep { -x } map { "$_/$name" } qw(/usr/bin /usr/sbin /usr/local/bin /usr/local/sbin))[0] }

sub _version {
    my ($path) = @_;
    my ($line) = split /\n/, `$path --version 2>&1` || '';
    return $line // '';
}

sub _bundle {
    my ($dir, @args) = @_;
    mkdir $_ for $dir, "$dir/rootfs", map { "$dir/rootfs/$_" } qw(usr proc dev tmp);
    symlink "usr/$_", "$dir/rootfs/$_" for qw(bin lib lib64);
    my $config = { ociVersion => '1.0.0',
        process => { args => \@args, env => ['PATH=/usr/bin'], cwd => '/tmp', user => { uid => 1000, gid => 1000 }, noNewPrivileges => JSON::PP::true,
                     capabilities => { map { $_ => [] } qw(bounding effective permitted) }, rlimits => [{ type => 'RLIMIT_NOFILE', soft => 1024, hard => 1024 }] },
        root => { path => 'rootfs', readonly => JSON::PP::true },
        mounts => [
            { destination => '/proc', type => 'proc', source => 'proc' }, { destination => '/dev', type => 'tmpfs', source => 'tmpfs', options => ['nosuid', 'mode=755', 'size=64k'] },
            { destination => '/tmp', type => 'tmpfs', source => 'tmpfs', options => ['nosuid', 'nodev', 'size=64m'] }, { destination => '/usr', type => 'bind', source => '/usr', options => ['bind', 'ro'] },
        ],
        linux => { namespaces => [map { { type => $_ } } qw(pid ipc uts mount network)], resources => { memory => { limit => 256 << 20 }, pids => { limit => 128 } } } };
    open my $out, '>', "$dir/config.json" or die "$dir: $!\n";
    print {$out} encode_json($config);
    close $out or die "$dir: $!\n";
    return $dir;
}

sub _prints_1 {
    my (@command) = @_;
    s/\@N\@$/try$$/ for @command;
    open my $in, '-|', 'timeout', 20, @command or return 0;
    my $said = do { local $/; <$in> } // '';
    return close $in && $said eq "1\n";
}

# What runs the tier of gVisor here: its newest platform that works.
sub runsc_platform {
    my ($dir, $runsc) = @_;
    for my $platform (qw(systrap ptrace)) {
        return $platform if `timeout 20 $runsc --root=$dir/root --network=none --ignore-cgroups --platform=$platform run --bundle $dir/bundle try$$-$platform 2> /dev/null` eq "1\n";
    }
    return undef;
}

# ({name, command, under, why, version} ...) in $dir; `why` instead of a command where there is none. @N@ is another number for each run.
sub python {
    my ($dir) = @_;
    mkdir $dir;
    my $bundle = _bundle("$dir/bundle", @PYTHON);
    my %command = (
        bwrap => sub { ([@BWRAP, @PYTHON]) },
        nsjail => sub { [$_[0], qw(-Mo -Q --disable_rlimits -u 1000 -g 1000 -R /usr -s usr/bin:/bin -s usr/lib:/lib -s usr/lib64:/lib64 -T /tmp --cwd /tmp --), @PYTHON] },
        isolate => sub { ['/bin/sh', '-c', qq{b=\$((\$\$ % 900)); $_[0] --box-id=\$b --init > /dev/null && $_[0] --box-id=\$b --silent --run -- @PYTHON[0..2] '$PYTHON[3]'; s=\$?; $_[0] --box-id=\$b --cleanup; exit \$s}] },
        # 1.8 takes v1 and v2 beside each other for neither.
        crun => sub { ([$_[0], "--root=$dir/root", 'run', '--bundle', $bundle, 'bench@N@'], ['unshare', '-m', '/bin/sh', '-c', 'umount /sys/fs/cgroup/unified 2> /dev/null; exec "$@"', '-']) },
        runc => sub { [$_[0], "--root=$dir/root", 'run', '--bundle', $bundle, 'bench@N@'] },
        runsc => sub {
            my $platform = runsc_platform($dir, $_[0]) // return undef;
            return [$_[0], "--root=$dir/root", '--network=none', '--ignore-cgroups', "--platform=$platform", 'run', '--bundle', $bundle, 'bench@N@'];
        },
    );
    my @peers = ({ name => 'python3', label => 'python3 alone, no sandbox', command => \@PYTHON, version => _version($PYTHON[0]) });
    for my $name (qw(bwrap nsjail isolate crun runc runsc)) {
        my %peer = (name => $name, label => "$name + python3" . ($name eq 'runsc' ? ', cold' : ''));
        my $path = _path($name);
        my ($command, $under) = $path ? $command{$name}->($path) : ();
        $command = undef if $command && !_prints_1(@{ $under || [] }, @$command);
        %peer = (%peer, $command ? (command => $command, under => $under // [], version => _version($path)) : (why => $path ? 'does not run here' : 'not installed, and not in Debian as this machine has it'));
        push @peers, \%peer;
    }
    return @peers;
}

sub node {
    my $path = _path('node') // return { name => 'bwrap node', label => 'bwrap + node', why => 'no node' };
    return { name => 'bwrap node', label => 'bwrap + node', command => [@BWRAP, $path, '-e', 'console.log(1)'], version => _version($path) };
}

1;
