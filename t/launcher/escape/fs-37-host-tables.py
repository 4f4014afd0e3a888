# title: tell hosts apart and see what they do: the boot's id, disks, PCI devices, mounted file systems, drivers, memory, all control groups
# wall: proc_masks
# source: proc(5)
import os
from attack import escaped, held

NIL = "00000000-0000-0000-0000-000000000000"
names = ("buddyinfo", "consoles", "crypto", "devices", "diskstats", "dma", "execdomains", "misc", "partitions", "swaps", "vmstat",
         "fb", "mdstat", "bootconfig", "allocinfo", "tty/drivers", "bus/pci/devices", "bus/input/devices")
for name in names:
    try:
        with open("/proc/" + name, "rb") as table:
            if table.read(4096).strip():
                escaped("/proc/%s has content" % name)
    except OSError:
        pass
for directory in ("bus", "fs", "irq", "driver", "acpi", "scsi", "device-tree"):
    try:
        inside = os.listdir("/proc/" + directory)
    except OSError:
        continue
    if inside:
        escaped("/proc/%s has %s" % (directory, inside[0]))
try:
    groups = open("/proc/cgroups").read().splitlines()[1:]    # gVisor has the heading alone
except OSError:
    groups = []
if groups:
    escaped("/proc/cgroups counts " + groups[0])
try:
    boot = open("/proc/sys/kernel/random/boot_id").read().strip()
except OSError:
    boot = NIL
if boot != NIL:
    escaped("this boot is " + boot)
held("nothing of the host")
