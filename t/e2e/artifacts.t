#!/usr/bin/perl
# Artifacts through the gateway: sent up and down as they come, at any size and in pieces; and signed URLs, which the edge
# judges alone: of one artifact, of one tenant, for reading, until they expire, spelt as they were made.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use Sandbox;
use Test::More;

my $t = Sandbox->new;
$t->start;
my $JSON = JSON::PP->new->canonical->utf8;
sub rss { my ($name) = @_; return Sandbox::_slurp("/proc/$t->{pid}{$name}/status") =~ /^VmHWM:\s+(\d+)/m ? $1 : 0 }

# Up, down, in pieces.
my $bytes = join '', map { pack 'N', $_ * 2654435761 } 1 .. 500_000;
my $reply = $t->request('POST', '/v1/artifacts?name=two%20megabytes.bin', body => $bytes, headers => { 'Content-Type' => 'application/octet-stream' });
is($reply->{status}, 201, 'sent up') or diag $reply->{content};
my $id = $reply->{json}{artifact_id};
is($reply->{json}{sha256}, sha256_hex($bytes), 'as it was');
is(sha256_hex($t->request('GET', $reply->{json}{content_url})->{content}), sha256_hex($bytes), 'and down');
my $all = '';
while (length $all < length $bytes) {
    my $from = length $all;
    my $part = $t->request('GET', "/v1/artifacts/$id/content", headers => { Range => "bytes=$from-" . ($from + 333_332) });
    is($part->{status}, 206, "from $from") or last;
    $all .= $part->{content};
}
ok($all eq $bytes, 'piece by piece the same');
is($t->request('HEAD', "/v1/artifacts/$id/content")->{headers}{'content-length'}, 2_000_000, 'its length');
is($t->request('GET', "/v1/artifacts/$id/content", tenant => 'umbrella')->{status}, 404, "no other tenant's");
is($t->request('GET', "/v1/artifacts/$id/content", anonymous => 1)->{status}, 401, 'nor nobody\'s');
is($t->request('GET', '/v1/artifacts?name=two%20')->{json}{artifacts}[0]{artifact_id}, $id, 'listed');
is($t->request('PATCH', "/v1/artifacts/$id", json => { metadata => { k => 'v' } })->{json}{metadata}{k}, 'v', 'described');

# Out of a session's workspace, as many and as large as the policy grants.
my $session = $t->request('POST', '/v1/sessions', json => { language => 'bash' })->{json}{session_id};
is($t->request('POST', "/v1/sessions/$session/steps", json => { code => 'mkdir d; echo one > d/one.txt; echo two > two.log' })->{json}{status}, 'succeeded', 'a session leaves files');
$reply = $t->request('POST', "/v1/sessions/$session/artifacts", json => { patterns => ['**/*.txt'] });
is($reply->{status}, 201, 'collected on demand') or diag $reply->{content};
is_deeply([map { $_->{path} } @{ $reply->{json}{artifacts} }], ['d/one.txt'], 'those that were named');
$t->request('DELETE', "/v1/sessions/$session");
is($t->request('GET', $reply->{json}{artifacts}[0]{content_url})->{content}, "one\n", 'which stay when the session is gone');

# A body without an end in sight, much larger than what anybody keeps of it.
my $block = join '', map { pack 'N', $_ * 40503 } 1 .. 16384;
my ($sent, $digest) = (0, Digest::SHA->new(256));
my $before = rss('executor');
my $big = HTTP::Tiny->new(timeout => 60)->request('POST', $t->url . '/v1/artifacts?name=big', {
    headers => { Authorization => 'Bearer ' . $t->token },
    content => sub { return if $sent >= 1600; $sent++; $digest->add($block); return $block },
});
is($big->{status}, 201, '100 MiB in chunks') or diag $big->{content};
my $made = $JSON->decode($big->{content});
is($made->{sha256}, $digest->hexdigest, 'stored as they were');
my ($n, $got) = (0, Digest::SHA->new(256));
my $down = HTTP::Tiny->new(timeout => 60)->request('GET', $t->url . $made->{content_url}, {
    headers => { Authorization => 'Bearer ' . $t->token },
    data_callback => sub { $n += length $_[0]; $got->add($_[0]) },
});
is("$down->{status} $n " . $got->hexdigest, "200 104857600 $made->{sha256}", 'and read as they were');
my $grown = rss('executor') - $before;
cmp_ok($grown, '<', 40 * 1024, "the executor took $grown KiB of memory for it") if $Sandbox::VARIANT eq 'release';
is($t->request('DELETE', "/v1/artifacts/$made->{artifact_id}")->{status}, 204, 'deleted');

# Too large, by the policy's word.
my $much = $t->request('POST', '/v1/artifacts', body => 'x', headers => { 'Content-Length' => 3 << 30 });
like($much->{status}, qr/^(413|599)$/, 'more than the policy allows is refused before it is sent');
my $raw = $t->raw("POST /v1/artifacts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " . $t->token . "\r\nContent-Length: 3221225472\r\nConnection: close\r\n\r\nxxx");
like($raw, qr/^HTTP\/1\.1 413 .*"rule":"uploads\.max_bytes"/s, 'with the limit in the answer');

# Signed URLs.
my $url = $t->request('POST', "/v1/artifacts/$id/url", json => { expires_in => 600 })->{json}{url};
my $other = $t->request('POST', '/v1/artifacts?name=other', body => 'another')->{json}{artifact_id};
my $other_url = $t->request('POST', "/v1/artifacts/$other/url", json => {})->{json}{url};
sub get { my ($path, %option) = @_; return $t->request($option{method} // 'GET', $path, anonymous => 1, %option) }
my $free = get($url);
is($free->{status}, 200, 'a signed URL needs no token');
is(sha256_hex($free->{content}), sha256_hex($bytes), 'and gives the bytes');
is(get($url, method => 'HEAD')->{headers}{'content-length'}, 2_000_000, 'or their number');
is(get($url, headers => { Range => 'bytes=5-9' })->{content}, substr($bytes, 5, 5), 'or a range of them');
is(get($other_url)->{content}, 'another', 'each its own');
my ($path, $tenant, $expires, $signature) = $url =~ m{^(.*)\?tenant=(\w+)&expires=(\d+)&signature=(\S+)$};
my ($other_signature) = $other_url =~ /signature=(\S+)/;
my $flip = ($signature =~ /^A/ ? 'B' : 'A') . substr $signature, 1;
for my $case (
    ["$path?tenant=$tenant&expires=$expires&signature=$flip", 'another signature'], ["$path?tenant=umbrella&expires=$expires&signature=$signature", 'another tenant'],
    ["$path?tenant=$tenant&expires=" . ($expires + 1) . "&signature=$signature", 'a second more'], ["$path?tenant=$tenant&expires=" . ($expires - 1) . "&signature=$signature", 'a second less'],
    ["/v1/artifacts/$other/content?tenant=$tenant&expires=$expires&signature=$signature", 'another artifact'], ["$path?tenant=$tenant&expires=$expires&signature=$other_signature", "another's signature"],
    ["$path?tenant=$tenant&expires=$expires&signature=", 'an empty signature'], ["$path?tenant=$tenant&expires=$expires", 'none'], ["$path?signature=$signature", 'nothing else'],
    ["$path?expires=$expires&tenant=$tenant&signature=$signature", 'another order'], ["$path?tenant=$tenant&tenant=umbrella&expires=$expires&signature=$signature", 'a second tenant'],
    ["$path?tenant=$tenant&expires=$expires&signature=$signature&tenant=umbrella", 'one behind'], ["$path?tenant=%64emo&expires=$expires&signature=$signature", 'an escape in it'],
    ["$path/?tenant=$tenant&expires=$expires&signature=$signature", 'a path below'], ["/v1/artifacts/$id?tenant=$tenant&expires=$expires&signature=$signature", 'what is known of it'],
    ["/v1/artifacts/$id/url?tenant=$tenant&expires=$expires&signature=$signature", 'a URL of its own'], ["/v1/artifacts?tenant=$tenant&expires=$expires&signature=$signature", 'a listing'],
    ["/v1/jobs?tenant=$tenant&expires=$expires&signature=$signature", 'jobs'], ["/v1/artifacts/$other/../$id/content?tenant=$tenant&expires=$expires&signature=$flip", 'a way around'],
) {
    is(get($case->[0])->{status}, 401, "not for $case->[1]");
}
for my $method (qw(POST PUT PATCH DELETE)) {
    my $reply = get($url, method => $method, $method eq 'DELETE' ? () : (json => {}));
    like($reply->{status}, qr/^40[15]$/, "$method is refused");
}
is($t->request('GET', "/v1/artifacts/$id")->{status}, 200, 'and the artifact is there');
is($t->request('DELETE', "/v1/artifacts/$id", token => 'x.y.z')->{status}, 401, 'a bad token stays one');
my $soon = $t->request('POST', "/v1/artifacts/$id/url", json => { expires_in => 1 })->{json}{url};
ok($t->wait_until(30, sub { get($soon)->{status} == 401 }), 'one that has expired is refused');
is($t->request('DELETE', "/v1/artifacts/$id")->{status}, 204, 'the artifact is deleted');
is(get($url)->{status}, 404, 'and its URL with it');
my ($fine, $text) = $t->audit_verify;
ok($fine, 'the audit log holds') or diag $text;
like(join('', map { Sandbox::_slurp($_) } glob "$t->{dir}/data/audit/audit-*.jsonl"), qr/"artifact\.read".*"signed-url"/, 'and says who read by a URL');
unlike(join('', map { Sandbox::_slurp($_) } glob("$t->{dir}/logs/*"), glob "$t->{dir}/data/audit/audit-*.jsonl"), qr/\Q$signature/, 'no log has the signature');
$t->finish;
done_testing();
