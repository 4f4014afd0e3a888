# title: set the machine's clock or slew it
# wall: seccomp_calls
# source: settimeofday(2), adjtimex(2)
import struct
from attack import call, escaped, held

# Reading needs nothing and tells of the host's clock discipline; a time that is not valid is told apart before the privilege is.
results = {"adjtimex": call(159, bytes(208)), "clock_adjtime": call(305, 0, bytes(208)), "clock_settime": call(227, 99, struct.pack("<qq", 0, 0)),
           "settimeofday": call(164, struct.pack("<qq", 0, 1 << 40), None)}
for name, result in results.items():
    if result >= 0 or result == -22:
        escaped("%s: %d" % (name, result))
held(" ".join("%s:%d" % (n, -r) for n, r in results.items()))
