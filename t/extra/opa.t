#!/usr/bin/perl
# A real Open Policy Agent, built from its Go module: the Rego twins of policies/rego decide 10,000 generated requests and the
# cases of policies/tests as lib/ does, and the gateway asks it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Cwd 'abs_path';
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use Sandbox::Front;
use Sandbox::PolicyCases;
use Test::More;

chdir "$FindBin::Bin/../.." or die $!;
my $opa = $ENV{SANDBOX_OPA} or die "run by t/run-extra\n";
my $tool = 'build/' . ($ENV{SANDBOX_VARIANT} || 'release') . '/t/tool/policy_decide';
my $wanted = $ENV{SANDBOX_OPA_REQUESTS} || 10_000;
my $JSON = JSON::PP->new->canonical->utf8->allow_nonref;
my $t = Sandbox::Front->new;

like(`$opa version`, qr/^Version: \d/, 'it is one');
my $said = `$opa test policies/rego 2>&1`;
is($?, 0, 'the tests of the twins') or diag $said;
like($said, qr/^PASS: (\d+)\/\1$/m, 'all of them');

my $port = Sandbox::free_port();
sub start_opa {
    my (@more) = @_;
    $t->_spawn('opa', $opa, 'run', '--server', '--addr', "127.0.0.1:$port", '--disable-telemetry', '--log-level', 'error', abs_path('policies/rego/sandbox.rego'), @more);
    $t->wait_until(60, sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) }) or $t->_died('opa');
}
start_opa(abs_path('t/extra/opa/cases.rego'));
my $http = HTTP::Tiny->new(timeout => 300, keep_alive => 1);

# The C evaluator over lines of {layers, kind, request, tool}; its answers in order.
sub by_lib {
    my (@lines) = @_;
    my $in = $t->write('cases.ndjson', join '', map { $JSON->encode($_) . "\n" } @lines);
    open my $out, '-|', "$tool < $in" or die $!;
    my @found = map { $JSON->decode($_) } <$out>;
    close $out or die "$tool failed\n";
    return @found;
}

# The twins on the same: {layers, question}.
sub by_rego {
    my (@cases) = @_;
    my $reply = $http->post("http://127.0.0.1:$port/v1/data/cases/decisions", { content => $JSON->encode({ input => { cases => \@cases } }), headers => { 'Content-Type' => 'application/json' } });
    my $found = $reply->{status} == 200 ? $JSON->decode($reply->{content})->{result} : undef;
    die "the twins said $reply->{status}: " . substr($reply->{content}, 0, 500) . "\n" unless $found && @$found == @cases;
    return @$found;
}

my (%count, @differ);
sub compare {
    my (@lines) = @_;
    my @lib = by_lib(@lines);
    my @at = grep { !$lib[$_]{error} && !exists $lib[$_]{error} } 0 .. $#lib;
    $count{'not of the form'} += @lib - @at;
    my @rego = by_rego(map { { layers => $lines[$_]{layers}, question => $lib[$_]{question}{input} } } @at);
    for my $n (0 .. $#at) {
        my ($line, $lib, $rego) = ($lines[ $at[$n] ], $lib[ $at[$n] ], $rego[$n]);
        my %rules = map { $_->{rule} => 1 } @{ $rego->{violations} };
        my $same = ($lib->{allow} ? 1 : 0) == ($rego->{allow} ? 1 : 0) && join(' ', sort @{ $lib->{rules} }) eq join(' ', sort keys %rules);
        push @differ, { case => $line, question => $lib->{question}{input}{request}, lib => [sort @{ $lib->{rules} }], rego => [sort keys %rules] } unless $same;
        $count{ $lib->{allow} ? 'allowed' : 'denied' }++;
        $count{"rule $_"}++ for @{ $lib->{rules} };
    }
    return scalar @at;
}

# What the documents of tests say, both have to say.
my @cases = map { my $file = $_; map { { %$_, file => $file } } @{ $JSON->decode(Sandbox::_slurp($file)) } } glob 'policies/tests/*.json';
my @lines = map { { layers => $_->{layers}, kind => $_->{kind} // 'job', request => $_->{request}, defined $_->{tool} ? (tool => $_->{tool}) : () } } grep { defined $_->{expect}{allowed} } @cases;
cmp_ok(scalar @lines, '>=', 150, 'cases of policies/tests');
is(compare(@lines), scalar @lines, 'all are of the form');
is(scalar @differ, 0, 'both evaluators agree on policies/tests') or diag explain splice @differ, 0, 3;

# 10,000 of all members.
%count = ();
@differ = ();
my $seed = $ENV{SANDBOX_OPA_SEED} // 20260102;
Sandbox::PolicyCases::seed($seed);
my $done = 0;
while ($done < $wanted) {
    my @batch;
    while (@batch < 200) {
        my $layers = Sandbox::PolicyCases::layers();
        push @batch, map { { layers => $layers, %{ Sandbox::PolicyCases::request() } } } 1 .. 8;
    }
    $done += compare(@batch);
    die "hardly any is of the form\n" if $count{'not of the form'} > 20 * $wanted;
}
is(scalar @differ, 0, "both agree on $done generated requests (seed $seed)") or diag explain splice @differ, 0, 3;
cmp_ok($done, '>=', $wanted, 'as many as wanted');
cmp_ok($count{allowed}, '>=', $wanted / 20, 'many were allowed');
cmp_ok($count{denied}, '>=', $wanted / 5, 'many denied');
if ($wanted >= 10_000) {
    cmp_ok($count{"rule $_"} // 0, '>=', 20, "for $_") for (map { "limits.$_" } qw(cpu cpu_time memory disk processes time output)), qw(languages templates tools isolation.minimum dependencies.pip
        dependencies.npm egress secrets services services.max env.max files.max files.max_bytes artifacts.max max_wait sessions.ttl sessions.idle_timeout sessions.step_timeout policies.max);
}
note(join ', ', map { "$_ $count{$_}" } sort keys %count);
$t->stop('opa');

# The gateway in front of it, with documents of the service's own.
my $policies = $t->write('opa/data.json', $JSON->encode({ policies => { default => { version => 1 }, tenants => { acme => { documents => [{ version => 1, languages => ['python'], limits => { memory => { max => '128Mi' } } }],
    agents => { tiny => [{ version => 1, env => { max => 0 } }] } } } } }));
start_opa($policies);
my $dir = $t->policies(default => { languages => ['python', 'bash'] });
$t->start_front("sandbox_policy_dir $dir; sandbox_denial_log $t->{dir}/denials.jsonl; upstream opa { server 127.0.0.1:$port; keepalive 4; } sandbox_policy_opa http://opa/v1/data/sandbox/decision timeout=10s;",
    locations => 'location = /v1/jobs { sandbox_policy body; proxy_pass http://up$sandbox_uri; }');
sub job { my ($who, %more) = @_; return $t->request('POST', '/v1/jobs', json => { language => 'python', code => 'x', %more }, tenant => 'acme', %$who) }
sub rules { return join ' ', map { $_->{rule} } @{ ($_[0]{json} || {})->{violations} || [] } }
is(job({})->{status}, 200, 'allowed by both');
my $reply = job({}, language => 'bash');
is("$reply->{status} " . rules($reply), '403 opa languages', 'allowed by us, denied by the service');
$reply = job({}, limits => { memory => '200Mi' });
is("$reply->{status} " . rules($reply), '403 opa limits.memory', 'for a number');
is_deeply([@{ $reply->{json}{violations}[1] }{qw(limit observed)}], [128 << 20, 200 << 20], 'as it says');
is(job({ agent => 'tiny' }, env => { X => 'y' })->{status}, 403, 'for one agent');
is(job({ agent => 'other' }, env => { X => 'y' })->{status}, 200, 'not for another');
is(job({ tenant => 'other' }, language => 'bash')->{status}, 200, 'nor for another tenant');
$reply = job({ tenant => 'other' }, language => 'ruby');
is("$reply->{status} " . rules($reply), '403 languages', 'what we deny it is not asked about');
$t->stop('opa');
$reply = job({});
is("$reply->{status} " . rules($reply), '403 opa', 'and without it nothing is allowed');
cmp_ok(scalar(() = $t->denials(4, sub { ($_->{rule} // '') eq 'opa' })), '>=', 4, 'denials are recorded');
$t->finish;
done_testing();
