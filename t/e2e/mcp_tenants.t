#!/usr/bin/perl
# Handles of the Model Context Protocol are names, not keys: whoever learns one of another tenant's has learnt nothing. Every tool, resource and task is
# asked for with what another tenant holds, and answers as it does for what never was.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox;
use Sandbox::Mcp;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 1, 'pool.python-basic' => 0 });
$t->start;
my $mcp = Sandbox::Mcp->new($t);
my $JSON = JSON::PP->new->canonical->allow_nonref;
my $TASKS = { extensions => { 'io.modelcontextprotocol/tasks' => {} } };
sub tool { my ($name, $arguments, %option) = @_; return $mcp->call('tools/call', { name => $name, arguments => $arguments }, %option) }
sub held { my ($name, $arguments) = @_; my $reply = tool($name, $arguments, tenant => 'demo'); my $result = $reply->{json}{result}; ok($result && !$result->{isError}, "$name: the tenant's own") or diag $reply->{content}; return $result->{structuredContent} // {} }

# What the tenant has: a session with a file, a step in it, a job.
my $session = held('create_session', { language => 'python' })->{session_id};
held('write_files', { session_id => $session, files => [{ path => 'secret.txt', content => 'the secret' }] });
my $step = held('run_code', { session_id => $session, language => 'python', code => 'print("in the session")' })->{job_id};
my $job = held('run_code', { language => 'python', code => 'print("alone")' })->{job_id};
like($_, qr/^\w/, "a handle: $_") for $session, $step, $job;
like(tool('read_file', { session_id => $session, path => 'secret.txt' }, tenant => 'demo')->{content}, qr/the secret/, 'and a file that its own reads');

# The same of nobody: well formed, and never given out.
my %nobody = (ses => 'ses_00000000000000000000000000', job => 'job_00000000000000000000000000', step => $step =~ s/(?<=_)[0-9a-z]{26}/'0' x 26/ger);
sub answer {
    my ($method, $params, %option) = @_;
    my $reply = $mcp->call($method, $params, id => 'same', %option);
    my $text = $reply->{content};
    $text =~ s/req_[0-9a-z]+/ID/g;
    # What was asked for may be said again; nothing else may differ.
    $text =~ s/\Q$_\E/HANDLE/g for sort { length $b <=> length $a } grep { defined } $session, $step, $job, values %nobody;
    return "$reply->{status} $text";
}
my @asked = (
    [get_job => ['job_id', $job, $nobody{job}], {}], [get_job => ['job_id', $step, $nobody{step}], {}], [cancel_job => ['job_id', $job, $nobody{job}], {}], [cancel_job => ['job_id', $step, $nobody{step}], {}],
    [run_code => ['session_id', $session, $nobody{ses}], { language => 'python', code => 'print(open("secret.txt").read())' }], [write_files => ['session_id', $session, $nobody{ses}], { files => [{ path => 'x', content => 'y' }] }],
    [read_file => ['session_id', $session, $nobody{ses}], { path => 'secret.txt' }], [read_file => ['uri', "sandbox://session/$session/secret.txt", "sandbox://session/$nobody{ses}/secret.txt"], {}], [read_file => ['uri', "sandbox://job/$job/x", "sandbox://job/$nobody{job}/x"], {}],
    [run_code => ['files', [{ path => 'got', uri => "sandbox://session/$session/secret.txt" }], [{ path => 'got', uri => "sandbox://session/$nobody{ses}/secret.txt" }]], { language => 'python', code => 'print(open("got").read())' }],
    [close_session => ['session_id', $session, $nobody{ses}], {}],
);
for my $era (qw(modern legacy)) {
    for my $case (@asked) {
        my ($name, $handle, $more) = @$case;
        my ($key, $theirs, $none) = @$handle;
        my ($got, $want) = map { answer('tools/call', { name => $name, arguments => { %$more, $key => $_ } }, era => $era, tenant => 'other') } $theirs, $none;
        is($got, $want, "$era $name by $key: as of what never was");
        unlike($got, qr/the secret|in the session|alone/, "$era $name: and nothing of it");
        like($got, qr/"isError":true/, "$era $name: refused");
    }
    is(answer('resources/read', { uri => "sandbox://session/$session/secret.txt" }, era => $era, tenant => 'other'), answer('resources/read', { uri => "sandbox://session/$nobody{ses}/secret.txt" }, era => $era, tenant => 'other'), "$era resources/read: the same");
}
for my $method ('tasks/get', 'tasks/cancel') {
    my ($got, $want) = map { answer($method, { taskId => $_ }, capabilities => $TASKS, tenant => 'other') } $job, $nobody{job};
    is($got, $want, "$method: as of what never was");
    like($got, qr/"code":-32602/, "$method: an error of the request");
}
for my $template ('sandbox://session/{session_id}/{+path}', 'sandbox://job/{job_id}/{+path}') {
    my ($name) = $template =~ /\{(\w+)\}/;
    my $reply = $mcp->call('completion/complete', { ref => { type => 'ref/resource', uri => $template }, argument => { name => $name, value => '' } }, tenant => 'other');
    unlike($reply->{content}, qr/\Q$session\E|\Q$job\E/, "no completion of $name names it") or diag $reply->{content};
}
unlike(tool('status', {}, tenant => 'other')->{content}, qr/\Q$session\E|\Q$job\E/, 'nor does the status');

# Handles that are none at all, and that try to be more.
for my $bad ('', '.', '..', '../..', "$session/../$session", "$session%00", "$session\n", "$session ", "$session.", "${session}x", uc $session, "ses_" . 'x' x 300, '*', '%', "' or 1=1 --", "\x{202e}$session", 'http://127.0.0.1/', '/v1/jobs', 7, [], {}, undef) {
    for my $name (qw(close_session get_job)) {
        my $reply = tool($name, { ($name eq 'get_job' ? 'job_id' : 'session_id') => $bad }, tenant => 'demo');
        ok($reply->{status} == 200 && $reply->{json}{result}{isError}, "$name of no handle: refused") or diag $JSON->encode([$bad, $reply->{status}, $reply->{content}]);
    }
}
for my $path ('../../etc/passwd', '/etc/passwd', 'a/../../../etc/passwd', '..', 'x' x 5000) {
    my $reply = tool('read_file', { session_id => $session, path => $path }, tenant => 'demo');
    ok($reply->{status} == 200 && $reply->{json}{result}{isError} && $reply->{content} !~ /root:/, 'a path that leads out: refused') or diag substr $reply->{content}, 0, 300;
}
for my $uri ("sandbox://session/$session/../../etc/passwd", "sandbox://session/$session/%2e%2e/%2e%2e/etc/passwd", "sandbox://session/$session/..%2f..%2fetc/passwd", "sandbox://session/../$session/secret.txt", "sandbox://session//secret.txt", "sandbox://session/$session/secret.txt%00", 'file:///etc/passwd') {
    my $reply = $mcp->call('resources/read', { uri => $uri }, tenant => 'demo');
    ok($reply->{json}{error} && $reply->{content} !~ /root:/, "$uri: refused") or diag $reply->{content};
}

is(tool('read_file', { session_id => $session, path => "secret.txt\0.png" }, tenant => 'demo')->{status}, 400, 'a NUL is in no string here');

# It is all still there.
like(tool('read_file', { session_id => $session, path => 'secret.txt' }, tenant => 'demo')->{content}, qr/the secret/, 'its own has lost nothing');
held('close_session', { session_id => $session });
$t->finish;
done_testing();
