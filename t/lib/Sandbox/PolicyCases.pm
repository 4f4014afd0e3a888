package Sandbox::PolicyCases;

# Policies in layers and requests against them, made from a seed: all members, and requests near what they allow.

use strict;
use warnings;

my $state;

# Our own generator: the same numbers whatever perl's is.
sub seed { $state = $_[0]; return }
sub _int { my ($n) = @_; $state = ($state * 1103515245 + 12345) & 0x7fffffff; return ($state >> 8) % $n }
sub _pick { return $_[_int(scalar @_)] }
sub _often { my ($percent) = @_; return _int(100) < $percent }
sub _some { my ($most, @of) = @_; my %seen; return grep { !$seen{$_}++ } map { _pick(@of) } 1 .. _int($most + 1) }

my @languages = qw(python javascript bash node sh py ruby);
my @templates = qw(default python-basic data web);
my @tools = qw(run_code create_session write_files status);
my @secrets = qw(TOKEN KEY DB.PASS api-key);
my @hosts = qw(example.com a.example.com b.a.example.com API.Example.com example.org pypi.example 10.0.0.1 192.168.1.10 localhost);
my @pip = qw(numpy Typing_Extensions typing-extensions typing.extensions pandas a-b A__b requests);
my @npm = ('lodash', 'Lodash', '@scope/name', '@scope/other', '@other/name', 'left-pad', 'a.b');
my @versions = qw(1 1.0 1.20 1.26.4 2 2.0.0 4.17.21 4.17.20 0.0.1 1.26.4.0 10.2.3 999999999.1);

my %amount = (
    cpu => [0.5, 1, 2, 4, '500m', '1', '2.5', '250m', 0.25, 1.125],
    cpu_time => [1, 30, '30s', '500ms', '2m', '1h', 1.5, 300, '0.25h'],
    memory => ['64Mi', '256Mi', '1Gi', 134217728, '100M', '1.5Gi', '2Gi', '131072k'],
    disk => ['1Mi', '64Mi', '1Gi', 10485760, '2Gi'],
    processes => [1, 16, 128, 512, 1024],
    time => [1, 10, '30s', '1500ms', '5m', 300, '1h', 2.5],
    output => [1024, '1Ki', '1Mi', '8Mi', '64Mi', '128Mi'],
);
my @durations = ('10ms', '1s', 30, '30s', '10m', '1h', '24h', 90.5, '1.5h');

sub _pair { my (@of) = @_; my %pair; $pair{max} = _pick(@of) if _often(70); $pair{default} = _pick(@of) if _often(40); return %pair ? \%pair : { max => $of[0] } }
sub _bounds { return join ',', map { _pick('==', '!=', '>=', '<=', '>', '<') . _pick(@versions) } 1 .. 1 + _int(3) }
sub _packages { my (@names) = @_; my $n = 0; return [map { _often(40) && $n++ < 14 ? { name => $_, versions => _bounds() } : $_ } _some(6, @names)] }

# A document; some are refused for a default above its maximum and the like: who asks drops those.
sub document {
    my %d = (version => 1 + _int(9));
    $d{limits} = { map { $_ => _pair(@{ $amount{$_} }) } _some(3, keys_of(\%amount)) } if _often(60);
    $d{languages} = [_some(4, @languages)] if _often(40);
    $d{templates} = [_some(3, @templates), _often(80) ? 'default' : ()] if _often(30);
    $d{templates} = [do { my %seen; grep { !$seen{$_}++ } @{ $d{templates} } }] if $d{templates};
    $d{isolation} = { minimum => _pick('process', 'gvisor') } if _often(25);
    $d{tools} = [_some(3, @tools)] if _often(25);
    $d{dependencies} = { _often(80) ? (pip => _packages(@pip, '*')) : (), _often(80) ? (npm => _packages(@npm, '*', '@scope/*')) : () } if _often(60);
    delete $d{dependencies} if $d{dependencies} && !%{ $d{dependencies} };
    $d{egress} = [_some(6, (map { ($_, "$_:443", "*.$_") } grep { !/^[0-9]/ } @hosts), (map { ($_, "$_:80") } grep { /^[0-9]/ } @hosts), '*', '*:443', '*.com')] if _often(60);
    $d{secrets} = [_some(4, @secrets)] if _often(50);
    $d{services} = { _often(80) ? (ports => [_some(4, 80, 443, 8080, '8000-9000', '9000-9000', '1-65535', 65535)]) : (), _often(40) ? (max => _int(4)) : () } if _often(60);
    delete $d{services} if $d{services} && !%{ $d{services} };
    $d{env} = { max => _int(6) } if _often(20);
    $d{files} = { _often(50) ? (max => _int(5)) : (max_bytes => _pick(0, 100, '1Ki', '8Mi')) } if _often(20);
    $d{artifacts} = { max => _int(5) } if _often(20);
    $d{max_wait} = _pick(0, 1, '10s', '60s', '5m') if _often(20);
    $d{sessions} = { _often(40) ? (max_lifetime => _pick(@durations)) : (), map { $_ => _pair(@durations) } _some(3, qw(ttl idle_timeout step_timeout cpu_time)) } if _often(40);
    delete $d{sessions} if $d{sessions} && !%{ $d{sessions} };
    return \%d;
}
sub keys_of { my ($hash) = @_; return sort keys %$hash }

# Now and then more than a view holds.
sub layers { return [(map { document() } 0 .. _int(5)), _often(5) ? map { { version => $_ } } 1 .. 20 + _int(8) : ()] }

sub _lists {
    my %r;
    $r{dependencies} = { _often(70) ? (pip => [map { $_ . _pick('', '', '==' . _pick(@versions), '==' . _pick(@versions), '>=1,<2', '===1.26.4', '~=1.2', '==1.*') } _some(3, @pip)]) : (),
        _often(70) ? (npm => [map { $_ . _pick('', '', '@' . _pick(@versions), '@4.17.21', '@^1.2', '@latest') } _some(3, @npm)]) : () } if _often(45);
    $r{egress} = [map { $_ . _pick(':443', ':80', ':8443') } _some(3, @hosts)] if _often(45);
    $r{secrets} = [_some(3, @secrets)] if _often(35);
    $r{services} = [_some(4, 80, 443, 8080, 8999, 9000, 9001, 65535, 1)] if _often(35);
    return %r;
}

# {kind, request, tool}
sub request {
    my $kind = _pick(qw(job job job session session extend step process tool));
    my %r;
    if ($kind eq 'job' || $kind eq 'session') {
        $r{language} = _pick(@languages) if $kind eq 'job' || _often(70);
        $r{template} = _pick(@templates) if _often(30);
        $r{isolation} = _pick('process', 'gvisor') if _often(25);
        $r{limits} = { map { $_ => _pick(@{ $amount{$_} }) } grep { $kind eq 'job' || $_ ne 'time' } _some(5, keys_of(\%amount)) } if _often(60);
        $r{env} = { map { ("V$_" => 'x') } 1 .. _int(7) } if _often(40);
        $r{files} = [map { { path => "f$_", content => 'x' x _int(200) } } 1 .. _int(6)] if _often(40);
        $r{artifacts} = [map { "a$_" } 1 .. _int(6)] if $kind eq 'job' && _often(30);
        %r = (%r, _lists());
    }
    if ($kind eq 'session' || $kind eq 'extend') {
        for my $time (qw(ttl idle_timeout step_timeout)) { $r{$time} = _pick(@durations) if _often(35) }
    }
    $r{language} = _pick(@languages) if $kind eq 'step' && _often(50);
    $r{timeout} = _pick(@durations) if $kind eq 'step' && _often(50);
    $r{env} = { map { ("V$_" => 'x') } 1 .. _int(7) } if $kind =~ /^(step|process)$/ && _often(40);
    $r{wait} = _pick(0, 1, '20s', '2m') if $kind =~ /^(job|step|process)$/ && _often(30);
    return { kind => $kind, request => \%r, _often(40) ? (tool => _pick(@tools)) : () };
}

1;
