# title: write to standard output without end; nobody has to read it, and nobody's memory may grow
# wall: time
# gvisor: time
# limits: wall_ms=3000 memory=64m cpu_ms=30000
# expect: limit time
. ./attack.sh
timeout 7 head -c 4000000000 /dev/zero
printf '\n'
escaped "wrote on for seven seconds"
