#!/usr/bin/perl
# The configuration that ships, before a stand-in for the executor: what is routed where, what the
# executor gets to see, and what nobody reaches without a token.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Front;
use Test::More;

my $t = Sandbox::Front->new;
my $sock = "$t->{dir}/sock/executord.sock";

# Answers with what it got.
sub upstream_conf {
    my $names = join ',', map { qq("$_":"\$http_$_") } qw(sandbox_context x_request_id traceparent authorization x_api_key cookie content_type accept
        content_range
        idempotency_key if_match if_none_match if_range last_event_id range x_forwarded_for x_tenant_id user_agent x_other host connection content_length upgrade te);
    return <<"END";
user www-data;
error_log $t->{dir}/logs/upstream.error.log;
pid $t->{dir}/upstream.pid;
events { }
http {
    access_log off;
    client_body_temp_path $t->{dir}/tmp/upstream/body; proxy_temp_path $t->{dir}/tmp/upstream/proxy; fastcgi_temp_path $t->{dir}/tmp/upstream/f;
    uwsgi_temp_path $t->{dir}/tmp/upstream/u; scgi_temp_path $t->{dir}/tmp/upstream/s;
    large_client_header_buffers 4 32k;
    client_max_body_size 100m;
    server {
        listen unix:$sock;
        merge_slashes off;
        max_ranges 0;
        location = /v1/gateway/changes { default_type application/json; return 200 '{"instance":"@{[ '0' x 32 ]}","revision":0,"complete":true,"reset":false,"changes":[]}'; }
        location / { default_type application/json; return 200 '{"method":"\$request_method","uri":"\$request_uri",$names}'; }
        location = /readyz { return 200 'ready'; }
        location /v1/jobs/job_accel { add_header X-Accel-Redirect /metrics; return 200 'plain'; }
        location /v1/jobs/job_404 { default_type application/problem+json; return 404 '{"code":"theirs"}'; }
    }
}
END
}
$t->write('etc/upstream.conf', upstream_conf());
$t->_spawn('upstream', '/usr/sbin/nginx', '-p', $t->{dir}, '-c', "$t->{dir}/etc/upstream.conf", '-g', 'daemon off;');
$t->wait_until(30, sub { -S $sock }) or die 'no upstream';
chmod 0666, $sock;
$t->start_gateway;
$t->wait_until(30, sub { $t->request('GET', '/readyz', anonymous => 1)->{status} == 200 }) or die 'not ready';

# Normalised, and escaped again: what the locations matched is what the executor sees.
my %uri = (
    '/v1/jobs' => '/v1/jobs', '/v1/jobs?limit=5&cursor=a%2Fb' => '/v1/jobs?limit=5&cursor=a%2Fb', '/v1/jobs?' => qr{^/v1/jobs\??$},
    '//v1//jobs' => '/v1/jobs', '/v1/./jobs' => '/v1/jobs', '/x/../v1/jobs' => '/v1/jobs', '/v1/%6Aobs' => '/v1/jobs',
    '/v1/jobs/job_1' => '/v1/jobs/job_1', '/v1/jobs/job_1%2Fx' => '/v1/jobs/job_1/x', '/v1/jobs/job%201%3Fa' => '/v1/jobs/job%201%3Fa', '/v1/jobs/job%25?a=%2F' => '/v1/jobs/job%25?a=%2F',
    '/v1/jobs/job%0d%0aX:1' => '/v1/jobs/job%0D%0AX:1', '/v1/jobs/' => '/v1/jobs/', '/v1/jobs/../jobs/job_1' => '/v1/jobs/job_1',
    '/v1/jobs/job_1/artifacts/a%20b' => '/v1/jobs/job_1/artifacts/a%20b',
    '/v1/jobs/job_1/artifacts/a%3Fb' => '/v1/jobs/job_1/artifacts/a%3Fb', '/v1/jobs/job_1/artifacts/a%23b' => '/v1/jobs/job_1/artifacts/a%23b',
    '/v1/jobs/job_1/artifacts/a%25b' => '/v1/jobs/job_1/artifacts/a%25b', '/v1/jobs/job_1/artifacts/%C3%A9' => '/v1/jobs/job_1/artifacts/%C3%A9',
    '/v1/jobs/job_1/artifacts/x%0d%0aEvil:1' => '/v1/jobs/job_1/artifacts/x%0D%0AEvil:1',
    '/v1/jobs/job_1/artifacts/../../job_2' => '/v1/jobs/job_2', '/v1/jobs/job_1/artifacts/%2e%2e/secret' => '/v1/jobs/job_1/secret',
);
for my $sent (sort keys %uri) {
    my $reply = $t->request('GET', $sent);
    is($reply->{status}, 200, "GET $sent");
    my $seen = $reply->{json}{uri} // '';
    ref $uri{$sent} ? like($seen, $uri{$sent}, 'as meant') : is(lc $seen, lc $uri{$sent}, 'as meant');
}
for my $path ('/v1/jobs/../../metrics', '/v1/%2e%2e/%2e%2e/readyz', '/v1/jobs%00', '/v1/jobs/%00', '/../etc/passwd', '/v1/jobs/%2e%2e/%2e%2e/%2e%2e/x') {
    my $reply = $t->ask("GET $path HTTP/1.1", 'Host: localhost', 'Authorization: Bearer ' . $t->token, 'Connection: close');
    ok(!$reply || $reply->{content} !~ /"uri":"[^"]*(\.\.|%00|%2e)/i, "$path does not get through as it is (" . ($reply ? $reply->{status} : 'closed') . ')');
}

# Headers: the list, and nothing else.
my $seen = $t->request('POST', '/v1/jobs', json => { language => 'python', code => 'x' }, headers => {
    'Cookie' => 'a=b', 'X-Forwarded-For' => '6.6.6.6', 'X-Tenant-Id' => 'other', 'X-Other' => 'x', 'Sandbox-Context' => 'v1.forged.forged',
    'Idempotency-Key' => 'once', 'Accept' => 'application/json', 'Upgrade' => 'h2c', 'TE' => 'trailers', 'X-Request-Id' => 'rid-1',
})->{json};
is($seen->{$_}, '', "$_ stays outside") for qw(authorization x_api_key cookie x_forwarded_for x_tenant_id x_other user_agent upgrade te connection);
is($seen->{idempotency_key}, 'once', 'Idempotency-Key goes on');
is($seen->{accept}, 'application/json', 'Accept goes on');
is($seen->{content_type}, 'application/json', 'Content-Type goes on');
is($seen->{x_request_id}, 'rid-1', 'the request id goes on');
like($seen->{traceparent}, qr/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/, 'a trace begins');
is($seen->{host}, 'executor', 'Host is ours');
my $context = $t->open_context($seen->{sandbox_context});
is($context->{tenant}, 'demo', 'the context is signed and says whose request it is');
ok($context->{limits}{memory_bytes}, 'and what it may use');

# Each field that goes on does so as itself: none is lost, none becomes two.
my %goes = ('Accept' => 'text/event-stream', 'Content-Type' => 'text/plain; a=b', 'Content-Range' => 'bytes 0-4/5', 'Idempotency-Key' => 'k: 1', 'If-Match' => '*',
    'If-None-Match' => 'W/2, 3', 'If-Range' => '4', 'Last-Event-ID' => '17', 'Range' => 'bytes=0-1');
$seen = $t->request('GET', '/v1/jobs', headers => \%goes)->{json};
is($seen->{ lc($_) =~ tr/-/_/r }, $goes{$_}, "$_ goes on") for sort keys %goes;
my @plain = ('Host: localhost', 'Authorization: Bearer ' . $t->token, 'X-Request-Id: rid-2');
$seen = $t->ask('GET /v1/jobs HTTP/1.1', @plain, (map { "@{[ lc ]}: $goes{$_}" } sort keys %goes), 'Connection: close')->{json};
is($seen->{ lc($_) =~ tr/-/_/r }, $goes{$_}, "$_ goes on, spelt in lower case") for sort keys %goes;
$seen = $t->ask('GET /v1/jobs HTTP/1.1', @plain, 'Accept: a/a', 'Accept: b/b', 'If-Match:', 'Range: ', 'Range: bytes=0-1', 'Accepts: c/c', 'Connection: close')->{json};
is_deeply([@{$seen}{qw(accept if_match range x_request_id)}], ['a/a', '', '', 'rid-2'], 'of two the first, of an empty one nothing');
for my $value ("a/a\rX-Other: in", "a/a\0X-Other: in", "a/a\r\n X-Other: in", "a/a\r\n\tSandbox-Context: v1.a.b") {
    my $reply = $t->ask('GET /v1/jobs HTTP/1.1', @plain, "Accept: $value", 'Connection: close');
    my $what = $value =~ s/([\0-\x1f])/sprintf '\\x%02x', ord $1/ger;
    is($reply->{status} == 200 ? $reply->{json}{x_other} . $reply->{json}{accept} : $reply->{status}, 400, "\"$what\" reaches nobody");
}
$seen = $t->ask('GET /v1/jobs HTTP/1.1', @plain, "Accept: a/a\r", 'X-Other: in', 'Connection: close')->{json};
is_deeply([@{$seen}{qw(accept x_other)}], ['a/a', ''], 'one carriage return more belongs to the end of the line');

# Both ways of carrying the token end here.
$seen = $t->request('GET', '/v1/jobs', anonymous => 1, headers => { 'X-API-KEY' => $t->token })->{json};
is($seen->{x_api_key}, '', 'X-API-KEY stays outside');

# Nobody without a token, wherever it leads.
my @paths = ('/', '/v1', '/v1/jobs', '/v1/jobs/', '/v1/jobs/job_1', '/v1/jobs/job_1/artifacts/x', '/v1/unknown', '/_problem', '/admin', '/metricsx', '/healthz/x',
             '/readyz/x', '/.none', '/v1/jobs/job_1/artifacts', '/index.html', '/V1/JOBS', '/v1/jobs;x', '//_problem');
for my $path (@paths) {
    for my $method (qw(GET POST DELETE PUT OPTIONS)) {
        my $reply = $t->request($method, $path, anonymous => 1, $method eq 'POST' ? (json => {}) : ());
        my $expected = $path =~ /_problem/ ? qr/^(401|404)$/ : qr/^401$/;
        like($reply->{status}, $expected, "$method $path without a token");
    }
}
for my $path ('/', '/v1', '/v1/unknown', '/admin', '/.none', '/index.html', '/_problem') {
    my $reply = $t->request('GET', $path);
    is($reply->{status}, 404, "$path is nothing");
    is($reply->{json}{code}, 'not_found', 'as a document');
    is($reply->{json}{request_id}, $reply->{headers}{'x-request-id'}, 'with its id');
}
is($t->request('POST', '/v1/unknown', json => {})->{status}, 404, 'whatever the method');

# What needs none.
is($t->request('GET', '/healthz', anonymous => 1)->{status}, 200, '/healthz');
is($t->request('GET', '/readyz', anonymous => 1)->{content}, 'ready', '/readyz asks the executor');
is($t->request('GET', '/metrics', anonymous => 1)->{status}, 200, '/metrics from here');

# Replies of the executor come through as they are; its internal redirects do not work.
is($t->request('GET', '/v1/jobs/job_404')->{json}{code}, 'theirs', 'its problem documents are its own');
is($t->request('GET', '/v1/jobs/job_accel')->{content}, 'plain', 'X-Accel-Redirect is not followed');

# Sizes.
is($t->request('POST', '/v1/jobs', json => { language => 'python', code => 'x' x 3_000_000 })->{status}, 200, 'a large body for a job');
my $reply = $t->await($t->begin('POST', '/v1/jobs', headers => { 'Content-Type' => 'application/json', 'Content-Length' => 25 << 20 }, body => 'x'));
is($reply->{status}, 413, 'not larger than the limit');
is($reply->{json}{code}, 'payload_too_large', 'as a document');
is($t->request('DELETE', '/v1/jobs/job_1', body => 'x' x 70_000)->{status}, 413, 'and not elsewhere');
is($t->ask('GET /v1/jobs?' . 'x' x 20_000 . ' HTTP/1.1', 'Host: localhost')->{status}, 414, 'a long URI');
is($t->ask('GET /v1/jobs HTTP/1.1', 'Host: localhost', 'X-Long: ' . 'x' x 20_000)->{status}, 431, 'a long header');

# The access log is JSON, line by line, whatever was asked.
$t->request('GET', '/v1/jobs?a="b"', headers => { 'User-Agent' => "x\"y\\z" });
my @lines = $t->access_log;
my @broken = grep { !eval { JSON::PP->new->decode($_) } } @lines;
is_deeply(\@broken, [], scalar(@lines) . ' lines of access log are JSON');
my ($line) = map { JSON::PP->new->decode($_) } grep { /rid-1/ } @lines;
is_deeply([@{$line}{qw(tenant app agent subject route status auth policy)}], [qw(demo web coder tester jobs.create 200 bearer allow)], 'with what is known of a request');
unlike($t->read_file('logs/access.log'), qr/eyJ/, 'and no token');
$t->request('GET', '/v1/lost%22?secret=hidden');
$t->wait_until(30, sub { scalar grep { /lost/ } $t->access_log });
my $lost = JSON::PP->new->decode((grep { /lost/ } $t->access_log)[0] // "{}");
is("$lost->{uri} $lost->{status}", '/v1/lost%22 404', 'an error is logged under the path that was asked for');
unlike($t->read_file('logs/access.log'), qr/hidden/, 'and no argument');

# The executor is away.
$t->stop('upstream');
unlink $sock;
$reply = $t->request('GET', '/v1/jobs');
is($reply->{status}, 503, 'no executor');
is($reply->{json}{code}, 'unavailable', 'is a document too');
is($t->request('GET', '/readyz', anonymous => 1)->{status}, 503, 'and not ready');
is($t->request('GET', '/healthz', anonymous => 1)->{status}, 200, 'but the gateway lives');

# The production configuration is well-formed: same parts, other addresses.
my $production = Sandbox::_slurp("$Sandbox::ROOT/conf/gateway.conf");
$production =~ s{/etc/ngx_sandbox/context\.key}{$t->{dir}/etc/context.key};
$production =~ s{sandbox_auth_jwks_file \S+;}{sandbox_auth_secret_file $t->{dir}/etc/jwt.secret;};
$production =~ s{/etc/ngx_sandbox/policies}{$t->{dir}/etc/policies};
$production =~ s{/(?:var/(?:log|lib)|run)/ngx_sandbox(?:/denials)?/}{$t->{dir}/tmp/}g;
system("openssl req -x509 -newkey rsa:2048 -nodes -keyout $t->{dir}/etc/tls.key -out $t->{dir}/etc/tls.crt -days 2 -subj /CN=localhost 2>/dev/null");
$production =~ s{/etc/ngx_sandbox/(tls\.\w+)}{$t->{dir}/etc/$1}g;
$production =~ s{modules/ngx_http}{ngx_http};
my $file = $t->write('etc/production.conf', $t->gateway_conf($production));
my $said = `@{[ $t->nginx ]} -t -p $t->{dir} -c $file 2>&1`;
# By its words: a sanitized nginx also reports what it does not free after a test.
like($said, qr/test is successful/, 'conf/gateway.conf');
$t->finish;
done_testing();
