# What the corpus' Python programs share.
import ctypes
import errno
import os
import sys

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

# What its kernel says of itself, all builds alike: some bounds are others there.
GVISOR = os.uname().release == "4.4.0"


def held(why):
    print("HELD", why, flush=True)
    sys.exit(0)


def escaped(what):
    print("ESCAPED", what, flush=True)
    sys.exit(0)


def call(number, *arguments):
    """A system call by number: the result, or minus the errno. Buffers are passed as they are."""
    ctypes.set_errno(0)
    passed = [a if isinstance(a, (bytes, ctypes.Array, ctypes.Structure)) or a is None
              else ctypes.c_ulong(a & 0xFFFFFFFFFFFFFFFF) for a in arguments]
    passed = [ctypes.byref(a) if isinstance(a, ctypes.Structure) else a for a in passed]
    result = _libc.syscall(ctypes.c_long(number), *passed)
    return result if result >= 0 else -ctypes.get_errno()


def opens(path, flags):
    """None, or the name of the error that kept us from opening; closed again, nothing is written."""
    try:
        os.close(os.open(path, flags | os.O_CLOEXEC))
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e.errno))
    return None


def none_opens(paths, flags):
    """Ends the program: nothing of the list may be opened so."""
    errors = set()
    for path in paths:
        error = opens(path, flags)
        if error is None:
            escaped("opened " + path)
        errors.add(error)
    held("%d paths: %s" % (len(paths), " ".join(sorted(errors))))


def all_refused(results):
    """Ends the program: a dictionary of name -> result of call(); none may be a success."""
    for name, result in results.items():
        if result >= 0:
            escaped(name + " = %d" % result)
    held(" ".join(sorted({"%s:%s" % (n, errno.errorcode.get(-r, -r)) for n, r in results.items()}))[:300])
