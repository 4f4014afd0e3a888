#!/usr/bin/perl
# Sandboxes that cannot be made: not ready, and ready again by itself.
use strict;
use warnings;
use lib 't/lib';
use Sandbox;
use Sandbox::Context;
use Test::More;

sub reasons { my ($t) = @_; my $ready = $t->executor_request('GET', '/readyz'); return join ' ', $ready->{status}, @{ $ready->{json}{reasons} } }

for my $size (0, 2) {
    my $t = Sandbox->new(executor => { 'pool.default' => $size, 'limits.queue_timeout' => '3s' });
    my $ask = sub { my ($code) = @_; return $t->executor_request('POST', '/v1/jobs', context => Sandbox::Context::sign($t->{key}), json => { language => 'bash', code => $code, wait => 10 })->{json} };
    $t->start_launcher->start_executor;
    is($ask->('echo before')->{stdout}, "before\n", "size $size: a job runs");
    is(reasons($t), '200', 'ready');

    # A launcher that does not know the template.
    is($t->stop('launcher'), 0, 'the launcher ends');
    $t->start_launcher('template.default.root' => undef, 'template.other.root' => '/');
    my $job = $ask->('echo meanwhile');
    is($job->{status}, 'timed_out', 'a job finds no sandbox');
    ok($t->wait_until(30, sub { reasons($t) eq '503 sandboxes' }), 'not ready, and why') or diag reasons($t);

    is($t->stop('launcher'), 0, 'it ends');
    $t->start_launcher;
    ok($t->wait_until(30, sub { reasons($t) eq '200' }), 'ready again though nobody asks for a sandbox') or diag reasons($t);
    is($ask->('echo after')->{stdout}, "after\n", 'and jobs run');
    $t->finish;
}
done_testing();
