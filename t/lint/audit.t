#!/usr/bin/perl
# The kinds of audit events in the code and in docs/audit.md are the same set, both ways.
use strict;
use warnings;
use Test::More;
use FindBin;

chdir "$FindBin::Bin/../.." or die $!;

sub slurp { my $text = ''; for (@_) { open my $in, '<', $_ or die "$_: $!"; local $/; $text .= <$in> } $text }

my $KIND = qr/"([a-z]+\.[a-z_]+)"/;
my %code;
my $writers = slurp(glob 'executor/core/audit*.c');
$writers =~ s/\blog_\w+\([^;]*;//g;
$code{$1} = 'executor/core/audit*.c' while $writers =~ /$KIND/g;
for my $file (glob 'executor/*.c executor/api/*.c executor/core/*.c executor/store/*.[ch]') {
    my $text = slurp($file);
    $code{$_} = $file for $text =~ /\.kind = $KIND/g, $text =~ /#define AUDIT_\w+_KIND\s+$KIND/g;
    while ($text =~ /\b(?:call_audit|file_audit|context_audit|artifacts_audit|artifacts_remove|audit_revocation)\(([^;]*);/g) {
        my $arguments = $1;
        $code{$_} = $file for $arguments =~ /$KIND/g;
    }
}
my ($section) = slurp('docs/audit.md') =~ /^## Events\n(.*?)^## /ms;
my @rows = ($section // '') =~ /^\| `([a-z]+\.[a-z_]+)` \|/mg;
my %docs = map { $_ => 1 } @rows;
cmp_ok(scalar keys %code, '>', 40, 'the code has kinds');
is(scalar @rows, scalar keys %docs, 'each is documented once');
is_deeply([grep { !$docs{$_} } sort keys %code], [], 'every one in the code is documented');
is_deeply([grep { !$code{$_} } sort keys %docs], [], 'every one documented is in the code');
done_testing();
