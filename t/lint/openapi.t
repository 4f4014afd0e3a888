#!/usr/bin/perl
# docs/openapi.json says what the code does: the same paths, methods, parameters, scopes, bodies and problem codes, both ways, and
# the gateway routes each of its paths.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use Test::More;

chdir "$FindBin::Bin/../.." or die $!;

sub slurp { my ($file) = @_; open my $in, '<', $file or die "$file: $!"; local $/; return scalar <$in> }

my $text = slurp('docs/openapi.json');
my $document = eval { JSON::PP->new->utf8->decode($text) } or BAIL_OUT("docs/openapi.json: $@");
my %paths = %{ $document->{paths} };
is($document->{openapi}, '3.1.0', 'OpenAPI 3.1');

# Its own order.
sub at { my ($pointer) = @_; my $value = $document; $value = ref $value eq 'HASH' ? $value->{$_} : undef for split m{/}, $pointer =~ s{^#/}{}r; return $value }
my %ref = map { $_ => 1 } $text =~ /"\$ref": "([^"]+)"/g;
is_deeply([grep { !defined at($_) } sort keys %ref], [], 'references lead somewhere');
my @unused;
for my $kind (qw(schemas parameters headers)) {
    push @unused, grep { !$ref{"#/components/$kind/$_"} } sort keys %{ $document->{components}{$kind} };
}
is_deeply(\@unused, [], 'each component is used');

my (%operation, @wrong);
my %tag = map { $_->{name} => 1 } @{ $document->{tags} };
for my $path (sort keys %paths) {
    for my $method (sort keys %{ $paths{$path} }) {
        my $operation = $paths{$path}{$method};
        my @parameters = map { $_->{'$ref'} ? at($_->{'$ref'}) : $_ } @{ $operation->{parameters} || [] };
        $operation{ uc($method) . " $path" } = { %$operation, all => \@parameters };
        my @named = sort map { $_->{name} } grep { $_->{in} eq 'path' } @parameters;
        my @wanted = sort $path =~ /\{(\w+)\}/g;
        push @wrong, "$method $path: parameters of the path" if "@named" ne "@wanted";
        push @wrong, "$method $path: no summary" unless $operation->{summary};
        push @wrong, "$method $path: tag" if grep { !$tag{$_} } @{ $operation->{tags} || [''] };
        push @wrong, "$method $path: no answer that is good" unless grep { /^[12]/ } keys %{ $operation->{responses} };
        for my $status (sort keys %{ $operation->{responses} }) {
            my $answer = $operation->{responses}{$status};
            push @wrong, "$method $path: $status" if $status =~ /^[45]/ && $status ne '426' && !$answer->{content} && ($answer->{'$ref'} // '') ne "#/components/responses/Problem$status";
        }
    }
}
is_deeply(\@wrong, [], 'operations are whole');
my %id;
$id{ $_->{operationId} // '' }++ for values %operation;
is_deeply([grep { $id{$_} != 1 || $_ eq '' } sort keys %id], [], 'each has a name of its own');

# routes.c.
my ($table) = slurp('executor/api/routes.c') =~ /struct route routes\[\] = \{(.*?)\n\};/s or die 'no table of routes';
my (%route, %differs);
sub differs { my ($what, @more) = @_; push @{ $differs{$what} }, join ' ', @more; return }
while ($table =~ /\{ "(\/[^"]*)", "([A-Z, ]+)", (true|false),(.*?)(?=\n    \{ "\/|\z)/sg) {
    my ($path, $allow, $open, $methods) = ($1, $2, $3 eq 'true', $4);
    while ($methods =~ /\{ "([A-Z]+)", "([\w.]+)", (?:"([\w:]+)"|NULL), (\w+), \w+, (true|false),\s+(?:"([^"]*)"|NULL)/sg) {
        my ($method, $called, $scope, $handler, $json, $query) = ($1, $2, $3, $4, $5 eq 'true', $6);
        my $name = "$method $path";
        $route{$name} = $called;
        my $operation = $operation{$name} or next;
        differs('scopes', $name) if ($operation->{'x-scope'} // '') ne ($scope // '') || (defined $scope && $operation->{description} !~ /`\Q$scope\E`/);
        differs('routes without a token', $name) if $open != (ref $operation->{security} eq 'ARRAY' && !@{ $operation->{security} });
        differs('bodies of JSON', $name) if $json != !!($operation->{requestBody} && $operation->{requestBody}{content}{'application/json'});
        differs('HEAD', $name) if $method eq 'GET' && ($allow =~ /HEAD/ ? 1 : 0) == ($operation->{'x-no-head'} ? 1 : 0);
        next unless defined $query;
        my @documented = sort map { $_->{name} =~ s/^metadata\..*/metadata./r } grep { $_->{in} eq 'query' } @{ $operation->{all} };
        my @taken = sort split ' ', $query;
        differs('parameters of the query', "$name: code @taken, document @documented") if "@documented" ne "@taken";
    }
}
cmp_ok(scalar keys %route, '>=', 60, 'routes were read');
is_deeply([grep { !$operation{$_} } sort keys %route], [], 'each route is documented');
is_deeply($differs{$_} // [], [], $_) for 'scopes', 'routes without a token', 'bodies of JSON', 'HEAD', 'parameters of the query';

# The gateway. What executord does not serve it serves itself, at a place made for that.
my $conf = slurp('conf/gateway/locations.conf');
my (%exact, @prefix, @pattern);
while ($conf =~ /^location\s+(?:(=|\^~|~)\s+)?("[^"]+"|[^\s"]+)\s*\{(.*?)^\}/msg) {
    my ($kind, $what, $body) = ($1 // '', $2, $3);
    $what =~ s/^"|"$//g;
    next if $body =~ /^\s*internal;/m || $what eq '/';
    if ($kind eq '=') { $exact{$what} = $body } elsif ($kind eq '~') { push @pattern, [qr/$what/, $body] } else { push @prefix, [$what, $body] }
}
# The block that nginx takes for it: the path itself, a prefix (all here are ^~) with its own patterns first, a pattern.
sub location {
    my ($asked) = @_;
    return $exact{$asked} if $exact{$asked};
    for my $prefix (grep { index($asked, $_->[0]) == 0 } @prefix) {
        my %inner = $prefix->[1] =~ /^    location ~ "([^"]+)" \{(.*?)^    \}/msg;
        my ($pattern) = grep { $asked =~ /$_/ } sort keys %inner;
        return $pattern ? $inner{$pattern} : $prefix->[1];
    }
    my ($first) = grep { $asked =~ $_->[0] } @pattern;
    return $first && $first->[1];
}
my @asked = map { my $path = $_; $path =~ s/\{path\}/a\/b/; $path =~ s/\{\w+\}/x/g; $path } sort keys %paths;
my %served = map { $_ => 1 } @asked;
is_deeply([grep { !$served{$_} } sort keys %exact], [], 'each path of the gateway is documented');
my @idle = grep { my $pattern = $_; !grep { $_ =~ $pattern } @asked } map { $_->[0] } @pattern;
is_deeply([map { "$_" } @idle], [], 'each pattern of it is for one that is');
my %sample = (id => 'x', step => 'x', process => 'x', name => 'x', path => 'a/b', revision => 1);
my (@unrouted, @nobodys, @renamed);
for my $name (sort keys %operation) {
    my ($method, $path) = $name =~ /^(\S+) (.*)/;
    my $asked = $path =~ s/\{(\w+)\}/$sample{$1} \/\/ 'x'/ger;
    my $routed = location($asked);
    push @unrouted, $name if !$routed != !!$operation{$name}{'x-internal'};
    my ($default, $more) = ($routed // '') =~ /sandbox_route (\S+?)((?: [A-Z]+=\S+?)*);/;
    my %of = ($more // '') =~ /([A-Z]+)=(\S+)/g;
    push @renamed, "$name: $route{$name}" if $route{$name} && defined $default && $route{$name} ne ($of{$method} // $default);
    push @nobodys, $name if !$route{$name} && !($exact{$asked} && $exact{$asked} !~ /proxy_pass http:\/\/executor/) && !$operation{$name}{'x-gateway'};
}
is_deeply(\@unrouted, [], 'the gateway routes each path but those between it and executord');
is_deeply(\@renamed, [], 'and calls its route what executord calls it');
is_deeply(\@nobodys, [], 'each operation is somebody\'s');

# Problems by status, from lib's table.
my %code;
my $lib = slurp('lib/sbx_problem.h') =~ s/\\\n\s*/ /gr;
my %reserved = map { $_ => 1 } slurp('docs/problems.md') =~ /^\| `(\w+)` \|[^|]*\|[^|]*\| Reserved/mg;
push @{ $code{$1} }, $2 while $lib =~ /X\(\w+, (\d+), "(\w+)",/g;
$code{$_} = [grep { !$reserved{$_} } @{ $code{$_} }] for keys %code;
delete @code{ grep { !@{ $code{$_} } } keys %code };
my %said = map { /^Problem(\d+)$/ ? ($1 => $document->{components}{schemas}{$_}{properties}{code}{enum}) : () } keys %{ $document->{components}{schemas} };
is_deeply({ map { $_ => [sort @{ $said{$_} }] } keys %said }, { map { $_ => [sort @{ $code{$_} }] } keys %code }, 'problem codes by status');
is_deeply([sort @{ $document->{components}{schemas}{Problem}{properties}{code}{enum} }], [sort map { @$_ } values %code], 'and all of them');
done_testing();
