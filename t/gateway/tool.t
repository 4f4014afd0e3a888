#!/usr/bin/perl
# Tools: what a location calls a request, what policy says of it, and what it is counted by.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Front;
use Test::More;

my $t = Sandbox::Front->new;
mkdir "$t->{dir}/www";
mkdir "$t->{dir}/www/slow";
$t->write('www/slow/file', 'x' x 4_000_000);
my $dir = $t->policies(
    default => {},
    'tenants/few' => { tools => ['run_code', 'status'] },
    'tenants/none' => { tools => [] },
    'tenants/few/agents/one' => { tools => ['run_code', 'write_files'] },
    'tenants/slow' => { rates => { tools => { run_code => { rate => '1/m', burst => 5 } } } },
    'tenants/capped' => { concurrency => { tools => { read_file => 2 }, routes => { 'files.read' => 3 } } },
);
my $locations = <<'END';
    location = /run { sandbox_tool run_code; sandbox_policy body; client_max_body_size 1m; proxy_pass http://up/; }
    location = /again { sandbox_tool run_code; sandbox_policy on; proxy_pass http://up/; }
    location = /status { sandbox_tool status DELETE=close_session; sandbox_policy on; proxy_pass http://up/; }
    location = /write { sandbox_tool write_files; sandbox_policy on; proxy_pass http://up/; }
    location = /plain { sandbox_policy on; proxy_pass http://up/; }
    location = /off { sandbox_tool write_files; sandbox_policy off; proxy_pass http://up/; }
    location = /read { sandbox_tool read_file; sandbox_route files.read; sandbox_policy on; proxy_pass http://up/slow/file; }
    location = /readall { sandbox_route files.read; sandbox_policy on; proxy_pass http://up/slow/file; }
    location = /bucket { sandbox_tool bucket; sandbox_rate tool rate=1r/m burst=40; proxy_pass http://up/; }
    location = /bucket2 { sandbox_tool bucket; sandbox_rate tool rate=1r/m burst=40; proxy_pass http://up/; }
    location = /place { sandbox_tool place; sandbox_concurrency tool 3; proxy_pass http://up/slow/file; }
    location = /road { sandbox_route road; sandbox_concurrency route 2; proxy_pass http://up/slow/file; }
END
$t->start_front("sandbox_policy_dir $dir;", locations => $locations, workers => 4);
ok($t->wait_until(30, sub { (() = $t->gateway_workers) == 4 }), 'four workers');

sub status { my ($method, $path, %who) = @_; return $t->request($method, $path, agent => undef, app => undef, %who)->{status} }
my @job = (json => { language => 'python', code => 'x' });

# Policy.
is(status('GET', '/status', tenant => 'any'), 200, 'without a list any tool may be used');
is(status('GET', '/status', tenant => 'few'), 200, 'one of the list');
my $reply = $t->request('GET', '/write', tenant => 'few', agent => undef, app => undef);
is($reply->{status}, 403, 'one that is not');
is_deeply([@{ $reply->{json}{violations}[0] }{qw(rule limit observed)}], ['tools', ['run_code', 'status'], 'write_files'], 'and why');
is(status('DELETE', '/status', tenant => 'few'), 403, 'a method that is another tool');
is(status('POST', '/run', tenant => 'few', @job), 200, 'with a body');
is(status('POST', '/run', tenant => 'none', @job), 403, 'with a body, and none allowed');
is(status('GET', '/run', tenant => 'none'), 403, 'another method of that location');
$reply = $t->request('POST', '/run', tenant => 'none', agent => undef, app => undef, json => { language => 'python', code => 'x', egress => ['a.example:1'] });
is_deeply([map { $_->{rule} } @{ $reply->{json}{violations} }], ['tools', 'egress'], 'each violation is named');
is(status('GET', '/plain', tenant => 'none'), 200, 'what is no tool is not concerned');
is(status('GET', '/off', tenant => 'none'), 200, 'nor is what has no policy');
is(status('GET', '/write', tenant => 'few', agent => 'one'), 403, 'an agent gets no tool that its tenant has not');
is(status('GET', '/status', tenant => 'few', agent => 'one'), 403, 'nor one that it has not itself');
is(status('GET', '/again', tenant => 'few', agent => 'one'), 200, 'only what both have');
is($t->open_context($t->request('GET', '/status', tenant => 'few')->{json}{sandbox_context})->{tool}, 'status', 'the context names the tool');
ok(!$t->open_context($t->request('GET', '/plain', tenant => 'few')->{json}{sandbox_context})->{tool}, 'or none');
is($t->request('GET', '/plain', tenant => 'few', headers => { 'Sandbox-Tool' => 'status' })->{status}, 200, 'no header of a client makes one');

# Rates, by tenant and tool whatever the location, exact over four workers.
is_deeply($t->many(60, 'GET', '/again', tenant => 'slow'), { 200 => 5, 429 => 55 }, 'a policy\'s rate of a tool: burst 5, exactly 5 pass');
$reply = $t->request('GET', '/again', tenant => 'slow');
is($reply->{json}{violations}[0]{rule}, 'rates.tool', 'the rule');
ok($reply->{headers}{'retry-after'} >= 1 && $reply->{headers}{'retry-after'} <= 63, 'Retry-After is when the next token comes');
is($reply->{headers}{'ratelimit-remaining'}, 0, 'none is left');
like($reply->{headers}{'ratelimit-policy'}, qr/comment="tool"/, 'of the tool\'s bucket');
is(status('POST', '/run', tenant => 'slow', @job), 429, 'another location of the same tool has the same bucket');
is(status('GET', '/status', tenant => 'slow'), 200, 'another tool has not');
is(status('GET', '/again', tenant => 'other'), 200, 'nor has another tenant');
is_deeply($t->many(70, 'GET', '/bucket', tenant => 'b1'), { 200 => 40, 429 => 30 }, 'the directive\'s: 40 of 70');
is(status('GET', '/bucket2', tenant => 'b1'), 429, 'and in the other location none');

# Concurrency.
sub leases { return $t->metric('limit_leases') }
sub hold {
    my ($n, $path, %who) = @_;
    my $before = leases();
    my @held = map { $t->begin('GET', $path, agent => undef, app => undef, %who) } 1 .. $n;
    $t->wait_until(30, sub { leases() == $before + $n }) or diag('only ' . (leases() - $before) . " of $n run");
    return @held;
}
ok($t->wait_until(30, sub { leases() == 0 }), 'nothing is held');    # an answer comes before its lease goes
my @held = hold(2, '/read', tenant => 'capped');
$reply = $t->request('GET', '/read', tenant => 'capped');
is($reply->{status}, 429, 'the third of two of a tool');
is_deeply([@{ $reply->{json}{violations}[0] }{qw(rule limit observed)}], ['concurrency.tool', 2, 3], 'by the tool\'s cap');
push @held, hold(1, '/readall', tenant => 'capped');
$reply = $t->request('GET', '/readall', tenant => 'capped');
is_deeply([$reply->{status}, @{ $reply->{json}{violations}[0] }{qw(rule limit observed)}], [429, 'concurrency.route', 3, 4], 'the fourth of three of a route');
is(status('GET', '/status', tenant => 'capped'), 200, 'other tools and routes go on');
close $_ for @held;
ok($t->wait_until(30, sub { leases() == 0 }), 'clients that go away give all back');
for my $path ('/place', '/road') {
    my $most = $path eq '/place' ? 3 : 2;
    @held = hold($most, $path, tenant => 'dir');
    is(status('GET', $path, tenant => 'dir'), 429, "$path: the directive's cap of $most") for 1 .. 4;
    push @held, hold(1, $path, tenant => 'dir2');
    is(scalar @held, $most + 1, 'another tenant has its own');
    close $_ for @held;
    ok($t->wait_until(30, sub { leases() == 0 }), 'given back');
}

# What the configuration may not say.
my %bad = (
    'sandbox_tool;' => qr/invalid number of arguments/, 'sandbox_tool "a b";' => qr/invalid/, 'sandbox_tool a; sandbox_tool b;' => qr/is duplicate/,
    'sandbox_tool GET=a;' => qr/invalid name/, 'sandbox_tool ' . 'a' x 64 . ';' => qr/invalid/, 'sandbox_tool a b;' => qr/invalid/,
    'sandbox_concurrency tools 1;' => qr/invalid scope/, 'sandbox_concurrency tool 0;' => qr/invalid number/, 'sandbox_rate tool burst=1;' => qr/has no rate/,
);
like($t->complaint('', locations => "location /x { $_ proxy_pass http://up/; }"), $bad{$_}, "refused: $_") for sort keys %bad;
$t->finish;
done_testing();
