# title: learn or change the host's name
# wall: uts_namespace
# source: uname(2)
import os
import socket
from attack import call, escaped, held

name = os.uname().nodename
if name != "sandbox":
    escaped("we are on " + name)
if call(170, b"changed", 7) == 0 or call(171, b"changed", 7) == 0:
    escaped("the name can be changed")
held("host name " + socket.gethostname())
