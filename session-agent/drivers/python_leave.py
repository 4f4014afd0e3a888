"""How an interpreter ends that has waited for its work: as ever, but for what was there before the work.

What was there when this was read goes with the process: to free it takes longer than most programs, and of what a zygote
has made the first thing would be to copy it.
"""
import sys

_known = set(sys.modules)
import _thread
import atexit
import gc
import os
from _weakref import ref

# The other end is dear for a slot of a zygote: it has to copy all that it takes apart.
_is_forked = __name__ == "python_zygote"
if not _is_forked:
    for name in set(sys.modules) - _known:
        del sys.modules[name]
_known = frozenset(sys.modules)
_newest = next(reversed(sys.modules))
_old = None  # of a zygote nothing is


def status_of(code):
    """As the interpreter takes what SystemExit holds."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF if -(1 << 63) <= code < 1 << 63 else 255
    try:
        print(code, file=sys.stderr)
    except Exception:
        pass
    return 1


def _flush(status):
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except Exception:
            status = 120 if stream is sys.stdout else status
    return status


def _forget(module):
    """What the end of a module that somebody holds does to its names: those that begin with one underscore go first."""
    names = module.__dict__
    for is_private in (True, False):
        for name in [name for name in names if isinstance(name, str)]:
            if name != "__builtins__" and (name[0:1] == "_" and name[1:2] != "_") is is_private:
                names[name] = None


def _news():
    """Modules that the program has imported, in their order: new names are behind those that were there."""
    names = []
    for name in reversed(sys.modules):
        if name == _newest:
            break
        names.append(name)
    return [name for name in reversed(names) if name not in _known]


def _has_more_to_say():
    """Whether errors could be told of, in the interpreter's own words."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if not stream.closed:
                stream.flush()
    except Exception:
        return True
    return atexit._ncallbacks() > 0


def _is_native(name):
    """Whether it brings code that the C library may have something to do for at an exit: to write what it has printed."""
    path = getattr(sys.modules[name], "__file__", None)
    return name == "_ctypes" or (isinstance(path, str) and path.endswith(".so") and "/lib-dynload/" not in path)


def _turns():
    """How often the collector has made objects old."""
    return [generation["collections"] for generation in gc.get_stats()[1:]]


def settle():
    """All that is here is old from now on. What leave() calls is called once: its pages are there then."""
    global _old
    _news()
    _flush(status_of(None))
    gc.collect()
    _old = _turns()


def _collect():
    """Whether there was anything. Nothing that is the program's is among what is old, unless the collector was at work since."""
    return gc.collect(1 if _turns() == _old else 2) > 0


def leave(status):
    news = _news()
    if any(map(_is_native, news)) or (not _is_forked and _has_more_to_say()):
        sys.exit(status)
    threading = sys.modules.get("threading")
    # That there is no thread to wait for can be told without it; that it was called, by what is called at the end.
    if threading is not None and (_thread._count() or threading._threading_atexits or atexit._ncallbacks()):
        threading._shutdown()
    atexit._run_exitfuncs()
    status = _flush(status)
    held = []
    for name in ["__main__"] + news:
        if isinstance(sys.modules.get(name), type(sys)):
            held.append(ref(sys.modules.pop(name)))
    has_news = _collect()
    for module in held:
        if module() is not None:
            _forget(module())
            has_news = True
    if has_news:
        gc.collect()
    os._exit(_flush(status))
