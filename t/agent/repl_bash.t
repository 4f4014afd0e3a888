#!/usr/bin/perl
# The bash that a session keeps: directory, variables, functions, options, and what ends an ordinary script.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Driver;
use Test::More;
use utf8;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output);
my $d = Sandbox::Driver->new('bash');
sub sh { return $d->step(@_) }
sub says { my ($code, $text, $name, %more) = @_; my $r = sh($code, %more); is($r->{stdout} // 'none', $text, $name) or diag explain $r; return $r }
sub ends { my ($code, $exit, $name) = @_; my $r = sh($code); is("$r->{status} " . ($r->{exit_code} // 'null'), ($exit ? 'failed' : 'succeeded') . " $exit", $name) or diag explain $r; return $r }

# State.
my $r = sh("x=1; y='a b'; declare -A map=([k]=v); arr=(1 2 3)\nf() { local l=7; echo \"f \$1 \$x \$l\"; }; export EXPORTED=yes; mkdir -p sub; cd sub");
is("$r->{status} $r->{exit_code} $r->{stdout}$r->{stderr}", 'succeeded 0 ', 'definitions');
is(scalar @{ $r->{displays} }, 0, 'show nothing');
says('echo "$x $y ${map[k]} ${#arr[@]}"', "1 a b v 3\n", 'variables stay');
says('f 2', "f 2 1 7\n", 'functions stay');
says('basename "$PWD"; cd ..; basename "$OLDPWD"', "sub\nsub\n", 'the directory stays');
says('sh -c "echo \$EXPORTED \$x"', "yes\n", 'exports stay');
says('declare z=5', '', 'declare is not local');
says('echo $z', "5\n", 'but stays');
says('echo "ä€😀"', "ä€😀\n", 'UTF-8');
says('e=€; echo ${#e}', "1\n", 'is letters');
says("cat <<X\nhere \$x\nX\ncat <<< there", "here 1\nthere\n", 'here-documents');
says("if true; then\n  echo a\nfi\nfor i in 1 2; do echo \$i; done", "a\n1\n2\n", 'several lines');
says('shopt -s nullglob; set -f; set -o pipefail', '', 'options');
says('echo *; shopt nullglob | cut -f 2; set +f; shopt -u nullglob; false | true; echo $?; set +o pipefail', "*\non\n1\n", 'stay');
says('alias hi="echo hello"; shopt -s expand_aliases', '', 'aliases');
says('hi; shopt -u expand_aliases', "hello\n", 'stay');
says('set -- one two', '', 'arguments');
says('echo "$# $2"; set --', "2 two\n", 'stay');
says('echo $0 $BASHPID $$ | { read a b c; echo $a; [ "$b" != "$c" ] && echo other; }', "bash\nother\n", '$0 and subshells');
says('(x=2; cd /; echo $x); echo $x', "2\n1\n", 'a subshell changes nothing');
says('x=$(echo 3; exit 4); echo $x $?; x=1', "3 4\n", 'nor does a substitution');
says('umask 027; umask', "0027\n", 'the umask');
says('umask; umask 022', "0027\n", 'stays');
says('', '', 'no code');
says('# only this', '', 'a comment');
says('echo a # b', "a\n", 'a comment behind');
says('echo "a\\nb" "c\d"', "a\\nb c\\d\n", 'backslashes');
says("printf '%s|' \"\$(printf 'a\\0b')\"", 'ab|', 'a NUL in output');
{
    my $frame = qq(S{"id":"a","max_displays":1,"max_display_bytes":1}\necho a\0b);
    $d->write_all(pack('V', length $frame) . $frame);
    is($d->result($d->wait_for(sub { $_[0]{frames} }))->{stdout}, "ab\n", 'a NUL in code is left out');
}
says('x=' . 'y' x 300_000 . '; echo ${#x}; x=1', "300000\n", 'long code');

# Ends of steps.
ends('true', 0, 'success');
ends('false', 1, 'failure');
ends('(exit 7)', 7, 'any status');
says('echo $?', "7\n", 'is there in the next step');
$r = ends('nothing_of_this_name', 127, 'an unknown command');
like($r->{stderr}, qr/line 1: nothing_of_this_name: command not found\n\z/, 'is told with its line');
like(sh("\n\nnothing_here")->{stderr}, qr/line 3: nothing_here: command not found/, 'of the code');
$r = ends('if true; then', 2, 'a syntax error');
like($r->{stderr}, qr/syntax error/, 'is told');
ends("echo 'open", 2, 'an open quote');
ends('}', 2, 'a brace too many');
ends(')', 2, 'a parenthesis too many');
ends('f() {', 2, 'half a function');
says('f 3', "f 3 1 7\n", 'the session is as it was');
ends('sh -c "kill -9 \$\$"', 137, 'a program killed');
is(sh('echo out; echo err >&2')->{stderr}, "err\n", 'standard error');

# What ends a script ends a step.
$r = ends("set -e; echo a; false; echo b", 1, 'set -e ends the step');
is("$r->{stdout}|$r->{stderr}", "a\n|", 'where it failed');
says('echo "$x $y ${map[k]} ${#arr[@]} $z $-"; f 4', "1 a b v 3 5 ehB\nf 4 1 7\n", 'and the session is as it was');
ends('sh -c "exit 9"; echo no', 9, 'set -e stays');
ends('if false; then :; fi; false || true; echo yes', 0, 'and knows conditions');
ends('g() { false; echo no; }; for i in 1 2; do g; done', 1, 'in functions and loops');
ends('set +e; false; echo on', 0, 'until it is turned off');
$r = ends('set -u; echo "$unset_name"; echo no', 1, 'set -u ends the step');
like($r->{stderr}, qr/unset_name: unbound variable/, 'and says why');
ends('set +u; echo "$x$unset_name"', 0, 'until it is turned off');
ends('set -euo pipefail; false | true; echo no', 1, 'all of them');
ends('set +euo pipefail', 0, 'off');
ends(': ${unset_name:?needed}', 1, 'a variable that must be set');
ends('exec nothing_of_this_name', 127, 'exec of nothing');
says('echo $x', "1\n", 'the session is as it was');
is(sh('set -x; echo t')->{stderr} =~ /\A\++ echo t\n\z/ ? 1 : 0, 1, 'set -x shows the code');
unlike(sh('echo t')->{stderr}, qr/sandbox/, 'and nothing of the driver');
sh('set +x');
says('set -C; echo 1 > new_file; set +C; cat new_file', "1\n", 'noclobber');

# Descriptors.
says('ls /proc/self/fd | tr "\n" " "', '0 1 2 3 ', 'descriptor 3 is not handed on') or diag 'number 3 is the directory';
is(sh('readlink /proc/self/fd/3; for f in $(ls /proc/$$/fd); do [ -S /proc/$$/fd/$f ] && echo $f; done')->{stdout} =~ /socket/ ? 1 : 0, 0, 'nor is it 3 while the code runs');
says('echo x >&3', '', 'nothing can be said on 3');
says('echo a > a_file; exec 5< a_file; read l <&5; echo $l', "a\n", 'exec opens files');
says('exec 5<&-; exec > out_file; echo hidden', '', 'for good');
says('echo hidden too', '', 'also the output');
is(do { open my $in, '<', "$d->{ws}/out_file"; local $/; <$in> }, "hidden\nhidden too\n", 'which is there');
says('exec > /proc/self/fd/2; echo back', '', 'and may be turned elsewhere');
$d->finish;
$d = Sandbox::Driver->new('bash');
says('read l; echo "<$l>"; cat', "<>\n", 'standard input is empty');
says('exec 3> file3; echo three >&3; exec 3>&-; cat file3', "three\n", 'the code may use 3');
says('exec 10< /dev/null; echo ten', "ten\n", 'even 10');
says('x=1; echo eleven', "eleven\n", 'and go on');

# Interrupts.
for my $case (['a program', 'sleep 600; echo no'], ['a loop', 'while true; do :; done'], ['a loop of programs', 'while true; do sleep 0.01; done'], ['a function', 'h() { while true; do sleep 600; done; }; h'],
              ['a subshell', '(while true; do :; done)'], ['a pipe', 'yes | sleep 600'], ['a substitution', 'v=$(sleep 600); echo no'], ['a wait', 'sleep 600 & wait'], ['a read', 'read l < <(sleep 600)'],
              ['set -e', 'set -e; sleep 600; echo no']) {
    my ($name, $code) = @$case;
    $r = sh("echo go; $code", interrupt_at => qr/go\n/);
    is("$r->{status} " . ($r->{exit_code} // '') . " $r->{stdout}", "interrupted 130 go\n", "SIGINT ends $name") or diag explain $r;
    says('set +e; echo $x', "1\n", 'and leaves the session as it was');
}
$r = sh(q{trap '' INT; perl -e '$SIG{INT} = sub { exit }; $| = 1; print "go\n"; 1 while 1'; trap __sandbox_interrupted INT; while :; do :; done}, interrupt_at => qr/go\n/);
is("$r->{status} $r->{stdout}", "interrupted go\n", 'one that came before there was a trap is heard all the same');
$r = sh(q{(bash -c 'trap "trap - INT; echo lost" INT; echo go; while :; do :; done'; echo no); echo no}, interrupt_at => qr/go\n/);
is("$r->{status} $r->{stdout}", "interrupted go\nlost\n", 'one that was lost on a program below a subshell comes again');
says('echo $x', "1\n", 'and leaves the session as it was');
srand 1;
my $wrong = $d->hail(120, 'sleep 600; echo no', 'while :; do sleep 0.01; done', '(sleep 600; echo no); echo no', 'f() { (sleep 600; echo no); }; f | cat; echo no', 'v=$(sleep 600); echo no', 'sleep 600 & wait',
                     'read l < <(sleep 600)', 'while read l; do :; done < <(sleep 600)', 'mapfile l < <(sleep 600)', '(while :; do :; done)', 'set -e; sleep 600');
is_deeply($wrong, [], 'SIGINT at any moment ends a step that does not end') or diag explain $wrong;
is(sh('echo heard >&2')->{stderr}, "heard\n", 'standard error is where it was');
like(do { open my $in, '<', "/proc/$d->{pid}/status"; local $/; <$in> }, qr/^SigBlk:\s+0+\n/m, 'no signal is blocked');
says('set +e; echo $x', "1\n", 'and leaves the session as it was');
$d->signal for 1 .. 20;
says('echo $x', "1\n", 'between steps the signal does nothing');
srand 1;
my $ends = $d->storm(500, 'echo $x', 'for i in {1..500}; do :; done', 'v=$(echo $x)', 'false', 'printf "%09999d\n" 1');
is(join(' ', sort keys %$ends), 'failed interrupted succeeded', 'SIGINT at any moment ends a step at most') or diag explain $ends;
is(sh('echo heard >&2')->{stderr}, "heard\n", 'standard error is where it was');
says('echo $x', "1\n", 'and leaves the session as it was');
$r = says('(trap "" INT; sleep 20) & p=$!; echo go; wait $p; echo done', "go\n", 'a background job', interrupt_at => qr/go\n/);
$r = sh('trap "echo trapped; t=1" INT; echo go; while [ -z "$t" ]; do :; done; trap - INT', interrupt_at => qr/go\n/);
is("$r->{status} $r->{stdout}", "succeeded go\ntrapped\n", "the code's own trap has the signal in its step");
$r = sh('echo go; while :; do :; done', interrupt_at => qr/go\n/);
is($r->{status}, 'interrupted', 'but not in the next');
$r = sh('sleep 600 > /dev/null 2>&1 & until [[ $(< /proc/$!/comm) == sleep ]]; do :; done; echo $!');
my ($job) = $r->{stdout} =~ /(\d+)/;
sh('echo go; sleep 600', interrupt_at => qr/go\n/);
ok(kill(0, $job), 'a background job does not get it');
ends("kill $job", 0, 'and can be ended');
is(scalar(() = glob "$d->{dir}/tmp/*"), 0, 'no file is left') and is(scalar(() = glob "$d->{dir}/tmp/.sandbox*"), 0, 'not even a hidden one');
says("r() { local inner=1; echo go; while true; do :; done; }; readonly fixed=1; trap 'echo bye' EXIT", '', 'a readonly variable, a trap');
sh('r', interrupt_at => qr/go\n/);
says('echo $fixed; trap -p EXIT', "1\ntrap -- 'echo bye' EXIT\n", 'live on');
ends('fixed=2', 1, 'as they were');

# Tampering.
for my $name (qw(read printf eval trap builtin declare export unset return local)) {
    sh("$name() { :; }") if $name !~ /^(builtin|local|return)$/;
}
says('command echo replaced', "replaced\n", 'functions named as builtins');
$r = sh('unset -f read printf eval trap declare export unset');
says('IFS=0123456789; LC_ALL=POSIX; echo on', "on\n", 'a strange IFS');
says('shopt -s nocasematch extglob dotglob; echo on', "on\n", 'strange patterns');
says('PATH=/nowhere; echo on', "on\n", 'no programs');
says('echo go; while :; do :; done', "go\n", 'an interrupt without programs', interrupt_at => qr/go\n/);
says('echo $PATH', "/nowhere\n", 'works');
$d->finish;

$d = Sandbox::Driver->new('bash', env => { GIVEN => 'yes' });
says('echo "$GIVEN $STEP"', "yes \n", 'the environment');
says('sh -c \'printf "%s|" "$GIVEN" "$STEP" "$EMPTY"\'', "other|a\"b\\\nä\x01\$(x)/|" . '|', "a step's own", env => { STEP => "a\"b\\\nä\x01\$(x)/", GIVEN => 'other', EMPTY => '' });
says('echo "$GIVEN ${STEP-none}"', "yes none\n", 'lasts for the step');
$r = sh('exit 3');
is("$r->{dead} $r->{exit}", '1 3', 'exit ends the interpreter');
$d->start;
$r = sh('set -e; trap "echo bye" EXIT; f() { exit 4; }; f');
is("$r->{dead} $r->{exit} $r->{stdout}", "1 4 bye\n", 'from a function, with the trap');
$d->start;
is(sh('false; exit')->{exit}, 1, 'with the last status');
$d->start;
is(sh('exec sh -c "exit 5"')->{exit}, 5, 'exec of a program is the end too');
$d->start;
is(sh('kill -9 $$')->{signal}, 9, 'and a signal');
$d->start;
$r = sh('set -e; trap "echo trapped" EXIT; false');
is("$r->{dead} $r->{exit} $r->{stdout}", "1 1 trapped\n", 'and set -e, when the code has the trap of the end for itself');
$d->start;
says('echo new', "new\n", 'a new one');
$d->finish;
done_testing();
