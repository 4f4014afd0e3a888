#!/usr/bin/perl
# Artifacts as things of their own: sent up, found, described, read in pieces, deleted, expired; whose they are; what is on
# the disk. Names and types are remembered and never believed.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 1, 'artifacts.max_number' => 40 });
my $JSON = JSON::PP->new->canonical->utf8;
sub context { return Sandbox::Context::sign($t->{key}, @_) }
sub ask { my ($method, $path, %option) = @_; my %as = %{ delete $option{as} || {} }; return $t->executor_request($method, $path, context => context(%as), %option) }
sub up { my ($name, $bytes, %option) = @_; return ask('POST', '/v1/artifacts' . (defined $name ? "?name=$name" : ''), body => $bytes, %option) }
sub files { return grep { -f } glob "$t->{dir}/data/artifacts/*/art_*" }
# As many as there are records: who deletes one is answered when its key is gone, its file goes a moment later.
sub rows { my (@tenants) = @_; my $n = 0; $n += @{ ask('GET', '/v1/artifacts?limit=100', as => { tenant => $_ })->{json}{artifacts} } for @tenants; return $n }
sub settled { $t->wait_until(30, sub { files() == rows('acme', 'umbrella') }); return scalar files() }
sub audit { return [map { $JSON->decode($_) } grep { /"kind":"artifact\./ } $t->audit_lines] }

$t->start_launcher->start_executor;

# Up and down again.
my $bytes = join '', map { pack 'N', $_ * 2654435761 } 1 .. 60_000;
my $reply = up('data/report.bin', $bytes, headers => { 'Content-Type' => 'application/x-thing; v=1' });
is($reply->{status}, 201, 'sent up') or diag $reply->{content};
my $made = $reply->{json};
like($made->{artifact_id}, qr/^art_[0-9a-z]{26}$/, 'an id');
is($reply->{headers}{location}, "/v1/artifacts/$made->{artifact_id}", 'and where it is');
is_deeply([@$made{qw(name path size sha256 mime_type metadata job_id session_id content_url)}],
    ['data/report.bin', undef, length $bytes, sha256_hex($bytes), 'application/x-thing; v=1', undef, undef, undef, "/v1/artifacts/$made->{artifact_id}/content"], 'as it was sent');
like($made->{expires_at}, qr/^\d{4}-/, 'it will expire');
my $id = $made->{artifact_id};
is_deeply(ask('GET', "/v1/artifacts/$id")->{json}, $made, 'found again');
my $content = ask('GET', "/v1/artifacts/$id/content");
is($content->{status}, 200, 'read');
is(sha256_hex($content->{content}), sha256_hex($bytes), 'byte for byte');
is($content->{headers}{etag}, '"' . sha256_hex($bytes) . '"', 'its tag is its digest');
is($content->{headers}{'content-type'}, 'application/x-thing; v=1', 'as what it was sent');
is($content->{headers}{'content-disposition'}, q{attachment; filename*=UTF-8''report.bin}, 'a name without a path');
is($content->{headers}{'x-content-type-options'}, 'nosniff', 'believed by nobody');
is($content->{headers}{'content-security-policy'}, 'sandbox', 'nor run');
my $head = ask('HEAD', "/v1/artifacts/$id/content");
is("$head->{status} $head->{headers}{'content-length'} " . length $head->{content}, '200 240000 0', 'its head alone');

# Ranges.
my $etag = $content->{headers}{etag};
for my $case (
    ['bytes=0-0', 0, 1], ['bytes=100-199', 100, 100], ['bytes=65530-65545', 65530, 16], ['bytes=65536-131071', 65536, 65536], ['bytes=239999-', 239999, 1], ['bytes=-7', 239993, 7], ['bytes=-999999999', 0, 240000],
    ['bytes=1-999999999', 1, 239999],
) {
    my ($range, $from, $length) = @$case;
    my $part = ask('GET', "/v1/artifacts/$id/content", headers => { Range => $range });
    is("$part->{status} $part->{headers}{'content-range'} $part->{headers}{'content-length'}", "206 bytes $from-" . ($from + $length - 1) . "/240000 $length", $range);
    ok($part->{content} eq substr($bytes, $from, $length), 'those bytes');
}
for my $range ('bytes=0-1,5-6', 'lines=1-2', 'bytes=b-a', 'bytes=5-4', 'bytes=', '') {
    my $whole = ask('GET', "/v1/artifacts/$id/content", headers => { Range => $range });
    is("$whole->{status} " . length $whole->{content}, '200 240000', "no range: '$range'");
}
for my $range ('bytes=240000-', 'bytes=240000-240001', 'bytes=-0') {
    my $none = ask('GET', "/v1/artifacts/$id/content", headers => { Range => $range });
    is("$none->{status} $none->{headers}{'content-range'} $none->{json}{code}", '416 bytes */240000 range_not_satisfiable', $range);
}
is(ask('GET', "/v1/artifacts/$id/content", headers => { Range => 'bytes=0-9', 'If-Range' => $etag })->{status}, 206, 'If-Range with its tag');
is(ask('GET', "/v1/artifacts/$id/content", headers => { Range => 'bytes=0-9', 'If-Range' => '"other"' })->{status}, 200, 'with another');
is(ask('GET', "/v1/artifacts/$id/content", headers => { Range => 'bytes=0-9', 'If-Range' => "W/$etag" })->{status}, 200, 'with a weak one');
is(ask('GET', "/v1/artifacts/$id/content", headers => { 'If-None-Match' => $_ })->{status}, 304, "If-None-Match $_") for $etag, "W/$etag", '*', "\"x\", $etag";
is(ask('GET', "/v1/artifacts/$id/content", headers => { 'If-None-Match' => $_ })->{status}, 200, "If-None-Match $_") for '"x"', substr($etag, 1, 10), "x$etag";
is(ask('HEAD', "/v1/artifacts/$id/content", headers => { Range => 'bytes=0-9' })->{headers}{'content-length'}, 10, 'the head of a range');

# Of other tenants there are none.
my %other = (as => { tenant => 'umbrella' });
for my $case (['GET', ''], ['GET', '/content'], ['HEAD', '/content'], ['DELETE', ''], ['PATCH', '', json => {}], ['POST', '/url', json => {}]) {
    my ($method, $path, %option) = @$case;
    is(ask($method, "/v1/artifacts/$id$path", %other, %option)->{status}, 404, "$method $path of another tenant's");
}
is_deeply(ask('GET', '/v1/artifacts', %other)->{json}, { artifacts => [], next_cursor => undef }, 'nor in a listing');
is(ask('GET', "/v1/artifacts/$_")->{status}, 404, "no artifact: $_") for 'art_00000000000000000000000000', 'x', 'job_01m7yep0vh3nhv2pk7vh28r48r', '..', '%2e%2e', "$id%00", "${id}x", uc $id;

# Scopes.
my %reader = (as => { scopes => 'artifacts:read' });
is(ask('GET', "/v1/artifacts/$id/content", %reader)->{status}, 200, 'artifacts:read reads');
is(ask('DELETE', "/v1/artifacts/$id", %reader)->{status}, 403, 'and does not delete');
is(up('x', 'x', %reader)->{status}, 403, 'nor send up');
is(ask('GET', "/v1/artifacts/$id", as => { scopes => 'jobs:read jobs:write' })->{status}, 403, "those of jobs do not read artifacts");
is(ask('GET', '/v1/jobs', %reader)->{status}, 403, 'nor the other way around');

# Names are metadata: anything a path could not be, and nothing becomes one.
my $before = files();
for my $case (['..%2f..%2f..%2fetc%2fpasswd', '../../../etc/passwd', 'passwd'], ['%2fetc%2fshadow', '/etc/shadow', 'shadow'], ['..', '..', 'artifact'], ['a%2f', 'a/', 'artifact'],
    ['con%3aaux%5c..%5cx', 'con:aux\\..\\x', 'con%3Aaux%5C..%5Cx'], ['%c3%a9%22%3b', "\x{e9}\";", '%C3%A9%22%3B'], ['%252e%252e%252f', '%2e%2e%2f', '%252e%252e%252f']) {
    my ($sent, $name, $file) = @$case;
    my $odd = up($sent, 'x')->{json};
    is($odd->{name}, $name, "a name: $sent");
    is(ask('GET', "/v1/artifacts/$odd->{artifact_id}/content")->{headers}{'content-disposition'}, "attachment; filename*=UTF-8''$file", 'in its answer');
    is(ask('DELETE', "/v1/artifacts/$odd->{artifact_id}")->{status}, 204, 'and gone');
}
is(up($_, 'x')->{status}, 422, "no name: $_") for '', 'a%00b', 'a%0ab', '%ff', 'x' x 513, '%7f', '%c2%85', 'a%2', '%1b[0m';
is(up('x', 'x', headers => { 'Content-Type' => $_ })->{status}, 422, "no type: $_") for 'text', '/', 'text/', 'te xt/plain', 'a/' . 'b' x 128, "text/\xe9";
is(up(undef, 'x')->{json}{name} =~ /^art_/, 1, 'without a name it is called after its id');
is(ask('POST', '/v1/artifacts?nam=x', body => 'x')->{status}, 422, 'a parameter that is none');
is(settled(), $before + 1, 'what was refused left no file');
ok($t->wait_until(30, sub { `find $t->{dir}/data/artifacts/tmp -type f | wc -l` == 0 }), 'nor a part of one');

# A sparse file or an archive that unpacks to more is just its bytes.
my $bomb = "\0" x 5_000_000;
is(up('bomb.zip', $bomb, headers => { 'Content-Type' => 'application/zip' })->{json}{size}, 5_000_000, 'nothing is unpacked');
is(up('empty', '')->{json}{sha256}, sha256_hex(''), 'an empty one');

# Limits, by what was announced and by what came.
sub chunked { my ($bytes, %as) = @_; my $n = 0;
    return Sandbox::parse_reply($t->executor_raw("POST /v1/artifacts?name=c HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nSandbox-Context: " . context(%as) . "\r\n\r\n"
        . join('', map { sprintf("%x\r\n", length) . "$_\r\n" } unpack '(a50000)*', $bytes) . "0\r\n\r\n", until => qr/\}\s*$/)) }
my %small = (up_bytes => 100_000);
is(chunked($bytes)->{json}{sha256}, sha256_hex($bytes), 'in chunks');
for my $case ([sub { up('x', $bytes, as => \%small) }, 240000, 'announced'], [sub { chunked($bytes, %small) }, undef, 'in chunks']) {
    my $much = $case->[0]->();
    is("$much->{status} $much->{json}{code}", '413 payload_too_large', "too large, $case->[2]");
    is_deeply([map { @$_{qw(rule limit observed)} } $much->{json}{violations}[0]], ['uploads.max_bytes', '100000', $case->[1]], 'and says by what');
}
is(up('x', 'y' x 100_000, as => \%small)->{status}, 201, 'as large as it may be');
is(chunked('y' x 100_000, %small)->{status}, 201, 'so in chunks');
is(up('x', 'x', as => { up_bytes => 0 })->{status}, 403, 'a policy that grants none');
my $stored = 0;
$stored += $_->{size} for @{ ask('GET', '/v1/artifacts?limit=100')->{json}{artifacts} };
for my $case ([sub { up('x', 'z' x 1000, as => { art_total => $stored + 999 }) }, 'announced'], [sub { chunked('z' x 1000, art_total => $stored + 999) }, 'in chunks']) {
    my $much = $case->[0]->();
    is("$much->{status} $much->{json}{violations}[0]{rule}", '413 artifacts.total_bytes', "more than the tenant may store, $case->[1]");
}
is(up('x', 'z' x 1000, as => { art_total => $stored + 1000 })->{status}, 201, 'just as much');
is(up('x', 'z' x 1000, as => { tenant => 'umbrella', art_total => 1000 })->{status}, 201, "another tenant's do not count");
my $n = @{ ask('GET', '/v1/artifacts?limit=100')->{json}{artifacts} };
is(up("n$_", 'n')->{status}, 201, "number $_") for $n + 1 .. 40;
is(up('n41', 'n')->{json}{violations}[0]{rule}, 'artifacts.max_number', 'then it has as many as it may');
ok($t->wait_until(30, sub { files() == 41 }), 'and no file more') or diag scalar files();

# Listings.
my ($seen, $cursor, $pages, @all) = (0, '', 0);
do {
    my $page = ask('GET', '/v1/artifacts?limit=7' . ($cursor ? "&cursor=$cursor" : ''))->{json};
    push @all, map { $_->{artifact_id} } @{ $page->{artifacts} };
    $cursor = $page->{next_cursor};
    $pages++;
} while $cursor && $pages < 20;
my %unique = map { $_ => 1 } @all;
is(scalar(@all) . ' ' . keys(%unique), '40 40', 'page by page, each once');
is_deeply([reverse sort @all], \@all, 'newest first');
is(@{ ask('GET', '/v1/artifacts?limit=100&name=n')->{json}{artifacts} }, 40 - $n, 'by the begin of a name');
is(@{ ask('GET', '/v1/artifacts?name=%25')->{json}{artifacts} }, 0, 'which is no pattern');
is(ask('GET', "/v1/artifacts?$_")->{status}, 422, "no listing: $_") for 'limit=0', 'limit=101', 'limit=x', 'job=x', 'session=x', "job=$id", 'name=', 'cursor=x', 'tenant=umbrella';
my $mine = ask('GET', '/v1/artifacts?limit=1')->{json}{next_cursor};
is(ask('GET', "/v1/artifacts?limit=1&cursor=$mine", %other)->{status}, 422, "no other tenant's cursor");
is(ask('GET', "/v1/artifacts?name=n&cursor=$mine")->{status}, 422, 'nor of another listing');

# Files of a job are artifacts, too.
is(ask('DELETE', "/v1/artifacts/$_")->{status}, 204, 'room again') for @all[0 .. 9];
my $job = ask('POST', '/v1/jobs', json => { language => 'bash', code => 'mkdir -p out; printf abcdefghij > out/x.txt', artifacts => ['out/*'] })->{json};
my $listed = ask('GET', "/v1/artifacts?job=$job->{job_id}")->{json}{artifacts};
is_deeply([map { [@$_{qw(name path size job_id mime_type)}] } @$listed], [['out/x.txt', 'out/x.txt', 10, $job->{job_id}, 'text/plain']], 'of a job');
is(ask('GET', $listed->[0]{content_url})->{content}, 'abcdefghij', 'read as an artifact');
my $part = ask('GET', $job->{files}[0]{download_url}, headers => { Range => 'bytes=2-4' });
is("$part->{status} $part->{content}", '206 cde', "a range of a job's file");
is(ask('DELETE', "/v1/artifacts/$listed->[0]{artifact_id}")->{status}, 204, 'deleted');
is(ask('GET', $job->{files}[0]{download_url})->{status}, 404, 'also as the file of its job');
is_deeply(ask('GET', "/v1/jobs/$job->{job_id}")->{json}{files}, [], 'which has none now');

my $full = ask('POST', '/v1/jobs', json => { language => 'bash', code => 'printf abcdefghij > x.txt', artifacts => ['*'] }, as => { art_total => 9 })->{json};
is($full->{status}, 'succeeded', 'of a tenant that has stored as much as it may') or diag explain $full;
is_deeply($full->{files}, [], 'a job keeps no files');
is_deeply($full->{files_skipped} // $full->{skipped} // $full->{artifacts_skipped}, [{ path => 'x.txt', reason => 'the tenant has stored as many bytes as it may' }], 'and says why') or diag explain $full;

# Metadata and time.
my $patched = ask('PATCH', "/v1/artifacts/$id", json => { metadata => { a => [1, 'x'] }, expires_in => '1h' });
is($patched->{status}, 200, 'described') or diag $patched->{content};
is_deeply($patched->{json}{metadata}, { a => [1, 'x'] }, 'so');
isnt($patched->{json}{expires_at}, $made->{expires_at}, 'and for another time');
is(ask('PATCH', "/v1/artifacts/$id", json => {})->{json}{expires_at}, $patched->{json}{expires_at}, 'what is not said stays');
is(ask('PATCH', "/v1/artifacts/$id", json => { metadata => undef })->{json}{metadata}, undef, 'null takes it away');
for my $case ([{ expires_in => '31d' }, 422], [{ expires_in => '721h' }, 403], [{ expires_in => -1 }, 422], [{ expires_in => 'x' }, 422], [{ metadata => 'x' }, 422], [{ metadata => [] }, 422], [{ metadata => { x => 'y' x 20000 } }, 422],
    [{ name => 'y' }, 422], [{ size => 1 }, 422], [[], 422]) {
    is(ask('PATCH', "/v1/artifacts/$id", json => $case->[0])->{status}, $case->[1], 'refused: ' . substr $JSON->encode($case->[0]), 0, 40);
}
is(ask('PATCH', "/v1/artifacts/$id", body => '{', headers => { 'Content-Type' => 'application/json' })->{status}, 400, 'no JSON');

# The same request twice.
my %key = (headers => { 'Idempotency-Key' => 'k1' });
my $first = up('same', 'same bytes', %key);
my $count = settled();
my $again = up('same', 'same bytes', %key);
is("$again->{status} $again->{json}{artifact_id} $again->{headers}{'idempotency-replayed'}", "201 $first->{json}{artifact_id} true", 'the same answer');
ok($t->wait_until(30, sub { files() == $count }), 'and no second file');
is(up('same', 'other bytes', %key)->{json}{code}, 'idempotency_mismatch', 'other bytes');
is(up('other', 'same bytes', %key)->{json}{code}, 'idempotency_mismatch', 'another name');
isnt(up('same', 'same bytes', %key, as => { tenant => 'umbrella' })->{json}{artifact_id}, $first->{json}{artifact_id}, 'keys are of a tenant');
is(ask('DELETE', "/v1/artifacts/$first->{json}{artifact_id}")->{status}, 204, 'it goes');
is(up('same', 'same bytes', %key)->{status}, 410, 'and the key says so');
is(up('x', 'x', headers => { 'Idempotency-Key' => "a\tb" })->{status}, 400, 'a key that is none');

# A client that leaves in the middle leaves nothing.
$count = settled();
my $gone = $t->executor_raw("POST /v1/artifacts HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\nSandbox-Context: " . context() . "\r\n\r\n" . 'x' x 3_000_000, seconds => 0.2);
is($gone, '', 'no answer to half a body');
ok($t->wait_until(30, sub { !(my @left = glob "$t->{dir}/data/artifacts/tmp/*") }), 'nothing of it is left');
is(files(), $count, 'nowhere');

# Signed URLs.
my $url = ask('POST', "/v1/artifacts/$id/url", json => { expires_in => 60 })->{json};
like($url->{url}, qr{^/v1/artifacts/$id/content\?tenant=acme&expires=\d+&signature=[A-Za-z0-9_-]{43}$}, 'a URL');
is(ask('POST', "/v1/artifacts/$id/url", json => $_)->{status}, 422, 'no life: ' . $JSON->encode($_)) for { expires_in => 0 }, { expires_in => 604801 }, { expires_in => '8d' }, { expires_in => -1 }, { x => 1 }, [];
is(ask('POST', "/v1/artifacts/$id/url", json => {})->{status}, 200, 'an hour when nobody says');
is($t->executor_request('GET', $url->{url})->{status}, 401, 'the executor itself asks for a context');

# Expiry.
is(ask('PATCH', "/v1/artifacts/$id", json => { expires_in => '200ms' })->{status}, 200, 'soon');
ok($t->wait_until(30, sub { ask('GET', "/v1/artifacts/$id")->{status} == 404 }), 'expired and removed');
ok($t->wait_until(30, sub { !grep { /\Q$id/ } files() }), 'its file, too');

# What the audit says.
my %kinds;
$t->wait_until(30, sub { %kinds = (); $kinds{ $_->{kind} }++ for @{ audit() }; $kinds{'artifact.expired'} });
ok($kinds{$_}, "$_ is in the audit") for qw(artifact.uploaded artifact.read artifact.deleted artifact.expired);
my ($uploaded) = grep { $_->{kind} eq 'artifact.uploaded' && $_->{object} eq $id } @{ audit() };
is_deeply([@{$uploaded}{qw(tenant decision)}, $uploaded->{body} ? @{ $uploaded->{body} }{qw(sha256 size subject)} : @$uploaded{qw(sha256 size subject)}], ['acme', 'allow', sha256_hex($bytes), length $bytes, 'tester'], 'with who and what') or diag explain $uploaded;
unlike(join("\n", map { $t->read_file("data/audit/$_") } map { m{([^/]+)$} } glob "$t->{dir}/data/audit/audit-*.jsonl"), qr/report\.bin/, 'and without its name');
$t->finish;
done_testing();
