# title: signal the agent by every call there is for it
# wall: uid landlock
# gvisor: uid
# source: kill(2), landlock(7) scoped signals
import os
import signal
import struct
from attack import call, escaped, held

results = {}
for name in ("kill", "SIGSTOP", "SIGTERM"):
    results[name] = call(62, 1, 0 if name == "kill" else getattr(signal, name))
results["tkill"] = call(200, 1, 0)
results["tgkill"] = call(234, 1, 1, 0)
info = struct.pack("<iiiiii", 10, 0, -1, 0, os.getpid(), 1000) + bytes(104)
results["rt_sigqueueinfo"] = call(129, 1, 10, info)
results["rt_tgsigqueueinfo"] = call(297, 1, 1, 10, info)
fd = call(434, 1, 0)
if fd >= 0:
    results["pidfd_send_signal"] = call(424, fd, 0, None, 0)
for name, result in results.items():
    if result == 0:
        escaped("%s reaches pid 1" % name)
held(" ".join("%s:%d" % (n, -r) for n, r in results.items()))
