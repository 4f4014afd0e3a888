#!/usr/bin/perl
# Default, tenant, app and agent documents: each layer narrows, none widens, none leaks.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Front;
use Test::More;

my $t = Sandbox::Front->new;
my $mi = 1 << 20;
my $dir = $t->policies(
    'default' => { limits => { memory => { default => '64Mi', max => '512Mi' } }, languages => ['python', 'bash', 'javascript'] },
    'tenants/acme' => { id => 'pol_acme', version => 3, limits => { memory => { max => '256Mi' } }, languages => ['python', 'bash'] },
    'tenants/acme/apps/web' => { limits => { memory => { max => '128Mi' } } },
    'tenants/acme/agents/coder' => { languages => ['bash'] },
    'tenants/acme/agents/greedy' => { limits => { memory => { max => '4Gi' } }, languages => ['python', 'bash', 'javascript', 'ruby'] },
    'tenants/acme/agents/mute' => { languages => [] },
    'tenants/wide' => { limits => { memory => { max => '8Gi' } } },
    'tenants/lone/apps/web' => { limits => { memory => { max => '32Mi' } } },
    'tenants/web' => { limits => { memory => { max => '16Mi' } } },
    'tenants/default' => { languages => ['bash'] },
);
$t->write('etc/documents/tenants/notes.txt', 'not a document');
$t->write('etc/documents/tenants/.hidden.json', 'neither');
$t->write('etc/documents/tenants/acme/apps/README', 'nor this');
my $locations = 'location = /v1/jobs { sandbox_policy body; client_max_body_size 1m; proxy_pass http://up$sandbox_uri; }';
$t->start_front("sandbox_policy_dir $dir;", locations => $locations, workers => 2);

sub ask {
    my ($memory, $language, %who) = @_;
    return $t->request('POST', '/v1/jobs', json => { language => $language, code => 'x', limits => { memory => "${memory}Mi" } },
                       app => undef, agent => undef, %who);
}
sub allows { return ask(@_)->{status} == 200 ? 1 : 0 }
# The largest memory somebody may have, asked from both sides.
sub ceiling_is {
    my ($memory, $name, %who) = @_;
    ok(allows($memory, 'bash', %who), "$name may have $memory Mi");
    ok(!allows($memory + 1, 'bash', %who), 'and no more');
}

ceiling_is(512, 'an unknown tenant', tenant => 'nobody');
ceiling_is(512, 'an unknown tenant with known names', tenant => 'nobody', app => 'web', agent => 'coder');
ceiling_is(256, 'a tenant', tenant => 'acme');
ceiling_is(256, 'its unknown app', tenant => 'acme', app => 'other');
ceiling_is(128, 'its app', tenant => 'acme', app => 'web');
ceiling_is(128, 'its app through any agent', tenant => 'acme', app => 'web', agent => 'greedy');
ceiling_is(256, 'an agent whose document asks for more', tenant => 'acme', agent => 'greedy');
ceiling_is(512, 'a tenant whose document asks for more', tenant => 'wide');
ceiling_is(32, 'an app without a document of its tenant', tenant => 'lone', app => 'web');
ceiling_is(512, 'that tenant itself', tenant => 'lone');
ceiling_is(16, 'a tenant called as an app', tenant => 'web');
ceiling_is(512, 'a tenant called default.json', tenant => 'default.json');

my %languages = (
    'nobody:' => 'python bash javascript', 'acme:' => 'python bash', 'acme:coder' => 'bash', 'acme:greedy' => 'python bash',
    'acme:mute' => '', 'default:' => 'bash', 'wide:coder' => 'python bash javascript',
);
for my $who (sort keys %languages) {
    my ($tenant, $agent) = $who =~ /^(.*?):(.+)?$/;
    my @may = grep { allows(16, $_, tenant => $tenant, agent => $agent) } qw(python bash javascript ruby);
    is("@may", $languages{$who}, "languages of $who");
}

# The context says whose document decided.
sub policy_of { my (%who) = @_; my $context = $t->open_context(ask(16, 'bash', %who)->{json}{sandbox_context}); return "$context->{policy} $context->{policy_v}" }
is(policy_of(tenant => 'nobody'), 'default 1', 'the default is called by its file');
is(policy_of(tenant => 'acme'), 'pol_acme 3', 'a tenant\'s by its id');
is(policy_of(tenant => 'acme', app => 'web'), 'web 1', 'the most specific one is named');
is(policy_of(tenant => 'acme', app => 'web', agent => 'coder'), 'coder 1', 'the agent\'s last');

# Names that try to leave the directory never get past auth.
for my $name ('../default', 'acme/apps/web', '.hidden', 'acme/', "acme\0", '') {
    my $shown = $name =~ s/\0/\\0/r;
    is(ask(16, 'bash', tenant => $name)->{status}, 401, "tenant \"$shown\" is no tenant");
    is(ask(16, 'bash', tenant => 'acme', agent => $name)->{status}, 401, "agent \"$shown\" is no agent") if length $name;
}

# Thousands of names share what they have in common.
my %seen;
$seen{ ask(513, 'bash', tenant => "stranger$_", app => "a$_", agent => "g$_")->{status} }++ for 1 .. 150;
is_deeply(\%seen, { 403 => 150 }, 'strangers all get the default');

# Without a directory the built-in floor holds.
ok($t->reconfigure_front('', locations => $locations, workers => 1), 'reload without a directory');
ceiling_is(1024, 'anybody, by the built-in floor,', tenant => 'acme', app => 'web', agent => 'coder');
is(policy_of(tenant => 'acme'), 'builtin 0', 'which has a name');

# More merged combinations than are kept.
my %many = (default => {}, map { ("tenants/big/apps/a$_" => { limits => { memory => { max => (16 + $_) . 'Mi' } } }, "tenants/big/agents/g$_" => {}) } 1 .. 40);
$t->policies(%many);
ok($t->reconfigure_front("sandbox_policy_dir $dir;", locations => $locations, workers => 1), 'reload with 1600 combinations');
my $wrong = 0;
for my $app (1 .. 40) {
    for my $agent (1 .. 40) {
        next if ($app * 7 + $agent) % 4;
        $wrong++ unless allows(16 + $app, 'bash', tenant => 'big', app => "a$app", agent => "g$agent");
        $wrong++ if allows(17 + $app, 'bash', tenant => 'big', app => "a$app", agent => "g$agent");
    }
}
is($wrong, 0, 'each is right');
$t->finish;
done_testing();
