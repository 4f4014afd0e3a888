# title: read the kernel's log by its device and by syslog(2)
# wall: devices seccomp_calls
import os
from attack import call, escaped, held, opens

if opens("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK) is None:
    escaped("/dev/kmsg can be read")
if opens("/dev/kmsg", os.O_WRONLY) is None:
    escaped("/dev/kmsg can be written")
size = call(103, 10, None, 0)
if size >= 0:
    escaped("syslog tells the size of the log: %d" % size)
held("errno %d" % -size)
