# title: set the clocks of children by a time namespace
# wall: seccomp nested_namespaces landlock
# source: time_namespaces(7)
from attack import call, escaped, held

result = call(272, 0x10000000 | 0x80)
if result < 0:
    held("unshare: errno %d" % -result)
try:
    with open("/proc/self/timens_offsets", "w") as f:
        f.write("monotonic 864000 0\n")
    escaped("the clocks of children are ours")
except OSError as e:
    held(e.strerror)
