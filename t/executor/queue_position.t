#!/usr/bin/perl
# Who waits is told its place, and who is refused when there will be room; both are true.
use strict;
use warnings;
use lib 't/lib';
use Sandbox;
use Sandbox::Context;
use Sandbox::Stream;
use Test::More;
use Time::HiRes qw(time sleep);

my $t = Sandbox->new(executor => {
    'pool.default' => 2, 'limits.max_running' => 1, 'limits.max_queued' => 30, 'limits.max_queued_per_tenant' => 6, 'limits.queue_timeout' => '60s',
});
$t->start_launcher->start_executor;

sub ask {
    my ($method, $path, %option) = @_;
    my $who = delete $option{who} || {};
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, %$who), %option);
}
sub begin { my ($code, %who) = @_; return ask('POST', '/v1/jobs', json => { language => 'bash', code => $code, wait => 0 }, who => \%who) }
sub get { my ($id, %who) = @_; return ask('GET', "/v1/jobs/$id", who => \%who)->{json} }
sub over { my ($id, %who) = @_; return $t->wait_until(30, sub { my $job = get($id, %who); $job->{finished_at} && $job }) }
my $hold = 'while [ ! -e /workspace/go ]; do sleep 0.05; done';

# Places.
my $holder = begin('sleep 60', tenant => 'a')->{json};
ok($t->wait_until(30, sub { get($holder->{job_id}, tenant => 'a')->{status} eq 'running' }), 'one runs');
ok(!exists get($holder->{job_id}, tenant => 'a')->{queue_position}, 'it has no place in the queue');
my @wait;
for my $one (['a', 'x'], ['a', 'x'], ['a', 'y'], ['b', 'x'], ['b', 'x'], ['c', 'x']) {
    my $job = begin('true', tenant => $one->[0], agent => $one->[1])->{json};
    push @wait, { tenant => $one->[0], id => $job->{job_id}, said => $job->{queue_position} };
}
is_deeply([map { $_->{said} } @wait], [1, 2, 2, 2, 4, 3], 'each is told its place when it comes, as things are then');
is_deeply([map { get($_->{id}, tenant => $_->{tenant})->{queue_position} } @wait], [1, 6, 4, 2, 5, 3], 'tenants and agents take turns, and the places say so');
is_deeply([sort map { $_->{queue_position} } grep { $_->{status} eq 'queued' } @{ ask('GET', '/v1/jobs', who => { tenant => 'a' })->{json}{jobs} }], [1, 4, 6], 'in a list as well');
is_deeply([sort map { $_->{queue_position} } @{ ask('GET', '/v1/jobs?status=queued', who => { tenant => 'b' })->{json}{jobs} }], [2, 5], 'in a list of those that wait');

my $stream = ask('GET', "/v1/jobs/$wait[4]{id}", who => { tenant => 'b' }, headers => { Accept => 'text/event-stream' }, timeout => 30, until => qr/queue_position[^\n]*\n\n/);
like($stream->{content}, qr/^retry: 1000\n\nevent: queued\ndata: \{"job_id":"$wait[4]{id}","queue_position":5\}\n\n/, "a stream's first event says the place, and has no id");

ask('DELETE', "/v1/jobs/$wait[3]{id}", who => { tenant => 'b' });
is_deeply([map { get($wait[$_]{id}, tenant => $wait[$_]{tenant})->{queue_position} } 0, 1, 2, 4, 5], [1, 5, 4, 2, 3], 'who leaves makes the others move up');
ask('DELETE', "/v1/jobs/$holder->{job_id}", who => { tenant => 'a' });
my @begun = map { [$wait[$_]{said} = $_, over($wait[$_]{id}, tenant => $wait[$_]{tenant})] } 0, 1, 2, 4, 5;
is_deeply([map { $_->[1]{status} } @begun], [('succeeded') x 5], 'all are served');
is_deeply([map { $_->[0] } sort { $a->[1]{started_at} cmp $b->[1]{started_at} } @begun], [0, 4, 5, 2, 1], 'in the order that was said');
ok(!exists $begun[0][1]{queue_position}, 'who has ended has no place');

# Retry-After: who waits so long gets in. It is learnt from those before, so each has a tenant whose runs are all alike.
sub full {
    my ($code, $who) = @_;
    my @ids;
    for (1 .. 40) {
        my $reply = begin($code, tenant => $who);
        return ($reply, @ids) if $reply->{status} != 202;
        push @ids, $reply->{json}{job_id};
    }
    return;
}
for my $code ('sleep 1', 'sleep 0.5', 'sleep 2') {
    my $tenant = $code =~ s/\W/-/gr;
    is(over(begin($code, tenant => $tenant)->{json}{job_id}, tenant => $tenant)->{status}, 'succeeded', "$code: one before");
    my ($refused, @ids) = full($code, $tenant);
    my $after = $refused->{headers}{'retry-after'};
    is($refused->{json}{code}, 'tenant_queue_full', "$code: refused");
    cmp_ok($after, '<=', 12, 'not for long') or diag $after;
    sleep $after;    # what the client was told to do
    is(begin($code, tenant => $tenant)->{status}, 202, "gets in after $after s");
    ask('DELETE', "/v1/jobs/$_", who => { tenant => $tenant }) for map { $_->{job_id} } grep { $_->{status} =~ /queued|running/ } @{ ask('GET', '/v1/jobs?limit=100', who => { tenant => $tenant })->{json}{jobs} };
    over($_, tenant => $tenant) for @ids;
}

# By all together, for one that has nothing here.
my @all;
for my $n (1 .. 30) { my $reply = begin('sleep 0.5', tenant => 'e' . $n % 6); push @all, $reply; last if $reply->{status} == 503 }
while ($all[-1]{status} == 202) { push @all, begin('sleep 0.5', tenant => 'late' . @all) }
is($all[-1]{json}{code}, 'queue_full', 'all places are taken');
my $after = $all[-1]{headers}{'retry-after'};
cmp_ok($after, '<=', 12, 'not for long');
sleep $after;
is(begin('true', tenant => 'new')->{status}, 202, "gets in after $after s");
$t->stop('executor');

# Sessions: the first that its clocks end; steps: the one that runs.
$t->start_executor('limits.max_running' => 4);
my $session = ask('POST', '/v1/sessions', json => { language => 'bash', ttl => '3s' }, who => { sessions => 1 });
is($session->{status}, 201, 'a session');
my $second = ask('POST', '/v1/sessions', json => { language => 'bash' }, who => { sessions => 1 });
is($second->{json}{code}, 'session_limit', 'no second one');
cmp_ok($second->{headers}{'retry-after'}, '<=', 4, 'until the first is over');
sleep $second->{headers}{'retry-after'};
$session = ask('POST', '/v1/sessions', json => { language => 'bash' }, who => { sessions => 1 });
is($session->{status}, 201, 'so it is');
my $id = $session->{json}{session_id};
my $step;
for (1 .. 40) { $step = ask('POST', "/v1/sessions/$id/steps", json => { code => 'sleep 1', wait => 0 }); last if $step->{status} != 202 }
is($step->{json}{code}, 'step_queue_full', 'as many steps wait as may');
cmp_ok($step->{headers}{'retry-after'}, '<=', 8, 'until one is over');
sleep $step->{headers}{'retry-after'};
is(ask('POST', "/v1/sessions/$id/steps", json => { code => 'true', wait => 0 })->{status}, 202, 'so it is');
ask('DELETE', "/v1/sessions/$id");
$t->finish;
done_testing();
