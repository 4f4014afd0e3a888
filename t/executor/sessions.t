#!/usr/bin/perl
# Sessions: made, read, listed, extended, paused, ended; and what of another tenant's nobody sees.
use strict;
use warnings;
use lib 't/lib';
use Sandbox;
use Sandbox::Session;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new(executor => { 'pool.default' => 2, 'sessions.max' => 6 });
$t->start_launcher->start_executor;
my $api = Sandbox::Session->new($t);

my $reply = $api->ask('POST', '/v1/sessions', json => {
    language => 'python', ttl => '10m', idle_timeout => 120, step_timeout => '5s', metadata => { ticket => 'T-1' },
    env => { COLOR => 'blue' }, files => [{ path => 'in/a.txt', content => "hello\n" }, { path => 'empty', content => '' }],
    limits => { memory => '128Mi' },
});
is($reply->{status}, 201, 'made');
my $session = $reply->{json};
my $id = $session->{session_id};
like($id, qr/^ses_[0-9a-z]{26}$/, 'with an id');
is($reply->{headers}{location}, "/v1/sessions/$id", 'Location says where');
is($session->{status}, 'running', 'it runs');
is($session->{reason}, undef, 'and has no reason to have ended');
is_deeply([@$session{qw(language template isolation app agent)}], ['python', 'default', 'process', 'web', 'coder'], 'it says what it is');
is_deeply([@$session{qw(ttl idle_timeout step_timeout)}], ['600s', '120s', '5s'], 'and how long it lives');
is($session->{limits}{memory_bytes}, 128 << 20, 'with the limits asked for');
is_deeply($session->{metadata}, { ticket => 'T-1' }, 'and its metadata');
is_deeply([map { $_->{name} . ':' . $_->{language} } @{ $session->{contexts} }], ['default:python'], 'its first interpreter is on its way');
ok($session->{expires_at} gt $session->{created_at}, 'it expires later');
ok($session->{idle_expires_at} && $session->{idle_expires_at} lt $session->{expires_at}, 'and sooner when nobody uses it');
is($session->{ended_at}, undef, 'but has not ended');

my $step = $api->step($id, "import os\nopen('in/a.txt').read() + os.environ['COLOR'] + str(os.path.getsize('empty'))");
is(Sandbox::Session::value($step), q('hello\nblue0'), 'files and environment are there') or diag explain $step;
is($api->get($id)->{n_steps}, 1, 'a step is counted');

# Others.
my %other = (who => { tenant => 'other' });
is($api->ask('GET', "/v1/sessions/$id", %other)->{status}, 404, 'another tenant finds nothing');
is($api->ask('DELETE', "/v1/sessions/$id", %other)->{status}, 404, 'ends nothing');
is($api->ask('PATCH', "/v1/sessions/$id", json => { ttl => '1h' }, %other)->{status}, 404, 'extends nothing');
is($api->ask('POST', "/v1/sessions/$id/steps", json => { code => '1' }, %other)->{status}, 404, 'runs nothing');
is($api->ask('GET', "/v1/sessions/$id/steps", %other)->{status}, 404, 'lists no steps');
is($api->ask('GET', "/v1/sessions/$id/steps/$step->{step_id}", %other)->{status}, 404, 'reads no step');
is($api->ask('GET', "/v1/sessions/$id/steps/$step->{step_id}/stdout", %other)->{status}, 404, 'nor its output');
is($api->ask('GET', "/v1/sessions/$id/contexts", %other)->{status}, 404, 'sees no interpreter');
is($api->ask('POST', "/v1/sessions/$id/contexts", json => { name => 'x' }, %other)->{status}, 404, 'makes none');
is($api->ask('DELETE', "/v1/sessions/$id/contexts/default", %other)->{status}, 404, 'ends none');
is($api->ask('POST', "/v1/sessions/$id/pause", %other)->{status}, 404, 'pauses nothing');
is_deeply($api->ask('GET', '/v1/sessions', %other)->{json}{sessions}, [], 'and lists nothing');
my $unknown = $api->ask('GET', '/v1/sessions/ses_00000000000000000000000000');
my $foreign = $api->ask('GET', "/v1/sessions/$id", %other);
is_deeply([map { my %p = %{ $_->{json} }; delete $p{request_id}; \%p } $foreign], [map { my %p = %{ $_->{json} }; delete $p{request_id}; \%p } $unknown], 'foreign is unknown, word for word');

# Scopes.
is($api->ask('GET', "/v1/sessions/$id", who => { scopes => 'sessions:read' })->{status}, 200, 'sessions:read reads');
is($api->ask('DELETE', "/v1/sessions/$id", who => { scopes => 'sessions:read' })->{status}, 403, 'and does not write');
is($api->ask('POST', "/v1/sessions/$id/steps", json => { code => '1' }, who => { scopes => 'jobs:write sessions:read' })->{status}, 403, 'nor run');
is($api->ask('GET', "/v1/sessions/$id", who => { scopes => 'jobs:read' })->{status}, 403, 'another family is not this one');

# Extending.
my $extended = $api->ask('PATCH', "/v1/sessions/$id", json => { ttl => '1h', metadata => { ticket => 'T-2', size => 'a"b' } });
is($extended->{status}, 200, 'extended');
is($extended->{json}{ttl}, '3600s', 'by an hour from now');
ok($extended->{json}{expires_at} gt $session->{expires_at}, 'it expires later');
is_deeply($extended->{json}{metadata}, { ticket => 'T-2', size => 'a"b' }, 'with other metadata');
my $capped = $api->ask('PATCH', "/v1/sessions/$id", json => { ttl => '2h' }, who => { ttl_max => 3_600_000 });
is($capped->{status}, 403, 'not by more than the policy grants');
is($capped->{json}{violations}[0]{rule}, 'sessions.ttl', 'which says so');

# Listing.
my $bash = $api->create(language => 'bash', metadata => { ticket => 'T-9' });
is(scalar @{ $api->ask('GET', '/v1/sessions')->{json}{sessions} }, 2, 'both are listed');
my %finds = (
    'status=running' => 2, 'status=ended' => 0, 'status=starting' => 0, 'language=bash' => 1, 'language=sh' => 1, 'template=default' => 2, 'template=x' => 0,
    'agent=coder' => 2, 'agent=nobody' => 0, 'app=web&language=python' => 1, 'metadata.ticket=T-9' => 1, 'metadata.ticket=T-' => 0, 'metadata.ticket=T-1' => 0,
    'metadata.size=a%22b' => 1, 'metadata.nothing=1' => 0, 'status=running&metadata.ticket=T-2' => 1,
);
for my $query (sort keys %finds) {
    is(scalar @{ $api->ask('GET', "/v1/sessions?$query")->{json}{sessions} || [] }, $finds{$query}, "$query finds $finds{$query}");
}
my $page = $api->ask('GET', '/v1/sessions?limit=1')->{json};
is($page->{sessions}[0]{session_id}, $bash->{session_id}, 'the newest first');
my $next = $api->ask('GET', "/v1/sessions?limit=1&cursor=$page->{next_cursor}")->{json};
is($next->{sessions}[0]{session_id}, $id, 'then the other');
is($next->{next_cursor}, undef, 'and no more');
for my $bad ('status=queued', 'limit=0', 'limit=101', 'cursor=xyz', 'nonsense=1', 'metadata.=1', 'metadata.a%22b=1', 'metadata.x=%zz', "limit=1&language=bash&cursor=$page->{next_cursor}", 'metadata=1') {
    is($api->ask('GET', "/v1/sessions?$bad")->{status}, 422, "not by $bad");
}
is($api->ask('GET', "/v1/sessions?limit=1&cursor=$page->{next_cursor}", %other)->{status}, 422, "nor by another tenant's cursor");

# Pausing.
my $paused = $api->ask('POST', "/v1/sessions/$id/pause");
is($paused->{status}, 200, 'paused') or diag $paused->{content};
is($paused->{json}{status}, 'paused', 'and says so');
is($paused->{json}{idle_expires_at}, undef, 'its idle clock stands');
is($api->ask('POST', "/v1/sessions/$id/pause")->{json}{status}, 'paused', 'twice is once');
is($api->ask('POST', "/v1/sessions/$id/steps", json => { code => '1' })->{status}, 409, 'it takes no steps');
is($api->ask('POST', "/v1/sessions/$id/contexts", json => { name => 'x' })->{status}, 409, 'and no interpreters');
is(scalar @{ $api->ask('GET', '/v1/sessions?status=paused')->{json}{sessions} }, 1, 'it is listed as paused');
is($api->ask('POST', "/v1/sessions/$id/resume")->{json}{status}, 'running', 'resumed');
is(Sandbox::Session::value($api->step($id, 'os.environ["COLOR"]')), q('blue'), 'it remembers');

# Caps.
my @more = map { $api->create(language => 'bash')->{session_id} } 1 .. 2;
is($api->ask('POST', '/v1/sessions', json => {}, who => { sessions => 4 })->{status}, 429, "one more than the tenant's cap");
is($api->ask('POST', '/v1/sessions', json => {}, who => { sessions => 4 })->{json}{code}, 'session_limit', 'is session_limit');
is($api->ask('POST', '/v1/sessions', json => {}, who => { tenant => 'third', sessions => 0 })->{status}, 429, 'a tenant that may have none has none');
push @more, map { $api->create(language => 'bash')->{session_id} } 1 .. 2;
my $full = $api->ask('POST', '/v1/sessions', json => {}, %other);
is($full->{status}, 503, "one more than the executor's cap");
is($full->{json}{code}, 'queue_full', 'is queue_full');
ok($full->{headers}{'retry-after'}, 'with Retry-After');
$api->delete($_) for @more;

# Idempotency.
my %key = (headers => { 'Idempotency-Key' => 'k1' }, json => { language => 'bash', metadata => { k => '1' } });
my $first = $api->ask('POST', '/v1/sessions', %key);
is($first->{status}, 201, 'made with a key');
my $second = $api->ask('POST', '/v1/sessions', %key);
is($second->{status}, 200, 'again with it');
is($second->{json}{session_id}, $first->{json}{session_id}, 'is the same session');
is($second->{headers}{'idempotency-replayed'}, 'true', 'and says so');
is($api->ask('POST', '/v1/sessions', headers => $key{headers}, json => { language => 'python' })->{status}, 422, 'another body is refused');
$api->delete($first->{json}{session_id});
is($api->ask('POST', '/v1/sessions', %key)->{json}{status}, 'ended', 'and it is the same after its end');

# What it used is the kernel's word: also what no step answers for.
my $busy = $api->create(language => 'bash')->{session_id};
cmp_ok($api->get($busy)->{usage}{peak_memory_bytes}, '>', 100_000, 'memory from the beginning');
my $worked = $api->step($busy, 'bash -c \'for ((i = 0; i < 300000; i++)); do :; done\'; head -c 3000000 /dev/zero >f; (sleep 1000 &)');
is_deeply([sort keys %{ $worked->{usage} }], [qw(cpu_ms displays_dropped wall_ms)], 'a step has no numbers that nobody knows');
my $used = $api->get($busy)->{usage};
is_deeply([sort keys %$used], [qw(cpu_ms cpu_throttled_ms disk_bytes peak_memory_bytes wall_ms)], 'a session has these');
cmp_ok($used->{cpu_ms}, '>', 20, 'its children worked');
cmp_ok($used->{disk_bytes}, '>=', 3_000_000, 'and wrote');
cmp_ok($used->{wall_ms}, '>=', $used->{cpu_ms} / 4, 'it took time');
my @asked = map { $api->get($busy)->{usage}{cpu_ms} } 1 .. 20;
is(scalar(grep { $_ >= $used->{cpu_ms} } @asked), 20, 'asked often it grows');
is($api->ask('POST', "/v1/sessions/$busy/pause")->{json}{status}, 'paused', 'paused');
cmp_ok($api->get($busy)->{usage}{cpu_ms}, '>=', $asked[-1], 'it can be asked then');
kill STOP => $t->{pid}{launcher};
my $start = time;
cmp_ok($api->get($busy)->{usage}{cpu_ms}, '>=', $asked[-1], 'a launcher that says nothing: the last word');
cmp_ok(time - $start, '<', 10, 'in time');
kill CONT => $t->{pid}{launcher};
my $end = $api->delete($busy)->{json};
cmp_ok($end->{usage}{cpu_ms}, '>=', $asked[-1], 'its end has it');
is_deeply($api->get($busy)->{usage}, $end->{usage}, 'and so has its record');

# Contexts.
is($api->ask('POST', "/v1/sessions/$id/contexts", json => { name => 'second' })->{status}, 201, 'another interpreter');
is($api->ask('POST', "/v1/sessions/$id/contexts", json => { name => 'second' })->{status}, 409, 'not twice');
is(Sandbox::Session::value($api->step($id, 'x = 5; x', context => 'second')), '5', 'it works');
is($api->step($id, 'x', context => 'default')->{error}{name}, 'NameError', 'and has a state of its own');
is($api->ask('DELETE', "/v1/sessions/$id/contexts/second")->{status}, 204, 'ended');
is($api->ask('DELETE', "/v1/sessions/$id/contexts/second")->{status}, 404, 'and gone');
my $anew = $api->step($id, 'x', context => 'second');
is($anew->{error}{name}, 'NameError', 'one of its name begins anew') or diag explain $anew;
is($api->step($id, 'echo $((20 + 1))', language => 'bash')->{stdout}, "21\n", 'another language has an interpreter of its own');
is_deeply([sort map { "$_->{name}:$_->{language}" } @{ $api->ask('GET', "/v1/sessions/$id/contexts")->{json}{contexts} }],
    ['bash:bash', 'default:python', 'second:python'], 'all are listed');
is($api->ask('POST', "/v1/sessions/$id/steps", json => { code => '1', language => 'bash', context => 'second' })->{status}, 422, 'a context keeps its language');
$api->ask('POST', "/v1/sessions/$id/contexts", json => { name => "c$_" }) for 1 .. 5;
is($api->ask('POST', "/v1/sessions/$id/contexts", json => { name => 'ninth' })->{status}, 409, 'eight are enough');
is($api->ask('POST', "/v1/sessions/$id/steps", json => { code => '1', context => 'ninth' })->{status}, 409, 'also for a step');

# The end.
my $deleted = $api->delete($id);
is($deleted->{status}, 200, 'ended');
is_deeply([@{ $deleted->{json} }{qw(status reason contexts idle_expires_at)}], ['ended', 'cancelled', [], undef], 'because somebody asked');
is($api->delete($id)->{json}{reason}, 'cancelled', 'asked again it is as it was');
for my $call (['PATCH', '', { ttl => '1h' }], ['POST', '/pause'], ['POST', '/resume'], ['GET', '/contexts'], ['POST', '/contexts', { name => 'x' }], ['DELETE', '/contexts/default'], ['POST', '/steps', { code => '1' }]) {
    my ($method, $path, $json) = @$call;
    my $gone = $api->ask($method, "/v1/sessions/$id$path", $json ? (json => $json) : ());
    is_deeply([$gone->{status}, $gone->{json}{code}, $gone->{json}{reason}], [410, 'gone', 'cancelled'], "$method $path is gone");
}
is($api->get($id)->{status}, 'ended', 'it can be read');
is($api->ask('GET', "/v1/sessions/$id/steps/$step->{step_id}")->{json}{status}, 'succeeded', 'and so can its steps');
is($api->ask('GET', "/v1/sessions/$id/steps")->{status}, 200, 'and their list');

my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
my $audit = join '', map { $t->read_file($_) } map { s{^\Q$t->{dir}\E/}{}r } glob "$t->{dir}/data/audit/audit-*";
my %kinds;
$kinds{$1}++ while $audit =~ /"kind":"([a-z.]+)"/g;
is($kinds{'session.created'}, 1 + 1 + 4 + 1 + 1, 'each session is on record');
is($kinds{'session.ended'}, 4 + 1 + 1 + 1, 'each end too');
ok($kinds{'step.accepted'} && $kinds{'step.accepted'} == $kinds{'step.ended'}, 'and each step, twice');
unlike($audit, qr/os\.environ|COLOR.*blue|hello/, 'without code, environment or files');
$t->finish;
done_testing();
