#!/usr/bin/perl
# Commands over a conversation with the agent: what is asked wrongly, what is said wrongly, and what honest ones get.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox::Agent;
use Sandbox::Mux;
use Test::More;

my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $agent = Sandbox::Agent->new;
$agent->session('python', env => { LAYER => 'session', SESSION => 'yes' });
my $mux = Sandbox::Mux->attach($agent);
sub begin { my (%ask) = @_; return $mux->open({ op => 'exec', %ask }) }
sub started { my ($channel) = @_; return $mux->wait(sub { @{ $channel->{notes} } || $channel->{ended} }) && $channel->{notes}[0]{started}{pid} }
sub run { my $channel = begin(@_); $channel->end; return $channel }
sub said { my ($channel, $text) = @_; return $mux->wait(sub { $channel->{out}[1] =~ $text }) }
sub alive { my ($seconds) = @_; return scalar $agent->processes("sleep\0$seconds") }

# Asked wrongly: nothing is started, and the conversation goes on.
symlink '/etc', $agent->workspace . '/link' or die $!;
open my $file, '>', $agent->workspace . '/file' or die $!;
close $file;
for my $case (
    ['nothing', {}], ['argv and shell', { argv => ['true'], shell => 'true' }], ['a member there is not', { shell => 'true', tty => $true }],
    ['the member of another operation', { shell => 'true', id => 'x' }], ['an empty argv', { argv => [] }], ['an empty name', { argv => ['', 'x'] }],
    ['argv of numbers', { argv => [1] }], ['argv in argv', { argv => ['ls', ['x']] }], ['argv that is text', { argv => 'ls' }],
    ['shell that is a list', { shell => ['ls'] }],
    ['an absolute directory', { shell => 'true', cwd => '/etc' }], ['one above', { shell => 'true', cwd => '..' }], ['one above below', { shell => 'true', cwd => 'a/../..' }],
    ['one with a dot', { shell => 'true', cwd => './a' }], ['one of too many parts', { shell => 'true', cwd => join '/', ('x') x 20 }], ['one that is a number', { shell => 'true', cwd => 1 }],
    ['an environment that is a list', { shell => 'true', env => [] }], ['a value that is a number', { shell => 'true', env => { A => 1 } }],
    ['a name with =', { shell => 'true', env => { 'A=B' => 'x' } }], ['an empty name of it', { shell => 'true', env => { '' => 'x' } }],
    ['stdin that is text', { shell => 'true', stdin => 'yes' }], ['stdin that is 1', { shell => 'true', stdin => 1 }],
    ['a terminal that is true', { shell => 'true', pty => $true }], ['no rows', { shell => 'true', pty => { rows => 0, cols => 80 } }],
    ['too many columns', { shell => 'true', pty => { rows => 1, cols => 1001 } }], ['a terminal with more', { shell => 'true', pty => { rows => 1, cols => 1, depth => 1 } }],
    ['rows that are text', { shell => 'true', pty => { rows => '24' } }], ['half a column', { shell => 'true', pty => { cols => 1.5 } }],
    ['a negative timeout', { shell => 'true', timeout_ms => -1 }], ['an endless one', { shell => 'true', timeout_ms => 1e15 }], ['one that is text', { shell => 'true', timeout_ms => '1s' }],
    ) {
    my ($what, $ask) = @$case;
    my $channel = run(%$ask);
    is("$channel->{ended}{ok} " . ($channel->{ended}{error} // ''), '0 invalid', "refused: $what") or diag explain $channel->{ended};
    is(scalar @{ $channel->{notes} }, 0, 'and not started');
}
for my $text ('{"op":"exec","shell":"true","shell":"false"}', '{"op":"exec","shell":"tr\u0000ue"}') {
    my $channel = $mux->open($text);
    $channel->end(5);
    ok($mux->{lost} || !$channel->{ended}{ok}, "no JSON of ours: $text");
    $mux = Sandbox::Mux->attach($agent) if $mux->{lost};
}

# Asked rightly for what cannot be.
for my $case (
    ['no such program', { argv => ['no-such-program'] }, 'not_found'], ['no such path', { argv => ['./none'] }, 'not_found'],
    ['a file that is no program', { argv => ['./file'] }, 'denied'], ['a directory', { argv => ['/tmp'] }, 'denied'],
    ['a directory there is not', { shell => 'true', cwd => 'none' }, 'not_found'], ['one that is a file', { shell => 'true', cwd => 'file' }, 'not_a_directory'],
    ['too many arguments', { argv => ['ls', ('x') x 1024] }, 'too_large'], ['a directory too long', { shell => 'true', cwd => 'x' x 2000 }, 'too_large'], ['a text too large', { shell => 'x' x 70_000 }, '(?:too_large|invalid)'],
    ) {
    my ($what, $ask, $error) = @$case;
    my $channel = run(%$ask);
    like("$channel->{ended}{ok} " . ($channel->{ended}{error} // ''), qr/^0 $error$/, "cannot be: $what") or diag explain $channel->{ended};
}

# Said wrongly while one runs: not heard, and it goes on.
my $c = begin(shell => 'trap "echo got" USR1; echo up; read line; echo "line $line"; while :; do sleep 0.05; done', stdin => $true);
ok(started($c) && said($c, qr/up/), 'one runs');
for my $note ({ signal => 'SIGSEGV' }, { signal => 'USR1' }, { signal => 'sigusr1' }, { signal => '' }, { signal => 10 }, { signal => 'SIGUSR1 ' }, { signal => undef }, { signal => 'SIGUSR1', more => 1 },
              { resize => {} , signal => 'SIGNONE' }, { resize => { rows => 0 } }, { resize => $true }, { resize => { rows => 10, cols => 10 } }, { interrupt => $true }, {}, [], 'xx', '{"', '{}{}', '{"signal":"SIGUSR1","signal":"SIGUSR1"}') {
    $c->note($note);
    diag(ref $note ? JSON::PP->new->encode($note) : $note), last if $mux->{lost};
}
$c->data("x\n");
ok(said($c, qr/line x\n/), 'it goes on') or diag explain [$mux->{lost}, $c->{out}, $c->{ended}];
unlike($c->{out}[1], qr/got/, 'and got no signal');
$c->note({ signal => 'SIGUSR1' });
ok(said($c, qr/got\n/), 'until one is meant');
$c->note({ signal => 'SIGKILL' });
my $end = $c->end;
is_deeply([@$end{qw(ok exit_code signal timed_out)}], [$true, undef, 'SIGKILL', $false], 'it is killed');
my $r = run(shell => 'stty size; tty');
is($r->{ended}{exit_code}, 1, 'without a terminal there is none');
like($r->{out}[2], qr/ioctl|appropriate/, 'as it says');

# Input after its end, and input for who takes none.
$c = begin(argv => ['wc', '-c'], stdin => $true);
started($c);
$c->data('x' x 700_000)->shut;
is($c->end->{exit_code}, 0, 'more input than a window');
is($c->{out}[1], "700000\n", 'all of it');
$r = run(argv => ['cat']);
is("$r->{ended}{exit_code} $r->{out}[1]", '0 ', 'without stdin there is nothing to read');
$c = begin(shell => 'sleep 0.3; echo unmoved');
started($c);
$c->data('x' x 600_000)->shut;
is($c->end->{exit_code}, 0, 'input that nobody takes is no harm');
is($c->{out}[1], "unmoved\n", 'to who does not');
$c = begin(shell => 'read line; echo "$line"; exec cat', stdin => $true);
started($c);
$c->data("one\n")->shut;
is($c->end->{exit_code}, 0, 'an end');
is($c->{out}[1], "one\n", 'is one');

# What is no frame of a conversation ends it, and what it had started.
for my $case (['data after SHUT', sub { my ($m, $x) = @_; $x->shut; $m->raw(Sandbox::Mux::frame($x->{number}, $Sandbox::Mux::DATA, 'more')) }],
              ['a note of one byte', sub { my ($m, $x) = @_; $x->note('{') }],
              ['more than the window', sub { my ($m, $x) = @_; $x->{window} -= 360_000; $m->raw(Sandbox::Mux::frame($x->{number}, $Sandbox::Mux::DATA, 'x' x 60_000)) for 1 .. 6 }]) {
    my ($what, $lie) = @$case;
    my $other = Sandbox::Agent->new;
    $other->session('sh');
    my $m = Sandbox::Mux->attach($other);
    my $x = $m->open({ op => 'exec', argv => ['sleep', '7131'], stdin => $true });
    ok($m->wait(sub { $other->processes("sleep\0007131") }), 'one whose opener is strange');
    $lie->($m, $x);
    $m->wait(sub { 0 }, 30);
    ok($m->{lost}, "$what ends the conversation");
    my $until = time + 30;
    select undef, undef, undef, 0.02 while $other->processes("sleep\0007131") && time < $until;
    is(scalar $other->processes("sleep\0007131"), 0, 'and what it had started');
    $m->close;
    $other->finish;
}

# Honest ones.
$r = run(shell => 'pwd; echo "$LAYER $SESSION $OWN"; echo err >&2; exit 5', env => { LAYER => 'own', OWN => 'x y' });
is($r->{out}[1], $agent->workspace . "\nown yes x y\n", 'place and environment');
is($r->{out}[2], "err\n", 'another stream');
is_deeply([@{ $r->{ended} }{qw(ok exit_code signal timed_out)}], [$true, 5, undef, $false], 'its end');
like(join(' ', @{ $r->{ended} }{qw(wall_ms cpu_ms peak_memory_bytes)}), qr/^\d+ \d+ [1-9]\d{4,}$/, 'with its numbers');
is($r->{order}[0], 'note', 'the start comes first');
is(run(shell => 'echo $A', env => { A => '$(id); `id`' })->{out}[1], "\$(id); `id`\n", 'an environment is text');
is(run(argv => ['printf', '%s|', 'a b', '', '$HOME', '-n'])->{out}[1], 'a b||$HOME|-n|', 'so are arguments');
$c = begin(shell => 'stty size; read line; stty size; echo "<$line>"; echo err >&2', pty => { rows => 31, cols => 101 });
ok(said($c, qr/31 101\r\n/), 'a terminal');
$c->note({ resize => { rows => 42, cols => 99 } })->data("typed\n");
is($c->end->{exit_code}, 0, 'is typed to');
like($c->{out}[1], qr/42 99\r\n<typed>\r\nerr\r\n/, 'has another size then, and one stream');
is($c->{out}[2], '', 'and no other');
$r = run(shell => 'trap "" TERM; sleep 7132', timeout_ms => 200);
is_deeply([@{ $r->{ended} }{qw(signal timed_out)}], ['SIGKILL', $true], 'a deadline');
is(alive(7132), 0, 'ends all of its group');
$c = begin(shell => 'sleep 7133 & sleep 7133');
started($c);
ok($mux->wait(sub { alive(7133) == 2 }, 30), 'two of a group');
$c->reset;
ok($mux->wait(sub { alive(7133) == 0 }, 30), 'RESET kills both');
my @many = map { begin(argv => ['echo', "$_"]) } 1 .. 20;
is(join('', map { $_->end; $_->{out}[1] } @many), join('', map { "$_\n" } 1 .. 20), 'twenty at once');
$c = begin(shell => 'head -c 5000000 /dev/zero; echo end >&2');
$c->{hoard} = 1;
ok($mux->wait(sub { length $c->{out}[1] == $Sandbox::Mux::WINDOW }), 'who gives no window');
ok(!$mux->wait(sub { length $c->{out}[1] > $Sandbox::Mux::WINDOW || $c->{ended} }, 0.3), 'gets no more');
$c->{hoard} = 0;
$c->credit($Sandbox::Mux::WINDOW);
is($c->end->{exit_code}, 0, 'until it does');
is(length $c->{out}[1], 5_000_000, 'then all');
$mux->close;
$agent->finish;
done_testing();
