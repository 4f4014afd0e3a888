#!/usr/bin/perl
# The way from HTTP to a conversation, and what a conversation may not say.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Agent;
use Sandbox::Mux;
use Test::More;

my $agent = Sandbox::Agent->new;
my @token = ('X-Session-Token' => $Sandbox::Agent::TOKEN);

sub answer {
    my ($document, @headers) = @_;
    my (undef, $reply) = Sandbox::Mux::request($agent, $document, @headers);
    return ($reply =~ m{^HTTP/1.1 (\d+)})[0];
}

# The conversation before this one may not be over yet.
sub again {
    my $end = time + 30;
    my $found;
    select undef, undef, undef, 0.01 until ($found = eval { Sandbox::Mux->attach($agent) }) || time > $end;
    return $found // die "never attached again\n";
}

# Who may not.
is(answer({ sessionId => 's1' }), 401, 'without a session there is no telling');
is(answer({}), 422, 'outside of a sandbox a session must be named');
$agent->session('bash');
my $id = $agent->{session};
is(answer({ sessionId => $id }), 401, 'without its token');
is(answer({ sessionId => $id }, 'X-Session-Token' => 'x' x 32), 401, 'with another');
is(answer('{', @token), 400, 'with no JSON');
is(answer('[]', @token), 422, 'with no object');
is(answer({ sessionId => '../x' }, @token), 422, 'with an id that is none');
is(answer({ sessionId => $id, more => 1 }, @token), 422, 'with a stranger');
is(answer({ sessionId => $id, limits => { processes => -1 } }, @token), 422, 'with a limit that is none');
is(answer({ sessionId => $id, limits => { memory => 1 } }, @token), 422, 'with a limit of another kind');
is($agent->call('GET', '/v1/attach')->{status}, 405, 'with another method');
is($agent->call('POST', '/v1/attach', '{}', 'Content-Type' => 'text/plain')->{status}, 415, 'with another type');

my $mux = Sandbox::Mux->attach($agent);
ok($mux, 'attached');
is(answer({ sessionId => $id }, @token), 409, 'once');
is($agent->step('true')->{status}, 409, 'and then no step runs by itself');
ok($agent->call('GET', '/v1/health')->{json}{busy}, 'the agent is busy');

# What an OPEN may be.
for my $case ([{ op => 'nothing' }, 'an operation there is not'], [{}, 'none'], [{ op => 5 }, 'a number'], [{ op => undef }, 'null'],
              [{ op => 'step.' }, 'one with more'], [{ op => 'fs.' }, 'a family'], [{ op => 'fs.nothing' }, 'one of a family'],
              ['[]', 'no object'], ['{{', 'no JSON'], ['{"op":"x","op":"y"}', 'one twice'], ["{\"op\":\"\xff\"}", 'no UTF-8'],
              ['{"op":"' . 'x' x 100000 . '"}', 'a long one'], ['[' x 100, 'depth']) {
    my ($request, $name) = @$case;
    my $end = $mux->ask($request);
    ok($end && !$end->{ok} && $end->{error} eq 'invalid' && length $end->{message}, "refused: $name") or diag(explain $end);
}
my @many = map { $mux->open({ op => 'nothing' }) } 1 .. 500;
ok($mux->wait(sub { !grep { !$_->{ended} } @many }), 'five hundred refusals');
my $late = $mux->open({ op => 'nothing' });
$late->data('x' x 1000)->shut->note({ interrupt => JSON::PP::true })->reset;
ok($late->end, 'what passes a refusal on its way harms nothing');

# Rules of the connection.
for my $case ([Sandbox::Mux::frame(1, 9, '{}'), 'a type there is not'], [Sandbox::Mux::frame(7, 1, '{}'), 'a number left out'],
              [Sandbox::Mux::frame(1, 1, '', 0, 0xffffffff), 'an endless OPEN'], [Sandbox::Mux::frame(1, 6, '{}'), 'an END'],
              ["GET / HTTP/1.1\r\n\r\n", 'HTTP']) {
    my ($bytes, $name) = @$case;
    $mux->close;
    $mux = again();
    $mux->raw($bytes);
    ok(!$mux->wait(sub { 0 }, 30) && $mux->{lost}, "$name ends the conversation");
    is($agent->call('GET', '/v1/health')->{status}, 200, '  and not the agent');
}

is($agent->close_session->{status}, 204, 'the session is closed');
$agent->session('bash');
$mux = again();
is($agent->close_session->{status}, 204, 'also while it is attached');
$mux->wait(sub { 0 }, 30);
ok($mux->{lost}, 'which ends the conversation');
$agent->session('bash');
$mux = again();
ok($mux, 'another one is attached when the agent ends');
$agent->finish;
done_testing();
