# title: run with the same id as the agent, and so with its rights over it
# wall: uid
# gvisor: uid
import os
from attack import escaped, held

ids = os.getresuid() + os.getresgid()
if 0 in ids:
    escaped("ids %s" % (ids,))
groups = [g for g in os.getgroups() if g != os.getgid()]
if groups:
    escaped("groups %s" % groups)
held("ids %s" % (ids,))
