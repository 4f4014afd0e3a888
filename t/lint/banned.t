#!/usr/bin/perl
# Calls and words that must not appear.
use strict;
use warnings;
use Test::More;
use FindBin;

chdir "$FindBin::Bin/../.." or die $!;
my @all = grep { -f && !m{^t/fuzz/corpus/} } split /\n/, `git ls-files -co --exclude-standard`;
my @code = grep { /\.[ch]$/ } @all;
cmp_ok(scalar @code, '>', 20, 'there is code to look at');

my $calls = qr/(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|atoll|alloca|system|popen|tmpnam|
                mktemp|realpath|setjmp|longjmp|PQexec|PQescape\w*|access|strncpy|strncat)\s*\(/x;
my @hits;
for my $file (@code) {
    open my $in, '<', $file or die "$file: $!";
    my $comment = 0;
    while (my $line = <$in>) {
        $comment = 1 if $line =~ m{/\*} && $line !~ m{\*/};
        my $text = $line;
        $text =~ s{"(\\.|[^"\\])*"}{""}g;
        $text =~ s{/\*.*?\*/}{}g;
        push @hits, "$file:$.: $1" if !$comment && $text =~ $calls;
        $comment = 0 if $line =~ m{\*/};
    }
}
is_deeply(\@hits, [], 'no banned call');

# The words are spelt in halves so that this file does not find itself.
my @words = map { join '', @$_ } (['TO', 'DO'], ['FIX', 'ME'], ['X', 'XX:'], ['HA', 'CK:']);
my @hosts = map { join '', @$_ } (['pypi', '.org'], ['registry.npm', 'js'], ['deb.', 'debian.org'], ['crates', '.io'],
                                  ['proxy.golang', '.org'], ['pythonhosted', '.org'], ['/wo', 'rk/main'], ['/wo', 'rk/shared']);
my $pattern = join '|', map { quotemeta } @words, @hosts;
@hits = ();
for my $file (grep { !m{^t/lint/banned\.t$} } @all) {
    next if -B $file;
    open my $in, '<', $file or die "$file: $!";
    while (my $line = <$in>) {
        push @hits, "$file:$.: $1" if $line =~ /($pattern)/;
    }
}
is_deeply(\@hits, [], 'no unfinished marks, registry hosts or paths of a machine');

my @names = grep { m{(^|/)(util|utils|common|helper|helpers|misc)\.[ch]$} } @all;
is_deeply(\@names, [], 'no file without a subject');

@hits = ();
for my $file (grep { /\.h$/ } @code) {
    open my $in, '<', $file or die "$file: $!";
    local $/;
    push @hits, $file unless <$in> =~ /^#pragma once$/m;
}
is_deeply(\@hits, [], 'every header guards itself the same way');
done_testing();
