#!/usr/bin/perl
# Of a job whose interpreter says that it ends, everything is there that it has written before, however much, and as told as ever.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(sha256_hex);
use Sandbox;
use Sandbox::Context;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 0, 'pool.default.python' => 4, 'pool.default.javascript' => 2 });
sub ask { my ($method, $path, %how) = @_; return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}), %how) }
sub job { my ($language, $code, %more) = @_; return ask('POST', '/v1/jobs', json => { language => $language, code => $code, wait => 30, %more })->{json} }
$t->start_launcher->start_executor;

# All that a reply keeps of a stream; what is in the pipe at the end is what it holds at most.
my $size = 1 << 20;
my %much = (
    python     => "import sys\nsys.stdout.write('0123456789abcde\\n' * ($size // 16)); sys.stderr.write('e' * 60000)",
    javascript => "process.stdout.write('0123456789abcde\\n'.repeat($size / 16)); process.stderr.write('e'.repeat(60000))",
);
my %n = (python => 20, javascript => 10);
my ($out, $err) = ("0123456789abcde\n" x ($size / 16), 'e' x 60000);
for my $language (sort keys %much) {
    my %ends;
    for (1 .. $n{$language}) {
        my $job = job($language, $much{$language});
        my $is_whole = $job->{stdout} eq $out && $job->{stderr} eq $err && $job->{stdout_bytes} == $size && $job->{stderr_bytes} == 60000;
        $ends{ $is_whole ? "$job->{status}, whole" : "$job->{status}, $job->{stdout_bytes} and $job->{stderr_bytes} bytes" }++;
    }
    is_deeply(\%ends, { 'succeeded, whole' => $n{$language} }, "$language: 1 MiB right before the end is whole, each time") or diag explain \%ends;
}

# What is in the pipe when its writer ends, many times.
my %rest;
for (1 .. 150) {
    my $job = job('python', "import os, sys\nsys.stdout.write('a' * 40000 + '\\n'); sys.stderr.write('b' * 20000 + '\\n'); os._exit(3)");
    $rest{ join ' ', @$job{qw(status exit_code stdout_bytes stderr_bytes)}, $job->{stdout} eq 'a' x 40000 . "\n", $job->{stderr} eq 'b' x 20000 . "\n" }++;
}
is_deeply(\%rest, { 'failed 3 40001 20001 1 1' => 150 }, 'so is what was not read before the end') or diag explain \%rest;

# What the pipe is made to hold at most, which nobody has read when its writer ends.
my $pipe = "import fcntl, os\nfcntl.fcntl(1, 1031, 1 << 20)\nos.write(1, b'x' * (1 << 20))\nos._exit(3)";
my %held;
for (1 .. 20) {
    my $job = job('python', $pipe);
    $held{"$job->{status} $job->{exit_code} $job->{stdout_bytes}"}++;
}
is_deeply(\%held, { "failed 3 $size" => 20 }, 'so is what fills the largest pipe at once') or diag explain \%held;

# What a job is told of, its verdict, its files and its figures.
my $burn = job('python', "import time\nend = time.process_time() + .3\nwhile time.process_time() < end: pass\nx = 'x' * 50_000_000");
cmp_ok($burn->{usage}{cpu_ms}, '>=', 290, 'its time is known');
cmp_ok($burn->{usage}{peak_memory_bytes}, '>', 50_000_000, 'and its memory');
my $files = job('python', "for i in range(20): open(f'{i}.txt', 'w').write('x' * 100000)", artifacts => ['*.txt']);
is(scalar @{ $files->{files} || [] }, 20, 'its files are all there') or diag explain $files;
is(scalar(grep { $_->{size} == 100000 } @{ $files->{files} || [] }), 20, 'and whole');
my $result = job('python', "def handler(event): return [event] * 1000", event => { x => 1 });
is_deeply($result->{result}, [({ x => 1 }) x 1000], 'and its result');

# A word that is not the program's own end does it no good.
my $say = "import os, socket, time\nif os.path.exists('/proc/self/fd/63'): socket.socket(fileno=63).send(b'E\\0')\n";
my $liar = job('python', $say . "while True:\n    try: os.fork()\n    except OSError: pass", limits => { time => '5s' });
isnt($liar->{status} // '', 'running', 'who goes on behind it has an end') or diag explain $liar;
ok($t->wait_until(30, sub { !grep { /\bState:\s+R/ } $t->sandbox_processes_text }), 'and nothing of it goes on');
is(job('python', 'print(1)')->{stdout}, "1\n", 'the next has a sandbox of its own');

$t->finish;
done_testing();
