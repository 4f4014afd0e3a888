# title: recognise the host: its boot, its devices, who else is busy (its name: ns-09; its uptime: sh-08)
# wall: proc_masks
# tier: process
# without: gVisor makes all of these up
from attack import escaped, held

for path in ("/proc/cmdline", "/proc/kallsyms", "/proc/interrupts", "/proc/timer_list", "/proc/config.gz", "/proc/keys", "/proc/slabinfo", "/proc/iomem", "/proc/locks",
             "/proc/pressure/cpu", "/proc/pressure/memory", "/proc/pressure/io"):
    try:
        if open(path, "rb").read(64).strip():
            escaped(path + " tells something")
    except OSError:
        pass
held("nothing of the kind")
