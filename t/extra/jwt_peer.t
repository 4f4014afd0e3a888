#!/usr/bin/perl
# Tokens that PyJWT makes and signs, in every algorithm, against the gateway.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox;
use Test::More;

my $python = $ENV{SANDBOX_PYTHON} or die "run by t/run-extra\n";
my $t = Sandbox->new;
my $dir = $t->dir;
open my $out, '-|', $python, "$FindBin::Bin/jwt_peer.py", "$dir/etc", $t->{secret} or die $!;
my $case = decode_json(do { local $/; <$out> });
close $out or die "jwt_peer.py failed\n";

$t->start(gateway => { conf => sub {
    my ($text) = @_;
    $text =~ s/sandbox_auth_secret_file[^;]*;/sandbox_auth_secret_file $dir\/etc\/jwt.secret;\n    sandbox_auth_jwks_file $dir\/etc\/peer.jwks;/ or die 'no place for the keys';
    return $text;
} });
for my $token (@{ $case->{accept} }) {
    my $reply = $t->request('GET', '/v1/jobs', token => $token->{token});
    is($reply->{status}, 200, "accepted: $token->{name}") or diag $reply->{content};
}
for my $token (@{ $case->{refuse} }) {
    is($t->request('GET', '/v1/jobs', token => $token->{token})->{status}, 401, "refused: $token->{name}");
}
cmp_ok(scalar @{ $case->{accept} }, '>=', 8, 'enough good tokens');
cmp_ok(scalar @{ $case->{refuse} }, '>', scalar @{ $case->{accept} }, 'and more bad ones');
$t->finish;
done_testing();
