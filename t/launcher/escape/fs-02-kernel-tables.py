# title: read what the kernel tells about the host: symbols, memory map, interrupts, boot command line, everybody's locks
# wall: proc_masks
# source: proc(5)
from attack import escaped, held

# Of these gVisor has a cmdline, an invented one; it says nothing of the host.
names = ("kallsyms", "iomem", "ioports", "interrupts", "softirqs", "timer_list", "slabinfo", "vmallocinfo", "zoneinfo", "schedstat",
         "pagetypeinfo", "modules", "keys", "key-users", "locks", "config.gz", "kpagecount", "latency_stats", "sched_debug")
refused = 0
for name in names:
    try:
        with open("/proc/" + name, "rb") as table:
            if table.read(4096).strip():
                escaped("/proc/%s has content" % name)
    except OSError:
        refused += 1
held("%d of %d absent, the rest empty" % (refused, len(names)))
