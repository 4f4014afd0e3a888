"""Runs a program as __main__, then its handler: python.py SOURCE [ARG...]"""
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


def _handler(module, has_event):
    """The handler that is to be called, and with how many arguments; or None, 0."""
    handler = getattr(module, "handler", None)
    if not callable(handler):
        return None, 0
    code = getattr(handler, "__code__", None)
    names = code.co_varnames[: code.co_argcount] if code else ("event",)
    names = names[1:] if hasattr(handler, "__self__") else names
    if not has_event and names[:1] != ("event",):
        return None, 0
    return handler, min(len(names), 2)


class Context:
    """What a handler's second parameter gets."""

    function_name = "handler"

    def __init__(self, environ):
        self.request_id = self.aws_request_id = environ.get("SANDBOX_STEP_ID", "")
        self.session_id = environ.get("SANDBOX_SESSION_ID", "")


def _call(handler, n_args, event_file, environ):
    event = {}
    if event_file:
        import json

        with open(event_file, "rb") as file:
            event = json.load(file)
    value = handler(*(event, Context(environ))[:n_args])
    if hasattr(value, "__await__"):
        import asyncio

        async def wait():
            return await value

        value = asyncio.run(wait())
    return value


def _store(value, path):
    import json

    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        sys.stdout.flush()
        print(f"the handler's result is not JSON: {error}", file=sys.stderr)
        sys.exit(1)
    with open(path + ".new", "w") as file:
        file.write(text)
    os.replace(path + ".new", path)


def _run():
    # Taken first: what the program does to its environment is its own business.
    environ = {name: value for name, value in os.environ.items() if name.startswith("SANDBOX_")}
    event_file = environ.get("SANDBOX_EVENT_FILE")
    module = _main_module(sys.argv[1])
    handler, n_args = _handler(module, event_file is not None)
    if handler is not None:
        value = _call(handler, n_args, event_file, environ)
        _store(value, environ["SANDBOX_RESULT_FILE"])


try:
    _run()
except SystemExit:
    raise
except BaseException as error:
    # Frames of this file are of no use to whoever wrote the program.
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    try:
        sys.stdout.flush()
    except Exception:
        pass
    sys.excepthook(type(error), error.with_traceback(trace), trace)
    del error, trace
    sys.exit(1)
