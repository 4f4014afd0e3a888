#!/usr/bin/perl
# Errors that nginx makes become problem documents with their right status; the upstream's stay.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Edge;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox::Edge->new;
my $silent = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0) or die $!;
my $rude = IO::Socket::INET->new(Listen => 8, LocalAddr => '127.0.0.1', LocalPort => 0) or die $!;
my $rude_pid = fork // die $!;
if (!$rude_pid) {
    while (my $client = $rude->accept) {
        sysread $client, my $request, 8192;
        syswrite $client, "HTTP/1.1 200 OK\r\n\x01: y\r\n\r\n" if $request =~ /garbled/;
    }
    POSIX::_exit(0);
}
$t->start_edge('', locations => <<"END");
    location /dead { proxy_pass http://127.0.0.1:1; }
    location /gone { proxy_pass http://unix:$t->{dir}/none.sock; }
    location /closing { proxy_pass http://127.0.0.1:@{[ $rude->sockport ]}; }
    location /garbled { proxy_pass http://127.0.0.1:@{[ $rude->sockport ]}/garbled; }
    location /silent { proxy_read_timeout 200ms; proxy_pass http://127.0.0.1:@{[ $silent->sockport ]}; }
    location /busy { return 503; }
    location /broken { return 500; }
    location /notfound { return 404; }
    location /unsaid { error_page 418 /_problem; return 418; }
    location /files { root $t->{dir}/www; }
END

sub problem {
    my ($reply, $status, $code, $name) = @_;
    is($reply->{status}, $status, "$name: $status");
    is($reply->{headers}{'content-type'}, 'application/problem+json', 'a problem document');
    is_deeply([@{ $reply->{json} || {} }{qw(code status type)}], [$code, $status, "urn:ngx-sandbox:problem:$code"], 'its code and status');
    is($reply->{json}{request_id}, $reply->{headers}{'x-request-id'}, 'its request id');
    is($reply->{headers}{'cache-control'}, 'no-store', 'not to be stored');
    is($reply->{headers}{'content-length'}, length $reply->{content}, 'its length') if length $reply->{content};
    unlike($reply->{content}, qr/nginx|<html/i, 'nothing of nginx in it');
}
sub get { my ($path, $method) = @_; return $t->request($method // 'GET', $path, anonymous => 1) }
sub raw { my ($bytes) = @_; return Sandbox::parse_reply($t->raw($bytes, until => qr/\r\n\r\n.*\}\z/s)) }

problem(get('/notfound'), 404, 'not_found', 'return 404');
problem(get('/files/none'), 404, 'not_found', 'a file that is not there');
for my $case (['/dead', 503, 'unavailable', 'no upstream'], ['/gone', 503, 'unavailable', 'no socket of an upstream'],
              ['/closing', 502, 'bad_gateway', 'an upstream that ends without an answer'],
              ['/garbled', 502, 'bad_gateway', 'an answer that is none'],
              ['/silent', 504, 'gateway_timeout', 'a silent upstream'], ['/busy', 503, 'unavailable', 'return 503']) {
    my ($path, @expected) = @$case;
    my $reply = get($path);
    problem($reply, @expected);
    is($reply->{headers}{'retry-after'}, 1, 'says when to come back');
    is($reply->{json}{retry_after_seconds}, 1, 'in the document, too');
}
is(get('/dead', 'POST')->{status}, 503, 'no upstream for a POST: it was not sent');
is(get('/closing', 'POST')->{status}, 502, 'a POST that may have done something');
problem(get('/broken'), 500, 'internal', 'return 500');
is(get('/broken')->{headers}{'retry-after'}, undef, 'and nothing about coming back');
problem(get('/unsaid'), 500, 'internal', 'a status without a document of its own');
problem(get('/_problem'), 404, 'not_found', 'the location itself, asked for');
problem(get('/_problem', 'POST'), 404, 'not_found', 'with POST');
problem($t->request('POST', '/', anonymous => 1, body => 'x' x 2000), 413, 'payload_too_large', 'a body over the maximum');
problem(raw("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"), 413, 'payload_too_large', 'a length over the maximum');
problem(raw('GET /' . 'x' x 20000 . " HTTP/1.1\r\nHost: localhost\r\n\r\n"), 414, 'uri_too_long', 'a URI too long');
problem(raw("GET / HTTP/1.1\r\nHost: localhost\r\nX: " . 'x' x 20000 . "\r\n\r\n"), 431, 'headers_too_large', 'a header too long');
problem(raw("GET / HTTP/1.1\r\nHost: localhost\r\n" . join('', map { "X$_: " . 'x' x 15000 . "\r\n" } 1 .. 5) . "\r\n"), 431, 'headers_too_large', 'headers too long together');
problem(raw("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n"), 400, 'bad_request', 'a negative length');
problem(raw("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), 400, 'bad_request', 'two framings');
problem(raw("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"), 400, 'bad_request', 'two lengths');
problem(raw("GET /%00 HTTP/1.1\r\nHost: localhost\r\n\r\n"), 400, 'bad_request', 'a NUL in the path');
problem(raw("GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n"), 400, 'bad_request', 'a path above the root');
problem(raw("GARBAGE\r\n\r\n"), 400, 'bad_request', 'garbage');
problem(raw("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), 400, 'bad_request', 'a chunk size that is none');
for my $method (qw(TRACE CONNECT)) {
    my $reply = raw("$method " . ($method eq 'CONNECT' ? 'a:80' : '/') . " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    problem($reply, $reply->{status} == 400 ? (400, 'bad_request') : (405, 'method_not_allowed'), $method);
}
for my $method (qw(PROPFIND MKCOL LOCK BREW)) {
    my $reply = raw("$method / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    problem($reply, 405, 'method_not_allowed', $method);
    like($reply->{headers}{allow}, qr/\bGET\b.*\bPOST\b/, 'with Allow');
}
my $health = $t->request('DELETE', '/healthz', anonymous => 1);
problem($health, 405, 'method_not_allowed', 'DELETE /healthz');
is($health->{headers}{allow}, 'GET, HEAD', 'with its own Allow');
my $head = $t->ask('HEAD /notfound HTTP/1.1', 'Host: localhost', 'Connection: close');
is($head->{status}, 404, 'HEAD');
is($head->{content}, '', 'without a body');

# The upstream's own answers are its own.
my $theirs = get('/missing');
is($theirs->{status}, 404, 'an upstream\'s 404');
is($theirs->{json}{code}, 'theirs', 'keeps its document');

# HTTP/0.9 has no head to put a status in, but no page either.
my $old = $t->raw("GET /\r\n", half_close => 1);
like($old, qr/^\{.*"code":"bad_request"/, 'HTTP/0.9 is refused');
unlike($old, qr/"uri"/, 'and does not reach the upstream');

# The connection goes on after a refusal that was well framed, and not after one that was not.
my $two = $t->raw("GET /notfound HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
like($two, qr/404.*"not_found".*200 OK.*"ok"/s, 'a second request on the connection of a refused one');
$two = $t->raw("BREW / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhelloGET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
unlike($two, qr/200 OK/, 'none after a request whose form was refused');
kill 'TERM', $rude_pid;
waitpid $rude_pid, 0;
$t->finish;
done_testing();
