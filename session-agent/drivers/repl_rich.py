"""Displays: the forms of a value, as many as the step may show."""
import posix
import sys

_MAX_TEXT = 65536  # characters of text/plain
_MAX_ITEMS = 16
_MAX_ITEM = 8 << 20  # bytes
_MAX_ELEMENTS = 1000
_FORMS = (
    ("text/html", "_repr_html_"),
    ("text/markdown", "_repr_markdown_"),
    ("text/latex", "_repr_latex_"),
    ("image/svg+xml", "_repr_svg_"),
    ("image/png", "_repr_png_"),
    ("image/jpeg", "_repr_jpeg_"),
    ("application/json", "_repr_json_"),
)
_MIME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.+-")

error_file = driver["load"]("repl_error.py")
quote, clean = error_file["quote"], error_file["clean"]


def _complain(value, what, error):
    try:
        print(f"{what} of {type(value).__name__} raised {type(error).__name__}: {error}", file=sys.stderr)
    except Exception:
        pass


def _plain(value):
    """repr(), without the greater part of what is very long."""
    kind = type(value)
    try:
        if kind in (list, tuple, set, frozenset, dict) and len(value) > _MAX_ELEMENTS:
            from itertools import islice

            shown = islice(value.items() if kind is dict else value, _MAX_ELEMENTS)
            start = kind(shown)
            text = repr(start)
            text = f"{text[:-1].rstrip(')}').rstrip() if kind is frozenset else text[:-1]}, ... {len(value) - _MAX_ELEMENTS} more{text[-1]}"
        elif kind in (str, bytes) and len(value) > _MAX_TEXT:
            text = repr(value[:_MAX_TEXT]) + f" ... {len(value) - _MAX_TEXT} more"
        else:
            text = repr(value)
            if not isinstance(text, str):
                raise TypeError("no text")
    except Exception as error:
        return f"<repr() of {kind.__name__} raised {type(error).__name__}>"
    if len(text) > _MAX_TEXT:
        text = f"{text[:_MAX_TEXT]}... {len(text) - _MAX_TEXT} characters more"
    return text


def _bytes(mime, data):
    """What goes out for one form; None: it is none."""
    if isinstance(data, tuple) and len(data) == 2:
        data = data[0]  # with metadata
    if data is None:
        return None
    if mime == "application/json" or mime.endswith("+json"):
        from json import dumps

        return clean(dumps(data, allow_nan=False, ensure_ascii=False)).encode("utf-8")
    if isinstance(data, str):
        if mime.startswith(("image/", "audio/", "video/", "application/pdf")) and mime != "image/svg+xml":
            from binascii import a2b_base64

            return a2b_base64(data)
        return clean(data).encode("utf-8")
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"{mime} cannot be a {type(data).__name__}")
    data = bytes(data)
    if mime.startswith("text/") or mime == "image/svg+xml":
        data = clean(data.decode("utf-8", "replace")).encode("utf-8")
    return data


def _is_mime(mime):
    if not isinstance(mime, str) or len(mime) > 64:
        return False
    parts = mime.split("/")
    return len(parts) == 2 and all(part and _MIME.issuperset(part) for part in parts)


def _method(value, name):
    method = getattr(value, name, None)
    return method if callable(method) else None


def _collect(forms, value, bundle):
    if isinstance(bundle, tuple):
        bundle = bundle[0]
    if not isinstance(bundle, dict):
        return
    for mime, data in bundle.items():
        if _is_mime(mime) and len(forms) < _MAX_ITEMS:
            try:
                data = _bytes(mime, data)
                if data is not None:
                    forms[mime] = data
            except Exception as error:
                _complain(value, mime, error)


def _figure(value):
    """A figure's picture; None: it is no figure."""
    module = sys.modules.get("matplotlib.figure")
    if module is None or not isinstance(value, module.Figure):
        return None
    from io import BytesIO

    file = BytesIO()
    if value.canvas is None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        FigureCanvasAgg(value)
    value.savefig(file, format="png", bbox_inches="tight", facecolor=value.get_facecolor())
    return file.getvalue()


def _image(value):
    """A picture of PIL that knows no form of its own."""
    module = sys.modules.get("PIL.Image")
    if module is None or not isinstance(value, module.Image) or hasattr(value, "_repr_png_"):
        return None
    from io import BytesIO

    file = BytesIO()
    value.save(file, "PNG")
    return file.getvalue()


def _forms(value):
    forms = {}
    # A class has the methods of its objects but not the object; a mock has every method.
    if isinstance(value, type) or _method(value, "_there_is_no_method_of_this_name_"):
        return forms
    method = _method(value, "_repr_mimebundle_")
    if method is not None:
        try:
            _collect(forms, value, method(include=None, exclude=None))
        except Exception as error:
            _complain(value, "_repr_mimebundle_", error)
    for mime, name in _FORMS:
        method = None if mime in forms else _method(value, name)
        if method is not None:
            try:
                data = _bytes(mime, method())
                if data is not None:
                    forms[mime] = data
            except NotImplementedError:
                pass
            except Exception as error:
                _complain(value, name, error)
    if "image/png" not in forms:
        for make in (_figure, _image):
            try:
                data = make(value)
            except Exception as error:
                data = None
                _complain(value, "the picture", error)
            if data is not None:
                forms["image/png"] = data
                break
    return forms


def _bundle(value, raw):
    forms = {}
    try:
        if raw:
            _collect(forms, value, value)
        elif type(value) not in (int, float, str, bool, list, dict, tuple, set, bytes, complex):
            forms = _forms(value)
    except Exception as error:  # attributes that raise
        _complain(value, "a form", error)
    plain = forms.pop("text/plain", None)
    if plain is None:
        plain = clean(f"<{', '.join(forms)}>" if raw else _plain(value)).encode("utf-8")
    return plain, forms


def _fit(plain, forms):
    """The items that the step may still show, text/plain first, which says what is missing."""
    left = max(0, state.bytes_left - len(plain))
    kept = []
    for mime, data in forms.items():
        if len(data) > min(left, _MAX_ITEM):
            state.dropped += 1
            plain += f"\n[{mime} of {len(data)} bytes is left out: too large]".encode("utf-8")
        else:
            left -= len(data)
            kept.append((mime, data))
    room = min(_MAX_ITEM, state.bytes_left) - sum(len(data) for _, data in kept)
    if len(plain) > room:
        plain = plain[: max(0, room)].decode("utf-8", "ignore").encode("utf-8")
    return [("text/plain", plain), *kept]


def _show_one(kind, value, raw):
    if state.displays >= state.max_displays or state.bytes_left <= 0:
        state.dropped += 1
        return
    kept = _fit(*_bundle(value, raw))
    state.bytes_left -= sum(len(data) for _, data in kept)
    state.displays += 1
    items = ",".join(f'{{"mime":{quote(mime)},"size":{len(data)}}}' for mime, data in kept)
    driver["flush"]()
    driver["send"](b"D", f'{{"kind":"{kind}","items":[{items}]}}\n'.encode("ascii"), *(data for _, data in kept))


def show(kind, values, raw):
    for value in values:
        if posix.getpid() != state.pid:
            print(value)  # a forked child has nobody to show it to
            continue
        module = sys.modules.get("matplotlib.figure")
        if module is not None and isinstance(value, module.Figure):
            state.shown += (value,)
        _show_one(kind, value, raw)


def show_figures():
    """Each figure still open becomes a display, in order, unless the step has shown it already; all are closed."""
    Gcf = sys.modules["matplotlib._pylab_helpers"].Gcf
    if posix.getpid() != state.pid:
        return
    for manager in Gcf.get_all_fig_managers():
        figure = manager.canvas.figure
        if not any(figure is shown for shown in state.shown) and (figure.axes or figure.lines):
            show("display", (figure,), False)
    Gcf.destroy_all()
