# title: the fork bomb of the textbook, bounded at 200 processes
# wall: pids rlimits
# limits: processes=16 wall_ms=20000
# expect: limit processes held
. ./attack.sh
mkfifo never
exec 3<>never
ticks=$(seq 20)
# Bash ends, or waits for seconds, when a fork fails: others are to do it.
(for i in $(seq 200); do sleep 5 & done) 2>/dev/null &
most=0
for i in $ticks; do
    set -- /proc/[0-9]*
    [ $# -gt $most ] && most=$#
    read -r -t 0.1 -u 3
done
[ $most -gt 100 ] && escaped "$most processes at once"
held "$most processes"
