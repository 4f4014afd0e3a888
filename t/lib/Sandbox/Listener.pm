package Sandbox::Listener;

# A client of subscriptions/listen: what came of a stream, message by message.
#
#   my $l = Sandbox::Listener->begin($t, $mcp, filter => { toolsListChanged => JSON::PP::true }, token => $token);
#   $l->hear(2, 5);           # reads until there were two messages; true when there were
#   @{ $l->{messages} }, $l->{comments}, $l->ended

use strict;
use warnings;
use parent 'Sandbox::Stream';
use JSON::PP;
use Time::HiRes qw(time);

my $JSON = JSON::PP->new->canonical->utf8->allow_nonref;

# Options: filter, id, path, port, token, rcvbuf.
sub begin {
    my ($class, $t, $mcp, %option) = @_;
    my $message = $mcp->message('subscriptions/listen', { notifications => $option{filter} // { toolsListChanged => JSON::PP::true } },
        exists $option{id} ? (id => $option{id}) : ());
    my $self = $class->gateway($t, 'POST', $option{path} // $mcp->{path}, json => $message, token => $option{token} // $t->token,
        headers => $mcp->headers($message), port => $option{port}, rcvbuf => $option{rcvbuf});
    $self->{asked} = $message->{id};
    return $self;
}

sub messages { my ($self) = @_; return map { $_->{data} } @{ $self->{events} } }
sub methods { my ($self) = @_; return map { $_->{method} // 'result' } $self->messages }
sub hear { my ($self, $n, $seconds) = @_; return $self->until($seconds // 30, sub { @{ $self->{events} } >= $n }) }

# Whatever comes within the time; the number of messages so far.
sub listen_for { my ($self, $seconds) = @_; $self->until($seconds, sub { 0 }); return scalar @{ $self->{events} } }

# True when the stream ended as a whole reply does, false when it was cut off or goes on.
sub ended { my ($self, $seconds) = @_; $self->until($seconds // 30, sub { $self->{over} }); return $self->{over} && !$self->{cut} }
sub was_cut { my ($self, $seconds) = @_; $self->until($seconds // 30, sub { $self->{over} }); return $self->{cut} }

1;
