#!/usr/bin/perl
# Calls of tools: what a backend is asked, and what its client hears of it, whatever the backend does.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox::Backend;
use Sandbox::Front;
use Sandbox::Http2;
use Sandbox::Mcp;
use Sandbox::Stream;
use Test::More;
use Time::HiRes qw(time);

my $JSON = JSON::PP->new->canonical->utf8->allow_nonref;
my $t = Sandbox::Front->new;
my $GOOD = '{"content":[{"type":"text","text":"ok"}],"isError":false}';
my $INFO = '"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"test","version":"1"}}';
sub event { my ($name, $data) = @_; return "event: $name\ndata: $data\n\n" }
my $STREAM = ": begun\n\n" . event(progress => '{"progress":1,"message":"a"}') . event(progress => '{"progress":2}')
           . event(notification => '{"method":"notifications/message","params":{"level":"info","data":"x"}}') . event(complete => $GOOD);
my $ELICIT = '{"name":{"method":"elicitation/create","params":{"mode":"form","message":"Name?","requestedSchema":{"type":"object","properties":{}}}}}';
sub json_of { my ($request) = @_; return eval { $JSON->decode($request->{body}) } // {} }
sub large { return '{"content":[{"type":"text","text":"' . 'x' x ($_[0] - 40) . '"}]}' }

my $backend = Sandbox::Backend->new($t,
    good => sub { Sandbox::Backend::reply($_[0], 200, $GOOD) },
    chunked => sub { Sandbox::Backend::reply($_[0], 200, $GOOD, chunked => 1) },
    empty => sub { Sandbox::Backend::reply($_[0], 200, '{}') },
    spaced => sub { Sandbox::Backend::reply($_[0], 200, "\n { \n\"content\":[] } \n") },
    spaced_empty => sub { Sandbox::Backend::reply($_[0], 200, " { \n } ", chunked => 1) },
    created => sub { Sandbox::Backend::reply($_[0], 201, $GOOD, headers => { Location => '/x', ETag => '"1"', 'Last-Modified' => 'Thu, 01 Jan 1970 00:00:00 GMT',
        'Set-Cookie' => 'a=b', 'X-Inside' => 'secret', 'Cache-Control' => 'max-age=9', 'Accept-Ranges' => 'bytes', 'Sandbox-Tool-Result' => 'complete' }) },
    large => sub { Sandbox::Backend::reply($_[0], 200, large(3_000_000)) },
    pieces => sub {
        my ($socket) = @_;
        Sandbox::Backend::put($socket, "HTTP/1.1 200 X\r\nContent-Type: $Sandbox::Backend::TOOL\r\nContent-Length: " . length($GOOD) . "\r\n\r\n");
        for my $byte (split //, $GOOD) { Sandbox::Backend::put($socket, $byte); select undef, undef, undef, 0.002 }
        return 1;
    },
    # Not what a backend may say.
    nothing => sub { Sandbox::Backend::reply($_[0], 200, '') },
    blank => sub { Sandbox::Backend::reply($_[0], 200, "  \n", chunked => 1) },
    brace => sub { Sandbox::Backend::reply($_[0], 200, '{') },
    list => sub { Sandbox::Backend::reply($_[0], 200, '[1]') },
    text => sub { Sandbox::Backend::reply($_[0], 200, 'hello') },
    json => sub { Sandbox::Backend::reply($_[0], 200, $GOOD, type => 'application/json') },
    html => sub { Sandbox::Backend::reply($_[0], 200, '<html>', type => 'text/html') },
    gzip => sub { Sandbox::Backend::reply($_[0], 200, $GOOD, headers => { 'Content-Encoding' => 'gzip' }) },
    odd => sub { Sandbox::Backend::reply($_[0], 200, $GOOD, headers => { 'Sandbox-Tool-Result' => 'whatever' }) },
    moved => sub { Sandbox::Backend::reply($_[0], 302, '', headers => { Location => 'http://evil.example/' }) },
    accel => sub { Sandbox::Backend::reply($_[0], 200, $GOOD, headers => { 'X-Accel-Redirect' => '/_mcp/run' }) },
    none => sub { Sandbox::Backend::put($_[0], "HTTP/1.1 204 X\r\n\r\n") },
    # Refusals and failures.
    invalid => sub { Sandbox::Backend::reply($_[0], 422, '{"type":"urn:ngx-sandbox:problem:invalid_request","title":"The request has an invalid field","status":422,"code":"invalid_request","request_id":"req_x","errors":[{"field":"/code","message":"is required"}]}', type => 'application/problem+json') },
    missing => sub { Sandbox::Backend::reply($_[0], 404, '{"title":"There is no such thing","status":404,"code":"not_found"}', type => 'application/problem+json') },
    busy => sub { Sandbox::Backend::reply($_[0], 429, '{"title":"The queue is full","status":429,"code":"tenant_queue_full"}', type => 'application/problem+json', headers => { 'Retry-After' => 7 }) },
    huge => sub { Sandbox::Backend::reply($_[0], 500, '{"title":"' . 'x' x 100_000 . '"}', type => 'application/problem+json') },
    ugly => sub { Sandbox::Backend::reply($_[0], 503, '<html>secret</html>', type => 'text/html') },
    dead => sub { 0 },
    half_head => sub { Sandbox::Backend::put($_[0], "HTTP/1.1 200 X\r\nContent-Type: appl"); 0 },
    garbage => sub { Sandbox::Backend::put($_[0], "\x16\x03\x01garbage\r\n\r\n"); 0 },
    head_only => sub { Sandbox::Backend::put($_[0], "HTTP/1.1 200 X\r\nContent-Type: $Sandbox::Backend::TOOL\r\nContent-Length: 50\r\n\r\n"); 0 },
    half => sub { Sandbox::Backend::put($_[0], "HTTP/1.1 200 X\r\nContent-Type: $Sandbox::Backend::TOOL\r\nContent-Length: 50\r\n\r\n{\"content\":["); 0 },
    half_problem => sub { Sandbox::Backend::put($_[0], "HTTP/1.1 422 X\r\nContent-Type: application/problem+json\r\nContent-Length: 50\r\n\r\n{\"title\":"); 0 },
    silent => sub { select undef, undef, undef, 30; 0 },
    # Streams.
    stream => sub { Sandbox::Backend::stream($_[0], [$STREAM]) },
    cut => sub { my $at = json_of($_[1])->{at}; Sandbox::Backend::stream($_[0], [substr($STREAM, 0, $at), substr($STREAM, $at)], pause => 0.001) },
    crumbs => sub { Sandbox::Backend::stream($_[0], [split //, $STREAM]) },
    slow => sub {
        my ($socket, $request, $self) = @_;
        Sandbox::Backend::stream($socket, [": begun\n\n"], cut => 1);
        my $piece = event(progress => '{"progress":1}');
        Sandbox::Backend::put($socket, sprintf "%x\r\n%s\r\n", length $piece, $piece);
        return $self->await_close($socket, 'slow', 60);
    },
    hold => sub {
        my ($socket, $request, $self) = @_;
        return $self->await_close($socket, 'hold', 60);
    },
    unended => sub { Sandbox::Backend::stream($_[0], [event(progress => '{"progress":1}')]) },
    broken => sub { Sandbox::Backend::stream($_[0], [event(progress => '{"progress":1}'), "event: complete\ndata: {\"cont"], cut => 1) },
    unnamed => sub { Sandbox::Backend::stream($_[0], ["data: {}\n\n"]) },
    big_progress => sub { Sandbox::Backend::stream($_[0], [event(progress => '{"message":"' . 'x' x 70_000 . '"}'), event(complete => $GOOD)]) },
    big_answer => sub { Sandbox::Backend::stream($_[0], [event(complete => large(1_500_000))]) },
    big_broken => sub { Sandbox::Backend::stream($_[0], ["event: complete\ndata: " . substr(large(300_000), 0, 200_000)], cut => 1) },
    many => sub { Sandbox::Backend::stream($_[0], [(map { event(progress => qq({"progress":$_})) } 1 .. 5000), event(complete => $GOOD)]) },
    flood => sub {
        my ($socket) = @_;
        my $piece = join '', map { event(progress => '{"message":"' . 'x' x 1000 . '"}') } 1 .. 60;
        Sandbox::Backend::stream($socket, [": begun\n\n"], cut => 1);
        for (1 .. 500) { Sandbox::Backend::put($socket, sprintf("%x\r\n%s\r\n", length $piece, $piece)) or return 0 }
        Sandbox::Backend::put($socket, sprintf("%x\r\n%s\r\n0\r\n\r\n", length event(complete => $GOOD), event(complete => $GOOD)));
    },
    # Other kinds of answers.
    task => sub { Sandbox::Backend::reply($_[0], 200, '{"taskId":"job_1","status":"working"}', headers => { 'Sandbox-Tool-Result' => 'task' }) },
    state => sub { Sandbox::Backend::reply($_[0], 200, '{"taskId":"job_1","status":"completed","result":{"content":[]}}') },
    ack => sub { Sandbox::Backend::reply($_[0], 200, '{}') },
    error => sub { Sandbox::Backend::reply($_[0], 200, '{"code":-32602,"message":"no","data":{"uri":"u"}}', headers => { 'Sandbox-Tool-Result' => 'error' }) },
    capability => sub { Sandbox::Backend::reply($_[0], 200, '{"code":-32021,"message":"no"}', headers => { 'Sandbox-Tool-Result' => 'error' }) },
    bad_error => sub { Sandbox::Backend::reply($_[0], 200, '{"code":"x"}', headers => { 'Sandbox-Tool-Result' => 'error' }) },
    ask => sub {
        my ($socket, $request) = @_;
        my $params = json_of($request)->{params} // {};
        return Sandbox::Backend::reply($socket, 200, $JSON->encode({ content => [{ type => 'text', text => "$params->{requestState} $params->{inputResponses}{name}{action}" }] }))
            if $params->{requestState};
        return Sandbox::Backend::reply($socket, 200, qq({"inputRequests":$ELICIT,"requestState":"step1"}), headers => { 'Sandbox-Tool-Result' => 'input_required' });
    },
    ask_stream => sub { Sandbox::Backend::stream($_[0], [event(input_required => qq({"inputRequests":$ELICIT,"requestState":"step1"}))]) },
    ask_much => sub { Sandbox::Backend::reply($_[0], 200, '{"inputRequests":{"a":{"method":"roots/list","x":"' . 'x' x 70_000 . '"}}}', headers => { 'Sandbox-Tool-Result' => 'input_required' }) },
    ask_odd => sub { Sandbox::Backend::reply($_[0], 200, '{"inputRequests":{"a":{"method":"tools/call"}}}', headers => { 'Sandbox-Tool-Result' => 'input_required' }) },
    cancelled => sub { Sandbox::Backend::reply($_[0], 200, '{"content":[]}') },
);
my $port = $backend->port;

sub to { my (%change) = @_; return { location => '/_mcp/run', method => 'POST', path => '/say/{say}', body => '{*}', idempotency_key => '{key}', %change } }
sub got { my (%change) = @_; my $to = to(method => 'GET', %change); delete $to->{idempotency_key}; delete $to->{body} unless $change{body}; return $to }
sub tool {
    my ($name, %change) = @_;
    return Sandbox::Mcp::tool($name, inputSchema => { type => 'object', properties => { say => { type => 'string' }, key => { type => 'string' } }, required => ['say'] },
                              tool => 'run_code', backend => to(), %change);
}
my $catalogue = $t->write('etc/tools.json', Sandbox::Mcp::catalogue([
    tool('run', tasks => 'may'), tool('other'), tool('ask', backend => to(body => '{message}')), tool('fetch', backend => got()), tool('hasty', backend => to(location => '/_mcp/hasty')),
    tool('ample', backend => to(location => '/_mcp/ample')), tool('ask_ample', backend => to(location => '/_mcp/ample', body => '{message}')),
    tool('watch', backend => to(stream => 'always')), map({ tool($_, tool => $_, backend => to(location => "/_mcp/$_")) } qw(rated capped limited_none down)),
    tool('scoped', tool => 'deploy', backend => to(location => '/_mcp/scoped')), tool('job', backend => to(location => '/_mcp/job')),
],
   resourceTemplates => [{ uriTemplate => 'test://x/{say}', name => 'x', backend => got() }],
   tasks => { get => got(path => '/say/{taskId}'), cancel => got(method => 'DELETE', path => '/say/{taskId}') },
   cancelled => got(method => 'POST', path => '/say/cancelled', body => { key => '{cancel_key}' })));

my $dir = $t->policies(
    default => {},
    'tenants/strict' => { tools => ['run_code'], languages => ['python'], limits => { memory => { max => '128Mi', default => '64Mi' } } },
);
my $call = 'internal; proxy_set_header Sandbox-Tool-Call $sandbox_mcp_call; proxy_set_header X-Request-Id $sandbox_forward; proxy_pass http://back$sandbox_mcp_uri;';
my $locations = <<"END";
    location = /mcp { sandbox_route mcp; sandbox_policy off; sandbox_mcp $catalogue; client_max_body_size 24m; }
    location = /_mcp/run { sandbox_route jobs.create; sandbox_tool run_code; sandbox_policy on; $call }
    location = /_mcp/hasty { proxy_read_timeout 500ms; $call }
    location = /_mcp/ample { client_max_body_size 24m; $call }
    location = /_mcp/rated { sandbox_route rated; sandbox_tool rated; sandbox_rate tool rate=1r/m burst=2; $call }
    location = /_mcp/capped { sandbox_route capped; sandbox_concurrency route 1; $call }
    location = /_mcp/limited_none { sandbox_limit off; $call }
    location = /_mcp/scoped { sandbox_tool deploy; sandbox_auth_scope tools:deploy; $call }
    location = /_mcp/job { sandbox_route jobs.create; sandbox_tool run_code; sandbox_policy body; $call }
    location = /_mcp/down { internal; proxy_pass http://127.0.0.1:1\$sandbox_mcp_uri; }
END
my $http = "upstream back { server 127.0.0.1:$port; keepalive 8; } proxy_buffering off; proxy_read_timeout 90s; proxy_next_upstream off; proxy_ignore_headers X-Accel-Redirect; "
         . 'proxy_pass_request_headers off; gzip on; gzip_min_length 1; gzip_types application/json text/event-stream; '
         . "sandbox_policy_dir $dir; sandbox_rate tenant rate=4r/h burst=100000;";
my $h2_port = Sandbox::free_port();
$t->start_front($http, locations => $locations, workers => 2, server => "listen 127.0.0.1:$h2_port http2;");
$t->{expect_log} = qr/event=mcp\.backend/;
my $mcp = Sandbox::Mcp->new($t);

sub say_it { my ($say, %option) = @_; return $mcp->call('tools/call', { name => $option{tool} // 'run', arguments => { say => $say, %{ $option{arguments} // {} } }, %{ $option{params} // {} } }, %option) }
# The problem's code, as the words of a refusal have it; nothing structured may be beside them.
sub refused_by {
    my ($result) = @_;
    return 'structured' if exists $result->{structuredContent};
    return (($result->{content}[0]{text} // '') =~ /\A[^\n]*?\((\w+)\)\./)[0];
}
sub is_lost {
    my ($reply, $name, $code) = @_;
    my $result = ($reply->{json} // {})->{result} // {};
    is_deeply([$reply->{status}, $result->{isError} ? 1 : 0, refused_by($result)], [200, 1, $code // 'lost'], $name)
        or diag("$reply->{status} $reply->{content}");
    return $result;
}
sub leases_gone { my ($name) = @_; return ok($t->wait_until(30, sub { $t->metric('limit_leases') == 0 }), $name) }

# What a client hears of a result.
my $reply = say_it('good');
is($reply->{status}, 200, 'a result');
is($reply->{content}, qq({"jsonrpc":"2.0","id":1,"result":{"resultType":"complete",$INFO,) . substr($GOOD, 1) . '}', 'is the backend\'s, with what every result has');
is($reply->{headers}{'content-type'}, 'application/json', 'as JSON');
is($reply->{headers}{'content-length'}, length $reply->{content}, 'of a known length');
is($reply->{headers}{'cache-control'}, 'no-store', 'not to be kept');
is(say_it('good', era => 'legacy', id => 'x')->{content}, qq({"jsonrpc":"2.0","id":"x","result":) . $GOOD . '}', 'of the legacy era without');
for my $say (qw(good chunked empty spaced spaced_empty large pieces)) {
    for my $era (qw(modern legacy)) {
        my $reply = say_it($say, era => $era);
        my $want = { good => $GOOD, chunked => $GOOD, pieces => $GOOD, empty => '{}', spaced_empty => '{}', spaced => '{"content":[]}', large => large(3_000_000) }->{$say};
        my %result = %{ $reply->{json}{result} // {} };
        if ($era eq 'modern') {
            is(delete $result{resultType}, 'complete', "$say, $era: complete");
            ok(delete $result{_meta}, 'from us');
        }
        is_deeply(\%result, $JSON->decode($want), "$say, $era");
        is($reply->{headers}{'content-length'}, length $reply->{content}, 'the length is right') if defined $reply->{headers}{'content-length'};
    }
}
my $body = $JSON->encode($mcp->message('tools/call', { name => 'run', arguments => { say => 'chunked' } }));
my %h = %{ $mcp->headers($mcp->message('tools/call', { name => 'run' })) };
my $raw = $t->raw("POST /mcp HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer " . $t->token . "\r\nContent-Length: " . length($body) . "\r\n"
                  . join('', map { "$_: $h{$_}\r\n" } sort keys %h) . "\r\n$body");
like($raw, qr/^HTTP\/1\.1 200.*\r\n\r\n\{"jsonrpc".*\}\}\z/s, 'HTTP/1.0 gets it without chunks');
unlike($raw, qr/chunked/i, 'none');
$reply = say_it('created');
is($reply->{status}, 200, 'a thing that was created is a result');
ok(!exists $reply->{headers}{$_}, "no $_ of the backend's") for qw(location etag last-modified set-cookie x-inside accept-ranges sandbox-tool-result);
is($reply->{headers}{'cache-control'}, 'no-store', 'one Cache-Control');
is(say_it('good', headers => { 'If-None-Match' => '*', 'If-Match' => '"x"', Range => 'bytes=0-1', 'If-Modified-Since' => 'Thu, 01 Jan 1970 00:00:00 GMT' })->{status}, 200, 'conditions of a client mean nothing here');

# What the backend is asked.
$backend->forget;
say_it('good', arguments => { code => "print('\x{fc}')", key => 'k-1' }, headers => { 'X-Other' => 'x', Cookie => 'a=b', 'Idempotency-Key' => 'mine', Range => 'bytes=0-1', 'If-Match' => '"x"', 'Last-Event-ID' => 7, 'Sandbox-Tool-Call' => 'cancel' });
my ($seen) = $backend->seen;
is("$seen->{method} $seen->{path}", 'POST /say/good', 'its method and path');
is_deeply($JSON->decode($seen->{body}), { say => 'good', code => "print('\x{fc}')", key => 'k-1' }, 'its body');
is_deeply([@{ $seen->{headers} }{qw(accept content-type idempotency-key sandbox-tool-call)}], [$Sandbox::Backend::TOOL, 'application/json', 'k-1', 'modern, cancel'], 'its headers');
ok(!exists $seen->{headers}{$_}, "no $_") for qw(authorization cookie x-other range if-match last-event-id mcp-method mcp-name mcp-protocol-version origin);
my $context = $t->open_context($seen->{headers}{'sandbox-context'});
is_deeply([@$context{qw(tenant tool)}], ['demo', 'run_code'], 'who asks, as which tool: as REST has it');
# As deep as a message may be, as long as is written by another hand, and every kind of value.
sub nested { my ($n, $inside) = @_; return $n > 0 ? [nested($n - 1, $inside)] : $inside }
my %kinds = (real => 1.5, small => -1e-9, large => 9007199254740993, negative => -7, yes => JSON::PP::true, no => JSON::PP::false, nothing => undef, object => {}, list => [], text => "\x{7f}\x{2028}\x{1f600}\"\\/\n\t\x01",
    mixed => [{ a => [1, { b => [] }] }, 'x'], "na\"me\n" => 1, long => "\x{2028}" x 500_000, deep => nested(28, 'x'), deeper => nested(28, { a => 1 }));
$backend->forget;
say_it('good', tool => 'ample', arguments => \%kinds);
say_it('good', tool => 'ask_ample', arguments => \%kinds);
my @bodies = map { $JSON->decode($_->{body}) } $backend->seen;
is_deeply($bodies[0], { say => 'good', %kinds }, 'values of all kinds as they came');
is_deeply($bodies[1]{params}{arguments}, { say => 'good', %kinds }, 'within a message as well');
$backend->forget;
say_it('good', tool => 'fetch', headers => { 'Idempotency-Key' => 'mine' });
($seen) = $backend->seen;
is("$seen->{method} $seen->{path} $seen->{body}", 'GET /say/good ', 'a GET');
ok(!exists $seen->{headers}{$_}, "without $_") for qw(content-length content-type idempotency-key);
my $asks = sub {
    $backend->forget;
    say_it('good', @_);
    my ($seen) = $backend->seen('good');
    return ($seen->{headers}{'sandbox-tool-call'}, $seen->{headers}{accept});
};
my $TASKS = { extensions => { 'io.modelcontextprotocol/tasks' => {} } };
is(($asks->(capabilities => $TASKS))[0], 'modern, task, cancel', 'who can have tasks');
is(($asks->(capabilities => $TASKS, tool => 'other'))[0], 'modern, cancel', 'of a tool that has none');
is_deeply([$asks->(meta => { progressToken => 5 })], ['modern, cancel, progress', "$Sandbox::Backend::TOOL, text/event-stream"], 'who follows');
is_deeply([$asks->(meta => { progressToken => 5 }, headers => { Accept => 'application/json' })], ['modern, cancel, progress', $Sandbox::Backend::TOOL], 'but takes no events');
is(($asks->(tool => 'watch'))[1], "$Sandbox::Backend::TOOL, text/event-stream", 'a tool that always tells');
like(($asks->(era => 'legacy'))[0], qr/^legacy, key=[0-9a-f]{32}$/, 'the legacy era');
for my $key ("a\r\nX-Evil: 1", "a\x7fb", "\x{fc}", "a\nb") {
    $backend->forget;
    like(say_it('good', arguments => { key => $key })->{json}{result}{content}[0]{text}, qr/idempotency_key/, 'a key that would break a header');
    is(scalar $backend->seen, 0, 'goes nowhere');
}

# What no client may reach.
for my $path (qw(/_mcp/run /_mcp/job /_mcp/../_mcp/run /%5fmcp/run //_mcp/run)) {
    is($t->request($_, $path, json => {})->{status}, 404, "$_ $path") for qw(GET POST);
}
is(say_it('accel')->{json}{result}{isError}, JSON::PP::false, 'a backend leads nowhere else');
$backend->forget;

# Refusals.
my $result = is_lost(say_it('invalid'), 'a problem', 'invalid_request');
like($result->{content}[0]{text}, qr/- \/code: is required.*Next: .*Request id: req_x/s, 'in words');
$reply = say_it('busy');
like(is_lost($reply, 'a full queue', 'tenant_queue_full')->{content}[0]{text}, qr/Try again in 7 s/, 'when to come again');
is($reply->{headers}{'retry-after'}, 7, 'in the header too');
$result = is_lost(say_it('ugly'), 'a failure that is no document', 'unavailable');
unlike($JSON->encode($result), qr/secret/, 'of which nothing is told');
is_lost(say_it('huge'), 'a document that is too large', 'internal');
is_lost(say_it('missing'), 'nothing there', 'not_found');
is_lost(say_it($_), "not to be read: $_", 'bad_gateway') for qw(json html gzip odd moved none);
is_lost(say_it($_), "no answer: $_", 'bad_gateway') for qw(dead half_head garbage);
is_lost(say_it('good', tool => 'down'), 'a backend that is away', 'unavailable');
is_lost(say_it('silent', tool => 'hasty'), 'one that says nothing', 'gateway_timeout');
is_lost(say_it($_), "a result that is none: $_") for qw(nothing blank brace list text head_only bad_error);
is_lost(say_it('half_problem'), 'a problem that breaks off', 'invalid_request');
is_lost(say_it('half_problem', era => 'legacy'), 'in the legacy era too', 'invalid_request');
my $socket = $t->begin('POST', '/mcp', body => $JSON->encode($mcp->message('tools/call', { name => 'run', arguments => { say => 'half' } })), headers => $mcp->headers($mcp->message('tools/call', { name => 'run' })));
$raw = Sandbox::_converse($socket, '', seconds => 5);
like($raw, qr/"content":\[\z/, 'a result that breaks off after its head: the connection ends before the length is reached');
leases_gone('nothing is held after failures');

# Streams.
sub follow {
    my ($say, %option) = @_;
    my $message = $mcp->message('tools/call', { name => $option{tool} // 'run', arguments => { say => $say, %{ $option{arguments} // {} } } }, meta => { progressToken => $option{progress} // 't1' }, %option);
    my $s = Sandbox::Stream->gateway($t, 'POST', '/mcp', json => $message, headers => { %{ $mcp->headers($message, %option) }, 'Accept-Encoding' => 'gzip' }, rcvbuf => $option{rcvbuf}, who => $option{who});
    return $s;
}
# The messages of a finished stream.
sub messages { my ($text) = @_; return map { $JSON->decode($_) } $text =~ /^data: (.*)$/mg }
sub whole {
    my ($s) = @_;
    $s->until(30, sub { $s->{over} });
    return $s->{text};
}
{
    no warnings 'redefine';
    *Sandbox::Stream::_event = sub { my ($self, $event) = @_; $self->{kept} .= ($self->{brief} ? substr $event, 0, 70 : $event) . "\n\n"; return };
}
sub told { my ($s) = @_; whole($s); return $s->{kept} // '' }
my $s = follow('stream');
my $text = told($s);
is($s->{status}, 200, 'a stream');
is_deeply([@{ $s->{headers} }{qw(content-type cache-control x-accel-buffering)}, $s->{headers}{'content-encoding'}], ['text/event-stream', 'no-store', 'no', undef], 'its head');
my @told = messages($text);
is_deeply([map { $_->{method} // 'answer' } @told], ['notifications/progress', 'notifications/progress', 'notifications/message', 'answer'], 'event for event');
is_deeply($told[0]{params}, { progressToken => 't1', progress => 1, message => 'a' }, 'progress has the token');
is_deeply($told[3]{result}{content}, [{ type => 'text', text => 'ok' }], 'the answer');
like($text, qr/^:\n\n/, 'comments too');
is_deeply([map { $_->{method} // 'answer' } messages(told(follow('stream', meta => {}, tool => 'watch')))], ['notifications/message', 'answer'], 'without a token no progress');
my $plain = told(follow('stream', id => 77));
my $fine = 0;
for my $at (1 .. length($STREAM) - 1) {
    my $cut = told(follow('cut', id => 77, arguments => { at => $at }));
    $cut eq $plain ? $fine++ : diag("cut at $at: $cut");
}
is($fine, length($STREAM) - 1, 'cut at any byte it is the same');
is(told(follow('crumbs', id => 77)), $plain, 'and byte by byte');
is(scalar(messages(told(follow('many')))), 5001, 'thousands of events');
@told = messages(told(follow('big_answer')));
is(length $told[0]{result}{content}[0]{text}, 1_500_000 - 40, 'a large answer');
$s = follow('slow');    # its backend says nothing more and stays: what comes was held up by nobody
ok($s->until(30, sub { defined $s->{status} }), 'the head comes at once');
ok($s->until(30, sub { ($s->{kept} // '') =~ /notifications\/progress/ }), 'and each event');
$s->leave;
for my $say (qw(unended broken unnamed big_progress)) {
    $s = follow($say);
    my @told = messages(told($s));
    is_deeply([@{ $told[-1]{result} }{qw(isError)}, refused_by($told[-1]{result})], [JSON::PP::true, 'lost'], "$say: an answer nevertheless");
    ok($s->{over} && !$s->{cut}, 'and an end');
}
$s = follow('big_broken');
told($s);
ok($s->{cut}, 'a large answer that breaks off breaks off');
is_deeply([messages($s->{kept} // '')], [], 'without an event');
is(follow('stream', headers => { Accept => 'application/json' })->finish->{headers}{'content-type'}, 'application/json', 'events that nobody asked for are an error');
leases_gone('nothing is held after streams');

# A client that does not read holds the backend up, and no memory.
my ($worker) = $t->gateway_workers;
my $rss = sub { my $sum = 0; for ($t->gateway_workers) { $sum += $1 if Sandbox::_slurp("/proc/$_/status") =~ /^VmRSS:\s+(\d+)/m } return $sum };
my $before = $rss->();
$s = follow('flood', rcvbuf => 65536);
$s->{brief} = 1;
$s->until(30, sub { length($s->{kept} // '') > 100_000 }, 200_000);
ok(!$t->wait_until(1, sub { $rss->() - $before > 8192 }), 'a slow client costs no memory: ' . ($rss->() - $before) . ' KiB');
$s->until(60, sub { $s->{over} });
is(($s->{kept} =~ tr/\n//), 2 * (1 + 500 * 60 + 1), 'and misses nothing');

# A client that goes away.
for my $era (qw(modern legacy)) {
    for my $say (qw(hold slow)) {
        $backend->forget;
        my $s = follow($say, era => $era);
        ok($t->wait_until(30, sub { $backend->seen($say) }), "$era, $say: it runs");
        $s->leave;
        ok($t->wait_until(30, sub { $backend->seen("$say.end") }), 'the backend is let go');
        my ($end) = $backend->seen("$say.end");
        ok($end->{closed}, "as it goes, and for no timeout: after $end->{seconds} s");
    }
}
leases_gone('and nothing is held');

# The same by HTTP/2, whose streams end by themselves.
my $h2 = Sandbox::Http2->new($h2_port);
sub h2 {
    my ($say, %option) = @_;
    my $message = $mcp->message('tools/call', { name => 'run', arguments => { say => $say } }, %option);
    return $h2->post('/mcp', { %{ $mcp->headers($message, %option) }, Authorization => 'Bearer ' . $t->token }, $JSON->encode($message));
}
my %h2 = map { my $say = $_; $say => h2($say, $say =~ /stream|slow|hold/ ? (meta => { progressToken => 't1' }, id => 77) : ()) } qw(good chunked dead invalid stream slow hold);
ok($h2->until(30, sub { !grep { !$h2->{over}{ $h2{$_} } } qw(good chunked dead invalid stream) }), 'HTTP/2: answers, refusals and a stream end');
is_deeply($JSON->decode($h2->{data}{ $h2{$_} })->{result}{content}, [{ type => 'text', text => 'ok' }], "HTTP/2: $_") for qw(good chunked);
is(refused_by($JSON->decode($h2->{data}{ $h2{$_->[0]} })->{result}), $_->[1], "HTTP/2: $_->[0]") for ['dead', 'bad_gateway'], ['invalid', 'invalid_request'];
is($h2->{data}{ $h2{stream} }, $plain, 'HTTP/2: events are the same');
ok($h2->until(30, sub { $h2->{data}{ $h2{slow} } =~ /notifications\/progress/ }), 'HTTP/2: each comes at once');
$backend->forget;
$h2->reset($h2{$_}) for qw(slow hold);
for my $say (qw(slow hold)) {
    ok($t->wait_until(30, sub { $backend->seen("$say.end") }), "HTTP/2: $say, reset, the backend is let go");
}
my $after = h2('good');
ok($h2->until(30, sub { $h2->{over}{$after} }), 'HTTP/2: the connection goes on');
$h2->close;
leases_gone('HTTP/2: and nothing is held');

# A reload lets a stream end.
$backend->forget;
$s = follow('slow', arguments => { again => 1 });
ok($s->until(30, sub { ($s->{kept} // '') =~ /progress/ }), 'a stream runs');
my %old = map { $_ => 1 } $t->gateway_workers;
$t->reload_gateway;
ok($t->wait_until(30, sub { grep { !$old{$_} } $t->gateway_workers }), 'through a reload');
ok(!$s->{over} && !$backend->seen('slow.end'), 'it goes on');
is(say_it('good')->{status}, 200, 'as do new calls');
$s->leave;
ok($t->workers_renewed(keys %old), 'the old worker leaves after it');

# Limits of the second pass.
is_deeply([map { say_it('good', tool => 'rated', tenant => 'lim')->{json}{result}{isError} ? 1 : 0 } 1 .. 4], [0, 0, 1, 1], 'a rate of a tool');
$reply = say_it('good', tool => 'rated', tenant => 'lim');
like(is_lost($reply, 'refused', 'rate_limited')->{content}[0]{text}, qr/rates\.tool: limit .*Try again in \d+ s\./s, 'and how long');
cmp_ok($reply->{headers}{'retry-after'}, '>', 0, 'in the header too');
is($reply->{headers}{'ratelimit-remaining'}, 0, 'of that bucket');
my $left = sub { my ($tool) = @_; return say_it('good', tool => $tool, tenant => 'count')->{headers}{'ratelimit-remaining'} };
my $first = $left->('run');
is($left->('run'), $first - 1, 'a call costs its tenant one');
is($left->('limited_none'), $first - 2, 'whatever the location');
$backend->forget;
my $held = follow('hold', tool => 'capped', who => { tenant => 'cap' });
ok($t->wait_until(30, sub { $backend->seen('hold') }), 'one runs');
like(is_lost(say_it('good', tool => 'capped', tenant => 'cap'), 'the second of one', 'concurrency_limited')->{content}[0]{text}, qr/concurrency\.route/, 'of the route');
$held->leave;
ok($t->wait_until(30, sub { !say_it('good', tool => 'capped', tenant => 'cap')->{json}{result}{isError} }), 'given back');
leases_gone('all of it');

# Policy, and scopes.
is(say_it('good', tool => 'job', tenant => 'strict', arguments => { language => 'python', code => 'x' })->{json}{result}{isError} // '', '0', 'what policy allows') or diag explain $reply;
$reply = say_it('good', tool => 'job', tenant => 'strict', arguments => { language => 'ruby', code => 'x', limits => { memory => '1Gi' } });
$result = is_lost($reply, 'what it does not', 'policy_violation');
is_deeply([sort $result->{content}[0]{text} =~ /^- ([^:]+):/mg], ['languages', 'limits.memory'], 'each rule');
like($result->{content}[0]{text}, qr/limits\.memory: limit .*asked for .*Next: /s, 'in words');
is_deeply([map { $_->{rule} // () } ($t->request('POST', '/mcp', json => {})->{json}{violations} // [])->@*], [], 'a message that is none is no violation');
$reply = say_it('good', tool => 'scoped', scope => 'jobs:read');
is($reply->{status}, 403, 'a scope that is missing stays what it is');
like($reply->{headers}{'www-authenticate'}, qr/insufficient_scope.*scope="tools:deploy"/, 'and says which');
is($reply->{json}{code}, 'forbidden', 'as everywhere');
is(say_it('good', tool => 'scoped', scope => 'tools:deploy')->{status}, 200, 'with it');
is(say_it('good', anonymous => 1)->{status}, 401, 'nobody is 401');

# Errors, tasks, resources.
is_deeply(say_it('error')->{json}, { jsonrpc => '2.0', id => $mcp->{id}, error => { code => -32602, message => 'no', data => { uri => 'u' } } }, 'an error of a backend');
is(say_it('capability')->{status}, 400, 'one with a status');
is(say_it('capability', era => 'legacy')->{status}, 200, 'which it had not before');
$reply = say_it('task', capabilities => $TASKS);
is_deeply([@{ $reply->{json}{result} }{qw(resultType taskId status)}], ['task', 'job_1', 'working'], 'a task');
is_lost(say_it('task'), 'for who did not declare them: none', 'bad_gateway');
is_lost(say_it('task', era => 'legacy'), 'nor in the legacy era', 'bad_gateway');
$reply = $mcp->call('tasks/get', { taskId => 'state' }, capabilities => $TASKS);
is_deeply([@{ $reply->{json}{result} }{qw(resultType status)}], ['complete', 'completed'], 'its state');
$reply = $mcp->call('tasks/cancel', { taskId => 'ack' }, capabilities => $TASKS);
is_deeply([sort keys %{ $reply->{json}{result} }], ['_meta', 'resultType'], 'an empty answer');
$reply = $mcp->call('tasks/get', { taskId => 'missing' }, capabilities => $TASKS);
is_deeply([$reply->{status}, $reply->{json}{error}{code}], [200, -32602], 'one that does not exist');
$reply = $mcp->call('resources/read', { uri => 'test://x/good' });
is_deeply([@{ $reply->{json}{result} }{qw(ttlMs cacheScope resultType)}], [1000, 'private', 'complete'], 'a resource is kept as long as the catalogue says');
$reply = $mcp->call('resources/read', { uri => 'test://x/missing' });
is_deeply([$reply->{json}{error}{code}, $reply->{json}{error}{data}{uri}], [-32602, 'test://x/missing'], 'one that does not exist');
$reply = $mcp->call('resources/read', { uri => 'test://x/missing' }, era => 'legacy');
is($reply->{json}{error}{code}, -32002, 'as it was before');

# Questions to the client, and what it brings back.
my $CAN = { elicitation => { form => {} } };
$reply = say_it('ask', tool => 'ask', capabilities => $CAN);
is_deeply([$reply->{status}, $reply->{json}{result}{resultType}, [keys %{ $reply->{json}{result}{inputRequests} }]], [200, 'input_required', ['name']], 'a question');
my $state = $reply->{json}{result}{requestState};
unlike($state, qr/step1/, 'with a state that nobody reads');
sub again { my ($state, %option) = @_; return say_it('ask', tool => 'ask', capabilities => $CAN, params => { requestState => $state, inputResponses => { name => { action => 'accept', content => {} } } }, %option) }
$reply = again($state);
is($reply->{json}{result}{content}[0]{text}, 'step1 accept', 'the answer to it goes back with the state as it was');
my @states = (substr($state, 0, -1), "${state}A", "A$state", $state =~ s/(.)(.)$/$2$1/r, lc $state, '', 'x', 'x' x 20000, scalar reverse $state);
for my $edited (grep { $_ ne $state } @states) {
    my $reply = again($edited);
    ok(($reply->{json}{error}{code} // 0) == -32602 || ($reply->{status} == 400), 'an edited state is refused') or diag explain $reply->{json};
}
is(again($state, tenant => 'acme')->{json}{error}{code}, -32602, 'as is another tenant\'s');
is(again($state, sub => 'else')->{json}{error}{code}, -32602, 'another user\'s');
is(again($state, arguments => { more => 1 })->{json}{error}{code}, -32602, 'that of other arguments');
is(again($state, tool => 'other')->{json}{error}{code}, -32602, 'and that of another tool');
# What is asked is known again wherever nginx had the message meanwhile.
for my $size (10, 20_000, 300_000) {
    my %told = (tool => 'ask_ample', capabilities => $CAN, arguments => { blob => 'x' x $size, list => [1.5, { b => 1, a => 2 }] });
    my $state = say_it('ask', %told)->{json}{result}{requestState};
    is(again($state, %told)->{json}{result}{content}[0]{text}, 'step1 accept', "arguments of $size bytes: the same call");
    is(again($state, %told, arguments => { %{ $told{arguments} }, blob => 'x' x $size . 'y' })->{json}{error}{code}, -32602, 'a byte more is another');
}
$reply = say_it('ask', tool => 'ask');
is_deeply([$reply->{status}, $reply->{json}{error}{code}, $reply->{json}{error}{data}{requiredCapabilities}], [400, -32021, { elicitation => { form => {} } }], 'who can\'t be asked hears what is needed');
is_lost(say_it('ask', tool => 'ask', era => 'legacy'), 'the legacy era can\'t', 'bad_gateway');
is_lost(say_it('ask_much', capabilities => { roots => {} }), 'a question that is too large');
is_lost(say_it('ask_odd', capabilities => $CAN), 'one of a kind that does not exist');
@told = messages(told(follow('ask_stream', tool => 'ask', capabilities => $CAN)));
is($told[0]{result}{resultType}, 'input_required', 'in a stream');
is(again($told[0]{result}{requestState}, arguments => {}, params => { requestState => $told[0]{result}{requestState} })->{json}{error}{code}, -32602, 'of another call');

# Cancellation from another connection.
$backend->forget;
say_it('good', era => 'legacy', id => 'call-9');
my ($key) = ($backend->seen('good'))[0]{headers}{'sandbox-tool-call'} =~ /key=(\w+)/;
sub cancel {
    my ($id, %option) = @_;
    $backend->forget;
    my $reply = $mcp->call('notifications/cancelled', { requestId => $id }, id => undef, era => 'legacy', %option);
    is($reply->{status}, 202, 'taken');
    is($reply->{content}, '', 'without a word');
    my ($seen) = $backend->seen('cancelled');
    return $seen ? json_of($seen)->{key} : undef;
}
is(cancel('call-9'), $key, 'a cancellation names the call as the call was named');
isnt(cancel('call-8'), $key, 'another call has another name');
isnt(cancel('call-9', tenant => 'acme'), $key, 'so has another tenant\'s of the same id');
isnt(cancel('call-9', sub => 'else'), $key, 'and another user\'s');
$backend->forget;
say_it('good', era => 'legacy', id => 5);
($key) = ($backend->seen('good'))[0]{headers}{'sandbox-tool-call'} =~ /key=(\w+)/;
is(cancel(5), $key, 'a number is a number');
isnt(cancel('5'), $key, 'and no text');

# By these names it is in the log, and in the metrics.
$t->logs(qr/^POST \S+ 202 /, 'a line of the log');
cmp_ok($t->metric('requests_total', 'route="jobs.create"'), '>', 100, 'counted as the route that REST has');
$backend->stop;
is($mcp->call('notifications/cancelled', { requestId => 5 }, id => undef, era => 'legacy')->{status}, 202, 'without a backend too');
leases_gone('nothing is held in the end');
my @bad = grep { /\[(alert|crit|emerg)\]/ } split /\n/, $t->error_log;
is_deeply(\@bad, [], 'nothing alarming in the log');
$t->finish;
done_testing();
