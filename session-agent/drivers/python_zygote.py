"""The interpreter that is forked into sandboxes: python_zygote.py DRIVER MODULES

Imports what most programs do, then calls pause(), which serves the launcher (session-agent/preload/fork.c) and returns
in each slot. It never sees a byte of a tenant.
"""
import _signal
import _thread
import gc
import os
import sys

_LAUNCHER = 3
_Loader = sys.modules["_frozen_importlib_external"].SourceFileLoader
# Sizes that the C library's allocator is asked for instead of the interpreter's; each piece that is left over is in the next ones.
_LARGE = (*(int(16384 * 0.9**i) & ~15 for i in range(26)), *range(1040, 512, -16))
_BYTES, _CHUNK = 33, 15  # what bytes() takes besides, and the C library


def _import(names):
    absent = []
    for name in names:
        try:
            __import__(name)
        except Exception as error:
            absent.append("%s: %s" % (name, error))
    if absent:
        os.write(_LAUNCHER, "; ".join(absent).encode("utf-8", "replace")[:200])


def _code_of(path):
    """What was compiled before, if it was: a compiler leaves much between objects."""
    return _Loader("python_zygote", path).get_code("python_zygote")


def _take(make, size, kept):
    """Objects of a size until some pages of them came side by side."""
    beside, enough, last = 0, min(max(16384 // size, 4), 256), 0
    while beside < enough:
        kept.append(make())
        now = id(kept[-1])
        beside = beside + 1 if last < now <= last + 4 * size else 0
        last = now


def _close_holes():
    """
    What fills the memory that was freed between other objects, so that all that is made from now on, in slots too, lies
    together: a slot has a copy of each page that it writes to.
    """
    kept = []
    for size in (*_LARGE, *range(512, 32, -16)):
        _take(lambda: bytes(size - _BYTES - (_CHUNK if size > 512 else 0)), size, kept)
    _take(lambda: complex(1, 2), 32, kept)
    _take(object, 16, kept)
    return kept


def _in_child(calls):
    """What to call in each slot of what a module wants to have called in each child, or None."""
    child = calls.get("after_in_child")
    random, threading = sys.modules.get("random"), sys.modules.get("threading")
    if threading is not None and child is getattr(threading, "_after_fork", None):
        return None  # the thread is what it was, and the only one
    if random is not None and child == random._inst.seed:
        return super(random.Random, random._inst).seed  # which is all that the former does without a seed
    return child


def _run():
    path, names = sys.argv[1], sys.argv[2].split(",")
    fresh = set(sys.modules)
    register, held = os.register_at_fork, []
    os.register_at_fork = lambda **calls: held.append(calls) or register(**calls)  # for the program's own children
    _import([name for name in names if name])
    os.register_at_fork = register
    in_child = [call for call in map(_in_child, held) if call is not None]
    gc.collect()
    kept = _close_holes()  # as long as this runs
    main = {"__file__": path, "__name__": "python", "__builtins__": __builtins__}
    exec(_code_of(path), main)
    slot = main["_prepared"]()
    slot["preloaded"] = frozenset(name.partition(".")[0] for name in set(sys.modules) - fresh)
    sys.argv = [path]
    for name in ("LD_BIND_NOW", "LD_PRELOAD"):
        os.environ.pop(name, None)
    end = {"__name__": "python_zygote", "__builtins__": __builtins__}
    exec(_code_of(path[:-3] + "_leave.py"), end)
    numpy = sys.modules.get("numpy.random")
    slot["offer"](path[:-3] + "_sample.py")
    # What the interpreter notes in code when it has run it a few times is not to be noted in each slot.
    for _ in range(9):
        slot["rehearse"]()
        end["_news"]()
    # What is never freed is never counted down, nor looked at by the collector: its pages stay shared.
    gc.collect()
    gc.freeze()
    if _thread._count():
        os.write(_LAUNCHER, b"a module has started a thread")
        os._exit(1)
    _signal.pause()  # until this is a slot
    for call in in_child:
        call()
    # Whatever has a state that is not to be two slots' sees to itself; numpy's old generator does not.
    if numpy is not None:
        numpy.seed()
    _signal.pause()  # until there is work
    try:
        main["_begin"](slot, True)
        status = 0
    except SystemExit as reason:
        status = end["status_of"](reason.code)
    end["leave"](status)


_run()
