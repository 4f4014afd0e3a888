#!/usr/bin/perl
# A tenant reads its own audit events, filters them, exports them, and checks their hashes; nobody else's.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use MIME::Base64 qw(encode_base64url);
use Sandbox;
use Sandbox::Context;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 0, 'audit.sign_every' => '100ms' });
$t->start_launcher->start_executor;
my $serial = 0;
sub ask {
    my ($method, $path, %option) = @_;
    my %who = (scopes => 'audit:read jobs:write', %{ delete $option{who} || {} });
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, %who), %option);
}
sub events { my ($query, %who) = @_; my $reply = ask('GET', "/v1/audit$query", who => \%who); return @{ $reply->{json}{events} || [] } }
sub job { my (%who) = @_; return ask('POST', '/v1/jobs', who => \%who, json => { language => 'bash', code => 'echo ' . ++$serial })->{json}{job_id} }

my @mine = map { job(app => $_ % 2 ? 'web' : 'batch', sub => "user-$_") } 1 .. 6;
my $other = job(tenant => 'evil', app => 'web');
ok($t->wait_until(30, sub { scalar(grep { $_->{kind} eq 'job.finished' } events('?limit=100')) == 6 }), 'each job has an end');

# One event.
my ($newest) = events('?limit=1');
my $one = ask('GET', "/v1/audit/$newest->{seq}");
is($one->{status}, 200, 'one event');
is_deeply($one->{json}, $newest, 'is as in the list');
is(ask('GET', '/v1/audit/999999')->{status}, 404, 'one that is not there');
is(ask('GET', "/v1/audit/$_")->{status}, 404, "no number: $_") for 'x', '-1', '1e3', '0', '99999999999999999999';
my ($theirs) = events('?limit=1', tenant => 'evil');
is($theirs->{tenant}, 'evil', 'another tenant has its own');
is(ask('GET', "/v1/audit/$theirs->{seq}")->{status}, 404, 'which is not there for this one');
is(ask('GET', '/v1/audit/1')->{status}, 404, "nor are the log's own");

# Nobody sees another's, whatever he asks for.
my %all = map { $_ => [events($_)] } "?object=$other", "?request_id=$theirs->{request_id}", '?limit=100', '?order=asc&limit=100', '?kind=job.&limit=100', '?cursor=' . ($theirs->{seq} + 1);
is(scalar(grep { $_->{tenant} ne 'acme' } map { @$_ } values %all), 0, 'no query gives an event of another tenant');
is(scalar @{ $all{"?object=$other"} }, 0, 'not by its object');
is(scalar @{ $all{"?request_id=$theirs->{request_id}"} }, 0, 'nor by its request');

# Filters.
is_deeply([map { $_->{kind} } events("?object=$mine[0]&order=asc")], ['job.accepted', 'job.started', 'job.finished'], 'by object, oldest first');
is_deeply([map { $_->{kind} } events("?object=$mine[0]")], ['job.finished', 'job.started', 'job.accepted'], 'newest first');
is(scalar(my @kind = events('?kind=job.accepted&limit=100')), 6, 'by kind');
is(scalar(my @prefix = events('?kind=job.&limit=100')), 18, 'by the beginning of a kind');
is(scalar(my @none = events('?kind=job&limit=100')), 0, 'which ends in a dot');
is(scalar(my @app = events('?kind=job.accepted&app=batch&limit=100')), 3, 'by app');
is_deeply([map { $_->{object} } events('?subject=user-3&kind=job.accepted')], [$mine[2]], 'by subject');
is(scalar(my @like = events('?kind=job.accepted&subject=user-%25')), 0, 'no pattern');
is(scalar(my @sql = events("?subject=x'%20or%201=1--")), 0, 'no SQL');
is(scalar(my @decision = events('?decision=succeeded&limit=100')), 6, 'by decision');
is(scalar(my @policy = events('?policy=default&kind=job.accepted&limit=100')), 6, 'by policy');
is(scalar(my @agent = events('?agent=nobody')), 0, 'by agent');
is_deeply([map { $_->{object} } events("?request_id=$kind[0]{request_id}&kind=job.accepted")], [$kind[0]{object}], 'by request');
my ($from, $to) = ($kind[3]{ts}, $kind[1]{ts});    # newest first
my @range = events("?kind=job.accepted&from=$from&to=$to&limit=100");
is_deeply([map { $_->{seq} } @range], [map { $_->{seq} } grep { $_->{ts} ge $from && $_->{ts} lt $to } @kind], 'by time, the end not in it');
is(scalar(my @future = events('?from=2099-01-01T00:00:00Z')), 0, 'from the future');
is(scalar(my @past = events('?to=2001-01-01T00:00:00Z')), 0, 'until the past');

# Pages: everything once.
for my $order ('asc', 'desc') {
    my (@seen, $cursor);
    do {
        my $page = ask('GET', "/v1/audit?order=$order&limit=5" . (defined $cursor ? "&cursor=$cursor" : ''))->{json};
        push @seen, map { $_->{seq} } @{ $page->{events} };
        $cursor = $page->{next_cursor};
    } while (defined $cursor && @seen < 100);
    is_deeply(\@seen, [sort { $order eq 'asc' ? $a <=> $b : $b <=> $a } map { $_->{seq} } events('?limit=100')], "pages, $order");
}

# What is none.
for my $bad ('?limit=0', '?limit=101', '?limit=x', '?cursor=x', '?cursor=-1', '?order=up', '?from=yesterday', '?to=2026-13-01T00:00:00Z', '?kind=', '?subject=' . 'x' x 300, '?nothing=1') {
    is(ask('GET', "/v1/audit$bad")->{status}, 422, substr "refused: $bad", 0, 60);
}
is(ask('POST', '/v1/audit')->{status}, 405, 'nothing can be posted');
is(ask('DELETE', "/v1/audit/$newest->{seq}")->{status}, 405, 'nor deleted');
for my $scopes ('', 'jobs:read', 'jobs:read jobs:write sessions:read', 'audit', 'audit:write', 'policies:read') {
    is(ask('GET', $_, who => { scopes => $scopes })->{status}, 403, "$_ with the scopes '$scopes'") for '/v1/audit', '/v1/audit/head', "/v1/audit/$newest->{seq}";
}
is(ask('GET', '/v1/audit', who => { scopes => 'admin' })->{status}, 200, 'admin may');
is($t->executor_request('GET', '/v1/audit')->{status}, 401, 'nobody without a context');

# The export is the log's own lines.
my $export = ask('GET', '/v1/audit', headers => { Accept => 'application/x-ndjson' });
is($export->{status}, 200, 'an export');
is($export->{headers}{'content-type'}, 'application/x-ndjson', 'of lines');
my @lines = split /\n/, $export->{content};
my %log = map { $_ => 1 } $t->audit_lines;
is(scalar(grep { !$log{$_} } @lines), 0, 'each is in the log, byte for byte');
my @event = map { decode_json($_) } @lines;
is($event[-1]{kind}, 'audit.exported', 'the last one is the export itself');
is_deeply([map { $_->{seq} } @event], [sort { $a <=> $b } map { $_->{seq} } events('?limit=100')], 'all of them, oldest first');
my @wrong;
for my $line (@lines) {
    my ($head, $hash, $body) = $line =~ /^(.*),"hash":"([0-9a-f]{64})","body":(.*)\}$/ or push @wrong, $line;
    push @wrong, $line if sha256_hex("$head}") ne $hash || $head !~ /"body_sha256":"\Q@{[sha256_hex($body)]}\E"/;
}
is_deeply(\@wrong, [], 'the hashes are right, by hand');
my $rest = ask('GET', "/v1/audit?cursor=$event[4]{seq}", headers => { Accept => 'application/x-ndjson' });
my @resumed = split /\n/, $rest->{content};
is_deeply([@resumed[0 .. $#lines - 5]], [@lines[5 .. $#lines]], 'resumed behind a line');
is(scalar(my @two = split /\n/, ask('GET', '/v1/audit?limit=2', headers => { Accept => 'application/x-ndjson' })->{content}), 2, 'as many as wanted');
is(ask('GET', '/v1/audit', headers => { Accept => 'application/x-ndjson' }, who => { tenant => 'empty' })->{status}, 200, 'of a tenant without any');

# Who, how, by which policy.
my $body = $kind[0]{body};
is($body->{token_id}, 'token-1', 'the token');
is($body->{client}, '192.0.2.7', 'the address');
is($body->{trace}, '0af7651916cd43dd8448eb211c80319c', 'the trace');
is_deeply($body->{policy}, { id => 'default', version => 1, revision => 0 }, 'the policy');

# Heads.
my $head;
ok($t->wait_until(30, sub { $head = ask('GET', '/v1/audit/head'); $head->{status} == 200 && $head->{json}{seq} >= $event[-1]{seq} }), 'the newest head comes to be signed');
my ($line) = grep { decode_json($_)->{n} == $head->{json}{n} } $t->read_file('data/audit/heads.jsonl') =~ /^(.*)\n/mg;    # the next one may be half there
is_deeply($head->{json}, decode_json($line // '{}'), 'it is that of heads.jsonl');
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the log verifies') or diag $said;
like($said, qr/signed by a key that is believed/, 'with the public key');
$t->finish;
done_testing();
