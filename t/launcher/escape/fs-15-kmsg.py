# title: write into the kernel's log, or read what it says of the host
# wall: devices
import os
from attack import call, escaped, held, opens

if opens("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK) is None:
    escaped("/dev/kmsg can be read")
if opens("/dev/kmsg", os.O_WRONLY) is None:
    escaped("/dev/kmsg can be written")
for action in (3, 9, 10):
    if call(103, action, None, 0) >= 0:
        escaped("syslog tells %d" % action)
held("neither the device nor syslog")
