package Sandbox::Feed;

# A scripted executor that speaks the feed of policies and revocations (docs/governance.md, "The feed") and nothing else,
# well or badly, on a unix socket.
#
#   my $feed = Sandbox::Feed->new("$dir/sock/feed.sock")->start;
#   $feed->policy('acme', 'pol_1', [{ tenant => JSON::PP::true }], { languages => ['python'] });
#   $feed->play(raw => "HTTP/1.1 500 No\r\n...");    # every question gets this, until ->play

use strict;
use warnings;
use IO::Handle;
use IO::Select;
use IO::Socket::UNIX;
use JSON::PP;
use POSIX ();
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC);
use Time::HiRes qw(time);

my $JSON = JSON::PP->new->canonical->utf8->allow_nonref;

sub new {
    my ($class, $path) = @_;
    return bless { path => $path, things => {}, revision => 0, instance => instance(), play => {}, owner => $$ }, $class;
}

sub instance { return join '', map { sprintf '%x', int rand 16 } 1 .. 32 }
sub url { return "http://unix:$_[0]{path}:" }

sub start {
    my ($self) = @_;
    unlink $self->{path};
    my $listener = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => $self->{path}, Listen => 64) or die "$self->{path}: $!";
    chmod 0777, $self->{path};
    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die $!;
    my $pid = fork // die $!;
    if (!$pid) {
        close $ours;
        $SIG{$_} = 'DEFAULT' for qw(TERM INT HUP);
        _serve($listener, $theirs);
        POSIX::_exit(0);
    }
    close $theirs;
    @$self{qw(pid control)} = ($pid, $ours);
    $ours->autoflush(1);
    return $self->tell;
}

# The executor goes away, as it does when it is killed.
sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return $self;
    kill 'KILL', $pid;
    waitpid $pid, 0;
    close delete $self->{control};
    unlink $self->{path};
    return $self;
}

sub DESTROY { my ($self) = @_; local $?; $self->stop if $self->{owner} == $$; return }

# What is to be known now; returns when the server has taken it, and with what it was asked so far.
sub tell {
    my ($self) = @_;
    return $self unless $self->{pid};
    my @changes = sort { $a->{revision} <=> $b->{revision} } values %{ $self->{things} };
    print { $self->{control} } $JSON->encode({ %$self{qw(revision instance play page)}, changes => \@changes }), "\n";
    my $line = readline $self->{control};
    $self->{asked} = $JSON->decode($line // '[]');
    return $self;
}

sub _change {
    my ($self, $id, %change) = @_;
    $self->{things}{$id} = { revision => ++$self->{revision}, %change };
    return $self->tell;
}

sub policy {
    my ($self, $tenant, $id, $applies_to, $document, %more) = @_;
    return $self->_change($id, kind => 'policy', tenant => $tenant, policy_id => $id, version => ++$self->{version}{$id},
        applies_to => $applies_to, document => { version => 1, %$document }, %more);
}

sub no_policy { my ($self, $tenant, $id) = @_; return $self->_change($id, kind => 'policy', tenant => $tenant, policy_id => $id, deleted => JSON::PP::true) }

sub revocation {
    my ($self, $tenant, $id, %what) = @_;
    return $self->_change($id, kind => 'revocation', tenant => $tenant, revocation_id => $id, issued_before => time() + 1 | 0, expires_at => time() + 600 | 0, %what);
}

sub no_revocation { my ($self, $tenant, $id) = @_; return $self->_change($id, kind => 'revocation', tenant => $tenant, revocation_id => $id, deleted => JSON::PP::true) }

# Something that means nothing to anybody.
sub touch { my ($self) = @_; return $self->no_policy('nobody', 'pol_touch') }

# Another database: what is given here is all there is.
sub restart {
    my ($self) = @_;
    @$self{qw(things revision instance)} = ({}, 0, instance());
    return $self;
}

# raw => bytes, close => 1; silent => 1; drip => seconds for a byte; without arguments it answers well again.
sub play { my ($self, %how) = @_; $self->{play} = \%how; return $self->tell }

# Questions so far: [{ line, context, after, instance }].
sub asked { my ($self) = @_; $self->tell; return @{ $self->{asked} } }

sub _answer {
    my ($state, $ask) = @_;
    my %head = (instance => $state->{instance}, reset => JSON::PP::false);
    if (($ask->{after} && $ask->{instance} ne $state->{instance}) || $ask->{after} > $state->{revision}) {
        return { %head, revision => 0, complete => JSON::PP::false, reset => JSON::PP::true, changes => [] };
    }
    my @news = grep { $_->{revision} > $ask->{after} } @{ $state->{changes} };
    return undef if !@news && time < $ask->{until};
    my $page = $state->{page} // 256;
    my $more = @news > $page;
    @news = @news[0 .. $page - 1] if $more;
    return { %head, revision => $more ? $news[-1]{revision} : $state->{revision}, complete => $more ? JSON::PP::false : JSON::PP::true, changes => \@news };
}

# False when the connection is over.
sub _settle {
    my ($state, $client) = @_;
    my $ask = $client->{ask} or return 1;
    my $play = $state->{play};
    return 1 if $play->{silent};
    if (defined $play->{drip}) {
        return 1 if time < ($client->{next} //= 0);
        $client->{next} = time + $play->{drip};
        return defined syswrite $client->{socket}, substr("HTTP/1.1 200 OK\r\nX: " . 'x' x 4096, $client->{dripped}++, 1);
    }
    if (defined $play->{raw}) {
        delete $client->{ask};
        my $at = 0;
        while ($at < length $play->{raw}) {
            my $n = syswrite $client->{socket}, $play->{raw}, 65536, $at or return 0;
            $at += $n;
        }
        return !$play->{close};
    }
    my $answer = _answer($state, $ask) or return 1;
    delete $client->{ask};
    my $body = $JSON->encode($answer);
    my $reply = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
    my $at = 0;
    while ($at < length $reply) {
        my $n = syswrite $client->{socket}, $reply, 65536, $at or return 0;
        $at += $n;
    }
    return 1;
}

sub _question {
    my ($client) = @_;
    $client->{in} =~ s/^(GET \S+ HTTP\/1\.1)\r\n(.*?\r\n)\r\n//s or return undef;
    my ($line, $fields) = ($1, $2);
    my ($after) = $line =~ /[?&]after=(\d+)/;
    my ($instance) = $line =~ /[?&]instance=([0-9a-f]*)/;
    my ($wait) = $line =~ /[?&]wait=(\d+)ms/;
    my ($context) = $fields =~ /^Sandbox-Context: (\S+)\r$/m;
    $client->{ask} = { after => $after // 0, instance => $instance // '', until => time + ($wait // 0) / 1000 };
    return { line => $line, after => $after, instance => $instance, wait => $wait, context => $context };
}

sub _serve {
    my ($listener, $control) = @_;
    my $select = IO::Select->new($listener, $control);
    my (%client, @asked, $commands, $n);
    my $state = { play => { silent => 1 }, changes => [], revision => 0, instance => '' };
    $control->autoflush(1);
    $SIG{PIPE} = 'IGNORE';
    while (1) {
        for my $ready ($select->can_read(0.005)) {
            if ($ready == $listener) {
                my $socket = $listener->accept or next;
                $select->add($socket);
                $client{ fileno $socket } = { socket => $socket, in => '', dripped => 0 };
            } elsif ($ready == $control) {
                my $line = readline $control // return;
                $state = $JSON->decode($line);
                $_->{dripped} = 0 for values %client;
                print {$control} $JSON->encode([@asked]), "\n";
            } else {
                my $client = $client{ fileno $ready };
                if (!sysread $ready, $client->{in}, 65536, length $client->{in}) {
                    $select->remove($ready);
                    delete $client{ fileno $ready };
                    close $ready;
                    next;
                }
                my $question = _question($client) or next;
                push @asked, $question;
                shift @asked if @asked > 200;
            }
        }
        for my $fd (keys %client) {
            next if _settle($state, $client{$fd});
            $select->remove($client{$fd}{socket});
            close $client{$fd}{socket};
            delete $client{$fd};
        }
    }
}

1;
