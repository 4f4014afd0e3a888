# title: as many empty files as there may be, and more
# wall: inodes
# gvisor: inodes
# limits: disk=64m memory=256m
# expect: limit disk held
import os
import time
from attack import escaped, held

n = 0
try:
    for d in range(50):
        os.mkdir("/tmp/d%d" % d)
        for n in range(1000):
            os.close(os.open("/tmp/d%d/%d" % (d, n), os.O_CREAT | os.O_WRONLY))
except OSError as e:
    time.sleep(2)
    held("%d files: %s" % (d * 1000 + n, e.strerror))
escaped("50000 files")
