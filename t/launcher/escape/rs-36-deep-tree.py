# title: a tree of directories so deep that no path leads to its end
# wall: inodes
# limits: memory=256m disk=64m
# expect: limit disk held
import os
import time
from attack import escaped, held

n = 0
try:
    for n in range(40000):
        os.mkdir("d")
        os.chdir("d")
except OSError as e:
    time.sleep(2)
    held("%d deep: %s" % (n, e.strerror))
escaped("%d deep" % n)
