# title: find variables of the host: in our own environment and in that of every process we see
# wall: environment
import os
from attack import escaped, held

known = {"PATH", "HOME", "TMPDIR", "LANG", "PWD", "SHLVL", "_", "OLDPWD", "LC_CTYPE"}
for name in os.environ:
    if name not in known and not name.startswith("SANDBOX_"):
        escaped("%s is set" % name)
looked = 0
for pid in (p for p in os.listdir("/proc") if p.isdigit()):
    try:
        text = open("/proc/%s/environ" % pid, "rb").read()
        looked += 1
    except OSError:
        continue
    if b"SECRET" in text or b"token-of" in text:
        escaped("a secret in the environment of process " + pid)
held("%d environments" % looked)
