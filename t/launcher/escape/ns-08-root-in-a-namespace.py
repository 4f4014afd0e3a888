# title: be root in a namespace of one's own and use it: a bridge, packet filters, raw sockets
# wall: seccomp nested_namespaces
# gvisor: seccomp
# source: CVE-2024-1086, CVE-2023-32233: nf_tables reached by an unprivileged user namespace
import os
import socket
import struct
from attack import call, escaped, held

result = call(272, 0x10000000 | 0x40000000)
if result < 0:
    held("unshare: errno %d" % -result)
try:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    escaped("root over a network of its own: packet sockets")
except OSError as e:
    why = e.strerror
try:
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    s.bind((0, 0))
    escaped("nf_tables is in reach")
except OSError as e:
    held(why + ", " + e.strerror)
