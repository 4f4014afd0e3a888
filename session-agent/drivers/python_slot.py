"""Waits for work on descriptor 3 (docs/agent.md, "Slots"), and makes of this interpreter one that was started with it.

All that is the same for each work is done before, and nothing looks at more objects than it has to: a zygote's slot has
a copy of each page on which it counts a reference.
"""
import io
import os
import posix
import sys

preloaded = frozenset()  # names of modules, without what is behind a dot, that a fresh interpreter would not have yet
_MAX_WORK, _MAX_FDS = 128 * 1024, 4
_MOST_WORK = 4096  # and hardly any has more
_GETPIPE_SZ = 1032
_S_IFMT, _S_IFIFO = 0o170000, 0o010000
_VARIABLES = ("SANDBOX_SESSION_ID", "SANDBOX_STEP_ID", "SANDBOX_RESULT_FILE")  # of a job


def _scanner():
    from _json import make_scanner

    class Context:
        strict, object_hook, object_pairs_hook = True, None, None
        parse_float, parse_int, parse_constant, memo = float, int, float, {}

    return make_scanner(Context)


def _session():
    """The namespace of repl.py but for what it does at its end."""
    import builtins

    directory = __file__.rpartition("/")[0]
    code_of = sys.modules["_frozen_importlib_external"].SourceFileLoader
    repl = {"__name__": "__main__", "__builtins__": builtins, "__file__": directory + "/repl.py", "_code_of": code_of}
    exec(code_of("repl_core", directory + "/repl_core.py").get_code("repl_core"), repl)
    repl["prepare"]()
    return repl


def _receive():
    """The document; its descriptors are in their places."""
    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, 3)
    channel.send(b"R")
    size, ancillary, flags, _ = channel.recvmsg_into((_work, _more_work), _ANCILLARY, _socket.MSG_CMSG_CLOEXEC)
    if not size or flags & (_socket.MSG_TRUNC | _socket.MSG_CTRUNC):
        posix._exit(1)
    fds = []
    for level, kind, values in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            fds += [int.from_bytes(values[i : i + 4], sys.byteorder) for i in range(0, len(values), 4)]
    channel.detach()
    _place(fds)
    return _document(size)


def _served():
    return _document(posix.readv(3, (_work, _more_work)))


def _document(size):
    """Out of memory that was there already: to map some, and to give it back, takes a tenth of a millisecond and more in gVisor."""
    data = _work[:size]
    if size > _MOST_WORK:
        data += _more_work[: size - _MOST_WORK]
    return data


def _place(fds):
    """Numbers 0 to 2, and 3 of a session's interpreter; nobody else's descriptor is open."""
    for number, fd in enumerate(fds):
        posix.dup2(fd, number)
    posix.closerange(4 if len(fds) == 4 else 3, max(fds, default=3) + 1)


def _stream(fd):
    """As the interpreter makes them at its start, when it learns what the descriptor is."""
    name, mode, old = _STREAMS[fd]
    buffer = io.open(fd, mode + "b", -1, None, None, None, False)
    buffer.raw.name = name
    text = io.TextIOWrapper(buffer, old.encoding, old.errors, "\n", fd == 2)
    text.mode = mode
    setattr(sys, name[1:-1], text)
    setattr(sys, f"__{name[1:-1]}__", text)


def _streams_of_pipes():
    """Of pipes they are ready."""
    held = [posix.dup(fd) for fd in range(3)]
    ends = posix.pipe()
    for fd in range(3):
        posix.dup2(ends[fd > 0], fd)
        _stream(fd)
        posix.dup2(held[fd], fd)
    for fd in (*held, *ends):
        posix.close(fd)
    sys.stdout.reconfigure(line_buffering=True)  # as all work will have it


def _streams():
    for fd in range(3):
        try:
            _fcntl(fd, _GETPIPE_SZ)
        except OSError:  # which gVisor says of pipes from outside as well
            if posix.fstat(fd).st_mode & _S_IFMT != _S_IFIFO:
                _stream(fd)


def _environment(env):
    """Of what is there already most is what is wanted."""
    values = _environ._data
    for name in [name for name in values if name.decode("utf-8", "surrogateescape") not in env]:
        del _environ[name.decode("utf-8", "surrogateescape")]
    for name, value in env.items():
        key, value = name.encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape")
        if values.get(key) != value:
            posix.putenv(key, value)
            values[key] = value


def _is_shadowed():
    """Whether the work has files by whose names it would import its own modules, and not those that are there."""
    return not preloaded.isdisjoint([name.partition(".")[0] for name in posix.listdir()])


def prepare():
    """What takes its time and is the same for all work: a zygote has done it before it forks."""
    global _ANCILLARY, _STREAMS, _cwd, _environ, _fcntl, _more_work, _repl, _scan, _socket, _work
    known = set(sys.modules)
    import _socket
    from fcntl import fcntl as _fcntl

    _ANCILLARY = _socket.CMSG_SPACE(4 * _MAX_FDS)
    _work, _more_work = bytearray(_MOST_WORK), bytearray(_MAX_WORK - _MOST_WORK)
    _cwd, _environ = posix.getcwd(), os.environ
    _repl = _session()
    _scan = _scanner()
    _STREAMS = (("<stdin>", "r", sys.stdin), ("<stdout>", "w", sys.stdout), ("<stderr>", "w", sys.stderr))
    _streams_of_pipes()
    for name in set(sys.modules) - known:
        del sys.modules[name]


def _end_of_wait(is_context):
    """Of descriptor 3, and of a session's driver's, which is beside it."""
    if is_context:
        posix.dup2(4, 3)
    posix.close(4 if is_context else 3)


def rehearse():
    """As much of wait() as leaves no trace, a program, and steps of a session."""
    _environment(dict(_environ))
    _is_shadowed()
    _scan('{"mode":"job","argv":["python3"],"skip":1,"cwd":"/workspace","env":{"A":"b"}}', 0)
    exec(compile(b"x = 1\n", "<rehearsal>", "exec"), {})
    driver, agent = _socket.socketpair()
    _repl["rehearse"](driver, agent)
    driver.close()
    agent.close()


def settle(end):
    """
    What a zygote does before it forks: pages that work will want are there, and its end looks at nothing that was there
    before it. To fault on one takes tens of microseconds in gVisor.
    """
    known = set(sys.modules)
    rehearse()
    end["settle"]()
    for name in set(sys.modules) - known:
        del sys.modules[name]


def _offer(agent, quoted, argv, *steps):
    """Work of nobody, on its way to a slot. Nobody reads what it prints, and all descriptors stay open."""
    env = {**_environ, **{name: "/run/sandbox/sample" for name in _VARIABLES}}
    env = ",".join(["%s:%s" % (quoted(name), quoted(value)) for name, value in env.items()])
    mode = "context" if steps else "job"
    work = '{"mode":"%s","argv":[%s],"skip":1,"cwd":"/workspace","env":{%s}}' % (mode, ",".join(map(quoted, argv)), env)
    fds = [posix.pipe()[end] for end in (0, 1, 1)]
    if steps:
        driver, above = _socket.socketpair()
        _repl["offer"](above, *steps)
        above.detach()
        fds.append(driver.detach())
    fds = b"".join([fd.to_bytes(4, sys.byteorder) for fd in fds])
    agent.sendmsg([work.encode()], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fds)])


def offer(source):
    """
    A job and sessions of nobody, from the first free descriptor on: children of a zygote do them and tell which pages
    all write to (session-agent/preload/prefault.c). No session that goes on wants those of an end, nor of what ends it within
    a step.
    """
    known = set(sys.modules)
    from _json import encode_basestring_ascii as quoted

    pairs = [_socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET) for _ in range(3)]
    _offer(pairs[0][1], quoted, (sys.executable, __file__, source))
    _offer(pairs[1][1], quoted, (sys.executable, __file__), b"display.__globals__['posix']._exit(0)")
    _offer(pairs[2][1], quoted, (sys.executable, __file__), b"x = 1")
    for slot, agent in pairs:
        slot.detach()
        agent.detach()
    for name in set(sys.modules) - known:
        del sys.modules[name]


def wait(is_served=False):
    """
    The environment, and what a session's interpreter does; None: sys.argv is the work.

    In a zygote's slot session-agent/preload/fork.c has said that it is ready, and put the first descriptors in place.
    """
    data = _served() if is_served else _receive()
    work = _scan(data.decode("utf-8", "surrogateescape"), 0)[0]
    env, argv, is_context = work["env"], work["argv"], work["mode"] == "context"
    if is_served:
        _end_of_wait(is_context)
    if is_served or work["cwd"] != _cwd:  # a zygote's is that of another root
        posix.chdir(work["cwd"])
    if preloaded and _is_shadowed():
        posix.execve(argv[0], argv, env)
    _environment(env)
    sys.orig_argv = argv
    sys.argv = argv[work["skip"] :]
    _streams()
    return env, _repl["begin"] if is_context else None
