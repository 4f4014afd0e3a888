#!/usr/bin/perl
# AUTHZ_BYPASS: refused outside development, and never silent.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Edge;
use Test::More;

my $t = Sandbox::Edge->new;
my $secret = "sandbox_auth on; sandbox_auth_secret_file $t->{dir}/etc/jwt.secret;";
my %none = (AUTHZ_BYPASS => undef, ENV => undef, SANDBOX_BYPASS_TENANT => undef, AUTH_JWT_SECRET => undef);

sub starts { my ($http, %env) = @_; return $t->accepts($http, env => { %none, %env }) }

for my $env (undef, '', 'production', 'prod', 'staging', 'Dev', 'dev ', 'developmen', 'tests') {
    my $name = defined $env ? "\"$env\"" : 'not set';
    my ($ok, $said) = starts($secret, AUTHZ_BYPASS => 'true', ENV => $env);
    ok(!$ok && $said =~ /bypass is refused/, "ENV $name: AUTHZ_BYPASS is refused") or diag $said;
    ($ok, $said) = starts("$secret sandbox_auth_bypass on;", ENV => $env);
    ok(!$ok && $said =~ /bypass is refused/, "ENV $name: the directive is refused") or diag $said;
}
for my $env (qw(dev development local test)) {
    my ($ok, $said) = starts('sandbox_auth on;', AUTHZ_BYPASS => '1', ENV => $env);
    ok($ok && $said =~ /\[warn\].*bypass is on/, "ENV $env: it starts, with a warning") or diag $said;
}
for my $value ('2', 'maybe', 'TRUE', 'false ', 'enabled') {
    my ($ok, $said) = starts($secret, AUTHZ_BYPASS => $value, ENV => 'dev');
    ok(!$ok && $said =~ /neither true nor false/, "AUTHZ_BYPASS \"$value\" is refused, not guessed");
}
for my $value ('0', 'false', 'off', 'no', '') {
    my ($ok, $said) = starts($secret, AUTHZ_BYPASS => $value, ENV => 'production');
    ok($ok, "AUTHZ_BYPASS \"$value\" is off") or diag $said;
    ($ok, $said) = starts('sandbox_auth on;', AUTHZ_BYPASS => $value, ENV => 'dev');
    ok(!$ok && $said =~ /needs a key/, 'and off means that a key is needed');
}
my ($ok, $said) = starts("$secret sandbox_auth_bypass off;", AUTHZ_BYPASS => '1', ENV => 'production');
ok($ok, 'the directive wins over the environment') or diag $said;
for my $tenant ('a/b', '..', 'x' x 65, "a b") {
    ($ok, $said) = starts($secret, AUTHZ_BYPASS => '1', ENV => 'dev', SANDBOX_BYPASS_TENANT => $tenant);
    ok(!$ok && $said =~ /not a tenant's name/, 'no tenant of that name');
}

# Without it nothing passes.
$t->{env} = { AUTHZ_BYPASS => '0', ENV => 'dev' };
$t->start_edge($secret);
is($t->request('GET', '/', anonymous => 1)->{status}, 401, 'off: a token is needed');
$t->stop('gateway');

$t->{env} = { AUTHZ_BYPASS => 'true', ENV => 'test', SANDBOX_BYPASS_TENANT => 'lab' };
$t->start_edge('sandbox_auth on;', locations => 'location /scoped { sandbox_auth_scope admin; proxy_pass http://up$sandbox_uri; }');
my $context = $t->open_context($t->seen('/', anonymous => 1)->{sandbox_context});
is_deeply([@{$context}{qw(tenant sub scopes app agent)}], ['lab', 'bypass', '*', '', ''], 'everybody is the bypass tenant');
ok($context->{bypass}, 'and the context says so');
is($t->request('GET', '/scoped', anonymous => 1)->{status}, 200, 'scopes are not asked');
$context = $t->open_context($t->seen('/', token => $t->token(tenant => 'demo'))->{sandbox_context});
is($context->{tenant}, 'lab', 'a token is not looked at');
is($t->ask('GET / HTTP/1.1', 'Host: a@b', 'Connection: close')->{status}, 400, 'the form of requests is checked as ever');
my $n = () = $t->error_log =~ /\[warn\].*sandbox auth: bypassed as tenant "lab", request req_/g;
is($n, 3, 'each bypassed request is logged as a warning');
ok($t->wait_until(30, sub { grep { /tenant=lab .*method=bypass/ } $t->access_log }), 'and in the access log, with its method');
$t->finish;
done_testing();
