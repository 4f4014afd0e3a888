package Sandbox::Idp;

# An issuer of tokens: keys of its own, and a small HTTP server that gives out its set and can be told to behave badly.
#
#   my $idp = Sandbox::Idp->new($t, name => 'https://id.example.com/');
#   $idp->key('k1');                        # a new P-256 key
#   $idp->serve;                            # the set of all its keys; or serve(body => '...', status => 500, delay => 3, ...)
#   my $token = $idp->token('k1', tenant => 'acme');
#   $idp->asked;                            # how often the set was fetched

use strict;
use warnings;
use Crypt::PK::ECC;
use IO::Socket::INET;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep);

my $JSON = JSON::PP->new->canonical->utf8;

sub new {
    my ($class, $t, %option) = @_;
    my $self = bless { t => $t, id => $option{id} // 'idp', name => $option{name} // 'https://id.example.com/', keys => {} }, $class;
    return $self;
}

sub key {
    my ($self, $kid) = @_;
    my $key = Crypt::PK::ECC->new;
    $key->generate_key('secp256r1');
    $self->{keys}{$kid} = $key;
    return $key;
}

sub drop { my ($self, $kid) = @_; return delete $self->{keys}{$kid} }

sub jwk {
    my ($self, $kid, %more) = @_;
    return { %{ JSON::PP->new->decode($self->{keys}{$kid}->export_key_jwk('public')) }, kid => $kid, use => 'sig', %more };
}

sub set {
    my ($self, @kids) = @_;
    @kids = sort keys %{ $self->{keys} } unless @kids;
    return $JSON->encode({ keys => [map { $self->jwk($_) } @kids] });
}

# What the server says from now on: body, status, headers (lines), delay in seconds before it answers, drop => 1 closes without a word.
sub serve {
    my ($self, %how) = @_;
    $how{body} //= $self->set;
    my $file = "$self->{t}{dir}/$self->{id}.json";
    $self->{t}->write("$self->{id}.json.new", $JSON->encode(\%how));
    rename "$file.new", $file or die $!;
    $self->start unless $self->{t}{pid}{ $self->{id} };
    return $self;
}

sub url { my ($self) = @_; return 'http://127.0.0.1:' . ($self->{port} //= Sandbox::free_port()) . '/jwks.json' }

sub start {
    my ($self) = @_;
    $self->{port} //= Sandbox::free_port();
    my $listener = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', LocalPort => $self->{port}, ReuseAddr => 1) or die "idp: $!";
    my $pid = fork // die $!;
    if (!$pid) {
        POSIX::setsid();
        # Those that still wait with an answer go along, and none holds the test's output open.
        $SIG{TERM} = sub { $SIG{TERM} = 'IGNORE'; kill 'TERM', -$$ if getpgrp == $$; POSIX::_exit(0) };
        open STDOUT, '>', '/dev/null';
        $SIG{CHLD} = 'IGNORE';
        while (1) {
            my $socket = $listener->accept or next;
            my $child = fork // POSIX::_exit(1);
            next if $child;
            $SIG{TERM} = 'DEFAULT';
            close $listener;
            $self->_answer($socket);
            POSIX::_exit(0);
        }
    }
    close $listener;
    $self->{t}{pid}{ $self->{id} } = $pid;
    return $self;
}

# Takes the server away: connections are refused.
sub stop { my ($self) = @_; return $self->{t}->stop($self->{id}) }

sub _answer {
    my ($self, $socket) = @_;
    my $head = '';
    while ($head !~ /\r\n\r\n/) {
        sysread($socket, $head, 4096, length $head) or return;
    }
    my $how = $JSON->decode($self->{t}->read_file("$self->{id}.json"));
    open my $log, '>>', "$self->{t}{dir}/$self->{id}.asked" or return;
    syswrite $log, (split /\r\n/, $head)[0] . "\n";
    sleep $how->{delay} if $how->{delay};
    return if $how->{drop};
    my $body = ref $how->{body} ? 'x' x $how->{body}[0] : $how->{body};
    my $reply = 'HTTP/1.1 ' . ($how->{status} // 200) . " Whatever\r\n" . join('', map { "$_\r\n" } @{ $how->{headers} || [] })
        . 'Content-Length: ' . length($body) . "\r\nConnection: close\r\n\r\n$body";
    my $at = 0;
    while ($at < length $reply) {
        my $n = syswrite($socket, $reply, 65536, $at) or return;
        $at += $n;
    }
    return;
}

sub asked { my ($self) = @_; return scalar(() = $self->{t}->read_file("$self->{id}.asked") =~ /\n/g) }

# ES256 with the key of that name; claims override, undef removes one; {...} first overrides the header.
sub token {
    my ($self, $kid, @claims) = @_;
    my $header = ref $claims[0] ? shift @claims : {};
    my $key = $self->{keys}{$kid};
    my %header = (alg => 'ES256', kid => $kid, %$header);
    delete $header{$_} for grep { !defined $header{$_} } keys %header;
    return $self->{t}->jwt(\%header, $self->{t}->claims(iss => $self->{name}, tenant => 'acme', @claims),
        sub { $key->sign_message_rfc7518($_[0], 'SHA256') });
}

1;
