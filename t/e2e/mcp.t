#!/usr/bin/perl
# Agents by the Model Context Protocol, through the gateway as it is shipped: what they run, keep, read, are refused, follow and take back.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox;
use Sandbox::Mcp;
use Sandbox::Stream;
use Test::More;
use Time::HiRes qw(time);

my $JSON = JSON::PP->new->canonical->utf8->allow_nonref;
my $t = Sandbox->new(executor => { 'pool.default' => 2, 'pool.python-basic' => 0 });
$t->{mcp_port} = Sandbox::free_port();
$t->start;
my $mcp = Sandbox::Mcp->new($t);

# A tool's result: {text}, {data} and whether it is an error; dies of anything else.
sub tool {
    my ($name, $arguments, %option) = @_;
    my $reply = $mcp->call('tools/call', { name => $name, arguments => $arguments }, %option);
    my $result = ($reply->{json} // {})->{result} // die "$name: $reply->{status} $reply->{content}\n";
    return { text => join('', map { $_->{text} // '' } @{ $result->{content} }), data => $result->{structuredContent}, error => !!$result->{isError},
             content => $result->{content}, type => $result->{resultType}, result => $result };
}
# Records of the audit that are about it.
sub audit { my ($of) = @_; return grep { $JSON->encode($_) =~ /\Q$of\E/ } Sandbox::_records(glob "$t->{dir}/data/audit/audit-*.jsonl") }

# What there is.
my $reply = $mcp->call('server/discover');
is($reply->{status}, 200, 'discover');
is($reply->{json}{result}{_meta}{'io.modelcontextprotocol/serverInfo'}{name}, 'ngx_sandbox', 'who it is');
$reply = $mcp->call('tools/list');
is_deeply([map { $_->{name} } @{ $reply->{json}{result}{tools} }], [qw(run_code get_job cancel_job create_session close_session write_files read_file status)], 'its tools');
cmp_ok(length $reply->{content}, '<=', 14 * 1024, 'in 14 KiB: ' . length $reply->{content});
is($mcp->call('initialize', { protocolVersion => '2025-11-25', capabilities => {}, clientInfo => { name => 'x', version => '1' } }, era => 'legacy')->{json}{result}{protocolVersion}, '2025-11-25', 'for older clients too');

# A run.
for my $era (qw(modern legacy)) {
    my $run = tool('run_code', { language => 'python', code => 'print(6 * 7)' }, era => $era);
    ok(!$run->{error}, "$era: a run");
    is($run->{data}{status}, 'succeeded', 'succeeds');
    is($run->{data}{stdout}, "42\n", 'with its output as data');
    like($run->{text}, qr/42/, 'and as text');
    my $again = tool('get_job', { job_id => $run->{data}{job_id} }, era => $era);
    is($again->{data}{stdout}, "42\n", 'its handle');
}
my $failed = tool('run_code', { language => 'bash', code => 'echo no >&2; exit 3' });
ok(!$failed->{error}, 'a program that fails is a result');
is_deeply([@{ $failed->{data} }{qw(status exit_code)}], ['failed', 3], 'with its exit code');
my $key = 'k' . time;
is(tool('run_code', { language => 'bash', code => 'echo $RANDOM$RANDOM', idempotency_key => $key })->{data}{job_id},
   tool('run_code', { language => 'bash', code => 'echo $RANDOM$RANDOM', idempotency_key => $key })->{data}{job_id}, 'a key makes it once');

# A session, its files.
my $session = tool('create_session', { language => 'python' })->{data}{session_id};
like($session, qr/^ses_/, 'a session');
is(tool('run_code', { language => 'python', session_id => $session, code => 'x = 40' })->{data}{status}, 'succeeded', 'a step');
is(tool('run_code', { language => 'python', session_id => $session, code => 'print(x + 2)' })->{data}{stdout}, "42\n", 'goes on where the last one was');
my $wrote = tool('write_files', { session_id => $session, files => [{ path => 'a/b.csv', content => "x,y\n1,2\n" }] });
is($wrote->{data}{files}[0]{size}, 8, 'a file');
is(tool('run_code', { language => 'python', session_id => $session, code => "print(open('a/b.csv').read(), end='')" })->{data}{stdout}, "x,y\n1,2\n", 'is there');
is(tool('read_file', { session_id => $session, path => 'a/b.csv' })->{text}, "x,y\n1,2\n", 'and read back');
my $read = $mcp->call('resources/read', { uri => "sandbox://session/$session/a/b.csv" })->{json}{result};
is($read->{contents}[0]{text}, "x,y\n1,2\n", 'as a resource too');
is($read->{cacheScope}, 'private', 'which is the caller\'s');
is($mcp->call('resources/read', { uri => "sandbox://session/$session/none" })->{json}{error}{code}, -32602, 'one that is not there');
is($mcp->call('resources/read', { uri => "sandbox://session/$session/a/b.csv" }, tenant => 'other')->{json}{error}{code}, -32602, 'or is another tenant\'s');
like(tool('status', {})->{text}, qr/\Q$session\E/, 'the status lists it');
unlike(tool('status', {}, tenant => 'other')->{text}, qr/\Q$session\E/, 'to its tenant alone');
$reply = $mcp->call('completion/complete', { ref => { type => 'ref/resource', uri => 'sandbox://session/{session_id}/{+path}' }, argument => { name => 'session_id', value => substr($session, 0, 10) } });
is_deeply($reply->{json}{result}{completion}{values}, [$session], 'as does a completion');

# Refusals.
my $denied = tool('run_code', { language => 'python', code => 'x', session_id => $session }, tenant => 'other');
my $unknown = tool('run_code', { language => 'python', code => 'x', session_id => 'ses_00000000000000000000000000' }, tenant => 'other');
ok($denied->{error} && $unknown->{error}, 'another tenant\'s session is none');
is($denied->{text} =~ s/req_\w+//gr =~ s/ses_\w+//gr, $unknown->{text} =~ s/req_\w+//gr =~ s/ses_\w+//gr, 'like one that never was');
my $bad = tool('run_code', { language => 'cobol', code => 'x' });
ok($bad->{error}, 'a language that there is not');
my $long = tool('run_code', { language => 'bash', code => 'true', timeout_seconds => 100_000 });
ok($long->{error}, 'a limit past the policy\'s') or diag explain $long;
$reply = $t->request('POST', '/v1/policies', json => { name => 'no shell', document => { tools => ['run_code', 'status'], languages => ['python'] }, applies_to => [{ tenant => JSON::PP::true }] }, tenant => 'strict', scope => 'admin');
is($reply->{status}, 201, 'a policy') or diag $reply->{content};
my $refused;
ok($t->wait_until(30, sub { $refused = eval { tool('run_code', { language => 'bash', code => 'true' }, tenant => 'strict') }; $refused && $refused->{error} }), 'refuses');
like($refused->{text}, qr/\(policy_violation\).*^- languages: limit \["python"\], asked for "bash"\..*^Next: /ms, 'by its rule, in words with a next step');
ok(!defined $refused->{data}, 'and nothing that is no run');
# Who refused may have been executord: the gateway lists when it has heard.
my @listed;
$t->wait_until(30, sub { @listed = map { $_->{name} } @{ $mcp->call('tools/list', {}, tenant => 'strict')->{json}{result}{tools} }; @listed == 2 });
is_deeply(\@listed, [qw(run_code status)], 'whose tools alone are listed');
like(tool('create_session', { language => 'python' }, tenant => 'strict')->{text}, qr/policy_violation.*tools/s, 'others say why not');
ok($t->wait_until(30, sub { grep { $_->{kind} eq 'request.denied' && ($_->{body}{route} // '') eq 'jobs.create' && ($_->{body}{tool} // '') eq 'run_code' } audit('"strict"') }), 'the audit has it as REST\'s');

# A long run: a handle, and later its end.
my $run = tool('run_code', { language => 'bash', code => 'sleep 3; echo done', wait_seconds => 0 });
like($run->{data}{status}, qr/^(queued|running)$/, 'a run that goes on');
like($run->{text}, qr/get_job/, 'says what to call');
is(tool('get_job', { job_id => $run->{data}{job_id}, wait_seconds => 20 })->{data}{stdout}, "done\n", 'which answers when it is over');
$run = tool('run_code', { language => 'bash', code => 'sleep 60', wait_seconds => 0 });
is(tool('cancel_job', { job_id => $run->{data}{job_id} })->{data}{status}, 'cancelled', 'one that is taken back');
ok($t->wait_until(30, sub { tool('get_job', { job_id => $run->{data}{job_id} })->{data}{status} eq 'cancelled' }), 'has ended');

# Tasks.
my $TASKS = { extensions => { 'io.modelcontextprotocol/tasks' => {} } };
$run = tool('run_code', { language => 'bash', code => 'sleep 2; echo done', wait_seconds => 0 }, capabilities => $TASKS);
is($run->{type}, 'task', 'a task');
my $task = $run->{result}{taskId};
my $got;
ok($t->wait_until(30, sub { $got = $mcp->call('tasks/get', { taskId => $task }, capabilities => $TASKS)->{json}{result}; ($got->{status} // '') eq 'completed' }), 'completes') or diag explain $got;
is($got->{result}{structuredContent}{stdout}, "done\n", 'with its result');
is($mcp->call('tasks/get', { taskId => $task }, capabilities => $TASKS, tenant => 'other')->{json}{error}{code}, -32602, 'to its tenant alone');

# Followed. The processes of sandboxes that run something have names of their own.
sub sleepers { my ($n) = @_; return grep { Sandbox::_slurp("/proc/$_/cmdline") =~ /^sleep\x00${n}\x00/ } $t->sandbox_processes }
sub follow {
    my ($code, %option) = @_;
    my $message = $mcp->message('tools/call', { name => 'run_code', arguments => { language => 'bash', code => $code, wait_seconds => 40, timeout_seconds => 40, %{ $option{arguments} // {} } } }, meta => { progressToken => 'p' }, %option);
    return Sandbox::Stream->gateway($t, 'POST', '/mcp', json => $message, headers => $mcp->headers($message, %option));
}
{
    no warnings 'redefine';
    *Sandbox::Stream::_event = sub { my ($self, $event) = @_; push @{ $self->{told} }, $JSON->decode($1) if $event =~ /^data: (.*)$/m; return };
}
my $s = follow('for i in 1 2 3; do echo line $i; sleep 1.1; done');
ok($s->until(30, sub { defined $s->{status} }) && !$s->{over}, 'the head of a stream comes at once');
is($s->{headers}{'content-type'}, 'text/event-stream', 'of events');
$s->until(30, sub { $s->{over} });
my @told = @{ $s->{told} // [] };
my @progress = map { $_->{params} } grep { ($_->{method} // '') eq 'notifications/progress' } @told;
cmp_ok(scalar @progress, '>=', 2, 'progress');
ok((grep { $_->{progressToken} eq 'p' && ($_->{message} // '') =~ /line \d/ } @progress), 'with the token and the last line');
is(scalar(grep { $progress[$_]{progress} <= $progress[$_ - 1]{progress} } 1 .. $#progress), 0, 'strictly increasing');
is($told[-1]{result}{structuredContent}{stdout}, "line 1\nline 2\nline 3\n", 'the answer last');

# Closing is taking back, in the newest revision; before it is not.
$s = follow('sleep 31');
ok($t->wait_until(30, sub { sleepers(31) }), 'it runs');
my $begun = time;
$s->leave;
ok($t->wait_until(30, sub { !sleepers(31) }), 'closed, it ends');
my $gone;
ok($t->wait_until(30, sub { ($gone) = grep { $_->{kind} eq 'job.cancelled' && ($_->{body}{cancelled_by}{reason} // '') eq 'client_gone' } audit('cancel') }), 'and the audit says why');
# By its record: when this program finds out is nobody's delay.
my $took = Sandbox::_unix($t->request('GET', "/v1/jobs/$gone->{object}")->{json}{finished_at}) - $begun;
ok($took > -1 && $took < 1, sprintf 'within a second: %.2f s', $took);
$s = follow('sleep 4; echo end > /dev/null', era => 'legacy', id => 'old-1', arguments => { idempotency_key => 'legacy-run' });
ok($t->wait_until(30, sub { sleepers(4) }), 'a legacy one runs');
$s->leave;
ok(!$t->wait_until(1.2, sub { !sleepers(4) }), 'closed, it goes on');
ok($t->wait_until(30, sub { !sleepers(4) }), 'to its end');
is(tool('run_code', { language => 'bash', code => 'sleep 4; echo end > /dev/null', wait_seconds => 40, timeout_seconds => 40, idempotency_key => 'legacy-run' })->{data}{status}, 'succeeded', 'which was a good one');
$s = follow('sleep 32', era => 'legacy', id => 'old-2');
ok($t->wait_until(30, sub { sleepers(32) }), 'another');
is($mcp->call('notifications/cancelled', { requestId => 'old-2' }, id => undef, era => 'legacy', tenant => 'other')->{status}, 202, 'another tenant may say what it likes');
ok(!$t->wait_until(0.5, sub { !sleepers(32) }), 'it runs on');
$begun = time;
is($mcp->call('notifications/cancelled', { requestId => 'old-2' }, id => undef, era => 'legacy')->{status}, 202, 'its own client takes it back');
ok($t->wait_until(30, sub { !sleepers(32) }), 'and it ends');
cmp_ok(time - $begun, '<', 15, sprintf 'long before its end: %.2f s', time - $begun);
$s->until(30, sub { $s->{over} });
ok($s->{over}, 'as does its stream');

# The listener of its own, where the endpoint is the root.
my $own = "http://127.0.0.1:$t->{mcp_port}";
my $http = HTTP::Tiny->new(timeout => 10);
my $ask = sub {
    my ($path, $token) = @_;
    return $http->post("$own$path", { content => '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"run_code","arguments":{"language":"bash","code":"echo 42"}}}',
        headers => { 'Content-Type' => 'application/json', defined $token ? (Authorization => "Bearer $token") : () } });
};
is($JSON->decode($ask->($_, $t->token)->{content})->{result}{structuredContent}{stdout}, "42\n", "its own address: $_") for '/', '/mcp';
$reply = $ask->('/');
is($reply->{status}, 401, 'nobody without a token');
like($reply->{headers}{'www-authenticate'}, qr{resource_metadata="\Q$own\E/\.well-known/oauth-protected-resource"}, 'where to get one');
is($http->get("$own/.well-known/oauth-protected-resource")->{status}, 200, 'is there');
like($http->get("$own/.well-known/oauth-protected-resource/mcp")->{content}, qr{"\Q$own\E/mcp"}, 'for the other path too');
is($http->request('GET', "$own/v1/jobs", { headers => { Authorization => 'Bearer ' . $t->token } })->{status}, 404, 'and REST is not');
is($http->request('POST', "$own/_mcp/run_code", { headers => { Authorization => 'Bearer ' . $t->token }, content => '{}' })->{status}, 404, 'nor what is inside');
is($t->request('POST', '/_mcp/run_code', json => { language => 'bash', code => 'true' })->{status}, 404, 'on no address');

is(tool('close_session', { session_id => $session })->{data}{closed}, JSON::PP::true, 'the session ends');
ok(tool('run_code', { language => 'python', session_id => $session, code => '1' })->{error}, 'and is over');
$t->finish;
done_testing();
