# title: bind the host's own addresses, so that the world connects to us
# wall: network_namespace
import socket
from attack import escaped, held

errors = set()
own = set()
for host in ("192.0.2.2", "192.0.2.1", "10.0.0.1", "172.17.0.1"):
    s = socket.socket()
    try:
        s.bind((host, 0))
        escaped("bound " + host)
    except OSError as e:
        errors.add(e.strerror)
# Whatever addresses there are, the table of local ones names them.
try:
    for line in open("/proc/net/fib_trie"):
        if "|--" in line:
            own.add(line.split()[1])
except OSError:
    pass
for host in own:
    s = socket.socket()
    try:
        s.bind((host, 0))
        if not host.startswith("127.") and host != "0.0.0.0":
            escaped("bound " + host)
    except OSError as e:
        errors.add(e.strerror)
held(" ".join(sorted(errors)))
