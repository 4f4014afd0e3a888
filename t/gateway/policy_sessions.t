#!/usr/bin/perl
# What the edge decides on the bodies of sessions, extensions, steps and commands, and what of it is signed.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Front;
use Test::More;

my $t = Sandbox::Front->new;
my $locations = join "\n", map { my ($path, $mode) = @$_; "location = /$path { sandbox_route r.$path; sandbox_policy $mode; client_max_body_size 1m; proxy_pass http://up\$sandbox_uri; }" }
    ['session', 'session'], ['extend', 'extend'], ['step', 'step'], ['process', 'process'], ['job', 'body'], ['on', 'on'];
my $dir = $t->policies(
    default => { sessions => { max => 5, max_lifetime => '2h', ttl => { default => '20m', max => '1h' }, idle_timeout => { default => '5m', max => '30m' }, step_timeout => { default => '7s', max => '1m' }, cpu_time => { default => '90s', max => '10m' } },
                 uploads => { max_bytes => '3Gi' }, artifacts => { total_bytes => '5Gi' }, retention => { records => '24h', artifacts => '48h' }, languages => [qw(python bash)] },
    'tenants/acme' => { version => 3, id => 'pol_acme', sessions => { max => 0, ttl => { max => '10m' } }, uploads => { max_bytes => 10 } },
    'tenants/acme/agents/tiny' => { sessions => { step_timeout => { max => '1s' } } });
$t->start_front("sandbox_policy_dir $dir; sandbox_denial_log $t->{dir}/denials.jsonl;", locations => $locations, workers => 2);

sub ask_for { my ($path, $json, %option) = @_; return $t->request($option{method} // 'POST', "/$path", json => $json, %option) }
sub context_of { my ($reply) = @_; return $t->open_context(($reply->{json} || {})->{sandbox_context}) || {} }
sub violations { my ($reply) = @_; return join ' ', $reply->{status}, map { "$_->{rule} $_->{limit} $_->{observed}" } map { ref $_->{limit} ? { %$_, limit => '[]' } : $_ } @{ $reply->{json}{violations} || [] } }

# What the policy says travels with every request.
my @MEMBERS = qw(sessions ttl_ms ttl_max idle_ms idle_max step_ms step_max life_ms up_bytes art_total keep_rec keep_art);
my @default = (5, 1_200_000, 3_600_000, 300_000, 1_800_000, 7000, 60_000, 7_200_000, 3 << 30, 5 << 30, 86_400_000, 172_800_000);
for my $case (['session', 'POST', {}], ['session', 'GET'], ['extend', 'PATCH', { ttl => 1 }], ['extend', 'GET'], ['step', 'POST', { code => '1' }], ['process', 'POST', { argv => ['x'] }], ['on', 'GET'], ['on', 'PUT'],
              ['job', 'POST', { language => 'python', code => '1' }]) {
    my ($path, $method, $json) = @$case;
    my $context = context_of($json ? ask_for($path, $json, method => $method) : $t->request($method, "/$path"));
    is_deeply([@{$context}{@MEMBERS}], \@default, "$method /$path carries it");
    my $grants = $method eq 'POST' && $path =~ /session|job/;
    is(defined $context->{limits} ? 1 : 0, $grants ? 1 : 0, 'limits where something is made');
}
my $context = context_of($t->request('GET', '/on', tenant => 'acme', agent => 'tiny'));
is_deeply([@{$context}{qw(sessions ttl_ms ttl_max step_ms step_max up_bytes policy_v)}], [0, 600_000, 600_000, 1000, 1000, 10, 1], 'narrowed by tenant and agent');

# Limits of a session.
$context = context_of(ask_for('session', { limits => { memory => '512Mi' } }));
is_deeply([@{ $context->{limits} }{qw(cpu_time_ms time_ms memory_bytes)}], [90_000, 7_200_000, 512 << 20], 'CPU of the whole session, its longest life, and what it asked for');
$context = context_of(ask_for('session', { template_id => 'default', timeout => 300, resources => { cpu => '1', memory => '512Mi', disk => '256Mi', cpu_time => '5m' } }));
is_deeply([@{ $context->{limits} }{qw(cpu cpu_time_ms memory_bytes disk_bytes)}], ['1000m', 300_000, 512 << 20, 256 << 20], 'in the older form too') or diag explain $context->{limits};
is(context_of(ask_for('session', { runtime => 'python', isolation => 'gvisor' }))->{iso}, 'gvisor', 'the tier is signed');

# Refused, with every rule.
is(violations(ask_for('session', { ttl => '61m', idle_timeout => '31m', step_timeout => '61s', limits => { cpu_time => '601s', memory => '2Gi' } })),
   '403 limits.memory 1Gi 2Gi sessions.ttl 3600s 3660s sessions.idle_timeout 1800s 1860s sessions.step_timeout 60s 61s sessions.cpu_time 600s 601s', 'all that is too much is named');
is(violations(ask_for('session', { timeout => 3601, resources => { memory => '2Gi' } })), '403 limits.memory 1Gi 2Gi sessions.ttl 3600s 3601s', 'in the older form too');
is(violations(ask_for('session', { runtime => 'node' })), '403 languages [] javascript', 'a runtime that is not allowed');
is(violations(ask_for('session', { ttl => '11m' }, tenant => 'acme')), '403 sessions.ttl 600s 660s', 'the tenant\'s own policy');
is(violations(ask_for('extend', { ttl => '61m' }, method => 'PATCH')), '403 sessions.ttl 3600s 3660s', 'an extension');
is(ask_for('extend', { ttl => '61m' })->{status}, 200, 'only PATCH extends');
is(violations(ask_for('step', { code => '1', timeout => 61 })), '403 sessions.step_timeout 60s 61s', 'a step');
is(violations(ask_for('step', { code => '1', timeout => '1001ms' }, tenant => 'acme', agent => 'tiny')), '403 sessions.step_timeout 1s 1001ms', 'of an agent');
is(violations(ask_for('step', { code => '1', language => 'js' })), '403 languages [] javascript', 'in another language');
is(violations(ask_for('process', { argv => ['x'], env => { map { ("A$_" => '') } 1 .. 65 } })), '403 env.max 64 65', 'a command');
is(ask_for('process', { argv => ['x'], timeout => '24h' })->{status}, 200, 'that may run long');

my @denied = $t->denials(9);
is(scalar(grep { $_->{code} eq 'policy_violation' } @denied), 9, 'each in the denial log');
my ($first) = grep { $_->{rule} eq 'limits.memory' } @denied;
is_deeply([@{$first}{qw(route tenant limit observed)}, scalar @{ $first->{violations} || [] }], ['r.session', 'demo', '1Gi', '2Gi', 5], 'with route, limit and what was asked');

# Bodies that are none.
for my $case (['session', { ttl => 'soon' }, '/ttl'], ['session', { ttl => 1, timeout => 1 }, '/timeout'], ['session', { limits => {}, resources => {} }, '/resources'], ['session', { limits => { time => 5 } }, '/limits'],
              ['session', { template => 'a', template_id => 'b' }, '/template_id'], ['session', { runtime => 7 }, '/runtime'], ['session', { env => { A => 1 } }, '/env/A'], ['session', { files => [{}] }, '/files/0/path'],
              ['session', { isolation => 'vm' }, '/isolation'], ['session', [], ''], ['step', { timeout => -1 }, '/timeout'], ['step', { language => 'a b' }, '/language'], ['process', { env => 5 }, '/env']) {
    my ($path, $json, $field) = @$case;
    my $reply = ask_for($path, $json);
    is($reply->{status}, 422, "/$path: $field is wrong");
    is($reply->{json}{errors}[0]{field}, $field, 'and named');
}
is(ask_for('extend', { idle_timeout => 0 }, method => 'PATCH')->{status}, 422, 'an extension by nothing');
for my $path (qw(session step process)) {
    is($t->request('POST', "/$path", body => '{}')->{status}, 415, "/$path needs a kind");
    is($t->request('POST', "/$path", body => '{', headers => { 'Content-Type' => 'application/json' })->{json}{code}, 'malformed_json', 'and JSON');
    is($t->request('POST', "/$path", body => '', headers => { 'Content-Type' => 'application/json' })->{status}, 400, 'and some of it');
    is($t->request('POST', "/$path", body => '{"ttl":1,"ttl":2}', headers => { 'Content-Type' => 'application/json' })->{status}, 400, 'with each member once');
}
is($t->request('PATCH', '/extend', body => '{}', headers => { 'Content-Type' => 'text/plain' })->{status}, 415, 'so does an extension');
my ($fine, $said) = $t->accepts($t->base, locations => 'location /x { sandbox_policy sessions; }');
ok(!$fine && $said =~ /sessions/, 'an unknown mode is refused');
$t->finish;
done_testing();
