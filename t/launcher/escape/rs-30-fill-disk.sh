# title: fill the workspace
# wall: disk
# gvisor: disk
# limits: disk=8m memory=256m
# expect: limit disk
. ./attack.sh
head -c 40000000 /dev/zero > big 2>/dev/null && escaped "40 MB on a disk of 8 MiB"
sleep 2
