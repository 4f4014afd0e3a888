#!/usr/bin/perl
# The identity context that goes upstream: signed here, verified here with other code,
# never the client's, and never missing where a tenant is known.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use MIME::Base64 qw(encode_base64url decode_base64url);
use Sandbox::Edge;
use Test::More;

my $t = Sandbox::Edge->new;
my $auth = "sandbox_auth on; sandbox_auth_secret_file $t->{dir}/etc/jwt.secret;";
$t->start_edge($auth, locations => <<'END');
    location /open { sandbox_auth off; proxy_pass http://up$sandbox_uri; }
    location /inner { error_page 404 = /open/inner; proxy_intercept_errors on; proxy_pass http://up/missing; }
    location /named { error_page 404 = @named; proxy_intercept_errors on; proxy_pass http://up/missing; }
    location @named { proxy_pass http://up$sandbox_uri; }
    location /rewritten { rewrite ^ /target last; }
    location /mirrored { mirror /mirror/open; proxy_pass http://up$sandbox_uri; }
    location /mirror/open { internal; sandbox_auth off; proxy_pass http://up$sandbox_uri; }
    location /mirrored2 { mirror /mirror/strict; proxy_pass http://up$sandbox_uri; }
    location /mirror/strict { internal; sandbox_auth_claim tenant other; sandbox_auth_scope never; proxy_pass http://up$sandbox_uri; }
    location /bare { proxy_pass http://up$sandbox_uri; proxy_set_header X-Nothing ""; }
END

my $start = int(time * 1000);
my $seen = $t->seen('/v1/jobs', token => $t->token(app => 'web', agent => 'a1', scope => 'x y', jti => 'id-7'),
    headers => { 'X-Request-Id' => 'mine-1', traceparent => '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00' });
my $context = $t->open_context($seen->{sandbox_context});
ok($context, 'signed with the key: v1, JSON, HMAC-SHA-256') or diag explain $seen;
is($context->{rid}, 'mine-1', 'request id');
is($context->{rid}, $seen->{x_request_id}, 'the same in its header');
like($context->{trace}, qr/^00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)[0-9a-f]{16}-00$/, 'the client\'s trace, a parent of ours');
is($context->{trace}, $seen->{traceparent}, 'the same in its header');
is_deeply([@{$context}{qw(tenant app agent sub jti scopes)}], ['demo', 'web', 'a1', 'tester', 'id-7', 'x y'], 'identity');
is($context->{client}, '127.0.0.1', 'client address');
ok(!$context->{bypass}, 'no bypass');
cmp_ok($context->{iat}, '>=', $start, 'issued now');
cmp_ok($context->{iat}, '<=', time * 1000 + 1000, 'and not later');
ok(!defined $t->open_context($seen->{sandbox_context}, 'k' x 64), 'another key does not verify it');
is($seen->{authorization}, '', 'the token does not go upstream');

my $other = $t->open_context($t->seen('/v1/jobs', token => $t->token)->{sandbox_context});
isnt($other->{rid}, 'mine-1', 'one per request');

# What a client may not say.
my $forged = $seen->{sandbox_context};
for my $name ('Sandbox-Context', 'sandbox-context', 'SANDBOX-CONTEXT', 'Sandbox-Role', 'X-Sandbox-Role', 'X-Tenant-Id', 'x-tenant', 'X-Session-Token') {
    my $got = $t->seen('/open', anonymous => 1, headers => { $name => $forged, 'X-Other' => 'kept' });
    is_deeply([@{$got}{qw(sandbox_context x_sandbox_role x_tenant_id x_session_token)}], ['', '', '', ''], "$name of a client is dropped");
    is($got->{x_other}, 'kept', 'others are not');
    $got = $t->seen('/bare', headers => { $name => $forged });
    is_deeply([@{$got}{qw(sandbox_context x_sandbox_role x_tenant_id x_session_token)}], ['', '', '', ''], 'nor where the configuration forgot to set them');
}
# Every place in nginx's header list: parts of 20 elements.
for my $at (0, 1, 9, 18, 19, 20, 21, 39, 40, 41, 45) {
    my @lines = map { "X-N$_: v" } 1 .. 45;
    splice @lines, $at, 0, "Sandbox-Context: $forged", "X-Other: o$at", 'X-Tenant-Id: evil';
    my $reply = $t->ask('GET /open HTTP/1.1', 'Host: localhost', @lines, 'Connection: close');
    is_deeply([@{ $reply->{json} }{qw(sandbox_context x_tenant_id x_other)}], ['', '', "o$at"], "dropped as header $at");
}
# Several in a row leave no empty part behind whose first element would be sent after all.
for my $at (0, 1, 17, 18, 19, 20, 21, 38, 39, 40, 45) {
    for my $n (2 .. 4, 25) {
        my @lines = map { "X-N$_: v" } 1 .. 45;
        splice @lines, $at, 0, map { ('X-Tenant-Id: evil', 'X-Session-Token: evil', 'X-Sandbox-Role: evil')[$_ % 3] } 1 .. $n;
        for my $path ('/open', '/bare') {
            my $reply = $t->ask("GET $path HTTP/1.1", 'Host: localhost', 'Authorization: Bearer ' . $t->token, @lines, 'X-Other: kept', 'Connection: close');
            is_deeply([@{ $reply->{json} }{qw(x_sandbox_role x_tenant_id x_session_token x_other)}], ['', '', '', 'kept'], "$n in a row as headers from $at on, $path");
        }
    }
}
for my $n (1 .. 4, 20, 21) {
    my $reply = $t->ask('GET /open HTTP/1.1', 'Host: localhost', 'Connection: close', map { ('X-Tenant-Id: evil', 'X-Session-Token: evil')[$_ % 2] } 1 .. $n);
    is_deeply([@{ $reply->{json} }{qw(x_tenant_id x_session_token)}], ['', ''], "$n at the end");
    $reply = $t->ask('GET /open HTTP/1.1', (map { ('X-Tenant-Id: evil', 'X-Session-Token: evil')[$_ % 2] } 1 .. $n), 'Host: localhost', 'Connection: close');
    is_deeply([@{ $reply->{json} }{qw(x_tenant_id x_session_token)}], ['', ''], "$n before all others");
}
my $reply = $t->ask('GET /open HTTP/1.1', 'Host: localhost', (map { "Sandbox-Context: $forged" } 1 .. 30), 'X-Other: last', 'Connection: close');
is_deeply([@{ $reply->{json} }{qw(sandbox_context x_other)}], ['', 'last'], 'thirty of them');

# Internal redirects: rules of the location that serves are the ones that count.
is($t->seen('/open/x', token => $t->token)->{sandbox_context}, '', 'auth off: no identity');
is($t->seen('/inner', token => $t->token)->{sandbox_context}, '', 'from a location with auth to one without: none is carried over');
ok($t->open_context($t->seen('/named', token => $t->token)->{sandbox_context}), 'a named location verifies again');
is($t->request('GET', '/named', anonymous => 1)->{status}, 401, 'and refuses as well');
ok($t->open_context($t->seen('/rewritten', token => $t->token)->{sandbox_context}), 'a rewritten path');
is($t->request('GET', '/rewritten', anonymous => 1)->{status}, 401, 'which asks for a token');

# Subrequests are checked by their own location's rules and change nothing of their request.
for my $path (qw(/mirrored /mirrored2)) {
    my $got = $t->open_context($t->seen($path, token => $t->token)->{sandbox_context});
    is($got && $got->{tenant}, 'demo', "$path keeps its identity");
    is($t->request('GET', $path, anonymous => 1)->{status}, 401, 'and asks for a token');
}

# Configurations that could not sign are no configurations.
sub refused { my ($http, $reason, $name, %option) = @_; my ($ok, $said) = $t->accepts($http, %option); ok(!$ok && $said =~ $reason, $name) or diag $said }
$t->write('etc/short.key', 'x' x 31);
my $conf = $t->edge_conf($auth);
my $try = sub {
    my ($change, $reason, $name) = @_;
    my $text = $conf;
    $change->($text) for $text;
    my $file = $t->write('etc/try.conf', $t->gateway_conf($text));
    local $ENV{ASAN_OPTIONS} = 'detect_leaks=0';
    my $said = `@{[ $t->nginx ]} -t -p $t->{dir} -c $file 2>&1`;
    ok($? != 0 && $said =~ $reason, $name) or diag $said;
};
$try->(sub { $_[0] =~ s/sandbox_context_key_file [^;]*;// }, qr/needs "sandbox_context_key_file"/, 'auth without a context key');
$try->(sub { $_[0] =~ s/(sandbox_context_key_file) [^;]*;/$1 short.key;/ }, qr/fewer than 32/, 'a context key of 31 bytes');
$try->(sub { $_[0] =~ s/(sandbox_context_key_file) [^;]*;/$1 none.key;/ }, qr/none\.key.*failed/, 'a context key that is not there');
$try->(sub { $_[0] =~ s/(sandbox_context_key_file [^;]*;)/$1 $1/ }, qr/is duplicate/, 'a context key twice');
$t->finish;
done_testing();
