package Sandbox::Bench;

# What programs of t/bench measure servers by.

use strict;
use warnings;
use File::Copy ();
use POSIX ();
use Sandbox;
use Exporter 'import';

our @EXPORT_OK = qw(cpu counted instructions spread write_requests);

# CPU seconds so far of a server's process and of those that it started: an nginx's workers.
sub cpu {
    my ($pid) = @_;
    my $sum = 0;
    for my $stat (glob '/proc/[0-9]*/stat') {
        my ($id) = $stat =~ m{/(\d+)/};
        my @field = split / /, Sandbox::_slurp($stat) =~ s/^\d+ \(.*\) //sr;
        $sum += $field[11] + $field[12] if @field > 12 && ($id == $pid || $field[1] == $pid);
    }
    return $sum / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# The words before a command whose instructions callgrind counts, into $dir/$name.callgrind.*
sub counted { my ($dir, $name) = @_; return ('valgrind', '-q', '--tool=callgrind', "--callgrind-out-file=$dir/$name.callgrind") }

# What callgrind wrote since it was last asked: the text. Kept as $CALLGRIND_KEEP/$keep.callgrind when both are given.
sub instructions {
    my ($dir, $name, $pid, $keep) = @_;
    unlink glob "$dir/$name.callgrind.*";
    system("callgrind_control -d $pid > $dir/logs/control.log 2>&1") == 0 or die Sandbox::_slurp("$dir/logs/control.log");
    my ($file) = glob "$dir/$name.callgrind.*" or die "callgrind wrote nothing\n";
    if (defined $keep && $ENV{CALLGRIND_KEEP}) {
        my $kept = "$ENV{CALLGRIND_KEEP}/$keep.callgrind";
        File::Copy::copy($file, $kept) or die "$kept: $!\n";
    }
    return Sandbox::_slurp($file);
}

# The file for t/bench/load of [method, path, body or undef, token or undef]; its name.
sub write_requests {
    my ($file, @each) = @_;
    open my $out, '>:raw', $file or die "$file: $!\n";
    for my $one (@each) {
        my ($method, $path, $body, $token) = @$one;
        my $text = "$method $path HTTP/1.1\r\nHost: 127.0.0.1\r\n" . (defined $token ? "Authorization: Bearer $token\r\n" : '')
            . (defined $body ? "Content-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body" : "\r\n");
        print {$out} pack('L', length $text), $text;
    }
    close $out or die "$file: $!\n";
    return $file;
}

# The least, the median and the most.
sub spread { my @v = sort { $a <=> $b } @_; return @v[0, @v / 2, $#v] }

# A control group that does nothing but count the processor time of who is in it.
package Sandbox::Bench::Group;

sub new {
    my ($class, $name) = @_;
    my ($v1) = Sandbox::_slurp('/proc/self/mountinfo') =~ m{^\d+ \d+ \S+ \S+ (\S+) .* - cgroup \S+ \S*\bcpuacct\b}m;
    my ($v2) = Sandbox::_slurp('/proc/self/mountinfo') =~ m{^\d+ \d+ \S+ \S+ (\S+) .* - cgroup2 }m;
    my ($own) = Sandbox::_slurp('/proc/self/cgroup') =~ ($v1 ? qr{^\d+:[\w,]*\bcpuacct\b[\w,]*:(\S+)$}m : qr{^0::(\S+)$}m);
    my $top = ($v1 // $v2 // die "no control groups\n") . ($own eq '/' ? '' : $own);
    mkdir "$top/$name" or die "$top/$name: $!\n";
    return bless { top => $top, dir => "$top/$name", is_v1 => defined $v1, owner => $$ }, $class;
}

sub _enter {
    my ($dir) = @_;
    open my $out, '>', "$dir/cgroup.procs" or die "$dir: $!\n";
    print {$out} "$$\n";
    close $out or die "$dir: $!\n";
    return;
}

# What the code starts is in the group.
sub within {
    my ($self, $code) = @_;
    _enter($self->{dir});
    my @value = eval { $code->() };
    my $error = $@;
    _enter($self->{top});
    die $error if $error;
    return wantarray ? @value : $value[-1];
}

# Microseconds so far.
sub us {
    my ($self) = @_;
    return Sandbox::_slurp("$self->{dir}/cpuacct.usage") / 1000 if $self->{is_v1};
    my ($us) = Sandbox::_slurp("$self->{dir}/cpu.stat") =~ /^usage_usec (\d+)/m;
    return $us // 0;
}

sub remove { my ($self) = @_; rmdir $self->{dir} if $$ == $self->{owner}; return }

1;
