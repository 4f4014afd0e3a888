#!/usr/bin/perl
# The cross-tenant matrix of sessions and what is in them: every route under another tenant's session, step, context,
# process, file or artifact answers byte for byte as under one that nobody has, and moves nothing.
# alone: it compares times
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox;
use Sandbox::Tenants;
use Test::More;

my $JSON = JSON::PP->new->canonical->utf8->allow_nonref;
# An event of what a live session used would come between counters that are compared.
my $t = Sandbox->new(executor => { 'pool.default' => 3, 'limits.max_running' => 4, 'usage.interval' => '1h' });
$t->start(gateway => { Sandbox::Tenants::quiet() });

my %owner = (tenant => 'acme');
my %mallory = (tenant => 'mallory');
sub create {
    my ($who, %more) = @_;
    my $reply = $t->request('POST', '/v1/sessions', json => { language => 'bash', metadata => { case => 'hidden' }, files => [{ path => 'a.txt', content => 'secret' }], %more }, %$who);
    is($reply->{status}, 201, "$who->{tenant} has a session") or BAIL_OUT($reply->{content});
    return $reply->{json}{session_id};
}
sub step { my ($who, $session, $code, %more) = @_; return $t->request('POST', "/v1/sessions/$session/steps", json => { code => $code, %more }, %$who)->{json} }

# What the owner has.
my %routed = map { $_->{pattern} => 1 } Sandbox::Tenants::routes();
my $pauses = $routed{'/v1/sessions/{id}/pause'};
my $runs = $routed{'/v1/sessions/{id}/processes'};
my %session = (running => create(\%owner), ended => create(\%owner), $pauses ? (paused => create(\%owner)) : ());
my %step = map { $_ => step(\%owner, $session{$_}, 'echo secret; secret=hidden')->{step_id} } sort keys %session;
like($step{$_}, qr/^stp_/, "a step in one that is $_") for sort keys %step;
is($t->request('POST', "/v1/sessions/$session{paused}/pause", %owner)->{status}, 200, 'one is paused') if $pauses;
is($t->request('DELETE', "/v1/sessions/$session{ended}", %owner)->{status}, 200, 'one has ended');
my $process = $runs ? $t->request('POST', "/v1/sessions/$session{running}/processes", json => { argv => ['sleep', '600'] }, %owner)->{json}{process_id} : 'prc_01m7yep0vh3nhv2pk7vh28r48r';
like($process, qr/^prc_/, 'a command runs in the first');
my $artifact = $t->request('POST', '/v1/artifacts?name=secret.txt', body => 'secret', %owner, headers => { 'Content-Type' => 'text/plain' })->{json}{artifact_id};
like($artifact, qr/^art_/, 'and there is an artifact');
my $mine = create(\%mallory);

# Each route with an id in it, as executord has it, with each of its methods and some more.
my %body = ('/steps' => { code => 'true' }, '/contexts' => { name => 'x', language => 'bash' }, '/processes' => { argv => ['true'] }, '/execute' => { code => 'true' }, '/signal' => { signal => 'SIGTERM' },
            '/resize' => { rows => 5, cols => 5 }, '/mkdir' => { path => 'x' }, '/move' => { from => 'a.txt', to => 'b.txt' }, '/artifacts' => { patterns => ['*'] }, '/url' => { expires_in => '60s' });
my %query = ('/stat' => '?path=a.txt', '/archive' => '?path=', '/watch' => '?path=', '/stdin' => '?eof=true');
my @routes = grep { $_->{pattern} =~ m{/(?:sessions|artifacts)/\{id\}} && $_->{pattern} !~ m{^/v1/jobs} } Sandbox::Tenants::routes();
cmp_ok(scalar @routes, '>=', 21, scalar(@routes) . ' routes have an id');
my @asks;
for my $route (@routes) {
    my ($last) = $route->{pattern} =~ m{(/[a-z]+)$};
    my $path = $route->{pattern} =~ s/\{id\}/ID/r =~ s/\{(?:sub|step|process|name)\}/SUB/r =~ s/\{path\}/a.txt/r;
    my $query = $query{ $last // '' } // '';
    my $body = $JSON->encode($body{ $last // '' } // ($path =~ /ID$/ ? { ttl => '1m' } : {}));
    my %seen;
    for my $method (grep { !$seen{$_}++ } @{ $route->{methods} }, qw(GET POST DELETE PUT)) {
        my $sends = $method =~ /^(?:POST|PUT|PATCH)$/;
        push @asks, { method => $method, path => "$path$query", $sends ? (body => $body) : () };
    }
    push @asks, map { { method => 'GET', path => "$path$query", headers => {@$_} } } [Accept => 'text/event-stream'], [Range => 'bytes=0-0'], ['If-None-Match' => '*'], ['If-Match' => '"x"'], ['Last-Event-ID' => '1'];
    push @asks, { method => 'GET', path => $path . ($query eq '' ? '?' : "$query&") . 'unknown=1' }, { method => 'POST', path => "$path$query", body => $body, headers => { 'Idempotency-Key' => 'k' } };
    push @asks, { method => 'PUT', path => "$path$query", body => 'x', headers => { 'Content-Range' => 'bytes 0-0/1', 'If-Match' => '*' } };
}

my ($n_asked, @differ, @shown);
sub compare {
    my ($where, $ask, $foreign, $none, $what) = @_;
    my @shape;
    for my $ids ($foreign, $none) {
        my $path = $ask->{path} =~ s/ID/$ids->[0]/r =~ s/SUB/$ids->[1]/r;
        my $began = time;
        my $reply = Sandbox::Tenants::send($t, $where, { %$ask, path => $path }, \%mallory);
        push @shown, "$what: no answer, or none for long" if !Sandbox::Tenants::status($reply) || time - $began > 5;
        my $shape = Sandbox::Tenants::shape($reply, $ids->[0]);
        $shape =~ s/\Q$ids->[1]\E/SUB/gi;
        push @shape, $shape;
        push @shown, "$what: " . Sandbox::Tenants::status($reply) if Sandbox::Tenants::status($reply) < 400;
        push @shown, "$what: $1" if $reply =~ /(secret|hidden|gone|paused|expires_at)/i;
        $n_asked++;
    }
    push @differ, "$what\n$shape[0]\n-- unknown --\n$shape[1]" if $shape[0] ne $shape[1];
}
my $unknown_session = Sandbox::Tenants::unknown($session{running});
for my $where (qw(gateway executor)) {
    # Another's session, and what is in it.
    for my $state (sort keys %session) {
        ($n_asked, @differ, @shown) = (0);
        for my $ask (grep { $_->{path} !~ m{^/v1/artifacts} } @asks) {
            for my $sub ($ask->{path} =~ /SUB/ ? ($ask->{path} =~ /processes/ ? $process : $step{$state}, 'main', 'x') : 'none') {
                compare($where, $ask, [$session{$state}, $sub], [$unknown_session, $sub], "$where, $state: $ask->{method} $ask->{path}");
            }
        }
        is(scalar @differ, 0, "$where, $state: $n_asked requests, answered as for unknown ids") or diag join "\n====\n", @differ[0 .. ($#differ < 2 ? $#differ : 2)];
        is_deeply(\@shown, [], 'nothing is shown') or diag explain \@shown;
    }
    # Another's artifact.
    ($n_asked, @differ, @shown) = (0);
    compare($where, $_, [$artifact, 'none'], [Sandbox::Tenants::unknown($artifact), 'none'], "$where: $_->{method} $_->{path}") for grep { $_->{path} =~ m{^/v1/artifacts} } @asks;
    is(scalar @differ, 0, "$where, artifact: $n_asked requests, answered as for unknown ids") or diag join "\n====\n", @differ[0 .. ($#differ < 2 ? $#differ : 2)];
    is_deeply(\@shown, [], 'nothing is shown') or diag explain \@shown;
    # One's own session does not lead to another's steps and commands.
    ($n_asked, @differ, @shown) = (0);
    for my $ask (grep { $_->{path} =~ m{^/v1/sessions/ID/(?:steps|processes)/SUB} } @asks) {
        my $sub = $ask->{path} =~ /processes/ ? $process : $step{running};
        compare($where, $ask, [$mine, $sub], [$mine, Sandbox::Tenants::unknown($sub)], "$where, own: $ask->{method} $ask->{path}");
    }
    is(scalar @differ, 0, "$where, by a session of one's own: $n_asked requests") or diag join "\n====\n", @differ[0 .. ($#differ < 2 ? $#differ : 2)];
    is_deeply(\@shown, [], 'nothing is shown') or diag explain \@shown;
    # Ids of one kind where another is meant.
    for my $path ("/v1/sessions/$artifact", "/v1/artifacts/$session{running}", "/v1/jobs/$session{running}", "/v1/sessions/$session{running}/steps/$process", "/v1/sessions/$mine/processes/$step{running}") {
        is(Sandbox::Tenants::status(Sandbox::Tenants::send($t, $where, { method => 'GET', path => $path }, \%mallory)), 404, "$where: $path is nothing");
    }
}

# Nothing else moves either: counters and records are the same as for unknown ids.
sub batch {
    my ($where, $session, $artifact) = @_;
    my @before = (Sandbox::Tenants::counters($t, 'executor'), scalar Sandbox::Tenants::records($t));
    for my $ask (@asks) {
        my $id = $ask->{path} =~ m{^/v1/artifacts} ? $artifact : $session;
        Sandbox::Tenants::send($t, $where, { %$ask, path => $ask->{path} =~ s/ID/$id/r =~ s/SUB/$step{running}/r }, \%mallory);
    }
    my @after = (Sandbox::Tenants::counters($t, 'executor'), scalar Sandbox::Tenants::records($t));
    return { moved => Sandbox::Tenants::moved($before[0], $after[0]), records => $after[1] - $before[1] };
}
for my $where (qw(gateway executor)) {
    batch($where, map { Sandbox::Tenants::unknown($_) } $session{running}, $artifact);    # what happens only the first time
    my $foreign = batch($where, $session{running}, $artifact);
    my $none = batch($where, map { Sandbox::Tenants::unknown($_) } $session{running}, $artifact);
    is_deeply($foreign, $none, "$where: counters and records move alike") or diag explain [$foreign, $none];
    ok(scalar(keys %{ $foreign->{moved} }), 'and some do');
}

# Listings and what is shared by nobody.
for my $path ('/v1/sessions', '/v1/sessions?limit=100', '/v1/sessions?status=running', '/v1/sessions?metadata.case=hidden', '/v1/artifacts', '/v1/artifacts?limit=100') {
    my $content = $t->request('GET', $path, %mallory)->{content};
    my @found = grep { $content =~ /\Q$_\E/ } values %session, values %step, $process, $artifact;
    is_deeply(\@found, [], "$path of mallory shows none of acme's");
}

# The owner has all of it as before, whatever app and agent it comes as.
my %state = (running => 'running', paused => 'paused', ended => 'ended');
is($t->request('GET', "/v1/sessions/$session{$_}", %owner, app => 'other', agent => 'someone', sub => 'else')->{json}{status}, $state{$_}, "$_ still") for sort keys %session;
is(step(\%owner, $session{running}, 'echo $secret; cat a.txt')->{stdout}, "hidden\nsecret", 'with its state and its file');
is($t->request('GET', "/v1/sessions/$session{running}/processes/$process", %owner)->{json}{status}, 'running', 'the command runs') if $runs;
is($t->request('GET', "/v1/artifacts/$artifact/content", %owner)->{content}, 'secret', 'the artifact is there');
is($t->request('GET', "/v1/sessions/$session{ended}/steps/$step{ended}", %owner)->{json}{stdout}, "secret\n", 'and what the ended one said');

$t->request('DELETE', "/v1/sessions/$_", %owner) for grep { defined } @session{qw(running paused)};
$t->request('DELETE', "/v1/sessions/$mine", %mallory);
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
