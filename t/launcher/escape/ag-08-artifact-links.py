# title: artifacts that are links to files of the agent's and of the system's, and directories that are
# wall: workspace
# gvisor: workspace
# artifacts: ** *
import os
from attack import held

os.mkdir("/workspace/d")
for name, target in {"passwd": "/etc/passwd", "environ": "/proc/1/environ", "self": "/proc/self/environ", "registry": "/opt/sandbox/runtimes.json",
                     "fd": "/proc/self/fd/3", "up": "../etc/hosts", "loop": "loop", "d/etc": "/etc", "d/root": "/"}.items():
    os.symlink(target, "/workspace/" + name)
with open("/workspace/good.txt", "w") as f:
    f.write("mine")
os.link("/workspace/good.txt", "/workspace/twin")
held("links are laid")
