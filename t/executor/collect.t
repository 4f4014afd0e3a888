#!/usr/bin/perl
# Files taken out of a live session into the store: those that match, at once, within the policy; the session goes on.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use POSIX ();
use Sandbox;
use Sandbox::Context;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 2, 'artifacts.max_number' => 60 });
sub ask { my ($method, $path, %option) = @_; my %as = %{ delete $option{as} || {} }; return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, %as), %option) }
sub files { return grep { -f } glob "$t->{dir}/data/artifacts/*/art_*" }
$t->start_launcher->start_executor;

my $made = ask('POST', '/v1/sessions', json => { language => 'python' });
is($made->{status}, 201, 'a session') or diag $made->{content};
my $session = $made->{json}{session_id};
sub step { my ($code) = @_; my $reply = ask('POST', "/v1/sessions/$session/steps", json => { code => $code }); is($reply->{json}{status}, 'succeeded', 'a step') or diag $reply->{content}; return }
sub collect { my ($patterns, %option) = @_; return ask('POST', "/v1/sessions/$session/artifacts", json => { patterns => $patterns }, %option) }

step(<<'CODE');
import os, hashlib
os.makedirs("out/deep", exist_ok=True)
open("out/a.txt", "w").write("alpha")
open("out/deep/b.csv", "w").write("b" * 70000)
open("big.bin", "wb").write(bytes(i % 251 for i in range(3_000_000)))
open("empty", "w")
os.symlink("/etc/passwd", "out/link")
os.symlink("a.txt", "out/alias")
os.link("out/a.txt", "out/twin")
os.mkfifo("out/fifo")
CODE

my $reply = collect(['out/**', 'big.bin', 'empty']);
is($reply->{status}, 201, 'collected') or diag $reply->{content};
my %by = map { $_->{name} => $_ } @{ $reply->{json}{artifacts} };
is_deeply([sort keys %by], [qw(big.bin empty out/deep/b.csv)], 'regular files with one name');
is_deeply([map { @$_{qw(path size session_id job_id mime_type)} } $by{'out/deep/b.csv'}], ['out/deep/b.csv', 70000, $session, undef, 'text/csv'], 'as artifacts of the session');
my $big = join '', map { chr($_ % 251) } 0 .. 2_999_999;
is($by{'big.bin'}{sha256}, sha256_hex($big), 'whole');
is(sha256_hex(ask('GET', $by{'big.bin'}{content_url})->{content}), sha256_hex($big), 'and read');
my %skipped = map { $_->{path} => $_->{reason} } @{ $reply->{json}{skipped} };
ok($skipped{$_}, "$_ is skipped, with a reason") for qw(out/link out/alias out/fifo out/twin);
is_deeply([sort map { $_->{name} } @{ ask('GET', "/v1/artifacts?session=$session")->{json}{artifacts} }], [sort keys %by], 'listed by their session');

# It goes on, and what it writes later is another artifact.
step('open("empty", "w").write("no longer")');
is(collect(['empty'])->{json}{artifacts}[0]{size}, 9, 'collected again');
is(ask('GET', $by{empty}{content_url})->{content}, '', 'the first is as it was');

# Nothing, and what is refused.
is_deeply(collect(['none/*'])->{json}, { artifacts => [], skipped => [] }, 'what matches nothing');
for my $case ([[], 422], [['../x'], 422], [['/etc/passwd'], 422], [['a/../../x'], 422], [[''], 422], [['x' x 2000], 422], [[("a")x 65], 422], [[1], 422], ['*', 422], [["a\0b"], 422]) {
    my $got = collect($case->[0]);
    like($got->{status}, qr/^(422|413|400)$/, 'refused: ' . substr JSON::PP->new->allow_nonref->encode($case->[0]), 0, 30) or diag $got->{content};
}
is(ask('POST', "/v1/sessions/$session/artifacts", json => { patterns => ['*'], x => 1 })->{status}, 422, 'a member that is none');
is(ask('POST', "/v1/sessions/$session/artifacts", json => [])->{status}, 422, 'no object');
is(ask('POST', "/v1/sessions/$session/artifacts", body => '{', headers => { 'Content-Type' => 'application/json' })->{status}, 400, 'no JSON');
is(collect(['*'], as => { tenant => 'umbrella' })->{status}, 404, "another tenant's session");
is(collect(['*'], as => { scopes => 'sessions:read' })->{status}, 403, 'who may only read');
is(collect(['*'], as => { artifacts => 0 })->{status}, 403, 'a policy that grants none');

# The same request twice.
my %key = (headers => { 'Idempotency-Key' => 'once' });
my $before = files();
my $one = collect(['out/deep/*', 'empty'], %key);
my $two = collect(['out/deep/*', 'empty'], %key);
is("$two->{status} $two->{headers}{'idempotency-replayed'}", '201 true', 'the same key');
is_deeply([sort map { $_->{artifact_id} } @{ $two->{json}{artifacts} }], [sort map { $_->{artifact_id} } @{ $one->{json}{artifacts} }], 'the same artifacts');
ok($t->wait_until(30, sub { files() == $before + 2 }), 'once') or diag scalar files();
is(collect(['empty'], %key)->{json}{code}, 'idempotency_mismatch', 'other patterns');

# Limits.
my $count = files();
my $few = collect(['out/**', 'big.bin', 'empty'], as => { artifacts => 1 })->{json};
is(@{ $few->{artifacts} }, 1, 'as many as the policy allows');
ok((grep { $_->{reason} =~ /many|allowed/ } @{ $few->{skipped} }), 'and the others are named');
my $small = collect(['out/deep/*', 'big.bin'], as => { art_bytes => 100_000 })->{json};
is_deeply([map { $_->{name} } @{ $small->{artifacts} }], ['out/deep/b.csv'], 'as large as it allows');
is((grep { $_->{path} eq 'big.bin' } @{ $small->{skipped} })[0]{reason}, 'is past the size of artifacts allowed', 'the other is too large');
my $stored = 0;
$stored += $_->{size} for @{ ask('GET', '/v1/artifacts?limit=100')->{json}{artifacts} };
my $full = collect(['big.bin'], as => { art_total => $stored + 2_999_999 });
is("$full->{status} $full->{json}{violations}[0]{rule}", '413 artifacts.total_bytes', 'more than the tenant may store');
ok($t->wait_until(30, sub { files() == $count + 2 }), 'and nothing of it stays') or diag scalar files();

# A file that changes all the while is taken as it was at some time, or not at all.
ask('POST', "/v1/sessions/$session/steps", json => { code => <<'CODE', wait => 0 });
import os, time
end = time.time() + 3
n = 0
while time.time() < end:
    n += 1
    with open("busy.bin", "wb") as f:
        f.write(bytes([n % 256]) * (200_000 + n % 7 * 100_000))
    try:
        os.remove("racy")
    except FileNotFoundError:
        pass
    if n % 2:
        os.symlink("/etc/passwd", "racy")
    else:
        open("racy", "w").write("fine")
CODE
my ($fine, $wrong) = (0, 0);
for (1 .. 25) {
    my $got = collect(['busy.bin', 'racy']);
    next if $got->{status} != 201;
    for my $artifact (@{ $got->{json}{artifacts} }) {
        my $content = ask('GET', $artifact->{content_url})->{content};
        $fine++;
        $wrong++ if sha256_hex($content) ne $artifact->{sha256} || length $content != $artifact->{size} || $content =~ /root:/;
        ask('DELETE', "/v1/artifacts/$artifact->{artifact_id}");
    }
}
is($wrong, 0, "$fine files that change meanwhile are what they are said to be");
is(ask('GET', "/v1/sessions/$session")->{json}{status}, 'running', 'and the session runs');

# Its end in the middle, and a client that leaves in the middle: nothing half is left.
$session = ask('POST', '/v1/sessions', json => { language => 'python' })->{json}{session_id};
step('open("huge.bin", "wb").write(b"x" * 40_000_000)');
my %wide = (as => { art_bytes => 64 << 20 });
for my $delay (0, 0.01, 0.03) {
    my $body = '{"patterns":["huge.bin"]}';
    $t->executor_raw("POST /v1/sessions/$session/artifacts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: " . length($body)
        . "\r\nSandbox-Context: " . Sandbox::Context::sign($t->{key}, %{ $wide{as} }) . "\r\n\r\n$body", seconds => $delay);
    is(ask('GET', "/v1/sessions/$session")->{json}{status}, 'running', "a client leaves after $delay s, the session stays");
}
my $pid = fork // die;
if (!$pid) {
    my $got = collect(['huge.bin'], %wide);
    $t->write('tmp/ended', $got->{status} // 0);
    POSIX::_exit(0);
}
$t->wait_until(30, sub { glob "$t->{dir}/data/artifacts/tmp/*" });
is(ask('DELETE', "/v1/sessions/$session")->{status}, 200, 'the session ends while a file is read');
waitpid $pid, 0;
like($t->read_file('tmp/ended'), qr/^(410|201)$/, 'and who asked for the file is told');
ok($t->wait_until(30, sub { !(my @left = glob "$t->{dir}/data/artifacts/tmp/*") }), 'no part of it is left');

# After its end.
$session = ask('POST', '/v1/sessions', json => { language => 'python' })->{json}{session_id};
is(ask('DELETE', "/v1/sessions/$session")->{status}, 200, 'ended');
is(collect(['*'])->{status}, 410, 'there is nothing to collect from');
is(sha256_hex(ask('GET', $by{'big.bin'}{content_url})->{content}), sha256_hex($big), 'what was collected stays');
my %row = map { $_->{artifact_id} => 1 } @{ ask('GET', '/v1/artifacts?limit=100')->{json}{artifacts} };
ok($t->wait_until(30, sub { !grep { !$row{$_} } map { m{([^/]+)$} } files() }), 'and no file without a record');
$t->finish;
done_testing();
