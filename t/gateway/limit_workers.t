#!/usr/bin/perl
# Buckets are exact across workers: N requests at once, burst b, time t: b + rate * t pass.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Front;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox::Front->new;
my $locations = <<'END';
    location /slowly { sandbox_rate tenant rate=1r/m burst=40; proxy_pass http://up/; }
    location /steadily { sandbox_rate tenant rate=50r/s burst=10; proxy_pass http://up/; }
    location /one { sandbox_rate tenant rate=1r/m burst=1; proxy_pass http://up/; }
    location /capped { sandbox_concurrency tenant 4; sandbox_rate tenant rate=1r/m burst=200; proxy_pass http://up/; }
END
$t->start_front('', locations => $locations, workers => 4);
ok($t->wait_until(30, sub { (() = $t->gateway_workers) == 4 }), 'four workers');

for my $round (1 .. 3) {
    my $status = $t->many(150, 'GET', '/slowly', tenant => "crowd$round");
    is_deeply($status, { 200 => 40, 429 => 110 }, "150 at once, burst 40: exactly 40 pass (round $round)");
    is_deeply($t->many(60, 'GET', '/one', tenant => "one$round"), { 200 => 1, 429 => 59 }, 'burst 1: exactly one');
}

# Over time: between the first request's send and the last one's reply no more than the time allows.
my $start = time;
my $passed = 0;
$passed += $t->many(60, 'GET', '/steadily', tenant => 'steady')->{200} // 0 while time < $start + 2;
my $elapsed = time - $start;
cmp_ok($passed, '<=', 10 + 50 * $elapsed + 1, sprintf 'no more than burst + rate * time: %d in %.2f s', $passed, $elapsed);
# Who waits a fortieth of a second after each answer asks less than 50 times in one, however busy the machine is.
my $refused = 0;
for (1 .. 40) {
    select undef, undef, undef, 1 / 40;
    $refused++ if $t->request('GET', '/steadily', tenant => 'steady')->{status} != 200;
}
is($refused, 0, 'and below the rate none is refused');

# A worker that is killed takes no token with it and gives none back.
$t->{expect_log} = qr/exited on signal 9|zone "\w+" was locked by/;    # the master frees what the killed one held
my $before = $t->many(30, 'GET', '/slowly', tenant => 'killed');
is_deeply($before, { 200 => 30 }, '30 of 40');
kill 'KILL', ($t->gateway_workers)[0];
ok($t->wait_until(30, sub { (() = $t->gateway_workers) == 4 }), 'a worker is killed and replaced');
my $reset = $t->error_log =~ /event=limit\.reset/;
is_deeply($t->many(30, 'GET', '/slowly', tenant => 'killed'), { 200 => 10, 429 => 20 }, 'the bucket is as it was') unless $reset;

# Kills in the middle of a crowd, again and again: never a hang, never a count that stays.
for my $round (1 .. 5) {
    my $token = $t->token(tenant => "storm$round");
    my @open = map { $t->begin('GET', '/capped', token => $token) } 1 .. 80;
    kill 'KILL', ($t->gateway_workers)[$round % 4];
    my $answered = grep { $_ && $_->{status} =~ /^(200|429|502)$/ } map { $t->await($_) } @open;
    cmp_ok($answered, '>=', 20, "round $round: $answered of 80 were answered") or diag($t->error_log);
    ok($t->wait_until(30, sub { (() = $t->gateway_workers) == 4 }), 'the worker is back');
}
ok($t->wait_until(30, sub { $t->metric('limit_leases') == 0 }), 'no request is counted that does not run');
ok($t->wait_until(30, sub { $t->metric('in_flight') == 1 }), 'but the one that asks') or diag($t->metric('in_flight'));
unlike($t->error_log, qr/signal (6|11)|\[alert\](?!.*(?:signal 9|was locked by))/, 'nobody crashed');
$t->finish;
done_testing();
