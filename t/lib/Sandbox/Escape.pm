package Sandbox::Escape;

# The corpus of hostile programs: t/launcher/escape/<class>-<nn>-<slug>.{py,js,sh,c}, each run by the real session
# agent in a fresh sandbox. The comment lines at a program's head say:
#
#   title: what it tries                       wall: the walls that together stop it; with all of them off it gets through
#   source: CVE, man page (optional)           tier: process gvisor (default); one left out needs `without:`
#   without: why a tier is left out            expect: held (default) | signal SIGSYS ... | limit memory|processes|disk|cpu|time
#   gvisor: the walls that stop it in the gVisor tier; without this line gVisor itself does, with all of `wall` off
#   limits: memory=32m wall_ms=2000 ...        parties: 2 (the program runs in two sandboxes at once, see below) | later
#   sentry: the expectation in the gVisor tier, where it is another
#   steps: 2 (the program runs twice in its sandbox)   artifacts: patterns the step asks for   env: NAME=VALUE of the session
#
# A program ends with a line "HELD why" or "ESCAPED what". Of two parties the first is started with the argument
# "victim" and prints "READY text" when it is; then the second starts with "attacker" and that text, and its line counts.
# With "later" the first has ended and its sandbox is destroyed before the second gets the same slot, and so the same ids.
# With two steps the line of the second counts, which has the argument "again": the first may end as it likes.
# Whatever the expectation, `limit` and the kernel's verdict count first; "limit memory held" lets the program say HELD too.
# With artifacts, only files whose name begins with "good" may be reported, no other may be handed out, and no result taken.
# With env, that the agent refuses the session is held.
#
#   my $e = Sandbox::Escape->new(tier => 'process'); $e->start;    # prepared => 1: in interpreters that have waited;
#                                                                  # forked: in a zygote's, where it has any
#   $e->run([Sandbox::Escape::cases()], sub { my ($case, $outcome, $reason) = @_; ... }); $e->finish;

use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use Encode qw(encode_utf8);
use File::Path qw(make_path);
use IO::Handle;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use POSIX ();
use Sandbox::Launch;

our $DIR = "$Sandbox::Launch::ROOT/t/launcher/escape";
our @LIMITS = qw(none cpu memory disk processes time);    # enum launch_limit
our %TIMEOUT_MS = (process => 25000, gvisor => 25000);    # of a busy host; what is to take its time has a limit of its own

my %RUNTIME = (py => 'python', js => 'javascript', sh => 'bash', c => 'bash');
my %HEAD = map { $_ => 1 } qw(title source wall gvisor tier without expect sentry limits parties steps artifacts env);
my $JSON = JSON::PP->new->canonical->ascii;

sub slurp { return Sandbox::Launch::slurp($_[0]) }

# The cases whose name begins with one of the prefixes; all without any. Dies of a head that is not understood.
sub cases {
    my @prefix = @_;
    my @cases;
    for my $file (sort glob "$DIR/*-[0-9][0-9]-*") {
        my ($name, $class, $ext) = $file =~ m{/((\w+)-\d\d-[a-z0-9-]+)\.(py|js|sh|c)$} or die "$file: not a name of a case\n";
        next if @prefix && !grep { index($name, $_) == 0 } @prefix;
        push @cases, { name => $name, class => $class, ext => $ext, file => $file, %{ head($file) } };
    }
    return @cases;
}

sub head {
    my ($file) = @_;
    my (%head, $last);
    for my $line (split /\n/, slurp($file)) {
        last unless $line =~ m{^(?:#!|#|//|/?\*+)\s*(.*?)\s*(?:\*/)?$};
        my $text = $1;
        if ($text =~ /^([a-z]+):\s*(.+)$/ && $HEAD{$1}) { $head{$last = $1} = $2 }
    }
    my %walls = walls();
    my $case = {
        title => $head{title} // die("$file: no title\n"), source => $head{source}, wall => [split ' ', $head{wall} // die "$file: no wall\n"],
        gvisor => [split ' ', $head{gvisor} // ''], tier => [split ' ', $head{tier} // 'process gvisor'], without => $head{without}, parties => $head{parties} // 1,
        steps => $head{steps} // 1, artifacts => [split ' ', $head{artifacts} // ''], env => { map { split /=/, $_, 2 } $head{env} // () },
    };
    $walls{$_} or die "$file: no wall is called $_\n" for @{ $case->{wall} }, @{ $case->{gvisor} };
    /^(process|gvisor)$/ or die "$file: no tier is called $_\n" for @{ $case->{tier} };
    die "$file: say `without:` why a tier is left out\n" if @{ $case->{tier} } < 2 && !$case->{without};
    @$case{qw(expect what)} = expectation($file, $head{expect} // 'held');
    @{ $case->{sentry} }{qw(expect what)} = expectation($file, $head{sentry}) if $head{sentry};
    $case->{limits} = { map { /^(\w+)=(\d+)([km]?)$/ or die "$file: limits\n"; ($1 => $2 * { '' => 1, k => 1 << 10, m => 1 << 20 }->{$3}) } split ' ', $head{limits} // '' };
    return $case;
}

sub expectation {
    my ($file, $text) = @_;
    my ($expect, @what) = split ' ', $text;
    die "$file: expect\n" unless $expect =~ /^(held|signal|limit)$/;
    return ($expect, { map { $_ => 1 } @what });
}

# Names of lib/sbx_wall.h.
sub walls {
    my ($list) = slurp("$Sandbox::Launch::ROOT/lib/sbx_wall.h") =~ /^enum sbx_wall \{(.*?)SBX_N_WALLS/ms or die "sbx_wall.h\n";
    return map { lc($_) => 1 } $list =~ /SBX_WALL_(\w+)/g;
}

# Where the compiled program is; kept under the digest of what it is made from.
sub compile {
    my ($case) = @_;
    my $cache = "$Sandbox::Launch::ROOT/build/escape";
    my $program = "$cache/$case->{name}-" . substr sha256_hex(slurp($case->{file}) . slurp("$DIR/attack.h")), 0, 16;
    return $program if -x $program;
    make_path($cache);
    system(qw(gcc -O1 -g0 -s -static -std=gnu11 -D_GNU_SOURCE -Wall -Werror -pthread), "-I$DIR", '-o', "$program.$$", $case->{file}) == 0
        or die "$case->{file} does not compile\n";
    rename "$program.$$", $program or die "$program: $!\n";
    return $program;
}

sub new {
    my ($class, %option) = @_;
    my $self = bless { tier => 'process', walls_off => [], jobs => 3, n => 0, %option }, $class;
    my $out = @{ $self->{walls_off} } || $self->{mutant} ? "$Sandbox::Launch::ROOT/build/mutant" : $Sandbox::Launch::OUT;
    -x "$out/$_" or die "$out/$_ is not built\n" for qw(sandbox-launch session-agent);
    $self->{launch} = Sandbox::Launch->new(launcher => "$out/sandbox-launch", agent => "$out/session-agent", max_sandboxes => $self->{slots} // 16, %{ $self->{options} // {} })->drivers;
    return $self;
}

sub start {
    my ($self) = @_;
    my @off = @{ $self->{walls_off} };
    local $ENV{A_SECRET_OF_THE_HOST} = 'token-of-the-host';    # what no program may find
    $self->{launch}->start('template.default.inet' => 'yes', $self->{tier} eq 'gvisor' ? (runsc => 'auto') : (), $self->is_forked ? $self->zygote : (), %{ $self->{conf} // {} }, @off ? (walls_off => join ', ', @off) : ());
    $self->{has_zygote} = $self->zygote_await if $self->is_forked;
    return $self;
}

sub finish { my ($self) = @_; $self->{launch}->finish; return }

# Ends the launcher without assertions, for mutants.
sub stop {
    my ($self) = @_;
    my $status = $self->{launch}->stop;
    $self->{launch}{finished} = 1;
    return $status;
}

# Calls back with each case, its outcome (held, escaped, broken) and the reason, in the order of the list.
sub run {
    my ($self, $cases, $report) = @_;
    $_->{program} = eval { compile($_) } for grep { $_->{ext} eq 'c' } @$cases;
    my (%outcome, @at_once, @later);
    push @{ ($_->{parties} // 1) eq 'later' ? \@later : \@at_once }, $_ for @$cases;
    @outcome{ map { $_->{name} } @at_once } = $self->outcomes(\@at_once);
    if (@later) {    # a launcher with one slot, so that the second party has the first one's
        my $other = Sandbox::Escape->new(%$self, launch => undef, slots => 1, jobs => 1);
        my @these = eval { $other->start->outcomes(\@later) };
        $other->stop;
        @outcome{ map { $_->{name} } @later } = @these;
    }
    for my $case (@$cases) { $report->($case, @{ $outcome{ $case->{name} } // ['broken', 'the worker died'] }) }
    return;
}

sub outcomes {
    my ($self, $cases) = @_;
    pipe my $todo, my $fill or die $!;
    pipe my $results, my $done or die $!;
    syswrite $fill, pack 'N*', 0 .. $#$cases;    # 4 bytes a case, far less than a pipe holds
    close $fill;
    my @workers;
    for (1 .. $self->{jobs}) {
        my $pid = fork // die $!;
        if (!$pid) {
            eval { close $results; $self->work($cases, $todo, $done); 1 } or print STDERR $@;
            POSIX::_exit(0);
        }
        push @workers, $pid;
    }
    close $todo;
    close $done;
    my @outcome;
    while (defined(my $line = readline $results)) {
        my ($i, @rest) = @{ $JSON->decode($line) };
        $outcome[$i] = \@rest;
    }
    waitpid $_, 0 for @workers;
    return @outcome[0 .. $#$cases];
}

sub work {
    my ($self, $cases, $todo, $done) = @_;
    my $client = $self->{launch}->client;
    my $file = "$self->{launch}{dir}/body.$$";
    while (sysread($todo, my $index, 4) == 4) {
        my $i = unpack 'N', $index;
        my @outcome = eval {
            die "does not compile\n" if $cases->[$i]{ext} eq 'c' && !$cases->[$i]{program};
            $self->one($client, $cases->[$i], $file);
        };
        @outcome = ('broken', $@ =~ s/\s+\z//r) if $@;
        $outcome[1] = substr $outcome[1], 0, 600;
        my $line = $JSON->encode([$i, @outcome]) . "\n";    # at most PIPE_BUF: written whole
        syswrite $done, substr $line, 0, 4096;
    }
    $client->stop;
    return;
}

sub one {
    my ($self, $client, $case, $file) = @_;
    $case = { %$case, %{ $case->{sentry} } } if $self->{tier} eq 'gvisor' && $case->{sentry};
    my @ids;
    my @outcome = eval {
        my (@arguments, $same);
        if (($case->{parties} // 1) ne '1') {
            push @ids, my $victim = $self->sandbox($client, $case, $file);
            $self->send_step($client, $case, $file, $victim, 'victim');
            my $line = $client->ask("line $victim 1");
            $line =~ /^READY\s?(.*)$/ or return ('broken', "the victim said: $line " . $client->ask("text $victim 2"));
            @arguments = ('attacker', $1);
            if ($case->{parties} eq 'later') {
                $same = $client->{uid}{$victim};
                $client->ask("reply $victim");
                $client->destroy(pop @ids);
            }
        }
        push @ids, my $id = $self->sandbox($client, $case, $file, $same);
        if (($case->{steps} // 1) == 2) {
            $self->send_step($client, $case, $file, $id, @arguments);
            my $first = $client->ask("reply $id");
            return judge($case, $first, '', '', sub { ended($client, $id) }) if $first !~ /^200 /;
            $client->ask("text $id $_") for 1, 2;
            @arguments = ('again');
        }
        $self->send_step($client, $case, $file, $id, @arguments);
        my $reply = $client->ask("reply $id");
        my ($text, $error) = map { my $text = $client->ask("text $id $_"); $text =~ tr/\x01/\n/; $text } 1, 2;
        my $stolen = $self->stolen($client, $case, $id, $reply);
        return ('escaped', $stolen) if defined $stolen;
        return judge($case, $reply, $text, $error, sub { $reply =~ /^200 / ? $client->settle($id) : ended($client, $id) });
    };
    my $died = $@;
    $client->destroy($_) for reverse @ids;
    return ('held', $1) if $died =~ /^refused: (.*)$/;
    die $died if $died;
    return @outcome;
}

sub post {
    my ($self, $client, $id, $path, $file, $body, $program) = @_;
    my $text = $JSON->encode($body);
    $text =~ s/%PROGRAM%/encode_base64(slurp($program), '')/e if $program;    # JSON::PP takes half a second for a megabyte
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} $text;
    close $out or die "$file: $!\n";
    $client->ask("post $id $path $file") eq 'sent' or die "post $path\n";
    return;
}

# What the launcher said when this sandbox ended; of earlier ones there may be more to read.
sub ended {
    my ($client, $id) = @_;
    for (1 .. 64) {
        my $report = $client->ended;
        return $report if ($report->{id} // $id) == $id;
    }
    return {};
}

# What the agent reports or hands out and must not, of a step that asked for artifacts.
sub stolen {
    my ($self, $client, $case, $id, $reply) = @_;
    my $step = @{ $case->{artifacts} // [] } && $reply =~ /^200 (.*)$/ ? eval { $JSON->decode($1) } : undef;
    return @{ $case->{artifacts} // [] } && $reply =~ /^200 / ? 'the reply is none that can be read' : undef unless $step;
    return 'a result was taken' if exists $step->{result};
    for my $path (map { $_->{path} } @{ $step->{files} }) {
        return "reported: $path" unless $path =~ m{^(?:\.?attack(?:\.\w+)?|(?:[a-z0-9]+/)*good[^/]*)$};
    }
    for my $path (map { $_->{path} } @{ $step->{files_skipped} }) {
        next unless $path =~ m{^[\w./-]+$} && $path !~ m{(^|/)good[^/]*$};
        return "handed out: $path" if $client->ask("http $id GET /v1/sessions/job_test/files/$path") =~ /^200 /;
    }
    return undef;
}

# A new one; with $uid it must have this host id, as an earlier one had.
sub create {
    my ($self, $client, $uid) = @_;
    my $id = $client->create('default', $self->is_forked ? 'process python' : $self->{tier} eq 'process' ? undef : $self->{tier});
    die "not the slot of before\n" if defined $uid && $client->{uid}{$id} != $uid;
    return $id;
}

sub sandbox {
    my ($self, $client, $case, $file, $uid) = @_;
    my $id = $self->create($client, $uid);
    $self->prepare($client, $case, $file, $id) if $self->{prepared};
    my $adopted = $client->adopt($id, %{ $case->{limits} });
    die "adopt: $adopted\n" unless $adopted eq 'adopted';
    my @files = map { { path => $_, content => slurp("$DIR/$_") } } grep { -e "$DIR/$_" } "attack.$case->{ext}";
    @files = ({ path => 'attack', content => '%PROGRAM%', encoding => 'base64' }) if $case->{program};
    my %session = (sessionId => 'job_test', runtime => $RUNTIME{ $case->{ext} }, token => '0123456789abcdef', files => \@files);
    $session{env} = $case->{env} if %{ $case->{env} // {} };
    $self->post($client, $id, '/v1/sessions', $file, \%session, $case->{program});
    my $reply = $client->ask("reply $id");
    die "refused: the agent takes no such variable\n" if %{ $case->{env} // {} } && $reply =~ /^422 /;
    die "session: $reply\n" unless $reply =~ /^201 /;
    return $id;
}

# The interpreter waits in there before the sandbox is anybody's; bash has none that does.
sub prepare {
    my ($self, $client, $case, $file, $id) = @_;
    return if $RUNTIME{ $case->{ext} } eq 'bash';
    $self->post($client, $id, '/v1/prepare', $file, { runtime => $RUNTIME{ $case->{ext} } });
    my $reply = $client->ask("reply $id");
    die "prepare: $reply\n" unless $reply =~ /^200 /;
    die "not forked: $reply\n" if $self->{has_zygote} && $reply !~ /"origin":"forked"/;
    return;
}

sub is_forked { my ($self) = @_; return ($self->{prepared} // '') eq 'forked' }
sub zygote { return (zygote => 'yes', map { ("template.$_.zygote.python" => 'no') } qw(net still noexec)) }

# Without some walls there is none; then the agent starts interpreters itself.
sub zygote_await {
    my ($self) = @_;
    my $launch = $self->{launch};
    $launch->wait_until(30, sub { $launch->log =~ /"event":"zygote\.(?:ready|absent)"/ }) or die "no zygote: " . $launch->log;
    return $launch->log =~ /"event":"zygote\.ready"/;
}

sub send_step {
    my ($self, $client, $case, $file, $id, @arguments) = @_;
    my $code = $case->{program} ? 'cp attack .attack$$ && chmod 755 .attack$$ && exec ./.attack$$ "$@"' : slurp($case->{file});
    $self->post($client, $id, '/v1/steps', $file, {
        sessionId => 'job_test', stepId => 'stp_1', code => $code, args => \@arguments, timeout_ms => $TIMEOUT_MS{ $self->{tier} },
        limits => { processes => $case->{limits}{processes} // 64 },    # as executord tells the agent
        @{ $case->{artifacts} // [] } ? (artifacts => $case->{artifacts}, max_artifacts => 100, max_artifact_bytes => 1 << 20) : () });
    return;
}

# Whether a case is one job: not two parties, a second step or artifacts that are not to be handed out.
sub is_job { my ($case) = @_; return $case->{parties} eq '1' && $case->{steps} eq '1' && !@{ $case->{artifacts} } }

my %LIMIT = (memory => 'memory', disk => 'disk', processes => 'processes', wall_ms => 'time', cpu_ms => 'cpu_time', millis => 'cpu');
sub _limit { my ($name, $value) = @_; return $name =~ /^(?:wall_ms|cpu_ms)$/ ? "${value}ms" : $name eq 'millis' ? $value / 1000 : $name eq 'processes' ? $value + 0 : "$value" }

# One case as a job through the front door of a whole stack, by whatever path a job takes there: its outcome and the reason.
sub job {
    my ($t, $case, %who) = @_;
    my @files = map { { path => $_, content => slurp("$DIR/$_") } } grep { -e "$DIR/$_" } "attack.$case->{ext}";
    my $program = $case->{ext} eq 'c' ? compile($case) : undef;
    push @files, { path => 'attack', content => encode_base64(slurp($program), ''), encoding => 'base64' } if $program;
    my $code = $program ? 'cp attack .attack$$ && chmod 755 .attack$$ && exec ./.attack$$ "$@"' : slurp($case->{file});
    my %job = (language => $RUNTIME{ $case->{ext} }, code => $code, files => \@files, env => $case->{env}, wait => 60,
        limits => { time => "$TIMEOUT_MS{process}ms", processes => 64, map { $LIMIT{$_} => _limit($_, $case->{limits}{$_}) } keys %{ $case->{limits} } });
    my ($reply, $end) = (undef, time + 120);
    do {
        Time::HiRes::sleep($reply->{headers}{'retry-after'}) if $reply;
        $reply = $t->request('POST', '/v1/jobs', json => \%job, timeout => 90, %who);
    } while (($reply->{status} == 429 || $reply->{status} == 503) && $reply->{headers}{'retry-after'} && time < $end);
    return ('held', 'the variable is refused') if %{ $case->{env} } && $reply->{status} == 422;
    my $id = ($reply->{json} // {})->{job_id} // return ('broken', "$reply->{status} $reply->{content}");
    $reply = $t->request('GET', "/v1/jobs/$id?wait=60", timeout => 90, %who) while !$reply->{json}{finished_at} && time < $end;
    my $job = $reply->{json};
    my $limit = $job->{status} eq 'limit_exceeded' ? $job->{violation}{name} : 'none';
    return ('held', 'limit output') if $limit eq 'output' && $case->{expect} eq 'limit';    # which a sandbox alone has not
    my %step = (exit_code => $job->{exit_code}, signal => $job->{signal}, timed_out => $job->{status} eq 'timed_out');
    return judge($case, $limit eq 'none' ? '200 ' . $JSON->encode(\%step) : '', map({ encode_utf8($job->{$_} // '') } qw(stdout stderr)), sub { { verdict => $limit } });
}

# How the program ended against how it was to end. The kernel's verdict stands above what the step says.
sub judge {
    my ($case, $reply, $text, $error, $ended) = @_;
    my ($last) = $text =~ /([^\n]*)\n*\z/;
    return ('escaped', $1) if $last =~ /^ESCAPED\s*(.*)$/;
    my $step = $reply =~ /^200 (.*)$/ ? eval { $JSON->decode($1) } : undef;
    my $limit = ($ended->() // {})->{verdict} // 'dead without a verdict';
    $limit = $LIMITS[$limit] // 'unknown' if $limit =~ /^\d+$/;
    $limit = 'processes' if $step && $step->{too_many_processes};    # counted by the sentry, see session-agent/census.h
    my $how = !$step ? "limit $limit" : $step->{timed_out} ? 'timed out' : defined $step->{signal} ? "signal $step->{signal}" : "exit $step->{exit_code}";
    my $says_held = $how eq 'exit 0' && $last =~ /^HELD\s+(.*)$/ ? $1 : undef;
    if ($case->{expect} eq 'limit') {
        return ('held', "limit $limit") if $case->{what}{$limit};
        return ('held', $says_held) if defined $says_held && $case->{what}{held};
        return $step ? ('escaped', "no limit: $how") : ('broken', "$how " . tail($error));
    }
    return ('broken', "the sandbox ended: $limit") if !$step || $limit ne 'none';
    return ('held', $how) if $case->{expect} eq 'signal' && $how =~ /^signal (\w+)$/ && $case->{what}{$1};
    return ('held', $how) if $case->{expect} eq 'works' && $how eq 'exit 0' && $last eq 'WORKS';    # t/launcher/controls.t
    return ('held', $says_held) if $case->{expect} eq 'held' && defined $says_held;
    return ('broken', "$how: $last " . tail($error));
}

# docs/walls.md: what is in the heads, which t/launcher/mutants holds against what happens.
sub document {
    my ($list) = slurp("$Sandbox::Launch::ROOT/lib/sbx_wall.h") =~ /^enum sbx_wall \{(.*?)SBX_N_WALLS/ms;
    my %stops = slurp("$Sandbox::Launch::ROOT/lib/sbx_wall.c") =~ /\{\s*"(\w+)",\s*"([^"]+)",/g;
    my (%process, %gvisor, @itself);
    for my $case (cases()) {
        my ($process, $gvisor) = map { my $tier = $_; scalar grep { $_ eq $tier } @{ $case->{tier} } } qw(process gvisor);
        my @stopping = ($process ? [\%process, $case->{wall}] : (), $gvisor ? [\%gvisor, $case->{gvisor}] : ());
        push @itself, $case->{name} if $gvisor && !@{ $case->{gvisor} };
        for (@stopping) {
            my ($cell, $walls) = @$_;
            for my $wall (@$walls) {
                my @others = grep { $_ ne $wall } @$walls;
                push @{ $cell->{$wall} }, $case->{name} . (@others ? " (@others)" : '');
            }
        }
    }
    my $text = <<'END';
# What each wall stops

The walls of `lib/sbx_wall.h` and the hostile programs of `t/launcher/escape` that show what each is for. A program gets through when
the wall of its row is off, and with it those in parentheses: any one of these alone stops it. Made from the programs' heads by
`t/launcher/mutants --table docs/walls.md`; `perl t/launcher/mutants` holds it against what happens, wall by wall, with a launcher and an
agent that can leave walls out (`make mutant`).

In the gVisor tier the same walls stand inside gVisor, around code that has its kernel already. A program is in the last row when it
holds there with the walls off that stop it in the process tier: gVisor's kernel does not have, or does not give, what it is after.
`pid_namespace` and `network_namespace` are outside of gVisor and stay on, as it does not start without. A wall without a program in
that column is one that gVisor makes needless, or that has no meaning inside it.

| wall | holds back | process tier | gVisor tier |
|---|---|---|---|
END
    for my $wall (map { lc } $list =~ /SBX_WALL_(\w+)/g) {
        $text .= "| `$wall` | $stops{$wall} | " . join(', ', @{ $process{$wall} // [] }) . ' | ' . join(', ', @{ $gvisor{$wall} // [] }) . " |\n";
    }
    return "$text| gVisor itself | what the host's kernel would do | | " . join(', ', @itself) . " |\n";
}

sub tail { my ($text) = @_; $text =~ s/\s+\z//; $text =~ s/\n/ | /g; return length $text > 300 ? '...' . substr $text, -300 : $text }

1;
