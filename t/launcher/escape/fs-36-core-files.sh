# title: have the kernel write core files, or start the host's handler for them
# wall: rlimits
# gvisor: rlimits
# source: core(5): a limit of 0 does not stop a pipe handler, 1 does
. ./attack.sh
hard=$(ulimit -Hc)
case $hard in 0 | 1) ;; *) escaped "cores of $hard blocks" ;; esac
grep -q '^Max core file size  *[01]  *[01] ' /proc/self/limits && held "limit 1 byte"
[ -e /proc/self/limits ] || held "limit $hard"
held "limit $(grep 'Max core' /proc/self/limits)"
