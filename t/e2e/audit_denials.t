#!/usr/bin/perl
# Refusals of every kind go on while executord is killed again and again: each is in the audit once, none is lost, and
# with executord up within a second.
use strict;
use warnings;
use lib 't/lib';
use Sandbox;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new(executor => { 'pool.default' => 0 });
$t->start;

my @kinds = (
    [unauthorized => sub { $t->request('GET', '/v1/jobs', anonymous => 1) }],
    [unauthorized => sub { $t->request('GET', '/v1/jobs', token => 'rubbish') }],
    [unauthorized => sub { $t->request('GET', '/v1/jobs', token => $t->token(exp => int(time) - 3600)) }],
    [unauthorized => sub { $t->request('GET', '/v1/artifacts/art_01ARZ3NDEKTSV4RRFFQ69G5FAV/content?tenant=demo&expires=9999999999&signature=x', anonymous => 1) }],
    [policy_violation => sub { $t->request('POST', '/v1/jobs', json => { language => 'bash', code => 'x', secrets => ['TOKEN'] }) }],
    [policy_violation => sub { $t->request('POST', '/v1/sessions', json => { language => 'python', egress => ['example.org:443'] }) }],
    [policy_violation => sub { $t->request('POST', '/v1/jobs', json => { language => 'bash', code => 'x', egress => ['example.org:443'] }) }],
);
my (%made, @odd);
sub refuse {
    for my $kind (@kinds) {
        my $reply = $kind->[1]->();
        my $code = ($reply->{json} || {})->{code} // "HTTP $reply->{status}";
        push @odd, "$kind->[0]: $code: $reply->{content}" if $code ne $kind->[0];
        $made{$code}++;
    }
    return;
}

# By one that is killed five times at different moments of the load, and started while it goes on.
for my $round (1 .. 5) {
    refuse() for 1 .. $round;
    $t->kill9('executor');
    refuse() for 1 .. 3;
    $t->start_executor;
    refuse() for 1 .. 2;
}
refuse() for 1 .. 10;
is_deeply(\@odd, [], 'each was refused as it should be');
my $made = 0;
$made += $_ for values %made;
# A worker writes its line after the client has its answer.
my @lines;
$t->wait_until(30, sub { @lines = grep { ($_->{event} // '') eq 'gateway.denial' } Sandbox::_records(glob "$t->{dir}/data/denials/denials.jsonl*"); @lines >= $made });
is(scalar @lines, $made, 'each is in the denial log');
my @denied;
sub denied { return grep { $_->{kind} eq 'request.denied' } Sandbox::_records(glob "$t->{dir}/data/audit/audit-*.jsonl") }
$t->wait_until(30, sub { @denied = denied(); @denied >= $made });
is(scalar @denied, $made, "all $made are in the audit, five kills later");
my %seen;
$seen{ $_->{request_id} }++ for @denied;
is_deeply([grep { $seen{$_} != 1 } sort keys %seen], [], 'none twice');
my %codes;
$codes{ $_->{body}{code} }++ for @denied;
is_deeply(\%codes, \%made, 'of the kinds that they were');
is(scalar(grep { !$_->{body}{request_sha256} } grep { $_->{body}{code} eq 'policy_violation' } @denied), 0, 'those that had a body have its digest');
is(scalar(grep { !$_->{body}{trace} } @denied), 0, 'each its trace');
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the chain holds') or diag $said;
delete $t->{killed};
$t->finish;
done_testing();
