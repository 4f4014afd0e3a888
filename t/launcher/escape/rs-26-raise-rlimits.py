# title: raise each resource limit, and look for one that was left open
# wall: rlimits
# gvisor: rlimits
import resource
from attack import escaped, held

ceilings = {"NOFILE": 4096, "CORE": 1, "MEMLOCK": 8 << 20, "MSGQUEUE": 0, "SIGPENDING": 256, "NICE": 0, "RTPRIO": 0, "STACK": 8 << 20}
raised = 0
for name in dir(resource):
    if not name.startswith("RLIMIT_"):
        continue
    number = getattr(resource, name)
    soft, hard = resource.getrlimit(number)
    most = ceilings.get(name[7:])
    if most is not None and (hard == -1 or hard > most):
        escaped("%s is %d" % (name, hard))
    if hard != -1:
        try:
            resource.setrlimit(number, (soft, hard + 1))
            escaped("%s was raised" % name)
        except (ValueError, OSError):
            raised += 1
held("%d limits stay" % raised)
