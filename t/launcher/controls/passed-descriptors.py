# title: unix sockets of all types between own processes, descriptors and credentials passed over them, and pidfds
import array
import os
import select
import signal
import socket
import struct
import sys

for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
    a, b = socket.socketpair(socket.AF_UNIX, kind)
    pid = os.fork()
    if pid == 0:
        r, w = os.pipe()
        os.write(w, b"through a passed pipe")
        socket.send_fds(b, [b"x"], [r])
        os._exit(0)
    _, fds, _, _ = socket.recv_fds(a, 10, 1)
    assert os.read(fds[0], 100) == b"through a passed pipe"
    os.waitpid(pid, 0)
a, b = socket.socketpair()
uid = struct.unpack("iii", a.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
assert uid == os.getuid()
if os.uname().release == "4.4.0":    # gVisor has no pidfds
    print("WORKS")
    sys.exit(0)
pid = os.fork()
if pid == 0:
    signal.pause()
fd = os.pidfd_open(pid)
signal.pidfd_send_signal(fd, signal.SIGTERM)
poll = select.poll()
poll.register(fd, select.POLLIN)
assert poll.poll(5000)
assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGTERM
print("WORKS")
