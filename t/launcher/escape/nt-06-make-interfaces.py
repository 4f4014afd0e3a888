# title: make interfaces, addresses and routes: by netlink, by ioctl, by tun
# wall: seccomp_sockets
# gvisor: seccomp_sockets
import socket
import struct
from attack import call, escaped, held

why = []
try:
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    body = struct.pack("=BxHiII", 0, 0, 0, 0, 0) + struct.pack("=HH8s", 12, 3, b"dummy9\0") + struct.pack("=HHHH6sxx", 16, 18, 10, 1, b"dummy\0")
    s.bind((0, 0))
    s.send(struct.pack("=IHHII", 16 + len(body), 16, 0x605, 1, 0) + body)
    if struct.unpack("=i", s.recv(4096)[16:20])[0] == 0:
        escaped("made an interface")
    why.append("netlink: refused by the kernel")
    escaped("spoke with the network stack by netlink")
except OSError as e:
    why.append("netlink: %s" % e.strerror)
try:
    tun = open("/dev/net/tun", "rb+", 0)
    escaped("opened /dev/net/tun")
except OSError as e:
    why.append("tun: %s" % e.strerror)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
flags = struct.pack("16sH22x", b"lo", 0)
if call(16, s.fileno(), 0x8914, flags) >= 0:
    escaped("took loopback down by ioctl")
held("; ".join(why))
