#!/usr/bin/perl
# executord's command line and configuration: what is wrong is said, with file, line and key.
use strict;
use warnings;
use lib 't/lib';
use Sandbox;
use Sandbox::Context;
use Test::More;

my $t = Sandbox->new;
my $exe = "$Sandbox::OUT/executord";
sub run {
    my ($env, @args) = @_;
    my $pid = open my $out, '-|' // die $!;
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        delete @ENV{ grep { /^SANDBOX_|^AUTHZ|^ENV$|^DATABASE/ } keys %ENV };
        $ENV{$_} = $env->{$_} for keys %$env;
        exec $exe, @args or POSIX::_exit(127);
    }
    my $text = do { local $/; <$out> } // '';
    close $out;
    return ($? >> 8, $text);
}
sub conf { my ($text) = @_; return $t->write('etc/try.conf', $text) }
my $base = "context.key_file = $t->{dir}/etc/context.key\nartifacts.key_file = $t->{dir}/etc/artifact.key\nruntimes.file = $t->{dir}/opt/runtimes.json\n";

my ($status, $text) = run({}, '--help');
is($status, 0, '--help');
like($text, qr/^usage: executord/, 'usage');
like($text, qr/^  limits\.max_running /m, 'with every key');
($status, $text) = run({}, '--version');
like($text, qr/^executord \d/, '--version');
for my $args (['--nonsense'], ['audit'], ['audit', 'burn'], ['start'], ['--config'], ['--dir', '/tmp']) {
    is((run({}, @$args))[0], 2, "executord @$args: 2");
}

($status, $text) = run({}, '--check-config', '--config', conf($base));
is($status, 0, 'a small configuration is valid') or diag $text;
like($text, qr/valid/, 'and said so');

my $path = "$t->{dir}/etc/try.conf";
for my $case (
    ["no.such = 1\n", qr/:4: no\.such: there is no such key/], ["listen.soket = x\n", qr/:4: listen\.soket/], ["nonsense\n", qr/:4: expected/], ["limits.max_running = many\n", qr/:4: limits\.max_running/],
    ["limits.max_running = -1\n", qr/limits\.max_running/], ["limits.max_running = 99999\n", qr/between 0 and 4096/], ["limits.queue_timeout = 10\n", qr/limits\.queue_timeout/], ["limits.queue_timeout = 2d\n", qr/limits\.queue_timeout/],
    ["output.keep = 1\n", qr/output\.keep/], ["output.keep = 1Gi\n", qr/output\.keep/], ["listen.mode = 999\n", qr/listen\.mode/], ["listen.mode = 07777\n", qr/listen\.mode/], ["log.level = loud\n", qr/log\.level/],
    ["pool.default = x\n", qr/pool\.default/], ["pool.default = 5000\n", qr/pool\.default/], ["pool.UPPER = 1\n", qr/pool\.UPPER/], ["pool. = 1\n", qr/pool\./], ["pool.default.vm = 1\n", qr/no such language/], ["pool.default. = 1\n", qr/pool\.default\.: must be a tier/],
    ["pool.default.python = 4..\n", qr/N or N\.\.M/], ["pool.default.python = ..4\n", qr/N or N\.\.M/], ["pool.default.python = 5..4\n", qr/N or N\.\.M/], ["pool.default.python = 1..1025\n", qr/N or N\.\.M/], ["pool.default.python = 1...4\n", qr/N or N\.\.M/],
    ["pool.default.py thon = 1\n", qr/must be a tier/], ["pool.default.@{['x' x 33]} = 1\n", qr/must be a tier/], ["pool.default.process. = 1\n", qr/must be a tier/], ["pool.default.process.gvisor = 1\n", qr/no such language/], ["pool.default.python = 1\npool.default.py = 1\n", qr/named twice/],
    [join('', map { "pool.default.l$_ = 0\n" } 1 .. 16), qr/pool\.default\.l16: .*15 at most/], ["pools.memory = some\n", qr/pools\.memory/], ["pools.max = 5000\n", qr/pools\.max/], ["pools.default = 1\n", qr/no such key/],
    ["pool.default.gvisor = 2000\n", qr/pool\.default\.gvisor: must be/], ["pool.default.gvisor.x = 2\n", qr/no such language/], ["pool..gvisor = 2\n", qr/not a template/],
    ["template.default.isolation = vm\n", qr/template\.default\.isolation: must be process or gvisor/], ["template.default.isolation = \n", qr/must be process or gvisor/],
    ["template.default = gvisor\n", qr/no such key/], ["template.default.root = /\n", qr/no such key/], ["template.UP.isolation = gvisor\n", qr/template\.UP\.isolation: not a template/],
    ["template..isolation = gvisor\n", qr/not a template/], [join('', map { "pool.t$_ = 0\n" } 1 .. 17), qr/pool\.t17: more than 16 templates/], ["launcher.create_timeout_gvisor = 1ms\n", qr/between 100/],
    ["authz.bypass = maybe\n", qr/authz\.bypass/],
    ["authz.bypass = on\n", qr/refused unless/], ["authz.bypass = on\nenvironment.name = staging\n", qr/refused unless/], ["authz.bypass = on\nenvironment.name = production\n", qr/refused unless/],
    ["x" x 5000 . "\n", qr/:4: too long/], [" = 3\n", qr/no such key/],
) {
    my ($line, $want) = @$case;
    ($status, $text) = run({}, '--check-config', '--config', conf($base . $line));
    isnt($status, 0, 'refused: ' . substr $line =~ s/\n/ /gr, 0, 40);
    like($text, $want, 'and says where');
}
($status, $text) = run({}, '--check-config', '--config', conf("artifacts.key_file = $t->{dir}/etc/artifact.key\nruntimes.file = $t->{dir}/opt/runtimes.json\n"));
like($text, qr/context\.key_file: must be set/, 'a key that must be set');
($status, $text) = run({}, '--check-config', '--config', conf("context.key_file = $t->{dir}/etc/context.key\nruntimes.file = $t->{dir}/opt/runtimes.json\n"));
like($text, qr/artifacts\.key_file: must be set/, 'another one');
for my $case (['etc/none.key', 'start.artifact_key'], ['etc/context.key', "the gateway's, too"]) {
    ($status, $text) = run({}, '--check-config', '--config', conf("${base}artifacts.key_file = $t->{dir}/$case->[0]\n"));
    isnt($status, 0, "not $case->[0]");
    like($text, qr/$case->[1]/, 'said');
}
($status, $text) = run({}, '--check-config', '--config', '/no/such/file');
like($text, qr{/no/such/file: No such file}, 'a file that is not there');
for my $case (["short\n", 'fewer than 32'], ['x' x 5000, 'start.context_key']) {
    my $key = $t->write('etc/bad.key', $case->[0]);
    ($status, $text) = run({}, '--check-config', '--config', conf("${base}context.key_file = $key\nruntimes.file = $t->{dir}/opt/runtimes.json\n"));
    isnt($status, 0, 'a key that is none');
    like($text, qr/$case->[1]/, 'said');
}
($status, $text) = run({}, '--check-config', '--config', conf("${base}runtimes.file = " . $t->write('etc/bad.json', '{"runtimes":7}') . "\n"));
isnt($status, 0, 'a registry that is none');

# The environment overrides the file.
my $file = conf("${base}log.level = info\n");
is((run({ SANDBOX_LOG_LEVEL => 'loud' }, '--check-config', '--config', $file))[0], 2, 'SANDBOX_LOG_LEVEL is read');
like((run({ SANDBOX_LOG_LEVL => 'info' }, '--check-config', '--config', $file))[1], qr/SANDBOX_LOG_LEVL/, 'a typing error in it is one');
is((run({ SANDBOX_OTHER_THING => 'x', SANDBOX_X => 1 }, '--check-config', '--config', $file))[0], 0, "others' names are others'");
like((run({ SANDBOX_POOL_DEFAULT => 'x' }, '--check-config', '--config', $file))[1], qr/pool\.default/, 'pools too');
is((run({ SANDBOX_POOL_DEFAULT__GVISOR => 1, SANDBOX_TEMPLATE_DEFAULT__ISOLATION => 'gvisor', SANDBOX_POOL_WITH_LINE => 2 }, '--check-config', '--config', $file))[0], 0, 'two underscores are a dot');
like((run({ SANDBOX_POOL_DEFAULT__VM => 1 }, '--check-config', '--config', $file))[1], qr/"language":"vm","error":"runtimes\.file has no such language"/, 'and what follows a tier');
like((run({ SANDBOX_TEMPLATE_DEFAULT__ISOLATION => 'none' }, '--check-config', '--config', $file))[1], qr/template\.default\.isolation: must be/, 'of one that there is');
like((run({ SANDBOX_TEMPLATE_DEFAULT => 'gvisor' }, '--check-config', '--config', $file))[1], qr/no such key/, 'a template is no key');
like((run({ AUTHZ_BYPASS => 'true' }, '--check-config', '--config', $file))[1], qr/refused unless/, 'AUTHZ_BYPASS alone is refused');
is((run({ AUTHZ_BYPASS => 'true', ENV => 'dev' }, '--check-config', '--config', $file))[0], 0, 'with ENV=dev it is not');
is((run({ AUTHZ_BYPASS => 'true', ENV => 'DEV ' }, '--check-config', '--config', $file))[0], 2, 'ENV is compared exactly');
like((run({ DATABASE_DRIVER => 'oracle' }, '--config', conf("${base}audit.dir = $t->{dir}/a\ndatabase.url = $t->{dir}/x.db\nartifacts.dir = $t->{dir}/b\n")))[1], qr/start\.database/, 'DATABASE_DRIVER is read');

# audit verify.
is((run({}, 'audit', 'verify', '--dir', '/no/such/dir'))[0], 2, 'a log that cannot be read: 2');
$t->start_launcher->start_executor;
my $context = Sandbox::Context::sign($t->{key});
$t->executor_request('POST', '/v1/jobs', context => $context, json => { language => 'bash', code => "echo $_" }) for 1 .. 3;
($status, $text) = run({}, 'audit', 'verify', '--config', "$t->{dir}/etc/executor.conf");
is($status, 0, 'a log that is right: 0') or diag $text;
like($text, qr/^ok: 10 events/, 'three events a job, and the key');

# Logs: one JSON object a line, reopened on SIGHUP.
$t->stop('executor');
$t->start_executor('log.file' => "$t->{dir}/data/executor.jsonl", 'log.level' => 'debug');
$t->executor_request('GET', '/healthz', headers => { 'X-Request-Id' => 'evil' });
rename "$t->{dir}/data/executor.jsonl", "$t->{dir}/data/executor.old";
kill 'HUP', $t->{pid}{executor};
ok($t->wait_until(30, sub { -s "$t->{dir}/data/executor.jsonl" }), 'SIGHUP opens the log again');
my @lines = split /\n/, $t->read_file('data/executor.old');
cmp_ok(scalar @lines, '>', 2, 'there are lines');
is(scalar(grep { !eval { my $line = JSON::PP::decode_json($_); $line->{ts} && $line->{level} && $line->{event} } } @lines), 0, 'each is an object with ts, level and event');
$t->stop('executor');

# AUTHZ_BYPASS: contexts that say so are taken, and each is on record.
$t->start_executor('authz.bypass' => 'on', 'environment.name' => 'test');
is($t->executor_request('GET', '/v1/jobs', context => Sandbox::Context::sign($t->{key}, bypass => JSON::PP::true()))->{status}, 200, 'a bypass context passes here');
is($t->executor_request('GET', '/v1/jobs')->{status}, 401, 'none is still none');
ok($t->wait_until(30, sub { join('', map { $t->read_file("data/audit/" . (m{([^/]+)$})[0]) } glob "$t->{dir}/data/audit/audit-*.jsonl") =~ /"kind":"authz\.bypass"/ }), 'and is audited');

# One byte of the log changed.
$t->stop('executor');
my ($segment) = glob "$t->{dir}/data/audit/audit-*.jsonl";
my $log = $t->read_file('data/audit/' . ($segment =~ m{([^/]+)$})[0]);
$log =~ s/"acme"/"acmf"/;
open my $out, '>', $segment or die $!;
print {$out} $log;
close $out;
($status, $text) = run({}, 'audit', 'verify', '--config', "$t->{dir}/etc/executor.conf");
is($status, 1, 'a changed log: 1');
like($text, qr/changed: audit-\S+ line 2, event 2/, 'and where');
$t->finish;
done_testing();
