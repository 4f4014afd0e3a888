#!/usr/bin/perl
# Signed URLs at the edge: one artifact's bytes, for one tenant, until they expire, and nothing else with them.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(hmac_sha256);
use MIME::Base64 qw(encode_base64url);
use Sandbox::Front;
use Test::More;

my $t = Sandbox::Front->new;
my $id = 'art_01m7yep0vh3nhv2pk7vh28r48r';
my $other = 'art_01m7yep0vh3nhv2pk7vh28r48s';
my $locations = <<'END';
    location ~ "^/v1/artifacts/[^/]+/content$" { sandbox_route artifacts.read; sandbox_signed_url on; sandbox_policy on; proxy_pass http://up$sandbox_uri; }
    location ~ "^/v1/artifacts/[^/]+$" { sandbox_route artifacts.get; sandbox_policy on; proxy_pass http://up$sandbox_uri; }
    location /narrow/ { sandbox_signed_url on; sandbox_auth_scope artifacts:write; proxy_pass http://up$sandbox_uri; }
    location /open/ { sandbox_auth off; sandbox_signed_url on; proxy_pass http://up$sandbox_uri; }
    location /rewritten/ { rewrite ^/rewritten/(.*) /v1/artifacts/$1 last; }
END
my $policies = $t->policies(default => {}, 'tenants/acme' => { version => 7, id => 'pol_acme', uploads => { max_bytes => 5 } },
                            'tenants/slow' => { rates => { tenant => { rate => '4/h', burst => 2 } } }, 'tenants/route' => { rates => { routes => { 'artifacts.read' => { rate => '4/h', burst => 1 } } } });
my $extra = "sandbox_policy_dir $policies; sandbox_denial_log $t->{dir}/denials.jsonl;";
$t->start_front($extra, locations => $locations, workers => 2);

# Made here with other code than lib's.
sub signature {
    my ($tenant, $id, $expires, %option) = @_;
    my $label = $option{label} // 'sandbox artifact url v1';
    my $key = $option{raw_key} // hmac_sha256($label, $option{key} // $t->{key});
    return encode_base64url(hmac_sha256(join('', map { "$_\n" } $label, $option{verb} // 'read', "/v1/artifacts/$id/content", $tenant, $id, $expires), $key));
}
sub url {
    my ($tenant, $id, $expires, %option) = @_;
    return "/v1/artifacts/$id/content?tenant=$tenant&expires=$expires&signature=" . signature($tenant, $id, $expires, %option);
}
sub ask_url { my ($url, %option) = @_; return $t->request($option{method} // 'GET', $url, anonymous => 1, %option) }
my $soon = time + 600;

# What a good one is good for.
my $url = url('acme', $id, $soon);
my $reply = ask_url($url);
is($reply->{status}, 200, 'a signed URL is as good as a token');
is($reply->{json}{uri}, "/v1/artifacts/$id/content", 'nothing of it goes on');
my $context = $t->open_context($reply->{json}{sandbox_context});
is_deeply([@{$context}{qw(tenant app agent sub jti scopes)}], ['acme', '', '', 'signed-url', '', 'artifacts:read'], 'who that is');
is("$context->{policy} $context->{policy_v} $context->{up_bytes}", 'pol_acme 7 5', 'under the tenant\'s policy');
ok(!$context->{bypass} && !defined $context->{limits}, 'and it may create nothing');
is(ask_url($url, method => 'HEAD')->{status}, 200, 'HEAD too');
is(ask_url($url)->{status}, 200, 'as often as one likes');
my @used;
$t->wait_until(30, sub { @used = grep { /method=signed_url/ } $t->access_log });
like($used[0], qr/tenant=acme app=- agent=- sub=signed-url method=signed_url cache=- denied=- scopes=artifacts:read/, 'the log says so');
is($t->open_context(ask_url(url('other.tenant', $id, $soon))->{json}{sandbox_context})->{tenant}, 'other.tenant', 'the tenant is the one that signed');
is(ask_url(url('acme', $id, time + 7 * 86400 - 5))->{status}, 200, 'a week is the longest life');

# What is none. All of them read the same.
my $good = signature('acme', $id, $soon);
my $flipped = $good;
substr($flipped, 5, 1) = substr($flipped, 5, 1) eq 'A' ? 'B' : 'A';
my $path = "/v1/artifacts/$id/content";
my %bad = (
    'of another tenant' => "$path?tenant=other&expires=$soon&signature=$good",
    'of another artifact' => "/v1/artifacts/$other/content?tenant=acme&expires=$soon&signature=$good",
    'for longer' => "$path?tenant=acme&expires=@{[ $soon + 1 ]}&signature=$good",
    'for less long' => "$path?tenant=acme&expires=@{[ $soon - 1 ]}&signature=$good",
    'with a character changed' => "$path?tenant=acme&expires=$soon&signature=$flipped",
    'that is cut' => "$path?tenant=acme&expires=$soon&signature=" . substr($good, 0, 42),
    'that is longer' => "$path?tenant=acme&expires=$soon&signature=${good}A",
    'with padding' => "$path?tenant=acme&expires=$soon&signature=$good=",
    'with an empty signature' => "$path?tenant=acme&expires=$soon&signature=",
    'with no value of the signature' => "$path?tenant=acme&expires=$soon&signature",
    'with only a signature' => "$path?signature=$good",
    'without a tenant' => "$path?expires=$soon&signature=$good",
    'without an end' => "$path?tenant=acme&signature=$good",
    'in another order' => "$path?expires=$soon&tenant=acme&signature=$good",
    'with more behind it' => "$path?tenant=acme&expires=$soon&signature=$good&download=1",
    'with more before it' => "$path?download=1&tenant=acme&expires=$soon&signature=$good",
    'with one twice' => "$path?tenant=acme&tenant=acme&expires=$soon&signature=$good",
    'with two signatures' => "$path?tenant=acme&expires=$soon&signature=$good&signature=$good",
    'with an ampersand at its end' => "$path?tenant=acme&expires=$soon&signature=$good&",
    'with an escape in the tenant' => "$path?tenant=%61cme&expires=$soon&signature=$good",
    'with an escape in the path' => "/v1/artifacts/%61" . substr($id, 1) . "/content?tenant=acme&expires=$soon&signature=$good",
    'with a doubled slash' => "/v1//artifacts/$id/content?tenant=acme&expires=$soon&signature=$good",
    'with a dot in the path' => "/v1/./artifacts/$id/content?tenant=acme&expires=$soon&signature=$good",
    'with dots in the path' => "/v1/x/../artifacts/$id/content?tenant=acme&expires=$soon&signature=$good",
    'with a leading zero' => "$path?tenant=acme&expires=0$soon&signature=" . signature('acme', $id, "0$soon"),
    'with a sign' => "$path?tenant=acme&expires=+$soon&signature=" . signature('acme', $id, "+$soon"),
    'past 64 bits' => "$path?tenant=acme&expires=18446744073709551616&signature=" . signature('acme', $id, '18446744073709551616'),
    'that has expired' => url('acme', $id, time - 1),
    'that expires now' => url('acme', $id, time),
    'of the epoch' => url('acme', $id, 0),
    'for ever' => url('acme', $id, time + 8 * 86400),
    'of the context\'s key itself' => url('acme', $id, $soon, raw_key => $t->{key}),
    'of another label' => url('acme', $id, $soon, label => 'jobs cursor'),
    'of another key' => url('acme', $id, $soon, key => 'k' x 64),
    'to write' => url('acme', $id, $soon, verb => 'write'),
    'of a tenant with a dot first' => url('.acme', $id, $soon),
    'of no tenant' => url('', $id, $soon),
    'of an id that is none' => url('acme', 'art_1', $soon),
    'of a job' => url('acme', $id =~ s/art/job/r, $soon),
    'in upper case' => url('acme', uc $id, $soon),
    'with newlines' => url('acme%0A', $id, $soon),
    'that is long' => "$path?tenant=" . 'a' x 5000 . "&expires=$soon&signature=$good",
);
my $n = 0;
for my $what (sort keys %bad) {
    my $reply = ask_url($bad{$what});
    is($reply->{status}, 401, "one $what");
    is("$reply->{json}{code}: $reply->{json}{detail}", 'unauthorized: The signed URL is not valid, or has expired.', 'is refused with no other word');
    $n++;
}
my @denied = grep { ($_->{route} // '') eq 'artifacts.read' } $t->denials($n);
is(scalar @denied, $n, 'each is in the denial log');
is_deeply([@{ $denied[0] }{qw(code tenant subject)}], ['unauthorized', '', ''], 'with nobody\'s name');
is($t->metric('refused_total', 'reason="signed_url"'), $n, 'and counted');
is($t->metric('auth_total', 'result="invalid"'), $n, 'as what is not valid');

# Methods and places it is not for.
is(ask_url($url, method => $_, body => '')->{status}, 401, "not to $_") for qw(PUT POST PATCH DELETE OPTIONS);
is(ask_url($url =~ s{/content}{}r)->{status}, 401, 'not for what is said of the artifact');
is(ask_url("/v1/jobs?tenant=acme&expires=$soon&signature=$good")->{status}, 401, 'nor anywhere else');
is(ask_url("/narrow/x?tenant=acme&expires=$soon&signature=$good")->{status}, 401, 'nor under another path that takes them');
is(ask_url("/rewritten/$id/content?tenant=acme&expires=$soon&signature=$good")->{status}, 401, 'nor under one that leads there');
is(ask_url("/open/x?tenant=acme&expires=$soon&signature=$good")->{json}{sandbox_context}, '', 'no identity where auth is off');
is($t->ask("GET http://localhost$url HTTP/1.1", 'Host: localhost', 'Connection: close')->{status}, 200, 'the absolute form is the same URL');
is($t->ask("GET $url#x HTTP/1.1", 'Host: localhost', 'Connection: close')->{status}, 401, 'a fragment is not');

# Tokens.
is($t->request('GET', $path)->{status}, 200, 'a token does without');
is($t->open_context($t->request('GET', "$path?x=signature")->{json}{sandbox_context})->{tenant}, 'demo', 'a value is no parameter');
is($t->request('GET', "$path?signatures=1")->{json}{uri}, "$path?signatures=1", 'nor is a longer name');
is(ask_url($path)->{status}, 401, 'neither is nobody');
for my $case (['a token besides', Authorization => 'Bearer ' . $t->token], ['a key besides', 'X-API-KEY' => $t->token], ['a bad token besides', Authorization => 'Bearer x'], ['another scheme besides', Authorization => 'Basic eDp5']) {
    my ($what, %headers) = @$case;
    for my $which ($url, $bad{'of another tenant'}) {
        my $reply = ask_url($which, headers => {%headers});
        is($reply->{status}, 400, $what);
        is($reply->{json}{detail}, 'Send a token or a signed URL, not both.', 'is said clearly');
    }
}
is(ask_url($url, headers => { 'Sandbox-Context' => 'v1.x.y', 'X-Tenant-Id' => 'evil' })->{json}{x_tenant_id}, '', 'what only we may say is dropped as ever');

# The tenant's rates hold.
my %status;
$status{ ask_url(url('slow', $_ % 2 ? $id : $other, $soon))->{status} }++ for 1 .. 5;
is_deeply(\%status, { 200 => 2, 429 => 3 }, 'the tenant\'s rate holds for whoever has its URLs');
is($t->request('GET', '/v1/jobs', tenant => 'slow')->{status}, 429, 'and it is one with that of its tokens');
is(join(',', map { ask_url(url('route', $id, $soon))->{status} } 1 .. 2), '200,429', 'a route\'s too');
my @limited = grep { $_->{code} eq 'rate_limited' } $t->denials($n + 5);
is_deeply([@{ $limited[0] }{qw(tenant subject)}], [qw(slow signed-url)], 'its refusals are written to the tenant');

# Another context key ends them all; bypass ends none and helps none.
$t->write('etc/context.key', 'n' x 64);
$t->reconfigure_front($extra, locations => $locations, workers => 2);
is(ask_url($url)->{status}, 401, 'a new context key ends all URLs');
is(ask_url(url('acme', $id, $soon, key => 'n' x 64))->{status}, 200, 'and begins others');
for my $bad ('sandbox_signed_url on; sandbox_signed_url off;', 'sandbox_signed_url yes;') {
    my ($ok, $said) = $t->accepts($t->base, locations => "location /x { $bad }");
    ok(!$ok, "refused: $bad");
}
my ($ok, $said) = $t->accepts($t->base('sandbox_signed_url on;'));
ok(!$ok && $said =~ /not allowed here/, 'only of a location');
$t->finish;
done_testing();
