# title: options of sockets that reach elsewhere: mark, device, forced buffers, transmit time, zero copy, firewall tables, xfrm
# wall: seccomp_sockets
# gvisor: seccomp_sockets
# source: CVE-2016-4997 (IPT_SO_SET_REPLACE), CVE-2016-9793 (SO_SNDBUFFORCE), CVE-2019-15239
import socket
import struct
from attack import escaped, held

sockets = []
for family, kind in ((socket.AF_UNIX, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_STREAM), (socket.AF_INET6, socket.SOCK_DGRAM)):
    try:
        sockets.append(socket.socket(family, kind))
    except OSError:
        pass
options = {"SO_ZEROCOPY": (1, 60, struct.pack("i", 1)), "SO_TXTIME": (1, 61, struct.pack("iI", 1, 0)), "SO_BINDTODEVICE": (1, 25, b"lo\0"),
           "SO_MARK": (1, 36, struct.pack("i", 1)), "SO_SNDBUFFORCE": (1, 32, struct.pack("i", 1 << 30)), "SO_RCVBUFFORCE": (1, 33, struct.pack("i", 1 << 30)),
           "SO_LOCK_FILTER": (1, 44, struct.pack("i", 1)), "IPT_SO_SET_REPLACE": (0, 64, bytes(128)), "IP_XFRM_POLICY": (0, 17, bytes(168)),
           "IP_MSFILTER": (0, 41, bytes(16)), "MCAST_MSFILTER": (0, 48, bytes(272)), "IP_OPTIONS": (0, 4, b"\x01" * 4),
           "IPV6_XFRM_POLICY": (41, 35, bytes(168)), "IPV6_RTHDR": (41, 57, bytes(24)), "IP6T_SO_SET_REPLACE": (41, 64, bytes(128))}
errors = set()
for name, (level, option, value) in options.items():
    for s in sockets:
        try:
            s.setsockopt(level, option, value)
            escaped("%s on family %d" % (name, s.family))
        except OSError as e:
            errors.add(e.strerror)
held("%d sockets: %s" % (len(sockets), "; ".join(sorted(errors))))
