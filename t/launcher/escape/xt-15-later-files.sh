# title: find the files of an earlier sandbox of the same slot, wherever they could be
# wall: read_only_root landlock
# gvisor: read_only_root
# parties: later
. ./attack.sh
if [ "$1" = victim ]; then
    for d in /workspace /tmp /dev/shm /run/sandbox /var/tmp /usr /usr/local /etc /opt/sandbox /; do echo secret > "$d/left-behind" 2>/dev/null; done
    echo "READY"
    exit 0
fi
found=$(find / -xdev -maxdepth 3 -name left-behind 2>/dev/null; find /workspace /tmp /dev/shm /run /var -name left-behind 2>/dev/null)
[ -z "$found" ] || escaped "$found"
held "nothing of the earlier one"
