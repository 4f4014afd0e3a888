# title: ask with F_GETLK who holds a range of a file both see, and write a number as ranges
# wall: own_inodes
# parties: 2
import fcntl
import os
import struct
import sys
import time
from attack import escaped, held

paths = ["/usr/bin/env", "/usr/bin/python3", "/etc/passwd", "/etc/hosts", "/dev/null", "/dev/full", "/dev/random", "/opt/sandbox/runtimes.json",
         "/opt/sandbox/drivers/python.py", "/proc/cmdline", "/proc/keys"]
seen = 0
for path in paths:
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        continue
    if sys.argv[1] == "victim":
        try:
            fcntl.lockf(fd, fcntl.LOCK_SH, 1, 4242)
        except OSError:
            pass
        os.dup(fd)
        seen += 1
    else:
        asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 4242, 1, 0)
        answer = struct.unpack("hhqqi4x", fcntl.fcntl(fd, fcntl.F_GETLK, asked))
        if answer[0] != fcntl.F_UNLCK:
            escaped("the other holds byte 4242 of " + path)
        seen += 1
if sys.argv[1] == "victim":
    print("READY", flush=True)
    time.sleep(20)
held("%d files without locks" % seen)
