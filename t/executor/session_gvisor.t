#!/usr/bin/perl
# A session in the gvisor tier: the same interface, state, files, timeout, pause, end.
use strict;
use warnings;
use lib 't/lib';
use Sandbox;
use Sandbox::Session;
use Test::More;

my $t = Sandbox->new(launcher => { runsc => '/usr/bin/runsc' }, executor => { 'pool.default' => 0, 'pool.default.gvisor' => 0 });
$t->start_launcher->start_executor;
my $api = Sandbox::Session->new($t);

my $session = $api->create(isolation => 'gvisor', files => [{ path => 'a', content => 'hi' }]);
my $id = $session->{session_id};
is($session->{isolation}, 'gvisor', 'in gvisor');
is($api->step($id, 'x = 1')->{status}, 'succeeded', 'a step runs');
is(Sandbox::Session::value($api->step($id, "x += 1; (x, open('a').read())")), "(2, 'hi')", 'it remembers, and has its files');
is($api->step($id, 'echo $((6 * 7))', language => 'bash')->{stdout}, "42\n", 'another interpreter');
my $step = $api->step($id, 'while True: pass', timeout => '500ms', wait => '20s');
is_deeply([$step->{status}, $step->{violation}{name}, $step->{interpreter}], ['limit_exceeded', 'time', 'alive'], 'a timeout interrupts');
is($api->step($id, 'kept=yes', language => 'bash')->{status}, 'succeeded', 'a shell');
for my $code ('v=$(sleep 600); echo no', 'read l < <(sleep 600)', 'sleep 600; echo no', 'while :; do :; done') {
    $step = $api->step($id, $code, language => 'bash', timeout => '500ms', wait => '20s');
    is_deeply([@$step{qw(status interpreter stdout)}], ['limit_exceeded', 'alive', ''], "a timeout interrupts $code") or diag explain $step;
}
is($api->step($id, 'echo $kept', language => 'bash')->{stdout}, "yes\n", 'and the shell keeps its state');
is($api->ask('POST', "/v1/sessions/$id/pause")->{json}{status}, 'paused', 'paused');
is($api->ask('POST', "/v1/sessions/$id/steps", json => { code => 'x' })->{status}, 409, 'it takes nothing');
is($api->ask('POST', "/v1/sessions/$id/resume")->{json}{status}, 'running', 'resumed');
is(Sandbox::Session::value($api->step($id, 'x')), '2', 'it remembers');
$step = $api->step($id, 'import os; os.kill(os.getpid(), 9)');
is_deeply([@$step{qw(status interpreter)}], ['failed', 'dead'], 'an interpreter dies');
is(Sandbox::Session::value($api->step($id, '"x" in globals()')), 'False', 'and is started again');
my $used = $api->get($id)->{usage};
cmp_ok($used->{cpu_ms}, '>', 300, 'the kernel counted its work');
cmp_ok($used->{peak_memory_bytes}, '>', 1 << 20, 'and its memory');
my $end = $api->delete($id)->{json};
is($end->{reason}, 'cancelled', 'ended');
cmp_ok($end->{usage}{cpu_ms}, '>=', $used->{cpu_ms}, 'with what it used at the end');
is($api->ask('POST', "/v1/sessions/$id/steps", json => { code => 'x' })->{status}, 410, 'and gone');
ok($t->wait_until(30, sub { !$t->sandbox_processes }), 'nothing of it runs');
$t->finish;
done_testing();
