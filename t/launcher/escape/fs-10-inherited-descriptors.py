# title: use a descriptor that was left open, and by it a directory outside of the root
# wall: descriptors
# source: CVE-2024-21626
import fcntl
import os
import socket
from attack import escaped, held


def is_last_word(fd):
    """An interpreter that was forked has a socket on which it says that it ends; nothing comes from there, and nobody is executed with it."""
    try:
        end = socket.socket(fileno=os.dup(fd))
        end.recvmsg(1, 1024, socket.MSG_DONTWAIT)
    except BlockingIOError:
        kind = (fd, end.family, end.type, end.getsockname(), fcntl.fcntl(fd, fcntl.F_GETFD))
        return kind == (63, socket.AF_UNIX, socket.SOCK_SEQPACKET, "", fcntl.FD_CLOEXEC)
    except OSError:
        pass
    return False


own = os.open("/proc/self/fd", os.O_RDONLY)
found = {}
for name in os.listdir(own):
    fd = int(name)
    if fd <= 2 or fd == own:
        continue
    try:
        found[fd] = os.readlink("/proc/self/fd/" + name)
    except OSError:
        pass
for fd, target in sorted(found.items()):
    # The interpreter's own: the program it runs, and what it reads random numbers from.
    if is_last_word(fd):
        continue
    if not target.startswith(("/run/sandbox/", "/dev/", "/workspace", "/proc/self", "/proc/%d/" % os.getpid(), "anon_inode")):
        escaped("descriptor %d: %s" % (fd, target))
for fd in (0, 1, 2):
    try:
        os.listdir(fd)
        escaped("descriptor %d is a directory" % fd)
    except OSError:
        pass
held("descriptors: %s" % sorted(found))
