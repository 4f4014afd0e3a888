# title: artifacts that block, lie or have no end: pipes, sockets, sparse files, names with line ends and no UTF-8
# wall: workspace
# gvisor: workspace
# artifacts: ** *
import os
import socket
from attack import held

os.mkfifo(b"/workspace/pipe")
s = socket.socket(socket.AF_UNIX)
s.bind("/workspace/socket")
os.mkdir("/workspace/..good")
for name in (b"line\nend", b"\xff\xfe\xfd", b"\x1b[2Jclear", b'quote"},{"path":"x', b"\xed\xa0\x80", b"n" * 255, b"\xe2\x80\xaegnp.exe"):
    with open(b"/workspace/good" + name[:251], "wb") as f:
        f.write(b"x")
with open("/workspace/good-sparse", "wb") as f:
    f.truncate(32 << 20)
held("strange files are laid")
