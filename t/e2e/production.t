#!/usr/bin/perl
# What t/bench/run measures is the product as it is shipped: each setting of the daemons that it starts against conf/, difference by
# difference, and what no file shows: who the daemons are, that a token is looked at, that what was answered is on disk and in the audit.
# release: it compares with what is shipped, and a build with sanitizers is not
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox;
use Sandbox::Production;
use Test::More;

my $t = Sandbox::Production->new('pool.default' => 2, 'limits.max_queued' => 2000, 'max_sandboxes' => 600);
$t->start;
my ($shipped) = Sandbox::_slurp("$Sandbox::ROOT/conf/local/executor.conf.in") =~ /^pool\.default = (\S+)$/m;
is_deeply([$t->differences], [
    'executor: environment.name: nothing -> local',    # stricter: there a required wall that is missing ends the start
    'executor: limits.max_queued: 2000 -> nothing',
    "executor: pool.default: 2 -> $shipped",
    'launcher: max_sandboxes: 600 -> nothing',
    'gateway: listen PLAIN backlog=4096; -> nothing',    # beside the one with TLS
], 'nothing differs from what is shipped but sizes, the environment\'s name and a listener');

# What would make a benchmark lie is told.
sub told {
    my ($file, $change, $want, $what) = @_;
    my $text = $t->read_file($file);
    my $changed = $change->($text);
    isnt($changed, $text, "$what: changed") or return;
    $t->write($file, $changed);
    my @differences = $t->differences;
    $t->write($file, $text);
    ok((grep { /$want/ } @differences), "$what is a difference") or diag explain \@differences;
    return;
}
told('etc/executor.conf', sub { "$_[0]audit.sign_every = 1h\n" }, qr/^executor: audit\.sign_every: 1h -> nothing$/, 'a key more');
told('etc/executor.conf', sub { $_[0] =~ s/^audit\.key_file.*\n//mr }, qr/^executor: audit\.key_file: nothing -> /, 'a key less');
told('etc/executor.conf', sub { $_[0] =~ s/^database\.driver.*$/database.driver = memory/mr }, qr/^executor: database\.driver: memory -> sqlite$/, 'another store');
told('etc/launcher.conf', sub { "$_[0]walls_off = seccomp\n" }, qr/^launcher: walls_off/, 'a wall less');
told('etc/gateway.conf', sub { $_[0] =~ s/^\s*sandbox_rate tenant.*\n//mr }, qr/^gateway: nothing -> sandbox_rate tenant /, 'a rate less');
told('etc/gateway.conf', sub { $_[0] =~ s/^(\s*)access_log .*$/$1access_log off;/mr }, qr/^gateway: access_log off;/, 'no access log');
told('etc/locations.conf', sub { $_[0] =~ s/^\s*sandbox_policy on;\n|^\s*sandbox_auth on;\n|^[^#\n]*;\n//mr }, qr/^gateway: nothing -> /, 'a line less of what is included');
told('etc/policies/default.json', sub { $_[0] =~ s/"max": "4"/"max": "64"/r }, qr/^policies: default\.json$/, 'another policy');
is(eval { Sandbox::Production->new('audit.dir' => '/nowhere'); 'made' } // $@, "a benchmark may not set audit.dir\n", 'what is no size cannot be set');
for my $program (qw(bench/run bench/profile lib/Sandbox/Density.pm)) {
    my $source = Sandbox::_slurp("$Sandbox::ROOT/t/$program");
    unlike($source, qr/Sandbox(?:::(?!Production|Bench|Peers|Density|Escape|OUT|ROOT)\w+)?->new|\bstart_(?:gateway|executor|launcher)\b|\{(?:executor|launcher)\}\{|_override/, "t/$program starts no other stack");
}

# The daemons as conf/systemd has them.
sub status { my ($name) = @_; return { Sandbox::_slurp("/proc/$t->{pid}{$name}/status") =~ /^(\w+):\s+(.*)$/mg } }
my $executor = status('executor');
is((split ' ', $executor->{Uid})[0], $t->{executor_uid}, 'executord has a user of its own');
is_deeply([@$executor{qw(NoNewPrivs CapEff CapBnd)}], [1, ('0' x 16) x 2], 'and no right');
my @workers = $t->gateway_workers;
ok(@workers, 'nginx has workers');
is_deeply([grep { Sandbox::_slurp("/proc/$_/status") !~ /^Uid:\s+@{[ scalar getpwnam 'www-data' ]}\s/m } @workers], [], 'who are www-data');

my %job = (language => 'python', code => "print(1)\n", wait => 30);
my $reply = $t->request('POST', '/v1/jobs', json => \%job);
is("$reply->{status} $reply->{json}{stdout}", "200 1\n", 'a job as the benchmark sends it');
my $id = $reply->{json}{job_id};
is($t->request('POST', '/v1/jobs', json => \%job, anonymous => 1)->{status}, 401, 'none without a token');
is($t->request('POST', '/v1/jobs', json => \%job, token => Sandbox::token($t, iss => 'https://id.example.com/'))->{status}, 401, 'none with one of another key');
is($t->request('POST', '/v1/jobs', json => \%job, token => $t->token(exp => time - 3600))->{status}, 401, 'none with one that is over');
is($t->request('POST', '/v1/jobs', json => { %job, limits => { memory => '2Gi' } })->{status}, 403, 'none that the policy forbids');
my $token = $t->token(tenant => 'hasty');
my $many = $t->raw("GET /v1/jobs/none HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $token\r\n\r\n" x 900, until => qr/ 429 /);
ok($many =~ m{\AHTTP/1\.1 404 .*HTTP/1\.1 429 }s, 'the rate of production is in force');
is(scalar(grep { $_->{object} eq $id } $t->audit_events($_)), 1, "$_ is in the audit") for qw(job.accepted job.started job.finished);
my ($whole, $said) = $t->audit_verify;
ok($whole, 'which is whole') or diag $said;
$t->kill9('executor');
$t->start_executor;
is($t->request('GET', "/v1/jobs/$id")->{json}{stdout}, "1\n", 'what was answered outlives executord\'s death');
$t->finish;
$t->{group}->remove;
done_testing();
