# title: reach files outside through links planted in the workspace that point into /proc
# wall: own_root
# gvisor: own_root
import os
from attack import escaped, held

errors = set()
for i, target in enumerate(["/proc/1/root/etc/shadow", "/proc/1/cwd/../etc/shadow", "/proc/1/root", "/proc/1/fd/3", "/proc/self/root/../../etc/shadow",
                            "/proc/self/fd/3/../../etc/shadow", "/proc/thread-self/root/../etc/shadow"]
                           + ["/proc/self/fd/%d/etc/fstab" % fd for fd in range(3, 64)]):
    link = "l%d" % i
    os.symlink(target, link)
    try:
        os.stat(link)
        escaped("%s leads somewhere" % target)
    except OSError as e:
        errors.add(e.strerror)
held("; ".join(sorted(errors)))
