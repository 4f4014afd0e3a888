#!/usr/bin/perl
# Hostile tokens: each 401 with the same bytes but for the request id, whatever is wrong with it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Crypt::PK::ECC;
use Crypt::PK::RSA;
use Digest::SHA qw(hmac_sha256 hmac_sha512);
use JSON::PP;
use MIME::Base64 qw(encode_base64 encode_base64url decode_base64url);
use Sandbox::Edge;
use Test::More;

my $t = Sandbox::Edge->new;
my $J = JSON::PP->new->canonical->utf8;
my $rsa = Crypt::PK::RSA->new;
$rsa->generate_key(256, 65537);
my $other_rsa = Crypt::PK::RSA->new;
$other_rsa->generate_key(256, 65537);
my ($p256, $p384, $other_p256) = map { my $key = Crypt::PK::ECC->new; $key->generate_key($_); $key } qw(secp256r1 secp384r1 secp256r1);
my $rsa_pem = $rsa->export_key_pem('public_x509');
$t->write('etc/rsa.pem', $rsa_pem);
$t->write('etc/ec.pem', $p256->export_key_pem('public'));

$t->start_edge(<<"END", locations => 'location /secret/ { sandbox_auth_algorithms HS256; proxy_pass http://up$sandbox_uri; }');
    sandbox_auth on;
    sandbox_auth_secret_file $t->{dir}/etc/jwt.secret kid=main;
    sandbox_auth_key_file $t->{dir}/etc/rsa.pem kid=rsa alg=RS256;
    sandbox_auth_key_file $t->{dir}/etc/ec.pem kid=ec;
    sandbox_auth_issuer local;
    sandbox_auth_audience sandbox;
    sandbox_auth_cache zone=tokens:1m;
END

my $secret = $t->{secret};
my $now = time;
my $hs = { alg => 'HS256', typ => 'JWT', kid => 'main' };
my $b64 = \&encode_base64url;
my $claims = $J->encode($t->claims);
my $good = $t->jwt($hs, $claims);
my ($h, $c, $s) = split /\./, $good;

sub hs { my ($header, $body) = @_; return $t->jwt($header, $body // $claims) }                    # signed well with our secret
sub with { my (%change) = @_; return hs($hs, $t->claims(%change)) }
sub text { my ($change) = @_; my $json = $claims; $change->($json); return hs($hs, $json) }        # claims as text
sub add { my ($member) = @_; return text(sub { $_[0] =~ s/^\{/{$member,/ }) }
sub head { my (%more) = @_; return hs({ %$hs, %more }) }
sub raw_head { my ($json) = @_; return hs($json) }
sub signed { my ($header, $sign) = @_; return $t->jwt($header, $claims, $sign) }
sub es { my ($key, $header) = @_; return signed($header // { alg => 'ES256', kid => 'ec' }, sub { $key->sign_message_rfc7518($_[0], 'SHA256') }) }
sub nest { my ($n) = @_; return '[' x $n . ']' x $n }
# The last character of 32 bytes in base64url carries 2 bits that must be 0.
sub noncanonical { my ($text) = @_; my $set = join '', 'A' .. 'Z', 'a' .. 'z', 0 .. 9, '-_'; my $i = index $set, substr $text, -1; return substr($text, 0, -1) . substr $set, $i ^ 1, 1 }

my $self_rsa = $J->decode($other_rsa->export_key_jwk('public'));
my @hostile = (
    # The algorithm.
    ['alg none, no signature',       $b64->('{"alg":"none"}') . ".$c."],
    ['alg none, signed',             hs('{"alg":"none","kid":"main"}')],
    ['alg None',                     hs('{"alg":"None","kid":"main"}')],
    ['alg NONE',                     hs('{"alg":"NONE","kid":"main"}')],
    ['alg nOnE, no signature',       $b64->('{"alg":"nOnE"}') . ".$c."],
    ['alg empty',                    head(alg => '')],
    ['alg missing',                  raw_head('{"typ":"JWT","kid":"main"}')],
    ['alg null',                     raw_head('{"alg":null,"kid":"main"}')],
    ['alg number',                   raw_head('{"alg":256,"kid":"main"}')],
    ['alg array',                    raw_head('{"alg":["HS256"],"kid":"main"}')],
    ['alg hs256 in lower case',      head(alg => 'hs256')],
    ['alg with a space',             head(alg => 'HS256 ')],
    ['alg HS256 and a NUL',          raw_head('{"alg":"HS256\u0000","kid":"main"}')],
    ['member Alg',                   raw_head('{"Alg":"HS256","kid":"main"}')],
    ['alg HS512 over an HS256 mac',  signed({ %$hs, alg => 'HS512' }, sub { hmac_sha256($_[0], $secret) })],
    ['alg HS1',                      head(alg => 'HS1')],
    ['HS256 with the RSA PEM',       $t->jwt({ alg => 'HS256', kid => 'rsa' }, $claims, $rsa_pem)],
    ['the same, no kid',             $t->jwt({ alg => 'HS256' }, $claims, $rsa_pem)],
    ['HS256 with the PEM trimmed',   $t->jwt({ alg => 'HS256', kid => 'rsa' }, $claims, $rsa_pem =~ s/\n\z//r)],
    ['HS256 with the RSA DER',       $t->jwt({ alg => 'HS256', kid => 'rsa' }, $claims, $rsa->export_key_der('public'))],
    ['HS256 with an empty key',      $t->jwt($hs, $claims, '')],
    ['HS256 with the key "secret"',  $t->jwt($hs, $claims, 'secret')],
    ['RS256 with the key called PS256', signed({ alg => 'PS256', kid => 'rsa' }, sub { $rsa->sign_message($_[0], 'SHA256', 'pss', 32) })],
    ['RS384, unlisted',              signed({ alg => 'RS384', kid => 'rsa' }, sub { $rsa->sign_message($_[0], 'SHA384', 'v1.5') })],
    ['RS512, unlisted',              signed({ alg => 'RS512', kid => 'rsa' }, sub { $rsa->sign_message($_[0], 'SHA512', 'v1.5') })],
    ['RS256 by another RSA key',     signed({ alg => 'RS256', kid => 'rsa' }, sub { $other_rsa->sign_message($_[0], 'SHA256', 'v1.5') })],
    ['RS256, signature of zeros',    signed({ alg => 'RS256', kid => 'rsa' }, sub { "\0" x 256 })],
    ['RS256, signature 1',           signed({ alg => 'RS256', kid => 'rsa' }, sub { "\0" x 255 . "\1" })],
    ['RS256 called by the secret\'s kid', signed({ alg => 'RS256', kid => 'main' }, sub { $rsa->sign_message($_[0], 'SHA256', 'v1.5') })],
    # The key.
    ['kid of a path',                head(kid => '../../../../dev/null')],
    ['kid of a path, empty key',     $t->jwt({ %$hs, kid => '/dev/null' }, $claims, '')],
    ['kid of SQL',                   head(kid => "x' UNION SELECT 'k")],
    ['kid with a NUL',               raw_head('{"alg":"HS256","kid":"main\u0000x"}')],
    ['kid null',                     raw_head('{"alg":"HS256","kid":null}')],
    ['kid number',                   raw_head('{"alg":"HS256","kid":0}')],
    ['kid object',                   raw_head('{"alg":"HS256","kid":{}}')],
    ['kid empty',                    head(kid => '')],
    ['kid unknown',                  head(kid => 'elsewhere')],
    ['kid in other case',            head(kid => 'MAIN')],
    ['kid too long',                 head(kid => 'k' x 129)],
    ['kid of a command',             head(kid => '|id')],
    ['jku',                          head(jku => 'https://evil.example/jwks.json')],
    ['x5u',                          head(x5u => 'https://evil.example/x.pem')],
    ['x5c',                          head(x5c => ['AAAA'])],
    ['jwk, symmetric',               $t->jwt({ alg => 'HS256', jwk => { kty => 'oct', k => $b64->('k' x 32) } }, $claims, 'k' x 32)],
    ['jwk, its own RSA key',         signed({ alg => 'RS256', kid => 'rsa', jwk => $self_rsa }, sub { $other_rsa->sign_message($_[0], 'SHA256', 'v1.5') })],
    ['jwk null',                     head(jwk => undef)],
    # The header.
    ['crit',                         head(crit => ['exp'])],
    ['crit empty',                   head(crit => [])],
    ['b64 false',                    head(b64 => JSON::PP::false, crit => ['b64'])],
    ['b64 false without crit',       head(b64 => JSON::PP::false)],
    ['zip',                          head(zip => 'DEF')],
    ['enc',                          head(enc => 'A128GCM')],
    ['cty JWT: nested',              head(cty => 'JWT')],
    ['typ JWE',                      head(typ => 'JWE')],
    ['typ number',                   head(typ => 1)],
    ['typ null',                     head(typ => undef)],
    ['typ empty',                    head(typ => '')],
    ['header with alg twice',        raw_head('{"alg":"HS256","alg":"HS256","kid":"main"}')],
    ['header with none, then HS256', raw_head('{"alg":"none","kid":"main","alg":"HS256"}')],
    ['header with alg twice by escape', raw_head('{"alg":"HS256","kid":"main","\u0061lg":"none"}')],
    ['header with kid twice',        raw_head('{"alg":"HS256","kid":"main","kid":"main"}')],
    ['header an array',              raw_head('["HS256"]')],
    ['header a string',              raw_head('"HS256"')],
    ['header empty object',          raw_head('{}')],
    ['header with trailing bytes',   raw_head('{"alg":"HS256","kid":"main"} {}')],
    ['header with a comment',        raw_head('{"alg":"HS256"/**/,"kid":"main"}')],
    ['header with a BOM',            raw_head("\xef\xbb\xbf" . '{"alg":"HS256","kid":"main"}')],
    ['header not UTF-8',             raw_head("{\"alg\":\"HS256\",\"kid\":\"main\",\"x\":\"\xff\"}")],
    ['header too deep',              raw_head('{"alg":"HS256","kid":"main","x":' . nest(100) . '}')],
    ['header too long',              raw_head('{"alg":"HS256","kid":"main","x":"' . 'x' x 2100 . '"}')],
    # The claims.
    ['exp missing',                  with(exp => undef)],
    ['exp null',                     text(sub { $_[0] =~ s/"exp":\d+/"exp":null/ })],
    ['exp a string',                 with(exp => '' . ($now + 600))],
    ['exp a float',                  text(sub { $_[0] =~ s/("exp":\d+)/$1.5/ })],
    ['exp an exponent',              text(sub { $_[0] =~ s/"exp":\d+/"exp":1e12/ })],
    ['exp true',                     with(exp => JSON::PP::true)],
    ['exp an array',                 with(exp => [$now + 600])],
    ['exp negative',                 with(exp => -1)],
    ['exp 0',                        with(exp => 0)],
    ['exp 1',                        with(exp => 1)],
    ['exp past',                     with(exp => $now - 3600)],
    ['exp over 2^53',                text(sub { $_[0] =~ s/"exp":\d+/"exp":9007199254740993/ })],
    ['exp 2^63',                     text(sub { $_[0] =~ s/"exp":\d+/"exp":9223372036854775808/ })],
    ['exp 2^64 + something',         text(sub { $_[0] =~ s/"exp":\d+/"exp":18446744073709551616000/ })],
    ['exp twice',                    add('"exp":1')],
    ['nbf future',                   with(nbf => $now + 3600)],
    ['nbf a string',                 with(nbf => "$now")],
    ['nbf null',                     add('"nbf":null')],
    ['iat future',                   with(iat => $now + 3600)],
    ['iat negative',                 with(iat => -5)],
    ['iat a float',                  text(sub { $_[0] =~ s/("iat":\d+)/$1.0/ })],
    ['issuer another',               with(iss => 'https://evil.example')],
    ['issuer in other case',         with(iss => 'Local')],
    ['issuer a prefix',              with(iss => 'loca')],
    ['issuer with a NUL',            text(sub { $_[0] =~ s/"local"/"local\\u0000"/ })],
    ['issuer an array',              with(iss => ['local'])],
    ['issuer missing',               with(iss => undef)],
    ['audience another',             with(aud => 'other')],
    ['audience array without ours',  with(aud => ['a', 'b'])],
    ['audience empty array',         with(aud => [])],
    ['audience nested',              with(aud => [['sandbox']])],
    ['audience with a number',       with(aud => ['sandbox', 1])],
    ['audience object',              with(aud => { sandbox => 1 })],
    ['audience missing',             with(aud => undef)],
    ['audience of 65 entries',       with(aud => [('x') x 64, 'sandbox'])],
    ['tenant missing',               with(tenant => undef)],
    ['tenant empty',                 with(tenant => '')],
    ['tenant a number',              with(tenant => 1)],
    ['tenant an array',              with(tenant => ['demo'])],
    ['tenant twice',                 add('"tenant":"other"')],
    ['tenant twice by escape',       add('"\u0074enant":"other"')],
    ['tenant with a slash',          with(tenant => 'a/b')],
    ['tenant a path',                with(tenant => '..')],
    ['tenant hidden',                with(tenant => '.ssh')],
    ['tenant with a space',          with(tenant => 'a b')],
    ['tenant with a newline',        with(tenant => "a\nb")],
    ['tenant with a quote',          with(tenant => 'a"b')],
    ['tenant unicode',               with(tenant => "t\x{e9}nant")],
    ['tenant a lookalike',           with(tenant => "\x{501}emo")],
    ['tenant with a NUL',            with(tenant => "demo\0x")],
    ['tenant too long',              with(tenant => 't' x 65)],
    ['tenant a lone surrogate',      text(sub { $_[0] =~ s/"demo"/"\\ud800"/ })],
    ['app with a slash',             with(app => 'a/b')],
    ['agent with a percent',         with(agent => 'a%2fb')],
    ['agent a number',               with(agent => 7)],
    ['subject missing',              with(sub => undef)],
    ['subject empty',                with(sub => '')],
    ['subject with a quote',         with(sub => 'a"b')],
    ['subject with a newline',       with(sub => "a\r\nX: y")],
    ['subject too long',             with(sub => 's' x 129)],
    ['jti a number',                 with(jti => 5)],
    ['scope an object',              with(scope => { a => 1 })],
    ['scope nested arrays',          with(scope => [['a']])],
    ['scope with a newline',         with(scope => "a\nb")],
    ['scope too long',               with(scope => 'a ' x 300)],
    ['scopes too many',              with(scope => [map { "scope$_" } 1 .. 100])],
    ['claims an array',              hs($hs, '[]')],
    ['claims a string',              hs($hs, '"x"')],
    ['claims null',                  hs($hs, 'null')],
    ['claims not JSON',              hs($hs, 'x')],
    ['claims with trailing bytes',   hs($hs, "$claims x")],
    ['claims with a trailing comma', hs($hs, $claims =~ s/\}\z/,}/r)],
    ['claims too deep',              add('"x":' . nest(1000))],
    ['claims not UTF-8',             add("\"x\":\"\xc0\xaf\"")],
    # The form.
    ['nothing but dots',             '..'],
    ['no dots',                      'abc'],
    ['one segment',                  $h],
    ['two segments',                 "$h.$c"],
    ['empty signature',              "$h.$c."],
    ['empty claims',                 "$h..$s"],
    ['empty header',                 ".$c.$s"],
    ['a fourth segment',             "$good.$s"],
    ['five segments',                "$h.$c.$s.$s.$s"],
    ['a dot at the end',             "$good."],
    ['a dot at the start',           ".$good"],
    ['truncated by one',             substr $good, 0, -1],
    ['signature cut by half',        "$h.$c." . substr $s, 0, 22],
    ['signature too long',           "$h.$c." . $b64->(decode_base64url($s) . "\0")],
    ['signature of another token',   "$h.$c." . (split /\./, with(sub => 'x'))[2]],
    ['claims of another token',      "$h." . (split /\./, with(tenant => 'admin'))[1] . ".$s"],
    ['padding on the signature',     "$good="],
    ['padding on the header',        "$h=.$c.$s"],
    ['trailing bits in the signature', "$h.$c." . noncanonical($s)],
    ['standard base64',              do { my $x; for my $i (1 .. 200) { $x = $t->jwt($hs, $t->claims(jti => "j$i")); last if $x =~ /[-_]/ } $x =~ tr{-_}{+/}; $x }],
    ['a space inside',               "$h. $c.$s"],
    ['a tab inside',                 "$h.\t$c.$s"],
    ['a percent escape',             "$h.$c%2e$s"],
    ['unicode in the token',         "$h.$c.\xc3\xa9"],
    ['a JSON serialisation',         $J->encode({ payload => $c, protected => $h, signature => $s })],
    ['too long',                     hs($hs, $t->claims(x => 'x' x 8000))],
    ['the word null',                'null'],
    ['the word undefined',           'undefined'],
    # Signatures on curves.
    ['ES256, r and s zero',          signed({ alg => 'ES256', kid => 'ec' }, sub { "\0" x 64 })],
    ['ES256, r zero',                signed({ alg => 'ES256', kid => 'ec' }, sub { "\0" x 32 . "\1" x 32 })],
    ['ES256, DER',                   signed({ alg => 'ES256', kid => 'ec' }, sub { $p256->sign_message($_[0], 'SHA256') })],
    ['ES256, 65 bytes',              signed({ alg => 'ES256', kid => 'ec' }, sub { "\0" . $p256->sign_message_rfc7518($_[0], 'SHA256') })],
    ['ES256, r of the order',        signed({ alg => 'ES256', kid => 'ec' }, sub { pack 'H*', 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551' x 2 })],
    ['ES256 by another key',         es($other_p256)],
    ['ES256 by a P-384 key',         es($p384)],
    ['ES384 by a P-384 key',         signed({ alg => 'ES384', kid => 'ec' }, sub { $p384->sign_message_rfc7518($_[0], 'SHA384') })],
    ['ES512 by name',                es($p256, { alg => 'ES512', kid => 'ec' })],
    ['ES256K by name',               es($p256, { alg => 'ES256K', kid => 'ec' })],
    ['EdDSA with no such key',       es($p256, { alg => 'EdDSA', kid => 'ec' })],
    ['HS256 with the EC PEM',        $t->jwt({ alg => 'HS256', kid => 'ec' }, $claims, $p256->export_key_pem('public'))],
);
cmp_ok(scalar @hostile, '>=', 40, scalar(@hostile) . ' hostile tokens');

# The good ones first, so that a table refused as a whole would show.
is($t->request('GET', '/', token => $good)->{status}, 200, 'the good token passes');
is($t->request('GET', '/', token => es($p256))->{status}, 200, 'a good ES256 one too');
is($t->request('GET', '/', token => signed({ alg => 'RS256', kid => 'rsa' }, sub { $rsa->sign_message($_[0], 'SHA256', 'v1.5') }))->{status}, 200, 'and an RS256 one');

my $body;
for my $case (@hostile) {
    my ($name, $token) = @$case;
    for my $header ("Authorization: Bearer $token", "X-API-KEY: $token") {
        my $reply = $t->ask('GET /v1/jobs HTTP/1.1', 'Host: localhost', $header, 'Connection: close');
        my $said = $reply->{content} // '';
        my $id = $said =~ s/"request_id":"(req_\w+)"/"request_id":""/ ? $1 : '';
        $body //= $said;
        my $fine = ($reply->{status} // 0) == 401 && $said eq $body && $id eq ($reply->{headers}{'x-request-id'} // '')
            && ($reply->{headers}{'www-authenticate'} // '') eq 'Bearer realm="sandbox", error="invalid_token"';
        my ($via) = $header =~ /^([^:]+)/;
        ok($fine, "$name, in $via") or diag(explain $reply);
        last if $token =~ /^[ .]*$/;
    }
}
is($t->request('GET', '/secret/x', token => es($p256))->{status}, 401, 'an algorithm another location allows');

# Bytes that a header cannot carry are refused before the token is looked at.
for my $case (['NUL', "$h.$c\0.$s"], ['CR', "$h.$c\r.$s"], ['line feed', "$h.$c\n.$s"]) {
    my $reply = $t->ask('GET / HTTP/1.1', 'Host: localhost', "Authorization: Bearer $case->[1]", 'Connection: close');
    like($reply->{status} // 'closed', qr/^(?:400|401|closed)$/, "$case->[0] in the header");
}
is($t->request('GET', '/', token => $good)->{status}, 200, 'the good token passes still');
is(scalar(grep { / 200 / } grep { m{/v1/jobs} } $t->access_log), 0, 'none reached the upstream');
$t->finish;
done_testing();
