#!/usr/bin/perl
# Pools: sandboxes that wait with an interpreter, how many by demand, who gets which, and what happens when none starts.
use strict;
use warnings;
use lib 't/lib';
use Sandbox;
use Sandbox::Context;
use Sandbox::Session;
use Test::More;

my $t;
sub ask { my ($method, $path, %how) = @_; return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}), %how) }
sub job { my ($language, $code) = @_; return ask('POST', '/v1/jobs', json => { language => $language, code => $code, wait => 30 })->{json} }

sub metric {
    my ($name, $language) = @_;
    my ($value) = $t->executor_request('GET', '/metrics')->{content} =~ /^sandbox_executor_pool_$name\{template="default",isolation="process",language="$language"\} (\d+)$/m;
    return $value;
}
sub becomes {
    my ($name, $language, $want) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $value;
    ok($t->wait_until(30, sub { ($value = metric($name, $language)) == $want }), "$name of $language becomes $want") or diag $value;
}

$t = Sandbox->new(executor => { 'pool.default' => '0..4', 'pool.default.py' => '2..6', 'limits.max_running' => 8 });
$t->start_launcher->start_executor;
becomes('prepared', 'python', 2);
is(metric('size', 'none'), 0, 'of what nobody asked for there is none');
is(metric('size', 'javascript'), undef, 'nor of what is not named');

my $seen = job('python3', 'import sys; print(sys.argv, sys.stdin.read())');
is_deeply([@$seen{qw(status stdout)}], ['succeeded', "['main.py'] \n"], 'a job of that language runs in one that waited') or diag explain $seen;
is(metric('hits_total', 'python'), 1, 'which is a hit, by whatever name the language went');
becomes('prepared', 'python', 2);
is(job('bash', 'echo other')->{stdout}, "other\n", 'a job of another language, of which no more were needed, gets one as well');
is(metric('stolen_total', 'python'), 1, 'and that is counted');
is(metric('hits_total', 'none'), 0, 'as no hit');
becomes('prepared', 'python', 2);

# One of a session.
my $session = ask('POST', '/v1/sessions', json => { language => 'python' })->{json};
is(metric('hits_total', 'python'), 2, 'a session takes one, too');
my $step = ask('POST', "/v1/sessions/$session->{session_id}/steps", json => { code => 'sum(range(5))', wait => 30 })->{json};
is($step->{results}[0]{data}{'text/plain'}, '10', 'and runs in it') or diag explain $step;
like(ask('DELETE', "/v1/sessions/$session->{session_id}")->{status}, qr/^2/, 'which ends');

# Eight at once, since none is begun and nothing made meanwhile: each finds what is left, the next eight find more.
kill 'STOP', $t->{pid}{launcher};
my @id = map { ask('POST', '/v1/jobs', json => { language => 'python', code => 'print(1)', wait => 0 })->{json}{job_id} } 1 .. 8;
kill 'CONT', $t->{pid}{launcher};
for my $id (@id) {
    ok($t->wait_until(30, sub { ask('GET', "/v1/jobs/$id")->{json}{status} eq 'succeeded' }), 'one of eight succeeds');
}
cmp_ok(metric('size', 'python'), '>', 2, 'so many at once want more than the least');
cmp_ok(metric('size', 'python'), '<=', 6, 'but not more than the most');
ok($t->wait_until(30, sub { metric('prepared', 'python') == metric('size', 'python') }), 'as many as are wanted wait in the end');
like($t->executor_request('GET', '/metrics')->{content}, qr/^sandbox_executor_pool_take_seconds_count 11$/m, 'each take is timed');

# What an interpreter needs at its start is broken: sandboxes without one serve.
ok($t->write('opt/drivers/python_slot.py', "raise SystemExit(1)\n"), 'interpreters that wait do not start any more');
system('rm', '-rf', "$t->{dir}/opt/drivers/__pycache__");
is($t->stop($_), 0, "the $_ is stopped, while some wait") for qw(executor launcher);
$t->start_launcher->start_executor('pool.default' => 0, 'pool.default.python' => 2, 'pool.default.py' => undef);
ok($t->wait_until(30, sub { metric('prepare_failures_total', 'python') > 0 }), 'it is counted');
ok($t->wait_until(30, sub { $t->executor_request('GET', '/metrics')->{content} =~ /^sandbox_executor_pool_warm\{template="default",isolation="process"\} 2$/m }), 'as many are ready without');
is($t->executor_request('GET', '/readyz')->{status}, 200, 'the executor is ready');
is(job('python', 'print(2)')->{stdout}, "2\n", 'jobs run');
is(metric('misses_total', 'python'), 1, 'as misses');
like($t->read_file('logs/executor.log'), qr/"event":"pool.unprepared","template":"default","language":"python"/, 'and the log says so');

# All go with the launcher, and come back with it.
system('cp', "$Sandbox::ROOT/session-agent/drivers/python_slot.py", "$t->{dir}/opt/drivers/");
is($t->stop($_), 0, "the $_ is stopped") for qw(executor launcher);
$t->start_launcher->start_executor('pool.default' => 0, 'pool.default.python' => 2, 'pool.default.py' => undef);
becomes('prepared', 'python', 2);
is($t->stop('launcher'), 0, 'the launcher ends');
becomes('prepared', 'python', 0);
$t->start_launcher;
becomes('prepared', 'python', 2);
is(job('python', 'print(3)')->{stdout}, "3\n", 'and jobs run');

# Whose interpreter is forked waits for one of its own: nobody starts one in a plain sandbox, of which there are enough.
is($t->stop($_), 0, "the $_ is stopped") for qw(executor launcher);
$t->start_launcher;
SKIP: {
    skip 'no interpreter is forked on this host', 7 if $t->read_file('logs/launcher.log') =~ /"event":"zygote\.absent"/;
    my $probe = q{import sys; print('decimal' in sys.modules)};    # a zygote has it, an interpreter that is started has not
    $t->start_executor('pool.default' => 4, 'pool.default.python' => 1, 'pool.default.py' => undef);
    becomes('prepared', 'python', 1);
    ok($t->wait_until(30, sub { (job('python', $probe)->{stdout} // '') eq "True\n" }), 'there is a zygote');
    becomes('prepared', 'python', 1);
    my @forked = map { ask('POST', '/v1/jobs', json => { language => 'python', code => $probe, wait => 0 })->{json}{job_id} } 1 .. 12;
    my %origin;
    for my $id (@forked) {
        $t->wait_until(30, sub { ask('GET', "/v1/jobs/$id")->{json}{finished_at} });
        $origin{ ask('GET', "/v1/jobs/$id")->{json}{stdout} // 'none' }++;
    }
    is_deeply(\%origin, { "True\n" => 12 }, 'twelve at once are all forked') or diag explain \%origin;

    # A zygote has run steps before it forks, so that they need not be learned in each session.
    my $api = Sandbox::Session->new($t);
    my $made = $api->ask('POST', '/v1/sessions', json => { language => 'python' });
    my $look = $api->step($made->{json}{session_id}, <<'PYTHON');
import builtins, linecache, signal, sys
('decimal' in sys.modules, [name for name in globals() if name[:2] != '__'], sys._getframe().f_code.co_filename,
 [name for name in linecache.cache if name[:1] == '<'], hasattr(builtins, '_'), signal.getsignal(signal.SIGINT).__name__)
PYTHON
    is(Sandbox::Session::value($look), "(True, ['builtins', 'linecache', 'signal', 'sys'], '<step 1>', ['<step 1>'], False, '_on_sigint')",
        'the first step of a session that was forked finds nothing of them') or diag explain $look;
    my $job = job('python', "import linecache, signal, sys\nprint('decimal' in sys.modules, [n for n in linecache.cache if n[:1] == '<'], signal.getsignal(signal.SIGINT).__name__)");
    is($job->{stdout}, "True [] default_int_handler\n", 'nor does a job') or diag explain $job;
    is($t->stop('executor'), 0, 'the executor is stopped');
    $t->start_executor('pool.default' => 0);
}

# Few of many jobs wait for sandboxes: the others keep their turn in the queue.
is($t->stop($_), 0, "the $_ is stopped") for qw(executor launcher);
$t->start_launcher->start_executor('pool.default' => 0, 'limits.max_running' => 100);
is($t->stop('launcher'), 0, 'no more sandboxes are made');
my @many = map { ask('POST', '/v1/jobs', json => { language => 'bash', code => "echo $_", wait => 0 })->{json}{job_id} } 1 .. 60;
my $most = 2 * `nproc`;
for (1 .. 20) {
    my ($running) = $t->executor_request('GET', '/metrics')->{content} =~ /^sandbox_executor_jobs_running (\d+)$/m;
    cmp_ok($running, '<=', $most, "at most $most of 60 are starting");
}
$t->start_launcher;
for my $id (@many) {
    $t->wait_until(30, sub { ask('GET', "/v1/jobs/$id")->{json}{status} eq 'succeeded' }) or fail("$id succeeds");
}
pass('all are run in the end');

# Without memory for any, nothing waits and everything works.
is($t->stop('executor'), 0, 'stopped');
$t->start_executor('pool.default' => 2, 'pool.default.python' => 2, 'pool.default.py' => undef, 'pools.memory' => '1Mi');
becomes('size', 'python', 0);
becomes('size', 'none', 1);
is(job('python', 'print(4)')->{stdout}, "4\n", 'a job runs');
$t->finish;
done_testing();
