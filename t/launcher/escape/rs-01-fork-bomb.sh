# title: the fork bomb of the textbook, bounded at 200 processes
# wall: pids rlimits
# gvisor: pids rlimits
# limits: processes=16 wall_ms=20000
# expect: limit processes held
. ./attack.sh
mkfifo never
exec 3<>never
ticks=$(seq 100)
# Bash ends, or waits for seconds, when a fork fails: others are to do it. They stay for longer than all of them take to come.
(for i in $(seq 200); do read -r -t 18 -u 3 & done) 2>/dev/null &
most=0
for i in $ticks; do
    set -- /proc/[0-9]*
    [ $# -gt $most ] && most=$#
    [ $most -gt 100 ] && escaped "$most processes at once"
    read -r -t 0.1 -u 3
done
held "$most processes"
