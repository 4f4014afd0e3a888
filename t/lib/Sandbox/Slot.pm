package Sandbox::Slot;

# A number that no other test program on this machine has now: user ids and ports are made of it. Held by a socket without a file,
# which the kernel takes back however the program ends.

use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::UNIX;

# UIDS is more than 512 sandboxes have, four each: behind those come the launcher's helpers and zygotes, whom the next slot's
# program would take for a sandbox that it has left.
use constant { SLOTS => 1000, PORTS => 22, PORT_BASE => 10000, UIDS => 4096 };
my (@held, $own);
my $asked = 0;

sub take {
    for my $try (0 .. SLOTS - 1) {
        my $slot = ($$ + $try) % SLOTS;
        my $socket = IO::Socket::UNIX->new(Local => "\0sandbox-test-slot-$slot", Listen => 1) or next;
        push @held, $socket;
        $own //= $slot;
        return $slot;
    }
    die "all test slots are taken\n";
}

# A port on which nobody listens, nor will until this program has it listened on: one that the kernel gives away is another program's,
# or some client's, as soon as it is closed. These are below those that it gives.
sub port {
    take() unless defined $own;
    for (1 .. PORTS) {
        my $port = PORT_BASE + $own * PORTS + $asked++ % PORTS;
        return $port if IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => $port, ReuseAddr => 1);
    }
    die "all ports of test slot $own are in use\n";
}

1;
