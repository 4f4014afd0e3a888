package Sandbox::Workers;

# Each worker of a gateway by a connection of its own, so that one can ask every one of them.
# The server needs `listen 127.0.0.1:PORT reuseport;` and $CONF.
#
#   my $workers = Sandbox::Workers->new($port, 4);
#   my %reply = $workers->each(sub { ... bytes ... });    # pid => parsed reply

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(time);
use Sandbox;

our $CONF = 'location = /worker { sandbox_auth off; return 200 $pid; } keepalive_timeout 600s; keepalive_requests 1000000;';

sub new {
    my ($class, $port, $n) = @_;
    return bless { port => $port, n => $n, socket => {} }, $class;
}

# Whole reply of one exchange on a kept connection; undef when it ended before that. $tell is told its bytes.
sub _exchange {
    my ($socket, $bytes, $seconds, $tell) = @_;
    my $end = time + ($seconds // 30);
    defined syswrite $socket, $bytes or return undef;
    my ($in, $whole) = ('', 0);
    my $select = IO::Select->new($socket);
    while ((my $left = $end - time) > 0) {
        $select->can_read($left) or last;
        sysread $socket, $in, 65536, length $in or last;
        if ($in =~ /\r\n\r\n/ && (my ($length) = $in =~ /^Content-Length: (\d+)\r$/mi)) {
            last if length($in) >= index($in, "\r\n\r\n") + 4 + $length && ($whole = 1);
        }
        last if $in =~ /\r\n0\r\n\r\n\z/ && $in =~ /^Transfer-Encoding: chunked/mi && ($whole = 1);
    }
    return undef unless $whole;
    $tell->($in) if $tell;
    return Sandbox::parse_reply($in);
}

sub _worker {
    my ($socket) = @_;
    my $reply = _exchange($socket, "GET /worker HTTP/1.1\r\nHost: localhost\r\n\r\n");
    return $reply && $reply->{status} == 200 ? $reply->{content} : undef;
}

# Connections to all of them; false when there are not as many within the time.
sub find {
    my ($self, $seconds, @only) = @_;
    my $end = time + ($seconds // 30);
    my %only = map { $_ => 1 } @only;
    $self->{socket} = {};
    while (keys %{ $self->{socket} } < $self->{n} && time < $end) {
        my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}) or next;
        my $pid = _worker($socket) // next;
        next if %only && !$only{$pid};
        $self->{socket}{$pid} //= $socket;
    }
    return keys %{ $self->{socket} } == $self->{n};
}

sub pids { my ($self) = @_; return sort { $a <=> $b } keys %{ $self->{socket} } }

sub ask {
    my ($self, $pid, $bytes) = @_;
    my $socket = $self->{socket}{$pid};
    Sandbox::Contract::sent($socket, $bytes);
    return _exchange($socket, $bytes, undef, sub { Sandbox::Contract::got($socket, $_[0]) });
}

# Asks a worker that $during does something to, most often stops and lets go: its answer comes after that.
sub ask_during {
    my ($self, $pid, $bytes, $during) = @_;
    my $socket = $self->{socket}{$pid};
    Sandbox::Contract::sent($socket, $bytes);
    syswrite $socket, $bytes;
    $during->();
    return _exchange($socket, '', undef, sub { Sandbox::Contract::got($socket, $_[0]) });
}

# pid => reply of every worker to the same bytes.
sub each {
    my ($self, $bytes) = @_;
    return map { $_ => $self->ask($_, $bytes) } $self->pids;
}

1;
