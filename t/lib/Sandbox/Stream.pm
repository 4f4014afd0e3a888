package Sandbox::Stream;

# A client of server-sent events that reads as far and as fast as a test wants, over executord's socket or through
# the gateway. Keeps what arrived byte for byte: stdout, stderr, events in order.
#
#   my $s = Sandbox::Stream->open($socket, 'GET', $path, {Accept => 'text/event-stream', ...});
#   $s->until(10, sub { $s->{stdout} =~ /x/ });     # reads until then, or the deadline, or the end
#   $s->{status}, $s->{headers}, $s->{events}, $s->{id}

use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP;
use MIME::Base64 qw(decode_base64);
use Sandbox::Contract;
use Socket qw(SOL_SOCKET SO_LINGER SO_RCVBUF);
use Time::HiRes qw(time);

my $JSON = JSON::PP->new->utf8->allow_nonref;
my $SEEN_MAX = 2 << 20;    # more than is looked at

# Straight to executord; $who are members of the identity context.
sub executor {
    my ($class, $t, $method, $path, %option) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => "$t->{dir}/sock/executord.sock") or die "connect: $!";
    my %headers = (Accept => 'text/event-stream', 'Sandbox-Context' => Sandbox::Context::sign($t->{key}, %{ $option{who} || {} }), %{ $option{headers} || {} });
    return $class->open($socket, $method, $path, \%headers, $option{json});
}

sub gateway {
    my ($class, $t, $method, $path, %option) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $option{port} // $t->port) or die "connect: $!";
    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, $option{rcvbuf} if $option{rcvbuf};
    my $token = $option{token} // $t->token(%{ $option{who} || {} });
    my %headers = (Accept => 'text/event-stream', Authorization => "Bearer $token", %{ $option{headers} || {} });
    return $class->open($socket, $method, $path, \%headers, $option{json});
}

sub open {
    my ($class, $socket, $method, $path, $headers, $json) = @_;
    my $body = defined $json ? $JSON->encode($json) : undef;
    my %all = (Host => 'localhost', %$headers);
    @all{ 'Content-Type', 'Content-Length' } = ('application/json', length $body) if defined $body;
    my $self = bless { socket => $socket, raw => '', body => '', text => '', stdout => '', stderr => '', events => [], comments => 0,
                       missed => { stdout => 0, stderr => 0, events => 0 }, pieces => 0, began => time }, $class;
    my $bytes = "$method $path HTTP/1.1\r\n" . join('', map { "$_: $all{$_}\r\n" } grep { defined $all{$_} } sort keys %all) . "\r\n" . ($body // '');
    $self->{owner} = $$;
    Sandbox::Contract::sent($socket, $bytes);
    while (length $bytes) {
        my $n = syswrite $socket, $bytes or die "write: $!";
        substr $bytes, 0, $n, '';
    }
    return $self;
}

# What was had before goes on in this one.
sub follow {
    my ($self, $before) = @_;
    $self->{$_} = $before->{$_} for qw(stdout stderr events missed id);
    return $self;
}

# Reads until $condition holds; true when it does. At most $most bytes off the socket.
sub until {
    my ($self, $seconds, $condition, $most) = @_;
    my $end = time + $seconds;
    my $read = 0;
    while (!$condition->()) {
        my $left = $end - time;
        return 0 if $left <= 0 || $self->{over} || (defined $most && $read >= $most);
        my $bits = '';
        vec($bits, fileno $self->{socket}, 1) = 1;
        next unless select $bits, undef, undef, $left;
        my $want = defined $most && $most - $read < 65536 ? $most - $read : 65536;
        my $n = sysread $self->{socket}, $self->{raw}, $want, length $self->{raw};
        $self->{seen} .= substr $self->{raw}, -$n if $n && Sandbox::Contract::on() && length($self->{seen} // '') <= $SEEN_MAX;
        if (!$n) {
            $self->{over} = $self->{cut} = 1;
            return $condition->();
        }
        $read += $n;
        $self->_parse;
    }
    return 1;
}

# To the end of the answer.
sub finish {
    my ($self, $seconds) = @_;
    $self->until($seconds // 30, sub { $self->{over} });
    return $self;
}

# Up to $n bytes off the socket, then no more: somewhere in the middle of anything.
sub take { my ($self, $n, $seconds) = @_; $self->until($seconds // 30, sub { $self->{over} }, $n); return $self }

sub DESTROY {
    my ($self) = @_;
    Sandbox::Contract::got($self->{socket}, $self->{seen}, cut => !$self->{over}) if $self->{owner} == $$ && defined $self->{seen};
    return;
}

sub leave { my ($self) = @_; $self->DESTROY; delete $self->{seen}; close $self->{socket}; $self->{over} = 1; return $self }

# Leaves with a reset instead of an end.
sub reset {
    my ($self) = @_;
    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
    return $self->leave;
}

sub names { my ($self) = @_; return map { $_->{event} } @{ $self->{events} } }
sub last_event { my ($self, $name) = @_; my @of = grep { $_->{event} eq $name } @{ $self->{events} }; return @of ? $of[-1]{data} : undef }
sub json { my ($self) = @_; return eval { $JSON->decode($self->{body}) } }

sub _parse {
    my ($self) = @_;
    if (!defined $self->{status}) {
        $self->{raw} =~ s/\A(HTTP\/1\.[01] (\d{3}).*?)\r\n\r\n//s or return;
        ($self->{head}, $self->{status}) = ($1, $2);
        $self->{headers}{ lc $1 } = $2 while $self->{head} =~ /^([^:\s]+):\s*(.*?)\r?$/mg;
        $self->{left} = $self->{status} == 204 || $self->{status} == 304 ? 0 : $self->{headers}{'content-length'};
        $self->{chunked} = ($self->{headers}{'transfer-encoding'} // '') =~ /chunked/i;
    }
    my $text = '';
    if ($self->{chunked}) {
        for (;;) {
            if ($self->{chunk}) {
                my $piece = substr $self->{raw}, 0, $self->{chunk}, '';
                $text .= $piece;
                $self->{chunk} -= length $piece;
                last if $self->{chunk};
                $self->{tail} = 1;
            }
            if ($self->{tail}) {
                $self->{raw} =~ s/\A\r\n// or last;
                $self->{tail} = 0;
            }
            $self->{raw} =~ s/\A([0-9a-fA-F]+)\r\n// or last;
            $self->{chunk} = hex $1;
            if (!$self->{chunk}) {
                $self->{over} = 1;
                last;
            }
        }
    } else {
        $text = $self->{raw};
        $self->{raw} = '';
        if (defined $self->{left}) {
            $self->{left} -= length $text;
            $self->{over} = 1 if $self->{left} <= 0;
        }
    }
    if (($self->{headers}{'content-type'} // '') !~ m{^text/event-stream}) {
        $self->{body} .= $text;
        return;
    }
    $self->{text} .= $text;
    $self->_event($1) while $self->{text} =~ s/\A(.*?)\n\n//s;
    return;
}

my %PLAIN = (n => "\n", t => "\t", r => "\r", b => "\b", f => "\f");

# As JSON::PP would have it, many times faster: the two forms that output has.
sub _output {
    my ($json) = @_;
    return { base64 => 1, bytes => decode_base64($1) } if $json =~ /\A\{"base64":"([A-Za-z0-9+\/=]*)"\}\z/;
    my ($text) = $json =~ /\A\{"text":"((?:[^"\\\x00-\x1f]++|\\.)*+)"\}\z/s or die "not output: $json\n";
    $text =~ s/\\(?:u([0-9a-fA-F]{4})|(.))/defined $1 ? do { my $c = chr hex $1; utf8::encode($c); $c } : $PLAIN{$2} \/\/ $2/ge;
    return { text => 1, bytes => $text };
}

sub _event {
    my ($self, $block) = @_;
    my %event = (event => 'message');
    for my $line (split /\n/, $block) {
        if ($line =~ /^:/) {
            $self->{comments}++;
        } elsif ($line =~ /^(event|id|data|retry): ?(.*)$/) {
            $event{$1} = $2;
        } else {
            die "not a line of an event: $line\n";
        }
    }
    return unless exists $event{data};
    my $data = $event{data} = $event{event} =~ /^std/ ? _output($event{data}) : $JSON->decode($event{data});
    $self->{id} = $event{id} if defined $event{id};
    if ($event{event} =~ /^std/) {
        my $bytes = delete $data->{bytes};
        $self->{ $event{event} } .= $bytes;
        $self->{pieces}++;
        $event{bytes} = $bytes;
    } elsif ($event{event} eq 'gap') {
        $self->{missed}{stdout} += $data->{stdout_bytes};
        $self->{missed}{stderr} += $data->{stderr_bytes};
        $self->{missed}{events} += $data->{events};
    }
    push @{ $self->{events} }, \%event;
    return;
}

1;
