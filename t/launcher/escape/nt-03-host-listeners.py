# title: connect to whatever listens on the host's loopback
# wall: network_namespace
# source: databases and agents on 127.0.0.1 trust whoever can reach them
import socket
from attack import escaped, held

tables = 0
for table in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet", "netlink"):
    try:
        lines = open("/proc/net/" + table).read().splitlines()[1:]
        tables += 1
    except OSError:
        continue
    if lines and table != "netlink":
        escaped("/proc/net/%s shows a socket of the host: %s" % (table, lines[0].split()[1]))
for port in list(range(1, 1024)) + [2024, 2375, 3306, 5432, 6379, 8080, 9000, 9200, 11211]:
    s = socket.socket()
    s.settimeout(1)
    if s.connect_ex(("127.0.0.1", port)) == 0:
        escaped("connected to port %d" % port)
    s.close()
held("%d empty tables, nobody listens" % tables)
