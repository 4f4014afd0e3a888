# title: leave a mark that other sandboxes see: the time at which a shared file was last read
# wall: read_only_root
# gvisor: read_only_root
# source: mount(8), relatime
import os
import time
from attack import escaped, held

paths = ["/etc/passwd", "/etc/group", "/etc/hosts", "/opt/sandbox/runtimes.json", "/opt/sandbox/drivers/node.js", "/"]
for path in paths:
    if not os.path.exists(path):
        continue
    before = os.stat(path).st_atime_ns
    time.sleep(0.02)
    if os.path.isdir(path):
        os.listdir(path)
    else:
        with open(path, "rb") as f:
            f.read()
    if os.stat(path).st_atime_ns != before:
        escaped("reading %s has left a time" % path)
held("no access time has moved")
