#!/usr/bin/perl
# Every algorithm with every source of keys, selection by kid, and key files that are refused.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Crypt::PK::ECC;
use Crypt::PK::Ed25519;
use Crypt::PK::RSA;
use JSON::PP;
use MIME::Base64 qw(decode_base64url encode_base64url);
use Sandbox::Edge;
use Test::More;

my $t = Sandbox::Edge->new;
my $JSON = JSON::PP->new->canonical;

my $rsa = Crypt::PK::RSA->new;
$rsa->generate_key(256, 65537);
my $rsa2 = Crypt::PK::RSA->new;
$rsa2->generate_key(256, 65537);
my %ec = map { my $key = Crypt::PK::ECC->new; $key->generate_key($_); $_ => $key } qw(secp256r1 secp384r1 secp521r1 secp256k1);
my $ed = Crypt::PK::Ed25519->new;
$ed->generate_key;
my $oct = 'o' x 48;

my %sign = (
    RS256 => sub { my ($key) = @_; sub { $key->sign_message($_[0], 'SHA256', 'v1.5') } },
    PS256 => sub { my ($key) = @_; sub { $key->sign_message($_[0], 'SHA256', 'pss', 32) } },
    ES256 => sub { my ($key) = @_; sub { $key->sign_message_rfc7518($_[0], 'SHA256') } },
    ES384 => sub { my ($key) = @_; sub { $key->sign_message_rfc7518($_[0], 'SHA384') } },
    EdDSA => sub { my ($key) = @_; sub { $key->sign_message($_[0]) } },
);
my %key = (RS256 => $rsa, PS256 => $rsa, ES256 => $ec{secp256r1}, ES384 => $ec{secp384r1}, EdDSA => $ed);

sub token {
    my ($alg, $key, %header) = @_;
    return $t->jwt({ alg => $alg, %header }, $t->claims, ref $key ? $sign{$alg}->($key) : $key);
}

$t->write("etc/$_->[0].pem", $_->[1]->export_key_pem($_->[1]->isa('Crypt::PK::RSA') ? 'public_x509' : 'public'))
    for ['rsa', $rsa], ['rsa2', $rsa2], ['p256', $ec{secp256r1}], ['p384', $ec{secp384r1}], ['p521', $ec{secp521r1}],
        ['k256', $ec{secp256k1}], ['ed', $ed];
$t->write('etc/oct.secret', $oct);

sub jwk { my ($key, %more) = @_; return { %{ JSON::PP->new->decode($key->export_key_jwk('public')) }, %more } }
my @set = (
    jwk($rsa, kid => 'r1', alg => 'RS256', use => 'sig'),
    jwk($rsa2, kid => 'r2', alg => 'PS256', key_ops => ['verify']),
    jwk($ec{secp256r1}, kid => 'e1'), jwk($ec{secp384r1}, kid => 'e2'), jwk($ed, kid => 'd1'),
    { kty => 'oct', kid => 'o1', k => encode_base64url($oct), alg => 'HS384' },
    jwk($rsa, kid => 'enc', use => 'enc'), jwk($rsa, kid => 'wrap', key_ops => ['wrapKey']), jwk($rsa, kid => 'rs512', alg => 'RS512'),
    jwk($ec{secp521r1}, kid => 'e521'), { kty => 'AKP', kid => 'new', pub => 'AA' },
);
$t->write('etc/set.json', $JSON->encode({ keys => \@set, more => 1 }));

my $dir = "$t->{dir}/etc";
my $locations = join "\n", map { "location /$_->[0] { $_->[1] proxy_pass http://up\$sandbox_uri; }" }
    ['rsa', "sandbox_auth_key_file $dir/rsa.pem;"], ['pinned', "sandbox_auth_key_file $dir/rsa.pem alg=PS256 kid=k1;"],
    ['p256', "sandbox_auth_key_file $dir/p256.pem;"], ['p384', "sandbox_auth_key_file $dir/p384.pem;"],
    ['ed', "sandbox_auth_key_file $dir/ed.pem;"], ['set', "sandbox_auth_jwks_file $dir/set.json;"],
    ['many', "sandbox_auth_key_file $dir/rsa.pem kid=a; sandbox_auth_key_file $dir/rsa2.pem kid=b; sandbox_auth_secret_file $dir/jwt.secret; sandbox_auth_jwks_file $dir/set.json;"];
$t->start_edge("sandbox_auth on; sandbox_auth_secret_file $dir/oct.secret;", locations => $locations);

sub status { my ($path, $token) = @_; return $t->request('GET', $path, token => $token)->{status} }

for my $alg (qw(HS256 HS384 HS512)) {
    is(status('/', token($alg, $oct)), 200, "$alg with a secret file");
    is(status('/', token($alg, "$oct.")), 401, "$alg with another secret");
}
for my $case (['/rsa', 'RS256'], ['/rsa', 'PS256'], ['/p256', 'ES256'], ['/p384', 'ES384'], ['/ed', 'EdDSA']) {
    my ($path, $alg) = @$case;
    is(status($path, token($alg, $key{$alg})), 200, "$alg with a PEM file");
    is(status($path, token($alg, $key{$alg}, typ => 'at+jwt')), 200, "$alg, typ at+jwt");
    my $broken = token($alg, $key{$alg});
    substr $broken, -20, 1, substr($broken, -20, 1) eq 'A' ? 'B' : 'A';
    is(status($path, $broken), 401, "$alg with a changed signature");
    my ($head, $claims, $signature) = split /\./, token($alg, $key{$alg});
    my $other = encode_base64url($JSON->encode({ %{ $JSON->decode(decode_base64url($claims)) }, tenant => 'another' }));
    is(status($path, "$head.$other.$signature"), 401, "$alg with another tenant's name put in");
    is(status($path, "$head.$claims."), 401, "$alg without its signature");
    is(status($path, token($alg, $key{$alg}, kid => 'x')), 401, "$alg with a kid no key has");
    is(status('/', token($alg, $key{$alg})), 401, "$alg where only a secret is configured");
}
is(status('/', token('HS256', $oct, typ => 'at+jwt')), 200, 'HS256, typ at+jwt');
is(status('/', token('HS256', 'p' x 40, typ => 'at+jwt')), 401, 'HS256, typ at+jwt, another secret');
is(status('/rsa', token('RS256', $rsa2)), 401, 'another RSA key');
is(status('/rsa', $t->jwt({ alg => 'RS256' }, $t->claims, $sign{PS256}->($rsa))), 401, 'a PSS signature called RS256');
is(status('/rsa', $t->jwt({ alg => 'PS256' }, $t->claims, $sign{RS256}->($rsa))), 401, 'a PKCS#1 signature called PS256');
is(status('/rsa', $t->jwt({ alg => 'PS256' }, $t->claims, sub { $rsa->sign_message($_[0], 'SHA256', 'pss', 20) })), 401, 'a salt of another length');
is(status('/pinned', token('PS256', $rsa, kid => 'k1')), 200, 'a pinned algorithm and kid');
is(status('/pinned', token('PS256', $rsa)), 200, 'no kid: the key is tried');
is(status('/pinned', token('RS256', $rsa, kid => 'k1')), 401, 'the other algorithm of the same key');
is(status('/pinned', token('PS256', $rsa, kid => 'K1')), 401, 'a kid is compared with case');

# JWK set.
for my $case (['RS256', $rsa, 'r1'], ['PS256', $rsa2, 'r2'], ['ES256', $ec{secp256r1}, 'e1'], ['ES384', $ec{secp384r1}, 'e2'], ['EdDSA', $ed, 'd1'], ['HS384', $oct, 'o1']) {
    my ($alg, $key, $kid) = @$case;
    is(status('/set', token($alg, $key, kid => $kid)), 200, "$alg from the set by kid");
    is(status('/set', token($alg, $key)), 200, "$alg from the set without one");
    is(status('/set', token($alg, $key, kid => $kid eq 'r1' ? 'r2' : 'r1')), 401, "$alg with another key's kid");
}
is(status('/set', token('RS256', $rsa, kid => $_)), 401, "the key \"$_\" is not for us") for qw(enc wrap rs512 e521 new);
is(status('/set', token('HS256', $oct, kid => 'o1')), 401, 'an oct key keeps to its algorithm');

# Several sources together.
is(status('/many', token('RS256', $rsa, kid => 'a')), 200, 'the first PEM');
is(status('/many', token('RS256', $rsa2, kid => 'b')), 200, 'the second PEM');
is(status('/many', token('RS256', $rsa2, kid => 'a')), 401, 'signed by b, called a');
is(status('/many', token('HS256', $t->{secret})), 200, 'the secret');
is(status('/many', token('EdDSA', $ed, kid => 'd1')), 200, 'the set');

# Key files that are refused, with the file and the reason.
sub refused {
    my ($directive, $reason, $name) = @_;
    my ($ok, $said) = $t->accepts("sandbox_auth on; $directive");
    ok(!$ok && $said =~ $reason, $name) or diag $said;
}
sub set { my ($name, @keys) = @_; $t->write("etc/$name.json", ref $keys[0] ? $JSON->encode({ keys => \@keys }) : $keys[0]); return "sandbox_auth_jwks_file $dir/$name.json;" }
my $small = Crypt::PK::RSA->new;
$small->generate_key(128, 65537);
$t->write('etc/small.pem', $small->export_key_pem('public_x509'));
$t->write('etc/private.pem', $rsa->export_key_pem('private'));
$t->write('etc/short.secret', "x" x 31 . "\n");
$t->write('etc/empty', '');
$t->write('etc/big.pem', 'x' x 300_000);
$t->write('etc/text.pem', "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
my $jwk = $set[0];
refused('', qr/needs a key/, 'no key at all');
refused("sandbox_auth_key_file $dir/none.pem;", qr/none\.pem.*failed/, 'a file that is not there');
refused("sandbox_auth_key_file $dir;", qr/not a regular file/, 'a directory');
refused("sandbox_auth_key_file $dir/empty;", qr/must have 1 to/, 'an empty file');
refused("sandbox_auth_key_file $dir/big.pem;", qr/must have 1 to/, 'a huge file');
refused("sandbox_auth_key_file $dir/text.pem;", qr/text\.pem.*no PEM public key/, 'no key in it');
refused("sandbox_auth_key_file $dir/private.pem;", qr/no PEM public key/, 'a private key');
refused("sandbox_auth_key_file $dir/small.pem;", qr/only RSA of 2048/, 'RSA of 1024 bits');
refused("sandbox_auth_key_file $dir/p521.pem;", qr/only RSA/, 'P-521');
refused("sandbox_auth_key_file $dir/k256.pem;", qr/only RSA/, 'secp256k1');
refused("sandbox_auth_key_file $dir/rsa.pem alg=HS256;", qr/does not go with/, 'HS256 with an RSA key');
refused("sandbox_auth_key_file $dir/rsa.pem alg=none;", qr/not supported/, 'none');
refused("sandbox_auth_key_file $dir/rsa.pem kid=../x;", qr/kid: must be/, 'a kid with a path');
refused("sandbox_auth_key_file $dir/rsa.pem kid=;", qr/invalid parameter/, 'an empty kid');
refused("sandbox_auth_key_file $dir/rsa.pem key=1;", qr/invalid parameter/, 'an unknown parameter');
refused("sandbox_auth_secret_file $dir/short.secret;", qr/32 to 4096 bytes/, 'a secret of 31 bytes');
refused("sandbox_auth_secret_file $dir/jwt.secret alg=RS256;", qr/does not go with/, 'RS256 with a secret');
refused(set('syntax', '{"keys":['), qr/refused/, 'a set that is no JSON');
refused(set('dup', '{"keys":[],"keys":[]}'), qr/refused/, 'a set with a member twice');
refused(set('none', '{"keys":[]}'), qr/no usable/, 'an empty set');
refused(set('only', $set[6]), qr/no usable/, 'a set with encryption keys only');
refused(set('noarray', '{"keys":{}}'), qr/array/, 'keys that are no array');
refused(set('notobject', '{"keys":[1]}'), qr{/keys/0}, 'a key that is no object');
refused(set('nokty', { n => 'AQAB' }), qr{/keys/0/kty}, 'no kty');
refused(set('priv', { %$jwk, d => 'AQAB' }), qr{/keys/0/d}, 'a private key in the set');
refused(set('non', { kty => 'RSA', e => 'AQAB' }), qr{/keys/0/n: is required}, 'no modulus');
refused(set('pad', { %$jwk, n => "$jwk->{n}=" }), qr{/keys/0/n: must be base64url}, 'padding');
refused(set('even', { %$jwk, e => 'Ag' }), qr{/keys/0/kty}, 'an even exponent');
refused(set('curve', { %{ $set[2] }, y => encode_base64url("\1" x 32) }), qr{/keys/0/kty: the numbers}, 'a point off the curve');
refused(set('coord', { %{ $set[2] }, y => encode_base64url("\1" x 31) }), qr{/keys/0/kty}, 'a coordinate too short');
refused(set('edlen', { %{ $set[4] }, x => encode_base64url("\1" x 31) }), qr{/keys/0/kty}, 'an Ed25519 key too short');
refused(set('octshort', { kty => 'oct', k => encode_base64url('x' x 31) }), qr{/keys/0/k}, 'an oct key of 31 bytes');
refused(set('algmix', { %$jwk, alg => 'HS256' }), qr{/keys/0/alg}, 'an RSA key for HS256');
refused(set('kid', { %$jwk, kid => 'a/b' }), qr{/keys/0/alg: .*kid}, 'a kid with a slash');
refused(set('kidtype', { %$jwk, kid => 1 }), qr{/keys/0/kid}, 'a kid that is a number');

# The environment's secret, and other words of the directives.
my ($ok, $said) = $t->accepts('sandbox_auth on;', env => { AUTH_JWT_SECRET => 'e' x 32 });
ok($ok, 'AUTH_JWT_SECRET is a key') or diag $said;
($ok, $said) = $t->accepts('sandbox_auth on;', env => { AUTH_JWT_SECRET => 'e' x 31 });
ok(!$ok && $said =~ /AUTH_JWT_SECRET.*32 to 4096/, 'one of 31 bytes is refused');
($ok, $said) = $t->accepts('sandbox_auth on;', env => { AUTH_JWT_SECRET => '' });
ok(!$ok && $said =~ /needs a key/, 'an empty one is none');
unlike($said, qr/eeee/, 'a secret is not quoted');
my $secret = "sandbox_auth_secret_file $dir/jwt.secret;";
refused("$secret sandbox_auth_leeway 61s;", qr/leeway is at most 60/, 'leeway above 60 s');
refused("$secret sandbox_auth_algorithms none;", qr/invalid value "none"/, 'alg none allowed by directive');
refused("$secret sandbox_auth_algorithms HS257;", qr/invalid value/, 'an unknown algorithm');
refused("$secret sandbox_auth_claim user x;", qr/invalid claim/, 'an unknown claim');
refused("$secret sandbox_auth_claim tenant a; sandbox_auth_claim tenant b;", qr/is duplicate/, 'a claim twice');
refused("$secret sandbox_auth_issuer a; sandbox_auth_issuer b;", qr/is duplicate/, 'issuers twice');
refused("$secret sandbox_auth_cache 1m;", qr/invalid parameter/, 'a cache without a zone');
refused("$secret sandbox_auth_cache zone=a:1k;", qr/invalid zone/, 'a zone too small');
refused("$secret sandbox_public_port 0;", qr/invalid port/, 'port 0');
$t->finish;
done_testing();
