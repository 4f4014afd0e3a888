#!/usr/bin/perl
# An artifact that was deleted is ciphertext without a key: nothing in the database's files has the wrapped key any more, whatever
# else is written, read and deleted meanwhile; nor after a kill between key and file. And the keys above: another master key,
# none, and the change from one to the next.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 0, 'log.level' => 'info' });
sub ask { my ($method, $path, %option) = @_; my %as = %{ delete $option{as} || {} }; return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, %as), %option) }
sub up { my ($bytes, %option) = @_; return ask('POST', '/v1/artifacts', body => $bytes, %option)->{json}{artifact_id} }
sub content { my ($id, %as) = @_; return ask('GET', "/v1/artifacts/$id/content", as => \%as) }
sub file_of { my ($id) = @_; return (glob "$t->{dir}/data/artifacts/*/$id")[0] }
# id => wrapped key, from a copy: nobody else holds the database open.
sub keys_now {
    system 'cp', (grep { -e } map { "$t->{dir}/data/state.db$_" } '', '-wal'), "$t->{dir}/tmp/" and die;
    return map { split /\|/ } split /\n/, `sqlite3 $t->{dir}/tmp/state.db 'select artifact_id, lower(hex(wrapped)) from artifact_keys'; rm -f $t->{dir}/tmp/state.db*`;
}
sub holding { my ($hex) = @_; my $bytes = pack 'H*', $hex; return grep { index(Sandbox::_slurp($_), $bytes) >= 0 } grep { -f } glob "$t->{dir}/data/state.db* $t->{dir}/data/audit/*" }

$t->start_launcher->start_executor;

# Many, so that pages of the database fill, split, empty and merge; deleted in no order, with others coming between.
srand 7;
my @ids = map { up("artifact $_ of many") } 1 .. 240;
my %wrapped = keys_now();
is(scalar(keys %wrapped), 240, 'each has a key');
my ($there) = grep { !holding($wrapped{$_}) } @ids;
is($there, undef, 'which is found in the database while it lives');
my @doomed = grep { rand() < 0.6 } sort { rand() <=> 0.5 } @ids;
my %doomed = map { $_ => 1 } @doomed;
my @late;
my ($left, $refused) = (0, 0);
for my $i (0 .. $#doomed) {
    my $reply = ask('DELETE', "/v1/artifacts/$doomed[$i]");
    $refused++ if $reply->{status} != 204;
    $left++ if $i % 9 == 0 && holding($wrapped{ $doomed[$i] });
    push @late, up("late $i") if $i % 5 == 0;
}
is($refused, 0, scalar(@doomed) . ' are deleted');
is($left, 0, 'the key of each is in none of the files when that is answered');
is_deeply([grep { holding($wrapped{$_}) } @doomed], [], 'nor afterwards, of any of them');
is_deeply([grep { $_ && -e $_ } map { file_of($_) } @doomed], [], 'nor are their files') if $t->wait_until(30, sub { !grep { file_of($_) } @doomed });
is_deeply([grep { content($_)->{status} != 200 } (grep { !$doomed{$_} } @ids), @late], [], 'all others are read');

# While somebody reads a long listing over and over, the log cannot always be emptied at once.
my $pid = fork // die;
if (!$pid) { ask('GET', '/v1/artifacts?limit=100') for 1 .. 200; POSIX::_exit(0) }
my @more = (grep { !$doomed{$_} } @ids)[0 .. 30];
ask('DELETE', "/v1/artifacts/$_") for @more;
waitpid $pid, 0;
is_deeply([grep { holding($wrapped{$_}) } @more], [], 'so beside readers');

# Between key and file: a directory that cannot be written to holds the file.
my $id = up('held' x 30000);
%wrapped = keys_now();
my ($path, $key) = (file_of($id), $wrapped{$id});
my $dir = $path =~ s{/[^/]+$}{}r;
chown 0, 0, $dir;
chmod 0755, $dir;
is(ask('DELETE', "/v1/artifacts/$id")->{status}, 204, 'deleted');
ok($t->wait_until(30, sub { $t->read_file('logs/executor.log') =~ /"artifact\.file_left".*\Q$id/ }), 'but the file stays');
$t->kill9('executor');
ok(-e $path, 'also when executord is killed now');
is_deeply([holding($key)], [], 'without its key');
unlike(Sandbox::_slurp($path), qr/held/, 'it says nothing');
chown $t->{executor_uid}, $t->{executor_uid}, $dir;
chmod 0700, $dir;
$t->start_executor;
is(content($id)->{status}, 404, 'there is no such artifact after the start');
ok($t->wait_until(30, sub { !-e $path }), 'and the sweep takes the file');
is(content($late[0])->{content}, 'late 0', 'of this one only');

# Killed in the middle of it all: what is there is whole, what is not is gone, and no file is without a row for long.
my %sum;
for my $round (1 .. 2) {
    my @pids;
    for my $worker (1 .. 3) {
        my $child = fork // die;
        if (!$child) {
            for (1 .. 300) { my $made = eval { up('worker' x 20000) } or last; eval { ask('DELETE', "/v1/artifacts/$made") } if $_ % 2 }
            POSIX::_exit(0);
        }
        push @pids, $child;
    }
    my $count = () = glob "$t->{dir}/data/artifacts/*/art_*";
    $t->wait_until(30, sub { my $now = () = glob "$t->{dir}/data/artifacts/*/art_*"; $now > $count + 5 * $round });
    $t->kill9('executor');
    waitpid $_, 0 for @pids;
    $t->start_executor;
    my ($cursor, $bad, %rows) = ('', 0);
    do {
        my $page = ask('GET', '/v1/artifacts?limit=100' . ($cursor ? "&cursor=$cursor" : ''))->{json};
        for my $artifact (@{ $page->{artifacts} }) {
            $rows{ $artifact->{artifact_id} } = 1;
            my $reply = content($artifact->{artifact_id});
            $bad++ if $reply->{status} != 200 || sha256_hex($reply->{content}) ne $artifact->{sha256};
        }
        $cursor = $page->{next_cursor};
    } while $cursor;
    is($bad, 0, "round $round: whatever is listed is whole");
    ok($t->wait_until(30, sub { !grep { !$rows{$_} } map { m{([^/]+)$} } glob "$t->{dir}/data/artifacts/*/art_*" }), 'and nothing else stays');
    my %now = keys_now();
    is_deeply([sort keys %now], [sort keys %rows], 'each has its key, and no key is without one');
}

# Another tenant's file or key in the place of one's own.
my ($mine, $other) = (up('mine' x 100), up('other' x 80, as => { tenant => 'umbrella' }));
my $own = Sandbox::_slurp(file_of($mine));
is($t->stop('executor'), 0, 'stopped');
$t->write('data/artifacts/' . (file_of($mine) =~ m{([^/]+/[^/]+)$})[0], Sandbox::_slurp(file_of($other)));
$t->start_executor;
is(content($mine)->{status}, 500, "another tenant's bytes are refused");
is($t->stop('executor'), 0, 'stopped');
$t->write('data/artifacts/' . (file_of($mine) =~ m{([^/]+/[^/]+)$})[0], $own);
system 'sqlite3', "$t->{dir}/data/state.db", "update artifact_keys set wrapped = (select wrapped from artifact_keys where artifact_id = '$other') where artifact_id = '$mine'";
system 'chown', "$t->{executor_uid}:$t->{executor_uid}", glob "$t->{dir}/data/state.db*";
$t->start_executor;
is(content($mine)->{status}, 500, 'so is its key');
is(content($other, tenant => 'umbrella')->{content}, 'other' x 80, 'which opens its own');

# The master key.
is($t->stop('executor'), 0, 'stopped');
my $old = $t->read_file('etc/artifact.key');
rename "$t->{dir}/etc/artifact.key", "$t->{dir}/etc/artifact.old" or die;
$t->write('etc/artifact.key', join '', map { sprintf '%02x', int rand 256 } 1 .. 32);
chown $t->{executor_uid}, -1, "$t->{dir}/etc/artifact.key";
sub refuses {
    my ($what, $want, %values) = @_;
    my $conf = Sandbox::_override($t->read_file('etc/executor.conf'), \%values);
    my $log = `setpriv --reuid $t->{executor_uid} --regid $t->{executor_uid} --clear-groups timeout 10 $t->{dir}/bin/executord --config ${\ $t->write('etc/try.conf', $conf)} 2>&1`;
    isnt($? >> 8, 0, $what);
    like($log, $want, 'and says why');
}
refuses('another master key does not start', qr/"keys\.foreign"/);
refuses('nor with a third as the old one', qr/"keys\.foreign"/, 'artifacts.old_key_file' => "$t->{dir}/etc/artifact.key");
refuses('nor with an old one that is not there', qr/"start\.artifact_key"/, 'artifacts.old_key_file' => "$t->{dir}/etc/none");
$t->start_executor('artifacts.old_key_file' => "$t->{dir}/etc/artifact.old");
like($t->read_file('logs/executor.log'), qr/"keys\.rewrapped".*"tenants":2\b/, "with the right one the tenants' keys are wrapped anew");
is(content($other, tenant => 'umbrella')->{content}, 'other' x 80, 'and artifacts are read');
is($t->stop('executor'), 0, 'stopped');
unlink "$t->{dir}/etc/artifact.old";
$t->start_executor;
is(content($other, tenant => 'umbrella')->{content}, 'other' x 80, 'then without the old one');
ok(up('new'), 'and sent up');
is($t->stop('executor'), 0, 'stopped');
$t->write('etc/artifact.key', $old);
refuses('the old one no longer opens anything', qr/"keys\.foreign"/);
delete $t->{killed};
$t->finish;
done_testing();
