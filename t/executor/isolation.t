#!/usr/bin/perl
# The isolation tier at executord: which one a job gets, what is refused, what the records say. gvisor itself is t/e2e/isolation.t.
use strict;
use warnings;
use lib 't/lib';
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Test::More;

# With gvisor besides its own tier: `both`.
my $t = Sandbox->new(executor => { 'pool.default' => 1, 'pool.both' => 0, 'pool.both.gvisor' => 0, 'limits.queue_timeout' => '20s' },
                     launcher => { runsc => 'no', 'template.both.root' => '/' });
$t->start_launcher->start_executor;

sub ask {
    my ($method, $path, $who, %option) = @_;
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, %{ $who || {} }), %option);
}
my %job = (language => 'bash', code => 'echo ran');
sub post { my ($change, %who) = @_; return ask('POST', '/v1/jobs', \%who, json => { %job, %$change }) }
sub ran { my $reply = post(@_); return "$reply->{status} " . ($reply->{json}{isolation} // $reply->{json}{code} // '-') }

# Own tier, policy, request.
is(ran({}), '200 process', 'nobody says anything: the template');
is(ran({ isolation => undef }), '200 process', 'null is nothing');
is(ran({ isolation => 'process' }), '200 process', 'asked for');
is(ran({}, iso => 'process'), '200 process', 'the policy\'s default');
is(ran({}, iso => 'process', iso_min => 'process'), '200 process', 'and minimum');
is(ran({ isolation => 'process' }, iso => 'gvisor'), '200 process', 'a default is no minimum');
is(ran({ isolation => 'process', template => 'both' }), '200 process', 'of a template with both');

# A tier that the configuration does not offer.
for my $case ([ { isolation => 'gvisor' } ], [ {}, iso => 'gvisor' ], [ {}, iso_min => 'gvisor' ], [ {}, iso => 'process', iso_min => 'gvisor' ],
              [ { isolation => 'gvisor' }, iso_min => 'gvisor' ], [ { isolation => 'gvisor', limits => { memory => '64Mi' } } ], [ { isolation => 'gvisor', wait => 0 } ]) {
    my $reply = post(@$case);
    is("$reply->{status} $reply->{json}{code}", '503 isolation_unavailable', 'not offered: ' . JSON::PP->new->canonical->encode($case));
    is($reply->{json}{detail}, 'template "default" has no sandboxes of the tier "gvisor" here', 'says which');
    is($reply->{headers}{'retry-after'}, undef, 'waiting does not help');
}

# Below the minimum, which the edge would have refused: held to it again.
for my $case ([ { isolation => 'process' }, iso_min => 'gvisor' ], [ { isolation => 'process', template => 'both' }, iso_min => 'gvisor' ],
              [ { isolation => 'process' }, iso => 'process', iso_min => 'gvisor' ], [ { isolation => 'process' }, iso => 'gvisor', iso_min => 'gvisor' ]) {
    my $reply = post(@$case);
    is("$reply->{status} $reply->{json}{code}", '403 policy_violation', 'below the minimum');
    is_deeply($reply->{json}{violations}, [ { rule => 'isolation.minimum', limit => 'gvisor', observed => 'process',
                                              hint => 'ask for gvisor, or leave isolation out' } ], 'says so');
}
my $both = post({ isolation => 'process', limits => { memory => '1Gi' } }, iso_min => 'gvisor');
is(join(' ', map { $_->{rule} } @{ $both->{json}{violations} }), 'isolation.minimum limits.memory', 'with the other violations');

for my $bad ('vm', '', 'Process', 'gvisor ', 'process,gvisor', 0, 1, [], ['gvisor'], {}, JSON::PP::false) {
    my $reply = post({ isolation => $bad });
    is("$reply->{status} " . ($reply->{json}{errors}[0]{field} // '-'), '422 /isolation', 'no tier: ' . JSON::PP->new->allow_nonref->encode($bad));
}
for my $bad ({ iso => 'vm' }, { iso_min => '' }, { iso_min => 2 }, { iso_min => ['gvisor'] }) {
    is(post({}, %$bad)->{status}, 401, 'a context with a tier that is none');
}

# Offered, and the launcher cannot: the first job learns it, the next ones are told at once. Nobody hangs.
my $before = time;
my $reply = post({ template => 'both', isolation => 'gvisor', wait => 15 });
is("$reply->{status} $reply->{json}{status} $reply->{json}{isolation}", '200 lost gvisor', 'a tier that the launcher has not: lost');
is($reply->{json}{message}, 'no sandbox of this isolation tier can be made here', 'and why');
is($reply->{json}{started_at}, undef, 'it never ran');
is(ask('GET', "/v1/jobs/$reply->{json}{job_id}")->{json}{status}, 'lost', 'durably');
cmp_ok(time - $before, '<=', 15, 'long before the queue\'s deadline');
is(ran({ template => 'both', isolation => 'gvisor' }), '503 isolation_unavailable', 'the next one is refused');
is(ran({ template => 'both' }), '200 process', 'and never given the weaker one, which others still get');
my $ready = ask('GET', '/readyz');
is_deeply([ $ready->{status}, $ready->{json}{isolation} ], [ 200, { process => 'ready', gvisor => 'unsupported' } ], '/readyz shows the tiers');

# Idempotency is by the bytes of the body; a refusal takes no key.
my $key = { 'Idempotency-Key' => 'tier-1' };
is(ask('POST', '/v1/jobs', {}, json => { %job, isolation => 'gvisor' }, headers => $key)->{status}, 503, 'refused with a key');
my $first = ask('POST', '/v1/jobs', {}, json => { %job, isolation => 'process' }, headers => $key);
is($first->{status}, 200, 'the key is free afterwards');
my $again = ask('POST', '/v1/jobs', {}, json => { %job, isolation => 'process' }, headers => $key);
is($again->{json}{job_id}, $first->{json}{job_id}, 'replayed');
is(ask('POST', '/v1/jobs', {}, json => {%job}, headers => $key)->{status}, 422, 'without the member it is another body');

# Records.
my $id = $first->{json}{job_id};
is(ask('GET', "/v1/jobs/$id")->{json}{isolation}, 'process', 'the record says which tier');
is($_->{isolation}, 'process', 'and a listing') for ask('GET', '/v1/jobs?limit=1')->{json}{jobs}[0];
is(scalar @{ ask('GET', '/v1/jobs?limit=100&isolation=process')->{json}{jobs} }, scalar(grep { $_->{isolation} eq 'process' } @{ ask('GET', '/v1/jobs?limit=100')->{json}{jobs} }),
   'a listing by tier');
is_deeply([ grep { $_->{isolation} ne 'gvisor' } @{ ask('GET', '/v1/jobs?isolation=gvisor')->{json}{jobs} } ], [], 'of the other one');
is_deeply(ask('GET', '/v1/jobs?isolation=gvisor&status=running')->{json}{jobs}, [], 'and of live jobs');
is(ask('GET', "/v1/jobs?isolation=$_")->{status}, 422, "no tier: '$_'") for 'vm', '', 'gvisor,process', 'x' x 100;
my $cursor = ask('GET', '/v1/jobs?limit=1&isolation=process')->{json}{next_cursor};
ok($cursor, 'a cursor');
is(ask('GET', "/v1/jobs?limit=1&isolation=process&cursor=$cursor")->{status}, 200, 'goes with its filter');
is(ask('GET', "/v1/jobs?limit=1&cursor=$cursor")->{status}, 422, 'and with no other');
is(ask('GET', "/v1/jobs?limit=1&isolation=gvisor&cursor=$cursor")->{status}, 422, 'not even the same filter of another tier');
my @audit;
$t->wait_until(30, sub { @audit = map { decode_json($_) } grep { /"\Q$id\E"/ } $t->audit_lines; @audit >= 3 });
is(join(' ', map { "$_->{kind}=" . ($_->{body}{isolation} // '-') } @audit), 'job.accepted=process job.started=process job.finished=process', 'its audit events');
like(ask('GET', '/metrics')->{content}, qr/^sandbox_executor_pool_warm\{template="default",isolation="process"\} \d+$/m, 'pools by tier');
like(ask('GET', '/metrics')->{content}, qr/^sandbox_executor_pool_taken_cold_total\{template="both",isolation="process"\} [1-9]/m, 'a pool of none makes them on demand');

$t->finish;

# A runsc that was well when the launcher started and hangs since: what waits for it holds half of the slots at most.
system('make', '-s', '-C', $Sandbox::ROOT, "VARIANT=$Sandbox::VARIANT", "build/$Sandbox::VARIANT/t/launcher/fake_runsc") == 0 or die "fake_runsc\n";
$t = Sandbox->new(executor => { 'pool.default' => 0, 'pool.default.gvisor' => 0, 'limits.max_running' => 4, 'limits.queue_timeout' => '12s' });
my $fake = "$t->{dir}/bin/runsc";
system('cp', "$Sandbox::OUT/t/launcher/fake_runsc", $fake) == 0 or die "cp\n";
open my $out, '>>', $fake or die "$fake: $!\n";
print {$out} "\nlater ", $t->{uid_base} + 1;
close $out or die "$fake: $!\n";
$t->{launcher} = { runsc => $fake };
$t->start_launcher->start_executor;
like($t->read_file('logs/launcher.log'), qr/"event":"gvisor.chosen","runsc":"0.0~fake"/, 'the tier is there');
my @hung = map { post({ isolation => 'gvisor', wait => 0 }, tenant => $_)->{json}{job_id} } map { ($_) x 4 } qw(a b c);
is(scalar(grep { defined } @hung), 12, 'a dozen jobs in it, of three tenants');
$before = time;
is(join(' ', map { ran({}, tenant => $_) } qw(a b c d a b c d)), join(' ', ('200 process') x 8), 'jobs of the other tier run meanwhile, whoever they are of');
cmp_ok(time - $before, '<', 11, 'at once');
is(ran({ wait => 30, isolation => 'gvisor' }, tenant => 'e'), '200 gvisor', 'one more of the tier that hangs');
is_deeply([ map { ask('GET', "/v1/jobs/$_->[1]", { tenant => $_->[0] })->{json}{status} } map { [ (qw(a b c))[$_ / 4], $hung[$_] ] } 0 .. 11 ], [ ('timed_out') x 12 ],
   'those that hang end when the time to wait is over');
is(ran({}, tenant => 'a'), '200 process', 'and then, too, the other tier works');
is_deeply(ask('GET', '/readyz')->{json}{isolation}{process}, 'ready', 'and says so');

$t->finish;
done_testing();
