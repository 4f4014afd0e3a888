#!/usr/bin/perl
# Artifacts that a crash left without a record are removed after a start; nothing else is.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(sha256_hex);
use File::Path qw(make_path);
use Sandbox;
use Sandbox::Context;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 0 });
my $root = "$t->{dir}/data/artifacts";
sub ask { my ($method, $path, %option) = @_; return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}), %option) }
sub made { return ask('POST', '/v1/jobs', json => { language => 'bash', code => 'echo kept > kept.txt', artifacts => ['*.txt'] })->{json}{files}[0]{download_url} }
sub place {
    my ($name) = @_;
    my $path = $t->write("data/artifacts/$name", 'left behind');
    system 'chown', '-R', "$t->{executor_uid}:$t->{executor_uid}", $root;
    return $path;
}

$t->start_launcher->start_executor;
my @kept = map { made() } 1 .. 3;
ok(!(grep { !defined } @kept), 'jobs leave files');
$t->kill9('executor');

my ($dir) = map { m{([0-9a-f]{32})$} ? $1 : () } glob "$root/*";
my @orphans = ((map { place("$dir/art_orphan$_") } 1 .. 150), place(substr(sha256_hex('nobody'), 0, 32) . '/art_alone'));
my @others = map { place($_) } 'README', "$dir/not an id", 'notes/art_x', ('F' x 32) . '/art_y';
symlink '/etc/passwd', "$root/$dir/art_link" or die $!;
symlink '/etc', "$root/" . '0' x 32 or die $!;

$t->start_executor;
ok($t->wait_until(30, sub { !grep { -e } @orphans }), 'what has no record goes') or diag scalar grep { -e } @orphans;
ok($t->wait_until(30, sub { $t->read_file('logs/executor.log') =~ /"artifacts\.swept".*"removed":151\b/ }), 'and is counted in the log');
is_deeply([grep { !-e } @others], [], 'what is not ours stays');
ok(-l "$root/$dir/art_link", 'a link too');
push @kept, made();
is(ask('GET', $_)->{content}, "kept\n", "$_ is there") for @kept;
is($t->stop('executor'), 0, 'stopped');
my @late = map { place("$dir/art_late$_") } 1 .. 200;
$t->start_executor;
is($t->stop('executor'), 0, 'an end in the middle of it');
$t->start_executor;
ok($t->wait_until(30, sub { !grep { -e } @late }), 'the next start goes on');
is(ask('GET', $_)->{content}, "kept\n", "$_ is still there") for @kept;
delete $t->{killed};
$t->finish;
done_testing();
