#!/usr/bin/perl
# The isolation tier at the edge: what the policy demands is signed, what is below it is refused before anybody sees it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Front;
use Test::More;

my $t = Sandbox::Front->new;
my $dir = $t->policies(
    'default' => {},
    'tenants/strict' => { isolation => { minimum => 'gvisor' } },
    'tenants/strict/apps/soft' => { isolation => { minimum => 'process', default => 'process' } },
    'tenants/mild' => { isolation => { minimum => 'process' } },
    'tenants/mild/agents/careful' => { isolation => { minimum => 'gvisor' } },
    'tenants/careful' => { isolation => { default => 'gvisor' } },
);
my $locations = 'location = /v1/jobs { sandbox_policy body; client_max_body_size 1m; proxy_pass http://up$sandbox_uri; }';
$t->start_front("sandbox_policy_dir $dir;", locations => $locations);

sub ask {
    my ($tier, %who) = @_;
    my @tier = @$tier ? (isolation => $tier->[0]) : ();
    return $t->request('POST', '/v1/jobs', json => { language => 'bash', code => 'x', @tier }, app => undef, agent => undef, %who);
}

# Default and minimum of the signed context; '-' is absent.
sub signed {
    my $context = $t->open_context(ask(@_)->{json}{sandbox_context}) or return 'none';
    return join ' ', map { $context->{$_} // '-' } qw(iso iso_min);
}

my %strict = (tenant => 'strict');
is(signed([], tenant => 'nobody'), '- -', 'nothing is demanded');
is(signed([undef], tenant => 'nobody'), '- -', 'null is nothing');
is(signed(['gvisor'], tenant => 'nobody'), 'gvisor -', 'what is asked for');
is(signed([], %strict), 'gvisor gvisor', 'a minimum');
is(signed(['gvisor'], %strict), 'gvisor gvisor', 'asked for as well');
is(signed([], %strict, app => 'soft'), 'gvisor gvisor', 'an app cannot soften it');
is(signed([], tenant => 'mild'), 'process process', 'the weakest minimum is one');
is(signed([], tenant => 'mild', agent => 'careful'), 'gvisor gvisor', 'an agent of its own');
is(signed([], tenant => 'careful'), 'gvisor -', 'a default');
is(signed(['process'], tenant => 'careful'), 'process -', 'is no minimum');

for my $who ([ 'the tenant', %strict ], [ 'its app', %strict, app => 'soft' ], [ 'its unknown agent', %strict, agent => 'other' ],
             [ 'a careful agent', tenant => 'mild', agent => 'careful' ]) {
    my ($name, %who) = @$who;
    my $reply = ask(['process'], %who);
    is($reply->{status}, 403, "$name asks for less");
    is_deeply($reply->{json}{violations}, [ { rule => 'isolation.minimum', limit => 'gvisor', observed => 'process',
                                              hint => 'ask for gvisor, or leave isolation out' } ], 'and is told');
}
for my $bad ('vm', '', 'GVISOR', 'gvisor ', "gvisor\x{e9}", 1, [], ['gvisor'], {}, { minimum => 'gvisor' }, JSON::PP::true) {
    for my $who ([ tenant => 'nobody' ], [ %strict ]) {
        my $reply = ask([$bad], @$who);
        is("$reply->{status} " . ($reply->{json}{errors}[0]{field} // ''), '422 /isolation', 'no tier: ' . (ref $bad || "'" . ($bad =~ s/[^ -~]/?/gr) . "'"));
    }
}
is($t->request('POST', '/v1/jobs', body => '{"language":"bash","code":"x","isolation":"gvisor","isolation":"process"}',
               headers => { 'Content-Type' => 'application/json' }, %strict, app => undef, agent => undef)->{status}, 400, 'a tier said twice');

$t->finish;
done_testing();
