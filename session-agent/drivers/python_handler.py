"""Calls the handler that a program has defined, and keeps what it returns."""
import os
import sys


def _n_args(handler, has_event):
    """With how many arguments the handler is to be called; None: not at all."""
    code = getattr(handler, "__code__", None)
    names = code.co_varnames[: code.co_argcount] if code else ("event",)
    names = names[1:] if hasattr(handler, "__self__") else names
    if not has_event and names[:1] != ("event",):
        return None
    return min(len(names), 2)


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


def run(handler, environ):
    event_file = environ.get("SANDBOX_EVENT_FILE")
    n_args = _n_args(handler, event_file is not None)
    if n_args is not None:
        _store(_call(handler, n_args, event_file, environ), environ["SANDBOX_RESULT_FILE"])
