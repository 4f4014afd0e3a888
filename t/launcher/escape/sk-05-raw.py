# title: raw, packet and ping sockets: see and forge what passes the interface
# wall: seccomp_sockets
# gvisor: seccomp_sockets
# source: CVE-2020-14386 (AF_PACKET)
import socket
from attack import escaped, held

errors = set()
for family, kind, protocol in ((socket.AF_PACKET, socket.SOCK_RAW, 0), (socket.AF_PACKET, socket.SOCK_DGRAM, 0), (socket.AF_INET, socket.SOCK_RAW, 1),
                               (socket.AF_INET6, socket.SOCK_RAW, 58), (socket.AF_INET, socket.SOCK_RAW, 255), (socket.AF_INET, 10, 0),
                               (socket.AF_UNIX, socket.SOCK_RAW, 0)):
    try:
        socket.socket(family, kind, protocol)
        escaped("family %d, type %d" % (family, kind))
    except OSError as e:
        # EPERM from the kernel (a privilege is asked for) and from the filter look alike; unix sockets ask for none.
        errors.add(e.strerror)
held("; ".join(sorted(errors)))
