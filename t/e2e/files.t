#!/usr/bin/perl
# Files of sessions through the front door, in both tiers: what goes in is what a step sees, what a step makes comes out, and links lead nowhere.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox;
use Sandbox::Stream;
use Test::More;

# No skipping: a machine that tests the product has both tiers (conf/local/deps.sh test).
die "runsc is not installed\n" unless grep { -x } '/usr/bin/runsc', '/usr/local/bin/runsc';

my $t = Sandbox->new(executor => { 'pool.default' => 1, 'pool.default.gvisor' => 1 }, launcher => { runsc => 'auto' });
$t->start;

for my $tier (qw(process gvisor)) {
    my $r = $t->request('POST', '/v1/sessions', json => { language => 'python', isolation => $tier });
    is("$r->{status} " . ($r->{json}{isolation} // ''), "201 $tier", "a session in $tier") or do { diag(explain $r->{json}); next };
    my $base = "/v1/sessions/$r->{json}{session_id}";
    my $call = sub { my ($method, $path, %option) = @_; return $t->request($method, "$base/$path", %option) };
    my $step = sub {
        my $reply = $call->('POST', 'steps', timeout => 60, json => { code => $_[0] });
        diag(explain $reply->{json}) unless ($reply->{json}{status} // '') eq 'succeeded';
        return $reply->{json}{stdout} // '';
    };

    my $bytes = join '', map { pack 'N', $_ * 2654435761 % 4294967296 } 1 .. 500_000;
    is($call->('PUT', 'files/in/data.bin', body => $bytes)->{status}, 201, 'a file goes in');
    is($step->("d = open('in/data.bin', 'rb').read(); print(len(d), sum(d))"), length($bytes) . ' ' . unpack('%64C*', $bytes) . "\n", 'a step reads it');
    is($step->("import os; print(os.stat('in/data.bin').st_uid == os.getuid(), open('in/data.bin', 'ab').write(b'x'))"), "True 1\n", 'and owns it');
    $r = $call->('GET', 'files/in/data.bin', headers => { Range => 'bytes=1999999-' });
    is("$r->{status} " . length $r->{content}, '206 2', 'what a step wrote comes out');
    $step->("import os; os.makedirs('out/sub'); [open(f'out/sub/{i}', 'w').write('y' * i) for i in range(20)]");
    $r = $call->('GET', 'files/out?recursive=true');
    is(scalar @{ $r->{json}{entries} }, 21, 'a tree is listed');
    my $tar = $call->('GET', 'archive?path=out')->{content};
    is($call->('PUT', 'archive?path=copy', body => $tar)->{json}{files}, 20, 'as an archive it goes back in');
    is($step->("import filecmp; c = filecmp.dircmp('out/sub', 'copy/sub'); print(c.diff_files, c.left_only, c.right_only, len(c.same_files))"), "[] [] [] 20\n", 'the same');
    is($call->('POST', 'move', json => { from => 'copy', to => 'in/copy' })->{status}, 200, 'a move');
    is($call->('POST', 'move', json => { from => 'out', to => 'in/copy' })->{status}, 409, 'not over another');
    is($call->('DELETE', 'files/in/copy?recursive=true')->{status}, 204, 'a removal');
    is($step->("import os; print(os.listdir('in'))"), "['data.bin']\n", 'of everything');
    is($call->('PUT', 'files/in/data.bin', body => 'tail', headers => { 'Content-Range' => 'bytes 4-7/8' })->{status}, 200, 'a piece');
    is($step->("print(open('in/data.bin', 'rb').read()[4:])"), "b'tail'\n", 'in its place');

    $step->("import os; os.symlink('/etc', 'etc'); os.symlink('/proc/self/root', 'root'); os.mkfifo('fifo'); os.symlink('in', 'loop')");
    for my $path (qw(etc/passwd root/etc/passwd loop/data.bin fifo etc)) {
        my $out = $call->('GET', "files/$path");
        ok($out->{status} == 403 && $out->{content} !~ /root:/, "no reading of $path") or diag("$out->{status} $out->{content}");
        is($call->('PUT', "files/$path", body => 'x', headers => { 'Content-Range' => 'bytes 0-0/1' })->{status}, 403, 'no writing');
    }
    is($call->('PUT', "files/$_/new", body => 'x')->{status}, 403, "nothing is made in $_") for qw(etc root loop etc/deep root/tmp/deep loop/deep);
    for my $link (qw(etc root loop)) {
        my @ways = (['GET', "files/$link?recursive=true"], ['GET', "archive?path=$link"], ['PUT', "archive?path=$link", body => $tar], ['PUT', "archive?path=$link/deep", body => $tar],
            ['GET', "watch?path=$link"], ['POST', 'mkdir', json => { path => "$link/new" }], ['POST', 'mkdir', json => { path => "$link/new/deep" }],
            ['POST', 'move', json => { from => 'in/data.bin', to => "$link/new" }], ['DELETE', "files/$link/passwd"]);
        my @wrong = map { my ($method, $path, %option) = @$_; my $out = $call->($method, $path, %option); $out->{status} == 403 ? () : "$method $path: $out->{status} $out->{content}" } @ways;
        is_deeply(\@wrong, [], "nor listed, packed, unpacked, watched, moved or removed through $link");
    }
    is($step->("import os; print(os.path.exists('/tmp/deep'), sorted(os.listdir('in')))"), "False ['data.bin']\n", 'and nothing was');
    is($call->('GET', "files/..%2f..%2fetc%2fpasswd")->{status}, $_, 'nor outside') for 404;

    my $watch = Sandbox::Stream->gateway($t, 'GET', "$base/watch?recursive=true");
    ok($watch->until(30, sub { grep { $_->{event} eq 'start' } @{ $watch->{events} } }), 'a watch');
    $step->("open('seen', 'w').write('x')");
    ok($watch->until(30, sub { grep { $_->{event} eq 'created' && $_->{data}{path} eq 'seen' } @{ $watch->{events} } }), 'tells what a step made');
    is($t->request('GET', "$base/files/seen", tenant => 'other')->{status}, 404, 'another tenant sees nothing');
    is($t->request('DELETE', $base)->{status}, 200, 'the end');
    ok($watch->until(30, sub { grep { $_->{event} eq 'end' } @{ $watch->{events} } }), 'also of the watch');
    is($call->('GET', 'files/seen')->{status}, 410, 'and of the files');
}

$t->finish;
done_testing();
