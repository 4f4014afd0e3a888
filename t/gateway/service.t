#!/usr/bin/perl
# Services: tokens they got for themselves, and those that may act for a tenant.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Front;
use Sandbox::Idp;
use Test::More;

my $t = Sandbox::Front->new;
my $dir = "$t->{dir}/etc";
my %idp = map { my $idp = Sandbox::Idp->new($t, id => $_, name => "https://$_.example/"); $idp->key('k'); $t->write("etc/$_.json", $idp->set); $_ => $idp } qw(a m none);
my $blocks = <<"END";
    sandbox_issuer https://a.example/ { jwks_file $dir/a.json; tenants acme globex platform; act_for billing cron; }
    sandbox_issuer https://m.example/ { jwks_file $dir/m.json; tenants *; service_claim gty=client-credentials; }
    sandbox_issuer https://none.example/ { jwks_file $dir/none.json; tenants acme globex; }
END
$t->start_front("$blocks sandbox_auth_cache zone=tokens:128k; sandbox_denial_log $t->{dir}/denials.jsonl;", locations => <<'END', server => 'add_header X-Identity $sandbox_identity always;');
    location /write { sandbox_auth_scope policies:write; proxy_pass http://up$sandbox_uri; }
    location /jobs { sandbox_auth_scope jobs:write; proxy_pass http://up$sandbox_uri; }
END

sub service { my ($id, %claims) = @_; return $idp{$id}->token('k', { typ => 'at+jwt' }, sub => 'billing', client_id => 'billing', tenant => 'platform', %claims) }
sub ask { my ($token, $for, $path) = @_; return $t->request('GET', $path // '/', token => $token, headers => defined $for ? { 'Sandbox-Tenant' => $for } : {}) }
sub who {
    my ($token, $for) = @_;
    my $reply = ask($token, $for);
    return $reply->{status} unless $reply->{status} == 200;
    my $context = $t->open_context($reply->{json}{sandbox_context});
    return join ' ', $reply->{headers}{'x-identity'}, map { length($context->{$_} // '') ? $context->{$_} : '-' } qw(tenant app sub);
}

# Who is a service.
is(who(service('a')), 'service platform billing billing', 'sub is client_id: a service, its app is itself');
is(who(service('a')), 'service platform billing billing', 'the same from the cache');
is(who(service('a', app => 'web')), 'service platform web billing', 'but for an app that the token names');
is(who(service('a', client_id => 'web', sub => 'ann')), 'user platform - ann', "a user's token by a client");
is(who(service('a', client_id => undef)), 'user platform - billing', 'no client_id');
is(who(service('a', client_id => ['billing'])), 'user platform - billing', 'one that is no string');
is(who(service('m', client_id => undef, azp => 'abc', sub => 'abc@clients', gty => 'client-credentials')), 'service platform abc abc@clients', "an issuer's own mark");
is(who(service('m', client_id => undef, gty => 'password')), 'user platform - billing', 'with another value');
is(who(service('m', client_id => undef, sub => 'no name!', gty => 'client-credentials')), 401, 'a client id that cannot be an app');
is(who(service('a', client_id => '../x', sub => '../x')), 401, 'nor can that');
is(who($t->token(sub => 'billing', client_id => 'billing', app => undef)), 'user demo - billing', 'the plain directives know no services');

# For whom it may act.
is(who(service('a'), 'acme'), 'service acme billing billing', 'a service that may, for a tenant of its issuer');
is(who(service('a'), 'globex'), 'service globex billing billing', 'and for another');
is(who(service('a'), 'platform'), 'service platform billing billing', 'and for its own');
is(who(service('a')), 'service platform billing billing', 'without the header for its own');
is(who(service('a', sub => 'cron', client_id => 'cron'), 'acme'), 'service acme cron cron', 'the second of the list');
for my $case (['initech', "a tenant that is not its issuer's"], ['ACME', 'by case'], ['acme globex', 'two in one'], ['', 'none'], ['*', 'all'], ['../acme', 'a path'], ['a' x 65, 'too long']) {
    is(who(service('a'), $case->[0]), 403, "not for $case->[1]");
}
is(who(service('a', sub => 'other', client_id => 'other'), 'acme'), 403, 'a service that is not in the list');
is(who(service('a', sub => 'bill', client_id => 'bill'), 'acme'), 403, 'nor one with half a name');
is(who(service('none'), 'acme'), 401, 'an issuer without such a list: its own tenant is checked first');
is(who(service('none', tenant => 'acme'), 'globex'), 403, 'then that it may');
is(who(service('m'), 'acme'), 403, 'an issuer of all tenants has no such list');
is(who(service('a', tenant => 'initech'), 'acme'), 401, 'a tenant of its own is needed');
is(who(service('a', sub => 'ann'), 'acme'), 'user platform - ann', "a user's header means nothing");
is(who(service('a', sub => 'ann', client_id => 'billing', app => 'billing'), 'acme'), 'user platform billing ann', 'nor with the client of a service that may');
is(who($t->token, 'acme'), 'user demo web tester', 'nor that of the plain directives');
my $token = service('a');
my @lines = ('GET / HTTP/1.1', 'Host: localhost', "Authorization: Bearer $token");
is($t->ask(@lines, 'Sandbox-Tenant: acme', 'Sandbox-Tenant: acme', 'Connection: close')->{status}, 403, 'the header twice');
my $seen = ask($token, 'acme')->{json};
ok(!grep({ ($seen->{$_} // '') =~ /^acme$/ } keys %$seen), 'the header does not go on to the executor');

# What it may do there.
my $strong = service('a', scope => 'jobs:write admin policies:write audit:read usage:read');
is(ask($strong, undef, '/write')->{status}, 200, 'administration of its own tenant');
is(ask($strong, 'acme', '/write')->{status}, 403, 'not of another');
is(ask($strong, 'acme', '/jobs')->{status}, 200, 'work goes');
is($t->open_context(ask($strong, 'acme')->{json}{sandbox_context})->{scopes}, 'jobs:write', 'with the other scopes');
is($t->open_context(ask($strong)->{json}{sandbox_context})->{scopes}, 'jobs:write admin policies:write audit:read usage:read', 'which the cache did not lose');

my $reply = ask(service('a', jti => 'refused'), 'initech');
is($reply->{json}{code}, 'forbidden', 'the code of a refusal');
my ($denial) = $t->denials(1, sub { $_->{request_id} eq $reply->{headers}{'x-request-id'} });
is_deeply([@{$denial}{qw(tenant app subject code)}], ['platform', 'billing', 'billing', 'forbidden'], 'and in the denial log, as whom it came');
$t->logs(qr/denied=act_for/, 'and in the access log');
$t->finish;
done_testing();
