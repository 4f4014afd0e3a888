#!/usr/bin/perl
# Official clients do a day's work through the product's nginx: the SDKs of both generations, in each era that they speak, and the Inspector.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox;
use Sandbox::McpClients;
use Test::More;

my $t = Sandbox->new;
$t->write('etc/policies/tenants/narrow.json', encode_json({ version => 1, languages => ['python'], tools => [qw(run_code get_job status)] }));
$t->start;
my $url = 'http://localhost:' . $t->port . '/mcp';
my $narrow = $t->token(tenant => 'narrow');

Sandbox::McpClients::tap($t, $_, ['t/mcp/day.mjs', $_, $url], MCP_TOKEN => $t->token(agent => $_), MCP_TOKEN_NARROW => $narrow) for qw(v2-modern v2-auto v2-legacy v1);

# The Inspector: what it makes of the list, strictly, and a call in each era.
sub inspector {
    my ($era, @arguments) = @_;
    my ($text, $status) = Sandbox::McpClients::node($t, 60, ['build/npm/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js', '--cli', '--server-url', $url, '--transport', 'http',
        '--header', 'Authorization: Bearer ' . $t->token, '--protocol-era', $era, '--format', 'json', @arguments]);
    return ($status, eval { decode_json($text =~ /^(\{.*\})$/ms ? $1 : $text) }, $text);
}
for my $era (qw(modern legacy)) {
    my ($status, $json, $text) = inspector($era, '--method', 'tools/list', '--strict');
    is($status, 0, "Inspector, $era: the list is portable") or diag $text;
    ok((grep { $_->{name} eq 'run_code' } @{ ref $json ? ($json->{result} // $json)->{tools} // [] : [] }), "Inspector, $era: with run_code") or diag $text;
    ($status, $json, $text) = inspector($era, '--method', 'tools/call', '--tool-name', 'run_code', '--tool-args-json', encode_json({ language => 'bash', code => 'echo $((6 * 7))' }));
    is($status, 0, "Inspector, $era: a call") or diag $text;
    like($text, qr/42/, "Inspector, $era: with its output");
}
$t->finish;
done_testing();
