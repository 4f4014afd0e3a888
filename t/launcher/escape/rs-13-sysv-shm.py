# title: System V shared memory, which outlives the process that made it
# wall: memory
# gvisor: memory
# limits: memory=64m
# expect: limit memory held
import ctypes
from attack import call, escaped, held

libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
for i in range(16):
    shm = call(29, 0, 16 << 20, 0o1600)
    if shm < 0:
        held("shmget: %d" % -shm)
    at = libc.shmat(shm, None, 0)
    if at in (None, ctypes.c_void_p(-1).value):
        held("shmat: %d" % ctypes.get_errno())
    ctypes.memset(at, 1, 16 << 20)
    libc.shmdt(ctypes.c_void_p(at))
escaped("256 MiB that belong to no process")
