#!/usr/bin/perl
# What the tenant has here now: the newest of each kind, nobody else's, and as much as the token may see.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox;
use Sandbox::Tool;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 2 });
$t->start_launcher->start_executor;
my $tool = Sandbox::Tool->new($t);
sub code { return Sandbox::Tool::code($_[0]) }
sub status { my (%who) = @_; return $tool->rest('GET', '/v1/status', who => \%who)->{json} }
sub text { my (%who) = @_; return Sandbox::Tool::text($tool->get('/tools/status', who => \%who)) }

# Nothing.
my $s = status();
is_deeply([@$s{qw(n_sessions sessions n_running_jobs jobs budgets network)}], [0, [], 0, [], [], 'none'], 'nothing yet');
is_deeply([map { "$_->{name} " . ($_->{sessions} ? 1 : 0) } @{ $s->{languages} }], ['python 1', 'javascript 1', 'bash 1'], 'the languages');
is_deeply($s->{limits}, { max_sessions => 16, max_running => undef, max_wait_ms => 60_000, max_session_ttl_ms => 86_400_000, max_step_timeout_ms => 600_000, max_upload_bytes => 2 << 30 }, 'the limits');
is(text(), "Live sessions: 0 of at most 16\nJobs that run or wait: 0\nLanguages: python, javascript, bash\nNetwork: none\n", 'as text');
my $r = $tool->get('/tools/status');
is("$r->{status} $r->{headers}{'content-type'} $r->{result}", '200 application/vnd.sandbox.tool+json complete', 'as a tool');
is_deeply($r->{json}{structuredContent}, $s, 'with the same as data');
is(status(concurrency => 3)->{limits}{max_running}, 3, 'a limit of what runs');

# A session, and what runs in it.
my $session = $tool->rest('POST', '/v1/sessions', json => { language => 'python', ttl => '10m' })->{json};
my $id = $session->{session_id};
$s = status();
is($s->{n_sessions}, 1, 'a session');
is_deeply([@{ $s->{sessions}[0] }{qw(session_id status language created_at expires_at running)}], [@$session{qw(session_id status language created_at expires_at)}, []], '  with its times');
like($s->{sessions}[0]{idle_expires_at}, qr/^\d{4}-/, '  and when it is idle too long');
like(text(), qr/^  $id  python, running, expires $session->{expires_at}, idle until \d{4}\S+Z$/m, '  as text');
my $step = $tool->rest('POST', "/v1/sessions/$id/steps", json => { code => 'import time; time.sleep(60)', wait => 0 })->{json}{step_id};
my @more = map { $tool->rest('POST', "/v1/sessions/$id/steps", json => { code => '1', wait => 0 })->{json}{step_id} } 1 .. 6;
ok($t->wait_until(30, sub { (status()->{sessions}[0]{running}[0]{status} // '') eq 'running' }), 'a step runs in it');
$s = status()->{sessions}[0];
is_deeply($s->{running}, [{ job_id => "$id.$step", status => 'running' }, map { { job_id => "$id.$_", status => 'queued' } } @more[0 .. 3]], '  by its handle, and the first that wait');
is($s->{idle_expires_at}, undef, '  it is not idle');
like(text(), qr/^  $id  python, busy, expires \S+\n    runs $id\.$step$/m, '  as text');
is_deeply($s->{ended}, [], '  none has ended');
$tool->rest('POST', "/v1/sessions/$id/pause");
$tool->rest('DELETE', "/v1/sessions/$id/steps/$step");
ok($t->wait_until(30, sub { !@{ status()->{sessions}[0]{running} } }), 'and then none');
$tool->rest('POST', "/v1/sessions/$id/pause");
$s = status()->{sessions}[0];
is($s->{status}, 'paused', 'paused');
is_deeply($s->{ended}, [map { { job_id => "$id.$more[$_]", status => 'succeeded' } } 5, 4, 3], 'the newest that ended, by their handles');
like(text(), qr/^    ended lately: $id\.$more[5] succeeded, $id\.$more[4] succeeded, $id\.$more[3] succeeded$/m, '  as text');
$tool->rest('POST', "/v1/sessions/$id/resume");
my $missing = 0;
for (1 .. 20) {
    my $quick = $tool->rest('POST', "/v1/sessions/$id/steps", json => { code => '1' })->{json}{step_id};
    $missing++ if (status()->{sessions}[0]{ended}[0]{job_id} // '') ne "$id.$quick";
}
is($missing, 0, 'each that was answered has ended, also before its row says so');
$tool->rest('POST', "/v1/sessions/$id/pause");

# Jobs: live ones first.
my $done = $tool->rest('POST', '/v1/jobs', json => { language => 'bash', code => 'true', wait => 20 })->{json}{job_id};
my $long = $tool->rest('POST', '/v1/jobs', json => { language => 'bash', code => 'sleep 60', wait => 0, limits => { time => '20s' } })->{json}{job_id};
my $failed = $tool->rest('POST', '/v1/jobs', json => { language => 'python', code => 'exit(3)', wait => 20 })->{json}{job_id};
$s = status();
is($s->{n_running_jobs}, 1, 'one job runs');
is_deeply([map { "$_->{job_id} $_->{language}" } @{ $s->{jobs} }], ["$long bash", "$failed python", "$done bash"], 'it, then those that ended');
is_deeply([map { $_->{status} } @{ $s->{jobs} }[1, 2]], ['failed', 'succeeded'], '  and how');
ok(!defined $s->{jobs}[0]{finished_at} && $s->{jobs}[1]{finished_at}, '  and when');
like(text(), qr/^Jobs that run or wait: 1\n  $long  bash, (queued|running), begun \S+\nEnded lately:\n  $failed  python, failed, begun \S+\n  $done  bash, succeeded/m, '  as text');
$tool->rest('DELETE', "/v1/jobs/$long");
is($tool->rest('GET', "/v1/jobs/$long?wait=20")->{json}{status}, 'cancelled', 'it ends');
is_deeply([map { "$_->{job_id} $_->{status}" } @{ status()->{jobs} }], ["$failed failed", "$long cancelled", "$done succeeded"], 'and is one of the others');

# No more than twenty of a kind.
my @ids = map { $tool->rest('POST', '/v1/jobs', json => { language => 'bash', code => ':', wait => 20 })->{json}{job_id} } 1 .. 21;
is_deeply([map { $_->{job_id} } @{ status()->{jobs} }], [reverse @ids[1 .. 20]], 'the newest twenty');
my %many = (who => { tenant => 'many', sessions => 30 });
my @sessions = map { $tool->rest('POST', '/v1/sessions', json => { language => 'bash' }, %many)->{json}{session_id} } 1 .. 22;
is(scalar(grep { defined } @sessions), 22, 'many sessions');
$s = status(tenant => 'many', sessions => 30);
is("$s->{n_sessions} " . @{ $s->{sessions} }, '22 20', 'are counted, and the newest shown');
is_deeply([map { $_->{session_id} } @{ $s->{sessions} }], [reverse @sessions[2 .. 21]], '  newest first');
like(text(tenant => 'many', sessions => 30), qr/^Live sessions: 22 of at most 30; the newest:\n  $sessions[21] /, '  as text');
$tool->rest('DELETE', "/v1/sessions/$_", %many) for @sessions;
is(status(tenant => 'many')->{n_sessions}, 0, 'gone');

# Budgets.
$s = status(cpu_tenant => 3_600_000, cpu_agent => 1);
is_deeply([map { "$_->{scope} $_->{name} $_->{cpu_ms}" } @{ $s->{budgets} }], ['tenant acme 3600000', 'agent coder 1'], 'budgets that hold the caller');
is($s->{budgets}[1]{left_cpu_ms}, 0, '  and what is left of them');
like(text(cpu_tenant => 3_600_000), qr/^CPU time left today \(UTC\) of the tenant: \d+ s of 3600 s$/m, '  as text');

# As much as the token may see, and of nobody else.
$s = status(tenant => 'umbrella');
is_deeply([@$s{qw(n_sessions sessions n_running_jobs jobs)}], [0, [], 0, []], 'another tenant has nothing');
unlike(text(tenant => 'umbrella'), qr/$id|$done/, '  nor is told of it');
$s = status(scopes => 'jobs:read');
ok(!exists $s->{sessions} && !exists $s->{n_sessions} && @{ $s->{jobs} }, 'only jobs');
unlike(text(scopes => 'jobs:read'), qr/ession/, '  as text');
$s = status(scopes => 'sessions:read');
ok(!exists $s->{jobs} && !exists $s->{n_running_jobs} && @{ $s->{sessions} } == 1, 'only sessions');
unlike(text(scopes => 'sessions:read'), qr/Job|job_/, '  as text');
$s = status(scopes => 'artifacts:read');
ok(!exists $s->{jobs} && !exists $s->{sessions} && $s->{network} eq 'none', 'neither');
is(code($tool->get("/tools/status?$_")), '422 invalid_request', "no parameter $_") for 'limit=1', 'tenant=umbrella', 'x';
is(code($tool->ask('POST', '/tools/status')), '405 method_not_allowed', 'GET only');
is(code($t->executor_request('GET', '/v1/status')), '401 unauthorized', 'not without an identity');

$t->finish;
done_testing();
