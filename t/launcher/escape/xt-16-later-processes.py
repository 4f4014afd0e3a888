# title: leave a process behind that meets the next tenant of the slot, whose user id it has
# wall: pid_namespace
# parties: later
import os
import socket
import sys
import time
from attack import escaped, held

if sys.argv[1] == "victim":
    if os.fork() == 0:
        os.setsid()
        if os.fork() > 0:
            os._exit(0)
        os.closerange(0, 3)
        s = socket.socket(socket.AF_UNIX)
        s.bind("\0left-behind")
        s.listen(1)
        time.sleep(20)
        os._exit(0)
    os.wait()
    time.sleep(0.2)
    print("READY", flush=True)
    sys.exit(0)
s = socket.socket(socket.AF_UNIX)
try:
    s.connect("\0left-behind")
    escaped("the earlier tenant still listens")
except OSError as e:
    why = e.strerror
others = [p for p in os.listdir("/proc") if p.isdigit() and int(p) not in (os.getpid(), 1)]
if others:
    escaped("processes that are not ours: %s" % others)
held(why)
