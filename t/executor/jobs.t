#!/usr/bin/perl
# One job through executord, launcher, sandbox and agent, straight at executord's socket.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use MIME::Base64;
use Sandbox;
use Sandbox::Context;
use Test::More;
use Time::HiRes qw(time);

my $t = Sandbox->new(executor => { 'pool.default' => 2 });
$t->start_launcher->start_executor;

sub ask {
    my ($method, $path, %option) = @_;
    my $who = delete $option{who} || {};
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, %$who), %option);
}
sub job { my ($body, %option) = @_; return ask('POST', '/v1/jobs', json => $body, %option) }

for my $case (
    ['python', 'import sys; print("out"); print("err", file=sys.stderr)', 'out', 'err'],
    ['javascript', 'console.log("out"); console.error("err")', 'out', 'err'],
    ['bash', 'echo out; echo err >&2', 'out', 'err'],
) {
    my ($language, $code, $out, $err) = @$case;
    my $reply = job({ language => $language, code => $code });
    is($reply->{status}, 200, "$language: 200");
    my $run = $reply->{json};
    is($run->{status}, 'succeeded', "$language succeeds");
    is($run->{stdout}, "$out\n", "$language stdout");
    is($run->{stderr}, "$err\n", "$language stderr");
    is($run->{exit_code}, 0, "$language exit code");
    is($run->{signal}, undef, "$language no signal");
    is($run->{language}, $language, "$language named");
}

is(job({ language => 'node', code => 'console.log(1)' })->{json}{language}, 'javascript', 'node is javascript');
is(job({ language => 'sh', code => 'echo 1' })->{json}{language}, 'bash', 'sh is bash');

my $run = job({ language => 'bash', code => 'exit 7' })->{json};
is_deeply([@$run{qw(status exit_code signal)}], ['failed', 7, undef], 'an exit status is kept');
$run = job({ language => 'bash', code => 'kill -SEGV $$' })->{json};
is_deeply([@$run{qw(status exit_code signal)}], ['failed', undef, 'SIGSEGV'], 'a signal is named');
$run = job({ language => 'python', code => 'raise ValueError("x")' })->{json};
is($run->{status}, 'failed', 'an exception fails');
like($run->{stderr}, qr/ValueError: x/, 'and says which');

$run = job({ language => 'python', code => "def handler(event):\n    return {'sum': sum(event['n'])}\n", event => { n => [1, 2, 3] } })->{json};
is_deeply($run->{result}, { sum => 6 }, 'a python handler gets the event and its value is the result');
$run = job({ language => 'node', code => 'exports.handler = async e => ({twice: e.n * 2})', event => { n => 21 } })->{json};
is_deeply($run->{result}, { twice => 42 }, 'a node handler too');

my $mib = join '', map { chr(65 + $_ % 26) } 0 .. 1048575;
$run = job({ language => 'python', code => 'import sys,hashlib; d=sys.stdin.buffer.read(); print(len(d), hashlib.sha256(d).hexdigest())', stdin => $mib })->{json};
is($run->{stdout}, '1048576 ' . sha256_hex($mib) . "\n", '1 MiB of stdin arrives');
my $binary = join '', map { chr } 0 .. 255;
$run = job({ language => 'python', code => 'import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())', stdin => encode_base64($binary, ''), stdin_encoding => 'base64' })->{json};
is(decode_base64($run->{stdout_base64}), $binary, 'binary output is whole in base64');
is($run->{stdout_bytes}, 256, 'and counted');

$run = job({ language => 'bash', code => 'echo "$1/$2/$#"', args => ['a b', "\x{e9}"] })->{json};
is($run->{stdout}, "a b/\x{e9}/2\n", 'arguments arrive as they are');
$run = job({ language => 'bash', code => 'echo "$FOO"; env | grep -c SECRET', env => { FOO => "x y\nz" } })->{json};
is($run->{stdout}, "x y\nz\n0\n", 'environment arrives, nothing of ours does');

$run = job({
    language => 'python',
    code => "import csv\nrows=list(csv.reader(open('in/data.csv')))\nopen('out.txt','w').write(str(sum(int(r[1]) for r in rows)))\nopen('big.bin','wb').write(bytes(range(256))*4096)\n",
    files => [{ path => 'in/data.csv', content => "a,1\nb,2\n" }, { path => 'b.bin', content => encode_base64("\0\1", ''), encoding => 'base64' }],
    artifacts => ['*.txt', 'big.*'],
    metadata => { ticket => 'T-1' },
})->{json};
is($run->{status}, 'succeeded', 'files in, artifacts out') or diag explain $run;
is_deeply([map { $_->{path} } sort { $a->{path} cmp $b->{path} } @{ $run->{files} }], ['big.bin', 'out.txt'], 'both artifacts');
is_deeply($run->{metadata}, { ticket => 'T-1' }, 'metadata comes back');
my ($text) = grep { $_->{path} eq 'out.txt' } @{ $run->{files} };
is_deeply($text, {
    path => 'out.txt', uri => "sandbox://job/$run->{job_id}/out.txt", size => 1, sha256 => sha256_hex('3'), mime_type => 'text/plain',
    download_url => "/v1/jobs/$run->{job_id}/artifacts/out.txt",
}, 'an artifact is described');
my $get = ask('GET', $text->{download_url});
is($get->{content}, '3', 'its bytes');
is($get->{headers}{'content-type'}, 'text/plain', 'its type');
is($get->{headers}{'x-content-type-options'}, 'nosniff', 'never sniffed');
like($get->{headers}{'content-disposition'}, qr/^attachment; filename\*=UTF-8''out\.txt$/, 'always an attachment');
my $big = ask('GET', "/v1/jobs/$run->{job_id}/artifacts/big.bin");
is(sha256_hex($big->{content}), sha256_hex($binary x 4096), 'a MiB streams whole');
is(ask('GET', $text->{download_url}, headers => { 'If-None-Match' => $get->{headers}{etag} })->{status}, 304, 'an ETag saves the bytes');
my $head = ask('HEAD', $text->{download_url});
is($head->{status} . ':' . $head->{content}, '200:', 'HEAD has no body');
my $list = ask('GET', "/v1/jobs/$run->{job_id}/artifacts")->{json};
is(scalar @{ $list->{files} }, 2, 'the list has both');

for my $path ('nope.txt', '..%2fout.txt', '%2e%2e/out.txt', 'out.txt%00', 'out.txt/', 'OUT.TXT', '%zz', '%c0%af') {
    is(ask('GET', "/v1/jobs/$run->{job_id}/artifacts/$path")->{status}, 404, "no artifact $path");
}

my $again = ask('GET', "/v1/jobs/$run->{job_id}")->{json};
is_deeply($again->{$_}, $run->{$_}, "read again: $_") for qw(status exit_code stdout result files metadata usage created_at finished_at);
is(ask('GET', "/v1/jobs/$run->{job_id}/stdout")->{headers}{'sandbox-truncated'}, 'false', 'not truncated');
$run = job({ language => 'bash', code => 'printf "a\0b"; printf e >&2' })->{json};
is(ask('GET', "/v1/jobs/$run->{job_id}/stdout")->{content}, "a\0b", 'raw stdout');
is(ask('GET', "/v1/jobs/$run->{job_id}/stderr")->{content}, 'e', 'raw stderr');

# Waiting.
my $start = time;
my $reply = job({ language => 'bash', code => 'echo first; sleep 60', wait => '200ms' });
is($reply->{status}, 202, 'not over within its wait: 202');
cmp_ok(time - $start, '<', 10, 'and in time');
is($reply->{headers}{location}, "/v1/jobs/$reply->{json}{job_id}", 'Location says where');
like($reply->{json}{status}, qr/^(queued|running)$/, 'not terminal');
is($reply->{json}{exit_code}, undef, 'no exit code yet');
my $id = $reply->{json}{job_id};
ok($t->wait_until(30, sub { ask('GET', "/v1/jobs/$id")->{json}{stdout} eq "first\n" }), 'output so far is shown while it runs');
is(ask('GET', '/v1/jobs?status=running')->{json}{jobs}[0]{job_id}, $id, 'the listing shows it running');
ask('DELETE', "/v1/jobs/$id");
$id = job({ language => 'bash', code => 'echo first; sleep 1; echo second', wait => 0 })->{json}{job_id};
my $long = ask('GET', "/v1/jobs/$id?wait=30");
is($long->{json}{status}, 'succeeded', 'a long poll returns when it is over');
is($long->{json}{stdout}, "first\nsecond\n", 'with everything');
is(job({ language => 'bash', code => 'true', wait => 0 })->{status}, 202, 'wait 0 never waits');

# A client that leaves does not cancel.
my $body = encode_json({ language => 'bash', code => 'sleep 1; echo done', metadata => { left => 'yes' } });
my $context = Sandbox::Context::sign($t->{key}, agent => 'leaver');
my $leaver = IO::Socket::UNIX->new(Peer => "$t->{dir}/sock/executord.sock") or die $!;
syswrite $leaver, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nSandbox-Context: $context\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
ok($t->wait_until(30, sub { scalar @{ ask('GET', '/v1/jobs?agent=leaver')->{json}{jobs} } }), 'its job is there');
close $leaver;
ok($t->wait_until(30, sub { (ask('GET', '/v1/jobs?agent=leaver')->{json}{jobs}[0]{status} // '') eq 'succeeded' }), 'a job outlives its client');

# Request ids and traces.
$reply = $t->executor_request('GET', '/healthz', headers => { 'X-Request-Id' => 'mine-1' });
is($reply->{headers}{'x-request-id'}, 'mine-1', 'a fitting request id is kept');
like($t->executor_request('GET', '/healthz', headers => { 'X-Request-Id' => 'a b' })->{headers}{'x-request-id'}, qr/^req_/, 'another is replaced');
like($t->executor_request('GET', '/healthz')->{headers}{traceparent}, qr/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/, 'a trace begins here when there is none');
is(ask('GET', '/readyz')->{json}{status}, 'ready', 'ready');
like($t->executor_request('GET', '/metrics')->{content}, qr/^sandbox_executor_jobs_ended_total\{status="succeeded"\} [1-9]/m, 'metrics count');

my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
