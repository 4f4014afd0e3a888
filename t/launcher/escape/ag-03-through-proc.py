# title: reach the agent's descriptors, directories and memory through /proc/1 (what its environment says: sh-01)
# wall: uid capabilities not_dumpable landlock
import os
from attack import escaped, held, opens

for path in ("/proc/1/mem", "/proc/1/cwd", "/proc/1/root/etc", "/proc/1/fd/3", "/proc/1/fd/0",
             "/proc/1/task/1/mem", "/proc/1/pagemap"):
    if opens(path, os.O_RDONLY) is None:
        escaped("opened " + path)
for path in ("/proc/1/syscall", "/proc/1/stack", "/proc/1/auxv"):  # who may is asked at reading
    try:
        with open(path, "rb") as f:
            if f.read(64):
                escaped("read " + path)
    except OSError:
        pass
for path in ["/proc/1/fd/%d" % n for n in range(16)] + ["/proc/1/exe", "/proc/1/cwd", "/proc/1/root"]:
    try:
        escaped("%s leads to %s" % (path, os.readlink(path)))
    except OSError as e:
        error = e
held(error.strerror)
