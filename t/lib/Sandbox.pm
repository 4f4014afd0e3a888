package Sandbox;

# Starts real daemons (sandbox-launch, executord, nginx with the module) on free
# ports in a directory of their own, and after the test asserts that nothing
# went wrong unseen: no [alert], no sanitizer line, no zombie, no process, mount,
# cgroup or socket left over.
#
#   my $t = Sandbox->new;                      # nothing runs yet
#   $t->start;                                 # launcher, executor, gateway
#   my $job = $t->job({language => 'python', code => 'print(1)'});
#   done: $t->finish; done_testing();

use strict;
use warnings;
use Cwd qw(abs_path);
use Digest::SHA qw(hmac_sha256);
use File::Basename qw(dirname);
use File::Copy ();
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use HTTP::Tiny;
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP;
use MIME::Base64 qw(encode_base64url);
use POSIX qw(:sys_wait_h);
use Sandbox::Contract;
use Sandbox::Slot;
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Test::More ();
use Time::HiRes qw(time sleep);

# A daemon may close a connection at any time; that is for the test to see, not to die of.
$SIG{PIPE} = 'IGNORE';
# Ended from outside, a test still takes its daemons along (DESTROY).
$SIG{$_} = sub { exit 1 } for qw(TERM INT HUP);

our $ROOT = abs_path(dirname(__FILE__) . '/../..');
our $VARIANT = $ENV{SANDBOX_VARIANT} // 'release';
our $OUT = "$ROOT/build/$VARIANT";
# As run.sh starts executord: before sandboxes where the host lets it.
my @first = system('chrt -r 1 true 2>/dev/null') == 0 ? qw(chrt -r 1) : ();
my $JSON = JSON::PP->new->canonical->utf8->allow_nonref;

sub new {
    my ($class, %option) = @_;
    die "tests of the sandbox need root\n" if $>;
    my $dir = tempdir('sbx-test.XXXXXX', TMPDIR => 1, CLEANUP => 0);
    chmod 0755, $dir;
    my $slot = Sandbox::Slot::take();
    my $self = bless {
        dir      => $dir,
        instance => sprintf('sbxt%07d%04d', $$, rand 10000),    # none is the beginning of another
        secret   => join('', map { sprintf '%02x', int rand 256 } 1 .. 32),
        key      => join('', map { sprintf '%02x', int rand 256 } 1 .. 32),
        executor_uid => 64100 + $slot,
        uid_base => 300000 + $slot * Sandbox::Slot::UIDS,
        pid      => {},
        owner    => $$,
        %option,
    }, $class;
    $self->{foreign} = { map { $_ => 1 } $self->sandbox_processes };    # of who had the slot before
    make_path(map { "$dir/$_" } qw(bin etc etc/policies logs sock data data/audit data/artifacts data/denials launch opt tmp));
    chown $self->{executor_uid}, (getgrnam 'www-data')[2], "$dir/sock";
    chmod 02770, "$dir/sock";
    for my $name (qw(executord session-agent sandbox-launch)) {
        system('cp', '--reflink=auto', "$OUT/$name", "$dir/bin/") if -e "$OUT/$name";
    }
    system('cp', '-r', "$ROOT/session-agent/drivers", "$ROOT/session-agent/runtimes.json", "$dir/opt/");
    system('cp', '-r', "$OUT/pycache", "$dir/opt/drivers/__pycache__") if -e "$OUT/pycache/done";
    system('sh', '-c', 'cp "$0"/policies/*.json "$1/etc/policies/"; rm -f "$1/etc/policies/policy.schema.json"', $ROOT, $dir);
    $self->write('etc/jwt.secret', $self->{secret});
    $self->write('etc/context.key', $self->{key});
    $self->write('etc/artifact.key', join '', map { sprintf '%02x', int rand 256 } 1 .. 32);
    system("$dir/bin/executord audit keygen --out $dir/etc/audit.key > $dir/etc/audit.pub 2> /dev/null");
    chown $self->{executor_uid}, -1, map { "$dir/etc/$_.key" } qw(context artifact audit);
    chmod 0400, map { "$dir/etc/$_.key" } qw(context artifact audit);
    system('chown', '-R', "$self->{executor_uid}:$self->{executor_uid}", "$dir/data");
    chown 0, 0, "$dir/data/denials";
    chmod 0711, "$dir/data";
    return $self;
}

sub dir { $_[0]{dir} }
sub port { $_[0]{port} //= free_port() }
sub url { 'http://127.0.0.1:' . $_[0]->port }

sub free_port { return Sandbox::Slot::port() }

sub _slurp { my ($file) = @_; open my $in, '<', $file or return ''; local $/; return scalar <$in> // '' }

sub read_file { my ($self, $name) = @_; return _slurp("$self->{dir}/$name") }

sub write {
    my ($self, $name, $text) = @_;
    make_path(dirname("$self->{dir}/$name"));
    open my $out, '>', "$self->{dir}/$name" or die "$name: $!";
    print {$out} $text;
    close $out or die $!;
    return "$self->{dir}/$name";
}

# Waits for a condition, with a deadline; false when it never came.
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

sub _spawn {
    my ($self, $name, @command) = @_;
    my $log = "$self->{dir}/logs/$name.log";
    my $pid = fork // die $!;
    if (!$pid) {
        # A session each, as run.sh gives them: where the kernel groups by session (sched_autogroup), daemons that
        # shared the test's would all together weigh as much as one process.
        POSIX::setsid();
        $SIG{$_} = 'DEFAULT' for qw(PIPE TERM INT HUP);
        $SIG{QUIT} = 'IGNORE';    # as a shell's background jobs have it: nothing of it may reach a sandbox
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', $log;
        open STDERR, '>&', \*STDOUT;
        chdir $self->{dir};
        $ENV{$_} = $self->{env}{$_} for keys %{ $self->{env} || {} };
        exec { $command[0] } @command or POSIX::_exit(127);
    }
    $self->{pid}{$name} = $pid;
    return $pid;
}

# Fills @DIR@, @PORT@, @STATE@ and friends in a template of conf/.
sub fill {
    my ($self, $text, %extra) = @_;
    my %value = (
        STATE => $self->{dir}, DIR => $self->{dir}, PORT => $self->port, EXECUTOR_UID => $self->{executor_uid},
        SECRET => "$self->{dir}/etc/jwt.secret", CONTEXT_KEY => "$self->{dir}/etc/context.key", MODULE => "$OUT/ngx_http_sandbox_module.so",
        INSTANCE => $self->{instance}, UID_BASE => $self->{uid_base}, ROOT => $ROOT,
        MCP_SERVER => $self->{mcp_port} ? "server { listen 127.0.0.1:$self->{mcp_port}; sandbox_resource http://127.0.0.1:$self->{mcp_port}; include mcp_server.conf; }" : '', %extra,
    );
    $text =~ s/\@([A-Z_]+)\@/defined $value{$1} ? $value{$1} : die "no value for \@$1\@"/ge;
    return $text;
}

# Replaces or appends `key = value` lines.
sub _override {
    my ($text, $values) = @_;
    for my $key (sort keys %{ $values || {} }) {
        $text =~ s/^\Q$key\E\s*=.*\n//mg;
        $text .= "$key = $values->{$key}\n" if defined $values->{$key};
    }
    return $text;
}

sub start_launcher {
    my ($self, %values) = @_;
    my $text = $self->fill(_slurp("$ROOT/conf/local/launcher.conf.in"));
    $values{instance} = $self->{instance};
    $values{uid_base} = $self->{uid_base};
    $self->write('etc/launcher.conf', _override($text, { runsc => 'no', %{ $self->{launcher} || {} }, %values }));
    $self->_spawn('launcher', "$self->{dir}/bin/sandbox-launch", '--config', "$self->{dir}/etc/launcher.conf");
    $self->_comes_up('launcher', 30, sub { -S "$self->{dir}/sock/launch.sock" && $self->_connects("$self->{dir}/sock/launch.sock", Socket::SOCK_SEQPACKET()) })
        or $self->_died('launcher');
    return $self;
}

sub _connects {
    my ($self, $path, $type) = @_;
    return defined IO::Socket::UNIX->new(Type => $type, Peer => $path);
}

# Waits until a daemon serves; false when it ended or the time is over.
sub _comes_up {
    my ($self, $name, $seconds, $serves) = @_;
    my $up;
    $self->wait_until($seconds, sub { ($up = $serves->()) || _slurp("/proc/$self->{pid}{$name}/stat") =~ /\) Z / });
    return $up;
}

sub _died {
    my ($self, $name) = @_;
    my @log = split /^/, _slurp("$self->{dir}/logs/$name.log");
    Test::More::diag(join '', "the end of $name.log:\n", @log < 30 ? @log : @log[-30 .. -1]);
    die "$name did not come up\n";
}

sub start_executor {
    my ($self, %values) = @_;
    my $text = $self->fill(_slurp("$ROOT/conf/local/executor.conf.in"));
    # Contexts that tests sign themselves grant what they like: the operator's documents are for those who ask for them.
    my %own = ('policy.dir' => undef, %{ $self->{executor} || {} }, %values);
    # A test that says how many are kept of the template means no others.
    $text =~ s/^pool\.default\..*\n//mg if exists $own{'pool.default'};
    $self->write('etc/executor.conf', _override($text, \%own));
    my $www = (getgrnam 'www-data')[2];
    $self->{executes} = 1;
    Sandbox::Contract::serves("$self->{dir}/sock/executord.sock", 'executor');
    $self->_spawn('executor', @first, 'setpriv', '--reuid', $self->{executor_uid}, '--regid', $self->{executor_uid}, '--groups', $www,
        '--bounding-set', '-all', '--no-new-privs', "$self->{dir}/bin/executord", '--config', "$self->{dir}/etc/executor.conf");
    $self->_comes_up('executor', 30, sub {
        my $reply = $self->executor_request('GET', '/readyz');
        $reply && $reply->{status} == 200;
    }) or $self->_died('executor');
    push @{ $self->{executor_up} }, [time];
    return $self;
}

sub nginx {
    my ($self) = @_;
    return $VARIANT eq 'asan' ? "$OUT/nginx-asan" : '/usr/sbin/nginx';
}

sub _copy { my ($file, $into) = @_; return File::Copy::copy($file, $into) || die "$file to $into: $!" }

# What conf/gateway has, beside the configuration that includes it; a catalogue that a test wrote stays.
sub gateway_files {
    my ($self) = @_;
    _copy($_, "$self->{dir}/etc") for glob("$ROOT/conf/gateway/*.conf"), grep { !-e "$self->{dir}/etc/" . s{.*/}{}r } glob "$ROOT/conf/gateway/*.json";
    return $self;
}

# %option: conf => full text of an nginx.conf (placeholders filled), or sub called with the local template's text.
sub start_gateway {
    my ($self, %option) = @_;
    my $text = ref $option{conf} ? $option{conf}->(_slurp("$ROOT/conf/local/gateway.conf.in"))
             : $option{conf} // _slurp("$ROOT/conf/local/gateway.conf.in");
    $self->gateway_files;
    make_path("$self->{dir}/site");
    _copy($_, "$self->{dir}/site") for "$ROOT/docs/openapi.json", glob "$ROOT/docs/site/*";
    $self->write('etc/gateway.conf', $self->gateway_conf($text));
    Sandbox::Contract::serves($self->port, $self->{executes} ? 'gateway' : 'edge');
    $self->_spawn('gateway', $self->nginx, '-p', $self->{dir}, '-c', "$self->{dir}/etc/gateway.conf", '-g', 'daemon off;');
    $self->_comes_up('gateway', 30, sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->port) }) or $self->_died('gateway');
    return $self;
}

# The sanitized nginx has the module built in.
sub gateway_conf {
    my ($self, $text) = @_;
    $text = $self->fill($text);
    $text =~ s/^\s*load_module [^;]*sandbox[^;]*;//mg if $VARIANT eq 'asan';
    $text =~ s{load_module \S*ngx_http_sandbox_module\.so;}{load_module $OUT/ngx_http_sandbox_module.so;}g;
    return $text;
}

sub reload_gateway { my ($self) = @_; kill 'HUP', $self->{pid}{gateway}; return $self }

sub start {
    my ($self, %option) = @_;
    $self->start_launcher(%{ $option{launcher} || {} });
    $self->start_executor(%{ $option{executor} || {} });
    $self->start_gateway(%{ $option{gateway} || {} });
    $self->wait_until(30, sub { $self->request('GET', '/readyz', anonymous => 1)->{status} == 200 }) or $self->_died('gateway');
    return $self;
}

# Ends one daemon; returns its wait status, undef when it had to be killed after the deadline.
sub stop {
    my ($self, $name, $signal, $seconds) = @_;
    my $pid = delete $self->{pid}{$name} or return;
    $self->{executor_up}[-1][1] = time if $name eq 'executor' && $self->{executor_up};
    kill $signal // ($name eq 'gateway' ? 'QUIT' : 'TERM'), $pid;
    my $done = $self->wait_until($seconds // 30, sub { waitpid($pid, WNOHANG) == $pid });
    my $status = $?;
    if (!$done) {
        kill 'KILL', -$pid;
        waitpid $pid, 0;
        return undef;
    }
    # A killed nginx master leaves workers.
    kill 'KILL', -$pid if ($signal // '') eq 'KILL';
    return $status;
}

sub kill9 { my ($self, $name) = @_; $self->{killed}{$name}++; return $self->stop($name, 'KILL') }

sub gateway_workers {
    my ($self) = @_;
    return grep { $_ } map { m{/proc/(\d+)/stat$} ? do { my $stat = _slurp($_); $stat =~ /^\d+ \(.*\) \S (\d+)/ && $1 == $self->{pid}{gateway} ? m{/proc/(\d+)/} : () } : () } glob '/proc/[0-9]*/stat';
}

# Whether there come to be workers, and none of the old ones.
sub workers_renewed {
    my ($self, @old) = @_;
    my %old = map { $_ => 1 } @old;
    return $self->wait_until(30, sub { my @now = $self->gateway_workers; @now && !grep { $old{$_} } @now });
}

# HS256 token; claims override, undef removes one.
sub token {
    my ($self, %claims) = @_;
    my %all = (sub => 'tester', tenant => 'demo', app => 'web', agent => 'coder', iss => 'local', aud => 'sandbox',
               iat => int(time), exp => int(time) + 600, %claims);
    delete $all{$_} for grep { !defined $all{$_} } keys %all;
    my $body = join '.', map { encode_base64url($JSON->encode($_)) } { alg => 'HS256', typ => 'JWT' }, \%all;
    return $body . '.' . encode_base64url(hmac_sha256($body, $self->{secret}));
}

# One request to the gateway. Options: json, body, headers, token, anonymous, timeout, tenant.
sub request {
    my ($self, $method, $path, %option) = @_;
    my %headers = %{ $option{headers} || {} };
    my $token = $option{token} // ($option{anonymous} ? undef : $self->token(map { $_ => $option{$_} } grep { exists $option{$_} } qw(tenant app agent sub scope)));
    $headers{Authorization} //= "Bearer $token" if defined $token;
    my $body = $option{body};
    if (exists $option{json}) {
        $body = $JSON->encode($option{json});
        $headers{'Content-Type'} //= 'application/json';
    }
    my $http = HTTP::Tiny->new(timeout => $option{timeout} // 60, max_redirect => 0);
    my $reply = $http->request($method, $self->url . $path, { headers => \%headers, defined $body ? (content => $body) : () });
    $reply->{json} = eval { $JSON->decode($reply->{content}) } if ($reply->{headers}{'content-type'} // '') =~ m{json};
    return $reply;
}

# Posts a job; the decoded reply's body.
sub job {
    my ($self, $job, %option) = @_;
    my $reply = $self->request('POST', '/v1/jobs', json => $job, %option);
    return $reply->{json} // { status => "HTTP $reply->{status}", body => $reply->{content} };
}

# Bytes as they are to the gateway; everything that came back until it closed or `seconds` passed.
sub raw {
    my ($self, $bytes, %option) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->port) or return undef;
    return _converse($socket, $bytes, %option);
}

sub _converse {
    my ($socket, $bytes, %option) = @_;
    for my $piece (ref $bytes ? @$bytes : $bytes) {
        Sandbox::Contract::sent($socket, $piece);
        syswrite $socket, $piece;
        sleep $option{pause} if $option{pause};
    }
    shutdown $socket, 1 if $option{half_close};
    my $reply = '';
    my $end = time + ($option{seconds} // 30);
    while ((my $left = $end - time) > 0) {
        my $bits = '';
        vec($bits, fileno $socket, 1) = 1;
        last unless select $bits, undef, undef, $left;
        last unless sysread $socket, $reply, 65536, length $reply;
        last if $option{until} && $reply =~ $option{until};
    }
    Sandbox::Contract::got($socket, $reply);
    return $reply;
}

# One request straight to executord's socket (no gateway); option context => header value.
sub executor_request {
    my ($self, $method, $path, %option) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => "$self->{dir}/sock/executord.sock") or return undef;
    my $body = exists $option{json} ? $JSON->encode($option{json}) : $option{body};
    my %headers = (Host => 'executor', Connection => 'close', %{ $option{headers} || {} });
    $headers{'Content-Type'} //= 'application/json' if exists $option{json};
    $headers{'Sandbox-Context'} = $option{context} if defined $option{context};
    $headers{'Content-Length'} //= length $body if defined $body;
    my $bytes = "$method $path HTTP/1.1\r\n" . join('', map { "$_: $headers{$_}\r\n" } sort keys %headers) . "\r\n" . ($body // '');
    my $reply = _converse($socket, $bytes, seconds => $option{timeout} // 60, until => $option{until});
    return parse_reply($reply);
}

sub executor_raw {
    my ($self, $bytes, %option) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => "$self->{dir}/sock/executord.sock") or return undef;
    return _converse($socket, $bytes, %option);
}

# Splits one reply as read off a socket.
sub parse_reply {
    my ($text) = @_;
    my ($head, $body) = split /\r\n\r\n/, $text // '', 2;
    return undef unless defined $head && $head =~ m{^HTTP/1\.[01] (\d{3})};
    my %reply = (status => $1, head => $head, headers => {});
    for my $line (split /\r\n/, $head) {
        $reply{headers}{ lc $1 } = $2 if $line =~ /^([^:\s]+):\s*(.*)$/;
    }
    if (($reply{headers}{'transfer-encoding'} // '') =~ /chunked/i) {
        my $plain = '';
        while ($body =~ s/^([0-9a-fA-F]+)[^\r]*\r\n//) {
            my $n = hex $1;
            last unless $n;
            $plain .= substr $body, 0, $n, '';
            $body =~ s/^\r\n//;
        }
        $body = $plain;
    }
    $reply{content} = $body;
    $reply{json} = eval { $JSON->decode($body) } if ($reply{headers}{'content-type'} // '') =~ m{json};
    return \%reply;
}

# Payload and agent processes of this instance that are alive now.
sub sandbox_processes {
    my ($self) = @_;
    my ($low, $high) = ($self->{uid_base}, $self->{uid_base} + 2048);
    my @found;
    for my $status (glob '/proc/[0-9]*/status') {
        my $text = _slurp($status);
        push @found, $status =~ m{/proc/(\d+)/} if $text =~ /^Uid:\s+(\d+)/m && $1 >= $low && $1 < $high;
    }
    return grep { !$self->{foreign}{$_} && !$self->_is_zygote($_) } @found;
}

# What they are, for a test that wants none.
sub sandbox_processes_text {
    my ($self) = @_;
    return map { my $pid = $_; join(' ', $pid, _slurp("/proc/$pid/status") =~ /^((?:State|PPid|Uid):.*)$/mg, split /\0/, _slurp("/proc/$pid/cmdline")) . "\n" } $self->sandbox_processes;
}

# In no sandbox; the launcher's, and gone with it.
sub _is_zygote {
    my ($self, $pid) = @_;
    my $launcher = $self->{pid}{launcher} or return 0;
    return _slurp("/proc/$pid/cmdline") =~ /zygote/ && _slurp("/proc/$pid/status") =~ /^PPid:\s+$launcher$/m;
}

sub cgroups {
    my ($self) = @_;
    return split /\n/, `find /sys/fs/cgroup -type d -name '*$self->{instance}*' 2>/dev/null`;
}

sub audit_verify {
    my ($self) = @_;
    my $text = `$self->{dir}/bin/executord audit verify --config $self->{dir}/etc/executor.conf --public-key $self->{dir}/etc/audit.pub 2>&1`;
    return ($? == 0, $text);
}

# Lines of JSON; what is none is passed over.
# Those that are whole: who reads while executord writes may see the beginning of one.
sub audit_lines { my ($self) = @_; return map { my $text = _slurp($_); split /\n/, substr $text, 0, 1 + rindex $text, "\n" } sort glob "$self->{dir}/data/audit/audit-*.jsonl" }
sub _records { return grep { ref eq 'HASH' } map { my $line = $_; eval { $JSON->decode($line) } } map { split /\n/, _slurp($_) } @_ }

# The audit's events of a kind, oldest first; a look for 30 seconds at most until there are as many as `least`: no answer
# waits until its refusal, its read or its start is on disk.
sub audit_events {
    my ($self, $kind, $least) = @_;
    my @events;
    $self->wait_until(30, sub {
        @events = grep { ($_->{kind} // '') eq $kind } _records(sort glob "$self->{dir}/data/audit/audit-*.jsonl");
        return @events >= ($least // 1);
    });
    return @events;
}

# Each refusal that the gateway wrote down is in the audit once, and within a second of it where executord was up. Of a
# test that writes to the denial log itself (own_denials) nothing can be said.
sub check_denials {
    my ($self) = @_;
    return if $self->{own_denials} || !$self->{pid}{executor} || !$self->{pid}{gateway};
    my $key = sub { my ($id, $body) = @_; return join '|', $id // '', map { $_ // '' } @{$body}{qw(time code route client)} };
    my @lines = grep { ($_->{event} // '') eq 'gateway.denial' } _records(glob "$self->{dir}/data/denials/denials.jsonl*");
    return unless @lines;
    my %want;
    $want{ $key->($_->{request_id}, $_) }++ for @lines;
    my (%got, @events);
    $self->wait_until(30, sub {
        @events = grep { $_->{kind} eq 'request.denied' && ($_->{body}{source} // '') eq 'edge' } _records(glob "$self->{dir}/data/audit/audit-*.jsonl");
        %got = ();
        $got{ $key->($_->{request_id}, $_->{body}) }++ for @events;
        !grep { ($got{$_} // 0) < $want{$_} } keys %want;
    });
    Test::More::is_deeply([grep { ($got{$_} // 0) != $want{$_} } sort keys %want], [], 'each denial of the gateway is in the audit once');
    my ($slowest, $n) = (0, 0);
    for my $event (@events) {
        my ($line, $taken) = map { _unix($_) } $event->{body}{time}, $event->{ts};
        next unless grep { $line >= $_->[0] && $line + 1 < ($_->[1] // time + 1) } @{ $self->{executor_up} };
        $n++;
        $slowest = $taken - $line if $taken - $line > $slowest;
    }
    Test::More::cmp_ok($slowest, '<', 1, 'and within a second') unless $self->{late_denials};
    Test::More::diag(sprintf 'denials: %d, each in the audit once; of %d while executord was up the slowest after %.0f ms', scalar @lines, $n, $slowest * 1000);
    return;
}

sub _unix {
    my ($text) = @_;
    my ($y, $m, $d, $h, $min, $s) = ($text // '') =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):([\d.]+)Z$/ or return 0;
    require Time::Local;
    return Time::Local::timegm(0, $min, $h, $d, $m - 1, $y) + $s;
}

# Stops everything and asserts that nothing is wrong or left. Call once, before done_testing.
sub finish {
    my ($self) = @_;
    return if $self->{finished}++;
    $self->check_denials;
    for my $name (qw(gateway executor launcher), keys %{ $self->{pid} }) {
        next unless $self->{pid}{$name};
        my $status = $self->stop($name);
        Test::More::is($status, 0, "$name ends cleanly");
    }
    $self->wait_until(30, sub { !$self->sandbox_processes && !$self->cgroups });
    Test::More::is_deeply([$self->sandbox_processes], [], 'no process is left');
    Test::More::is_deeply([$self->cgroups], [], 'no cgroup is left');
    # By name: other programs on the machine may mount and unmount meanwhile.
    my @mounts = grep { /\Q$self->{dir}\E|\Q$self->{instance}\E/ } split /\n/, _slurp('/proc/self/mountinfo');
    Test::More::is_deeply(\@mounts, [], 'no mount is left');
    my @zombies = grep { my $stat = _slurp($_); $stat =~ /\) Z (\d+)/ && $1 == $$ } glob '/proc/[0-9]*/stat';
    Test::More::is_deeply(\@zombies, [], 'no zombie is left');
    Test::More::is_deeply([grep { -S } glob "$self->{dir}/sock/*"], [], 'no socket is left') unless %{ $self->{killed} || {} };
    # t/asan/inside.c: the exit status of an agent that a sanitizer ended inside its sandbox.
    Test::More::unlike($self->read_file('logs/launcher.log'), qr/"event":"sandbox.ended".*"code":86\b/, 'no sanitizer ended an agent') if $VARIANT eq 'asan';
    my @bad = map { my $log = $_; map { "$log: $_" } grep { /\[(alert|emerg)\]|Sanitizer|runtime error:|Assertion/ && !($self->{expect_log} && /$self->{expect_log}/) } split /\n/, _slurp($log) } glob "$self->{dir}/logs/*";
    Test::More::is_deeply(\@bad, [], 'no alert and no sanitizer report in any log');
    # Kept for DESTROY: Test::More may be gone by then. A test that died never gets here.
    $self->{passing} = Test::More->builder->is_passing;
    return;
}

sub DESTROY {
    my ($self) = @_;
    return unless $self->{owner} == $$;
    local $?;
    # Only a launcher that ends itself removes its control groups.
    $self->stop('launcher', 'TERM', 5) if $self->{pid}{launcher};
    for my $pid (values %{ $self->{pid} }) {
        kill 'KILL', -$pid, $pid;
        waitpid $pid, 0;
    }
    if ($ENV{SANDBOX_KEEP} || !$self->{passing}) {
        print {*STDERR} "# logs are in $self->{dir}\n";
    } else {
        remove_tree($self->{dir});
    }
}

1;
