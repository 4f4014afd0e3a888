package Sandbox::Context;

# Identity contexts as the gateway signs them, for tests that speak to executord without one.
#
#   my $value = Sandbox::Context::sign($key, tenant => 'acme', limits => {memory_bytes => 1 << 26});

use strict;
use warnings;
use Digest::SHA qw(hmac_sha256);
use JSON::PP;
use MIME::Base64 qw(encode_base64url);
use Time::HiRes qw(time);

my $JSON = JSON::PP->new->canonical->utf8;
my $count = 0;
my @NUMBERS = qw(policy_v artifacts art_bytes wait_ms concurrency iat sessions ttl_ms ttl_max idle_ms idle_max step_ms step_max
    life_ms up_bytes art_total keep_rec keep_art keep_audit policy_r cpu_tenant cpu_app cpu_agent);

sub limits {
    return {
        cpu => 1, cpu_time_ms => 20_000, memory_bytes => 256 << 20, disk_bytes => 64 << 20, processes => 64,
        time_ms => 20_000, output_bytes => 8 << 20, @_,
    };
}

# The members; undef removes one.
sub members {
    my (%override) = @_;
    my %all = (
        rid => 'req_test' . $$ . '_' . ++$count, trace => '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        tenant => 'acme', app => 'web', agent => 'coder', sub => 'tester', jti => 'token-1', scopes => '',
        client => '192.0.2.7', policy => 'default', policy_v => 1, bypass => JSON::PP::false, limits => limits(),
        artifacts => 64, art_bytes => 16 << 20, wait_ms => 60_000, concurrency => 0, iat => int(time * 1000),
        sessions => 16, ttl_ms => 1_800_000, ttl_max => 86_400_000, idle_ms => 600_000, idle_max => 86_400_000,
        step_ms => 30_000, step_max => 600_000, life_ms => 86_400_000, up_bytes => 2 << 30, art_total => 10 << 30,
        keep_rec => 604_800_000, keep_art => 2_592_000_000, keep_audit => 0,
        tool => '', policy_r => 0, cpu_tenant => 0, cpu_app => 0, cpu_agent => 0,
        %override,
    );
    delete $all{$_} for grep { !defined $all{$_} } keys %all;
    for my $number (@NUMBERS) {
        $all{$number} += 0 if defined $all{$number} && $all{$number} =~ /^\d+$/;
    }
    return \%all;
}

sub seal {
    my ($key, $payload) = @_;
    my $head = 'v1.' . encode_base64url($payload);
    return $head . '.' . encode_base64url(hmac_sha256($head, $key));
}

sub sign {
    my ($key, %override) = @_;
    return seal($key, $JSON->encode(members(%override)));
}

1;
