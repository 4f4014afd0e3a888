package Sandbox::Mux;

# The executor's end of a conversation with a session agent (lib/sbx_mux.h), for tests.
#
#   my $mux = Sandbox::Mux->attach($agent);               # after $agent->session('python')
#   my $channel = $mux->open({ op => 'step', context => 'main', ... });
#   $channel->data($code)->shut;                          # stream 0, within the window
#   $channel->note({ interrupt => JSON::PP::true });
#   my $outcome = $channel->end;                          # decoded END, after whatever came before it
#   $channel->{out}[1]; $channel->{notes}[0];             # bytes by stream; decoded notes in order
#   $mux->wait(sub { length $channel->{out}[1] > 3 }) or die;
#
# What arrives is credited at once, unless $channel->{hoard} is set: then by $channel->credit($n).

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);

our ($OPEN, $NOTE, $DATA, $SHUT, $CREDIT, $END, $RESET) = 1 .. 7;
our ($CHUNK, $WINDOW) = (65536, 262144);
my $JSON = JSON::PP->new->canonical->utf8->allow_nonref;

sub new {
    my ($class, $socket) = @_;
    $socket->blocking(0);
    binmode $socket;
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;    # fails for what is no TCP, and does not matter then
    return bless { socket => $socket, in => '', out => '', last => 0, channels => {}, lost => 0 }, $class;
}

# Of a standalone agent's current session. Dies unless the agent agrees.
sub attach {
    my ($class, $agent, %more) = @_;
    my ($socket, $reply) = request($agent, { sessionId => $agent->{session}, %more }, 'X-Session-Token' => $Sandbox::Agent::TOKEN);
    die "not attached: $reply" unless $reply =~ /^HTTP\/1.1 200 /;
    return $class->new($socket);
}

# The socket and the whole answer to POST /v1/attach.
sub request {
    my ($agent, $document, %headers) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $agent->{port}, Timeout => 10) or die $!;
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;    # small frames, one after the other
    my $body = ref $document ? $JSON->encode($document) : $document;
    print {$socket} "POST /v1/attach HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: " . length($body)
        . "\r\n" . join('', map { "$_: $headers{$_}\r\n" } sort keys %headers) . "\r\n$body";
    $socket->flush;
    my ($reply, $end) = ('', time + 20);
    until ($reply =~ /\r\n\r\n/) {
        IO::Select->new($socket)->can_read($end - time) or die "no answer to attach\n";
        sysread $socket, $reply, 1, length $reply or last;    # not one byte of what follows
    }
    return ($socket, $reply);
}

sub frame {
    my ($channel, $type, $body, $stream, $length) = @_;
    return pack('VVCCv', $channel, $length // length $body, $type, $stream // 0, 0) . $body;
}

sub raw { my ($self, $bytes) = @_; $self->{out} .= $bytes; $self->turn(0); return $self }

sub open {
    my ($self, $request) = @_;
    my $channel = bless {
        mux => $self, number => ++$self->{last}, window => $WINDOW, waiting => '', out => ['', '', '', ''], notes => [],
        order => [],
    }, 'Sandbox::Mux::Channel';
    $self->{channels}{ $channel->{number} } = $channel;
    $self->raw(frame($channel->{number}, $OPEN, ref $request ? $JSON->encode($request) : $request));
    return $channel;
}

# An operation without data: its outcome.
sub ask {
    my ($self, $request, $data) = @_;
    my $channel = $self->open($request);
    $channel->data($data) if defined $data;
    return $channel->shut->end;
}

# Takes what is there and gives what goes; waits so long for either.
sub turn {
    my ($self, $patience) = @_;
    return if $self->{lost};
    my $select = IO::Select->new($self->{socket});
    my ($readable, $writable) = IO::Select->select($select, length $self->{out} ? $select : undef, undef, $patience);
    if ($writable && @$writable) {
        local $SIG{PIPE} = 'IGNORE';
        my $n = syswrite $self->{socket}, $self->{out};
        if (defined $n) { substr $self->{out}, 0, $n, '' }
        elsif (!$!{EAGAIN}) { $self->{lost} = 1 }
    }
    if ($readable && @$readable) {
        my $n = sysread $self->{socket}, $self->{in}, 1 << 20, length $self->{in};
        if (!$n && !$!{EAGAIN} || defined $n && $n == 0) { $self->{lost} = 1 }
        $self->_parse;
    }
}

sub _parse {
    my ($self) = @_;
    while (length $self->{in} >= 12) {
        my ($number, $length, $type, $stream) = unpack 'VVCC', $self->{in};
        last if length $self->{in} < 12 + $length;
        my $body = substr $self->{in}, 12, $length;
        substr $self->{in}, 0, 12 + $length, '';
        my $channel = $self->{channels}{$number} or die "a frame of type $type on channel $number\n";
        $channel->_frame($type, $stream, $body);
    }
}

# Turns until the condition holds; false when it does not in time, or the agent is lost.
sub wait {
    my ($self, $condition, $seconds) = @_;
    my $end = time + ($seconds // 30);
    until ($condition->()) {
        return 0 if $self->{lost} || time > $end;
        $self->turn(0.1);
    }
    return 1;
}

sub close { my ($self) = @_; $self->{lost} = 1; close $self->{socket} if $self->{socket}; delete $self->{socket} }

package Sandbox::Mux::Channel;

sub _frame {
    my ($self, $type, $stream, $body) = @_;
    die "frame $type after END\n" if $self->{ended};
    if ($type == $NOTE) {
        push @{ $self->{notes} }, $JSON->decode($body);
        push @{ $self->{order} }, 'note';
    } elsif ($type == $DATA) {
        $self->{out}[$stream] .= $body;
        push @{ $self->{order} }, $stream unless @{ $self->{order} } && $self->{order}[-1] eq $stream;
        $self->{mux}{out} .= Sandbox::Mux::frame($self->{number}, $CREDIT, pack 'V', length $body) unless $self->{hoard};
    } elsif ($type == $CREDIT) {
        $self->{window} += unpack 'V', $body;
        die "more credit than was sent\n" if $self->{window} > $WINDOW;
        $self->_flush;
    } elsif ($type == $END) {
        $self->{ended} = $JSON->decode($body);
        delete $self->{mux}{channels}{ $self->{number} };
    } else {
        die "a frame of type $type from the agent\n";
    }
}

sub _flush {
    my ($self) = @_;
    while (length $self->{waiting} && $self->{window} > 0) {
        my $n = length $self->{waiting};
        $n = $self->{window} if $n > $self->{window};
        $n = $CHUNK if $n > $CHUNK;
        $self->{mux}{out} .= Sandbox::Mux::frame($self->{number}, $DATA, substr($self->{waiting}, 0, $n, ''));
        $self->{window} -= $n;
    }
    if ($self->{shut_due} && !length $self->{waiting}) {
        $self->{shut_due} = 0;
        $self->{mux}{out} .= Sandbox::Mux::frame($self->{number}, $SHUT, '');
    }
    return $self;
}

sub _send { my ($self, $type, $body) = @_; $self->{mux}->raw(Sandbox::Mux::frame($self->{number}, $type, $body)); return $self }

sub data { my ($self, $bytes) = @_; $self->{waiting} .= $bytes; $self->_flush; $self->{mux}->turn(0); return $self }
sub shut { my ($self) = @_; $self->{shut_due} = 1; $self->_flush; $self->{mux}->turn(0); return $self }
sub note { my ($self, $note) = @_; return $self->_send($NOTE, ref $note ? $JSON->encode($note) : $note) }
sub credit { my ($self, $n) = @_; return $n > 0 ? $self->_send($CREDIT, pack 'V', $n) : $self }
sub reset { my ($self) = @_; return $self->_send($RESET, '') }

# The outcome; undef when it does not come.
sub end {
    my ($self, $seconds) = @_;
    $self->{mux}->wait(sub { $self->{ended} }, $seconds);
    return $self->{ended};
}

1;
