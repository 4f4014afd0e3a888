package Sandbox::Mcp;

# Messages of the Model Context Protocol, and small catalogues to be asked by them.
#
#   my $mcp = Sandbox::Mcp->new($t, path => '/mcp');       # $t: a Sandbox or a Sandbox::Edge
#   my $reply = $mcp->call('tools/list');                  # as Sandbox::request's; {json} is the JSON-RPC answer
#   my $reply = $mcp->call('ping', {}, era => 'legacy');

use strict;
use warnings;
use JSON::PP;
use MIME::Base64 qw(encode_base64);

our $VERSION = '2026-07-28';
my $META = 'io.modelcontextprotocol';
my $JSON = JSON::PP->new->canonical->utf8->allow_nonref;

sub new {
    my ($class, $t, %option) = @_;
    return bless { t => $t, path => $option{path} // '/mcp', id => 0 }, $class;
}

# A tool of a catalogue; its backend is the internal location /_mcp/NAME.
sub tool {
    my ($name, %change) = @_;
    return { name => $name, description => "Does $name.", inputSchema => { type => 'object' },
             backend => { location => "/_mcp/$name", method => 'POST', path => "/$name", body => '{*}' }, %change };
}

# The text of a catalogue with these tools, and other members.
sub catalogue {
    my ($tools, %change) = @_;
    return $JSON->encode({ serverInfo => { name => 'test', version => '1' }, instructions => 'Ask.', capabilities => { tools => {} },
                           ttlMs => 1000, cacheScope => 'private', tools => $tools, %change });
}

# A message as data. Options: id (undef: a notification), version, capabilities, meta (members of _meta), era.
sub message {
    my ($self, $method, $params, %option) = @_;
    my %message = (jsonrpc => '2.0', method => $method);
    $message{id} = exists $option{id} ? $option{id} : ++$self->{id};
    delete $message{id} unless defined $message{id};
    $params = { %{ $params // {} } };
    if (($option{era} // 'modern') eq 'modern') {
        $params->{_meta} = { "$META/protocolVersion" => $option{version} // $VERSION, "$META/clientCapabilities" => $option{capabilities} // {},
                             %{ $option{meta} // {} } };
    } elsif ($option{meta}) {
        $params->{_meta} = $option{meta};
    }
    $message{params} = $params if %$params;
    return \%message;
}

# What a client sends besides: the headers of a modern message repeat parts of it.
sub headers {
    my ($self, $message, %option) = @_;
    my %headers = (Accept => 'application/json, text/event-stream', 'Content-Type' => 'application/json');
    if (($option{era} // 'modern') eq 'modern') {
        $headers{'MCP-Protocol-Version'} = $option{version} // $VERSION;
        $headers{'Mcp-Method'} = $message->{method};
        my $params = $message->{params} // {};
        my ($name) = grep { defined } @$params{qw(name uri taskId)};
        $headers{'Mcp-Name'} = $name =~ /^[\x21-\x7e]+\z/ ? $name : '=?base64?' . encode_base64($name, '') . '?=' if defined $name;
    } elsif (defined $option{version}) {
        $headers{'MCP-Protocol-Version'} = $option{version};
    }
    %headers = (%headers, %{ $option{headers} // {} });
    delete $headers{$_} for grep { !defined $headers{$_} } keys %headers;
    return \%headers;
}

# Sends it. Options as above, and those of Sandbox::request; headers => { Name => undef } leaves one out.
sub call {
    my ($self, $method, $params, %option) = @_;
    my $message = $self->message($method, $params, %option);
    return $self->send($message, %option, headers => $self->headers($message, %option));
}

# A message as data or as text, with these headers and no others.
sub send {
    my ($self, $message, %option) = @_;
    my %pass = map { $_ => $option{$_} } grep { exists $option{$_} } qw(token anonymous timeout tenant app agent sub scope);
    return $self->{t}->request($option{http} // 'POST', $option{path} // $self->{path}, body => ref $message ? $JSON->encode($message) : $message,
                               headers => $option{headers} // { 'Content-Type' => 'application/json' }, %pass);
}

1;
