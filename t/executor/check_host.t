#!/usr/bin/perl
# executord check-host, and production that does not work without walls.
use strict;
use warnings;
use IO::Select;
use IO::Socket::UNIX;
use JSON::PP;
use POSIX ();
use Socket qw(SOCK_SEQPACKET);
use Test::More;
use lib 't/lib';
use Sandbox;

my $t = Sandbox->new(executor => { 'pool.default' => 0, 'environment.name' => 'production' });
my $executord = "$t->{dir}/bin/executord";
my $conf = "$t->{dir}/etc/executor.conf";
my $path = "$t->{dir}/sock/launch.sock";

sub configure {
    my (%values) = @_;
    my $text = $t->fill(Sandbox::_slurp("$Sandbox::ROOT/conf/local/executor.conf.in"));
    $text =~ s/^pool\..*\n//mg;    # nobody asks a launcher made of lies for sandboxes
    $t->write('etc/executor.conf', Sandbox::_override($text, { %{ $t->{executor} }, %values }));
}

# As which user, what: (exit status, output, standard error).
sub run {
    my ($uid, @arguments) = @_;
    my @as = $uid ? ('setpriv', '--reuid', $uid, '--regid', $uid, '--clear-groups', '--bounding-set', '-all') : ();
    my $pid = fork // die $!;
    if (!$pid) {
        open STDOUT, '>', "$t->{dir}/tmp/out";
        open STDERR, '>', "$t->{dir}/tmp/err";
        exec @as, $executord, @arguments or POSIX::_exit(127);
    }
    my $done = $t->wait_until(30, sub { waitpid($pid, POSIX::WNOHANG()) == $pid });
    my $status = $?;
    kill 'KILL', $pid unless $done;
    return ($done ? $status >> 8 : 'no end', $t->read_file('tmp/out'), $t->read_file('tmp/err'));
}
sub json_of { return eval { decode_json($_[0]) } // {} }

my @check = ('check-host', '--json', '--config', $conf);
my $user = $t->{executor_uid};
configure();

# No launcher.
my ($status, $out, $err) = run($user, @check);
is($status, 3, 'no launcher: cannot ask');
my $report = json_of($out);
is($report->{asked}, JSON::PP::false, 'and says so');
like($report->{error}, qr/^no launcher answers at .*: start sandbox-launch, or run `sandbox-launch --check-host` as root$/, 'with what to do');
cmp_ok(scalar @{ $report->{host} // [] }, '>', 10, 'what can be seen is there all the same');
ok(!exists $report->{walls}, 'of walls nothing is claimed');
($status, $out) = run($user, 'check-host', '--config', $conf);
is($status, 3, 'as a table');
like($out, qr/^The walls are not known: no launcher answers/, 'which says it first');

# The real one.
$t->start_launcher;
my @all;
for my $who ([$user, 'its own user'], [0, 'root, who asks as the owner of the socket']) {
    ($status, $out, $err) = run($who->[0], @check);
    $report = json_of($out);
    is($status, 0, "$who->[1]: every required wall holds") or diag $out, $err;
    is_deeply($report->{missing}, [], 'nothing is missing');
    @all = map { $_->{wall} } @{ $report->{walls} };
    cmp_ok(scalar @all, '>=', 29, 'every wall is told of');
    my %mine = map { $_->{name} => $_ } grep { $_->{name} =~ /^executord: / } @{ $report->{host} };
    is($mine{'executord: user'}{fine}, $who->[0] ? JSON::PP::true : JSON::PP::false, 'what it is itself');
    ok($mine{'executord: capabilities'}{fine}, 'without capabilities, or root for this check alone');
    ok($mine{'executord: context key'}{fine}, 'the key is not for everybody');
}
my @direct = map { "$_->{wall} $_->{state}" } @{ json_of(scalar `$t->{dir}/bin/sandbox-launch --check-host --json`)->{walls} };
is_deeply([map { "$_->{wall} $_->{state}" } @{ $report->{walls} }], \@direct, 'as the launcher finds by itself');
chmod 0755, "$t->{dir}/data/audit";
chmod 0777, "$t->{dir}/data/artifacts";
($status, $out) = run($user, @check);
my %host = map { $_->{name} => $_ } @{ json_of($out)->{host} };
ok($host{'executord: audit log'}{fine} && !$host{'executord: artifacts'}{fine}, 'a directory that everybody writes');
like($host{'executord: artifacts'}{remedy}, qr/^chmod o-rwx \Q$t->{dir}\E/, 'and the command against it');
my $all_files = do { open my $in, '<', '/proc/sys/fs/file-max' or die $!; readline($in) + 0 };
is($host{'fs.file-max'}{fine} ? 1 : 0, $all_files == 9223372036854775807 ? 1 : 0, 'whether a few sandboxes can open all files of the host');
like($host{'fs.file-max'}{remedy} // 'sysctl -w fs.file-max=9223372036854775807: ', qr/^sysctl -w fs\.file-max=9223372036854775807: /, 'and the command against it');
chmod 0755, "$t->{dir}/data/artifacts";
($status, $out) = run(64009, 'check-host', '--json', '--config', $conf);
is($status, 3, 'a user whom the launcher does not serve');
is(json_of($out)->{asked}, JSON::PP::false, 'learns nothing of walls');

# Usage.
for my $case (['an unknown option', '--yaml'], ['an argument too many', 'now'], ['--check-config', '--check-config'], ['--dir', '--dir', '/']) {
    my ($name, @options) = @$case;
    ($status, $out, $err) = run($user, 'check-host', @options, '--config', $conf);
    is($status, 2, "$name: refused");
    isnt($err, '', 'with a word');
    is($out, '', 'and no report');
}
is((run($user, '--json', '--config', $conf))[0], 2, '--json of nothing');
is((run($user, 'check-host', '--config', "$t->{dir}/none"))[0], 2, 'a configuration that is not there');
for my $list ('everything', 'seccomp,', ',seccomp', 'seccomp;uid', 'seccomp uid', 'SECCOMP', 'landlock', 'uid, time_namespace', 'x' x 100) {
    configure('walls.accept_missing' => $list);
    ($status, $out, $err) = run($user, @check);
    is($status, 2, 'walls.accept_missing = ' . substr($list, 0, 20) . ': refused');
    like($err, qr/walls\.accept_missing/, 'and named');
}
is($t->stop('launcher'), 0, 'the launcher ends');

# A launcher made of lies. Answers HELLO truly and LAUNCH_WALLS with what it is told.
open my $wire, '<', 'executor/launcher/wire.h' or die $!;
my ($version) = join('', <$wire>) =~ /^#define LAUNCH_WIRE_VERSION (\d+)u$/m or die "no version in wire.h\n";
sub head { my ($type, $size, $seq) = @_; return pack 'SSLQQ', $type, $size, 0, $seq, 0 }
my $size = 24 + 8 + @all * 96 + 8 + 3 * 64;
sub walls {
    my (%missing) = @_;
    my $body = pack('LL', scalar @all, 2) . join '', map { pack 'La92', $missing{$_} ? (3, 'so it is told') : (1, '') } @all;
    return $body . pack 'a8a64a64a64', 'v1', '', '', 'none';
}
my $liar;

sub lie {
    my ($body, %option) = @_;
    truth();
    unlink $path;
    my $listen = IO::Socket::UNIX->new(Type => SOCK_SEQPACKET, Local => $path, Listen => 5) or die $!;
    chmod 0777, $path;
    chown $user, -1, $path;
    $liar = fork // die $!;
    return if $liar;
    $SIG{$_} = 'DEFAULT' for qw(TERM INT HUP);
    my $select = IO::Select->new($listen);
    while (my @ready = $select->can_read) {
        for my $socket (@ready) {
            if ($socket == $listen) {
                $select->add(scalar $listen->accept);
                next;
            }
            my $n = sysread $socket, my $message, 4096;
            if (!$n) {
                $select->remove($socket);
                close $socket;
                next;
            }
            my ($type, undef, undef, $seq) = unpack 'SSLQ', $message;
            $type == 1 ? syswrite $socket, head(1, 32, $seq) . pack 'LL', $option{version} // $version, 16
                : syswrite $socket, $option{raw} // (head(7, 24 + length $body, $seq) . $body);
        }
    }
    POSIX::_exit(0);
}

sub truth {
    return unless $liar;
    kill 'KILL', $liar;
    waitpid $liar, 0;
    $liar = undef;
    unlink $path;
}
END { local $?; kill 'KILL', $liar if $liar }

# Asked by check-host.
configure();
lie(walls());
is((run($user, @check))[0], 0, 'a launcher by which all holds');
lie(walls(seccomp => 1, landlock => 1));
($status, $out) = run($user, @check);
is($status, 1, 'one that lacks a required wall, and one that is not');
is_deeply(json_of($out)->{missing}, ['seccomp'], 'the required one counts');
lie(walls(landlock => 1, time_namespace => 1));
is((run($user, @check))[0], 0, 'those that are not required do not');
configure('walls.accept_missing' => ' seccomp , uid ');
lie(walls(seccomp => 1));
($status, $out) = run($user, @check);
is($status, 0, 'accepted: not required');
like((grep { $_->{name} eq 'executord: walls.accept_missing' } @{ json_of($out)->{host} })[0]{value}, qr/^uid, seccomp$/, 'and said');
configure();
my $fine = walls();
my @garbage = (
    ['nothing', raw => ''], ['one byte', raw => 'x'], ['random bytes', raw => join '', map { chr int rand 256 } 1 .. $size],
    ['zeroes', raw => "\0" x $size], ['ones', raw => "\xff" x $size], ['far too much', raw => "\xff" x 60000],
    ['a wall too few', body => substr $fine, 0, -96], ['a wall too many', body => $fine . "\0" x 96],
    ['no walls in it', body => pack('LL', 0, 2) . substr $fine, 8], ['no state', body => substr($fine, 0, 8) . pack('L', 0) . substr $fine, 12],
    ['a state of its own', body => substr($fine, 0, 8) . pack('L', 4) . substr $fine, 12], ['a tier of its own', body => pack('LL', scalar @all, 128) . substr $fine, 8],
    ['another version', body => $fine, version => $version + 1], ['texts without end', body => substr($fine, 0, 12) . 'x' x 92 . substr $fine, 104],
);
for my $case (@garbage) {
    my ($name, %option) = @$case;
    lie($option{body}, %option);
    ($status, $out) = run($user, 'check-host', '--config', $conf);
    is($status, $name eq 'texts without end' ? 0 : 3, "$name: survived");
    unlike($out, qr/[^\x20-\x7e\n]/, 'and nothing of it is printed');
}

# Production at its start.
lie(walls(seccomp => 1, memory => 1, landlock => 1));
($status, $out, $err) = run($user, '--config', $conf);
is($status, 1, 'production does not start');
my @lines = grep { ($_->{event} // '') =~ /walls/ } map { json_of($_) } split /\n/, $err;
is(scalar @lines, 1, 'one line says so');
is_deeply([@{ $lines[0] }{qw(event level walls)}], ['start.walls', 'error', 'seccomp, memory'], 'and names the walls');
unlike($err, qr/start\.ready/, 'it never served');
configure('environment.name' => 'Production!');
is((run($user, '--config', $conf))[0], 1, 'an unknown environment is production');
configure('walls.accept_missing' => 'seccomp');
($status, $out, $err) = run($user, '--config', $conf);
is($status, 1, 'accepting one of two is not enough');
like($err, qr/"event":"start.walls","walls":"memory"/, 'the other is named');
like($err, qr/"event":"walls.accepted","walls":"seccomp"/, 'what was accepted, too');

# Accepted.
sub ready { my $ready = $t->executor_request('GET', '/readyz') // return 'none'; return join ' ', $ready->{status}, @{ $ready->{json}{reasons} }, '-', @{ $ready->{json}{missing_walls} } }
sub log_of { return $t->read_file('logs/executor.log') }
$t->start_executor('walls.accept_missing' => 'memory, seccomp');
is(ready(), '200 - seccomp memory', 'accepted: ready, and says what is missing');
like(log_of(), qr/"level":"warn","event":"walls.accepted","walls":"seccomp, memory"/, 'logged');
is($t->stop('executor'), 0, 'it ends');
my $audit = join '', map { Sandbox::_slurp($_) } glob "$t->{dir}/data/audit/audit-*";
like($audit, qr/"kind":"walls.accepted"[^\n]*"walls":\["seccomp","memory"\]/, 'and in the audit log') or diag substr $audit, -500;
is(system("$executord audit verify --dir $t->{dir}/data/audit > /dev/null") >> 8, 0, 'which is whole');

# Not production.
lie(walls(uid => 1));
$t->start_executor('environment.name' => 'test');
is(ready(), '200 - uid', 'outside of production: ready');
like(log_of(), qr/"level":"warn","event":"walls.missing","walls":"uid"/, 'with a warning');
is($t->stop('executor'), 0, 'it ends');
truth();

# A launcher that comes later.
configure();
my $before = length log_of();
$t->_spawn('executor', 'setpriv', '--reuid', $user, '--regid', $user, '--groups', (getgrnam 'www-data')[2], '--bounding-set', '-all', $executord, '--config', $conf);
ok($t->wait_until(30, sub { ready() eq '503 launcher -' }), 'no launcher: not ready') or diag ready();
lie(walls(uid => 1));
ok($t->wait_until(30, sub { ready() eq '503 launcher walls - uid' }), 'a bad one: not ready, and why') or diag ready();
lie(walls(uid => 1, pids => 1));
ok($t->wait_until(30, sub { ready() eq '503 launcher walls - uid pids' }), 'a worse one') or diag ready();
my $log = substr log_of(), $before;
is(scalar(() = $log =~ /"event":"walls.missing"/g), 2, 'one line each, however often it is asked');
for my $case (@garbage[2, 4, 9]) {
    my ($name, %option) = @$case;
    lie($option{body}, %option);
    ok($t->wait_until(30, sub { substr(log_of(), $before) =~ /a message that is not allowed/ }), "$name: the connection is given up");
    like(ready(), qr/^503 launcher/, 'and nothing else happens');
}
truth();
$t->start_launcher;
ok($t->wait_until(30, sub { ready() eq '200 -' }), 'a good one: ready') or diag ready();
use Sandbox::Context;
is($t->executor_request('POST', '/v1/jobs', context => Sandbox::Context::sign($t->{key}), json => { language => 'bash', code => 'echo held', wait => 10 })->{json}{stdout}, "held\n", 'and jobs run');
is($t->stop($_), 0, "the $_ ends") for qw(executor launcher);

# The real launcher, of the build that can leave walls out.
SKIP: {
    skip 'mutants are of the release build', 8 if $Sandbox::VARIANT ne 'release';
    system('make', '-s', '-C', $Sandbox::ROOT, 'mutant') == 0 or die 'no mutant';
    system('cp', map({ "$Sandbox::ROOT/build/mutant/$_" } qw(sandbox-launch session-agent)), "$t->{dir}/bin/") == 0 or die 'no mutant';
    $t->start_launcher(walls_off => 'hidepid, landlock');
    configure();
    ($status, $out) = run($user, @check);
    is($status, 1, 'a launcher without hidepid and landlock');
    is_deeply(json_of($out)->{missing}, ['hidepid'], 'says so');
    ($status, $out, $err) = run($user, '--config', $conf);
    is($status, 1, 'production does not start with it');
    like($err, qr/"event":"start.walls","walls":"hidepid"/, 'and says why');
    configure('walls.accept_missing' => 'hidepid');
    is((run($user, @check))[0], 0, 'unless that is accepted');
    $t->start_executor('walls.accept_missing' => 'hidepid');
    is(ready(), '200 - hidepid', 'then it serves');
    is($t->stop($_), 0, "the $_ ends") for qw(executor launcher);
}
$t->finish;
done_testing();
