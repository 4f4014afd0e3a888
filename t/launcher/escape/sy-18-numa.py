# title: move memory between the machine's nodes, and ask where pages of others lie
# wall: seccomp_calls
# gvisor: seccomp_calls
# source: CVE-2017-14140; move_pages(2), mbind(2)
import ctypes
import mmap
from attack import call, escaped, held

page = mmap.mmap(-1, 4096)
page[0] = 1
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
pages = (ctypes.c_ulong * 1)(address)
status = (ctypes.c_int * 1)()
results = {"move_pages": call(279, 0, 1, pages, None, status, 0), "mbind": call(237, address, 4096, 0, None, 0, 0),
           "set_mempolicy": call(238, 0, None, 0), "migrate_pages": call(256, 0, 1, bytes(8), bytes(8))}
for name, result in results.items():
    if result >= 0 or result == -22:
        escaped("%s: %d" % (name, result))
held(" ".join("%s:%d" % (n, -r) for n, r in results.items()))
