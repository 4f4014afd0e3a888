#!/usr/bin/perl
# Whose web pages may send messages: those of this machine, and those that the configuration names. What an attacker's page can choose is
# everything but its Origin; what it can hope for is that we read one wrongly.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Edge;
use Sandbox::Mcp;
use Test::More;

my $t = Sandbox::Edge->new;
$t->write('etc/mcp.json', Sandbox::Mcp::catalogue([Sandbox::Mcp::tool('echo')]));
my $http = "sandbox_auth on; sandbox_auth_secret_file $t->{dir}/etc/jwt.secret; sandbox_metrics_zone 256k;"
    . ' sandbox_mcp_origin https://app.example.com http://intranet:8080 https://[2001:db8::1]:8443 https://port.example:443;';
my $locations = <<"END";
    location = /mcp { sandbox_mcp $t->{dir}/etc/mcp.json; }
    location = /own { sandbox_mcp $t->{dir}/etc/mcp.json; sandbox_mcp_origin https://other.example; }
    location = /_mcp/echo { internal; proxy_pass http://up; }
    location = /metrics { sandbox_auth off; sandbox_metrics; }
END
$t->start_edge($http, locations => $locations);
my $mcp = Sandbox::Mcp->new($t);
sub status { my ($origin, %option) = @_; return $mcp->call('tools/list', {}, headers => { Origin => $origin }, %option)->{status} }

is(status(undef), 200, 'no page: no Origin');
is(status($_), 200, "taken: $_") for 'http://localhost', 'https://localhost', 'http://localhost:1', 'http://localhost:65535', 'http://127.0.0.1:5173', 'https://127.0.0.1',
    'http://[::1]:3000', 'http://[::1]', 'HTTP://LOCALHOST:3000', 'http://LocalHost', 'https://app.example.com', 'https://app.example.com:443', 'https://APP.Example.COM',
    'http://intranet:8080', 'https://[2001:db8::1]:8443', 'https://[2001:DB8::1]:8443', 'https://port.example';

my @refused = (
    'null', 'http://evil.example', 'https://evil.example:443', 'file://', 'chrome-extension://abcdefghijklmnop', 'about:blank', 'data:', 'ws://localhost', 'ftp://localhost', 'localhost', '//localhost', 'http:localhost', 'http:/localhost', 'http//localhost',
    # Names that look like ours.
    'http://localhost.evil.example', 'http://localhostevil.example', 'http://evil-localhost', 'http://notlocalhost', 'http://x.localhost', 'http://localhost.', 'http://127.0.0.1.evil.example', 'http://127.0.0.1.', 'http://evil.example/localhost', 'http://[::1].evil.example',
    'https://app.example.com.evil.example', 'https://evilapp.example.com', 'https://app.example.co', 'https://app.example.comm', 'https://xapp.example.com', 'https://app-example.com', 'https://sub.app.example.com',
    # Another scheme or port than that which was named.
    'http://app.example.com', 'https://app.example.com:8443', 'https://app.example.com:80', 'http://app.example.com:443', 'http://intranet', 'https://intranet:8080', 'http://intranet:80', 'http://intranet:8081', 'https://[2001:db8::1]', 'https://[2001:db8::2]:8443',
    # Addresses in other spellings: whoever takes them as loopback is not asked.
    'http://127.1', 'http://127.0.0.2', 'http://0x7f000001', 'http://2130706433', 'http://0177.0.0.1', 'http://0', 'http://0.0.0.0', 'http://[0:0:0:0:0:0:0:1]', 'http://[::ffff:127.0.0.1]', 'http://[::]', 'http://::1', 'http://[::1', 'http://::1]', 'http://[]', 'http://[::1%25lo]',
    # Parts that an origin has not.
    'http://localhost/', 'http://localhost/x', 'http://localhost?x', 'http://localhost#x', 'http://localhost:80/', 'http://user@localhost', 'http://evil.example@localhost', 'http://localhost@evil.example', 'http://localhost:80@evil.example', 'http://localhost\\@evil.example', 'http://localhost;evil.example', 'http://localhost,http://evil.example',
    'http://localhost http://evil.example', 'http://evil.example http://localhost', 'http://localhost%00.evil.example', 'http://localhost%2eevil.example', "http://localhost\t.evil.example", 'http://localhost .evil.example', 'http:///localhost', 'http://', 'http://:80', 'http://.localhost', 'http://:', 'x', '*', 'http://*',
    # Ports that are none.
    'http://localhost:', 'http://localhost:0', 'http://localhost:00080', 'http://localhost:080', 'http://localhost:65536', 'http://localhost:99999', 'http://localhost:123456', 'http://localhost:-1', 'http://localhost:+80', 'http://localhost:80x', 'http://localhost:8 0', 'http://localhost:80:80', 'http://localhost:x', 'http://localhost:0x50',
    'http://' . 'a' x 400, 'http://' . 'a.' x 120 . 'localhost',
);
is(status($_), 403, 'refused: ' . ($_ =~ /^[\x21-\x7e]{1,80}\z/ ? $_ : unpack('H*', substr $_, 0, 40))) for @refused;

# By hand: what no client of ours would send.
my $text = '{"jsonrpc":"2.0","id":1,"method":"ping"}';
my $head = "POST /mcp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer @{[ $t->token ]}\r\nContent-Type: application/json\r\nContent-Length: @{[ length $text ]}\r\nConnection: close\r\n";
sub raw { my ($lines) = @_; return ($t->raw("$head$lines\r\n$text") =~ m{^HTTP/1.1 (\d+)})[0] // 0 }
is(raw("Origin: http://localhost\r\n"), 200, 'one line');
is(raw("Origin:http://localhost\r\n"), 200, 'without a space');
is(raw("oRiGiN: http://localhost  \r\n"), 200, 'in any case, with spaces after it');
is(raw("Origin: http://localhost\r\nOrigin: http://localhost\r\n"), 403, 'two of them');
is(raw("Origin: http://localhost\r\nOrigin: http://evil.example\r\n"), 403, 'two that differ');
is(raw("Origin: http://evil.example\r\nOrigin: http://localhost\r\n"), 403, 'the other way round');
is(raw("Origin: \r\n"), 403, 'an empty one');
is(raw("Origin: http://evil.example\r\nReferer: http://localhost/\r\n"), 403, 'no other header speaks for it');
is(raw("Origin: $_\r\n"), 403, 'bytes that are none of a name: ' . unpack 'H*', $_) for "http://l\xc3\xb6calhost", "http://localhost\xe2\x80\x8b", "http://\xef\xbd\x8cocalhost", "http://localhost\x7f", "http://localhost\x0bx", "http://\xff";
isnt(raw("Origin: http://localhost\r\n .evil.example\r\n"), 200, 'one that is folded');
isnt(raw("Origin : http://evil.example\r\n"), 200, 'a name with a space');
is(($t->raw("POST /mcp HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") =~ m{^HTTP/1.1 (\d+)})[0], 401, 'a name that was made to point here, without a token');
is(($t->raw(($head =~ s/Host: x/Host: evil.example/r) . "Origin: http://evil.example\r\n\r\n$text") =~ m{^HTTP/1.1 (\d+)})[0], 403, 'and with one: the Host makes no origin ours');

# What a page hears, and what is noted.
my $reply = $mcp->call('tools/list', {}, headers => { Origin => 'http://evil.example' });
is($reply->{json}{code}, 'forbidden', 'refused in words of ours');
unlike($reply->{content}, qr/evil/, 'without the name');
ok(!grep({ /^access-control/ } keys %{ $reply->{headers} }), 'no page is told that it may read this');
is(status('http://evil.example', http => $_), 403, "$_: a page learns no methods") for qw(GET OPTIONS DELETE);
$reply = $mcp->call('tools/list', {}, headers => { Origin => 'http://localhost:3000' });
ok(!grep({ /^access-control/ } keys %{ $reply->{headers} }), 'nor is one that may send');
like($t->request('GET', '/metrics', anonymous => 1)->{content}, qr/^sandbox_gateway_refused_total\{reason="origin"\} [1-9]/m, 'counted');
ok($t->wait_until(30, sub { grep { /denied=origin / } $t->access_log }), 'logged with its reason');
unlike($t->error_log, qr/evil\.example@|localhost%00/, 'and no origin in the error log');

# A location's own list instead.
is(status('https://other.example', path => '/own'), 200, 'the location names one');
is(status('https://app.example.com', path => '/own'), 403, 'instead of all above');
is(status('http://localhost', path => '/own'), 200, 'besides this machine');

for my $bad ('null', '*', 'app.example.com', 'https://', 'https://a/', 'https://a/b', 'https://*.example.com', 'ftp://a', 'https://a:0', 'https://a:x', "'https://a b'", 'https://u@a') {
    my ($ok, $said) = $t->accepts('', server => "sandbox_mcp_origin https://ok.example $bad;");
    ok(!$ok && $said =~ /invalid origin/, "no origin: $bad") or diag $said;
}
my ($ok, $said) = $t->accepts('', server => 'sandbox_mcp_origin https://a; sandbox_mcp_origin https://b;');
ok(!$ok && $said =~ /is duplicate/, 'said twice');
$t->finish;
done_testing();
