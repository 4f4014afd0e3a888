package Sandbox::Contract;

# Keeps every reply that a test sees from a gateway or from executord, for t/contract/validate.py: one line of JSON each in
# $SANDBOX_CONTRACT_DIR/<pid>.ndjson. Without that variable nothing is kept and nothing is slower.
#
#   Sandbox::Contract::serves($port_or_socket_path, $who);   # gateway, executor; edge: a gateway before no executor of ours
#   Sandbox::Contract::sent($socket, $bytes);                # a test that does its own reading and writing
#   Sandbox::Contract::got($socket, $bytes);

use strict;
use warnings;
use Fcntl qw(O_APPEND O_CREAT O_WRONLY);
use HTTP::Tiny;
use MIME::Base64 qw(encode_base64);
use POSIX ();

my $BODY_MAX = 1 << 20;
my $HEAD_MAX = 65536;
my $dir = $ENV{SANDBOX_CONTRACT_DIR};
my ($fd, $owner) = (undef, 0);
my %who;
my ($program) = $0 =~ m{((?:t|build)/.*)\z} ? $1 : $0;
$program =~ s/[^\w.\/-]/_/g;

sub on { return defined $dir }

# The later one to say so counts: ports are used again.
sub serves { my ($address, $who) = @_; $who{$address} = $who; return }

# Asked for before anything is sent: a connection that was reset has no peer.
sub _who {
    my ($socket) = @_;
    return undef unless defined $socket;    # gone, when the program ends with one open
    return ${*$socket}{sbx_contract_who} if exists ${*$socket}{sbx_contract_who};
    my $address = $socket->isa('IO::Socket::UNIX') ? $socket->peerpath : eval { $socket->peerport };
    return ${*$socket}{sbx_contract_who} = defined $address ? $who{$address} : undef;
}

# Of an exchange as bytes; `plain` when chunks were undone, `cut` when more came than was read.
sub _keep {
    my ($who, $request, $reply, %flag) = @_;
    if ($owner != $$) {
        POSIX::close($fd) if defined $fd;
        $fd = POSIX::open("$dir/$$.ndjson", O_WRONLY | O_APPEND | O_CREAT, 0644) // die "$dir: $!";
        $owner = $$;
    }
    # A long request is of interest for its head, and for what comes after its end when that is short.
    $request = substr $request, 0, $HEAD_MAX if length $request > $HEAD_MAX;
    my $max = $HEAD_MAX + $BODY_MAX;
    $flag{cut} = 1 if length $reply > $max;
    my $line = qq({"program":"$program","who":"$who",) . join('', map { $flag{$_} ? qq("$_":true,) : () } sort keys %flag)
        . '"request":"' . encode_base64($request, '') . '","reply":"' . encode_base64(substr($reply, 0, $max), '') . qq("}\n);
    while (length $line) {
        my $n = POSIX::write($fd, $line, length $line) // return;
        substr $line, 0, $n, '';
    }
    return;
}

sub sent {
    my ($socket, $bytes) = @_;
    return unless $dir && length $bytes && _who($socket);
    ${*$socket}{sbx_contract_sent} //= '';
    ${*$socket}{sbx_contract_sent} .= substr $bytes, 0, $HEAD_MAX if length ${*$socket}{sbx_contract_sent} < $HEAD_MAX;
    return;
}

sub got {
    my ($socket, $bytes, %flag) = @_;
    my $who = $dir && length($bytes // '') ? _who($socket) : undef;
    _keep($who, delete ${*$socket}{sbx_contract_sent} // '', $bytes, %flag) if defined $who;
    return;
}

# Bodies that nothing looks into are left out.
sub _tiny {
    my ($method, $url, $args, $reply) = @_;
    my ($port, $path) = $url =~ m{^http://[^/:]+:(\d+)(/.*)?\z}s or return;
    my $who = $who{$port};
    return if !defined $who || $reply->{status} == 599;    # its own word for no reply
    my %headers = (%{ $args->{headers} || {} });
    my $request = "$method " . ($path // '/') . " HTTP/1.1\r\n" . join('', map { "$_: $headers{$_}\r\n" } grep { !/^authorization$/i && !ref $headers{$_} } sort keys %headers) . "\r\n";
    my $looked = ($reply->{headers}{'content-type'} // '') =~ m{json|event-stream};
    my $head = "HTTP/1.1 $reply->{status} x\r\n";
    for my $name (sort keys %{ $reply->{headers} }) {
        my $value = $reply->{headers}{$name};
        $head .= "$name: $_\r\n" for ref $value ? @$value : $value;
    }
    _keep($who, $request, "$head\r\n" . ($looked ? $reply->{content} // '' : ''), plain => 1, cut => !$looked || $args->{data_callback} ? 1 : 0);
    return;
}

if ($dir) {
    no warnings 'redefine';
    my $request = HTTP::Tiny->can('request');
    *HTTP::Tiny::request = sub {
        my ($self, $method, $url, $args) = @_;
        my $reply = $request->(@_);
        _tiny($method, $url, $args || {}, $reply);
        return $reply;
    };
}

1;
