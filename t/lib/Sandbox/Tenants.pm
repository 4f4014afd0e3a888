package Sandbox::Tenants;

# Whether an id that is another tenant's is answered as one that nobody has: requests
# come as templates with ID in them, replies are compared but for what names the request.

use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP;
use Sandbox;
use Sandbox::Context;

our $RID = 'matrix-request';
my $TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

# Path patterns with their methods, as executord routes them.
sub routes {
    my $text = Sandbox::_slurp("$Sandbox::ROOT/executor/api/routes.c");
    my ($table) = $text =~ /struct route routes\[\] = \{(.*?)\n\};/s or die 'no table of routes';
    my @routes;
    while ($table =~ /\{ "(\/[^"]*)", "([A-Z, ]+)", (true|false),/g) {
        push @routes, { pattern => $1, methods => [split /, /, $2], open => $3 eq 'true' };
    }
    return @routes;
}

# An id as ours are that is nobody's: of the same moment, another random part.
sub unknown {
    my ($id) = @_;
    my $other = substr($id, 0, -8) . join '', map { (0 .. 9, 'a' .. 'h', 'j', 'k', 'm', 'n', 'p' .. 't', 'v' .. 'z')[rand 32] } 1 .. 8;
    return $other eq $id ? unknown($id) : $other;
}

# Sends one request; $where is gateway or executor. %who: claims of the token or members of the context.
sub send {
    my ($t, $where, $ask, $who) = @_;
    my ($method, $path, $body, $headers) = @$ask{qw(method path body headers)};
    my %headers = (Host => 'sandbox', Connection => 'close', 'X-Request-Id' => $RID, traceparent => $TRACE, %{ $headers || {} });
    my $socket;
    if ($where eq 'gateway') {
        $headers{Authorization} = 'Bearer ' . ($t->{tokens}{ join '/', map { $_, $who->{$_} } sort keys %$who } //= $t->token(%$who));
        $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port);
    } else {
        $headers{'Sandbox-Context'} = Sandbox::Context::sign($t->{key}, rid => $RID, app => 'web', agent => 'coder', sub => 'tester', %$who);
        $socket = IO::Socket::UNIX->new(Peer => "$t->{dir}/sock/executord.sock");
    }
    die "no connection to the $where\n" unless $socket;
    if (defined $body) {
        $headers{'Content-Type'} //= 'application/json';
        $headers{'Content-Length'} = length $body;
    }
    return Sandbox::_converse($socket, "$method $path HTTP/1.1\r\n" . join('', map { "$_: $headers{$_}\r\n" } sort keys %headers) . "\r\n" . ($body // ''), seconds => 20);
}

# The reply's bytes without what is each reply's own, and with ID for the id that was asked for.
sub shape {
    my ($reply, $id) = @_;
    my ($head, $body) = split /\r\n\r\n/, $reply // '', 2;
    return 'nothing' unless defined $head;
    $head =~ s/^(?:Date|traceparent): .*?(?:\r\n|\z)//gim;
    my $text = "$head\n\n" . ($body // '');
    $text =~ s/\Q$id\E/ID/gi;
    $text =~ s/\breq_[0-9a-z]{26}\b/REQ/g;    # nginx refused it before it read our name for it
    return $text;
}

sub status { my ($reply) = @_; return ($reply // '') =~ m{^HTTP/1\.1 (\d+)} ? $1 : 0 }

# Counters of the component that a request may move: not those that measure time or bytes, nor what the
# store does from time to time by itself.
sub counters {
    my ($t, $where) = @_;
    # Until it closes: a worker counts a request when it is through with it, after the whole reply has gone.
    my $gateway = sub { Sandbox::parse_reply($t->raw("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))->{content} };
    my $text = $where eq 'gateway' ? $gateway->() : $t->executor_request('GET', '/metrics')->{content};
    my %value;
    for my $line (split /\n/, $text) {
        next unless $line =~ /^([^#\s]\S*(?:\{.*\})?) (\S+)$/;
        my ($name, $value) = ($1, $2);
        $value{$name} = $value unless $name =~ /_seconds|_bytes|connections|uptime|workers|_db_/;
    }
    return \%value;
}

# For those who compare what counters move: a gateway that doesn't ask for policies. It would when a question's time is over, and
# each of them is one more that the executor counts.
sub quiet {
    return (conf => sub {
        my ($text) = @_;
        $text =~ s/^\s*sandbox_control .*\n//m or die "no sandbox_control\n";
        return $text;
    });
}

sub moved {
    my ($before, $after) = @_;
    return { map { my $by = $after->{$_} - ($before->{$_} // 0); $by ? ($_ => $by) : () } keys %$after };
}

# Everything that the audit log and the denial log say, as lines.
sub records {
    my ($t) = @_;
    return (map { split /\n/, Sandbox::_slurp($_) } sort(glob("$t->{dir}/data/audit/audit-*"), glob("$t->{dir}/data/denials/*.jsonl")));
}

1;
