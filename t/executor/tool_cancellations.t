#!/usr/bin/perl
# The end of a call that came another way: by its key, of its tenant, and without a word about what there is.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox;
use Sandbox::Tool;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 2 });
$t->start_launcher->start_executor;
my $tool = Sandbox::Tool->new($t);
sub code { return Sandbox::Tool::code($_[0]) }
sub cancel { my ($key, %who) = @_; return $tool->post('/tools/cancellations', { key => $key }, who => \%who) }
sub job { my ($id) = @_; return $tool->rest('GET', "/v1/jobs/$id")->{json} }
sub jobs { return map { $_->{job_id} } @{ $tool->rest('GET', '/v1/status')->{json}{jobs} } }

# A call that is under way: its socket. What it begins is the newest job.
sub begin {
    my ($key, %option) = @_;
    my $body = JSON::PP->new->encode({ code => "sleep 60", wait => 50, $option{session} ? () : (language => "bash") });
    my $path = $option{session} ? "/tools/sessions/$option{session}/steps" : '/tools/jobs';
    my %before = map { $_ => 1 } jobs();
    my $socket = IO::Socket::UNIX->new(Peer => "$t->{dir}/sock/executord.sock") or die;
    print $socket "POST $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nAccept: $Sandbox::Tool::TYPE\r\nSandbox-Tool-Call: legacy, key=$key\r\nSandbox-Context: "
        . Sandbox::Context::sign($t->{key}) . "\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
    my $id;
    if ($option{session}) {
        $t->wait_until(30, sub { ($id) = map { $_->{job_id} } grep { $_->{status} eq 'running' } map { @{ $_->{running} } } grep { $_->{session_id} eq $option{session} } @{ $tool->rest('GET', '/v1/status')->{json}{sessions} }; $id });
    } else {
        $t->wait_until(30, sub { ($id) = grep { !$before{$_} } jobs(); $id && job($id)->{status} eq 'running' });
    }
    die 'nothing began' unless $id;
    return { socket => $socket, id => $id };
}
sub reply { my ($call) = @_; local $/; return Sandbox::parse_reply(scalar readline $call->{socket}) }
my @key = map { sprintf '%032x', $_ } 1 .. 9;

# One call.
my $call = begin($key[0]);
my $none = cancel($key[1]);
is("$none->{status} $none->{headers}{'content-type'} $none->{result}", '200 application/vnd.sandbox.tool+json complete', 'a key that nothing has') or diag $none->{content};
is(cancel($key[0], tenant => 'umbrella')->{content}, $none->{content}, "another tenant's");
is(job($call->{id})->{status}, 'running', '  ends nothing');
is(cancel($key[0])->{content}, $none->{content}, 'and one that a call has: the same answer');
my $said = reply($call);
is($said->{json}{structuredContent}{status}, 'cancelled', '  and the end of it') or diag $said->{content};
is(job($call->{id})->{status}, 'cancelled', '  whoever asks');
is(cancel($key[0])->{content}, $none->{content}, 'once more');

# A step of a session.
my $session = $tool->rest('POST', '/v1/sessions', json => { language => 'bash', ttl => '10m' })->{json}{session_id};
$call = begin($key[2], session => $session);
is(cancel($key[2])->{content}, $none->{content}, 'a step');
is(reply($call)->{json}{structuredContent}{status}, 'cancelled', '  is over');
is($tool->rest('GET', "/v1/sessions/$session")->{json}{status}, 'running', '  and its session is not');

# Several of one key: which is not said.
my @both = (begin($key[3]), begin($key[3]));
is(cancel($key[3])->{content}, $none->{content}, 'a key that two calls have');
is_deeply([map { job($_->{id})->{status} } @both], ['running', 'running'], '  ends neither');
$tool->rest('DELETE', "/v1/jobs/$both[0]{id}");
is(reply($both[0])->{json}{structuredContent}{status}, 'cancelled', 'when one of them is over');
is(cancel($key[3])->{content}, $none->{content}, '  it is the other\'s');
is(reply($both[1])->{json}{structuredContent}{status}, 'cancelled', '  which is over too');

# What is no key, and who may not.
$call = begin($key[4]);
is(code($tool->post('/tools/cancellations', $_)), '422 invalid_request', 'not ' . JSON::PP->new->canonical->encode($_))
    for {}, [], { key => undef }, { key => '' }, { key => 1 }, { key => 'x' }, { key => uc('a' x 32) }, { key => '0' x 31 }, { key => '0' x 33 }, { key => '0' x 31 . 'g' }, { key => ' ' . '0' x 31 }, { key => [$key[4]] },
        { key => $key[4], tenant => 'acme' }, { id => $call->{id} };
is(code($tool->ask('POST', '/tools/cancellations', body => '{', headers => { 'Content-Type' => 'application/json' })), '400 malformed_json', 'no JSON');
is(code($tool->ask('POST', '/tools/cancellations', body => '{}', headers => { 'Content-Type' => 'text/plain' })), '415 unsupported_media_type', 'no JSON said');
is(code($tool->get('/tools/cancellations')), '405 method_not_allowed', 'POST only');
is(code($tool->post('/tools/cancellations?key=' . $key[4], { key => $key[4] })), '422 invalid_request', 'no parameters');
is(code(cancel($key[4], scopes => $_)), '403 forbidden', "not with $_") for 'jobs:read', 'sessions:read artifacts:write';
is(job($call->{id})->{status}, 'running', 'none of which ended anything');
is(cancel($key[4], scopes => 'jobs:write')->{status}, 200, 'and with the scope');
is(reply($call)->{json}{structuredContent}{status}, 'cancelled', '  it is over');
my ($event) = grep { $_->{object} eq $call->{id} } $t->audit_events('job.cancelled');
ok($event->{body}{cancelled_by}{request_id}, 'the event names who asked');

$t->finish;
done_testing();
