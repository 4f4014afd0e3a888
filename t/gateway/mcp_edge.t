#!/usr/bin/perl
# What is answered at the edge of the Model Context Protocol, in both eras: what the server is, its lists, and what is wrong with a message. Each
# answer is held to what every answer has.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Edge;
use Sandbox::Mcp;
use Test::More;

my $t = Sandbox::Edge->new;
my $mirrored = Sandbox::Mcp::tool('mirrored', inputSchema => { type => 'object', properties => { session_id => { type => 'string', 'x-mcp-header' => 'Session' }, n => { type => 'integer', 'x-mcp-header' => 'Count' }, flag => { type => 'boolean', 'x-mcp-header' => 'Flag' }, code => { type => 'string' } }, additionalProperties => \0 },
    backend => { location => '/_mcp/none', method => 'POST', path => '/x', body => '{*}' });
my $strict = Sandbox::Mcp::tool('strict', inputSchema => { type => 'object', required => ['n'], properties => { n => { type => 'integer', minimum => 1 } }, additionalProperties => \0 }, backend => { location => '/_mcp/none', method => 'POST', path => '/x', body => '{*}' });
$t->write('etc/mcp.json', Sandbox::Mcp::catalogue([Sandbox::Mcp::tool('one', title => 'One', backend => { location => '/_mcp/none', method => 'POST', path => '/x' }), $mirrored, $strict],
    capabilities => { tools => {}, prompts => {}, resources => {} },
    resources => [{ uri => 'test://text', name => 'text', mimeType => 'text/plain', text => "words\n" }],
    resourceTemplates => [{ uriTemplate => 'test://item/{id}', name => 'item', backend => { location => '/_mcp/none', method => 'GET', path => '/items/{id}' } }],
    prompts => [{ name => 'greet', description => 'Greets.', arguments => [{ name => 'who', description => 'Whom.', required => \1, values => ['world', 'moon'] }], messages => [{ role => 'user', content => { type => 'text', text => 'Hello {{who}}' } }] }]));
$t->write('etc/bare.json', Sandbox::Mcp::catalogue([], capabilities => {}));
$t->write('etc/old.json', Sandbox::Mcp::catalogue([], legacy => { logging => \1, subscribe => \1 }, capabilities => { resources => {} }, resources => [{ uri => 'test://text', name => 'text', text => 'x' }]));
$t->start_edge("sandbox_auth on; sandbox_auth_secret_file $t->{dir}/etc/jwt.secret;", locations => <<"END");
    location = /mcp { sandbox_mcp $t->{dir}/etc/mcp.json; client_max_body_size 1m; }
    location = /bare { sandbox_mcp $t->{dir}/etc/bare.json; }
    location = /old { sandbox_mcp $t->{dir}/etc/old.json; }
    location = /_mcp/none { internal; return 404; }
END
my $mcp = Sandbox::Mcp->new($t);
my $META = 'io.modelcontextprotocol';

# The result, after what every result has was checked.
sub result {
    my ($method, $params, %option) = @_;
    my $name = $option{name} // $method;
    my $era = $option{era} // 'modern';
    my $reply = $mcp->call($method, $params, id => "id of $method", %option);
    is($reply->{status}, 200, "$era $name: 200") or diag $reply->{content};
    is($reply->{headers}{'content-type'}, 'application/json', "$era $name: JSON");
    is_deeply([sort keys %{ $reply->{json} || {} }], [qw(id jsonrpc result)], "$era $name: a result") or diag $reply->{content};
    is($reply->{json}{id}, "id of $method", "$era $name: of this request");
    my $result = $reply->{json}{result} // {};
    if ($era eq 'modern') {
        is($result->{resultType}, 'complete', "$name: complete");
        is_deeply($result->{_meta}{"$META/serverInfo"}, { name => 'test', version => '1' }, "$name: of this server");
    } else {
        ok(!exists $result->{$_}, "$era $name: no $_") for qw(resultType ttlMs cacheScope _meta);
    }
    return $result;
}

sub refused {
    my ($name, $status, $code, $reply, %option) = @_;
    is($reply->{status}, $status, "$name: $status") or diag $reply->{content};
    my $json = $reply->{json} // {};
    is($json->{error}{code}, $code, "$name: $code") or diag $reply->{content};
    ok(length($json->{error}{message} // ''), "$name: and says why");
    is_deeply([sort keys %$json], [sort qw(error jsonrpc), exists $option{id} ? 'id' : ()], "$name: " . (exists $option{id} ? 'names the request' : 'names no request'));
    is($json->{id}, $option{id}, "$name: the right one") if exists $option{id};
    return $json->{error};
}

# What the server is.
my $discover = result('server/discover', {});
is_deeply($discover->{supportedVersions}, [qw(2026-07-28 2025-11-25 2025-06-18 2025-03-26)], 'the versions it speaks') or diag explain $discover;
is_deeply([sort keys %{ $discover->{capabilities} }], [qw(completions prompts resources tools)], 'what it can do');
is($discover->{instructions}, 'Ask.', 'and how to use it');
is($discover->{ttlMs}, 1000, 'for how long that holds');
is($discover->{cacheScope}, 'private', 'and for whom');
for my $version ('2025-11-25', '2025-06-18', '2025-03-26') {
    my $result = result('initialize', { protocolVersion => $version, capabilities => {}, clientInfo => { name => 'x', version => '1' } }, era => 'legacy', name => "initialize $version");
    is($result->{protocolVersion}, $version, "$version is spoken");
    is_deeply($result->{serverInfo}, { name => 'test', version => '1' }, 'by this server');
    is($result->{instructions}, 'Ask.', 'with its instructions');
    ok(exists $result->{capabilities}{tools}, 'and capabilities');
}
is(result('initialize', { protocolVersion => $_, capabilities => {}, clientInfo => { name => 'x', version => '1' } }, era => 'legacy', name => "initialize $_")->{protocolVersion}, '2025-11-25', "$_: ours instead") for '1.0', '2024-11-05', '2099-01-01', '';
is_deeply(result('ping', {}, era => 'legacy'), {}, 'ping');
is_deeply(result('ping', undef, era => 'legacy', version => $_), {}, "ping of $_") for '2025-11-25', '2025-06-18', '2025-03-26';

# Lists.
for my $era (qw(modern legacy)) {
    my $tools = result('tools/list', {}, era => $era)->{tools};
    is_deeply([map { $_->{name} } @$tools], [qw(one mirrored strict)], "$era: the tools");
    is($tools->[0]{title}, 'One', "$era: with their titles");
    is_deeply($tools->[2]{inputSchema}{required}, ['n'], "$era: and schemas");
    ok(!exists $tools->[0]{backend}, "$era: and nothing of where they lead");
    is_deeply([map { $_->{uri} } @{ result('resources/list', {}, era => $era)->{resources} }], ['test://text'], "$era: resources");
    is_deeply([map { $_->{uriTemplate} } @{ result('resources/templates/list', {}, era => $era)->{resourceTemplates} }], ['test://item/{id}'], "$era: templates");
    is_deeply([map { $_->{name} } @{ result('prompts/list', {}, era => $era)->{prompts} }], ['greet'], "$era: prompts");
    for my $list (qw(tools/list resources/list resources/templates/list prompts/list)) {
        my $result = result($list, {}, era => $era);
        ok(!exists $result->{nextCursor}, "$era $list: one page");
        if ($era eq 'modern') {
            is($result->{ttlMs}, 1000, "$list: may be kept");
            is($result->{cacheScope}, 'private', "$list: by who asked");
        }
        refused("$era $list with a cursor", 200, -32602, $mcp->call($list, { cursor => $_ }, id => 'c', era => $era), id => 'c') for '', 'x', 'eyJ9', 7;
    }
}
is($mcp->call('tools/list', {}, id => 'x')->{content}, $mcp->call('tools/list', {}, id => 'x')->{content}, 'twice the same bytes');
is_deeply(result('tools/list', {}, path => '/bare', name => 'no tools')->{tools}, [], 'no tools: an empty list');

# Texts, prompts and completions of the catalogue.
for my $era (qw(modern legacy)) {
    is_deeply(result('resources/read', { uri => 'test://text' }, era => $era)->{contents}, [{ uri => 'test://text', mimeType => 'text/plain', text => "words\n" }], "$era: a text");
    my $error = refused("$era: none", 200, $era eq 'modern' ? -32602 : -32002, $mcp->call('resources/read', { uri => 'test://none' }, era => $era, id => 1), id => 1);
    is($error->{data}{uri}, 'test://none', "$era: says which");
    is(result('prompts/get', { name => 'greet', arguments => { who => "\"x\"\n\x{1}" } }, era => $era)->{messages}[0]{content}{text}, "Hello \"x\"\n\x{1}", "$era: a prompt");
    refused("$era: a prompt without its argument", 200, -32602, $mcp->call('prompts/get', { name => 'greet' }, era => $era, id => 1), id => 1);
    refused("$era: no such prompt", 200, -32602, $mcp->call('prompts/get', { name => 'none' }, era => $era, id => 1), id => 1);
    is_deeply(result('completion/complete', { ref => { type => 'ref/prompt', name => 'greet' }, argument => { name => 'who', value => 'w' } }, era => $era)->{completion}{values}, ['world'], "$era: a completion");
    refused("$era: no such tool", 200, -32602, $mcp->call('tools/call', { name => 'none', arguments => {} }, era => $era, id => 1), id => 1);
    my $result = result('tools/call', { name => 'strict', arguments => { n => 0, m => 1 } }, era => $era, name => 'bad arguments');
    ok($result->{isError}, "$era: arguments that are none: a result that says so");
    like($result->{content}[0]{text}, qr/\bm\b.*\bn\b|\bn\b.*\bm\b/s, "$era: and what is wrong") or diag explain $result;
}

# Methods of one era, and of none.
refused("modern $_", 404, -32601, $mcp->call($_, {}, id => 'm'), id => 'm') for qw(initialize ping logging/setLevel resources/subscribe resources/unsubscribe tasks/list tasks/result roots/list sampling/createMessage elicitation/create nonsense Tools/List tools/list/), 'notifications/initialized';
refused("legacy $_", 200, -32601, $mcp->call($_, {}, id => 'm', era => 'legacy'), id => 'm') for qw(server/discover subscriptions/listen tasks/get tasks/list tasks/cancel nonsense);
refused('legacy setLevel without logging', 200, -32601, $mcp->call('logging/setLevel', { level => 'info' }, id => 'm', era => 'legacy'), id => 'm');
refused('legacy subscribe without subscriptions', 200, -32601, $mcp->call('resources/subscribe', { uri => 'test://text' }, id => 'm', era => 'legacy'), id => 'm');
is_deeply(result('logging/setLevel', { level => 'info' }, era => 'legacy', path => '/old'), {}, 'a server of old: a level');
is_deeply(result("resources/$_", { uri => 'test://text' }, era => 'legacy', path => '/old'), {}, "a server of old: $_") for qw(subscribe unsubscribe);
refused('a task without the extension', 400, -32021, $mcp->call('tasks/get', { taskId => 'x' }, id => 't'), id => 't');

# Headers that repeat what the body says (modern).
my %call = (name => 'one', arguments => {});
refused("no $_", 400, -32020, $mcp->call('tools/call', \%call, id => 'h', headers => { $_ => undef }), id => 'h') for 'MCP-Protocol-Version', 'Mcp-Method', 'Mcp-Name';
refused("Mcp-Method: $_", 400, -32020, $mcp->call('tools/list', {}, id => 'h', headers => { 'Mcp-Method' => $_ }), id => 'h') for 'tools/call', 'Tools/List', 'tools/list/x', '=?base64?dG9vbHMvbGlzdA==?=', '';
refused("Mcp-Name: $_", 400, -32020, $mcp->call('tools/call', \%call, id => 'h', headers => { 'Mcp-Name' => $_ }), id => 'h') for 'One', 'two', 'on', 'ones', '=?base64?b25l', '=?base64?b25l?', '=?base64?b25?=', '=?base64?b25l=?=', '=?base64?b2!l?=', '=?base64?b2 5l?=', '=?BASE64?dHdv?=', '=?base64??=';
is($mcp->call('tools/list', {}, headers => { 'Mcp-Method' => undef, 'mcp-METHOD' => ' tools/list ' })->{status}, 200, 'names in any case, spaces around values');
my $error = refused('a version that is none', 400, -32022, $mcp->call('tools/list', {}, id => 'v', version => '2027-01-01'), id => 'v');
is_deeply($error->{data}, { supported => ['2026-07-28'], requested => '2027-01-01' }, 'says which are, and which was asked for');
refused('versions that differ', 400, -32020, $mcp->call('tools/list', {}, id => 'v', headers => { 'MCP-Protocol-Version' => '2027-01-01' }), id => 'v');
refused('a legacy version that is none', 400, -32022, $mcp->call('tools/list', {}, id => 'v', era => 'legacy', version => $_), id => 'v') for '2024-11-05', '1.0', '2025-11-26';
refused('a modern header over a legacy body', 400, -32602, $mcp->call('tools/list', {}, id => 'v', era => 'legacy', version => '2026-07-28'), id => 'v');

# Arguments that intermediaries go by (x-mcp-header).
sub mirrored { my ($arguments, %headers) = @_; return $mcp->call('tools/call', { name => 'mirrored', arguments => $arguments }, id => 'm', headers => \%headers) }
for my $case (
    ['missing', { session_id => 'a' }], ['another', { session_id => 'a' }, 'Mcp-Param-Session' => 'b'], ['of another case', { session_id => 'a' }, 'Mcp-Param-Session' => 'A'], ['sent for nothing', {}, 'Mcp-Param-Session' => 'a'], ['sent for null', { session_id => undef }, 'Mcp-Param-Session' => 'null'],
    ['empty for nothing', {}, 'Mcp-Param-Session' => ''], ['not decoded', { session_id => 'a' }, 'Mcp-Param-Session' => '=?base64?YQ?='], ['not base64', { session_id => 'a' }, 'Mcp-Param-Session' => '=?base64?Y!==?='], ['with more after it', { session_id => 'a' }, 'Mcp-Param-Session' => '=?base64?YQ==?= b'],
    ['a number that differs', { n => 7 }, 'Mcp-Param-Count' => '8'], ['a number that is none', { n => 7 }, 'Mcp-Param-Count' => 'seven'], ['a number in a string', { n => 7 }, 'Mcp-Param-Count' => '"7"'], ['a number in hexadecimal', { n => 7 }, 'Mcp-Param-Count' => '0x7'], ['a number and more', { n => 7 }, 'Mcp-Param-Count' => '7 8'], ['a large number that is near', { n => 9007199254740993 }, 'Mcp-Param-Count' => '9007199254740992'],
    ['a flag that differs', { flag => \1 }, 'Mcp-Param-Flag' => 'false'], ['a flag in another case', { flag => \1 }, 'Mcp-Param-Flag' => 'True'], ['a flag as a number', { flag => \1 }, 'Mcp-Param-Flag' => '1'], ['one right, one wrong', { session_id => 'a', n => 7 }, 'Mcp-Param-Session' => 'a', 'Mcp-Param-Count' => '8'],
) {
    my ($name, $arguments, %headers) = @$case;
    refused("a mirror that is $name", 400, -32020, mirrored($arguments, %headers), id => 'm');
}
is((mirrored(@$_))->{status}, 200, 'a mirror that is right') for [{}], [{ session_id => 'a' }, 'Mcp-Param-Session' => 'a'], [{ session_id => 'a' }, 'mcp-param-SESSION' => '=?base64?YQ==?='], [{ session_id => "\x{e9} x" }, 'Mcp-Param-Session' => '=?base64?w6kgeA==?='], [{ n => 7 }, 'Mcp-Param-Count' => '7'], [{ n => 7 }, 'Mcp-Param-Count' => '7.0'], [{ flag => \0 }, 'Mcp-Param-Flag' => 'false'], [{ code => 'x' }], [{ session_id => undef }];
is($mcp->call('tools/call', { name => 'mirrored', arguments => { session_id => 'a' } }, era => 'legacy')->{status}, 200, 'a legacy client mirrors nothing');

# The trace of a call (W3C Trace Context in _meta) is the request's.
my $trace = '0af7651916cd43dd8448eb211c80319c';
my $reply = $mcp->call('tools/list', {}, meta => { traceparent => "00-$trace-b7ad6b7169203331-01" });
like($reply->{headers}{traceparent}, qr/^00-$trace-(?!b7ad6b7169203331)[0-9a-f]{16}-01$/, 'a trace of the message: a new span of it');
like($mcp->call('tools/list', {}, meta => { traceparent => "00-$trace-b7ad6b7169203331-01" }, headers => { traceparent => '00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' })->{headers}{traceparent}, qr/^00-$trace-/, 'before that of the header');
unlike($mcp->call('tools/list', {}, meta => { traceparent => $_ })->{headers}{traceparent}, qr/$trace|0{32}/, 'one that is none begins a new one') for "00-$trace-b7ad6b7169203331", "ff-$trace-b7ad6b7169203331-01", '00-' . '0' x 32 . '-b7ad6b7169203331-01', 7, "00-\U$trace\E-b7ad6b7169203331-01";
$t->finish;
done_testing();
