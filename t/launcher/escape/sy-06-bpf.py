# title: load a BPF program or make a map
# wall: seccomp_calls
# source: CVE-2021-3490, CVE-2022-23222
import struct
from attack import call, escaped, held

# BPF_MAP_CREATE of an array; BPF_PROG_LOAD of a socket filter that returns 0.
made = call(321, 0, struct.pack("<IIII", 2, 4, 4, 1) + bytes(112), 128)
if made >= 0:
    escaped("a map")
code = struct.pack("<BBhi", 0xB7, 0, 0, 0) + struct.pack("<BBhi", 0x95, 0, 0, 0)
import ctypes
buffer, licence = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
loaded = call(321, 5, struct.pack("<IIQQ", 1, 2, ctypes.addressof(buffer), ctypes.addressof(licence)) + bytes(104), 128)
if loaded >= 0:
    escaped("a program")
# Without the wall the kernel itself may say EPERM (unprivileged_bpf_disabled); a size beyond reason is E2BIG before that.
if call(321, 0, bytes(8192), 8192) in (-7, -22, -14):
    escaped("bpf is in reach")
held("errno %d, %d" % (-made, -loaded))
