# title: hide descriptors in sockets' queues (SCM_RIGHTS), where RLIMIT_NOFILE does not see them
# wall: rlimits
# limits: memory=32m
# sentry: limit memory held
import array
import os
import resource
import socket
from attack import GVISOR, escaped, held

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
null = os.open("/dev/null", os.O_RDONLY)
rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * 250))]
flying = 0
most = 20000000 if GVISOR else 12000    # gVisor counts none of them: there its memory has to end it
keep = []
try:
    while flying < most:
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        keep.append((a, b))
        a.setblocking(False)
        try:
            for i in range(2000 if GVISOR else 8):
                a.sendmsg([b"x"], rights)
                flying += 250
        except BlockingIOError:
            pass
except OSError as e:
    held("%d in flight: %s" % (flying, e.strerror))
escaped("%d descriptors in flight" % flying)
