# title: files in memory (memfd) that no directory and no quota of the workspace counts
# wall: memory
# gvisor: memory
# limits: memory=64m
# expect: limit memory
import os
from attack import escaped, held

fds = []
for i in range(64):
    try:
        fds.append(os.memfd_create("m"))
        os.write(fds[-1], b"x" * (4 << 20))
    except OSError as e:
        held("memfd %d: %s" % (i, e.strerror))
escaped("256 MiB in memfds")
