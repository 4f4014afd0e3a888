# title: count hardware and software events, of oneself and of everybody
# wall: seccomp_calls
# source: CVE-2013-2094
import struct
from attack import call, escaped, held

results = []
for kind, config in ((1, 1), (1, 0), (0, 0), (2, 0)):
    # exclude_kernel, exclude_hv: what anybody may have.
    attr = struct.pack("<IIQQQQQ", kind, 112, config, 0, 0, 0, 0b1100000) + bytes(64)
    for pid, cpu in ((0, -1), (-1, 0)):
        result = call(298, attr, pid, cpu, -1, 0)
        if result >= 0:
            escaped("event %d/%d of %d" % (kind, config, pid))
        # The kernel's own refusals: no such counter, not for you (EACCES).
        if result in (-2, -13, -22, -95):
            escaped("perf_event_open is in reach: errno %d" % -result)
        results.append(-result)
held("errno %s" % sorted(set(results)))
