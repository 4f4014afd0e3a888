# title: list and reach the host's abstract unix sockets (containerd's shim was one)
# wall: network_namespace
# source: CVE-2020-15257
from attack import escaped, held

try:
    lines = open("/proc/net/unix").read().splitlines()[1:]
except OSError as e:
    held(e.strerror)
named = [l for l in lines if len(l.split()) > 7]
if named:
    escaped("the host's socket: " + named[0].split()[7])
held("%d sockets, none has a name" % len(lines))
