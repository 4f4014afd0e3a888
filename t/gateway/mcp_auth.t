#!/usr/bin/perl
# Who may send messages and use which tool (MCP 2026-07-28, "Authorization"): where a client learns what token it needs, that a token is for this
# endpoint and goes no further, and that nothing of a message counts before that.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Edge;
use Sandbox::Mcp;
use Test::More;

my $t = Sandbox::Edge->new;
my $dir = "$t->{dir}/etc";
$t->write('etc/mcp.json', Sandbox::Mcp::catalogue([map { Sandbox::Mcp::tool($_, backend => { location => "/_mcp/$_", method => 'POST', path => "/tool/$_", body => '{*}' }) } qw(run_code write_files read_file start_service)]));
my $http = "sandbox_auth on; sandbox_auth_secret_file $dir/jwt.secret; sandbox_auth_issuer local https://id.example.com/; sandbox_auth_audience sandbox; sandbox_resource https://box.example.com;"
    . ' sandbox_auth_tool_scope run_code jobs:write; sandbox_auth_tool_scope start_service jobs:write services:write; sandbox_auth_tool_scope read_file files:read;'
    . " sandbox_metrics_zone 256k; sandbox_policy_dir $t->{dir}/policies;";
my $well = '/.well-known/oauth-protected-resource';
my $doors = join ' ', map { "location = /_mcp/$_ { internal; sandbox_route mcp.$_; sandbox_tool $_; sandbox_policy on; " . ($_ eq 'write_files' ? 'sandbox_auth_scope files:write; ' : '') . 'proxy_pass http://up$sandbox_mcp_uri; }' } qw(run_code write_files read_file start_service);
my $locations = <<"END";
    location = /mcp { sandbox_route mcp; sandbox_mcp $dir/mcp.json; sandbox_resource /mcp; client_max_body_size 64k; }
    location = /strict { sandbox_mcp $dir/mcp.json; sandbox_resource /strict; sandbox_auth_audience https://box.example.com/strict; sandbox_auth_scope mcp:use; }
    location = /open { sandbox_auth off; sandbox_mcp $dir/mcp.json; }
    location = $well { sandbox_auth off; sandbox_resource_metadata; }
    location = $well/mcp { sandbox_auth off; sandbox_resource /mcp; sandbox_resource_metadata; }
    location = $well/strict { sandbox_auth off; sandbox_resource /strict; sandbox_resource_metadata; }
    $doors
END
$t->write('policies/default.json', '{"version":1,"id":"pol_default","languages":["python"]}');
$t->write('policies/tenants/few.json', '{"version":1,"id":"pol_few","tools":["run_code","read_file"]}');
$t->start_edge($http, locations => $locations);
my $mcp = Sandbox::Mcp->new($t);
sub challenge { my ($path, %option) = @_; my $reply = $mcp->call('tools/list', {}, path => $path, %option); return ($reply->{status}, $reply->{headers}{'www-authenticate'}) }
sub tools { my (%option) = @_; my $reply = $mcp->call('tools/list', {}, %option); return join ' ', map { $_->{name} } @{ $reply->{json}{result}{tools} || ["HTTP $reply->{status}"] } }

# A1: the metadata, of the root and of each endpoint.
for my $case (['', 'https://box.example.com'], ['/mcp', 'https://box.example.com/mcp'], ['/strict', 'https://box.example.com/strict']) {
    my $reply = $t->request('GET', "$well$case->[0]", anonymous => 1);
    is($reply->{status}, 200, "metadata of $case->[1]");
    is($reply->{json}{resource}, $case->[1], 'names it');
    is_deeply($reply->{json}{authorization_servers}, ['https://id.example.com/'], 'and where tokens come from');
    is_deeply([sort @{ $reply->{json}{scopes_supported} }], [qw(files:read files:write jobs:write mcp:use services:write)], 'and the scopes there are');
    unlike($reply->{content}, qr/offline_access/, 'none that a resource has no business with');
}

# A2: the challenge.
is_deeply([challenge('/mcp', anonymous => 1)], [401, qq(Bearer realm="sandbox", resource_metadata="https://box.example.com$well/mcp")], 'no token: where to learn more');
is_deeply([challenge('/strict', anonymous => 1)], [401, qq(Bearer realm="sandbox", scope="mcp:use", resource_metadata="https://box.example.com$well/strict")], 'of another endpoint, and what it needs');
my $now = time;
my %bad = (
    'expired' => $t->token(exp => $now - 600), 'of nobody' => 'x.y.z', 'empty' => '', 'not yet' => $t->token(nbf => $now + 600), 'another issuer' => $t->token(iss => 'https://evil.example/'),
    'another key' => $t->jwt({ alg => 'HS256' }, $t->claims, 'another secret of enough bytes to be one'), 'no algorithm' => $t->jwt({ alg => 'none' }, $t->claims, sub { '' }), 'no algorithm, signed' => $t->jwt({ alg => 'none' }, $t->claims), 'no signature' => ($t->token =~ s/[^.]+\z//r),
    'another algorithm' => $t->jwt({ alg => 'RS256' }, $t->claims), 'no tenant' => $t->token(tenant => undef), 'cut' => substr($t->token, 0, -1),
    # A3: it must be for us.
    'another audience' => $t->token(aud => 'https://other.example.com/mcp'), 'no audience' => $t->token(aud => undef), 'several others' => $t->token(aud => ['a', 'b']), 'an audience like ours' => $t->token(aud => 'sandbox2'), 'part of it' => $t->token(aud => 'sand'),
);
for my $why (sort keys %bad) {
    is_deeply([challenge('/mcp', token => $bad{$why})], [401, qq(Bearer realm="sandbox", error="invalid_token", resource_metadata="https://box.example.com$well/mcp")], "a token that is bad: $why");
}
is((challenge('/mcp', token => $t->token(aud => ['a', 'sandbox'])))[0], 200, 'an audience of several, one of them ours');

# A3: each endpoint its own audience.
my $strict = $t->token(aud => 'https://box.example.com/strict', scope => 'mcp:use');
is((challenge('/strict', token => $strict))[0], 200, 'a token for this endpoint');
is((challenge('/mcp', token => $strict))[0], 401, 'is none for the other');
is((challenge('/strict', scope => 'mcp:use'))[0], 401, 'nor the other way round');
is_deeply([challenge('/strict', token => $t->token(aud => 'https://box.example.com/strict', scope => 'jobs:write'))], [403, qq(Bearer realm="sandbox", error="insufficient_scope", scope="mcp:use", resource_metadata="https://box.example.com$well/strict")], 'a scope that the endpoint needs');
is(tools(path => '/strict', token => $t->token(aud => 'https://box.example.com/strict', scope => 'mcp:use jobs:write')), 'run_code', 'its tools');

# A5: no token in a URL.
my $good = $t->token;
is($mcp->call('tools/list', {}, path => "/mcp?access_token=$good", anonymous => 1)->{status}, 401, 'a token in the query: 401');
is($mcp->call('tools/list', {}, path => "/mcp?access_token=$good")->{status}, 401, 'also beside a good one');
unlike(join("\n", $t->access_log), qr/\Q$good\E/, 'and not in the access log');

# A8, and 401 before anything else is looked at: the same bytes for whatever was sent.
my %refusal;
for my $body ('', '{', '[]', '[{"jsonrpc":"2.0","id":1,"method":"ping"}]', '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}', 'x' x 1000, '{"jsonrpc":"2.0","id":7,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"1"}}}', "\xff\x00") {
    for my $headers ({}, { 'Content-Type' => 'text/plain' }, { 'Content-Type' => 'application/json', 'MCP-Protocol-Version' => '2026-07-28' }, { Origin => 'http://evil.example' }, { 'Content-Type' => 'application/json', 'Content-Encoding' => 'gzip' }) {
        my $reply = $mcp->send($body, headers => $headers, anonymous => 1);
        $reply->{content} =~ s/req_[0-9a-z]+/ID/g;
        $refusal{"$reply->{status} $reply->{headers}{'www-authenticate'} $reply->{content}"}++;
    }
}
is(scalar keys %refusal, 1, 'without a token everything is answered alike') or diag explain [keys %refusal];
like((keys %refusal)[0], qr/^401 /, 'with 401');
is($t->request($_, '/mcp', anonymous => 1)->{status}, 401, "$_ without a token") for qw(GET DELETE OPTIONS PUT);

# tools/list: what the caller may use, by scopes and policy; the same bytes each time.
is(tools(scope => 'jobs:write'), 'run_code', 'a scope');
is(tools(scope => 'files:read files:write'), 'write_files read_file', 'others');
is(tools(scope => 'jobs:write services:write'), 'run_code start_service', 'two that one tool needs');
is(tools(scope => 'services:write'), '', 'one of them alone');
is(tools(scope => 'jobs:write files:read files:write services:write'), 'run_code write_files read_file start_service', 'all, in the order of the catalogue');
is(tools(scope => $_), '', "no scope of a tool's: '$_'") for 'admin', 'jobs:', 'jobs:write2', 'JOBS:WRITE', '*', 'jobs', 'mcp:use';
is(tools(scope => undef), '', 'none at all');
is(tools(tenant => 'few', scope => 'jobs:write files:read files:write services:write'), 'run_code read_file', 'what the tenant\'s policy leaves');
is(tools(tenant => 'few', scope => 'files:read files:write'), 'read_file', 'of what the scopes do');
is(tools(path => '/open', anonymous => 1), 'run_code write_files read_file start_service', 'without auth there is nobody to ask');
my %seen;
for my $i (1 .. 5) {
    for my $who ('one', 'two') {
        my $reply = $mcp->call('tools/list', {}, id => 'same', tenant => $who, scope => 'jobs:write files:read', headers => { 'User-Agent' => "client $i", 'X-Request-Id' => "r$i" });
        $seen{ $reply->{content} }++;
    }
}
is(scalar keys %seen, 1, 'the same caller reads the same bytes, on any connection');
isnt($mcp->call('tools/list', {}, id => 'same', scope => 'jobs:write')->{content}, (keys %seen)[0], 'another scope, another list');
is($mcp->call('tools/list', {}, scope => 'jobs:write')->{json}{result}{cacheScope}, 'private', 'which nobody else may be given');

# tools/call: what a list shows can be called, and what it does not is refused by who asks for more, not as if there were no such tool.
sub call_tool { my ($tool, %option) = @_; return $mcp->call('tools/call', { name => $tool, arguments => { x => 1 } }, %option) }
my $seen = call_tool('run_code', scope => 'jobs:write')->{json}{result}{structuredContent};
is($seen->{uri}, '/tool/run_code', 'a call reaches its backend') or diag explain $seen;
is($seen->{authorization}, '', 'without the token that it came with');
is($seen->{x_api_key}, '', 'in whatever header');
is(call_tool('run_code', headers => { 'X-API-KEY' => $t->token(scope => 'jobs:write'), 'X-Tenant-Id' => 'evil', 'X-Session-Token' => 'x' }, anonymous => 1)->{json}{result}{structuredContent}{x_api_key}, '', 'nor a key');
my $context = $t->open_context($seen->{sandbox_context});
is_deeply([@$context{qw(tenant app agent sub tool)}], ['demo', 'web', 'coder', 'tester', 'run_code'], 'but with whose it is, and as which tool');
like($seen->{traceparent}, qr/^00-[0-9a-f]{32}-[0-9a-f]{16}-/, 'and its trace');

my $reply = call_tool('start_service', scope => 'jobs:write');
is($reply->{status}, 403, 'a scope that is missing: 403');
is($reply->{headers}{'www-authenticate'}, qq(Bearer realm="sandbox", error="insufficient_scope", scope="jobs:write services:write", resource_metadata="https://box.example.com$well/mcp"), 'and all that are needed, of the endpoint that was asked');
is(call_tool('write_files', scope => 'jobs:write')->{headers}{'www-authenticate'}, qq(Bearer realm="sandbox", error="insufficient_scope", scope="files:write", resource_metadata="https://box.example.com$well/mcp"), 'also of a location\'s own');
$reply = call_tool('write_files', tenant => 'few', scope => 'files:write');
is($reply->{status}, 200, 'what the policy forbids: a result');
ok($reply->{json}{result}{isError}, 'that is an error');
like($reply->{json}{result}{content}[0]{text}, qr/\btools\b/, 'and names the rule');
is(call_tool('none', scope => 'jobs:write')->{json}{error}{code}, -32602, 'a tool that there is not is an error of the protocol');
is_deeply(call_tool('none', scope => undef)->{json}{error}, call_tool('none', tenant => 'few')->{json}{error}, 'the same for everybody');

my @scopes = (undef, 'jobs:write', 'services:write', 'jobs:write services:write', 'files:read', 'files:write', 'files:read files:write jobs:write services:write');
for my $tenant ('demo', 'few') {
    for my $scope (@scopes) {
        my %listed = map { $_ => 1 } split / /, tools(tenant => $tenant, scope => $scope);
        my %called = map { my $reply = call_tool($_, tenant => $tenant, scope => $scope); $reply->{status} == 200 && !$reply->{json}{result}{isError} ? ($_ => 1) : () } qw(run_code write_files read_file start_service);
        is_deeply(\%called, \%listed, "$tenant with " . ($scope // 'no scope') . ': what is listed and what can be called are the same');
    }
}

# An endpoint's own audience holds for its calls; the tools' locations do not ask again.
is(call_tool('run_code', path => '/strict', token => $t->token(aud => 'https://box.example.com/strict', scope => 'mcp:use jobs:write'))->{json}{result}{structuredContent}{uri}, '/tool/run_code', 'a call through an endpoint of another audience');
is(call_tool('start_service', path => '/strict', token => $t->token(aud => 'https://box.example.com/strict', scope => 'mcp:use jobs:write'))->{headers}{'www-authenticate'}, qq(Bearer realm="sandbox", error="insufficient_scope", scope="jobs:write services:write", resource_metadata="https://box.example.com$well/strict"), 'and its challenge is that endpoint\'s');
is(call_tool('run_code', path => '/open', anonymous => 1)->{status}, 401, 'what is let in without a token is asked for one by the tool');
is(call_tool('run_code', path => '/open', scope => 'jobs:write')->{json}{result}{structuredContent}{uri}, '/tool/run_code', 'and called with it');
is(call_tool('run_code', path => '/open', scope => 'files:read')->{status}, 403, 'if it has the scopes');

# Nobody gets behind the message.
is($t->request('POST', '/_mcp/run_code', json => {}, scope => 'jobs:write')->{status}, 404, 'an internal location is not there');
$t->finish;

# A bypass of development lets every tool be used, and only there.
$t = Sandbox::Edge->new;
$t->write('etc/mcp.json', Sandbox::Mcp::catalogue([Sandbox::Mcp::tool('run_code', backend => { location => '/_mcp/run_code', method => 'POST', path => '/tool/run_code', body => '{*}' })]));
$mcp = Sandbox::Mcp->new($t);
{
    local $ENV{ENV} = 'test';
    $t->start_edge('sandbox_auth on; sandbox_auth_bypass on; sandbox_auth_tool_scope run_code jobs:write;', main => 'env ENV;', locations => "location = /mcp { sandbox_mcp $t->{dir}/etc/mcp.json; } location = /_mcp/run_code { internal; sandbox_tool run_code; sandbox_policy on; proxy_pass http://up\$sandbox_mcp_uri; }");
}
is(tools(anonymous => 1), 'run_code', 'bypassed: a tool');
is(call_tool('run_code', anonymous => 1)->{json}{result}{structuredContent}{uri}, '/tool/run_code', 'that can be called');
$t->finish;
done_testing();
