# title: look names up: by the library, by the resolver's sockets, by the daemons that answer for it
# wall: network_namespace
import os
import socket
from attack import escaped, held

for path in ("/run/systemd/resolve/io.systemd.Resolve", "/run/systemd/resolve/io.systemd.Resolve.Monitor", "/run/nscd/socket", "/var/run/nscd/socket",
             "/run/dbus/system_bus_socket", "/run/avahi-daemon/socket", "/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock",
             "/run/snapd.socket", "/run/systemd/private", "/run/systemd/notify", "/run/systemd/journal/socket", "/dev/log"):
    s = socket.socket(socket.AF_UNIX)
    if s.connect_ex(path) == 0:
        escaped("connected to " + path)
try:
    nameservers = [l.split()[1] for l in open("/etc/resolv.conf") if l.startswith("nameserver")]
except OSError:
    nameservers = []
for server in nameservers + ["127.0.0.53", "127.0.0.11"]:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(0.3)
    try:
        s.connect((server, 53))
        if not s.getsockname()[0].startswith("127."):
            escaped("there is a way to the name server %s" % server)
        s.send(b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\7invalid\0\0\1\0\1")
        s.recv(512)
        escaped("the name server %s answers" % server)
    except OSError:
        pass
def tables():
    return [t for t in ("dev",) if any(not l.lstrip().startswith("lo:") for l in open("/proc/net/" + t).read().splitlines()[2:])]
if tables():
    escaped("names could be asked for on other interfaces")
held("nobody answers for names")
