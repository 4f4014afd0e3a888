#!/usr/bin/perl
# Messages from whoever wishes us ill, byte by byte over the wire: each has its one answer, none is logged as more than a refusal, and the worker that
# read them all is the one that began.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::INET;
use Sandbox::Edge;
use Sandbox::Mcp;
use Test::More;

my $t = Sandbox::Edge->new;
$t->write('etc/mcp.json', Sandbox::Mcp::catalogue([Sandbox::Mcp::tool('echo', inputSchema => { type => 'object', properties => { n => { type => 'integer' }, s => { type => 'string', maxLength => 10 } }, additionalProperties => \0 })],
    capabilities => { tools => {}, prompts => {}, resources => {} }, resources => [{ uri => 'test://text', name => 'text', text => 'x' }], prompts => [{ name => 'p', messages => [{ role => 'user', content => { type => 'text', text => 'Hi' } }] }]));
$t->start_edge("sandbox_auth on; sandbox_auth_secret_file $t->{dir}/etc/jwt.secret; sandbox_metrics_zone 256k;", locations => <<"END");
    location = /mcp { sandbox_route mcp; sandbox_mcp $t->{dir}/etc/mcp.json; client_max_body_size 24m; }
    location /_mcp/ { internal; proxy_pass http://up; }
    location = /_mcp/echo { internal; sandbox_tool echo; proxy_pass http://up; }
    location = /metrics { sandbox_auth off; sandbox_metrics; }
END
my @workers;
ok($t->wait_until(30, sub { @workers = $t->gateway_workers }), 'a worker');
my $mcp = Sandbox::Mcp->new($t);
my $META = '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}';
my $token = $t->token;
my @head = ('POST /mcp HTTP/1.1', 'Host: x', "Authorization: Bearer $token", 'Connection: close');

# One message with these header lines; status, the answer as text, its code.
sub send_raw {
    my ($body, @lines) = @_;
    my @type = grep({ /^content-type\s*:/i } @lines) ? () : ('Content-Type: application/json');
    my $reply = $t->raw(join('', map { "$_\r\n" } @head, @type, @lines, (grep { /^(?:content-length|transfer-encoding)\s*:/i } @lines) ? () : 'Content-Length: ' . length $body) . "\r\n$body", seconds => 20) // '';
    my ($status) = $reply =~ m{\AHTTP/1\.1 (\d+)};
    my ($content) = $reply =~ /\r\n\r\n(.*)\z/s;
    return ($status // 0, $content // '', ($content // '') =~ /"code":(-\d+)/ ? $1 : 0);
}
sub modern { my ($method) = @_; return ('MCP-Protocol-Version: 2026-07-28', "Mcp-Method: $method") }
sub body { my ($method, $params, $id) = @_; return qq({"jsonrpc":"2.0","id":@{[ $id // 1 ]},"method":"$method","params":{$META@{[ length($params // '') ? ",$params" : '' ]}}}) }

my $n = 0;
sub answers {
    my ($name, $want, $code, $body, @lines) = @_;
    my ($status, $content, $got) = send_raw($body, @lines);
    ok((ref $want ? $status =~ $want : $status == $want) && $got == $code, "$name: $want $code") or diag "$status $got " . substr $content, 0, 300;
    # An answer is JSON that anybody can read, whatever bytes came in; an unknown id is left out, never null.
    ok($content eq '' || $content !~ /[\x00-\x1f\x80-\xff]/ || utf8::decode(my $copy = $content), "$name: the answer is text");
    unlike($content, qr/"id":null/, "$name: no id that is null") if $code;
    $n++;
}

# Not JSON.
my @not = (
    ['nothing', ''], ['a space', ' '], ['a brace', '{'], ['two braces', '{}{}'], ['a word', 'hello'], ['a comma at the end', '{"jsonrpc":"2.0","id":1,"method":"ping",}'], ['single quotes', "{'jsonrpc':'2.0'}"], ['a comment', '{"jsonrpc":"2.0",/**/"id":1,"method":"ping"}'], ['a NUL after it', qq({"jsonrpc":"2.0","id":1,"method":"ping"}\0)],
    ['a NUL in a string', qq({"jsonrpc":"2.0","id":"a\0b","method":"ping"})], ['an escaped NUL', '{"jsonrpc":"2.0","id":"a\u0000b","method":"ping"}'], ['a control byte in a string', qq({"jsonrpc":"2.0","id":"a\x01","method":"ping"})], ['a newline in a string', qq({"jsonrpc":"2.0","id":"a\n","method":"ping"})],
    ['a high surrogate alone', '{"jsonrpc":"2.0","id":"\ud800","method":"ping"}'], ['a low surrogate alone', '{"jsonrpc":"2.0","id":"\udc00","method":"ping"}'], ['surrogates the wrong way round', '{"jsonrpc":"2.0","id":"\udc00\ud800","method":"ping"}'], ['half an escape', '{"jsonrpc":"2.0","id":"\u12","method":"ping"}'],
    ['bytes that are not UTF-8', qq({"jsonrpc":"2.0","id":"\xff","method":"ping"})], ['an overlong slash', qq({"jsonrpc":"2.0","id":"\xc0\xaf","method":"ping"})], ['a surrogate in UTF-8', qq({"jsonrpc":"2.0","id":"\xed\xa0\x80","method":"ping"})], ['a code point too high', qq({"jsonrpc":"2.0","id":"\xf4\x90\x80\x80","method":"ping"})], ['a byte order mark', qq(\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"ping"})], ['UTF-16', "\xff\xfe{\0\"\0j\0"],
    ['a member twice', '{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}'], ['the method twice', '{"jsonrpc":"2.0","id":1,"method":"ping","method":"initialize"}'], ['a member twice, once escaped', '{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"x"}'], ['a member of params twice', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","name":"other"}}'],
    ['33 levels', '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":' . '[' x 31 . ']' x 31 . '}}'], ['100,000 levels', '[' x 100_000], ['100,000 levels of objects', '{"a":' x 100_000], ['a number too large', '{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"ping"}'], ['a number that is none', '{"jsonrpc":"2.0","id":NaN,"method":"ping"}'], ['infinity', '{"jsonrpc":"2.0","id":1e999,"method":"ping"}'], ['a plus', '{"jsonrpc":"2.0","id":+1,"method":"ping"}'], ['a zero before', '{"jsonrpc":"2.0","id":01,"method":"ping"}'], ['hexadecimal', '{"jsonrpc":"2.0","id":0x1,"method":"ping"}'],
    ['a form', 'jsonrpc=2.0&id=1&method=ping'], ['gzip', "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\x56\x4a\x54\xb2\x52"], ['a request of another protocol', "GET / HTTP/1.1\r\nHost: y\r\n\r\n"],
);
answers("$_->[0] is no JSON", 400, -32700, $_->[1]) for @not;

# JSON, and no request.
my @shape = (
    ['null', 'null'], ['a string', '"x"'], ['a number', '1'], ['true', 'true'], ['an empty object', '{}'], ['an empty batch', '[]'], ['a batch', '[{"jsonrpc":"2.0","id":1,"method":"ping"}]'], ['a batch of many', '[' . join(',', ('{"jsonrpc":"2.0","id":1,"method":"ping"}') x 1000) . ']'],
    ['no version', '{"id":1,"method":"ping"}'], ['version 1', '{"jsonrpc":"1.0","id":1,"method":"ping"}'], ['a version as a number', '{"jsonrpc":2.0,"id":1,"method":"ping"}'], ['no method', '{"jsonrpc":"2.0","id":1}'], ['an empty method', '{"jsonrpc":"2.0","id":1,"method":""}'], ['a method as a number', '{"jsonrpc":"2.0","id":1,"method":7}'], ['a method as an array', '{"jsonrpc":"2.0","id":1,"method":["ping"]}'], ['a method as null', '{"jsonrpc":"2.0","id":1,"method":null}'], ['a long method', '{"jsonrpc":"2.0","id":1,"method":"' . 'x' x 5000 . '"}'],
    ['an id that is null', '{"jsonrpc":"2.0","id":null,"method":"ping"}'], ['an id that is fractional', '{"jsonrpc":"2.0","id":1.5,"method":"ping"}'], ['an id that is 1.0', '{"jsonrpc":"2.0","id":1.0,"method":"ping"}'], ['an id that is 1e2', '{"jsonrpc":"2.0","id":1e2,"method":"ping"}'], ['an id that is true', '{"jsonrpc":"2.0","id":true,"method":"ping"}'], ['an id that is an object', '{"jsonrpc":"2.0","id":{},"method":"ping"}'], ['an id that is an array', '{"jsonrpc":"2.0","id":[1],"method":"ping"}'], ['a long id', '{"jsonrpc":"2.0","id":"' . 'x' x 300 . '","method":"ping"}'], ['a megabyte of id', '{"jsonrpc":"2.0","id":"' . 'x' x 1_000_000 . '","method":"ping"}'], ['an id that grows when escaped', '{"jsonrpc":"2.0","id":"' . '\u0001' x 60 . '","method":"ping"}'],
    ['params as an array', '{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}'], ['params as a string', '{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}'], ['a posted result', '{"jsonrpc":"2.0","id":1,"result":{}}'], ['a posted error', '{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}'], ['a request and a result', '{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}'], ['no id', '{"jsonrpc":"2.0","method":"tools/list"}'], ['no id for a call', '{"jsonrpc":"2.0","method":"tools/call","params":{"name":"echo","arguments":{}}}'],
    ['300,000 values', '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":[' . join(',', (1) x 300_000) . ']}}'], ['40,000 containers', '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":[' . join(',', ('[]') x 40_000) . ']}}'],
);
answers("$_->[0] is no request", 400, -32600, $_->[1]) for @shape;

# What is odd, and right.
answers($_->[0], 200, 0, $_->[1]) for (
    ['32 levels', '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":' . '[' x 30 . ']' x 30 . '}}'], ['an id of 64 bits', '{"jsonrpc":"2.0","id":9223372036854775807,"method":"ping"}'], ['a negative id', '{"jsonrpc":"2.0","id":-9223372036854775808,"method":"ping"}'], ['an empty id', '{"jsonrpc":"2.0","id":"","method":"ping"}'], ['an id of odd text', '{"jsonrpc":"2.0","id":"\u2028\ud83d\ude00\"\\\\","method":"ping"}'], ['spaces around', " \t\r\n" . '{"jsonrpc":"2.0","id":1,"method":"ping"}' . "\r\n"], ['members that nobody knows', '{"jsonrpc":"2.0","id":1,"method":"ping","x":{"y":[1,2]}}'], ['a method with escapes', '{"jsonrpc":"2.0","id":1,"method":"p\u0069ng"}'],
);
for my $id ('9223372036854775807', '-9223372036854775808', '"9223372036854775808"', '0', '-1', '"\ud83d\ude00"') {
    my (undef, $content) = send_raw(qq({"jsonrpc":"2.0","id":$id,"method":"ping"}));
    my $same = $id =~ /ud83d/ ? qr/"id":"(?:\xf0\x9f\x98\x80|\\ud83d\\ude00)"/i : qr/"id":\Q$id\E,/;
    like($content, $same, "the id $id comes back as it was");
}

# _meta and versions.
my $call = '"name":"echo","arguments":{"n":1}';
answers("_meta: $_->[0]", 400, -32602, qq({"jsonrpc":"2.0","id":1,"method":"tools/list","params":{$_->[1]}}), modern('tools/list')) for (
    ['none', ''], ['null', '"_meta":null'], ['an array', '"_meta":[]'], ['a string', '"_meta":"x"'], ['empty', '"_meta":{}'], ['a version as a number', '"_meta":{"io.modelcontextprotocol/protocolVersion":20260728,"io.modelcontextprotocol/clientCapabilities":{}}'], ['no version', '"_meta":{"io.modelcontextprotocol/clientCapabilities":{}}'], ['no capabilities', '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}'], ['capabilities as an array', '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":[]}'], ['capabilities as null', '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":null}'],
);
answers('params left out', 400, -32602, '{"jsonrpc":"2.0","id":1,"method":"tools/list"}', modern('tools/list'));
answers("the version $_", 400, -32022, body('tools/list') =~ s/2026-07-28/$_/r, "MCP-Protocol-Version: $_", 'Mcp-Method: tools/list') for '2026-07-29', '9999-99-99', '2026-07-28x', 'x', '2026-7-28', '~', 'x' x 64;

# Headers.
my $list = body('tools/list');
answers("headers: $_->[0]", 400, -32020, $_->[2] // $list, @{ $_->[1] }) for (
    ['no version', ['Mcp-Method: tools/list']], ['no method', ['MCP-Protocol-Version: 2026-07-28']], ['an empty method', [modern('')]], ['a method in capitals', [modern('TOOLS/LIST')]], ['another method', [modern('tools/call')]], ['two methods', [modern('tools/list'), 'Mcp-Method: tools/list']], ['two that differ', [modern('tools/list'), 'Mcp-Method: tools/call']], ['two versions', [modern('tools/list'), 'MCP-Protocol-Version: 2026-07-28']], ['a list of methods', [modern('tools/list, tools/list')]], ['a quoted method', [modern('"tools/list"')]],
    ['a method with a NUL', [modern("tools/list%00")]], ['a method with a tab inside', [modern("tools\t/list")]], ['a method with bytes above', [modern("tools/list\xa0")]], ['no name', [modern('tools/call')], body('tools/call', $call)], ['two names', [modern('tools/call'), 'Mcp-Name: echo', 'Mcp-Name: echo'], body('tools/call', $call)], ['another name', [modern('tools/call'), 'Mcp-Name: ECHO'], body('tools/call', $call)], ['an empty name', [modern('tools/call'), 'Mcp-Name:'], body('tools/call', $call)],
    ['base64 without an end', [modern('tools/call'), 'Mcp-Name: =?base64?ZWNobw=='], body('tools/call', $call)], ['base64 without padding', [modern('tools/call'), 'Mcp-Name: =?base64?ZWNobw?='], body('tools/call', $call)], ['base64 with bits left over', [modern('tools/call'), 'Mcp-Name: =?base64?ZWNobx==?='], body('tools/call', $call)], ['base64 of URLs', [modern('tools/call'), 'Mcp-Name: =?base64?ZWNob-==?='], body('tools/call', $call)], ['base64 with a space', [modern('tools/call'), 'Mcp-Name: =?base64?ZWNo bw==?='], body('tools/call', $call)], ['base64 in base64', [modern('tools/call'), 'Mcp-Name: =?base64?PT9iYXNlNjQ/WldOb2J3PT0/PQ==?='], body('tools/call', $call)], ['base64 of another', [modern('tools/call'), 'Mcp-Name: =?base64?b3RoZXI=?='], body('tools/call', $call)], ['another coding', [modern('tools/call'), 'Mcp-Name: =?quoted?echo?='], body('tools/call', $call)],
    ['a name in an underscored header', [modern('tools/call'), 'Mcp_Name: echo'], body('tools/call', $call)],
);
answers("headers: $_->[0]", 400, 0, $list, 'MCP-Protocol-Version: 2026-07-28', $_->[1]) for ['a folded method', "Mcp-Method: tools/\r\n list"], ['a name with a space before the colon', 'Mcp-Method : tools/list'], ['a NUL in a method', "Mcp-Method: tools/list\0"], ['a line without a colon', 'Mcp-Method tools/list'];
answers("headers that are right: $_->[0]", 200, 0, $_->[2] // $list, @{ $_->[1] }) for (
    ['spaces and tabs around', ["MCP-Protocol-Version:\t 2026-07-28 \t", "Mcp-Method:   tools/list \t "]], ['capitals', ['MCP-PROTOCOL-VERSION: 2026-07-28', 'MCP-METHOD: tools/list']], ['no spaces', ['mcp-protocol-version:2026-07-28', 'mcp-method:tools/list']], ['others besides', [modern('tools/list'), 'Mcp-Session-Id: 1', 'Mcp-Name: anything', 'Mcp-Param-X: y', 'Last-Event-ID: 2']],
);

# Params.
sub params { my ($name, $method, $params, $header, $key, $value) = @_; my $body = body($method, $params); $body =~ s/"_meta":\{/"_meta":{"$key":$value,/ if $key; answers("$method: $name", 200, -32602, $body, modern($method), defined $header ? "Mcp-Name: $header" : ()) }
params(@$_) for (
    ['arguments as an array', 'tools/call', '"name":"echo","arguments":[]', 'echo'], ['arguments as a string', 'tools/call', '"name":"echo","arguments":"{}"', 'echo'], ['no such tool', 'tools/call', '"name":"none","arguments":{}', 'none'], ['a path as a name', 'tools/call', '"name":"../echo","arguments":{}', '../echo'], ['a format as a name', 'tools/call', '"name":"%s%n%p","arguments":{}', '%s%n%p'], ['no name', 'tools/call', '"arguments":{}'], ['a name as a number', 'tools/call', '"name":7,"arguments":{}'], ['a long name', 'tools/call', '"name":"' . 'x' x 129 . '","arguments":{}', 'x' x 129],
    ['a progress token as an object', 'tools/call', $call, 'echo', 'progressToken', '{}'], ['a progress token that is fractional', 'tools/call', $call, 'echo', 'progressToken', '1.5'], ['a long progress token', 'tools/call', $call, 'echo', 'progressToken', '"' . 'x' x 300 . '"'],
    ['a state that is no text', 'tools/call', "$call,\"requestState\":{}", 'echo'], ['answers as an array', 'tools/call', "$call,\"inputResponses\":[]", 'echo'], ['a state of 20,000 bytes', 'tools/call', "$call,\"requestState\":\"" . 'A' x 20_000 . '"', 'echo'],
    ['no uri', 'resources/read', ''], ['a uri as an array', 'resources/read', '"uri":["test://text"]'], ['a uri that goes up', 'resources/read', '"uri":"test://text/../../etc/passwd"', 'test://text/../../etc/passwd'], ['a uri that goes up in escapes', 'resources/read', '"uri":"test://text/%2e%2e/%2e%2e"', 'test://text/%2e%2e/%2e%2e'], ['a file', 'resources/read', '"uri":"file:///etc/passwd"', 'file:///etc/passwd'], ['a long uri', 'resources/read', '"uri":"test://' . 'x' x 3000 . '"', 'test://' . 'x' x 3000], ['no such prompt', 'prompts/get', '"name":"q"', 'q'], ['prompt arguments that are no text', 'prompts/get', '"name":"p","arguments":{"x":1}', 'p'] , ['a cursor', 'tools/list', '"cursor":"AAAA"'], ['a cursor as a number', 'resources/list', '"cursor":1'],
);

answers("$_, which this server does not do", 404, -32601, body($_), modern($_)) for 'completion/complete', 'initialize', 'ping', 'logging/setLevel', 'nonsense', 'tools/list/', 'x' x 128;

# Frames.
my $ping = '{"jsonrpc":"2.0","id":1,"method":"ping"}';
answers('a body in one-byte chunks', 200, 0, join('', map { "1\r\n$_\r\n" } split //, $ping) . "0\r\n\r\n", 'Transfer-Encoding: chunked');
answers("chunks: $_->[0]", qr/^(?:0|400|501|413)$/, 0, $_->[1], 'Transfer-Encoding: chunked') for ['a size that is none', "zz\r\n$ping\r\n0\r\n\r\n"], ['a size of 2^64', "ffffffffffffffff1\r\n$ping\r\n0\r\n\r\n"], ['a negative size', "-1\r\n$ping\r\n0\r\n\r\n"];
answers('chunks and a length', 400, 0, "0\r\n\r\n", 'Transfer-Encoding: chunked', 'Content-Length: 5');
answers('two lengths', 400, 0, $ping, 'Content-Length: 40', 'Content-Length: 41');
answers("the length $_", qr/^4/, 0, $ping, "Content-Length: $_") for '-1', '0x28', '1e3', '99999999999999999999', '40, 40', '';
answers('a length of gigabytes', 413, 0, '', 'Content-Length: 5000000000');
answers('a length that is short', 400, -32700, $ping, 'Content-Length: ' . (length($ping) - 1));
answers('a coding of the content', 415, 0, $ping, 'Content-Encoding: gzip');
answers("the type $_", 415, 0, $ping, "Content-Type: $_") for 'text/plain', 'application/json; charset=utf-7', 'application/jsonrequest', "application/json\tx", 'multipart/mixed; boundary="application/json"';
answers('two types', qr/^4/, 0, $ping, 'Content-Type: text/plain', 'Content-Type: application/json');
# The first of two requests in one packet: what follows in the body is no request.
my $smuggled = "$ping" . "POST /mcp HTTP/1.1\r\nHost: x\r\n\r\n";
answers('a request in the body of one', 400, -32700, $smuggled);

# Clients that go away at any point.
my $whole = join('', map { "$_\r\n" } @head, 'Content-Type: application/json', 'Content-Length: ' . length $ping) . "\r\n$ping";
for (my $i = 1; $i < length $whole; $i += 7) {
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port) or next;
    syswrite $socket, substr $whole, 0, $i;
    close $socket;
}
is($mcp->call('ping', {}, era => 'legacy')->{status}, 200, 'clients that go away harm nobody');

# Internal locations are nobody's to ask for.
for my $path ('/_mcp/echo', '/_mcp/', '/_mcp/x', '//_mcp/echo', '/_mcp%2fecho', '/./_mcp/echo', '/x/../_mcp/echo', '/_MCP/echo') {
    for my $method (qw(GET POST)) {
        my $reply = $t->request($method, $path, $method eq 'POST' ? (json => {}) : ());
        ok($reply->{status} == 404 || ($reply->{json}{uri} // '') !~ m{^/_mcp/}, "$method $path does not lead inside") or diag $reply->{content};
    }
}

cmp_ok($n, '>=', 150, "$n hostile messages");
is_deeply([$t->gateway_workers], \@workers, 'by the same worker');
my @loud = grep { /\[(?:warn|error|crit|alert|emerg)\]/ && !/client (?:sent|intended)|client prematurely closed|invalid header|chunked body|client timed out|is internal|directory index|open\(\) |buffered to a temporary file/ } split /\n/, $t->error_log;
is_deeply(\@loud, [], 'and nothing is logged above what any client can cause') or diag explain \@loud;
unlike($t->error_log, qr/\Q$token\E/, 'nor any token');
my $metrics = $t->request('GET', '/metrics', anonymous => 1)->{content};
my %labels = map { $_ => 1 } $metrics =~ /^sandbox_gateway_mcp_\w+\{(?:method|tool)="([^"]*)"/mg;
is_deeply([grep { !m{^(?:unknown|notification|echo|[a-z]+(?:/[a-z]+)*)$} || $_ eq 'none' } sort keys %labels], [], 'no label is of the client\'s making');
$t->finish;
done_testing();
