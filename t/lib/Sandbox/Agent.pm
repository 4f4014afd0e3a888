package Sandbox::Agent;

# A standalone session agent on a free port, its workspace and a client for it.
# finish() asserts that it ended cleanly and left no process and no file behind.
#
#   my $agent = Sandbox::Agent->new;
#   $agent->session('python');
#   my $reply = $agent->run('print(1)');           # decoded reply of a step
#   $agent->finish; done_testing();

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use POSIX qw(:sys_wait_h);
use Sandbox::Slot;
use Test::More ();
use Time::HiRes qw(time sleep);

our $ROOT = abs_path(dirname(__FILE__) . '/../../..');
our $BINARY = "$ROOT/build/" . ($ENV{SANDBOX_VARIANT} // 'release') . '/session-agent';
our $USER = 23000 + Sandbox::Slot::take();    # a user's processes are killed with a step
our $TOKEN = 'a-token-of-thirty-two-characters';
my $JSON = JSON::PP->new->canonical->utf8->allow_nonref;

sub free_port { return Sandbox::Slot::port() }

# Runs the binary to its end: (exit status, standard error).
sub start_fails {
    my ($env, @args) = @_;
    pipe my $out, my $in or die $!;
    my $pid = fork // die $!;
    if (!$pid) {
        open STDERR, '>&', $in;
        open STDOUT, '>&', $in;
        delete @ENV{qw(ENV SESSION_AGENT_ADDR SESSION_AGENT_AUTH_BYPASS WORKSPACE_ROOT)};
        $ENV{$_} = $env->{$_} for keys %$env;
        exec { $BINARY } $BINARY, @args or POSIX::_exit(126);
    }
    close $in;
    local $SIG{ALRM} = sub { kill 'KILL', $pid };
    alarm 30;
    my $text = do { local $/; <$out> } // '';
    waitpid $pid, 0;
    alarm 0;
    return ($? >> 8, $text);
}

sub _add_runtimes {
    my ($file, @more) = @_;
    open my $in, '<', $file or die $!;
    my $document = $JSON->decode(do { local $/; <$in> });
    push @{ $document->{runtimes} }, @more;
    open my $out, '>', $file or die $!;
    print {$out} $JSON->encode($document);
    close $out or die $!;
}

# drivers: files put beside the registry's; runtimes: entries added to it.
sub new {
    my ($class, %option) = @_;
    my $dir = tempdir('sbx-agent.XXXXXX', TMPDIR => 1, CLEANUP => 1);
    chmod 0755, $dir;
    mkdir "$dir/ws" or die $!;
    # A copy: the payload's user need not be able to walk to the source tree.
    system('cp', '-r', "$ROOT/session-agent/drivers", "$ROOT/session-agent/runtimes.json", $dir);
    system('cp', $_, "$dir/drivers/") for @{ $option{drivers} || [] };
    _add_runtimes("$dir/runtimes.json", @{ $option{runtimes} }) if $option{runtimes};
    system('chmod', '-R', 'a+rX', $dir);
    my $self = bless { dir => $dir, port => free_port(), n => 0, owner => $$, %option }, $class;
    my @user = $> == 0 ? ('--user', "$USER:$USER") : ();
    my $pid = fork // die $!;
    if (!$pid) {
        open STDERR, '>', "$dir/log" or die $!;
        open STDOUT, '>&', \*STDERR;
        $ENV{SESSION_AGENT_ADDR} = "127.0.0.1:$self->{port}";
        $ENV{WORKSPACE_ROOT} = "$dir/ws";
        $ENV{ENV} = 'test';
        $ENV{SESSION_AGENT_AUTH_BYPASS} = $self->{bypass} ? 1 : 0;
        $ENV{A_SECRET_OF_THE_AGENT} = 'must-not-be-seen';
        exec { $BINARY } $BINARY, @user, '--opt-dir', $dir or POSIX::_exit(126);
    }
    $self->{pid} = $pid;
    my $end = time + 30;
    until ($self->call('GET', '/v1/health')->{success}) {
        die 'the agent does not start: ' . $self->log if time > $end || waitpid($pid, WNOHANG) == $pid;
        sleep 0.02;
    }
    return $self;
}

sub log { my ($self) = @_; open my $in, '<', "$self->{dir}/log" or return ''; local $/; return scalar <$in> // '' }
sub workspace { "$_[0]{dir}/ws/$_[0]{session}/workspace" }

# One request; {status, headers, content, json, success}.
sub call {
    my ($self, $method, $path, $body, %headers) = @_;
    my $http = HTTP::Tiny->new(timeout => 60);
    my %options = (headers => { %headers });
    if (defined $body) {
        $options{content} = ref $body ? $JSON->encode($body) : $body;
        $options{headers}{'Content-Type'} //= 'application/json';
    }
    my $reply = $http->request($method, "http://127.0.0.1:$self->{port}$path", \%options);
    $reply->{json} = eval { $JSON->decode($reply->{content}) };
    return $reply;
}

sub session {
    my ($self, $runtime, %more) = @_;
    $self->{session} = 's' . ++$self->{n};
    my $reply = $self->call('POST', '/v1/sessions',
        { sessionId => $self->{session}, runtime => $runtime, token => $TOKEN, %more });
    return $reply;
}

sub step {
    my ($self, $code, %more) = @_;
    return $self->call('POST', '/v1/steps',
        { sessionId => $self->{session}, stepId => 't' . ++$self->{n}, code => $code, timeout_ms => 20000, %more },
        'X-Session-Token' => $TOKEN);
}

sub run {
    my ($self, $code, %more) = @_;
    my $reply = $self->step($code, %more);
    Test::More::diag("step: $reply->{status} $reply->{content}") unless $reply->{status} == 200;
    return $reply->{json} // {};
}

sub file {
    my ($self, $path, %headers) = @_;
    return $self->call('GET', "/v1/sessions/$self->{session}/files/$path", undef, 'X-Session-Token' => $TOKEN, %headers);
}

sub close_session {
    my ($self) = @_;
    return $self->call('DELETE', "/v1/sessions/$self->{session}", undef, 'X-Session-Token' => $TOKEN);
}

# Bytes over a raw connection, everything until the agent closes.
sub raw {
    my ($self, $bytes) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}, Timeout => 10) or die $!;
    print {$socket} $bytes;
    shutdown $socket, 1;
    local $SIG{ALRM} = sub { die "no end\n" };
    alarm 30;
    my $reply = do { local $/; <$socket> } // '';
    alarm 0;
    return $reply;
}

# Processes whose command line holds the text, the agent's own included.
sub processes {
    my ($self, $text) = @_;
    my @found;
    for my $file (glob '/proc/[0-9]*/cmdline') {
        open my $in, '<', $file or next;
        my $line = do { local $/; <$in> } // '';
        push @found, $1 if $line =~ /\Q$text\E/ && $file =~ m{/(\d+)/} && $1 != $$;
    }
    return @found;
}

sub finish {
    my ($self) = @_;
    kill 'TERM', $self->{pid};
    my $end = time + 30;
    my $gone = 0;
    while (!$gone && time < $end) {
        $gone = waitpid($self->{pid}, WNOHANG) == $self->{pid};
        sleep 0.01 unless $gone;
    }
    my $status = $?;
    kill 'KILL', $self->{pid} unless $gone;
    Test::More::ok($gone && $status == 0, 'the agent ended cleanly') or Test::More::diag("$status\n" . $self->log);
    Test::More::unlike($self->log, qr/Sanitizer|runtime error|Assertion/, 'without a complaint');
    Test::More::is_deeply([glob "$self->{dir}/ws/*"], [], 'and left no files');
    delete $self->{pid};
}

sub DESTROY {
    my ($self) = @_;
    kill 'KILL', $self->{pid} if $self->{pid} && $self->{owner} == $$;
}

1;
