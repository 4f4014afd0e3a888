#!/usr/bin/perl
# What HTTP asks of a message of the Model Context Protocol, before anything of it is read: one path, POST, JSON, no sessions.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Edge;
use Sandbox::Mcp;
use Test::More;

my $t = Sandbox::Edge->new;
$t->write('etc/mcp.json', Sandbox::Mcp::catalogue([Sandbox::Mcp::tool('echo')]));
my $http = "sandbox_auth on; sandbox_auth_secret_file $t->{dir}/etc/jwt.secret; sandbox_metrics_zone 256k; log_format mcp '\$status \$sandbox_mcp_message \$sandbox_mcp_tool \$sandbox_route'; access_log $t->{dir}/logs/mcp.log mcp;";
my $locations = <<"END";
    location = /mcp { sandbox_route mcp; sandbox_mcp $t->{dir}/etc/mcp.json; client_max_body_size 1m; }
    location = /small { sandbox_mcp $t->{dir}/etc/mcp.json; client_max_body_size 600; client_body_buffer_size 128; }
    location = /file { sandbox_mcp $t->{dir}/etc/mcp.json; client_max_body_size 1m; client_body_in_file_only clean; }
    location = /slow { sandbox_mcp $t->{dir}/etc/mcp.json; client_body_timeout 1s; }
    location = /_mcp/echo { internal; sandbox_tool echo; proxy_pass http://up; }
    location = /metrics { sandbox_auth off; sandbox_metrics; }
END
$t->start_edge($http, locations => $locations);
my $mcp = Sandbox::Mcp->new($t);

# One message is one POST.
my $reply = $mcp->call('tools/list');
is($reply->{status}, 200, 'a request: 200');
is($reply->{headers}{'content-type'}, 'application/json', 'as JSON');
is($reply->{headers}{'content-length'}, length $reply->{content}, 'in one piece');
is($reply->{json}{id}, 1, 'with its id');
is($reply->{json}{jsonrpc}, '2.0', 'JSON-RPC');
like($reply->{headers}{'x-request-id'}, qr/^req_/, 'and with ours');
for my $method (qw(GET HEAD PUT DELETE PATCH OPTIONS)) {
    $reply = $t->request($method, '/mcp');
    is($reply->{status}, 405, "$method: 405");
    is($reply->{headers}{allow}, 'POST', "$method: with Allow");
    is($t->request($method, '/mcp', headers => { Accept => 'text/event-stream', 'Mcp-Session-Id' => 'x', 'Last-Event-ID' => 1 })->{status}, 405, "$method for a stream of old: the same");
}
is($t->request('GET', '/mcp', anonymous => 1)->{status}, 401, 'a token is asked for first');

# Sessions are not kept: what names one is passed over, and none is named.
for my $header ({}, { 'Mcp-Session-Id' => 'a' }, { 'Last-Event-ID' => '7' }, { 'Mcp-Session-Id' => 'x y', 'Last-Event-ID' => '' }) {
    for my $era (qw(modern legacy)) {
        $reply = $mcp->call('tools/list', {}, era => $era, headers => $header);
        is($reply->{status}, 200, "$era: sessions are passed over");
        ok(!exists $reply->{headers}{'mcp-session-id'}, "$era: and not named");
    }
}

# Types and codings of the content.
for my $type ('application/json; charset=utf-8', 'application/JSON', 'application/json;charset=UTF-8') {
    is($mcp->call('tools/list', {}, headers => { 'Content-Type' => $type })->{status}, 200, "Content-Type: $type");
}
for my $type ('text/plain', 'text/json', 'application/json-rpc', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/jsonx', 'application/json; charset=latin-1', '*/*', 'application/json, text/plain', '') {
    is($mcp->call('tools/list', {}, headers => { 'Content-Type' => $type })->{status}, 415, "Content-Type: $type: 415");
}
my $text = '{"jsonrpc":"2.0","id":1,"method":"ping"}';
like($t->raw("POST /mcp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer @{[ $t->token ]}\r\nContent-Length: @{[ length $text ]}\r\nConnection: close\r\n\r\n$text"), qr/^HTTP\/1.1 415 /, 'no Content-Type: 415');
is($mcp->call('tools/list', {}, headers => { 'Content-Encoding' => $_ })->{status}, 415, "Content-Encoding: $_: 415") for qw(gzip identity br), 'gzip, gzip';
is($mcp->call('tools/list', {}, headers => { Accept => $_ })->{status}, 200, 'Accept: ' . ($_ // 'none')) for undef, 'application/json', 'text/event-stream', '*/*', 'text/plain', 'application/json;q=0';

# Where the body lies, and how it comes.
for my $path ('/mcp', '/file', '/small') {
    is($mcp->call('tools/list', {}, path => $path)->{status}, 200, "$path: a small body");
}
my $long = { padding => 'x' x 200_000 };
for my $path ('/mcp', '/file') {
    $reply = $mcp->call('tools/list', {}, path => $path, meta => $long);
    is($reply->{status}, 200, "$path: a large one");
    ok(exists $reply->{json}{result}{tools}, "$path: is read whole");
}
is($mcp->call('tools/list', {}, path => '/small', meta => { padding => 'x' x 100 })->{status}, 200, 'one that lies in a file');
$reply = $mcp->call('tools/list', {}, path => '/small', meta => $long);
is($reply->{status}, 413, 'one that is too large: 413');
my $head = "POST /mcp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer @{[ $t->token ]}\r\nContent-Type: application/json\r\nConnection: close\r\n";
like($t->raw("${head}Transfer-Encoding: chunked\r\n\r\n" . join('', map { "1\r\n$_\r\n" } split //, $text) . "0\r\n\r\n"), qr/^HTTP\/1.1 200 .*"result":\{\}/s, 'in chunks of a byte');
like($t->raw([map { ("$head" . "Content-Length: @{[ length $text ]}\r\n\r\n", split //, $text) } 1]), qr/^HTTP\/1.1 200 .*"result":\{\}/s, 'in packets of a byte');
like($t->raw("${head}Content-Length: 0\r\n\r\n"), qr/^HTTP\/1.1 400 .*-32700/s, 'none: no JSON');
like($t->raw("${head}\r\n"), qr/^HTTP\/1.1 400 .*-32700/s, 'none, and no length');
like($t->raw("${head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), qr/^HTTP\/1.1 (?:400|501) /, 'a coding of the transfer that is none');
like($t->raw("${head}Content-Length: 5\r\nContent-Length: 6\r\n\r\n$text"), qr/^HTTP\/1.1 400 /, 'two lengths');
like($t->raw("${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), qr/^HTTP\/1.1 400 /, 'a length and chunks');
my $slow = $head =~ s{/mcp}{/slow}r;
like($t->raw("${slow}Content-Length: @{[ 1 + length $text ]}\r\n\r\n$text", seconds => 10), qr/^(?:HTTP\/1.1 408 |\z)/, 'one that does not end is given up');
is($t->raw("${head}Content-Length: @{[ 1 + length $text ]}\r\n\r\n$text", half_close => 1), '', 'one that is cut off is never answered');
like($t->raw("POST /mcp HTTP/1.0\r\nAuthorization: Bearer @{[ $t->token ]}\r\nContent-Type: application/json\r\nContent-Length: @{[ length $text ]}\r\n\r\n$text"), qr/^HTTP\/1.1 200 .*"result":\{\}/s, 'HTTP/1.0');
my $two = $t->raw(($head =~ s/Connection: close\r\n//r) . "Content-Length: @{[ length $text ]}\r\n\r\n$text" . "${head}Content-Length: @{[ length $text ]}\r\n\r\n$text");
is(() = $two =~ /"result":\{\}/g, 2, 'two on one connection');
like($t->raw("${head}Expect: 100-continue\r\nContent-Length: @{[ length $text ]}\r\n\r\n$text"), qr/^HTTP\/1.1 100 .*HTTP\/1.1 200 .*"result":\{\}/s, 'one that waits to be asked for');

# Notifications.
for my $era (qw(modern legacy)) {
    $reply = $mcp->call('notifications/something', {}, era => $era, id => undef);
    is($reply->{status}, 202, "$era: a notification: 202");
    is($reply->{content}, '', "$era: without a body");
    is($reply->{headers}{'content-length'}, 0, "$era: and says so");
    ok(!exists $reply->{headers}{'content-type'}, "$era: of no type");
}
is($mcp->call('notifications/initialized', {}, era => 'legacy', id => undef)->{status}, 202, 'the one after initialize');
$mcp->call('tools/call', { name => 'echo', arguments => {} });
is($mcp->call('tools/list', {}, era => 'legacy', id => undef)->{status}, 400, 'a request without an id is none');

# Logs and counters by what was asked, in words of ours.
my $metrics = $t->request('GET', '/metrics', anonymous => 1)->{content};
like($metrics, qr/^sandbox_gateway_mcp_messages_total\{method="tools\/list",era="modern",outcome="result"\} [1-9]/m, 'counted by method, era and outcome');
like($metrics, qr/^sandbox_gateway_mcp_messages_total\{method="notification",era="legacy",outcome="accepted"\} [1-9]/m, 'notifications too');
like($metrics, qr/^sandbox_gateway_mcp_messages_total\{method="unknown",era="legacy",outcome="error"\} [1-9]/m, 'and what is no message');
unlike($metrics, qr/notifications\/something/, 'a name of the client\'s is no label');

my $lines = $t->read_file('logs/mcp.log');
like($lines, qr{^200 tools/list - mcp$}m, 'logged by its method');
like($lines, qr{^202 notification - mcp$}m, 'one that is not known by none');
like($lines, qr{^400 - - mcp$}m, 'and what is no message');
like($lines, qr{^\d+ tools/call echo }m, 'a call with its tool');

# What the configuration may say.
sub refused {
    my ($reason, $name, $text, $in) = @_;
    my ($ok, $said) = $t->accepts($http, locations => $in // $locations, server => $text);
    ok(!$ok && $said =~ $reason, $name) or diag $said;
}
sub location { my ($text) = @_; return "location = /m { $text }" }
my $inside = 'location = /_mcp/echo { internal; proxy_pass http://up; }';
refused(qr/is duplicate/, 'two catalogues', '', location("sandbox_mcp $t->{dir}/etc/mcp.json; sandbox_mcp $t->{dir}/etc/mcp.json;") . $inside);
refused(qr/"sandbox_mcp" directive is not allowed here/, 'a catalogue of a server', "sandbox_mcp $t->{dir}/etc/mcp.json;");
refused(qr/invalid number of arguments/, 'a catalogue without a name', '', location('sandbox_mcp;'));
refused(qr/failed \(2: /, 'a catalogue that is not there', '', location("sandbox_mcp $t->{dir}/etc/none.json;"));
refused(qr{leads to "/_mcp/echo", which is no internal location here}, 'a tool without its location', '', location("sandbox_mcp $t->{dir}/etc/mcp.json;"));
refused(qr{leads to "/_mcp/echo", which is no internal location here}, 'or with one that clients may ask for', '', location("sandbox_mcp $t->{dir}/etc/mcp.json;") . 'location = /_mcp/echo { proxy_pass http://up; }');
refused(qr{leads to "/_mcp/echo", which is no internal location here}, 'or with one of a prefix', '', location("sandbox_mcp $t->{dir}/etc/mcp.json;") . 'location /_mcp/ { internal; proxy_pass http://up; } location /_mcp/echoes { internal; proxy_pass http://up; }');
refused(qr{leads to "/_mcp/echo", whose "sandbox_tool" is not "echo"}, 'or with that of another tool', '', location("sandbox_mcp $t->{dir}/etc/mcp.json;") . 'location = /_mcp/echo { internal; sandbox_tool other DELETE=third; proxy_pass http://up; }');
my $n = 0;
for my $bad ('', '{', '[]', '{}', 'null', '{"serverInfo":{"name":"x","version":"1"},"tools":[{}]}', Sandbox::Mcp::catalogue([Sandbox::Mcp::tool('a'), Sandbox::Mcp::tool('a')]), Sandbox::Mcp::catalogue([], nonsense => 1), Sandbox::Mcp::catalogue([Sandbox::Mcp::tool('a', inputSchema => { type => 'nothing' })])) {
    $t->write('etc/bad.json', $bad);
    refused(qr/is no catalogue: |must have 1 to/, 'a catalogue that is none: ' . ++$n, '', location("sandbox_mcp $t->{dir}/etc/bad.json;") . $inside);
}
my ($ok, $said) = $t->accepts($http, locations => location("sandbox_mcp $t->{dir}/etc/mcp.json;") . 'location /_mcp/ { internal; proxy_pass http://up; } location = /_mcp { internal; proxy_pass http://up; } location /_mcp/echo { internal; proxy_pass http://up; } location /_mcp/ech { internal; proxy_pass http://up; }');
ok($ok, 'locations around it') or diag $said;

# A reload with another catalogue; what is under way goes on with the old one.
$t->write('etc/mcp.json', Sandbox::Mcp::catalogue([Sandbox::Mcp::tool('echo'), Sandbox::Mcp::tool('other')]));
ok($t->reconfigure($http, locations => $locations . 'location = /_mcp/other { internal; proxy_pass http://up; }'), 'reload');
is_deeply([map { $_->{name} } @{ $mcp->call('tools/list')->{json}{result}{tools} }], ['echo', 'other'], 'another catalogue');
$t->finish;
done_testing();
