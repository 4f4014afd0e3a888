#!/usr/bin/perl
# Versions of policies: kept, listed, compared, taken up again, and forgotten when there are too many.
use strict;
use warnings;
use lib 't/lib';
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 0 });
$t->start_launcher->start_executor;
my $JSON = JSON::PP->new->canonical->utf8->allow_nonref;
sub ask { my ($method, $path, %option) = @_; my %as = %{ delete $option{as} || {} }; return $t->executor_request($method, $path, context => Sandbox::Context::sign($t->{key}, scopes => 'admin', %as), %option) }
sub put { my ($id, $version, $body) = @_; return ask('PUT', "/v1/policies/$id", headers => { 'If-Match' => "\"$version\"" }, json => { name => 'one', document => {}, %$body }) }

my @said = (
    { name => 'one', description => 'first', document => { limits => { memory => { max => '512Mi', default => '128Mi' }, cpu => { max => 2 } }, languages => ['python'] }, applies_to => [{ app => 'web' }], message => 'm1' },
    { name => 'one', document => { limits => { memory => { max => '1Gi', default => '128Mi' } }, languages => ['python', 'bash'], templates => ['default'] }, applies_to => [{ app => 'web' }, { agent => 'x' }] },
    { name => 'two', document => { limits => { memory => { max => '1Gi', default => '128Mi' } }, languages => ['python', 'bash'], templates => ['default'] }, applies_to => [] },
);
my $first = ask('POST', '/v1/policies', json => $said[0])->{json};
my $id = $first->{policy_id};
put($id, 1, $said[1]);
put($id, 2, $said[2]);

# Each is there as it was.
for my $n (1 .. 3) {
    my $version = ask('GET', "/v1/policies/$id/versions/$n");
    is($version->{headers}{etag}, "\"$n\"", "version $n");
    is_deeply([@{ $version->{json} }{qw(name description message version)}], [@{ $said[$n - 1] }{qw(name description message)}, $n], 'as it was');
    is_deeply($version->{json}{document}, { %{ $said[$n - 1]{document} }, id => $id, version => $n }, 'its document');
    is_deeply($version->{json}{applies_to}, $said[$n - 1]{applies_to}, 'what it applied to');
}
is_deeply(ask('GET', "/v1/policies/$id/versions/1")->{json}, $first, 'the first is what was answered then');
my $list = ask('GET', "/v1/policies/$id/versions")->{json};
is_deeply([map { $_->{version} } @{ $list->{versions} }], [3, 2, 1], 'newest first');
is_deeply([sort keys %{ $list->{versions}[0] }], [sort qw(version name document_sha256 applies_to message updated_at updated_by)], 'without documents');
is($list->{next_cursor}, undef, 'all of them');
my $page = ask('GET', "/v1/policies/$id/versions?limit=2")->{json};
is_deeply([map { $_->{version} } @{ ask('GET', "/v1/policies/$id/versions?limit=2&cursor=$page->{next_cursor}")->{json}{versions} }], [1], 'page by page');
my $other = ask('POST', '/v1/policies', json => $said[0])->{json}{policy_id};
is(ask('GET', "/v1/policies/$other/versions?limit=2&cursor=$page->{next_cursor}")->{status}, 422, "a cursor of another policy's versions is none");

# What is none.
is(ask('GET', "/v1/policies/$id/versions/$_")->{status}, 404, "no version: $_") for 0, 4, '01', -1, '1.0', 'x', '%31x', '99999999999999999999', '4294967297', '+1', 'latest', '1%00';
is(ask('GET', "/v1/policies/$id/versions/")->{status}, 404, 'nor nothing');

# What changed. A patch makes of one what the other is: here by what reads it.
sub walk { my ($root, $path) = @_; my @step = map { s/~1/\//gr =~ s/~0/~/gr } split m{/}, $path; shift @step; my $last = pop @step; $root = $root->{$_} for @step; return ($root, $last) }
sub content { my ($record) = @_; my %document = %{ $record->{document} }; delete @document{qw(id version)}; return { name => $record->{name}, defined $record->{description} ? (description => $record->{description}) : (), document => \%document, applies_to => $record->{applies_to} } }
sub apply {
    my ($record, $patch) = @_;
    my $content = $JSON->decode($JSON->encode(content($record)));
    for my $op (@$patch) {
        my ($object, $member) = walk($content, $op->{path});
        return "from at $op->{path}" if exists $op->{from} && $JSON->encode($op->{from}) ne $JSON->encode($object->{$member});
        return "add at $op->{path}" if ($op->{op} eq 'add') == exists $object->{$member};
        if ($op->{op} eq 'remove') { delete $object->{$member} } else { $object->{$member} = $op->{value} }
    }
    return $content;
}
for my $n (1 .. 3) {
    for my $to (1 .. 3) {
        my $diff = ask('GET', "/v1/policies/$id/versions/$n/diff?to=$to")->{json};
        is_deeply([@$diff{qw(policy_id version to)}], [$id, $n, $to], "$n against $to");
        my ($before, $after) = map { ask('GET', "/v1/policies/$id/versions/$_")->{json} } $to, $n;
        is_deeply(apply($before, $diff->{patch}), content($after), 'its patch makes the one of the other') or diag $JSON->encode($diff->{patch});
        is(scalar @{ $diff->{patch} }, 0, 'of the same it is empty') if $n == $to;
    }
}
is_deeply(ask('GET', "/v1/policies/$id/versions/2/diff")->{json}, ask('GET', "/v1/policies/$id/versions/2/diff?to=1")->{json}, 'against the one before, when nothing else is said');
my %op = map { ("$_->{op} $_->{path}" => $_) } @{ ask('GET', "/v1/policies/$id/versions/2/diff")->{json}{patch} };
is_deeply([sort keys %op], ['add /document/templates', 'remove /description', 'remove /document/limits/cpu', 'replace /applies_to', 'replace /document/languages', 'replace /document/limits/memory/max'], 'member by member');
is_deeply([@{ $op{'replace /document/limits/memory/max'} }{qw(from value)}], ['512Mi', '1Gi'], 'with what was there');
is_deeply([map { $_->{op} } @{ ask('GET', "/v1/policies/$id/versions/1/diff")->{json}{patch} }], [('add') x 4], 'of the first everything is new');
is(ask('GET', "/v1/policies/$id/versions/2/diff?to=$_")->{status}, 422, "not against $_") for '0', '9', '', 'x', '-1', '01', '1x', '%00', '99999999999';
is(ask('GET', "/v1/policies/$id/versions/9/diff")->{status}, 404, 'nor of one that is not there');
is(ask('GET', "/v1/policies/$id/versions/2/diff?from=1")->{status}, 422, 'a parameter that is none');

# Back.
sub back { my ($version, $body, %option) = @_; return ask('POST', "/v1/policies/$id/rollback", headers => { defined $version ? ('If-Match' => "\"$version\"") : () }, json => $body, %option) }
is(back(undef, { version => 1 })->{status}, 428, 'not without a version');
is(back(2, { version => 1 })->{status}, 412, 'nor with another');
for my $case ([{}, '/version'], [{ version => 0 }, '/version'], [{ version => '1' }, '/version'], [{ version => 1.5 }, '/version'], [{ version => undef }, '/version'], [{ version => 4 }, '/version'], [{ version => 4294967296 }, '/version'], [{ version => 1, name => 'x' }, '/name'],
    [{ version => 1, message => 5 }, '/message']) {
    my $refused = back(3, $case->[0]);
    is_deeply([$refused->{status}, $refused->{json}{errors}[0]{field}], [422, $case->[1]], 'no roll-back: ' . $JSON->encode($case->[0])) or diag $refused->{content};
}
my $reply = back(3, { version => 1 });
is_deeply([$reply->{status}, @{ $reply->{json} }{qw(version name description message)}], [200, 4, 'one', 'first', 'roll back to version 1'], 'a new version');
is_deeply(content($reply->{json}), content($first), 'that says what the old one said');
is_deeply($reply->{json}{document}, { %{ $said[0]{document} }, id => $id, version => 4 }, 'under its own number');
is_deeply(ask('GET', "/v1/policies/$id/versions/1")->{json}, $first, 'the old one is as it was');
is_deeply([map { $_->{policy_id} } @{ ask('GET', '/v1/policies?applies_to=app:web')->{json}{policies} }], [$other, $id], 'and it applies again to what that did');
is(back(4, { version => 4, message => 'again' })->{json}{message}, 'again', 'also to itself');
my @events = map { $JSON->decode($_) } grep { /"kind":"policy\.updated"/ && /rolled_back/ } $t->audit_lines;
is_deeply([@{ $events[0]{body} }{qw(rolled_back_from rolled_back_to version)}], [3, 1, 4], 'its event says from where to where');

# A roll-back finds its targets full.
ask('POST', '/v1/policies', json => { name => 'x', document => {}, applies_to => [{ agent => 'x' }] }) for 1 .. 4;
is(back(5, { version => 2 })->{status}, 409, 'one to where there is no room any more');
is(ask('GET', "/v1/policies/$id")->{json}{version}, 5, 'changes nothing');

# Too many to keep: the oldest go, by number and by size.
my $long = ask('POST', '/v1/policies', json => { name => 'long', document => {} })->{json}{policy_id};
for my $n (1 .. 1003) {
    my $reply = put($long, $n, { name => "n$n" });
    next if $reply->{status} == 200;
    is($reply->{status}, 200, "version $n");
    last;
}
is(ask('GET', "/v1/policies/$long")->{json}{version}, 1004, 'a thousand and four versions');
is_deeply([map { ask('GET', "/v1/policies/$long/versions/$_")->{status} } 1, 4, 5, 1004], [404, 404, 200, 200], 'of which a thousand are kept');
is(ask('POST', "/v1/policies/$long/rollback", headers => { 'If-Match' => '"1004"' }, json => { version => 4 })->{status}, 422, 'no way back to one that is not');
is(ask('GET', "/v1/policies/$long/versions/5/diff")->{status}, 422, 'nor a comparison with it');
is(ask('GET', "/v1/policies/$long/versions/5/diff?to=6")->{status}, 200, 'but with one that is');

# Deleted with all of it, and never of another tenant.
is(ask('GET', "/v1/policies/$id$_", as => { tenant => 'umbrella' })->{status}, 404, "another tenant: $_") for '/versions', '/versions/1', '/versions/2/diff';
is(ask('POST', "/v1/policies/$id/rollback", as => { tenant => 'umbrella' }, headers => { 'If-Match' => '*' }, json => { version => 1 })->{status}, 404, 'nor back');
is(ask('DELETE', "/v1/policies/$long")->{status}, 204, 'deleted');
is(ask('GET', "/v1/policies/$long/versions$_")->{status}, 404, "nothing of it: $_") for '', '/1004', '/1004/diff';
$t->finish;
done_testing();
