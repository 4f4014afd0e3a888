#!/usr/bin/perl
# AUTH_JWT_SECRET, AUTH_ISSUER and AUTH_AUDIENCE: what holds where no directive speaks.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Edge;
use Test::More;

my $secret = 'environment ' x 3;
my $t = Sandbox::Edge->new(env => { AUTH_JWT_SECRET => $secret, AUTH_ISSUER => 'env-issuer', AUTH_AUDIENCE => 'env-audience', AUTHZ_BYPASS => '' });
$t->start_edge('sandbox_auth on;', locations => <<"END");
    location /key { sandbox_auth_secret_file $t->{dir}/etc/jwt.secret; proxy_pass http://up\$sandbox_uri; }
    location /issuer { sandbox_auth_issuer mine; proxy_pass http://up\$sandbox_uri; }
    location /audience { sandbox_auth_audience mine; proxy_pass http://up\$sandbox_uri; }
END

sub status {
    my ($path, $key, %claims) = @_;
    return $t->request('GET', $path, token => $t->jwt({ alg => 'HS256' }, $t->claims(iss => 'env-issuer', aud => 'env-audience', %claims), $key))->{status};
}

is(status('/', $secret), 200, 'all three of the environment');
is(status('/', $t->{secret}), 401, 'another secret');
is(status('/', substr $secret, 1), 401, 'a part of it');
is(status('/', $secret, iss => 'local'), 401, 'another issuer');
is(status('/', $secret, iss => undef), 401, 'no issuer');
is(status('/', $secret, aud => 'sandbox'), 401, 'another audience');
is(status('/', $secret, aud => undef), 401, 'no audience');
is(status('/key', $t->{secret}), 200, 'a key by directive');
is(status('/key', $secret), 401, 'replaces that of the environment');
is(status('/issuer', $secret, iss => 'mine'), 200, 'an issuer by directive');
is(status('/issuer', $secret), 401, 'replaces that of the environment');
is(status('/audience', $secret, aud => ['mine']), 200, 'an audience by directive');
is(status('/audience', $secret), 401, 'replaces that of the environment');

my $said = $t->raw("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
unlike($said . $t->error_log . $t->read_file('logs/access.log'), qr/environment environment/, 'nobody says the secret');
ok($t->reconfigure('sandbox_auth on;'), 'a reload finds it still');
is(status('/', $secret), 200, 'and takes the token');
$t->finish;
done_testing();
