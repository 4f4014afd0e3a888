# title: fill every place that can be written a little, each below the limit
# wall: disk
# gvisor: disk
# limits: disk=8m memory=256m
# expect: limit disk held
import errno
import os
import time
from attack import escaped, held

total = 0
for place in ("/workspace", "/tmp", "/dev/shm", "/run/sandbox", "/var/tmp"):
    try:
        with open(place + "/part", "wb", buffering=0) as f:
            for i in range(6):
                total += f.write(b"x" * (1 << 20))
    except OSError as e:
        if e.errno == errno.ENOSPC:
            time.sleep(2)
            held("%d MiB in all" % (total >> 20))
if total > 12 << 20:
    escaped("%d MiB" % (total >> 20))
held("%d MiB" % (total >> 20))
