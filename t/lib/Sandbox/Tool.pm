package Sandbox::Tool;

# The tool representation straight at executord's socket.
#
#   my $tool = Sandbox::Tool->new($t, tenant => 'acme');
#   my $r = $tool->get('/tools/status');                     # $r->{json}, $r->{result}
#   is(Sandbox::Tool::text($r), ...);                        # of the first block

use strict;
use warnings;
use Sandbox::Context;

our $TYPE = 'application/vnd.sandbox.tool+json';

sub new { my ($class, $t, %who) = @_; return bless { t => $t, who => \%who }, $class }

sub ask {
    my ($self, $method, $path, %option) = @_;
    my %who = (%{ $self->{who} }, %{ delete $option{who} || {} });
    my $headers = { Accept => $TYPE, %{ delete $option{headers} || {} } };
    delete $headers->{Accept} unless defined $headers->{Accept};
    my $reply = $self->{t}->executor_request($method, $path, context => Sandbox::Context::sign($self->{t}{key}, %who), headers => $headers, %option);
    $reply->{result} = $reply->{headers}{'sandbox-tool-result'} // 'complete' if $reply && ($reply->{headers}{'content-type'} // '') eq $TYPE;
    return $reply;
}
sub get  { my ($self, $path, %option) = @_; return $self->ask('GET', $path, %option) }
sub post { my ($self, $path, $json, %option) = @_; return $self->ask('POST', $path, json => $json, %option) }

# As REST.
sub rest { my ($self, $method, $path, %option) = @_; return $self->ask($method, $path, %option, headers => { Accept => undef, %{ $option{headers} || {} } }) }

sub escape { my ($text) = @_; utf8::encode($text) if utf8::is_utf8($text); return $text =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ger }
sub read   { my ($self, %query) = @_; my %option = %{ delete $query{-option} || {} }; return $self->get('/tools/files?' . join('&', map { "$_=" . escape($query{$_}) } sort keys %query), %option) }
sub resource { my ($self, $uri, %option) = @_; return $self->get('/tools/resource?uri=' . escape($uri), %option) }

sub code  { my ($reply) = @_; return "$reply->{status} " . ($reply->{json}{code} // '') }
sub types { my ($reply) = @_; return join ' ', map { $_->{type} } @{ $reply->{json}{content} || [] } }
sub text  { my ($reply, $i) = @_; return ($reply->{json}{content}[$i // 0] || {})->{text} }

1;
