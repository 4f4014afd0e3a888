#!/usr/bin/perl
# Revocations: of one token, a subject, a tenant; for how long; who may; listed, lifted, over, forgotten by the feed, recorded.
use strict;
use warnings;
use lib 't/lib';
use JSON::PP;
use POSIX qw(strftime);
use Sandbox;
use Sandbox::Context;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 0, 'policy.tombstones' => '1s' });
$t->start_launcher->start_executor;
my $JSON = JSON::PP->new->canonical->utf8->allow_nonref;
my ($TRUE, $FALSE) = (JSON::PP::true, JSON::PP::false);
sub ask { my ($method, $path, %option) = @_; my %as = %{ delete $option{as} || {} }; return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, scopes => 'admin', %as), %option) }
sub revoke { my ($body, %option) = @_; return ask('POST', '/v1/revocations', json => $body, %option) }
sub feed { my ($query) = @_; return $t->executor_request('GET', '/v1/gateway/changes' . ($query // ''), context => Sandbox::Context::sign($t->{key}, tenant => '-', gateway => $TRUE))->{json} }
sub at { return strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(time + $_[0])) }
my $DAY = 86400;

# Three kinds.
my $reply = revoke({ token_id => 'tok 1/~!', reason => 'lost laptop', expires_at => at($DAY) });
is($reply->{status}, 201, 'one token') or diag $reply->{content};
my $token = $reply->{json};
like($token->{revocation_id}, qr/^rev_[0-9a-z]{26}$/, 'an id');
is($reply->{headers}{location}, "/v1/revocations/$token->{revocation_id}", 'and where it is');
is_deeply([@$token{qw(token_id subject all issued_before reason created_by)}], ['tok 1/~!', undef, $FALSE, undef, 'lost laptop', 'tester'], 'as it was sent');
my $now = time;
my $subject = revoke({ subject => 'bob' })->{json};
my $then = time;
is_deeply([@$subject{qw(token_id subject all reason)}], [undef, 'bob', $FALSE, undef], 'a subject');
my $all = revoke({ all => $TRUE, issued_before => '2020-01-02T03:04:05.001+02:00', token_id => undef })->{json};
is_deeply([@$all{qw(token_id subject all issued_before)}], [undef, undef, $TRUE, '2020-01-02T01:04:06.000Z'], 'a tenant; of a second that has begun all of it');
is_deeply(ask('GET', "/v1/revocations/$_->{revocation_id}")->{json}, $_, 'found again') for $token, $subject, $all;
is_deeply([map { $_->{revocation_id} } @{ ask('GET', '/v1/revocations')->{json}{revocations} }], [map { $_->{revocation_id} } $all, $subject, $token], 'and listed, newest first');
my %told = map { $_->{revocation_id} => $_ } @{ feed()->{changes} };
is_deeply([map { $told{ $token->{revocation_id} }{$_} } qw(token_id kind tenant)], ['tok 1/~!', 'revocation', 'acme'], 'gateways hear of it');
my $before = $told{ $subject->{revocation_id} }{issued_before};
ok($before > $now && $before <= $then + 1, 'of all tokens of before now, with the second that has begun');
cmp_ok($told{ $subject->{revocation_id} }{expires_at}, '>=', $now + 365 * $DAY, 'unsaid it lasts for a year');
is($told{ $all->{revocation_id} }{issued_before}, 1577927046, 'in Unix seconds');
is_deeply([@{ $told{ $all->{revocation_id} } }{qw(all subject token_id)}], [$TRUE, undef, undef], 'of all');

# What is none.
my @bad = (
    [{}, ''], [{ all => $FALSE }, ''], [{ token_id => undef }, ''], [{ token_id => 'a', subject => 'b' }, '/subject'], [{ token_id => 'a', all => $TRUE }, '/all'], [{ subject => 'a', all => $TRUE }, '/all'], [{ all => 'true' }, '/all'], [{ all => 1 }, '/all'],
    [{ token_id => '' }, '/token_id'], [{ token_id => 7 }, '/token_id'], [{ token_id => 'x' x 129 }, '/token_id'], [{ token_id => "a\nb" }, '/token_id'], [{ token_id => "\x{e9}" }, '/token_id'], [{ token_id => 'a"b' }, '/token_id'], [{ token_id => 'a\\b' }, '/token_id'], [{ token_id => ['a'] }, '/token_id'],
    [{ subject => '' }, '/subject'], [{ subject => "\x7f" }, '/subject'], [{ subject => 'x' x 129 }, '/subject'], [{ subject => {} }, '/subject'],
    [{ token_id => 'a', issued_before => at(-5) }, '/issued_before'], (map { [{ subject => 'a', issued_before => $_ }, '/issued_before'] } at(3600), '9999-12-31T23:59:59Z', 'now', '', 1767323045, '2026-01-02', '2026-01-02 03:04:05Z', '2026-01-02T03:04:05', '2026-02-30T03:04:05Z', '2026-13-01T00:00:00Z', '2026-01-02T24:00:00Z', '2026-01-02T03:04:60Z',
        '1969-12-31T23:59:59Z', '2026-01-02T03:04:05.Z', '2026-01-02T03:04:05+2:00', '2026-01-02T03:04:05+24:00', '2026-01-02T03:04:05Zx', '-026-01-02T03:04:05Z', '02026-01-02T03:04:05Z', '2025-02-29T00:00:00Z', '1970-01-01T00:00:00+01:00', 'x' x 65),
    (map { [{ subject => 'a', expires_at => $_ }, '/expires_at'] } at(0), at(-1), at(366 * $DAY), '2020-01-01T00:00:00Z', '9999-12-31T23:59:59Z', 'never', 0, 60, '24h', []),
    [{ subject => 'a', reason => 'x' x 513 }, '/reason'], [{ subject => 'a', reason => {} }, '/reason'], [{ subject => 'a', tenant => 'umbrella' }, '/tenant'], [{ subject => 'a', revocation_id => 'rev_x' }, '/revocation_id'],
);
my $head = feed()->{revision};
for my $case (@bad) {
    my ($body, $field) = @$case;
    my $refused = revoke($body);
    my $size = ($refused->{json}{errors}[0]{message} // '') =~ /not be longer than/;
    is_deeply([$refused->{status}, $refused->{json}{errors}[0]{field}], [$size ? 413 : 422, $field], 'no revocation: ' . substr $JSON->encode($body), 0, 80) or diag $refused->{content};
}
for my $body ('', '[]', 'null', '{"subject":"a"', '{"subject":"a","subject":"b"}', '{"subject":"a\u0000"}', '{"subject":"a"}{}') {
    like(ask('POST', '/v1/revocations', body => $body, headers => { 'Content-Type' => 'application/json' })->{status}, qr/^4(00|22)$/, "no revocation: $body");
}
is(ask('POST', '/v1/revocations', body => '{"subject":"a"}', headers => { 'Content-Type' => 'text/plain' })->{status}, 415, 'of another type');
is(feed()->{revision}, $head, 'nothing of it came to be');
is(ask('GET', "/v1/revocations?$_")->{status}, 422, "no listing: $_") for 'limit=0', 'limit=1000', 'cursor=x', 'subject=bob', 'tenant=umbrella';
for my $id ('rev_00000000000000000000000000', 'x', 'pol_01m7yep0vh3nhv2pk7vh28r48r', uc $token->{revocation_id}, "$token->{revocation_id}0", '%00') {
    is(ask($_, "/v1/revocations/$id")->{status}, 404, "$_ $id") for qw(GET DELETE);
}
is(ask(@$_)->{status}, 405, "@$_") for ['PUT', "/v1/revocations/$token->{revocation_id}"], ['PATCH', "/v1/revocations/$token->{revocation_id}"], ['DELETE', '/v1/revocations'];

# Who may.
for my $case (['', 403, 403], ['revocations:read', 200, 403], ['revocations:write', 403, 201], ['admin', 200, 201], ['policies:read policies:write', 403, 403], ['jobs:write', 403, 403], ['revocations', 403, 403]) {
    my ($scopes, $reads, $writes) = @$case;
    is(ask('GET', '/v1/revocations', as => { scopes => $scopes, tenant => 'scoped' })->{status}, $reads, "\"$scopes\" reads");
    is(revoke({ subject => 'x' }, as => { scopes => $scopes, tenant => 'scoped' })->{status}, $writes, "\"$scopes\" writes");
}
my %other = (as => { tenant => 'umbrella' });
is(ask($_, "/v1/revocations/$token->{revocation_id}", %other)->{status}, 404, "another tenant: $_") for qw(GET DELETE HEAD);
is_deeply(ask('GET', '/v1/revocations', %other)->{json}, { revocations => [], next_cursor => undef }, 'and its list is its own');

# Keys.
my %key = (headers => { 'Idempotency-Key' => 'revoke-1' });
my $keyed = revoke({ subject => 'eve' }, %key);
my $again = revoke({ subject => 'eve' }, %key);
is_deeply([$keyed->{status}, $again->{status}, $again->{headers}{'idempotency-replayed'}, $again->{json}{revocation_id}], [201, 200, 'true', $keyed->{json}{revocation_id}], 'the same key: the same revocation');
is(revoke({ subject => 'mallory' }, %key)->{status}, 422, 'with another body');
is(ask('DELETE', "/v1/revocations/$keyed->{json}{revocation_id}")->{status}, 204, 'lifted');
is(ask($_, "/v1/revocations/$keyed->{json}{revocation_id}")->{status}, 404, "$_ of it") for qw(GET DELETE);
is(revoke({ subject => 'eve' }, %key)->{status}, 410, 'its key makes none');

# Pages.
my %pages = (as => { tenant => 'pages' });
revoke({ subject => "s$_" }, %pages) for 1 .. 7;
my (@seen, $cursor);
for (1 .. 5) {
    my $page = ask('GET', '/v1/revocations?limit=3' . (defined $cursor ? "&cursor=$cursor" : ''), %pages)->{json};
    push @seen, map { $_->{subject} } @{ $page->{revocations} };
    $cursor = $page->{next_cursor} // last;
}
is_deeply(\@seen, [map { "s$_" } reverse 1 .. 7], 'page by page');

# One that is over is seen by nobody, and forgotten; so is what was lifted. Who was away meanwhile begins again; who is in the
# middle of a first load does not.
my $instance = feed()->{instance};
my $short = revoke({ subject => 'short', expires_at => at(5) })->{json}{revocation_id};
my $known = feed()->{revision};
is(ask('GET', "/v1/revocations/$short")->{status}, 200, 'one that lasts for moments');
ok($t->wait_until(30, sub { ask('GET', "/v1/revocations/$short")->{status} == 404 }), 'is over');
is(ask('DELETE', "/v1/revocations/$short")->{status}, 404, 'and cannot be lifted');
my $lifted = revoke({ subject => 'lifted' })->{json}{revocation_id};
my $stale = feed()->{revision};
ask('DELETE', "/v1/revocations/$lifted");
my $kept = revoke({ subject => 'kept' })->{json}{revocation_id};
my $newest = feed()->{revision};
ok($t->wait_until(30, sub { !grep { $_->{revocation_id} eq $short || $_->{revocation_id} eq $lifted } @{ feed()->{changes} } }), 'both are forgotten');
is(feed("?after=$stale&instance=$instance")->{reset}, $TRUE, 'who does not know that one was lifted begins again');
is(feed("?after=$newest&instance=$instance")->{reset}, $FALSE, 'who knows it goes on');
is(feed("?after=$newest&instance=$instance")->{instance}, $instance, 'under the name it came with');
my $fresh = feed();
isnt($fresh->{instance}, $instance, 'who begins now gets another');
is(substr($fresh->{instance}, 0, 16), substr($instance, 0, 16), 'of the same database');
is(feed("?after=1&instance=$fresh->{instance}")->{reset}, $FALSE, 'with which it may be anywhere');
is_deeply([map { $_->{revocation_id} } @{ feed("?after=$stale&instance=$fresh->{instance}")->{changes} }], [$kept], 'and hears the rest');
is($fresh->{revision}, $newest, 'forgetting is no change');

# As many as may be: counted by what is not over.
my ($url) = glob "$t->{dir}/data/*.db";
my %full = (as => { tenant => 'full' });
revoke({ subject => 'first' }, %full);
my $made = 1;
SKIP: {
    skip 'no sqlite3 here', 2 unless $url && !system 'sh', '-c', 'command -v sqlite3 >/dev/null';
    $t->stop('executor');
    my $end = (time + $DAY) * 1000;
    system 'sqlite3', $url, "with recursive n(i) as (select 2 union all select i + 1 from n where i < 10000) insert into revocations select printf('rev_%026d', i), 'full', null, 's' || i, 1, 1, $end, 'x', null from n";
    $t->start_executor;
    my $one = revoke({ subject => 'more' }, %full);
    is("$one->{status} $one->{json}{code}", '409 conflict', 'one more than may be');
    is(revoke({ subject => 'more' })->{status}, 201, 'of another tenant there is room');
}

# Recorded.
my @events = map { $JSON->decode($_) } grep { /"kind":"revocation\./ } $t->audit_lines;
my %event = map { ("$_->{kind} $_->{object}" => $_) } @events;
is_deeply([@{ $event{"revocation.created $token->{revocation_id}"}{body} }{qw(revoked_token_id reason subject)}], ['tok 1/~!', 'lost laptop', 'tester'], 'what was revoked, why, and by whom');
is($event{"revocation.created $all->{revocation_id}"}{body}{revoked_all}, $TRUE, 'of all');
is($event{"revocation.deleted $lifted"}{body}{revoked_subject}, 'lifted', 'and what was lifted');
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
