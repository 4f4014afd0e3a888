package Sandbox::Density;

# Much at once, for t/bench/run: many idle sessions, many jobs that sleep, many submissions in a moment. Each row has a stack of its own
# whose sizes are what the row asks for. $bench is the benchmark: $bench->{result}, $bench->{requests}, $bench->{load}, $bench->{dir}, $bench->{set}.

use strict;
use warnings;
use JSON::PP;
use Sandbox::Escape;
use Sandbox::Production;
use Time::HiRes qw(time sleep);

my $MiB = 1 << 20;

sub _stack { my ($bench, %size) = @_; return Sandbox::Production->new(%size, %{ $bench->{set} })->start }
sub _at { my ($part, @of) = @_; my @sorted = sort { $a <=> $b } @of; return @sorted ? $sorted[$part * $#sorted] : undef }

# The lines that t/bench/load wrote of each answer: [us, status, Retry-After or undef, id or undef].
sub _replies {
    my ($file) = @_;
    my @replies = map { my @f = split; [@f[0, 1], map { $_ eq '-' ? undef : $_ } @f[2, 3]] } split /\n/, Sandbox::_slurp($file);
    unlink $file;
    return @replies;
}

# Latencies of one load, in microseconds.
sub _samples {
    my ($bench, @arguments) = @_;
    unlink "$bench->{dir}/density";
    $bench->{load}->('-s', "$bench->{dir}/density", @arguments);
    return unpack 'L*', Sandbox::_slurp("$bench->{dir}/density");
}

# KiB of memory that the daemons alone have.
sub _daemons {
    my ($t) = @_;
    my $sum = 0;
    for my $pid (values %{ $t->{pid} }, $t->gateway_workers) {
        $sum += $_ for Sandbox::_slurp("/proc/$pid/smaps_rollup") =~ /^Private_\w+:\s+(\d+)/mg;
    }
    return $sum;
}

# A thousand sessions, each with an interpreter that has run a step: what one holds, and what a step in one of them costs beside the others.
sub idle {
    my ($bench, $n) = (shift, 1000);
    my ($tenants, $seconds) = (100, 3 * $bench->{seconds});
    my $t = _stack($bench, 'sessions.max' => $n + 40, 'pools.max' => 64, max_sandboxes => $n + 200);
    my $open = $t->request('POST', '/v1/sessions', json => { language => 'python', ttl => '1h', idle_timeout => '1h' });
    my $id = $open->{json}{session_id} // die "no session: $open->{status} $open->{content}\n";
    my $step = encode_json({ code => 'x = 1' });
    # Two agents, because production lets one have a hundred requests a second.
    my $one = $bench->{requests}->(map { ['POST', "/v1/sessions/$id/steps", $step, $t->token(agent => "agent-$_")] } 1, 2);
    my @step = ('-e', '"status":"succeeded"', '-g', 10000, '-t', $seconds, 'http', $t->port, $one);
    _samples($bench, @step);
    $t->settle;
    my @before = _samples($bench, @step);
    my $base = $t->sandbox_memory;
    my @token = map { $t->token(tenant => "tenant-$_") } 1 .. $tenants;
    my $begin = time;
    my $create = encode_json({ language => 'python', ttl => '1h', idle_timeout => '1h' });
    $bench->{load}->('-n', $n, '-c', 4, '-o', "$bench->{dir}/idle", 'http', $t->port, $bench->{requests}->(map { ['POST', '/v1/sessions', $create, $_] } @token));
    my $made = time - $begin;
    my @ids = map { $_->[3] // () } _replies("$bench->{dir}/idle");
    die 'only ' . @ids . " sessions of $n\n" if @ids < $n;
    my $memory = $t->sandbox_memory - $base;
    $bench->{load}->('-n', $n, '-c', 4, '-e', '"status":"succeeded"', 'http', $t->port, $bench->{requests}->(map { ['POST', "/v1/sessions/$ids[$_]/steps", $step, $token[$_ % $tenants]] } 0 .. $#ids));
    $t->settle;
    my $stepped = $t->sandbox_memory - $base;
    my $cpu = $t->{group}->us;
    sleep 5;
    $cpu = $t->{group}->us - $cpu;
    my @beside = _samples($bench, @step);
    my $daemons = _daemons($t);
    $bench->{load}->('-n', $n, '-c', 4, 'http', $t->port, $bench->{requests}->(map { ['DELETE', "/v1/sessions/$ids[$_]", undef, $token[$_ % $tenants]] } 0 .. $#ids));
    $t->wait_until(60, sub { ($t->metric('sessions') // 0) <= 1 });
    $t->settle;
    my @after = _samples($bench, @step);
    printf "  %d sessions made in %.1f s; idle they take %.1f %% of a processor; daemons' own memory %.1f MiB\n", $n, $made, $cpu / 5e4, $daemons / 1024;
    printf "  a step alone: p50 %.2f, p99 %.2f ms; beside them: %.2f, %.2f; alone again: %.2f, %.2f\n", map { $_ / 1e3 } map { my $of = $_; map { _at($_, @$of) } 0.5, 0.99 } \@before, \@beside, \@after;
    printf "  memory of one, kernel included: %.2f MiB made, %.2f MiB after a step\n", map { $_ / $n / $MiB } $memory, $stepped;
    $bench->{result}->('idle', 'memory of an idle Python session after a step, MiB', $stepped / $n / $MiB, -1, 1.5);
    $bench->{result}->('idle', "$n idle sessions: p99 of a step beside them to alone", _at(0.99, @beside) / _at(0.99, @before, @after), -1, 1.5);
    $t->end;
    return;
}

# Five hundred jobs of 16 MiB that sleep, and what a neighbour has of them. Each job says when its program began.
sub sleepers {
    my ($bench, $n) = (shift, 500);
    my $tenants = 25;
    my $t = _stack($bench, 'limits.max_running' => $n + 20, 'pools.max' => 64, max_sandboxes => $n + 200);
    my $neighbour = $bench->{requests}->(map { ['POST', '/v1/jobs', encode_json({ language => 'python', code => 'print(1)', wait => 30 }), $t->token(tenant => 'neighbour', agent => "agent-$_")] } 1, 2);
    my @neighbour = ('-e', '"stdout":"1\n"', '-g', 20000, 'http', $t->port, $neighbour);
    _samples($bench, '-t', 2, @neighbour);
    $t->settle;
    my @alone = _samples($bench, '-t', 5, @neighbour);
    my $job = encode_json({ language => 'python', code => 'import time; print(time.time(), flush=True); time.sleep(30)', wait => 0, limits => { memory => '16Mi', time => '60s' } });
    my @token = map { $t->token(tenant => "tenant-$_") } 1 .. $tenants;
    my $file = $bench->{requests}->(map { ['POST', '/v1/jobs', $job, $_] } @token);
    my $begin = time;
    my $pid = fork // die $!;
    if (!$pid) { exec { $bench->{tool} } $bench->{tool}, '-n', $n, '-c', 8, '-o', "$bench->{dir}/sleepers", 'http', $t->port, $file or POSIX::_exit(127) }
    my @starting = _samples($bench, '-t', 8, @neighbour);
    waitpid $pid, 0;
    my $quiet = $t->wait_until(12, sub { my $us = $t->{group}->us; sleep 0.2; $t->{group}->us - $us < 1e5 });
    my @beside = _samples($bench, '-t', 8, @neighbour);
    my $memory = $t->sandbox_memory + 1024 * _daemons($t);
    my @ids = map { $_->[3] // '' } _replies("$bench->{dir}/sleepers");
    $t->wait_until(60, sub { !$t->metric('jobs_running') });
    my @job = map { $t->request('GET', "/v1/jobs/$ids[$_]", token => $token[$_ % $tenants])->{json} } 0 .. $#ids;
    my @began = sort { $a <=> $b } map { ($_->{stdout} // '') =~ /^([\d.]+)\n/ ? $1 - $begin : () } @job;
    my $wrong = $n - grep { ($_->{status} // '') eq 'succeeded' } @job;
    printf "  began after %.2f s (half), %.2f s (the last); %.0f MiB; the neighbour: alone p50 %.1f, p95 %.1f ms, while they start %.1f, %.1f, while they sleep%s %.1f, %.1f\n", _at(0.5, @began), _at(1, @began), $memory / $MiB,
        map({ my $of = $_; map { _at($_, @$of) / 1e3 } 0.5, 0.95 } \@alone, \@starting), $quiet ? '' : ' (not quiet yet)', map { _at($_, @beside) / 1e3 } 0.5, 0.95;
    $bench->{result}->('sleepers', "$n jobs of 16 MiB that sleep: the last one runs after, s", @began == $n ? _at(1, @began) : undef, -1, 8, @began == $n ? () : (why => 'only ' . @began . ' ran'));
    $bench->{result}->('sleepers', 'their memory and the daemons\', MiB', $memory / $MiB, -1, 4096);
    $bench->{result}->('sleepers', "p95 of a neighbour's print(1) while they sleep to alone", _at(0.95, @beside) / _at(0.95, @alone), -1, 2);
    $bench->{result}->('sleepers', 'the same while they start', _at(0.95, @starting) / _at(0.95, @alone), -1, 2);
    $bench->{result}->('sleepers', 'those that did not succeed', $wrong, -1, 0);
    $t->end;
    return;
}

# The corpus as jobs of a tenant, one after the other until the file says that it is over; at least one of each kind that is left then.
sub _hostile {
    my ($bench, $t, $worker, $over) = @_;
    pipe my $read, my $write or die $!;
    my $pid = fork // die $!;
    return ($read, $pid) if $pid;
    my @cases = grep { Sandbox::Escape::is_job($_) && $_->{expect} eq 'held' && grep { $_ eq 'process' } @{ $_->{tier} } } Sandbox::Escape::cases();
    @cases = @cases[grep { $_ % 2 == $worker } 0 .. $#cases];
    my $n = 0;
    for my $case (@cases) {
        last if -e $over;
        my @outcome = eval { Sandbox::Escape::job($t, $case, token => $t->token(tenant => "hostile-$worker")) };
        @outcome = ('broken', $@) if $@;
        print {$write} "$outcome[0] $case->{name}: " . ($outcome[1] =~ s/\n/ /gr) . "\n";
    }
    close $write;
    POSIX::_exit(0);
}

# Five thousand submissions in ten seconds by a schedule, hostile programs meanwhile.
sub burst {
    my ($bench, $n, $seconds) = (shift, 5000, 10);
    my $t = _stack($bench);
    my ($tenants, $agents) = (32, 2);
    Sandbox::Escape::compile($_) for grep { $_->{ext} eq 'c' } Sandbox::Escape::cases();
    my @token = map { my $agent = $_; map { $t->token(tenant => "tenant-$_", agent => "agent-$agent") } 1 .. $tenants } 1 .. $agents;
    my $job = encode_json({ language => 'python', code => 'print(1)', wait => 0 });
    my $over = "$bench->{dir}/over";
    my @hostile = map { [_hostile($bench, $t, $_, $over)] } 0, 1;
    my $begin = time;
    my $sent = $bench->{load}->('-n', $n, '-r', $n / $seconds, '-c', 128, '-a', '-o', "$bench->{dir}/burst", 'http', $t->port, $bench->{requests}->(map { ['POST', '/v1/jobs', $job, $_] } @token));
    my @replies = _replies("$bench->{dir}/burst");
    my $drained = $t->wait_until(120, sub { ($t->metric('jobs_waiting') // 1) == 0 && ($t->metric('jobs_running') // 9) <= 2 });
    my $took = time - $begin;
    open my $out, '>', $over or die $!;
    close $out;
    my (%outcome, @bad);
    for my $one (@hostile) {
        my ($read, $pid) = @$one;
        while (my $line = <$read>) { my ($word) = split ' ', $line; $outcome{$word}++; push @bad, $line if $word ne 'held' }
        waitpid $pid, 0;
    }
    my %status;
    $status{ $_->[1] }++ for @replies;
    my $late = grep { $_->[0] > 1e6 } @replies;
    my $wrong = grep { !($_->[1] >= 200 && $_->[1] <= 202 && $_->[3] || ($_->[1] == 429 || $_->[1] == 503) && $_->[2]) } @replies;
    my @accepted = grep { defined $replies[$_][3] } 0 .. $#replies;
    my $terminal = $bench->{load}->('-n', scalar @accepted, '-r', 1500, '-c', 16, '-t', 3600, '-e', '"finished_at":"', 'http', $t->port, $bench->{requests}->(map { ['GET', "/v1/jobs/$replies[$_][3]", undef, $token[$_ % @token]] } @accepted));
    printf "  %d answers: %s; p50 %.1f, p99 %.1f, most %.1f ms; all over after %.1f s\n", scalar @replies, join(', ', map { "$status{$_} x $_" } sort keys %status), (map { _at($_, map { $_->[0] } @replies) / 1e3 } 0.5, 0.99, 1), $took;
    printf "  hostile programs meanwhile: %s\n", join ', ', map { "$outcome{$_} $_" } sort keys %outcome;
    print map { "  $_" } @bad;
    $bench->{result}->('burst', "$n submissions in $seconds s: answers later than 1 s", $late, -1, 0);
    $bench->{result}->('burst', 'answers that are neither accepted nor 429 or 503 with Retry-After', $wrong, -1, 0);
    $bench->{result}->('burst', 'accepted ones that are not terminal, of ' . @accepted, @accepted - ($terminal->{n} - $terminal->{errors}), -1, 0, $drained ? () : (why => 'the queue did not drain in 120 s'));
    $bench->{result}->('burst', 'hostile programs that got through or broke meanwhile, of ' . ($outcome{held} + @bad), scalar @bad, -1, 0);
    $t->end;
    return;
}

1;
