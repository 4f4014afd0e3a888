# title: datagrams over loopback that nobody receives: on version 1 the memory group does not count them by itself
# wall: memory
# gvisor: memory
# limits: memory=32m
# expect: limit memory held
# source: memory.kmem.tcp.limit_in_bytes, which covers UDP too
import socket
from attack import escaped, held

receivers = []
try:
    for i in range(600):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setblocking(False)
        s.bind(("127.0.0.1", 0))
        receivers.append(s)
except OSError as e:
    held("socket %d: %s" % (len(receivers), e.strerror))
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for s in receivers:
    for i in range(6):
        try:
            sender.sendto(b"x" * 60000, s.getsockname())
        except OSError:
            break
kept = 0
for s in receivers:
    try:
        while True:
            kept += len(s.recv(65536))
    except OSError:
        pass
if kept > 48 << 20:
    escaped("%d MiB were kept in the kernel" % (kept >> 20))
held("%d MiB were kept" % (kept >> 20))
