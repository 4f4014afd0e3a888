# title: ask for tunables of the C library and for a path of Python's modules
# wall: environment
# gvisor: environment
# env: GLIBC_TUNABLES=glibc.malloc.check=3
# source: CVE-2023-4911
import os
from attack import escaped, held

if "GLIBC_TUNABLES" in os.environ:
    escaped("GLIBC_TUNABLES is set")
held("not set")
