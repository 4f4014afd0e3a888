# title: credentials of the host's users and tools
# wall: own_root
# gvisor: own_root
import glob
import os
from attack import escaped, held

places = ["/root/.ssh/*", "/home/*/.ssh/*", "/root/.gitconfig", "/root/.git-credentials", "/root/.netrc", "/root/.aws/*", "/root/.kube/*", "/root/.docker/*",
          "/root/.npmrc", "/root/.pypirc", "/root/.config/*", "/root/.bash*", "/root/.profile", "/etc/shadow", "/etc/gshadow", "/etc/ssh/*", "/etc/ssl/private/*", "/etc/sudoers",
          "/etc/machine-id", "/var/lib/dbus/machine-id", "/etc/fstab", "/etc/environment", "/etc/apt/*", "/etc/pip.conf", "/run/secrets/*",
          "/var/run/secrets/*/*", "/proc/device-tree", "/sys/class/dmi/id/*", "/var/spool/*", "/var/mail/*"]
for pattern in places:
    for path in glob.glob(pattern):
        escaped("there is " + path)
held("%d places are empty" % len(places))
