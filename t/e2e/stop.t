#!/usr/bin/perl
# `make stop` says what it waits for and for how long, when a daemon takes its time.
use strict;
use warnings;
use File::Copy qw(copy);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

my $dir = tempdir(CLEANUP => 1);
my $state = tempdir('/var/tmp/ngx_sandbox.XXXXXX', CLEANUP => 1);
make_path("$dir/conf/local", "$dir/run", "$state/pids");
copy('conf/local/stop.sh', "$dir/conf/local/stop.sh") or die $!;

# In the place of a supervisor: ends this many seconds after SIGTERM.
sub supervisor {
    my ($name, $seconds) = @_;
    pipe my $ready, my $tell or die $!;
    my $pid = fork // die $!;
    if (!$pid) {
        POSIX::dup2(fileno $tell, 1);
        exec $^X, '-e', '$SIG{TERM} = sub { sleep shift @ARGV; exit }; syswrite STDOUT, "x"; sleep 60', $seconds, $state;
    }
    sysread $ready, my $one, 1;
    open my $file, '>', "$state/pids/$name.supervisor" or die $!;
    print $file "$pid\n";
    return $pid;
}

sub stop {
    symlink $state, "$dir/run/state" or die $!;
    my %pid = (gateway => supervisor('gateway', 0), executor => supervisor('executor', shift));
    local $SIG{CHLD} = 'IGNORE'; # no zombie keeps its name
    open my $out, '-|', 'bash', '-c', 'KEEP=1 exec bash "$0" 2>&1', "$dir/conf/local/stop.sh" or die $!;
    my $start = time;
    my @said = map { chomp; [$_, time - $start] } <$out>;
    close $out;
    ok(!(grep { kill 0, $_ } values %pid), 'all are stopped');
    unlink "$dir/run/state";
    return @said;
}

my @said = stop(7);
my @waits = grep { $_->[0] =~ /wait/ } @said;
is(scalar @waits, 2, 'a slow one: said at once, and again') or diag explain \@said;
like($waits[0][0], qr/executor.* up to 30 s/, 'who, and how long at most');
like($waits[1][0], qr/executor.* \d+ s/, 'and how long it has been');
is(scalar(grep { $_->[0] !~ /^(==|   waiting) / } @said), 0, 'and nothing else');
like($said[-1][0], qr/^== stopped/, 'then it is done');
@said = stop(0);
is(scalar(grep { $_->[0] =~ /wait/ } @said), 0, 'nothing is said of quick ones') or diag explain \@said;
done_testing();
