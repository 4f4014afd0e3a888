#!/usr/bin/perl
# Key sets over TLS: the chain and the name are verified, and nothing else is believed.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sandbox::Front;
use Sandbox::Idp;
use Test::More;

my $t = Sandbox::Front->new;
my $dir = "$t->{dir}/etc";
my $idp = Sandbox::Idp->new($t);
$idp->key('k1');
$idp->serve;

# An authority of our own, another one, and certificates by both.
sub run { my @command = @_; system("@command >> $t->{dir}/logs/openssl.log 2>&1") == 0 or die "@command" }
sub authority {
    my ($name) = @_;
    run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=$name -keyout $dir/$name.key -out $dir/$name.pem");
}
sub certificate {
    my ($name, $ca, $names, $days) = @_;
    $t->write("etc/$name.ext", "subjectAltName=$names\n");
    run("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=idp -keyout $dir/$name.key -out $dir/$name.csr");
    run("openssl x509 -req -in $dir/$name.csr -CA $dir/$ca.pem -CAkey $dir/$ca.key -CAcreateserial -days $days -extfile $dir/$name.ext -out $dir/$name.pem");
}
authority($_) for 'ours', 'theirs';
certificate('good', 'ours', 'DNS:localhost,IP:127.0.0.1', 2);
certificate('foreign', 'theirs', 'DNS:localhost,IP:127.0.0.1', 2);
certificate('other', 'ours', 'DNS:id.example.com', 2);
my %port = map { $_ => Sandbox::free_port() } qw(good foreign other);
$t->write('etc/tls.conf', "error_log $t->{dir}/logs/tls.error.log;\npid $t->{dir}/tls.pid;\nevents { }\nhttp { access_log off; @{[ $t->_temp('upstream') ]}\n"
    . join('', map { "server { listen 127.0.0.1:$port{$_} ssl; ssl_certificate $dir/$_.pem; ssl_certificate_key $dir/$_.key; location / { proxy_pass http://127.0.0.1:$idp->{port}; } }\n" } sort keys %port) . "}\n");
$t->_spawn('tls', '/usr/sbin/nginx', '-p', $t->{dir}, '-c', "$dir/tls.conf", '-g', 'daemon off;');
$t->wait_until(30, sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port{good}) }) or die 'no TLS server';

my $n = 0;
sub issuer {
    my ($host, $which, $ca) = @_;
    $n++;
    return "sandbox_issuer https://i$n.example/ { jwks_url https://$host:$port{$which}/jwks.json?n=$n refresh=1h timeout=10s cooldown=1h"
        . ($ca ? " ca=$dir/$ca.pem" : '') . '; tenants acme; }';
}
my @case = (
    ['127.0.0.1', 'good', 'ours', 200, 'a certificate of our authority for this address'],
    ['localhost', 'good', 'ours', 200, 'for this name'],
    ['127.0.0.1', 'foreign', 'ours', 503, 'one of another authority'],
    ['127.0.0.1', 'good', undef, 503, "one of ours when the system's are asked"],
    ['127.0.0.1', 'good', 'theirs', 503, 'when another is asked'],
    ['localhost', 'other', 'ours', 503, 'one for another name'],
    ['127.0.0.1', 'other', 'ours', 503, 'one for a name instead of the address'],
);
$t->start_front(join ' ', map { issuer(@{$_}[0 .. 2]) } @case);
for my $i (1 .. @case) {
    my $case = $case[ $i - 1 ];
    is($t->request('GET', '/', token => $idp->token('k1', iss => "https://i$i.example/"))->{status}, $case->[3], $case->[4]);
}
my @why = $t->error_log =~ /event=jwks\.failed issuer="https:\/\/i(\d)\.example\/" status=0 why="(?:certificate|tls)"/g;
is_deeply([sort keys %{ { map { $_ => 1 } @why } }], [3 .. 7], 'the log says that it was for the certificate');

# A server that speaks no TLS.
$t->reconfigure_front("sandbox_issuer x { jwks_url https://127.0.0.1:$idp->{port}/ timeout=1s cooldown=1h ca=$dir/ours.pem; tenants acme; }");
is($t->request('GET', '/', token => $idp->token('k1', iss => 'x'))->{status}, 503, 'a server without TLS');

# A secret of the key's owner is no reason to believe a new key of anybody's: the set survives a server that changes hands.
ok($t->reconfigure_front(my $conf = issuer('127.0.0.1', 'good', 'ours')), 'a good server');
is($t->request('GET', '/', token => $idp->token('k1', iss => "https://i$n.example/"))->{status}, 200, 'its keys');
my $tls = $t->read_file('etc/tls.conf') =~ s/good\.(pem|key)/foreign.$1/gr;
$t->write('etc/tls.conf', $tls);
$t->stop('tls', 'QUIT');
$t->_spawn('tls', '/usr/sbin/nginx', '-p', $t->{dir}, '-c', "$dir/tls.conf", '-g', 'daemon off;');
$t->wait_until(30, sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port{good}) }) or die 'no TLS server';
$idp->key('evil');
$idp->serve(body => $idp->set('evil'));
my $failed = $t->metric('issuer_fetches_total', qr/result="failed"/);
ok($t->reconfigure_front($conf), 'another server in its place');
ok($t->wait_until(30, sub { $t->metric('issuer_fetches_total', qr/result="failed"/) > $failed }), 'is not heard');
is($t->request('GET', '/', token => $idp->token('evil', iss => "https://i$n.example/"))->{status}, 401, 'its key is not good');
is($t->request('GET', '/', token => $idp->token('k1', iss => "https://i$n.example/"))->{status}, 200, 'the old one is');
$t->finish;
done_testing();
