"""Runs a program as __main__, then its handler: python.py SOURCE [ARG...]

What only a handler needs is in a file of its own: this one is compiled for each program.
"""
import os
import sys


def _main_module(path):
    with open(path, "rb") as source:
        text = source.read()
    module = type(sys)("__main__")
    module.__file__ = path
    module.__builtins__ = __builtins__
    sys.modules["__main__"] = module
    sys.path.insert(0, os.getcwd())
    sys.argv = [os.path.basename(path)] + sys.argv[2:]
    # What a killed program has printed so far must be with the reader already.
    sys.stdout.reconfigure(line_buffering=True)
    exec(compile(text, path, "exec"), module.__dict__)
    return module


def _run():
    # Taken first: what the program does to its environment is its own business.
    environ = {name: value for name, value in os.environ.items() if name.startswith("SANDBOX_")}
    path = sys.argv[1]
    module = _main_module(path)
    handler = getattr(module, "handler", None)
    if callable(handler):
        driver = {"__file__": __file__[:-3] + "_handler.py"}
        with open(driver["__file__"], "rb") as source:
            exec(compile(source.read(), driver["__file__"], "exec"), driver)
        driver["run"](handler, environ)


try:
    _run()
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
