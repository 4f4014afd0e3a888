#!/usr/bin/perl
# Interpreters that are forked into sandboxes: behind the same walls as those that were started there, no two alike, and
# dispensable.
use strict;
use warnings;
use JSON::PP;
use POSIX ();
use Test::More;
use lib 't/lib';
use Sandbox::Launch;

my $agent = "$Sandbox::Launch::OUT/session-agent";
BAIL_OUT("build $agent first") unless -x $agent;

sub slurp { return Sandbox::Launch::slurp(@_) }

sub launcher {
    my (%values) = @_;
    my $sample = delete $values{sample};
    my $l = Sandbox::Launch->new(agent => $agent)->drivers;
    $l->write('opt/drivers/python_sample.py', $sample) if defined $sample;
    return $l->start(zygote => 'yes', (map { ("template.$_.zygote.python" => 'no') } qw(net still noexec)), %values);
}

sub events { my ($l, $name) = @_; return map { decode_json($_) } grep { /"event":"\Q$name\E"/ } split /\n/, $l->log }
sub ready { my ($l, $n) = @_; return $l->wait_until(30, sub { events($l, 'zygote.ready') >= ($n // 1) }) }
sub zygote { my ($l) = @_; return (events($l, 'zygote.ready'))[-1]{pid} }

sub http {
    my ($c, $id, $method, $path, $body) = @_;
    my $reply = $c->ask("http $id $method $path" . ($body ? ' ' . JSON::PP->new->canonical->ascii->encode($body) : ''));
    my ($status, $text) = $reply =~ /^(\d{3}) (.*)$/ or return [0, $reply];
    return [$status, eval { decode_json($text) } // $text];
}

# A sandbox, its id, and how its interpreter came to be.
sub prepared {
    my ($c, $language, $template) = @_;
    $c->{hello} //= $c->hello;
    my ($id) = $c->ask(join ' ', 'create', $template // 'default', 'process', $language // ()) =~ /^created (\d+)/ or return;
    my $reply = http($c, $id, 'POST', '/v1/prepare', { runtime => 'python' });
    return ($id, $reply->[1]{origin} // "$reply->[0]");
}

# Who forked the slot is in the sandbox until it has ended: killed with the sandbox, it would be a fork that failed.
sub destroy {
    my ($l, $c, $id) = @_;
    forked_out($l);
    return $c->destroy($id);
}

# The slot may be ready before that one has ended, and is pid 1's child from then on.
sub forked_out {
    my ($l) = @_;
    my $zygote = zygote($l);
    return $l->wait_until(30, sub { -e "/proc/$zygote/task/$zygote/children" ? slurp("/proc/$zygote/task/$zygote/children") eq '' : !children($zygote) });
}

# What the program's handler returns, or its standard output.
sub run {
    my ($c, $id, $code, %step) = @_;
    my $made = http($c, $id, 'POST', '/v1/sessions', { sessionId => 'job_test', runtime => 'python', token => '0123456789abcdef' });
    return "session: $made->[0]" if $made->[0] != 201;
    my $done = http($c, $id, 'POST', '/v1/steps', { sessionId => 'job_test', stepId => 'stp_1', timeout_ms => 10000, code => $code, %step });
    return { ended => { map { $_ => $done->[1]{$_} } qw(exit_code signal timed_out) }, result => $done->[1]{result}, map { $_ => $c->ask("text $id $_") } 1, 2 };
}

sub status { my ($pid) = @_; return { slurp("/proc/$pid/status") =~ /^(\w+):[ \t]*(.*?)[ \t]*$/mg } }
sub spaces { my ($pid) = @_; return { map { $_ => readlink("/proc/$pid/ns/$_") } qw(user mnt pid ipc uts net cgroup time) } }
sub children { my ($pid) = @_; return grep { (status($_)->{PPid} // 0) == $pid } map { m{/proc/(\d+)$} } glob '/proc/[0-9]*' }
# The launcher writes it down when it has handed the sandbox out.
sub pid_of { my ($l, $id) = @_; my $event; $l->wait_until(30, sub { ($event) = grep { $_->{sandbox} == $id } events($l, 'sandbox.created'); $event }); return $event->{pid} }

my $l = launcher();
ok(ready($l), 'a zygote comes up');
my $c = $l->client;

{
    my $pid = zygote($l);
    my $status = status($pid);
    my $uid = $l->{uid_base} + 4 * $l->{max_sandboxes} + 1;
    is($status->{Uid}, join("\t", ($uid) x 4), 'it has a user of its own');
    is($status->{$_}, '0' x 16, "it has no capability: $_") for qw(CapInh CapPrm CapEff CapBnd CapAmb);
    is($status->{Groups}, '', 'and no group besides');
    is($status->{NoNewPrivs}, 1, 'nor will it get any');
    is($status->{Seccomp}, 2, 'it is behind a filter');
    is($status->{Threads}, 1, 'it has one thread');
    my ($mine, $its) = (spaces($l->{pid}), spaces($pid));
    isnt($its->{$_}, $mine->{$_}, "its own namespace: $_") for qw(mnt net ipc uts);
    is(slurp("/proc/$pid/oom_score_adj") + 0, 500, 'it dies before anything of the host');
    my %fds = map { m{/(\d+)$} ? ($1 => readlink($_) // '') : () } glob "/proc/$pid/fd/*";
    like(delete $fds{3}, qr/^socket:/, 'descriptor 3 is its socket');
    is_deeply(\%fds, { map { $_ => '/dev/null' } 0 .. 2 }, 'it has no other');
    like(slurp("/proc/$pid/cgroup"), qr{memory:.*/s$l->{max_sandboxes}$}m, 'a group of its own') if slurp("/proc/$pid/cgroup") =~ /memory/;
    like(slurp("/proc/$pid/mounts"), qr/ \/usr overlay ro/, 'it sees the template');
    unlike(slurp("/proc/$pid/mounts"), qr/ \/proc /, 'and no process');
    my ($major, $minor) = slurp('/proc/sys/kernel/osrelease') =~ /^(\d+)\.(\d+)/;
    my ($huge) = slurp("/proc/$pid/smaps_rollup") =~ /^AnonHugePages:\s*(\d+)/m;
    ok($huge >= 8192 || $major < 6 || $major == 6 && $minor < 1, "its memory is on huge pages ($huge KiB)");
    is_deeply([grep { /^\S+ .w.?x/ } split /\n/, slurp("/proc/$pid/maps")], [], 'nothing that can be executed can be written');
}

my $look = <<'PYTHON';
import os, resource, socket
def status(pid="self"):
    return dict(l.split(":", 1) for l in open("/proc/%s/status" % pid).read().splitlines() if ":" in l)
def fails(f):
    try:
        f(); return 0
    except OSError as e:
        return e.errno
def handler(event):
    s = status()
    return {
        "status": {k: s[k].strip() for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters", "Uid", "Gid", "Groups", "SigIgn", "SigBlk", "SigCgt", "Umask", "Threads", "PPid", "Name")},
        "fds": sorted(os.readlink("/proc/self/fd/" + f).split("[")[0] for f in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + f)),
        "session": os.getsid(0) == os.getpid() == os.getpgid(0),
        "cwd": os.getcwd(), "env": dict(os.environ), "root": sorted(os.listdir("/")), "tmp": os.listdir("/tmp"),
        "limits": {n: resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith("RLIMIT_")},
        "errno": [fails(lambda: os.kill(1, 9)), fails(lambda: open("/proc/1/mem", "rb")), fails(lambda: open("/proc/sys/kernel/core_pattern", "w")),
                  fails(lambda: open("/usr/x", "w")), fails(lambda: os.setuid(0)), fails(lambda: os.listdir("/proc/1"))],
        "uid_map": [l.split()[::2] for l in open("/proc/self/uid_map")], "oom": open("/proc/self/oom_score_adj").read(), "host": os.uname().nodename,
        "cgroup": open("/proc/self/cgroup").read(), "mounts": open("/proc/self/mounts").read(), "uptime": float(open("/proc/uptime").read().split()[0]) < 60,
        "pids": [p for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid()], "argv": __import__("sys").argv, "path": __import__("sys").path,
        "nice": os.nice(0), "affinity": sorted(os.sched_getaffinity(0)), "dumpable": os.stat("/proc/self/status").st_uid,
    }
PYTHON

{
    my ($forked, $origin) = prepared($c, 'python');
    is($origin, 'forked', 'a sandbox that was asked for with its language has the slot of the zygote');
    ok(forked_out($l), 'the zygote has no child left');
    my ($first) = children(pid_of($l, $forked));
    is_deeply(spaces($first), spaces(pid_of($l, $forked)), 'its namespaces are those of pid 1');
    my ($spawner) = grep { spaces($_)->{user} ne spaces($l->{pid})->{user} } children($l->{pid});
    isnt(spaces($first)->{net}, spaces($spawner)->{net}, 'a network of the sandbox alone');
    is(slurp("/proc/$first/cgroup"), slurp('/proc/' . pid_of($l, $forked) . '/cgroup'), 'its groups too');
    is((status($first)->{Uid} =~ /^(\d+)/)[0], $c->{uid}{$forked} // $l->{uid_base}, 'it is the payload') if $c->{uid}{$forked};
    is($c->adopt($forked), 'adopted', 'adopted');
    my $is = run($c, $forked, $look);
    my $plain = $c->create('default', 'process');
    is($c->adopt($plain), 'adopted', 'and one that is not prepared');
    my $wanted = run($c, $plain, $look);
    is_deeply($is->{ended}, { exit_code => 0, signal => undef, timed_out => JSON::PP::false }, 'the program runs') or diag(explain($is));
    # But for the socket on which it says that it ends.
    is_deeply([grep { /^socket/ } @{ $is->{result}{fds} }], ['socket:'], 'it has a socket');
    @{ $is->{result}{fds} } = grep { !/^socket/ } @{ $is->{result}{fds} };
    is_deeply($is->{result}, $wanted->{result}, 'what else it sees, has and may is what a started interpreter does');
    is(slurp("/proc/$first/status"), '', 'and was the slot');
}

{
    my ($id, $origin) = prepared($c, 'python');
    $c->adopt($id);
    my $tries = run($c, $id, <<'PYTHON');
import mmap, os
def refused(act, *with_):
    try:
        act(*with_)
        return "let through"
    except OSError as e:
        return e.strerror
for name in ("exe", "root/usr/bin/python3"):
    print(name, refused(open, "/proc/self/" + name, "rb"))
print("exec", refused(os.execv, "/proc/self/exe", ["x"]))
library = [l.split()[-1] for l in open("/proc/self/maps") if "fork.so" in l]
print("library", bool(library), refused(open, library[0], "rb") if library else "")
print("tracing", refused(os.kill, os.getppid(), 0))
PYTHON
    is($tries->{1}, "exe Permission denied\x01root/usr/bin/python3 let through\x01exec Permission denied\x01library True No such file or directory\x01tracing Operation not permitted\x01",
        'nothing of the zygote can be opened from within');
}

sub own_pages { my ($pid) = @_; return (slurp("/proc/$pid/smaps_rollup") =~ /^Private_Dirty:\s*(\d+)/m)[0] / 4 }

{
    my ($waiting, $origin) = prepared($c, 'python');
    forked_out($l);
    my ($slot) = children(pid_of($l, $waiting));
    ok($l->wait_until(30, sub { own_pages($slot) >= 80 }), 'while it waits it takes the pages that work will want') or diag(own_pages($slot));
    cmp_ok(own_pages($slot), '<=', 350, 'and no others');
    my ($hurried) = prepared($c, 'python');
    $c->adopt($hurried);
    is(run($c, $hurried, 'print(1)')->{1}, "1\x01", 'work that comes before it has them is done');
}

{
    my @saw;
    for (1 .. 3) {
        my ($id, $origin) = prepared($c, 'python');
        is($origin, 'forked', 'one more');
        $c->adopt($id);
        push @saw, run($c, $id, <<'PYTHON')->{result};
import os, random, secrets, tempfile, time, uuid
def handler(event):
    return {"random": random.random(), "shuffle": random.sample(range(10**6), 4), "secrets": secrets.token_hex(8), "uuid": str(uuid.uuid4()), "uuid1": str(uuid.uuid1()),
            "name": os.path.basename(tempfile.mktemp()), "urandom": os.urandom(8).hex(), "time": time.time_ns(), "system": random.SystemRandom().random()}
PYTHON
    }
    for my $what (sort keys %{ $saw[0] || {} }) {
        my %distinct = map { (ref $_->{$what} ? "@{$_->{$what}}" : $_->{$what}) => 1 } @saw;
        is(scalar keys %distinct, 3, "no two slots have the same: $what");
    }
}

# The same programs, started and forked: how they end is the same.
my %programs = (
    exit         => 'import sys; print("a", end=""); sys.exit(7)',
    'exit text'  => 'import sys; sys.exit("why")',
    'exit large' => 'import sys; sys.exit(1 << 64)',
    'exit none'  => 'raise SystemExit',
    raise        => "def f():\n    raise ValueError('x')\nf()",
    syntax       => 'print(',
    atexit       => "import atexit\natexit.register(print, 'bye')\nprint('hi')",
    del          => "class A:\n    def __del__(self): print('gone', self.n)\na = A(); a.n = 1\n_b = A(); _b.n = 2\nc = A(); c.n = 3; c.c = c",
    thread       => "import threading, time\nthreading.Thread(target=lambda: (time.sleep(.1), print('late'))).start()\nprint('early')",
    daemon       => "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nprint('end')",
    killed       => 'import os; os.kill(os.getpid(), 9)',
    exit_        => 'import os; print("lost", end=""); os._exit(3)',
    fork         => "import os\nif os.fork() == 0:\n    print('child'); os._exit(0)\nos.wait(); print('parent')",
    pool         => "from multiprocessing import Pool\nif __name__ == '__main__':\n    with Pool(2) as p: print(p.map(abs, [-1, -2]))",
    subprocess   => "import subprocess\nprint(subprocess.run(['sh', '-c', 'echo \$0 \$PPID >&2; exit 4'], capture_output=True).returncode)",
    main         => "import __main__, sys\nprint(__name__, __main__.__file__, sys.modules['__main__'].__dict__ is globals(), sys.orig_argv[-1], sys.flags.isolated)",
    closed       => "import sys\nsys.stdout.close()",
    shadow       => "open('json.py', 'w').write('x = 5')\nimport sys\nsys.modules.pop('json', None)\nimport json\nprint(json.x)",
    limit        => "import sys\nprint(sys.getrecursionlimit())\ndef f(n): return n and f(n - 1)\nprint(f(900))",
    warn         => "import warnings\nwarnings.warn('x')",
    # The timer goes on, as its first signal may come before there is a pause: how many come after it is nobody's word.
    pause        => "import signal\nwoken = []\nsignal.signal(signal.SIGALRM, lambda *_: woken.append(1))\nsignal.setitimer(signal.ITIMER_REAL, .05, .05)\nsignal.pause()\nsignal.setitimer(signal.ITIMER_REAL, 0)\nprint(len(woken) > 0)",
    'fork random' => "import os, random\nr, w = os.pipe()\nif os.fork() == 0:\n    os.write(w, str(random.random()).encode()); os._exit(0)\nos.wait(); print(os.read(r, 99).decode() == str(random.random()))",
    'fork thread' => "import os, threading\nt = threading.Thread(target=threading.Event().wait, daemon=True); t.start()\nif os.fork() == 0:\n    print(threading.active_count(), t.is_alive(), flush=True); os._exit(0)\nos.wait(); print(threading.active_count())",
    'at fork'    => "import os\nos.register_at_fork(before=lambda: print('before', flush=True), after_in_child=lambda: print('child', flush=True), after_in_parent=lambda: os.wait() and print('parent'))\nif os.fork() == 0:\n    os._exit(0)",
    'main thread' => "import threading\nprint(threading.current_thread() is threading.main_thread(), threading.main_thread().is_alive(), threading.main_thread().ident == threading.get_ident())",
    atexits      => "import atexit, threading, sys\natexit.register(lambda: print('second', threading.main_thread().is_alive(), threading.active_count(), sys.modules['__main__'].x))\natexit.register(print, 'first')\nx = 1",
    c            => "import ctypes\nctypes.CDLL(None).puts(b'from C')\nprint('from Python')",
    classes      => "import sys\nclass A: pass\nsys.modules['a'] = A; sys.modules['b'] = None\nprint('x')",
    modules      => "import sys, types\nclass A:\n    def __del__(self): print('gone', self.n)\nm = sys.modules['fresh'] = types.ModuleType('fresh'); m.a = A(); m.a.n = 1\ndel m\nx = sys.modules.pop('json', None); sys.modules['json'] = x",
    'no modules' => "import sys\nsys.modules.clear()\nprint('on')",
    streams      => "import sys\nfor s in sys.stdin, sys.stdout, sys.stderr:\n    print(s.name, s.mode, s.encoding, s.errors, s.newlines, s.line_buffering, s.write_through, s.seekable(), s.isatty(), s.fileno(), s.buffer.name, s.buffer.mode, s.buffer.raw.mode, s.buffer.raw.closefd, repr(s), s is getattr(sys, '__%s__' % s.name[1:-1]))",
    interrupt    => "import os, signal\nos.kill(os.getpid(), signal.SIGINT)",
);
for my $name (sort keys %programs) {
    my @ends;
    for my $language ('python', undef) {
        my $id = $language ? (prepared($c, $language))[0] : $c->create('default', 'process');
        $c->adopt($id);
        push @ends, run($c, $id, $programs{$name});
        destroy($l, $c, $id);
    }
    is_deeply($ends[0], $ends[1], "started and forked end alike: $name") or diag(explain(\@ends));
}

{
    my $old = zygote($l);
    kill 'KILL', $old;
    my ($id, $origin) = prepared($c, 'python');
    like($origin, qr/^(?:started|forked)$/, "while there is no zygote, sandboxes are prepared all the same ($origin)");
    $c->adopt($id);
    is(run($c, $id, 'print(1)')->{1}, "1\x01", 'and run');
    ok(ready($l, 2), 'a zygote that was killed comes back');
    isnt(zygote($l), $old, 'as another process');
    is((prepared($c, 'python'))[1], 'forked', 'and serves');
}

{
    is((prepared($c))[1], 'started', 'who asks for no language gets none from it');
    is((prepared($c, 'javascript'))[1], 'started', 'nor for one it is not');
    is((prepared($c, 'python', 'net'))[1], 'started', 'nor in a template that has none');
}

{
    my $stopped = zygote($l);
    kill 'STOP', $stopped;
    my ($id, $origin) = prepared($c, 'python');
    is($origin, 'started', 'of one that does not answer nobody waits for long');
    ok(ready($l, 3), 'and it is replaced');
    isnt(zygote($l), $stopped, 'by another');
    ok((grep { $_->{reason} eq 'it does not answer' } events($l, 'zygote.ending')), 'the log says why');
    is((prepared($c, 'python'))[1], 'forked', 'which serves');
}
is(scalar(grep { $_->{stage} ne 'request' } events($l, 'zygote.fork')), 0, 'no fork failed');
$c->stop;
$l->finish;

{
    my $few = launcher(zygote_forks => 2, 'template.default.zygote.python' => 'json, no_such_module, re');
    ok(ready($few), 'modules that are not there are no reason to be without');
    like((events($few, 'zygote.said'))[0]{text}, qr/no_such_module/, 'the log names them');
    my $d = $few->client;
    my $first = zygote($few);
    prepared($d, 'python') for 1 .. 2;
    ok(ready($few, 2), 'after its number of forks it is made anew');
    isnt(zygote($few), $first, 'as another process');
    my $last = zygote($few);
    kill 'KILL', delete $few->{pid};
    ok($few->wait_until(30, sub { !-e "/proc/$last" || (status($last)->{State} // 'Z') =~ /^Z/ }), 'it does not survive the launcher');
    $d->stop;
    $few->start;
    $few->finish;
}

# What samples are for is left out where they do not come to their end.
for my $sample ('import os; os.kill(os.getpid(), 9)', 'import signal; signal.pause()', 'import os; os._exit(3)', 'import os; os.execv("/usr/bin/true", ["true"])', 'raise SystemExit(3)', '(') {
    my $odd = launcher(sample => $sample);
    ok(ready($odd), "a zygote comes up whose sample is: $sample");
    is(scalar children(zygote($odd)), 0, 'without a child');
    is_deeply([sort map { m{/(\d+)$} } glob '/proc/' . zygote($odd) . '/fd/*'], [0 .. 3], 'and without its descriptors');
    my ($id, $origin) = prepared(my $d = $odd->client, 'python');
    is($origin, 'forked', 'it serves');
    $d->adopt($id);
    is(run($d, $id, 'print(1)')->{1}, "1\x01", 'slots that work');
    $d->stop;
    $odd->finish;
}

# Sandboxes of it, one after another until the log has another one; how many came, and what any of them did wrong.
sub replaced {
    my ($l, $c, $step) = @_;
    my ($old, $n, $end, @wrong) = (zygote($l), 0, time + 300);
    while (zygote($l) == $old && time < $end) {
        my ($id, $origin) = prepared($c, 'python');
        $n++;
        push @wrong, "$n: " . ($origin // 'none') if ($origin // '') !~ /^(?:started|forked)$/;
        $c->adopt($id);
        my $done = $n % 8 == 1 ? run($c, $id, 'print(1)')->{1} : "1\x01";
        push @wrong, "$n: $done" if $done ne "1\x01";
        destroy($l, $c, $id);
        $step->($n) if $step;
    }
    return ($n, \@wrong, map { $_->{reason} } events($l, 'zygote.ending'));
}

{
    my $short = launcher(zygote_seconds => 1, zygote_growth_mib => 0);
    ok(ready($short), 'one that is to live for a second');
    my ($n, $wrong, @reasons) = replaced($short, my $d = $short->client);
    is($reasons[0], 'it is old', 'is made anew by its age');
    is_deeply($wrong, [], "and $n sandboxes meanwhile went on");
    is(scalar(grep { $_->{stage} ne 'request' } events($short, 'zygote.fork')), 0, 'no fork failed');
    $d->stop;
    $short->finish;
}

{
    my $grown = launcher(zygote_seconds => 0, zygote_growth_mib => 2);
    ok(ready($grown), 'one that may grow by 2 MiB');
    my $d = $grown->client;
    my $path = slurp('/proc/' . zygote($grown) . '/cgroup');
    my ($group) = grep { -e "$_/cgroup.procs" } $path =~ /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m ? "/sys/fs/cgroup/memory$1" : $path =~ /^0::(.*)$/m ? "/sys/fs/cgroup$1" : ();
    my $grow = sub {
        return if $_[0] != 3;
        defined(my $pid = fork) or die "fork: $!";
        if ($pid == 0) {
            open my $procs, '>', "$group/cgroup.procs" or POSIX::_exit(1);
            syswrite $procs, $$;
            my $held = 'x' x (8 << 20);
            POSIX::_exit(length $held == 8 << 20 ? 0 : 1);
        }
        waitpid $pid, 0;
        is($?, 0, 'its group has held more than that');
    };
    my ($n, $wrong, @reasons) = replaced($grown, $d, $grow);
    is($reasons[0], 'it has grown', 'is made anew by what it has grown');
    cmp_ok($n, '>=', 64, 'which is looked at after 64 forks');
    is_deeply($wrong, [], "and $n sandboxes meanwhile went on");
    $d->stop;
    $grown->finish;
}

for my $case ([{ zygote => 'no' }, 'zygote = no'], [{ own_inodes => 'no' }, 'own_inodes']) {
    my $without = launcher(%{ $case->[0] });
    is((events($without, 'zygote.absent'))[0]{missing}, $case->[1], "$case->[1]: there are none, and the log says so");
    my $d = $without->client;
    is((prepared($d, 'python'))[1], 'started', 'sandboxes are prepared all the same');
    $d->stop;
    $without->finish;
}

for my $bad ('a/b', 'json;os', '"json"', "js\x01on", '', 'x' x 1024) {
    my $odd = Sandbox::Launch->new(agent => $agent);
    is($odd->start('template.default.zygote.python' => $bad, fails => 1), 2, 'refused: ' . substr($bad, 0, 12));
    $odd->{finished} = 1;
}
done_testing();
