package Sandbox::Edge;

# The gateway alone: real nginx with the module before a plain nginx that answers
# with what reached it. For tests of the edge that need no executor.
#
#   my $t = Sandbox::Edge->new;
#   $t->start_edge('sandbox_auth on; ...', locations => 'location /x { ... }');
#   my $seen = $t->seen('/v1/jobs', token => $token);     # what the upstream saw

use strict;
use warnings;
use parent 'Sandbox';
use Digest::SHA qw(hmac_sha256 hmac_sha384 hmac_sha512);
use HTTP::Tiny;
use JSON::PP;
use MIME::Base64 qw(encode_base64url decode_base64url);
use Test::More ();

$Sandbox::OUT = $ENV{SANDBOX_OUT} if $ENV{SANDBOX_OUT};
my $JSON = JSON::PP->new->canonical->utf8->allow_nonref;

my @SEEN = qw(sandbox_context x_request_id traceparent authorization x_api_key x_tenant_id x_sandbox_role
              x_session_token x_other cookie content_length);

sub new {
    my ($class, %option) = @_;
    my $self = $class->SUPER::new(%option);
    my %port = map { $_ => Sandbox::free_port() } 1 .. 2;
    $self->{upstream_port} = $port{2};
    mkdir "$self->{dir}/tmp/$_" for qw(gateway upstream);
    return $self;
}

# Directories nginx would otherwise make in the system's.
sub _temp {
    my ($self, $name) = @_;
    return join ' ', map { "${_}_temp_path $self->{dir}/tmp/$name/$_;" } qw(client_body proxy fastcgi uwsgi scgi);
}

sub _upstream_conf {
    my ($self) = @_;
    my $fields = join ',', map { qq("$_":"\$http_$_") } @SEEN;
    return <<"END";
error_log $self->{dir}/logs/upstream.error.log;
pid $self->{dir}/upstream.pid;
worker_processes 1;
events { }
http {
    access_log off;
    @{[ $self->_temp('upstream') ]}
    large_client_header_buffers 4 32k;
    server {
        listen 127.0.0.1:$self->{upstream_port};
        location / { default_type application/json;
            return 200 '{"method":"\$request_method","uri":"\$request_uri",$fields}'; }
        # As a tool answers: its result's members.
        location /tool { default_type application/vnd.sandbox.tool+json;
            return 200 '{"content":[],"structuredContent":{"method":"\$request_method","uri":"\$request_uri",$fields}}'; }
        location /own { add_header X-Request-Id theirs; add_header traceparent theirs; return 200 'own'; }
        location /missing { default_type application/json; return 404 '{"code":"theirs"}'; }
        # Pieces that end within one of the gateway's buffers: nginx 1.22 forgets the read timer of an upstream that pauses
        # exactly at a buffer's end, and so would not wait for it when it reloads.
        location /slow { limit_rate 15001; root $self->{dir}/www; }
    }
}
END
}

# $http goes to the http block. Options: locations, server, workers, main, no_default.
sub edge_conf {
    my ($self, $http, %option) = @_;
    my $locations = $option{locations} // '';
    my $default = $option{no_default} ? '' : 'location / { proxy_pass http://up$sandbox_uri; }';
    return <<"END";
load_module ngx_http_sandbox_module.so;
error_log $self->{dir}/logs/error.log info;
pid $self->{dir}/gateway.pid;
worker_processes @{[ $option{workers} // 1 ]};
@{[ $option{main} // '' ]}
events { worker_connections 512; }
http {
    log_format edge '\$request_method \$uri \$status id=\$sandbox_request_id tenant=\$sandbox_tenant '
                    'app=\$sandbox_app agent=\$sandbox_agent sub=\$sandbox_subject method=\$sandbox_auth_method '
                    'cache=\$sandbox_auth_cache denied=\$sandbox_denied scopes=\$sandbox_scopes';
    access_log $self->{dir}/logs/access.log edge;
    @{[ $self->_temp('gateway') ]}
    large_client_header_buffers 4 16k;
    client_header_timeout 5s;
    client_body_timeout 5s;
    client_max_body_size 1k;
    sandbox_context_key_file $self->{dir}/etc/context.key;
    upstream up { server 127.0.0.1:$self->{upstream_port}; keepalive 8; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Sandbox-Context \$sandbox_context;
    proxy_set_header X-Request-Id \$sandbox_request_id;
    proxy_set_header traceparent \$sandbox_traceparent;
    proxy_set_header Authorization "";
    proxy_set_header X-API-KEY "";
    error_page 400 403 404 405 411 413 414 416 421 429 495 496 497 500 501 502 503 504 505 /_problem;
    error_page 494 =431 /_problem;
    $http
    server {
        listen 127.0.0.1:@{[ $self->port ]};
        @{[ $option{server} // '' ]}
        location = /_problem { internal; sandbox_problem; }
        location = /healthz { sandbox_health; }
        $locations
        $default
    }
}
END
}

sub start_upstream {
    my ($self) = @_;
    $self->write('etc/upstream.conf', $self->_upstream_conf);
    $self->_spawn('upstream', '/usr/sbin/nginx', '-p', $self->{dir}, '-c', "$self->{dir}/etc/upstream.conf", '-g', 'daemon off;');
    $self->wait_until(30, sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{upstream_port}) })
        or $self->_died('upstream');
    return $self;
}

sub start_edge {
    my ($self, $http, %option) = @_;
    $self->start_upstream unless $self->{pid}{upstream};
    return $self->start_gateway(conf => $self->edge_conf($http, %option));
}

# Rewrites the configuration and waits until only workers of the new one are left.
sub reconfigure {
    my ($self, $http, %option) = @_;
    my @old = $self->gateway_workers;
    $self->write('etc/gateway.conf', $self->gateway_conf($self->edge_conf($http, %option)));
    $self->reload_gateway;
    return $self->workers_renewed(@old);
}

# Whether nginx would start with this; its words second.
sub accepts {
    my ($self, $http, %option) = @_;
    my $file = $self->write('etc/try.conf', $self->gateway_conf($self->edge_conf($http, %option)));
    local %ENV = (%ENV, %{ $option{env} || {} });
    delete $ENV{$_} for grep { !defined $ENV{$_} } keys %ENV;
    # A test of the configuration exits with its memory held, by nginx's intent.
    $ENV{ASAN_OPTIONS} = ($ENV{ASAN_OPTIONS} // '') . ':detect_leaks=0';
    my $nginx = $self->nginx;
    my $said = `$nginx -t -p $self->{dir} -c $file 2>&1`;
    return ($? == 0, $said);
}

# What the upstream saw of one request; undef when it was not reached.
sub seen {
    my ($self, $path, %option) = @_;
    my $reply = $self->request($option{method} // 'GET', $path, %option);
    return $reply->{status} == 200 ? $reply->{json} : undef;
}

# One raw request, lines without their ends, the last one `Connection: close`; the parsed reply.
sub ask {
    my ($self, @lines) = @_;
    return Sandbox::parse_reply($self->raw(join('', map { "$_\r\n" } @lines, '')));
}

my %MAC = (HS256 => \&hmac_sha256, HS384 => \&hmac_sha384, HS512 => \&hmac_sha512);

# Any token: header and claims as data or as JSON text; key is a secret, or a sub from the signed bytes to the signature.
sub jwt {
    my ($self, $header, $claims, $key) = @_;
    my $body = join '.', map { encode_base64url(ref $_ ? $JSON->encode($_) : $_) } $header, $claims;
    $key //= $self->{secret};
    my $alg = ref $header ? $header->{alg} : ($header =~ /"(HS\d+)"/)[0];
    my $signature = ref $key ? $key->($body) : $MAC{ $alg // '' } ? $MAC{$alg}->($body, $key) : hmac_sha256($body, $key);
    return "$body." . encode_base64url($signature);
}

# Claims of a good token, with changes; undef removes one.
sub claims {
    my ($self, %change) = @_;
    my %all = (sub => 'tester', tenant => 'demo', iss => 'local', aud => 'sandbox', iat => int(time), exp => int(time) + 600, %change);
    delete $all{$_} for grep { !defined $all{$_} } keys %all;
    return \%all;
}

# The signed context as data, after checking its form and MAC here, with other code than the module's.
sub open_context {
    my ($self, $value, $key) = @_;
    my ($signed, $json, $mac) = ($value // '') =~ /^((?:v1)\.([A-Za-z0-9_-]+))\.([A-Za-z0-9_-]{43})$/ or return undef;
    return undef unless encode_base64url(hmac_sha256($signed, $key // $self->{key})) eq $mac;
    return $JSON->decode(decode_base64url($json));
}

sub access_log { my ($self) = @_; return split /\n/, $self->read_file('logs/access.log') }
sub error_log { my ($self) = @_; return $self->read_file('logs/error.log') }

# Whether the last line of the access log comes to match: a worker writes it after the client has its answer.
sub logs {
    my ($self, $like, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $self->wait_until(30, sub { (($self->access_log)[-1] // '') =~ $like });
    return Test::More::like(($self->access_log)[-1], $like, $name);
}

1;
