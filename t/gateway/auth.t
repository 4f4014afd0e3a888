#!/usr/bin/perl
# Where a token may come from, what it must say, and what a refusal says.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Edge;
use Test::More;

my $t = Sandbox::Edge->new;
my $base = "sandbox_auth on; sandbox_auth_secret_file $t->{dir}/etc/jwt.secret; sandbox_auth_issuer local other; sandbox_auth_audience sandbox extra;";
$t->write('etc/second.secret', ('s' x 40) . "\n");
$t->start_edge($base, locations => <<"END");
    location /open { sandbox_auth off; proxy_pass http://up\$sandbox_uri; }
    location /scoped { sandbox_auth_scope jobs:write jobs:read; proxy_pass http://up\$sandbox_uri; }
    location /writes { limit_except GET { sandbox_auth_scope jobs:write; } proxy_pass http://up\$sandbox_uri; }
    location /second { sandbox_auth_secret_file $t->{dir}/etc/second.secret; proxy_pass http://up\$sandbox_uri; }
    location /mapped {
        sandbox_auth_claim tenant org.tenant; sandbox_auth_claim app azp; sandbox_auth_claim agent https://x.example/agent;
        sandbox_auth_claim scopes permissions; sandbox_auth_claim subject user; proxy_pass http://up\$sandbox_uri;
    }
    location /short { sandbox_auth_max_age 60s; sandbox_auth_leeway 0; proxy_pass http://up\$sandbox_uri; }
    location /hs512 { sandbox_auth_algorithms HS512; proxy_pass http://up\$sandbox_uri; }
END

my $good = $t->token;
sub status { my ($path, %option) = @_; return $t->request('GET', $path, %option)->{status} }
sub with { my (%claims) = @_; return $t->jwt({ alg => 'HS256' }, $t->claims(%claims)) }

# Carriers.
is(status('/'), 200, 'a bearer token');
is(status('/', anonymous => 1, headers => { 'X-API-KEY' => $good }), 200, 'the same in X-API-KEY');
is(status('/', anonymous => 1, headers => { Authorization => "bEaReR   $good" }), 200, 'the scheme without case, more spaces');
is(status('/', headers => { 'X-API-KEY' => $good }, token => $good), 200, 'both, identical');
is(status('/', headers => { 'X-API-KEY' => $t->token(sub => 'other') }, token => $good), 401, 'both, different');
is(status('/', headers => { 'X-API-KEY' => 'x' }, token => $good), 401, 'a good bearer does not excuse a bad key');
is(status('/', anonymous => 1), 401, 'none');
my $query = $t->token(jti => 'query');
is(status("/?access_token=$query&token=$query", anonymous => 1), 401, 'a token in the query is not looked at');
is(status('/', anonymous => 1, headers => { Cookie => "token=$good; Authorization=$good" }), 401, 'nor one in a cookie');
for my $header ("Bearer", "Bearer ", "Basic $good", "Token $good", $good, "Bearer$good", "Bearer\t$good", "Bearer $good x", "Bearer $good,$good", 'Bearer null') {
    is(status('/', anonymous => 1, headers => { Authorization => $header }), 401, 'no bearer token: ' . substr $header, 0, 12);
}
# nginx refuses these by itself, and quotes them in its log at level info: another token than the one looked for below.
is($t->ask('GET / HTTP/1.1', 'Host: localhost', "Authorization: Bearer $query", "Authorization: Bearer $query", 'Connection: close')->{status}, 400, 'two Authorization headers');
is($t->ask('GET / HTTP/1.1', 'Host: localhost', "X-API-KEY: $good", "X-Api-Key: $good", 'Connection: close')->{status}, 401, 'two X-API-KEY headers');

# What a refusal says.
my $none = $t->request('GET', '/', anonymous => 1);
is($none->{headers}{'www-authenticate'}, 'Bearer realm="sandbox"', 'no token: asked for one');
is($none->{headers}{'content-type'}, 'application/problem+json', 'a problem document');
is($none->{json}{code}, 'unauthorized', 'its code');
is($none->{json}{status}, 401, 'its status');
is($none->{json}{request_id}, $none->{headers}{'x-request-id'}, 'its request id');
my $bad = $t->request('GET', '/', token => 'x.y.z');
is($bad->{headers}{'www-authenticate'}, 'Bearer realm="sandbox", error="invalid_token"', 'a bad token: told so');
(my $body_none = $none->{content}) =~ s/req_\w+//;
(my $body_bad = $bad->{content}) =~ s/req_\w+//;
is($body_bad, $body_none, 'the words are the same for none and a bad one');
is(status('/v1/nothing', anonymous => 1), 401, 'an unknown path asks for a token first');
is($t->request('POST', '/', anonymous => 1, body => 'x' x 500)->{status}, 401, 'a body is read over');

# Dates, issuer, audience.
my $now = time;
is(status('/', token => with(exp => $now - 20)), 200, 'expired within the leeway');
is(status('/', token => with(exp => $now - 35)), 401, 'expired past it');
is(status('/', token => with(nbf => $now + 20)), 200, 'not yet, within the leeway');
is(status('/', token => with(nbf => $now + 90)), 401, 'not yet, past it');
is(status('/', token => with(iat => $now + 90)), 401, 'issued in the future');
is(status('/', token => with(iat => undef)), 200, 'iat may be absent');
is(status('/', token => with(iss => 'other')), 200, 'the second issuer');
is(status('/', token => with(iss => 'localx')), 401, 'another issuer');
is(status('/', token => with(iss => undef)), 401, 'no issuer');
is(status('/', token => with(aud => 'extra')), 200, 'the second audience');
is(status('/', token => with(aud => ['x', 'sandbox'])), 200, 'ours among several');
is(status('/', token => with(aud => ['x', 'y'])), 401, 'not ours among several');
is(status('/', token => with(aud => undef)), 401, 'no audience');
is(status('/short', token => with(iat => $now, exp => $now + 50)), 200, 'a life below the maximum');
is(status('/short', token => with(iat => $now, exp => $now + 70)), 401, 'a life above it');
is(status('/short', token => with(iat => undef, exp => $now + 50)), 401, 'a life that cannot be told');
is(status('/short', token => with(iat => $now - 100, exp => $now - 1)), 401, 'no leeway where it is 0');
is(status('/hs512', token => $t->jwt({ alg => 'HS512' }, $t->claims)), 200, 'the algorithm allowed');
is(status('/hs512'), 401, 'one not allowed there');

# Identity.
my $seen = $t->open_context($t->seen('/', token => with(app => 'web', agent => 'a-1', scope => 'a b', jti => 'j-1'))->{sandbox_context});
is_deeply([@{$seen}{qw(tenant app agent sub scopes jti bypass)}], ['demo', 'web', 'a-1', 'tester', 'a b', 'j-1', JSON::PP::false], 'claims become the identity');
$seen = $t->open_context($t->seen('/mapped', token => with(tenant => 'wrong', org => { tenant => 'acme' }, azp => 'cli', 'https://x.example/agent' => 'bot', permissions => ['p:1', 'p:2'], user => 'u1'))->{sandbox_context});
is_deeply([@{$seen}{qw(tenant app agent sub scopes)}], ['acme', 'cli', 'bot', 'u1', 'p:1 p:2'], 'other claims by directive, dotted path and array too');
is(status('/mapped', token => with(org => 'acme', user => 'u1')), 401, 'a dotted path through no object');
is(status('/mapped'), 401, 'the default claims are not the mapped ones');
is(status('/', token => with(tenant => undef)), 401, 'no tenant');
is(status('/', token => with(sub => undef)), 401, 'no subject');
$t->logs(qr/method=none.*denied=token_invalid/, 'the log says that it was refused');
is(status('/', token => with(app => 'web')), 200, 'once more');
$t->logs(qr/tenant=demo app=web agent=- sub=tester method=bearer cache=- denied=-/, 'variables of a good one');

# Scopes.
is(status('/scoped', token => with(scope => 'jobs:read x jobs:write')), 200, 'all scopes there');
my $reply = $t->request('GET', '/scoped', token => with(scope => 'jobs:read'));
is($reply->{status}, 403, 'one missing');
is($reply->{json}{code}, 'forbidden', 'its code');
is($reply->{headers}{'www-authenticate'}, 'Bearer realm="sandbox", error="insufficient_scope", scope="jobs:write jobs:read"', 'all that are needed');
is(status('/scoped', token => with(scope => 'jobs:writex jobs:read')), 403, 'a longer scope is another');
is(status('/scoped', token => with(scope => 'jobs:writ jobs:read')), 403, 'a shorter one too');
is(status('/scoped'), 403, 'no scopes');
is(status('/scoped', token => 'x'), 401, 'a bad token is 401 before it is 403');
is(status('/writes'), 200, 'GET needs no scope there');
is($t->request('POST', '/writes')->{status}, 403, 'POST does');

# Locations.
is(status('/open', anonymous => 1), 200, 'auth off');
is($t->seen('/open', token => $good)->{sandbox_context}, '', 'auth off makes no identity, whatever is sent');
is(status('/healthz', anonymous => 1), 200, 'health needs none');
is(status('/second'), 401, 'another secret there');
is(status('/second', token => $t->jwt({ alg => 'HS256' }, $t->claims, 's' x 40)), 200, 'which works, its final newline aside');
is(status('/', token => $t->jwt({ alg => 'HS256' }, $t->claims, 's' x 40)), 401, 'only there');

unlike($t->error_log, qr/\Q$good\E|\Q$t->{secret}\E/, 'no token and no secret in the log');
like($t->error_log, qr/\[info\].*token refused: signature does not verify/, 'the reason is in the log');
$t->finish;
done_testing();
