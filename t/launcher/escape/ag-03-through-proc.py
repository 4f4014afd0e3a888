# title: reach the agent's descriptors, directories and memory through /proc/1 (what its environment says: sh-01)
# wall: hidepid uid not_dumpable landlock
import os
from attack import escaped, held, opens

for path in ("/proc/1/mem", "/proc/1/cwd", "/proc/1/root/etc", "/proc/1/fd/3", "/proc/1/fd/0",
             "/proc/1/task/1/mem", "/proc/1/pagemap", "/proc/1/syscall", "/proc/1/stack"):
    if opens(path, os.O_RDONLY) is None:
        escaped("opened " + path)
try:
    fds = os.listdir("/proc/1/fd")
    escaped("sees the agent's descriptors %s" % fds)
except OSError as e:
    held(e.strerror)
