# title: signal the agent by every call there is for it
# wall: uid landlock
# gvisor: uid
# source: kill(2), landlock(7) scoped signals
import os
import signal
import struct
from attack import call, escaped, held

results = {}


def attempt(name, result):
    """The first that works is the last: an agent that was hit could not tell."""
    if result == 0:
        escaped("%s reaches pid 1" % name)
    results[name] = result


info = struct.pack("<iiiiii", 10, 0, -1, 0, os.getpid(), 1000) + bytes(104)
attempt("kill", call(62, 1, 0))
attempt("tkill", call(200, 1, 0))
attempt("tgkill", call(234, 1, 1, 0))
fd = call(434, 1, 0)
if fd >= 0:
    attempt("pidfd_send_signal", call(424, fd, 0, None, 0))
attempt("SIGSTOP", call(62, 1, signal.SIGSTOP))
attempt("SIGTERM", call(62, 1, signal.SIGTERM))
attempt("rt_sigqueueinfo", call(129, 1, 10, info))
attempt("rt_tgsigqueueinfo", call(297, 1, 1, 10, info))
held(" ".join("%s:%d" % (n, -r) for n, r in results.items()))
