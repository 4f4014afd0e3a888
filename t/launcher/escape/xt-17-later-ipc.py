# title: leave shared memory, semaphores and queues to the next tenant of the slot: they outlive processes
# wall: ipc_namespace
# parties: later
import sys
from attack import call, escaped, held

if sys.argv[1] == "victim":
    print("READY", call(29, 0x1EF7, 4096, 0o1666), call(64, 0x1EF7, 1, 0o1666), call(68, 0x1EF7, 0o1666), flush=True)
    sys.exit(0)
shm, sem, msg = call(29, 0x1EF7, 0, 0), call(64, 0x1EF7, 0, 0), call(68, 0x1EF7, 0)
if max(shm, sem, msg) >= 0:
    call(31, shm, 0, None)
    call(66, sem, 0, 0, 0)
    call(71, msg, 0, None)
    escaped("found memory %d, semaphores %d, queue %d" % (shm, sem, msg))
held("nothing was left")
