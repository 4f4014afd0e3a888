# title: write what /proc/self offers: audit id, autogroup, attributes, core filter, timer slack, comm of others
# wall: landlock
# source: CVE-2025-52881: a security attribute written elsewhere
import os
from attack import escaped, held, opens

names = ("loginuid", "autogroup", "attr/current", "attr/exec", "attr/fscreate", "attr/keycreate", "attr/sockcreate", "attr/apparmor/exec", "sessionid",
         "oom_adj", "sched", "coredump_filter", "clear_refs", "timens_offsets", "projid_map", "make-it-fail", "fail-nth", "latency", "uid_map", "gid_map", "setgroups")
errors = {name: opens("/proc/self/" + name, os.O_WRONLY) for name in names}
for name, error in errors.items():
    if error is None:
        escaped("/proc/self/%s can be written" % name)
held(" ".join(sorted(set(errors.values()))))
