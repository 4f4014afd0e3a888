# title: gain by execve: is no_new_privs set, and can it be lifted
# wall: no_new_privs
# source: prctl(2)
from attack import call, escaped, held

if call(157, 39, 0, 0, 0, 0) != 1:
    escaped("execve may give privileges")
if call(157, 38, 0, 0, 0, 0) == 0:
    escaped("lifted")
if call(157, 39, 0, 0, 0, 0) != 1:
    escaped("lifted without a word")
held("set for good")
