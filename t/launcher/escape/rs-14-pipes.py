# title: pipes made as large as may be, and filled
# wall: memory
# gvisor: memory
# limits: memory=48m
# expect: limit memory held
import fcntl
import os
from attack import escaped, held

# gVisor's limit has room for the sentry besides; it has none for all pipes of a user, as Linux has
most = (200 if os.uname().release == "4.4.0" else 72) << 20
total = 0
keep = []
try:
    for i in range(1800):
        r, w = os.pipe()
        keep.append((r, w))
        os.set_blocking(w, False)
        try:
            fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 1 << 20)
        except OSError:
            pass
        try:
            while True:
                total += os.write(w, b"x" * 65536)
        except BlockingIOError:
            pass
        if total > most:
            escaped("%d MiB in pipes" % (total >> 20))
except OSError as e:
    held("%d MiB: %s" % (total >> 20, e.strerror))
held("%d MiB is all that pipes take" % (total >> 20))
