# title: hold the namespaces of pid 1 and of the parent by their files, for whoever comes along
# wall: uid capabilities not_dumpable landlock
. ./attack.sh
for pid in 1 $PPID; do
    for kind in user mnt pid net ipc uts cgroup time; do
        if (exec 9< "/proc/$pid/ns/$kind") 2>/dev/null; then escaped "/proc/$pid/ns/$kind"; fi
        if [ -n "$(readlink "/proc/$pid/ns/$kind" 2>/dev/null)" ]; then escaped "the name of /proc/$pid/ns/$kind"; fi
    done
done
held "neither opens"
