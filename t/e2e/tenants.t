#!/usr/bin/perl
# The cross-tenant matrix: every endpoint, asked for another tenant's ids in every state,
# answers byte for byte as for ids that nobody has, and nothing else moves either.
# alone: it compares times
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox;
use Sandbox::Tenants;
use Test::More;

my $JSON = JSON::PP->new->canonical->utf8->allow_nonref;
my $t = Sandbox->new(executor => { 'pool.default' => 2, 'limits.max_running' => 4, 'limits.queue_timeout' => '1s' });
$t->start(gateway => { Sandbox::Tenants::quiet() });

# One job of the owner in each state that a job can have.
my %owner = (tenant => 'acme');
sub post { my ($job, %more) = @_; return $t->job({ language => 'bash', wait => 0, %$job }, %owner, %more) }
# Runs for longer than a busy machine takes for all that is asked while it does.
my $holds = { code => 'echo partial; sleep 290', limits => { time => '300s' } };
my %id;
my $done = post({ code => 'echo secret; echo hidden >&2; echo 1 > sum.txt', artifacts => ['*.txt'], metadata => { case => 'x' }, wait => 20 });
is($done->{status}, 'succeeded', 'the owner has a job with a file') or BAIL_OUT($JSON->encode($done));
my ($etag) = $t->request('GET', $done->{files}[0]{download_url}, %owner)->{headers}{etag};
like($etag, qr/^"[0-9a-f]{64}"$/, 'which has a tag');
$id{succeeded} = $done->{job_id};
$id{failed} = post({ code => 'exit 3', wait => 20 })->{job_id};
$id{limit_exceeded} = post({ code => 'sleep 20', limits => { time => '100ms' }, wait => 20 })->{job_id};
$id{cancelled} = post($holds)->{job_id};
$t->request('DELETE', "/v1/jobs/$id{cancelled}", %owner);
my @lost = map { post($holds)->{job_id} } 1 .. 3;
$id{lost} = $lost[0];
$id{timed_out} = post({ code => 'true', wait => 10 })->{job_id};
is($t->request('GET', "/v1/jobs/$id{lost}", %owner)->{json}{status}, 'running', 'one runs when the executor is killed');
$t->kill9('executor');
$t->start_executor('limits.queue_timeout' => '10m');
my @running = map { post($holds)->{job_id} } 1 .. 3;
$id{running} = $running[0];
$id{queued} = post($holds, headers => { 'Idempotency-Key' => 'key-in-flight' })->{job_id};
ok($t->wait_until(30, sub { $t->request('GET', "/v1/jobs/$_", %owner)->{json}{status} eq 'running' or return 0 for @running; 1 }), 'three run');
my ($documented) = Sandbox::_slurp("$Sandbox::ROOT/docs/api.md") =~ /\| `status` \| \|\n(.*?)\n\n/s;
my %stated = map { $_ => 1 } map { /`(\w+)`/g } map { (split /\|/)[1] } split /\n/, $documented =~ s/^\|---.*\n//mr;
delete $stated{denied};    # no policy ends a job that was accepted
is_deeply([sort keys %id], [sort keys %stated], 'one in each state that docs/api.md names');
for my $state (sort keys %id) {
    is($t->request('GET', "/v1/jobs/$id{$state}", %owner)->{json}{status}, $state, "it is $state");
}

# Requests of each endpoint with an id in it; the pattern is the executor's.
my $body = '{"language":"bash","code":"true"}';
my %asks = (
    '/v1/jobs/{id}' => [
        (map { { method => 'GET', path => "/v1/jobs/ID$_" } } '', '?wait=0', '?wait=100ms', '?wait=x', '?other=1', '/', '?wait=0&wait=0'),
        (map { { method => $_, path => '/v1/jobs/ID' }, { method => $_, path => '/v1/jobs/ID', body => $body } } qw(GET HEAD DELETE POST PUT PATCH OPTIONS)),
        { method => 'DELETE', path => '/v1/jobs/ID', headers => { 'Idempotency-Key' => 'k' } },
        { method => 'DELETE', path => '/v1/jobs/ID?wait=1' }, { method => 'HEAD', path => '/v1/jobs/ID?wait=100ms' },
    ],
    '/tools/jobs/{id}' => [
        (map { { method => 'GET', path => "/tools/jobs/ID$_" } } '', '?wait=0', '?wait=100ms', '?wait=x', '?other=1', '/'),
        (map { { method => $_, path => '/tools/jobs/ID' }, { method => $_, path => '/tools/jobs/ID', body => $body } } qw(GET HEAD DELETE POST PUT)),
    ],
    # As agents ask for them: a job by either name, what it left by its URI; and by the handle of a step, which it is not.
    (map { my $kind = $_; map { my ($pattern, $id) = @$_; ("/tools/$kind/$pattern" => [
        (map { { method => 'GET', path => "/tools/$kind/$id$_" } } '', '?wait=0', '?wait=x', '?stdout_offset=1', '?other=1'),
        (map { my $method = $_; map { { method => $method, path => "/tools/$kind/$id", headers => { Accept => $_ } } } '*/*', 'application/vnd.sandbox.tool+json', 'text/event-stream' } qw(GET HEAD DELETE POST)),
    ]) } ['{id}', 'ID'], ['{id}.{step}', 'ID.stp_00000000000000000000000000'] } qw(runs tasks)),
    (map { my $path = $_; ("/tools/$path" => [
        map { my $uri = $_; map { { method => $_, path => "/tools/$path?uri=$uri" } } qw(GET HEAD POST) } 'sandbox://job/ID/sum.txt', 'sandbox://job/ID/none.txt', 'sandbox://job/ID/', 'sandbox://session/ID/sum.txt', 'sandbox://artifact/ID',
    ]) } qw(files resource)),
    (map { my $stream = $_; ("/v1/jobs/{id}/$stream" => [
        (map { { method => $_, path => "/v1/jobs/ID/$stream" }, { method => $_, path => "/v1/jobs/ID/$stream", body => $body } } qw(GET HEAD DELETE POST)),
        { method => 'GET', path => "/v1/jobs/ID/$stream", headers => { Range => 'bytes=0-1' } }, { method => 'GET', path => "/v1/jobs/ID/$stream?x=1" },
    ]) } qw(stdout stderr)),
    '/v1/jobs/{id}/artifacts' => [
        (map { { method => $_, path => '/v1/jobs/ID/artifacts' }, { method => $_, path => '/v1/jobs/ID/artifacts', body => $body } } qw(GET HEAD DELETE POST)),
        { method => 'GET', path => '/v1/jobs/ID/artifacts/' }, { method => 'GET', path => '/v1/jobs/ID/artifacts?limit=1' },
    ],
    '/v1/jobs/{id}/artifacts/{path}' => [
        (map { my $path = $_; map { { method => $_, path => "/v1/jobs/ID/artifacts/$path" } } qw(GET HEAD DELETE POST) } 'sum.txt', 'sum%2Etxt', 'none.txt', 'a/../sum.txt', 'SUM.TXT'),
        { method => 'GET', path => '/v1/jobs/ID/artifacts/sum.txt', body => $body },
        { method => 'GET', path => '/v1/jobs/ID/artifacts/sum.txt', headers => { 'If-None-Match' => $etag } },
        { method => 'GET', path => '/v1/jobs/ID/artifacts/sum.txt', headers => { 'If-None-Match' => '*' } },
        { method => 'GET', path => '/v1/jobs/ID/artifacts/sum.txt', headers => { Range => 'bytes=0-0' } },
        { method => 'GET', path => '/v1/jobs/ID/artifacts/sum.txt', headers => { 'If-Match' => $etag } },
        { method => 'GET', path => '/v1/jobs/ID/artifacts/sum.txt?download=1' },
    ],
);
# No id in the path: what a listing shows and what a key does is looked at below.
# That the other lists and the cancellation by key know their own tenant's alone: t/executor/tool_status.t, tool_complete.t, tool_cancel.t.
my %without_id = map { $_ => 1 } '/v1/jobs', '/tools/jobs', '/healthz', '/readyz', '/metrics', '/v1/status', '/tools/status', '/tools/complete', '/tools/cancellations';
# Sessions and what is in them, and artifacts, have their own matrix: tenants_sessions.t; what governs a tenant too: tenants_policies.t.
my @routes = grep { $_->{pattern} !~ m{^(?:/v1|/api/v1|/tools)?/(?:sessions|artifacts|policies|revocations|gateway|audit|usage)\b} } Sandbox::Tenants::routes();
for my $route (@routes) {
    ok($asks{ $route->{pattern} } || $without_id{ $route->{pattern} }, "$route->{pattern} has rows here");
    next unless $asks{ $route->{pattern} };
    my %covered = map { $_->{method} => 1 } @{ $asks{ $route->{pattern} } };
    is_deeply([grep { !$covered{$_} } @{ $route->{methods} }], [], 'with each of its methods');
}
my %routed = map { $_->{pattern} => 1 } @routes;
is_deeply([grep { !$routed{$_} } keys %asks], [], 'and no row is of a route that is gone');
cmp_ok(scalar(keys %routed), '>=', 9, 'the table of routes was read');

# Other ways to write an id.
my %form = (
    plain => sub { $_[0] }, upper => sub { uc $_[0] }, 'upper prefix' => sub { 'JOB_' . substr $_[0], 4 }, encoded => sub { '%6A' . substr $_[0], 1 },
    longer => sub { "$_[0]0" }, shorter => sub { substr $_[0], 0, -1 }, 'no prefix' => sub { substr $_[0], 4 }, 'other prefix' => sub { 'req_' . substr $_[0], 4 },
    dots => sub { "./$_[0]" }, 'with NUL' => sub { "$_[0]%00" }, 'with space' => sub { "$_[0]%20" }, parameter => sub { "$_[0];x=1" }, encoded_slash => sub { "x%2f..%2f$_[0]" },
);

my ($n_asked, @differ, @shown);
sub compare {
    my ($where, $ask, $who, $foreign, $none, $what) = @_;
    my @shape;
    for my $id ($foreign, $none) {
        my $path = $ask->{path} =~ s/ID/$id/r;
        my $reply = Sandbox::Tenants::send($t, $where, { %$ask, path => $path }, $who);
        push @shape, Sandbox::Tenants::shape($reply, $id);
        # Of a resource and of a task it is said by an error of the protocol, in a reply that is 200.
        my $refused = Sandbox::Tenants::status($reply) >= 400 || ($path =~ m{^/tools/(?:resource|tasks)\b} && $reply =~ /^Sandbox-Tool-Result: error\r$/m && ($ask->{method} eq 'HEAD' || $reply =~ /"code":-32602/));
        push @shown, "$what: " . Sandbox::Tenants::status($reply) unless $refused;
        push @shown, "$what: $1" if $reply =~ /(secret|hidden|partial|Location|Retry-After|sum\.txt.*sha256)/i && $path !~ /$1/;
        $n_asked++;
    }
    push @differ, "$what\n$shape[0]\n-- unknown --\n$shape[1]" if $shape[0] ne $shape[1];
}

# What foreign ids move, counted beside what unknown ones move.
sub batch {
    my ($where, $who, @ids) = @_;
    my @before = (Sandbox::Tenants::counters($t, 'gateway'), Sandbox::Tenants::counters($t, 'executor'), scalar Sandbox::Tenants::records($t));
    for my $pattern (sort keys %asks) {
        for my $ask (@{ $asks{$pattern} }) {
            Sandbox::Tenants::send($t, $where, { %$ask, path => $ask->{path} =~ s/ID/$_/r }, $who) for @ids;
        }
    }
    my @after = (Sandbox::Tenants::counters($t, 'gateway'), Sandbox::Tenants::counters($t, 'executor'), scalar Sandbox::Tenants::records($t));
    return { gateway => Sandbox::Tenants::moved($before[0], $after[0]), executor => Sandbox::Tenants::moved($before[1], $after[1]), records => $after[2] - $before[2] };
}

my %mallory = (tenant => 'mallory');
for my $where (qw(gateway executor)) {
    for my $state (sort keys %id) {
        ($n_asked, @differ, @shown) = (0);
        for my $pattern (sort keys %asks) {
            compare($where, $_, \%mallory, $id{$state}, Sandbox::Tenants::unknown($id{$state}), "$where, $state: $_->{method} $_->{path}") for @{ $asks{$pattern} };
        }
        is(scalar @differ, 0, "$where, $state: $n_asked requests, answered as for unknown ids") or diag join "\n====\n", @differ[0 .. ($#differ < 2 ? $#differ : 2)];
        is_deeply(\@shown, [], 'nothing is shown');
    }
    # Tenants that look alike, another app and agent and subject beside, and the other forms.
    ($n_asked, @differ, @shown) = (0);
    my @plain = ({ method => 'GET', path => '/v1/jobs/ID' }, { method => 'DELETE', path => '/v1/jobs/ID' }, { method => 'GET', path => '/v1/jobs/ID/stdout' }, { method => 'GET', path => '/v1/jobs/ID/artifacts/sum.txt' });
    for my $who ({ tenant => 'Acme' }, { tenant => 'ACME' }, { tenant => 'acm' }, { tenant => 'acme2' }, { tenant => 'acme.' }, { tenant => 'mallory', app => 'other', agent => 'thing', sub => 'acme' }) {
        for my $state (qw(succeeded running queued)) {
            compare($where, $_, $who, $id{$state}, Sandbox::Tenants::unknown($id{$state}), "$where, " . join(' ', %$who) . ", $state: $_->{method} $_->{path}") for @plain;
        }
    }
    for my $form (sort keys %form) {
        for my $state (qw(succeeded running)) {
            my ($foreign, $none) = map { $form{$form}->($_) } $id{$state}, Sandbox::Tenants::unknown($id{$state});
            compare($where, $_, \%mallory, $foreign, $none, "$where, $form of $state: $_->{method} $_->{path}") for @plain;
        }
    }
    is(scalar @differ, 0, "$where: $n_asked requests by tenants that look alike and with other forms of ids") or diag join "\n====\n", @differ[0 .. ($#differ < 2 ? $#differ : 2)];
    is_deeply(\@shown, [], 'nothing is shown');

    my @ids = @id{qw(succeeded running queued)};
    batch($where, \%mallory, map { Sandbox::Tenants::unknown($_) } @ids);    # what happens only the first time
    my $foreign = batch($where, \%mallory, @ids);
    my $none = batch($where, \%mallory, map { Sandbox::Tenants::unknown($_) } @ids);
    is_deeply($foreign, $none, "$where: counters and records move alike") or diag explain [$foreign, $none];
    ok(scalar(keys %{ $foreign->{executor} }), 'and some do');
}

# The owner, whoever asks of the tenant, sees them, and nothing that others tried did anything.
for my $state (sort keys %id) {
    my $reply = $t->request('GET', "/v1/jobs/$id{$state}", %owner, app => 'other', agent => 'someone', sub => 'else');
    is_deeply([@$reply{qw(status)}, $reply->{json}{status}], [200, $state], "$state: still as it was, for another app and agent of its tenant, too");
}
is($t->request('GET', $done->{files}[0]{download_url}, %owner)->{content}, "1\n", 'the file is there');

# Listings.
for my $who (\%mallory, { tenant => 'Acme' }, { tenant => 'acm' }) {
    for my $where (qw(gateway executor)) {
        my @queries = ('', '?limit=100', (map { "?status=$_" } sort keys %id), (map { "?isolation=$_" } qw(process gvisor)), '?isolation=process&status=succeeded&limit=1', '?agent=coder', '?app=web', '?language=bash', '?agent=coder&app=web&status=running');
        my @bodies = map { (split /\r\n\r\n/, Sandbox::Tenants::send($t, $where, { method => 'GET', path => "/v1/jobs$_" }, $who), 2)[1] } @queries;
        s/^[0-9a-f]+\r\n|\r\n0\r\n\r\n$//g for @bodies;
        is_deeply([grep { $_ ne '{"jobs":[],"next_cursor":null}' } @bodies], [], "$where: no listing of $who->{tenant} shows any") or diag explain \@bodies;
    }
}
my $cursor = $t->request('GET', '/v1/jobs?limit=2', %owner)->{json}{next_cursor};
ok($cursor, 'the owner has a cursor');
is($t->request('GET', "/v1/jobs?limit=2&cursor=$cursor", %owner)->{status}, 200, 'which works');
for my $where (qw(gateway executor)) {
    my $broken = substr($cursor, 0, -2) . reverse substr $cursor, -2;
    for my $query ('cursor=ID', 'limit=2&cursor=ID', 'status=running&cursor=ID') {
        my @shape = map { Sandbox::Tenants::shape(Sandbox::Tenants::send($t, $where, { method => 'GET', path => '/v1/jobs?' . ($query =~ s/ID/$_/r) }, \%mallory), $_) } $cursor, $broken;
        like($shape[0], qr{^HTTP/1\.1 422}, "$where: $query of the owner's is refused");
        is($shape[0], $shape[1], 'as one that was made up');
    }
}

# Keys. Mallory's and the owner's meet in no state: in flight, done, and with another body.
$t->request('DELETE', "/v1/jobs/$_", %owner) for @running[1, 2];
my $small = { language => 'bash', code => 'echo $0 ran', wait => 20 };
my $first = $t->request('POST', '/v1/jobs', json => $small, %owner, headers => { 'Idempotency-Key' => 'key-done' });
is($first->{status}, 200, "the owner's key is used");
for my $where (qw(gateway executor)) {
    for my $key (qw(key-done key-in-flight key-fresh)) {
        my %who = (tenant => "mallory-$where");
        my $reply = Sandbox::parse_reply(Sandbox::Tenants::send($t, $where, { method => 'POST', path => '/v1/jobs', body => $JSON->encode({ %$small, code => 'echo other' }), headers => { 'Idempotency-Key' => $key } }, \%who));
        is_deeply([$reply->{status}, $reply->{json}{stdout}, $reply->{headers}{'idempotency-replayed'}], [200, "other\n", undef], "$where, $key: a job of its own") or diag $reply->{content};
        isnt($reply->{json}{job_id}, $first->{json}{job_id}, 'with its own id');
    }
}
my $replay = $t->request('POST', '/v1/jobs', json => $small, %owner, headers => { 'Idempotency-Key' => 'key-done' });
is_deeply([$replay->{json}{job_id}, $replay->{headers}{'idempotency-replayed'}], [$first->{json}{job_id}, 'true'], "the owner's key is the owner's as before");
is($t->request('POST', '/v1/jobs', json => { %$small, code => 'echo x' }, %owner, headers => { 'Idempotency-Key' => 'key-done' })->{status}, 422, 'with its body');

# What needs no identity names no tenant.
for my $where (qw(gateway executor)) {
    for my $path (qw(/healthz /readyz /metrics)) {
        my $reply = $where eq 'gateway' ? $t->request('GET', $path, anonymous => 1) : $t->executor_request('GET', $path);
        unlike($reply->{content}, qr/acme|mallory|job_0/i, "$where: $path names nobody");
    }
}
$t->request('DELETE', "/v1/jobs/$_", %owner) for $running[0], $id{queued};
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
