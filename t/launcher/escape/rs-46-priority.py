# title: better priority and real-time scheduling, to starve the host
# wall: seccomp capabilities rlimits uid
# source: would stop daemons on all processors for as long as it runs
import os
import struct
from attack import call, escaped, held

tries = {
    "nice": lambda: os.setpriority(os.PRIO_PROCESS, 0, -1),
    "fifo": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "rr": lambda: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1)),
}
for name, attempt in tries.items():
    try:
        attempt()
        escaped(name)
    except OSError:
        pass
deadline = struct.pack("=IIQiIQQQ", 48, 6, 0, 0, 0, 10**7, 10**8, 10**8)
if call(314, 0, deadline, 0) == 0:
    escaped("deadline scheduling")
if call(251, 1, 0, 1 << 13 | 0) == 0:
    escaped("real-time input and output")
held("ordinary priority")
