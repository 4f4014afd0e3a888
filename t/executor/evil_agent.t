#!/usr/bin/perl
# The agent is pid 1 of a tenant's sandbox, so a tenant who takes it over speaks to executord as it likes.
# t/launcher/evil_agent does: whatever it says or does, its own job ends in a way that is documented, in time,
# and nobody else notices.
use strict;
use warnings;
use lib 't/lib';
use File::Path qw(make_path);
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Test::More;
use Time::HiRes qw(time);

my $evil = "$Sandbox::OUT/t/launcher/evil_agent";
my $t = Sandbox->new(
    executor => { 'pool.default' => 2, 'pool.evil' => 0, 'limits.max_running' => 24, 'limits.queue_timeout' => '10m' },
);
my $root = $t->dir . '/evil';
make_path(map { "$root/usr/$_" } qw(bin sbin lib lib64));
symlink "usr/$_", "$root/$_" for qw(bin sbin lib lib64);
$t->write('evil/usr/mode', '');
$t->{launcher}{'template.evil.root'} = $root;
$t->{launcher}{agent} = $t->dir . '/bin/evil_agent';
system 'cp', $evil, $t->dir . '/bin/evil_agent';
system 'cp', $t->dir . '/bin/session-agent', $t->dir . '/opt/drivers/honest';
$t->start_launcher->start_executor;
my $pid = $t->{pid}{executor};

sub ask {
    my ($method, $path, %option) = @_;
    return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}), %option);
}

sub status_of { my ($name) = @_; my ($kb) = Sandbox::_slurp("/proc/$pid/status") =~ /^\Q$name\E:\s+(\d+)/m; return $kb }
sub n_fds { my @all = glob "/proc/$pid/fd/*"; return scalar @all }

my %usual = (memory => '64Mi', disk => '2Mi', processes => 16, cpu_time => '500ms', time => '6s', output => '256Ki');

sub submit {
    my ($mode) = @_;
    my $reply = ask('POST', '/v1/jobs', json => { language => 'bash', code => 'true', template => 'evil', env => { EVIL => $mode },
        limits => \%usual, artifacts => ['*'], wait => 0 });
    return $reply->{json}{job_id} // diag explain $reply;
}

sub honest { return ask('POST', '/v1/jobs', json => { language => 'bash', code => 'echo honest; echo x > f', artifacts => ['f'] })->{json} }

# What the mode must lead to: status, and after a slash the limit; `skipped` is of files that were announced.
my $LOST = qr{^lost$};
my $OVER = qr{^limit_exceeded/time$};
my $SPENT = qr{^(?:lost|limit_exceeded/(?:cpu|time))$};
my $FINE = qr{^succeeded$};
my $SKIPPED = qr{^succeeded skipped \d+ of (\d+)$};
my @nonsense = qw(garbage bare-lf fold space-colon nul-header two-lengths list-length minus-length length-wraps
    length-and-chunks no-length chunk-nonsense chunk-wraps chunk-minus gzip upgrade continue redirect status-999 status-000
    http-2 http-0.9 empty close exit cut-body pipelined no-content not-modified);
my %want = (
    (map { ("step:$_" => $LOST) } @nonsense),
    (map { ("fetch:$_" => $SKIPPED) } grep { !/^(?:pipelined|empty)$/ } @nonsense),
    (map { ("step:$_" => $OVER) } qw(silent half-head half-body slow)),
    (map { ("step:$_" => $LOST) } qw(not-json array null nan huge-number long-number fraction exit-256 exit-minus exit-text exit-object
        no-status both-status signal-nonsense signal-long signal-number duplicate unknown-member nul-escape nul-key bad-utf8
        surrogate control-error other-step no-step cpu-minus cpu-2-64 trailing result-name result-and-error path-up path-inner-up
        path-absolute path-empty path-slashes path-nul path-twice path-number size-minus size-huge size-sum skipped-count path-4k)),
    # Too much to say within its own limits, if it is quick at it.
    (map { ("step:$_" => $SPENT) } qw(wide wide-numbers result-1g trailer-flood deep deep-objects million-files skipped-flood)),
    (map { ("step:$_" => $SPENT, "fetch:$_" => $SKIPPED) } qw(tiny-chunks long-line many-headers interim-flood
        bomb chunk-bomb)),
    (map { ("step:$_" => $FINE) } qw(claims-nothing claims-much claims-timeout path-control skipped-control close-streams
        hold-streams immortal)),
    # An answer is an answer; what follows it costs it only when it comes with it, or what is left to fetch.
    (map { ("step:$_" => qr{^(?:succeeded|lost)$}) } qw(early pipelined)),
    'step:refused' => qr{^failed$},
    'step:oom' => qr{^limit_exceeded/memory$},
    'step:oom-self' => qr{^limit_exceeded/memory$},
    'step:fill' => qr{^limit_exceeded/disk$},
    'step:forks' => qr{^limit_exceeded/processes$},
    'step:burn' => qr{^limit_exceeded/(?:cpu|time)$},    # among 24 on a busy host half a second of processor takes its time
    'step:flood' => qr{^limit_exceeded/output$},
    'step:flood-error' => qr{^limit_exceeded/output$},
    'step:flood-after' => qr{^(?:succeeded|limit_exceeded/output)$},
    'fetch:pipelined' => qr{^succeeded\b},
    'fetch:empty' => $SKIPPED,
    (map { ("fetch:$_" => $SKIPPED) } qw(silent half-body more less refuses first-only each-stalls)),
    'honestly' => $FINE,
);
cmp_ok(scalar(keys %want), '>=', 150, scalar(keys %want) . ' behaviours');

is(honest()->{stdout}, "honest\n", 'an honest sandbox');
$t->wait_until(30, sub { ask('GET', '/readyz')->{status} == 200 });
# What is ready has descriptors, too.
ok($t->wait_until(30, sub { $t->executor_request('GET', '/metrics')->{content} =~ /^sandbox_executor_pool_warm\{template="default",isolation="process"\} 2$/m }), 'its place is filled again');
my ($rss, $fds) = (status_of('VmRSS'), n_fds());

my $start = time;
my %id = map { $_ => submit($_) } sort keys %want;
my ($slowest, $n_honest, @spoilt) = (0, 0);
my %left = %id;
my %job;
while (%left && time < $start + 300) {
    my $begin = time;
    my $job = honest();
    push @spoilt, $job unless ($job->{status} // '') eq 'succeeded' && $job->{stdout} eq "honest\n" && @{ $job->{files} } == 1;
    $slowest = time - $begin if time - $begin > $slowest;
    $n_honest++;
    for my $mode (sort keys %left) {
        my $reply = ask('GET', "/v1/jobs/$left{$mode}")->{json};
        next if $reply->{status} =~ /^(?:queued|running)$/;
        $job{$mode} = $reply;
        delete $left{$mode};
    }
}
is_deeply([sort keys %left], [], 'every job has ended') or ask('DELETE', "/v1/jobs/$_") for values %left;
is_deeply(\@spoilt, [], "$n_honest honest jobs beside them were as ever");
diag sprintf '%d jobs in %.0f s, slowest honest job %.2f s', scalar(keys %id), time - $start, $slowest;

sub outcome {
    my ($job) = @_;
    my $said = $job->{status} . ($job->{violation} ? "/$job->{violation}{name}" : '');
    my $skipped = grep { $_->{reason} =~ /could not|took too long/ } @{ $job->{files_skipped} || [] };
    return $skipped ? sprintf '%s skipped %d of %d', $said, $skipped, $skipped + @{ $job->{files} } : $said;
}
for my $mode (sort keys %job) {
    my $job = $job{$mode};
    like(outcome($job), $want{$mode}, $mode) or diag explain $job;
    my $v = $job->{violation} or next;
    my %key = (cpu => 'cpu_time');
    my $ceiling = { memory => 64 << 20, disk => 2 << 20, processes => 16, cpu => 500, time => 6000, output => 256 << 10 }->{ $v->{name} };
    cmp_ok($v->{limit}, '==', $ceiling, "$mode: the ceiling is the one that was set");
    cmp_ok($v->{observed}, '>=', $v->{limit}, "$mode: observed is not below it");
}
for my $mode (qw(step:claims-nothing step:claims-much)) {
    my $usage = $job{$mode}{usage};
    cmp_ok($usage->{cpu_ms}, '<', 500, "$mode: usage is the kernel's");
    cmp_ok($usage->{peak_memory_bytes}, '<', 64 << 20, "$mode: its peak as well");
    cmp_ok($usage->{peak_memory_bytes}, '>', 0, "$mode: which is not nothing");
}
is($job{'step:path-control'}{files_skipped}[0]{reason}, 'the name is not printable or too long', 'a name with an escape is left out');
my ($first) = @{ $job{'fetch:first-only'}{files} };
is($first && $first->{path}, 'f0', 'what was fetched before the stall is kept');

# An agent that is bad from the start: its sandbox is never handed out.
for my $what (qw(silent garbage close exit bomb interim-flood many-headers two-lengths pipelined empty)) {
    my $before = () = $t->read_file('logs/executor.log') =~ /agent\.not_ready/g;
    $t->write('evil/usr/mode', "health:$what");
    my $id = submit('');
    ok($t->wait_until(30, sub { (() = $t->read_file('logs/executor.log') =~ /agent\.not_ready/g) > $before }), "health:$what: not ready")
        unless $what eq 'pipelined';
    is(honest()->{status}, 'succeeded', "health:$what: others run");
    my $end = ask('DELETE', "/v1/jobs/$id")->{json};
    like($end->{status}, qr/^(?:cancelled|lost)$/, "health:$what: the job ends");
}
# One that only does not prepare an interpreter is as good as any.
$t->write('evil/usr/mode', 'health:refused');
is(ask('POST', '/v1/jobs', json => { language => 'bash', code => 'true', template => 'evil', limits => \%usual, wait => 10 })->{json}{status}, 'succeeded',
    'health:refused: taken as it is');
$t->write('evil/usr/mode', '');

# What is left of it all.
ok($t->wait_until(30, sub { (my @all = $t->sandbox_processes) <= 2 }), 'the sandboxes are gone but the pool');
ok($t->wait_until(30, sub { n_fds() <= $fds + 2 }), 'and so are their descriptors') or diag n_fds() . " of $fds";
my $asan = $Sandbox::VARIANT eq 'asan';
diag sprintf 'memory: %d kB before, %d kB after, %d kB at most', $rss, status_of('VmRSS'), status_of('VmHWM');
cmp_ok(status_of('VmRSS'), '<', $rss + 48 * 1024, 'memory went back') unless $asan;
cmp_ok(status_of('VmHWM'), '<', $rss + 160 * 1024, 'and never was much') unless $asan;
is($t->{pid}{executor} && kill(0, $pid), 1, 'executord is the one that was started');
for my $name (qw(executor launcher)) {
    my @lines = split /\n/, $t->read_file("logs/$name.log");
    is_deeply([grep { /[\x00-\x1f\x7f]/ || /EVILTEXT/ || !eval { decode_json($_) } } @lines], [], "$name: the log has nothing of an agent's text");
}
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
