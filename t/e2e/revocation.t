#!/usr/bin/perl
# A tenant's administrator takes tokens back through the front door: at every worker within a second, and for nobody else.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox;
use Sandbox::Workers;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new;
my $own = Sandbox::free_port();
$t->start(gateway => { conf => sub {
    my ($text) = @_;
    $text =~ s/^(\s*sandbox_auth_secret_file)/    sandbox_control http:\/\/unix:\@STATE\@\/sock\/executord.sock: zone=control:4m;\n$1/m unless $text =~ /sandbox_control /;
    $text =~ s/(listen 127\.0\.0\.1:\@PORT\@;)/$1 listen 127.0.0.1:$own reuseport; $Sandbox::Workers::CONF/;
    return $text;
} });
my $workers = Sandbox::Workers->new($own, 2);
ok($workers->find, 'two workers');

my $now = int time;
sub token { my (%claims) = @_; return $t->token(tenant => 'acme', sub => 'ann', jti => 'j1', iat => $now - 10, %claims) }
sub statuses {
    my ($token) = @_;
    my %reply = $workers->each("GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer $token\r\n\r\n");
    return join ' ', sort keys %{ { map { ($_ // { status => 'none' })->{status} => 1 } values %reply } };
}
# For how long who asked was still told something else; a machine that is busy asks less often, not later.
sub become {
    my ($status, $token) = @_;
    my ($from, $late) = (time, 0);
    return $t->wait_until(30, sub { my $asked = time; return 1 if statuses($token) eq $status; $late = $asked - $from; return 0 }) ? $late : 99;
}
my %admin = (tenant => 'acme', sub => 'root', scope => 'admin');
sub revoke { my ($what, %as) = @_; return $t->request('POST', '/v1/revocations', json => $what, %admin, %as) }
sub lift { my ($made) = @_; return $t->request('DELETE', "/v1/revocations/$made->{json}{revocation_id}", %admin)->{status} }

ok($t->wait_until(30, sub { statuses(token()) eq '200' }), 'a token is good when the executor was heard');
is(revoke({ token_id => 'j1' }, scope => undef)->{status}, 403, 'who is no administrator takes nothing back');
is(revoke({ token_id => 'j1' }, scope => 'revocations:read')->{status}, 403, 'nor who may only read');
is(statuses(token()), '200', 'so it stays good');

my $made = revoke({ token_id => 'j1' });
my $took = become('401', token());
is($made->{status}, 201, 'one token') or diag $made->{content};
cmp_ok($took, '<', 1, 'is refused by every worker within a second');
is(statuses(token(jti => 'j2')), '200', 'another is not');
is(statuses(token(tenant => 'globex')), '200', 'nor the same id of another tenant');
like(lift($made), qr/^20[04]$/, 'lifted');
cmp_ok(become('200', token()), '<', 1, 'and good again');

# A subject, and an open stream of it.
my $session = $t->request('POST', '/v1/sessions', json => { language => 'python' }, tenant => 'acme', sub => 'ann')->{json}{session_id};
sub watch {
    my ($token) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port) or die $!;
    syswrite $socket, "GET /v1/sessions/$session/watch HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nAuthorization: Bearer $token\r\n\r\n";
    my $head = '';
    $t->wait_until(30, sub { my $bits = ''; vec($bits, fileno $socket, 1) = 1; select $bits, undef, undef, 0.05 and sysread $socket, $head, 4096, length $head; $head =~ /\r\n\r\n/ });
    return ($socket, $head);
}
my ($doomed, $head) = watch(token(jti => 'w1'));
like($head, qr{^HTTP/1\.1 200 }, 'a stream') or diag $head;
my ($other) = watch(token(jti => 'w2', sub => 'bob'));
# Seconds until the server closed it, undef when it did not.
sub closed {
    my ($socket, $seconds) = @_;
    my ($from, $n) = (time, 1);
    while (time - $from < $seconds && $n) {
        my $bits = '';
        vec($bits, fileno $socket, 1) = 1;
        $n = sysread $socket, my $piece, 4096 if select $bits, undef, undef, 0.05;
    }
    return $n ? undef : time - $from;
}
$made = revoke({ subject => 'ann' });
is($made->{status}, 201, 'a subject') or diag $made->{content};
cmp_ok(become('401', token()), '<', 1, 'all its tokens');
cmp_ok(closed($doomed, 3) // 99, '<', 1, 'its stream ends');
is(closed($other, 0.3), undef, "another's goes on");
is(statuses(token(sub => 'bob')), '200', 'and so do tokens of others');
is(statuses(token(tenant => 'globex')), '200', 'and of other tenants');
ok($t->wait_until(30, sub { statuses(token(iat => int time)) eq '200' }), 'a token that was issued since is good');
is(statuses(token()), '401', 'an old one is not');
close $other;

# The gateway keeps to it while the executor is away, and learns anew.
my @audit = grep { /revocation\.created/ } map { split /\n/, Sandbox::_slurp($_) } glob "$t->{dir}/data/audit/*";
cmp_ok(scalar @audit, '>=', 2, 'the audit log has the revocations');
ok($t->wait_until(30, sub { $t->read_file('data/denials/denials.jsonl') =~ /"subject":"ann"/ || grep { /unauthorized/ && /"ann"/ } map { split /\n/, Sandbox::_slurp($_) } glob "$t->{dir}/data/audit/*" }), 'and who was refused');
like(lift($made), qr/^20[04]$/, 'lifted');
cmp_ok(become('200', token()), '<', 1, 'and good again');
$t->finish;
done_testing();
