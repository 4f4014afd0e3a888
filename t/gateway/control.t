#!/usr/bin/perl
# What executors tell is in force at every worker, at once, whole, and stays so whatever happens to workers and executors.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox::Feed;
use Sandbox::Front;
use Sandbox::Workers;
use Test::More;
use Time::HiRes qw(time);

my $JSON = JSON::PP->new->canonical->utf8;
my $true = JSON::PP::true;
my $t = Sandbox::Front->new;
my $feed = Sandbox::Feed->new("$t->{dir}/feed.sock");
my $own = Sandbox::free_port();
my $locations = <<'END';
    location = /v1/jobs { sandbox_policy body; client_max_body_size 1m; proxy_pass http://up$sandbox_uri; }
    location = /free { sandbox_policy off; proxy_pass http://up$sandbox_uri; }
END
my %server = (locations => $locations, server => "listen 127.0.0.1:$own reuseport; $Sandbox::Workers::CONF");
sub control { my ($size, $extra) = @_; return 'sandbox_control ' . $feed->url . " zone=control:$size " . ($extra // '') . ';' }

# An nginx that was told of nobody it could ask.
$t->start_front(control('1m'), %server, workers => 4);
my $workers = Sandbox::Workers->new($own, 4);
ok($workers->find, 'four workers');

sub bytes {
    my ($language, %who) = @_;
    my $more = delete $who{body} // {};
    my $body = $JSON->encode({ language => $language, code => 'x', %$more });
    my $token = $t->token(app => undef, agent => undef, %who);
    return "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer $token\r\nContent-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
}
# What all workers answer to it, each different one once.
sub statuses { my %reply = $workers->each(bytes(@_)); return join ' ', sort keys %{ { map { ($_ // { status => 'none' })->{status} => 1 } values %reply } } }
sub become { my ($status, @ask) = @_; return $t->wait_until(30, sub { statuses(@ask) eq $status }) }
sub metric { return $t->metric("control_$_[0]") }
# All that was said so far: of several changes the first may come alone.
sub heard { return $t->wait_until(30, sub { metric('revision') == $feed->{revision} }) }

is(statuses('python', tenant => 'acme'), '503', 'never heard: every worker refuses');
my $reply = $t->request('POST', '/v1/jobs', json => { language => 'python', code => 'x' });
is($reply->{json}{code}, 'policy_unknown', 'and says that it does not know');
is($reply->{headers}{'retry-after'}, 1, 'and when to come back');
is($t->request('GET', '/healthz', anonymous => 1)->{status}, 200, '/healthz answers all the same');
is($t->request('GET', '/free')->{status}, 503, 'what asks no policy does not: the token may have been revoked');
ok($t->wait_until(30, sub { metric('failures_total') > 1 }), 'failures are counted');
like($t->error_log, qr/event=control\.failed reason=connect/, 'and told');
is(metric('revision'), 0, 'nothing is known');

# The executor comes.
$feed->start;
ok(become('200', 'python', tenant => 'acme'), 'an empty feed: the operator\'s documents alone');
$feed->policy('acme', 'pol_1', [{ tenant => $true }], { languages => ['bash'] });
ok(become('403', 'python', tenant => 'acme'), 'a change is at every worker');
is(statuses('bash', tenant => 'acme'), '200', 'what it allows passes');
is(statuses('python', tenant => 'other'), '200', 'other tenants are not touched');
my ($asked) = grep { $_->{after} } $feed->asked;
my $context = $t->open_context($asked->{context});
is($context->{tenant}, '-', 'the question is nobody\'s');
ok($context->{gateway}, 'but the gateway\'s own');
is($asked->{instance}, $feed->{instance}, 'it names the feed');
is(metric('revision'), 1, 'the revision that was reached');
is(metric('documents'), 1, 'with one document');
cmp_ok(metric('age_seconds'), '<', 60, 'heard lately');
$reply = $t->request('POST', '/v1/jobs', tenant => 'acme', app => undef, agent => undef, json => { language => 'bash', code => 'x' });
$context = $t->open_context($reply->{json}{sandbox_context});
is("$context->{policy} $context->{policy_v} $context->{policy_r}", 'pol_1 1 1', 'the context names policy, version and revision');

# Targets.
$feed->policy('acme', 'pol_app', [{ app => 'web' }], { limits => { memory => { max => '64Mi' } }, retention => { audit => '24h' }, budgets => { tenant => { cpu_per_day => '1h' } } });
$feed->policy('acme', 'pol_agent', [{ agent => 'coder' }, { agent => 'tester' }], { limits => { memory => { max => '32Mi' } } });
$feed->policy('acme', 'pol_template', [{ template => 'small' }], { limits => { memory => { max => '16Mi' } } });
$feed->policy('acme', 'pol_draft', [], { languages => [] });
sub memory { my ($mi, %who) = @_; my $template = delete $who{template}; return ('bash', tenant => 'acme', %who, body => { limits => { memory => "${mi}Mi" }, $template ? (template => $template) : () }) }
ok(heard(), 'four documents come');
is(statuses(memory(65, app => 'web')), '403', 'an app\'s');
is(statuses(memory(64, app => 'web')), '200', 'up to its most');
is(statuses(memory(65)), '200', 'but not without the app');
is(statuses(memory(33, app => 'web', agent => 'tester')), '403', 'an agent\'s besides');
is(statuses(memory(32, app => 'web', agent => 'coder')), '200', 'each narrows');
is(statuses(memory(17, template => 'small')), '403', 'a template\'s, by what the body names');
is(statuses(memory(16, template => 'small')), '200', 'up to its most');
is(statuses(memory(17, template => 'large')), '200', 'not of another template');
is(statuses(memory(32, tenant => 'other', app => 'web', agent => 'coder')), '200', 'names of another tenant mean nothing');
is(metric('documents'), 4, 'a draft is no document in force');
$reply = $t->request('POST', '/v1/jobs', tenant => 'acme', app => 'web', agent => undef, json => { language => 'bash', code => 'x' });
$context = $t->open_context($reply->{json}{sandbox_context});
is("$context->{cpu_tenant} $context->{keep_audit}", '3600000 86400000', 'the context has budget and retention') or diag($JSON->encode($context));
$feed->no_policy('acme', 'pol_app');
ok(become('200', memory(65, app => 'web')), 'a deletion is at every worker');

# Many changes, while readers read: nobody ever sees what was not said.
my $stop = "$t->{dir}/tmp/stop";
my @torn = map { my $n = $_; [map { chr(ord('a') + ($n + $_) % 26) x (10 + ($n + $_) % 17) } 1, 2] } 1 .. 60;
my %said = map { $JSON->encode($_) => 1 } @torn;
my @readers;
for my $reader (1 .. 2) {
    my $pid = fork // die $!;
    if (!$pid) {
        my ($n, $wrong) = (0, 0);
        my $mine = Sandbox::Workers->new($own, 4);
        POSIX::_exit(9) unless $mine->find;
        while (!-e $stop) {
            # Names that were said together, of the lengths that they have: anything else is half of one and half of another.
            for my $pid ($mine->pids) {
                my $reply = $mine->ask($pid, bytes('ruby', tenant => 'torn'));
                my $limit = $reply && $reply->{json}{violations} ? $JSON->encode($reply->{json}{violations}[0]{limit}) : '';
                $n++;
                $wrong++, Test::More::diag("limit $limit, status " . ($reply ? $reply->{status} : "none")) unless $said{$limit} || ($reply && $reply->{status} == 200);
            }
        }
        POSIX::_exit($wrong ? 1 : $n > 4 ? 0 : 2);
    }
    push @readers, $pid;
}
$feed->policy('torn', 'pol_torn', [{ tenant => $true }], { languages => $_ }) for @torn;
$t->write('tmp/stop', '');
for my $pid (@readers) { waitpid $pid, 0; is($? >> 8, 0, 'a reader saw only whole documents') }
ok(heard(), 'all have come');

# Revocations are counted here; auth asks for them.
$feed->revocation('acme', 'rev_1', token_id => 'jti-1');
$feed->revocation('acme', 'rev_2', subject => 'ann');
$feed->revocation('acme', 'rev_3', all => $true);
ok($t->wait_until(30, sub { metric('revocations') == 3 }), 'revocations are known');
$feed->no_revocation('acme', $_) for qw(rev_1 rev_2 rev_3);
ok($t->wait_until(30, sub { metric('revocations') == 0 }), 'and gone');

# The executor goes: what was heard last holds.
$feed->stop;
my $failures = metric('failures_total');
ok($t->wait_until(30, sub { metric('failures_total') > $failures }), 'the executor is away');
is(statuses('python', tenant => 'acme'), '403', 'what was forbidden stays so');
is(statuses('bash', tenant => 'acme'), '200', 'what was allowed too');
$feed->policy('acme', 'pol_1', [{ tenant => $true }], { languages => ['python'] });
$feed->start;
ok(become('403', 'bash', tenant => 'acme'), 'what changed meanwhile arrives when it is back');
is(statuses('python', tenant => 'acme'), '200', 'whole');

# Answers of no use change nothing, whatever they are.
my %good = (instance => $feed->{instance}, revision => 9999, complete => $true, changes => []);
my $change = { revision => 9998, kind => 'policy', tenant => 'acme', policy_id => 'pol_1', version => 9, applies_to => [{ tenant => $true }], document => { version => 1, languages => [] } };
sub http { my ($body, $status) = @_; return 'HTTP/1.1 ' . ($status // '200 OK') . "\r\nContent-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body" }
sub answer { return (raw => http($JSON->encode({ %good, @_ }))) }
my %bad = (
    'an error' => [raw => http('{}', '500 No')], 'a redirect' => [raw => "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"],
    'a refusal' => [raw => http('{"code":"unauthorized"}', '401 No')],
    'a 200 without a body' => [raw => http('')], 'no JSON' => [raw => http('nothing')], 'an array' => [raw => http('[]')], 'half of it' => [raw => http(substr $JSON->encode({ %good, changes => [$change] }), 0, 100)],
    'a cut body' => [raw => substr(http($JSON->encode(\%good)), 0, -5), close => 1], 'no HTTP' => [raw => "SSH-2.0-x\r\n"], 'closed at once' => [raw => '', close => 1],
    'a huge length' => [raw => "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n"], 'a body without end' => [raw => "HTTP/1.1 200 OK\r\n\r\n" . 'x' x 4096, close => 1],
    'a head without end' => [raw => "HTTP/1.1 200 OK\r\n" . "X: y\r\n" x 20_000], 'two lengths' => [raw => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"],
    'chunks without end' => [raw => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" . ("10000\r\n" . 'x' x 65536 . "\r\n") x 100],
    'more than was asked' => [raw => http($JSON->encode(\%good)) x 2],
    'no instance' => [answer(instance => undef)], 'another kind of instance' => [answer(instance => 'me')], 'a revision that is none' => [answer(revision => 'x')], 'a negative one' => [answer(revision => -1)],
    'one that goes back' => [answer(revision => 1)], 'no changes' => [answer(changes => undef)], 'changes that are none' => [answer(changes => [1])], 'an unknown kind' => [answer(changes => [{ %$change, kind => 'x' }])],
    'no tenant' => [answer(changes => [{ %$change, tenant => '' }])], 'a tenant that leaves its place' => [answer(changes => [{ %$change, tenant => '../x' }])], 'a target that is none' => [answer(changes => [{ %$change, applies_to => [{ x => 1 }] }])],
    'too many targets' => [answer(changes => [{ %$change, applies_to => [map { { app => "a$_" } } 1 .. 65] }])], 'a target twice' => [answer(changes => [{ %$change, applies_to => [{ app => 'a', agent => 'b' }] }])],
    'disorder' => [answer(changes => [$change, { %$change, revision => 9997, policy_id => 'pol_2' }])], 'a revision twice' => [answer(changes => [$change, $change])], 'too many changes' => [answer(changes => [map { { %$change, revision => 5000 + $_, policy_id => "p$_" } } 1 .. 257])],
    'nothing, with more to come' => [answer(complete => JSON::PP::false)], 'a reset with changes' => [answer(reset => $true, complete => JSON::PP::false, changes => [$change])], 'a revocation of nothing' => [answer(changes => [{ revision => 9998, kind => 'revocation', tenant => 'acme', revocation_id => 'r', issued_before => 1, expires_at => 2 }])],
    'a revocation of all and one' => [answer(changes => [{ revision => 9998, kind => 'revocation', tenant => 'acme', revocation_id => 'r', all => $true, subject => 'x', issued_before => 1, expires_at => 2 }])],
);
for my $name (sort keys %bad) {
    $failures = metric('failures_total');
    my $recovered = () = $t->error_log =~ /event=control\.answered/g;
    $feed->play(@{ $bad{$name} });
    ok($t->wait_until(30, sub { metric('failures_total') > $failures }), "$name is no answer");
    # A good one in between, so that the pauses stay short; it is nothing new.
    $feed->play;
    $feed->touch;
    $t->wait_until(30, sub { (() = $t->error_log =~ /event=control\.answered/g) > $recovered });
}
is(statuses('python', tenant => 'acme') . statuses('bash', tenant => 'acme'), '200403', 'after all of these nothing has changed');
is(metric('revision'), $feed->{revision}, 'the revision neither');
$feed->play;
$feed->policy('acme', 'pol_1', [{ tenant => $true }], { languages => ['bash'] });
ok(become('403', 'python', tenant => 'acme'), 'and the next good one is taken');

# One that is slow or silent costs its own time only.
$feed->play(drip => 0.05);
$feed->policy('acme', 'pol_1', [{ tenant => $true }], { languages => ['python'] });
is(statuses('bash', tenant => 'acme'), '200', 'a dripping answer holds nobody up');
$feed->stop->start;
$feed->play;
ok(become('200', 'python', tenant => 'acme'), 'and is forgotten when its connection ends');

# A feed that begins anew, in pages: what was holds until the new set is whole.
$feed->restart;
$feed->policy('acme', 'pol_new', [{ tenant => $true }], { languages => ['javascript'] });
$feed->policy('t' . $_ % 7, "pol_$_", [{ app => "a$_" }], { languages => ['bash'] }) for 1 .. 40;
$feed->{page} = 5;
$feed->tell;
ok(become('200', 'javascript', tenant => 'acme'), 'another feed is taken');
is(statuses('python', tenant => 'acme'), '403', 'and the old one is gone');
ok($t->wait_until(30, sub { metric('documents') == 41 }), 'all of it, nothing else');
is(statuses('python', tenant => 't3', app => 'a3'), '403', 'from every page');
like($t->error_log, qr/event=control\.reset_asked/, 'it is told');
delete $feed->{page};

# A document of a newer executor.
$feed->policy('acme', 'pol_newer', [{ app => 'strange' }], { version => 1, telepathy => { max => 3 } });
ok(become('503', 'javascript', tenant => 'acme'), 'a document that cannot be read: the tenant is refused');
is(statuses('python', tenant => 'other'), '200', 'others are not');
like($t->error_log, qr/event=control\.unreadable tenant=acme policy=pol_newer version=1 at="[^"]*telepathy/, 'it is told, with the place');
is($t->request('GET', '/free', tenant => 'acme')->{status}, 200, 'what mends it is reached');
$feed->no_policy('acme', 'pol_newer');
ok(become('200', 'javascript', tenant => 'acme'), 'without it the tenant is back');

# Workers die.
$t->{expect_log} = qr/exited on signal 9|zone "\w+" was locked by/;    # the master frees what the killed one held
for my $round (1 .. 6) {
    my $n = $round;
    my @pids = $workers->pids;
    kill 'KILL', $pids[ $round % 4 ];
    my $begin = time;
    my $languages = $round % 2 ? ['bash'] : ['javascript'];
    $feed->policy('acme', 'pol_new', [{ tenant => $true }], { languages => $languages });
    ok($t->wait_until(30, sub { (() = $t->gateway_workers) == 4 }) && $workers->find, "round $round: a worker is killed and replaced");
    ok(become($round % 2 ? '200' : '403', 'bash', tenant => 'acme'), 'the change is at all four');
}
my @all = $t->gateway_workers;
kill 'KILL', @all;
ok($t->wait_until(30, sub { my %old = map { $_ => 1 } @all; (() = grep { !$old{$_} } $t->gateway_workers) == 4 }) && $workers->find, 'all killed at once, and replaced');
is(statuses('bash', tenant => 'acme'), '403', 'and what was known is known: it is in the zone');
# Who has the lease is stopped, not dead: the others take over within 300 ms, whoever it is.
for my $pid ($workers->pids) {
    kill 'STOP', $pid;
    my @others = grep { $_ != $pid } $workers->pids;
    my $languages = $feed->{things}{pol_new}{document}{languages}[0] eq 'bash' ? 'javascript' : 'bash';
    $feed->policy('acme', 'pol_new', [{ tenant => $true }], { languages => [$languages] });
    ok($t->wait_until(30, sub { my @got = map { $workers->ask($_, bytes($languages, tenant => 'acme')) } @others; !grep { !$_ || $_->{status} != 200 } @got }), 'a worker is stopped: the others go on');
    kill 'CONT', $pid;
    ok(become('200', $languages, tenant => 'acme'), 'and when it wakes it knows as well');
}

# Reloads.
for my $round (1 .. 4) {
    ok($t->reconfigure_front(control('1m'), %server, workers => 4) && $workers->find, "reload $round");
    my $language = $round % 2 ? 'bash' : 'python';
    is(metric('documents'), 41, 'what was known is kept');
    $feed->policy('acme', 'pol_new', [{ tenant => $true }], { languages => [$language] });
    ok(become('200', $language, tenant => 'acme'), 'changes arrive at the new workers');
}

# A zone that is too small.
my @much = map { { name => sprintf('package-%05d-%s', $_, 'x' x 40), versions => '>=1.0,<2' } } 1 .. 1500;
$feed->policy("big$_", "pol_big$_", [{ tenant => $true }], { dependencies => { pip => \@much } }) for 1 .. 6;
ok($t->wait_until(30, sub { metric('full_total') > 0 }), 'what finds no room is counted');
like($t->error_log, qr/\[crit\].*event=control\.full tenant=big\d/, 'and told');
is(statuses('python', tenant => 'acme'), '200', 'others are served as before');
is(statuses('bash', tenant => 'acme'), '403', 'by what was known');
ok(become('503', 'python', tenant => 'big6'), 'the tenant without room is refused');
$feed->policy('acme', 'pol_new', [{ tenant => $true }], { languages => ['bash'] });
$feed->no_policy("big$_", "pol_big$_") for 1 .. 6;
ok($t->wait_until(20, sub { statuses('python', tenant => 'big6') eq '200' }), 'when there is room again they are let in');
ok($t->reconfigure_front(control('16m'), %server, workers => 4) && $workers->find, 'a reload with another size');
ok(become('200', 'bash', tenant => 'acme'), 'learns anew');

# The configuration.
my $zone = 'zone=control:1m';
for my $case (["sandbox_control http://127.0.0.1:1", qr/number of arguments/], ["sandbox_control http://127.0.0.1:1 zone=control:4k", qr/invalid zone size/], ["sandbox_control http://127.0.0.1:1 zone=control", qr/invalid zone/],
    ["sandbox_control ftp://x $zone", qr/invalid URL/], ["sandbox_control http://user\@127.0.0.1 $zone", qr/invalid URL/], ["sandbox_control http:// $zone", qr/invalid URL/], ["sandbox_control http://no-such-host.invalid $zone", qr/host not found/],
    ["sandbox_control http://127.0.0.1:1 $zone timeout=0", qr/invalid timeout/], ["sandbox_control http://127.0.0.1:1 $zone timeout=31s", qr/invalid timeout/], ["sandbox_control http://127.0.0.1:1 $zone x=y", qr/invalid parameter/],
    ["sandbox_control http://127.0.0.1:1 timeout=5s", qr/needs "zone/], ["sandbox_control http://127.0.0.1:1 $zone; sandbox_control http://127.0.0.1:1 zone=b:1m", qr/duplicate/]) {
    my ($text, $words) = @$case;
    like($t->complaint("$text;"), $words, "\"$text\" is refused");
}
my (undef, $said) = $t->accepts("sandbox_auth on; sandbox_auth_secret_file $t->{dir}/etc/jwt.secret; sandbox_control http://127.0.0.1:1 $zone;");
like($said, qr/"sandbox_control" needs "sandbox_limit_zone"/, 'documents with rates need somebody to count');
is($t->complaint("sandbox_control http://127.0.0.1:1 $zone timeout=5s;"), '', 'a TCP address is fine');

unlike($t->error_log, qr/signal (6|11)|event=control\.reset a worker/, 'nobody crashed, nothing was emptied');
$t->finish;
done_testing();
