# title: give a program of one's own capabilities: security.capability on a copy of it
# wall: seccomp nested_namespaces landlock
# source: capabilities(7), version 3 attributes
import os
import struct
from attack import call, escaped, held

with open("p", "wb") as f:
    f.write(b"#!/bin/sh\n")
os.chmod("p", 0o755)
everything = struct.pack("<IIIIII", 0x03000001, 0xFFFFFFFF, 0, 0x1FF, 0, 0)


def try_it():
    try:
        os.setxattr("p", "security.capability", everything[:20])
        escaped("version 2")
    except OSError as e:
        error = e
    try:
        os.setxattr("p", "security.capability", everything)
        escaped("version 3")
    except OSError:
        return error.strerror


why = try_it()
if call(272, 0x10000000) >= 0:
    # Capabilities over one's own file in a namespace that maps it.
    for name, text in (("setgroups", "deny"), ("uid_map", "0 1000 1"), ("gid_map", "0 1000 1")):
        try:
            with open("/proc/self/" + name, "w") as f:
                f.write(text)
        except OSError:
            pass
    why = try_it()
held(why)
