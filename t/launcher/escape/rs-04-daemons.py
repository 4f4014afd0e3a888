# title: daemons by double fork and setsid, so that no process group and no parent leads to them
# wall: pids rlimits
# gvisor: pids rlimits
# limits: processes=16 memory=512m
# expect: limit processes held
import os
import time
from attack import escaped, held

r, w = os.pipe()
for i in range(150):
    try:
        first = os.fork()
    except OSError as e:
        held("fork %d: %s" % (i, e.strerror))
    if first == 0:
        os.setsid()
        try:
            if os.fork() > 0:
                os._exit(0)
        except OSError:
            os._exit(1)
        os.write(w, b"x")
        time.sleep(3)
        os._exit(0)
    if os.waitpid(first, 0)[1] != 0:
        held("daemon %d was refused" % i)
if len(os.read(r, 1000)) > 100:
    escaped("a hundred daemons")
held("some daemons")
