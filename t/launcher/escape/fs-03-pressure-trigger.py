# title: set a pressure trigger, which tells how much the host's other tenants stall
# wall: proc_masks landlock
# source: Documentation/accounting/psi.rst: the files may be written by anyone
import os
from attack import escaped, held, opens

for name in ("memory", "cpu", "io", "irq"):
    if opens("/proc/pressure/" + name, os.O_RDWR) is None:
        escaped("/proc/pressure/%s can be written" % name)
held("no pressure file to write")
