# title: be told which programs the neighbours start: inotify, dnotify and fanotify on /usr
# wall: seccomp
# gvisor: seccomp
# source: all sandboxes read the same inodes of /usr
import fcntl
import os
import signal
from attack import call, escaped, held

signal.signal(signal.SIGIO, signal.SIG_IGN)
why = []
fd = call(294, 0)
if fd >= 0 and call(254, fd, b"/usr/bin\0", 0x20) >= 0:
    escaped("inotify on /usr/bin")
why.append("inotify %d" % -fd)
try:
    fcntl.fcntl(os.open("/usr/bin", os.O_RDONLY), 1026, 1)
    escaped("dnotify on /usr/bin")
except OSError as e:
    why.append("dnotify %d" % e.errno)
fd = call(300, 0x200, 0)
if fd >= 0 and call(301, fd, 1, 0x20, -100, b"/usr/bin\0") >= 0:
    escaped("fanotify on /usr/bin")
why.append("fanotify %d" % -fd)
held(", ".join(why))
