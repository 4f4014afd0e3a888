#!/usr/bin/perl
# What the product's catalogue tells agents: short, under names that every client takes, and nothing of a test's.
use strict;
use warnings;
use Test::More;
use FindBin;
use JSON::PP;

chdir "$FindBin::Bin/../.." or die $!;

sub catalogue {
    my ($file) = @_;
    open my $in, '<:raw', $file or die "$file: $!";
    local $/;
    return JSON::PP->new->utf8->decode(<$in>);
}

my $catalogue = catalogue('conf/gateway/mcp.json');
my @tools = @{ $catalogue->{tools} };
is_deeply([sort map { $_->{name} } @tools],
    [qw(cancel_job close_session create_session get_job read_file run_code status write_files)], 'the tools of the product');

for my $tool (@tools) {
    like($tool->{name}, qr{\A[A-Za-z0-9_.-]{1,64}\z}, "$tool->{name}: a name that every client takes");
    my $words = () = $tool->{description} =~ /\S+/g;
    cmp_ok($words, '<=', 90, "$tool->{name}: $words words");
    ok($tool->{title}, "$tool->{name}: has a title");
    ok(defined $tool->{annotations}{$_}, "$tool->{name}: says $_")
        for qw(readOnlyHint idempotentHint openWorldHint), $tool->{annotations}{readOnlyHint} ? () : 'destructiveHint';
    ok(!grep({ $tool->{inputSchema}{$_} } qw(allOf anyOf oneOf not if $ref)), "$tool->{name}: a schema that models' interfaces take");
}
my $lines = () = $catalogue->{instructions} =~ /^./mg;
cmp_ok($lines, '<=', 12, "instructions have $lines lines");
unlike(JSON::PP->new->canonical->encode($catalogue), qr/\btest_|fixture|conformance/, 'nothing of a test');

# What is told of results is what the API's description says, to which replies are held.
my $openapi = catalogue('docs/openapi.json');
my %answer = (
    (map { $_ => 'ToolRun' } qw(run_code get_job cancel_job)), (map { $_ => 'ToolSession' } qw(create_session close_session)),
    write_files => 'WrittenFiles', status => 'Status'
);

sub resolve {
    my ($schema) = @_;
    $schema = $openapi->{components}{schemas}{$1} while ($schema->{'$ref'} // '') =~ m{\A#/components/schemas/(\w+)\z};
    return $schema;
}

# The names that a result of ours may have, and must, are those of theirs; within objects and arrays as well.
sub compare {
    my ($where, $ours, $theirs) = @_;
    $theirs = resolve($theirs);
    my @wrong;
    for my $name (sort keys %{ $ours->{properties} // {} }) {
        my ($inner) = grep { defined } map { resolve($_)->{properties}{$name} } $theirs, @{ $theirs->{anyOf} // [] };
        push @wrong, $inner ? compare("$where/$name", $ours->{properties}{$name}, $inner) : "$where/$name";
    }
    my %required = map { $_ => 1 } @{ $theirs->{required} // [] };
    push @wrong, map { "$where/$_ is not required" } grep { !$required{$_} } @{ $ours->{required} // [] };
    push @wrong, compare("$where/0", $ours->{items}, $theirs->{items}) if $ours->{items};
    push @wrong, "$where: other words" if $ours->{enum} && "@{[sort @{ $ours->{enum} }]}" ne "@{[sort @{ $theirs->{enum} // [] }]}";
    return @wrong;
}
for my $tool (@tools) {
    is(defined $tool->{outputSchema}, defined $answer{ $tool->{name} }, "$tool->{name}: has data, or none") or next;
    next unless $tool->{outputSchema};
    is_deeply([compare('', $tool->{outputSchema}, $openapi->{components}{schemas}{ $answer{ $tool->{name} } })],
        [], "$tool->{name}: results as they are");
}

# Where the calls lead: each place is a location of mcp.conf, for the tool whose call it is, and each location has a call.
my %location;
{
    open my $in, '<', 'conf/gateway/mcp.conf' or die "mcp.conf: $!";
    my $name;
    while (my $line = <$in>) {
        $name = $1, $location{$name} = {} if $line =~ /^location = (\S+) \{/;
        $location{$name}{tool} = $1 if $line =~ /^\s+sandbox_tool (\w+)/;
        $location{$name}{call} = 1 if $line =~ /^\s+include mcp_call\.conf;/;
    }
}
my %used;

sub backends {
    my ($json) = @_;
    return map { backends($_) } @$json if ref $json eq 'ARRAY';
    return () unless ref $json eq 'HASH';
    return $json if exists $json->{location};
    return map { backends($json->{$_}) } sort keys %$json;
}
for my $tool (@tools) {
    for my $backend (backends($tool->{backend})) {
        is($location{ $backend->{location} }{tool}, $tool->{name}, "$backend->{location} is $tool->{name}'s");
    }
}
for my $backend (backends($catalogue)) {
    $used{ $backend->{location} } = 1;
    ok($location{ $backend->{location} }{call}, "$backend->{location} $backend->{path} is a place for calls");
}
is_deeply([sort keys %used], [sort keys %location], 'no location without a call');
open my $call, '<', 'conf/gateway/mcp_call.conf' or die "mcp_call.conf: $!";
ok(scalar(grep { /^internal;$/ } <$call>), 'none of which a client can ask for');

done_testing();
