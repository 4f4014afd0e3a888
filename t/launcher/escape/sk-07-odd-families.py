# title: every socket family there is, with every type: each loads a module that hardly anybody reads
# wall: seccomp_sockets
# gvisor: seccomp_sockets
# source: CVE-2010-3904 (RDS), CVE-2017-6074 (DCCP), CVE-2021-43267 (TIPC), CVE-2026-43500 (RxRPC), CVE-2020-12351 (Bluetooth)
import errno
import socket
from attack import escaped, held

n = 0
for family in range(0, 128):
    if family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6):
        continue
    for kind in (1, 2, 3, 4, 5, 6, 10, 15):
        try:
            socket.socket(family, kind, 0).close()
            escaped("family %d, type %d" % (family, kind))
        except OSError as e:
            if e.errno not in (errno.EAFNOSUPPORT, errno.EPERM):
                escaped("family %d, type %d reaches the kernel: %s" % (family, kind, e.strerror))
            n += 1
held("%d combinations" % n)
