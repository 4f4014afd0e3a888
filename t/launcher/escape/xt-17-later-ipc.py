# title: leave shared memory, semaphores and queues to the next tenant of the slot: they outlive processes
# wall: ipc_namespace
# parties: later
import sys
from attack import call, escaped, held

if sys.argv[1] == "victim":
    print("READY", call(29, 0x1EF7, 4096, 0o1666), call(64, 0x1EF7, 1, 0o1666), call(68, 0x1EF7, 0o1666), flush=True)
    sys.exit(0)
for name, result in (("shmget", call(29, 0x1EF7, 0, 0)), ("semget", call(64, 0x1EF7, 0, 0)), ("msgget", call(68, 0x1EF7, 0))):
    if result >= 0:
        if name == "shmget":
            call(31, result, 0, None)
        escaped("%s found %d" % (name, result))
held("nothing was left")
