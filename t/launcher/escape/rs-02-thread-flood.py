# title: threads instead of processes
# wall: pids rlimits
# gvisor: pids rlimits
# limits: processes=16
# expect: limit processes held
import threading
from attack import escaped, held

stop = threading.Event()
n = 0
threading.stack_size(65536)
try:
    for n in range(200):
        threading.Thread(target=stop.wait, args=(20,), daemon=True).start()
except RuntimeError as e:
    held("thread %d: %s" % (n, e))
escaped("%d threads" % n)
