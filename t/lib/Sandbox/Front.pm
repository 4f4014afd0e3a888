package Sandbox::Front;

# Sandbox::Edge with what tests of limits, policies and metrics need besides:
# many requests at once, requests left open, policy directories, counters.

use strict;
use warnings;
use parent 'Sandbox::Edge';
use File::Path qw(make_path remove_tree);
use IO::Socket::INET;
use JSON::PP;

my $JSON = JSON::PP->new->canonical->utf8->allow_nonref;

# Directives every test wants; `extra` goes after them.
sub base {
    my ($self, $extra) = @_;
    return "sandbox_auth on; sandbox_auth_secret_file $self->{dir}/etc/jwt.secret; sandbox_limit_zone limits:1m; "
         . 'sandbox_metrics_zone 256k; ' . ($extra // '');
}

sub locations {
    my ($self, $extra) = @_;
    return ($extra // '') . ' location = /metrics { sandbox_auth off; sandbox_metrics; }';
}

sub start_front {
    my ($self, $extra, %option) = @_;
    return $self->start_edge($self->base($extra), %option, locations => $self->locations($option{locations}));
}

sub reconfigure_front {
    my ($self, $extra, %option) = @_;
    return $self->reconfigure($self->base($extra), %option, locations => $self->locations($option{locations}));
}

# Writes a new configuration that nginx must refuse; true when it did, saying what matches.
sub refuses_reload {
    my ($self, $extra, $words, %option) = @_;
    my $before = length $self->error_log;
    my $expect = $self->{expect_log};
    $self->{expect_log} = defined $expect ? qr/$expect|$words/ : $words;
    $self->write('etc/gateway.conf', $self->gateway_conf($self->edge_conf($self->base($extra), %option, locations => $self->locations($option{locations}))));
    $self->reload_gateway;
    return $self->wait_until(30, sub { substr($self->error_log, $before) =~ $words });
}

# Why nginx does not start with this, '' when it does.
sub complaint {
    my ($self, $extra, %option) = @_;
    my ($fine, $said) = $self->accepts($self->base($extra), %option, locations => $self->locations($option{locations}));
    return '' if $fine;
    return join ' ', grep { /\[emerg\]/ } split /\n/, $said;
}

# name => document pairs beneath a new directory; the path.
sub policies {
    my ($self, %document) = @_;
    my $dir = "$self->{dir}/etc/documents";
    remove_tree($dir);
    make_path($dir);
    for my $name (keys %document) {
        my $text = ref $document{$name} ? $JSON->encode({ version => 1, %{ $document{$name} } }) : $document{$name};
        $self->write("etc/documents/$name.json", $text);
    }
    return $dir;
}

# Sends a request and does not wait; the socket.
sub begin {
    my ($self, $method, $path, %option) = @_;
    my $token = $option{token} // $self->token(map { $_ => $option{$_} } grep { exists $option{$_} } qw(tenant app agent sub scope));
    my $body = exists $option{json} ? $JSON->encode($option{json}) : $option{body};
    my %headers = (Host => 'localhost', Connection => 'close', Authorization => "Bearer $token", %{ $option{headers} || {} });
    $headers{'Content-Type'} //= 'application/json' if exists $option{json};
    $headers{'Content-Length'} = length $body if defined $body && !exists $headers{'Content-Length'};
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->port) or die "connect: $!";
    my $bytes = "$method $path HTTP/1.1\r\n" . join('', map { "$_: $headers{$_}\r\n" } grep { defined $headers{$_} } sort keys %headers) . "\r\n" . ($body // '');
    Sandbox::Contract::sent($socket, $bytes);
    syswrite $socket, $bytes;
    return $socket;
}

# The reply to it.
sub await {
    my ($self, $socket, $seconds) = @_;
    return Sandbox::parse_reply(Sandbox::_converse($socket, '', seconds => $seconds // 30));
}

# $n requests at once; the number of replies of each status.
sub many {
    my ($self, $n, $method, $path, %option) = @_;
    $option{token} //= $self->token(map { $_ => $option{$_} } grep { exists $option{$_} } qw(tenant app agent));
    my @sockets = map { $self->begin($method, $path, %option) } 1 .. $n;
    my %status;
    for my $socket (@sockets) {
        my $reply = $self->await($socket);
        $status{ $reply ? $reply->{status} : 'none' }++;
    }
    return \%status;
}

# The sum of all samples of a metric whose labels match.
sub metric {
    my ($self, $name, $labels) = @_;
    my $text = $self->request('GET', '/metrics', anonymous => 1)->{content};
    my $sum;
    for my $line (split /\n/, $text) {
        my ($found, $value) = $line =~ /^sandbox_gateway_\Q$name\E(?:\{(.*)\})? (\S+)$/ ? ($1 // '', $2) : next;
        next if defined $labels && $found !~ /$labels/;
        $sum = ($sum // 0) + $value;
    }
    return $sum;
}

# Lines of the denial log, decoded, once there are $n; with $wanted only those for which it is true. They come some time after the answers.
sub denials {
    my ($self, $n, $wanted) = @_;
    my $lines = sub { [grep { !$wanted || $wanted->() } map { eval { $JSON->decode($_) } // { broken => $_ } } split /\n/, $self->read_file('denials.jsonl')] };
    $self->wait_until(30, sub { @{ $lines->() } >= ($n // 0) });
    return @{ $lines->() };
}

1;
