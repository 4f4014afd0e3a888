#!/usr/bin/perl
# Prometheus text: right counts, a closed set of labels, nothing a client can add.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Front;
use Test::More;

my $t = Sandbox::Front->new;
my $dir = $t->policies(default => { languages => ['python'] });
my $locations = <<'END';
    location = /v1/jobs { sandbox_route jobs.list POST=jobs.create; sandbox_policy body; client_max_body_size 1m; proxy_pass http://up$sandbox_uri; }
    location /rated { sandbox_route rated; sandbox_rate agent rate=1r/m burst=1; proxy_pass http://up/; }
    location /gone { sandbox_route gone; proxy_pass http://up/missing; }
    location /down { sandbox_route down; proxy_pass http://127.0.0.1:1/; }
    location /slow { sandbox_route slow; sandbox_concurrency tenant 5; proxy_pass http://up/slow/file; }
    location /scoped { sandbox_auth_scope admin; proxy_pass http://up/; }
END
mkdir "$t->{dir}/www";
mkdir "$t->{dir}/www/slow";
$t->write('www/slow/file', 'x' x 2_000_000);

for my $bad ('sandbox_metrics_zone 256k; sandbox_metrics_zone 256k;', 'sandbox_metrics_zone 4k;', 'sandbox_metrics_zone x;') {
    my ($fine) = $t->accepts($bad);
    ok(!$fine, "refused: $bad");
}
my ($fine, $said) = $t->accepts('', locations => 'location /m { sandbox_metrics; }');
ok(!$fine && $said =~ /needs "sandbox_metrics_zone"/, 'no zone, no metrics');

$t->start_front("sandbox_policy_dir $dir; sandbox_auth_cache zone=tokens:256k;", locations => $locations, workers => 2);

# Counted from nothing; the cache's state is shared, so a token is verified once.
my $token = $t->token(tenant => 'acme');
$t->request('GET', '/v1/jobs', token => $token) for 1 .. 3;
$t->request('POST', '/v1/jobs', token => $token, json => { language => 'python', code => 'x' });
$t->request('POST', '/v1/jobs', token => $token, json => { language => 'ruby' }) for 1 .. 2;
$t->request('POST', '/v1/jobs', token => $token, body => '{', headers => { 'Content-Type' => 'application/json' });
$t->request('GET', '/gone', token => $token);
$t->request('GET', '/down', token => $token);
$t->request('GET', '/rated', token => $token) for 1 .. 3;
$t->request('GET', '/scoped', token => $token);
$t->request('GET', "/made/up/$_", token => $token) for 1 .. 4;
$t->request('GET', '/v1/jobs', token => 'rubbish') for 1 .. 2;
$t->request('GET', '/v1/jobs', anonymous => 1) for 1 .. 3;

# A worker counts a request after its client has the answer.
sub comes_to {
    my ($name, $labels, $n, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $t->wait_until(30, sub { ($t->metric($name, $labels) // 0) >= $n });
    return is($t->metric($name, $labels) // 0, $n, $what);
}
sub of { my ($route, $class) = @_; return ('requests_total', qr/^route="$route",code_class="$class"$/) }
sub requests { return $t->metric(of(@_)) // 0 }
ok($t->wait_until(30, sub { requests('jobs.list', '4xx') == 5 }), 'refused before the route was reached, and still counted on it');
my @expect = (
    ['jobs.list', '2xx', 3], ['jobs.create', '2xx', 1], ['jobs.create', '4xx', 3], ['gone', '4xx', 1], ['down', '5xx', 1],
    ['rated', '2xx', 1], ['rated', '4xx', 2], ['jobs.create', '5xx', 0],
);
comes_to(of(@{$_}[0, 1]), $_->[2], "$_->[0] $_->[1]: $_->[2]") for @expect;
ok($t->wait_until(30, sub { requests('other', '2xx') >= 4 }), 'paths without a route are "other"');

my %refused = (policy => 2, body => 1, rate => 2, scope => 1, token_invalid => 2, token_missing => 3, concurrency => 0);
comes_to('refused_total', qr/reason="$_"/, $refused{$_}, "refused for $_: $refused{$_}") for sort keys %refused;
is($t->metric('auth_total', qr/"invalid"/), 2, 'invalid tokens');
is($t->metric('auth_total', qr/"missing"/), 3, 'missing tokens');
is($t->metric('auth_total', qr/"ok"/), 1, 'verified once');
my $hits = $t->metric('auth_total', qr/"cached"/);
cmp_ok($hits, '>=', 10, 'then from the cache');
is($t->metric('token_cache_hits_total'), $hits, 'which has a counter');
is($t->metric('limited_total', qr/"agent"/), 2, 'limited by scope');
is($t->metric('limited_total', qr/"tenant"/), 0, 'and not by another');

# The text itself.
my $reply = $t->request('GET', '/metrics', anonymous => 1);
is($reply->{headers}{'content-type'}, 'text/plain; version=0.0.4; charset=utf-8', 'content type');
my (%type, @wrong, %value);
for my $line (split /\n/, $reply->{content}) {
    if ($line =~ /^# TYPE (\S+) (counter|gauge|histogram)$/) { push @wrong, "twice: $1" if $type{$1}++; next }
    next if $line =~ /^# HELP \S+ .+\.$/;
    push @wrong, $line unless $line =~ /^(sandbox_gateway_[a-z_]+)((?:\{[a-z_]+="[A-Za-z0-9_.+-]*"(?:,[a-z_]+="[A-Za-z0-9_.+-]*")*\})?) (\d+(?:\.\d+)?)$/;
    push @wrong, "twice: $line" if $value{"$1$2"}++;
    (my $family = $1) =~ s/_(bucket|sum|count)$//;
    push @wrong, "no type: $line" unless $type{$1} || $type{$family};
}
is_deeply(\@wrong, [], 'each line has its form, each family its type, each sample its place');
my $last = 0;
my @falling = grep { my $fell = $_ < $last; $last = $_; $fell } $reply->{content} =~ /bucket\{route="jobs\.list",le="[^"]+"\} (\d+)/g;
is_deeply(\@falling, [], 'buckets are cumulative');
is($last, $t->metric('request_duration_seconds_count', qr/"jobs\.list"/), 'up to all of them');
is($t->metric('request_duration_seconds_count', qr/"jobs\.list"/), 8, 'which is what was asked');
unlike($reply->{content}, qr/acme|made|rubbish/, 'no client wrote into it');

# Methods.
is($t->request('POST', '/metrics', anonymous => 1, body => 'x')->{status}, 405, 'POST is refused');
is($t->request('HEAD', '/metrics', anonymous => 1)->{content} // '', '', 'HEAD has no body');

# Gauges go up and down.
my @held = map { $t->begin('GET', '/slow', tenant => 'acme') } 1 .. 4;
ok($t->wait_until(30, sub { $t->metric('in_flight') == 5 }), 'four requests run, and the one that asks');
ok($t->wait_until(30, sub { $t->metric('limit_leases') == 4 }), 'four count against a cap') or diag($t->metric('limit_leases'));
close $_ for @held;
ok($t->wait_until(30, sub { $t->metric('in_flight') == 1 && $t->metric('limit_leases') == 0 }), 'then none');
$t->raw("GARBAGE\r\n\r\n", seconds => 1);
$t->raw("GET / HTTP/1.1\r\n", seconds => 1, half_close => 1);
$t->raw("GET /x HTTP/1.1\r\nHost: a b\r\n\r\n", seconds => 1);
ok($t->wait_until(30, sub { $t->metric('in_flight') == 1 }), 'what was no request is not in flight') or diag($t->metric('in_flight'));

# A killed worker's requests are not in flight.
@held = map { $t->begin('GET', '/slow', tenant => 'acme') } 1 .. 4;
ok($t->wait_until(30, sub { $t->metric('in_flight') == 5 }), 'four again');
$t->{expect_log} = qr/exited on signal 9/;
kill 'KILL', $t->gateway_workers;
ok($t->wait_until(30, sub { ($t->metric('in_flight') // 0) == 1 }), 'and their requests gone');
close $_ for @held;

# A reload keeps counts and takes new routes; a route that went away is still shown.
my $before = requests('jobs.list', '2xx');
$locations =~ s/sandbox_route gone;/sandbox_route found;/;
ok($t->reconfigure_front("sandbox_policy_dir $dir;", locations => $locations, workers => 2), 'reload with another route');
$t->request('GET', '/gone', token => $token);
ok($t->wait_until(30, sub { requests('found', '4xx') == 1 }), 'the new route counts');
is(requests('gone', '4xx'), 1, 'the old one keeps its number');
is(requests('jobs.list', '2xx'), $before, 'counts survive');

# More routes than there is room for.
my $many = join '', map { "location /many$_ { sandbox_route many.$_; proxy_pass http://up/; } " } 1 .. 80;
ok($t->reconfigure_front("sandbox_policy_dir $dir;", locations => "$locations $many", workers => 1), 'reload with 80 routes');
$t->request('GET', "/many$_", token => $token) for 1, 80;
ok($t->wait_until(30, sub { requests('many.1', '2xx') == 1 }), 'the first counts');
is(requests('many.80', '2xx'), 0, 'the last is "other"');
$t->finish;
done_testing();
