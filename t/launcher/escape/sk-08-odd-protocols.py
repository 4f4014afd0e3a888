# title: protocols behind the allowed families: MPTCP, SCTP, DCCP, UDP-Lite, L2TP, SMC, ping
# wall: seccomp_sockets
# gvisor: seccomp_sockets
# source: CVE-2021-47381 and others of net/mptcp; type and family alone do not name a protocol
import socket
from attack import escaped, held

errors = set()
for family in (socket.AF_INET, socket.AF_INET6):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, 6):
        for protocol in (1, 2, 33, 46, 47, 50, 51, 58, 94, 103, 108, 115, 132, 136, 137, 143, 255, 256, 262, 262 + (1 << 16)):
            try:
                socket.socket(family, kind, protocol).close()
                escaped("family %d, type %d, protocol %d" % (family, kind, protocol))
            except OSError as e:
                errors.add(e.strerror)
held("; ".join(sorted(errors)))
