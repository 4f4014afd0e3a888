#!/usr/bin/perl
# Reloading under load, with several workers: no request is lost or answered wrongly,
# long replies run to their end, a broken configuration changes nothing.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Edge;
use Test::More;
use Time::HiRes qw(time sleep);

my $t = Sandbox::Edge->new;
$t->write('www/slow', 'x' x 30_000);
chmod 0755, "$t->{dir}/www";
my $http = "sandbox_auth on; sandbox_auth_secret_file $t->{dir}/etc/jwt.secret; sandbox_auth_cache zone=tokens:256k;";
$t->start_edge($http, workers => 3);
ok($t->wait_until(30, sub { (() = $t->gateway_workers) == 3 }), 'three workers');

# Clients: each request on a connection of its own, so that none races with a worker that
# closes an idle one. A line for everything that is not what it should be.
my ($end, $stop) = (time + 5, "$t->{dir}/tmp/stop");
my @clients;
for my $client (1 .. 4) {
    my $file = "$t->{dir}/tmp/client$client";
    my $pid = fork // die $!;
    if (!$pid) {
        my ($n, %wrong) = (0);
        while (!-e $stop && time < $end + 120) {
            my $good = $n % 2;
            my $token = $good ? $t->token(jti => "c$client-" . $n % 7) : 'a.b.c';
            my $reply = $t->ask("GET /c$client/$n HTTP/1.1", 'Host: localhost', "Authorization: Bearer $token", 'Connection: close');
            my $status = $reply ? $reply->{status} : 'none';
            my $fine = $status eq ($good ? 200 : 401) && (!$good || $reply->{json}{uri} eq "/c$client/$n" && $t->open_context($reply->{json}{sandbox_context}));
            $wrong{$status}++ unless $fine;
            $n++;
        }
        open my $out, '>', "$file.tmp" or POSIX::_exit(1);
        print {$out} join ' ', $n, map { "$_=$wrong{$_}" } sort keys %wrong;
        close $out;
        rename "$file.tmp", $file;
        POSIX::_exit(0);
    }
    push @clients, [$pid, $file];
}

# A reply of 2 s that begins before the reloads.
my $slow = fork // die $!;
if (!$slow) {
    my $reply = $t->ask('GET /slow HTTP/1.1', 'Host: localhost', 'Authorization: Bearer ' . $t->token, 'Connection: close');
    POSIX::_exit($reply && $reply->{status} == 200 && length $reply->{content} == 30_000 ? 0 : 1);
}

# At least so many, however long they take.
my ($reloads, %old) = (0);
while (time < $end || $reloads < 5) {
    $reloads++;
    $t->write('etc/gateway.conf', $t->gateway_conf($t->edge_conf($http, workers => 2 + $reloads % 3)));
    %old = map { $_ => 1 } $t->gateway_workers;
    $t->reload_gateway;
    $t->wait_until(30, sub { grep { !$old{$_} } $t->gateway_workers }) or last;
    sleep 0.2;
}
$t->write('tmp/stop', '');
cmp_ok($reloads, '>=', 5, "$reloads reloads under load");

my $total = 0;
for my $client (@clients) {
    my ($pid, $file) = @$client;
    waitpid $pid, 0;
    my ($n, @wrong) = split / /, $t->read_file($file =~ s{^\Q$t->{dir}\E/}{}r);
    is_deeply(\@wrong, [], 'a client: ' . ($n // 'no') . ' requests, none lost, none wrong');
    $total += $n // 0;
}
cmp_ok($total, '>', 200, "$total requests in all");
waitpid $slow, 0;
is($?, 0, 'a long reply ran to its end over the reloads');
ok($t->wait_until(30, sub { my @now = $t->gateway_workers; @now == 2 + $reloads % 3 && !grep { $old{$_} } @now }), 'the old workers are gone');

# A configuration that is refused.
my @before = sort $t->gateway_workers;
$t->{expect_log} = qr/\[emerg\].*sandbox_auth_leeway|\[emerg\].*leeway is at most/;
$t->write('etc/gateway.conf', $t->gateway_conf($t->edge_conf("$http sandbox_auth_leeway 1h;")));
$t->reload_gateway;
ok($t->wait_until(30, sub { $t->error_log =~ /leeway is at most/ }), 'a broken configuration is refused with its reason');
is_deeply([sort $t->gateway_workers], \@before, 'the workers stay');
is($t->request('GET', '/', token => $t->token)->{status}, 200, 'and serve');

# A worker killed: another takes its place, the cache goes on.
my ($victim) = $t->gateway_workers;
my $token = $t->token(jti => 'kill');
$t->request('GET', '/', token => $token);
kill 'KILL', $victim;
ok($t->wait_until(30, sub { my %now = map { $_ => 1 } $t->gateway_workers; !$now{$victim} && keys %now == @before }), 'a killed worker is replaced');
$t->{expect_log} = qr/\[emerg\].*leeway is at most|\[alert\].*exited on signal 9/;
is($t->request('GET', '/', token => $token)->{status}, 200, 'and requests go on');
ok($t->wait_until(30, sub { $t->request('GET', '/', token => $token); ($t->access_log)[-1] =~ /cache=HIT/ }), 'the cache of tokens too');
$t->finish;
done_testing();
