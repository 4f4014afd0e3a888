#!/usr/bin/python3
"""Holds replies that tests saw (t/lib/Sandbox/Contract.pm) against docs/openapi.json.

Usage: t/contract/validate.py DIRECTORY
Prints TAP: a test for each answer that was seen, by method, path of the document and status, and one for each thing that is
wrong with a path that the document does not have. Replies that differ only in their ids, times and sizes are looked at once.
"""
import base64
import hashlib
import json
import multiprocessing
import os
import re
import sys
import warnings

warnings.simplefilter("ignore", DeprecationWarning)
from jsonschema import Draft202012Validator  # noqa: E402
from jsonschema.exceptions import best_match  # noqa: E402

DOCUMENT = "docs/openapi.json"
PROBLEM = "application/problem+json"
LINES = "application/x-ndjson"  # each line is what the schema says
# Headers of HTTP itself, of any server; the last one is a listener's with TLS, which conf/gateway.conf has.
PLAIN_HEADERS = {"connection", "content-length", "content-type", "date", "keep-alive", "server", "transfer-encoding", "upgrade",
                 "strict-transport-security"}
# What may be said to a request whose path or method is none of the document's.
ANYWHERE = {400, 401, 403, 404, 405, 408, 413, 414, 429, 431, 500, 502, 503, 504}
# Only the gateway adds these: it has no reply of executord's without them.
GATEWAY_HEADERS = {"traceparent"}

IDS = re.compile(r"\A(job|ses|stp|prc|art|req|pol|rev)_[0-9a-hjkmnp-tv-z]{26}\Z")
TIME = re.compile(r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")
TRACE = re.compile(r"\A00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")
HASH = re.compile(r"\A[0-9a-f]{64}\Z")


class Inline:
    """Values without references: what stands beside one holds as well. The same reference is the same object."""

    def __init__(self, document):
        self.document, self.known = document, {}

    def __call__(self, value, depth=0):
        if depth > 200:
            raise ValueError("references go in a circle")
        if isinstance(value, list):
            return [self(item, depth + 1) for item in value]
        if not isinstance(value, dict):
            return value
        if "$ref" not in value:
            return {key: self(item, depth + 1) for key, item in value.items()}
        target = self.target(value["$ref"], depth)
        rest = {key: self(item, depth + 1) for key, item in value.items() if key != "$ref"}
        return {**rest, "allOf": [target, *rest.get("allOf", [])]} if rest else target

    def target(self, reference, depth):
        if reference not in self.known:
            found = self.document
            for part in reference.removeprefix("#/").split("/"):
                found = found[part]
            self.known[reference] = self(found, depth + 1)
        return self.known[reference]


def shape(value):
    """What a value is to a schema: equal shapes are judged alike."""
    if isinstance(value, dict):
        return tuple((key, shape(item)) for key, item in value.items())
    if isinstance(value, list):
        return ("[", *(shape(item) for item in value))
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, int):
        return 1 if 0 < value < 256 else value if value < 1024 else ("bits", value.bit_length())
    if isinstance(value, str):
        found = IDS.match(value)
        return ("id", found[1]) if found else "time" if TIME.match(value) else "hash" if HASH.match(value) else "=" + value
    return value


def header_shape(value):
    found = IDS.match(value)
    return found[1] if found else "trace" if TRACE.match(value) else re.sub(r"[1-9]\d*", "9", value)


class Api:
    def __init__(self, document):
        self.operations = []
        inline = Inline(document)
        for path, item in document["paths"].items():
            literal = re.split(r"\{(\w+)\}", path)
            pattern = "".join(re.escape(part) if i % 2 == 0 else "(.*)" if part == "path" else "([^/]+)" for i, part in enumerate(literal))
            methods = {method.upper(): inline(operation) for method, operation in item.items()}
            self.operations.append((path, re.compile(pattern, re.S), methods))
        # What has more of a segment written out goes before what takes all of it.
        self.operations.sort(key=lambda entry: ("}." not in entry[0], entry[0].count("{"), "{path}" in entry[0], -len(entry[0])))
        self.problems = {int(name[7:]): inline(response) for name, response in document["components"]["responses"].items() if name.startswith("Problem")}
        self.compiled = {}

    def find(self, path):
        for template, pattern, methods in self.operations:
            if pattern.fullmatch(path):
                return template, methods
        return None, {}

    def schema(self, schema):
        key = id(schema)
        if key not in self.compiled:
            self.compiled[key] = (Draft202012Validator(schema), schema)
        return self.compiled[key][0]

    def complaint(self, schema, value):
        """'' or a JSON pointer into the value and what is wrong there."""
        errors = list(self.schema(schema).iter_errors(value))
        if not errors:
            return ""
        # What a schema beside it refuses has not been evaluated: that says less.
        error = best_match([error for error in errors if error.validator != "unevaluatedProperties"] or errors)
        pointer = "".join("/" + ("N" if isinstance(part, int) else part) for part in error.absolute_path)
        return f"{pointer or '/'}: {error.message[:200]}"


class Reply:
    """One exchange: method and path are None when the request was none."""

    def __init__(self, program, who, method, path, status, headers, body, cut):
        self.program, self.who, self.method, self.path = program, who, method, path
        self.status, self.headers, self.body, self.cut = status, headers, body, cut

    def header(self, name):
        return next((value for key, value in self.headers if key == name), None)

    def type(self):
        return (self.header("content-type") or "").split(";")[0].strip().lower()


def requests_of(data):
    """Method and path of each request in what was sent, as far as it can be told where each ends."""
    while data:
        found = re.match(rb"([A-Z]{1,20}) ([^ \r\n]+) HTTP/1\.[01]\r?\n", data)
        if not found:
            return
        yield found[1].decode("ascii"), found[2].decode("latin-1")
        head, end, data = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?im)^content-length: *(\d+) *\r?$", head)
        if not end or re.search(rb"(?im)^transfer-encoding:", head):
            return
        data = data[int(length[1]) if length else 0:]


def unchunk(data):
    """Body, rest, whether it was whole."""
    out = bytearray()
    while True:
        found = re.match(rb"([0-9a-fA-F]{1,8})\r\n", data)
        if not found:
            return bytes(out), b"", False
        size, data = int(found[1], 16), data[found.end():]
        if size == 0:
            return bytes(out), data[2:], data.startswith(b"\r\n")
        out += data[:size]
        if len(data) < size + 2:
            return bytes(out), b"", False
        data = data[size + 2:]


def replies_of(line):
    """The replies of one recorded exchange, in order."""
    record = json.loads(line)
    data = base64.b64decode(record["reply"])
    asked = requests_of(base64.b64decode(record["request"]))
    cut = record.get("cut", False)
    while data.startswith(b"HTTP/1."):
        head, end, data = data.partition(b"\r\n\r\n")
        if not end:
            return  # whoever read it left within its head
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
        if status == 100:
            continue
        method, path = next(asked, (None, None))
        headers = [(name.strip().lower(), value.strip()) for name, _, value in (text.partition(":") for text in lines)]
        reply = Reply(record["program"], record["who"], method, path, status, headers, b"", cut)
        length = reply.header("content-length")
        if record.get("plain"):
            reply.body, data = data, b""
        elif method == "HEAD" or status in (101, 204, 304):
            reply.body, data = (b"", data) if data.startswith(b"HTTP/1.") or status == 101 else (data, b"")
        elif "chunked" in (reply.header("transfer-encoding") or ""):
            reply.body, data, whole = unchunk(data)
            reply.cut = reply.cut or not whole
        elif length is not None:
            reply.body, data = data[:int(length)], data[int(length):]
            reply.cut = reply.cut or len(reply.body) < int(length)
        else:
            reply.body, data = data, b""
        yield reply
        if status == 101:
            return


def plain_path(path, gateway):
    """Without the query; at the gateway as nginx resolves it."""
    path = re.sub(r"^https?://[^/]*", "", path).split("?")[0].split("#")[0]
    if gateway:
        path = re.sub(r"%(?!2[fF])([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), path)
        path = re.sub(r"/+", "/", path)
        parts = []
        for part in path.split("/"):
            if part == "..":
                parts = parts[:-1] if len(parts) > 1 else parts
            elif part != ".":
                parts.append(part)
        path = "/".join(parts) + ("/" if path.endswith(("/.", "/..")) else "")
    return path


def events_of(text):
    """Event name and data of each whole event."""
    for block in text.split("\n\n")[:-1]:
        name, data, other = None, None, None
        for line in block.split("\n"):
            field, _, value = line.partition(": ") if ": " in line else line.partition(":")
            if field == "event":
                name = value
            elif field == "data":
                data = value if data is None else data + "\n" + value
            elif field not in ("", "id", "retry"):
                other = line
        if other is not None:
            yield None, other
        elif name is not None or data is not None:
            # One that has no name is called so (the HTML standard, "Server-sent events").
            yield "message" if name is None else name, data


class Judge:
    def __init__(self, document):
        self.api = Api(document)
        self.seen = set()
        self.n_replies = 0
        self.answers = {}  # (method, path, status) -> replies
        self.wrong = {}  # (method, path, status, what is wrong) -> [times, first program]

    def say(self, where, reply, message):
        entry = self.wrong.setdefault((*where, message), [0, reply.program])
        entry[0] += 1

    def take(self, reply):
        self.n_replies += 1
        if reply.who == "edge":
            # Behind it is no executor of ours: only what the gateway itself says is its own, and that is problems.
            if reply.type() == PROBLEM and reply.status in self.api.problems and b'"urn:ngx-sandbox:' in reply.body:
                where = ("*", "the gateway's own", reply.status)
                self.answers[where] = self.answers.get(where, 0) + 1
                self.judge(where, reply, self.api.problems[reply.status])
            return
        where, response = self.expected(reply)
        self.answers[where] = self.answers.get(where, 0) + 1
        if response is None:
            self.say(where, reply, "this status is not documented")
        else:
            self.judge(where, reply, response)

    def expected(self, reply):
        template, methods = self.api.find(plain_path(reply.path, reply.who == "gateway")) if reply.path is not None else (None, {})
        method = "GET" if reply.method == "HEAD" and "x-no-head" not in methods.get("GET", {}) else reply.method
        if method in methods:
            return (reply.method, template, reply.status), methods[method]["responses"].get(str(reply.status))
        where = ("another method" if template else "*", template or "elsewhere", reply.status)
        response = self.api.problems.get(reply.status) if reply.status in ANYWHERE else None
        if response is not None and reply.status == 405 and template:
            allowed = set(methods) | ({"HEAD"} if "GET" in methods and "x-no-head" not in methods["GET"] else set())
            said = set((reply.header("allow") or "").split(", "))
            # nginx answers methods that it does not know before it looks at the path.
            if said != allowed and not (reply.who == "gateway" and reply.method in ("TRACE", "CONNECT", None)) and said != NGINX_ALLOW:
                self.say(where, reply, f"Allow is {', '.join(sorted(said))} and not {', '.join(sorted(allowed))}")
        return where, response

    def judge(self, where, reply, response):
        self.judge_headers(where, reply, response.get("headers", {}))
        content = response.get("content", {})
        if reply.method == "HEAD" or not content:
            if reply.body:
                self.say(where, reply, "has a body")
            return
        media = content.get(reply.type()) or content.get("*/*")
        if media is None and not (reply.type() in content or "*/*" in content):
            self.say(where, reply, f"has the content type {reply.type() or 'of nothing'}")
        elif reply.type() == "text/event-stream":
            self.judge_events(where, reply, media)
        elif "schema" in (media or {}) and reply.type() in content and not reply.cut:
            self.judge_body(where, reply, media["schema"])

    def judge_headers(self, where, reply, documented):
        known = {name.lower(): (name, header) for name, header in documented.items()}
        names = [name for name, _ in reply.headers]
        key = (where, reply.who, tuple(sorted((name, header_shape(value)) for name, value in reply.headers if name not in PLAIN_HEADERS)))
        if key in self.seen:
            return
        self.seen.add(key)
        for name, (spelt, header) in known.items():
            if header.get("required") and name not in names and not (name in GATEWAY_HEADERS and reply.who == "executor"):
                self.say(where, reply, f"has no {spelt}")
        for name, value in reply.headers:
            if name in PLAIN_HEADERS or (reply.who == "edge" and name.startswith("x-") and name not in known):
                continue  # at the edge a test's own
            if name not in known:
                self.say(where, reply, f"has the header {name}")
                continue
            if names.count(name) > 1:
                self.say(where, reply, f"has {known[name][0]} more than once")
            schema = known[name][1]["schema"]
            if schema.get("type") == "integer" and re.fullmatch(r"\d{1,18}", value):
                value = int(value)
            complaint = self.api.complaint(schema, value)
            if complaint:
                self.say(where, reply, f"{known[name][0]}: {complaint.removeprefix('/: ')}")

    def judge_body(self, where, reply, schema):
        if reply.type() == LINES:
            self.judge_lines(where, reply, schema)
            return
        try:
            value = json.loads(reply.body)
        except ValueError as error:
            self.say(where, reply, f"the body is not JSON: {error}")
            return
        if reply.type() == PROBLEM and isinstance(value, dict):
            self.judge_problem(where, reply, value)
        self.judge_value(where, reply, schema, value, "")

    def judge_lines(self, where, reply, schema):
        for line in reply.body.split(b"\n")[:-1]:
            try:
                value = json.loads(line)
            except ValueError:
                self.say(where, reply, "a line is not JSON")
                continue
            self.judge_value(where, reply, schema, value, "a line: ")

    def judge_value(self, where, reply, schema, value, what):
        key = (id(schema), hashlib.sha256(repr(shape(value)).encode("utf-8", "surrogatepass")).digest())
        if key in self.seen:
            return
        complaint = self.api.complaint(schema, value)
        if complaint:
            self.say(where, reply, what + complaint)
        else:
            self.seen.add(key)

    def judge_problem(self, where, reply, problem):
        if problem.get("status") != reply.status:
            self.say(where, reply, "the status of the problem is another")
        if problem.get("request_id", reply.header("x-request-id")) != reply.header("x-request-id"):
            self.say(where, reply, "request_id is not X-Request-Id")
        said = problem.get("retry_after_seconds")
        if (None if said is None else str(said)) != reply.header("retry-after"):
            self.say(where, reply, "retry_after_seconds is not Retry-After")

    def judge_events(self, where, reply, media):
        known = media["x-events"]
        for name, data in events_of(reply.body.decode("utf-8", "replace")):
            if name not in known or data is None:
                self.say(where, reply, f"the stream has {'a line that is none of an event' if name is None else 'the event ' + name}")
                continue
            try:
                value = json.loads(data)
            except ValueError:
                self.say(where, reply, f"the event {name} is not JSON")
                continue
            self.judge_value(where, reply, known[name], value, f"the event {name}: ")


NGINX_ALLOW = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def judge_files(files):
    with open(DOCUMENT, encoding="utf-8") as source:
        judge = Judge(json.load(source))
    for file in files:
        with open(file, encoding="ascii") as lines:
            for line in lines:
                try:
                    for reply in replies_of(line):
                        judge.take(reply)
                except (ValueError, KeyError) as error:
                    judge.wrong.setdefault(("*", "a record that cannot be read", 0, str(error)), [0, file])[0] += 1
    return judge.n_replies, judge.answers, judge.wrong


def main(directory):
    files = sorted((os.path.join(directory, name) for name in os.listdir(directory) if name.endswith(".ndjson")), key=os.path.getsize, reverse=True)
    processes = os.cpu_count() or 1
    parts = [part for part in (files[i::processes] for i in range(processes)) if part]
    n_replies, answers, wrong = 0, {}, {}
    with multiprocessing.Pool(max(len(parts), 1)) as pool:
        for n, some, bad in pool.map(judge_files, parts):
            n_replies += n
            for where, times in some.items():
                answers[where] = answers.get(where, 0) + times
            for where, (times, program) in bad.items():
                entry = wrong.setdefault(where, [0, program])
                entry[0] += times
    n = 0
    bad_at = {where[:3] for where in wrong}
    for where in sorted(answers, key=str):
        if where not in bad_at:
            n += 1
            print(f"ok {n} - {where[0]} {where[1]} {where[2]} ({answers[where]})")
    for where in sorted(wrong, key=str):
        n += 1
        print(f"not ok {n} - {where[0]} {where[1]} {where[2]}: {where[3]} ({wrong[where][0]}, first by {wrong[where][1]})".replace("#", "\\#").replace("\n", " "))
    print(f"# {n_replies} replies")
    print(f"1..{n}")
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: t/contract/validate.py DIRECTORY")
    sys.exit(main(sys.argv[1]))
