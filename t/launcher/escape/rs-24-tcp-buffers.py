# title: fill the buffers of many TCP connections over loopback: the kernel's limit is one for the whole host
# wall: memory
# gvisor: memory
# limits: memory=32m
# expect: limit memory held
import socket
from attack import escaped, held

total = 0
keep = []
try:
    listener = socket.create_server(("127.0.0.1", 0))
    for i in range(100):
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        keep += [client, server]
        for s in (client, server):
            s.setblocking(False)
            try:
                while True:
                    total += s.send(b"x" * 262144)
            except BlockingIOError:
                pass
        if total > 128 << 20:
            escaped("%d MiB in TCP buffers" % (total >> 20))
except OSError as e:
    held("%d MiB: %s" % (total >> 20, e.strerror))
held("%d MiB is all" % (total >> 20))
