#!/usr/bin/perl
# The protocol's official conformance suite against the gateway: its fixtures are a catalogue and a backend of t/mcp; what is tested is the
# product's module, with authentication and limits on. What needs no fixture runs against the product's own catalogue besides.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Front;
use Sandbox::McpClients;
use Test::More;

# What asks the client while a request runs, over the stream of its reply: older revisions alone have it, and it needs a server that keeps
# sessions. The newest revision's way is there (input-required-result-*).
my %asks_client = map { $_ => 1 } qw(tools-call-sampling tools-call-elicitation elicitation-sep1034-defaults elicitation-sep1330-enums);
# Beyond what is scored.
my @tasks = map { "tasks-$_" } qw(lifecycle capability-negotiation wire-fields request-state-removal mrtr-input request-headers
                                  dispatch-and-envelope status-notifications required-task-error mrtr-composition);
my @headers = qw(http-header-validation http-custom-header-server-validation json-schema-2020-12);
my @without_fixture = qw(tools-list resources-list prompts-list sep-2164-resource-not-found dns-rebinding-protection caching server-sse-multiple-streams
                         http-header-validation input-required-result-unsupported-methods);

my $t = Sandbox::Front->new;
my $port = Sandbox::free_port();
my $backend = Sandbox::McpClients::backend($port);
my $root = "$FindBin::Bin/../..";
# The product's calls are tried with the product's executor, by clients.t and in t/e2e.
my %leads_to = map { $_ => 1 } Sandbox::_slurp("$root/conf/gateway/mcp.json") =~ m{"(/_mcp/\w+)"}g;
my $inside = join "\n    ", map { "location = $_ { internal; return 404; }" } sort keys %leads_to;
$t->start_front('', workers => 2, locations => <<"END");
    location = /mcp { sandbox_route mcp; client_max_body_size 1m; sandbox_mcp $FindBin::Bin/fixtures.json; }
    location = /product { sandbox_route mcp; client_max_body_size 1m; sandbox_mcp $root/conf/gateway/mcp.json; }
    location = /_mcp/fixtures {
        internal;
        sandbox_route fixtures;
        proxy_set_header Sandbox-Tool-Call \$sandbox_mcp_call;
        proxy_buffering off;
        proxy_pass http://127.0.0.1:$port\$sandbox_mcp_uri;
    }
    $inside
END
my $url = 'http://localhost:' . $t->port;
my $token = $t->token;

sub required { my ($revision) = @_; return Sandbox::McpClients::required($t, $revision) }

# One test for a scenario; its warnings are shown.
sub passes {
    my ($ran, $name, $scenario) = @_;
    my ($failed, $warned, $good) = @{ $ran->{$scenario} // [['it did not run'], [], 0] };
    ok(!@$failed, "$name: $scenario") or diag map { "  $_\n" } @$failed;
    diag("$name: $scenario warns of $_") for @$warned;
    return;
}

my @newest = required('2026-07-28');
is(scalar @newest, 37, '2026-07-28 requires 37 scenarios');
my $ran = Sandbox::McpClients::conformance($t, "$url/mcp", $token, '--requirements', '2026-07-28');
passes($ran, '2026-07-28', $_) for @newest;
passes($ran, 'beyond 2026-07-28', $_) for @headers, @tasks;

my @older = required('2025-11-25');
is(scalar @older, 30, '2025-11-25 requires 30');
is(scalar(grep { $asks_client{$_} } @older), 4, 'of which 4 ask the client');
$ran = Sandbox::McpClients::conformance($t, "$url/mcp", $token, '--requirements', '2025-11-25');
passes($ran, '2025-11-25', $_) for grep { !$asks_client{$_} } @older;
# So that this list grows shorter when it may.
ok(@{ ($ran->{$_} // [[1]])->[0] }, "2025-11-25: $_ is one of those that a server without sessions can't do") for grep { $asks_client{$_} } @older;

for my $scenario (@without_fixture) {
    passes(scalar Sandbox::McpClients::conformance($t, "$url/product", $token, '--scenario', $scenario, '--spec-version', '2026-07-28'), 'product', $scenario);
}
for my $scenario (qw(server-initialize ping tools-list)) {
    passes(scalar Sandbox::McpClients::conformance($t, "$url/product", $token, '--scenario', $scenario, '--spec-version', '2025-11-25'), 'product, 2025-11-25', $scenario);
}
undef $backend;
$t->finish;
done_testing();
