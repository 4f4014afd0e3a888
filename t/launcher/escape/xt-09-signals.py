# title: signal the processes of another sandbox, found in /proc or guessed
# wall: pid_namespace own_ids landlock
# parties: 2
import os
import signal
import sys
import time
from attack import escaped, held

# Its number outside is not ours to know: the namespace's are small, the host's are found by looking.
if sys.argv[1] == "victim":
    print("READY", os.getpid(), os.getuid(), flush=True)
    time.sleep(8)
    held("alive")
hit = []
for pid in list(range(3, 400)) + [int(p) for p in os.listdir("/proc") if p.isdigit()]:
    if pid in (os.getpid(), os.getppid()):
        continue
    try:
        os.kill(pid, 0)
        hit.append(pid)
    except OSError:
        pass
if hit:
    escaped("a signal would reach %s" % hit[:5])
held("no other process can be signalled")
