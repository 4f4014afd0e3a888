# title: signal to another sandbox by opening files: the kernel counts those of the whole host, for anybody to read
# wall: proc_masks
# source: proc(5), /proc/sys/fs/file-nr
import os
from attack import escaped, held


def counter(name):
    try:
        with open("/proc/sys/fs/" + name) as file:
            return file.read().split()
    except OSError:
        return []


seen = [name for name in ("file-nr", "inode-nr", "inode-state", "dentry-state", "aio-nr") if counter(name)]
if seen:
    before = counter("file-nr")
    keep = [os.open("/dev/null", os.O_RDONLY) for _ in range(2000)]
    escaped("%s told; 2000 files later file-nr went from %s to %s" % (" ".join(seen), before[:1], counter("file-nr")[:1]))
held("none of the counters tells anything")
