#!/usr/bin/perl
# Bodies on their way to the policy: kinds, sizes, memory or file, whole or broken.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Front;
use Test::More;

my $t = Sandbox::Front->new;
my $locations = <<'END';
    location = /v1/jobs { sandbox_policy body; client_max_body_size 4m; client_body_buffer_size 256k; proxy_pass http://up$sandbox_uri; }
    location = /file { sandbox_policy body; client_max_body_size 4m; client_body_buffer_size 1k; proxy_pass http://up$sandbox_uri; }
    location = /only { sandbox_policy body; client_max_body_size 4m; client_body_in_file_only clean; proxy_pass http://up$sandbox_uri; }
    location = /single { sandbox_policy body; client_max_body_size 4m; client_body_in_single_buffer on; proxy_pass http://up$sandbox_uri; }
    location = /unbuffered { sandbox_policy body; client_max_body_size 4m; proxy_request_buffering off; proxy_pass http://up$sandbox_uri; }
END
my $dir = $t->policies(default => { files => { max_bytes => '8Mi' }, languages => ['python'] });
$t->start_front("sandbox_policy_dir $dir;", locations => $locations, workers => 2);

sub post {
    my ($path, $body, %headers) = @_;
    return $t->await($t->begin('POST', $path, body => $body, headers => { 'Content-Type' => 'application/json', %headers }));
}
sub chunked {
    my ($path, @chunks) = @_;
    return post($path, join('', map { sprintf "%x\r\n%s\r\n", length, $_ } @chunks) . "0\r\n\r\n", 'Content-Length' => undef, 'Transfer-Encoding' => 'chunked');
}
my $good = '{"language":"python","code":"x"}';
sub sized { my ($n) = @_; return '{"language":"python","code":"' . 'x' x $n . '"}' }

# Whole bodies, everywhere they can lie.
for my $path (qw(/v1/jobs /file /only /single /unbuffered)) {
    for my $size (0, 100, 900, 1100, 4096, 16384, 200_000, 900_000) {
        my $body = sized($size);
        my $reply = post($path, $body);
        is($reply->{status}, 200, "$path: $size bytes");
        is($reply->{json}{content_length}, length $body, 'all of them go on');
        is(chunked($path, unpack '(a5000)*', $body)->{status}, 200, 'in chunks too') if $size < 300_000;
        my $evil = $body =~ s/python/ruby/r;
        is(post($path, $evil)->{status}, 403, 'and the policy reads them');
    }
}
is(chunked('/v1/jobs', split //, $good)->{status}, 200, 'a byte a chunk');

# A client that sends slowly, byte by byte over the wire.
my $request = "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nAuthorization: Bearer "
            . $t->token . "\r\nContent-Length: " . length($good) . "\r\n\r\n";
is(Sandbox::parse_reply($t->raw([$request, split //, $good], pause => 0.005))->{status}, 200, 'a body that comes in crumbs');
is(Sandbox::parse_reply($t->raw([$request =~ s/\r\n\r\n/\r\nExpect: 100-continue\r\n\r\n/r, $good], pause => 0.1) =~ s/^HTTP\/1.1 100 Continue\r\n\r\n//r)->{status}, 200,
   'Expect: 100-continue');

# Not JSON.
my %malformed = (
    'nothing' => '', 'space' => '  ', 'half an object' => '{"language":"python"', 'half a string' => '{"language":"pyt',
    'two documents' => "$good$good", 'a tail' => "$good x", 'a comma too many' => '{"language":"python",}',
    'single quotes' => "{'language':'python'}", 'a bare word' => '{"language":python}', 'no colon' => '{"language" "python"}',
    'a comment' => '{"language":"python"/* */}', 'NaN' => '{"language":"python","wait":NaN}',
    'a leading zero' => '{"language":"python","wait":01}', 'hex' => '{"language":"python","wait":0x1}',
    'a duplicate member' => '{"language":"python","language":"bash"}',
    'a duplicate in depth' => '{"language":"python","limits":{"memory":1,"memory":2}}',
    'a duplicate by escape' => '{"language":"python","l\u0061nguage":"bash"}',
    'a NUL byte' => "{\"language\":\"py\0thon\"}", 'an escaped NUL' => '{"language":"python\u0000"}',
    'a lone surrogate' => '{"language":"\ud800"}', 'bad UTF-8' => "{\"language\":\"\xff\xfe\"}",
    'overlong UTF-8' => "{\"language\":\"\xc0\xaf\"}", 'a raw newline in a string' => "{\"language\":\"py\nthon\"}",
    'UTF-16' => join('', map { "$_\0" } split //, $good), 'a byte order mark' => "\xef\xbb\xbf$good",
    'too deep' => '{"language":"python","event":' . '[' x 100 . ']' x 100 . '}',
    'very deep' => '[' x 100_000, 'a form' => 'language=python', 'a number too large' => '{"language":"python","wait":1e999}',
);
for my $what (sort keys %malformed) {
    for my $path ('/v1/jobs', '/file') {
        my $reply = post($path, $malformed{$what});
        is($reply->{status}, 400, "$path: $what");
        is($reply->{json}{code}, 'malformed_json', 'malformed_json');
    }
}
is(post('/v1/jobs', "  \r\n\t$good\n ")->{status}, 200, 'space around a document is fine');
is(post('/v1/jobs', '{"language":"python","event":' . '[' x 20 . ']' x 20 . '}')->{status}, 200, 'some depth too');

# Another type.
for my $type ('text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'application/jsonp', 'application/json-seq',
              'application/json;charset=latin1', 'application/jsoncharset=utf-8', 'text/json', 'json', undef) {
    my $reply = post('/v1/jobs', $good, 'Content-Type' => $type);
    is($reply->{status}, 415, '415: ' . ($type // 'no type'));
    is($reply->{json}{code}, 'unsupported_media_type', 'unsupported_media_type');
}
is(post('/v1/jobs', $good, 'Content-Encoding' => 'gzip')->{status}, 415, 'a compressed body is another type');
is(post('/v1/jobs', $good, 'Content-Type' => $_)->{status}, 200, "fine: $_") for 'application/json; charset=utf-8', 'Application/JSON', 'application/json;charset=UTF-8', 'application/json;';

# Too large.
my $reply = post('/v1/jobs', 'x', 'Content-Length' => 5_000_000);
is($reply->{status}, 413, 'a length over the maximum');
is($reply->{json}{code}, 'payload_too_large', 'payload_too_large');
is($reply->{headers}{'content-type'}, 'application/problem+json', 'as a document');
$reply = chunked('/v1/jobs', ('y' x 65536) x 70);
is($reply->{status}, 413, 'chunks that add up to too much');
is(post('/v1/jobs', $good, 'Content-Length' => '99999999999999999999')->{status}, 400, 'a length that is no number of ours');
is(post('/v1/jobs', $good, 'Content-Length' => '-1')->{status}, 400, 'a negative one');
is(post('/v1/jobs', $good, 'Content-Length' => '0x20')->{status}, 400, 'a hexadecimal one');

# Cut off.
for my $body (substr($good, 0, 10), '') {
    my $socket = $t->begin('POST', '/v1/jobs', body => $body, headers => { 'Content-Type' => 'application/json', 'Content-Length' => 1000 });
    close $socket;
}
for my $broken ("zz\r\n", "5\r\nab", "-1\r\n", "ffffffffffffffffff\r\n", "5\r\n{}{}{}{}\r\n", "5;ext\n", '') {
    my $reply = Sandbox::parse_reply($t->raw($request =~ s/Content-Length: \d+/Transfer-Encoding: chunked/r . $broken, half_close => 1, seconds => 3));
    ok(!$reply || $reply->{status} == 400, 'a broken chunk "' . ($broken =~ s/[^ -~]/./gr) . '": ' . ($reply ? $reply->{status} : 'closed'));
}
is(Sandbox::parse_reply($t->raw($request =~ s/\r\n\r\n/\r\nTransfer-Encoding: chunked\r\n\r\n/r . "0\r\n\r\n"))->{status}, 400, 'a length and chunks at once');
ok($t->wait_until(30, sub { $t->metric('in_flight') == 1 }), 'nothing waits for a body that never comes');

# Two requests on a connection: what is left of a refused body is not the next request.
my $bad = '{"language":"ruby","code":"' . 'POST /evil HTTP/1.1\r\n' x 50 . '"}';
my $two = join '', map { "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer " . $t->token . "\r\nContent-Length: " . length($_) . "\r\n\r\n$_" } $bad, $good;
my $both = qr{HTTP/1\.1 \d+ .*HTTP/1\.1 \d+ }s;
my $replies = $t->raw($two, until => $both);
is(join(' ', $replies =~ m{HTTP/1\.1 (\d+) }g), '403 200', 'a refusal and then a good one, on one connection');
$two =~ s/Content-Type: application\/json/Content-Type: text\/plain/;
is(join(' ', $t->raw($two, until => $both) =~ m{HTTP/1\.1 (\d+) }g), '415 200', 'also when the body was never read');
is_deeply([glob "$t->{dir}/tmp/gateway/client_body/*"], [], 'no temporary file is left');
unlike($t->error_log, qr/\[(alert|crit|emerg)\]/, 'nothing alarming in the log');
$t->finish;
done_testing();
