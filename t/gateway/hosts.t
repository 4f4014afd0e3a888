#!/usr/bin/perl
# Host and request target: one authority, ours, spelt plainly.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Edge;
use Test::More;

my $t = Sandbox::Edge->new;
$t->start_edge('sandbox_public_port 443 8443;');
my $port = $t->port;

sub status {
    my ($target, @hosts) = @_;
    my $reply = $t->ask("GET $target HTTP/1.1", (map { "Host: $_" } @hosts), 'Connection: close');
    return $reply->{status} // 'closed';
}

for my $host ('localhost', 'LOCALHOST', '127.0.0.1', 'a.example', 'a.example.', 'a-b_c.example', "localhost:$port", "127.0.0.1:$port", 'a.example:443', 'a.example:8443', '[::1]', "[::1]:$port") {
    is(status('/', $host), 200, "Host: $host");
}
for my $host ('a@b', 'user:pass@localhost', 'localhost@evil.example', "localhost:$port\@evil", 'localhost:1', 'localhost:80', 'localhost:65536', 'localhost:0',
              'localhost:', 'localhost:x', "localhost:0$port", "localhost:$port:$port", "localhost:-$port", 'localhost/x', 'localhost\\x', 'local host', 'localhost,evil', 'localhost#', 'localhost?x',
              'localhost%00', '%6cocalhost', "localhost\t", 'localhost;x', '(localhost)', "loc\xc3\xa4l", '[::1', '::1', '[::1]x', '[]@x', ']', '[', ':', ":$port", '.', '..', 'a..b', '{$host}', '"localhost"') {
    my $status = status('/', $host);
    next if $host =~ /\t$/;    # white space at the end is no part of a header's value
    my $name = $host =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger;

    is($status, 400, "Host: $name is refused");
}
is(status('/'), 400, 'HTTP/1.1 without Host');
is(status('/', ''), 400, 'an empty Host');
is(status('/', 'localhost', 'localhost'), 400, 'two of the same');
is(status('/', 'localhost', 'evil.example'), 400, 'two that differ');
is($t->ask('GET / HTTP/1.0', 'Connection: close')->{status}, 200, 'HTTP/1.0 needs none');
is($t->ask('GET / HTTP/1.0', 'Host: a@b', 'Connection: close')->{status}, 400, 'and a bad one is bad there too');
is($t->ask('GET / HTTP/1.1', 'Host : localhost', 'Connection: close')->{status}, 400, 'a space before the colon');
is($t->ask('GET / HTTP/1.1', 'Host: localhost', ' evil.example', 'Connection: close')->{status} // 'closed', 400, 'a folded header');

# Absolute form.
is(status("http://localhost/x", 'localhost'), 200, 'an absolute target that agrees');
is(status("http://LOCALHOST/x", 'localhost'), 200, 'without case');
is(status("http://localhost:$port/x", "localhost:$port"), 200, 'with the port');
is(status('http://evil.example/x', 'localhost'), 400, 'one that differs');
is(status('http://localhost/x', 'evil.example'), 400, 'the other way round');
is(status("http://localhost:$port/x", 'localhost'), 400, 'a port that only one names');
is(status('http://localhost:1/x', "localhost:$port"), 400, 'ports that differ');
is(status('http://localhost@evil.example/x', 'localhost'), 400, 'a user part');
is(status('http://localhos/x', 'localhost'), 400, 'a prefix');
is(status('localhost:80', 'localhost'), 400, 'authority form');
is(status('*', 'localhost'), 400, 'asterisk form with GET');
my $seen = $t->ask('GET http://localhost/a%2e%2e/../b?c=%41 HTTP/1.1', 'Host: localhost', 'Connection: close');
is($seen->{json}{uri}, '/b?c=%41', 'an absolute target is forwarded as the path we decided on');

# Paths go on as they were understood.
for my $case (['/a//b', '/a/b'], ['/a/./b', '/a/b'], ['/a/../b', '/b'], ['/%61', '/a'], ['/a%2fb', '/a/b'], ['/a%20b', '/a%20b'], ['/a%3fb?c', '/a%3Fb?c'], ['/a%23b', '/a%23b'],
              ['/a%25b', '/a%25b'], ['/a?b//c/../d', '/a?b//c/../d'], ['/a%0d%0ab', '/a%0D%0Ab'], ['/%e2%82%ac', '/%E2%82%AC'], ['/a;b=c', '/a;b=c'], ['/a?', '/a'], ['/a%2e%2e%2fb', '/a../b'], ['/x/%2e%2e/b', '/b']) {
    my $got = $t->ask("GET $case->[0] HTTP/1.1", 'Host: localhost', 'Connection: close');
    is($got->{json}{uri}, $case->[1], "$case->[0] arrives as $case->[1]");
}
$t->finish;
done_testing();
