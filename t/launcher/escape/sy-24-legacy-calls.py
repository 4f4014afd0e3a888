# title: calls of old: ustat, sysfs, uselib, remap_file_pages, lookup_dcookie, nfsservctl, afs, asynchronous input and output
# wall: seccomp_calls
# gvisor: seccomp_calls
# source: syscalls(2)
import ctypes
import mmap
import os
from attack import call, escaped, held

m = mmap.mmap(-1, 8192, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
address = ctypes.addressof(ctypes.c_char.from_buffer(m))
context = (ctypes.c_ulong * 1)()
results = {"ustat": call(136, os.stat("/").st_dev, bytes(64)), "sysfs": call(139, 3), "uselib": call(134, b"/usr/bin/env\0"),
           "remap_file_pages": call(216, address, 4096, 0, 1, 0), "io_setup": call(206, 4, context), "lookup_dcookie": call(212, 0, None, 0),
           "_sysctl": call(156, None), "nfsservctl": call(180, 0, None, None)}
for name, result in results.items():
    if result >= 0 or result not in (-1, -38):
        escaped("%s: %d" % (name, result))
held(" ".join("%s:%d" % (n, -r) for n, r in results.items()))
