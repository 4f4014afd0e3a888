#!/usr/bin/perl
# The cache of verified tokens: what it saves, and what it must never make true.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Edge;
use Test::More;
use Time::HiRes qw(sleep);

my $t = Sandbox::Edge->new;
my $locations = <<'END';
    location /narrow { sandbox_auth_audience other; proxy_pass http://up$sandbox_uri; }
    location /mapped { sandbox_auth_claim tenant org; proxy_pass http://up$sandbox_uri; }
    location /uncached { sandbox_auth_cache off; proxy_pass http://up$sandbox_uri; }
    location /tiny { sandbox_auth_cache zone=tiny:32k; proxy_pass http://up$sandbox_uri; }
END
my $key = "sandbox_auth_secret_file $t->{dir}/etc/jwt.secret;";
my $rest = 'sandbox_auth on; sandbox_auth_leeway 0; sandbox_auth_cache zone=tokens:256k;';
my %opt = (locations => $locations, server => 'add_header X-Cache $sandbox_auth_cache always;', workers => 2);
$t->start_edge("$key $rest", %opt);

sub get { my ($path, %option) = @_; return $t->request('GET', $path, %option) }
sub cache { my ($path, $token) = @_; my $reply = get($path, token => $token); return "$reply->{status} " . ($reply->{headers}{'x-cache'} // '-') }

my $token = $t->token(org => 'acme', scope => 'a b', jti => 'one');
is(cache('/', $token), '200 MISS', 'first seen');
is(cache('/', $token), '200 HIT', 'then known, by every worker');
is(cache('/', $token), '200 HIT', 'and again') for 1 .. 5;
my $first = $t->open_context($t->seen('/', token => $t->token(jti => 'x', org => 'o', scope => 's'))->{sandbox_context});
my $again = $t->open_context($t->seen('/', token => $t->token(jti => 'x', org => 'o', scope => 's'))->{sandbox_context});
is_deeply([@{$again}{qw(tenant app agent sub scopes jti)}], [@{$first}{qw(tenant app agent sub scopes jti)}], 'the identity is the same from the cache');
is(cache('/uncached', $token), '200 -', 'no cache where it is off');
is(cache('/narrow', $token), '401 MISS', 'a token accepted elsewhere is not where other rules hold');
is(cache('/mapped', $token), '200 MISS', 'other claims are another entry');
is($t->open_context($t->seen('/mapped', token => $token)->{sandbox_context})->{tenant}, 'acme', 'with another tenant');
is($t->open_context($t->seen('/', token => $token)->{sandbox_context})->{tenant}, 'demo', 'which does not leak back');

my $bad = substr($token, 0, -3) . (substr($token, -3) eq 'AAA' ? 'BBB' : 'AAA');
is(cache('/', $bad), '401 MISS', 'a changed token is another');
is(cache('/', $bad), '401 MISS', 'refusals are not cached');
is(cache('/', "$token="), '401 MISS', 'nor does a known one help a longer one');

# A worker finds the tokens that it knows by their ends: what they end with is no more than that.
is((split / /, cache('/', $token))[0], 200, 'a token that both workers know') for 1 .. 20;
my ($head, $body, $end) = split /\./, $token;
my @forged = (
    [ substr($head, 0, -1) . chr(ord(substr $head, -1) ^ 1), $body, $end ], [ $head, substr($body, 0, 5) . (substr($body, 5, 1) eq 'A' ? 'B' : 'A') . substr($body, 6), $end ],
    [ $head, substr($body, 1), $end ], [ $head, "${body}A", $end ], [ '', $body, $end ], [ $head, '', $end ], [ $head, $body, substr $end, -20 ], [ $head, $body, $end, $end ],
    [ $head, $t->token(tenant => 'other') =~ /\.(.*)\./, $end ],
);
is(cache('/', join '.', @$_), '401 MISS', 'nothing else has its end') for @forged;
is((split / /, cache('/', substr $token, -$_))[0], 401, "nor is it known by its last $_ bytes") for 1, 8, 15, 16, 17, 43;

# More tokens than a worker keeps: each is always its own bearer's.
my @crowd = map { $t->token(jti => "crowd$_", sub => "bearer-$_") } 1 .. 400;
my @wrong;
for my $i ((0 .. $#crowd, reverse 0 .. $#crowd), map { int rand @crowd } 1 .. 400) {
    my $context = $t->open_context($t->seen('/', token => $crowd[$i])->{sandbox_context});
    push @wrong, $i if $context->{sub} ne 'bearer-' . ($i + 1) || $context->{jti} ne 'crowd' . ($i + 1);
}
is_deeply(\@wrong, [], 'nobody is taken for another');

# Expiry bounds an entry.
my $short = $t->token(exp => int(time) + 4);
is(cache('/', $short), '200 MISS', 'a short token');
is(cache('/', $short), '200 HIT', 'is kept');
ok($t->wait_until(30, sub { cache('/', $short) eq '401 MISS' }), 'and gone with its expiry');

# Reload: kept while keys and rules stay, gone when they change.
ok($t->reconfigure("$key $rest", %opt), 'reload');
is(cache('/', $token), '200 HIT', 'an entry survives a reload');
ok($t->reconfigure("$key sandbox_auth_audience sandbox; $rest", %opt), 'reload with an audience');
is(cache('/', $token), '200 MISS', 'other rules: verified again');
is(cache('/', $token), '200 HIT', 'once');
my $old_secret = $t->{secret};
$t->write('etc/jwt.secret', 'n' x 40);
is(cache('/', $token), '200 HIT', 'a file alone changes nothing');
ok($t->reconfigure("$key sandbox_auth_audience sandbox; $rest", %opt), 'reload with another key');
is(cache('/', $token), '401 MISS', 'a token of the old key is refused at once');
$t->{secret} = 'n' x 40;
is(cache('/', $t->token), '200 MISS', 'one of the new key is taken');
$t->write('etc/jwt.secret', $old_secret);
$t->{secret} = $old_secret;
$t->write('etc/broken.secret', 'x');
$t->write('etc/gateway.conf', $t->gateway_conf($t->edge_conf("sandbox_auth_secret_file $t->{dir}/etc/broken.secret; $rest", %opt)));
$t->{expect_log} = qr/\[emerg\].*broken\.secret/;
$t->reload_gateway;
ok($t->wait_until(30, sub { $t->error_log =~ /\[emerg\].*broken\.secret/ }), 'a reload with a bad key is refused');
$t->{secret} = 'n' x 40;
is((split / /, cache('/', $t->token))[0], '200', 'and the running configuration stays');

# A full zone evicts and never fails. These are longer than what a worker keeps for itself.
my @many = map { $t->token(jti => "many$_", sub => 's' x 100, scope => 'x' x 300, more => 'y' x 1600) } 1 .. 300;
my %status;
$status{ cache('/tiny', $_) }++ for @many;
is_deeply(\%status, { '200 MISS' => 300 }, '300 tokens through a zone for a few');
is(cache('/tiny', $many[-1]), '200 HIT', 'the last is kept');
is(cache('/tiny', $many[0]), '200 MISS', 'the first is gone');
unlike($t->error_log, qr/\[(?:alert|crit)\]|no memory/, 'a full zone is no news');
$t->finish;
done_testing();
