# title: two names of one file, each of which shows what was written by the other
import mmap
import os

for directory in ("/workspace", "/tmp", "/dev/shm"):
    one, other = directory + "/one", directory + "/other"
    with open(one, "w") as file:
        file.write("one")
    os.link(one, other)
    assert os.stat(other).st_size == 3 and os.path.samefile(one, other), directory
    with open(one, "a") as file:
        file.write("two")
    assert os.stat(other).st_size == 6, directory + ": the size is old"
    assert open(other).read() == "onetwo", directory
    with open(one, "r+b") as first, open(other, "r+b") as second:
        first.truncate(4096)
        a, b = mmap.mmap(first.fileno(), 4096), mmap.mmap(second.fileno(), 4096)
        a[0:2] = b"hi"
        assert b[0:2] == b"hi", directory + ": memory is not shared"
    os.unlink(one)
    assert os.stat(other).st_nlink == 1, directory
print("WORKS")
