# title: find another sandbox's System V memory, semaphores and queues by key, and by number
# wall: ipc_namespace
# parties: 2
import sys
import time
from attack import call, escaped, held

if sys.argv[1] == "victim":
    ids = [call(29, 0x5EC, 4096, 0o1666), call(64, 0x5EC, 1, 0o1666), call(68, 0x5EC, 0o1666)]
    print("READY", *ids, flush=True)
    time.sleep(3)
    call(31, ids[0], 0, None)
    call(66, ids[1], 0, 0, 0)
    call(71, ids[2], 0, None)
    held("waited")
for name, result in (("shmget", call(29, 0x5EC, 0, 0)), ("semget", call(64, 0x5EC, 0, 0)), ("msgget", call(68, 0x5EC, 0))):
    if result >= 0:
        time.sleep(4)  # until the other has removed them
        escaped("%s found the other's: %d" % (name, result))
for table in ("shm", "sem", "msg"):
    try:
        if len(open("/proc/sysvipc/" + table).read().splitlines()) > 1:
            escaped("/proc/sysvipc/%s lists what is not ours" % table)
    except OSError:
        pass
held("no object of the other")
