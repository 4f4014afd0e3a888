# title: read and change the limits of another process with prlimit
# wall: seccomp_arguments
# gvisor: seccomp_arguments
# source: prlimit(2)
import os
import signal
from attack import call, escaped, held

child = os.fork()
if child == 0:
    signal.pause()
result = call(302, child, 7, None, bytes(16))
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
if result == 0:
    escaped("prlimit works on others")
held("errno %d" % -result)
