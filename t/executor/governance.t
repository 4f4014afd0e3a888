#!/usr/bin/perl
# The executor asks the policies again, and holds what runs to those of now.
use strict;
use warnings;
use lib 't/lib';
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Sandbox::Stream;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new(executor => { 'pool.default' => 2, 'limits.max_running' => 4 });
$t->start_launcher->start_executor;

sub ask {
    my ($method, $path, %option) = @_;
    my $who = delete $option{who} || {};
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, %$who), %option);
}
sub policy { my ($document, %more) = @_; my %who = %{ delete $more{who} || {} };
    my $reply = ask('POST', '/v1/policies', json => { name => 'p', document => { version => 1, %$document }, applies_to => [{ tenant => JSON::PP::true }], %more }, who => { scopes => 'admin', %who });
    die "$reply->{status} $reply->{content}" if $reply->{status} != 201;
    return $reply->{json}{policy_id};
}
sub put { my ($id, $document, @targets) = @_; return ask('PUT', "/v1/policies/$id", json => { name => 'p', document => { version => 1, %$document }, applies_to => [@targets ? @targets : { tenant => JSON::PP::true }] }, headers => { 'If-Match' => '*' }, who => { scopes => 'admin' })->{status} }
sub drop { my ($id, %who) = @_; return ask('DELETE', "/v1/policies/$id", who => { scopes => 'admin', %who })->{status} }
sub run { my ($body, %who) = @_; return ask('POST', '/v1/jobs', json => { language => 'bash', code => 'true', %$body }, who => \%who) }
sub begin { my ($body, %who) = @_; my $reply = run({ code => 'sleep 60', wait => 0, %$body }, %who); die "$reply->{status} $reply->{content}" if $reply->{status} != 202; return $reply->{json}{job_id} }
sub job { my ($id, %who) = @_; return ask('GET', "/v1/jobs/$id", who => \%who)->{json} }
sub runs { my ($id, %who) = @_; return $t->wait_until(30, sub { job($id, %who)->{status} eq 'running' }) }
sub rules { my ($reply) = @_; return [sort map { $_->{rule} } @{ $reply->{json}{violations} || [] }] }

# Nothing is narrowed by what is not there.
is(run({}, limits => Sandbox::Context::limits(memory_bytes => 4 << 30))->{status}, 200, 'without documents the edge has decided');

# Again, at admission.
my $id = policy({ languages => ['python'], limits => { memory => { max => '64Mi' } }, env => { max => 1 } });
my $no = run({ env => { A => 'x', B => 'y' } });
is($no->{status}, 403, 'what a document forbids is refused here too');
is($no->{json}{code}, 'policy_violation', 'named');
is_deeply(rules($no), ['env.max', 'languages', 'limits.memory'], 'each rule, with the limits that the edge granted');
is(run({ language => 'python', limits => { memory => '64Mi' } })->{status}, 200, 'what it allows passes');
is(run({}, tenant => 'else')->{status}, 200, 'another tenant has nothing to do with it');
is_deeply(rules(ask('POST', '/v1/sessions', json => { language => 'bash', limits => { memory => '64Mi' } })), ['languages'], 'a session');
my ($denied) = grep { @{ $_->{body}{violations} } == 3 } $t->audit_events('request.denied');
is_deeply([$denied->{tenant}, @{ $denied->{body} }{qw(source route code)}], ['acme', 'executor', 'jobs.create', 'policy_violation'], 'and is audited, the route by the name that the gateway has for it');
is(put($id, { languages => ['bash'] }), 200, 'the document changes');
is(run({})->{status}, 200, 'the next request is held to the new one');
is(run({ language => 'python' })->{status}, 403, 'and not to the old');
my $session = ask('POST', '/v1/sessions', json => { language => 'bash', ttl => '10m', step_timeout => '5s' })->{json}{session_id};
ok($session, 'a session');
is_deeply(rules(ask('POST', "/v1/sessions/$session/steps", json => { code => 'print(1)', language => 'python' })), ['languages'], 'a step in another language');
is_deeply(rules(ask('POST', "/v1/sessions/$session/contexts", json => { name => 'py', language => 'python' })), ['languages'], 'a context');
is(put($id, { languages => ['bash'], env => { max => 0 }, sessions => { ttl => { max => '1h' }, step_timeout => { max => '10s' } } }), 200, 'the document changes');
is_deeply(rules(ask('POST', "/v1/sessions/$session/processes", json => { argv => ['true'], env => { A => 'b' } })), ['env.max'], 'a command');
is_deeply(rules(ask('POST', "/v1/sessions/$session/steps", json => { code => 'true', timeout => '20s' })), ['sessions.step_timeout'], "a step's time");
is_deeply(rules(ask('PATCH', "/v1/sessions/$session", json => { ttl => '2h' })), ['sessions.ttl'], 'an extension');
is(ask('GET', "/v1/sessions/$session")->{json}{status}, 'running', 'which is within its own times, and goes on');
ask('DELETE', "/v1/sessions/$session");
is(drop($id), 204, 'it is deleted');
is(run({ language => 'python' })->{status}, 200, 'and forbids nothing any more');

# By app, agent and template, and drafts.
$id = policy({ languages => [] }, applies_to => []);
is(run({})->{status}, 200, 'a draft has no effect');
for my $case ([{ app => 'web' }, { app => 'cli' }], [{ agent => 'coder' }, { agent => 'x' }], [{ template => 'default' }]) {
    my ($hit, $miss) = @$case;
    is(put($id, { languages => [] }, $hit), 200, join ' ', %$hit);
    is(run({}, %{ exists $hit->{template} ? {} : $hit })->{status}, 403, 'hits');
    is(run({}, %$miss)->{status}, 200, 'nobody else') if $miss;
}
drop($id);

# What is asked for and not there.
for my $case (['egress', ['example.com:443'], '/egress'], ['secrets', ['TOKEN'], '/secrets'], ['services', [8080], '/services']) {
    my $reply = run({ $case->[0] => $case->[1] });
    cmp_ok($reply->{status}, '>=', 403, "$case->[0]: nobody does it here");
    is(run({ $case->[0] => [] })->{status}, 200, 'none is fine');
    is(run({ $case->[0] => 'x' })->{status}, 422, 'its form is checked');
}
my $pip = run({ dependencies => { pip => ['numpy==1.26.4'] } });
is_deeply([$pip->{status}, $pip->{json}{errors}[0]{field}], [422, '/dependencies/pip'], 'dependencies: policy would allow it');

# What runs.
my $running = begin({});
my $python = begin({ language => 'python', code => 'import time; time.sleep(60)' });
my $foreign = begin({}, tenant => 'else');
ok(runs($running) && runs($python) && runs($foreign, tenant => 'else'), 'jobs run');
my $other = begin({}, agent => 'other');
ok(runs($other, agent => 'other'), 'one more');
my $queued = begin({ code => 'true' });
my $held = ask('POST', '/v1/sessions', json => { language => 'bash' })->{json}{session_id};
my $kept = ask('POST', '/v1/sessions', json => { language => 'python' })->{json}{session_id};
pipe my $read, my $write or die $!;
my $waits = fork // die $!;
if (!$waits) { my $reply = ask('GET', "/v1/jobs/$running?wait=30"); print {$write} encode_json($reply->{json}); close $write; POSIX::_exit(0) }
close $write;
my $stepping = fork // die $!;
if (!$stepping) { my $reply = ask('POST', "/v1/sessions/$held/steps", json => { code => 'sleep 50', wait => 30 }); POSIX::_exit($reply->{json}{status} eq 'cancelled' && $reply->{json}{message} =~ /policy/ ? 0 : 1) }
ok($t->wait_until(30, sub { (ask('GET', "/v1/sessions/$held/steps")->{json}{steps}[0]{status} // '') eq 'running' }), 'a step runs');
my $since = time;
$id = policy({ languages => ['python'] });
ok($t->wait_until(30, sub { job($running)->{status} eq 'denied' && job($queued)->{status} eq 'denied' && ask('GET', "/v1/sessions/$held")->{json}{status} eq 'ended' }), 'a policy that forbids them ends what runs and waits');
cmp_ok(time - $since, '<', 5, 'soon');
my $stopped = job($running);
is_deeply([@{ $stopped->{violation} }{qw(rule name policy_id policy_version)}], ['languages', 'policy', $id, 1], 'it says by which rule of which policy');
like($stopped->{message}, qr/policy $id, version 1/, 'in words, too');
is_deeply([$stopped->{violation}{limit}, $stopped->{violation}{observed}], [['python'], 'bash'], 'what is allowed and what it was') or diag explain $stopped->{violation};
my $told = do { local $/; <$read> };
waitpid $waits, 0;
is(decode_json($told)->{status}, 'denied', 'who waits is told');
waitpid $stepping, 0;
is($?, 0, 'so is who waits for a step of its session');
my $ended = ask('GET', "/v1/sessions/$held")->{json};
is_deeply([$ended->{reason}, $ended->{violation}{rule}], ['policy', 'languages'], 'the session ends for the policy');
is(job($python)->{status}, 'running', 'what is allowed goes on');
is(job($foreign, tenant => 'else')->{status}, 'running', "so does another tenant's");
is(ask('GET', "/v1/sessions/$kept")->{json}{status}, 'running', 'and another session');
my @stopped = $t->audit_events('job.stopped', 3);
is(scalar @stopped, 3, 'each stop is audited');
is_deeply([sort map { $_->{object} } @stopped], [sort $running, $queued, $other], 'by its job');
is_deeply([@{ $stopped[0]{body}{violation} }{qw(rule policy_id policy_version)}, $stopped[0]{decision}], ['languages', $id, 1, 'denied'], 'with rule, policy and version');
my $end;
$t->wait_until(30, sub { ($end) = grep { $_->{object} eq $held } $t->audit_events('session.ended') });
is_deeply([$end->{decision}, $end->{body}{violation}{policy_id}], ['policy', $id], "so is the session's");

# A context's language, a limit, the tier.
ok(ask('POST', "/v1/sessions/$kept/steps", json => { code => 'print(1)' })->{json}{status} eq 'succeeded', 'the other session works');
is(put($id, { limits => { memory => { max => '1Gi' } }, rates => { tenant => { rate => '1000/s' } }, concurrency => { tenant => 100 }, retention => { records => '1h' }, budgets => { tenant => { cpu_per_day => '100h' } }, max_wait => '1s' }), 200, 'what only counts, or is wide');
my $again = $t->wait_until(30, sub { run({})->{status} == 200 });
ok($again && job($python)->{status} eq 'running', 'ends nothing');
is(put($id, { limits => { memory => { max => '64Mi' } } }), 200, 'a limit below what it has');
ok($t->wait_until(30, sub { job($python)->{status} eq 'denied' }), 'ends it');
is(job($python)->{violation}{rule}, 'limits.memory', 'and is named');
ok($t->wait_until(30, sub { (ask('GET', "/v1/sessions/$kept")->{json}{reason} // '') eq 'policy' }), 'the session as well');
drop($id);

# A stream is told.
my $streamed = begin({});
runs($streamed);
my $reader = fork // die $!;
if (!$reader) { my $reply = ask('GET', "/v1/jobs/$streamed", headers => { Accept => 'text/event-stream' }, timeout => 20); POSIX::_exit(($reply->{content} // '') =~ /event: end\n.*\ndata: .*"status":"denied"/ ? 0 : 1) }
$id = policy({ templates => [] });
waitpid $reader, 0;
is($?, 0, "a stream's end says it");

# Many, of which none blocks the loop.
drop($id);
ask('DELETE', "/v1/jobs/$foreign", who => { tenant => 'else' });    # a drain would wait for it
$t->stop('executor');
$t->start_executor('limits.max_queued_per_tenant' => 800, 'limits.max_queued' => 800, 'limits.queue_timeout' => '60s');
my @many = map { begin({}) } 1 .. 600;
$since = time;
$id = policy({ languages => ['python'] });
ok($t->wait_until(30, sub { !grep { $_->{status} ne 'denied' } job($many[0]), job($many[300]), job($many[599]) }), 'of 600 all are denied');
ok($t->wait_until(30, sub { !@{ ask('GET', '/v1/jobs?status=queued')->{json}{jobs} } && !@{ ask('GET', '/v1/jobs?status=running')->{json}{jobs} } }), 'and nothing is left');
is(scalar(grep { $_->{object} && $_->{decision} eq 'denied' } $t->audit_events('job.stopped', 605)), 600 + 3 + 1 + 1, 'each in the audit');

# After kill -9 the policies are there before anybody is served.
$t->kill9('executor');
$t->start_executor;
is(run({})->{status}, 403, 'after kill -9 the policy holds');
is(run({ language => 'python' })->{status}, 200, 'as it did');
is(drop($id), 204, 'and may go');
is(run({})->{status}, 200, 'then it does not');

# The operator's directory.
$t->stop('executor');
$t->write('etc/governance/default.json', '{"version":1,"limits":{"memory":{"max":"128Mi","default":"64Mi"}}}');
$t->write('etc/governance/tenants/acme.json', '{"version":7,"languages":["bash"]}');
$t->write('etc/governance/tenants/acme/agents/strict.json', '{"version":2,"env":{"max":0}}');
$t->start_executor('policy.dir' => "$t->{dir}/etc/governance");
my %small = (limits => Sandbox::Context::limits(memory_bytes => 128 << 20));
is_deeply(rules(run({ language => 'python' })), ['languages', 'limits.memory'], "the operator's documents hold here, too");
is(run({}, %small)->{status}, 200, 'what they allow passes');
is(run({ env => { A => 'x' } }, %small, agent => 'strict')->{status}, 403, "an agent's");
is(run({ language => 'python' }, %small, tenant => 'else')->{status}, 200, "another tenant's are others");
$id = policy({ languages => ['bash', 'python'], limits => { memory => { max => '1Gi' } } });
is_deeply(rules(run({ language => 'python' })), ['languages', 'limits.memory'], 'a tenant widens nothing');
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->stop('executor');
$t->write('etc/governance/tenants/acme.json', '{"version":7,"languages":"bash"}');
is(eval { $t->start_executor('policy.dir' => "$t->{dir}/etc/governance"); 'started' }, undef, 'a wrong document stops the start');
waitpid delete $t->{pid}{executor}, 0;
is($? >> 8, 1, 'and says so with its exit status');
$t->finish;
done_testing();
