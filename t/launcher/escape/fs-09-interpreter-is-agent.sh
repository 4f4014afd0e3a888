# title: have the agent run itself as an interpreter (#!/proc/self/exe) while it starts a program
# wall: sealed_agent uid capabilities not_dumpable landlock
# source: CVE-2019-5736, its second form
. ./attack.sh
printf '#!/proc/1/exe --help\n' > x && chmod 755 x
out=$(timeout 5 ./x 2>&1 < /dev/null)
if [[ $out == *session-agent* ]]; then
    # Executable is not enough for the attack; it needs the file open while the agent does not run.
    exec 9< /proc/1/exe && [ -r /proc/1/exe ] && grep -q . <(head -c 4 /proc/1/exe) && python3 -I -c '
import fcntl, sys
sys.exit(0 if not fcntl.fcntl(9, 1034) & 8 else 1)' && escaped "the agent's program, unsealed"
fi
held "${out:-no such program}"
