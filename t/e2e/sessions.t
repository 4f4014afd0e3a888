#!/usr/bin/perl
# Sessions through the front door: two tenants, each with state that the other cannot see.
use strict;
use warnings;
use lib 't/lib';
use Sandbox;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 2 });
$t->start;
my %token = map { $_ => $t->token(tenant => $_) } qw(red blue);
sub ask { my ($who, $method, $path, %option) = @_; return $t->request($method, $path, token => $token{$who}, %option) }
sub value { my ($step) = @_; my ($result) = grep { $_->{kind} eq 'result' } @{ $step->{results} || [] }; return $result && $result->{data}{'text/plain'} }

my %id;
for my $who (qw(red blue)) {
    my $reply = ask($who, 'POST', '/v1/sessions', json => { language => 'python', metadata => { of => $who } });
    is($reply->{status}, 201, "$who has a session") or diag $reply->{content};
    $id{$who} = $reply->{json}{session_id};
    my $step = ask($who, 'POST', "/v1/sessions/$id{$who}/steps", json => { code => "colour = '$who'; open('colour', 'w').write(colour)" });
    is($step->{json}{status}, 'succeeded', "$who keeps something in it") or diag $step->{content};
}
for my $who (qw(red blue)) {
    my $other = $who eq 'red' ? 'blue' : 'red';
    my $step = ask($who, 'POST', "/v1/sessions/$id{$who}/steps", json => { code => "colour + open('colour').read()" });
    is(value($step->{json}), "'$who$who'", "$who finds its own");
    is(ask($who, 'POST', "/v1/sessions/$id{$other}/steps", json => { code => 'colour' })->{status}, 404, "$who finds no session of $other");
    is(ask($who, 'GET', "/v1/sessions/$id{$other}")->{status}, 404, 'nor reads it');
    is(ask($who, 'DELETE', "/v1/sessions/$id{$other}")->{status}, 404, 'nor ends it');
    is_deeply([map { $_->{session_id} } @{ ask($who, 'GET', '/v1/sessions')->{json}{sessions} }], [$id{$who}], 'and lists its own only');
}

my $steps = ask('red', 'GET', "/v1/sessions/$id{red}/steps")->{json}{steps};
is(scalar @$steps, 2, 'steps are listed');
is(ask('red', 'GET', "/v1/sessions/$id{red}/steps/$steps->[0]{step_id}")->{json}{status}, 'succeeded', 'and read');
is(ask('red', 'PATCH', "/v1/sessions/$id{red}", json => { ttl => '20m' })->{json}{ttl}, '1200s', 'a session is extended');
is(ask('red', 'PATCH', "/v1/sessions/$id{red}", json => { ttl => '40h' })->{status}, 422, 'not for as long as nothing may live');
is(ask('red', 'POST', "/v1/sessions/$id{red}/steps", json => { code => '1', timeout => '11m' })->{status}, 403, 'nor beyond the policy');
is(ask('red', 'POST', "/v1/sessions/$id{red}/pause")->{json}{status}, 'paused', 'paused');
is(ask('red', 'POST', "/v1/sessions/$id{red}/steps", json => { code => '1' })->{status}, 409, 'and takes nothing');
is(ask('red', 'POST', "/v1/sessions/$id{red}/resume")->{json}{status}, 'running', 'until it is resumed');
is(ask('red', 'POST', "/v1/sessions/$id{red}/contexts", json => { name => 'js', language => 'node' })->{json}{language}, 'javascript', 'another interpreter');
is(value(ask('red', 'POST', "/v1/sessions/$id{red}/steps", json => { code => '6 * 7', context => 'js' })->{json}), '42', 'works');
is(ask('red', 'DELETE', "/v1/sessions/$id{red}/contexts/js")->{status}, 204, 'and goes');

my %key = (headers => { 'Idempotency-Key' => 'front-1' }, json => { code => 'n = globals().get("n", 0) + 1; n' });
is(value(ask('blue', 'POST', "/v1/sessions/$id{blue}/steps", %key)->{json}), '1', 'a step with a key') for 1 .. 2;
is(value(ask('blue', 'POST', "/v1/sessions/$id{blue}/steps", json => { code => 'n' })->{json}), '1', 'runs once');

is($t->request('GET', "/v1/sessions/$id{red}", token => $t->token(tenant => 'red', scope => 'jobs:read'))->{status}, 403, 'a token of another family may not');
is($t->request('GET', "/v1/sessions/$id{red}", anonymous => 1)->{status}, 401, 'nor may nobody');
is(ask('red', 'POST', '/v1/sessions', json => { language => 'cobol' })->{status} >= 400, 1, 'no language that is none');
is(ask('red', 'POST', '/v1/sessions', json => { limits => { memory => '900Gi' } })->{status} >= 403, 1, 'no more than there may be');

for my $who (qw(red blue)) {
    is(ask($who, 'DELETE', "/v1/sessions/$id{$who}")->{json}{reason}, 'cancelled', "$who ends");
    my $gone = ask($who, 'POST', "/v1/sessions/$id{$who}/steps", json => { code => '1' });
    is_deeply([$gone->{status}, $gone->{json}{reason}], [410, 'cancelled'], 'and is gone, with the reason');
}
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
