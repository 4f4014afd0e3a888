#!/usr/bin/perl
# A change of a policy, made through the gateway, ends what it forbids within a second, wherever that is: queued, running, in a session,
# waited for, streamed. It says why to everybody who asks, and touches nobody else's. What was used is what the audit has.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox;
use Sandbox::Stream;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new(executor => { 'pool.default' => 2, 'limits.max_running' => 6, 'usage.interval' => '1s' })->start;
my %me = (tenant => 'acme');
my %other_app = (%me, app => 'batch');
my %other_agent = (%me, agent => 'reviewer');
my %else = (tenant => 'else');
my $admin = $t->token(%me, scope => 'admin');

sub api { my ($method, $path, %option) = @_; return $t->request($method, $path, token => $admin, %option) }
# What is meant to pass. A policy that the executor changed a moment ago may still be the old one at the gateway, which then refuses what was forbidden.
sub passes { my ($path, $body, %who) = @_; my $reply; $t->wait_until(30, sub { $reply = $t->request('POST', $path, json => $body, %me, %who); $reply->{status} != 403 }); return $reply }
sub begin { my ($job, %who) = @_; my $reply = passes('/v1/jobs', { language => 'bash', code => 'sleep 50', wait => 0, limits => { time => '60s' }, %$job }, %who);
    die "$reply->{status} $reply->{content}" if $reply->{status} != 202;
    return $reply->{json}{job_id} }
sub job { my ($id, %who) = @_; return $t->request('GET', "/v1/jobs/$id", %me, %who)->{json} }
sub runs { my ($id, %who) = @_; return $t->wait_until(30, sub { job($id, %who)->{status} eq 'running' }) }
sub stop { my ($id, %who) = @_; return $t->request('DELETE', "/v1/jobs/$id", %me, %who)->{status} }
sub make { my ($body, %who) = @_; my $reply = passes('/v1/sessions', { language => 'bash', %$body }, %who);
    die "$reply->{status} $reply->{content}" if $reply->{status} != 201;
    return $reply->{json}{session_id} }
sub session { my ($id, %who) = @_; return $t->request('GET', "/v1/sessions/$id", %me, %who)->{json} }
sub works { my ($id, %who) = @_; return ($t->request('POST', "/v1/sessions/$id/steps", json => { code => 'echo 1' }, %me, %who)->{json}{stdout} // '') eq "1\n" }

my ($policy, $version, $changed, @targets);    # when it was changed, as the executor has it
sub put {
    my (%document) = @_;
    my %json = (name => 'held', document => { version => 1, %document }, applies_to => [@targets]);
    my $reply = $policy ? api('PUT', "/v1/policies/$policy", json => \%json, headers => { 'If-Match' => "\"$version\"" }) : api('POST', '/v1/policies', json => \%json);
    die "$reply->{status} $reply->{content}" unless $reply->{json}{policy_id};
    ($policy, $version) = @{ $reply->{json} }{qw(policy_id version)};
    $changed = Sandbox::_unix($reply->{json}{updated_at});
    return;
}
# By what the records say: how long this program takes to ask is nobody's delay.
sub ended_soon {
    my ($name, @records) = @_;
    for my $record (@records) {
        my $ended = Sandbox::_unix($record->{finished_at} // $record->{ended_at});
        ok($ended && $changed && $ended - $changed < 1 && $ended - $changed > -1, "$name within a second") or diag(sprintf '%s: %.3f s after the change', $record->{job_id} // $record->{session_id} // 'a step', $ended - $changed);
    }
    return;
}

# A question that waits for its answer in a process of its own; the answer and when it came.
sub ask_aside {
    my (@request) = @_;
    pipe my $read, my $write or die $!;
    my $pid = fork // die $!;
    if (!$pid) {
        my $reply = $t->request(@request);
        print {$write} encode_json({ status => $reply->{status}, json => $reply->{json}, at => time });
        close $write;
        POSIX::_exit(0);
    }
    close $write;
    return [$read, $pid];
}
sub answer { my ($aside) = @_; my ($fh, $pid) = @$aside; my $text = do { local $/; <$fh> }; waitpid $pid, 0; return decode_json($text) }
sub event_of { my ($kind, $object) = @_; my ($event) = @{ api('GET', "/v1/audit?kind=$kind&object=$object")->{json}{events} }; return $event // {} }

# The language, for one app.
@targets = { app => 'web' };
put(languages => ['bash', 'python']);
my $running = begin({});
my $apps = begin({}, %other_app);
my $foreign = begin({}, %else);
ok(runs($running) && runs($apps, %other_app) && runs($foreign, %else), "jobs of two apps and of another tenant run");
my $python = begin({ language => 'python', code => 'import time; time.sleep(50)' });
ok(runs($python), 'and one in another language');
my $held = make({});
my $kept = make({ language => 'python' });
my @fill = begin({});
push @fill, begin({}) until @fill > 8 || job($fill[-1])->{status} eq 'queued';
my $queued = pop @fill;
ok((!grep { !runs($_) } @fill) && job($queued)->{status} eq 'queued', 'one more has to wait');
my $waiter = ask_aside('GET', "/v1/jobs/$running?wait=30", %me);
my $queue_waiter = ask_aside('GET', "/v1/jobs/$queued?wait=30", %me);
my $stream = Sandbox::Stream->gateway($t, 'GET', "/v1/jobs/$running", who => \%me);
my $steps = Sandbox::Stream->gateway($t, 'POST', "/v1/sessions/$held/steps", who => \%me, json => { code => 'echo begun; sleep 50', timeout => '60s' });
ok($steps->until(30, sub { $steps->{stdout} eq "begun\n" }) && $stream->until(30, sub { $stream->{status} }), 'a step runs in a session, both are streamed');

my $since = time;
put(languages => ['python']);
ok($steps->until(30, sub { $steps->last_event('end') }) && $stream->until(30, sub { $stream->last_event('end') }), 'a PUT that forbids the language: both streams end');
my ($told, $queue_told) = (answer($waiter), answer($queue_waiter));
is($told->{json}{status}, 'denied', 'who waits for the running one is told');
is($queue_told->{json}{status}, 'denied', 'and who waits for the queued one');
cmp_ok($_->{at} - $since, '<', 15, 'long before the 30 s that they would wait') for $told, $queue_told;
ended_soon('it was ended', $told->{json}, $queue_told->{json}, session($held));
is($stream->last_event('end')->{status}, 'denied', "the job's stream says it");
is($steps->last_event('end')->{status}, 'cancelled', "the step's too");
for my $id ($running, $queued) {
    my $job = job($id);
    is($job->{status}, 'denied', 'the job is denied');
    is_deeply([@{ $job->{violation} }{qw(rule policy_id policy_version observed)}], ['languages', $policy, $version, 'bash'], 'by which rule of which policy in which version');
    my $event = event_of('job.stopped', $id);
    is_deeply([$event->{decision}, @{ $event->{body}{violation} || {} }{qw(rule policy_id policy_version)}], ['denied', 'languages', $policy, $version], 'and so says the audit');
    is_deeply([map { event_of($_, $id)->{kind} } qw(job.finished job.cancelled job.lost)], [undef, undef, undef], 'which knows of no other end');
}
my $gone = $t->request('POST', "/v1/sessions/$held/steps", json => { code => 'true' }, %me);
is_deeply([$gone->{status}, $gone->{json}{reason}], [410, 'policy'], 'the session is gone, for the policy');
is_deeply([@{ session($held) }{qw(status reason)}], ['ended', 'policy'], 'which its record says');
my $end = event_of('session.ended', $held);
is_deeply([$end->{decision}, @{ $end->{body}{violation} || {} }{qw(rule policy_id policy_version)}], ['policy', 'languages', $policy, $version], 'and the audit, with the rule');
is($t->request('POST', '/v1/jobs', json => { language => 'bash', code => 'true' }, %me)->{status}, 403, 'nothing of it begins again');
is(job($python)->{status}, 'running', 'what is allowed runs on');
ok($t->request('POST', "/v1/sessions/$kept/steps", json => { code => 'print(1)' }, %me)->{json}{stdout} eq "1\n", 'a session in the other language, too');
is(job($apps, %other_app)->{status}, 'running', "another app's job runs on");
is(job($foreign, %else)->{status}, 'running', "so does another tenant's");

# A limit.
put(limits => { memory => { max => '64Mi' } });
ok($t->wait_until(30, sub { job($python)->{status} eq 'denied' && session($kept)->{status} eq 'ended' }), 'a limit below what they were given ends them');
ended_soon('each', job($python), session($kept));
is(job($python)->{violation}{rule}, 'limits.memory', 'and is named');
is(session($kept)->{reason}, 'policy', 'by the session as well');
is(job($apps, %other_app)->{status}, 'running', "another app's job has more");

# Loosening, and what only counts.
my $small = begin({ limits => { memory => '64Mi', time => '60s' } });
my $sits = make({ limits => { memory => '64Mi' } });
ok(runs($small) && works($sits), 'within the limit a job and a session run');
my $before = @{ api('GET', '/v1/audit?kind=job.stopped&limit=100')->{json}{events} };
put(limits => { memory => { max => '128Mi' } }, languages => ['bash', 'python']);
put(rates => { app => { rate => '1000/s' } }, concurrency => { app => 50 }, retention => { records => '1h' }, max_wait => '40s');
put();
ok(works($sits), 'a looser policy ends no session');
is(job($small)->{status}, 'running', 'and no job');
is(scalar @{ api('GET', '/v1/audit?kind=job.stopped&limit=100')->{json}{events} }, $before, 'nor does the audit know of any');
stop($small);

# The tier, for one agent; a template.
my $agents = begin({}, %other_agent);
my $mine = begin({});
ok(runs($agents, %other_agent) && runs($mine), 'jobs of two agents run');
@targets = { agent => 'reviewer' };
put(isolation => { minimum => 'gvisor' });
ok($t->wait_until(30, sub { job($agents, %other_agent)->{status} eq 'denied' }), "an agent's policy asks for another tier: its job is ended");
ended_soon('which it is', job($agents, %other_agent));
is(job($agents, %other_agent)->{violation}{rule}, 'isolation.minimum', 'for that');
is(job($mine)->{status}, 'running', "the other agent's runs on");
ok(works($sits), 'with its session');
my $basic = begin({ template => 'python-basic', language => 'python', code => 'import time; time.sleep(50)' });
ok(runs($basic), 'a job of another template runs');
@targets = { template => 'python-basic' };
put(languages => []);
ok($t->wait_until(30, sub { job($basic)->{status} eq 'denied' }), "a template's policy ends its job");
ended_soon('which is ended', job($basic));
is(job($mine)->{status}, 'running', 'and no other');
@targets = { tenant => JSON::PP::true };
put(templates => []);
ok($t->wait_until(30, sub { job($mine)->{status} eq 'denied' && job($apps, %other_app)->{status} eq 'denied' && session($sits)->{status} eq 'ended' }), "the tenant's ends all of it");
ended_soon('each', job($mine), job($apps, %other_app), session($sits));
is(job($foreign, %else)->{status}, 'running', 'and nothing of another tenant');
stop($foreign, %else);

# What was used is what the audit says, number by number.
is(api('DELETE', "/v1/policies/$policy", headers => { 'If-Match' => '*' })->{status}, 204, 'without the policy');
is(passes('/v1/jobs', { language => 'bash', code => 'echo out; echo err >&2; echo x > f', artifacts => ['f'], wait => 30 })->{json}{status}, 'succeeded', 'work goes on');
my $usage = api('GET', '/v1/usage?group_by=app,agent&limit=100')->{json};
my $export = api('GET', '/v1/audit', headers => { Accept => 'application/x-ndjson' });
is($export->{headers}{'content-type'}, 'application/x-ndjson', 'the audit is exported');
my (%sum, %all);
for my $event (map { decode_json($_) } split /\n/, $export->{content}) {
    my $more = $event->{body}{accounted} or next;
    for my $name (grep { $_ ne 'day' } keys %$more) {
        $sum{ ($event->{body}{app} // '') . '/' . ($event->{body}{agent} // '') }{$name} += $more->{$name};
        $all{$name} += $more->{$name};
    }
}
my %said = %{ $usage->{totals} };
is_deeply(\%said, { map { $_ => $all{$_} // 0 } keys %said }, 'the totals are the sums of the events');
is_deeply([grep { !exists $said{$_} } keys %all], [], 'which count nothing else');
cmp_ok($said{$_}, '>', 0, "there are $_") for qw(jobs steps sessions wall_ms stdout_bytes artifact_out_bytes);
is(scalar @{ $usage->{groups} }, keys %sum, 'by app and agent');
for my $group (@{ $usage->{groups} }) {
    my $name = ($group->{app} // '') . '/' . ($group->{agent} // '');
    is_deeply({ map { $_ => $group->{$_} } keys %said }, { map { $_ => $sum{$name}{$_} // 0 } keys %said }, "those of $name");
}
my ($fine, $because) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $because;
$t->finish;
done_testing();
