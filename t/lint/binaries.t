#!/usr/bin/perl
# What the built files promise to the loader: hardening, visible symbols, static agent.
use strict;
use warnings;
use Test::More;
use FindBin;

chdir "$FindBin::Bin/../.." or die $!;
my $out = 'build/release';
plan skip_all => 'no release build here: make build first' unless -e "$out/executord" || $ENV{CI};

for my $name ('executord', 'sandbox-launch') {
    my $headers = `readelf -hlWd $out/$name 2>/dev/null`;
    like($headers, qr/Type:\s+DYN/, "$name is position independent");
    like($headers, qr/GNU_RELRO/, "$name has relro");
    like($headers, qr/BIND_NOW|FLAGS_1.*NOW/, "$name binds at start");
    like($headers, qr/GNU_STACK\s+\S+\s+\S+\s+\S+\s+\S+\s+\S+\s+RW\s/, "$name has no executable stack");
    like(`nm -D $out/$name`, qr/__stack_chk_fail/, "$name has stack canaries");
}
unlike(`readelf -lW $out/session-agent`, qr/INTERP/, 'session-agent needs no loader');
unlike(`readelf -dW $out/session-agent`, qr/NEEDED/, 'session-agent needs no library');

my @leaks = grep { !/^ngx_/ } map { (split)[2] // () } grep { / [TDBRV] / } `nm -D --defined-only $out/ngx_http_sandbox_module.so`;
is_deeply([map { s/\n//r } @leaks], [], 'the module shows no symbol of lib/');
my @launcher = `readelf -dW $out/sandbox-launch` =~ /NEEDED.*\[(.*)\]/g;
is_deeply([grep { !/^(libseccomp|libc|libcap|ld-linux)/ } @launcher], [], 'sandbox-launch links no parser of others');

# The mutant build alone can leave walls out: no other knows the key, the option or the set.
for my $name ('executord', 'sandbox-launch', 'session-agent') {
    my $bytes = do { local $/; open my $in, '<:raw', "$out/$name" or die "$name: $!"; <$in> };
    ok(index($bytes, $_) < 0, "$name does not know $_") for 'walls_off', 'walls-off';
    unlike(`nm $out/$name 2>/dev/null`, qr/walls_off/, "$name has no symbol for it");
}
done_testing();
