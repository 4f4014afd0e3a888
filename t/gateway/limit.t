#!/usr/bin/perl
# Token buckets per tenant, app, agent and route: who is counted, what is said, what is refused.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Front;
use Test::More;
use Time::HiRes qw(time sleep);

my $t = Sandbox::Front->new;

# What the configuration may not say.
my @bad = (
    ['sandbox_rate tenant rate=5r/s burst=0;', qr/invalid parameter "burst=0"/],
    ['sandbox_rate tenant rate=0r/s;', qr/invalid parameter "rate=0r\/s"/],
    ['sandbox_rate tenant rate=-5r/s;', qr/invalid parameter/],
    ['sandbox_rate tenant rate=5;', qr/invalid parameter "rate=5"/],
    ['sandbox_rate tenant rate=5r/d;', qr/invalid parameter/],
    ['sandbox_rate tenant rate=99999999999999999999r/s;', qr/invalid parameter/],
    ['sandbox_rate tenant rate=1r/h;', qr/invalid parameter/],
    ['sandbox_rate tenant rate=r/s;', qr/invalid parameter/],
    ['sandbox_rate tenant burst=5;', qr/has no rate/],
    ['sandbox_rate tenant rate=5r/s burst=99999999999;', qr/invalid parameter/],
    ['sandbox_rate user rate=5r/s;', qr/invalid scope "user"/],
    ['sandbox_rate tenant rate=5r/s; sandbox_rate tenant rate=6r/s;', qr/is duplicate/],
    ['sandbox_concurrency routes 5;', qr/invalid scope "routes"/],
    ['sandbox_concurrency tenant 0;', qr/invalid number "0"/],
    ['sandbox_concurrency tenant many;', qr/invalid number "many"/],
    ['sandbox_concurrency agent 5; sandbox_concurrency agent 5;', qr/is duplicate/],
    ['sandbox_limit_zone more:1m;', qr/is duplicate/],
);
like($t->complaint($_->[0]), $_->[1], "refused: $_->[0]") for @bad;
for my $zone ('limits', ':1m', 'limits:', 'limits:x', 'limits:4k', 'limits:-1') {
    my ($fine) = $t->accepts("sandbox_auth on; sandbox_auth_secret_file $t->{dir}/etc/jwt.secret; sandbox_limit_zone $zone;");
    ok(!$fine, "refused: zone $zone");
}
for my $limit ('sandbox_rate tenant rate=5r/s;', 'sandbox_concurrency app 3;') {
    my ($fine, $said) = $t->accepts("sandbox_auth on; sandbox_auth_secret_file $t->{dir}/etc/jwt.secret; $limit");
    ok(!$fine && $said =~ /no "sandbox_limit_zone"/, "a limit that nobody counts is refused: $limit");
}
for my $route ('Jobs', 'a b=c', 'jobs"x', 'POST=jobs', 'jobs =x', 'x' x 70, 'jobs POST=', 'jobs more') {
    isnt($t->complaint('', server => "sandbox_route $route;"), '', "refused: route $route");
}

my $locations = <<'END';
    location /agent { sandbox_rate agent rate=1r/m burst=2; proxy_pass http://up/; }
    location /app { sandbox_rate app rate=1r/m burst=2; proxy_pass http://up/; }
    location /route { sandbox_route things.list POST=things.make; sandbox_rate route rate=1r/m burst=2; proxy_pass http://up/; }
    location /same { sandbox_route things.list; sandbox_rate route rate=1r/m burst=2; proxy_pass http://up/; }
    location /fast { sandbox_rate tenant rate=4r/s burst=1; proxy_pass http://up/; }
    location /off { sandbox_limit off; proxy_pass http://up/; }
    location /free { proxy_pass http://up/; sandbox_rate tenant rate=1000r/s burst=1000; }
    location /missing { proxy_pass http://up/missing; sandbox_rate agent rate=1r/m burst=50; }
    location /down { proxy_pass http://127.0.0.1:1/; sandbox_rate agent rate=1r/m burst=50; }
    location /scoped { sandbox_auth_scope admin; proxy_pass http://up/; }
END
my $rate = 'sandbox_rate tenant rate=1r/m burst=5;';
$t->start_front($rate, locations => $locations, workers => 2);

my @status = map { $t->request('GET', '/', tenant => 'acme')->{status} } 1 .. 8;
is_deeply(\@status, [(200) x 5, (429) x 3], 'exactly the burst passes');
is($t->request('GET', '/', tenant => 'umbrella')->{status}, 200, 'another tenant has its own bucket');
is($t->request('GET', '/', tenant => 'acm')->{status}, 200, 'so has one whose name is shorter');
is($t->request('GET', '/', tenant => 'acmes')->{status}, 200, 'and one whose name is longer');
is($t->request('GET', '/', tenant => 'ACME')->{status}, 200, 'and one in other letters');

my $reply = $t->request('GET', '/', tenant => 'acme');
is($reply->{status}, 429, 'refused');
is($reply->{headers}{'content-type'}, 'application/problem+json', 'with a problem document');
is($reply->{json}{code}, 'rate_limited', 'that has its code');
is($reply->{json}{violations}[0]{rule}, 'rates.tenant', 'and says which limit');
is($reply->{json}{violations}[0]{limit}, '1/m', 'as a policy writes it');
like($reply->{headers}{'retry-after'}, qr/^(5\d|6[0-3])$/, 'Retry-After: about a minute (rates are kept in tokens per 1000 s)');
is($reply->{headers}{'ratelimit-limit'}, 5, 'RateLimit-Limit');
is($reply->{headers}{'ratelimit-remaining'}, 0, 'RateLimit-Remaining');
is($reply->{headers}{'ratelimit-reset'}, $reply->{headers}{'retry-after'}, 'RateLimit-Reset is no later than Retry-After');
like($reply->{headers}{'ratelimit-policy'}, qr/^5;w=3\d\d;comment="tenant"$/, 'RateLimit-Policy');
is($reply->{json}{request_id}, $reply->{headers}{'x-request-id'}, 'the id is the reply\'s');

$reply = $t->request('GET', '/', tenant => 'fresh');
is($reply->{headers}{'ratelimit-remaining'}, 4, 'a reply that passed says what is left');
is($t->request('GET', '/missing', tenant => 'e1')->{headers}{'ratelimit-remaining'}, 4, 'an upstream error too, of the tighter bucket');
is($t->request('GET', '/down', tenant => 'e2')->{headers}{'ratelimit-remaining'}, 4, 'and our own 503, charged once');
is($t->request('GET', '/down', tenant => 'e2')->{headers}{'ratelimit-remaining'}, 3, 'each time');

# What is not charged.
is($t->request('GET', '/off', tenant => 'acme')->{status}, 200, 'sandbox_limit off lets it pass');
is($t->request('GET', '/healthz', anonymous => 1)->{status}, 200, 'health belongs to nobody');
$reply = $t->request('GET', '/', token => 'rubbish');
is($reply->{status}, 401, 'a bad token');
ok(!exists $reply->{headers}{'ratelimit-limit'}, 'has no bucket');
$reply = $t->request('GET', '/scoped', tenant => 'scoped');
is($reply->{status}, 403, 'a missing scope');
ok(!exists $reply->{headers}{'ratelimit-limit'}, 'comes before the limit');
$t->request('GET', '/', token => $t->token(tenant => 'expiring', exp => time - 100)) for 1 .. 10;
is($t->request('GET', '/', tenant => 'expiring')->{headers}{'ratelimit-remaining'}, 4, 'nobody spends another\'s tokens with a bad one');

# Scopes.
sub statuses { my ($path, @who) = @_; return join ' ', map { $t->request($_->{method} // 'GET', $path, %$_)->{status} } @who }
is(statuses('/agent', map { { tenant => 'ag', agent => $_ } } qw(a a a b)), '200 200 429 200', 'agents apart');
is(statuses('/agent', { tenant => 'ag2', agent => 'a' }), '200', 'the same name at another tenant is another agent');
is(statuses('/agent', map { { tenant => 'ag3', agent => undef } } 1 .. 4), '200 200 200 200', 'no agent, no agent\'s limit');
is(statuses('/app', map { { tenant => 'ap', app => $_ } } qw(x x x y)), '200 200 429 200', 'apps apart');
is(statuses('/app', map { { tenant => 'ap2', app => 'x', agent => $_ } } qw(a b c)), '200 200 429', 'an app\'s agents share');
is(statuses('/agent', map { { tenant => 'a', agent => $_ } } qw(g g g)), '200 200 429', 'agent g of tenant a');
is(statuses('/app', { tenant => 'a', app => 'g' }), '200', 'an app called as an agent is not that agent');
is(statuses('/route', map { { tenant => 'ro', method => $_ } } qw(GET GET GET POST)), '200 200 429 200', 'routes by method');
is(statuses('/same', { tenant => 'ro' }), '429', 'one name, one bucket, whatever the location');
is(statuses('/same', { tenant => 'ro2' }), '200', 'per tenant');

# The wait that is promised is true.
is($t->request('GET', '/fast', tenant => 'soon')->{status}, 200, 'one token');
ok($t->wait_until(30, sub { ($reply = $t->request('GET', '/fast', tenant => 'soon'))->{status} == 429 }), 'none left');
is($reply->{headers}{'retry-after'}, 1, 'Retry-After');
my $end = time + $reply->{headers}{'retry-after'};
sleep 0.02 while time < $end;
is($t->request('GET', '/fast', tenant => 'soon')->{status}, 200, 'after Retry-After there is one');
ok($t->wait_until(30, sub { $t->request('GET', '/fast', tenant => 'soon')->{status} == 200 }), 'and later another');

# A reload keeps the buckets.
ok($t->reconfigure_front($rate, locations => $locations, workers => 2), 'reload');
is($t->request('GET', '/', tenant => 'acme')->{status}, 429, 'spent stays spent');
ok($t->reconfigure_front('sandbox_rate tenant rate=100r/s burst=3;', locations => $locations, workers => 1), 'reload with another rate');
ok($t->wait_until(30, sub { $t->request('GET', '/', tenant => 'acme')->{status} == 200 }), 'which holds for old buckets');
cmp_ok($t->request('GET', '/', tenant => 'acme')->{headers}{'ratelimit-limit'}, '==', 3, 'with its burst');

# Policies: rates of documents, never above the directive's.
my $dir = $t->policies(
    default => { rates => { tenant => { rate => '30/m', burst => 4 } } },
    'tenants/small' => { rates => { tenant => { rate => '1/m', burst => 2 }, routes => { 'things.list' => { rate => '1/m', burst => 1 } } } },
    'tenants/big' => { rates => { tenant => { rate => '1000/s', burst => 1000 } } },
    'tenants/small2/agents/slow' => { rates => { agent => { rate => '1/m', burst => 1 } } },
);
$locations .= ' location /wide { sandbox_rate tenant rate=100r/s burst=1; proxy_pass http://up/; }';
ok($t->reconfigure_front("sandbox_policy_dir $dir;", locations => $locations, workers => 1), 'reload with policies');
sub limit_of { my ($path, %who) = @_; return $t->request('GET', $path, %who)->{headers}{'ratelimit-limit'} }
is(limit_of('/', tenant => 'nobody'), 4, 'an unknown tenant has the default\'s rate');
is(limit_of('/', tenant => 'small'), 2, 'a tenant its narrower one');
is(limit_of('/', tenant => 'big'), 4, 'never a wider one');
is(limit_of('/free', tenant => 'small3'), 4, 'the directive does not widen either');
is(limit_of('/wide', tenant => 'other'), 1, 'but it narrows');
is(limit_of('/', tenant => 'small2', agent => 'slow'), 1, 'an agent\'s own');
is(limit_of('/', tenant => 'small2', agent => 'quick'), 4, 'and not for others');
is(statuses('/same', map { { tenant => 'small' } } 1 .. 2), '200 429', 'a route\'s rate by policy');
my ($fine, $said) = $t->accepts("sandbox_auth on; sandbox_auth_secret_file $t->{dir}/etc/jwt.secret; sandbox_policy_dir $dir;");
ok(!$fine && $said =~ /no "sandbox_limit_zone"/, 'rates of documents need a zone too');

cmp_ok($t->metric('limited_total', 'tenant'), '>=', 5, 'refusals are counted by scope');
$t->finish;
done_testing();
