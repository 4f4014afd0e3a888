# title: meet another sandbox on a port of loopback, v4 and v6, and on every address there is
# wall: network_namespace
# parties: 2
import socket
import sys
import time
from attack import escaped, held

if sys.argv[1] == "victim":
    keep = []
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            s = socket.socket(family, socket.SOCK_STREAM)
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.bind((host, int(keep[0].getsockname()[1]) if keep else 0))
            s.listen(8)
            keep.append(s)
        except OSError:
            pass
    print("READY", keep[0].getsockname()[1] if keep else 0, flush=True)
    time.sleep(20)
    held("waited")
port = int(sys.argv[2])
errors = set()
for host in ("127.0.0.1", "127.0.0.2", "0.0.0.0", "::1"):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    s.settimeout(2)
    try:
        s.connect((host, port))
        escaped("connected to %s:%d" % (host, port))
    except OSError as e:
        errors.add(str(e))
held("; ".join(sorted(errors)))
