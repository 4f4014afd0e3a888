#!/usr/bin/perl
# The feed that gateways ask: whose it is, its order and pages, who waits for it, who has to begin again, and that neither a
# stop nor a kill loses or halves a change.
use strict;
use warnings;
use lib 't/lib';
use JSON::PP;
use POSIX qw(strftime);
use Sandbox;
use Sandbox::Context;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new(executor => { 'pool.default' => 0 });
$t->start_launcher->start_executor;
my ($TRUE, $FALSE) = (JSON::PP::true, JSON::PP::false);
my $zeros = '0' x 32;
sub context { return Sandbox::Context::sign($t->{key}, @_) }
sub ask { my ($method, $path, %option) = @_; my %as = %{ delete $option{as} || {} }; return $t->executor_request($method, $path, context => context(scopes => 'admin', %as), %option) }
my %gateway = (tenant => '-', app => '', agent => '', sub => 'gateway', gateway => $TRUE);
sub feed { my ($query, %option) = @_; return $t->executor_request('GET', '/v1/gateway/changes' . ($query // ''), context => context(%gateway), %option) }
sub make { my (%more) = @_; my $as = delete $more{as} || {}; return ask('POST', '/v1/policies', as => $as, json => { name => 'one', document => {}, %more })->{json} }
sub metric { my ($name) = @_; return $t->executor_request('GET', '/metrics')->{content} =~ /^sandbox_executor_$name (\d+)$/m ? $1 : undef }

# Whose it is.
for my $case (['a client', {}], ['an admin', { scopes => 'admin' }], ['a tenant of that name', { tenant => '-', scopes => 'admin' }], ['one that says no', { gateway => undef }]) {
    is($t->executor_request('GET', '/v1/gateway/changes', context => context(%{ $case->[1] }))->{status}, 404, "for $case->[0] there is no such path");
}
is($t->executor_request('GET', '/v1/gateway/changes', context => context(gateway => $_))->{status}, 401, 'a context whose member is malformed') for $FALSE, 'true', 1;
is($t->executor_request('GET', '/v1/gateway/changes')->{status}, 401, 'without a context');
for my $case (['GET', '/v1/jobs'], ['POST', '/v1/jobs'], ['GET', '/v1/policies'], ['POST', '/v1/policies'], ['POST', '/v1/revocations'], ['GET', '/v1/sessions'], ['GET', '/v1/gateway'],
    ['GET', '/v1/gateway/changes/'], ['GET', '/v1/gateway/other'], ['GET', '/nothing'], ['GET', '/v1/policies/pol_01m7yep0vh3nhv2pk7vh28r48r']) {
    my ($method, $path) = @$case;
    is($t->executor_request($method, $path, context => context(%gateway, scopes => 'admin'), $method eq 'POST' ? (json => {}) : ())->{status}, 401, "a gateway's own context is refused: $method $path");
}
is($t->executor_request($_, '/v1/gateway/changes', context => context(%gateway))->{status}, 405, "$_: 405") for qw(POST PUT DELETE PATCH);
is(feed("?$_")->{status}, 422, "$_: 422") for 'after=', 'after=-1', 'after=x', 'after=1x', 'after=0x1', 'after=' . '9' x 19, 'after', "instance=$zeros" . '0', 'instance=' . '0' x 31, 'instance=' . 'A' x 32,
    'instance=%00', 'wait=31s', 'wait=-1', 'wait=', 'wait=x', 'wait=9999999999999999999', 'other=1', 'AFTER=1';

# Nothing, then something.
my $empty = feed()->{json};
like($empty->{instance}, qr/^[0-9a-f]{16}0{16}$/, 'an instance');
is_deeply([@$empty{qw(revision complete reset changes)}], [0, $TRUE, $FALSE, []], 'and nothing');
my $instance = $empty->{instance};
my $first = make(document => { languages => ['python'] }, applies_to => [{ tenant => $TRUE }, { template => 'default' }]);
my $second = make(as => { tenant => 'umbrella' }, applies_to => [{ app => 'web' }]);
my $ends = time + 86400;
my $third = ask('POST', '/v1/revocations', json => { token_id => 'tok-1', expires_at => strftime('%Y-%m-%dT%H:%M:%SZ', gmtime $ends) })->{json};
my $all = feed()->{json};
is_deeply([map { [@$_{qw(revision kind tenant)}] } @{ $all->{changes} }], [[1, 'policy', 'acme'], [2, 'policy', 'umbrella'], [3, 'revocation', 'acme']], 'all tenants, in order');
is_deeply($all->{changes}[0], { revision => 1, kind => 'policy', tenant => 'acme', policy_id => $first->{policy_id}, version => 1, applies_to => [{ tenant => $TRUE }, { template => 'default' }],
    document => { id => $first->{policy_id}, version => 1, languages => ['python'] } }, 'a policy');
is($all->{changes}[2]{expires_at}, int $ends, 'in Unix seconds');
is_deeply([@{ $all->{changes}[2] }{qw(token_id revocation_id subject all)}], ['tok-1', $third->{revocation_id}, undef, undef], 'a revocation');
is_deeply([@$all{qw(instance revision complete reset)}], [$instance, 3, $TRUE, $FALSE], 'whole');
is_deeply(feed("?after=3&instance=$instance")->{json}{changes}, [], 'nothing newer');
is_deeply([map { $_->{revision} } @{ feed("?after=1&instance=$instance")->{json}{changes} }], [2, 3], 'only what is newer');

# Each thing once, as it now is.
ask('PUT', "/v1/policies/$first->{policy_id}", headers => { 'If-Match' => '"1"' }, json => { name => 'two', document => { languages => [] }, applies_to => [] });
is(ask('DELETE', "/v1/policies/$second->{policy_id}", as => { tenant => 'umbrella' })->{status}, 204, 'one is deleted');
is(ask('DELETE', "/v1/revocations/$third->{revocation_id}")->{status}, 204, 'a revocation is lifted');
is_deeply(feed("?after=3&instance=$instance")->{json}{changes}, [
    { revision => 4, kind => 'policy', tenant => 'acme', policy_id => $first->{policy_id}, version => 2, applies_to => [], document => { id => $first->{policy_id}, version => 2, languages => [] } },
    { revision => 5, kind => 'policy', tenant => 'umbrella', policy_id => $second->{policy_id}, deleted => $TRUE },
    { revision => 6, kind => 'revocation', tenant => 'acme', revocation_id => $third->{revocation_id}, deleted => $TRUE },
], 'a draft, and two that are gone');
is_deeply(feed()->{json}{changes}, feed("?after=3&instance=$instance")->{json}{changes}, 'which is all there is');
is(metric('policy_revision'), 6, 'the counter');
is(metric('policies'), 1, 'and the number of policies');

# What was refused moved nothing.
is(ask('POST', '/v1/policies', json => { name => 'x', document => { languages => 1 } })->{status}, 422, 'a wrong document');
is(ask('PUT', "/v1/policies/$first->{policy_id}", headers => { 'If-Match' => '"1"' }, json => { name => 'x', document => {} })->{status}, 412, 'a stale change');
is(feed("?after=6&instance=$instance")->{json}{revision}, 6, 'no change of it');

# Who has to begin again.
my $other = substr($instance, 0, 15) . (substr($instance, 15, 1) eq '0' ? '1' : '0') . substr $instance, 16;
for my $case (['knows more than there is', "after=7&instance=$instance"], ['is of another database', "after=3&instance=$other"], ['does not say of which', 'after=3'], ['was never told that', "after=999999999999999999&instance=$instance"],
    ['is of another database and waits', "after=6&instance=$other&wait=20s"]) {
    my $before = time;
    my $reply = feed("?$case->[1]");
    is_deeply($reply->{json}, { instance => $instance, revision => 0, complete => $FALSE, reset => $TRUE, changes => [] }, "one that $case->[0]");
    cmp_ok(time - $before, '<', 10, 'at once');
}
is(feed("?after=0&instance=$other")->{json}{reset}, $FALSE, 'who begins is not told to');

# Waiting. A request each in a child; what it was answered comes back through a pipe.
sub later {
    my ($query) = @_;
    pipe my $read, my $write or die $!;
    my $pid = fork // die $!;
    if (!$pid) {
        close $read;
        my $before = time;
        my $reply = feed($query, timeout => 40);
        print {$write} JSON::PP->new->utf8->encode({ status => $reply ? $reply->{status} : 0, json => $reply ? $reply->{json} : undef, took => time - $before });
        close $write;
        POSIX::_exit(0);
    }
    close $write;
    return { pid => $pid, read => $read };
}
sub answer { my ($child) = @_; local $/; my $handle = $child->{read}; my $text = <$handle>; waitpid $child->{pid}, 0; return JSON::PP->new->utf8->decode($text) }
sub waiting { my ($n) = @_; return $t->wait_until(30, sub { metric('policy_feed_waiters') == $n }) }

my $before = time;
is_deeply(feed("?after=6&instance=$instance&wait=300ms")->{json}, { instance => $instance, revision => 6, complete => $TRUE, reset => $FALSE, changes => [] }, 'a wait that is over');
cmp_ok(time - $before, '>=', 0.3, 'not before');
my @waiters = map { later("?after=6&instance=$instance&wait=30s") } 1 .. 64;
ok(waiting(64), 'sixty-four wait');
my $more = feed("?after=6&instance=$instance&wait=30s");
is("$more->{status} $more->{json}{code} " . ($more->{headers}{'retry-after'} // ''), '503 unavailable 1', 'one more does not');
is(feed("?after=6&instance=$instance")->{status}, 200, 'but may ask');
is(feed("?after=3&instance=$instance&wait=30s")->{json}{revision}, 6, 'and who has something to hear does not wait');
my $since = time;
my $fourth = make(name => 'live', applies_to => [{ agent => 'coder' }]);
my @said = map { answer($_) } @waiters;
is(scalar(grep { $_->{status} == 200 && $_->{json}{revision} == 7 && @{ $_->{json}{changes} } == 1 && $_->{json}{changes}[0]{policy_id} eq $fourth->{policy_id} } @said), 64, 'all are told');
cmp_ok(time - $since, '<', 10, 'by the commit and not by the clock');
ok(waiting(0), 'and nobody waits any more');

# Who leaves gives its place up.
my $leaver = IO::Socket::UNIX->new(Peer => "$t->{dir}/sock/executord.sock");
print {$leaver} "GET /v1/gateway/changes?after=7&instance=$instance&wait=30s HTTP/1.1\r\nHost: x\r\nSandbox-Context: " . context(%gateway) . "\r\n\r\n";
ok(waiting(1), 'one waits');
close $leaver;
ok(waiting(0), 'and leaves');

# Pages: by number, and by bytes.
make(name => "many $_") for 1 .. 200;
ask('POST', '/v1/revocations', json => { subject => "subject-$_" }) for 1 .. 100;
my ($after, @pages) = (0);
for (1 .. 10) {
    my $page = feed("?after=$after&instance=$instance")->{json};
    push @pages, $page;
    $after = $page->{revision};
    last if $page->{complete};
}
is_deeply([map { scalar @{ $_->{changes} } } @pages], [256, 48], 'so many to a page');
is($pages[0]{revision}, $pages[0]{changes}[-1]{revision}, 'its revision is that of its last');
my @revisions = map { map { $_->{revision} } @{ $_->{changes} } } @pages;
is_deeply(\@revisions, [4 .. 307], 'each once');
my $tall = { languages => [map { sprintf 'language-%03d-%s', $_, 'x' x 40 } 1 .. 32] };
my @tall = map { make(as => { tenant => "t$_" }, name => 'tall', document => $tall) } 1 .. 3;
my $bytes = length feed("?after=307&instance=$instance")->{content};
cmp_ok($bytes, '>', 4000, 'larger ones, together');
is(scalar @{ feed("?after=307&instance=$instance")->{json}{changes} }, 3, 'on one page');

# Over a stop and a kill. Changes go on while it is killed: each answered one is there, in whole, and none is half.
my $head = feed("?after=0")->{json};
$t->stop('executor');
$t->start_executor;
is(feed("?after=310&instance=$instance")->{json}{revision}, 310, 'after a restart: the same feed');
is_deeply(feed("?after=0")->{json}, $head, 'with the same in it');
my $waits = later("?after=310&instance=$instance&wait=30s");
ok(waiting(1), 'one waits');
is($t->stop('executor', 'TERM', 20), 0, 'a stop does not wait for who waits');
is_deeply([@{ answer($waits)->{json} }{qw(revision changes)}], [310, []], 'who is answered');
$t->start_executor;
my (%acknowledged, $known);
for my $round (1 .. 3) {
    pipe my $read, my $write or die $!;
    my $writer = fork // die $!;
    if (!$writer) {
        close $read;
        $write->autoflush(1);
        for my $n (1 .. 100_000) {
            my $reply = eval { ask('POST', '/v1/policies', as => { tenant => "k$round-" . int($n / 200) }, json => { name => "kill $n", document => { languages => ['bash'] }, applies_to => [] }) };
            last unless $reply && $reply->{status};
            print {$write} "$reply->{json}{policy_id}\n" if $reply->{status} == 201;
        }
        POSIX::_exit(0);
    }
    close $write;
    my $n = 0;
    while (my $id = <$read>) {
        chomp $id;
        $acknowledged{$id} = 1;
        $t->kill9('executor') if ++$n == 40 * $round;
    }
    waitpid $writer, 0;
    $t->start_executor;
}
my (%told, @bad);
$after = 310;
while (1) {
    my $page = feed("?after=$after&instance=$instance")->{json};
    for my $change (@{ $page->{changes} }) {
        push @bad, $change unless $change->{revision} > $after && $change->{document}{languages}[0] eq 'bash' && $change->{document}{id} eq $change->{policy_id};
        $after = $change->{revision};
        $told{ $change->{policy_id} } = $change->{tenant};
    }
    last if $page->{complete};
}
is(scalar(grep { !$told{$_} } keys %acknowledged), 0, 'each of ' . keys(%acknowledged) . ' that were answered is told');
is_deeply(\@bad, [], 'none is half');
is(metric('policy_revision'), $after, 'and the counter stands at the last');
is(scalar(grep { ask('GET', "/v1/policies/$_", as => { tenant => $told{$_} })->{status} != 200 } keys %told), 0, 'each that is told is there');
my ($fine, $why) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $why;
my %audited = map { /"kind":"policy\.created"/ && /"object":"(pol_\w+)"/ ? ($1 => 1) : () } $t->audit_lines;
is(scalar(grep { !$audited{$_} } keys %told), 0, 'and has its event');
$t->finish;
done_testing();
