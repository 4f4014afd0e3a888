#!/usr/bin/perl
# An artifact through the front door: sent up in one stream, read in ranges, given to a stranger by a signed URL.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256_hex);
use Sandbox;
use Test::More;

my $t = Sandbox->new;
$t->start;
my $bytes = join '', map { chr($_ * 7 % 251) } 1 .. 300_000;
my %owner = (tenant => 'acme');
my $made = $t->request('POST', '/v1/artifacts?name=a%20b.bin', body => $bytes, %owner, headers => { 'Content-Type' => 'application/x-test' });
is($made->{status}, 201, 'an artifact is stored') or BAIL_OUT($made->{content});
my $id = $made->{json}{artifact_id};
is_deeply([@{ $made->{json} }{qw(name size sha256 mime_type)}], ['a b.bin', 300_000, sha256_hex($bytes), 'application/x-test'], 'as it was sent');
is($t->request('GET', "/v1/artifacts/$id/content", %owner)->{content}, $bytes, 'its bytes come back');
my $part = $t->request('GET', "/v1/artifacts/$id/content", %owner, headers => { Range => 'bytes=100-199' });
is_deeply([$part->{status}, $part->{content}], [206, substr $bytes, 100, 100], 'and a range of them');

my $signed = $t->request('POST', "/v1/artifacts/$id/url", json => {}, %owner);
is($signed->{status} =~ /^20[01]$/ ? 1 : 0, 1, 'a URL is signed') or diag $signed->{content};
my $url = $signed->{json}{url} =~ s{^https?://[^/]+}{}r;
like($url, qr{^/v1/artifacts/\Q$id\E/content\?tenant=acme&expires=\d+&signature=[A-Za-z0-9_-]{43}$}, 'which names all it needs');
sub stranger { my ($method, $url, %headers) = @_; return $t->request($method, $url, anonymous => 1, headers => {%headers}, $method =~ /GET|HEAD/ ? () : (body => '')) }
my $got = stranger('GET', $url);
is_deeply([$got->{status}, sha256_hex($got->{content})], [200, sha256_hex($bytes)], 'a stranger reads it');
$part = stranger('GET', $url, Range => 'bytes=-5');
is_deeply([$part->{status}, $part->{content}], [206, substr $bytes, -5], 'in ranges too');
is(stranger('HEAD', $url)->{headers}{'content-length'}, 300_000, 'and asks how large it is');
is(stranger('GET', $url, 'If-None-Match' => $got->{headers}{etag})->{status}, 304, 'and whether it changed');
is(stranger($_, $url)->{status}, 401, "no $_ with it") for qw(DELETE POST PUT PATCH);
is(stranger('GET', $url =~ s/tenant=acme/tenant=demo/r)->{status}, 401, 'not for another tenant');
is(stranger('GET', $url =~ s/.$//r)->{status}, 401, 'not cut');
is(stranger('GET', "/v1/artifacts/$id")->{status}, 401, 'and nothing else of it');
my %metric = $t->executor_request('GET', '/metrics')->{content} =~ /^sandbox_executor_(artifact_\w+) (\d+)$/mg;
is_deeply([@metric{qw(artifact_uploads_total artifact_upload_bytes_total)}], [1, 300_000], 'uploads are counted');
is_deeply([@metric{qw(artifact_downloads_total artifact_download_bytes_total)}], [4, 600_105], 'and downloads');
my $short = $t->request('POST', "/v1/artifacts/$id/url", json => { expires_in => '1s' }, %owner);
my $soon = ($short->{json}{url} // '') =~ s{^https?://[^/]+}{}r;
if (is($short->{status}, $signed->{status}, 'one for a second')) {
    ok($t->wait_until(30, sub { stranger('GET', $soon)->{status} == 401 }), 'ends');
}
is($t->request('POST', "/v1/artifacts/$id/url", json => {}, tenant => 'mallory')->{status}, 404, 'nobody signs for another tenant');
is($t->request('POST', "/v1/artifacts/$id/url", json => {}, %owner, scope => 'artifacts:read')->{status}, 403, 'nor without the scope');
my @lines = grep { /artifacts/ && /signed_url/ } split /\n/, $t->read_file('logs/access.log');
ok(scalar @lines, 'the access log tells of it');
is(scalar(grep { /signature/ } @lines), 0, 'without the signature');
is($t->request('DELETE', "/v1/artifacts/$id", %owner)->{status} =~ /^20/ ? 1 : 0, 1, 'it is deleted');
is(stranger('GET', $url)->{status}, 404, 'and the URL leads nowhere');
$t->finish;
done_testing();
