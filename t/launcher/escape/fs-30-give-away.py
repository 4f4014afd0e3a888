# title: make a set-user-id file that belongs to the agent: chown, then chmod u+s
# wall: capabilities
# source: chown(2)
import os
from attack import call, escaped, held

with open("p", "wb") as f:
    f.write(b"\x7fELF")
try:
    os.chown("p", 0, 0)
    escaped("the file is the agent's")
except OSError as e:
    why = e
# With CAP_SETUID the file can be made as the agent.
if call(117, -1, 0, -1) == 0:
    escaped("files can be made as the agent")
held(why.strerror)
