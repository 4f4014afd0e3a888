#!/usr/bin/perl
# The order in which the gateway's modules look at a request: form, token, limit, policy,
# signature. nginx runs them in the reverse of the order in `config`; this is what that must give.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Edge;
use Test::More;

my $t = Sandbox::Edge->new;
$t->write('policies/default.json', '{"version":1,"id":"pol_default","languages":["python"]}');
$t->start_edge(<<"END", locations => <<'END2');
    sandbox_auth on;
    sandbox_auth_secret_file $t->{dir}/etc/jwt.secret;
    sandbox_limit_zone limits:1m;
    sandbox_policy_dir $t->{dir}/policies;
END
    location /jobs {
        sandbox_limit on;
        sandbox_rate tenant rate=1r/s burst=2;
        sandbox_policy body;
        proxy_pass http://up$sandbox_uri;
    }
END2

sub post { my ($tenant, $language, %option) = @_; return $t->request('POST', '/jobs', json => { language => $language, code => '1' }, token => $t->token(tenant => $tenant), %option) }

# Refusals for want of a token, or of form, cost a tenant nothing: they come before limits.
for (1 .. 10) {
    is($t->request('POST', '/jobs', anonymous => 1, json => {})->{status}, 401, 'no token: 401 before anything is charged');
    is($t->request('POST', '/jobs', token => 'x.y.z', json => {})->{status}, 401, 'a bad one: 401');
}
is($t->ask('POST /jobs HTTP/1.1', 'Host: a@b', 'Content-Length: 0', 'Connection: close')->{status}, 400, 'form comes before the token');
is(post('one', 'cobol')->{status}, 403, 'policy, within the rate');
is(post('one', 'python')->{status}, 200, 'the second of the burst: refused by policy, yet charged before');
my $limited = post('one', 'cobol');
is($limited->{status}, 429, 'limits come before policy');
is(post('two', 'python')->{status}, 200, 'and know the tenant, so they come after the token');
my $reply = post('three', 'python');
my $context = $t->open_context($reply->{json}{sandbox_context});
is($context->{tenant}, 'three', 'the signature comes after the token');
ok($context->{limits} && $context->{limits}{memory_bytes}, 'and after policy, whose limits it carries');
is($context->{policy}, 'pol_default', 'with the policy\'s id');
is($t->request('GET', '/healthz', anonymous => 1)->{status}, 200, 'health is outside of all that');
$t->finish;
done_testing();
