package Sandbox::Slot;

# A number that no other test program on this machine has now: user ids are made of it. Held by a socket without a file,
# which the kernel takes back however the program ends.

use strict;
use warnings;
use IO::Socket::UNIX;

use constant SLOTS => 1000;
my @held;

sub take {
    for my $try (0 .. SLOTS - 1) {
        my $slot = ($$ + $try) % SLOTS;
        my $socket = IO::Socket::UNIX->new(Local => "\0sandbox-test-slot-$slot", Listen => 1) or next;
        push @held, $socket;
        return $slot;
    }
    die "all test slots are taken\n";
}

1;
