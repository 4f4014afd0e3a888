#!/bin/bash
# `make stop`: ends what `make run` started and removes its state (KEEP=1 keeps the state).
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -L run/state ] || { echo 'nothing is running'; rm -rf run; exit 0; }
state=$(readlink run/state)
case $state in
/var/tmp/ngx_sandbox.*) ;;
*) echo "run/state points to $state, which make run did not make" >&2; exit 1 ;;
esac

# A pid file may be older than the process that has its number now.
ours() { { tr '\0' ' ' < "/proc/$1/cmdline"; } 2>/dev/null | grep -qF "$state"; }
for name in gateway executor launcher; do
    file=$state/pids/$name.supervisor
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    if ours "$pid"; then
        echo "== stopping $name"
        kill -TERM "$pid" 2>/dev/null || true
        # Its supervisor kills it after 30 s. By the clock: on a busy host a turn takes longer than its sleep.
        since=$SECONDS
        next=2
        while ours "$pid" && [ $((SECONDS - since)) -lt 35 ]; do
            waited=$((SECONDS - since))
            if [ "$waited" -ge "$next" ]; then
                if [ "$next" = 2 ]; then
                    echo "   waiting for $name, up to 30 s: jobs that run may end"
                else
                    echo "   waiting for $name: $waited s"
                fi
                next=$((waited / 5 * 5 + 5))
            fi
            sleep 0.1
        done
        if ours "$pid"; then
            echo "$name did not stop in 35 s" >&2
            exit 1
        fi
    fi
done
if [ -n "${KEEP:-}" ]; then
    echo "== stopped; state kept in $state"
else
    rm -rf "$state" run
    echo '== stopped, state removed'
fi
