# title: privileges asked one by one in a namespace of one's own: host name, network, files of others
# wall: seccomp nested_namespaces
# gvisor: seccomp
# source: user_namespaces(7)
import socket
import fcntl
import struct
from attack import call, escaped, held

result = call(272, 0x10000000 | 0x04000000 | 0x40000000)
if result < 0:
    held("unshare: errno %d" % -result)
if call(170, b"mine", 4) == 0:
    escaped("a host name")
try:
    fcntl.ioctl(socket.socket(socket.AF_UNIX), 0x8914, struct.pack("<16sh14x", b"lo", 0x41))
    escaped("an interface")
except OSError as e:
    held(e.strerror)
