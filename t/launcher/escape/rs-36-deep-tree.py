# title: trees of directories so deep that no path leads to their ends
# wall: inodes
# limits: memory=256m disk=64m
# expect: limit disk held
import os
import time
from attack import escaped, held

n = 0
try:
    for n in range(40000):
        if n % 100 == 0:  # what Landlock does for one call grows with the depth
            os.chdir("/workspace")
            os.mkdir("d%d" % n)
            os.chdir("d%d" % n)
        os.mkdir(100 * "d")
        os.chdir(100 * "d")
except OSError as e:
    time.sleep(2)
    held("%d deep: %s" % (n, e.strerror))
escaped("%d deep" % n)
