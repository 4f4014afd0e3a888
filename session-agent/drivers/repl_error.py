"""How a step ended, when there is more to say than that it went well."""
import posix
import sys

try:
    from _json import encode_basestring as quote
except ImportError:
    from json.encoder import py_encode_basestring as quote

_MAX_NAME, _MAX_VALUE, _MAX_TRACEBACK = 128, 4096, 24576  # characters
_MAX_JSON = 40960  # bytes of the traceback as JSON


def clean(text):
    """What strict readers of JSON take: no lone surrogate, no NUL."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def cut(text, size):
    """Head and tail of what is too long."""
    if len(text) <= size:
        return text
    head = size // 3
    return f"{text[:head]}\n... {len(text) - size} characters left out ...\n{text[head - size :]}"


def _text_of(value):
    try:
        return str(value)
    except Exception as error:
        return f"<str() raised {type(error).__name__}>"


def _own_trace(error):
    """Frames of the driver, and of the event loop below an await, are of no use to who wrote the code."""
    trace = error.__traceback__
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith("<step "):
        trace = trace.tb_next
    return trace


def _without_driver(chain):
    """Nor are those that the code has called into: display, the interrupt."""
    seen = []
    while chain:
        one = chain.pop()
        if one is not None and not any(one is other for other in seen):
            seen.append(one)
            one.stack[:] = [frame for frame in one.stack if not frame.filename.startswith(state.directory + "repl")]
            chain += (one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ()))


def _traceback(error):
    import linecache
    import traceback

    if state.linecache is None:  # the code has removed what notices the import
        driver["load"]("repl_hooks.py")["after_linecache"](linecache)
    trace = _own_trace(error)
    try:
        # What the code has thrown out of the cache is put back.
        for name, text in state.sources.items():
            if name not in state.linecache.cache:
                driver["show_source"](name, text)
        told = traceback.TracebackException(type(error), error, trace, compact=True)
        _without_driver([told])
        return "".join(told.format())
    except Exception as second:
        return f"{type(error).__name__}: {_text_of(error)}\n(no traceback: {type(second).__name__})\n"


def _describe(error):
    limit = sys.getrecursionlimit()
    try:
        # The code may have left too little for this.
        sys.setrecursionlimit(max(limit, 1000))
        name, value = type(error).__qualname__, _text_of(error)
        trace = clean(cut(_traceback(error), _MAX_TRACEBACK))
    finally:
        sys.setrecursionlimit(limit)
    while len(quote(trace).encode("utf-8")) > _MAX_JSON:
        trace = cut(trace, len(trace) // 2)
    return name, value, trace


def _error(name, value, trace):
    name, value = clean(cut(str(name), _MAX_NAME)), clean(cut(value, _MAX_VALUE))
    while len(quote(value).encode("utf-8")) > 6144:
        value = cut(value, len(value) // 2)
    return f'{{"name":{quote(name)},"value":{quote(value)},"traceback":{quote(trace)}}}'


def _exit_code(error):
    """As the interpreter would end; a message goes to standard error."""
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        return int(code) & 0xFF
    try:
        print(code, file=sys.stderr, flush=True)
    except Exception:
        pass
    return 1


def outcome(error):
    status, described, code = "succeeded", "null", "null"
    if isinstance(error, SystemExit):
        code = _exit_code(error)
        if code:
            status, described = "failed", _error("SystemExit", _text_of(error.code), "")
    elif error is not None:
        status = "interrupted" if state.is_interrupted and isinstance(error, KeyboardInterrupt) else "failed"
        try:
            described = _error(*_describe(error))
        except BaseException as second:
            described = _error("Error", f"cannot be described: {type(second).__name__}", "")
    return f'{{"status":"{status}","error":{described},"exit_code":{code},"dropped":{min(state.dropped, 1000000)}}}'.encode("utf-8")


def end_child(error):
    code = 0
    if isinstance(error, SystemExit):
        code = _exit_code(error)
    elif error is not None:
        code = 1
        try:
            sys.stderr.write(_traceback(error))
        except BaseException:
            pass
    driver["flush"]()
    posix._exit(code)
