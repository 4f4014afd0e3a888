# title: meet another sandbox under an abstract name, which is no file
# wall: network_namespace landlock
# parties: 2
import socket
import sys
from attack import escaped, held

name = "\0sandbox-meeting"
if sys.argv[1] == "victim":
    s = socket.socket(socket.AF_UNIX)
    s.bind(name)
    s.listen(1)
    print("READY", flush=True)
    s.settimeout(15)
    s.accept()
    held("met")
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(name)
except OSError as e:
    held(e.strerror)
escaped("connected to the other's abstract socket")
