#!/usr/bin/perl
# The routes that ship: what each is called, what of it reaches the executor, which bodies wait at the edge and
# which go on as they come, and which names of files survive the way.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Select;
use IO::Socket::UNIX;
use JSON::PP;
use Sandbox::Front;
use Test::More;

my $t = Sandbox::Front->new;
my $sock = "$t->{dir}/sock/executord.sock";
my @HEADERS = qw(range content_range if_match if_none_match if_range last_event_id accept content_type idempotency_key upgrade connection
                 sec_websocket_key sec_websocket_version sec_websocket_protocol cookie origin x_other if_unmodified_since content_encoding);

# Answers with what it got.
$t->write('etc/upstream.conf', <<"END");
user www-data;
error_log $t->{dir}/logs/upstream.error.log;
pid $t->{dir}/upstream.pid;
events { }
http {
    access_log off;
    client_body_temp_path $t->{dir}/tmp/upstream/body; proxy_temp_path $t->{dir}/tmp/upstream/proxy; fastcgi_temp_path $t->{dir}/tmp/upstream/f;
    uwsgi_temp_path $t->{dir}/tmp/upstream/u; scgi_temp_path $t->{dir}/tmp/upstream/s;
    large_client_header_buffers 4 32k;
    client_max_body_size 100m;
    server {
        listen unix:$sock;
        merge_slashes off;
        location = /v1/gateway/changes { default_type application/json; return 200 '{"instance":"@{[ '0' x 32 ]}","revision":0,"complete":true,"reset":false,"changes":[]}'; }
        location / { default_type application/json; return 200 '{"method":"\$request_method","uri":"\$request_uri",@{[ join ',', map { qq("$_":"\$http_$_") } @HEADERS ]},"context":"\$http_sandbox_context"}'; }
    }
}
END
sub upstream {
    $t->_spawn('upstream', '/usr/sbin/nginx', '-p', $t->{dir}, '-c', "$t->{dir}/etc/upstream.conf", '-g', 'daemon off;');
    $t->wait_until(30, sub { -S $sock }) or die 'no upstream';
    chmod 0666, $sock;
}
upstream();
$t->start_gateway;
$t->wait_until(30, sub { $t->request('GET', '/readyz', anonymous => 1)->{status} == 200 }) or die 'not ready';

my $session = '/v1/sessions/ses_1';
my %body = (session => {}, step => { code => '1' }, process => { argv => ['true'] }, extend => { ttl => 60 });

# method, path, route, kind of body
my @routes = (
    [GET => '/v1/sessions', 'sessions.list'], [POST => '/v1/sessions', 'sessions.create', 'session'],
    [POST => '/sessions', 'sessions.create', 'session'], [POST => '/api/v1/sessions', 'sessions.create', 'session'],
    [GET => '/api/v1/sessions', 'sessions.list'], [GET => '/sessions/ses_1', 'sessions.get'], [DELETE => '/api/v1/sessions/ses_1', 'sessions.end'],
    [GET => $session, 'sessions.get'], [HEAD => $session, 'sessions.get'], [PATCH => $session, 'sessions.extend', 'extend'], [DELETE => $session, 'sessions.end'],
    [POST => "$session/pause", 'sessions.pause'], [POST => "$session/resume", 'sessions.resume'],
    [GET => "$session/contexts", 'contexts.list'], [POST => "$session/contexts", 'contexts.create', 'step'], [DELETE => "$session/contexts/a.b", 'contexts.end'],
    [GET => "$session/steps", 'steps.list'], [POST => "$session/steps", 'steps.create', 'step'], [POST => '/sessions/ses_1/steps', 'steps.create', 'step'],
    [POST => '/api/v1/sessions/ses_1/execute', 'steps.create', 'step'], [GET => "$session/steps/stp_1", 'steps.get'], [DELETE => "$session/steps/stp_1", 'steps.cancel'],
    [GET => "$session/steps/stp_1/stdout", 'steps.get'], [GET => "$session/steps/stp_1/stderr", 'steps.get'],
    [GET => "$session/processes", 'processes.list'], [POST => "$session/processes", 'processes.create', 'process'],
    [GET => "$session/processes/prc_1", 'processes.get'], [DELETE => "$session/processes/prc_1", 'processes.end'],
    [POST => "$session/processes/prc_1/stdin?eof=true", 'processes.stdin'], [POST => "$session/processes/prc_1/signal", 'processes.signal'],
    [POST => "$session/processes/prc_1/resize", 'processes.signal'], [GET => "$session/processes/prc_1/ws", 'processes.ws'],
    [GET => "$session/files", 'files.read'], [GET => "$session/files/", 'files.read'], [GET => "$session/files/a/b", 'files.read'], [HEAD => "$session/files/a", 'files.read'],
    [PUT => "$session/files/a", 'files.write'], [POST => "$session/files", 'files.write'], [GET => '/v1/status', 'status.get'], [DELETE => "$session/files/a/", 'files.remove'], [POST => "$session/mkdir", 'files.change'], [POST => "$session/move", 'files.change'],
    [GET => "$session/stat?path=a", 'files.stat'], [GET => "$session/archive?path=a", 'files.archive'], [PUT => "$session/archive?path=a", 'files.unpack'], [GET => "$session/watch?path=", 'files.watch'],
    [POST => "$session/artifacts", 'artifacts.collect'], [GET => '/v1/artifacts', 'artifacts.list'], [POST => '/v1/artifacts?name=a', 'artifacts.create'],
    [GET => '/v1/artifacts/art_1', 'artifacts.get'], [PATCH => '/v1/artifacts/art_1', 'artifacts.update'], [DELETE => '/v1/artifacts/art_1', 'artifacts.remove'],
    [GET => '/v1/policies', 'policies.list'], [POST => '/v1/policies', 'policies.create'], [GET => '/v1/policies/pol_1', 'policies.get'], [PUT => '/v1/policies/pol_1', 'policies.update'], [DELETE => '/v1/policies/pol_1', 'policies.remove'],
    [PUT => '/v1/policies/pol_1/targets', 'policies.apply'], [POST => '/v1/policies/pol_1/rollback', 'policies.rollback'], [GET => '/v1/policies/pol_1/versions', 'policies.versions'],
    [GET => '/v1/policies/pol_1/versions/3', 'policies.versions'], [GET => '/v1/policies/pol_1/versions/3/diff', 'policies.versions'],
    [GET => '/v1/revocations', 'revocations.list'], [POST => '/v1/revocations', 'revocations.create'], [GET => '/v1/revocations/rev_1', 'revocations.get'], [DELETE => '/v1/revocations/rev_1', 'revocations.remove'],
    [GET => '/v1/audit', 'audit.list'], [GET => '/v1/audit/head', 'audit.get'], [GET => '/v1/audit/7', 'audit.get'],
    [GET => '/v1/artifacts/art_1/content', 'artifacts.read'], [HEAD => '/v1/artifacts/art_1/content', 'artifacts.read'], [POST => '/v1/artifacts/art_1/url', 'artifacts.sign'],
    [GET => '/v1/jobs/job_1/artifacts/x', 'jobs.artifacts'],
);
my $n = 0;
my %wanted;
for my $route (@routes) {
    my ($method, $path, $name, $kind) = @$route;
    my $rid = 'route-' . ++$n;
    $wanted{$rid} = $name;
    my ($family) = $path =~ m{^/v1/(policies|revocations)\b};
    my $reply = $t->request($method, $path, headers => { 'X-Request-Id' => $rid }, $kind ? (json => $body{$kind}) : (), $family ? (scope => 'admin') : ());
    is($reply->{status}, 200, "$method $path");
    if ($family) {
        my ($needed, $other) = $method eq 'GET' ? qw(read write) : qw(write read);
        is($t->request($method, $path, scope => "$family:$needed")->{status}, 200, "with $family:$needed too");
        my $refused = $t->request($method, $path, scope => "$family:$other jobs:write");
        like("$refused->{status} $refused->{headers}{'www-authenticate'}", qr/^403 Bearer realm="sandbox", error="insufficient_scope", scope="$family:$needed", resource_metadata="http/, "not with $family:$other");
        is($t->request($method, $path)->{status}, 403, 'not without a scope');
    }
    next if $method eq 'HEAD';
    is("$reply->{json}{method} $reply->{json}{uri}", "$method $path", 'goes on as it is');
    my $context = $t->open_context($reply->{json}{context});
    # No policy decides on what mends it.
    is($context && "$context->{tenant} $context->{sessions} $context->{ttl_max}", $family ? 'demo 0 0' : 'demo 16 86400000', 'with the policy\'s word on sessions');
    is(defined $context->{limits} ? 1 : 0, $kind && $kind eq 'session' ? 1 : 0, 'and limits where something is made');
    is($t->request($method, $path, anonymous => 1, $kind ? (json => $body{$kind}) : ())->{status}, 401, 'not without a token');
}
$t->wait_until(30, sub { grep { /"route-$n"/ } $t->access_log });
my %seen = map { my $line = decode_json($_); ($line->{request_id} => $line->{route}) } $t->access_log;
is($seen{$_}, $wanted{$_}, "route of $_") for sort keys %wanted;

# Neighbours of these are nothing.
for my $path ('/sessions/', '/v1/sessions/', '/v2/sessions', '/api/sessions', '/api/v1/jobs', '/sessions/ses_1/files/a', '/api/v1/sessions/ses_1/files/a', "$session/execute", "$session/filesx",
              "$session/steps/stp_1/stdout/x", "$session/processes/prc_1/x", "$session/pause/x", "$session/unknown", "$session/files/../../../../etc/passwd", '/v1/artifacts/', '/v1/artifacts/art_1/content/x', '/v1/artifacts/art_1/x', '/artifacts') {
    is($t->request('GET', $path)->{status}, 404, "$path is nothing");
}

my %ws = (Upgrade => 'websocket', Connection => 'Upgrade', 'Sec-WebSocket-Key' => 'dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version' => '13', 'Sec-WebSocket-Protocol' => 'p');
sub upgrade {
    my ($path, @lines) = @_;
    return Sandbox::parse_reply($t->raw(join('', map { "$_\r\n" } "GET $path HTTP/1.1", @lines, ''), until => qr/\}$/));
}
my @ws = ('Host: localhost', 'Authorization: Bearer ' . $t->token, map { "$_: $ws{$_}" } sort keys %ws);
my $reply = upgrade("$session/processes/prc_1/ws", @ws);
is_deeply([@{ $reply->{json} }{qw(upgrade connection sec_websocket_key sec_websocket_version sec_websocket_protocol)}], [qw(websocket upgrade), @ws{qw(Sec-WebSocket-Key Sec-WebSocket-Version Sec-WebSocket-Protocol)}], 'a WebSocket\'s too');
ok($t->open_context($reply->{json}{context}), 'with an identity');
$reply = upgrade("$session/processes/prc_1/ws", grep { !/Upgrade/ } @ws);
is("$reply->{json}{upgrade}$reply->{json}{connection}", '', 'not unless the client asks for one');
$reply = upgrade("$session/processes/prc_1/ws", map { s/Upgrade: websocket/Upgrade: h2c/r } @ws);
is($reply->{json}{connection}, '', 'nor for another protocol');
$reply = upgrade("$session/steps/stp_1", @ws);
is("$reply->{json}{upgrade}$reply->{json}{connection}", '', 'and nowhere else');

# Names of files: what the client named is what the executor decodes, or it is refused.
sub decoded { my ($text) = @_; return $text =~ s/%([0-9a-f]{2})/chr hex $1/gier }
my %names = ('a b' => 'a%20b', 'a?b' => 'a%3Fb', 'a#b' => 'a%23b', 'a%b' => 'a%25b', 'a%2Fb' => 'a%252Fb', 'a%00b' => 'a%2500b', "\xc3\xa9" => '%C3%A9', "\xe6\x96\x87\xe4\xbb\xb6" => '%E6%96%87%E4%BB%B6',
             'a&b=c' => 'a%26b%3Dc', 'a;b' => 'a;b', 'a+b' => 'a+b', 'a:b' => 'a%3Ab', '~a' => '~a', "a'b" => 'a%27b', 'a"b' => 'a%22b', 'a\\b' => 'a%5Cb', 'a|b' => 'a%7Cb', 'a{b}' => 'a%7Bb%7D',
             "a\nb" => 'a%0Ab', "a\rb" => 'a%0Db', "a\x7fb" => 'a%7Fb', "a\xffb" => 'a%FFb', '.hidden' => '.hidden', '..a' => '..a', 'a..' => 'a..', '...' => '...', 'd/e' => 'd%2Fe', 'd/' => 'd/');
for my $name (sort keys %names) {
    my $reply = $t->request('PUT', "$session/files/$names{$name}", body => 'x');
    (my $shown = $name) =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
    is($reply->{status}, 200, "$shown goes on");
    my $got = decoded($reply->{json}{uri} =~ s{^\Q$session\E/files/}{}r);
    is($got, $name, 'as what it was') if is($reply->{json}{uri} =~ /\?/ ? 1 : 0, 0, 'with no arguments');
}
# What climbs is resolved before anything is decided: it is another path of this interface, or none. NUL never gets in.
my %climb = ("$session/files/../steps" => 'steps.list', "$session/files/%2e%2e/steps" => 'steps.list', "$session/files/..%2Fsteps" => 'steps.list', "$session/files/a/../b" => 'files.read',
             "$session/files/.%2e/..%2fses_2" => 'sessions.get', "$session/files//a" => 'files.read', "$session/files/./a" => 'files.read', "$session/files/%2Fetc%2Fpasswd" => 'files.read');
for my $path (sort keys %climb) {
    my $rid = 'climb-' . ++$n;
    my $reply = $t->request('GET', $path, headers => { 'X-Request-Id' => $rid });
    is($reply->{status}, 200, $path);
    unlike($reply->{json}{uri}, qr{\.\.|//|%2[ef]}i, "is $reply->{json}{uri}");
    $t->wait_until(30, sub { grep { /"$rid"/ } $t->access_log });
    is((map { decode_json($_)->{route} } grep { /"$rid"/ } $t->access_log)[0], $climb{$path}, 'and decided on as that');
}
for my $path ("$session/files/a%00b", "$session/files/%00", "$session/files/a%", "$session/files/a%2", "$session/files/a%zz", "$session/files/../../../../../etc/passwd", "$session/files/..%2f..%2f..%2f..%2f..%2fetc/passwd") {
    my $reply = $t->ask("GET $path HTTP/1.1", 'Host: localhost', 'Authorization: Bearer ' . $t->token, 'Connection: close');
    is($reply->{status}, 400, "$path is refused");
    is($reply->{json}{code}, 'bad_request', 'as a document');
}

# Sizes.
is($t->request('POST', $_->[0], json => $_->[1])->{status}, 413, "$_->[0] takes no body of $_->[2] bytes")
    for ["$session/pause", 'x' x 70_000, 70_000], ["$session/move", 'x' x 70_000, 70_000], ["$session/contexts", 'x' x 3_000_000, 3_000_000], ['/v1/artifacts/art_1/url', 'x' x 70_000, 70_000];
is($t->request('POST', "$session/steps", json => { code => "\x01" x (1 << 20) })->{status}, 200, 'a step of 1 MiB, every byte escaped');
is($t->request('PUT', "$session/files/large", body => 'x' x 30_000_000)->{status}, 200, 'a file of any size');
is($t->request('POST', '/v1/artifacts?name=large', body => 'x' x 30_000_000)->{status}, 200, 'an artifact of any size');

# Bodies: those of files, artifacts and input go on as they come; the others wait until they are whole. A body is
# begun on one connection, then a whole request is sent on another: which is the first to reach the executor?
$t->stop('upstream');
unlink $sock;
my $listener = IO::Socket::UNIX->new(Local => $sock, Listen => 16) or die "$sock: $!";
chmod 0666, $sock;
my @own;    # what the gateway asks for itself gets no answer here
sub arrives {
    while (1) {
        my $connection = IO::Select->new($listener)->can_read(10) ? $listener->accept : return '';
        my $head = '';
        while ($head !~ /\r\n\r\n/ && IO::Select->new($connection)->can_read(10)) { sysread($connection, $head, 65536, length $head) or last }
        return ($connection, $head) unless $head =~ m{^GET /v1/gateway/};
        push @own, $connection;
    }
}
# Headers that go on, and those that do not.
my %send = (Range => 'bytes=1-2', 'Content-Range' => 'bytes 0-3/4', 'If-Match' => '"a"', 'If-None-Match' => '*', 'If-Range' => '"b"', 'Last-Event-ID' => 'c.1', Accept => 'text/event-stream',
            'Content-Type' => 'application/x-tar', 'Idempotency-Key' => 'k');
for my $path ("$session/files/a", "$session/processes/prc_1/ws") {
    my $began = $t->begin('PUT', $path, body => 'abcd', headers => { %send, Cookie => 'x', Origin => 'http://evil', 'X-Other' => 'y', 'If-Unmodified-Since' => 'z', Upgrade => 'h2c', 'Content-Encoding' => 'gzip', 'X-API-KEY' => $t->token, Authorization => undef });
    my ($connection, $head) = arrives();
    my %got = map { /^([^:]+): (.*?)\r?$/ ? (lc $1 => $2) : () } split /\n/, $head;
    is($got{ lc $_ }, $send{$_}, "$path: $_ goes on") for sort keys %send;
    is_deeply([sort keys %got], [sort 'host', 'content-length', 'sandbox-context', 'traceparent', 'x-request-id', map { lc } keys %send], 'and nothing else');
    close $_ for $began, $connection;
}

my @streamed = ([PUT => "$session/files/a"], [PUT => "$session/archive"], [POST => "$session/processes/prc_1/stdin"], [POST => '/v1/artifacts']);
my @waiting = ([POST => "$session/steps"], [POST => '/v1/sessions'], [PATCH => $session], [POST => "$session/processes"], [POST => '/v1/jobs'], [POST => "$session/move"]);
for my $case ((map { [@$_, 1] } @streamed), (map { [@$_, 0] } @waiting)) {
    my ($method, $path, $streams) = @$case;
    for my $chunked (0, 1) {
        my $began = $t->begin($method, $path, body => $chunked ? "5\r\nhello\r\n" : 'hello', headers => { 'Content-Type' => 'application/json', $chunked ? ('Content-Length' => undef, 'Transfer-Encoding' => 'chunked') : ('Content-Length' => 100) });
        my ($first, $head) = $streams ? arrives() : ();
        my $other = $t->begin('GET', '/v1/jobs');
        my ($second, $then) = arrives();
        like($streams ? $head : $then, $streams ? qr{^$method \Q$path\E HTTP/1.1\r\n} : qr{^GET /v1/jobs }, "$method $path, " . ($chunked ? 'in chunks' : 'with a length') . ($streams ? ', goes on before it is whole' : ', waits'));
        like($head, $chunked ? qr/\r\ntransfer-encoding: chunked\r\n/i : qr/\r\ncontent-length: 100\r\n/i, 'framed as it came') if $streams;
        if ($streams) {
            my $bytes = $head =~ s/.*?\r\n\r\n//sr;
            while ($bytes !~ /hello/ && IO::Select->new($first)->can_read(10)) { sysread($first, $bytes, 65536, length $bytes) or last }
            like($bytes, qr/hello/, 'with the bytes so far');
        }
        close $_ for grep { $_ } $began, $other, $first, $second;
    }
}
close $listener;
unlink $sock;
$t->{expect_log} = qr/upstream prematurely closed|client prematurely closed|Connection reset by peer|Connection refused|No such file|prematurely closed/;
$t->finish;
done_testing();
