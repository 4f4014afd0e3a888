# title: hide bytes in extended attributes, which no block counts
# wall: inodes
# limits: disk=8m memory=256m
# expect: limit disk held
import os
import time
from attack import escaped, held

total = 0
try:
    for f in range(1500):
        path = "/tmp/x%d" % f
        open(path, "w").close()
        for i in range(2):
            os.setxattr(path, "user.%d" % i, b"x" * 32000)
            total += 32000
except OSError as e:
    if total == 0:
        held("no attributes: %s" % e.strerror)
    time.sleep(1)
    if total <= 64 << 20:
        held("%d MiB: %s" % (total >> 20, e.strerror))
escaped("%d MiB in attributes" % (total >> 20))
