# title: files mapped and shared between processes, with msync; sparse files, locks, temporary files
import fcntl
import mmap
import os
import tempfile

with open("/workspace/m", "w+b") as f:
    f.truncate(1 << 20)
    m = mmap.mmap(f.fileno(), 0)
    if os.fork() == 0:
        m[4096:4101] = b"child"
        m.flush()
        os._exit(0)
    os.wait()
    assert m[4096:4101] == b"child" and os.pread(f.fileno(), 5, 4096) == b"child"
    fcntl.flock(f, fcntl.LOCK_EX)
    fcntl.lockf(f, fcntl.LOCK_EX, 10, 0)
    with open("/workspace/m", "rb") as g:
        try:
            fcntl.flock(g, fcntl.LOCK_EX | fcntl.LOCK_NB)
            raise AssertionError
        except BlockingIOError:
            pass
with tempfile.TemporaryDirectory() as d, tempfile.NamedTemporaryFile(dir=d) as t, tempfile.TemporaryFile() as u:
    t.write(b"x")
    u.write(b"y")
    os.replace(t.name, t.name + "2")
    os.rename(t.name + "2", t.name)
os.copy_file_range and os.sendfile
with open("/workspace/m", "rb") as a, open("/workspace/n", "wb") as b:
    if os.uname().release != "4.4.0":    # gVisor has no such call, and programs then copy by reading
        assert os.copy_file_range(a.fileno(), b.fileno(), 8192) == 8192
    assert os.sendfile(b.fileno(), a.fileno(), 0, 4096) == 4096
print("WORKS")
