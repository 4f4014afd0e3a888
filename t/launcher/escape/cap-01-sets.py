# title: start with a capability in any of the five sets
# wall: capabilities
# gvisor: capabilities
# source: CVE-2022-24769: inheritable was not empty
import re
from attack import escaped, held

with open("/proc/self/status") as f:
    sets = re.findall(r"^(Cap\w+):\s*([0-9a-f]+)$", f.read(), re.M)
for name, value in sets:
    if int(value, 16):
        escaped("%s is %s" % (name, value))
if len(sets) < 4:
    escaped("only %d sets are told" % len(sets))
held("%d sets are empty" % len(sets))
