package Sandbox::Footprint;

# What a running stack holds of the host: processes, groups, mounts, namespaces, descriptors,
# files; and the memory of its daemons. For tests that compare before and after.

use strict;
use warnings;
use File::Find;
use List::Util qw(max);
use Sandbox;

sub new {
    my ($class, $t) = @_;
    return bless { t => $t, samples => {} }, $class;
}

# name => pid of every daemon process, nginx's workers in order of their ids.
sub daemons {
    my ($self) = @_;
    my $t = $self->{t};
    my $n = 0;
    return (executord => $t->{pid}{executor}, 'sandbox-launch' => $t->{pid}{launcher}, 'nginx master' => $t->{pid}{gateway},
        map { 'nginx worker ' . ++$n => $_ } sort { $a <=> $b } $t->gateway_workers);
}

sub _lines { my ($file, $wanted) = @_; return scalar grep { /$wanted/ } split /\n/, Sandbox::_slurp($file) }

sub _in_range {
    my ($self, $uid) = @_;
    my $t = $self->{t};
    return $uid == $t->{executor_uid} || ($uid >= $t->{uid_base} && $uid < $t->{uid_base} + 2 * 4096);
}

# Files that we own or that bear our name, where programs leave such.
sub _strays {
    my ($self) = @_;
    my @found;
    for my $dir (qw(/tmp /var/tmp /dev/shm /run /run/lock /dev/mqueue)) {
        opendir my $in, $dir or next;
        for my $name (readdir $in) {
            my $path = "$dir/$name";
            next if $name =~ /^\.\.?$/ || $path eq $self->{t}{dir};
            my $uid = (lstat $path)[4] // next;
            push @found, $path if $self->_in_range($uid) || $name =~ /\Q$self->{t}{instance}\E/;
        }
    }
    return @found;
}

# Counts by name; equal at two quiet moments when nothing leaks.
sub take {
    my ($self) = @_;
    my $t = $self->{t};
    my %count;
    my (%net, %own_net);
    my @processes = $t->sandbox_processes;
    $net{ readlink("/proc/$_/ns/net") // 'gone' } = 1 for @processes;
    $count{'sandbox processes'} = @processes;
    $count{'network namespaces'} = keys %net;
    # Those that wait for their next sandbox are as many as there were sandboxes at a time.
    my @groups = grep { !m{/k\d+$} } split /\n/, `find /sys/fs/cgroup -type d -path '*$t->{instance}*' 2>/dev/null`;
    my @slots = grep { m{/s\d+$} } @groups;
    $count{'control groups'} = @groups;
    my %uid = map { m{/s(\d+)$} ? ($1 => 1) : () } @slots;
    $count{'uid slots in use'} = keys %uid;
    $count{'mounts of the host with our name'} = _lines('/proc/self/mountinfo', qr/\Q$t->{dir}\E|\Q$t->{instance}\E/);
    $count{'namespaces kept by mounts'} = _lines('/proc/self/mountinfo', qr/ nsfs /);
    $count{"mounts in the launcher's namespace"} = _lines("/proc/$t->{pid}{launcher}/mountinfo", qr/./);
    my %daemon = $self->daemons;
    for my $name (sort keys %daemon) {
        opendir my $in, "/proc/$daemon{$name}/fd" or next;
        my @fds = map { readlink("/proc/$daemon{$name}/fd/$_") // '' } grep { /^\d+$/ } readdir $in;
        # Networks that are ready are as many as there were sandboxes at a time, and bounded; of a sandbox's control group, or one
        # that is kept for the next, a file is opened when it is first needed, once.
        my %file;
        $file{$_}++ for grep { m{^/sys/fs/cgroup/.*/[sk]\d+(?:/[^/]+)?$} } @fds;
        $count{"descriptors of $name, of one file of a group"} = max(0, values %file);
        @fds = grep { !/^net:/ && !$file{$_} } @fds;
        my $sockets = grep { /^socket/ } @fds;
        # The gateway's question for changes is with one worker, now with this and then with that.
        $count{ 'descriptors of ' . ($name =~ /^nginx worker/ ? 'all nginx workers' : $name) . ', sockets' } += $sockets;
        $count{"descriptors of $name, others"} = @fds - $sockets;
        $count{"threads of $name"} = () = glob "/proc/$daemon{$name}/task/*";
        $count{"zombies of $name"} = _zombies($daemon{$name});
    }
    $count{'stray files in /tmp and its like'} = $self->_strays;
    my $files = 0;
    find({ no_chdir => 1, wanted => sub { $files++ if -e && !m{^\Q$t->{dir}\E/(?:logs/|data/audit/|data/artifacts/.|.*\.sqlite-journal)} } }, $t->{dir});
    $count{'files in the state directory'} = $files;
    $count{'artifact files without a row'} = $self->_unnamed_artifacts;
    return \%count;
}

sub _zombies {
    my ($parent) = @_;
    return scalar grep { Sandbox::_slurp($_) =~ /\) Z (\d+)/ && $1 == $parent } glob '/proc/[0-9]*/stat';
}

sub _rows {
    my ($self) = @_;
    my $code = 'import sqlite3,sys; print(*[r[0] for r in sqlite3.connect("file:%s?mode=ro" % sys.argv[1], uri=True).execute("select id from artifacts")], sep="\n")';
    return split /\n/, `/usr/bin/python3 -c '$code' $self->{t}{dir}/data/state.db`;
}

sub _unnamed_artifacts {
    my ($self) = @_;
    my %row = map { $_ => 1 } $self->_rows;
    my $n = 0;
    find({ no_chdir => 1, wanted => sub { $n++ if -f && !$row{ (split m{/}, $_)[-1] } } }, "$self->{t}{dir}/data/artifacts");
    return $n;
}

# Kernel objects of the whole host: told, not judged, for others use them, too.
sub kernel {
    my %count;
    for my $line (split /\n/, Sandbox::_slurp('/proc/cgroups')) {
        $count{"$1 groups, dying ones included"} = $2 if $line =~ /^(memory|pids)\s+\d+\s+(\d+)/;
    }
    for my $line (split /\n/, Sandbox::_slurp('/proc/slabinfo')) {
        $count{"$1 objects"} = $2 if $line =~ /^(net_namespace|mnt_cache|pid_namespace|user_namespace)\s+(\d+)/;
    }
    return \%count;
}

# Resident memory of each daemon now, in KiB, kept with the progress (0 to 1) at which it was read.
sub sample {
    my ($self, $progress) = @_;
    my %daemon = $self->daemons;
    for my $name (keys %daemon) {
        my $status = Sandbox::_slurp("/proc/$daemon{$name}/status");
        my ($rss, $anon) = ($status =~ /^VmRSS:\s+(\d+)/m, $status =~ /^RssAnon:\s+(\d+)/m);
        push @{ $self->{samples}{$name} }, [$progress, $rss, $anon] if defined $rss && defined $anon;
    }
    return;
}

sub _median { my @v = sort { $a <=> $b } @_; return @v ? $v[ $#v / 2 ] : 0 }

# name => {second, last: medians of VmRSS in the second and in the last fifth; anon_*: of RssAnon}
sub memory {
    my ($self) = @_;
    my %result;
    for my $name (keys %{ $self->{samples} }) {
        my @samples = @{ $self->{samples}{$name} };
        my %in = (second => [grep { $_->[0] >= 0.2 && $_->[0] < 0.4 } @samples], last => [grep { $_->[0] >= 0.8 } @samples]);
        for my $part (keys %in) {
            $result{$name}{$part} = _median(map { $_->[1] } @{ $in{$part} });
            $result{$name}{"anon_$part"} = _median(map { $_->[2] } @{ $in{$part} });
            $result{$name}{"n_$part"} = @{ $in{$part} };
        }
    }
    return \%result;
}

1;
