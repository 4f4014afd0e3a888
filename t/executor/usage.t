#!/usr/bin/perl
# What was used is told by tenant, app, agent and day, and is what the audit events say, to the byte; also after kill -9.
use strict;
use warnings;
use lib 't/lib';
use JSON::PP;
use MIME::Base64 qw(encode_base64url);
use POSIX qw(strftime);
use Sandbox;
use Sandbox::Context;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 2, 'limits.max_running' => 4, 'usage.interval' => '1s' });
$t->start_launcher->start_executor;
# All in one day.
$t->wait_until(70, sub { 86400 - time % 86400 > 60 });
my @NUMBERS = qw(jobs steps sessions processes cpu_ms wall_ms memory_mib_ms stdout_bytes stderr_bytes artifact_in_bytes artifact_out_bytes uploads upload_bytes);

sub ask {
    my ($method, $path, %option) = @_;
    my $who = delete $option{who} || {};
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, %$who), %option);
}
sub usage { my ($query, %who) = @_; return ask('GET', "/v1/usage$query", who => { scopes => 'usage:read', %who }) }

# The sums of all events of the chain, as the segments have them: {tenant}{app}{agent}{number}.
sub audited {
    my %sum;
    for my $event (map { decode_json($_) } $t->audit_lines) {
        my $more = $event->{body}{accounted} or next;
        my $row = $sum{ $event->{tenant} }{ $event->{body}{app} // '' }{ $event->{body}{agent} // '' } //= {};
        for my $name (keys %$more) {
            die "what is $name" unless $name eq 'day' || grep { $_ eq $name } @NUMBERS;
            $row->{$name} += $more->{$name} if $name ne 'day';
        }
    }
    return \%sum;
}

sub differences {
    my $sum = audited();
    my ($n, @wrong) = 0;
    for my $tenant (sort keys %$sum) {
        my $said = usage('?group_by=app,agent', tenant => $tenant)->{json};
        my (%all, %seen);
        for my $group (@{ $said->{groups} }) {
            my $row = delete $sum->{$tenant}{ $group->{app} // '' }{ $group->{agent} // '' };
            $n++;
            for my $number (@NUMBERS) {
                push @wrong, "$tenant $number: $group->{$number}, audit " . ($row->{$number} // 0) if $group->{$number} != ($row->{$number} // 0);
                $all{$number} += $group->{$number};
            }
        }
        push @wrong, "$tenant: a row is missing" if grep { %$_ } values %{ $sum->{$tenant} };
        push @wrong, map { "$tenant $_: the total" } grep { $said->{totals}{$_} != $all{$_} } @NUMBERS;
    }
    return ($n, @wrong);
}

# Both are read one after the other, and a session that lives is accounted between any two moments: when nothing was, they agree.
sub is_audit {
    my ($name) = @_;
    my ($n, @wrong);
    $t->wait_until(30, sub { ($n, @wrong) = differences(); !@wrong });
    ok(!@wrong && $n > 0, "$name: the sums of $n rows are the audit's") or diag join "\n", @wrong;
}

# Nothing yet.
my $none = usage('?group_by=tenant,app,agent,day')->{json};
is_deeply([$none->{groups}, $none->{next_cursor}, $none->{budgets}, [@{ $none->{totals} }{@NUMBERS}]], [[], undef, [], [(0) x @NUMBERS]], 'who did nothing used nothing');

# Jobs.
my $burn = 'import time; end = time.process_time() + 0.3' . "\nwhile time.process_time() < end: pass\n";
my $job = ask('POST', '/v1/jobs', json => { language => 'python', code => "$burn\nopen('out.txt', 'w').write('x' * 1000)\nprint('hello')", artifacts => ['out.txt'] })->{json};
is($job->{status}, 'succeeded', 'a job') or diag explain $job;
my $one = usage('?group_by=app,agent,day')->{json};
my $today = strftime('%Y-%m-%d', gmtime);
is_deeply([map { @{$_}{qw(app agent day jobs cpu_ms stdout_bytes stderr_bytes artifact_out_bytes)} } @{ $one->{groups} }],
    ['web', 'coder', $today, 1, $job->{usage}{cpu_ms}, 6, 0, 1000], 'is accounted as it was told');
my $mib = int(($job->{usage}{peak_memory_bytes} + (1 << 20) - 1) / (1 << 20));
is($one->{totals}{memory_mib_ms}, $mib * $job->{usage}{wall_ms}, 'memory is its peak in MiB times its time');
is($one->{totals}{wall_ms}, $job->{usage}{wall_ms}, 'so is its time');
ask('POST', '/v1/jobs', json => { language => 'bash', code => 'echo x >&2; exit 3' }, who => { agent => 'other' });
ask('POST', '/v1/jobs', json => { language => 'bash', code => 'true' }, who => { app => '', agent => '' });
ask('POST', '/v1/jobs', json => { language => 'bash', code => 'true' }, who => { tenant => 'else' });
is_audit('jobs');

# One that is cancelled has used what it has used.
my $long = ask('POST', '/v1/jobs', json => { language => 'python', code => "$burn\n${burn}print('burnt', flush=True)\nwhile True: pass", wait => 0 }, who => { agent => 'cancels' })->{json};
ok($t->wait_until(30, sub { (ask('GET', "/v1/jobs/$long->{job_id}")->{json}{stdout} // '') eq "burnt\n" }), 'a long job');
my $cancelled = ask('DELETE', "/v1/jobs/$long->{job_id}")->{json};
is($cancelled->{status}, 'cancelled', 'cancelled');
cmp_ok($cancelled->{usage}{cpu_ms}, '>=', 500, 'its use is told');
is(usage('?agent=cancels')->{json}{totals}{cpu_ms}, $cancelled->{usage}{cpu_ms}, 'and accounted');

# A session counts while it lives, and nothing twice.
my $session = ask('POST', '/v1/sessions', json => { language => 'python' }, who => { agent => 'sits' })->{json};
my $id = $session->{session_id};
ask('POST', "/v1/sessions/$id/steps", json => { code => "$burn\nprint('step')" }, who => { agent => 'sits' });
ok($t->wait_until(30, sub { usage('?agent=sits')->{json}{totals}{cpu_ms} >= 100 }), 'its CPU time is accounted while it lives');
is(usage('?agent=sits')->{json}{totals}{sessions}, 0, 'itself when it has ended');
is_audit('a living session');
ask('PUT', "/v1/sessions/$id/files/up.txt", body => 'y' x 500, headers => { 'Content-Type' => 'application/octet-stream' }, who => { agent => 'sits' });
my $process = ask('POST', "/v1/sessions/$id/processes", json => { shell => 'echo out; echo err >&2' }, who => { agent => 'sits' })->{json}{process_id};
is(ask('GET', "/v1/sessions/$id/processes/$process?wait=20", who => { agent => 'sits' })->{json}{status}, 'exited', 'a process');
ask('POST', "/v1/sessions/$id/artifacts", json => { patterns => ['up.txt'] }, who => { agent => 'sits' });
ask('POST', '/v1/artifacts?name=a.bin', body => 'z' x 700, headers => { 'Content-Type' => 'application/octet-stream' }, who => { agent => 'sits' });
my $ended = ask('DELETE', "/v1/sessions/$id", who => { agent => 'sits' })->{json};
is($ended->{reason}, 'cancelled', 'it ends');
# What goes to the store by itself is there a moment later.
my @IN_PLACE = qw(jobs steps sessions processes stdout_bytes stderr_bytes uploads upload_bytes artifact_in_bytes artifact_out_bytes cpu_ms);
my $in_place = [0, 1, 1, 1, 9, 4, 2, 1200, 700, 500, $ended->{usage}{cpu_ms}];
my $sits;
$t->wait_until(30, sub { $sits = usage('?agent=sits')->{json}{totals}; "@{$sits}{@IN_PLACE}" eq "@$in_place" });
is_deeply([@{$sits}{@IN_PLACE}], $in_place, "each thing in its place, and its CPU time once: the session's own number") or diag explain $sits;
is_audit('sessions, files, artifacts');

# Groups, filters, pages.
is_deeply([map { $_->{agent} } @{ usage('?group_by=agent')->{json}{groups} }], [undef, qw(cancels coder other sits)], 'by agent');
is_deeply([map { [$_->{tenant}, $_->{jobs}] } @{ usage('?group_by=tenant')->{json}{groups} }], [['acme', 4]], 'by tenant');
is_deeply(usage('?group_by=agent&agent=nobody')->{json}{groups}, [], 'of nobody');
is(usage('?app=web')->{json}{totals}{jobs}, 3, 'of one app');
my ($cursor, @paged) = '';
for (1 .. 10) {
    my $page = usage("?group_by=agent,day&limit=2$cursor")->{json};
    cmp_ok(scalar @{ $page->{groups} }, '<=', 2, 'a page');
    push @paged, map { $_->{agent} } @{ $page->{groups} };
    is($page->{totals}{jobs}, 4, 'the totals are of all pages');
    last unless defined $page->{next_cursor};
    $cursor = "&cursor=$page->{next_cursor}";
}
is_deeply(\@paged, [undef, qw(cancels coder other sits)], 'pages have each once');
is(usage('?from=2020-01-01&to=2020-12-31')->{json}{totals}{jobs}, 0, 'of another time');
is(usage("?from=$today&to=$today")->{json}{totals}{jobs}, 4, 'of today');
is_deeply([@{ usage('')->{json} }{qw(to group_by)}], [$today, []], 'until today, unless asked otherwise');
is(usage('', tenant => 'else')->{json}{totals}{jobs}, 1, 'another tenant has its own');
is(usage('', tenant => 'nobody')->{json}{totals}{jobs}, 0, 'or none');

# Bad.
for my $bad ('from=yesterday', 'from=2026-02-30', 'from=2026-1-1', 'to=2026-13-01', 'from=1969-12-31', 'from=2026-01-01T00:00:00Z', 'from=', 'to=99999-01-01', 'from=2026-01-02&to=2026-01-01',
    'from=2024-01-01&to=2026-01-01', 'group_by=', 'group_by=subject', 'group_by=app,app', 'group_by=app,', 'group_by=,app', 'group_by=app+day', 'app=%00', 'app=a/b', 'agent=' . 'x' x 65, 'limit=0', 'limit=101',
    'limit=x', 'cursor=x', 'cursor=' . encode_base64url('1/2'), 'cursor=' . encode_base64url("1/a\0/b"), 'cursor=' . encode_base64url('-1/a/b'), 'cursor=' . encode_base64url('999999999/a/b'), 'tenant=else', 'day=1') {
    my $reply = usage("?$bad");
    is($reply->{status}, 422, "refused: $bad") or diag $reply->{content};
}
is(usage('', scopes => $_)->{status}, 403, "not for '$_'") for '', 'jobs:read', 'usage:write', 'audit:read', 'administrator';
is(usage('', scopes => $_)->{status}, 200, "for '$_'") for 'admin', 'jobs:read usage:read';
is(ask('POST', '/v1/usage', json => {}, who => { scopes => 'admin' })->{status}, 405, 'it is read only');

# kill -9 in the middle.
my @running = map { ask('POST', '/v1/jobs', json => { language => 'python', code => 'while True: pass', wait => 0 }, who => { agent => "killed$_" })->{json} } 1 .. 3;
my $sits2 = ask('POST', '/v1/sessions', json => { language => 'python' }, who => { agent => 'killed' })->{json};
ask('POST', "/v1/sessions/$sits2->{session_id}/steps", json => { code => "while True: pass", wait => 0 }, who => { agent => 'killed' });
ok($t->wait_until(30, sub { usage('?agent=killed')->{json}{totals}{cpu_ms} > 500 }), 'things run');
$t->kill9('executor');
$t->start_executor;
my $lost = ask('GET', "/v1/jobs/$running[0]{job_id}")->{json};
is($lost->{status}, 'lost', 'they are lost');
is_deeply([map { usage("?agent=$_")->{json}{totals}{jobs} } qw(killed1 killed2 killed3)], [1, 1, 1], 'and count as runs');
is_deeply([@{ usage('?agent=killed')->{json}{totals} }{qw(steps sessions)}], [1, 1], 'sessions and steps as well');
cmp_ok(usage('?agent=killed')->{json}{totals}{cpu_ms}, '>', 500, 'what a session had used is not lost with it');
is_audit('after kill -9');
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
