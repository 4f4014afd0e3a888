#!/usr/bin/perl
# What an agent is shown of a file: text, images, lists, links, in pieces; as a tool's result and as a resource. And what it is
# not shown: other places, other tenants' things, what the token does not allow.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use MIME::Base64 qw(encode_base64 decode_base64);
use Sandbox;
use Sandbox::Tool;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 2 });
$t->start_launcher->start_executor;
my $JSON = JSON::PP->new->canonical->utf8;
my $tool = Sandbox::Tool->new($t);
my $rest = sub { return $tool->rest(@_) };
sub code { return Sandbox::Tool::code($_[0]) }
sub text { return Sandbox::Tool::text(@_) }
sub types { return Sandbox::Tool::types($_[0]) }
sub audit { my ($kind) = @_; return grep { $_->{kind} eq $kind } map { $JSON->decode($_) } $t->audit_lines }

my $id = $rest->('POST', '/v1/sessions', json => { language => 'python', ttl => '20m' })->{json}{session_id};
sub put { my ($path, $bytes) = @_; my $r = $rest->('PUT', "/v1/sessions/$id/files/" . Sandbox::Tool::escape($path) =~ s/%2F/\//gr, body => $bytes, headers => { 'Content-Length' => length $bytes }); die "PUT $path: $r->{status}" if $r->{status} > 201; return $bytes }
sub see { my ($path, %query) = @_; return $tool->read(session => $id, path => $path, %query) }

my %image = (
    'image/png'  => decode_base64('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII='),
    'image/jpeg' => "\xff\xd8\xff\xe0\0\x10JFIF\0" . "\x01" x 400,
    'image/gif'  => "GIF89a\x01\0\x01\0\x80\0\0" . "\x02" x 100,
    'image/webp' => "RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0" . "\0" x 13,
);
my $long = put('long.txt', join '', map { sprintf "line %06d \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n", $_ } 1 .. 20_000);
put('short.txt', "one\ntwo\n");
put('empty', '');
put('zeros', '0' x 300_000);
put('bytes.bin', my $bytes = join '', map { chr $_ % 256 } 0 .. 70_000);
put("dir/$_", 'x' x $_) for 1 .. 3;
put("images/$_", $image{"image/$_"}) for qw(png jpeg gif webp);
put('big.png', $image{'image/png'} . "\0" x (1 << 20));
put('liar.png', 'no image at all');
put('picture.txt', $image{'image/png'});

# Text.
my $r = see('short.txt');
is("$r->{status} $r->{headers}{'content-type'} $r->{result}", '200 application/vnd.sandbox.tool+json complete', 'a file') or diag $r->{content};
is($r->{content}, '{"content":[{"type":"text","text":"one\ntwo\n"}],"isError":false}', 'is its text and nothing else');
ok(!exists $r->{json}{structuredContent}, 'no client drops it for a structure');
$r = see('empty');
is(text($r) . text($r, 1), '[the file is empty]', 'an empty one says so');
$r = see('long.txt');
my $first = text($r);
utf8::encode($first);
is($first, substr($long, 0, length $first), 'a long one begins');
cmp_ok(length $first, '>', 32_764, 'with 32 KiB');
cmp_ok(length $first, '<=', 32_768, '  but for the last character');
like(text($r, 1), qr/^\[bytes 0 to \d+ of ${\length $long}; read on with offset=(\d+)\]$/, 'and says how to read on');
my ($whole, $offset, $n) = ('', 0, 0);
while (defined $offset && $n++ < 1000) {
    $r = see('long.txt', offset => $offset, limit => 4099);
    my $piece = text($r);
    utf8::encode($piece);
    $whole .= $piece;
    ($offset) = (text($r, 1) // '') =~ /offset=(\d+)/;
}
is($whole eq $long ? 'same' : 'other', 'same', "in $n pieces it is the whole");
for my $at (0 .. 12) {
    for my $limit (16 .. 24) {
        $r = see('long.txt', offset => 11 + $at, limit => $limit);
        my $piece = text($r);
        fail("offset $at limit $limit shows halves") if $piece =~ /\x{fffd}/;
    }
}
pass('no character is cut, wherever a piece begins and ends');
is(text(see('long.txt', offset => length $long), 1), '[offset ' . length($long) . ' is the end of the file]', 'the end');
is(code(see('long.txt', offset => 1 + length $long)), '422 invalid_request', 'not past it');
is(length text(see('short.txt', limit => 1)), 8, 'a small limit is a little larger');
is(length text(see('zeros', as => 'text', limit => 10_000_000)), 262_144, 'a large one is the largest');

# What is no text.
$r = see('bytes.bin');
is(types($r), 'text resource_link', 'bytes are a link');
like(text($r), qr/^bytes\.bin: 70001 bytes, application\/octet-stream\. It is not text: as=base64 reads its bytes\. GET \/v1\/sessions\/$id\/files\/bytes\.bin of the API downloads it\.$/, 'with a way to have them');
is_deeply($r->{json}{content}[1], { type => 'resource_link', uri => "sandbox://session/$id/bytes.bin", name => 'bytes.bin', mimeType => 'application/octet-stream', size => 70001 }, 'as a resource');
$r = see('bytes.bin', as => 'base64', offset => 100, limit => 1000);
is(decode_base64(text($r)), substr($bytes, 100, 1000), 'or base64, when asked');
is(text($r, 1), '[bytes 100 to 1099 of 70001; read on with offset=1100]', '  in pieces');
is(decode_base64(text(see('bytes.bin', as => 'base64', limit => 999_999_999))), $bytes, '  at most as many as there are');
$r = see('bytes.bin', as => 'text', limit => 300);
like(text($r), qr/\x{fffd}/, 'or as text, with marks');
like(text($r, -1), qr/not UTF-8/, '  that are explained');
like(text(see('bytes.bin', offset => 97, limit => 26)), qr/^abcdefghijklmnopqrstuvwxyz$/, 'a piece of it that is text is text');

# Images.
for my $kind (qw(png jpeg gif webp)) {
    $r = see("images/$kind");
    is(types($r), 'text image', "$kind is an image");
    is_deeply($r->{json}{content}[1], { type => 'image', data => encode_base64($image{"image/$kind"}, ''), mimeType => "image/$kind" }, '  whole, by what it is');
    is(types(see("images/$kind", as => 'image')), 'text image', '  when asked, too');
    is(types(see("images/$kind", as => 'link')), 'text resource_link', '  or a link');
}
is(types(see('picture.txt')), 'text image', 'whatever its name');
is(text(see('liar.png')), 'no image at all', 'no image, whatever its name');
is(code(see('liar.png', as => 'image')), '422 invalid_request', '  nor when asked for one');
is(code(see('empty', as => 'image')), '422 invalid_request', 'nor what is empty');
$r = see('big.png');
is(types($r), 'text resource_link', 'a large one is a link');
like(text($r), qr/too large to be shown/, '  and why');
is(types(see('big.png', as => 'image')), 'text resource_link', '  when asked, too');

# Directories.
$r = see('dir');
is(text($r), "dir (3):\n1  1 byte\n2  2 bytes\n3  3 bytes\n", 'a directory is listed');
$r = see('');
like(text($r), qr/^The workspace \(\d+\):\n/, 'so is the workspace');
like(text($r), qr/^dir\/$/m, '  with directories');
is(types(see('dir', as => 'link')), 'text', '  however it is asked for');
like(text(see('dir', limit => 16)), qr/^dir \(3\)/, '  with a limit');
put("many/$_", '') for 1 .. 20;
like(text(see('many', limit => 18)), qr/^many \(18, and more that are not listed here\):\n/, '  of entries');
$rest->('POST', "/v1/sessions/$id/steps", json => { code => <<'PY' });
import os
os.symlink('/etc/passwd', 'passwd'); os.symlink('/etc', 'etc'); os.symlink('short.txt', 'alias'); os.mkfifo('pipe'); open('first', 'w').close(); os.link('first', 'second')
os.makedirs('odd', exist_ok=True); open('odd/a\nb  9 bytes', 'w').close(); os.symlink('..', 'odd/up'); os.makedirs('void')
PY
is(text(see('odd')), "odd (2):\na\\x0ab  9 bytes  0 bytes\nup  (symlink)\n", 'no name forges an entry');
is(text(see('void')), "void (0): nothing\n", 'an empty one');

# By URI.
is(text($tool->read(uri => "sandbox://session/$id/short.txt")), "one\ntwo\n", 'a session, by URI');
is(text($tool->read(uri => "sandbox://session/$id/dir/3")), 'xxx', '  with a path');
my $job = $rest->('POST', '/v1/jobs', json => { language => 'bash', code => 'mkdir d; printf a,b > d/x.csv; printf \'\x89PNG\r\n\x1a\n\' > fig; head -c 2000000 /dev/zero > zero; : > nothing', artifacts => ['**'], wait => 20 })->{json};
is($job->{status}, 'succeeded', 'a job left files') or diag explain $job;
my $jid = $job->{job_id};
for my $file (@{ $job->{files} }) {
    my ($name) = $file->{path} =~ m{([^/]+)$};
    like(text($tool->read(uri => $file->{uri}, as => 'link')), qr/^\Q$name\E: $file->{size} byte/, "$file->{path} by the URI that its job says");
}
is(text($tool->read(uri => "sandbox://job/$jid/d/x.csv")), 'a,b', 'text of a job');
is(text($tool->read(uri => "sandbox://job/$jid/d/x.csv", offset => 2)), 'b', '  from the middle');
is(text($tool->read(uri => "sandbox://job/$jid/nothing"), 1), '[the file is empty]', '  or empty');
is(types($tool->read(uri => "sandbox://job/$jid/fig")), 'text image', 'an image of a job');
is(text($tool->read(uri => "sandbox://job/$jid/")), "Files that the job left (4):\nd/x.csv  3 bytes\nfig  8 bytes\nnothing  0 bytes\nzero  2000000 bytes\n", 'all that it left');
is(text($tool->read(uri => "sandbox://job/$jid")), text($tool->read(uri => "sandbox://job/$jid/")), '  with and without a slash');
is(code($tool->read(uri => "sandbox://job/$jid/d")), '404 not_found', '  a directory of it is none');
is(code($tool->read(uri => "sandbox://job/$jid/d/x.csv", offset => 4)), '422 invalid_request', '  nor is there anything past its end');
$r = $tool->read(uri => "sandbox://job/$jid/zero");
is(types($r), 'text resource_link', 'a large one is a link');
my ($url) = text($r) =~ /without a token from (\S+)$/;
like($url, qr{^/v1/artifacts/art_\w+/content\?tenant=acme&expires=\d+&signature=}, '  with a signed URL');
unlike(text($tool->read(uri => "sandbox://job/$jid/zero", -option => { who => { scopes => 'jobs:read' } })), qr/signature/, '  only for who may sign');
ok($t->wait_until(30, sub { scalar audit('artifact.url_made') }), '  which is an event');
my $art = $rest->('POST', '/v1/artifacts?name=a%2Fnotes.txt', body => 'noted')->{json}{artifact_id};
is(text($tool->read(uri => "sandbox://artifact/$art")), 'noted', 'an artifact');
like(text($tool->read(uri => "sandbox://artifact/$art", as => 'link')), qr/^notes\.txt: 5 bytes/, '  by the last part of its name');

# Resources.
$r = $tool->resource("sandbox://session/$id/short.txt");
is("$r->{status} $r->{result} $r->{content}", qq[200 complete {"contents":[{"uri":"sandbox://session/$id/short.txt","mimeType":"text/plain","text":"one\\ntwo\\n"}]}], 'a resource');
is_deeply($tool->resource("sandbox://job/$jid/fig")->{json}, { contents => [{ uri => "sandbox://job/$jid/fig", mimeType => 'image/png', blob => encode_base64("\x89PNG\r\n\x1a\n", '') }] }, 'an image');
is($tool->resource("sandbox://session/$id/bytes.bin")->{json}{contents}[0]{blob}, encode_base64($bytes, ''), 'bytes');
is($tool->resource("sandbox://session/$id/empty")->{json}{contents}[0]{text}, '', 'nothing');
is(length $tool->resource("sandbox://session/$id/long.txt")->{json}{contents}[0]{text}, do { my $x = $long; utf8::decode($x); length $x }, 'the whole of a long one');
is($tool->resource("sandbox://session/$id/dir")->{json}{contents}[0]{text}, "1  1 byte\n2  2 bytes\n3  3 bytes\n", 'a directory');
is($tool->resource("sandbox://artifact/$art")->{json}{contents}[0]{text}, 'noted', 'an artifact');
for my $uri ("sandbox://session/$id/big.png", "sandbox://job/$jid/zero") {
    $r = $tool->resource($uri);
    is("$r->{result} $r->{json}{code} $r->{json}{data}{uri}", "error -32602 $uri", 'one that is too large is an error');
    like($r->{json}{message}, qr/more than 1048576: read it in parts with read_file/, '  that says what to do');
}

# What there is not: one answer.
my $ended = $rest->('POST', '/v1/sessions', json => { language => 'bash' })->{json}{session_id};
$rest->('DELETE', "/v1/sessions/$ended");
my $gone = $rest->('POST', '/v1/artifacts', body => 'x')->{json}{artifact_id};
$rest->('DELETE', "/v1/artifacts/$gone");
my @none = ('', 'x', 'file:///etc/passwd', 'sandbox://', 'sandbox://session', "sandbox://sessions/$id/x", "sandbox://job/$id/short.txt", "sandbox://artifact/$jid", "sandbox://artifact/$art/x", "sandbox://artifact/$gone",
    (map { "sandbox://session/$id/$_" } 'none', '..', '../x', 'dir/../short.txt', '%2e%2e/x', 'dir/%2e%2e/short.txt', '.', './short.txt', '%2e', '/etc/passwd', '%2fetc%2fpasswd', 'dir%2f1', 'short.txt%00', '%00', "short.txt\0", 'short.txt/', 'dir//1', '%', '%zz', '%ff', 'short.txt/x', 'x' x 300),
    (map { "sandbox://job/$jid/$_" } 'none', '../x', 'd/../fig', '%2e%2e/fig', 'd%2fx.csv', 'fig%00', 'd//x.csv', 'd'),
    'sandbox://session/ses_00000000000000000000000000/x', 'sandbox://job/job_00000000000000000000000000/x', 'sandbox://job/job_00000000000000000000000000/', 'sandbox://artifact/art_00000000000000000000000000', "sandbox://session/\U$id\E/short.txt");
for my $uri (@none) {
    $r = $tool->resource($uri);
    my $said = $uri =~ /\0/ ? '' : $uri; # no parameter holds one
    is("$r->{status} $r->{result} " . $JSON->encode($r->{json}), '200 error ' . $JSON->encode({ code => -32602, message => 'there is no such resource', data => { uri => $said } }), 'no resource: ' . substr $JSON->encode([$uri]), 0, 60);
    my $read = code($tool->read(uri => $uri));
    is($read, '404 not_found', '  nor a file');
}
for my $path (qw(passwd etc/passwd etc alias pipe second odd/up odd/up/short.txt)) {
    is(code(see($path)), '403 file_denied', "no way through $path");
    $r = $tool->resource("sandbox://session/$id/$path");
    is("$r->{result} $r->{json}{code} $r->{json}{message}", 'error -32602 there is no such resource', '  which is no resource');
}
is($tool->resource("sandbox://session/$id/none", headers => { 'Sandbox-Tool-Call' => 'legacy, progress' })->{json}{code}, -32002, 'as older clients know it');
is($tool->resource("sandbox://session/$id/none", headers => { 'Sandbox-Tool-Call' => $_ })->{json}{code}, -32602, "not with $_") for 'modern', 'legacys', 'key=legacy';
$r = $tool->resource("sandbox://session/$ended/x");
is("$r->{result} $r->{json}{code}", 'error -32602', 'a session that has ended');
like($r->{json}{message}, qr/session was/, '  says so to its tenant');
is(code($tool->read(session => $ended, path => 'x')), '410 gone', '  as elsewhere');

# Nobody else's.
my %other = (-option => { who => { tenant => 'umbrella' } });
for my $uri ("sandbox://session/$id/short.txt", "sandbox://session/$id/", "sandbox://session/$ended/x", "sandbox://job/$jid/d/x.csv", "sandbox://job/$jid/", "sandbox://artifact/$art") {
    is(code($tool->read(uri => $uri, %other)), '404 not_found', "not another tenant's: $uri");
    $r = $tool->resource($uri, who => { tenant => 'umbrella' });
    is_deeply([$r->{result}, $r->{json}], ['error', { code => -32602, message => 'there is no such resource', data => { uri => $uri } }], '  nor as a resource');
}
is(code($tool->read(session => $id, path => 'short.txt', %other)), '404 not_found', "nor by its session's id");
for my $case (["sandbox://session/$id/short.txt", 'jobs:read artifacts:read sessions:write'], ["sandbox://job/$jid/d/x.csv", 'sessions:read artifacts:read jobs:write'], ["sandbox://artifact/$art", 'sessions:read jobs:read artifacts:write']) {
    my ($uri, $scopes) = @$case;
    is(code($tool->read(uri => $uri, -option => { who => { scopes => $scopes } })), '403 forbidden', "$uri not with $scopes");
    is(code($tool->resource($uri, who => { scopes => $scopes })), '403 forbidden', '  nor as a resource');
}

# What is no question.
is(code($tool->get("/tools/files$_")), '422 invalid_request', "not /tools/files$_")
    for '', '?path=x', "?uri=x&session=$id", '?uri=x&path=y', "?session=$id&path=short.txt&as=html", "?session=$id&as=", "?session=$id&path=short.txt&offset=-1", "?session=$id&path=short.txt&offset=x",
        "?session=$id&path=short.txt&limit=0", "?session=$id&path=short.txt&limit=1e3", "?session=$id&path=short.txt&offset=99999999999999999999", "?session=$id&path=short.txt&other=1",
        "?session=$id&path=..", "?session=$id&path=%2e%2e%2fx", "?session=$id&path=a%00b", "?session=$id&path=%zz", "?session=$id&path=" . 'x' x 1100;
is(code($tool->get('/tools/resource')), '422 invalid_request', 'nor a resource without a name');
is(code($tool->ask('POST', '/tools/files')), '405 method_not_allowed', 'GET only');
is(code($tool->ask('HEAD', "/tools/files?session=$id&path=x")), '405 ', 'no HEAD');
is(code($tool->get("/tools/files?session=$_&path=x")), '404 not_found', "no session $_") for 'x', '..', $jid, 'ses_00000000000000000000000000', '';

# Events.
is($t->wait_until(30, sub { scalar grep { $_->{body}{path} eq 'dir/3' } audit('file.read') }) ? 1 : 0, 1, 'readings are events');
ok((grep { $_->{object} eq $art } audit('artifact.read')), '  of artifacts, too');
ok(!(grep { $_->{tenant} eq 'umbrella' && $_->{kind} =~ /read/ } map { audit($_) } 'file.read', 'artifact.read'), '  of who could');

# A session that ends while it is read.
for my $round (1 .. 5) {
    my $doomed = $rest->('POST', '/v1/sessions', json => { language => 'bash', files => [{ path => 'f', content => 'y' x 1_000_000 }] })->{json}{session_id};
    my @sockets = map {
        my $socket = IO::Socket::UNIX->new(Peer => "$t->{dir}/sock/executord.sock");
        print $socket "GET $_ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nSandbox-Context: " . Sandbox::Context::sign($t->{key}) . "\r\n\r\n";
        $socket;
    } map { ("/tools/files?session=$doomed&path=f", "/tools/resource?uri=sandbox://session/$doomed/f") } 1 .. 4;
    $rest->('DELETE', "/v1/sessions/$doomed");
    local $/;
    my %seen;
    $seen{ Sandbox::parse_reply(scalar readline $_)->{status} }++ for @sockets;
    is_deeply([grep { !/^(200|410)$/ } keys %seen], [], 'ended meanwhile: ' . join ' ', map { "$_: $seen{$_}" } sort keys %seen);
}

$t->finish;
done_testing();
