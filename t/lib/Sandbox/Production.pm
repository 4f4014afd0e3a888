package Sandbox::Production;

# The stack as it is shipped, for benchmarks: conf/gateway.conf and what it includes, the configuration of executord and launcher that
# `make run` fills in, the operator's policies, signed tokens of an identity provider, durable store, audit, both tiers, every wall.
# What a benchmark may set is a size; what else differs is where files lie and where nginx listens. differences() says what does, of the
# files that the running daemons were given: t/e2e/production.t holds it against the list.
#
#   my $t = Sandbox::Production->new('pool.default' => 8);     # keys of executord, or of the launcher
#   $t->start; ... $t->token(tenant => 'a') ... $t->end;

use strict;
use warnings;
use parent -norequire, 'Sandbox';
use Crypt::PK::ECC;
use JSON::PP;
use MIME::Base64 qw(encode_base64url);
use Sandbox;
use Sandbox::Bench;

# Sizes: how much is ready, how much may wait, how much may live at once.
our $SIZE = qr/^(?:pool\.[\w.-]+|pools\.(?:max|memory)|limits\.max_running|limits\.max_queued(?:_per_tenant|_bytes)?|sessions\.max|max_sandboxes)$/;
my $groups = 0;
my %LAUNCHER = map { $_ => 1 } qw(max_sandboxes);
my $JSON = JSON::PP->new->canonical->utf8;

# Where production has its files, and where this stack has.
sub _places {
    my ($self) = @_;
    my $dir = $self->{dir};
    return (
        ['/run/ngx_sandbox/executord.sock', "$dir/sock/executord.sock"], ['/run/ngx_sandbox/gateway.pid', "$dir/gateway.pid"],
        ['/var/lib/ngx_sandbox/denials/', "$dir/data/denials/"], ['/var/log/ngx_sandbox/', "$dir/logs/"], ['/etc/ngx_sandbox/', "$dir/etc/"],
        ['modules/ngx_http_sandbox_module.so', "$Sandbox::OUT/ngx_http_sandbox_module.so"],
    );
}

sub new {
    my ($class, %size) = @_;
    my @other = grep { !/$SIZE/ } keys %size;
    die "a benchmark may not set @other\n" if @other;
    my $self = $class->SUPER::new;
    # Where more sandboxes than usual find their users, beyond what other programs on the machine have.
    $self->{uid_base} = 20_000_000 + ($self->{executor_uid} - 64100) * 8192 if ($size{max_sandboxes} // 0) > 512;
    $self->{tls_port} = Sandbox::free_port();
    $self->{expect_log} = qr/setrlimit\(RLIMIT_NOFILE, 65536\) failed/;    # where whoever tests may not have as many files as production
    # What t/lib/Sandbox.pm leaves out for tests; run.sh adds the pool of the tier that is there.
    # Its own word for where it is: there a required wall that is missing ends the start.
    $self->{executor} = { 'environment.name' => undef, 'policy.dir' => "$self->{dir}/etc/policies", _shipped_pools(), map { $_ => $size{$_} } grep { !$LAUNCHER{$_} } keys %size };
    $self->{launcher} = { runsc => undef, map { $_ => $size{$_} } grep { $LAUNCHER{$_} } keys %size };
    $self->{signer} = Crypt::PK::ECC->new;
    $self->{signer}->generate_key('secp256r1');
    my $jwk = decode_json($self->{signer}->export_key_jwk('public'));
    $self->write('etc/jwks.json', $JSON->encode({ keys => [{ %$jwk, kid => 'bench', alg => 'ES256', use => 'sig' }] }));
    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=sandbox.example.com -keyout $self->{dir}/etc/tls.key -out $self->{dir}/etc/tls.crt 2> /dev/null") == 0
        or die "openssl req failed\n";
    return $self;
}

# What run.sh adds where the tier's program is.
sub _gvisor_pool {
    return () unless grep { -x } '/usr/bin/runsc', '/usr/local/bin/runsc';
    my %pool = Sandbox::_slurp("$Sandbox::ROOT/conf/local/run.sh") =~ /\\n(pool\.[\w.]*gvisor[\w.]*) = ([\d.]+)/g or die "run.sh: no pool of gVisor\n";
    return %pool;
}

sub _shipped_pools {
    my %shipped = _keys(Sandbox::_slurp("$Sandbox::ROOT/conf/local/executor.conf.in"));
    return ((map { $_ => $shipped{$_} } grep { /^pool\./ } keys %shipped), _gvisor_pool());
}

# Sizes of a stack that keeps nothing ready, or of some languages and tiers alone: `keep` is a pattern of keys that stay as shipped.
sub no_pool {
    my ($keep) = @_;
    my %shipped = _shipped_pools();
    return map { $_ => 0 } grep { !(defined $keep && /$keep/) } keys %shipped;
}

# conf/gateway.conf where this stack's files are. A port of the loopback instead of 443, and beside it one without TLS.
sub gateway_text {
    my ($self) = @_;
    my $text = Sandbox::_slurp("$Sandbox::ROOT/conf/gateway.conf");
    my ($port, $tls) = ($self->port, $self->{tls_port});
    for my $place ($self->_places) {
        my ($production, $here) = @$place;
        $text =~ s/\Q$production\E/$here/g;
    }
    $text =~ s/^( *)listen 443 ssl http2 backlog=4096;$/$1listen 127.0.0.1:$port backlog=4096;\n$1listen 127.0.0.1:$tls ssl http2 backlog=4096;/m or die "conf/gateway.conf: listen\n";
    $text =~ s/listen 443 /listen 127.0.0.1:$tls /g;
    $text =~ s/listen \[::\]:443 /listen [::1]:$tls /g;
    return $text;
}

# All daemons, and what they start, are of a group that counts their time.
sub start {
    my ($self) = @_;
    $self->{group} = Sandbox::Bench::Group->new("sandbox-bench-$$-" . ++$groups);
    $self->{group}->within(sub { $self->SUPER::start(gateway => { conf => $self->gateway_text }) });
    $self->{passing} = 1;    # nothing to look at afterwards
    return $self;
}

sub end {
    my ($self) = @_;
    $self->stop($_, undef, 60) for qw(gateway executor launcher);
    $self->{group}->remove if $self->{group};
    return;
}

# As an identity provider signs it.
sub token {
    my ($self, %claims) = @_;
    my %all = (sub => 'auth0|5f7c8ec7c33c6c004bbafe82', tenant => 'demo', app => 'web', agent => 'coder', iss => 'https://id.example.com/', aud => 'sandbox',
               iat => int(time), exp => int(time) + 7200, %claims);
    delete $all{$_} for grep { !defined $all{$_} } keys %all;
    my $body = join '.', map { encode_base64url($JSON->encode($_)) } { alg => 'ES256', typ => 'JWT', kid => 'bench' }, \%all;
    return "$body." . encode_base64url($self->{signer}->sign_message_rfc7518($body, 'SHA256'));
}

# Of a metric of executord, the sum over its labels.
sub metric {
    my ($self, $name, $labels) = @_;
    my $reply = $self->executor_request('GET', '/metrics') or return undef;
    my $sum;
    for my $line (split /\n/, $reply->{content}) {
        next unless $line =~ /^sandbox_executor_\Q$name\E(?:\{([^}]*)\})? (\S+)$/;
        my ($has, $value) = ($1 // '', $2);
        $sum += $value if !defined $labels || $has =~ $labels;
    }
    return $sum;
}

# Until nothing runs, waits or is being made.
sub settle {
    my ($self, $seconds) = @_;
    return $self->wait_until($seconds // 20, sub { !grep { $self->metric($_) } qw(jobs_running jobs_waiting pool_creating) });
}

# Bytes of memory of all sandboxes together, the kernel's included.
sub sandbox_memory {
    my ($self) = @_;
    my ($top) = sort { length $a <=> length $b } grep { -e "$_/memory.usage_in_bytes" || -e "$_/memory.current" } grep { /ngx_sandbox-\Q$self->{instance}\E/ } $self->cgroups;
    return undef unless defined $top;
    return 0 + Sandbox::_slurp(-e "$top/memory.usage_in_bytes" ? "$top/memory.usage_in_bytes" : "$top/memory.current");
}

# {setting => value} of `key = value` lines.
sub _keys { my ($text) = @_; return map { /^\s*([\w.-]+)\s*=\s*(.*?)\s*$/ ? ($1 => $2) : () } grep { !/^\s*#/ } split /\n/, $text }

# The lines of an nginx.conf that mean something, with those of what it includes.
sub _lines {
    my ($text, $dir) = @_;
    my @lines;
    for my $line (split /\n/, $text) {
        $line =~ s/^\s+|\s+$//g;
        $line =~ s/^#.*$|\s+#[^'"]*$//;
        next if $line eq '';
        push @lines, $line =~ /^include\s+([\w.-]+\.conf);$/ ? _lines(Sandbox::_slurp("$dir/$1"), $dir) : $line;
    }
    return @lines;
}

# What the running daemons were told, one by one, against what is shipped: a line for each difference, "file: has -> shipped".
sub differences {
    my ($self) = @_;
    my $dir = $self->{dir};
    my @found;
    for my $name (qw(executor launcher)) {
        my ($file) = Sandbox::_slurp("/proc/$self->{pid}{$name}/cmdline") =~ /--config\0([^\0]+)/ or return "$name: runs without a configuration";
        my %has = _keys(Sandbox::_slurp($file));
        my %shipped = (_keys($self->fill(Sandbox::_slurp("$Sandbox::ROOT/conf/local/$name.conf.in"))), $name eq 'executor' ? _gvisor_pool() : ());
        push @found, map { "$name: $_: " . ($has{$_} // 'nothing') . ' -> ' . ($shipped{$_} // 'nothing') }
            grep { ($has{$_} // "\0") ne ($shipped{$_} // "\0") } sort keys %{ { %has, %shipped } };
        my @environment = grep { /^(?:SANDBOX|AUTHZ|ENV)\w*=/ } split /\0/, Sandbox::_slurp("/proc/$self->{pid}{$name}/environ");
        push @found, map { "$name: environment: $_" } grep { !/^SANDBOX_(?:VARIANT|CONTRACT_DIR|KEEP)=/ } @environment;
    }
    my ($file) = Sandbox::_slurp("/proc/$self->{pid}{gateway}/cmdline") =~ m{ -c (\S+)|-c\0([^\0]+)} ? $1 // $2 : return (@found, 'gateway: runs without a configuration');
    my $text = Sandbox::_slurp($file);
    for my $place ($self->_places, ['listen 443', "listen 127.0.0.1:$self->{tls_port}"], ['[::]:443', "[::1]:$self->{tls_port}"], ['PLAIN', '127.0.0.1:' . $self->port]) {
        my ($production, $here) = @$place;
        $text =~ s/\Q$here\E/$production/g;
    }
    my (%count, @order);
    for my $line (_lines($text, "$dir/etc")) { push @order, $line; $count{$line}++ }
    for my $line (_lines(Sandbox::_slurp("$Sandbox::ROOT/conf/gateway.conf"), "$Sandbox::ROOT/conf/gateway")) { push @order, $line; $count{$line}-- }
    my %told;
    push @found, map { 'gateway: ' . ($count{$_} > 0 ? "$_ -> nothing" : "nothing -> $_") } grep { $count{$_} && !$told{$_}++ } @order;
    for my $policy (glob "$Sandbox::ROOT/policies/*.json") {
        my ($name) = $policy =~ m{([^/]+)$};
        next if $name eq 'policy.schema.json';
        push @found, "policies: $name" if Sandbox::_slurp("$dir/etc/policies/$name") ne Sandbox::_slurp($policy);
    }
    push @found, map { "program: $_ is another" } grep { system('cmp', '-s', "$Sandbox::OUT/$_", "$dir/bin/$_") } qw(executord sandbox-launch session-agent);
    return @found;
}

1;
