#!/usr/bin/perl
# A store of the time before artifacts were sealed: after the schema's change they are read as they were, beside new ones that
# are sealed, until they are deleted.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(sha256_hex);
use Sandbox;
use Sandbox::Context;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 0 });
sub ask { my ($method, $path, %option) = @_; return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}), %option) }
my ($job, @old) = ('job_01m7yep0vh3nhv2pk7vh28r48r', 'art_01m7yep0vh3nhv2pk7vh28r48r', 'art_01m7yep0vh3nhv2pk7vh28r48s');
my $plain = join '', map { "line $_\n" } 1 .. 20_000;

# As an executord of then left it.
my $sql = "create table schema_migrations (number integer not null primary key, name text not null, sha256 text not null, applied_ms integer not null) strict;\n";
for my $file (sort grep { m{/00[1-6]_} } glob 'executor/store/migrations/*.sql') {
    my ($number, $name) = $file =~ m{/(\d+)_(\w+)\.sql$};
    my $text = Sandbox::_slurp($file);
    $sql .= "$text;\ninsert into schema_migrations values (" . ($number + 0) . ", '$name', '" . sha256_hex($text) . "', 1);\n";
}
$sql .= "insert into jobs (id, tenant, subject, request_id, language, template, status, code_sha256, created_ms, finished_ms, spec) values ('$job', 'acme', 's', 'r', 'bash', 'default', 'succeeded', 'x', 1700000000000, 1700000000001, '{}');\n";
$sql .= "insert into artifacts values ('$old[$_]', '$job', 'acme', 'out/$_.txt', " . length($plain) . ", '" . sha256_hex($plain) . "', 'text/plain', 1700000000001);\n" for 0, 1;
open my $sqlite, '|-', 'sqlite3', "$t->{dir}/data/state.db" or die $!;
print {$sqlite} "pragma journal_mode = wal;\n$sql";
ok(close $sqlite, 'a database of then');
my $dir = substr sha256_hex('acme'), 0, 32;
my @path = map { $t->write("data/artifacts/$dir/$_", $plain) } @old;
chmod 0700, "$t->{dir}/data/artifacts/$dir";
system 'chown', '-R', "$t->{executor_uid}:$t->{executor_uid}", "$t->{dir}/data/artifacts", glob "$t->{dir}/data/state.db*";

$t->start_launcher->start_executor;
my $list = ask('GET', "/v1/artifacts?job=$job")->{json}{artifacts};
is_deeply([sort map { "$_->{artifact_id} $_->{name} $_->{path} $_->{size}" } @$list], [map { "$old[$_] out/$_.txt out/$_.txt " . length $plain } 0, 1], 'what there was');
is_deeply([map { $_->{expires_at} } @$list], [undef, undef], 'is kept');
is(ask('GET', "/v1/artifacts/$old[0]/content")->{content}, $plain, 'read as an artifact');
is(ask('GET', "/v1/jobs/$job/artifacts/out/0.txt")->{content}, $plain, 'and as the file of its job');
is(ask('GET', "/v1/artifacts/$old[0]/content", headers => { Range => 'bytes=100000-100009' })->{content}, substr($plain, 100_000, 10), 'a range of it');
my $new = ask('POST', '/v1/artifacts', body => $plain)->{json}{artifact_id};
is(ask('GET', "/v1/artifacts/$new/content")->{content}, $plain, 'a new one');
unlike($t->read_file("data/artifacts/$dir/$new"), qr/line 1/, 'is sealed');
$t->write("data/artifacts/$dir/$old[1]", substr $plain, 1);
is(ask('GET', "/v1/artifacts/$old[1]/content")->{status}, 500, 'one that was cut since is refused');
is(ask('DELETE', "/v1/artifacts/$old[0]")->{status}, 204, 'deleted');
ok($t->wait_until(30, sub { !-e $path[0] }), 'with its file');
is(ask('GET', "/v1/artifacts/$old[0]")->{status}, 404, 'and gone');
$t->finish;
done_testing();
