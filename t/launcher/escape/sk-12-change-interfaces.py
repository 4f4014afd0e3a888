# title: take the interface down, give it an address, make a bridge, a tunnel, a VLAN
# wall: seccomp_ioctl
# gvisor: seccomp_ioctl
# source: netdevice(7)
import errno
import fcntl
import socket
import struct
from attack import escaped, held

s = socket.socket(socket.AF_UNIX)
requests = {"SIOCSIFFLAGS": 0x8914, "SIOCSIFADDR": 0x8916, "SIOCSIFMTU": 0x8922, "SIOCSIFHWADDR": 0x8924, "SIOCADDRT": 0x890B, "SIOCBRADDBR": 0x89A0,
            "SIOCADDTUNNEL": 0x89F1, "SIOCSIFVLAN": 0x8983, "SIOCSIFNAME": 0x8923, "SIOCETHTOOL": 0x8946, "SIOCGIFHWADDR": 0x8927, "SIOCGIFMTU": 0x8921,
            "SIOCGSTAMP": 0x8906, "SIOCOUTQ": 0x5411, "SIOCSPGRP": 0x8902, "SIOCUNIXFILE": 0x89E0}
errors = set()
for name, request in requests.items():
    try:
        fcntl.ioctl(s, request, struct.pack("<16sH22x", b"lo", 0) + bytes(64))
        escaped(name)
    except OSError as e:
        errors.add("%s:%s" % (name, errno.errorcode[e.errno]))
        if e.errno != errno.EPERM:
            escaped("%s reaches the kernel: %s" % (name, e.strerror))
held("%d requests" % len(requests))
