# title: look at the agent: its command line, state, memory use and numbers in /proc/1
# wall: hidepid
# gvisor: hidepid
# source: proc(5), hidepid=invisible
import os
from attack import GVISOR, escaped, held

for name in ("status", "cmdline", "stat", "statm", "comm", "cgroup", "mounts", "limits", "sched"):
    try:
        with open("/proc/1/" + name) as f:
            escaped("/proc/1/%s: %s" % (name, f.read(20).split("\n")[0]))
    except OSError as e:
        why = e.strerror
# gVisor lists its number, which everybody knows, and an empty directory.
if "1" in os.listdir("/proc") and not (GVISOR and os.listdir("/proc/1") == []):
    escaped("pid 1 is listed")
held(why)
