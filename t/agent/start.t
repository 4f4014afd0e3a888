#!/usr/bin/perl
# When the agent refuses to start.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use File::Temp qw(tempdir);
use Sandbox::Agent;
use Test::More;

my $dir = tempdir(CLEANUP => 1);
my $opt = "$Sandbox::Agent::ROOT/session-agent";
my @user = $> == 0 ? ('--user', '12345:12345') : ();
my %fine = (WORKSPACE_ROOT => $dir, SESSION_AGENT_ADDR => '127.0.0.1:' . Sandbox::Agent::free_port());

sub write_file { my ($name, $text) = @_; open my $out, '>', "$dir/$name" or die $!; print {$out} $text; close $out }

sub refuses {
    my ($what, $env, $args, $why) = @_;
    my ($status, $text) = Sandbox::Agent::start_fails({ %fine, %$env }, @$args);
    is($status, 1, $what);
    like($text, $why, '  and says why');
}

refuses('an unknown option', {}, ['--nonsense'], qr/--nonsense/);
refuses('an option without its value', {}, ['--opt-dir'], qr/--opt-dir/);
refuses('an address without a port', { SESSION_AGENT_ADDR => '127.0.0.1' }, [@user, '--opt-dir', $opt], qr/SESSION_AGENT_ADDR/);
refuses('an address that is a name', { SESSION_AGENT_ADDR => 'localhost:9000' }, [@user, '--opt-dir', $opt], qr/SESSION_AGENT_ADDR/);
refuses('a workspace that is not there', { WORKSPACE_ROOT => "$dir/none" }, [@user, '--opt-dir', $opt], qr/WORKSPACE_ROOT/);
refuses('a relative workspace', { WORKSPACE_ROOT => 'ws' }, [@user, '--opt-dir', $opt], qr/WORKSPACE_ROOT/);
refuses('no registry', {}, [@user, '--opt-dir', $dir], qr/runtimes\.json/);
write_file('runtimes.json', '{"runtimes":[{"name":"x","argv":["sh"],"source":"m"}]}');
refuses('a bad registry', {}, [@user, '--opt-dir', $dir], qr{runtimes\.json: /runtimes/0});
refuses('bypass in production', { SESSION_AGENT_AUTH_BYPASS => 1, ENV => 'production' }, [@user, '--opt-dir', $opt], qr/BYPASS/);
refuses('bypass without ENV', { SESSION_AGENT_AUTH_BYPASS => 'true' }, [@user, '--opt-dir', $opt], qr/BYPASS/);
refuses('bypass with an unknown ENV', { SESSION_AGENT_AUTH_BYPASS => 'on', ENV => 'DEV' }, [@user, '--opt-dir', $opt], qr/BYPASS/);
refuses('bypass that is neither yes nor no', { SESSION_AGENT_AUTH_BYPASS => 'maybe', ENV => 'dev' }, [@user, '--opt-dir', $opt], qr/BYPASS/);
refuses('inside without its descriptors', {}, ['--inside', '--opt-dir', $opt], qr/descriptors/);
if ($> == 0) {
    refuses('root without a user for the code', {}, ['--opt-dir', $opt], qr/--user/);
    for my $user ('0:0', '1000:0', '0:1000', '1000', '1000:', ':1000', 'root', '-1:1000', '4294967295:1') {
        refuses("the user '$user'", {}, ['--user', $user, '--opt-dir', $opt], qr/--user/);
    }
}
my ($status, $text) = Sandbox::Agent::start_fails({}, '--help');
is($status, 0, 'help');
like($text, qr/^usage: session-agent/, '  is a usage');
($status, $text) = Sandbox::Agent::start_fails({}, '--version');
is($status, 0, 'version');
like($text, qr/^session-agent \d/, '  is a number');
done_testing();
