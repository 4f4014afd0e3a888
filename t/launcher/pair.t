#!/usr/bin/perl
# Two sandboxes at once: what one holds on to, the other must not feel. Without own inodes it would.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Sandbox::Launch;

my @paths = qw(/ /usr /usr/bin/python3.11 /usr/lib /etc /etc/passwd /opt/sandbox /opt/sandbox/runtimes.json /dev /dev/null /dev/zero /dev/urandom
    /proc/keys /proc/pressure /proc/sys/kernel/hostname /proc/self/ns/time /proc/self/ns/user /proc/self/ns/mnt /proc/self/ns/cgroup
    /workspace /tmp /dev/shm /run/sandbox /root /home /var);
my $hold = <<'PYTHON';
import fcntl, os, struct, sys, time
def lock(path, kind):
    writable = path.startswith("/dev/") and os.path.exists(path) and not os.path.isdir(path)
    fd = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
    if kind == "flock":
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    elif writable:
        fcntl.fcntl(fd, 37 if kind == "ofd" else fcntl.F_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, 0, kind == "ofd", 1, 0))
    return fd
paths = sys.argv[2:]
kept = []
for path in paths:
    for kind in ("flock", "ofd", "posix"):
        try:
            kept.append(lock(path, kind))
        except OSError as e:
            if os.path.exists(path):
                print("met", path, kind, e.errno)
print("done", flush=True)
if sys.argv[1] == "hold":
    os.rename("/workspace/saying", "/workspace/said")
    time.sleep(60)
PYTHON
my $look = 'import os,sys\nfor p in sys.argv[1:]:\n s = os.stat(p)\n print(p, s.st_dev, s.st_ino)\n';

sub pair {
    my (%conf) = @_;
    my $l = Sandbox::Launch->new;
    $l->start(%conf);
    my $c = $l->client;
    my @id = map { my $id = $c->create; $c->adopt($id); $id } 1, 2;
    (my $text = $hold) =~ s/\n/\\n/g;
    for my $id (@id) {
        $c->sh($id, "printf '%b' '$text' > /tmp/hold.py; printf '%b' '$look' > /tmp/look.py");
    }
    my @files = map { { map { my @f = split; @f == 3 ? ($f[0] => "$f[1] $f[2]") : () } split /\n/, $c->sh($_, "python3 /tmp/look.py @paths") } } @id;
    $c->tell($id[0], "bg exec python3 /tmp/hold.py hold @paths > /workspace/saying");
    my $held = '';
    $l->wait_until(30, sub { $held = $c->sh($id[0], 'cat /workspace/said 2>&1'); $held =~ /done/ });
    my $felt = $c->sh($id[1], "python3 /tmp/hold.py look @paths");
    my @same = grep { $files[0]{$_} eq $files[1]{$_} } grep { $files[0]{$_} && $files[1]{$_} } @paths;
    is(scalar keys %{ $files[$_] }, scalar @paths, 'looked at all') for 0, 1;
    $c->destroy($_) for @id;
    $c->stop;
    $l->finish;
    return { held => $held, felt => $felt, same => \@same };
}

my $own = pair();
like($own->{held}, qr/done/, 'one holds locks on everything');
unlike($own->{held}, qr/met/, 'and met nobody');
like($own->{felt}, qr/done/, 'the other locks the same');
is_deeply([$own->{felt} =~ /met (\S+ \S+)/g], [], 'and feels none of them');
is_deeply($own->{same}, [], 'no file is the same by device and number');

my $shared = pair(own_inodes => 'no');
like($shared->{felt}, qr/met $_ flock/, "shared inodes: a lock on $_ is felt") for qw(/usr/bin/python3.11 /etc/passwd /dev/null /opt/sandbox/runtimes.json);
done_testing();
