#!/usr/bin/perl
# Key sets of URLs: fetched without a request waiting in vain, rotated, refused when they are bad, kept when the issuer is away.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Front;
use Sandbox::Idp;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox::Front->new;
my $idp = Sandbox::Idp->new($t);
$idp->key($_) for 'k1', 'k2';
my $url = $idp->url;
my $cache = 'sandbox_auth_cache zone=tokens:256k;';
sub issuer { my ($parameters, $at) = @_; return "$cache sandbox_issuer $idp->{name} { jwks_url " . ($at // $url) . " $parameters; tenants acme globex; }" }
sub status { my ($token) = @_; return $t->request('GET', '/', token => $token)->{status} }
sub keys_now { return $t->metric('issuer_keys', qr/id\.example/) }
sub log_has { my ($what) = @_; return $t->wait_until(30, sub { $t->error_log =~ $what }) }

# The issuer is away when the gateway starts: 401 would lie.
my %opt = (workers => 2);
$t->start_front(issuer('refresh=1s timeout=2s cooldown=1s'), %opt);
my $first = $t->request('GET', '/', token => $idp->token('k1'));
is($first->{status}, 503, 'keys that were never seen');
is($first->{json}{code}, 'unavailable', 'its code');
like($first->{headers}{'retry-after'}, qr/^[1-9]\d*$/, 'and when to come again');
$t->logs(qr/denied=keys_unknown/, 'the access log says why');
is($t->request('GET', '/')->{status}, 200, 'other tokens do not mind');
is($t->request('GET', '/', token => $idp->token('k1', iss => 'x'))->{status}, 401, 'nor do bad ones');
like($t->error_log, qr/\[warn\].*event=jwks\.failed issuer="\Q$idp->{name}\E" status=0 why="connect" failures=\d+ next_ms=\d+ keys=none/, 'the log says what failed');
cmp_ok($t->metric('issuer_fetches_total', qr/result="failed"/), '>=', 1, 'so do the metrics');

# It comes up.
$idp->serve;
ok($t->wait_until(30, sub { status($idp->token('k1')) == 200 }), 'tokens are good as soon as it is there');
is(status($idp->token($_)), 200, "of $_") for 'k2', 'k1';
ok($t->wait_until(30, sub { keys_now() == 2 }), 'the metrics count the keys');
is(status($idp->token('k1', tenant => 'initech')), 401, 'a tenant outside');

# A new key: the first token of it waits until the set was fetched again, and is good.
$idp->key('k3');
is(status($idp->token('k3')), 401, 'a key that is not in the set');
$idp->serve;
ok($t->wait_until(30, sub { status($idp->token('k3')) == 200 }), 'a key that was put there');

# Rotation under load: each token is of the newest key, and not one is refused.
ok($t->reconfigure_front(issuer('refresh=1h timeout=5s cooldown=1s'), %opt), 'a long interval');
my (%count, $allowed);
$allowed = time + 1.2;
for my $turn (1 .. 4) {
    my $kid = "turn$turn";
    $idp->key($kid);
    $idp->serve(delay => 0.3);
    $t->wait_until(30, sub { time > $allowed }) or diag 'the cooldown does not end';
    my @sockets = map { $t->begin('GET', '/', token => $idp->token($kid, jti => "$turn-$_")) } 1 .. 40;
    $allowed = time + 1.2;    # an early refresh may begin again
    $count{ 'old ' . status($idp->token('k1', jti => "old$turn")) }++;
    $count{ $t->await($_)->{status} }++ for @sockets;
}
is_deeply(\%count, { 200 => 160, 'old 200' => 4 }, '160 tokens of four new keys, while others went on');

# A key that is taken out stops working with the next refresh, known or not.
my $gone = $idp->token('k2');
is(status($gone), 200, 'a good token') for 1 .. 2;
$idp->drop('k3');
my $k2 = $idp->drop('k2');
$idp->serve;
is(status($gone), 200, 'is good until the set is fetched again');
$idp->key('k4');
$idp->serve;
ok($t->wait_until(30, sub { status($idp->token('k4')) == 200 }), 'which another key makes happen');
is(status($gone), 401, 'then it is not') for 1 .. 6;

# Unknown kids do not make more than one fetch per cooldown.
ok($t->reconfigure_front(issuer('refresh=1h timeout=1s cooldown=1h'), %opt), 'a long cooldown');
$idp->key('bogus');
is(status($idp->token('bogus')), 401, 'one unknown kid');
my $asked = $idp->asked;
my $began = time;
is_deeply([map { status($idp->token('bogus', { kid => "bogus$_" })) } 1 .. 50], [(401) x 50], '50 more');
is($idp->asked, $asked, 'are refused without asking');
cmp_ok(time - $began, '<', 25, 'and without waiting, which would be a second for each');
$idp->drop('bogus');

# Bad sets: the old one stays.
my $good = $idp->set;
my $secret = '{"keys":[{"kty":"oct","kid":"x","k":"' . ('A' x 64) . '"}]}';
my %bad = (
    'no JSON' => { body => '<html>' }, 'an empty body' => { body => '' }, 'no keys' => { body => '{"keys":[]}' }, 'a secret in it' => { body => $secret },
    'a private key' => { body => do { (my $b = $good) =~ s/"kty"/"d":"AAAA","kty"/; $b } }, 'one bad key among good ones' => { body => do { (my $b = $good) =~ s/\]\}$/,{"kty":"RSA"}]}/; $b } },
    'a member twice' => { body => '{"keys":[],' . substr($good, 1) }, 'a huge one' => { body => [300_000] }, 'status 500' => { status => 500 }, 'status 404' => { status => 404 },
    'a redirect' => { status => 302, headers => ["Location: $url"] }, 'no answer' => { drop => 1 }, 'an answer too late' => { delay => 3 },
    '65 keys' => { body => '{"keys":[' . join(',', ('{"kty":"AKP"}') x 65) . ']}' }, 'status 204' => { status => 204, body => '' },
);
$idp->serve;
for my $name (sort keys %bad) {
    my $failed = $t->metric('issuer_fetches_total', qr/result="failed"/);
    $idp->serve(%{ $bad{$name} });
    # With a reload the set is fetched again at once.
    $t->reconfigure_front(issuer('refresh=1h timeout=200ms cooldown=1h'), %opt) or fail "$name: reload";
    ok($t->wait_until(30, sub { $t->metric('issuer_fetches_total', qr/result="failed"/) > $failed }), "$name: the fetch fails");
    is(status($idp->token('k1', jti => $name)), 200, "$name: the old set stays");
}
my $fetched = $t->metric('issuer_fetches_total', qr/result="ok"/);
$idp->serve;
ok($t->wait_until(30, sub { $t->metric('issuer_fetches_total', qr/result="ok"/) > $fetched }), 'a failed fetch is tried again before the interval is over');
unlike($t->error_log, qr/AAAA|<html>/, 'no byte of a bad set in the log');

# The worker that fetches is killed: another goes on.
$idp->serve(delay => 30);
$asked = $idp->asked;
ok($t->reconfigure_front(issuer('refresh=1s timeout=40s cooldown=1h'), %opt), 'a fetch that takes long');
ok($t->wait_until(30, sub { $idp->asked > $asked }), 'it is under way');
$t->{expect_log} = qr/exited on signal 9|zone "\w+" was locked by/;    # the master frees what the killed one held
$idp->key('k5');
my $port = sprintf ':%04X', $idp->{port};
my ($inode) = map { my @f = split; $f[2] =~ /\Q$port\E$/ && $f[3] eq '01' ? $f[9] : () } split /\n/, Sandbox::_slurp('/proc/net/tcp');
my @owner = grep { my $pid = $_; grep { (readlink($_) // '') eq "socket:[$inode]" } glob "/proc/$pid/fd/*" } $t->gateway_workers;
is(scalar @owner, 1, 'by one worker');
kill 'KILL', $_ for @owner;
$idp->serve;
ok($t->wait_until(30, sub { my $reply = eval { status($idp->token('k5')) } // 0; $reply == 200 }), 'another worker fetched');

# A reload keeps the keys, whoever is away.
$idp->stop;
ok($t->reconfigure_front(issuer('refresh=1h timeout=1s cooldown=1s'), %opt), 'reload without the issuer');
is(status($idp->token($_)), 200, "$_ is good still") for 'k1', 'k5';
ok($t->reconfigure_front(issuer('refresh=1h timeout=1s cooldown=1s') . "sandbox_issuer y { jwks_url http://127.0.0.1:1/; tenants *; }", %opt), 'and with another issuer besides');
is(status($idp->token('k1')), 200, 'which takes nothing away');
is($t->request('GET', '/', token => $idp->token('k1', iss => 'y'))->{status}, 503, 'and has no keys itself');

# Too old is as good as never seen.
ok($t->reconfigure_front(issuer('refresh=1s timeout=1s cooldown=1s stale=1s'), %opt), 'a bound on their age');
ok($t->wait_until(30, sub { status($idp->token('k1')) == 503 }), 'keys that are too old');
is(status($gone), 503, 'for tokens in the cache as well');
ok(log_has(qr/\[error\].*event=jwks\.stale issuer="\Q$idp->{name}\E"/), 'the log says so');
is(keys_now(), 0, 'the metrics too');
my $told = () = $t->error_log =~ /event=jwks\.stale/g;
ok($t->reconfigure_front(issuer('refresh=1s timeout=1s cooldown=1s stale=1s') . ' ', %opt), 'workers that begin with such keys');
is(status($idp->token('k1')), 503, 'refuse as well');
ok($t->wait_until(30, sub { (() = $t->error_log =~ /event=jwks\.stale/g) > $told }), 'and say why');
$idp->serve;
ok($t->wait_until(30, sub { status($idp->token('k1')) == 200 }), 'and good again when they are confirmed');
unlike($t->error_log, qr/eyJ/, 'no token in the log');
$t->finish;
done_testing();
