#!/usr/bin/perl
# A change of a policy, from the API to every worker of every gateway: how long it takes, and that neither a gateway nor an
# executor that ends in the middle of one leaves anybody behind.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use List::Util qw(max min);
use Sandbox;
use Sandbox::Workers;
use Test::More;
use Time::HiRes qw(time);

my $JSON = JSON::PP->new->canonical->utf8;
my $CHANGES = $ENV{SANDBOX_CHANGES} // 200;
my $t = Sandbox->new(executor => { 'pool.default' => 0 });
$t->write('etc/policies/default.json', $JSON->encode({ version => 1 }));
my @own = map { Sandbox::free_port() } 1, 2;
my @port = ($t->port, Sandbox::free_port());

# Two gateways of one machine: what they write is each one's own.
sub conf {
    my ($n) = @_;
    return sub {
        my ($text) = @_;
        $text =~ s/worker_processes \d+;/worker_processes 4;/;
        $text =~ s/(listen 127\.0\.0\.1:\@PORT\@;)/$1 listen 127.0.0.1:$own[$n] reuseport; $Sandbox::Workers::CONF/;
        return $text unless $n;
        $text =~ s/\@PORT\@/$port[$n]/g;
        $text =~ s{\@STATE\@/(gateway\.pid|tmp/gateway|logs/|data/denials/)}{\@STATE\@/$1$n.}g;
        return $text =~ s{tmp/gateway1\.}{tmp/gateway1}gr;
    };
}
my @nginx = ('-p', $t->dir);
sub start_second {
    open my $in, '<', "$Sandbox::ROOT/conf/local/gateway.conf.in" or die $!;
    my $text = do { local $/; <$in> };
    my $file = $t->write('etc/gateway1.conf', $t->gateway_conf(conf(1)->($text)));
    $t->_spawn('gateway1', $t->nginx, '-p', $t->dir, '-c', $file, '-g', 'daemon off;');
    $t->wait_until(30, sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port[1]) }) or $t->_died('gateway1');
    return;
}
$t->start(gateway => { conf => conf(0) });
start_second();
my @gateway = map { Sandbox::Workers->new($_, 4) } @own;
ok($gateway[$_]->find, "four workers of gateway $_") for 0, 1;

my $admin = $t->token(scope => 'admin jobs:write jobs:read');
sub api { my ($method, $path, %option) = @_; return $t->request($method, $path, token => $admin, %option) }

# Nothing that is asked for is run: what policy lets pass lacks its code, which the executor finds out.
my $probe = do {
    my $body = '{"language":"bash"}';
    "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer $admin\r\nContent-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
};
sub verdicts { my ($gateway) = @_; my %reply = $gateway->each($probe); return map { $_ ? $_->{status} : 'none' } values %reply }
sub all_say { my ($status) = @_; return !grep { $_ != $status } map { verdicts($_) } @gateway }
ok($t->wait_until(30, sub { all_say(422) }), 'at first bash passes, at every worker of both');

my $made = api('POST', '/v1/policies', json => { name => 'live', document => { languages => ['python'] }, applies_to => [{ tenant => JSON::PP::true }] });
is($made->{status}, 201, 'a policy is made') or diag($made->{content});
my ($id, $version) = ($made->{json}{policy_id}, 1);
ok($t->wait_until(30, sub { all_say(403) }), 'and in force at every worker');
my $allowed = 0;

# The reply to it, and when it was there.
sub change {
    my ($now) = @_;
    my $reply = api('PUT', "/v1/policies/$id", headers => { 'If-Match' => "\"$version\"" },
        json => { name => 'live', document => { languages => $now ? ['bash'] : ['python'] }, applies_to => [{ tenant => JSON::PP::true }] });
    ($version, $allowed) = ($reply->{json}{version}, $now) if $reply->{status} == 200;
    return $reply;
}

# From the moment the change is sent to the moment the last of eight workers has decided by it, each asked on a connection of its own;
# and from the moment it was made to the last question that was decided by what was: a busy machine asks less often, not later.
my (@took, @late, @answered, @missing);
for my $n (1 .. $CHANGES) {
    my $begin = time;
    my $reply = change(!$allowed);
    push @answered, time - $begin;
    my ($made, $late) = (Sandbox::_unix($reply->{json}{updated_at}), 0);
    my $status = $allowed ? 422 : 403;
    my @left = map { my $gateway = $_; map { [$gateway, $_] } $gateway->pids } @gateway;
    while (@left && time < $begin + 30) {
        @left = grep {
            my ($asked, $got) = (time, $_->[0]->ask($_->[1], $probe));
            my $old = !$got || $got->{status} != $status;
            $late = $asked - $made if $old;
            $old;
        } @left;
    }
    push @took, time - $begin;
    push @late, $late;
    push @missing, $n if @left || $reply->{status} != 200;
}
is_deeply(\@missing, [], 'each change came to every worker');
sub figures { my @sorted = sort { $a <=> $b } @_; return sprintf 'min %.0f, median %.0f, p95 %.0f, max %.0f ms', map { 1000 * $_ } $sorted[0], $sorted[ @sorted / 2 ], $sorted[ @sorted * 0.95 ], $sorted[-1] }
diag("$CHANGES changes, 2 gateways x 4 workers, from PUT to the last worker: " . figures(@took));
diag('of which until the PUT was answered: ' . figures(@answered));
cmp_ok(max(@late), '<', 1, 'no worker decided by what was for longer than a second');
cmp_ok(max(@took), '<', 15, 'nor kept anybody waiting');    # for a second, on a machine that does nothing else

# An executor that is killed right after it said yes: the change is durable, and every worker hears of it from the next one.
sub restart { $t->kill9('executor'); $t->start_executor; return }
is(change(!$allowed)->{status}, 200, 'a change is answered');
restart();
ok($t->wait_until(30, sub { all_say($allowed ? 422 : 403) }), 'the executor is killed: after its restart every worker decides by it');

# One that is killed while it is being asked: whatever it then says the policy is, is in force.
for my $round (1 .. 3) {
    my $was = $allowed;
    my $pid = fork // die $!;
    if (!$pid) { POSIX::_exit(change(!$allowed)->{status} == 200 ? 0 : 1) }
    restart();
    waitpid $pid, 0;
    my $told = $? == 0;
    my $now = api('GET', "/v1/policies/$id")->{json};
    $allowed = $now->{document}{languages}[0] eq 'bash' ? 1 : 0;
    ok(!$told || $allowed != $was, "round $round: what was answered is kept");
    $version = $now->{version};
    ok($t->wait_until(30, sub { all_say($allowed ? 422 : 403) }), 'and what is kept is in force everywhere');
}

# While the executor is away both go on by what they know.
$t->kill9('executor');
ok((!grep { $_ != ($allowed ? 503 : 403) } map { verdicts($_) } @gateway), 'without an executor every worker still decides: 403 by policy, or on to nobody');
$t->start_executor;

# A gateway that is killed in the middle, and one that reloads.
my $killer = fork // die $!;
if (!$killer) { kill 'KILL', -$t->{pid}{gateway1}; POSIX::_exit(0) }
is(change(!$allowed)->{status}, 200, 'a change, while a gateway is killed');
waitpid $killer, 0;
waitpid delete $t->{pid}{gateway1}, 0;
start_second();
ok($gateway[1]->find, 'it starts again');
ok($t->wait_until(30, sub { all_say($allowed ? 422 : 403) }), 'and every worker of both decides by it');
my @old = $t->gateway_workers;
$t->reload_gateway;
is(change(!$allowed)->{status}, 200, 'a change, while a gateway reloads');
ok($t->workers_renewed(@old) && $gateway[0]->find, 'its workers are new');
ok($t->wait_until(30, sub { all_say($allowed ? 422 : 403) }), 'and decide by it');

# The executors' word to gateways is no client's.
is($t->request('GET', '/v1/gateway/changes', anonymous => 1)->{status}, 401, 'the feed is not there for strangers');
is(api('GET', "/v1/gateway/changes$_")->{status}, 404, "nor for an administrator: $_") for '', '?after=0', '/', '/x';
is(api('GET', $_)->{status}, 404, "nor by detours: $_") for '/v1/./gateway/changes', '/v1/%67ateway/changes', '//v1/gateway/changes', '/v1/jobs/../gateway/changes';

# Deleted, and everybody is as before.
is(api('DELETE', "/v1/policies/$id", headers => { 'If-Match' => "\"$version\"" })->{status}, 204, 'the policy is deleted');
ok($t->wait_until(30, sub { all_say(422) }), 'at every worker');
my $left = delete $t->{pid}{gateway1};
kill 'QUIT', $left;
waitpid $left, 0;
$t->finish;
done_testing();
