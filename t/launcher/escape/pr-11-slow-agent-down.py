# title: starve the agent: the weakest priority, one processor, idle scheduling, idle input and output
# wall: uid capabilities seccomp_arguments
# gvisor: seccomp_arguments
# source: setpriority(2), sched_setscheduler(2), ioprio_set(2)
import struct
from attack import call, escaped, held

results = {
    "setpriority": call(141, 0, 1, 0), "sched_setaffinity": call(203, 1, 8, struct.pack("<Q", 0xFFFFFFFF)),
    "sched_setparam": call(142, 1, struct.pack("<i", 0)), "ioprio_set": call(251, 1, 1, 0x4004),
}
for name, result in results.items():
    if result >= 0:
        escaped("%s on pid 1" % name)
held(" ".join("%s:%d" % (n, -r) for n, r in results.items()))
