#!/bin/bash
# Keeps one daemon running: restarts it when it dies, ends it when told to end.
# Usage: supervise.sh NAME STATE-DIR COMMAND [ARG ...]
set -u
set -m # each child gets a process group of its own, so that orphaned workers can be found

name=$1
state=$2
shift 2
child=
echo $$ > "$state/pids/$name.supervisor"

finish() {
    trap '' TERM INT
    if [ -n "$child" ]; then
        kill -TERM "$child" 2>/dev/null
        for _ in $(seq 300); do
            kill -0 "$child" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL -- "-$child" 2>/dev/null
    fi
    rm -f "$state/pids/$name" "$state/pids/$name.supervisor"
    exit 0
}
trap finish TERM INT

while :; do
    "$@" >> "$state/logs/$name.log" 2>&1 < /dev/null &
    child=$!
    echo "$child" > "$state/pids/$name"
    wait "$child"
    status=$?
    # What a killed master left behind would keep the port.
    kill -KILL -- "-$child" 2>/dev/null
    child=
    printf '{"event":"supervisor.restart","daemon":"%s","status":%d}\n' "$name" "$status" >> "$state/logs/supervisor.log"
    sleep 0.3
done
