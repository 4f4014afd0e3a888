# title: the fork bomb of the textbook, bounded at 200 processes
# wall: pids rlimits
# limits: processes=16 wall_ms=20000
# expect: limit processes held
. ./attack.sh
for i in $(seq 200); do
    { sleep 5 & } 2>/dev/null || held "refused after $i"
done
n=$(jobs -p | wc -l)
kill $(jobs -p) 2>/dev/null
[ "$n" -gt 100 ] && escaped "$n processes at once"
held "$n processes"
