#!/usr/bin/perl
# Who may include what (docs/architecture.md, "Layers"), read off every #include.
use strict;
use warnings;
use Test::More;
use FindBin;

chdir "$FindBin::Bin/../.." or die $!;
my @files = grep { -f } split /\n/, `git ls-files -co --exclude-standard '*.c' '*.h'`;
cmp_ok(scalar @files, '>', 20, 'there is code to look at');

# Third-party header => the only files that may include it.
my %owner = (
    'jansson.h'         => qr{^lib/sbx_json\.h$},
    'yajl/'             => qr{^lib/sbx_json_read\.c$},
    'openssl/'          => qr{^(lib/sbx_(crypto|sign)\.c|ngx_sandbox_module/ngx_sandbox_pkey\.[ch])$},
    'jwt.h'             => qr{^ngx_sandbox_module/ngx_sandbox_jwt\.c$},
    'http_parser.h'     => qr{^lib/sbx_http_\w+\.[ch]$},
    'sqlite3.h'         => qr{^executor/store/sqlite\w*\.[ch]$},
    'libpq-fe.h'        => qr{^executor/store/postgres\w*\.c$},
    'hiredis/'          => qr{^(executor/store/redis\w*\.c|ngx_sandbox_module/ngx_sandbox_redis\.c)$},
    'wslay/'            => qr{^executor/net/websocket\.c$},
    'curl/'             => qr{^executor/net/\w+\.c$},
    'seccomp.h'         => qr{^executor/launcher/seccomp\.c$},
    'uv.h'              => qr{^(lib/sbx_(http|mux)_?\w*\.[ch]|executor/(?!core/|launcher/)(\w+/)?\w+\.[ch]|session-agent/\w+\.[ch])$},
    'ngx_'              => qr{^ngx_sandbox_module/},
);
# Directory => what its own-tree includes may be.
my @layer = (
    [qr{^lib/},              qr{^lib/sbx_}],
    [qr{^executor/core/},    qr{^(lib/sbx_|executor/core/|executor/store/(db|stmts|blob)\.h|executor/runtime/(runtime|session_reply|command_reply)\.h|executor/log\.h)}],
    [qr{^executor/net/},     qr{^(lib/sbx_|executor/net/)}],
    [qr{^executor/api/},     qr{^(lib/sbx_|executor/(api|core|net)/|executor/store/(db|stmts|blob)\.h|executor/runtime/(runtime|registry)\.h|executor/\w+\.h)}],
    [qr{^executor/runtime/}, qr{^(lib/sbx_|executor/runtime/|executor/core/timer\.h|executor/launcher/wire\.h|executor/log\.h)}],
    [qr{^executor/store/},   qr{^(lib/sbx_|executor/store/|executor/log\.h)}],
    [qr{^executor/launcher/},qr{^(lib/sbx_|executor/launcher/)}],
    [qr{^session-agent/},    qr{^(lib/sbx_|session-agent/)}],
    [qr{^ngx_sandbox_module/}, qr{^((\.\./)?lib/|sbx_|ngx_)|^ngx_sandbox_module/}],
);

my $includes = 0;
for my $file (grep { !m{^t/} } @files) {
    open my $in, '<', $file or die "$file: $!";
    while (my $line = <$in>) {
        next unless $line =~ /^\s*#\s*include\s+([<"])([^>"]+)[>"]/;
        my ($kind, $header) = ($1, $2);
        $includes++;
        for my $prefix (keys %owner) {
            next unless index($header, $prefix) == 0;
            fail("$file:$. includes <$header>, which another file owns") unless $file =~ $owner{$prefix};
        }
        next unless $kind eq '"';
        my ($here) = $file =~ m{^(.*/)};
        $header = $here . $header if $header !~ m{/} && -e $here . $header;
        for my $rule (@layer) {
            next unless $file =~ $rule->[0];
            fail("$file:$. includes \"$header\" across a layer") unless $header =~ $rule->[1];
        }
        # Contents of sbx_json.h reach further than its name: core stays free of jansson.
        if ($file =~ m{^executor/core/} && $header =~ m{sbx_json\.h}) {
            fail("$file:$. brings jansson into core");
        }
    }
}
cmp_ok($includes, '>', 50, "looked at $includes includes");

# One component never uses another's structs; base names in lib/ are unique for nginx's object names.
ok(!-d 'lib/include', 'lib/ is flat');
done_testing();
