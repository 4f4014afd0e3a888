#!/usr/bin/perl
# The listing: filters, pages, cursors that are ours, and tenants that do not see each other.
use strict;
use warnings;
use lib 't/lib';
use JSON::PP;
use MIME::Base64 qw(decode_base64url encode_base64url);
use Sandbox;
use Sandbox::Context;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 2 });
$t->start_launcher->start_executor;

sub ask {
    my ($method, $path, %option) = @_;
    my $who = delete $option{who} || {};
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, %$who), %option);
}
sub list { my ($query, %who) = @_; return ask('GET', "/v1/jobs$query", who => \%who) }
sub ids { map { $_->{job_id} } @{ $_[0]{json}{jobs} } }

is_deeply(list('')->{json}, { jobs => [], next_cursor => undef }, 'nothing yet');
my @made;
for my $i (1 .. 7) {
    my $agent = $i % 2 ? 'odd' : 'even';
    push @made, ask('POST', '/v1/jobs', who => { agent => $agent, app => $i > 4 ? 'late' : 'early' },
        json => { language => $i == 3 ? 'javascript' : 'bash', code => $i == 3 ? 'process.exit(3)' : "echo $i", metadata => { i => "$i" } })->{json};
}
my @newest = reverse map { $_->{job_id} } @made;
my $reply = list('');
is_deeply([ids($reply)], \@newest, 'newest first');
is($reply->{json}{next_cursor}, undef, 'all on one page');
my $one = $reply->{json}{jobs}[0];
ok(!exists $one->{stdout} && !exists $one->{result} && !exists $one->{files}, 'a listing has no output');
is_deeply([@$one{qw(status exit_code stdout_bytes)}, $one->{metadata}{i}], ['succeeded', 0, 2, '7'], 'but the rest');

is_deeply([ids(list('?agent=odd'))], [@newest[0, 2, 4, 6]], 'by agent');
is_deeply([ids(list('?app=late'))], [@newest[0 .. 2]], 'by app');
is_deeply([ids(list('?language=node'))], [$newest[4]], 'by language, by alias');
is_deeply([ids(list('?status=failed'))], [$newest[4]], 'by status');
is_deeply([ids(list('?status=succeeded&agent=odd&app=early'))], [$newest[6]], 'by several');
is_deeply([ids(list('?status=lost'))], [], 'by one that none has');
is_deeply([ids(list('?status=queued')), ids(list('?status=running'))], [], 'none is live');

my (@seen, $cursor);
for (1 .. 4) {
    my $page = list('?limit=2' . (defined $cursor ? "&cursor=$cursor" : ''));
    push @seen, ids($page);
    $cursor = $page->{json}{next_cursor};
    last unless defined $cursor;
}
is_deeply(\@seen, \@newest, 'pages of two give each once');
is($cursor, undef, 'and end');

$cursor = list('?limit=2')->{json}{next_cursor};
like($cursor, qr/^[A-Za-z0-9_-]+$/, 'a cursor is opaque text');
is_deeply([ids(list("?limit=2&cursor=$cursor"))], [@newest[2, 3]], 'it works');
my @bad = ('', 'x', 'AAAA', 'A' x 400, substr($cursor, 0, -1), $cursor . 'A', "$cursor%00", '%zz', encode_base64url('1.' . $newest[0]));
my $raw = decode_base64url($cursor);
for my $i (0, 5, length($raw) - 1) {
    my $flipped = $raw;
    substr($flipped, $i, 1) ^= "\1";
    push @bad, encode_base64url($flipped);
}
for my $bad (@bad) {
    my $page = list("?limit=2&cursor=$bad");
    is($page->{status}, 422, 'a cursor that is not ours: 422') or diag $bad;
    is($page->{json}{errors}[0]{field}, 'cursor', 'and says which');
}
is(list("?limit=2&agent=odd&cursor=$cursor")->{status}, 422, 'a cursor of another listing is none');
is(list("?limit=2&cursor=$cursor", tenant => 'other')->{status}, 422, "another tenant's cursor is none");

for my $case (['limit=0', 'limit'], ['limit=101', 'limit'], ['limit=-1', 'limit'], ['limit=1x', 'limit'], ['limit=', 'limit'], ['limit=99999999999999999999', 'limit'],
              ['limit', 'limit'], ['status=finished', 'status'], ['status=', 'status'], ['status=QUEUED', 'status'], ['status=%00', 'status'], ['language=', 'language'],
              ['language=a%20b', 'language'], ['language=' . 'x' x 100, 'language'], ['agent=%2f', 'agent'], ["agent='--", 'agent'], ['app=%ff', 'app'], ['app=' . 'x' x 65, 'app']) {
    my ($query, $field) = @$case;
    my $page = list("?$query");
    is($page->{status}, 422, "?$query: 422");
    is($page->{json}{errors}[0]{field}, $field, 'the parameter is named');
}

# Tenants.
is_deeply([ids(list('', tenant => 'other'))], [], 'another tenant sees nothing');
my $id = $made[0]{job_id};
my $unknown = 'job_01m7yep0vh3nhv2pk7vh28r48r';
for my $tail ('', '/stdout', '/stderr', '/artifacts', '/artifacts/x', '?wait=1') {
    my ($foreign, $none) = map { ask('GET', "/v1/jobs/$_$tail", who => { tenant => 'other', rid => 'req_same' }) } $id, $unknown;
    is($foreign->{status}, 404, "another tenant's $tail: 404");
    is($foreign->{content}, $none->{content}, 'byte for byte as unknown');
    s/^Date: .*\r?\n//m for $foreign->{head}, $none->{head};
    is($foreign->{head}, $none->{head}, 'headers too');
}
is(ask('GET', "/v1/jobs/$id", who => { app => 'x', agent => 'y', sub => 'z' })->{status}, 200, 'a tenant sees its jobs whoever asks');
$t->finish;
done_testing();
