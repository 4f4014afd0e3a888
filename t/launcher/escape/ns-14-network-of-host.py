# title: see the host's network: interfaces, routes, neighbours and connections
# wall: network_namespace
# source: proc(5)
from attack import escaped, held

with open("/proc/net/dev") as f:
    names = [line.split(":")[0].strip() for line in f.read().splitlines()[2:]]
if [n for n in names if n != "lo"]:
    escaped("interfaces %s" % names)
found = 0
for name in ("route", "arp", "tcp", "tcp6", "udp", "udp6", "raw", "unix", "fib_trie", "packet", "netlink"):
    try:
        with open("/proc/net/" + name) as f:
            lines = f.read().splitlines()
    except OSError:
        continue
    found += len(lines)
    if name in ("tcp", "udp", "arp") and len(lines) > 1:
        escaped("/proc/net/%s has %d lines" % (name, len(lines)))
held("%s, %d lines" % (names, found))
