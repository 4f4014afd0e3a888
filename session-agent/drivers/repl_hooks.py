"""What some modules get when the code imports them."""
import sys


def after_linecache(module):
    # Lines of the code in tracebacks, the code's own ones included.
    state.linecache = module
    for name, text in state.sources.items():
        driver["show_source"](name, text)


def before_matplotlib():
    # Its settings and fonts would land in the workspace. Debian's looks for settings in /etc, of which a sandbox has little.
    import os

    tmp = os.environ.get("TMPDIR", "/tmp")
    directory = os.environ.setdefault("MPLCONFIGDIR", os.path.join(tmp, "matplotlib"))
    os.environ.setdefault("XDG_CACHE_HOME", os.path.join(tmp, "cache"))  # of fontconfig
    if not os.path.exists("/etc/matplotlibrc"):
        try:
            os.makedirs(directory, exist_ok=True)
            with open(os.path.join(directory, "matplotlibrc"), "a"):
                pass
        except OSError:
            pass  # matplotlib says it better


def after_matplotlib(module):
    import os

    # Not by MPLBACKEND: programs that the code starts would not find the module.
    if not os.environ.get("MPLBACKEND"):
        module.rcParams["backend"] = "module://sandbox_figures"


def after_ipython(module):
    module.display = driver["display"]


class Loader:
    """The real loader, with something before and after."""

    def __init__(self, spec, name):
        self.spec, self.loader, self.name = spec, spec.loader, name

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        module.__loader__ = self.spec.loader = self.loader
        if self.name == "matplotlib":
            before_matplotlib()
        self.loader.exec_module(module)
        {"linecache": after_linecache, "matplotlib": after_matplotlib}.get(self.name, after_ipython)(module)


def find(finder, name, path, target):
    if name == "sandbox_figures":
        from importlib.util import spec_from_file_location

        return spec_from_file_location(name, state.directory + "repl_figures.py")
    for other in sys.meta_path:
        spec = None if other is finder else other.find_spec(name, path, target)
        if spec is not None:
            if spec.loader is not None:
                spec.loader = Loader(spec, name)
            return spec
    return None
