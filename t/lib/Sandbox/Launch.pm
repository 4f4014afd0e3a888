package Sandbox::Launch;

# Starts sandbox-launch alone, with the probe agent (or another) as pid 1 of its
# sandboxes, and talks to it through t/launcher/launchctl. With `variant => 'mutant'` launcher and
# agent are of the mutant build, which takes walls_off; the agent is the real one then.
#
#   my $l = Sandbox::Launch->new; $l->start; my $c = $l->client;
#   my $id = $c->create; $c->tell($id, 'sh id'); ... $c->stop; $l->finish;

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use IPC::Open2;
use POSIX qw(:sys_wait_h);
use Sandbox::Slot;
use Test::More ();
use Time::HiRes qw(time sleep);

our $ROOT = abs_path(dirname(__FILE__) . '/../../..');
our $OUT = "$ROOT/build/" . ($ENV{SANDBOX_VARIANT} // 'release');
our $MUTANT = "$ROOT/build/mutant";

sub slurp { my ($file) = @_; open my $in, '<', $file or return ''; local $/; return scalar <$in> // '' }

# How many mounts the host has, but for the small disks that other tests mount and take away meanwhile.
sub host_mounts { return scalar grep { !/ tmpfs sbx-?test / } split /\n/, slurp('/proc/self/mountinfo') }

sub new {
    my ($class, %option) = @_;
    die "tests of the launcher need root\n" if $>;
    if (($option{variant} // '') eq 'mutant') {
        system('make', '-s', '-C', $ROOT, 'mutant') == 0 or die "make mutant failed\n";
        %option = (launcher => "$MUTANT/sandbox-launch", agent => "$MUTANT/session-agent", %option);
    }
    my $tool = "$OUT/t/launcher";
    for my $name (qw(launchctl probe_agent)) {
        system('make', '-s', '-C', $ROOT, 'VARIANT=' . ($ENV{SANDBOX_VARIANT} // 'release'), "build/" . ($ENV{SANDBOX_VARIANT} // 'release') . "/t/launcher/$name") unless -x "$tool/$name";
    }
    my $dir = $option{dir} // tempdir('sbx-launch.XXXXXX', TMPDIR => 1, CLEANUP => 0);
    make_path("$dir/state", "$dir/opt/drivers");
    my $self = bless {
        dir => $dir, instance => sprintf('lt%07d%04d', $$, rand 10000), uid_base => 5000000 + Sandbox::Slot::take() * Sandbox::Slot::UIDS, agent => "$tool/probe_agent",
        launcher => "$OUT/sandbox-launch", tool => "$tool/launchctl", owner => $$, max_sandboxes => 128, %option,
    }, $class;
    $self->write('opt/runtimes.json', '{"runtimes":[]}');
    $self->write('opt/drivers/hello.py', "print('hello')\n");
    return $self;
}

sub write {
    my ($self, $name, $text) = @_;
    open my $out, '>', "$self->{dir}/$name" or die "$name: $!";
    print {$out} $text;
    close $out or die $!;
    return "$self->{dir}/$name";
}

# Drivers and runtimes as they are shipped, for agents that run programs.
sub drivers {
    my ($self) = @_;
    system('cp', '-r', "$ROOT/session-agent/drivers", "$ROOT/session-agent/runtimes.json", "$self->{dir}/opt/") == 0 or die "no drivers\n";
    return $self;
}

sub socket { "$_[0]{dir}/launch.sock" }
sub log { slurp("$_[0]{dir}/log") }

sub wait_until {
    my ($self, $seconds, $condition) = @_;
    my $end = time + $seconds;
    while (time < $end) {
        my $value = $condition->();
        return $value if $value;
        sleep 0.01;
    }
    return $condition->();
}

sub conf {
    my ($self, %values) = @_;
    my %all = (socket => $self->socket, agent => $self->{agent}, opt_dir => "$self->{dir}/opt", state_dir => "$self->{dir}/state",
        instance => $self->{instance}, uid_base => $self->{uid_base}, max_sandboxes => $self->{max_sandboxes},
        'template.default.root' => '/', 'template.net.inet' => 'yes', 'template.still.inet' => 'no',
        'template.noexec.workspace_exec' => 'no', runsc => 'no', zygote => 'no', %values);
    return join '', map { defined $all{$_} ? "$_ = $all{$_}\n" : () } sort keys %all;
}

# Starts and waits; with `fails` waits for the exit instead and returns its status.
sub start {
    my ($self, %values) = @_;
    my $fails = delete $values{fails};
    my $file = $self->write('conf', $self->conf(%values));
    my $pid = fork // die $!;
    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{dir}/log";
        open STDERR, '>&', \*STDOUT;
        exec 'setpriv', '--pdeathsig', 'TERM', @{ $self->{under} // [] }, $self->{launcher}, '--config', $file or POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    if ($fails) {
        $self->wait_until(30, sub { waitpid($pid, WNOHANG) == $pid }) or return undef;
        delete $self->{pid};
        return $? >> 8;
    }
    my $n = $self->{starts}++;
    $self->wait_until(60, sub { (() = $self->log =~ /"event":"started"/g) > $n || waitpid($pid, WNOHANG) == $pid });
    die 'launcher did not start: ' . $self->log . "\n" unless kill 0, $pid;
    return $self;
}

sub stop {
    my ($self, $signal) = @_;
    my $pid = delete $self->{pid} or return;
    kill $signal // 'TERM', $pid;
    my $done = $self->wait_until(30, sub { waitpid($pid, WNOHANG) == $pid });
    return $done ? $? : undef;
}

sub client { my ($self) = @_; return Sandbox::Launch::Client->new($self) }

# Processes with a user id of this instance. Dead ones that only the host's init has yet to collect do not count.
sub processes {
    my ($self) = @_;
    my @found;
    for my $file (glob '/proc/[0-9]*/status') {
        my $status = slurp($file);
        next if $status =~ /^State:\s+Z.*^PPid:\s+1$/ms;
        push @found, $file =~ m{/proc/(\d+)/} if $status =~ /^Uid:\s+(\d+)/m && $1 >= $self->{uid_base} && $1 < $self->{uid_base} + 4 * $self->{max_sandboxes};
    }
    return @found;
}

sub cgroups { my ($self) = @_; return split /\n/, `find /sys/fs/cgroup -type d -path '*ngx_sandbox-$self->{instance}*' 2>/dev/null` }

# What HELLO says, for who writes its messages by hand.
sub wire_version {
    open my $in, '<', "$ROOT/executor/launcher/wire.h" or die $!;
    my ($version) = map { /^#define LAUNCH_WIRE_VERSION ([0-9]+)u$/ ? $1 : () } <$in>;
    return $version // die 'executor/launcher/wire.h names no version';
}

sub slots { my ($self) = @_; return grep { m{/s\d+$} } $self->cgroups }

sub finish {
    my ($self) = @_;
    Test::More::is($self->stop, 0, 'the launcher ends cleanly') if $self->{pid};
    $self->wait_until(30, sub { !$self->processes && !$self->cgroups });
    Test::More::is_deeply([$self->processes], [], 'no process is left');
    Test::More::is_deeply([$self->cgroups], [], 'no cgroup is left');
    Test::More::ok(!-e $self->socket, 'no socket is left');
    Test::More::unlike($self->log, qr/Sanitizer|runtime error:|Assertion/, 'no sanitizer report');
    Test::More::diag($self->log) unless Test::More->builder->is_passing;
    $self->{finished} = 1;
    return;
}

sub DESTROY {
    my ($self) = @_;
    return unless $self->{owner} == $$;
    local $?;
    if ($self->{pid}) { kill 'TERM', $self->{pid}; waitpid $self->{pid}, 0 }
    print STDERR $self->log unless $self->{finished};
    remove_tree($self->{dir});
}

package Sandbox::Launch::Client;

sub new {
    my ($class, $launch, $prefix) = @_;
    my ($out, $in);
    my $pid = IPC::Open2::open2($out, $in, @{ $launch->{as} || [] }, $launch->{tool});
    my $self = bless { pid => $pid, in => $in, out => $out, launch => $launch }, $class;
    $self->{greeting} = $self->ask('connect ' . $launch->socket);
    return $self;
}

sub ask {
    my ($self, $line) = @_;
    local $SIG{PIPE} = 'IGNORE';
    print { $self->{in} } "$line\n";
    $self->{in}->flush;
    my $reply = readline $self->{out};
    chomp $reply if defined $reply;
    return $reply;
}

sub hello { my ($self) = @_; return $self->ask('hello') }

# Id of a new sandbox; dies when there is none. Greets first when that has not been done.
sub create {
    my ($self, $template, $tier) = @_;
    $self->{hello} //= $self->hello;
    my $reply = $self->ask(join ' ', 'create', $template // 'default', $tier // ());
    die "create: $reply\n" unless $reply =~ /^created (\d+) (\d+) fds=1/;
    $self->{uid}{$1} = $2;
    return $1;
}

# Limits by name over defaults that are in nobody's way.
sub adopt {
    my ($self, $id, %limit) = @_;
    my %all = (memory => 256 << 20, disk => 64 << 20, cpu_ms => 600000, wall_ms => 600000, millis => 1000, processes => 64, share => 0, %limit);
    return $self->ask(join ' ', 'adopt', $id, @all{qw(memory disk cpu_ms wall_ms millis processes share)});
}

sub fields { my ($text) = @_; my %f = map { /^(\w+)=(-?\d+)$/ ? ($1 => $2) : () } split ' ', $text // ''; $f{what} = (split ' ', $text // '')[0]; return \%f }
sub stat { my ($self, $id) = @_; return fields($self->ask("stat $id")) }
sub settle { my ($self, $id) = @_; return fields($self->ask("settle $id")) }
sub freeze { my ($self, $id) = @_; return fields($self->ask("freeze $id")) }
sub thaw { my ($self, $id) = @_; return fields($self->ask("thaw $id")) }
sub destroy { my ($self, $id) = @_; return fields($self->ask("destroy $id")) }
sub ended { my ($self, $seconds) = @_; return fields($self->ask('ended ' . int(1000 * ($seconds // 30)))) }

# The lines of the agent's reply as one text.
sub tell {
    my ($self, $id, $line) = @_;
    print { $self->{in} } "tell $id $line\n";
    $self->{in}->flush;
    my $text = '';
    while (defined(my $reply = readline $self->{out})) {
        last if $reply eq ".\n";
        $text .= $reply;
    }
    return $text;
}

sub sh { my ($self, $id, $command) = @_; return $self->tell($id, "sh $command") }
sub send { my ($self, $id, $line) = @_; return $self->ask("send $id $line") }

sub stop {
    my ($self) = @_;
    return unless $self->{pid};
    close $self->{in};
    close $self->{out};
    waitpid delete $self->{pid}, 0;
    return $?;
}

sub DESTROY { my ($self) = @_; local $?; $self->stop }

1;
