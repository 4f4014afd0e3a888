#!/usr/bin/perl
# The files of sessions over executord's socket: HTTP's ways of reading and writing, and who may.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Sandbox::Stream;
use Test::More;

my $t = Sandbox->new;
$t->start_launcher;
$t->start_executor;
my $JSON = JSON::PP->new->utf8->canonical;

sub call {
    my ($method, $path, %option) = @_;
    my %who = (tenant => 'demo', up_bytes => 64 << 20, %{ $option{who} || {} });
    return $t->executor_request($method, $path, %option, context => Sandbox::Context::sign($t->{key}, %who));
}

my $r = call('POST', '/v1/sessions', json => { language => 'python' });
is($r->{status}, 201, 'a session') or diag(explain $r);
my $id = $r->{json}{session_id};
my $base = "/v1/sessions/$id";
sub file { my ($method, $path, %option) = @_; return call($method, "$base/files/$path", %option) }
sub code { my ($r) = @_; return $r ? "$r->{status} " . ($r->{json}{code} // '') : 'none' }

# In, out, over.
$r = file('PUT', 'a/b.txt', body => 'hello');
is($r->{status}, 201, 'a new file');
is_deeply([@{ $r->{json} }{qw(path name kind size mode)}], ['a/b.txt', 'b.txt', 'file', 5, '0644'], 'is described');
is($r->{headers}{etag}, "\"$r->{json}{etag}\"", 'with its version');
my $etag = $r->{headers}{etag};
$r = file('GET', 'a/b.txt');
is($r->{content}, 'hello', 'it comes out');
is($r->{headers}{etag}, $etag, 'in that version');
is($r->{headers}{'content-type'}, 'text/plain; charset=utf-8', 'by its name') if ($r->{headers}{'content-type'} // '') =~ /charset/;
is($r->{headers}{'x-content-type-options'}, 'nosniff', 'not to be guessed');
like($r->{headers}{'content-disposition'}, qr/^attachment; filename\*=UTF-8''b\.txt$/, 'as an attachment');
is(file('PUT', 'a/b.txt', body => 'again')->{status}, 200, 'an old one is replaced');
is(file('PUT', 'empty', headers => { 'Content-Length' => 0 })->{status}, 201, 'an empty one');
is(file('GET', 'empty')->{content}, '', 'comes out empty');
is(file('PUT', '%C3%A4%20b%25%23', body => 'x')->{json}{path}, "\xc3\xa4 b%#" =~ s/\xc3\xa4/\x{e4}/r, 'a name with everything');
is(file('GET', '%C3%A4%20b%25%23')->{content}, 'x', 'is found again');
is(file('PUT', 'a%5Cb', body => 'x')->{json}{path}, 'a\\b', 'a backslash is a byte');
my $big = join '', map { pack 'N', $_ * 2654435761 % 4294967296 } 1 .. 1_000_000;
is(file('PUT', 'big', body => $big)->{json}{size}, length $big, 'megabytes');
is(sha256_hex(file('GET', 'big')->{content}), sha256_hex($big), 'and back');
my $chunked = join '', map { sprintf "%x\r\n%s\r\n", length, $_ } unpack '(a50000)*', $big;
$r = Sandbox::parse_reply($t->executor_raw("PUT $base/files/chunked HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nSandbox-Context: "
    . Sandbox::Context::sign($t->{key}, tenant => 'demo', up_bytes => 64 << 20) . "\r\n\r\n${chunked}0\r\n\r\n"));
is($r->{json}{size}, length $big, 'without a length');

# Ranges and conditions.
for my $case (['bytes=0-3', 0, 4], ['bytes=3999990-', 3999990, 10], ['bytes=-7', 3999993, 7], ['bytes=100-9999999', 100, 3999900]) {
    my ($range, $at, $len) = @$case;
    $r = file('GET', 'big', headers => { Range => $range });
    is("$r->{status} $r->{headers}{'content-range'}", "206 bytes $at-" . ($at + $len - 1) . '/4000000', $range);
    ok($r->{content} eq substr($big, $at, $len), 'is those bytes');
}
$r = file('GET', 'big', headers => { Range => 'bytes=4000000-' });
is(code($r) . " $r->{headers}{'content-range'}", '416 range_not_satisfiable bytes */4000000', 'past the end');
is(length file('GET', 'big', headers => { Range => $_ })->{content}, 4000000, "$_ is the whole") for 'bytes=1-2,5-6', 'lines=1-2', 'bytes=x';
$etag = file('HEAD', 'big')->{headers}{etag};
is(file('GET', 'big', headers => { Range => 'bytes=0-0', 'If-Range' => $etag })->{status}, 206, 'a range of this version');
is(file('GET', 'big', headers => { Range => 'bytes=0-0', 'If-Range' => '"other"' })->{status}, 200, 'not of another');
is(file('GET', 'big', headers => { 'If-None-Match' => $etag })->{status}, 304, 'known');
is(file('GET', 'big', headers => { 'If-Match' => '"other"' })->{status}, 412, 'unknown');
is(file('HEAD', 'big')->{headers}{'content-length'}, 4000000, 'HEAD tells the size');
is(file('PUT', 'big', body => 'x', headers => { 'If-Match' => '"0-0-0-0"' })->{status}, 412, 'not over another version');
is(file('PUT', 'big', body => 'x', headers => { 'If-None-Match' => '*' })->{status}, 412, 'nor over any');
is(file('PUT', 'fresh', body => 'x', headers => { 'If-Match' => '*' })->{status}, 412, 'nor where there is none');
is(file('PUT', 'big', body => 'x', headers => { 'If-Match' => 'unquoted' })->{status}, 422, 'nor over what is no tag');
is(file('PUT', 'big', body => 'new', headers => { 'If-Match' => "\"x\", $etag" })->{status}, 200, 'over this one');
is(file('DELETE', 'big', headers => { 'If-Match' => $etag })->{status}, 412, 'and that one is gone');

# In pieces.
my @pieces = unpack '(a1000000)*', $big;
for my $i (0 .. 3) {
    my $first = $i * 1_000_000;
    $r = file('PUT', 'pieces', body => $pieces[$i], headers => { 'Content-Range' => "bytes $first-" . ($first + 999_999) . '/4000000' });
    is($r->{status}, $i ? 200 : 201, "piece $i");
}
ok(file('GET', 'pieces')->{content} eq $big, 'make the whole');
for my $case (['bytes 5000000-5000000/9000000', 'past the end'], ['bytes 0-1/4000000', 'another length'], ['bytes 0-0', 'no total'],
              ['bytes 0-0/*', 'an unknown total'], ['bytes 3-2/9', 'backwards'], ['0-0/1', 'no unit'], ['bytes 0-9/5', 'past its total']) {
    is(code(file('PUT', 'pieces', body => 'x', headers => { 'Content-Range' => $case->[0] })), '422 invalid_request', "a piece with $case->[1]");
}
is(code(file('PUT', 'pieces', body => 'x', headers => { 'Content-Range' => 'bytes 0-0/999999999' })), '413 payload_too_large', 'larger than allowed');
ok(file('GET', 'pieces')->{content} eq $big, 'none of them changed it');

# Trees.
file('PUT', "d/e/$_", body => $_) for 1 .. 5;
is(code(file('GET', 'd')), '200 ', 'a directory is listed');
is_deeply([map { $_->{path} } @{ file('GET', 'd?recursive=true')->{json}{entries} }], ['d/e', map { "d/e/$_" } 1 .. 5], 'with what is below');
$r = file('GET', 'd/e?limit=2');
is($r->{json}{next}, 'd/e/2', 'a page');
$r = file('GET', 'd/e?limit=3&after=d%2Fe%2F2');
is_deeply([(map { $_->{name} } @{ $r->{json}{entries} }), $r->{json}{next}], [3, 4, 5, undef], 'and the next');
for my $root ("$base/files", "$base/files/") {
    $r = call('GET', "$root?limit=1000");
    is("$r->{status} $r->{json}{path}", '200 ', "$root is the workspace");
    ok((grep { $_->{path} eq 'a' && $_->{kind} eq 'directory' } @{ $r->{json}{entries} }), 'with what is in it');
    is(scalar @{ call('GET', "$root?limit=1")->{json}{entries} }, 1, 'a page at a time');
    $r = call('HEAD', $root);
    is("$r->{status} $r->{content}", '200 ', 'HEAD of it');
    is(code(call('GET', "$root?limit=0")), '422 invalid_request', 'asked for rightly');
    is(code(call('GET', $root, who => { tenant => 'other' })), '404 not_found', 'by its tenant');
    is(code(call('GET', $root, who => { scopes => 'sessions:write' })), '403 forbidden', 'who may read');
}
is(code(call($_, "$base/files", body => 'x')), '405 method_not_allowed', "$_ needs a path") for qw(PUT DELETE);
is(code(call('GET', "$base/filesx")), '404 not_found', 'nothing else is called so');
is(code(file('GET', "d/e?$_")), '422 invalid_request', "not $_") for 'limit=0', 'limit=1001', 'limit=x', 'after=a', 'after=..', 'recursive=1', 'other=1';
is(call('GET', "$base/stat?path=d%2Fe")->{json}{kind}, 'directory', 'stat');
is(call('GET', "$base/stat")->{json}{path}, '', 'of the workspace');
is(code(call('GET', "$base/stat?path=none")), '404 not_found', 'of nothing');
is(call('POST', "$base/mkdir", json => { path => 'm/n' })->{status}, 201, 'directories');
is(call('POST', "$base/mkdir", json => { path => 'm/n' })->{status}, 201, 'twice');
is(code(call('POST', "$base/mkdir", json => { path => 'empty' })), '409 conflict', 'not over a file');
is(call('POST', "$base/move", json => { from => 'empty', to => 'm/moved' })->{json}{path}, 'm/moved', 'a move');
is(code(call('POST', "$base/move", json => { from => 'm/moved', to => 'pieces' })), '409 conflict', 'not over another');
is(call('POST', "$base/move", json => { from => 'm/moved', to => 'pieces', overwrite => JSON::PP::true })->{status}, 200, 'unless asked to');
is(code(call('POST', "$base/move", json => $_)), '422 invalid_request', 'not ' . $JSON->encode($_))
    for { from => 'd' }, { from => 'd', to => '../x' }, { from => '/d', to => 'x' }, { from => 'd', to => 'd/e/f' }, { from => 'd', to => 'x', more => 1 },
        { from => 'd', to => 'x', overwrite => 1 };
is(code(file('DELETE', 'd')), '409 conflict', 'a full directory is not deleted');
my $tar = call('GET', "$base/archive?path=d");
is($tar->{headers}{'content-type'}, 'application/x-tar', 'an archive');
for my $sizeless ('archive?path=d', 'watch') {
    $r = call('HEAD', "$base/$sizeless");
    is($r->{status}, 405, "HEAD of $sizeless");
    unlike($r->{headers}{allow}, qr/HEAD/, '  which Allow does not name');
}
is(file('DELETE', 'd?recursive=true')->{status}, 204, 'unless asked to');
is(code(file('GET', 'd')), '404 not_found', 'and then it is gone');
$r = call('PUT', "$base/archive?path=d2", body => $tar->{content});
is_deeply($r->{json}, { path => 'd2', files => 5, directories => 1, bytes => 5 }, 'and back from the archive');
is(file('GET', 'd2/e/3')->{content}, '3', 'with what was in it');
is(code(call('PUT', "$base/archive", body => 'no archive' x 100)), '422 invalid_request', 'no archive');
is(code(call('PUT', "$base/archive", body => substr $tar->{content}, 0, 1024)), '422 invalid_request', 'half of one');

# What is no path.
for my $path ('..', '../x', 'a/../../x', '%2e%2e/x', 'a//b', './a', 'a/.', 'a/', '/etc/passwd', '%2Fetc', 'a%00b', 'a%zz', '%', 'a%2', '%ff', '%c0%ae%c0%ae/x', '%ed%a0%80',
              'x' x 256, join('/', ('d') x 17), 'x/' x 600) {
    my @wrong = grep { code(file($_, $path, $_ eq 'PUT' ? (body => 'x') : ())) ne '422 invalid_request' } qw(GET PUT DELETE);
    is_deeply(\@wrong, [], 'not ' . substr $path, 0, 30);
}
is(code(file('GET', '%252e%252e/etc/passwd')), '404 not_found', 'nothing is decoded twice');
is(code(file('PUT', '', body => 'x')), '422 invalid_request', 'the workspace is no file');
is(code(file('DELETE', '?recursive=true')), '422 invalid_request', 'and cannot be deleted');
is(code(call($_->[0], "$base/$_->[1]")), '422 invalid_request', "not $_->[1]") for ['GET', 'stat?path=..'], ['GET', 'archive?path=%2Fetc'], ['GET', 'watch?path=a%2F..'],
    ['GET', 'stat?path=%00'], ['GET', 'watch?recursive=2'];

# Who, and how much.
is(code(call('GET', "$base/files/a/b.txt", who => { tenant => 'other' })), '404 not_found', 'another tenant sees nothing');
is(code(call('GET', "$base/files/a/b.txt", who => { scopes => 'sessions:write' })), '403 forbidden', 'writing is not reading');
is(code(call('PUT', "$base/files/x", body => 'x', who => { scopes => 'sessions:read' })), '403 forbidden', 'nor the other way');
is(code(call('GET', '/v1/sessions/ses_0/files/x')), '404 not_found', 'no such session');
is($t->executor_request('GET', "$base/files/x")->{status}, 401, 'nobody sees nothing');
$r = call('PUT', "$base/files/x", body => 'x' x 2000, who => { up_bytes => 1000 });
is(code($r), '413 payload_too_large', 'no more than the policy has');
like($r->{json}{detail}, qr/1000/, 'which is told');
$r = Sandbox::parse_reply($t->executor_raw("PUT $base/files/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nSandbox-Context: "
    . Sandbox::Context::sign($t->{key}, tenant => 'demo', up_bytes => 1000) . "\r\n\r\n7d0\r\n" . 'x' x 2000 . "\r\n0\r\n\r\n", until => qr/\}\s*\z/));
is(code($r), '413 payload_too_large', 'also when it was not announced');
is(code(file('GET', 'x')), '404 not_found', 'and nothing of it is there');
is(code(call('PATCH', "$base/files/x")), '405 method_not_allowed', 'no other method');

# An upload that breaks off.
my $who = Sandbox::Context::sign($t->{key}, tenant => 'demo', up_bytes => 64 << 20);
$t->executor_raw("PUT $base/files/broken HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nSandbox-Context: $who\r\n\r\n" . 'x' x 50_000, half_close => 1);
is(code(file('GET', 'broken')), '404 not_found', 'a whole file that breaks off is none');
$t->executor_raw("PUT $base/files/part HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nContent-Range: bytes 0-99999/100000\r\nSandbox-Context: $who\r\n\r\n" . 'x' x 50_000,
    half_close => 1);
my $has = file('HEAD', 'part')->{headers}{'content-length'};
is($has, 50_000, 'of a piece what came stays');
is(file('PUT', 'part', body => 'y' x 50_000, headers => { 'Content-Range' => 'bytes 50000-99999/100000' })->{json}{size}, 100_000, 'and the rest follows');
ok(file('GET', 'part')->{content} eq 'x' x 50_000 . 'y' x 50_000, 'exactly');
is_deeply([grep { $_->{name} =~ /^\./ } @{ file('GET', '')->{json}{entries} }], [], 'nothing hidden is left');

# A watch.
my $watch = Sandbox::Stream->executor($t, 'GET', "$base/watch?recursive=true", who => { tenant => 'demo' });
ok($watch->until(30, sub { grep { $_->{event} eq 'start' } @{ $watch->{events} } }), 'a watch begins') or diag(explain $watch);
file('PUT', 'w/new', body => 'x');
ok($watch->until(30, sub { grep { $_->{event} eq 'created' && $_->{data}{path} eq 'w/new' } @{ $watch->{events} } }), 'and tells of a file');
file('DELETE', 'w/new');
ok($watch->until(30, sub { grep { $_->{event} eq 'deleted' } @{ $watch->{events} } }), 'and of its end');

# The end.
is(call('DELETE', $base)->{status}, 200, 'the session ends');
ok($watch->until(30, sub { grep { $_->{event} eq 'end' } @{ $watch->{events} } }), 'the watch is told');
is(code(file('GET', 'a/b.txt')), '410 gone', 'its files are gone');
is(code(file('PUT', 'a/b.txt', body => 'x')), '410 gone', 'and none can be made');
my ($fine, $text) = $t->audit_verify;
ok($fine, 'the audit log holds') or diag($text);
my $log = join '', map { $t->read_file($_ =~ s{^\Q$t->{dir}\E/}{}r) } glob "$t->{dir}/data/audit/audit-*";
my ($event) = map { $JSON->decode($_) } grep { /"file\.uploaded"/ && m{"a/b\.txt"} } $t->audit_lines;
is($event->{body}{sha256}, sha256_hex('hello'), 'with what was uploaded');
like($log, qr/"kind":"file.uploaded"[^\n]*"path":"part"[^\n]*"size":50000/, 'also what was broken off');
like($log, qr/"kind":"$_"/, "and $_") for qw(file.read file.moved file.deleted);

$t->finish;
done_testing();
