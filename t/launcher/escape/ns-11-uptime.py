# title: tell hosts apart, and jobs' places in time, by how long the machine has been up
# wall: time_namespace
# source: time_namespaces(7)
import time
from attack import escaped, held

# A sandbox' clocks begin with it, or with the launcher; the corpus takes a few minutes.
boot = time.clock_gettime(time.CLOCK_BOOTTIME)
with open("/proc/uptime") as f:
    up = float(f.read().split()[0])
try:
    with open("/proc/self/timens_offsets") as f:
        offsets = f.read().split()
except OSError:
    offsets = None
if offsets is not None and [o for i, o in enumerate(offsets) if i % 3] == ["0"] * 4:
    escaped("up for %d s like the host" % boot)
held("up for %d s (%d)" % (boot, up))
