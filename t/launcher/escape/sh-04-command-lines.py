# title: read the command lines of the agent and of others, where secrets are passed too often
# wall: hidepid
# tier: process
# without: in gVisor /proc shows the sandbox's own processes only, with the agent's constant command line
import os
from attack import escaped, held

for pid in (p for p in os.listdir("/proc") if p.isdigit()):
    if int(pid) == os.getpid():
        continue
    try:
        line = open("/proc/%s/cmdline" % pid, "rb").read()
    except OSError:
        continue
    escaped("process %s: %r" % (pid, line))
held("only our own")
