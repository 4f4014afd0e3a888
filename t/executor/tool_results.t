#!/usr/bin/perl
# What an agent is shown of a run: images of files and displays, links, URLs, output of any bytes and any size, results as they are.
use strict;
use warnings;
use lib 't/lib';
use Encode qw(decode);
use JSON::PP;
use MIME::Base64 qw(decode_base64 encode_base64);
use Sandbox;
use Sandbox::Tool;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 2 });
$t->start_launcher->start_executor;
my $tool = Sandbox::Tool->new($t);
my $JSON = JSON::PP->new->utf8->canonical->allow_nonref;
sub run  { my ($code, %body) = @_; my %option = %{ delete $body{-option} || {} }; return $tool->post('/tools/jobs', { language => 'python', code => $code, %body }, %option) }
sub data { return $_[0]{json}{structuredContent} }
sub types { return Sandbox::Tool::types($_[0]) }
sub images { return [grep { $_->{type} eq 'image' } @{ $_[0]{json}{content} }] }
sub audit { my ($kind) = @_; return grep { $_->{kind} eq $kind } map { $JSON->decode($_) } $t->audit_lines }

my $png = decode_base64('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=');
my $py_png = 'PNG = __import__("base64").b64decode("' . encode_base64($png, '') . '")';

# Images among a job's files.
my $r = run("$py_png\n" . <<'PY', artifacts => ['**']);
open('a.png', 'wb').write(PNG)
open('b.jpg', 'wb').write(b'\xff\xd8\xff\xe0' + bytes(1000))
open('c.gif', 'wb').write(b'GIF89a' + bytes(range(256)) * 4)
open('d.webp', 'wb').write(b'RIFF\0\0\0\0WEBP' + bytes(100))
open('e.png', 'wb').write(PNG)
open('plot.svg', 'w').write('<svg/>')
open('t.txt', 'w').write('text')
PY
is(types($r), join(' ', 'text', ('image') x 4, ('resource_link') x 7), 'four images, and all files are linked') or diag $r->{content};
is_deeply([map { $_->{mimeType} } @{ images($r) }], [map { "image/$_" } qw(png jpeg gif webp)], 'of the kinds that models look at');
is(decode_base64(images($r)->[0]{data}), $png, 'byte for byte');
is(decode_base64(images($r)->[2]{data}), 'GIF89a' . join('', map { chr } 0 .. 255) x 4, 'of any bytes');
is_deeply([map { $_->{path} } @{ data($r)->{files} }], [qw(a.png b.jpg c.gif d.webp e.png plot.svg t.txt)], 'every one is named');
unlike($JSON->encode(data($r)), qr/\Q@{[ substr encode_base64($png, ''), 0, 30 ]}\E/, 'no base64 in the data');
is(decode_base64(images($tool->read(uri => data($r)->{files}[4]{uri}))->[0]{data} // ''), $png, 'read_file shows the others');
my @read = map { $_->{object} } audit('artifact.read');
is(scalar @read, 5, 'each image that was given out is an event');
my $id = data($r)->{job_id};
is(types($tool->get("/tools/runs/$id")), types($r), 'get_job shows them, too');
is(types($tool->get("/tools/runs/$id?stdout_offset=0")), join(' ', 'text', ('resource_link') x 7), 'but not to who reads on');

# What looks like one and is none, or is too large.
$r = run("$py_png\n" . <<'PY', artifacts => ['**']);
open('a.png', 'wb').write(b'GIF89a' + bytes(100))
open('b.png', 'w').write('<script>')
open('c.png', 'wb').write(PNG + bytes(256 * 1024 - len(PNG)))
open('d.png', 'wb').write(PNG + bytes(256 * 1024 - len(PNG) + 1))
open('e.png', 'wb').close()
open('f.gif', 'wb').write(b'G')
PY
is(types($r), join(' ', 'text', 'image', ('resource_link') x 6), 'only what is an image is shown as one');
is(length decode_base64(images($r)->[0]{data}), 256 * 1024, 'up to 256 KiB');

# URLs.
sub url { return data($_[0])->{files}[0]{download_url} }
$r = run("open('u.txt', 'w').write('signed')", artifacts => ['*']);
like(url($r), qr{^/v1/artifacts/art_\w+/content\?tenant=\w+&expires=\d+&signature=}, 'who may sign gets a signed URL');
my ($expires) = url($r) =~ /expires=(\d+)/;
cmp_ok(abs($expires - time - 900), '<', 60, 'for a quarter of an hour');
my @made = audit('artifact.url_made');
ok($t->wait_until(30, sub { grep { $_->{object} eq (url($r) =~ m{(art_\w+)})[0] } audit('artifact.url_made') }), 'that is an event');
for my $scopes ('jobs:read jobs:write', 'jobs:read jobs:write artifacts:read') {
    $r = run("open('u.txt', 'w').write('plain')", artifacts => ['*'], -option => { who => { scopes => $scopes } });
    is(url($r), '/v1/jobs/' . data($r)->{job_id} . '/artifacts/u.txt', "the plain one with $scopes");
}
is(types(run('1', artifacts => ['*'])), 'text', 'without files there is text alone');

# Names.
$r = run("import os\nos.makedirs('d/e')\nfor n in ('d/e/\\u00e4 %.txt', 'x \"\\\\.txt', 'z\\x1b[31m'): open(n, 'w').write('n')", artifacts => ['**']);
is_deeply([map { $_->{uri} =~ s/.*?job_\w+/J/r } @{ data($r)->{files} }], ['J/d/e/%C3%A4%20%25.txt', 'J/x%20%22%5C.txt'], 'any name is a URI') or diag $r->{content};
is(Sandbox::Tool::text($tool->read(uri => $_->{uri})), 'n', 'that reads') for @{ data($r)->{files} };
is(data($r)->{files_skipped}[0]{reason}, 'has a name that is not printable', 'what was not kept is told');
like(Sandbox::Tool::text($r), qr/^- not kept: z\\x1b\[31m: has a name that is not printable$/m, 'in the text, too, and moves no cursor');

# Output of any bytes.
$r = run("import os\nos.write(1, bytes(range(256)))\nos.write(2, b'\\0\\xff\\xed\\xa0\\x80\\xf0\\x9f\\x98\\x80')");
is(data($r)->{stdout}, join('', map { $_ == 9 || $_ == 10 || $_ == 13 || ($_ >= 32 && $_ < 127) ? chr : sprintf '\\x%02x', $_ } 0 .. 255), 'every byte is told');
is(data($r)->{stderr}, "\\x00\\xff\\xed\\xa0\\x80\x{1f600}", 'and every character');
ok(!data($r)->{truncated}, 'whole');
is(data($r)->{stdout_bytes}, 256, 'counted as bytes');
unlike($r->{content}, qr/\\u0000|\\ud8/i, 'no NUL and no half a surrogate pair is in the JSON');
like(Sandbox::Tool::text($r), qr/\Q@{[ data($r)->{stderr} ]}\E/, 'the text has the same');

# At every boundary of characters of 2, 3 and 4 bytes, read on to the end: nothing twice, nothing missing.
for my $shift (0 .. 4) {
    my $whole = ('.' x $shift) . "\x{e9}\x{20ac}\x{1f600}" x 3000;
    $r = run("import sys\nsys.stdout.buffer.write(('.' * $shift + '\\u00e9\\u20ac\\U0001f600' * 3000).encode())");
    my $bytes = do { my $copy = $whole; utf8::encode($copy); $copy };
    my ($head, $omitted, $next, $tail) = data($r)->{stdout} =~ /\A(.*)\n\[\.\.\. ([\d,]+) bytes omitted; get_job stdout_offset=(\d+) \.\.\.\]\n(.*)\z/s;
    $omitted =~ tr/,//d;
    utf8::encode($_) for $head, $tail;
    cmp_ok(length($head) + length $tail, '<=', 16384, 'no more than there may be');
    cmp_ok(length($head) + length $tail, '>', 16384 - 8, 'and no less');
    is(length($head), $next, 'it says where it stopped');
    is(length($head) + $omitted + length $tail, length $bytes, 'and how much is between');
    ok(index($bytes, $head) == 0 && substr($bytes, -length $tail) eq $tail, 'both ends are as they were');
    my ($all, $turns) = ($head, 0);
    my $id = data($r)->{job_id};
    while (defined $next && $turns++ < 9) {
        my $text = data($tool->get("/tools/runs/$id?stdout_offset=$next"))->{stdout};
        undef $next;
        $text =~ s/\n\[\.\.\. [\d,]+ more bytes; get_job stdout_offset=(\d+) \.\.\.\]\n\z// and $next = $1;
        utf8::encode($text);
        $all .= $text;
    }
    ok($all eq $bytes, "shifted by $shift it reads on to the end");
}

# Much of what is no text: the text that stands for it is bounded.
$r = run("import os\nfor i in range(20): os.write(1, bytes([255]) * 50000)\nos.write(2, b'\\x01' * 100000)");
cmp_ok(length data($r)->{stdout}, '<', 16384 + 120, 'escaped bytes count as they are shown');
cmp_ok(length data($r)->{stderr}, '<', 8192 + 120, 'of both streams');
like(data($r)->{next}, qr/stdout_offset=2048 to read on in stdout\. .*stderr_offset=1024 to read on in stderr/, 'and it says how to read on in both');
cmp_ok(length $r->{content}, '<', 200_000, 'the answer is bounded');

# Results.
for my $value ('9007199254740993', '-9223372036854775808', '9223372036854775807', '0.1', '[[], {}]', 'None', 'True') {
    $r = run("def handler(event): return $value", event => {});
    my $json = $value =~ s/None/null/r =~ s/True/true/r =~ s/^\[\[\], \{\}\]$/[[], {}]/r;
    like($r->{content} =~ s/\s//gr, qr/"result":\Q@{[ $json =~ s{\s}{}gr ]}\E,/, "the result $value") or diag $r->{content};
}
$r = run("def handler(event): return 'x' * 16380", event => {});
is(length data($r)->{result}, 16380, 'a long result');
$r = run("def handler(event): return 'x' * 16390", event => {});
is_deeply([@{ data($r) }{qw(result result_bytes)}], [undef, 16392], 'a longer one is told of');
like(Sandbox::Tool::text($r), qr/^result: 16,392 bytes, too large to show/m, 'in words, too');

# A session: displays are images, all of them.
my $session = data($tool->post('/tools/sessions', { language => 'python' }))->{session_id};
sub step { my ($code, %body) = @_; return $tool->post("/tools/sessions/$session/steps", { code => $code, %body }) }
$r = step("$py_png\n" . <<'PY');
class Png:
    def __init__(self, pad=0): self.pad = pad
    def _repr_png_(self): return PNG + bytes(self.pad)
class Html:
    def _repr_html_(self): return '<b>bold</b>'
display(Png()); display(Png(7)); display(Html()); print('printed')
Png(11)
PY
is(types($r), 'text image image image resource_link resource_link resource_link', 'every plot is an image') or diag $r->{content};
is_deeply([map { length(decode_base64($_->{data})) - length $png } @{ images($r) }], [0, 7, 11], 'as it was');
is_deeply([map { [@$_{qw(path size mime_type)}] } @{ data($r)->{files} }], [map { ["display-$_->[0].png", length($png) + $_->[1], 'image/png'] } [1, 0], [2, 7], [3, 11]], 'and named');
is_deeply([map { $_->{kind} } @{ data($r)->{displays} }], [qw(display display display result)], 'what was displayed is listed');
like(data($r)->{displays}[2]{text}, qr/^<__main__\.Html object/, 'text with it');
is_deeply([sort @{ data($r)->{displays}[2]{mime_types} }], ['text/html', 'text/plain'], 'and what else there is');
like(Sandbox::Tool::text($r), qr/^display 3 \(text\/plain\):\n<__main__/m, 'in the text, too');
unlike($JSON->encode(data($r)), qr/iVBORw0KGgo/, 'no base64 in the data');
for my $file (@{ data($r)->{files} }) {
    my $seen = $tool->read(uri => $file->{uri});
    is(types($seen), 'text image', "read_file shows $file->{path}");
    is(length decode_base64(images($seen)->[0]{data} // ''), $file->{size}, 'all of it');
    ok(!exists $seen->{json}{structuredContent}, 'where clients cannot lose it');
}
my $uri = data($r)->{files}[0]{uri};
like(Sandbox::Tool::text($tool->read(uri => $uri =~ s{/[^/]*$}{}r)), qr/\(3\):\ndisplay-1\.png  \d+ bytes\n/, 'they are listed');
is(decode_base64($tool->resource($uri)->{json}{contents}[0]{blob}), $png, 'and resources');
is($tool->read(uri => $uri, as => 'base64', offset => 1, limit => 16)->{status}, 200, 'in parts as well');
is($tool->read(uri => $uri =~ s/display-1/$_/r)->{status}, 404, "no $_") for 'display-0', 'display-4', 'display-01', 'x', '..', 'display-1.png/x', 'd/display-1';
is($tool->read(uri => $uri =~ s/png$/gif/r)->{status}, 404, 'nor of another type');
is($tool->read(uri => $uri, -option => { who => { tenant => 'other' } })->{status}, 404, "another tenant's are none");
is($tool->read(uri => $uri, -option => { who => { scopes => 'jobs:read' } })->{status}, 403, 'they take the scope of steps');
is($tool->read(uri => $uri =~ s/stp_\w{26}/stp_00000000000000000000000000/r)->{status}, 404, 'no such step');
is(Sandbox::Tool::code($tool->post('/tools/jobs', { language => 'python', code => '1', files => [{ path => 'a', uri => $uri }] })), '422 invalid_request', 'they are no input');
my $handle = data($r)->{job_id};
my $later = $tool->get("/tools/runs/$handle");
is_deeply($later->{json}, $r->{json}, 'read again it is the same');

$r = step("for i in range(6): display(Png(i))");
is(types($r), join(' ', 'text', ('image') x 4, ('resource_link') x 6), 'more than four are named');
$r = step("display(Png(300 * 1024)); display(Png())");
is(types($r), 'text image resource_link resource_link', 'what is too large is named');
is(types($tool->read(uri => data($r)->{files}[0]{uri})), 'text image', 'and shown by read_file');
$r = step("class Liar:\n    def _repr_png_(self): return b'GIF89a' + bytes(100)\nLiar()");
is(types($r), 'text resource_link', 'what is no image is not shown as one');
$r = step("'x' * 100000");
like(data($r)->{result}, qr/\A'x{8000,}\n\[\.\.\. [\d,]+ bytes omitted \.\.\.\]\nx{8000,}/, 'a value of much text is cut');
$r = step("'\\x1b[0m\\x00'\n");
unlike($r->{content}, qr/\\u0000|\\u001b/, 'without control characters');
$r = step("raise ValueError('\\x1b' * 10 + 'y' * 100000)");
cmp_ok(length $r->{content}, '<', 100_000, 'an exception is bounded');
like(data($r)->{exception}{value}, qr/\A(\\x1b){10}y+.*\n\[\.\.\. [\d,]+ bytes omitted \.\.\.\]\ny+/s, 'in the same way');
$r = step("for i in range(40): display(Html() if i % 2 else 'text')");
is(types($r), 'text', 'text is no block of its own');
cmp_ok(scalar @{ data($r)->{displays} }, '<=', 32, 'there is an end to displays');
cmp_ok(scalar @{ data($r)->{displays} }, '>', 20, 'but a far one');
$r = step("class Wide:\n    def _repr_mimebundle_(self, include=None, exclude=None): return {'text/plain': 'p', 'text/html': 'h' * 2000000, 'application/json': {'a': [1, 2.50]}}\nWide()");
like($r->{content}, qr/"result":\{"a": ?\[1, ?2\.5/, 'JSON before text') or diag substr $r->{content}, 0, 500;
cmp_ok(length $r->{content}, '<', 20_000, 'not its megabytes of HTML');

$tool->ask('DELETE', "/tools/sessions/$session");
is(types($tool->read(uri => $uri)), 'text image', 'displays outlive their session');
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
