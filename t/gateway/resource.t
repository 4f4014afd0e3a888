#!/usr/bin/perl
# Where to get a token, for clients that ask (RFC 9728), and what a tool or a route needs.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Edge;
use Sandbox::Idp;
use Test::More;

my $t = Sandbox::Edge->new;
my $dir = "$t->{dir}/etc";
my $idp = Sandbox::Idp->new($t, name => 'https://id.example.com/');
$idp->key('k');
$t->write('etc/idp.jwks', $idp->set);
my $base = "sandbox_auth on; sandbox_auth_secret_file $dir/jwt.secret; sandbox_auth_issuer local https://old.example/;"
    . " sandbox_issuer $idp->{name} { jwks_file $dir/idp.jwks; tenants acme; } sandbox_resource https://box.example.com;";
my $well = '/.well-known/oauth-protected-resource';
my $locations = <<"END";
    location $well { sandbox_auth off; sandbox_resource_metadata; }
    location = $well/mcp { sandbox_auth off; sandbox_resource https://box.example.com/mcp; sandbox_resource_metadata; }
    location /mcp { sandbox_resource https://box.example.com/mcp; sandbox_auth_scope jobs:write; proxy_pass http://up\$sandbox_uri; }
    location /policies {
        sandbox_auth_scope policies:read;
        limit_except GET { sandbox_auth_scope policies:write; }
        proxy_pass http://up\$sandbox_uri;
    }
    location /below { sandbox_resource /below/here; proxy_pass http://up\$sandbox_uri; location /below/here/deeper { proxy_pass http://up\$sandbox_uri; } }
    location = $well/below/here { sandbox_auth off; sandbox_resource /below/here; sandbox_resource_metadata; }
    location /both { sandbox_auth_scope policies:read jobs:read; proxy_pass http://up\$sandbox_uri; }
END
$t->start_edge($base, locations => $locations);

sub challenge { my ($path, %option) = @_; return $t->request('GET', $path, %option)->{headers}{'www-authenticate'} }
sub status { my ($method, $path, $scope) = @_; return $t->request($method, $path, defined $scope ? (scope => $scope) : ())->{status} }

is(challenge('/', anonymous => 1), qq(Bearer realm="sandbox", resource_metadata="https://box.example.com$well"), 'no token: where to learn more');
is(challenge('/', token => 'x.y.z'), qq(Bearer realm="sandbox", error="invalid_token", resource_metadata="https://box.example.com$well"), 'a bad one: the same');
is(challenge('/mcp', anonymous => 1), qq(Bearer realm="sandbox", scope="jobs:write", resource_metadata="https://box.example.com$well/mcp"), 'a resource with a path, and what it needs');
is(challenge('/mcp', scope => 'jobs:read'), qq(Bearer realm="sandbox", error="insufficient_scope", scope="jobs:write", resource_metadata="https://box.example.com$well/mcp"), 'a scope that is missing');
is(challenge('/both', scope => 'x'), qq(Bearer realm="sandbox", error="insufficient_scope", scope="policies:read jobs:read", resource_metadata="https://box.example.com$well"), 'all that are needed');

my $reply = $t->request('GET', $well, anonymous => 1);
is($reply->{status}, 200, 'the metadata needs no token');
is($reply->{headers}{'content-type'}, 'application/json', 'is JSON');
is_deeply($reply->{json}, {
    resource => 'https://box.example.com', authorization_servers => [$idp->{name}, 'https://old.example/'],
    scopes_supported => ['jobs:write', 'policies:read', 'policies:write', 'jobs:read'], bearer_methods_supported => ['header'], resource_name => 'ngx_sandbox',
}, 'and says this');
is($t->request('GET', "$well/mcp", anonymous => 1)->{json}{resource}, 'https://box.example.com/mcp', 'that of another resource');
is(challenge('/below/x', anonymous => 1), qq(Bearer realm="sandbox", resource_metadata="https://box.example.com$well/below/here"), 'a path after the resource of the level above');
is(challenge('/below/here/deeper', anonymous => 1), qq(Bearer realm="sandbox", resource_metadata="https://box.example.com$well/below/here"), 'is inherited');
is($t->request('GET', "$well/below/here", anonymous => 1)->{json}{resource}, 'https://box.example.com/below/here', 'and has metadata of its own');

# RFC 6750, 5.3: what stands in a URL is logged by others. It is no token, and one that comes along makes up for nothing.
my $good = $t->token(scope => 'jobs:read');
for my $query ("access_token=$good", "x=1&access_token=$good", "ACCESS_TOKEN=$good", 'access_token=', 'access_token=x&access_token=y') {
    is($t->request('GET', "/?$query", anonymous => 1)->{status}, 401, 'a token in the query: 401');
    is($t->request('GET', "/?$query", token => $good)->{status}, 401, 'also with a good one in the header');
}
is($t->request('GET', '/?my_access_token=1&access_tokens=2&x=access_token', token => $good)->{status}, 200, 'other arguments are none');
is($t->request('HEAD', $well, anonymous => 1)->{status}, 200, 'HEAD');
is($t->request('POST', $well, anonymous => 1)->{status}, 405, 'no other method');
is($t->request('GET', "$well$_", anonymous => 1)->{status}, 404, "nothing at $_") for '/', '/other', '/mcp/x', 'x', '/mcp%2f';
unlike($t->request('GET', "$well/%22%3Cx%3E", anonymous => 1)->{content}, qr/<x>/, 'no byte of a path in an answer');

# Scopes by method; admin stands for those of administration and for nothing else.
is(status('GET', '/policies', 'policies:read'), 200, 'reading');
is(status('POST', '/policies', 'policies:read'), 403, 'is not writing');
is(status('POST', '/policies', 'policies:write'), 200, 'writing');
is(status('GET', '/policies', 'policies:write'), 403, 'is not reading');
is(status($_, '/policies', 'admin'), 200, "$_ by admin") for 'GET', 'POST', 'DELETE';
is(status('GET', '/policies', undef), 403, 'no scope implies none of these');
is(status('GET', '/policies', $_), 403, "nor does $_") for 'administrator', 'adm', 'policies', 'policies:', '*', 'jobs:write';
is(status('GET', '/both', 'admin'), 403, 'admin does not stand for jobs:read');
is(status('GET', '/both', 'admin jobs:read'), 200, 'with which it is enough');

# Refused.
sub refused {
    my ($text, $reason, $name) = @_;
    my ($ok, $said) = $t->accepts("sandbox_auth on; sandbox_auth_secret_file $dir/jwt.secret; $text");
    ok(!$ok && $said =~ $reason, $name) or diag $said;
}
refused("sandbox_resource $_;", qr/invalid resource/, "a resource that is none: $_") for 'box.example.com', 'ftp://box.example.com', 'https://', 'https:///x', 'https://a/?q', 'https://a/#f', "'https://a/ b'", 'https://u@a/', "'https://a/\"x'";
refused('sandbox_resource https://a/; sandbox_resource https://b/;', qr/is duplicate/, 'two of them');
refused("sandbox_resource $_;", qr/invalid resource/, "a path that is none: $_") for '/', '//evil.example', 'x/y';
refused("sandbox_resource https://a; server { sandbox_resource $_; }", qr/invalid resource/, "nor is $_ after another") for "'/a b'", '/?q', "'/\"x'", '/a@b';
refused('sandbox_resource /a; sandbox_resource https://b/;', qr/is duplicate/, 'two of them, one a path');
refused('sandbox_auth_tool_scope run_code a; sandbox_auth_tool_scope run_code b;', qr/is duplicate/, 'a tool twice');
refused('sandbox_auth_tool_scope a/b c;', qr/invalid tool/, 'a tool that is no name');
refused('sandbox_auth_tool_scope a;', qr/invalid number/, 'a tool without a scope');
my ($ok, $said) = $t->accepts("sandbox_auth on; sandbox_auth_secret_file $dir/jwt.secret; sandbox_auth_tool_scope run_code jobs:write; sandbox_auth_tool_scope status jobs:read sessions:read;");
ok($ok, 'scopes of tools') or diag $said;

# Without a resource there is no pointer, and no metadata.
ok($t->reconfigure("sandbox_auth on; sandbox_auth_secret_file $dir/jwt.secret;", locations => "location $well { sandbox_auth off; sandbox_resource_metadata; } location /below { sandbox_resource /below; proxy_pass http://up/; }"), 'reload');
is(challenge('/below', anonymous => 1), 'Bearer realm="sandbox"', 'a path after nothing: nothing');
is(challenge('/', anonymous => 1), 'Bearer realm="sandbox"', 'no resource, no pointer');
is($t->request('GET', $well, anonymous => 1)->{status}, 404, 'nor metadata');
$t->finish;
done_testing();
