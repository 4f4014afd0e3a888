# title: outlive the step: a daemon that ignores all signals, and one that was stopped
# wall: sweep
# gvisor: sweep
# steps: 2
import os
import signal
import sys
import time
from attack import escaped, held

mark = "/workspace/made-late"
if sys.argv[1:] == ["again"]:
    time.sleep(1.2)
    if os.path.exists(mark):
        escaped("the first step's daemon works on")
    others = [p for p in os.listdir("/proc") if p.isdigit() and int(p) not in (os.getpid(), 1)]
    if others:
        escaped("processes of the first step are left: %s" % others)
    held("nothing outlived its step")
if os.fork() == 0:
    os.setsid()
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    if os.fork() > 0:
        os._exit(0)
    for fd in range(3):
        os.close(fd)
    time.sleep(0.6)
    open(mark, "w").close()
    time.sleep(8)
    os._exit(0)
if os.fork() == 0:
    os.kill(os.getpid(), signal.SIGSTOP)
    os._exit(0)
os.wait()
