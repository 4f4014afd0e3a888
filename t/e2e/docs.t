#!/usr/bin/perl
# The gateway serves what describes it: /openapi.json and the page at /docs, to whoever asks and nothing beside them.
use strict;
use warnings;
use lib 't/lib';
use Sandbox;
use Test::More;

my $t = Sandbox->new;
$t->start;
sub get { my ($path, %more) = @_; return $t->request($more{method} // 'GET', $path, anonymous => 1, %more) }

my %file = ('/openapi.json' => ['docs/openapi.json', 'application/json'], '/docs' => ['docs/site/index.html', 'text/html; charset=utf-8'],
            '/docs/docs.js' => ['docs/site/docs.js', 'text/javascript; charset=utf-8'], '/docs/docs.css' => ['docs/site/docs.css', 'text/css; charset=utf-8']);
for my $path (sort keys %file) {
    my ($file, $type) = @{ $file{$path} };
    my $reply = get($path);
    is($reply->{status}, 200, "$path without a token");
    is($reply->{headers}{'content-type'}, $type, '  is what it is');
    ok($reply->{content} eq Sandbox::_slurp("$Sandbox::ROOT/$file"), '  to the byte');
    like($reply->{headers}{'x-request-id'}, qr/\Areq_[0-9a-z]{26}\z/, '  with an id');
    is($reply->{headers}{'cache-control'}, 'no-cache', '  to be asked for again');
    is(get($path, headers => { 'If-None-Match' => $reply->{headers}{etag} })->{status}, 304, '  which is cheap');
    is(get($path, headers => { 'If-Match' => '"other"' })->{status}, 412, '  another version');
    is(get($path, headers => { Range => 'bytes=0-3' })->{status}, 200, '  is not cut');
    is(get($path, headers => { Authorization => 'Bearer a.b.c' })->{status}, 200, '  a token is not looked at');
    my $head = get($path, method => 'HEAD');
    is($head->{status} . ($head->{content} // ''), '200', '  HEAD');
    for my $method (qw(POST PUT DELETE PATCH)) {
        is(get($path, method => $method, body => 'x')->{status}, 405, "  $method is not for it");
    }
}
is($t->request('GET', '/openapi.json')->{json}{openapi}, '3.1.0', 'the document is one');

# What is in it is served where it says.
my $document = get('/openapi.json')->{json};
for my $path (grep { !/\{/ } sort keys %{ $document->{paths} }) {
    next if !$document->{paths}{$path}{get} || $document->{paths}{$path}{get}{'x-internal'} || $path eq '/v1/audit/head';    # no head is signed so early
    isnt($t->request('GET', $path, scope => 'admin jobs:read sessions:read artifacts:read')->{status}, 404, "$path is there");
}

# Nothing else of the directory, and nothing outside of it.
for my $path ('/docs/', '/docs/index.html', '/docs/openapi.json', '/docs/docs.js/', '/docs/docs.jsx', '/docs/../site/openapi.json', '/docs/..%2f..%2fetc/gateway.conf', '/docs/%2e%2e/etc/jwt.secret',
              '/site/openapi.json', '/openapi.json/', '/openapi.json/../../etc/gateway.conf', '/openapi.yaml', '/docs%00.js') {
    like(get($path)->{status}, qr/^40[01]$/, "$path is nothing to one without a token");
    like($t->request('GET', $path)->{status}, qr/^40[04]$/, '  nor to one with');
}

# The page loads nothing from elsewhere and holds no script of its own.
my $page = get('/docs')->{content};
unlike($page, qr{(?:src|href)="(?!/)}, 'nothing is loaded from elsewhere');
unlike($page, qr/<script[^>]*>[^<]|\son\w+=|style=/i, 'no script and no style stand in it');
like($page, qr/default-src 'none'/, 'a policy forbids them besides');
unlike(get('/docs/docs.js')->{content}, qr/innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(/, 'nothing becomes markup');
$t->finish;
done_testing();
