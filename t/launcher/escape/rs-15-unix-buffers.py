# title: fill the buffers of two thousand socket pairs
# wall: memory
# gvisor: memory
# limits: memory=64m
# expect: limit memory held
import os
import socket
from attack import escaped, held

total = 0
keep = []
try:
    for i in range(1900):
        pair = socket.socketpair()
        keep.append(pair)
        for s in pair:
            s.setblocking(False)
            try:
                while True:
                    total += s.send(b"x" * 65536)
            except BlockingIOError:
                pass
        if total > 192 << 20:
            escaped("%d MiB in socket buffers" % (total >> 20))
except OSError as e:
    held("%d MiB: %s" % (total >> 20, e.strerror))
held("%d MiB is all that sockets take" % (total >> 20))
