# title: spin, deaf to every signal there is
# wall: cpu
# gvisor: cpu
# limits: cpu_ms=1000
# expect: limit cpu
import signal
import time
from attack import escaped

for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while time.process_time() < 4:
    pass
escaped("%.1f s of CPU" % time.process_time())
