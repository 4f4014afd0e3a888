#!/usr/bin/perl
# Mints a development token (JWT, HS256) from a secret file.
# Usage: token.pl SECRET-FILE [claim=value ...]      e.g. tenant=demo app=web agent=coder sub=me
# Times: ttl=SECONDS (default 86400).
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256);
use JSON::PP;
use MIME::Base64 qw(encode_base64url);

my $file = shift or die "usage: $0 SECRET-FILE [claim=value ...]\n";
open my $in, '<', $file or die "$file: $!\n";
my $secret = do { local $/; <$in> };
$secret =~ s/\n\z//;
my %claims = (sub => 'developer', tenant => 'demo', iss => 'local', aud => 'sandbox', ttl => 86400);
for (@ARGV) {
    my ($claim, $value) = /^(\w+)=(.*)$/s or die "not claim=value: $_\n";
    $claims{$claim} = $value;
}
my $ttl = delete $claims{ttl};
$claims{iat} = time;
$claims{exp} = time + $ttl;
my $json = JSON::PP->new->canonical;
my $body = join '.', map { encode_base64url($json->encode($_)) } { alg => 'HS256', typ => 'JWT' }, \%claims;
print $body, '.', encode_base64url(hmac_sha256($body, $secret)), "\n";
