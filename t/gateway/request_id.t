#!/usr/bin/perl
# X-Request-Id and traceparent: on every reply, errors and refusals included, once.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Edge;
use Test::More;

my $t = Sandbox::Edge->new;
$t->start_edge("sandbox_auth off;", locations => <<'END');
    location /dead { proxy_pass http://127.0.0.1:1; }
    location /return { return 204; }
    location /moved { return 301 /there; }
    location /closed { sandbox_auth on; sandbox_auth_secret_file jwt.secret; proxy_pass http://up$sandbox_uri; }
END

my $own = qr/^req_[0-9a-hjkmnp-tv-z]{26}$/;
my $trace = qr/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/;
my %seen;
for my $case (['GET', '/', 200], ['GET', '/healthz', 200], ['HEAD', '/healthz', 200], ['POST', '/healthz', 405], ['GET', '/_problem', 404],
              ['GET', '/dead', 503], ['GET', '/return', 204], ['GET', '/moved', 301], ['GET', '/closed', 401], ['GET', '/missing', 404]) {
    my ($method, $path, $status) = @$case;
    my $reply = $t->request($method, $path, anonymous => 1);
    is($reply->{status}, $status, "$method $path: $status");
    like($reply->{headers}{'x-request-id'}, $own, 'an id of ours');
    like($reply->{headers}{traceparent}, $trace, 'a trace of ours');
    ok(!$seen{ $reply->{headers}{'x-request-id'} }++, 'not seen before');
}
for my $bytes ("FOO\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/9.9\r\nHost: a\r\n\r\n",
               "GET /" . 'x' x 20000 . " HTTP/1.1\r\n", "GET / HTTP/1.1\r\nX: " . 'x' x 20000, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
               "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
               "GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n") {
    my $reply = Sandbox::parse_reply($t->raw($bytes, half_close => 1));
    like($reply->{headers}{'x-request-id'}, $own, 'a broken request gets one: ' . substr $bytes =~ s/[\r\n].*//sr, 0, 24);
    is($reply->{json}{request_id}, $reply->{headers}{'x-request-id'}, 'the same in its problem document');
}

# A client's own.
for my $id ('a', 'A.b_c-9', 'x' x 64, 'req_1') {
    my $reply = $t->request('GET', '/', anonymous => 1, headers => { 'X-Request-Id' => $id });
    is($reply->{headers}{'x-request-id'}, $id, 'a proper one is kept');
    is($reply->{json}{x_request_id}, $id, 'and goes upstream');
}
for my $id ('x' x 65, 'a b', 'a/b', 'a"b', 'a;b', '<x>', "a\xc3\xa9", '{}', '%0d%0a') {
    my $reply = $t->ask('GET / HTTP/1.1', 'Host: localhost', "X-Request-Id: $id", 'Connection: close');
    like($reply->{headers}{'x-request-id'}, $own, 'an improper one is replaced');
    is($reply->{json}{x_request_id}, $reply->{headers}{'x-request-id'}, 'upstream too');
}
like($t->ask('GET / HTTP/1.1', 'Host: localhost', 'X-Request-Id: a', 'X-Request-Id: b', 'Connection: close')->{headers}{'x-request-id'}, $own, 'two are none');
like($t->ask('GET / HTTP/1.1', 'Host: localhost', 'X-Request-Id:', 'Connection: close')->{headers}{'x-request-id'}, $own, 'an empty one is none');

# The upstream's own headers of these names do not double ours.
my $reply = $t->request('GET', '/own', anonymous => 1, headers => { 'X-Request-Id' => 'mine' });
is($reply->{content}, 'own', 'an upstream that sets its own');
is($reply->{headers}{'x-request-id'}, 'mine', 'one id, ours');
like($reply->{headers}{traceparent}, $trace, 'one trace, ours');

# traceparent.
my $good = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
$reply = $t->request('GET', '/', anonymous => 1, headers => { traceparent => $good });
like($reply->{json}{traceparent}, qr/^00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)[0-9a-f]{16}-01$/, 'the trace goes on with a new parent');
for my $bad ('00-00000000000000000000000000000000-b7ad6b7169203331-01', '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01', '01', "$good-x",
             '00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01', 'ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01') {
    $reply = $t->request('GET', '/', anonymous => 1, headers => { traceparent => $bad });
    like($reply->{json}{traceparent}, $trace, 'an improper trace is replaced');
    unlike($reply->{json}{traceparent}, qr/0af7651916cd43dd8448eb211c80319c|^00-0{32}/, 'by a new one');
}
$t->logs(qr/id=\S+/, 'the id is in the access log');
$t->finish;
done_testing();
