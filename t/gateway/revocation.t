#!/usr/bin/perl
# Tokens that were taken back: at every worker, from the cache as well, while requests of theirs run, and nobody else's.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox::Feed;
use Sandbox::Front;
use Sandbox::Idp;
use Sandbox::Workers;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox::Front->new;
my $feed = Sandbox::Feed->new("$t->{dir}/feed.sock");
my $idp = Sandbox::Idp->new($t);
$idp->key('k');
$t->write('etc/idp.jwks', $idp->set);
$t->write('www/slow', 'x' x 4_000_000);
my $own = Sandbox::free_port();
my %opt = (workers => 2, server => "listen 127.0.0.1:$own reuseport; $Sandbox::Workers::CONF",
    locations => 'location /slow { proxy_buffering off; proxy_pass http://up$sandbox_uri; } location /stream { proxy_request_buffering off; proxy_pass http://up$sandbox_uri; } location /open { sandbox_auth off; proxy_pass http://up$sandbox_uri; }');
my $conf = 'sandbox_auth_cache zone=tokens:256k; sandbox_control ' . $feed->url . " zone=control:1m; sandbox_denial_log $t->{dir}/denials.jsonl;"
    . " sandbox_issuer $idp->{name} { jwks_file $t->{dir}/etc/idp.jwks; tenants acme globex platform; act_for billing; }";
$t->start_front($conf, %opt);
my $workers = Sandbox::Workers->new($own, 2);
ok($workers->find, 'two workers');

my $now = int time;
sub token { my (%claims) = @_; return $t->token(tenant => 'acme', sub => 'ann', jti => 'j1', iat => $now - 10, %claims) }
# What all workers answer, each different one once.
sub statuses {
    my ($token, $for) = @_;
    my %reply = $workers->each("GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer $token\r\n" . (defined $for ? "Sandbox-Tenant: $for\r\n" : '') . "\r\n");
    return join ' ', sort keys %{ { map { ($_ // { status => 'none' })->{status} => 1 } values %reply } };
}
# For how long who asked was still told something else; a machine that is busy asks less often, not later.
sub become {
    my ($status, @ask) = @_;
    my ($from, $late) = (time, 0);
    return $t->wait_until(30, sub { my $asked = time; return 1 if statuses(@ask) eq $status; $late = $asked - $from; return 0 }) ? $late : 99;
}

# Nothing was ever heard: nobody knows that it was not revoked.
is(statuses(token()), '503', 'never heard');
my $unknown = $t->request('GET', '/', token => token());
is("$unknown->{json}{code} $unknown->{headers}{'retry-after'}", 'policy_unknown 1', 'its code');
is($t->request('GET', '/', token => 'x.y.z')->{status}, 401, 'a bad token is bad all the same');
is($t->request('GET', '/open', anonymous => 1)->{status}, 200, 'what needs no token goes on');
$feed->start;
cmp_ok(become('200', token()), '<', 5, 'heard: nothing is revoked');
is(statuses(token()), '200', 'and again, from the cache');

# One token.
$feed->revocation('acme', 'rev_1', token_id => 'j1', issued_before => $now - 3600);
cmp_ok(become('401', token()), '<', 1, 'a token by its id, whenever it was issued, at every worker within a second');
my $reply = $t->request('GET', '/', token => token());
my $bad = $t->request('GET', '/', token => substr(token(), 0, -4) . 'AAAA');
is($reply->{headers}{'www-authenticate'}, $bad->{headers}{'www-authenticate'}, 'the answer is that to any other bad token');
s/req_\w+// for my ($x, $y) = ($reply->{content}, $bad->{content});
is($x, $y, 'byte by byte');
ok($t->wait_until(30, sub { grep { /denied=token_revoked/ } $t->access_log }), 'the access log says why');
my ($denial) = $t->denials(1, sub { $_->{request_id} eq $reply->{headers}{'x-request-id'} });
is_deeply([@{$denial}{qw(tenant subject code)}], ['acme', 'ann', 'unauthorized'], 'and the denial log who it was');
cmp_ok($t->metric('refused_total', qr/token_revoked/), '>=', 1, 'the metrics count it');
is(statuses(token(jti => 'j2')), '200', 'another token of the same subject');
is(statuses(token(jti => undef)), '200', 'and one without an id');
is(statuses(token(tenant => 'globex')), '200', 'the same id of another tenant');
is(statuses(token(jti => $_)), '200', "an id that is only like it: $_") for 'j', 'j11', 'J1';
$feed->no_revocation('acme', 'rev_1');
cmp_ok(become('200', token()), '<', 1, 'lifted');

# A subject.
$feed->revocation('acme', 'rev_2', subject => 'ann', issued_before => $now);
cmp_ok(become('401', token(jti => 'j2')), '<', 1, 'all tokens of a subject');
is(statuses(token(jti => 'j3', iat => $now - 100)), '401', 'old ones too');
is(statuses(token(iat => undef)), '401', 'and those that do not say when they were issued');
is(statuses(token(iat => 0)), '401', 'or lie about it');
is(statuses(token(iat => $now)), '200', 'not those issued since');
is(statuses(token(sub => $_)), '200', "not those of $_") for 'bob', 'Ann', 'annn';
is(statuses(token(tenant => 'globex')), '200', 'nor those of another tenant');
$feed->no_revocation('acme', 'rev_2');

# A tenant.
$feed->revocation('acme', 'rev_3', all => JSON::PP::true, issued_before => $now);
cmp_ok(become('401', token(sub => 'bob')), '<', 1, 'all tokens of a tenant');
is(statuses(token(iat => $now + 1)), '200', 'not those issued since');
is(statuses(token(tenant => 'globex')), '200', 'nor those of another tenant');
$feed->no_revocation('acme', 'rev_3');
cmp_ok(become('200', token(sub => 'bob')), '<', 1, 'lifted');

# A service that acts for a tenant stands by both.
my %service = (sub => 'billing', client_id => 'billing', tenant => 'platform', iat => $now - 10);
my $service = $idp->token('k', %service);
is(statuses($service, 'acme'), '200', 'a service for a tenant');
$feed->revocation('acme', 'rev_4', subject => 'billing', issued_before => $now);
cmp_ok(become('401', $service, 'acme'), '<', 1, 'the tenant takes it back');
is(statuses($service), '200', 'for itself alone');
is(statuses($service, 'globex'), '200', 'and not for another');
$feed->no_revocation('acme', 'rev_4');
$feed->revocation('platform', 'rev_5', subject => 'billing', issued_before => $now);
cmp_ok(become('401', $service), '<', 1, 'its own tenant takes it back');
is(statuses($service, 'acme'), '401', 'for all');
$feed->no_revocation('platform', 'rev_5');

# Requests that are under way.
sub slow {
    my (%claims) = @_;
    my $socket = $t->begin('GET', '/slow', token => token(%claims));
    my $head = '';
    sysread $socket, $head, 1000;
    return $socket;
}
# Seconds until it is over, undef when it is not.
sub over {
    my ($socket, $seconds) = @_;
    my ($from, $bytes) = (time, 0);
    while (time - $from < $seconds) {
        my $bits = '';
        vec($bits, fileno $socket, 1) = 1;
        next unless select $bits, undef, undef, 0.05;
        my $n = sysread $socket, my $piece, 65536;
        return time - $from if !$n;
    }
    return undef;
}
my @doomed = map { slow(jti => "d$_", sub => 'dora') } 1 .. 20;
my @others = (slow(jti => 'o1', sub => 'otto'), slow(jti => 'o2', sub => 'dora', tenant => 'globex'), slow(jti => 'o3', sub => 'dora', iat => $now + 1));
my $from = time;
$feed->revocation('acme', 'rev_6', subject => 'dora', issued_before => $now);
my @took = map { over($_, 3) } @doomed;
is(scalar(grep { defined } @took), 20, 'twenty replies under way end');
cmp_ok(time - $from, '<', 1, 'within a second');
is(scalar(grep { defined } map { over($_, 0.2) } @others), 0, 'and no others');
ok($t->wait_until(30, sub { grep({ m{GET /slow 200 .*denied=token_revoked} } $t->access_log) == 20 }), 'the access log says why');
is(statuses(token(sub => 'dora')), '401', 'and the next request is refused');
$t->wait_until(30, sub { $t->metric('in_flight') <= 4 });
close $_ for @others;
ok($t->wait_until(30, sub { ($t->metric('in_flight') // 9) <= 1 }), 'nothing of them is left');

# A body that has not come whole: its digest would be that of something nobody sent.
my @bodies = map { $t->begin('POST', $_, token => token(sub => 'paul', jti => 'p1'), body => 'x' x 10, headers => { 'Content-Length' => 1000 }) } '/', '/stream';
ok($t->wait_until(30, sub { ($t->metric('in_flight') // 0) == 3 }), 'two uploads under way');
$feed->revocation('acme', 'rev_7', subject => 'paul', issued_before => $now);
is(scalar(grep { defined over($_, 3) } @bodies), 2, 'they end');
my @halves = $t->denials(2, sub { $_->{subject} eq 'paul' });
is(scalar @halves, 2, 'both are in the denial log');
is(scalar(grep { defined $_->{request_sha256} } @halves), 0, 'with no digest of a part of a body');

# The executor is away: what is revoked stays so, and what is not works on.
$feed->stop;
is(statuses(token(sub => 'dora')), '401', 'revoked, and the executor away');
is(statuses(token(sub => 'bob')), '200', 'not revoked, and the executor away');
ok($t->reconfigure_front($conf, %opt), 'reload meanwhile');
ok($workers->find, 'new workers');
is(statuses(token(sub => 'dora')), '401', 'still revoked');
is(statuses(token(sub => 'bob')), '200', 'and not');
unlike($t->error_log, qr/eyJ/, 'no token in the log');
$t->finish;
done_testing();
