package Sandbox::Backend;

# An upstream of which each answer is scripted: the last part of the path of a request says what becomes of it. A process for each connection;
# what came is kept in a file, and how a connection ended.
#
#   my $backend = Sandbox::Backend->new($t, good => sub { my ($socket, $request) = @_; ... });   # returns true to keep the connection
#   Sandbox::Backend::reply($socket, 200, '{"a":1}', type => 'application/json');
#   $backend->seen                        # requests so far: method, path, query, headers, body

use strict;
use warnings;
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64;
use POSIX ();
use Socket qw(IPPROTO_TCP TCP_NODELAY);

my $JSON = JSON::PP->new->canonical->latin1->allow_nonref;
our $TOOL = 'application/vnd.sandbox.tool+json';

sub put {
    my ($socket, $bytes) = @_;
    while (length $bytes) {
        my $n = syswrite $socket, $bytes or return 0;
        substr $bytes, 0, $n, '';
    }
    return 1;
}

# A whole reply. Options: type, headers, chunked.
sub reply {
    my ($socket, $status, $body, %option) = @_;
    my %headers = ('Content-Type' => $option{type} // $TOOL, %{ $option{headers} || {} });
    $headers{ $option{chunked} ? 'Transfer-Encoding' : 'Content-Length' } = $option{chunked} ? 'chunked' : length $body;
    my $head = join '', map { "$_: $headers{$_}\r\n" } grep { defined $headers{$_} } sort keys %headers;
    $body = sprintf("%x\r\n%s\r\n0\r\n\r\n", length $body, $body) if $option{chunked};
    return put($socket, "HTTP/1.1 $status X\r\n$head\r\n$body");
}

# A stream of events, in these pieces; `pause` seconds between them. Ends whole, unless `cut`.
sub stream {
    my ($socket, $pieces, %option) = @_;
    put($socket, "HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n") or return 0;
    for my $piece (@$pieces) {
        select undef, undef, undef, $option{pause} if $option{pause};
        put($socket, sprintf "%x\r\n%s\r\n", length $piece, $piece) or return 0;
    }
    return $option{cut} ? 0 : put($socket, "0\r\n\r\n");
}

sub new {
    my ($class, $t, %script) = @_;
    my $listen = IO::Socket::INET->new(Listen => 128, LocalAddr => '127.0.0.1', LocalPort => 0, ReuseAddr => 1) or die $!;
    my $self = bless { port => $listen->sockport, file => "$t->{dir}/backend.seen", listen => $listen, script => \%script, t => $t }, $class;
    my $pid = fork // die $!;
    if (!$pid) {
        POSIX::setsid();
        $SIG{$_} = 'DEFAULT' for qw(TERM INT HUP);
        $SIG{CHLD} = 'IGNORE';
        $SIG{PIPE} = 'IGNORE';
        while (1) {
            my $socket = $self->{listen}->accept or next;
            next if fork;
            close $self->{listen};
            setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
            $self->_serve($socket);
            POSIX::_exit(0);
        }
    }
    # Its alone: with it stopped nobody listens, and who connects is refused at once.
    close delete $self->{listen};
    $t->{pid}{backend} = $pid;
    return $self;
}

sub port { $_[0]{port} }

# All of it, connections too.
sub stop {
    my ($self) = @_;
    my $pid = delete $self->{t}{pid}{backend} or return;
    kill 'KILL', -$pid;
    waitpid $pid, 0;
    return;
}

sub note {
    my ($self, $what) = @_;
    open my $out, '>>', $self->{file} or die $!;
    syswrite $out, $JSON->encode($what) . "\n";
    close $out;
    return;
}

sub _serve {
    my ($self, $socket) = @_;
    my $buffer = '';
    while (1) {
        while ($buffer !~ /\r\n\r\n/) { sysread $socket, $buffer, 65536, length $buffer or return }
        my ($head, $rest) = split /\r\n\r\n/, $buffer, 2;
        my ($length) = $head =~ /^Content-Length: (\d+)/mi;
        while (length $rest < ($length // 0)) { sysread $socket, $rest, 65536, length $rest or return }
        my $body = substr $rest, 0, $length // 0, '';
        $buffer = $rest;
        my ($method, $path, $query) = $head =~ m{^(\S+) ([^\s?]*)\??(\S*) HTTP/1.1} or return;
        my %headers = map { /^([^:]+): (.*?)\r?$/ ? (lc $1, $2) : () } split /\n/, $head;
        my ($name) = $path =~ m{([^/]+)$};
        my %request = (method => $method, path => $path, query => $query, headers => \%headers, body => $body, name => $name);
        # The body as base64: to write megabytes as JSON takes this process seconds, and the edge waits for its answer.
        $self->note({ %request, body => encode_base64($body, ''), connection => $$ });
        my $script = $self->{script}{$name} // die "nothing is scripted for $path\n";
        return unless $script->($socket, \%request, $self);
    }
}

# Until the other side closes; then it is noted, with how long that took.
sub await_close {
    my ($self, $socket, $name, $seconds) = @_;
    my $begun = Time::HiRes::time();
    my $bits = '';
    vec($bits, fileno $socket, 1) = 1;
    my $closed = select($bits, undef, undef, $seconds) && !sysread($socket, my $byte, 1);
    $self->note({ name => "$name.end", closed => $closed ? 1 : 0, seconds => Time::HiRes::time() - $begun });
    return 0;
}

# What was asked so far, in order; with a name, of that alone.
sub seen {
    my ($self, $name) = @_;
    my @all = map { $JSON->decode($_) } split /\n/, Sandbox::_slurp($self->{file});
    $_->{body} = decode_base64($_->{body}) for grep { defined $_->{body} } @all;
    return grep { !defined $name || $_->{name} eq $name } @all;
}

sub forget { my ($self) = @_; unlink $self->{file}; return $self }

1;
