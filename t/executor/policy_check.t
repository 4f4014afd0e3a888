#!/usr/bin/perl
# What a draft would make of a request or of what lives, without anything being done.
use strict;
use warnings;
use lib 't/lib';
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 1, 'limits.max_running' => 4 });
$t->start_launcher->start_executor;

sub ask {
    my ($method, $path, %option) = @_;
    my $who = delete $option{who} || {};
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, scopes => 'admin jobs:read jobs:write sessions:write sessions:read', %$who), %option);
}
sub check { my ($body, %who) = @_; return ask('POST', '/v1/policies:check', json => $body, who => \%who) }
sub rules { my ($reply) = @_; return [sort map { $_->{rule} } @{ $reply->{json}{violations} || [] }] }
my %bash = (kind => 'job', body => { language => 'bash', code => 'true' });

my $draft = { version => 1, languages => ['python'] };
my $no = check({ document => $draft, request => \%bash });
is_deeply([$no->{status}, $no->{json}{decision}, rules($no)], [200, 'deny', ['languages']], 'a draft that forbids it');
is_deeply([map { [@{$_}{qw(policy_id version target)}] } @{ $no->{json}{layers} }], [['draft', 0, 'tenant']], 'with the documents that were asked');
is(ask('POST', '/v1/jobs', json => $bash{body})->{json}{status}, 'succeeded', 'it has no effect');
is(check({ document => { languages => ['python'], id => 'mine/own' }, request => \%bash })->{json}{decision}, 'deny', 'its id and version are the record\'s, said or not');
my $yes = check({ document => { version => 1, limits => { memory => { default => '32Mi', max => '64Mi' } } }, request => \%bash });
is_deeply([$yes->{json}{decision}, $yes->{json}{violations}], ['allow', []], 'one that allows it');
is($yes->{json}{effective}{limits}{memory_bytes}, 32 << 20, 'and with what') or diag explain $yes->{json};
is(check({ document => $draft, applies_to => [{ agent => 'x' }], request => \%bash })->{json}{decision}, 'allow', "another agent's");
is(check({ document => $draft, applies_to => [{ agent => 'x' }], request => { %bash, agent => 'x' } })->{json}{decision}, 'deny', 'its own');
is(check({ document => $draft, applies_to => [{ template => 'default' }], request => \%bash })->{json}{decision}, 'deny', "the template's");
is_deeply(rules(check({ document => { version => 1, tools => ['status'] }, request => { kind => 'tool', tool => 'run_code' } })), ['tools'], 'a tool');
is_deeply(rules(check({ document => { version => 1, egress => ['a.example:443'] }, request => { kind => 'job', body => { language => 'bash', code => 'x', egress => ['b.example:443'] } } })), ['egress'], 'what is not there yet is decided all the same');

# A stored one, and one in the place of what is in force.
my $id = ask('POST', '/v1/policies', json => { name => 'p', document => $draft, applies_to => [] })->{json}{policy_id};
is(check({ policy_id => $id, request => \%bash })->{json}{decision}, 'deny', 'a stored draft');
my $live = ask('POST', '/v1/policies', json => { name => 'q', document => { version => 1, languages => ['bash'] }, applies_to => [{ tenant => JSON::PP::true }] })->{json}{policy_id};
is(check({ document => $draft, request => { kind => 'job', body => { language => 'python', code => '1' } } })->{json}{decision}, 'deny', 'with those in force');
is(check({ policy_id => $live, document => $draft, request => { kind => 'job', body => { language => 'python', code => '1' } } })->{json}{decision}, 'allow', 'instead of one of them');

# What lives.
my $job = ask('POST', '/v1/jobs', json => { language => 'bash', code => 'sleep 60', wait => 0 })->{json}{job_id};
is(check({ policy_id => $live, document => $draft, job_id => $job })->{json}{decision}, 'deny', 'a job');
is(check({ policy_id => $live, document => { version => 1 }, job_id => $job })->{json}{decision}, 'allow', 'or not');
ok($t->wait_until(30, sub { ask('GET', "/v1/jobs/$job")->{json}{status} eq 'running' }), 'it goes on');
my $session = ask('POST', '/v1/sessions', json => { language => 'bash' })->{json}{session_id};
is_deeply(rules(check({ document => { version => 1, sessions => { ttl => { max => '1m' } } }, session_id => $session })), ['sessions.ttl'], 'a session');
is(check({ document => $draft, job_id => $job }, tenant => 'else')->{status}, 404, "another tenant's job is none");
is(check({ policy_id => $live, request => \%bash }, tenant => 'else')->{status}, 404, 'nor is its policy');
ask('DELETE', "/v1/jobs/$job");
ask('DELETE', "/v1/sessions/$session");

# Bad.
my @bad = (
    [{ document => { version => 1, limits => { memory => 5 } }, request => \%bash }, '/document/limits/memory'],
    [{ document => { version => 1, x => 1 }, request => \%bash }, '/document/x'],
    [{ document => [], request => \%bash }, qr{^/document}],
    [{ document => $draft }, '/request'], [{ request => \%bash }, '/document'], [{ document => $draft, request => \%bash, job_id => $job }, '/request'],
    [{ document => $draft, request => 'x' }, '/request'], [{ document => $draft, request => { %bash, kind => 'x' } }, '/request/kind'],
    [{ document => $draft, request => { kind => 'job', body => { language => 5 } } }, '/request/body/language'], [{ document => $draft, request => { kind => 'job' } }, qr{^/request/body}],
    [{ document => $draft, request => { %bash, app => 'a b' } }, '/request'], [{ document => $draft, request => { %bash, x => 1 } }, '/request/x'],
    [{ document => $draft, request => \%bash, x => 1 }, '/x'], [{ policy_id => 'x', request => \%bash }, '/policy_id'], [{ document => $draft, job_id => 'job_1' }, '/job_id'],
    [{ document => $draft, session_id => 5 }, '/session_id'], [{ document => $draft, applies_to => {}, request => \%bash }, '/applies_to'],
    (map { [{ document => $draft, applies_to => [$_], request => \%bash }, '/applies_to/0'] } 'x', {}, { tenant => 1 }, { app => 5 }, { app => 'x' x 200 }, { subject => 'x' }, { app => 'a', agent => 'b' }),
);
for my $case (@bad) {
    my $reply = check($case->[0]);
    my $field = $reply->{json}{errors}[0]{field} // '';
    ok($reply->{status} == 422 && (ref $case->[1] ? $field =~ $case->[1] : $field eq $case->[1]), "refused: " . (ref $case->[1] ? $case->[1] : $case->[1])) or diag "$reply->{status} $reply->{content}";
}
is(ask('POST', '/v1/policies:check', body => '{', headers => { 'Content-Type' => 'application/json' })->{status}, 400, 'no JSON');
is(check({ document => $draft, request => \%bash }, scopes => $_)->{status}, 403, "not for '$_'") for '', 'jobs:write', 'policies:write';
is(ask('GET', '/v1/policies:check')->{status}, 405, 'not read');
$t->finish;
done_testing();
