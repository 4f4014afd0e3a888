package Sandbox::Http2;

# A client of HTTP/2 without TLS (RFC 9113) that sends one frame after the other as a test wants them. Of HPACK (RFC 7541) it has what needs
# no table: literals, never indexed.
#
#   my $c = Sandbox::Http2->new($port);
#   my $id = $c->post('/mcp', { Authorization => '...' }, $body);
#   $c->until(5, sub { $c->{data}{$id} =~ /x/ });     # reads until then; true when it was
#   $c->reset($id); $c->{over}{$id}; $c->{goaway}; $c->{closed}

use strict;
use warnings;
use IO::Socket::INET;
use Time::HiRes qw(time);

my %TYPE = (DATA => 0, HEADERS => 1, RST_STREAM => 3, SETTINGS => 4, PING => 6, GOAWAY => 7, WINDOW_UPDATE => 8);
my ($END_STREAM, $ACK, $END_HEADERS) = (1, 1, 4);
my $CANCEL = 8;

sub new {
    my ($class, $port) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or die "connect: $!";
    my $self = bless { socket => $socket, next => 1, in => '', data => {}, over => {} }, $class;
    $self->_put("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    $self->_frame('SETTINGS', 0, 0, '');
    return $self;
}

sub _put {
    my ($self, $bytes) = @_;
    while (length $bytes) {
        my $n = syswrite $self->{socket}, $bytes or die "write: $!";
        substr $bytes, 0, $n, '';
    }
    return;
}

sub _frame {
    my ($self, $type, $flags, $id, $payload) = @_;
    return $self->_put(substr(pack('N', length $payload), 1) . pack('CCN', $TYPE{$type}, $flags, $id) . $payload);
}

# A string as it is, its length with a prefix of seven bits.
sub _text {
    my ($text) = @_;
    my $left = length $text;
    return chr($left) . $text if $left < 127;
    my $length = chr 127;
    for ($left -= 127; $left > 127; $left >>= 7) { $length .= chr($left & 127 | 128) }
    return $length . chr($left) . $text;
}

sub post {
    my ($self, $path, $headers, $body) = @_;
    my $id = $self->{next};
    $self->{next} += 2;
    my @fields = (':method' => 'POST', ':scheme' => 'http', ':path' => $path, ':authority' => 'localhost', 'content-length' => length $body,
        map { lc, $headers->{$_} } sort keys %$headers);
    my $block = '';
    while (my ($name, $value) = splice @fields, 0, 2) { $block .= "\x10" . _text($name) . _text($value) }
    $self->_frame('HEADERS', $END_HEADERS, $id, $block);
    $self->_frame('DATA', $END_STREAM, $id, $body);
    $self->{data}{$id} = '';
    return $id;
}

sub reset { my ($self, $id) = @_; return $self->_frame('RST_STREAM', 0, $id, pack 'N', $CANCEL) }
sub close { my ($self) = @_; return close $self->{socket} }

sub _took {
    my ($self, $type, $flags, $id, $payload) = @_;
    if ($type == $TYPE{DATA}) {
        $self->{data}{$id} .= $payload;
        $self->{over}{$id} = 1 if $flags & $END_STREAM;
    } elsif ($type == $TYPE{HEADERS}) {
        $self->{over}{$id} = 1 if $flags & $END_STREAM;
    } elsif ($type == $TYPE{RST_STREAM}) {
        $self->{cut}{$id} = 1;
    } elsif ($type == $TYPE{SETTINGS}) {
        $self->_frame('SETTINGS', $ACK, 0, '') unless $flags & $ACK;
    } elsif ($type == $TYPE{GOAWAY}) {
        $self->{goaway} = 1;
    }
    return;
}

sub until {
    my ($self, $seconds, $condition) = @_;
    my $end = time + $seconds;
    while (!$condition->()) {
        my $left = $end - time;
        return 0 if $left <= 0 || $self->{closed};
        my $bits = '';
        vec($bits, fileno $self->{socket}, 1) = 1;
        next unless select $bits, undef, undef, $left;
        $self->{closed} = 1 unless sysread $self->{socket}, $self->{in}, 65536, length $self->{in};
        while (length $self->{in} >= 9) {
            my ($length, $type, $flags, $id) = (unpack('N', "\0" . substr $self->{in}, 0, 3), unpack 'x3CCN', $self->{in});
            last if length $self->{in} < 9 + $length;
            my $payload = substr $self->{in}, 9, $length;
            substr $self->{in}, 0, 9 + $length, '';
            $self->_took($type, $flags, $id, $payload);
        }
    }
    return 1;
}

1;
