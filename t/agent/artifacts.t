#!/usr/bin/perl
# Files in and out: nothing but the payload's own regular files, and nothing that bends a path.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use MIME::Base64 qw(encode_base64);
use Sandbox::Agent;
use Test::More;

my $agent = Sandbox::Agent->new;
my $binary = join '', map { chr } 0 .. 255;
is($agent->session('bash', files => [{ path => 'a.txt', content => "text\n" },
                                     { path => 'deep/er/b.bin', content => encode_base64($binary, ''), encoding => 'base64' },
                                     { path => 'empty', content => '' }])->{status}, 201, 'files go in');
is($agent->run('cat a.txt; sha256sum < deep/er/b.bin; wc -c < empty; stat -c %u a.txt deep deep/er; test -w a.txt && echo mine')->{stdout},
   "text\n" . do { require Digest::SHA; Digest::SHA::sha256_hex($binary) } . "  -\n0\n"
   . (($> == 0 ? $Sandbox::Agent::USER : $>) . "\n") x 3 . "mine\n", "and are the payload's");

sub taken { my ($r) = @_; return join ' ', map { "$_->{path}=$_->{size}" } @{ $r->{files} } }
sub skipped { my ($r) = @_; return join '; ', map { "$_->{path} $_->{reason}" } @{ $r->{files_skipped} } }

my $r = $agent->run('mkdir -p out/sub .hid; echo 12345 > out/x.csv; echo 1 > out/sub/y.csv; echo 1 > z.csv; echo 1 > .hid/h.csv; echo 1 > .h.csv',
                    artifacts => ['*.csv', 'out/**']);
is(taken($r), 'out/sub/y.csv=2 out/x.csv=6 z.csv=2', 'patterns, in order, without hidden files');
is(skipped($r), '', 'and nothing skipped');
is(taken($agent->run('true', artifacts => ['**/*.csv'])), 'out/sub/y.csv=2 out/x.csv=6 z.csv=2', 'at any depth');
is(taken($agent->run('true', artifacts => ['.hid/*', '.h.csv'])), '.h.csv=2 .hid/h.csv=2', 'hidden ones when asked for');
is(taken($agent->run('true', artifacts => [])), '', 'none when none are declared');
$r = $agent->run('true', artifacts => ['z.csv', 'nothing.txt', 'out', '*.none', 'z.csv']);
is(taken($r), 'z.csv=2', 'one file by two patterns is one');
is(skipped($r), 'nothing.txt does not exist; out is a directory', 'a name that is missing is told, a pattern is not');

# Whatever pretends to be a file.
$r = $agent->run(<<'SH', artifacts => ['t/**'], timeout_ms => 10000);
mkdir t; cd t
ln -s /etc/passwd link; ln -s /etc linkdir; ln -s . loop; ln -s ../../.. up; ln -s nowhere dangling
echo x > one; ln one two
mkfifo pipe
python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.bind("sock")'
printf x > "$(printf 'bad\377name')"; printf x > "$(printf 'new\nline')"
mkdir locked; echo x > locked/in; chmod 0 locked
echo x > unreadable; chmod 0 unreadable
echo fine > real
SH
is(taken($r), 't/real=5 t/unreadable=2', 'only regular files with one name');
for my $bad (['link', 'symbolic link'], ['linkdir', 'symbolic link'], ['loop', 'symbolic link'], ['up', 'symbolic link'], ['dangling', 'symbolic link'],
             ['one', 'hard link'], ['two', 'hard link'], ['pipe', 'regular'], ['sock', 'regular'], ['locked', 'cannot be opened']) {
    like(skipped($r), qr{(^|; )t/$bad->[0] [^;]*$bad->[1]}, "$bad->[0] is skipped, and why");
}
like(skipped($r), qr/not UTF-8/, 'a name that is not UTF-8');
like(skipped($r), qr/not printable/, 'a name that is not printable');

# Downloads.
is($agent->file('out/x.csv')->{content}, "12345\n", 'a file comes out');
is($agent->file('out%2fx.csv')->{content}, "12345\n", 'encoded or not');
is($agent->file('empty')->{status}, 200, 'an empty one too');
is($agent->call('HEAD', "/v1/sessions/$agent->{session}/files/a.txt", undef, 'X-Session-Token' => $Sandbox::Agent::TOKEN)->{headers}{'content-length'}, 5,
   'or only its size');
for my $path (qw(t/link t/linkdir/passwd t/loop/real t/up/a.txt t/one t/two t/pipe t/sock t/locked/in t/unreadable nothing out
                 ../a.txt %2e%2e/a.txt ..%2f..%2f..%2fetc/passwd a.txt/ //etc/passwd %2fetc%2fpasswd ./a.txt out//x.csv a.txt%00 %zz % %2),
              '..%5c..%5cetc', 'out/' . ('x' x 300), join('/', ('d') x 40)) {
    my $reply = $agent->file($path);
    is($reply->{status}, 404, "not $path") or diag($reply->{content});
}
is($agent->file('out/x.csv', 'X-Session-Token' => 'x' x 32)->{status}, 401, 'not without the token');

# Large ones.
$r = $agent->run('head -c 3000000 /dev/zero > big; truncate -s 100M sparse; for i in 1 2 3 4; do echo $i > n$i; done',
                 artifacts => ['big', 'n*'], max_artifacts => 3);
is(taken($r), 'big=3000000 n1=2 n2=2', 'as many as allowed');
is(skipped($r), 'n3 is past the number of artifacts allowed; n4 is past the number of artifacts allowed', 'the rest is told');
$r = $agent->run('true', artifacts => ['sparse', 'big', 'n1'], max_artifact_bytes => 1000);
is(taken($r), 'n1=2', 'as many bytes as allowed');
is(length $agent->file('big')->{content}, 3000000, 'a large file streams');
$r = $agent->run('mkdir -p many && cd many && seq 1 12000 | xargs touch', artifacts => ['many/*'], max_artifacts => 1000, timeout_ms => 30000);
is(scalar @{ $r->{files} }, 1000, 'a crowd of files is cut');
like(skipped($r), qr/too many entries/, 'and the walk ends');
$r = $agent->run('rm -rf many; p=d; for i in $(seq 1 120); do p=$p/d; done; mkdir -p $p; touch $p/x', artifacts => ['d/**']);
like(skipped($r), qr/nested too deep/, 'a deep tree is cut');
is($agent->run('true', artifacts => ['n1'])->{exit_code}, 0, 'and does not matter to who looks elsewhere');
$agent->close_session;

# The report has a ceiling: what it leaves out is a number, and nothing else is lost.
$agent->session('bash');
$r = $agent->run(<<'SH', artifacts => ['**', 'nothing'], max_artifacts => 5, timeout_ms => 60000);
p=x; for i in 1 2 3; do p=$p/$(printf %0250d $i); done
mkdir -p $p && cd $p && seq -f %0190.0f 1 9000 | xargs touch; echo made
SH
is($r->{stdout}, "made\n", 'nine thousand files with paths of 950 bytes: the step is answered');
is(scalar @{ $r->{files} // [] }, 5, '  with the files allowed');
is(scalar @{ $r->{files_skipped} // [] }, 200, '  and the first of those skipped');
is($r->{files_skipped_count}, 8996, '  and the number of all');
$r = $agent->run(<<'SH', artifacts => ['**'], max_artifacts => 1000, timeout_ms => 60000);
rm -rf x; c=$(printf '\302\205'); p=x; for i in 1 2 3; do p=$p/$(printf "$c%.0s" $(seq 120)); done
mkdir -p $p && cd $p && for i in $(seq 1200); do echo "$(printf "$c%.0s" $(seq 120))$i"; done | xargs touch
c=$(printf '\001'); mkdir $c && cd $c && for i in $(seq 300); do echo "$(printf "$c%.0s" $(seq 50))$i"; done | xargs touch
SH
is(scalar @{ $r->{files} // [] }, 1000, 'names that grow sixfold when written fit as well');
is($r->{files_skipped_count}, 500, '  and are counted');
$r = $agent->run('head -c 3000000 /dev/zero | tr "\0" "\1"; head -c 3000000 /dev/zero | tr "\0" "\377" >&2');
is($r->{stdout_bytes}, 3000000, 'so does output of the worst kind');
is($agent->run('true', artifacts => ['none'])->{files_skipped_count}, 1, 'one that is missing is one');

# A program that shuts its own workspace.
for my $mode (qw(0 200 400 100)) {
    $r = $agent->run("echo $mode > kept; echo 5 > \$SANDBOX_RESULT_FILE; chmod $mode . \$(dirname \$SANDBOX_RESULT_FILE)", artifacts => ['kept']);
    is(taken($r), 'kept=' . (1 + length $mode), "a workspace of mode $mode gives its artifact");
    is($r->{result}, 5, '  and its result');
    is($agent->file('kept')->{content}, "$mode\n", '  and its file');
}
is($agent->run('cat kept; chmod 0 .')->{stdout}, "100\n", 'the next step can use it');
is($agent->close_session->{status}, 204, 'and it can be removed');
is_deeply([glob "$agent->{dir}/ws/*"], [], '  whole');
$agent->session('bash');
$agent->run('mkdir d && cd d && for i in $(seq 1 400); do mkdir d 2>/dev/null; cd d || break; done; chmod 0 . ; true');
is($agent->close_session->{status}, 204, 'a workspace made to be hard to remove');

# Uploads that would bend a path.
for my $file ({ path => '../x', content => '' }, { path => '/x', content => '' }, { path => 'a/../../x', content => '' },
              { path => 'a//b', content => '' }, { path => '', content => '' }, { path => "a\0b", content => '' },
              { path => 'x' x 256, content => '' }, { path => join('/', ('a') x 17), content => '' }) {
    my $reply = $agent->session('bash', files => [$file]);
    ok($reply->{status} == 422 || $reply->{status} == 400, 'refused: ' . substr($file->{path}, 0, 20) =~ s/\0/\\0/r) or diag($reply->{content});
}
is($agent->session('bash', files => [{ path => 'a', content => '' }, { path => 'a', content => '' }])->{status}, 422, 'one path twice');
is($agent->session('bash', files => [{ path => 'a', content => '' }, { path => 'a/b', content => '' }])->{status}, 422, 'a file as a directory');
is($agent->session('bash', files => [{ path => 'a', content => '*', encoding => 'base64' }])->{status}, 422, 'bad base64');
is_deeply([glob "$agent->{dir}/ws/*"], [], 'a session refused leaves nothing');
$agent->finish;
done_testing();
