#!/usr/bin/perl
# The operator's policy service behind our own policy: it can only narrow, and whatever is no answer denies.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox::Front;
use Sandbox::Opa;
use Test::More;

my $t = Sandbox::Front->new;
my $JSON = JSON::PP->new->canonical->utf8;
my %result = (
    allow => { allow => JSON::PP::true },
    deny => { allow => JSON::PP::false },
    'deny-why' => { allow => JSON::PP::false, violations => [{ rule => 'memory.night', limit => '128Mi', observed => [23, 'h'], hint => 'come "back"' }, { rule => 'x' }] },
    'deny-strange' => { allow => JSON::PP::false, violations => [7, { rule => 'A B' }, { rule => "a\n" }, { limit => 1 }, { rule => 'y' x 48 }, { rule => 'r1' }, { rule => 'a.' }, { rule => '.a' }, { rule => 'a.B' }, { rule => 'kept', limit => 'z' x 200, observed => { a => 1 }, hint => "\x{20ac}" x 100 }] },
    'deny-many' => { allow => JSON::PP::false, violations => [map { { rule => "r.$_" } } 1 .. 40] },
    'allow-violations' => { allow => JSON::PP::true, violations => [{ rule => 'x' }] },
    'allow-empty' => { allow => JSON::PP::true, violations => [], more => { things => 1 } },
    narrow => { allow => JSON::PP::true, limits => { memory => '64Mi', time => '1000s', cpu_time_ms => 2000 } },
    'narrow-wrong' => { allow => JSON::PP::true, limits => { memory => 'much' } },
    'narrow-floor' => { allow => JSON::PP::true, limits => { memory => 1 } },
    'narrow-unknown' => { allow => JSON::PP::true, limits => { memoryy => '64Mi' } },
    'narrow-list' => { allow => JSON::PP::true, limits => [1] },
    'allow-text' => { allow => 'true' }, 'allow-one' => { allow => 1 }, 'allow-null' => { allow => undef }, 'allow-none' => {},
    'violations-object' => { allow => JSON::PP::true, violations => {} },
    'result-list' => [JSON::PP::true], 'result-true' => JSON::PP::true, 'result-null' => undef,
);
my %script = map { my $body = $JSON->encode({ result => $result{$_} }); $_ => sub { Sandbox::Opa::reply($_[0], 200, $body) } } keys %result;
my $yes = '{"result":{"allow":true}}';
my %broken = (
    'no result' => sub { Sandbox::Opa::reply($_[0], 200, '{}') },
    'an empty body' => sub { Sandbox::Opa::reply($_[0], 200, '') },
    'no JSON' => sub { Sandbox::Opa::reply($_[0], 200, 'yes') },
    'half of it' => sub { Sandbox::Opa::reply($_[0], 200, '{"result":{"allow":true') },
    'two documents' => sub { Sandbox::Opa::reply($_[0], 200, "$yes$yes") },
    'a member twice' => sub { Sandbox::Opa::reply($_[0], 200, '{"result":{"allow":false,"allow":true}}') },
    'a list' => sub { Sandbox::Opa::reply($_[0], 200, '[]') },
    'not UTF-8' => sub { Sandbox::Opa::reply($_[0], 200, "{\"result\":{\"allow\":true,\"x\":\"\xff\"}}") },
    'a NUL' => sub { Sandbox::Opa::reply($_[0], 200, "$yes\0") },
    'deep' => sub { Sandbox::Opa::reply($_[0], 200, '{"result":{"allow":true,"x":' . '[' x 100 . ']' x 100 . '}}') },
    (map { my $status = $_; "status $status" => sub { Sandbox::Opa::reply($_[0], $status, $yes) } } 201, 202, 301, 400, 401, 404, 500, 503),
    'no status' => sub { syswrite $_[0], "OPA $yes\r\n\r\n"; 0 },
    'HTTP/2' => sub { syswrite $_[0], "HTTP/2.0 200 OK\r\nContent-Length: 25\r\n\r\n$yes"; 0 },
    'a bare line feed' => sub { syswrite $_[0], "HTTP/1.1 200 OK\nContent-Length: 25\n\n$yes"; 0 },
    'no length' => sub { syswrite $_[0], "HTTP/1.1 200 OK\r\n\r\n$yes"; 0 },
    'two lengths' => sub { Sandbox::Opa::reply($_[0], 200, $yes, head => "Content-Length: 25\r\nContent-Length: 26\r\n") },
    'a length and chunks' => sub { Sandbox::Opa::reply($_[0], 200, "19\r\n$yes\r\n0\r\n\r\n", head => "Content-Length: 25\r\nTransfer-Encoding: chunked\r\n") },
    'a bad chunk' => sub { Sandbox::Opa::reply($_[0], 200, "zz\r\n$yes\r\n0\r\n\r\n", head => "Transfer-Encoding: chunked\r\n") },
    'too short' => sub { Sandbox::Opa::reply($_[0], 200, $yes, head => "Content-Length: 26\r\n"); 0 },
    'more than its length' => sub { Sandbox::Opa::reply($_[0], 200, "$yes ", head => "Content-Length: 25\r\n"); 0 },
    'two replies' => sub { syswrite $_[0], "HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n${yes}HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n$yes"; 0 },
    'only a head' => sub { syswrite $_[0], "HTTP/1.1 200 OK\r\nContent-Length: 25\r\n"; 0 },
    'nothing' => sub { 0 },
    'a huge announcement' => sub { syswrite $_[0], "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{"; 0 },
    'a huge body' => sub { Sandbox::Opa::reply($_[0], 200, '{"result":{"allow":true},"x":"' . 'x' x 20000 . '"}') },
    'a huge body in chunks' => sub { syswrite $_[0], "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"; for (1 .. 400) { syswrite $_[0], "64\r\n" . ' ' x 100 . "\r\n" or last } 0 },
    'a huge head' => sub { Sandbox::Opa::reply($_[0], 200, $yes, head => join('', map { "X-$_: " . 'x' x 200 . "\r\n" } 1 .. 500) . "Content-Length: 25\r\n") },
    'an endless head' => sub { syswrite $_[0], "HTTP/1.1 200 OK\r\n"; while (syswrite $_[0], 'X: ' . 'x' x 1000 . "\r\n") { } 0 },
    'only 100 Continue' => sub { syswrite $_[0], "HTTP/1.1 100 Continue\r\n\r\n"; 0 },
    'a reset' => sub { setsockopt $_[0], Socket::SOL_SOCKET, Socket::SO_LINGER, pack('ii', 1, 0); close $_[0]; 0 },
);
my %late = (
    silent => sub { sysread $_[0], my $gone, 1; 0 },
    'half a head' => sub { syswrite $_[0], "HTTP/1.1 200 OK\r\nContent-Le"; sysread $_[0], my $gone, 1; 0 },
    'half a body' => sub { syswrite $_[0], "HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n{\"result\":"; sysread $_[0], my $gone, 1; 0 },
    # Each byte comes well within any timer that begins anew.
    drips => sub { for my $byte (split //, "HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n$yes") { syswrite $_[0], $byte or last; select undef, undef, undef, 0.02 } 0 },
);
$script{ $_ =~ s/ /-/gr } = $broken{$_} for keys %broken;
$script{ $_ =~ s/ /-/gr } = $late{$_} for keys %late;
$script{default} = $script{allow};
$script{crumbs} = sub { my $i = 0; for my $byte (split //, "HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n$yes") { syswrite $_[0], $byte } 1 };
$script{chunks} = sub { Sandbox::Opa::reply($_[0], 200, join('', map { "1\r\n$_\r\n" } split //, $yes) . "0\r\n\r\n", head => "Transfer-Encoding: chunked\r\n") };
$script{'by-language'} = sub { Sandbox::Opa::reply($_[0], 200, $_[1]{request}{language} eq 'python' ? $yes : '{"result":{"allow":false}}') };



my $opa = Sandbox::Opa->new($t, %script);
my $url = "http://opa/v1/data/sandbox/decision";
my $dir = $t->policies(default => { id => 'pol_top', version => 7 }, 'tenants/closed' => { languages => ['bash'] });
my $dead = Sandbox::free_port();
my $http = sub {
    my ($parameters) = @_;
    return "sandbox_policy_dir $dir; sandbox_denial_log $t->{dir}/denials.jsonl; log_subrequest on; "
         . "upstream opa { server 127.0.0.1:@{[ $opa->port ]} max_fails=0; keepalive 4; } upstream gone { server 127.0.0.1:$dead; } "
         . "upstream one_gone { server 127.0.0.1:$dead max_fails=0; server 127.0.0.1:@{[ $opa->port ]} max_fails=0; } "
         . "sandbox_policy_opa $url timeout=10s $parameters;";
};
my $locations = <<"END";
    location = /v1/jobs { sandbox_route jobs.list POST=jobs.create; sandbox_policy body; proxy_pass http://up\$sandbox_uri; }
    location = /v1/sessions { sandbox_policy session; proxy_pass http://up\$sandbox_uri; }
    location = /extend { sandbox_policy extend; proxy_pass http://up\$sandbox_uri; }
    location = /step { sandbox_policy step; proxy_pass http://up\$sandbox_uri; }
    location = /process { sandbox_policy process; proxy_pass http://up\$sandbox_uri; }
    location = /read { sandbox_policy on; proxy_pass http://up\$sandbox_uri; }
    location = /off { sandbox_policy body; sandbox_policy_opa off; proxy_pass http://up\$sandbox_uri; }
    location = /quick { sandbox_policy body; sandbox_policy_opa $url timeout=200ms; proxy_pass http://up\$sandbox_uri; }
    location = /gone { sandbox_policy body; sandbox_policy_opa http://gone/x; proxy_pass http://up\$sandbox_uri; }
    location = /one_gone { sandbox_policy body; sandbox_policy_opa http://one_gone/x timeout=10s; proxy_pass http://up\$sandbox_uri; }
    location = /bare { sandbox_policy body; sandbox_policy_opa http://127.0.0.1:@{[ $opa->port ]}/v1/data/x?y=1 timeout=10s; proxy_pass http://up\$sandbox_uri; }
    location = /file { sandbox_policy body; client_body_in_file_only clean; proxy_pass http://up\$sandbox_uri; }
    location = /any { satisfy any; deny all; sandbox_policy body; proxy_pass http://up\$sandbox_uri; }
END
my %more = (locations => $locations, workers => 2);
$t->start_front($http->(''), %more);

my $good = { language => 'python', code => 'SECRET_CODE' };
sub ask {
    my ($who, %option) = @_;
    return $t->request($option{method} // 'POST', $option{path} // '/v1/jobs', json => $option{json} // $good, sub => $who =~ s/ /-/gr, tenant => $option{tenant} // 'demo', timeout => 30);
}
sub rules { my ($reply) = @_; return join ' ', map { $_->{rule} } @{ ($reply->{json} || {})->{violations} || [] } }

# What is asked.
my $reply = $t->request('POST', '/v1/jobs', sub => 'ann', scope => 'jobs:write jobs:read', headers => { 'X-Request-Id' => 'my-own-id' }, json => {
    language => 'node', code => 'SECRET_CODE', stdin => 'SECRET_STDIN', env => { SECRET_NAME => 'SECRET_VALUE' }, files => [{ path => 'SECRET_PATH', content => 'SECRET_FILE' }],
    limits => { memory => '128Mi', cpu => 0.5 }, artifacts => ['SECRET_*'], wait => 2, isolation => 'gvisor', metadata => { x => 'SECRET_META' },
});
is($reply->{status}, 200, 'allowed') or diag $reply->{content};
my ($seen) = $opa->seen;
like($seen->{head}, qr{^POST /v1/data/sandbox/decision HTTP/1\.1\r\nHost: opa\r\n}, 'the URL\'s path and host');
like($seen->{head}, qr/^X-Request-Id: my-own-id\r?$/m, 'with the request\'s id');
like($seen->{head}, qr/^traceparent: 00-/m, 'and its trace');
unlike($seen->{head}, qr/Bearer|Sandbox-Context|Connection: close/i, 'no token, no context');
unlike($JSON->encode($seen), qr/SECRET/, 'and nothing of what will run');
my $input = $seen->{question}{input};
is_deeply([sort keys %{ $seen->{question} }], ['input'], 'an input, nothing besides');
is_deeply({ map { $_ => $input->{$_} } qw(kind tenant app agent subject scopes route tool policy) },
    { kind => 'job', tenant => 'demo', app => 'web', agent => 'coder', subject => 'ann', scopes => ['jobs:write', 'jobs:read'], route => 'jobs.create', tool => '',
      policy => { id => 'pol_top', version => 7, revision => 0 } }, 'who, and by which policy');
is_deeply($input->{request}, { language => 'javascript', template => 'default', isolation => 'gvisor', env_count => 1, files_count => 1, files_bytes => 11, artifacts_count => 1, wait_ms => 2000,
    limits => { cpu_millicores => 500, cpu_time_ms => 0, memory_bytes => 128 << 20, disk_bytes => 0, processes => 0, time_ms => 0, output_bytes => 0 },
    session => { ttl_ms => 0, idle_timeout_ms => 0, step_timeout_ms => 0, cpu_time_ms => 0 },
    dependencies => { pip => [], npm => [] }, egress => [], secrets => [], services => [] }, 'what was asked for, in numbers');
is_deeply($input->{effective}, { limits => { cpu_millicores => 500, cpu_time_ms => 30000, memory_bytes => 128 << 20, disk_bytes => 64 << 20, processes => 128, time_ms => 30000, output_bytes => 8 << 20 },
    isolation => 'gvisor', minimum_isolation => '' }, 'and what it would get');

# Who is asked about, and who is not.
$opa->forget;
is(ask('ann', path => '/v1/sessions', json => { ttl => '5m' })->{status}, 200, 'a session');
is(ask('ann', path => '/extend', method => 'PATCH', json => { ttl => '6m' })->{status}, 200, 'an extension');
is(ask('ann', path => '/step', json => { code => 'x', wait => 1 })->{status}, 200, 'a step');
is(ask('ann', path => '/process', json => { argv => ['x'] })->{status}, 200, 'a command');
is_deeply([map { "$_->{question}{input}{kind} $_->{question}{input}{request}{session}{ttl_ms}" } $opa->seen], ['session 300000', 'extend 360000', 'step 0', 'process 0'], 'all with their kind');
$opa->forget;
is(ask('deny', path => '/read', method => 'GET')->{status}, 200, 'a request without a body that policy reads');
is(ask('deny', method => 'GET')->{status}, 200, 'reading where bodies are created');
is(ask('deny', path => '/off')->{status}, 200, 'a location that says off');
is(ask('allow', tenant => 'closed')->{status}, 403, 'our own policy comes first');
is(ask('allow', json => { language => 'python', code => 'x', limits => { memory => '2Gi' } })->{status}, 403, 'whatever it refuses');
is(ask('allow', json => { language => 7 })->{status}, 422, 'and a body that is none');
is($t->request('POST', '/v1/jobs', anonymous => 1, json => $good)->{status}, 401, 'or nobody');
is_deeply([$opa->seen], [], 'is not asked about');

# Denials.
for my $who (qw(deny deny-why deny-strange deny-many allow-violations)) {
    $reply = ask($who);
    is($reply->{status}, 403, "$who: 403");
    is($reply->{json}{code}, 'policy_violation', 'by policy');
    is_deeply([@{ $reply->{json}{violations}[0] }{qw(rule limit observed)}], ['opa', JSON::PP::true, JSON::PP::false], 'of the policy service');
}
is(rules(ask('deny')), 'opa', 'without reasons');
$reply = ask('deny-why');
is_deeply($reply->{json}{violations}[1], { rule => 'memory.night', limit => '128Mi', observed => [23, 'h'], hint => 'come "back"' }, 'with reasons');
is(rules($reply), 'opa memory.night x', 'in order');
$reply = ask('deny-strange');
is(rules($reply), 'opa kept', 'what has no name of a rule is left out');
is_deeply([@{ $reply->{json}{violations}[1] }{qw(limit observed)}], [undef, undef], 'what has no room, or is an object, is null');
is($reply->{json}{violations}[1]{hint}, "\x{20ac}" x 42, 'a hint is cut between characters');
is(rules(ask('deny-many')), join(' ', 'opa', map { "r.$_" } 1 .. 15), 'sixteen in all');
is(rules(ask('allow-violations')), 'opa x', 'who allows and names violations denies');
is(ask('by-language', json => { language => 'bash', code => 'x' })->{status}, 403, 'by what was asked');
is(ask('by-language')->{status}, 200, 'and only that');
is(ask('deny', path => $_)->{status}, 403, "denied at $_") for qw(/file /any /bare);
is(ask('allow', path => $_)->{status}, 200, "allowed at $_") for qw(/file /bare);
is(ask('allow', path => '/any')->{status}, 403, '`satisfy any` is not satisfied by it');
my @denials = $t->denials(8, sub { ($_->{rule} // '') eq 'opa' });
cmp_ok(scalar @denials, '>=', 8, 'denials are recorded');
my ($why) = grep { $_->{subject} eq 'deny-why' } @denials;
is_deeply([@$why{qw(code limit observed route)}, map { $_->{rule} } @{ $why->{violations} }], ['policy_violation', JSON::PP::true, JSON::PP::false, 'jobs.create', 'opa', 'memory.night', 'x'], 'with rule and violations');

# Limits.
my $context = $t->open_context(ask('narrow')->{json}{sandbox_context});
is_deeply([@{ $context->{limits} }{qw(memory_bytes time_ms cpu_time_ms processes)}], [64 << 20, 30000, 2000, 128], 'lower limits hold, larger have no effect');
$context = $t->open_context(ask('allow')->{json}{sandbox_context});
is($context->{limits}{memory_bytes}, 256 << 20, 'of that request alone');
$context = $t->open_context(ask('narrow', path => '/step', json => { code => 'x' })->{json}{sandbox_context});
ok(!$context->{limits}, 'a step has none to lower');
is(ask('allow-empty')->{status}, 200, 'members that nobody knows are no harm');
is(ask($_)->{status}, 200, "an answer in $_") for qw(crumbs chunks);

# What is no answer.
for my $who (qw(narrow-wrong narrow-floor narrow-unknown narrow-list allow-text allow-one allow-null allow-none violations-object result-list result-true result-null), sort keys %broken) {
    $reply = ask($who);
    is($reply->{status}, 403, "$who: denied");
    is_deeply([rules($reply), $reply->{json}{violations}[0]{observed}], ['opa', undef], 'for want of an answer');
    like($reply->{json}{violations}[0]{hint}, qr/no decision/, 'as it says');
}
$reply = ask('allow', path => '/gone');
is_deeply([$reply->{status}, rules($reply)], [403, 'opa'], 'nobody there: denied');
is(ask('allow', path => '/one_gone')->{status}, 200, 'a second server of the upstream is asked') for 1 .. 4;
for my $who (sort keys %late) {
    $reply = ask($who, path => '/quick');
    is_deeply([$reply->{status}, rules($reply)], [403, 'opa'], "$who: too late");
}
like($t->error_log, qr/event=opa\.failed request_id=\S+ tenant=demo status=0 why="it did not answer in time"/, 'the log says why');
like($t->error_log, qr/event=opa\.failed request_id=\S+ tenant=demo status=503 why="its status is not 200"/, 'in each case');
unlike($t->error_log, qr/"allow"|OPA \{|HTTP\/2\.0/, 'and never with what came');
is(ask('allow')->{status}, 200, 'and goes on');

# Connections are kept, and none is used again that may be off the beat.
$opa->forget;
ask('allow') for 1 .. 40;
my %connections = map { $_->{connection} => 1 } $opa->seen;
cmp_ok(scalar keys %connections, '<=', 2, 'a worker keeps its connection');
$opa->forget;
for my $who ('more than its length', 'two replies', 'status 500', 'a huge body', 'half of it') {
    is(ask($who)->{status}, 403, $who);
    is(ask('deny')->{status}, 403, 'what follows has its own answer');
    is(ask('allow')->{status}, 200, 'each');
}
# A kept connection that its server closes meanwhile: another is opened.
$opa->stop;
is(ask('allow', path => '/quick')->{status}, 403, 'the service is away');
$opa->start;
is(ask('allow')->{status}, 200, 'and back, on a fresh connection') for 1 .. 4;

# Many at once, each with its own answer; clients that leave. The service takes a process for each, and the longest time that may be said.
my @all = map { my $who = (qw(allow deny by-language chunks nothing))[$_ % 5]; [$who, $t->begin('POST', '/v1/jobs', json => $good, sub => $who)] } 1 .. 40;
my %want = (allow => 200, deny => 403, 'by-language' => 200, chunks => 200, nothing => 403);
my @wrong = grep { my $got = $t->await($_->[1], 30); ($got->{status} // 0) != $want{ $_->[0] } } @all;
is(scalar @wrong, 0, '40 at once, each its own');
close $_->[1] for @all;    # nginx lingers for who does not
for my $n (1 .. 30) { close $t->begin('POST', '/quick', json => $good, sub => (qw(silent drips allow))[$n % 3]) }
ok($t->wait_until(30, sub { $t->metric('in_flight') <= 1 }), 'clients that left leave nothing');
is(ask('allow')->{status}, 200, 'and goes on');

# Counted.
for my $result (qw(allow deny failed)) { cmp_ok($t->metric('opa_requests_total', qr/result="$result"/), '>', 5, "counted: $result") }
my $sum = $t->metric('opa_requests_total');
is($t->metric('opa_duration_seconds_count'), $sum, 'all have a duration');
is($t->metric('opa_cache_hits_total'), 0, 'without a cache nothing is remembered');
is($t->metric('requests_total', qr/route="jobs.create"/), $t->metric('request_duration_seconds_count', qr/route="jobs.create"/), 'the exchange itself is no request');

# A reload while one is waiting.
$opa->forget;
my $waiting = $t->begin('POST', '/quick', json => $good, sub => 'silent');
ok($t->wait_until(30, sub { grep { $_->{question}{input}{subject} eq 'silent' } $opa->seen }), 'one waits');
my @old = $t->gateway_workers;
$t->reload_gateway;
is($t->await($waiting, 10)->{status}, 403, 'and gets its answer of the worker that leaves');
close $waiting;
ok($t->workers_renewed(@old), 'which is gone');    # before another reload
ok($t->reconfigure_front($http->('cache=decisions:64k ttl=1h'), %more), 'reloaded');

# Remembered: decisions, for who asks the same, and only these.
$opa->forget;
is(rules(ask('deny-why')), 'opa memory.night x', 'asked') for 1 .. 5;    # with its reasons: no answer is a 403 too
is(rules(ask('deny-why')), 'opa memory.night x', 'remembered with its reasons');
is(ask('narrow')->{status}, 200, 'asked') for 1 .. 5;
$context = $t->open_context(ask('narrow')->{json}{sandbox_context});
is($context->{limits}{memory_bytes}, 64 << 20, 'remembered with its limits');
is_deeply([map { $_->{question}{input}{subject} } $opa->seen], [qw(deny-why narrow)], 'each asked once');
cmp_ok($t->metric('opa_cache_hits_total'), '==', 10, 'the rest is counted');
$opa->forget;
is(ask('nothing')->{status}, 403, 'a failure') for 1 .. 3;
cmp_ok(scalar(() = $opa->seen), '>=', 3, 'is not remembered');
$opa->forget;
ask('allow', tenant => $_) for qw(a b a b);
ask('allow', tenant => 'a', json => { language => 'bash', code => 'x' });
ask('allow', tenant => 'a', json => { %$good, wait => 3 });
ask('allow', tenant => 'a', json => { language => 'python', code => 'another code' });
ask('allow', tenant => 'a', path => '/bare');
is(scalar(() = $opa->seen), 5, 'another tenant, language, wait, service: asked; another code: not');
$t->policies(default => { id => 'pol_top', version => 8 });
ok($t->reconfigure_front($http->('cache=decisions:64k ttl=1h'), %more), 'another version of the policy');
$opa->forget;
ask('allow', tenant => 'a');
is(scalar(() = $opa->seen), 1, 'is asked about anew');
ask('allow', tenant => 'a');
is(scalar(() = $opa->seen), 1, 'once');
is(ask('allow', tenant => "t$_")->{status}, 200, 'a full zone forgets') for 1 .. 300;
ok($t->reconfigure_front($http->('cache=decisions:64k ttl=1ms'), %more), 'a short life');
$opa->forget;
ask('allow', tenant => 'a') for 1 .. 4;
cmp_ok(scalar(() = $opa->seen), '>=', 2, 'ends');

# Configurations that are none.
my $try = sub { my ($words) = @_; return $t->complaint("sandbox_policy_opa $words;", %more, locations => '') };
is($try->('http://127.0.0.1:1/x timeout=1ms cache=z:32k ttl=1h'), '', 'all said');
is($try->('http://127.0.0.1/x cache=off'), '', 'no port, no cache');
is($try->("http://unix:$t->{dir}/opa.sock:/v1/data/x"), '', 'a socket');
is($try->('off'), '', 'off');
like($try->($_->[0]), $_->[1], "refused: $_->[0]") for
    ['https://127.0.0.1/x', qr/http:/], ['127.0.0.1/x', qr/http:/], ['http://', qr/http:|host/], ['http://127.0.0.1', qr/path/], ['http://127.0.0.1/x#y', qr/path/],
    ['http://127.0.0.1:99999/x', qr/port/], ['http://127.0.0.1/x timeout=0', qr/time/], ['http://127.0.0.1/x timeout=11s', qr/time/], ['http://127.0.0.1/x timeout=soon', qr/time/],
    ['http://127.0.0.1/x ttl=2h', qr/time/], ['http://127.0.0.1/x ttl=', qr/parameter/], ['http://127.0.0.1/x cache=', qr/parameter/], ['http://127.0.0.1/x cache=:32k', qr/zone/],
    ['http://127.0.0.1/x cache=z:1k', qr/zone/], ['http://127.0.0.1/x cache=z:', qr/zone/], ['http://127.0.0.1/x speed=1', qr/parameter/], ['off ttl=1s', qr/http:/], ['', qr/number of arguments/],
    ["off; sandbox_policy_opa off", qr/duplicate/], ['http://no.such.host.invalid/x', qr/host not found/];
$opa->stop;
$t->finish;
done_testing();
