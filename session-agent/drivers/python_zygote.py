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
    with open(path, "rb") as source:
        return compile(source.read(), path, "exec")


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
