# title: leave a file for another sandbox in each directory that can be written
# wall: read_only_root landlock
# gvisor: read_only_root
# parties: 2
import os
import sys
import time
from attack import escaped, held

name = ".meeting-of-two"
places = ["/workspace", "/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run", "/run/sandbox", "/run/lock", "/run/user", "/etc", "/usr/local",
          "/usr/lib", "/usr/share", "/opt", "/opt/sandbox", "/home", "/root", "/var", "/dev", "/", "/srv", "/mnt", "/media", "/sys/fs/cgroup"]
if sys.argv[1] == "victim":
    made = []
    for place in places:
        path = os.path.join(place, name)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666))
            made.append(path)
        except OSError:
            pass
    print("READY", len(made), flush=True)
    try:
        time.sleep(6)
    finally:
        held("waited")
for place in places:
    if os.path.exists(os.path.join(place, name)):
        escaped("the other's file is in " + place)
held("%s places of the other, none here" % sys.argv[2])
