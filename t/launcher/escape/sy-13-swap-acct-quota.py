# title: administrate the host: swap, process accounting, quotas, hanging up terminals
# wall: seccomp_calls
# source: swapon(2), acct(2), quotactl(2), vhangup(2)
import os
from attack import call, escaped, held

with open("f", "wb") as f:
    f.write(bytes(4096))
fd = os.open("f", os.O_RDONLY)
# EPERM comes first where privileges are checked first; quotactl looks at its command before, and says EINVAL, ENODEV.
results = {"swapon": call(167, b"f\0", 0), "swapoff": call(168, b"f\0"), "acct": call(163, None), "vhangup": call(153),
           "quotactl": call(179, 0x800001 << 8 & 0xFFFFFFFF, b"/dev/vda\0", 0, None), "quotactl sync": call(179, 0x80000100, None, 0, None),
           "quotactl_fd": call(443, fd, 0x80000700, 0, None)}
for name, result in results.items():
    if result not in (-1, -38):
        escaped("%s: %d" % (name, result))
held(" ".join("%s:%d" % (n, -r) for n, r in results.items()))
