# title: enter namespaces: one's own again, the agent's, by files and by pidfd
# wall: seccomp_clone
# source: setns(2)
import os
from attack import call, escaped, held

errors = set()
for pid in ("self", "1", str(os.getppid())):
    for kind in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time", "pid_for_children"):
        try:
            fd = os.open("/proc/%s/ns/%s" % (pid, kind), os.O_RDONLY)
        except OSError as e:
            errors.add("open:%d" % e.errno)
            continue
        result = call(308, fd, 0)
        os.close(fd)
        # EINVAL: the call looks at what it is given, and finds our own user namespace.
        if result == 0 or result == -22:
            escaped("setns of %s/%s: %d" % (pid, kind, -result))
        errors.add("setns:%d" % -result)
fd = call(434, os.getpid(), 0)
if fd >= 0 and call(308, fd, 0x04000000) == 0:
    escaped("setns by pidfd")
held(" ".join(sorted(errors)))
