"""Steps of a session's Python, one after another: what repl.py runs, in its own namespace, before it calls begin().

What a plain step does not need (errors, displays, figures, imports of some modules) is in files beside this one and
read when it is needed first: they would cost each interpreter time and memory.
"""
import _ast
import _signal
import _thread
import builtins
import posix
import sys

# The code may put what it likes into builtins; the driver's own functions keep these.
__builtins__ = dict(vars(builtins))

_DIR = __file__[: -len("repl.py")]
_ONLY_AST, _TOP_LEVEL_AWAIT, _IS_COROUTINE = 0x400, 0x2000, 0x80
_FUTURES = 0x1FE0000  # flags of `from __future__ import`, which stay for the steps that follow
_LATE_SECONDS = 1  # what has not come by then was ignored by the code
_MAX_SOURCES, _MAX_SOURCE_BYTES = 1000, 4 << 20
_PLAIN = b'{"status":"succeeded","error":null,"exit_code":null,"dropped":0}'


class State:
    """What the files beside this one share."""

    fd = 3
    pid = 0  # of the interpreter; begin()
    main = 0  # its thread
    directory = _DIR
    is_listening = False  # whether SIGINT raises
    is_interrupted = False  # whether it has in this step
    is_pending = False  # it came while a frame was written, or before the code
    heard = 0  # signals since the step began
    is_running = False  # within a step
    step = 0
    futures = 0
    loop = None
    sources = {}  # "<step N>" -> text, for tracebacks
    source_bytes = 0
    linecache = None
    max_displays = displays = 0
    bytes_left = 0
    dropped = 0
    shown = ()  # figures that this step has shown by name
    lock = _thread.allocate_lock()
    std = None
    spare = ()


state = State()
state.builtins = __builtins__
_loaded = {}


def load(name):
    """The namespace of a file beside this one."""
    found = _loaded.get(name)
    if found is None:
        path = _DIR + name
        found = {"__builtins__": __builtins__, "__file__": path, "__name__": name[:-3], "state": state, "driver": globals()}
        exec(_code_of(name[:-3], path).get_code(name[:-3]), found)
        _loaded[name] = found
    return found


def _lost():
    # Nobody can be told; whoever started this sees its end.
    posix._exit(1)


def _write_all(parts):
    for part in parts:
        view = memoryview(part)
        while view:
            view = view[posix.write(state.fd, view) :]


def send(kind, *parts):
    """Writes one frame, unless it is a display of a thread that has outlived its step; an interrupt waits until it is whole."""
    size = 1 + sum(map(len, parts))
    is_main = _thread.get_ident() == state.main
    was_listening = state.is_listening
    if is_main:
        state.is_listening = False
    try:
        with state.lock:
            if kind == b"D" and not state.is_running:
                return
            state.is_running = kind == b"D"
            if size < 16384:
                parts = (b"".join((size.to_bytes(4, "little"), kind, *parts)),)
            else:
                parts = (size.to_bytes(4, "little") + kind, *parts)
            _write_all(parts)
    except OSError:
        _lost()
    if is_main:
        state.is_listening = was_listening
        if was_listening and state.is_pending:
            state.is_pending = False
            state.is_interrupted = True
            raise KeyboardInterrupt


def _receive(size):
    data = posix.read(state.fd, size)
    while 0 < len(data) < size:
        more = posix.read(state.fd, size - len(data))
        if not more:
            return b""
        data += more
    return data


def _on_sigint(signum, frame):
    state.heard += 1
    if state.is_listening:
        state.is_interrupted = True
        raise KeyboardInterrupt
    state.is_pending = True


def display(*objects, raw=False, **ignored):
    """Shows objects in their richest forms; raw=True: dictionaries from MIME type to data."""
    load("repl_rich.py")["show"]("display", objects, raw)


def _is_closed(stream):
    try:
        return stream.closed
    except Exception:  # None, or something else that is no stream
        return True


def _reopen():
    """Standard streams and descriptors that the code has closed."""
    for fd, spare in state.spare:
        try:
            posix.fstat(fd)
        except OSError:
            posix.dup2(spare, fd)
    if _is_closed(sys.stdout):
        sys.stdout = open(1, "w", 1, "utf-8", "surrogateescape", None, False)
    if _is_closed(sys.stderr):
        sys.stderr = open(2, "w", 1, "utf-8", "backslashreplace", None, False)
    if _is_closed(sys.stdin):
        sys.stdin = open("/dev/null", encoding="utf-8")
    state.std = (sys.stdout, sys.stderr)


def flush():
    for stream in (sys.stdout, sys.stderr, *state.std):
        try:
            stream.flush()
        except Exception:  # closed, or replaced by something that cannot
            pass


def _keep_source(name, text):
    state.sources[name] = text
    state.source_bytes += len(text)
    while len(state.sources) > _MAX_SOURCES or state.source_bytes > _MAX_SOURCE_BYTES and len(state.sources) > 1:
        oldest = next(iter(state.sources))
        state.source_bytes -= len(state.sources.pop(oldest))
        if state.linecache is not None:
            state.linecache.cache.pop(oldest, None)
    if state.linecache is not None:
        show_source(name, text)


def show_source(name, text):
    state.linecache.cache[name] = (len(text), None, text.splitlines(True), name)


def _ends_with_semicolon(text, node):
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    line = text.encode("utf-8").split(b"\n", node.end_lineno - 1)[-1]
    return line[node.end_col_offset :].lstrip(b" \t\\\r\n\f").startswith(b";")


def _compile(text, name):
    """(what to run, what to run after it for its value); each may be None."""
    flags = _TOP_LEVEL_AWAIT | state.futures
    tree = compile(text, name, "exec", flags | _ONLY_AST, True)
    body, last = tree.body, None
    if body and type(body[-1]) is _ast.Expr and not (";" in text and _ends_with_semicolon(text, body[-1])):
        last = body.pop()
    code = compile(tree, name, "exec", flags, True) if body else None
    if code is not None:
        state.futures |= code.co_flags & _FUTURES
        flags |= state.futures
    if last is not None:
        last = compile(_ast.Expression(last.value), name, "eval", flags, True)
    return code, last


def _evaluate(codes):
    """The value of the last."""
    value = None
    for code in codes:
        if code is not None and code.co_flags & _IS_COROUTINE:
            return load("repl_await.py")["evaluate"](codes, _namespace)
    for code in codes:
        value = None if code is None else eval(code, _namespace)
    return value


def _run(source):
    text = source.decode("utf-8")
    name = f"<step {state.step}>"
    _keep_source(name, text)
    codes = _compile(text, name)
    state.is_listening = True
    try:
        if state.is_pending:  # it came while the code was compiled
            state.is_pending, state.is_interrupted = False, True
            raise KeyboardInterrupt
        value = _evaluate(codes)
        if value is not None:
            builtins._ = value
            if posix.getpid() == state.pid:
                load("repl_rich.py")["show"]("result", (value,), False)
        if "matplotlib._pylab_helpers" in sys.modules:
            load("repl_rich.py")["show_figures"]()
    finally:
        state.is_listening = False


def _await_late():
    """The signal of the step before, which had its end already: a thread of the code's may hold it, and not have had its turn."""
    from time import monotonic, sleep

    end = monotonic() + _LATE_SECONDS
    while not state.heard and monotonic() < end:
        sleep(0.001)


def _prepare(header):
    state.step += 1
    state.max_displays = header.get("max_displays", 0)
    state.bytes_left = header.get("max_display_bytes", 0)
    state.displays = state.dropped = 0
    state.is_running = True
    state.shown = ()
    # The code may have set its own, or closed what it found.
    if _signal.getsignal(_signal.SIGINT) is not _on_sigint:
        _signal.signal(_signal.SIGINT, _on_sigint)
        state.heard += 1  # by that
    if header.get("after_interrupt"):
        _await_late()
        state.is_pending = state.is_pending and state.heard > 1
    state.heard = int(state.is_pending)
    state.is_interrupted = False
    _reopen()


def _step(source):
    """The frame that ends the step."""
    try:
        try:
            _run(source)
            error = None
        except BaseException as caught:  # an interrupt in the last moment
            state.is_listening = False
            error = caught
        if posix.getpid() != state.pid:
            # A child that the code forked came to the end of the code: it is no interpreter.
            load("repl_error.py")["end_child"](error)
    except BaseException as caught:
        state.is_listening = False
        error = caught
    flush()
    if error is None and not state.dropped:
        return _PLAIN
    return load("repl_error.py")["outcome"](error)


def _with_env(source, env):
    from os import environ

    saved = {name: environ.get(name) for name in env}
    environ.update(env)
    try:
        return _step(source)
    finally:
        for name, value in saved.items():
            if value is None:
                environ.pop(name, None)
            else:
                environ[name] = value


class _Finder:
    """Notices the import of a few modules, which then get what they need here (repl_hooks.py)."""

    names = {"linecache", "matplotlib", "sandbox_figures", "IPython.core.display_functions"}

    def find_spec(self, name, path=None, target=None):
        return load("repl_hooks.py")["find"](self, name, path, target) if name in self.names else None


def _own(fd, number):
    """A copy that the code does not run into and its children do not get."""
    try:
        copy = posix.dup2(fd, number, False)
    except OSError:  # few descriptors are allowed
        copy = posix.dup(fd)
    return copy


def _start():
    # Line by line: what a killed program has printed so far must be with the reader already.
    if not sys.stdout.line_buffering:
        sys.stdout.reconfigure(line_buffering=True)
    state.std = (sys.stdout, sys.stderr)
    state.spare = ((1, _own(1, 251)), (2, _own(2, 252)))
    state.fd = _own(3, 250)
    posix.close(3)
    _signal.signal(_signal.SIGINT, _on_sigint)
    module = type(sys)("__main__")
    module.__builtins__ = builtins
    sys.modules["__main__"] = module
    sys.path.insert(0, posix.getcwd())
    sys.argv = [""]
    sys.meta_path.insert(0, _Finder())
    builtins.display = display
    return module.__dict__


def _parser():
    """Of JSON, without what the module json brings along (re, enum: 0.7 MiB for each interpreter)."""
    try:
        from _json import make_scanner
    except ImportError:
        from json import loads

        return loads

    class Context:
        strict, object_hook, object_pairs_hook = True, None, None
        parse_float, parse_int, parse_constant, memo = float, int, float, {}

    scan = make_scanner(Context)
    return lambda text: scan(text, 0)[0]


def _serve():
    if "linecache" in sys.modules:
        load("repl_hooks.py")["after_linecache"](sys.modules["linecache"])
    while True:
        head = _receive(4)
        frame = _receive(int.from_bytes(head, "little")) if len(head) == 4 else b""
        if not frame:
            return
        end = frame.index(b"\n")
        header = _parse(frame[1:end].decode("utf-8"))
        _prepare(header)
        env = header.get("env")
        source = frame[end + 1 :]
        send(b"E", _with_env(source, env) if env else _step(source))


def prepare():
    """What every session's interpreter comes to before its first step, and can be done before it is one."""
    if "linecache" in sys.modules:
        load("repl_hooks.py")
    for text in ("1", "import os\nx = 1\n", "x += 1"):
        _compile(text, "<step 0>")  # what the compiler makes of itself when it is used first stays


def _frame(source):
    frame = b'S{"max_displays":1,"max_display_bytes":1}\n' + source
    return len(frame).to_bytes(4, "little") + frame


def offer(agent, *steps):
    """Steps of nobody."""
    agent.sendall(b"".join(map(_frame, steps)))
    agent.shutdown(1)  # to write


def rehearse(driver, agent):
    """Steps of nobody, over two ends of a socket: what the interpreter notes at the first of them is noted before a fork."""
    global _namespace
    _namespace = {"__name__": "__main__", "__builtins__": builtins}
    state.pid, state.main, state.fd = posix.getpid(), _thread.get_ident(), driver.fileno()
    state.std, state.spare = (sys.stdout, sys.stderr), ((1, 1), (2, 2))
    handler = _signal.signal(_signal.SIGINT, _on_sigint)
    offer(agent, b"x = 1", b"x += 1")
    _serve()
    _signal.signal(_signal.SIGINT, handler)
    if state.linecache is not None:
        for name in state.sources:
            del state.linecache.cache[name]
    state.sources.clear()
    for name, value in vars(State).items():
        if name[:2] != "__":
            setattr(state, name, value)
    _namespace = None


def begin():
    """Until the agent is gone."""
    global _namespace
    state.pid, state.main = posix.getpid(), _thread.get_ident()
    _namespace = _start()
    send(b"R")
    _serve()


_parse = _parser()
