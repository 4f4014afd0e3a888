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
my %flags = $module =~ /\{\s*ngx_string\("(sandbox_\w+)"\),\s*\n?\s*\(?((?:NGX_\w+[\s|]*)+)/g;
delete @flags{ grep { $flags{$_} !~ /_CONF/ } keys %flags };
my %entry = $directives =~ /^### `?(sandbox_\w+)`?[ ]*\n+(.*?)(?=^##|\z)/msg;
same_set(\%flags, \%entry, 'directives');
same_set({ map { $_ => 1 } $module =~ /\{\s*ngx_string\("(sandbox_\w+)"\),\s*NULL/g },
         { map { $_ => 1 } $directives =~ /^### `?\$(sandbox_\w+)`?\s*$/mg }, 'variables');

# Each entry starts with Syntax, Default and Context, and the contexts are those of the command table.
my %context = (NGX_HTTP_MAIN_CONF => 'http', NGX_HTTP_SRV_CONF => 'server', NGX_HTTP_LOC_CONF => 'location',
               NGX_HTTP_LMT_CONF => 'limit_except');
my @wrong;
for my $name (sort keys %entry) {
    my ($form) = $entry{$name} =~ /^(Syntax: .*?)\n\n/s or push @wrong, "$name: no Syntax line";
    next unless $form;
    $form =~ s/\n/ /g;
    my %part = map { /^(\w+): +(\S.*?) *$/ ? ($1 => $2) : () } split / · /, $form;
    push @wrong, map { "$name: no $_" } grep { !$part{$_} } 'Syntax', 'Default', 'Context';
    push @wrong, "$name: its Syntax is of another" unless ($part{Syntax} // '') =~ /^`\Q$name\E\b[^`]*;`/;
    my $said = join ' ', sort split /, /, $part{Context} // '';
    my $is = join ' ', sort map { $context{$_} // () } ($flags{$name} // '') =~ /NGX_\w+/g;
    push @wrong, "$name: contexts are $is, documented $said" if $said ne $is;
}
is_deeply(\@wrong, [], 'directives have syntax, default and the contexts of the code');

my $problems = slurp('lib/sbx_problem.h');
my %code = map { $_ => 1 } $problems =~ /X\([A-Z_]+, \d+, "(\w+)"/g;
my %docs = map { $_ => 1 } slurp('docs/problems.md') =~ /^\| `(\w+)` \|/mg;
same_set(\%code, \%docs, 'problem codes');

# A code is sent by its name, or by a status that our server or nginx makes; a reserved one by no name.
my %named = map { lc $_ => 1 } map { slurp($_) =~ /\bSBX_PROBLEM_([A-Z_]+)\b/g } glob 'executor/*/*.c session-agent/*.c ngx_sandbox_module/*.c';
my %status = map { $_ => 1 } map { slurp($_) =~ /conn_refuse\(conn, (\d+)\)/g } glob 'lib/*.c';
$status{$_} = 1 for slurp('conf/gateway/errors.conf') =~ /^error_page (.*?) \/_problem/m ? split / /, $1 : ();
delete @status{411, 416};    # of modules of nginx that no route uses
for my $row (slurp('docs/problems.md') =~ /^(\| `\w+` \|.*)/mg) {
    my (undef, $name, $status, undef, $when) = map { s/`//gr } split /\s*\|\s*/, $row;
    my $reserved = ($when // '') =~ /^Reserved\b/;
    push @wrong, "problems.md: $name is reserved, and sent" if $reserved && $named{$name};
    push @wrong, "problems.md: $name is not reserved, and nobody sends it" if !$reserved && !$named{$name} && !$status{$status};
}
is_deeply(\@wrong, [], 'problem codes that nobody sends are reserved');

# Keys of a configuration: name => default of the code, '' for empty, undef where it must be set.
sub code_keys {
    my ($file, $name) = @_;
    my %key;
    for my $entry (slurp($file) =~ /^    \{ ("$name".*?)\},$/msg) {
        my ($key, $default) = $entry =~ /"($name)",\s*(?:CONFIG_\w+,\s*AT\(\w+\),)?\s*("[^"]*"|NULL),/
            or fail("$file: no default found in: $entry");
        $key{$key} = $default eq 'NULL' ? undef : $default =~ s/"//gr;
    }
    return \%key;
}

# The same of a table | key | default | meaning |; a row may hold several keys.
sub documented_keys {
    my ($file, $name) = @_;
    my %key;
    my ($table) = slurp($file) =~ /^\| key \| default \| meaning \|\n\|[-|]+\n((?:\|.*\n)+)/m or die "$file: no table";
    for my $row (split /\n/, $table) {
        my (undef, $names, $default, $meaning) = split /\s*(?<!\\)\|\s*/, $row;
        push @wrong, "$file: no meaning: $row" unless length($meaning // '');
        $key{$_} = $default =~ s/`//gr for $names =~ /`($name)`/g;
    }
    return \%key;
}

@wrong = ();
my %tables = ('executor/config.c' => ['docs/operations.md', '[a-z_]+\.[a-z_]+'],
              'executor/launcher/settings.c' => ['docs/launcher.md', '[a-z_]+']);
for my $file (sort keys %tables) {
    my ($doc, $name) = @{ $tables{$file} };
    my ($in_code, $in_docs) = (code_keys($file, $name), documented_keys($doc, $name));
    same_set({ map { $_ => 1 } keys %$in_code }, { map { $_ => 1 } keys %$in_docs }, "keys of $file");
    for my $key (grep { exists $in_docs->{$_} } sort keys %$in_code) {
        my ($is, $said) = ($in_code->{$key}, $in_docs->{$key});
        my $same = !defined $is ? $said =~ /must be set/ : $is eq '' ? $said =~ /^(empty: |the process's$)/ : $said eq $is;
        push @wrong, "$doc: $key: default is " . ($is // 'none') . ", documented $said" unless $same;
    }
}
is_deeply(\@wrong, [], 'keys have the defaults of the code');

# Routes, each with its methods. In the table, `.../x` continues the path before it.
my %routes;
for my $row (slurp('executor/api/routes.c') =~ /^    \{ ("\/.*?\} \} \}),$/msg) {
    my ($path) = $row =~ /"(\/[^"]*)"/;
    $routes{"$_ $path"} = 1 for $row =~ /\{ "([A-Z]+)"/g;
}
my %documented;
my ($table) = slurp('docs/api.md') =~ /^\| route \| does \|\n\|[-|]+\n((?:\|.*\n)+)/m or die 'no table of routes';
for my $row (split /\n/, $table) {
    my ($method, $base) = ('', '');
    for my $route ($row =~ /^\|([^|]*)\|/ ? $1 =~ /`([^`]+)`/g : ()) {
        $method = $1 if $route =~ s/^([A-Z]+) //;
        $route =~ s{^…}{$base};
        ($base) = $route =~ m{^(.*)/};
        $documented{"$method $route"} = 1;
    }
}
same_set(\%routes, \%documented, 'routes');

# Variables of the environment, both ways: read by the code, and of our prefixes in the docs.
my $sources = slurp(grep { -f && /\.c$/ && !m{^t/} } split /\n/, `git ls-files -co --exclude-standard`);
my $prose = slurp(glob 'docs/*.md');
my %env = map { $_ => 1 } $sources =~ /(?:getenv|env_or)\("([A-Z_]+)"/g, slurp('executor/config.c') =~ /, "([A-Z_]{2,}[A-Z])",/g;
cmp_ok(scalar keys %env, '>=', 10, 'the code reads the environment');
is_deeply([grep { $prose !~ /`$_[=`]/ } sort keys %env], [], 'environment variables are documented');
$env{ 'SANDBOX_' . uc($_ =~ tr/./_/r) } = 1 for keys %{ code_keys('executor/config.c', '[a-z_]+\.[a-z_]+') };
$env{"SANDBOX_$_"} = 1 for slurp(glob 'session-agent/*.c') =~ /"SANDBOX_([A-Z_]+)/g;    # given to the code in a sandbox
my @unknown = grep { !$env{$_} && !/^SANDBOX_POOL_/ } $prose =~ /`((?:SANDBOX|AUTH|AUTHZ|SESSION_AGENT|DATABASE|WORKSPACE)_[A-Z_]*[A-Z])[=`]/g;
is_deeply(\@unknown, [], 'documented environment variables exist');

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
