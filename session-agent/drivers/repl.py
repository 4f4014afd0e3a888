"""Keeps the Python of a session: repl.py. Speaks frames on descriptor 3 (docs/agent.md).

All of it is in repl_core.py, whose compiled form is read when it was left beside it (compileall): the compiler
leaves 1.2 MiB of garbage in each interpreter, for as long as it lives.
"""
from _frozen_importlib_external import SourceFileLoader as _code_of

exec(_code_of("repl_core", __file__[:-3] + "_core.py").get_code("repl_core"))
begin()
