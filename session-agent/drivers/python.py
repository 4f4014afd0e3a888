"""Runs a program as __main__, then its handler: python.py SOURCE [ARG...]

Without a source it waits for its work first, which may be that of repl.py too.

What only a handler or a slot needs is in files of their own: this one is compiled for each program.
"""
import posix
import sys


def _read(path):
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    text = piece = posix.read(fd, 65536)
    while piece:
        piece = posix.read(fd, 65536)
        text += piece
    posix.close(fd)
    return text


def _main_module(path):
    text = _read(path)
    module = type(sys)("__main__")
    module.__file__ = path
    module.__builtins__ = __builtins__
    sys.modules["__main__"] = module
    sys.path.insert(0, posix.getcwd())
    sys.argv = [path.rpartition("/")[2]] + sys.argv[2:]
    # What a killed program has printed so far must be with the reader already.
    if not sys.stdout.line_buffering:
        sys.stdout.reconfigure(line_buffering=True)
    exec(compile(text, path, "exec"), module.__dict__)
    return module


def _prepared():
    """The namespace of python_slot.py."""
    path = __file__[:-3] + "_slot.py"
    slot = {"__file__": path, "__name__": "python_slot", "__builtins__": __builtins__}
    loader = sys.modules["_frozen_importlib_external"].SourceFileLoader  # takes what was compiled before
    exec(loader("python_slot", path).get_code("python_slot"), slot)
    slot["prepare"]()
    return slot


def _run(environ):
    path = sys.argv[1]
    module = _main_module(path)
    handler = getattr(module, "handler", None)
    if callable(handler):
        driver = {"__file__": __file__[:-3] + "_handler.py"}
        exec(compile(_read(driver["__file__"]), driver["__file__"], "exec"), driver)
        driver["run"](handler, environ)


def _begin(slot, is_served=False):
    environ = session = None
    if slot is not None:
        environ, session = slot["wait"](is_served)
    if session is not None:
        session()
        sys.exit()
    if environ is None:
        from os import environ
    # Taken first: what the program does to its environment is its own business.
    environ = {name: value for name, value in environ.items() if name.startswith("SANDBOX_")}
    try:
        _run(environ)
    except SystemExit:
        raise
    except BaseException as error:
        # Frames of the driver are of no use to whoever wrote the program.
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename.startswith(__file__[:-3]):
            trace = trace.tb_next
        try:
            sys.stdout.flush()
        except Exception:
            pass
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        del error, trace
        sys.exit(1)


# A zygote begins in its own time.
if __name__ == "__main__" and len(sys.argv) > 1:
    _begin(None)
elif __name__ == "__main__":
    _slot, _end = _prepared(), {"__name__": "python_leave", "__builtins__": __builtins__}
    exec(compile(_read(__file__[:-3] + "_leave.py"), "python_leave", "exec"), _end)
    _slot["settle"](_end)
    try:
        _begin(_slot)
        _status = 0
    except SystemExit as reason:
        _status = _end["status_of"](reason.code)
    _end["leave"](_status)
