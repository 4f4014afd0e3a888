#!/usr/bin/perl
# The cross-tenant matrix of policies and revocations: every route under another tenant's id answers byte for byte as under
# one that nobody has, and moves nothing. And nobody reaches the gateways' feed from outside.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Sandbox::Tenants;
use Test::More;

my $JSON = JSON::PP->new->canonical->utf8->allow_nonref;
my $t = Sandbox->new(executor => { 'pool.default' => 0 });
$t->start;

my %owner = (tenant => 'acme', scope => 'admin');
sub who { my ($where, $tenant, $scopes) = @_; return { tenant => $tenant, ($where eq 'gateway' ? 'scope' : 'scopes') => $scopes // 'admin' } }
my $policy = $t->request('POST', '/v1/policies', json => { name => 'hidden', description => 'secret', document => { limits => { memory => { max => '777Mi' } } }, applies_to => [{ app => 'concealed' }] }, %owner);
is($policy->{status}, 201, 'the owner has a policy') or BAIL_OUT($policy->{content});
my $id = $policy->{json}{policy_id};
is($t->request('PUT', "/v1/policies/$id", headers => { 'If-Match' => '"1"' }, json => { name => 'hidden', document => {}, applies_to => [{ app => 'concealed' }] }, %owner)->{json}{version}, 2, 'in two versions');
my $revocation = $t->request('POST', '/v1/revocations', json => { subject => 'concealed', reason => 'secret' }, %owner)->{json}{revocation_id};
like($revocation, qr/^rev_/, 'and a revocation');
my $deleted = $t->request('POST', '/v1/policies', json => { name => 'hidden', document => {} }, %owner)->{json}{policy_id};
is($t->request('DELETE', "/v1/policies/$deleted", %owner)->{status}, 204, 'one policy was deleted');

# Each route with an id in it, with each of its methods and some more.
my %body = ('' => { name => 'mine', document => {} }, '/targets' => { applies_to => [] }, '/rollback' => { version => 1 });
my @routes = grep { $_->{pattern} =~ m{^/v1/(?:policies|revocations)/\{id\}} } Sandbox::Tenants::routes();
cmp_ok(scalar @routes, '>=', 7, scalar(@routes) . ' routes have an id');
my @asks;
for my $route (@routes) {
    my ($last) = $route->{pattern} =~ m{(/targets|/rollback)$};
    my $path = $route->{pattern} =~ s/\{id\}/ID/r =~ s/\{version\}/1/r;
    my $body = $JSON->encode($body{ $last // '' });
    my %seen;
    for my $method (grep { !$seen{$_}++ } @{ $route->{methods} }, qw(GET POST PUT PATCH DELETE)) {
        my $sends = $method =~ /^(?:POST|PUT|PATCH)$/;
        for my $headers ({}, { 'If-Match' => '*' }, { 'If-Match' => '"2"' }, { 'If-Match' => '"1"' }) {
            push @asks, { method => $method, path => $path, headers => $headers, $sends ? (body => $body) : () };
        }
    }
    push @asks, map { { method => 'GET', path => $path, headers => {@$_} } } ['If-None-Match' => '*'], ['If-None-Match' => '"2"'], [Accept => 'text/event-stream'], [Range => 'bytes=0-0'];
    push @asks, { method => 'GET', path => "$path?unknown=1" }, { method => 'GET', path => "$path?to=2" }, { method => 'PUT', path => $path, body => '{', headers => { 'If-Match' => '*' } }, { method => 'POST', path => $path, body => $body, headers => { 'Idempotency-Key' => 'k' } };
}

for my $where (qw(gateway executor)) {
    for my $case (['policy', $id, qr{^/v1/policies/}], ['policy that was deleted', $deleted, qr{^/v1/policies/}], ['revocation', $revocation, qr{^/v1/revocations/}]) {
        my ($what, $foreign, $under) = @$case;
        for my $who (who($where, 'mallory'), who($where, 'mallory', 'policies:read'), who($where, 'mallory', '')) {
            my ($n_asked, @differ, @shown) = (0);
            for my $ask (grep { $_->{path} =~ $under } @asks) {
                my @shape;
                for my $asked ($foreign, Sandbox::Tenants::unknown($foreign)) {
                    my $reply = Sandbox::Tenants::send($t, $where, { %$ask, path => $ask->{path} =~ s/ID/$asked/r }, $who);
                    push @shape, Sandbox::Tenants::shape($reply, $asked);
                    push @shown, "$ask->{method} $ask->{path}: " . Sandbox::Tenants::status($reply) if Sandbox::Tenants::status($reply) < 400;
                    push @shown, "$ask->{method} $ask->{path}: $1" if $reply =~ /(secret|hidden|concealed|777Mi|acme|ETag|Location)/i;
                    $n_asked++;
                }
                push @differ, "$ask->{method} $ask->{path}\n$shape[0]\n-- unknown --\n$shape[1]" if $shape[0] ne $shape[1];
            }
            is(scalar @differ, 0, "$where, $what: $n_asked requests, answered as for unknown ids") or diag join "\n====\n", @differ[0 .. ($#differ < 2 ? $#differ : 2)];
            is_deeply(\@shown, [], 'nothing is shown') or diag explain \@shown;
        }
    }
    # Ids of one kind where another is meant, and tenants that look alike.
    for my $path ("/v1/policies/$revocation", "/v1/revocations/$id", "/v1/jobs/$id", "/v1/artifacts/$id") {
        is(Sandbox::Tenants::status(Sandbox::Tenants::send($t, $where, { method => 'GET', path => $path }, who($where, 'acme'))), 404, "$where: $path");
    }
    for my $tenant ('Acme', 'ACME', 'acm', 'acme2', 'acme.', '-') {
        is(Sandbox::Tenants::status(Sandbox::Tenants::send($t, $where, { method => 'GET', path => "/v1/policies/$id" }, who($where, $tenant))), 404, "$where: not the tenant $tenant");
    }
    # Listings, and cursors of another's.
    for my $query ('', '?limit=100', '?name=hidden', '?applies_to=app:concealed', '?applies_to=tenant') {
        my $reply = Sandbox::Tenants::send($t, $where, { method => 'GET', path => "/v1/policies$query" }, who($where, 'mallory'));
        like($reply, qr/"policies":\[\],"next_cursor":null/, "$where: an empty list: $query");
    }
    like(Sandbox::Tenants::send($t, $where, { method => 'GET', path => '/v1/revocations' }, who($where, 'mallory')), qr/"revocations":\[\],"next_cursor":null/, "$where: nor revocations");
    # Scopes.
    for my $scopes ('', 'jobs:read jobs:write', 'policies:read') {
        is(Sandbox::Tenants::status(Sandbox::Tenants::send($t, $where, { method => 'DELETE', path => "/v1/policies/$id" }, who($where, 'acme', $scopes))), 403, "$where: the owner's own token may not delete by \"$scopes\"");
    }
}

# What is recorded of a tenant and what it used.
my $events = $t->request('GET', "/v1/audit?object=$id", %owner)->{json};
my ($seq) = map { $_->{seq} } @{ $events->{events} || [] };
ok($seq, 'the owner has an event') or diag explain $events;
for my $where (qw(gateway executor)) {
    for my $method (qw(GET HEAD PUT POST DELETE)) {
        my @shape = map { Sandbox::Tenants::shape(Sandbox::Tenants::send($t, $where, { method => $method, path => "/v1/audit/$_" }, who($where, 'mallory')), 'none') } $seq, 999999;
        is($shape[0], $shape[1], "$where: $method of another tenant's event, as of one that is not");
        unlike($shape[0], qr/^HTTP\S+ 2/, 'and nothing is shown');
    }
    for my $path ("/v1/audit?object=$id", '/v1/audit?kind=policy.created', '/v1/audit?subject=tester&agent=coder', '/v1/audit', '/v1/usage') {
        my $reply = Sandbox::Tenants::send($t, $where, { method => 'GET', path => $path }, who($where, 'mallory'));
        is(Sandbox::Tenants::status($reply), 200, "$where: $path");
        unlike($reply, qr/$id|acme|hidden|concealed/, 'of one\'s own alone');
        is(Sandbox::Tenants::status(Sandbox::Tenants::send($t, $where, { method => 'GET', path => $path }, who($where, 'acme', 'policies:read jobs:read'))), 403, 'and by its own scope');
    }
}
my %of_tenants = map { $_->{pattern} => 1 } grep { $_->{pattern} =~ m{^/v1/(?:audit|usage)\b} } Sandbox::Tenants::routes();
delete @of_tenants{ '/v1/audit', '/v1/audit/{seq}', '/v1/usage', '/v1/audit/head' };    # the head is the executor's, of all tenants: two hashes and a number
is_deeply([sort keys %of_tenants], [], 'no other route of them');

# A key of the owner's is nobody else's.
my %key = (headers => { 'Idempotency-Key' => 'the-same' });
my $first = $t->request('POST', '/v1/policies', json => { name => 'keyed', document => {} }, %owner, %key)->{json}{policy_id};
my $second = $t->request('POST', '/v1/policies', json => { name => 'keyed', document => {} }, tenant => 'mallory', scope => 'admin', %key);
is($second->{status}, 201, 'the same key of another tenant makes another policy');
isnt($second->{json}{policy_id}, $first, 'with an id of its own');

# The feed: from outside there is none, whoever asks and whatever context he brings along.
my $forged = Sandbox::Context::sign($t->{key}, tenant => '-', gateway => JSON::PP::true);
my ($bare) = map { Sandbox::Tenants::shape($_, 'x') } Sandbox::Tenants::send($t, 'gateway', { method => 'GET', path => '/v1/nothing/changes' }, who('gateway', 'acme'));
for my $path ('/v1/gateway/changes', '/v1/gateway/changes?after=0', '/v1/gateway/', '/v1//gateway/changes', '/v1/./gateway/changes', '/v1/jobs/../gateway/changes', '/v1/policies/../gateway/changes', '/v1/%67ateway/changes', '/v1/gateway%2fchanges') {
    for my $headers ({}, { 'Sandbox-Context' => $forged }) {
        my $reply = Sandbox::Tenants::send($t, 'gateway', { method => 'GET', path => $path, headers => $headers }, who('gateway', 'acme'));
        is(Sandbox::Tenants::shape($reply, 'x'), $bare, "as a path that is none: $path") or diag $reply;
    }
}
is(Sandbox::Tenants::status(Sandbox::Tenants::send($t, 'executor', { method => 'GET', path => '/v1/gateway/changes' }, { tenant => 'acme', scopes => 'admin' })), 404, 'nor at the executor for a client');

# The owner's things are as they were.
is($t->request('GET', "/v1/policies/$id", %owner)->{json}{version}, 2, 'the policy');
is($t->request('GET', "/v1/revocations/$revocation", %owner)->{status}, 200, 'and the revocation');
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
