# title: have set-user-id programs of /usr do what root may, and setpriv what they would need
# wall: capabilities seccomp_arguments
# source: execve(2); CVE-2021-4034, CVE-2023-4911
. ./attack.sh
[ "$(timeout 2 su -c 'id -u' root < /dev/null 2>/dev/null)" = 0 ] && escaped "su"
[ "$(timeout 2 sudo -n id -u < /dev/null 2>/dev/null)" = 0 ] && escaped "sudo"
mkdir -p m && timeout 2 mount -t tmpfs none m < /dev/null 2>/dev/null && escaped "mount"
timeout 2 ping -c 1 -W 1 127.0.0.1 < /dev/null > /dev/null 2>&1 && escaped "ping"
[ "$(timeout 2 newgrp root < <(echo id -g) 2>/dev/null)" = 0 ] && escaped "newgrp"
if setpriv --reuid 0 --clear-groups true 2>/dev/null || setpriv --reuid 0 --keep-groups true 2>/dev/null; then escaped "user 0 by setpriv"; fi
held "nothing from su, sudo, mount, ping, newgrp"
