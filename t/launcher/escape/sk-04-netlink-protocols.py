# title: every netlink protocol: routes, audit, netfilter, xfrm, generic, uevents, crypto
# wall: seccomp_sockets
# gvisor: seccomp_sockets
# source: CVE-2022-34918, CVE-2023-32233
import socket
from attack import escaped, held

errors = set()
for protocol in range(23):
    for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM):
        try:
            socket.socket(socket.AF_NETLINK, kind, protocol)
            escaped("protocol %d" % protocol)
        except OSError as e:
            errors.add(e.strerror)
held("; ".join(errors))
