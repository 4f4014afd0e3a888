#!/usr/bin/perl
# A tenant tries to get out of a workspace through the file routes: by names, by links, by what is no file, by archives, and by a race that
# its own code runs beside the requests. RACE_TRIES is the race's length, 4000 by default; t/agent/files.t runs a hundred thousand without HTTP.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use HTTP::Tiny;
use POSIX ();
use JSON::PP;
use Sandbox;
use Test::More;
use Time::HiRes qw(time);

my $tries = $ENV{RACE_TRIES} // 4000;
my $t = Sandbox->new;
$t->start;
my $token = $t->token(exp => int(time) + 3600);
my $r = $t->request('POST', '/v1/sessions', json => { language => 'python' });
is($r->{status}, 201, 'a session') or BAIL_OUT(explain $r);
my $base = "/v1/sessions/$r->{json}{session_id}";
my $host = $t->write('tmp/host-secret', 'HOST-SECRET');
chmod 0666, $host;

sub call { my ($method, $path, %option) = @_; return $t->request($method, "$base/$path", token => $token, %option) }
sub step {
    my ($code) = @_;
    my $reply = call('POST', 'steps', timeout => 90, json => { code => $code, timeout => '60s' });
    diag(explain $reply->{json}) unless ($reply->{json}{status} // '') eq 'succeeded';
    return $reply->{json}{stdout} // '';
}
sub raw_status {
    my ($method, $path, $body) = @_;
    my $reply = $t->raw("$method $base/files/$path HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer $token\r\n"
        . (defined $body ? 'Content-Length: ' . length($body) . "\r\n" : '') . "\r\n" . ($body // ''), seconds => 10);
    return wantarray ? ($reply =~ m{^HTTP/1.1 (\d+)} ? $1 : 0, $reply) : ($reply =~ m{^HTTP/1.1 (\d+)} ? $1 : 0);
}

# Names, as bytes: no client tidies them up.
my @names = ('../../../../etc/passwd', '..%2f..%2f..%2fetc/passwd', '%2e%2e/%2e%2e/etc/passwd', '%252e%252e/%252e%252e/etc/passwd', '..%252f..%252fetc%252fpasswd',
    '/etc/passwd', '%2fetc%2fpasswd', '//etc/passwd', '..%5c..%5cetc%5cpasswd', '%c0%ae%c0%ae/etc/passwd', '%e0%80%ae%e0%80%ae/etc/passwd', '..%00/etc/passwd', 'x%00.txt',
    '%uff0e%uff0e/etc/passwd', '....//....//etc/passwd', '..;/etc/passwd', './/..//etc/passwd', 'x/%2e%2e/%2e%2e/y', '%ff%fe', 'a' x 5000, '~root/.profile', 'proc/self/root/etc/passwd');
for my $name (@names) {
    my @wrong;
    for my $method (qw(GET HEAD PUT DELETE)) {
        my ($status, $reply) = raw_status($method, $name, $method eq 'PUT' ? 'attack' : undef);
        # A name that merely looks bad is a name: what it makes is inside.
        push @wrong, "$method $status" if $status !~ /^(4\d\d|20[14])$/ || $reply =~ /root:x:0|HOST-SECRET/ || ($method eq 'GET' && $status == 200);
    }
    is_deeply(\@wrong, [], 'not ' . substr $name, 0, 50);
}
is(step("import os; print(sorted(n for d, s, f in os.walk('.') for n in f if 'passwd' in n or n == 'y'))"), "[]\n", 'and none of them made such a file')
    or diag(step("import os; print([os.path.join(d, n) for d, s, f in os.walk('.') for n in f])"));
is($t->request('GET', "$base/files/%2e", token => $token)->{json}{path}, '', 'a dot is the workspace, for the gateway resolves it');
for my $entry (@{ call('GET', 'files/')->{json}{entries} }) {
    my $path = $entry->{path} =~ s/([^\w.])/sprintf '%%%02X', ord $1/ger;
    is(call('DELETE', "files/$path?recursive=true")->{status}, 204, "$path goes again");
}

# Links and what is no file, made by the tenant.
step(<<"PY");
import os, socket
os.makedirs('/tmp/outside', exist_ok=True)
open('/tmp/outside/f', 'w').write('OUTSIDE')
for name, to in [('etc', '/etc'), ('root', '/proc/self/root'), ('cwd', '/proc/self/cwd'), ('fd', '/proc/self/fd'), ('pid1', '/proc/1/root'), ('up', '..'), ('loop', 'loop'), ('tmp', '/tmp/outside'),
                 ('host', '$host'), ('null', '/dev/null'), ('zero', '/dev/zero'), ('abs', '/workspace/plain')]:
    os.symlink(to, name)
open('plain', 'w').write('plain')
os.link('plain', 'hard')
os.mkfifo('fifo')
s = socket.socket(socket.AF_UNIX); s.bind('sock')
try:
    os.link('/tmp/outside/f', 'far')
except OSError as e:
    print(e.errno)
PY
for my $path (qw(etc/passwd root/etc/passwd cwd/plain fd/0 pid1/etc/passwd up/etc/passwd loop tmp/f host null zero abs etc root fifo sock hard)) {
    my $began = time;
    $r = call('GET', "files/$path");
    ok($r->{status} =~ /^40[349]$/ && $r->{content} !~ /OUTSIDE|SECRET|root:x/, "$path is not read") or diag("$r->{status} $r->{content}");
    cmp_ok(time - $began, '<', 5, 'and nobody waits for it');
    my $in = call('PUT', "files/$path", body => 'x', headers => { 'Content-Range' => 'bytes 0-0/1' });
    like($in->{status}, qr/^40[349]$/, 'nor written in place');
}
for my $path (qw(etc/new root/tmp/new cwd/new tmp/new up/new)) {
    is(call('PUT', "files/$path", body => 'x')->{status}, 403, "nothing is made through $path");
    is(call('POST', 'mkdir', json => { path => $path })->{status}, 403, 'no directory');
    is(call('POST', 'move', json => { from => 'plain', to => $path })->{status}, 403, 'no move');
    is(call('DELETE', "files/$path")->{status}, 403, 'no deletion');
}
is(call('DELETE', 'files/tmp?recursive=true')->{status}, 204, 'a link is deleted');
is(step("print(open('/tmp/outside/f').read())"), "OUTSIDE\n", 'and not what it names');
like(call('GET', "$_")->{status}, qr/^4/, "not $_") for 'archive?path=etc', 'archive?path=root', 'watch?path=root', 'archive?path=..', 'stat?path=etc/passwd', 'files/root?recursive=true';
unlike(call('GET', 'archive')->{content}, qr/root:x:0|HOST-SECRET/, 'an archive follows nothing');

# Archives.
sub entry {
    my ($name, $type, $size, %more) = @_;
    my $head = pack 'a100 a8 a8 a8 a12 a12 a8 a1 a100 a6 a2 a247', $name, '0000644', '0000000', '0000000', $size, '00000000000', ' ' x 8, $type, $more{link} // '', "ustar\0", '00', '';
    my $sum = 0;
    $sum += $_ for unpack 'C*', $head;
    substr $head, 148, 8, sprintf "%06o\0 ", $sum;
    return $head;
}
my $over = "\0" x 1024;
my $sized = "\x80" . "\0" x 3 . "\x7f" . "\xff" x 7;
for my $case (['up and out', entry('../../x', '0', '00000000000')], ['absolute', entry('/etc/x', '0', '00000000000')], ['a link', entry('l', '2', '00000000000', link => '/etc')],
              ['a hard link', entry('l', '1', '00000000000', link => 'plain')], ['a device', entry('d', '3', '00000000000')], ['a pipe', entry('p', '6', '00000000000')],
              ['through a link', entry('etc/x', '0', '00000000000')], ['of 8 EiB', entry('x', '0', $sized)], ['a sparse bomb', entry('x', 'S', '00000000010')],
              ['two gibibytes announced', entry('x', '0', '20000000000')], ['less than announced', entry('x', '0', '00000010000') . 'few'], ['a million long', entry('x', 'L', '00004000000')]) {
    my ($name, $bytes) = @$case;
    $r = call('PUT', 'archive', body => $bytes . $over);
    like($r->{status}, qr/^(403|413|422|507)$/, "an archive: $name") or diag($r->{content});
}
is(call('PUT', 'files/bomb.zip', body => "PK\3\4" . "\0" x 1000)->{status}, 201, 'a zip is bytes');
my $crowd = join '', map { entry("c/$_", '0', '00000000000') } 1 .. 2000;
is(call('PUT', 'archive', body => $crowd . $over)->{status}, 200, 'two thousand entries fit') or diag(explain $r);
is(call('DELETE', 'files/c?recursive=true')->{status}, 204, 'and go');

# A race.
step(<<'PY');
import ctypes, os, threading, time
os.makedirs('d/sub', exist_ok=True)
for n in ('d/f', 'd/sub/g'): open(n, 'w').write('inside')
os.makedirs('/tmp/outside/sub', exist_ok=True)
for n in ('f', 'sub/g'): open('/tmp/outside/' + n, 'w').write('OUTSIDE')
os.symlink('/tmp/outside', 'l')
libc = ctypes.CDLL(None, use_errno=True)
swapping = True
def swap():
    while swapping:
        for i in range(11):
            libc.renameat2(-100, b'/workspace/d', -100, b'/workspace/l', 2)
        time.sleep(0.0005)
thread = threading.Thread(target=swap, daemon=True); thread.start()
def state():
    return sorted((os.path.join(d, n), os.lstat(os.path.join(d, n)).st_size, os.lstat(os.path.join(d, n)).st_mtime_ns) for d, s, f in os.walk('/tmp/outside') for n in s + f)
before = state()
PY
my $archive = entry('sub/t', '0', '00000000006') . 'inside' . "\0" x 506 . $over;
my $json = sub { (headers => { 'Content-Type' => 'application/json' }, content => encode_json($_[0])) };
my @ops = (
    ['GET', 'files/d/f'], ['PUT', 'files/d/w', content => 'inside'], ['GET', 'files/d?recursive=true'], ['PUT', 'files/d/f', content => 'inside', headers => { 'Content-Range' => 'bytes 0-5/6' }],
    ['GET', 'files/d/sub/g'], ['POST', 'mkdir', $json->({ path => 'd/sub/n' })], ['DELETE', 'files/d/sub/n?recursive=true'], ['GET', 'stat?path=d/f'],
    ['POST', 'move', $json->({ from => 'd/w', to => 'd/sub/w', overwrite => JSON::PP::true })], ['GET', 'archive?path=d'], ['PUT', 'archive?path=d', content => $archive], ['DELETE', 'files/d/sub/w'],
);
my $workers = 3;
my @pipes;
my $began = time;
for my $worker (1 .. $workers) {
    pipe my $read, my $write or die $!;
    my $pid = fork // die $!;
    if (!$pid) {
        my $http = HTTP::Tiny->new(timeout => 60);
        my (%seen, $leaks);
        for my $i (1 .. $tries / $workers + 1) {
            my ($method, $path, %option) = @{ $ops[($i + $worker) % @ops] };
            my $reply = $http->request($method, $t->url . "$base/$path", { %option, headers => { %{ $option{headers} || {} }, Authorization => "Bearer $token" } });
            $seen{ $reply->{status} }++;
            $leaks++ if ($reply->{content} // '') =~ /OUTSIDE/;
        }
        print {$write} encode_json({ seen => \%seen, leaks => $leaks // 0 });
        close $write;
        POSIX::_exit(0);
    }
    close $write;
    push @pipes, [$read, $pid];
}
my (%seen, $leaks, $n);
for my $pipe (@pipes) {
    my $result = decode_json(do { local $/; readline $pipe->[0] } || '{}');
    waitpid $pipe->[1], 0;
    $leaks += $result->{leaks} // 1;
    for my $status (keys %{ $result->{seen} }) { $seen{$status} += $result->{seen}{$status}; $n += $result->{seen}{$status} }
}
note(sprintf '%d tries in %.1f s: %s', $n, time - $began, join ', ', map { "$_ $seen{$_}" } sort keys %seen);
cmp_ok($n, '>=', $tries, "$tries tries of a race");
is($leaks, 0, 'nothing of outside came in');
ok($seen{200} && $seen{403}, 'both sides of the swap were met');
is_deeply([grep { !/^(200|201|204|403|404|409|422|410)$/ } keys %seen], [], 'each was answered as it should be');
is(step("swapping = False; thread.join(); print(state() == before)"), "True\n", 'and nothing outside was touched');
is(Sandbox::_slurp($host), 'HOST-SECRET', 'nor on the host');

is($t->request('DELETE', $base, token => $token)->{status}, 200, 'the session goes');
$t->finish;
done_testing();
