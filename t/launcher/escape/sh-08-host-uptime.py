# title: tell hosts apart, and when they were patched, by how long they are up
# wall: time_namespace
# source: time_namespaces(7)
import time
from attack import escaped, held

# A sandbox of the tests is seconds old.
YOUNG = 100
readings = {"CLOCK_MONOTONIC": time.clock_gettime(time.CLOCK_MONOTONIC), "CLOCK_BOOTTIME": time.clock_gettime(time.CLOCK_BOOTTIME),
            "CLOCK_MONOTONIC_RAW": time.clock_gettime(time.CLOCK_MONOTONIC_RAW)}
with open("/proc/uptime") as f:
    readings["/proc/uptime"] = float(f.read().split()[0])
with open("/proc/stat") as f:
    for line in f:
        if line.startswith("btime "):
            readings["btime"] = time.time() - float(line.split()[1])
for name, seconds in readings.items():
    if not -YOUNG < seconds < YOUNG:
        escaped("%s: %d s" % (name, seconds))
held(" ".join("%s:%d" % reading for reading in readings.items()))
