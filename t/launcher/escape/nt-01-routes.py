# title: is there a way to any address at all: metadata services, private networks, resolvers, in both families
# wall: network_namespace
# source: connecting a datagram socket asks for the route and sends nothing
import errno
import socket
from attack import escaped, held

there = ["169.254.169.254", "100.100.100.200", "192.0.2.1", "10.0.0.1", "172.17.0.1", "192.168.0.1", "8.8.8.8", "224.0.0.1", "255.255.255.255",
         "fd00:ec2::254", "fe80::1", "2001:4860:4860::8888", "ff02::1", "::ffff:169.254.169.254"]
errors = set()
for host in there:
    for scope in ((0,) if ":" not in host else (0, 1, 2)):
        try:
            s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
            s.connect((host, 53, 0, scope) if ":" in host else (host, 53))
            own = s.getsockname()[0]
        except OSError as e:
            errors.add(errno.errorcode.get(e.errno, "?"))
            continue
        if not own.startswith("127.") and own not in ("::1", "::"):
            escaped("%s is reached from %s" % (host, own))
held(" ".join(sorted(errors)))
