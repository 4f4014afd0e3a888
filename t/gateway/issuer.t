#!/usr/bin/perl
# Several issuers: each with its keys, its tenants and its rules, and none with another's.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Edge;
use Sandbox::Idp;
use Test::More;

my $t = Sandbox::Edge->new;
my $dir = "$t->{dir}/etc";
my $a = Sandbox::Idp->new($t, id => 'a', name => 'https://a.example/');
my $b = Sandbox::Idp->new($t, id => 'b', name => 'https://b.example/');
$a->key('k');
$b->key('k');
$b->key('only-b');
$t->write("etc/$_->[0].json", $_->[1]->set) for ['a', $a], ['b', $b];
$t->write('etc/b.secret', 'b' x 40);
# The public key of A as the secret of a MAC: what a confused verifier would take.
$t->write('etc/a.pem', $a->{keys}{k}->export_key_pem('public'));

my $blocks = <<"END";
    sandbox_issuer https://a.example/ { jwks_file $dir/a.json; tenants acme "globex"; audience sandbox; algorithms ES256; }
    sandbox_issuer https://b.example/ {
        jwks_file $dir/b.json; secret_file $dir/b.secret kid=s; tenants initech; claim tenant org.name; claim scopes permissions;
    }
    sandbox_issuer any { key_file $dir/a.pem; tenants *; }
END
my $flat = "sandbox_auth on; sandbox_auth_secret_file $dir/jwt.secret; sandbox_auth_cache zone=tokens:256k;";
my $locations = <<'END';
    location /other { sandbox_auth_audience other; proxy_pass http://up$sandbox_uri; }
    location /rs { sandbox_auth_algorithms RS256; proxy_pass http://up$sandbox_uri; }
    location /short { sandbox_auth_max_age 60s; proxy_pass http://up$sandbox_uri; }
END
$t->start_edge("$flat $blocks", locations => $locations);

sub status { my ($token, $path) = @_; return $t->request('GET', $path // '/', token => $token)->{status} }
sub identity { my ($token) = @_; return $t->open_context(($t->seen('/', token => $token) // {})->{sandbox_context}) }
sub hs { my ($key, %claims) = @_; return $t->jwt({ alg => 'HS256' }, $t->claims(%claims), $key) }
my %org = (tenant => undef, org => { name => 'initech' });

is(status($a->token('k')), 200, 'a token of A');
is(status($a->token('k', tenant => 'globex')), 200, 'for its second tenant');
is(status($b->token('k', %org)), 200, 'a token of B');
is(status($b->token('only-b', %org)), 200, 'with its other key');
is(status($b->token('k', { kid => undef }, %org)), 200, 'without a kid');
is(identity($b->token('k', %org, permissions => ['x', 'y']))->{scopes}, 'x y', 'by the claims of B');
is(status(hs('b' x 40, iss => $b->{name}, %org)), 200, 'with the secret of B');
is(status($t->token), 200, 'whom no block claims is for the plain directives');
is(status(hs($t->{secret}, iss => undef)), 200, 'who names no issuer too');
is(identity($a->token('k', { kid => undef }, iss => 'any', tenant => 'whoever'))->{tenant}, 'whoever', 'tenants *');

# The issuer that is named is the one whose keys count.
is(status($a->token('k', iss => $b->{name}, %org)), 401, 'the key of A under the name of B');
is(status($a->token('k', iss => $b->{name}, tenant => 'acme')), 401, 'for a tenant of A');
is(status($b->token('k', iss => $a->{name}, %org, tenant => 'acme')), 401, 'the key of B under the name of A');
is(status($b->token('only-b', iss => $a->{name})), 401, 'a kid of B under the name of A');
is(status($a->token('k', { kid => 'only-b' })), 401, "signed by A, called by B's kid");
is(status($a->token('k', iss => 'local')), 401, 'the key of A under a name of nobody');
is(status($a->token('k', iss => undef)), 401, 'under none');
is(status(hs($t->{secret}, iss => $a->{name}, tenant => 'acme')), 401, 'the plain secret under the name of A');
is(status(hs('b' x 40, iss => $a->{name}, tenant => 'acme')), 401, 'the secret of B under the name of A');
is(status(hs('b' x 40, iss => 'local')), 401, 'the secret of B under no name of a block');
is(status(hs($t->read_file('etc/a.pem'), iss => $_, tenant => 'acme')), 401, "the public key of A as a secret under $_") for $a->{name}, 'any', $b->{name};
is(status($t->jwt({ alg => 'none' }, $t->claims(iss => $a->{name}, tenant => 'acme'), sub { 'x' })), 401, 'alg none');
is(status($a->token('k', iss => $_)), 401, "an issuer spelt otherwise: $_") for 'https://a.example', 'https://A.example/', 'https://a.example//', "https://a.example/\n", ' https://a.example/';
is(status($a->token('k', iss => [$a->{name}])), 401, 'an issuer that is no string');
is(status($a->token('k', iss => 'x' x 600)), 401, 'one longer than any');
my $twice = '{"sub":"s","tenant":"acme","aud":"sandbox","exp":' . (time + 60) . ',"iss":"https://b.example/","iss":"https://a.example/"}';
is(status($t->jwt({ alg => 'ES256', kid => 'k' }, $twice, sub { $a->{keys}{k}->sign_message_rfc7518($_[0], 'SHA256') })), 401, 'two issuers');

# Tenants.
my $outside = $t->request('GET', '/', token => $a->token('k', tenant => 'initech'));
my $forged = $t->request('GET', '/', token => substr($a->token('k'), 0, -4) . 'AAAA');
is($outside->{status}, 401, 'a tenant that is not of the issuer');
is($outside->{headers}{'www-authenticate'}, $forged->{headers}{'www-authenticate'}, 'refused as a forged token is');
s/req_\w+//, s/"traceparent":"[^"]*"// for my ($x, $y) = ($outside->{content}, $forged->{content});
is($x, $y, 'byte by byte');
is(status($a->token('k', tenant => $_)), 401, "nor is $_") for 'acm', 'acmee', 'ACME', '*', 'acme globex';
is(status($b->token('k', tenant => 'initech')), 401, 'the default claim where another is said');
is(status($a->token('k', tenant => undef)), 401, 'none');

# What the block says and what the location says.
is(status($a->token('k', aud => 'other')), 401, 'another audience');
is(status($a->token('k'), '/other'), 200, 'the audience of the block goes before that of the location');
is(status($a->token('k', aud => 'other'), '/other'), 401, 'and is the only one');
is(status($b->token('k', %org, aud => 'other'), '/other'), 200, 'a block that says none has that of the location');
is(status($b->token('k', %org), '/other'), 401, 'and no other');
is(status($a->token('k'), '/rs'), 401, 'an algorithm must suit both');
is(status($a->token('k', iat => time, exp => time + 50), '/short'), 200, "the location's maximum age");
is(status($a->token('k', iat => time, exp => time + 90), '/short'), 401, 'holds for blocks too');

# The cache knows whose token it was.
my $token = $a->token('k');
is(status($token), 200, 'verified') for 1 .. 2;
$t->logs(qr/cache=HIT/, 'and known');
is($t->open_context($t->seen('/', token => $token)->{sandbox_context})->{tenant}, 'acme', 'with its tenant');
(my $less = $blocks) =~ s/acme "globex"/globex/;
ok($t->reconfigure("$flat $less", locations => $locations), 'a tenant is taken from the list');
is(status($token), 401, 'and its token is not good any more, known or not');
is(status($a->token('k', tenant => 'globex')), 200, 'the other tenant stays');

# Without plain keys nothing else is taken.
ok($t->reconfigure("sandbox_auth on; $blocks", locations => $locations), 'blocks alone');
is(status($a->token('k')), 200, 'a token of A');
is(status($t->token), 401, 'one of nobody');
is(status(hs($t->{secret}, iss => undef)), 401, 'one without an issuer');

# Configurations that are refused.
sub refused {
    my ($text, $reason, $name) = @_;
    my ($ok, $said) = $t->accepts("sandbox_auth on; $text");
    ok(!$ok && $said =~ $reason, $name) or diag $said;
}
my $keys = "jwks_file $dir/a.json;";
refused('', qr/needs a key/, 'no key and no issuer');
refused("sandbox_issuer x { tenants a; }", qr/has no keys/, 'an issuer without keys');
refused("sandbox_issuer x { $keys }", qr/has no tenants/, 'one without tenants');
refused("sandbox_issuer x { $keys tenants a; } sandbox_issuer x { $keys tenants b; }", qr/is duplicate/, 'one twice');
refused("sandbox_issuer '' { $keys tenants a; }", qr/invalid issuer/, 'one without a name');
refused("sandbox_issuer @{[ 'x' x 600 ]} { $keys tenants a; }", qr/invalid issuer/, 'one with a name too long');
refused("sandbox_issuer x { $keys tenants a; who knows; }", qr/unknown word "who"/, 'a word we do not know');
refused("sandbox_issuer x { $keys tenants; }", qr/invalid number/, 'a word without what it needs');
refused("sandbox_issuer x { $keys tenants a; tenants b; }", qr/"tenants".*is duplicate/, 'a word twice');
refused("sandbox_issuer x { $keys tenants a/b; }", qr/invalid value "a\/b"/, 'a tenant that no token can name');
refused("sandbox_issuer x { $keys tenants a *; }", qr/invalid value "\*"/, 'a star among names');
refused("sandbox_issuer x { $keys tenants a; algorithms none; }", qr/invalid value "none"/, 'the algorithm none');
refused("sandbox_issuer x { $keys tenants a; claim user u; }", qr/invalid claim/, 'an unknown claim');
refused("sandbox_issuer x { $keys tenants a; claim tenant a; claim tenant b; }", qr/is duplicate/, 'a claim twice');
refused("sandbox_issuer x { jwks_file $dir/none.json; tenants a; }", qr/none\.json.*failed/, 'a file that is not there');
refused("sandbox_issuer x { $keys tenants *; act_for svc; }", qr/needs a list of tenants/, 'to act for any tenant there is');
refused(join(' ', map { "sandbox_issuer x$_ { $keys tenants a; }" } 1 .. 17), qr/one too many/, '17 of them');
refused("sandbox_issuer x { $keys tenants a;", qr/unexpected "\{"/, 'a block that does not end');
my $url = 'sandbox_issuer x { tenants a; jwks_url';
refused("$url http://192.0.2.1/k; }", qr/is not protected/, 'a URL in the clear');
refused("$url http://127.0.0.1.example/k; }", qr/is not protected/, 'one that only begins as this host');
refused("$url http://localhost.example/k; }", qr/is not protected/, 'by name too');
refused("$url http://127.0.0.1\@192.0.2.1/k; }", qr/is not protected|invalid/, 'or hides another behind it');
refused("$url ftp://127.0.0.1/k; }", qr/invalid URL/, 'another scheme');
refused("$url /etc/passwd; }", qr/invalid URL/, 'a path');
refused("$url http://127.0.0.1:1/k refresh=0s; }", qr/invalid parameter "refresh=0s"/, 'no time');
refused("$url http://127.0.0.1:1/k timeout=2h; }", qr/invalid parameter/, 'too much');
refused("$url http://127.0.0.1:1/k whatever; }", qr/invalid parameter "whatever"/, 'an unknown parameter');
refused("$url http://127.0.0.1:1/k; jwks_url http://127.0.0.1:1/l; }", qr/"jwks_url".*is duplicate/, 'two URLs');
refused("$url https://127.0.0.1:1/k ca=$dir/none.pem; }", qr/none\.pem/, 'certificates that are not there');
my ($fine, $said) = $t->accepts("sandbox_auth on; $url http://192.0.2.1/k insecure; }");
ok($fine, 'in the clear when that is said') or diag $said;
unlike($t->error_log, qr/\Q$token\E/, 'no token in the log');
$t->finish;
done_testing();
