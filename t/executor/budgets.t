#!/usr/bin/perl
# CPU time per day: who has used it up is told so until midnight; what runs is counted, what is over stays counted.
use strict;
use warnings;
use lib 't/lib';
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 2, 'limits.max_running' => 6, 'usage.interval' => '1s' });
$t->start_launcher->start_executor;
# All in one day.
$t->wait_until(70, sub { 86400 - time % 86400 > 60 });

sub ask {
    my ($method, $path, %option) = @_;
    my $who = delete $option{who} || {};
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, %$who), %option);
}
sub burn { my ($ms) = @_; return sprintf "import time\nend = time.process_time() + %f\nwhile time.process_time() < end: pass\n", $ms / 1000 }
sub run { my ($code, %who) = @_; return ask('POST', '/v1/jobs', json => { language => 'python', code => $code }, who => \%who) }
sub usage { my (%who) = @_; return ask('GET', '/v1/usage', who => { scopes => 'usage:read', %who })->{json} }

# A budget of the agent.
my %who = (agent => 'spender', cpu_agent => 600);
my $first = run(burn(400), %who);
is($first->{json}{status}, 'succeeded', 'within the budget');
is_deeply([map { [@{$_}{qw(scope name cpu_ms used_cpu_ms left_cpu_ms)}] } @{ usage(%who)->{budgets} }], [['agent', 'spender', 600, $first->{json}{usage}{cpu_ms}, 600 - $first->{json}{usage}{cpu_ms}]], 'what is left is told');
is(run(burn(400), %who)->{json}{status}, 'succeeded', 'what begins within the budget goes on to its end');
my $earlier = 86400 - time % 86400;
my $refused = run('print(1)', %who);
my $later = 86400 - time % 86400;
is($refused->{status}, 429, 'then it is used up');
is($refused->{json}{code}, 'budget_exhausted', 'named');
my ($violation) = @{ $refused->{json}{violations} };
is_deeply([$violation->{rule}, $violation->{limit}], ['budgets.agent.cpu_per_day', '600ms'], 'with the rule');
cmp_ok($violation->{observed} =~ s/ms$//r, '>=', 600, 'and what was used');
ok($refused->{headers}{'retry-after'} <= $earlier + 1 && $refused->{headers}{'retry-after'} >= $later - 1, 'Retry-After is midnight') or diag "$refused->{headers}{'retry-after'}, $earlier to $later";
my @denied = $t->audit_events('request.denied');
is(scalar @denied, 1, 'the refusal is audited');
is_deeply([@{ $denied[0]{body} }{qw(source code)}, $denied[0]{tenant}, $denied[0]{body}{violations}[0]{rule}], ['executor', 'budget_exhausted', 'acme', 'budgets.agent.cpu_per_day'], 'with its reason');
is(usage(%who)->{budgets}[0]{left_cpu_ms}, 0, 'nothing is left');
is(ask('POST', '/v1/sessions', json => { language => 'python' }, who => \%who)->{status}, 429, 'nor for a session');
is(run('print(1)', agent => 'frugal', cpu_agent => 600)->{status}, 200, 'another agent has its own');
is(run('print(1)', %who, tenant => 'else')->{status}, 200, 'so has an agent of that name elsewhere');
is(run('print(1)', %who, cpu_agent => 0)->{status}, 200, 'and who has no budget is not held to one');
is(run('print(1)', %who, cpu_agent => 3_600_000)->{status}, 200, 'a larger budget holds at once');
is(run('print(1)', agent => 'frugal', cpu_app => 500)->{json}{violations}[0]{rule}, 'budgets.app.cpu_per_day', "the app's is of all its agents");
is(run('print(1)', agent => 'frugal', app => 'fresh', cpu_tenant => 500)->{json}{violations}[0]{rule}, 'budgets.tenant.cpu_per_day', "the tenant's of all its apps");

# An answer of before is an answer.
my %key = (headers => { 'Idempotency-Key' => 'once' });
is(ask('POST', '/v1/jobs', json => { language => 'python', code => burn(300) }, who => { agent => 'again', cpu_agent => 200 }, %key)->{status}, 200, 'with a key');
is(run('print(1)', agent => 'again', cpu_agent => 200)->{status}, 429, 'used up');
my $again = ask('POST', '/v1/jobs', json => { language => 'python', code => burn(300) }, who => { agent => 'again', cpu_agent => 200 }, %key);
is_deeply([$again->{status}, $again->{headers}{'idempotency-replayed'}], [200, 'true'], 'what was done is told again');

# What runs counts while it does.
%who = (agent => 'runs', cpu_agent => 500);
my $long = ask('POST', '/v1/jobs', json => { language => 'python', code => 'while True: pass', wait => 0 }, who => \%who)->{json};
ok($t->wait_until(30, sub { usage(%who)->{budgets}[0]{used_cpu_ms} >= 500 }), 'a running job is counted');
is(run('print(1)', %who)->{status}, 429, 'so no other begins');
is(ask('GET', "/v1/jobs/$long->{job_id}", who => \%who)->{json}{status}, 'running', 'it goes on itself');
my $over = ask('DELETE', "/v1/jobs/$long->{job_id}", who => \%who)->{json};
is(usage(%who)->{budgets}[0]{used_cpu_ms}, $over->{usage}{cpu_ms}, 'what it had used stays counted, once');
is(run('print(1)', %who)->{status}, 429, 'a cancelled run is not a free one');

# Sessions.
%who = (agent => 'sits', cpu_agent => 600);
my $id = ask('POST', '/v1/sessions', json => { language => 'python' }, who => \%who)->{json}{session_id};
ok($id, 'a session');
is(ask('POST', "/v1/sessions/$id/steps", json => { code => burn(700) }, who => \%who)->{json}{status}, 'succeeded', 'its step');
ok($t->wait_until(30, sub { ask('POST', "/v1/sessions/$id/steps", json => { code => 'print(1)' }, who => \%who)->{status} == 429 }), 'and no other once that is known');
is(ask('POST', "/v1/sessions/$id/processes", json => { argv => ['true'] }, who => \%who)->{json}{code}, 'budget_exhausted', 'no command either');
is(ask('GET', "/v1/sessions/$id", who => \%who)->{status}, 200, 'it is still there');
my $spent = ask('DELETE', "/v1/sessions/$id", who => \%who)->{json}{usage}{cpu_ms};
is(usage(%who)->{budgets}[0]{used_cpu_ms}, $spent, 'counted once, when it is over');

# Many at once: one begins more than is left, the rest is told no.
%who = (agent => 'many', cpu_agent => 300);
is(run(burn(350), %who)->{status}, 200, 'used up');
my @children = map { my $pid = fork // die $!; if (!$pid) { POSIX::_exit(run('print(1)', %who)->{status} == 429 ? 0 : 1) } $pid } 1 .. 20;
my $passed = 0;
for my $pid (@children) { waitpid $pid, 0; $passed++ if $? }
is($passed, 0, 'of 20 at once none passes');

# A restart forgets nothing, however it ended.
my %before = map { $_ => usage(agent => $_, cpu_agent => 1)->{budgets}[0]{used_cpu_ms} } qw(spender runs sits many frugal);
$t->kill9('executor');
$t->start_executor;
is_deeply({ map { $_ => usage(agent => $_, cpu_agent => 1)->{budgets}[0]{used_cpu_ms} } keys %before }, \%before, 'after kill -9 as much is used up');
is(run('print(1)', agent => 'spender', cpu_agent => 600)->{status}, 429, 'and refused');
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
