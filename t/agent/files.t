#!/usr/bin/perl
# Files of a session over its channels: whose they are, what leads out, and what a swap at the worst moment does.
use strict;
use warnings;
use POSIX ();
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox::Agent;
use Sandbox::Mux;
use Test::More;
use Time::HiRes qw(time);

my $agent = Sandbox::Agent->new;
$agent->session('bash');
my $mux = Sandbox::Mux->attach($agent);
my $ws = $agent->workspace;
my $user = $> == 0 ? $Sandbox::Agent::USER : $>;

sub ask { my ($op, %more) = @_; return $mux->ask({ op => "fs.$op", %more }) }
sub put { my ($path, $data, %more) = @_; return $mux->ask({ op => 'fs.write', path => $path, %more }, $data) }
sub take {
    my ($op, %more) = @_;
    my $channel = $mux->open({ op => "fs.$op", %more })->shut;
    return ($channel->end, $channel->{out}[1], $channel->{notes}[0]);
}
sub lines { return map { JSON::PP->new->utf8->decode($_) } split /\n/, $_[0] }
sub slurp { open my $in, '<', $_[0] or return; local $/; return scalar <$in> }

# In and out, as the payload.
ok(put('a/b.txt', "text\n")->{ok}, 'a file goes in');
is((stat "$ws/$_")[4], $user, "$_ is the payload's") for 'a', 'a/b.txt';
my ($end, $bytes, $note) = take('read', path => 'a/b.txt');
is($bytes, "text\n", 'and comes out');
is($note->{size}, 5, 'with its size told before');
is(ask('stat', path => '')->{kind}, 'directory', 'the workspace is a directory');
is(ask('stat', path => 'none')->{error}, 'not_found', 'what is not there');
my $text = pack 'N*', map { $_ * 2654435761 % 4294967296 } 1 .. 1_000_000;
is(put('big', $text)->{size}, length $text, 'megabytes go in');
is((take('read', path => 'big'))[1], $text, 'and come out');
is((take('read', path => 'big', offset => 3_999_990))[1], substr($text, 3_999_990), 'or the end of them');
my $etag = ask('stat', path => 'big')->{etag};
is(put('big', 'x', if_match => ['0-0-0-0'])->{error}, 'busy', 'another version is not replaced');
is(put('big', 'x', if_match => [$etag])->{size}, 1, 'this one is');
is((take('read', path => 'big', etag => $etag))[0]{error}, 'busy', 'nor is another one read');

# A piece goes where it says: what broke off goes on.
my $half = $mux->open({ op => 'fs.write', path => 'up', mode => 'range', offset => 0, total => 300_000 });
$half->data(substr $text, 0, 200_000);
$mux->wait(sub { (-s "$ws/up" // 0) == 200_000 });
$half->reset;
$half->end;
is(ask('stat', path => 'up')->{size}, 200_000, 'an upload of pieces that broke off leaves what came');
is(put('up', substr($text, 200_000, 100_000), mode => 'range', offset => 200_000, total => 300_000)->{size}, 300_000, 'and goes on');
is((take('read', path => 'up'))[1], substr($text, 0, 300_000), 'exactly');
is(put('up', 'x', mode => 'range', offset => 300_001)->{error}, 'invalid', 'but leaves no hole');
is(put('up', 'xx', mode => 'range', offset => 299_999, max_bytes => 300_000)->{error}, 'too_large', 'nor grows past its limit');
my $whole = $mux->open({ op => 'fs.write', path => 'up' })->data($text);
$mux->wait(sub { grep { -s $_ } glob "$ws/.sbx-upload-*" });
is(scalar(lines((take('list', path => ''))[1])), 3, 'a file on its way is not listed');
$whole->reset;
$whole->end;
is_deeply([glob "$ws/.sbx-upload-*"], [], 'and not left when it broke off');
is(-s "$ws/up", 300_000, 'the file of the name stays');

# Rights are the payload's.
SKIP: {
    skip 'not root', 6 if $>;
    mkdir "$ws/roots", 0700;
    open my $out, '>', "$ws/private" or die $!;
    print {$out} 'secret';
    close $out;
    chmod 0600, "$ws/private";
    is((take('read', path => 'private'))[0]{error}, 'denied', 'what is not readable is not read');
    is(put('private', 'x', mode => 'range', offset => 0)->{error}, 'denied', 'nor written');
    is(put('roots/x', 'x')->{error}, 'denied', 'no file in another\'s directory');
    is((take('list', path => 'roots'))[0]{error}, 'denied', 'no list of it');
    is(ask('move', from => 'a', to => 'roots/a')->{error}, 'denied', 'no move into it');
    is((take('tar', path => ''))[0]{skipped}, 2, 'and no archive of it');
    unlink "$ws/private";
    rmdir "$ws/roots";
}

# What is no path, in every operation.
my %bad = ('..' => 1, 'a/../..' => 1, '/etc/passwd' => 1, './a' => 1, 'a//b' => 1, 'a/' => 1, "a\0b" => 1, 'x' x 256 => 1,
           join('/', ('d') x 17) => 1, '../' x 30 . 'etc/passwd' => 1);
for my $path (sort keys %bad) {
    my @wrong = grep {
        my $end = $_ eq 'move' ? ask($_, from => $path, to => 'q') : ask($_, path => $path);
        !$end || $end->{ok} || $end->{error} ne 'invalid';
    } qw(stat list read write mkdir move remove tar untar watch);
    (my $name = length $path > 30 ? substr($path, 0, 30) . '...' : $path) =~ s/\0/\\0/;
    is_deeply(\@wrong, [], "not $name");
}
is(ask('stat', path => '..%2f..')->{error}, 'not_found', 'nothing is decoded again');
is(put('back\\slash', 'x')->{path}, 'back\\slash', 'a backslash is a byte as any other');
is(ask('read', path => "\xc0\xae\xc0\xae/x")->{ok}, JSON::PP::false, 'overlong dots are not dots');

# Links and what is no file.
symlink '/etc', "$ws/etc";
symlink '/proc/self/root', "$ws/root";
symlink '.', "$ws/loop";
symlink "$agent->{dir}/nothing", "$ws/dangling";
system 'mkfifo', "$ws/pipe";
link "$ws/up", "$ws/second";
for my $path (qw(etc/passwd etc root/etc/passwd loop/up dangling)) {
    is((take('read', path => $path))[0]{error}, 'denied', "no reading of $path");
    is(put($path, 'x', mode => 'range', offset => 0)->{error}, 'denied', 'no writing');
}
for my $path (qw(etc/new root/tmp/new loop/new)) {
    is(put($path, 'x')->{error}, 'denied', "no making of $path");
    is(ask('mkdir', path => $path)->{error}, 'denied', 'no directory');
    is(ask('remove', path => $path)->{error}, 'denied', 'no removal');
    is(ask('move', from => 'a', to => $path)->{error}, 'denied', 'no move');
}
is((take($_, path => 'root'))[0]{error}, 'denied', "no $_ through a link") for qw(list tar untar watch);
is((take('read', path => $_))[0]{error}, 'denied', "$_ is not read") for qw(pipe second);
ok(ask('remove', path => 'loop', recursive => JSON::PP::true)->{ok}, 'a link is removed');
ok(-e "$ws/up", 'and nothing behind it');
ok(put('dangling', 'x')->{ok}, 'a whole file takes the place of a link');
ok(!-e "$agent->{dir}/nothing", 'and not of what it names');

# Archives.
sub tar_entry {
    my ($name, $type, $size, %more) = @_;
    my $head = pack 'a100 a8 a8 a8 a12 a12 a8 a1 a100 a6 a2 a247', $name, '0000644', '0000000', '0000000', $size, '00000000000', ' ' x 8, $type,
        $more{link} // '', "ustar\0", '00', '';
    my $sum = 0;
    $sum += $_ for unpack 'C*', $head;
    substr $head, 148, 8, sprintf "%06o\0 ", $sum;
    return $head;
}
my $over = "\0" x 1024;
for my $case (['../up', '0'], ['/etc/x', '0'], ['a/../../x', '0'], ['link', '2', link => '/etc'], ['link', '1', link => 'up'], ['null', '3'], ['sda', '4'],
              ['fifo', '6'], ['sparse', 'S'], ["new\xff", '0'], ['etc/new', '0'], ['root/tmp/new', '0']) {
    my ($name, $type, %more) = @$case;
    my $end = $mux->ask({ op => 'fs.untar', path => '' }, tar_entry($name, $type, '00000000000', %more) . $over);
    ok(!$end->{ok} && $end->{error} =~ /^(invalid|denied)$/, "an archive with $type $name is refused") or diag(explain $end);
}
like($mux->ask({ op => 'fs.untar', path => '' }, tar_entry('../up', '0', '00000000000') . $over)->{message}, qr{^\.\./up: }, 'by name');
is($mux->ask({ op => 'fs.untar', path => '' }, tar_entry('x', '0', "\x80" . "\0" x 3 . "\x7f" . "\xff" x 7) . $over)->{error}, 'invalid', 'a size of exbibytes');
is($mux->ask({ op => 'fs.untar', path => '', max_bytes => 1000 }, tar_entry('x', '0', '00000001751') . $over)->{error}, 'too_large', 'more than allowed');
is($mux->ask({ op => 'fs.untar', path => '' }, tar_entry('x', '0', '00000100000') . 'few')->{error}, 'invalid', 'less than announced');
ok(!-e "$ws/x", 'and nothing of it is left');
is($mux->ask({ op => 'fs.untar', path => 'm', max_files => 500 }, join '', map { tar_entry("f$_", '0', '00000000000') } 1 .. 2000)->{error}, 'too_large',
   'a crowd of entries ends');
is($mux->ask({ op => 'fs.untar', path => '' }, "PK\3\4" . 'zip' x 1000)->{error}, 'invalid', 'a zip is no archive');
is_deeply([glob "$ws/{,m/}.sbx-upload-*"], [], 'nothing hidden is left');
ok(ask('remove', path => 'm', recursive => JSON::PP::true)->{ok}, 'the crowd goes');

# A directory of the workspace changes places with a link to one outside, as fast as it can. Whatever is done through its
# name happens inside or is refused.
my $outside = "$agent->{dir}/outside";
mkdir $outside;
mkdir "$outside/sub";
chmod 0777, $outside, "$outside/sub";
for my $name ("$outside/f", "$outside/sub/g") { open my $out, '>', $name or die $!; print {$out} 'OUTSIDE'; close $out; chmod 0666, $name }
sub state_of { return join ' ', map { join ':', $_, (stat $_)[1, 2, 7, 9, 10] } sort glob "$outside $outside/* $outside/*/* $outside/.s*" }
my $before = state_of();
ask('remove', path => $_) for qw(etc root pipe second dangling);
ask('mkdir', path => 'd/sub');
put($_, 'inside') for 'd/f', 'd/sub/g';
symlink $outside, "$ws/l";
my $swapper = fork // die $!;
if (!$swapper) {
    my ($a, $b) = ("$ws/d\0", "$ws/l\0");
    # Not without a breath: it holds the directory's lock, and nobody else would ever get it.
    select undef, undef, undef, 0.00002 while syscall(316, -100, $a, -100, $b, 2) == 0;    # renameat2, RENAME_EXCHANGE
    POSIX::_exit(1);
}
my $archive = tar_entry('sub/t', '0', '00000000006') . 'inside' . "\0" x 506 . $over;
my @ops = (
    sub { ({ op => 'fs.read', path => 'd/f' }) },
    sub { ({ op => 'fs.stat', path => 'd/f' }) },
    sub { ({ op => 'fs.write', path => 'd/w' }, 'inside') },
    sub { ({ op => 'fs.write', path => 'd/f', mode => 'range', offset => 0 }, 'inside') },
    sub { ({ op => 'fs.list', path => 'd', recursive => JSON::PP::true }) },
    sub { ({ op => 'fs.read', path => 'd/sub/g' }) },
    sub { ({ op => 'fs.mkdir', path => 'd/sub/n' }) },
    sub { ({ op => 'fs.remove', path => 'd/sub/n', recursive => JSON::PP::true }) },
    sub { ({ op => 'fs.move', from => 'd/w', to => 'd/sub/w', overwrite => JSON::PP::true }) },
    sub { ({ op => 'fs.tar', path => 'd' }) },
    sub { ({ op => 'fs.untar', path => 'd' }, $archive) },
    sub { ({ op => 'fs.glob', patterns => ['d/**', 'l/**'] }) },
    sub { ({ op => 'fs.remove', path => 'd/sub/w' }) },
);
my ($tries, $leaks, %ends) = (0, 0);
my $wanted = $ENV{RACE_TRIES} // 100_000;
my $began = time;
my $deadline = $began + 400;
while ($tries < $wanted && time < $deadline) {
    my @open = map {
        my ($request, $data) = $ops[($tries + $_) % @ops]->();
        my $channel = $mux->open($request);
        $channel->data($data) if defined $data;
        $channel->{what} = $request->{op};
        $channel->shut;
    } 1 .. 16;
    $tries += @open;
    $mux->wait(sub { !grep { !$_->{ended} } @open }, 60) or last;
    for my $channel (@open) {
        $leaks++ if $channel->{out}[1] =~ /OUTSIDE/;
        $ends{ $channel->{what} }{ $channel->{ended}{ok} ? 'ok' : $channel->{ended}{error} }++;
    }
}
kill 'KILL', $swapper;
waitpid $swapper, 0;
note(sprintf "%.1f s of race", time - $began);
cmp_ok($tries, '>=', $wanted, "$wanted tries of a race");
is($leaks, 0, 'nothing of outside came in');
is(state_of(), $before, 'nothing outside was touched');
for my $op (sort keys %ends) {
    note("$op: ", join ', ', map { "$_ $ends{$op}{$_}" } sort keys %{ $ends{$op} });
}
ok($ends{'fs.read'}{ok} && $ends{'fs.read'}{denied}, 'and both sides of the swap were met');
is_deeply([grep { !/^(ok|denied|not_found|exists|not_a_directory|invalid|not_empty|is_a_directory|busy)$/ } map { keys %$_ } values %ends], [],
          'every try was answered as it should');

$mux->close;
my $end_at = time + 30;
1 until $agent->close_session->{status} == 204 || time > $end_at;
system 'rm', '-rf', $outside;
$agent->finish;
done_testing();
