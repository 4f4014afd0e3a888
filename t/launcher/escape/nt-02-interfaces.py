# title: interfaces, routes and neighbours other than loopback's
# wall: network_namespace
from attack import escaped, held

seen = 0
for table, skip in (("dev", 2), ("route", 1), ("arp", 1), ("if_inet6", 0), ("fib_trie", 0), ("wireless", 2)):
    try:
        lines = open("/proc/net/" + table).read().splitlines()[skip:]
    except OSError:
        continue
    for line in lines:
        seen += 1
        if table in ("dev", "if_inet6", "route") and not line.split()[0 if table != "if_inet6" else -1].startswith("lo"):
            escaped("/proc/net/%s: %s" % (table, line.strip()))
        if table == "arp" or (table == "fib_trie" and "|--" in line and "127." not in line and " 0.0.0.0" not in line):
            escaped("/proc/net/%s: %s" % (table, line.strip()))
held("%d lines, all of loopback" % seen)
