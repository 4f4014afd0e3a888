# title: go through /proc/1: its root, working directory, program, memory, environment and descriptors
# wall: uid capabilities not_dumpable landlock
# source: CVE-2019-5736, CVE-2016-9962
import os
from attack import escaped, held

errors = set()
for name in ("root", "cwd", "exe", "fd/3", "fd/4", "environ", "maps", "mem", "auxv", "stack", "pagemap", "syscall", "io", "map_files", "fdinfo", "task/1/mem"):
    path = "/proc/1/" + name
    try:
        if name in ("map_files", "fdinfo"):
            found = os.listdir(path)
            escaped("%s: %d entries" % (path, len(found)))
        elif name in ("root", "cwd", "exe", "fd/3", "fd/4"):
            escaped("%s is %s" % (path, os.readlink(path)))
        else:
            fd = os.open(path, os.O_RDONLY)
            if name != "mem" and not os.read(fd, 16):
                raise OSError(61, "empty")
            escaped("read " + path)
    except OSError as e:
        errors.add(e.strerror or str(e.errno))
held("; ".join(sorted(errors)))
