package Sandbox::Driver;

# An interpreter of sessions as its agent starts it, without the agent: frames on descriptor 3 (docs/agent.md).
# As root it runs as nobody.
#
#   my $driver = Sandbox::Driver->new('python');
#   my $step = $driver->step('1 + 1');     # {status, error, exit_code, dropped, stdout, stderr, displays}, or {dead, exit, signal}
#   $driver->finish; done_testing();       # asserts that the end of descriptor 3 ends it

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Select;
use JSON::PP;
use POSIX qw(:sys_wait_h);
use Socket;
use Test::More ();
use Time::HiRes qw(time);

our $ROOT = abs_path(dirname(__FILE__) . '/../../..');
our $DEADLINE = 60;
my $JSON = JSON::PP->new->canonical->utf8->allow_nonref;

sub new {
    my ($class, $language, %option) = @_;
    my $dir = tempdir('sbx-driver.XXXXXX', TMPDIR => 1, CLEANUP => 1);
    chmod 0755, $dir;
    mkdir "$dir/$_" or die $! for qw(ws tmp);
    system('cp', '-r', "$ROOT/session-agent/drivers", $dir) == 0 or die;
    system('chmod', '-R', 'a+rX', "$dir/drivers");
    my ($uid, $gid) = $> == 0 ? (getpwnam 'nobody')[2, 3] : ($>, $) + 0);
    chown $uid, $gid, "$dir/ws", "$dir/tmp";
    open my $in, '<', "$ROOT/session-agent/runtimes.json" or die $!;
    my ($entry) = grep { $_->{name} eq $language } @{ $JSON->decode(do { local $/; <$in> })->{runtimes} };
    my @argv = map { s{^/opt/sandbox/}{$dir/}r } @{ $entry->{repl} };
    my $self = bless { dir => $dir, ws => "$dir/ws", argv => \@argv, uid => $uid, gid => $gid, env => $option{env} // {}, owner => $$, n => 0 }, $class;
    $self->start unless $option{idle};
    return $self;
}

sub start {
    my ($self) = @_;
    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die $!;
    pipe my $out, my $out_w or die $!;
    pipe my $err, my $err_w or die $!;
    my $pid = fork // die $!;
    if (!$pid) {
        my $low = sub { POSIX::_exit(125) };
        setpgrp 0, 0;
        $SIG{$_} = 'DEFAULT' for qw(INT QUIT);    # a test in the background has them ignored
        open my $null, '<', '/dev/null' or $low->();
        # Away from the numbers that are given out below.
        my @from = map { POSIX::dup2(fileno $_, fileno($_) + 40) or $low->(); fileno($_) + 40 } $null, $out_w, $err_w, $theirs;
        POSIX::dup2($from[$_], $_) // $low->() for 0 .. 3;
        POSIX::close($_) for 4 .. 300;
        if ($> == 0) { $) = "$self->{gid} $self->{gid}"; $( = $self->{gid}; POSIX::setgid($self->{gid}); POSIX::setuid($self->{uid}) }
        chdir $self->{ws} or $low->();
        %ENV = (PATH => '/usr/local/bin:/usr/bin:/bin', HOME => $self->{ws}, TMPDIR => "$self->{dir}/tmp", LANG => 'C.UTF-8', %{ $self->{env} });
        exec { $self->{argv}[0] } @{ $self->{argv} } or $low->();
    }
    @$self{qw(pid fd out err)} = ($pid, $ours, $out, $err);
    $self->{in} = '';
    my $first = $self->wait_for(sub { $_[0]{frames} });
    die "the driver does not start: $first->{stderr}\n" unless $first->{frames} && $first->{frames}[0] eq 'R';
    return $self;
}

# Reads what the driver says until `until` is content with it, or it has died.
sub wait_for {
    my ($self, $until, $got) = @_;
    $got //= { stdout => '', stderr => '' };
    my $end = time + $DEADLINE;
    my %name = ($self->{out} => 'stdout', $self->{err} => 'stderr');
    my $select = IO::Select->new(grep { $_ } @$self{qw(fd out err)});
    while (!$until->($got)) {
        my @ready = $select->can_read(defined $self->{again} ? 0.1 : $end - time);
        if (!@ready && defined $self->{again} && time < $end) { $self->interrupt_again; next }
        if (!@ready) { $got->{late} = 1; Test::More::diag('no answer in time: ' . substr "$got->{stderr}$got->{stdout}", 0, 500); last }
        # Output first: what was written before a frame is there when the frame is.
        for my $handle (sort { !$name{$a} <=> !$name{$b} } @ready) {
            my $n = sysread $handle, my $data, 1 << 20;
            if (!$n) {
                $select->remove($handle);
                $got->{gone} = 1 if $handle == $self->{fd};
                next;
            }
            if ($name{$handle}) { $got->{ $name{$handle} } .= $data; next }
            $self->{in} .= $data;
            while (length $self->{in} >= 4 && length $self->{in} >= 4 + unpack 'V', $self->{in}) {
                my $size = unpack 'V', $self->{in};
                push @{ $got->{frames} }, substr $self->{in}, 4, $size;
                substr $self->{in}, 0, 4 + $size, '';
            }
        }
        last if $got->{gone};
    }
    return $got;
}

sub drain {
    my ($self, $got) = @_;
    my %name = ($self->{out} => 'stdout', $self->{err} => 'stderr');
    my $select = IO::Select->new(@$self{qw(out err)});
    while (my @ready = $select->can_read(0)) {
        for my $handle (@ready) {
            if (!sysread $handle, my $data, 1 << 20) { $select->remove($handle) } else { $got->{ $name{$handle} } .= $data }
        }
    }
}

sub write_all {
    my ($self, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    while (length $bytes) {
        my $n = syswrite $self->{fd}, $bytes;
        return if !defined $n;
        substr $bytes, 0, $n, '';
    }
}

sub begin {
    my ($self, $code, %option) = @_;
    utf8::encode($code) if utf8::is_utf8($code);
    my %head = (id => 'stp_' . ++$self->{n}, max_displays => $option{max_displays} // 32, max_display_bytes => $option{max_display_bytes} // 4 << 20);
    $head{env} = $option{env} if $option{env};
    $head{after_interrupt} = JSON::PP::true if delete $self->{is_interrupted};
    my $frame = 'S' . $JSON->encode(\%head) . "\n$code";
    $self->write_all(pack('V', length $frame) . $frame);
}

# SIGINT to the group, as the agent does it: once a step.
sub interrupt {
    my ($self) = @_;
    $self->{is_interrupted} = 1;
    $self->signal;
}

# A SIGINT that the next step is told nothing of.
sub signal { my ($self) = @_; kill 'INT', -$self->{pid} }

# What an interrupt was lost on is told again, as the agent does it: each 100 ms the interpreter, each 500 ms what it waits for.
sub interrupt_again {
    my ($self) = @_;
    kill 'URG', $self->{pid};
    return if ++$self->{again} % 5;
    # Parents first: a shell whose child died of a signal that itself has not got goes on.
    my @members = $self->{pid};
    for my $pid (@members) {
        open my $list, '<', "/proc/$pid/task/$pid/children" or next;
        push @members, grep { (getpgrp($_) // 0) == $self->{pid} } split ' ', <$list> // '';
    }
    shift @members;
    kill 'INT', @members;
}

# interrupt_at: a pattern of standard output, when it has come.
sub step {
    my ($self, $code, %option) = @_;
    $self->begin($code, %option);
    my $got;
    if ($option{interrupt_at}) {
        $got = $self->wait_for(sub { $_[0]{frames} || $_[0]{stdout} =~ $option{interrupt_at} });
        $self->interrupt;
        $self->{again} = 0;
    }
    $got = $self->wait_for(sub { ($_[0]{frames} // [''])->[-1] =~ /\AE/ }, $got);
    delete $self->{again};
    die "the driver hangs\n" if $got->{late};    # no answer would belong to its step any more
    return $self->result($got);
}

# SIGINT at moments that nobody chose, within and behind `n` steps. Each step ends once, none by the signal of another, and
# the interpreter lives. Returns how many steps had each end.
sub storm {
    my ($self, $n, @codes) = @_;
    my %ends;
    my $wait = sub { my $end = time + rand $_[0]; 1 while time < $end };
    for my $i (1 .. $n) {
        my $code = $codes[rand @codes];
        my $is_within = !$self->{is_interrupted} && rand() < 0.6;    # two in a row may be one for the kernel
        $self->begin($code);
        if ($is_within) { $wait->(rand() < 0.5 ? 0.0002 : 0.001); $self->interrupt }
        my $got = $self->wait_for(sub { ($_[0]{frames} // [''])->[-1] =~ /\AE/ });
        die "the driver hangs in step $i: $code\n" if $got->{late};
        my $r = $self->result($got);
        die "step $i ended the interpreter (exit $r->{exit}, signal $r->{signal}): $code\n$r->{stderr}\n" if $r->{dead};
        die "step $i was interrupted by the signal of another: $code\n" if $r->{status} eq 'interrupted' && !$is_within;
        $ends{ $r->{status} }++;
        if (!$is_within && rand() < 0.6) { $wait->(0.0003); $self->interrupt }
    }
    return \%ends;
}

# SIGINT within 30 ms of the beginning of `n` steps that would go on for ever. Returns those that it did not end, or not at once.
sub hail {
    my ($self, $n, @codes) = @_;
    my @wrong;
    for my $code (map { $codes[$_ % @codes] } 1 .. $n) {
        $self->begin($code);
        my $end = time + rand(0.03) * (rand() < 0.7);
        1 while time < $end;
        $self->interrupt;
        local $self->{again} = 0;
        my $got = $self->wait_for(sub { ($_[0]{frames} // [''])->[-1] =~ /\AE/ });
        die "the driver hangs: $code\n" if $got->{late};
        my $r = $self->result($got);
        die "the interrupt ended the interpreter (exit $r->{exit}, signal $r->{signal}): $code\n$r->{stderr}\n" if $r->{dead};
        push @wrong, "$code: $r->{status} $r->{stdout}" if "$r->{status} $r->{stdout}" ne 'interrupted ';
    }
    return \@wrong;
}

sub result {
    my ($self, $got) = @_;
    if ($got->{gone}) {
        $self->drain($got);
        waitpid $self->{pid}, 0 if $self->{pid};
        delete $self->{pid};
        return { %$got, dead => 1, exit => $? >> 8, signal => $? & 127, status => 'dead' };
    }
    my $last = pop @{ $got->{frames} } // 'E{}';
    $self->drain($got);
    my $end = eval { $JSON->decode(substr $last, 1) } // {};
    my $keys = join ',', sort keys %$end;
    Test::More::diag("not the outcome of a step: $last") if $keys ne 'dropped,error,exit_code,status' || length $last > 56 << 10;
    my @displays = map { $self->display($_) } @{ $got->{frames} // [] };
    utf8::decode($got->{$_}) for qw(stdout stderr);
    return { %$end, stdout => $got->{stdout}, stderr => $got->{stderr}, displays => \@displays, late => $got->{late} };
}

sub display {
    my ($self, $frame) = @_;
    my ($head, $data) = $frame =~ /\AD([^\n]*)\n(.*)\z/s or die "no display: " . substr $frame, 0, 500;
    my $display = $JSON->decode($head);
    for my $item (@{ $display->{items} }) {
        $item->{data} = substr $data, 0, $item->{size}, '';
        utf8::decode($item->{data}) if $item->{mime} =~ m{^text/|json|svg};
        $display->{ $item->{mime} } = $item->{data};
    }
    Test::More::diag(length($data) . ' bytes too many in a display') if length $data;
    return $display;
}

sub write_file {
    my ($self, $name, $content) = @_;
    my $path = "$self->{ws}/$name";
    system 'mkdir', '-p', dirname($path);
    open my $out, '>', $path or die $!;
    print {$out} $content;
    close $out;
    chown $self->{uid}, $self->{gid}, $path;
}

sub stop {
    my ($self) = @_;
    return unless $self->{pid};
    close $self->{fd};
    my $end = time + 20;
    my $gone;
    until ($gone = waitpid($self->{pid}, WNOHANG) == $self->{pid}) {
        last if time > $end;
        select undef, undef, undef, 0.01;
    }
    $self->{last_status} = $gone ? $? : undef;
    kill 'KILL', -$self->{pid};
    waitpid $self->{pid}, 0 unless $gone;
    delete $self->{pid};
    return $gone;
}

sub finish {
    my ($self) = @_;
    Test::More::ok($self->stop, 'it ends when nobody speaks to it any more');
}

sub DESTROY {
    my ($self) = @_;
    return unless $self->{pid} && $self->{owner} == $$;
    local ($?, $!);
    kill 'KILL', -$self->{pid};
    waitpid $self->{pid}, 0;
}

1;
