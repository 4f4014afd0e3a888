#!/usr/bin/perl
# What the code offers and what docs/ describes are the same set, both ways.
use strict;
use warnings;
use Test::More;
use FindBin;

chdir "$FindBin::Bin/../.." or die $!;

sub slurp { my $text = ''; for (@_) { open my $in, '<', $_ or die "$_: $!"; local $/; $text .= <$in> } $text }

sub same_set {
    my ($code, $docs, $what) = @_;
    cmp_ok(scalar keys %$code, '>', 0, "$what: the code has some");
    is_deeply([grep { !$docs->{$_} } sort keys %$code], [], "$what: every one in the code is documented");
    is_deeply([grep { !$code->{$_} } sort keys %$docs], [], "$what: every one documented is in the code");
}

my $module = slurp(glob 'ngx_sandbox_module/ngx_http_*.c');
my $directives = slurp('docs/directives.md');
same_set({ map { $_ => 1 } $module =~ /ngx_string\("(sandbox_\w+)"\),\s*\n?\s*(?:NGX_\w+_CONF|\()/g },
         { map { $_ => 1 } $directives =~ /^### `?(sandbox_\w+)`?\s*$/mg }, 'directives');
same_set({ map { $_ => 1 } $module =~ /\{\s*ngx_string\("(sandbox_\w+)"\),\s*NULL/g },
         { map { $_ => 1 } $directives =~ /^### `?\$(sandbox_\w+)`?\s*$/mg }, 'variables');

my $problems = slurp('lib/sbx_problem.h');
my %code = map { $_ => 1 } $problems =~ /X\([A-Z_]+, \d+, "(\w+)"/g;
my %docs = map { $_ => 1 } slurp('docs/problems.md') =~ /^\| `(\w+)` \|/mg;
same_set(\%code, \%docs, 'problem codes');

my $config = slurp('executor/config.c');
same_set({ map { $_ => 1 } $config =~ /\{\s*"([a-z_]+\.[a-z_]+)"/g },
         { map { $_ => 1 } slurp('docs/operations.md') =~ /^\| `([a-z_]+\.[a-z_]+)` \|/mg }, 'executor keys');

# Every variable of the environment that the code reads is described somewhere in docs/.
my $sources = slurp(grep { -f && /\.c$/ && !m{^t/} } split /\n/, `git ls-files -co --exclude-standard`);
my $prose = slurp(glob 'docs/*.md');
my %env = map { $_ => 1 } $sources =~ /getenv\("([A-Z_]+)"\)/g;
is_deeply([grep { $prose !~ /`$_`/ } sort keys %env], [], 'environment variables are documented');

# Relative links of README.md, AGENTS.md and docs/ lead somewhere.
my @broken;
for my $file ('README.md', 'AGENTS.md', glob 'docs/*.md') {
    my ($dir) = $file =~ m{^(.*/)};
    for my $link (slurp($file) =~ /\]\(([^)#:\s]+)(?:#[^)]*)?\)/g) {
        push @broken, "$file -> $link" unless -e (($dir // '') . $link);
    }
}
is_deeply(\@broken, [], 'links lead somewhere');
done_testing();
