#!/usr/bin/perl
# What a client may say and when. A client that breaks a rule loses its connection
# and its sandboxes, and nobody else loses anything.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Sandbox::Launch;

my ($HELLO, $CREATE, $ADOPT, $STAT, $DESTROY, $SETTLE, $WALLS, $FREEZE, $THAW, $HASTEN) = (1 .. 10);
my $version = Sandbox::Launch::wire_version();
my $l = Sandbox::Launch->new;
$l->start;
my $witness = $l->client;
my $safe = $witness->create;

sub head { my (%f) = @_; return pack 'SSLQQ', $f{type}, $f{size}, $f{pad} // 0, $f{seq} // 1, $f{sandbox} // 0 }
sub hello { my (%f) = @_; return head(type => $HELLO, size => 32, %f) . pack 'LL', $f{version} // $version, 0 }
sub create { my (%f) = @_; return head(type => $CREATE, size => 96, seq => 2, %f) . ($f{name} // pack 'a32', 'default') . ($f{prepare} // pack 'x32') . pack('LL', $f{isolation} // 1, $f{spare} // 0) }
sub adopt { my (%f) = @_; return head(type => $ADOPT, size => 72, seq => 2, %f) . pack 'QQQQLLQ', 1 << 26, 1 << 26, 1000, 1000, 1000, 10, 0 }
sub hex_of { return unpack 'H*', $_[0] }

# The reply to the last message, then whether the connection is closed.
sub refused {
    my ($name, $expect, @messages) = @_;
    my $c = $l->client;
    my $reply;
    $reply = $c->ask('raw ' . hex_of($_)) for @messages;
    like($reply, $expect, $name);
    is($c->ask('raw ' . hex_of(hello(seq => 99))), 'eof', "$name: closed");
    $c->stop;
}

my $message = qr/^error 71 message$/;
my $state = qr/^error 71 state$/;
refused('one byte', $message, 'x');
refused('a head cut short', $message, substr(hello(), 0, 23));
refused('a hello cut short', $message, substr(hello(), 0, 31));
refused('a hello too long', $message, hello() . 'x');
refused('a hello of 2000 bytes', $message, hello() . 'x' x 2000);
refused('size too small', $message, hello(size => 24));
refused('size too large', $message, hello(size => 33));
refused('size 0', $message, hello(size => 0));
refused('size 65535', $message, hello(size => 65535));
refused("type $_", $message, head(type => $_, size => 24)) for 0, 11, 12, 100, 101, 102, 103, 104, 105, 106, 201, 65535;
refused('seq 0', $message, hello(seq => 0));
refused('another version', qr/^error 71 version$/, hello(version => $version - 1));
refused('a later version', qr/^error 71 version$/, hello(version => $version + 1));
refused('version 0', qr/^error 71 version$/, hello(version => 0));
refused('create before hello', $state, create());
refused('adopt before hello', $state, adopt(sandbox => 1));
refused('stat before hello', $state, head(type => $STAT, size => 24, sandbox => 1));
refused('settle before hello', $state, head(type => $SETTLE, size => 24, sandbox => 1));
refused('freeze before hello', $state, head(type => $FREEZE, size => 24, sandbox => 1));
refused('freeze of an unknown sandbox', $state, hello(), head(type => $FREEZE, size => 24, seq => 2, sandbox => 1));
refused('freeze of the sandbox of another client', $state, hello(), head(type => $FREEZE, size => 24, seq => 2, sandbox => $safe));
refused('thaw of an unknown sandbox', $state, hello(), head(type => $THAW, size => 24, seq => 2, sandbox => 1));
refused('thaw with a body', $message, hello(), head(type => $THAW, size => 32, seq => 2) . 'x' x 8);
refused('hasten before hello', $state, head(type => $HASTEN, size => 24, sandbox => 1));
refused('hasten of nothing', $state, hello(), head(type => $HASTEN, size => 24, seq => 2));
refused('hasten of an unknown sandbox', $state, hello(), head(type => $HASTEN, size => 24, seq => 2, sandbox => 12345));
refused('hasten of the sandbox of another client', $state, hello(), head(type => $HASTEN, size => 24, seq => 2, sandbox => $safe));
refused('hasten with a body', $message, hello(), head(type => $HASTEN, size => 32, seq => 2, sandbox => 1) . 'x' x 8);
refused('a hasten cut short', $message, hello(), substr(head(type => $HASTEN, size => 23, seq => 2, sandbox => 1), 0, 23));
refused("spare $_", $message, hello(), create(spare => $_)) for 2, 256, 0xffffffff;
refused('destroy before hello', $state, head(type => $DESTROY, size => 24, sandbox => 1));
refused('walls before hello', $state, head(type => $WALLS, size => 24));
refused('walls naming a sandbox', $state, hello(), head(type => $WALLS, size => 24, seq => 2, sandbox => $safe));
refused('walls with a body', $message, hello(), head(type => $WALLS, size => 32, seq => 2) . 'x' x 8);
refused('hello twice', $state, hello(), hello(seq => 2));
refused('hello naming a sandbox', $state, hello(sandbox => 5));
refused('seq not rising', $state, hello(seq => 5), create(seq => 5));
refused('seq falling', $state, hello(seq => 5), create(seq => 4));
refused('create naming a sandbox', $state, hello(), create(sandbox => $safe));
refused("isolation $_", $message, hello(), create(isolation => $_)) for 0, 3, 0xffffffff;
refused('a template name without end', $message, hello(), create(name => 'x' x 32));
refused('a language without end', $message, hello(), create(prepare => 'x' x 32));
refused('stat of nothing', $state, hello(), head(type => $STAT, size => 24, seq => 2));
refused('stat of an unknown sandbox', $state, hello(), head(type => $STAT, size => 24, seq => 2, sandbox => 12345));
refused('stat of the highest id', $state, hello(), head(type => $STAT, size => 24, seq => 2, sandbox => ~0));
refused('adopt of an unknown sandbox', $state, hello(), adopt(sandbox => 1));
refused('settle of an unknown sandbox', $state, hello(), head(type => $SETTLE, size => 24, seq => 2, sandbox => 1));
refused('destroy of an unknown sandbox', $state, hello(), head(type => $DESTROY, size => 24, seq => 2, sandbox => 1));
refused('stat of the sandbox of another client', $state, hello(), head(type => $STAT, size => 24, seq => 2, sandbox => $safe));
refused('adopt of the sandbox of another client', $state, hello(), adopt(sandbox => $safe));
refused('settle of the sandbox of another client', $state, hello(), head(type => $SETTLE, size => 24, seq => 2, sandbox => $safe));
refused('destroy of the sandbox of another client', $state, hello(), head(type => $DESTROY, size => 24, seq => 2, sandbox => $safe));
like($witness->sh($safe, 'echo unharmed'), qr/^unharmed$/m, 'the other client is unharmed');

# Unknown templates are an answer, not an offence.
my $c = $l->client;
$c->hello;
$c->{hello} = 1;
for my $name ('nothing', '', '../default', 'default/', 'DEFAULT', 'defaul', 'default2', '/') {
    is($c->ask("create $name"), 'error 2 template', "template '$name' is unknown");
}
my $id = $c->create;
is($c->adopt($id), 'adopted', 'the connection goes on');
is($c->adopt($id), 'error 71 state', 'adopt twice is refused');
is($c->hello, 'eof', 'and closes');
ok($l->wait_until(30, sub { (() = $l->processes) == 1 }), 'and kills');
$c->stop;

$c = $l->client;
$id = $c->create;
$c->destroy($id);
is($c->ask("destroy $id"), 'error 71 state', 'destroy of one destroyed');
$c->stop;
$c = $l->client;
$id = $c->create;
$c->destroy($id);
is($c->ask("stat $id"), 'error 71 state', 'stat of one destroyed');
$c->stop;
$c = $l->client;
$id = $c->create;
$c->destroy($id);
is($c->ask("hasten $id"), 'error 71 state', 'hasten of one destroyed');
$c->stop;
for my $last (qw(adopt settle)) {
    $c = $l->client;
    $id = $c->create;
    $c->adopt($id);
    $c->settle($id) if $last eq 'settle';
    is($c->ask("hasten $id"), 'error 71 state', "hasten of one after $last");
    $c->stop;
}

$c = $l->client;
$id = $c->create;
is($c->ask("settle $id"), 'error 71 state', 'settle of one that is warm');
$c->stop;
$c = $l->client;
$id = $c->create;
$c->adopt($id);
$c->settle($id);
is($c->ask("settle $id"), 'error 71 state', 'settle twice');
$c->stop;
$c = $l->client;
$id = $c->create;
$c->adopt($id);
$c->settle($id);
is($c->adopt($id), 'error 71 state', 'adopt of one that is settled');
$c->stop;

# An id is never given twice, so a late request does not meet a stranger.
$c = $l->client;
my %id;
for (1 .. 200) { $id = $c->create; $id{$id}++; $c->destroy($id) }
is(scalar keys %id, 200, 'ids are not used again');
$c->stop;

# One that asks and never reads is cut off; its memory is bounded.
$c = $l->client;
$id = $c->create;
like($c->ask("flood $id 200000"), qr/^sent=\d+$/, 'a flood of requests nobody reads the answers of');
like($witness->sh($safe, 'echo served'), qr/^served$/m, 'others are served');
$c->stop;
ok($l->wait_until(30, sub { (() = $l->processes) == 1 }), 'it loses its sandbox');

# Too many connections; silent ones.
my @idle = map { $l->client } 1 .. 15;
my $extra = $l->client;
is($extra->hello, 'eof', 'the seventeenth connection is closed');
$_->stop for $extra, @idle;
$c = $l->client;
is($c->hello, "hello version=$version max=128", 'afterwards there is room again');
$c->stop;
# Also when the launcher hears of it all at once.
@idle = map { my $one = $l->client; $one->hello; $one } 1 .. 15;
kill 'STOP', $l->{pid};
$_->stop for @idle;
$c = $l->client;
kill 'CONT', $l->{pid};
is($c->hello, "hello version=$version max=128", 'and at once');
$c->stop;

# Another user.
my $dir = $l->{dir};
chmod 0755, $dir;
chmod 0777, $l->socket;
$l->{as} = ['setpriv', '--reuid', '64999', '--regid', '64999', '--clear-groups'];
$c = $l->client;
is($c->{greeting}, 'ok', 'another user can connect when the file lets him');
is($c->hello, 'eof', 'and is closed before a word');
$c->stop;
delete $l->{as};
$witness->destroy($safe);
$witness->stop;
$l->stop;

# With an executor's user configured root is another user.
$l->start(executor_uid => 64998, executor_gid => 64998);
my @st = stat $l->socket;
is(sprintf('%o %d %d', $st[2] & 07777, $st[4], $st[5]), '660 64998 64998', 'the socket is the executor\'s');
$c = $l->client;
is($c->hello, 'eof', 'root is not the configured user');
$c->stop;
$l->{as} = ['setpriv', '--reuid', '64998', '--regid', '64998', '--clear-groups'];
$c = $l->client;
is($c->hello, "hello version=$version max=128", 'the configured user is served');
$c->{hello} = 1;
$id = $c->create;
like($c->sh($id, 'id -u'), qr/^1000$/m, 'and gets sandboxes');
$c->stop;
like($l->log, qr/"event":"client.refused","reason":"user","uid":0/, 'the refusal is in the log');
$l->finish;
done_testing();
