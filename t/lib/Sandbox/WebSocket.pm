package Sandbox::WebSocket;

# A WebSocket client, core modules alone: over executord's socket or through the gateway. Frames are kept in `text`
# (decoded) and `binary`; hostile ones are made with frame().
#
#   my $w = Sandbox::WebSocket->open($socket, "$path/ws", headers => {...}); $w->{status};
#   $w->type("ls\n"); $w->control({ resize => { rows => 1, cols => 1 } }); $w->until(10, sub { ... }); $w->{code};

use strict;
use warnings;
use Digest::SHA qw(sha1_base64);
use IO::Select;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use Sandbox::Contract;
use Time::HiRes qw(time);

my $JSON = JSON::PP->new->utf8->canonical;

sub open {
    my ($class, $socket, $path, %option) = @_;
    my $key = encode_base64(join('', map { chr int rand 256 } 1 .. 16), '');
    my %headers = (Host => 'executor', Connection => 'Upgrade', Upgrade => 'websocket', 'Sec-WebSocket-Version' => 13, 'Sec-WebSocket-Key' => $key, %{ $option{headers} || {} });
    my $self = bless { socket => $socket, in => '', binary => '', text => [], pings => 0 }, $class;
    my $bytes = "GET $path HTTP/1.1\r\n" . join('', map { defined $headers{$_} ? "$_: $headers{$_}\r\n" : () } sort keys %headers) . "\r\n";
    Sandbox::Contract::sent($socket, $bytes);
    syswrite $socket, $bytes;
    my $until = time + 30;
    $self->fill(0.2) while $self->{in} !~ /\r\n\r\n/ && !$self->{eof} && time < $until;
    ($self->{status}) = $self->{in} =~ m{^HTTP/1\.1 (\d+)};
    $self->{head} = $1 if $self->{in} =~ s/^(.*?\r\n\r\n)//s;
    my $left = ($self->{status} // 101) == 101 ? 0 : ($self->{head} // '') =~ /^Content-Length: (\d+)/mi ? $1 : 0;
    $self->fill(0.2) while length $self->{in} < $left && !$self->{eof} && time < $until;
    Sandbox::Contract::got($socket, $self->{head} . substr $self->{in}, 0, $left) if $self->{head};
    my $expected = sha1_base64($headers{'Sec-WebSocket-Key'} // '', '258EAFA5-E914-47DA-95CA-C5AB0DC85B11') . '=';
    $self->{accepted} = ($self->{head} // '') =~ /^Sec-WebSocket-Accept: \Q$expected\E\r$/m;
    return $self;
}

sub fill {
    my ($self, $seconds) = @_;
    return if !IO::Select->new($self->{socket})->can_read($seconds);
    $self->{eof} = 1 if !sysread $self->{socket}, $self->{in}, 65536, length $self->{in};
    return;
}

# fin and opcode, length, mask, payload.
sub frame {
    my ($opcode, $data, %option) = @_;
    my $first = ($option{fin} // 1 ? 0x80 : 0) | ($option{rsv} // 0) << 4 | $opcode;
    my $mask = $option{unmasked} ? '' : pack 'N', int rand 2**32;
    my $bit = $option{unmasked} ? 0 : 0x80;
    my $len = $option{length} // length $data;
    my $head = $len < 126 ? pack('CC', $first, $bit | $len) : $len < 65536 ? pack('CCn', $first, $bit | 126, $len) : pack('CCNN', $first, $bit | 127, $len >> 32, $len & 0xffffffff);
    $data ^= substr $mask x (1 + length($data) / 4), 0, length $data if $mask ne '';
    return $head . $mask . $data;
}

sub raw { my ($self, $bytes) = @_; local $SIG{PIPE} = 'IGNORE'; my $at = 0; while ($at < length $bytes) { $at += syswrite($self->{socket}, $bytes, length($bytes) - $at, $at) // return } return }
sub type { my ($self, $bytes) = @_; $self->raw(frame(2, $bytes)); return }
sub control { my ($self, $document) = @_; $self->raw(frame(1, $JSON->encode($document))); return }
sub leave { my ($self) = @_; close $self->{socket}; return }

sub take {
    my ($self) = @_;
    while ($self->{in} =~ /^(.)(.)/s) {
        my ($first, $second) = (ord $1, ord $2);
        my ($len, $at) = ($second & 127, 2);
        die "the server masks\n" if $second & 128;
        if ($len == 126) { return if length $self->{in} < 4; ($len, $at) = (unpack('x2n', $self->{in}), 4) }
        elsif ($len == 127) { return if length $self->{in} < 10; ($len, $at) = (unpack('x6N', $self->{in}), 10) }
        return if length $self->{in} < $at + $len;
        my $data = substr $self->{in}, $at, $len;
        substr $self->{in}, 0, $at + $len, '';
        my $opcode = $first & 15;
        if ($opcode == 2) { $self->{binary} .= $data }
        elsif ($opcode == 1) { my $d = $JSON->decode($data); push @{ $self->{text} }, $d; $self->{$_} = $d->{$_} for keys %$d }
        elsif ($opcode == 9) { $self->{pings}++; $self->raw(frame(10, $data)) }
        elsif ($opcode == 10) { $self->{pong} = $data }
        elsif ($opcode == 8) { ($self->{code}, $self->{reason}) = (unpack('n', $data), substr $data, 2); $self->raw(frame(8, substr $data, 0, 2)) }
    }
    return;
}

# Until it is so, or the connection or the time is over.
sub until {
    my ($self, $seconds, $is_so) = @_;
    my $until = time + $seconds;
    while (1) {
        $self->take;
        return 1 if $is_so->();
        return 0 if $self->{eof} || time > $until;
        $self->fill(0.1);
    }
}
sub finish { my ($self, $seconds) = @_; $self->until($seconds // 30, sub { 0 }); return $self }

1;
