#!/usr/bin/perl
# Streams of subscriptions/listen: what they begin with, who hears what, how many there may be, and how each of them ends.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::INET;
use JSON::PP;
use Sandbox::Feed;
use Sandbox::Front;
use Sandbox::Http2;
use Sandbox::Listener;
use Sandbox::Mcp;
use Test::More;
use Time::HiRes qw(time);

my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $ID = 'io.modelcontextprotocol/subscriptionId';
my $t = Sandbox::Front->new;
my $feed = Sandbox::Feed->new("$t->{dir}/feed.sock");
my @tools = map { Sandbox::Mcp::tool($_) } qw(run_code get_job);
$t->write('etc/mcp.json', Sandbox::Mcp::catalogue(\@tools, capabilities => { tools => { listChanged => $true } }));
$t->write('etc/still.json', Sandbox::Mcp::catalogue(\@tools));
my %ports = ($t->port => 1, $t->{upstream_port} => 1);
$ports{ Sandbox::free_port() } = 1 while keys %ports < 5;
delete @ports{ $t->port, $t->{upstream_port} };
my ($h2_port, $small, $tls) = keys %ports;
system("openssl req -x509 -newkey rsa:2048 -nodes -keyout $t->{dir}/etc/tls.key -out $t->{dir}/etc/tls.pem -days 2 -subj /CN=localhost 2>/dev/null") == 0 or die "no certificate\n";
my %opt = (
    server => "listen 127.0.0.1:$h2_port http2; listen 127.0.0.1:$small sndbuf=4k;"
        . " listen 127.0.0.1:$tls ssl; ssl_certificate $t->{dir}/etc/tls.pem; ssl_certificate_key $t->{dir}/etc/tls.key;",
    locations => "location = /mcp { sandbox_route mcp; sandbox_policy off; sandbox_mcp $t->{dir}/etc/mcp.json; }"
        . " location = /few { sandbox_policy off; sandbox_mcp $t->{dir}/etc/mcp.json; sandbox_mcp_listeners 3; }"
        . " location = /still { sandbox_policy off; sandbox_mcp $t->{dir}/etc/still.json; }"
        . " location = /open { sandbox_auth off; sandbox_mcp $t->{dir}/etc/mcp.json; }"
        . ' location ~ ^/_mcp/ { return 404; } location = /_mcp/run_code { internal; sandbox_tool run_code; proxy_pass http://up; }'
        . ' location = /_mcp/get_job { internal; sandbox_tool get_job; proxy_pass http://up; }');
my $conf = 'sandbox_concurrency tenant 1; sandbox_auth_leeway 0s; sandbox_control ' . $feed->url . ' zone=control:1m;';
$t->start_front($conf, %opt);
my $mcp = Sandbox::Mcp->new($t);

my @opened;
sub listen_to { my (%option) = @_; push @opened, Sandbox::Listener->begin($t, $mcp, %option); return $opened[-1] }
# One that was acknowledged.
sub listener {
    my (%option) = @_;
    my $listener = listen_to(%option);
    $listener->hear(1) or diag("not acknowledged: $listener->{head}");
    return $listener;
}
sub named { my ($tenant, %claims) = @_; return $t->token(tenant => $tenant, sub => "$tenant-user", %claims) }
# Streams that are open, where no other request is under way but the one that asks.
sub held {
    my $open = $t->metric('mcp_listeners') // -1;
    my $others = ($t->metric('in_flight') // 0) - 1 - $open;
    return $others == 0 ? $open : "$open, and $others others";
}
sub holds { my ($n) = @_; return $t->wait_until(30, sub { held() eq $n }) }

# Nothing was heard of policies yet: nobody knows which tools there are.
my $early = listen_to()->finish(30);
is("$early->{status} " . ($early->json->{code} // ''), '503 policy_unknown', 'not before policies are known');
$feed->start;
ok($t->wait_until(30, sub { $mcp->call('tools/list')->{status} == 200 }), 'they are');

# The beginning.
my $first = listener(id => 7, filter => { toolsListChanged => $true, promptsListChanged => $true, resourcesListChanged => $true, resourceSubscriptions => ['a:b'] });
is($first->{status}, 200, 'a stream');
is($first->{headers}{'content-type'}, 'text/event-stream', 'of events');
is($first->{headers}{'x-accel-buffering'}, 'no', 'that nobody is to buffer');
is($first->{headers}{'cache-control'}, 'no-store', 'or to keep');
ok(!exists $first->{headers}{'mcp-session-id'}, 'of no session');
is_deeply([$first->messages], [{ jsonrpc => '2.0', method => 'notifications/subscriptions/acknowledged',
    params => { _meta => { $ID => 7 }, notifications => { toolsListChanged => $true } } }], 'says first what is honoured, and of which subscription');
for my $id ('a "b" \\', "\x{fc}\x{1f600}", -1, 9007199254740993, 'x' x 200) {
    my $other = listener(id => $id);
    is(($other->messages)[0]{params}{_meta}{$ID}, $id, 'the id as it was: ' . length $id);
    $other->leave;
}
my %nothing = (nothing => {}, false => { toolsListChanged => $false }, prompts => { promptsListChanged => $true, resourceSubscriptions => ['a:b'] }, unknown => { other => $true });
for my $name (sort keys %nothing) {
    my $other = listen_to(id => 'n', filter => $nothing{$name});
    ok($other->ended, "$name: ends at once");
    is_deeply([$other->methods], [qw(notifications/subscriptions/acknowledged result notifications/cancelled)], "$name: with all that a stream has");
    is_deeply(($other->messages)[0]{params}{notifications}, {}, "$name: nothing honoured");
}
ok(listen_to(path => '/still')->ended, 'a catalogue whose tools stay as they are: ends at once');
is($mcp->call('subscriptions/listen', { notifications => {} }, era => 'legacy')->{json}{error}{code}, -32601, 'a legacy client: no such method');
for my $bad ({}, { notifications => [] }, { notifications => { toolsListChanged => 1 } }, { notifications => { resourceSubscriptions => [1] } }) {
    my $reply = $mcp->call('subscriptions/listen', $bad);
    is($reply->{json}{error}{code}, -32602, 'a filter that is none is refused');
    is($reply->{headers}{'content-type'}, 'application/json', 'without a stream');
}
my $anonymous = listener(path => '/open');
is(($anonymous->methods)[0], 'notifications/subscriptions/acknowledged', 'without auth as well');
$anonymous->leave;
ok(holds(1), 'all but the first are over');

# Who listens takes no place of those that work: the tenant may do one thing at a time.
my @many = map { listener() } 1 .. 3;
is($mcp->call('tools/list')->{status}, 200, 'three more listen, and one may work');
$_->leave for @many, $first;
ok(holds(0), 'they leave');

# Who hears. Two agents of one tenant, and another tenant.
my %by = (
    ann => listener(token => named('acme', agent => 'ann')), bob => listener(token => named('acme', agent => 'bob')),
    globex => listener(token => named('globex', agent => 'ann')), scopeless => listener(token => named('acme', agent => 'ann', scope => 'nothing')),
);
my %heard = map { $_ => 1 } keys %by;
# Those of @who hear of one change, at the edge's next look and not with the comment that comes each 12 s, and the others of none.
sub change {
    my ($what, @who) = @_;
    my $from = time;
    ok($by{$_}->hear(++$heard{$_}), "$what: $_ hears") for @who;
    cmp_ok(time - $from, '<', 8, "$what: soon") if @who;
    my %others = map { $_ => 1 } keys %by;
    delete @others{@who};
    $by{$_}->listen_for(@who ? 0.1 : 0.3) for sort keys %others;
    is(scalar @{ $by{$_}{events} }, $heard{$_}, "$what: $_ has heard $heard{$_} messages") for sort keys %by;
}
$feed->policy('acme', 'pol_1', [{ tenant => $true }], { tools => ['run_code'] });
change('a tool is taken', qw(ann bob scopeless));
is_deeply(($by{ann}->messages)[1], { jsonrpc => '2.0', method => 'notifications/tools/list_changed', params => { _meta => { $ID => $by{ann}{asked} } } }, 'the message, with its subscription');
is_deeply([map { $_->{name} } @{ $mcp->call('tools/list', {}, token => named('acme'))->{json}{result}{tools} }], ['run_code'], 'and the list is another');
$feed->policy('acme', 'pol_1', [{ tenant => $true }], { tools => ['run_code'], languages => ['bash'] });
change('something else is changed');
$feed->policy('acme', 'pol_2', [{ agent => 'bob' }], { tools => [] });
change('an agent has none', 'bob');
$feed->policy('globex', 'pol_3', [{ tenant => $true }], { tools => ['get_job'] });
change('another tenant', 'globex');
$feed->no_policy('acme', 'pol_1');
change('given back', qw(ann scopeless));
$feed->touch;
change('nothing');

# How many there may be.
my @few = map { listener(path => '/few', token => named('tiny')) } 1 .. 3;
my $beyond = listen_to(path => '/few', token => named('tiny'), id => 'last')->finish(30);
is($beyond->{status}, 200, 'one too many: an answer');
is_deeply([@{ $beyond->json }{qw(jsonrpc id)}, $beyond->json->{error}{code}], ['2.0', 'last', -32603], 'an error');
like($beyond->json->{error}{message}, qr/^Too many subscriptions: close one of the 3/, 'that says why');
is(scalar listener(path => '/few', token => named('other'))->{events}->@*, 1, 'not to another tenant');
(shift @few)->leave;
ok($t->wait_until(30, sub { my $again = listen_to(path => '/few', token => named('tiny')); $again->hear(1); push @few, $again; ($again->methods)[0] }), 'one left, and another comes');
$_->leave for @few;

# Clients that go away, in every way. Four that hear and one that was let in stay.
my $before = 5;
ok(holds($before), 'those five are left');
for my $how (qw(leave reset)) {
    my @gone = map { listener(token => named('gone')) } 1 .. 50;
    ok(holds($before + 50), "$how: fifty listen");
    $_->$how for @gone;
    ok(holds($before), "$how: none is left");
}
for my $how (qw(leave reset)) {
    (listen_to(token => named('gone')))->$how for 1 .. 50;
    ok(holds($before), "$how before anything came: none is left");
}
my $half = listener(token => named('gone'));
shutdown $half->{socket}, 1;
ok(holds($before), 'one that will send nothing more has gone');

# A token is taken back: the stream is cut off, as any reply of it is.
my ($doomed, $spared) = (listener(token => named('acme', sub => 'dora')), listener(token => named('acme', sub => 'otto')));
$feed->revocation('acme', 'rev_1', subject => 'dora', issued_before => time() + 1 | 0);
ok($doomed->was_cut, 'revoked: cut off');
is($spared->listen_for(0.2), 1, 'another goes on');
$spared->leave;

# HTTP/2: streams of one connection are apart.
sub h2_listen {
    my ($connection, $id) = @_;
    my $message = $mcp->message('subscriptions/listen', { notifications => { toolsListChanged => $true } }, id => $id);
    my $headers = $mcp->headers($message);
    return $connection->post('/mcp', { %$headers, Authorization => 'Bearer ' . named("h2-$id") }, JSON::PP->new->utf8->encode($message));
}
my $h2 = Sandbox::Http2->new($h2_port);
my @h2 = map { h2_listen($h2, $_) } qw(one two three);
ok($h2->until(30, sub { 3 == grep { /acknowledged.*"(?:one|two|three)"/ } @{ $h2->{data} }{@h2} }), 'HTTP/2: three are acknowledged');
ok(holds($before + 3), 'HTTP/2: and open');
$h2->reset($h2[0]);
ok(holds($before + 2), 'HTTP/2: one is reset');
my $cut = Sandbox::Http2->new($h2_port);
h2_listen($cut, $_) for 1 .. 5;
ok(holds($before + 7), 'HTTP/2: five more');
$cut->close;
ok(holds($before + 2), 'HTTP/2: their connection is cut');
$feed->policy('h2-two', 'pol_5', [{ tenant => $true }], { tools => [] });
ok($h2->until(30, sub { $h2->{data}{$h2[1]} =~ /list_changed/ }), 'HTTP/2: one hears of a change');
$h2->until(0.2, sub { 0 });
unlike($h2->{data}{$h2[2]}, qr/list_changed/, 'HTTP/2: another has not changed');

# TLS, by a client that keeps all that comes until it has said how the end was.
my $message = $mcp->message('subscriptions/listen', { notifications => { toolsListChanged => $true } }, id => 'tls');
my $headers = $mcp->headers($message);
my $body = JSON::PP->new->utf8->encode($message);
$t->write('tls.request', "POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer @{[ named('tls') ]}\r\n" . join('', map { "$_: $headers->{$_}\r\n" } sort keys %$headers)
    . 'Content-Length: ' . length($body) . "\r\n\r\n$body");
my $client = fork // die $!;
if (!$client) {
    open STDOUT, '>', "$t->{dir}/tls.reply" or die $!;
    exec 'python3', '-uc', <<'PYTHON', $tls, "$t->{dir}/tls.request";
import socket, ssl, sys
context = ssl._create_unverified_context()
stream = context.wrap_socket(socket.create_connection(('127.0.0.1', int(sys.argv[1]))))
stream.sendall(open(sys.argv[2], 'rb').read())
while True:
    piece = stream.recv(65536)    # an end without close_notify is an error
    if not piece:
        break
    sys.stdout.write(piece.decode())
sys.stdout.write('closed\n')
PYTHON
}
my $secret = sub { return $t->read_file('tls.reply') };
ok($t->wait_until(30, sub { $secret->() =~ /acknowledged/ }), 'TLS: acknowledged');
$feed->policy('tls', 'pol_6', [{ tenant => $true }], { tools => [] });
ok($t->wait_until(30, sub { $secret->() =~ /list_changed/ }), 'TLS: hears of a change');

# Clients that take nothing: what they miss is told once, when they take something again.
my ($stuck, $frozen) = map { listener(port => $small, rcvbuf => 1, token => named('acme', agent => 'stuck'), id => $_ x 240) } qw(s f);
sub of_stuck { return scalar @{ $mcp->call('tools/list', {}, token => named('acme', agent => 'stuck'))->{json}{result}{tools} } }
my $changes = 60;
for my $n (1 .. $changes) {
    $feed->policy('acme', 'pol_4', [{ agent => 'stuck' }], { tools => $n % 2 ? [] : ['run_code'] });
    $t->wait_until(30, sub { of_stuck() == ($n + 1) % 2 }) or last;
}
$stuck->listen_for(0.5);
my $told = $stuck->methods;
cmp_ok($told, '>', 1, 'one that was slow hears of changes');
cmp_ok($told, '<', $changes / 2, 'but not of each');

# The comment that keeps a stream, and the token that is over, wait for the same clock.
my $short = listener(token => named('short', exp => int(time) + 6));
my ($quiet, $from) = (listener(token => named('quiet')), time);
ok($quiet->until(30, sub { $quiet->{comments} > 0 }), 'a comment comes');
cmp_ok(time - $from, '<', 15, 'within 15 s');
is(scalar @{ $quiet->{events} }, 1, 'and means nothing');
ok($short->ended, 'a token is over: so is the stream');
is_deeply([$short->methods], [qw(notifications/subscriptions/acknowledged result notifications/cancelled)], 'with all that an end has');
is(($short->messages)[2]{params}{reason}, 'The token has expired', 'and the reason');
ok($h2->until(30, sub { 2 == grep { /^:$/m } @{ $h2->{data} }{ @h2[1, 2] } }), 'HTTP/2: comments come');

# Reload: the old worker says farewell to all and ends.
my @all = (values %by, $quiet, map { listener(token => named("t$_")) } 1 .. 20);
$from = time;
my %old = map { $_ => 1 } $t->gateway_workers;
$t->reload_gateway;
ok($h2->until(30, sub { 2 == grep { $_ } @{ $h2->{over} }{ @h2[1, 2] } }), 'HTTP/2: the streams end');
is(scalar(grep { /"id":"(?:two|three)","result"/ } @{ $h2->{data} }{ @h2[1, 2] }), 2, 'HTTP/2: with all that an end has');
ok($h2->until(30, sub { $h2->{closed} }) && $h2->{goaway}, 'HTTP/2: the connection is closed, and said so');
$h2->close;
ok($t->wait_until(30, sub { $secret->() =~ /"id":"tls","result".*\r\n0\r\n\r\nclosed\n\z/s }), 'TLS: the stream ends, the connection is closed, and said so');
is(waitpid($client, 0), $client, 'TLS: its client too');
is($?, 0, 'TLS: well');
ok($t->wait_until(30, sub { !grep { $old{$_} } $t->gateway_workers }), 'the worker ends');
cmp_ok(time - $from, '<', 25, 'and does not wait for those who listen, as long as their tokens hold');
is(scalar(grep { $_->ended } @all), scalar @all, 'all streams end');
my ($result, $bye) = ($quiet->messages)[-2, -1];
is_deeply($result, { jsonrpc => '2.0', id => $quiet->{asked}, result => { resultType => 'complete', _meta => { $ID => $quiet->{asked}, 'io.modelcontextprotocol/serverInfo' => { name => 'test', version => '1' } } } }, 'with the answer to the request, so that the client knows that it is meant');
is_deeply($bye, { jsonrpc => '2.0', method => 'notifications/cancelled', params => { _meta => { $ID => $quiet->{asked} }, requestId => $quiet->{asked}, reason => 'The server is restarting' } }, 'and a cancellation after it');
is($quiet->{headers}{connection} // '', 'keep-alive', 'on a connection that could have stayed');
is(sysread($quiet->{socket}, my $more, 1), 0, 'and is closed');
ok(listener(token => named('acme'))->{events}->@*, 'who listens again is acknowledged');

# Quit.
@all = map { listener(token => named("t$_")) } 1 .. 20;
$from = time;
is($t->stop('gateway'), 0, 'nginx quits');
cmp_ok(time - $from, '<', 25, 'at once');
is(scalar(grep { $_->ended && ($_->methods)[-2] eq 'result' } @all), 20, 'and has said so to all');
$_->leave for @opened;
$t->finish;
done_testing();
