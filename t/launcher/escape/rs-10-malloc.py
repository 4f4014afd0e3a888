# title: touch four times the memory allowed
# wall: memory
# gvisor: memory
# limits: memory=64m
# expect: limit memory
from attack import escaped

hoard = [bytearray(b"x" * (1 << 20)) for i in range(256)]
escaped("%d MiB" % len(hoard))
