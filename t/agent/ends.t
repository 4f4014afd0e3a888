#!/usr/bin/perl
# A conversation with every kind of operation under way ends by the agent's end, the executor's, or the session's.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox::Agent;
use Sandbox::Mux;
use Test::More;

my %endless = (
    python => "print('in', flush=True)\nwhile True: print('y' * 100000)",
    bash => 'echo in; sleep 996 & sleep 996',
    javascript => 'console.log("in"); while (1);',
);

for my $how ('the agent ends', 'the executor leaves', 'the session is deleted') {
    my $agent = Sandbox::Agent->new;
    $agent->session('python');
    my $mux = Sandbox::Mux->attach($agent);
    my @loud;
    for my $language (sort keys %endless) {
        $mux->ask({ op => 'context', name => $language, language => $language });
        my $channel = $mux->open({ op => 'step', context => $language, id => 'a', timeout_ms => 60000 });
        $channel->{hoard} = 1;
        push @loud, $channel->data($endless{$language})->shut;
    }
    push @loud, $mux->open({ op => 'exec', shell => 'echo in; cat; sleep 996', stdin => JSON::PP::true });
    my @quiet = (
        $mux->open({ op => 'exec', argv => ['bash'], stdin => JSON::PP::true, pty => { rows => 24, cols => 80 } }),
        $mux->open({ op => 'fs.watch', path => '', recursive => JSON::PP::true }),
        $mux->open({ op => 'fs.write', path => 'x', mode => 'replace' })->data('abc'),
        $mux->open({ op => 'context', name => 'new', language => 'python' }),
    );
    ok($mux->wait(sub { !grep { !length $_->{out}[1] } @loud }), "$how: all is under way");
    ok(!grep({ $_->{ended} } @loud), 'and goes on');
    $mux->close if $how eq 'the executor leaves';
    is($agent->close_session->{status}, 204, 'deleted') if $how eq 'the session is deleted';
    $agent->finish;
    is(scalar $agent->processes("sleep\0" . '996'), 0, 'nothing is left running');
}

# The session is deleted while its conversation closes. Which instant the request meets is by chance: so many of them.
my $agent = Sandbox::Agent->new;
my @status;
for (1 .. 200) {
    $agent->session('bash');
    Sandbox::Mux->attach($agent)->close;
    push @status, $agent->close_session->{status};
}
is_deeply([grep { $_ != 204 } @status], [], 'deleted as the conversation ends');
$agent->finish;
done_testing();
