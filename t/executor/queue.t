#!/usr/bin/perl
# Admission: bounded, fair between tenants and agents, honest when full.
use strict;
use warnings;
use lib 't/lib';
use Sandbox;
use Sandbox::Context;
use Test::More;

my $t = Sandbox->new(executor => {
    'pool.default' => 0, 'limits.max_running' => 1, 'limits.max_queued' => 8, 'limits.max_queued_per_tenant' => 5, 'limits.queue_timeout' => '60s',
});
$t->start_launcher->start_executor;

sub ask {
    my ($method, $path, %option) = @_;
    my $who = delete $option{who} || {};
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, %$who), %option);
}
sub begin { my ($code, %who) = @_; return ask('POST', '/v1/jobs', json => { language => 'bash', code => $code, wait => 0 }, who => \%who) }
sub get { my ($id, %who) = @_; return ask('GET', "/v1/jobs/$id", who => \%who)->{json} }

my $holder = begin('sleep 60', tenant => 'big')->{json}{job_id};
my @big = map { begin("true", tenant => 'big') } 1 .. 5;
is_deeply([map { $_->{status} } @big], [(202) x 5], 'a tenant may wait five deep');
my $full = begin('true', tenant => 'big');
is($full->{status}, 429, 'not six: 429');
is($full->{json}{code}, 'tenant_queue_full', 'named');
ok($full->{headers}{'retry-after'} >= 1 && $full->{headers}{'retry-after'} <= 60, 'with an honest Retry-After');
my @small = map { begin("true", tenant => "small$_") } 1 .. 3;
is_deeply([map { $_->{status} } @small], [(202) x 3], 'others still may');
my $all = begin('true', tenant => 'late');
is($all->{status}, 503, 'all places taken: 503');
is($all->{json}{code}, 'queue_full', 'named');
ok($all->{headers}{'retry-after'} >= 1, 'with Retry-After');
ask('DELETE', "/v1/jobs/$holder", who => { tenant => 'big' });

ok($t->wait_until(30, sub { get($big[4]{json}{job_id}, tenant => 'big')->{status} eq 'succeeded' }), 'all are served');
my %begun = map { $_->[0] => get($_->[1]{json}{job_id}, tenant => $_->[0] =~ s/-.*//r)->{started_at} }
    (map { ["big-$_", $big[$_ - 1]] } 1 .. 5), (map { ["small$_", $small[$_ - 1]] } 1 .. 3);
my @order = sort { $begun{$a} cmp $begun{$b} } keys %begun;
my %place = map { $order[$_] => $_ } 0 .. $#order;
cmp_ok($place{$_}, '<', 5, "$_ had its turn among the big tenant's") for qw(small1 small2 small3);
is_deeply([grep { /^big/ } @order], [map { "big-$_" } 1 .. 5], 'a tenant is served in order');
is(begin('true', tenant => 'late')->{status}, 202, 'there is room again');

# Agents of one tenant.
$holder = begin('sleep 60', tenant => 'team', agent => 'first')->{json}{job_id};
my @first = map { begin('true', tenant => 'team', agent => 'first') } 1 .. 3;
my $second = begin('true', tenant => 'team', agent => 'second');
ask('DELETE', "/v1/jobs/$holder", who => { tenant => 'team', agent => 'first' });
ok($t->wait_until(30, sub { get($first[2]{json}{job_id}, tenant => 'team')->{status} eq 'succeeded' }), 'served');
cmp_ok(get($second->{json}{job_id}, tenant => 'team')->{started_at}, 'lt', get($first[2]{json}{job_id}, tenant => 'team')->{started_at}, 'an agent does not wait for all of another');

# The queue's deadline.
$t->stop('executor');
$t->start_executor('limits.queue_timeout' => '3s');
$holder = begin('sleep 60', tenant => 'slow');
ok($t->wait_until(30, sub { get($holder->{json}{job_id}, tenant => 'slow')->{status} eq 'running' }), 'one runs');
my $waits = ask('POST', '/v1/jobs', json => { language => 'bash', code => 'true', wait => 30 }, who => { tenant => 'slow2' });
is_deeply([$waits->{status}, $waits->{json}{status}, $waits->{json}{started_at}], [200, 'timed_out', undef], 'who waits too long is timed_out');
ok(length $waits->{json}{message}, 'and told why');
is(get($holder->{json}{job_id}, tenant => 'slow')->{status}, 'running', 'the running one runs on');
ask('DELETE', "/v1/jobs/$holder->{json}{job_id}", who => { tenant => 'slow' });
$t->stop('executor');

# A tenant's own cap leaves the other slots to others.
$t->start_executor('limits.max_running' => 4, 'limits.queue_timeout' => '20s');
my @capped = map { begin($_, tenant => 'capped', concurrency => 1) } 'sleep 60', 'true', 'true';
my $free = ask('POST', '/v1/jobs', json => { language => 'bash', code => 'true' }, who => { tenant => 'free' });
is($free->{json}{status}, 'succeeded', 'another tenant runs beside it');
my @state;
ok($t->wait_until(30, sub { @state = map { get($_->{json}{job_id}, tenant => 'capped')->{status} } @capped; $state[0] eq 'running' }), 'one of the capped runs');
is("@state", 'running queued queued', 'not more');
ask('DELETE', "/v1/jobs/$capped[0]{json}{job_id}", who => { tenant => 'capped' });
ok($t->wait_until(30, sub { get($capped[2]{json}{job_id}, tenant => 'capped')->{status} eq 'succeeded' }), 'they run one after another');

# Bodies that are only promised take room too.
$t->stop('executor');
$t->start_executor('limits.max_queued_bytes' => '1Mi', 'limits.queue_timeout' => '20s');
my @slow = map {
    my $socket = IO::Socket::UNIX->new(Peer => "$t->{dir}/sock/executord.sock");
    Sandbox::Contract::sent($socket, "POST /v1/jobs HTTP/1.1\r\n\r\n");
    print {$socket} "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nSandbox-Context: " . Sandbox::Context::sign($t->{key}) . "\r\nContent-Length: 600000\r\n\r\n{";
    $socket->flush;
    $socket;
} 1 .. 2;
my $refused = Sandbox::_converse($slow[1], '', until => qr/\r\n\r\n/);
like($refused, qr{^HTTP/1\.1 503 .*Retry-After: 1}s, 'the second large body is refused before it is read');
is(ask('POST', '/v1/jobs', json => { language => 'bash', code => 'true' })->{status}, 200, 'a small one fits beside the first');
close $_ for @slow;
ok($t->wait_until(30, sub { ask('POST', '/v1/jobs', json => { language => 'bash', code => 'true', stdin => 'x' x 700_000 })->{status} == 200 }), 'who leaves gives the room back');

# 100 at once from 10 tenants.
$t->stop('executor');
$t->start_executor('limits.max_running' => 4, 'limits.max_queued' => 200, 'limits.max_queued_per_tenant' => 50, 'limits.queue_timeout' => '60s', 'pool.default' => 4);
my @children;
for my $i (0 .. 99) {
    my $pid = fork // die $!;
    if (!$pid) {
        my $run = ask('POST', '/v1/jobs', json => { language => 'bash', code => "echo $i", wait => 60 }, who => { tenant => 't' . $i % 10 })->{json};
        POSIX::_exit($run && $run->{status} eq 'succeeded' && $run->{stdout} eq "$i\n" ? 0 : 1);
    }
    push @children, $pid;
}
my $failed = 0;
for my $pid (@children) { waitpid $pid, 0; $failed++ if $? }
is($failed, 0, '100 jobs at once from 10 tenants, each with its own output');
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
