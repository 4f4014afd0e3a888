# title: signal to another sandbox with advisory locks on a file both see
# wall: own_inodes
# parties: 2
# source: isolate 2.4 of the reference's list of cross-sandbox channels
import fcntl
import os
import sys
import time
from attack import escaped, held

paths = ["/usr/bin/env", "/usr", "/etc/passwd", "/etc", "/dev/null", "/dev/zero", "/dev/urandom", "/dev", "/opt/sandbox/runtimes.json",
         "/opt/sandbox", "/", "/proc/cmdline", "/proc/version", "/usr/lib", "/bin/sh", "/etc/ld.so.cache"]
fds = {}
for path in paths:
    try:
        fds[path] = os.open(path, os.O_RDONLY)
    except OSError:
        pass
victim = sys.argv[1] == "victim"
for path, fd in fds.items():
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if not victim:
            escaped("saw the other's flock on " + path)
if victim:
    print("READY", flush=True)
    time.sleep(20)
held("%d files are free" % len(fds))
