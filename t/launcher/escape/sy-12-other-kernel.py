# title: load modules or another kernel
# wall: seccomp_calls
# source: init_module(2), kexec_load(2)
import os
from attack import call, escaped, held

fd = os.open("/usr/bin/env", os.O_RDONLY)
results = {"init_module": call(175, b"x", 1, b"\0"), "finit_module": call(313, fd, b"\0", 0), "delete_module": call(176, b"nothing\0", 0o4000),
           "kexec_load": call(246, 0, 0, None, 0), "kexec_file_load": call(320, fd, fd, 0, None, 0)}
for name, result in results.items():
    if result != -1:
        escaped("%s: errno %d" % (name, -result))
held("EPERM for all")
