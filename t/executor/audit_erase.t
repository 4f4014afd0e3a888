#!/usr/bin/perl
# Bodies of events go when their time is over, as the policy or else the configuration says: from the database and from
# the segments, with an event that says so; the chain verifies, and a body that goes any other way is found.
use strict;
use warnings;
use lib 't/lib';
use JSON::PP;
use POSIX qw(strftime);
use Sandbox;
use Sandbox::Context;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 0, 'retention.audit_min' => '0s' });
$t->start_launcher->start_executor;
sub ask { my ($who, $method, $path, %option) = @_; return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, scopes => 'audit:read jobs:write', %$who), %option) }
sub refuse { my (%who) = @_; return ask({ %who, scopes => 'sessions:read' }, 'POST', '/v1/jobs', json => { language => 'bash', code => 'x' })->{status} }
sub segments { return sort glob "$t->{dir}/data/audit/audit-*.jsonl" }
sub lines { return map { split /\n/, Sandbox::_slurp($_) } segments() }

# Four that go after seconds, four that stay. The subjects are what must be gone.
is(refuse(tenant => 'brief', sub => "secret-$_", keep_audit => 4000), 403, 'refused') for 1 .. 4;
is(refuse(tenant => 'long', sub => "known-$_"), 403, 'refused') for 1 .. 4;
ok($t->wait_until(30, sub { scalar(grep { /known-4/ } lines()) }), 'all are in the log');
is(scalar(grep { /secret-/ } lines()), 4, 'with their bodies, for now');
ok(!(grep { !/"keep_until":"\d/ } grep { /"tenant":"brief"/ } lines()), 'and with the time until which they are kept');
is(ask({ tenant => 'brief' }, 'GET', '/v1/audit?subject=secret-2')->{json}{events}[0]{body}{subject}, 'secret-2', 'which is readable');

# Only closed segments are rewritten: make this one closed, as a day that ends does.
$t->stop('executor');
my ($first) = segments();
my @before = lines();
my $text = Sandbox::_slurp($first);
system('touch', '-d', 'yesterday', $first);
ok($t->audit_verify, 'it verifies before');
$t->start_executor('audit.segment_lines' => 1, 'retention.audit_min' => '240h');
refuse(tenant => 'long', sub => 'known-5');
refuse(tenant => 'hasty', sub => 'kept-1', keep_audit => 1);
ok($t->wait_until(30, sub { scalar(grep { /known-5/ } lines()) && scalar(grep { /kept-1/ } lines()) }), 'so do two more');
ok($t->wait_until(30, sub { scalar(grep { /"kind":"audit.erased"/ } lines()) && !grep { /secret-/ } lines() }), 'the bodies are gone from the segments') or diag Sandbox::_slurp("$t->{dir}/logs/executor.log");
my ($erased) = map { decode_json($_) } grep { /"kind":"audit.erased"/ } lines();
is($erased->{tenant}, 'brief', 'an event says of whom');
is_deeply([@{ $erased->{body} }{qw(events rule)}], [4, 'retention.audit'], 'how many and why');
is(scalar(grep { /"tenant":"brief".*"body":null\}$/ } lines()), 4, 'what is left are tombstones');
is(scalar(grep { /known-/ } lines()), 5, 'the others have theirs');
my ($hasty) = map { decode_json($_) } grep { /"tenant":"hasty"/ } lines();
ok($hasty->{body}{subject} eq 'kept-1' && $hasty->{keep_until} gt strftime('%Y-%m-%dT%H:%M', gmtime(time + 239 * 3600)), 'no policy makes it less than the operator says')
    or diag explain $hasty;
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the log verifies') or diag $said;
like($said, qr/erased: the bodies of 4 events/, 'and the tombstones are counted');
is_deeply(ask({ tenant => 'brief' }, 'GET', '/v1/audit?subject=secret-2')->{json}{events}, [], 'nobody finds them by what was erased');
is(scalar(grep { !defined $_->{body} } @{ ask({ tenant => 'brief' }, 'GET', '/v1/audit?limit=100')->{json}{events} }), 4, 'they are listed without it');
ok($t->wait_until(30, sub { !grep { index(Sandbox::_slurp($_), 'secret-') >= 0 } glob "$t->{dir}/data/state.db*" }), 'nor are they in any file of the database');
$t->stop('executor');

# One that goes without being erased.
my @files = segments();
my ($file) = grep { Sandbox::_slurp($_) =~ /known-2/ } @files;
my $log = Sandbox::_slurp($file);
(my $cut = $log) =~ s/("subject":"known-2")/$1/;
$cut = join '', map { /known-2/ ? s/,"body":\{.*\}$/,"body":null}/r : $_ } map { "$_\n" } split /\n/, $log;
$cut =~ s/null\}\n\n/null}\n/g;
open my $out, '>', $file or die $!;
print {$out} $cut;
close $out;
my $alone = `$t->{dir}/bin/executord audit verify --dir $t->{dir}/data/audit --public-key $t->{dir}/etc/audit.pub`;
like($alone, qr/^erased: audit-\S+ line \d+, event \d+: the body is gone and no erasure covers it/, 'a body that is gone without an erasure is found');
open $out, '>', $file or die $!;
print {$out} $log;
close $out;
ok($t->audit_verify, 'put back it verifies');

# A segment that somebody changed holds up none of the others, is told once, and stays for the verifier to name.
sub metric { return ask({}, 'GET', '/metrics')->{content} =~ /^sandbox_executor_audit_erase_failures_total (\d+)/m ? $1 : undef }
$t->start_executor('audit.segment_lines' => 4);
is(refuse(tenant => $_ % 2 ? 'odd' : 'even', sub => "secret-$_", keep_audit => 8000), 403, 'refused') for 11 .. 26;
ok($t->wait_until(30, sub { 16 == grep { /secret-/ } lines() }), 'all are in the log');
$t->stop('executor');
my @broken = grep { Sandbox::_slurp($_) =~ /secret-/ } segments();
my $sound = Sandbox::_slurp($broken[0]);
open $out, '>', $broken[0] or die $!;
print {$out} $sound =~ s/"kind":"request\.denied"/"kind":"request.Denied"/r;
close $out;
$t->start_executor('audit.segment_lines' => 4);
refuse(tenant => 'long', sub => 'known-6');
ok($t->wait_until(40, sub { metric() == 1 && !grep { /secret-/ } map { Sandbox::_slurp($_) } grep { $_ ne $broken[0] } segments() }), 'the others are erased') or diag metric();
my $told = () = Sandbox::_slurp("$t->{dir}/logs/executor.log") =~ /"event":"audit\.erase_failed"/g;
is($told, 1, 'it is told once');
$t->stop('executor');
open $out, '>', $broken[0] or die $!;
print {$out} $sound;
close $out;
$t->start_executor('audit.segment_lines' => 4);
refuse(tenant => 'long', sub => 'known-7');
ok($t->wait_until(30, sub { !grep { /secret-/ } lines() }), 'put back it is erased after a start');

# Killed at any point of an erasure, the next start goes on with it, and the log verifies all the time.
my $erasures = sub { scalar(grep { /"kind":"audit\.erased"/ } lines()) };
for my $round (1 .. 6) {
    refuse(tenant => "t$_", sub => "secret-$round", keep_audit => 1) for map { $_ % 5 } 1 .. 30;
    my $before = $erasures->();
    $t->wait_until(30, sub { $erasures->() > $before + $round % 3 || (-e "$t->{dir}/data/audit/erasing.tmp" && $round % 2) });
    $t->kill9('executor');
    $t->start_executor('audit.segment_lines' => 4);
    my ($whole, $why) = $t->audit_verify;
    ok($whole, "killed in an erasure, round $round: it verifies") or diag $why;
}
refuse(tenant => 'long', sub => 'known-8');
ok($t->wait_until(60, sub { 8 > grep { /secret-/ } lines() }), 'and is carried to its end');
($fine, $said) = $t->audit_verify;
ok($fine, 'the log verifies') or diag $said;
$t->finish;
done_testing();
