package Sandbox::Opa;

# A policy service of which each answer is scripted: who is named as `subject` says what becomes of the question. A process for
# each connection; what came is kept in a file.
#
#   my $opa = Sandbox::Opa->new($t, deny => sub { my ($socket, $input) = @_; ... });   # returns true to keep the connection
#   Sandbox::Opa::reply($socket, 200, '{"result":...}');

use strict;
use warnings;
use IO::Socket::INET;
use JSON::PP;
use Socket qw(IPPROTO_TCP TCP_NODELAY);

my $JSON = JSON::PP->new->canonical->utf8->allow_nonref;

sub reply {
    my ($socket, $status, $body, %option) = @_;
    my $head = $option{head} // "Content-Type: application/json\r\nContent-Length: " . length($body) . "\r\n";
    _put($socket, "HTTP/1.1 $status X\r\n$head\r\n$body");
    return 1;
}

sub _put {
    my ($socket, $bytes) = @_;
    while (length $bytes) {
        my $n = syswrite $socket, $bytes or return 0;
        substr $bytes, 0, $n, '';
    }
    return 1;
}

sub new {
    my ($class, $t, %script) = @_;
    my $listen = IO::Socket::INET->new(Listen => 128, LocalAddr => '127.0.0.1', LocalPort => 0, ReuseAddr => 1) or die $!;
    my $self = bless { port => $listen->sockport, seen => "$t->{dir}/opa.seen", listen => $listen, script => \%script, t => $t }, $class;
    return $self->start;
}

sub port { $_[0]{port} }

sub start {
    my ($self) = @_;
    my $pid = fork // die $!;
    if (!$pid) {
        POSIX::setsid();
        $SIG{$_} = 'DEFAULT' for qw(TERM INT HUP);
        $SIG{CHLD} = 'IGNORE';
        while (1) {
            my $socket = $self->{listen}->accept or next;
            next if fork;
            close $self->{listen};
            setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
            $self->_serve($socket);
            POSIX::_exit(0);
        }
    }
    $self->{t}{pid}{opa} = $pid;
    return $self;
}

# All of it, connections too.
sub stop {
    my ($self) = @_;
    my $pid = delete $self->{t}{pid}{opa} or return;
    kill 'KILL', -$pid;
    waitpid $pid, 0;
    return;
}

sub _serve {
    my ($self, $socket) = @_;
    my $buffer = '';
    while (1) {
        while ($buffer !~ /\r\n\r\n/) { sysread $socket, $buffer, 65536, length $buffer or return }
        my ($head, $rest) = split /\r\n\r\n/, $buffer, 2;
        my ($length) = $head =~ /^Content-Length: (\d+)/mi or return;
        while (length $rest < $length) { sysread $socket, $rest, 65536, length $rest or return }
        my $body = substr $rest, 0, $length, '';
        $buffer = $rest;
        my $question = eval { $JSON->decode($body) };
        open my $out, '>>', $self->{seen} or die $!;
        syswrite $out, $JSON->encode({ head => $head, question => $question, connection => $$ }) . "\n";
        close $out;
        my $name = $question->{input}{subject} // '';
        my $script = $self->{script}{$name} // $self->{script}{default};
        return unless $script->($socket, $question->{input});
    }
}

# What was asked so far, in order.
sub seen { my ($self) = @_; return map { $JSON->decode($_) } split /\n/, Sandbox::_slurp($self->{seen}) }
sub forget { my ($self) = @_; unlink $self->{seen}; return }

1;
