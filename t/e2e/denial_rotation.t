#!/usr/bin/perl
# The denial log is rotated while a worker is stopped: what that refuses before it has heard of it goes into the old file,
# and is in the audit all the same.
use strict;
use warnings;
use lib 't/lib';
use Sandbox;
use Sandbox::Workers;
use Test::More;

my $own = Sandbox::free_port();
my $t = Sandbox->new(executor => { 'pool.default' => 0 });
$t->start(gateway => { conf => sub {
    my ($text) = @_;
    $text =~ s/worker_processes \d+;/worker_processes 3;/ or die;
    $text =~ s/(server \{\n)/$1        listen 127.0.0.1:$own reuseport; $Sandbox::Workers::CONF\n/ or die;
    return $text;
} });
my $workers = Sandbox::Workers->new($own, 3);
ok($workers->find, 'three workers');
my ($late, @prompt) = $workers->pids;
my $file = "$t->{dir}/data/denials/denials.jsonl";
my $n = 0;
sub bytes { $n++; return "GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: rotated-$n\r\nAuthorization: Bearer rubbish\r\n\r\n" }
sub audited { return map { $_->{request_id} } grep { ($_->{body}{source} // '') eq 'edge' } Sandbox::_records(glob "$t->{dir}/data/audit/audit-*.jsonl") }
sub arrives { my ($want) = @_; return $t->wait_until(30, sub { grep { $_ eq $want } audited() }) }
sub wrote { my ($path, $id) = @_; return Sandbox::_slurp($path) =~ /"request_id":"\Q$id\E"/ }
sub state_of { my ($pid) = @_; return Sandbox::_slurp("/proc/$pid/stat") =~ /^\d+ \(.*\) (\S)/ ? $1 : '' }

# All but the stopped one have the new file, and have written to it; the stopped one has a request that waits.
sub rotate {
    my ($name, $then) = @_;
    kill 'STOP', $late;
    ok($t->wait_until(30, sub { state_of($late) eq 'T' }), "$name: a worker is stopped");
    rename "$file.$_", "$file." . ($_ + 1) for reverse grep { -e "$file.$_" } 1 .. 3;
    rename $file, "$file.1";
    kill 'USR1', $t->{pid}{gateway};
    for my $pid (@prompt) {
        ok($t->wait_until(30, sub { $workers->ask($pid, bytes()); $t->wait_until(30, sub { grep { wrote($_, "rotated-$n") } $file, "$file.1" }); wrote($file, "rotated-$n") }),
           "$name: another writes to the new file");
    }
    $then->();
    my $reply = $workers->ask_during($late, bytes(), sub { kill 'CONT', $late });
    is($reply && $reply->{status}, 401, "$name: it is let go, and refuses");
    ok($t->wait_until(30, sub { wrote("$file.1", "rotated-$n") }), "$name: which it writes to the old file");
    return "rotated-$n";
}

is($workers->ask($_, bytes())->{status}, 401, 'a refusal') for $late, @prompt;
ok(arrives("rotated-$n"), 'is in the audit');

my $denial = rotate('executord is there', sub { ok(arrives("rotated-$n"), 'what is in the new file is taken') });
ok(arrives($denial), 'the late one is taken too');
is($workers->ask($late, bytes())->{status}, 401, 'its next refusal');
ok($t->wait_until(30, sub { wrote($file, "rotated-$n") }), 'is in the new file');
ok(arrives("rotated-$n"), 'and in the audit');

$denial = rotate('executord is away', sub { is($t->stop('executor'), 0, 'executord stops') });
$t->start_executor;
ok(arrives($denial), 'the late one is taken after the start');
$denial = rotate('executord is killed', sub { ok(arrives("rotated-$n"), 'what is in the new file is taken'); $t->kill9('executor') });
$t->start_executor;
ok(arrives($denial), 'the late one is taken after the start');

is($workers->ask($_, bytes())->{status}, 401, 'one more') for $late, @prompt;
# Each worker writes its line after the answer: that of the last one may be there before those of the others.
my %seen;
ok($t->wait_until(30, sub { %seen = (); $seen{$_}++ for audited(); return $n == grep { $seen{"rotated-$_"} } 1 .. $n }), 'each is in the audit');
is_deeply([sort keys %seen], [sort map { "rotated-$_" } 1 .. $n], 'and nothing else');
is_deeply([grep { $seen{$_} != 1 } sort keys %seen], [], 'once');
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the chain holds') or diag $said;
delete $t->{killed};
$t->finish;
done_testing();
