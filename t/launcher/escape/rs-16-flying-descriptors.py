# title: hide descriptors in sockets' queues (SCM_RIGHTS), where RLIMIT_NOFILE does not see them
# wall: rlimits
# expect: held
# tier: process
# without: gVisor's sentry has a table of its own; its memory is the host control group's matter (rs-10)
import array
import os
import resource
import socket
from attack import escaped, held

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
null = os.open("/dev/null", os.O_RDONLY)
rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * 250))]
flying = 0
keep = []
try:
    while flying < 12000:
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        keep.append((a, b))
        a.setblocking(False)
        try:
            for i in range(8):
                a.sendmsg([b"x"], rights)
                flying += 250
        except BlockingIOError:
            pass
except OSError as e:
    held("%d in flight: %s" % (flying, e.strerror))
escaped("%d descriptors in flight" % flying)
