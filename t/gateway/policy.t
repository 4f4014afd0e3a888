#!/usr/bin/perl
# The decision at the edge: every rule refuses what it should, and what passes carries its limits, signed.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Front;
use Test::More;

my $t = Sandbox::Front->new;
my $dir = $t->policies(default => {
    id => 'pol_base', version => 7,
    limits => { cpu => { default => '500m', max => '2' }, cpu_time => { default => '5s', max => '10s' },
                memory => { default => '64Mi', max => '128Mi' }, disk => { default => '16Mi', max => '32Mi' },
                processes => { default => 10, max => 20 }, time => { default => '5s', max => '10s' },
                output => { default => '1Mi', max => '2Mi' } },
    languages => ['python', 'bash'], templates => ['default'], env => { max => 2 },
    files => { max => 2, max_bytes => 1024 }, artifacts => { max => 3, max_bytes => '1Mi' }, max_wait => '10s',
    concurrency => { tenant => 9 },
});
my $locations = <<'END';
    location = /v1/jobs { sandbox_policy body; client_max_body_size 1m; proxy_pass http://up$sandbox_uri; }
    location /on { sandbox_policy on; client_max_body_size 1m; proxy_pass http://up$sandbox_uri; }
    location /off { sandbox_policy off; client_max_body_size 1m; proxy_pass http://up$sandbox_uri; }
    location /open { sandbox_auth off; sandbox_policy body; client_max_body_size 1m; proxy_pass http://up$sandbox_uri; }
    location /any { satisfy any; allow 10.9.8.7; deny all; sandbox_policy on; proxy_pass http://up$sandbox_uri; }
END
$t->start_front("sandbox_policy_dir $dir; sandbox_denial_log $t->{dir}/denials.jsonl;", locations => $locations,
                server => 'add_header X-Policy $sandbox_policy always;', workers => 2);

sub post { my ($job, %option) = @_; return $t->request('POST', '/v1/jobs', json => $job, %option) }
my %job = (language => 'python', code => 'print(1)');

# What passes.
my $reply = post({%job});
is($reply->{status}, 200, 'a plain job passes');
is($reply->{headers}{'x-policy'}, 'allow', 'as allowed');
my $context = $t->open_context($reply->{json}{sandbox_context});
ok($context, 'with a signed context');
is_deeply([@{$context}{qw(policy policy_v)}], ['pol_base', 7], 'that names the policy and its version');
is($context->{limits}{memory_bytes}, 64 << 20, 'and the default memory');
is($context->{limits}{time_ms}, 5000, 'and the default time');
is($context->{limits}{processes}, 10, 'and the default processes');
my $text = JSON::PP->new->canonical->encode($context);
like($text, qr/"wait_ms":10000/, 'and the longest wait');
like($text, qr/concurrency":9/, 'and the tenant\'s concurrency');
$context = $t->open_context(post({ %job, limits => { memory => '128Mi', time => 10, processes => 20, cpu => 2 } })->{json}{sandbox_context});
is_deeply([@{ $context->{limits} }{qw(memory_bytes time_ms processes)}], [128 << 20, 10000, 20], 'a request may go to the maximum');
is(post({ %job, language => 'sh' })->{status}, 200, 'an alias of an allowed language');
is(post({ %job, env => { A => '1', B => '2' }, wait => '10s', artifacts => ['a', 'b', 'c'] })->{status}, 200, 'everything at its ceiling');

# Each rule.
my @denied = (
    ['languages', { language => 'javascript' }], ['languages', { language => 'ruby' }], ['languages', { language => 'node' }],
    ['templates', { template => 'gpu' }],
    ['limits.memory', { limits => { memory => '129Mi' } }, '128Mi', '129Mi'],
    ['limits.memory', { limits => { memory_mb => 129 } }, '128Mi', '129Mi'],
    ['limits.memory', { limits => { memory_bytes => (128 << 20) + 1 } }, '128Mi', (128 << 20) + 1],
    ['limits.disk', { limits => { disk => '33Mi' } }],
    ['limits.processes', { limits => { processes => 21 } }, 20, 21],
    ['limits.time', { limits => { time => '10001ms' } }],
    ['limits.time', { limits => { timeout => 11 } }],
    ['limits.cpu', { limits => { cpu => '2001m' } }],
    ['limits.cpu_time', { limits => { cpu_time => 11 } }],
    ['limits.output', { limits => { output => '3Mi' } }],
    ['env.max', { env => { A => '1', B => '2', C => '3' } }, 2, 3],
    ['files.max', { files => [map { { path => "f$_", content => 'x' } } 1 .. 3] }, 2, 3],
    ['files.max_bytes', { files => [{ path => 'f', content => 'x' x 1025 }] }, '1Ki', 1025],
    ['files.max_bytes', { files => [map { { path => "f$_", content => 'x' x 600 } } 1 .. 2] }, '1Ki', 1200],
    ['artifacts.max', { artifacts => ['a' .. 'd'] }, 3, 4],
    ['max_wait', { wait => 11 }],
);
for my $case (@denied) {
    my ($rule, $more, $limit, $observed) = @$case;
    my $reply = post({ %job, %$more });
    my $name = "$rule: " . JSON::PP->new->canonical->encode($more);
    $name = substr($name, 0, 70);
    is($reply->{status}, 403, "403 $name");
    is($reply->{json}{code}, 'policy_violation', 'policy_violation');
    is(join(' ', map { $_->{rule} } @{ $reply->{json}{violations} }), $rule, 'this rule and no other');
    is($reply->{json}{violations}[0]{limit}, $limit, 'its limit') if defined $limit;
    is($reply->{json}{violations}[0]{observed}, $observed, 'the observed value') if defined $observed;
    ok(length $reply->{json}{violations}[0]{hint}, 'and a hint');
    is($reply->{headers}{'x-policy'}, 'deny', 'denied');
}
$reply = post({ %job, language => 'ruby', limits => { memory => '1Gi', time => 100 }, env => { map { $_ => 'v' } 'A' .. 'F' }, wait => 50 });
is($reply->{status}, 403, 'many at once');
is(join(' ', sort map { $_->{rule} } @{ $reply->{json}{violations} }), 'env.max languages limits.memory limits.time max_wait', 'all are named');
is((() = $t->read_file('logs/upstream.error.log') =~ /error/g), 0, 'nothing strange reached the upstream');

# Fields that policy reads, of a wrong shape.
my @invalid = (
    [{ %job, language => 5 }, '/language'], [{ code => 'x' }, '/language'], [{ %job, limits => [] }, '/limits'],
    [{ %job, limits => { memory => [] } }, '/limits/memory'], [{ %job, limits => { memory => 'lots' } }, '/limits/memory'],
    [{ %job, limits => { memory => -1 } }, '/limits/memory'], [{ %job, limits => { ram => 1 } }, '/limits/ram'],
    [{ %job, limits => { memory => 1, memory_mb => 1 } }, qr{^/limits}], [{ %job, env => ['A'] }, '/env'],
    [{ %job, files => {} }, '/files'], [{ %job, files => ['x'] }, '/files/0'], [{ %job, files => [{ path => 'x', content => 5 }] }, '/files/0/content'],
    [{ %job, artifacts => 'all' }, '/artifacts'], [{ %job, wait => 'forever' }, '/wait'], [[], ''], ['text', ''], [5, ''],
);
for my $case (@invalid) {
    my ($body, $field) = @$case;
    my $reply = post($body);
    my $name = substr(JSON::PP->new->canonical->allow_nonref->encode($body), 0, 60);
    is($reply->{status}, 422, "refused as 422: $name");
    is($reply->{json}{code}, 'invalid_request', 'invalid_request');
    ref $field ? like($reply->{json}{errors}[0]{field}, $field, 'names the field') : is($reply->{json}{errors}[0]{field}, $field, 'names the field');
}

# Where it applies.
is($t->request('GET', '/v1/jobs')->{status}, 200, 'reading asks for no limits');
is($t->request('DELETE', '/v1/jobs')->{status}, 200, 'nor does deleting');
$context = $t->open_context($t->request('GET', '/v1/jobs')->{json}{sandbox_context});
is($context->{policy}, 'pol_base', 'the policy is named there too');
ok(!exists $context->{limits} || !defined $context->{limits}, 'without limits');
is($t->request('POST', '/on', json => { language => 'ruby' })->{status}, 200, '"on" does not look into bodies');
is($t->request('POST', '/off', body => 'not json')->{status}, 200, '"off" does nothing');
ok(!exists $t->request('GET', '/off')->{headers}{'x-policy'}, 'and says nothing');
is($t->request('POST', '/open', json => {%job}, anonymous => 1)->{status}, 401, 'no identity, no policy: refused');
is($t->request('POST', '/open', json => {%job})->{status}, 401, 'also with a token that nobody verified');
is($t->request('GET', '/any')->{status}, 403, 'a policy that allows does not satisfy other access rules');

# Bad policy directories.
my @broken = (
    ['not JSON', '{"version": 1', qr/documents\/default\.json" is not valid/],
    ['a duplicate member', '{"version": 1, "version": 2}', qr/default\.json" is not valid/],
    ['an unknown member', '{"version": 1, "limit": {}}', qr/at "\/limit"/],
    ['a wrong type', '{"version": 1, "limits": {"memory": {"max": []}}}', qr/at "\/limits\/memory\/max"/],
    ['default above max', '{"version": 1, "limits": {"memory": {"default": "2Gi", "max": "1Gi"}}}', qr/at "\/limits\/memory/],
    ['no object', '[]', qr/default\.json" is not valid/],
    ['nothing', '', qr/default\.json" is not valid/],
    ['too much', '{"version": 1, "id": "' . 'x' x 300_000 . '"}', qr/default\.json" is (larger|not valid)/],
);
for my $case (@broken) {
    my ($what, $text, $words) = @$case;
    $t->policies(default => $text);
    like($t->complaint("sandbox_policy_dir $dir;"), $words, "refused to start: $what");
}
$t->policies('tenants/a.b' => {}, 'tenants/bad name' => {});
like($t->complaint("sandbox_policy_dir $dir;"), qr/bad name\.json" has a name/, 'a document of nobody');
$t->policies('tenants/acme/agents/x' => { language => 'none' });
like($t->complaint("sandbox_policy_dir $dir;"), qr{tenants/acme/agents/x\.json" is not valid: at "/language"}, 'any document, with file and place');
$t->policies;
mkdir "$dir/default.json";
like($t->complaint("sandbox_policy_dir $dir;"), qr/not a regular file/, 'a directory as a document');
rmdir "$dir/default.json";
system 'mkfifo', "$dir/default.json";
like($t->complaint("sandbox_policy_dir $dir;"), qr/not a regular file/, 'a FIFO does not hang the start');
unlink "$dir/default.json";
is($t->complaint("sandbox_policy_dir $dir;"), '', 'an empty directory is fine');
like($t->complaint("sandbox_policy_dir $dir/nowhere;"), qr/nowhere" is not there/, 'one that is not there is not');
like($t->complaint('sandbox_policy maybe;'), qr/invalid value "maybe"/, 'a mode that does not exist');

# A reload with a broken document keeps what runs.
$t->policies(default => '{"version": 2, "languages": ["ruby"]');
ok($t->refuses_reload("sandbox_policy_dir $dir;", qr/default\.json" is not valid/, locations => $locations), 'a reload with a broken document is refused');
is(post({%job})->{status}, 200, 'the old policy still allows');
is(post({ %job, language => 'ruby' })->{status}, 403, 'and still refuses');
$t->policies(default => { languages => ['ruby'] });
ok($t->reconfigure_front("sandbox_policy_dir $dir;", locations => $locations), 'a good one is taken');
is(post({ %job, language => 'ruby' })->{status}, 200, 'the new policy allows');
is(post({%job})->{status}, 403, 'and refuses');
$t->finish;
done_testing();
