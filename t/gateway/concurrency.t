#!/usr/bin/perl
# Concurrency caps: held while a request runs, given back once however it ends.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Front;
use Test::More;

my $t = Sandbox::Front->new;
mkdir "$t->{dir}/www";
mkdir "$t->{dir}/www/slow";
$t->write('www/slow/file', 'x' x 4_000_000);
my $locations = <<'END';
    location /slow { proxy_pass http://up/slow/file; client_max_body_size 1m; }
    location /agent { sandbox_concurrency agent 1; proxy_pass http://up/slow/file; }
    location /down { proxy_pass http://127.0.0.1:1/; }
    location /uncapped { sandbox_limit off; proxy_pass http://up/; }
    location /loop { proxy_pass http://127.0.0.1:1/; error_page 502 = /again; }
    location /again { proxy_pass http://up/; }
END
my $caps = 'sandbox_concurrency tenant 3;';
$t->start_front($caps, locations => $locations, workers => 2);

sub leases { return $t->metric('limit_leases') }
sub all_back { my ($name) = @_; ok($t->wait_until(30, sub { leases() == 0 }), $name) or diag(leases() . ' leases are left') }
# Opens requests that run until closed, once they count.
sub hold {
    my ($n, $path, %who) = @_;
    my $before = leases();
    my @held = map { $t->begin('GET', $path, %who) } 1 .. $n;
    $t->wait_until(30, sub { leases() == $before + $n }) or diag('only ' . (leases() - $before) . " of $n run");
    return @held;
}

my @held = hold(3, '/slow', tenant => 'acme');
my $reply = $t->request('GET', '/', tenant => 'acme');
is($reply->{status}, 429, 'the fourth of three is refused');
is($reply->{json}{code}, 'concurrency_limited', 'with its code');
is_deeply([@{ $reply->{json}{violations}[0] }{qw(rule limit observed)}], ['concurrency.tenant', 3, 4], 'and the numbers');
is($reply->{headers}{'retry-after'}, 1, 'and when to try again');
ok(!exists $reply->{headers}{'ratelimit-limit'}, 'without a rate there are no RateLimit fields');
is($t->request('GET', '/', tenant => 'other')->{status}, 200, 'others go on');
is($t->request('GET', '/uncapped', tenant => 'acme')->{status}, 200, 'so does what is not limited');
is($t->request('GET', '/', tenant => 'acme')->{status}, 429, 'a refusal frees nothing') for 1 .. 5;
is(leases(), 3, 'and holds nothing');

close shift @held;
ok($t->wait_until(30, sub { $t->request('GET', '/', tenant => 'acme')->{status} == 200 }), 'a client that goes away gives its place back');
ok($t->wait_until(30, sub { leases() == 2 }), 'one place') or diag(leases());    # the last request's own goes after its answer
close $_ for @held;
all_back('all clients gone: nothing is held');

# However it ends.
is($t->request('GET', '/', tenant => 'acme')->{status}, 200, 'a plain request') for 1 .. 20;
is($t->request('GET', '/down', tenant => 'acme')->{status}, 503, 'an upstream that is down') for 1 .. 5;
is($t->request('GET', '/loop', tenant => 'acme')->{status}, 200, 'an internal redirect') for 1 .. 5;
is($t->request('POST', '/slow', tenant => 'acme', body => 'y' x 2_000_000)->{status}, 413, 'a body too large') for 1 .. 3;
my @half = map { $t->begin('POST', '/slow', tenant => 'acme', body => 'part', headers => { 'Content-Length' => 1000 }) } 1 .. 3;
close $_ for @half;
@half = map { $t->begin('POST', '/slow', tenant => 'acme', body => "5\r\nab", headers => { 'Content-Length' => undef, 'Transfer-Encoding' => 'chunked' }) } 1 .. 3;
close $_ for @half;
# Of others: the half ones may still count.
is($t->await($t->begin('POST', '/slow', tenant => "broken$_", body => "zz\r\n", headers => { 'Content-Length' => undef, 'Transfer-Encoding' => 'chunked' }))->{status}, 400, 'a broken chunk') for 1 .. 3;
all_back('success, failure, redirect, abort, bad body: all given back');
is_deeply($t->many(60, 'GET', '/', tenant => 'acme', headers => { 'X-Other' => 1 })->{none}, undef, 'a crowd is answered');
all_back('and leaves nothing');

# Scopes and policies.
@held = hold(1, '/agent', tenant => 'ag', agent => 'a');
$reply = $t->request('GET', '/agent', tenant => 'ag', agent => 'a');
is($reply->{status}, 429, 'an agent\'s cap');
is($reply->{json}{violations}[0]{rule}, 'concurrency.agent', 'is named');
my @more = hold(1, '/agent', tenant => 'ag', agent => 'b');
is(scalar @more, 1, 'another agent has its own');
close $_ for @held, @more;
all_back('agents done');

# A reload: old workers finish what they hold, new ones see it.
@held = hold(3, '/slow', tenant => 'acme');
$t->write('etc/gateway.conf', $t->gateway_conf($t->edge_conf($t->base($caps), locations => $t->locations($locations), workers => 2)));
my %old = map { $_ => 1 } $t->gateway_workers;
$t->reload_gateway;
ok($t->wait_until(30, sub { grep { !$old{$_} } $t->gateway_workers }), 'new workers are there');
ok($t->wait_until(30, sub { $t->request('GET', '/', tenant => 'acme')->{status} == 429 }), 'and know what the old ones hold');
is(leases(), 3, 'all of it');
close $_ for @held;
all_back('and it comes back to them');

# kill -9 of the workers that hold everything.
ok($t->wait_until(30, sub { (() = $t->gateway_workers) == 2 }), 'old workers have left');
@held = hold(3, '/slow', tenant => 'acme');
my @dead = $t->gateway_workers;
kill 'KILL', @dead;
$t->{expect_log} = qr/worker process \d+ exited on signal 9|zone "\w+" was locked by/;
my %dead = map { $_ => 1 } @dead;
ok($t->wait_until(30, sub { (grep { !$dead{$_} } $t->gateway_workers) == 2 }), 'the master replaces killed workers');
ok($t->wait_until(30, sub { leases() == 0 }), 'and their share is given back');
is($t->request('GET', '/', tenant => 'acme')->{status}, 200, 'the tenant goes on');
like($t->error_log, qr/event=limit\.reap|event=limit\.reset|exited on signal 9/, 'which is on record');
close $_ for @held;

# A worker that the master has told to leave is not replaced when it is killed: another one finds out.
@held = hold(3, '/slow', tenant => 'acme');
%old = map { $_ => 1 } $t->gateway_workers;
$t->reload_gateway;
ok($t->wait_until(30, sub { my @new = grep { !$old{$_} } $t->gateway_workers; @new == 2 }), 'reload');
my @leaving = grep { $old{$_} } $t->gateway_workers;
cmp_ok(scalar @leaving, '>', 0, 'an old worker is held by its requests');
kill 'KILL', @leaving;
ok($t->wait_until(30, sub { $t->request('GET', '/', tenant => 'acme')->{status} == 200 }), 'a cap that is reached looks for the dead');
close $_ for @held;
all_back('nothing is held in the end');

# A fast shutdown of everything, and policy caps in a fresh start.
my $dir = $t->policies(default => { concurrency => { tenant => 2 } }, 'tenants/one' => { concurrency => { tenant => 1, agent => 5 } });
ok($t->reconfigure_front("sandbox_policy_dir $dir; $caps", locations => $locations, workers => 1), 'reload with policies');
@held = hold(1, '/slow', tenant => 'one');
is($t->request('GET', '/', tenant => 'one')->{json}{violations}[0]{limit}, 1, 'a document\'s cap narrows');
my @two = hold(2, '/slow', tenant => 'two');
is($t->request('GET', '/', tenant => 'two')->{json}{violations}[0]{limit}, 2, 'so does the default\'s');
close $_ for @held, @two;
all_back('all back');
$t->finish;
done_testing();
