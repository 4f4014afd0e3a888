# title: have the host's memory killer take somebody else: a lower oom_score_adj
# wall: landlock
import os
from attack import escaped, held

try:
    with open("/proc/self/oom_score_adj", "r+") as f:
        now = int(f.read())
        if now <= 0:
            escaped("the score is %d from the start" % now)
        f.seek(0)
        f.write(str(now - 1))
    escaped("lowered from %d" % now)
except OSError as e:
    held(e.strerror)
