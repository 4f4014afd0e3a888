#!/usr/bin/perl
# An agent's files by messages: what a run leaves it reads, gives to the next run or to a session, and finds again by the
# status; in both eras, of its tenant alone.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use MIME::Base64 qw(decode_base64);
use Sandbox;
use Sandbox::Mcp;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 1, 'pool.python-basic' => 0 });
$t->start;
my $mcp = Sandbox::Mcp->new($t);
sub tool { my ($name, $arguments, %option) = @_; my $reply = $mcp->call('tools/call', { name => $name, arguments => $arguments }, %option); return $reply->{json}{result} // { refused => $reply } }
sub text { my ($result, $i) = @_; return $result->{content}[$i // 0]{text} // '' }
sub error { my ($result) = @_; return ($result->{isError} ? 'error ' : '') . (exists $result->{structuredContent} ? 'structured' : (text($result) =~ /\A[^\n]*?\((\w+)\)\./)[0] // '') }
sub resource { my ($uri, %option) = @_; return $mcp->call('resources/read', { uri => $uri }, %option)->{json} }

# What a run leaves.
my $run = tool('run_code', { language => 'python', code => <<'PY', files => [{ path => 'in.csv', content => "a,b\n1,2\n" }] });
import os, base64
os.mkdir('d'); open('d/out.txt', 'w').write(open('in.csv').read().upper())
open('dot.png', 'wb').write(base64.b64decode('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII='))
PY
my %file = map { $_->{path} => $_ } @{ $run->{structuredContent}{files} };
is_deeply([sort keys %file], ['d/out.txt', 'dot.png', 'in.csv'], 'a run tells which files it left') or diag explain $run;
is_deeply([map { $_->{mimeType} } grep { $_->{type} eq 'image' } @{ $run->{content} }], ['image/png'], '  and shows the picture');
is(text(tool('read_file', { uri => $file{'d/out.txt'}{uri} })), "A,B\n1,2\n", 'text by its URI');
my $picture = tool('read_file', { uri => $file{'dot.png'}{uri} });
is($picture->{content}[1]{mimeType}, 'image/png', 'a picture by its own');
ok(!exists $picture->{structuredContent}, '  without a structure that clients would take instead');
is(length decode_base64($picture->{content}[1]{data}), $file{'dot.png'}{size}, '  whole');

# To the next run, and to a session.
is(tool('run_code', { language => 'bash', code => 'cat x', files => [{ path => 'x', uri => $file{'d/out.txt'}{uri} }] })->{structuredContent}{stdout}, "A,B\n1,2\n", 'given to another run');
my $id = tool('create_session', { language => 'python', files => [{ path => 'x', uri => $file{'d/out.txt'}{uri} }] })->{structuredContent}{session_id};
is(tool('run_code', { language => 'python', session_id => $id, code => 'print(open("x").read(), end="")' })->{structuredContent}{stdout}, "A,B\n1,2\n", 'to a session');
my $wrote = tool('write_files', { session_id => $id, files => [{ path => "\x{e4} b/f.txt", content => "\x{20ac}" }, { path => 'copy.png', uri => $file{'dot.png'}{uri} }] });
is_deeply([map { $_->{size} } @{ $wrote->{structuredContent}{files} }], [3, $file{'dot.png'}{size}], 'written to it');
is(text(tool('read_file', { uri => $wrote->{structuredContent}{files}[0]{uri} })), "\x{20ac}", '  and read by the URI that was told');
is(text(tool('read_file', { session_id => $id, path => "\x{e4} b/f.txt" })), "\x{20ac}", '  or by the path');
like(text(tool('read_file', { session_id => $id })), qr/^copy\.png  \d+ bytes$/m, 'the working directory');

# As resources, in both eras.
for my $era (qw(modern legacy)) {
    is(resource($file{'d/out.txt'}{uri}, era => $era)->{result}{contents}[0]{text}, "A,B\n1,2\n", "$era: a file of a run");
    is(resource("sandbox://session/$id/%C3%A4%20b/f.txt", era => $era)->{result}{contents}[0]{text}, "\x{20ac}", '  of a session');
    is(resource("sandbox://session/$id/copy.png", era => $era)->{result}{contents}[0]{mimeType}, 'image/png', '  bytes');
    for my $uri (map({ "sandbox://session/$id/$_" } 'none', '../x', '%2e%2e/x', 'a%2fb', 'f%00', 'copy.png/x'), 'sandbox://session/ses_00000000000000000000000000/x', "sandbox://job/$run->{structuredContent}{job_id}/none") {
        my $json = resource($uri, era => $era);
        is("$json->{error}{code} $json->{error}{data}{uri}", ($era eq 'modern' ? -32602 : -32002) . " $uri", "  none: $uri");
    }
}

# Found again.
my $status = tool('status', {});
is($status->{structuredContent}{sessions}[0]{session_id}, $id, 'the status knows the session');
is($status->{structuredContent}{jobs}[-1]{job_id}, $run->{structuredContent}{job_id}, '  and the run');
like(text($status), qr/\Q$run->{structuredContent}{job_id}\E  python, succeeded/, '  as text');
my $complete = sub { return $mcp->call('completion/complete', { ref => { type => 'ref/resource', uri => 'sandbox://session/{session_id}/{+path}' }, argument => { name => 'session_id', value => $_[0] } }, @_[1 .. $#_])->{json}{result}{completion}{values} };
is_deeply($complete->('ses_'), [$id], 'and its id is completed');

# Refused, with what to do.
is(error(tool('read_file', { session_id => $id, path => 'none' })), 'error not_found', 'a file that is not there');
is(error(tool('read_file', { session_id => $id, path => '../x' })), 'error invalid_request', 'a path that is none');
is(error(tool('write_files', { session_id => $id, files => [{ path => 'fine', content => 'x' }, { path => 'copy.png/x', content => 'x' }] })), 'error conflict', 'a file that cannot be written');
like(text(tool('write_files', { session_id => $id, files => [{ path => 'fine', content => 'x' }, { path => 'copy.png/x', content => 'x' }] })), qr{copy\.png/x was not written: .*; written before it: fine}, '  is named, and those before it');
is(error(tool('write_files', { session_id => $id, files => [{ path => 'a', uri => "sandbox://job/$run->{structuredContent}{job_id}/none" }] })), 'error invalid_request', 'a source that is not there');
is(error(tool('run_code', { language => 'bash', code => 'true', files => [{ path => 'a', uri => "sandbox://session/$id/x" }] })), 'error invalid_request', 'a file of a session as input of a run');

# Another tenant.
my %other = (tenant => 'other');
is(error(tool('read_file', { uri => $file{'d/out.txt'}{uri} }, %other)), 'error not_found', "another tenant's run");
is(error(tool('read_file', { session_id => $id, path => 'x' }, %other)), 'error not_found', '  session');
is(error(tool('write_files', { session_id => $id, files => [{ path => 'a', content => 'x' }] }, %other)), 'error not_found', '  to write to');
is(error(tool('run_code', { language => 'bash', code => 'true', files => [{ path => 'a', uri => $file{'d/out.txt'}{uri} }] }, %other)), 'error invalid_request', '  as input');
is(resource($file{'d/out.txt'}{uri}, %other)->{error}{code}, -32602, '  as a resource');
is_deeply($complete->($id, %other), [], '  completed');
unlike(text(tool('status', {}, %other)), qr/ses_|job_/, '  in the status');

is(tool('close_session', { session_id => $id })->{structuredContent}{closed}, JSON::PP::true, 'it is closed');
is(error(tool('read_file', { session_id => $id, path => 'x' })), 'error gone', 'and its files with it');
is(text(tool('read_file', { uri => $file{'d/out.txt'}{uri} })), "A,B\n1,2\n", 'those of the run stay');

$t->finish;
done_testing();
