#!/usr/bin/perl
# Policies: made, read, changed, deleted, found; who may, what is refused and where it says the error is; two changes of one
# version; what is recorded.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 0, 'idempotency.ttl' => '1h' });
$t->start_launcher->start_executor;
my $JSON = JSON::PP->new->canonical->utf8->allow_nonref;
my ($TRUE, $FALSE) = (JSON::PP::true, JSON::PP::false);
sub context { return Sandbox::Context::sign($t->{key}, scopes => 'admin', @_) }
sub ask { my ($method, $path, %option) = @_; my %as = %{ delete $option{as} || {} }; return $t->executor_request($method, $path, context => context(%as), %option) }
sub make { my ($body, %option) = @_; return ask('POST', '/v1/policies', json => { name => 'one', document => {}, %$body }, %option) }
sub put { my ($id, $tag, $body, %option) = @_; return ask('PUT', "/v1/policies/$id", headers => { defined $tag ? ('If-Match' => $tag) : () }, json => { name => 'one', document => {}, %$body }, %option) }
sub audit { return [grep { ($_->{kind} // q()) =~ /^policy\./ } map { $JSON->decode($_) } $t->audit_lines] }
sub stored { my ($sql) = @_; my ($url) = glob "$t->{dir}/data/*.db"; return `sqlite3 -readonly $url "$sql" 2>/dev/null` }

# Made and read.
my $document = { limits => { memory => { max => '512Mi', default => '128Mi' } }, languages => ['python', 'bash'], rates => { tenant => { rate => '100/s' } } };
my $reply = make({ name => 'agents run python', description => "two\nlines", document => $document, applies_to => [{ agent => 'coder' }, { app => 'web' }, { tenant => $TRUE }], message => 'ticket 12' });
is($reply->{status}, 201, 'made') or diag $reply->{content};
my $made = $reply->{json};
my $id = $made->{policy_id};
like($id, qr/^pol_[0-9a-z]{26}$/, 'an id');
is("$reply->{headers}{location} $reply->{headers}{etag}", "/v1/policies/$id \"1\"", 'where it is, and in which version');
is_deeply([@$made{qw(name description version message updated_by)}], ['agents run python', "two\nlines", 1, 'ticket 12', 'tester'], 'as it was sent');
is_deeply($made->{applies_to}, [{ agent => 'coder' }, { app => 'web' }, { tenant => $TRUE }], 'in that order');
is_deeply($made->{document}, { %$document, id => $id, version => 1 }, 'its document, named');
is($made->{document_sha256}, sha256_hex($JSON->encode($made->{document})), 'its digest can be made again');
is($made->{created_at}, $made->{updated_at}, 'once');
$reply = ask('GET', "/v1/policies/$id");
is_deeply($reply->{json}, $made, 'found again');
is($reply->{headers}{etag}, '"1"', 'with its tag');
is(ask('GET', "/v1/policies/$id", headers => { 'If-None-Match' => $_ })->{status}, 304, "If-None-Match $_") for '"1"', 'W/"1"', '*', '"0", "1"';
is(ask('GET', "/v1/policies/$id", headers => { 'If-None-Match' => $_ })->{status}, 200, "If-None-Match $_") for '"2"', '1', '"11"', '""';
my $head = ask('HEAD', "/v1/policies/$id");
is("$head->{status} " . length($head->{content}) . " $head->{headers}{etag}", '200 0 "1"', 'its head alone');
is_deeply(make({ document => { id => 'mine', version => 77 } })->{json}{document}{version}, 1, 'the id and version of a document are not its own');
is(make({ description => undef, applies_to => undef, message => undef })->{status}, 201, 'null is as absent');

# Changed.
$reply = put($id, '"1"', { name => 'other', document => { languages => ['bash'] } });
is("$reply->{status} $reply->{headers}{etag}", '200 "2"', 'another version');
my $changed = $reply->{json};
is_deeply([@$changed{qw(name description version message applies_to created_at)}], ['other', undef, 2, undef, [], $made->{created_at}], 'whole, from the body alone');
is_deeply($changed->{document}, { languages => ['bash'], id => $id, version => 2 }, 'the document too');
is_deeply(ask('GET', "/v1/policies/$id")->{json}, $changed, 'and it is so');
for my $case (['"1"', 412], ['"3"', 412], ['"02"', 412], ['2', 412], ['W/"2"', 412], ['""', 412], ['', 412], ['"x"', 412], ['"18446744073709551618"', 412]) {
    my $refused = put($id, $case->[0], {});
    is("$refused->{status} $refused->{json}{code}", "$case->[1] precondition_failed", "If-Match $case->[0]");
}
my $none = put($id, undef, {});
is("$none->{status} $none->{json}{code}", '428 precondition_required', 'without If-Match');
is($t->executor_request('PUT', "/v1/policies/$id", context => context(), headers => { 'If-Match' => "\"2\"\r\nIf-Match: \"2\"" }, json => { name => 'x', document => {} })->{status}, 400, 'two of them');
is(put($id, '"1", "2"', {})->{json}{version}, 3, 'one of several tags');
is(put($id, '*', {})->{json}{version}, 4, 'any version');
$reply = ask('PUT', "/v1/policies/$id/targets", headers => { 'If-Match' => '"4"' }, json => { applies_to => [{ template => 'default' }], message => 'apply' });
is_deeply([$reply->{status}, @{ $reply->{json} }{qw(version name applies_to message)}], [200, 5, 'one', [{ template => 'default' }], 'apply'], 'only what it applies to');
is_deeply($reply->{json}{document}, { id => $id, version => 5 }, 'the document says the same');
is(ask('PUT', "/v1/policies/$id/targets", json => { applies_to => [] })->{status}, 428, 'this needs a version too');
is(ask('PUT', "/v1/policies/$id/targets", headers => { 'If-Match' => '"4"' }, json => { applies_to => [] })->{status}, 412, 'the right one');

# What is no policy, and where the error is.
my %deep = (limits => { memory => { max => 'lots' } });
my @bad = (
    [{ name => undef }, '/name'], [{ name => '' }, '/name'], [{ name => 1 }, '/name'], [{ name => 'x' x 129 }, '/name'], [{ name => "a\nb" }, '/name'], [{ name => "\x{202e}\x{85}" }, '/name'],
    [{ description => 'x' x 1025 }, '/description'], [{ description => {} }, '/description'], [{ message => 'x' x 513 }, '/message'], [{ message => [] }, '/message'],
    [{ document => undef }, '/document'], [{ document => [] }, '/document'], [{ document => 'x' }, '/document'], [{ document => \%deep }, '/document/limits/memory/max'],
    [{ document => { limits => { 'a/b~c' => 1 } } }, '/document/limits/a~1b~0c'], [{ document => { languages => ['python', 7] } }, '/document/languages/1'], [{ document => { unknown => 1 } }, '/document/unknown'],
    [{ document => { limits => { memory => { max => '8Mi', default => '16Mi' } } } }, '/document/limits/memory/default'], [{ document => { isolation => { minimum => 'gvisor', default => 'process' } } }, '/document/isolation/default'],
    [{ document => { rates => { tenant => { rate => '1/week' } } } }, '/document/rates/tenant/rate'], [{ document => { concurrency => { tenant => -1 } } }, '/document/concurrency/tenant'], [{ document => { limits => undef } }, '/document/limits'],
    [{ applies_to => {} }, '/applies_to'], [{ applies_to => 'tenant' }, '/applies_to'], [{ applies_to => ['tenant'] }, '/applies_to/0'], [{ applies_to => [{}] }, '/applies_to/0'], [{ applies_to => [{ tenant => $FALSE }] }, '/applies_to/0'],
    [{ applies_to => [{ tenant => 'acme' }] }, '/applies_to/0'], [{ applies_to => [{ app => '' }] }, '/applies_to/0'], [{ applies_to => [{ app => $TRUE }] }, '/applies_to/0'], [{ applies_to => [{ app => 'a', agent => 'b' }] }, '/applies_to/0'],
    [{ applies_to => [{ app => 'web' }, { app => 'a b' }] }, '/applies_to/1'], [{ applies_to => [{ app => 'x' x 65 }] }, '/applies_to/0'], [{ applies_to => [{ template => '../x' }] }, '/applies_to/0'], [{ applies_to => [{ user => 'x' }] }, '/applies_to/0'],
    [{ applies_to => [{ 'app:web' => 'x' }] }, '/applies_to/0'], [{ applies_to => [{ app => "web\0" }] }, undef], [{ applies_to => [{ app => 'a' }, { agent => 'a' }, { app => 'a' }] }, '/applies_to/2'], [{ applies_to => [map { { app => "a$_" } } 1 .. 65] }, '/applies_to'],
    [{ applies_to => [{ tenant => $TRUE }, { template => 'default' }], document => { rates => { tenant => { rate => '5/s' } } } }, '/applies_to/1'], [{ applies_to => [{ template => 'default' }], document => { concurrency => { tenant => 5 } } }, '/applies_to/0'],
    [{ extra => 1 }, '/extra'], [{ policy_id => $id }, '/policy_id'], [{ version => 3 }, '/version'], [{ tenant => 'umbrella' }, '/tenant'],
);
for my $case (@bad) {
    my ($body, $field) = @$case;
    my $text = $JSON->encode($body);
    for my $try (['POST', make($body)], ['PUT', put($id, '"5"', $body)]) {
        my ($method, $refused) = @$try;
        if (defined $field) {
            my $size = ($refused->{json}{errors}[0]{message} // '') =~ /not (?:be longer|have more) than/;    # a size, not a shape
            is_deeply([$refused->{status}, $refused->{json}{code}, $refused->{json}{errors}[0]{field}], [$size ? (413, 'payload_too_large') : (422, 'invalid_request'), $field], "$method " . substr $text, 0, 80) or diag $refused->{content};
        } else {
            is($refused->{status}, 400, "$method $text");
        }
    }
}
for my $body ('', '{', '[]', 'null', '"x"', '{"name":"a","name":"b","document":{}}', '{"name":"a","document":{}} x', '{"name":"a","document":' . '[' x 40 . ']' x 40 . '}', "{\"name\":\"\xff\",\"document\":{}}", '{"name":"a\u0000","document":{}}') {
    my $refused = ask('POST', '/v1/policies', body => $body, headers => { 'Content-Type' => 'application/json' });
    like($refused->{status}, qr/^4(00|22)$/, 'no policy: ' . substr $body, 0, 40);
}
is(ask('POST', '/v1/policies', body => '{}', headers => { 'Content-Type' => $_ })->{status}, 415, "of type $_") for 'text/plain', 'application/x-www-form-urlencoded', 'application/jsonx';
my $long = ask('POST', '/v1/policies', body => '{"name":"' . 'x' x 600_000, headers => { 'Content-Type' => 'application/json' });
is($long->{status}, 413, 'more than a body may be');
is(ask('GET', "/v1/policies/$id")->{json}{version}, 5, 'nothing of it did anything');

# What is not there, and what is no id.
for my $none ('pol_00000000000000000000000000', 'pol_01m7yep0vh3nhv2pk7vh28r48r', 'x', 'job_01m7yep0vh3nhv2pk7vh28r48r', uc $id, "${id}0", substr($id, 0, -1), "$id%00", '..', '%2e%2e') {
    for my $case (['GET', ''], ['DELETE', ''], ['PUT', '', { name => 'x', document => {} }], ['PUT', '/targets', { applies_to => [] }], ['POST', '/rollback', { version => 1 }], ['GET', '/versions'], ['GET', '/versions/1'], ['GET', '/versions/1/diff']) {
        my ($method, $path, $body) = @$case;
        is(ask($method, "/v1/policies/$none$path", headers => { 'If-Match' => '*' }, $body ? (json => $body) : ())->{status}, 404, "$method $none$path");
    }
}
for my $case (['PATCH', "/v1/policies/$id"], ['POST', "/v1/policies/$id"], ['DELETE', '/v1/policies'], ['PUT', '/v1/policies'], ['GET', "/v1/policies/$id/targets"], ['GET', "/v1/policies/$id/rollback"], ['DELETE', "/v1/policies/$id/versions/1"], ['PUT', "/v1/policies/$id/versions/1"]) {
    is(ask(@$case)->{status}, 405, "@$case");
}
is(ask('GET', "/v1/policies?$_")->{status}, 422, "no filter: $_") for 'applies_to=', 'applies_to=app', 'applies_to=app:', 'applies_to=tenant:x', 'applies_to=user:x', 'applies_to=app:a%20b', 'applies_to=%ff', 'name=', 'name=%0a', 'name=' . 'x' x 129, 'limit=0', 'limit=101', 'cursor=x', 'tenant=umbrella', 'version=1';

# Who may. Scopes of governance are implied by nothing.
for my $case (['', 403, 403], ['policies:read', 200, 403], ['policies:write', 403, 201], ['policies:read policies:write', 200, 201], ['admin', 200, 201], ['jobs:read admin', 200, 201], ['jobs:read jobs:write sessions:write', 403, 403],
    ['Admin', 403, 403], ['policies:', 403, 403], ['policies:*', 403, 403], ['administrator', 403, 403], ['revocations:write', 403, 403]) {
    my ($scopes, $reads, $writes) = @$case;
    is(ask('GET', '/v1/policies', as => { scopes => $scopes, tenant => 'scoped' })->{status}, $reads, "\"$scopes\" reads");
    is(make({}, as => { scopes => $scopes, tenant => 'scoped' })->{status}, $writes, "\"$scopes\" writes");
}
is(ask('GET', '/v1/jobs', as => { scopes => 'admin policies:read' })->{status}, 200, 'they take nothing else away');

# Found.
my %found = map { $_ => 1 } map { $_->{policy_id} } @{ ask('GET', '/v1/policies?limit=100')->{json}{policies} };
ok($found{$id}, 'in the list');
my $listed = ask('GET', '/v1/policies?applies_to=template:default')->{json};
is_deeply([map { $_->{policy_id} } @{ $listed->{policies} }], [$id], 'by what it applies to');
ok(!exists $listed->{policies}[0]{document}, 'a listing has no documents');
is_deeply(ask('GET', "/v1/policies?applies_to=$_")->{json}{policies}, [], "none applies to $_") for 'tenant', 'app:web', 'agent:coder', 'template:other', 'app:default';
my %as = (as => { tenant => 'listing' });
my @made = map { make({ name => $_ % 2 ? 'odd' : 'even' }, %as)->{json}{policy_id} } 1 .. 7;
my (@seen, $cursor);
for (1 .. 5) {
    my $page = ask('GET', '/v1/policies?limit=2' . (defined $cursor ? "&cursor=$cursor" : ''), %as)->{json};
    push @seen, map { $_->{policy_id} } @{ $page->{policies} };
    $cursor = $page->{next_cursor} // last;
}
is_deeply(\@seen, [reverse @made], 'newest first, page by page');
is_deeply([map { $_->{policy_id} } @{ ask('GET', '/v1/policies?name=even', %as)->{json}{policies} }], [@made[5, 3, 1]], 'by name');
$cursor = ask('GET', '/v1/policies?limit=2', %as)->{json}{next_cursor};
is(ask('GET', "/v1/policies?limit=2&cursor=$cursor", as => { tenant => 'other' })->{status}, 422, "another tenant's cursor is none");
is(ask('GET', "/v1/policies?limit=2&name=odd&cursor=$cursor", %as)->{status}, 422, 'nor that of another listing');

# How many.
my @four = map { make({ applies_to => [{ app => 'crowded' }] })->{json}{policy_id} } 1 .. 4;
my $fifth = make({ applies_to => [{ app => 'free' }, { app => 'crowded' }] });
is("$fifth->{status} $fifth->{json}{code} $fifth->{json}{detail}", '409 conflict 4 policies apply to the app crowded already', 'four to one target');
is_deeply(ask('GET', '/v1/policies?applies_to=app:free')->{json}{policies}, [], 'then it applies to nothing else either');
is(put($id, '"5"', { applies_to => [{ app => 'crowded' }] })->{status}, 409, 'nor by a change');
is(put($four[0], '"1"', { applies_to => [{ app => 'crowded' }] })->{status}, 200, 'one of the four may change');
is(make({ applies_to => [{ app => 'crowded' }] }, as => { tenant => 'neighbour' })->{status}, 201, 'of another tenant is another app');
is(ask('DELETE', "/v1/policies/$four[1]")->{status}, 204, 'one goes');
is(put($id, '"5"', { applies_to => [{ app => 'crowded' }] })->{status}, 200, 'and there is room');
my %many = (as => { tenant => 'many' });
is(scalar(grep { make({}, %many)->{status} == 201 } 1 .. 256), 256, 'as many as may be');
my $full = make({}, %many);
is("$full->{status} $full->{json}{code}", '409 conflict', 'one more is not');
is(make({}, as => { tenant => 'fewer' })->{status}, 201, 'but of another tenant');

# How many bytes: gateways hold the documents of all tenants in one place.
my %heavy = (as => { tenant => 'heavy' });
my $heavy = { languages => [map { sprintf '%060d', $_ } 1 .. 3000] };
my @heavy;
while (@heavy < 64) {
    my $made = make({ document => $heavy }, %heavy);
    last if $made->{status} != 201;
    push @heavy, $made->{json};
}
my $each = length $JSON->encode($heavy[0]{document});
my $fit = int(4 * 1024 * 1024 / $each);
is(scalar @heavy, $fit, 'documents of 4 MiB together');
$full = make({ document => $heavy }, %heavy);
is("$full->{status} $full->{json}{code}", '409 conflict', 'no more');
like($full->{json}{detail}, qr/4 MiB/, 'says why');
is(make({}, %heavy)->{status}, 201, 'a small one fits');
my $small = make({}, %heavy)->{json}{policy_id};
is(put($small, '"1"', { document => $heavy }, %heavy)->{status}, 409, 'nor does one grow beyond it');
is(ask('GET', "/v1/policies/$small", %heavy)->{json}{version}, 1, 'and stays as it was');
is(put($heavy[0]{policy_id}, '"1"', { document => $heavy }, %heavy)->{status}, 200, 'what there is may change, and its older version does not count');
is(ask('DELETE', "/v1/policies/$heavy[1]{policy_id}", %heavy)->{status}, 204, 'one goes');
is(put($small, '"1"', { document => $heavy }, %heavy)->{status}, 200, 'and there is room');
is(make({ document => $heavy }, as => { tenant => 'light' })->{status}, 201, 'another tenant has its own');

# The largest document, and one more byte.
my $names = { languages => [map { sprintf '%05d', $_ } 1 .. 4000] };
my $largest = make({ document => $names });
like($largest->{status}, qr/^(201|422)$/, 'thousands of rules: ' . $largest->{status});
$long = make({ document => { languages => [map { 'x' x 60 . $_ } 1 .. 5000] } });
like($long->{status}, qr/^4(13|22)$/, 'more than a document may be');

# Two changes of one version: one is made.
for my $round (1 .. 8) {
    my $race = make({ name => "race $round" })->{json}{policy_id};
    my @children = map {
        my $n = $_;
        pipe my $read, my $write or die $!;
        my $pid = fork // die $!;
        if (!$pid) {
            my $reply = put($race, '"1"', { name => "writer $n" });
            print {$write} $reply->{status};
            close $write;
            POSIX::_exit(0);
        }
        close $write;
        { pid => $pid, read => $read };
    } 1 .. 4;
    my %status;
    for my $child (@children) {
        my $handle = $child->{read};
        my $text = <$handle>;
        $status{$text}++;
        waitpid $child->{pid}, 0;
    }
    is_deeply(\%status, { 200 => 1, 412 => 3 }, "race $round: one of four");
    is(ask('GET', "/v1/policies/$race")->{json}{version}, 2, 'one version more');
}

# Keys.
my %key = (headers => { 'Idempotency-Key' => 'policy-1' });
my $keyed = make({ name => 'keyed' }, %key);
is($keyed->{status}, 201, 'made with a key');
put($keyed->{json}{policy_id}, '"1"', { name => 'later' });
my $again = make({ name => 'keyed' }, %key);
is_deeply([$again->{status}, $again->{headers}{'idempotency-replayed'}, @{ $again->{json} }{qw(policy_id name version)}], [200, 'true', $keyed->{json}{policy_id}, 'later', 2], 'the same key: the same policy, as it is now');
is(make({ name => 'other' }, %key)->{status}, 422, 'with another body');
is(make({ name => 'keyed' }, %key, as => { tenant => 'umbrella' })->{status}, 201, "another tenant's is another");
is(make({ name => 'keyed', document => 1 }, headers => { 'Idempotency-Key' => 'policy-2' })->{status}, 422, 'what is refused');
is(make({ name => 'keyed' }, headers => { 'Idempotency-Key' => 'policy-2' })->{status}, 201, 'takes no key');
ask('DELETE', "/v1/policies/$keyed->{json}{policy_id}");
is(make({ name => 'keyed' }, %key)->{status}, 410, 'of one that was deleted');

# Deleted.
my $gone = make({ applies_to => [{ agent => 'gone' }] })->{json}{policy_id};
is(ask('DELETE', "/v1/policies/$gone", headers => { 'If-Match' => '"2"' })->{status}, 412, 'not in another version');
is(ask('GET', "/v1/policies/$gone")->{status}, 200, 'it is there still');
$reply = ask('DELETE', "/v1/policies/$gone", headers => { 'If-Match' => '"1"' });
is("$reply->{status} " . length $reply->{content}, '204 0', 'deleted');
is(ask($_->[0], "/v1/policies/$gone$_->[1]")->{status}, 404, "$_->[0] $_->[1] of it") for ['GET', ''], ['DELETE', ''], ['GET', '/versions'], ['GET', '/versions/1'];
is_deeply(ask('GET', '/v1/policies?applies_to=agent:gone')->{json}{policies}, [], 'nor in a list');

# What is recorded.
my @events = grep { $_->{object} eq $id } @{ audit() };
is_deeply([map { $_->{kind} } @events], ['policy.created', ('policy.updated') x 5], 'an event for each version');
is_deeply([map { $_->{body}{version} } @events], [1 .. 6], 'which it names');
is($events[0]{body}{document_sha256}, $made->{document_sha256}, 'with the digest of its document');
is_deeply($events[0]{body}{applies_to}, $made->{applies_to}, 'and what it applies to');
is($events[0]{body}{subject}, 'tester', 'who');
my ($deleted) = grep { $_->{object} eq $gone && $_->{kind} eq 'policy.deleted' } @{ audit() };
is_deeply([@{ $deleted->{body} }{qw(version applies_to)}], [1, [{ agent => 'gone' }]], 'and of a deletion what was deleted');
unlike($JSON->encode($_->{body}), qr/512Mi/, 'no document is in an event') for @events;
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
$t->finish;
done_testing();
