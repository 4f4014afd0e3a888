# title: stop, kill or at least signal the agent, by number and by descriptor
# wall: uid landlock
# gvisor: uid
import os
import signal
from attack import call, escaped, held

why = []
for name, attempt in {
        "kill": lambda: os.kill(1, 0),
        "terminate": lambda: os.kill(1, signal.SIGCHLD),
        "queue": lambda: call(129, 1, 34, bytes(128)),
        "thread": lambda: call(234, 1, 1, 0),
        "pidfd": lambda: call(424, call(434, 1, 0), 0, None, 0)}.items():
    try:
        result = attempt()
        if result is None or result >= 0:
            escaped("%s reaches the agent" % name)
        why.append(-result)
    except OSError as e:
        why.append(e.errno)
held("errors %s" % why)
