#!/usr/bin/perl
# Several files into a session by one request: all of them, or who was not and who was before; what they may be made of, how
# much, and whose.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use Sandbox;
use Sandbox::Tool;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 2 });
$t->start_launcher->start_executor;
my $JSON = JSON::PP->new->canonical->utf8;
my $tool = Sandbox::Tool->new($t);
my $rest = sub { return $tool->rest(@_) };
sub code { return Sandbox::Tool::code($_[0]) }

my $id = $rest->('POST', '/v1/sessions', json => { language => 'python', ttl => '10m' })->{json}{session_id};
sub write_to { my ($session, $files, %option) = @_; return $tool->post("/tools/sessions/$session/files", { files => $files }, %option) }
sub write_files { my ($files, %option) = @_; return write_to($id, $files, %option) }
sub content { my ($path) = @_; return $rest->('GET', "/v1/sessions/$id/files/$path")->{content} }
sub audit { my ($kind) = @_; return grep { $_->{kind} eq $kind } map { $JSON->decode($_) } $t->audit_lines }

# All of them.
my $bytes = join '', map { chr $_ } 0 .. 255;
my @files = (
    { path => 'plain.txt', content => "hello\n" },
    { path => 'deep/er/x.py', content => 'x = 1', encoding => 'utf-8' },
    { path => 'bytes', content => encode_base64($bytes, ''), encoding => 'base64' },
    { path => 'empty', content => '' },
    { path => "\x{e4} \x{1f600}", content => "\x{e4}" },
);
my $r = write_files(\@files);
is("$r->{status} $r->{headers}{'content-type'} $r->{result}", '200 application/vnd.sandbox.tool+json complete', 'five files') or diag $r->{content};
my @named = ([ 'plain.txt', 6, sha256_hex("hello\n") ], [ 'deep/er/x.py', 5, sha256_hex('x = 1') ], [ 'bytes', 256, sha256_hex($bytes) ], [ 'empty', 0, sha256_hex('') ], [ "\x{e4} \x{1f600}", 2, sha256_hex("\xc3\xa4") ]);
my $data = $r->{json}{structuredContent};
is_deeply([map { [@$_{qw(path size sha256)}] } @{ $data->{files} }], \@named, 'each with its size and digest');
is($data->{session_id}, $id, 'in that session');
is_deeply([map { $_->{uri} } @{ $data->{files} }[1, 4]], ["sandbox://session/$id/deep/er/x.py", "sandbox://session/$id/%C3%A4%20%F0%9F%98%80"], 'and by what to read it');
is($r->{json}{isError}, JSON::PP::false, 'no error');
my $text = Sandbox::Tool::text($r);
like($text, qr/^Wrote 5 files to the workspace of $id:\nplain\.txt  6 bytes  sha256 [0-9a-f]{64}\n/, 'as text too');
like($text, qr/^\Q$_->[0]\E  .*$_->[2]$/m, "  with $_->[1] bytes") for @named;
is(content('plain.txt'), "hello\n", 'they are there');
is(content('bytes'), $bytes, 'byte for byte');
is(content('empty'), '', 'also an empty one');
is($rest->('POST', "/v1/sessions/$id/steps", json => { code => 'open("bytes","rb").read() == bytes(range(256)) and open("deep/er/x.py").read()' })->{json}{results}[-1]{data}{'text/plain'}, "'x = 1'", 'and the code sees them');
$r = $rest->('POST', "/v1/sessions/$id/files", json => { files => [{ path => 'plain.txt', content => 'again' }] });
is($r->{status}, 200, 'as REST');
is_deeply($r->{json}, { session_id => $id, files => [{ path => 'plain.txt', uri => "sandbox://session/$id/plain.txt", size => 5, sha256 => sha256_hex('again') }] }, '  with the same in its answer');
is(content('plain.txt'), 'again', 'over the one of before');
my $big = 'x' x (4 << 20);
is(write_files([{ path => 'big1', content => $big }, { path => 'big2', content => $big }])->{status}, 200, '8 MiB');
is(length content('big2'), 4 << 20, 'arrive');
is(write_files([map { { path => "many/$_", content => "$_" } } 1 .. 64])->{status}, 200, '64 files');
is(content('many/64'), '64', 'arrive');
is($t->wait_until(30, sub { scalar grep { ($_->{body}{path} // '') eq 'many/64' } audit('file.uploaded') }) ? 1 : 0, 1, 'each is an event');
is((grep { ($_->{body}{path} // '') eq 'bytes' } audit('file.uploaded'))[0]{body}{sha256}, sha256_hex($bytes), '  with what was written');

# What is no request.
for my $case (
    ['no object', []], ['nothing', {}], ['no array', { files => {} }], ['no file', { files => [] }], ['null', { files => undef }], ['another member', { files => [{ path => 'x', content => '' }], upload => 1 }],
    ['a file that is none', { files => ['x'] }], ['no path', { files => [{ content => 'x' }] }], ['no content', { files => [{ path => 'x' }] }], ['content and uri', { files => [{ path => 'x', content => 'x', uri => 'sandbox://artifact/x' }] }],
    ['an unknown member', { files => [{ path => 'x', content => 'x', mode => 1 }] }], ['content of a number', { files => [{ path => 'x', content => 1 }] }], ['an unknown encoding', { files => [{ path => 'x', content => 'x', encoding => 'hex' }] }],
    ['no base64', { files => [{ path => 'x', content => 'x', encoding => 'base64' }] }], ['a path twice', { files => [{ path => 'x', content => 'x' }, { path => 'x', content => 'y' }] }],
    ['a path below a file', { files => [{ path => 'x', content => 'x' }, { path => 'x/y', content => 'y' }] }], ['a number for a uri', { files => [{ path => 'x', uri => 1 }] }],
    ['a uri and an encoding', { files => [{ path => 'x', uri => 'sandbox://artifact/x', encoding => 'utf-8' }] }],
) {
    my ($what, $body) = @$case;
    is(code($tool->post("/tools/sessions/$id/files", $body)), '422 invalid_request', "not $what");
}
is(code(write_files([map { { path => "x$_", content => 'x' } } 1 .. 65])), '413 payload_too_large', 'not 65 files');
is(code(write_files([{ path => 'x1', content => $big }, { path => 'x2', content => $big }, { path => 'x3', content => 'x' }])), '413 payload_too_large', 'not more than 8 MiB');
is(code(write_files([{ path => 'x1', content => 'xxx' }], who => { up_bytes => 2 })), '413 payload_too_large', 'nor more than the policy lets one be');
for my $path ('', '/', '/etc/passwd', '..', '../x', 'a/../../x', '.', './x', 'a//b', 'a/', "a\nb", 'x' x 256, join('/', ('d') x 17), 'x/' x 600 . 'x') {
    is(code(write_files([{ path => 'fine', content => 'x' }, { path => $path, content => 'x' }])), '422 invalid_request', 'not to ' . (length $path > 30 ? length($path) . ' bytes' : $JSON->encode([$path])));
}
is(code($rest->('GET', "/v1/sessions/$id/files/fine")), '404 not_found', 'nothing of such a request is written');
is(code($rest->('GET', "/v1/sessions/$id/files/x1")), '404 not_found', 'nor of one that is too large');
is(code($tool->ask('POST', "/tools/sessions/$id/files", body => '{', headers => { 'Content-Type' => 'application/json' })), '400 malformed_json', 'no JSON');
is(code($tool->ask('POST', "/tools/sessions/$id/files", body => '{}', headers => { 'Content-Type' => 'text/plain' })), '415 unsupported_media_type', 'no JSON said');
is(code($tool->post("/tools/sessions/$id/files?x=1", { files => [] })), '422 invalid_request', 'no parameters');

# One of several that cannot be written.
$rest->('POST', "/v1/sessions/$id/steps", json => { code => "import os\nos.makedirs('dir', exist_ok=True); os.symlink('/etc', 'out'); os.symlink('plain.txt', 'link'); os.mkfifo('pipe')" });
for my $case (['a directory', 'dir', 409], ['a file as a directory', 'plain.txt/x', 409], ['through a link', 'out/x', 403]) {
    my ($what, $path, $status) = @$case;
    $r = write_files([{ path => 'one', content => '1' }, { path => 'two', content => '2' }, { path => $path, content => 'x' }, { path => 'after', content => 'x' }]);
    is($r->{status}, $status, $what);
    like($r->{json}{detail}, qr/^\Q$path\E was not written: .*; written before it: one, two$/, '  is named, and what was written');
    is(content('two'), '2', '  which is there');
    is(code($rest->('GET', "/v1/sessions/$id/files/after")), '404 not_found', '  and what follows is not');
    $rest->('DELETE', "/v1/sessions/$id/files/$_") for qw(one two);
}
like(write_files([{ path => 'dir', content => 'x' }])->{json}{detail}, qr/; nothing was written$/, 'the first of all');
is(write_files([{ path => 'link', content => 'new' }])->{status}, 200, 'a link is replaced');
is(content('plain.txt'), 'again', '  not what it leads to');
my $small = $rest->('POST', '/v1/sessions', json => { language => 'bash', limits => { disk => '4Mi' } })->{json}{session_id};
$r = write_to($small, [{ path => 'fits', content => 'x' }, { path => 'not', content => 'x' x (6 << 20) }]);
like(code($r), qr/^(507 no_space|410 gone)$/, 'a disk that is full: an error, or the end of the session') or diag $r->{content};
like($r->{json}{detail}, qr/^not was not written: .*; written before it: fits$/, '  that says what was written');

# Whose.
for my $session ($id, 'ses_00000000000000000000000000', 'x', "..") {
    is(code(write_to($session, [{ path => 'x', content => 'x' }], who => { tenant => 'umbrella' })), '404 not_found', "another tenant has no $session");
}
is(code(write_files([{ path => 'x', content => 'x' }], who => { scopes => $_ })), '403 forbidden', "not with $_") for 'sessions:read', 'jobs:write artifacts:write';
is(code($tool->ask('GET', "/tools/sessions/$id/files")), '405 method_not_allowed', 'POST only');
$small = $rest->('POST', '/v1/sessions', json => { language => 'bash' })->{json}{session_id};
$rest->('POST', "/v1/sessions/$small/pause");
is(code(write_to($small, [{ path => 'x', content => 'x' }])), '409 conflict', 'not while it is paused');
$rest->('DELETE', "/v1/sessions/$small");
$r = write_to($small, [{ path => 'x', content => 'x' }]);
is("$r->{status} $r->{json}{reason}", '410 cancelled', 'nor when it has ended');

# A session that ends while files are written to it: one answer, and it is an honest one.
for my $round (1 .. 5) {
    my $doomed = $rest->('POST', '/v1/sessions', json => { language => 'bash' })->{json}{session_id};
    my $socket = IO::Socket::UNIX->new(Peer => "$t->{dir}/sock/executord.sock");
    my $body = $JSON->encode({ files => [map { { path => "f$_", content => 'y' x 100_000 } } 1 .. 60] });
    print $socket "POST /tools/sessions/$doomed/files HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nAccept: $Sandbox::Tool::TYPE\r\nSandbox-Context: " . Sandbox::Context::sign($t->{key}) . "\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
    $rest->('DELETE', "/v1/sessions/$doomed");
    local $/;
    my $reply = Sandbox::parse_reply(scalar <$socket>);
    like($reply->{status}, qr/^(200|410)$/, "ended meanwhile: $reply->{status}");
    like($reply->{json}{detail}, qr/^f\d+ was not written: .*; (nothing was written|written before it: f1(, f\d+)*)$/, '  says how far it came') if $reply->{status} == 410 && $reply->{json}{detail} =~ /written/;
}
is($rest->('GET', '/v1/sessions?status=running')->{status}, 200, 'the executor is well');

$t->finish;
done_testing();
