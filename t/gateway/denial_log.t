#!/usr/bin/perl
# Every denial is one whole JSON line, whoever and whatever was denied; the spool is bounded.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Front;
use Test::More;

my $t = Sandbox::Front->new;
my $log = "$t->{dir}/denials.jsonl";
my $dir = $t->policies(default => { id => 'pol_d', version => 4, languages => ['python'], limits => { memory => { default => '64Mi', max => '128Mi' } } });
my $locations = <<'END';
    location = /v1/jobs { sandbox_route jobs.create; sandbox_policy body; client_max_body_size 1m; proxy_pass http://up$sandbox_uri; }
    location /rated { sandbox_rate agent rate=1r/m burst=1; proxy_pass http://up/; }
    location /capped { sandbox_concurrency tenant 1; proxy_pass http://up/slow/file; }
    location /scoped { sandbox_auth_scope admin; proxy_pass http://up/; }
END
mkdir "$t->{dir}/www";
mkdir "$t->{dir}/www/slow";
$t->write('www/slow/file', 'x' x 2_000_000);

for my $bad ("sandbox_denial_log $log max=0;", "sandbox_denial_log $log max=x;", "sandbox_denial_log $log size=5;", "sandbox_denial_log $log max=;",
             "sandbox_denial_log $log; sandbox_denial_log $log.2;", "sandbox_denial_log $t->{dir}/nowhere/d.jsonl;") {
    isnt($t->complaint($bad), '', "refused: $bad");
}

my $http = "sandbox_policy_dir $dir; sandbox_denial_log $log;";
$t->start_front($http, locations => $locations, workers => 2);

# What is no denial.
$t->request('GET', '/');
$t->request('POST', '/v1/jobs', json => { language => 'python', code => 'x' });
$t->request('POST', '/v1/jobs', body => '{', headers => { 'Content-Type' => 'application/json' });
$t->request('POST', '/v1/jobs', json => { language => 5 });
$t->request('POST', '/v1/jobs', body => 'x');
$t->request('GET', '/missing');
is(scalar $t->denials, 0, 'what passes and what is malformed leaves no line');

# A policy's.
$t->request('POST', '/v1/jobs', json => { language => 'ruby', limits => { memory => '1Gi' } }, tenant => 'acme', app => 'web', agent => 'coder', headers => { 'X-Request-Id' => 'mine-1' });
my ($line) = $t->denials(1);
my %want = (event => 'gateway.denial', request_id => 'mine-1', tenant => 'acme', app => 'web', agent => 'coder', subject => 'tester', client => '127.0.0.1',
            route => 'jobs.create', code => 'policy_violation');
is($line->{$_}, $want{$_}, "$_ is $want{$_}") for sort keys %want;
is_deeply($line->{policy}, { id => 'pol_d', version => 4, revision => 0 }, 'the policy');
like($line->{trace}, qr/^[0-9a-f]{32}$/, 'the trace');
like($line->{request_sha256}, qr/^[0-9a-f]{64}$/, 'and the digest of the body');
like($line->{time}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'time is RFC 3339');
is(scalar @{ $line->{violations} }, 2, 'all violations');
is_deeply([@{$line}{qw(rule limit observed)}], [@{ $line->{violations}[0] }{qw(rule limit observed)}], 'the first one in columns');
is((grep { $_->{rule} eq 'limits.memory' } @{ $line->{violations} })[0]{observed}, '1Gi', 'the observed value');

# The others.
$t->request('GET', '/rated', tenant => 'acme', agent => 'fast') for 1 .. 2;
$line = ($t->denials(2))[1];
is_deeply([@{$line}{qw(code rule tenant agent)}], ['rate_limited', 'rates.agent', 'acme', 'fast'], 'a rate\'s');
my $held = $t->begin('GET', '/capped', tenant => 'acme');
$t->wait_until(30, sub { $t->metric('limit_leases') == 1 });
$t->request('GET', '/capped', tenant => 'acme');
close $held;
$line = ($t->denials(3))[2];
is_deeply([@{$line}{qw(code rule limit observed)}], ['concurrency_limited', 'concurrency.tenant', 1, 2], 'a cap\'s');
$t->request('GET', '/scoped', tenant => 'acme');
$line = ($t->denials(4))[3];
is_deeply([@{$line}{qw(code rule tenant)}], ['forbidden', undef, 'acme'], 'a scope\'s');
$t->request('GET', '/', token => 'rubbish');
$t->request('GET', '/', anonymous => 1);
my @line = ($t->denials(6))[4, 5];
is_deeply([map { [@{$_}{qw(code tenant subject)}] } @line], [(['unauthorized', '', '']) x 2], 'a token\'s, with nobody\'s name');
unlike($t->read_file('denials.jsonl'), qr/rubbish|Bearer|eyJ/, 'never the token');

# Nothing of a client's breaks a line.
my $n = 6;
my @hostile = ("ru\nby", "ru\"by", 'ru\\by', "ru\x{2028}by", "\e[31m", '{"x":1}', 'x' x 60, "a\tb");
for my $language (@hostile) {
    my $status = $t->request('POST', '/v1/jobs', json => { language => $language })->{status};
    $n++ if $status == 403;
    ok($status == 403 || $status == 422, "a hostile name is refused ($status)");
}
for my $env ("\x{7f}", "\x{9b}31m") {
    $t->request('POST', '/v1/jobs', json => { language => 'python', template => 'x', env => { "A$env" => $env } });
}
@line = $t->denials($n);
is(scalar(grep { $_->{broken} } @line), 0, 'each line is JSON');
unlike($t->read_file('denials.jsonl'), qr/[\x00-\x09\x0b-\x1f\x7f]/, 'without control characters');

# Many at once from several workers do not mix.
$n = @line;
my $status = $t->many(100, 'POST', '/v1/jobs', tenant => 'crowd', json => { language => 'ruby', limits => { memory => '1Gi' } });
is_deeply($status, { 403 => 100 }, '100 denials at once');
@line = $t->denials($n + 100);
is(scalar @line, $n + 100, 'are 100 lines');
is(scalar(grep { $_->{broken} } @line), 0, 'all whole');

# USR1 opens the file anew, a reload too.
rename $log, "$log.1";
kill 'USR1', $t->{pid}{gateway};
ok($t->wait_until(30, sub { -e $log }), 'USR1 makes a new file');
ok($t->wait_until(30, sub { $t->request('GET', '/', anonymous => 1); -s $log }), 'which is written');
# A worker that comes late would find no file of that name again, and may make none.
ok($t->wait_until(30, sub { !grep { (readlink($_) // '') eq "$log.1" } map { glob "/proc/$_/fd/*" } $t->gateway_workers }), 'no worker has the old one');
rename $log, "$log.2";
ok($t->reconfigure_front($http, locations => $locations, workers => 2), 'reload');
$t->request('GET', '/', anonymous => 1);
ok($t->wait_until(30, sub { -s $log }), 'so does a reload');

# Full: the request is refused all the same, the loss is counted, and noise cannot push out policy's denials.
unlink $log;
ok($t->reconfigure_front("sandbox_policy_dir $dir; sandbox_denial_log $log max=64k;", locations => $locations, workers => 1), 'reload with a small spool');
is($t->many(60, 'GET', '/', token => 'x' x 50)->{401}, 60, '60 bad tokens') for 1 .. 5;
my $size = -s $log;
cmp_ok($size, '<=', 56 * 1024, "noise stops at three quarters ($size)");
cmp_ok($t->metric('denials_lost_total'), '>', 0, 'the rest is counted as lost');
my $lost = $t->metric('denials_lost_total');
is($t->request('POST', '/v1/jobs', json => { language => 'ruby' }, tenant => 'late')->{status}, 403, 'a policy\'s denial');
ok($t->wait_until(30, sub { $t->read_file('denials.jsonl') =~ /"late"/ }), 'still finds room');
is($t->metric('denials_lost_total'), $lost, 'and is not lost');
my $refused = 0;
$refused += $t->many(60, 'POST', '/v1/jobs', tenant => 'flood', json => { language => 'ruby' })->{403} for 1 .. 3;
is($refused, 180, 'a full spool refuses all the same');
cmp_ok(-s $log, '<=', 72 * 1024, 'and grows no more');
like($t->error_log, qr/event=denial\.lost/, 'it is in the error log');

# A reader that punches holes behind itself makes room without moving anything.
is(system('fallocate', '-p', '-o', 0, '-l', 61440, $log), 0, 'a hole');
$t->request('POST', '/v1/jobs', json => { language => 'ruby' }, tenant => 'afterwards');
ok($t->wait_until(30, sub { $t->read_file('denials.jsonl') =~ /"afterwards"/ }), 'room that was given back is used');
cmp_ok(-s $log, '>', $size, 'at the end of the file');

# A spool that cannot be written.
ok($t->reconfigure_front("sandbox_policy_dir $dir; sandbox_denial_log /dev/full;", locations => $locations, workers => 1), 'a disk that is full');
is($t->request('POST', '/v1/jobs', json => { language => 'ruby' })->{status}, 403, 'refuses all the same');
ok($t->wait_until(30, sub { $t->error_log =~ /event=denial\.lost writing/ }), 'and says so');
$t->finish;
done_testing();
