#!/usr/bin/perl
# The reader of policies against their JSON Schema, over generated and broken documents.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;

chdir "$FindBin::Bin/../.." or die $!;
my $python = $ENV{SANDBOX_PYTHON} or die "run by t/run-extra\n";
my $reader = 'build/' . ($ENV{SANDBOX_VARIANT} || 'release') . '/t/tool/policy_read';
open my $out, '-|', $python, 't/extra/policy_schema.py', 'policies/policy.schema.json', $reader, 'policies/default.json',
    glob 'policies/tests/*.json' or die $!;
my $found = decode_json(do { local $/; <$out> } || '{}');
ok(close $out, 'compared') or BAIL_OUT('policy_schema.py failed');

my @wrong = @{ $found->{wrong} };
my $show = sub { diag explain $_ for splice @_, 0, 5 };
my @loose = grep { !$_->{schema} } @wrong;
my @strict = grep { $_->{schema} && $_->{reader} ne 'ok' } @wrong;
my @missed = grep { $_->{schema} && $_->{reader} eq 'ok' } @wrong;
is(@loose, 0, 'the reader accepts nothing that the schema refuses') or $show->(@loose);
is(@strict, 0, 'what it refuses beyond the schema is of the documented kinds') or $show->(@strict);
is(@missed, 0, 'and all of these are refused') or $show->(@missed);
is($found->{n_wrong}, 0, 'nothing more is wrong');

cmp_ok($found->{documents}, '>=', 3000, 'documents');
my $count = $found->{count};
cmp_ok($count->{'accepted by both'} // 0, '>=', 300, 'accepted by both');
cmp_ok($count->{'refused by both'} // 0, '>=', 1000, 'refused by both');
cmp_ok($count->{'refused by the reader alone'} // 0, '>=', 300, 'refused by the reader alone');
cmp_ok($found->{kinds}{$_} // 0, '>=', 20, "$_: cases")
    for 'default above max', 'default weaker than minimum', 'text out of bounds', 'not whole', 'integer with a point';
done_testing();
