# title: keep the collector waiting: a lease on an artifact makes whoever opens it wait 45 seconds
# wall: seccomp_arguments
# source: fcntl(2), F_SETLEASE
import fcntl
import os
from attack import escaped, held

fd = os.open("artifact.txt", os.O_CREAT | os.O_RDWR, 0o644)
os.close(fd)
fd = os.open("artifact.txt", os.O_RDONLY)
try:
    fcntl.fcntl(fd, 1024, fcntl.F_RDLCK)
    escaped("a read lease")
except OSError as e:
    held(e.strerror)
