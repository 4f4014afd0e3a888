#!/usr/bin/perl
# t/run counts: whatever goes wrong in a test program, the last line and the exit status say so.
use strict;
use warnings;
use Test::More;
use File::Path qw(make_path remove_tree);
use File::Temp 'tempdir';
use FindBin;

chdir "$FindBin::Bin/../.." or die $!;
my $dir = tempdir(CLEANUP => 1);
delete $ENV{TEST_JOBS};
my $n = 0;

# Runs t/run over programs of the given texts: exit status, passed, failed, output.
sub run_texts {
    my (%text) = @_;
    my $area = "$dir/" . $n++;
    make_path($area);
    for my $name (keys %text) {
        open my $out, '>', "$area/$name" or die "$area/$name: $!";
        print $out $text{$name};
        close $out or die $!;
    }
    return run_area($area);
}

sub run_area {
    my @areas = @_;
    local $ENV{HARNESS_OPTIONS};
    local $ENV{V};
    my $pid = open(my $in, '-|') // die $!;
    if (!$pid) {
        open STDERR, '>&', \*STDOUT or die $!;
        exec 'perl', 't/run', 'release', @areas or die $!;
    }
    my $text = do { local $/; <$in> };
    close $in;
    remove_tree($1) if $text =~ /^== the replies are in (\S+)$/m;
    my ($passed, $failed) = $text =~ /^(\d+) passed, (\d+) failed\n\z/m;
    return { exit => $? >> 8, signal => $? & 127, passed => $passed, failed => $failed, text => $text };
}

sub good { my $plan = shift; return "print qq{1..$plan\\n}; print qq{ok \$_\\n} for 1 .. $plan;\n" }

sub fails {
    my ($name, $passed, $failed, %text) = @_;
    my $result = run_texts(%text);
    my $fine = $result->{exit} != 0 && !$result->{signal};
    $fine &&= ($result->{passed} // -1) == $passed && ($result->{failed} // -1) == $failed;
    ok($fine, $name) or diag "exit $result->{exit}, expected $passed passed, $failed failed:\n$result->{text}";
}

my $result = run_texts('a.t' => good(2), 'b.t' => good(3));
is($result->{exit}, 0, 'all good: exit status 0') or diag $result->{text};
is("$result->{passed} $result->{failed}", '5 0', 'all good: 5 passed, 0 failed');
$result = run_texts('a.t' => qq{print "1..2\\nok 1\\nok 2 # SKIP no such kernel\\n";});
is("$result->{exit} $result->{passed} $result->{failed}", '0 1 0', 'one skipped test inside a program has neither passed nor failed')
    or diag $result->{text};
like($result->{text}, qr/^== 1 tests inside programs were skipped$/m, 'and is told');

fails('a test that fails', 1, 1, 'a.t' => qq{print "1..2\\nok 1\\nnot ok 2\\n"; exit 1;});
fails('a test that fails in a program that exits with 0', 1, 1, 'a.t' => qq{print "1..2\\nok 1\\nnot ok 2\\n";});
fails('two that fail and an exit status count as two', 0, 2, 'a.t' => qq{print "1..2\\nnot ok 1\\nnot ok 2\\n"; exit 2;});
fails('a program that dies at once', 0, 1, 'a.t' => 'die "at once\n";');
fails('a program that dies after its last test', 2, 1, 'a.t' => good(2) . 'die "late\n";');
fails('a program that does not compile', 0, 1, 'a.t' => 'my $x = ;');
fails('a program killed by a signal', 1, 1, 'a.t' => '$| = 1; print "1..1\nok 1\n"; kill KILL => $$;');
fails('an exit status without a failed test', 1, 1, 'a.t' => good(1) . 'exit 3;');
fails('fewer tests than planned', 1, 1, 'a.t' => qq{print "1..3\\nok 1\\n";});
fails('more tests than planned', 1, 1, 'a.t' => qq{print "1..1\\nok 1\\nok 2\\n";});
fails('no plan', 1, 1, 'a.t' => qq{print "ok 1\\n";});
fails('no output at all', 0, 1, 'a.t' => "exit 0;\n");
fails('a plan of nothing', 0, 1, 'a.t' => qq{print "1..0\\n";});
fails('a program skipped whole', 0, 1, 'a.t' => qq{print "1..0 # SKIP no root\\n";});
fails('a program skipped whole beside a good one', 2, 1, 'a.t' => good(2), 'b.t' => qq{print "1..0 # SKIP no root\\n";});
fails('a numbering that jumps', 2, 1, 'a.t' => qq{print "1..2\\nok 1\\nok 3\\n";});
fails('a TO' . 'DO test that fails is a failure', 0, 1, 'a.t' => qq{print "1..1\\nnot ok 1 # TO} . qq{DO later\\n";});
fails('bad programs beside good ones', 3, 2, 'a.t' => good(2), 'b.t' => 'die "at once\n";', 'c.t' => good(1), 'd.t' => 'exit 4;');
fails('a bail-out', 1, 2, 'a.t' => qq{print "1..2\\nok 1\\nBail out! no disk\\n"; exit 255;});
fails('a bail-out in a program that exits with 0', 1, 1, 'a.t' => qq{print "1..1\\nok 1\\nBail out! no disk\\n";});
fails('programs after a bail-out did not run', 1, 3, 'a.t' => qq{print "1..1\\nok 1\\nBail out! no disk\\n";}, 'b.t' => good(1),
      'c.t' => good(1));
{
    local $ENV{TEST_DEADLINE} = 1;
    fails('a program that hangs', 2, 1, 'a.t' => '$| = 1; print "1..2\nok 1\nok 2\n"; select undef, undef, undef, 60;');
    fails('a program that hangs and does not end when asked to', 0, 1, 'a.t' =>
          '$SIG{TERM} = "IGNORE"; $| = 1; print "1..2\n"; select undef, undef, undef, 3; exit 0;');
}

# Replies that a program saw are held against docs/openapi.json.
{
    local $ENV{SANDBOX_CONTRACT_DIR};
    my $keeps = sub {
        my ($status, $body) = @_;
        return qq{use lib 't/lib'; use Sandbox::Contract; use IO::Socket::UNIX; use Socket;
            socketpair(my \$here, my \$there, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die \$!; bless \$here, 'IO::Socket::UNIX';
            Sandbox::Contract::serves('', 'executor');
            Sandbox::Contract::sent(\$here, "GET /healthz HTTP/1.1\\r\\n\\r\\n");
            Sandbox::Contract::got(\$here, "HTTP/1.1 $status x\\r\\nX-Request-Id: a\\r\\nCache-Control: no-store\\r\\nContent-Type: application/json\\r\\n\\r\\n" . '$body');
        } . good(2);
    };
    my $right = run_texts('a.t' => $keeps->(200, '{"status":"ok"}'), 'b.t' => $keeps->(200, '{"status":"ok"}'));
    is("$right->{exit} $right->{passed} $right->{failed}", '0 5 0', 'replies as they are documented count once') or diag $right->{text};
    fails('a reply with a member that is not documented', 4, 1, 'a.t' => $keeps->(200, '{"status":"ok"}'), 'b.t' => $keeps->(200, '{"status":"ok","more":1}'));
    fails('a status that is not documented', 2, 1, 'a.t' => $keeps->(299, '{"status":"ok"}'));
    fails('a reply that is no JSON beside a test that fails', 2, 2, 'a.t' => $keeps->(200, 'ok'), 'c.t' => qq{print "1..1\\nnot ok 1\\n"; exit 1;});
    unlike(run_texts('a.t' => good(1))->{text}, qr/openapi/, 'no replies, no word');
}

for my $case (['an empty directory', "$dir/empty"], ['a directory that is not there', "$dir/none"],
              ['a directory with no tests beside one that has some', "$dir/0", "$dir/empty"],
              ['a missing file beside tests', "$dir/0", "$dir/none.t"]) {
    my ($name, @areas) = @$case;
    make_path("$dir/empty");
    $result = run_area(@areas);
    ok($result->{exit} != 0 && ($result->{failed} // 0) == 1, $name) or diag $result->{text};
}
{
    local $ENV{TEST_JOBS} = 2;
    # Each waits for the other's file: only together do they end. The one that wants to be alone finds both ended.
    my $meet = sub {
        my ($mine, $other) = @_;
        return qq{open my \$out, '>', '$dir/$mine' or die \$!; my \$end = time + 20; 1 until -e '$dir/$other' || time > \$end;\n}
             . qq{print "1..1\\n", -e '$dir/$other' ? 'ok' : 'not ok', " 1\\n"; open my \$over, '>', '$dir/$mine.over';\n};
    };
    $result = run_texts('a.t' => $meet->('x', 'y'), 'b.t' => $meet->('y', 'x'),
        '0.t' => qq{# alone: it looks at the others\nprint "1..1\\n", -e '$dir/x.over' && -e '$dir/y.over' ? 'ok' : 'not ok', " 1\\n";\n});
    is("$result->{passed} $result->{failed}", '3 0', 'programs run together, but for those that say that they want to be alone')
        or diag $result->{text};
    fails('two at a time: a failure is a failure', 2, 2, 'a.t' => good(2), 'b.t' => 'exit 3;', 'c.t' => qq{# alone: so\nexit 4;\n});
}
# Unit tests are told from their sources: with none of them built each is missing.
my @sources = glob 't/unit/*.c';
$result = run_area("build/runner-$$/t/unit");
is($result->{failed}, @sources + 1, 'unit tests that were not built');
done_testing();
