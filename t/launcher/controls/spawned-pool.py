# title: pools that do not fork (spawn, forkserver): semaphores opened by name, shared memory by name
import subprocess
import sys
from multiprocessing import shared_memory

WORKER = '''
import multiprocessing as m
import sys


def square(x):
    return x * x


if __name__ == "__main__":
    with m.get_context(sys.argv[1]).Pool(2) as pool:
        print(pool.map(square, [2, 3]))
'''

with open("pool.py", "w") as file:
    file.write(WORKER)

for method in ("spawn", "forkserver"):
    out = subprocess.run([sys.executable, "pool.py", method], capture_output=True, text=True, timeout=20)
    if out.stdout != "[4, 9]\n":
        sys.exit(method + ": " + out.stderr[-300:])
block = shared_memory.SharedMemory(create=True, size=4096)
code = "import sys; from multiprocessing import shared_memory as s; b = s.SharedMemory(sys.argv[1]); b.buf[0] = 7; b.close()"
subprocess.run([sys.executable, "-c", code, block.name], check=True, stderr=subprocess.DEVNULL)
assert block.buf[0] == 7
print("WORKS")
