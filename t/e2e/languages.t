#!/usr/bin/perl
# Python, JavaScript and shell through the front door: what goes in and out, exactly.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256_hex);
use MIME::Base64;
use Sandbox;
use Test::More;

my $t = Sandbox->new->start;

my %print = (
    python     => 'import sys; print("out"); print("err", file=sys.stderr); sys.exit(3)',
    javascript => 'console.log("out"); console.error("err"); process.exit(3)',
    bash       => 'echo out; echo err >&2; exit 3',
);
for my $language (sort keys %print) {
    my $job = $t->job({ language => $language, code => $print{$language} });
    is($job->{status}, 'failed', "$language: an exit status that is not 0 is a failed run");
    is($job->{exit_code}, 3, "$language: exit status");
    is($job->{stdout}, "out\n", "$language: stdout");
    is($job->{stderr}, "err\n", "$language: stderr");
    is($job->{stdout_bytes}, 4, "$language: stdout_bytes");
    is($job->{signal}, undef, "$language: no signal");
    is($job->{violation}, undef, "$language: no violation");
    ok(!$job->{truncated}, "$language: nothing is cut");
    like($job->{job_id}, qr/^job_[0-9a-z]{26}$/, "$language: an id");
    cmp_ok($job->{usage}{wall_ms}, '>', 0, "$language: wall time");
    cmp_ok($job->{usage}{peak_memory_bytes}, '>', 100_000, "$language: memory");
    my $again = $t->request('GET', "/v1/jobs/$job->{job_id}")->{json};
    is_deeply($again, $job, "$language: the same answer later");
}
for my $pair (['node', 'console.log(1)'], ['shell', 'echo 1'], ['sh', 'echo 1']) {
    is($t->job({ language => $pair->[0], code => $pair->[1] })->{stdout}, "1\n", "$pair->[0] is an alias");
}

my %signal = (
    python     => 'import os, signal; os.kill(os.getpid(), signal.SIGTERM)',
    javascript => 'process.kill(process.pid, "SIGTERM"); setTimeout(() => {}, 5000)',
    bash       => 'kill -TERM $$',
);
for my $language (sort keys %signal) {
    my $job = $t->job({ language => $language, code => $signal{$language} });
    is_deeply([@$job{qw(status exit_code signal)}], ['failed', undef, 'SIGTERM'], "$language: death by signal");
}
is($t->job({ language => 'python', code => 'import ctypes; ctypes.string_at(0)' })->{signal}, 'SIGSEGV', 'a crash is a signal');

my $big = join '', map { chr(97 + $_ % 26) } 1 .. 1 << 20;
my %stdin = (
    python     => 'import sys, hashlib; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())',
    javascript => 'const h = require("crypto").createHash("sha256"); process.stdin.on("data", (d) => h.update(d)).on("end", () => console.log(h.digest("hex")))',
    bash       => 'sha256sum | cut -d" " -f1',
);
for my $language (sort keys %stdin) {
    my $job = $t->job({ language => $language, code => $stdin{$language}, stdin => $big });
    is($job->{stdout}, sha256_hex($big) . "\n", "$language: 1 MiB of stdin arrives whole");
}
is($t->job({ language => 'python', code => 'print(1)', stdin => $big })->{status}, 'succeeded', 'stdin that nobody reads harms nothing');
my $bytes = join '', map { chr } 0 .. 255;
is($t->job({ language => 'bash', code => 'sha256sum', stdin => encode_base64($bytes, ''), stdin_encoding => 'base64' })->{stdout},
   sha256_hex($bytes) . "  -\n", 'binary stdin');

my %binary = (
    python     => 'import sys; sys.stdout.buffer.write(bytes(range(256)))',
    javascript => 'process.stdout.write(Buffer.from([...Array(256).keys()]))',
    bash       => 'for i in $(seq 0 255); do printf "\\\\x$(printf %x $i)"; done',
);
for my $language (sort keys %binary) {
    my $code = $binary{$language};
    $code =~ s/\\\\x/\\\\x/;
    my $job = $t->job({ language => $language, code => $code });
    if ($language eq 'bash') {
        $job = $t->job({ language => 'bash', code => 'head -c 256 /dev/zero | tr "\\000" "\\377"' });
        is(decode_base64($job->{stdout_base64}), "\xff" x 256, 'bash: binary output is exact');
        next;
    }
    is($job->{stdout_bytes}, 256, "$language: binary output is counted in bytes");
    is(decode_base64($job->{stdout_base64}), $bytes, "$language: binary output is exact");
    is($t->request('GET', "/v1/jobs/$job->{job_id}/stdout")->{content}, $bytes, "$language: and as a download");
}
is($t->job({ language => 'python', code => 'print("\u00e4\U0001f600\x00x")' })->{stdout}, "\x{e4}\x{1f600}\0x\n", 'UTF-8 and NUL in output');

my $handler = $t->job({ language => 'python', code => "def handler(event):\n    print('side')\n    return {'got': event, 'n': [1, None, 2.5]}", event => { a => 1 } });
is_deeply($handler->{result}, { got => { a => 1 }, n => [1, undef, 2.5] }, 'python: what the handler returns is the result');
is($handler->{stdout}, "side\n", 'python: output beside a result');
$handler = $t->job({ language => 'javascript', code => 'exports.handler = async (event) => ({double: event.n * 2})', event => { n => 21 } });
is_deeply($handler->{result}, { double => 42 }, 'javascript: an async handler');
is_deeply($t->job({ language => 'bash', code => 'read -r e < "$SANDBOX_EVENT_FILE"; printf "{\"event\":%s}" "$e" > "$SANDBOX_RESULT_FILE"', event => 7 })->{result},
          { event => 7 }, 'bash: event and result are files');
my $bad = $t->job({ language => 'python', code => "def handler(event):\n    return object()", event => {} });
is($bad->{status}, 'failed', 'a result that is no JSON fails the run');
is($bad->{result}, undef, 'and there is no result');
like($bad->{stderr}, qr/JSON/, 'and stderr says why');

my $trace = $t->job({ language => 'python', code => "def f():\n    return 1 / 0\n\nf()\n" });
like($trace->{stderr}, qr/line 2, in f\n.*return 1 \/ 0/s, 'a traceback shows the line');
unlike($trace->{stderr}, qr/drivers/, 'and no frame of ours');

my $job = $t->job({
    language  => 'python',
    code      => "import sys, os, data.tables as t\nprint(sys.argv, os.environ['COLOUR'], t.X, os.getcwd())\nos.makedirs('out/deep')\nopen('out/deep/a.bin','wb').write(bytes(range(256)))\nopen('out/b.txt','w').write('b')\nopen('no.txt','w').write('n')",
    args      => ['one', 'two words', '--three'],
    env       => { COLOUR => 'blue' },
    files     => [{ path => 'data/tables.py', content => 'X = 5' }, { path => 'raw.bin', content => encode_base64($bytes, ''), encoding => 'base64' }],
    artifacts => ['out/**', 'raw.bin'],
});
is($job->{stdout}, "['main.py', 'one', 'two words', '--three'] blue 5 /workspace\n", 'args, env, files, directory') or diag explain $job;
is_deeply([map { $_->{path} } sort { $a->{path} cmp $b->{path} } @{ $job->{files} }], ['out/b.txt', 'out/deep/a.bin', 'raw.bin'], 'declared artifacts, and no others');
for my $file (@{ $job->{files} }) {
    my $reply = $t->request('GET', $file->{download_url});
    is($reply->{status}, 200, "$file->{path} can be fetched");
    is(length $reply->{content}, $file->{size}, "$file->{path} has its size");
    is(sha256_hex($reply->{content}), $file->{sha256}, "$file->{path} has its digest");
}
is($t->request('GET', "/v1/jobs/$job->{job_id}/artifacts/no.txt")->{status}, 404, 'what was not declared is not there');

# More names than a report holds, and a workspace its owner has shut.
$job = $t->job({ language => 'bash', artifacts => ['**'], code => <<'SH' });
p=x; for i in 1 2 3; do p=$p/$(printf %0250d $i); done
mkdir -p $p && cd $p && seq -f %0190.0f 1 9000 | xargs touch
SH
is($job->{status}, 'succeeded', 'nine thousand long names are no failure') or diag explain $job;
is(scalar @{ $job->{files} }, 64, 'as many artifacts as allowed');
is($job->{files_skipped}[-1]{reason}, '8736 more were skipped', 'the rest is counted');
$job = $t->job({ language => 'bash', artifacts => ['kept'], code => 'echo kept > kept; chmod 0 .' });
is($job->{status}, 'succeeded', 'nor is a workspace without permissions') or diag explain $job;
is(scalar @{ $job->{files} }, 1, 'its artifact is taken');

my $flood = $t->job({ language => 'python', code => 'for i in range(400000): print(f"line {i}")', limits => { output => '32Mi', time => '60s' } });
ok($flood->{truncated}, 'long output is cut');
is($flood->{stdout_bytes}, length join('', map { "line $_\n" } 0 .. 399999), 'its bytes are counted');
like($flood->{stdout}, qr/^line 0\n/, 'its head is kept');
like($flood->{stdout}, qr/line 399999\n\z/, 'its tail is kept');
like($flood->{stdout}, qr/\n\[\.\.\. [\d,]+ bytes omitted \.\.\.\]\n/, 'the gap is marked');

$t->finish;
done_testing();
