package Sandbox::Session;

# Sessions straight at executord's socket.
#
#   my $api = Sandbox::Session->new($t);
#   my $id = $api->create(language => 'python')->{session_id};
#   my $step = $api->step($id, 'x = 1');

use strict;
use warnings;
use Sandbox::Context;
use Test::More ();

sub new { my ($class, $t, %who) = @_; return bless { t => $t, who => \%who }, $class }

sub ask {
    my ($self, $method, $path, %option) = @_;
    my $who = delete $option{who} || {};
    my $context = Sandbox::Context::sign($self->{t}{key}, %{ $self->{who} }, %$who);
    return $self->{t}->executor_request($method, $path, context => $context, %option);
}

# The session, which must have come to run.
sub create {
    my ($self, %body) = @_;
    my $reply = $self->ask('POST', '/v1/sessions', json => { language => 'python', %body });
    Test::More::is($reply->{status}, 201, 'a session is made') or Test::More::diag($reply->{content});
    return $reply->{json};
}

# The step, as far as it has come within its wait.
sub step {
    my ($self, $id, $code, %body) = @_;
    return $self->ask('POST', "/v1/sessions/$id/steps", json => { code => $code, %body })->{json};
}

sub get { my ($self, $id) = @_; return $self->ask('GET', "/v1/sessions/$id")->{json} }
sub delete { my ($self, $id) = @_; return $self->ask('DELETE', "/v1/sessions/$id") }

# Waits until a member of the session has a value.
sub until_is {
    my ($self, $seconds, $id, $member, $value) = @_;
    return $self->{t}->wait_until($seconds, sub { ($self->get($id)->{$member} // '') eq $value });
}

# The text of the last expression's value.
sub value {
    my ($step) = @_;
    my ($result) = grep { $_->{kind} eq 'result' } @{ $step->{results} || [] };
    return $result ? $result->{data}{'text/plain'} : undef;
}

1;
