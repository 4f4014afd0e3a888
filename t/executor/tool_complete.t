#!/usr/bin/perl
# Ids that begin so: the tenant's, and nobody else's.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox;
use Sandbox::Tool;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 2 });
$t->start_launcher->start_executor;
my $tool = Sandbox::Tool->new($t);
sub code { return Sandbox::Tool::code($_[0]) }
sub complete { my ($kind, $value, %who) = @_; return $tool->get("/tools/complete?kind=$kind" . (defined $value ? '&value=' . Sandbox::Tool::escape($value) : ''), who => \%who) }
sub values_of { my $r = complete(@_); return $r->{json}{completion}{values} }

my $none = { completion => { values => [], total => 0, hasMore => JSON::PP::false } };
is_deeply(complete($_, '')->{json}, $none, "no $_ yet") for qw(session job);
my @sessions = map { $tool->rest('POST', '/v1/sessions', json => { language => 'bash' })->{json}{session_id} } 1 .. 3;
my @jobs = map { $tool->rest('POST', '/v1/jobs', json => { language => 'bash', code => 'true', wait => 20 })->{json}{job_id} } 1 .. 3;

# What there is.
my $r = complete('session', '');
is("$r->{status} $r->{headers}{'content-type'} $r->{result}", '200 application/vnd.sandbox.tool+json complete', 'an answer');
is_deeply($r->{json}, { completion => { values => [reverse @sessions], total => 3, hasMore => JSON::PP::false } }, 'sessions, the newest first');
is_deeply(values_of('session'), [reverse @sessions], 'also without a value');
is_deeply(values_of('job', ''), [reverse @jobs], 'jobs');
for my $case (['session', \@sessions], ['job', \@jobs]) {
    my ($kind, $ids) = @$case;
    is_deeply(values_of($kind, substr $ids->[0], 0, 4), [reverse @$ids], "$kind by its prefix");
    is_deeply(values_of($kind, $ids->[1]), [$ids->[1]], '  or all of it');
    is_deeply(values_of($kind, substr $ids->[1], 0, 29), [$ids->[1]], '  or most');
    is_deeply(values_of($kind, $_), [], '  none begins ' . substr $_, 0, 40) for 'x', uc $ids->[0], "$ids->[0]x", "$ids->[0]xx", '%', '_', "'", '"', "\\", "$ids->[0]%", 'job_%', 'ses\0', "\xff", 'x' x 4000, ' ', "\n", 'ses_ ', ' ses_', '..';
}
is_deeply(values_of('session', $jobs[0]), [], 'a job is no session');
is_deeply(values_of('job', $sessions[0]), [], 'nor a session a job');
is_deeply($tool->get('/tools/complete?kind=job&value=%00')->{json}, $none, 'a NUL begins nothing');
is_deeply($tool->get('/tools/complete?kind=job&value=%zz')->{json}, $none, 'nor does what is not encoded');
$tool->rest('DELETE', "/v1/sessions/$sessions[1]");
is_deeply(values_of('session', ''), [@sessions[2, 0]], 'one that has ended is not completed');

# Many.
my %many = (tenant => 'many');
my @ids = map { $tool->rest('POST', '/v1/jobs', json => { language => 'bash', code => 'true', wait => 20 }, who => \%many)->{json}{job_id} } 1 .. 101;
$r = complete('job', 'job_', %many)->{json}{completion};
is(scalar @{ $r->{values} }, 100, 'at most a hundred');
is_deeply($r->{values}, [reverse @ids[1 .. 100]], '  the newest');
is("$r->{total} " . ($r->{hasMore} ? 'more' : ''), '101 more', '  and how many there are');
ok(!complete('job', $ids[0], %many)->{json}{completion}{hasMore}, 'no more of one');

# Whose.
is_deeply(values_of($_, '', tenant => 'umbrella'), [], "another tenant has no $_") for qw(session job);
is_deeply(values_of('session', $sessions[0], tenant => 'umbrella'), [], '  not even by its id');
is_deeply(values_of('job', $jobs[0], tenant => 'umbrella'), [], '  nor one of these');
is(code(complete('session', '', scopes => 'jobs:read sessions:write')), '403 forbidden', 'sessions take their scope');
is(code(complete('job', '', scopes => 'sessions:read jobs:write')), '403 forbidden', 'so do jobs');
is(scalar @{ values_of('job', '', scopes => 'jobs:read') }, 3, 'and no other');
is(code($tool->get("/tools/complete$_")), '422 invalid_request', "not /tools/complete$_") for '', '?value=job_', '?kind=', '?kind=artifact', '?kind=JOB', '?kind=job&limit=1', '?kind=' . 'x' x 200;
is(code($tool->ask('POST', '/tools/complete?kind=job')), '405 method_not_allowed', 'GET only');

$t->finish;
done_testing();
