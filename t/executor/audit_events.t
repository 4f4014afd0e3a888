#!/usr/bin/perl
# One of everything: each has its event, exactly one, with all that docs/audit.md says that its kind always has; nothing
# of what was sent, said or kept secret is in any.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(sha256_hex);
use IO::Socket::UNIX;
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Sandbox::Stream;
use Sandbox::WebSocket;
use Test::More;

my %who = (app => 'web', agent => 'coder', sub => 'anna', jti => 'token-7', client => '198.51.100.9', scopes => '', tool => 'run_code', policy => 'strict', policy_v => 4, policy_r => 12, keep_audit => 86_400_000);
my $t = Sandbox->new(executor => { 'pool.default' => 2 });
$t->start_launcher->start_executor;
my %expect;    # kind -> how often
sub ask {
    my ($kinds, $method, $path, %option) = @_;
    my $more = delete $option{who} || {};
    my $status = delete $option{status} // 200;
    my $r = $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, %who, %$more), %option);
    is($r->{status}, $status, "$method $path") or diag explain $r;
    $expect{$_}++ for @$kinds;
    return $r;
}
sub ws {
    my ($path) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => "$t->{dir}/sock/executord.sock") or die $!;
    return Sandbox::WebSocket->open($socket, "$path/ws", headers => { 'Sandbox-Context' => Sandbox::Context::sign($t->{key}, %who) });
}
sub events { return grep { $_->{tenant} eq 'acme' } map { decode_json($_) } $t->audit_lines }

# Jobs.
my $job = ask([qw(job.accepted job.started job.finished)], 'POST', '/v1/jobs', json => {
    language => 'bash', code => 'echo SECRET-output; cat in.txt > out.txt # SECRET-code', stdin => 'SECRET-stdin', env => { KEY => 'SECRET-env' },
    args => ['SECRET-arg'], files => [{ path => 'in.txt', content => 'SECRET-content' }], artifacts => ['out.txt'] })->{json};
is($job->{status}, 'succeeded', 'a job') or diag explain $job;
ask(['output.read'], 'GET', "/v1/jobs/$job->{job_id}/$_") for 'stdout', 'stderr';
ask(['artifact.read'], 'GET', "/v1/jobs/$job->{job_id}/artifacts/out.txt");
my $long = ask([qw(job.accepted job.started)], 'POST', '/v1/jobs', status => 202, json => { language => 'bash', code => 'sleep 600', wait => 0 })->{json};
# Not by its status, which is running already while its sandbox is being made.
ok($t->wait_until(30, sub { $t->executor_request('GET', "/v1/jobs/$long->{job_id}", context => Sandbox::Context::sign($t->{key}, %who))->{json}{started_at} }), 'one that runs');
ask(['job.cancelled'], 'DELETE', "/v1/jobs/$long->{job_id}", who => { sub => 'boss', jti => 'token-8' });
ask(['request.denied'], 'POST', '/v1/jobs', status => 403, who => { scopes => 'sessions:read' }, json => { language => 'bash', code => 'x' });

# A session and what is in it.
my $session = ask([qw(session.created session.started)], 'POST', '/v1/sessions', status => 201, json => { language => 'bash', env => { KEY => 'SECRET-env' } })->{json};
my $at = "/v1/sessions/$session->{session_id}";
ask(['session.extended'], 'PATCH', $at, json => { ttl => '10m' });
my $step = ask([qw(step.accepted step.started step.ended)], 'POST', "$at/steps", json => { code => 'echo SECRET-output # SECRET-code' })->{json};
is($step->{status}, 'succeeded', 'a step') or diag explain $step;
ask(['output.read'], 'GET', "$at/steps/$step->{step_id}/$_") for 'stdout', 'stderr';
ask(['context.created'], 'POST', "$at/contexts", status => 201, json => { name => 'side' });
ok($t->wait_until(30, sub { grep { $_->{name} eq 'side' && $_->{status} eq 'ready' } @{ $t->executor_request('GET', "$at/contexts", context => Sandbox::Context::sign($t->{key}, %who))->{json}{contexts} } }), 'a context') or diag explain $t->executor_request('GET', "$at/contexts", context => Sandbox::Context::sign($t->{key}, %who))->{json};
ask(['context.ended'], 'DELETE', "$at/contexts/side", status => 204);

# Files.
my $bytes = 'SECRET-content';
ask(['file.uploaded'], 'PUT', "$at/files/a.txt", status => 201, body => $bytes);
ask(['file.read'], 'GET', "$at/files/a.txt");
ask(['directory.created'], 'POST', "$at/mkdir", status => 201, json => { path => 'dir' });
ask(['file.moved'], 'POST', "$at/move", json => { from => 'a.txt', to => 'dir/b.txt' });
ask(['file.archived'], 'GET', "$at/archive?path=dir");
my $collected = ask(['artifact.collected'], 'POST', "$at/artifacts", status => 201, json => { patterns => ['dir/b.txt'] })->{json};
ask(['file.deleted'], 'DELETE', "$at/files/dir/b.txt", status => 204);
my $watch = Sandbox::Stream->executor($t, 'GET', "$at/watch", who => \%who);
$expect{'file.watched'}++;
ok($t->wait_until(30, sub { grep { $_->{kind} eq 'file.watched' } events() }), 'a watch');

# Processes.
my $process = ask(['process.started'], 'POST', "$at/processes", status => 201, json => { shell => 'cat > /dev/null # SECRET-code', stdin => JSON::PP::true, env => { KEY => 'SECRET-env' } })->{json};
ask(['process.stdin'], 'POST', "$at/processes/$process->{process_id}/stdin?eof=true", status => 204, body => 'SECRET-stdin');
$expect{'process.ended'}++;
ask([], 'GET', "$at/processes/$process->{process_id}?wait=20");
my $shell = ask(['process.started'], 'POST', "$at/processes", status => 201, json => { argv => ['bash', '--norc'], pty => { rows => 24, cols => 80 } })->{json};
my $w = ws("$at/processes/$shell->{process_id}");
is($w->{status}, 101, 'a terminal');
$expect{'terminal.opened'}++;
my $typed = "echo SECRET-ty''ped\n";
$w->type($typed);
# The shell's word, not the terminal's echo: before it has begun to read, SIGINT would be its end.
ok($w->until(30, sub { $w->{binary} =~ /SECRET-typed\r\n/ }), 'which echoes');
ask(['process.signalled'], 'POST', "$at/processes/$shell->{process_id}/signal", json => { signal => 'SIGINT' });
ask(['process.signalled', 'process.ended'], 'DELETE', "$at/processes/$shell->{process_id}?wait=10");
$expect{'process.stdin'}++;    # of the terminal, once it is gone
undef $w;

# Artifacts.
my $artifact = ask(['artifact.uploaded'], 'POST', '/v1/artifacts?name=SECRET-name', status => 201, body => $bytes)->{json};
ask(['artifact.read'], 'GET', "/v1/artifacts/$artifact->{artifact_id}/content");
ask(['artifact.changed'], 'PATCH', "/v1/artifacts/$artifact->{artifact_id}", json => { metadata => { note => 'SECRET-note' } });
my $url = ask(['artifact.url_made'], 'POST', "/v1/artifacts/$artifact->{artifact_id}/url", json => {})->{json}{url};
my ($signature) = ($url // '') =~ /signature=([^&]+)/;
ask(['artifact.deleted'], 'DELETE', "/v1/artifacts/$artifact->{artifact_id}", status => 204);

# Its end.
ask(['session.paused'], 'POST', "$at/pause", who => { sub => 'boss' });
ask([], 'POST', "$at/pause");
ask(['session.resumed'], 'POST', "$at/resume");
ask(['session.ended'], 'DELETE', $at, who => { sub => 'boss', jti => 'token-8' });
ask(['audit.exported'], 'GET', '/v1/audit', who => { scopes => 'audit:read' }, headers => { Accept => 'application/x-ndjson' });

# What there is. session.used comes by the clock.
my %got;
my @events;
$t->wait_until(30, sub { @events = grep { $_->{kind} ne 'session.used' } events(); @events >= eval { my $n = 0; $n += $_ for values %expect; $n } });
$got{ $_->{kind} }++ for @events;
is_deeply(\%got, \%expect, 'each thing has its event, once');

# With what the table says.
my ($table) = do { open my $in, '<', 'docs/audit.md' or die $!; local $/; <$in> } =~ /^## Events\n(.*?)^## /ms;
my %always = map { /^\| `([a-z]+\.[a-z_]+)` \|[^|]*\|([^|]*)\|/ ? ($1 => $2) : () } split /\n/, $table;
my (@wrong, %by);
for my $event (@events) {
    my ($kind, $body) = @$event{qw(kind body)};
    my $said = ($always{$kind} // '') =~ /^ as `([^`]+)`/ ? $always{$1} : $always{$kind};
    push @wrong, map { "$kind: no $_" } grep { !exists $body->{$_} } 'app', 'agent', 'subject', 'token_id', 'client', 'trace', 'tool', 'policy', $said =~ /`([^`]+)`/g;
    push @wrong, "$kind: $event->{seq}: the policy" if eval { join ' ', @{ $body->{policy} }{qw(id version revision)} } ne 'strict 4 12';
    push @wrong, "$kind: no request" if !$event->{request_id};
    push @wrong, "$kind: not kept as the policy says" if !$event->{keep_until};
    push @wrong, "$kind: network" if $body->{network} && ($body->{network}{egress} ne 'none' || defined $body->{network}{attempts});
    push @{ $by{$kind} }, $event;
}
is_deeply(\@wrong, [], 'each has all that its kind has');
my ($cancelled) = @{ $by{'job.cancelled'} };
is_deeply([$cancelled->{body}{subject}, @{ $cancelled->{body}{cancelled_by} }{qw(subject token_id client)}], ['anna', 'boss', 'token-8', '198.51.100.9'], 'who cancelled a job, and whose it was');
is($by{'session.ended'}[0]{body}{cancelled_by}{subject}, 'boss', 'who ended a session');
is($by{'session.paused'}[0]{body}{subject}, 'boss', 'who paused it');
is($by{'file.uploaded'}[0]{body}{sha256}, sha256_hex($bytes), 'what was written');
is_deeply([sort map { "$_->{body}{bytes} $_->{body}{sha256}" } @{ $by{'process.stdin'} }], [sort '12 ' . sha256_hex('SECRET-stdin'), length($typed) . ' ' . sha256_hex($typed)], 'what was typed');
my ($finished) = grep { $_->{object} eq $job->{job_id} } @{ $by{'job.finished'} };
is($finished->{body}{artifacts}[0]{sha256}, sha256_hex($bytes), 'what a job left');
is($finished->{body}{code_sha256}, sha256_hex('echo SECRET-output; cat in.txt > out.txt # SECRET-code'), 'what ran');
my %order;
$order{ $_->{object} } .= "$_->{kind} " for grep { $_->{kind} =~ /^(?:job|step)\./ } @events;
is_deeply([sort values %order], ['job.accepted job.started job.cancelled ', 'job.accepted job.started job.finished ', 'step.accepted step.started step.ended '], 'in their order');

# And nothing else.
my $log = join '', map { Sandbox::_slurp($_) } glob "$t->{dir}/data/audit/audit-*.jsonl";
unlike($log, qr/SECRET-|\Q@{[$signature || 'x' x 99]}\E/, 'no code, input, output, environment, name or signature');
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the log verifies') or diag $said;
$t->finish;
done_testing();
