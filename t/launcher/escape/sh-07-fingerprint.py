# title: recognise the host: its boot, its uptime, its name, who else is busy
# wall: proc_masks uts_namespace
# tier: process
# without: gVisor makes all of these up
import os
from attack import escaped, held

if os.uname().nodename != "sandbox":
    escaped("the name is " + os.uname().nodename)
for path in ("/proc/cmdline", "/proc/kallsyms", "/proc/interrupts", "/proc/timer_list", "/proc/config.gz", "/proc/keys", "/proc/slabinfo", "/proc/iomem", "/proc/locks"):
    try:
        if open(path, "rb").read(64).strip():
            escaped(path + " tells something")
    except OSError:
        pass
held("nothing of the kind")
