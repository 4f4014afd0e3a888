#!/usr/bin/perl
# FREEZE stops each process of a sandbox where it is, THAW lets it go on, and what is frozen can be ended.
use strict;
use warnings;
use Test::More;
use Time::HiRes 'sleep';
use lib 't/lib';
use Sandbox::Launch;

use constant { TIME => 5 };

my $l = Sandbox::Launch->new;
$l->start;
my $c = $l->client;

# The processor time that it used so far, by the kernel's count; a frozen one uses none.
sub used { my ($id) = @_; return $c->stat($id)->{cpu_ms} }

my $id = $c->create;
is($c->adopt($id, cpu_ms => 60000, processes => 200), 'adopted', 'a sandbox');
is($c->thaw($id)->{what}, 'stats', 'thawing what was never frozen is no error');
$c->tell($id, 'bg while :; do :; done');
ok($l->wait_until(30, sub { used($id) > 50 }), 'something runs in it');
is($c->freeze($id)->{what}, 'stats', 'it is frozen');
is($c->freeze($id)->{running}, 1, 'twice');
my $still = used($id);
ok($l->wait_until(30, sub { my $was = $still; $still = used($id); sleep 0.2; return used($id) == $was }), 'and its processor time stands still');
is($c->thaw($id)->{what}, 'stats', 'it is thawed');
ok($l->wait_until(30, sub { used($id) > $still + 50 }), 'and goes on');
like($c->sh($id, 'echo alive'), qr/^alive$/m, 'its agent answers');

# What forks all the time does not get away: its children are where it is.
$c->tell($id, 'bg while :; do (sleep 0.001; sleep 0.001) & (:) & wait; done');
ok($l->wait_until(30, sub { used($id) > $still + 200 }), 'something forks in it');
is($c->freeze($id)->{what}, 'stats', 'and is frozen');
ok($l->wait_until(30, sub { my $was = $still; $still = used($id); sleep 0.2; return used($id) == $was }), 'all of it');
is($c->destroy($id)->{what}, 'destroyed', 'what is frozen is destroyed');
is(scalar($l->slots), 0, 'and leaves no group');

# Its clocks go on.
$id = $c->create;
$c->adopt($id, wall_ms => 300);
$c->freeze($id);
my $r = $c->ended;
is("$r->{what} $r->{verdict} $r->{signal}", 'ended ' . TIME . ' 9', 'a frozen one is ended by its time');
is($c->freeze($id)->{running}, 0, 'one that ended can be told to freeze');
is($c->thaw($id)->{running}, 0, 'and to thaw');
$c->destroy($id);

# A launcher that was killed leaves frozen ones to the next.
$id = $c->create;
$c->adopt($id);
$c->tell($id, 'bg sleep 100');
$c->freeze($id);
is($l->stop('KILL'), 9, 'the launcher is killed');
$l->start;
$c = $l->client;
is(scalar($l->slots), 0, 'the next one clears them up');
ok($l->wait_until(30, sub { !$l->processes }), 'and no process is left');
$id = $c->create;
is($c->adopt($id), 'adopted', 'the slot is as good as before');
$c->freeze($id);
$c->stop;
ok($l->wait_until(30, sub { !$l->slots }), 'a client that leaves takes its frozen one along');

$l->finish;
done_testing;
