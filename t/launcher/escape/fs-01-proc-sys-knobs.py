# title: open every kernel knob below /proc/sys for writing, core_pattern first
# wall: proc_read_only landlock
# source: proc(5); core_pattern as root is code execution on the host at the next crash
import os
from attack import escaped, held, opens

first = ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug", "/proc/sys/kernel/poweroff_cmd"]
found = [os.path.join(d, f) for d, _, files in os.walk("/proc/sys") for f in files]
for path in first + found:
    if opens(path, os.O_WRONLY) is None:
        escaped("opened %s for writing" % path)
held("%d knobs" % len(found))
