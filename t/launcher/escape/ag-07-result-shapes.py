# title: a result that is a pipe, a directory, a socket, a file of a gigabyte or one with two names
# wall: workspace
# gvisor: workspace
# artifacts: *
# steps: 2
import os
import socket
import sys
from attack import held

path = os.environ["SANDBOX_RESULT_FILE"]
try:
    os.unlink(path)
except OSError:
    pass
if sys.argv[1:] == ["again"]:
    # Two names of one file: the second could be one that is not ours to read.
    with open(os.path.dirname(path) + "/other", "w") as f:
        f.write("{}")
    os.link(os.path.dirname(path) + "/other", path)
    held("a second name is laid")
os.mkfifo(path)
held("a pipe is laid: whoever opens it to read waits for ever")
