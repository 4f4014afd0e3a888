#!/usr/bin/python3
"""Whether t/contract/validate.py catches what is wrong: right replies pass, and each of the wrong ones made of them does not.

Prints TAP. Each member of each document is left out, made another type, and joined by one that nobody knows; what is wrong
by more than that is listed.
"""
import copy
import json
import re
import sys

import validate
from jsonschema import Draft202012Validator

ID = "01m7yep0vh3nhv2pk7vh28r48r"
JOB, SESSION, STEP, PROCESS, ARTIFACT = (f"{kind}_{ID}" for kind in ("job", "ses", "stp", "prc", "art"))
TIMES = {"created_at": "2026-01-02T03:04:05.678Z", "started_at": "2026-01-02T03:04:05.680Z"}
SHA = "4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce"
JSON_TYPE = "application/json"

job = {
    "job_id": JOB, "session_id": None, "status": "succeeded", "language": "python", "template": "default", "isolation": "process",
    "app": "web", "agent": None, "stdout": "", "stderr": "", "stdout_bytes": 0, "stderr_bytes": 0, "truncated": False, "exit_code": 0,
    "signal": None, "result": None, "files": [{"path": "sum.txt", "uri": f"sandbox://job/{JOB}/sum.txt", "size": 1, "sha256": SHA,
                                              "mime_type": "text/plain", "download_url": f"/v1/jobs/{JOB}/artifacts/sum.txt"}],
    "violation": None, "usage": {"wall_ms": 19, "cpu_ms": 17, "cpu_throttled_ms": 0, "peak_memory_bytes": 4358144},
    "metadata": {}, **TIMES, "finished_at": "2026-01-02T03:04:05.699Z",
}
listed = {key: value for key, value in job.items() if key not in ("stdout", "stderr", "result", "files")}
session = {
    "session_id": SESSION, "status": "running", "reason": None, "language": "python", "template": "default", "isolation": "process",
    "app": "web", "agent": "coder", "metadata": {}, "limits": {"memory_bytes": 268435456}, "ttl": "3600s", "idle_timeout": "600s",
    "step_timeout": "30s", **TIMES, "expires_at": "2026-01-02T04:04:05.678Z", "idle_expires_at": None, "ended_at": None,
    "contexts": [{"name": "default", "language": "python", "status": "ready", "restarts": 0}], "n_steps": 0, "queued_steps": 0,
    "message": None, "violation": None,
    "usage": {"wall_ms": 6, "cpu_ms": 4, "cpu_throttled_ms": 0, "peak_memory_bytes": 9437184, "disk_bytes": 0},
}
step = {
    "step_id": STEP, "session_id": SESSION, "number": 2, "context": "default", "language": "python", "status": "succeeded", "stdout": "",
    "stderr": "", "stdout_bytes": 0, "stderr_bytes": 0, "truncated": False, "results": [{"kind": "result", "data": {"text/plain": "21"}}],
    "error": None, "exit_code": None, "signal": None, "interpreter": "alive", "restarted": False,
    "usage": {"wall_ms": 1, "cpu_ms": 0, "displays_dropped": 0}, "violation": None, "message": None, "code_sha256": SHA, **TIMES,
    "finished_at": "2026-01-02T03:04:06.001Z",
}
process = {
    "process_id": PROCESS, "session_id": SESSION, "status": "running", "command": {"shell": "true", "cwd": ""}, "stdin": False, "pty": None,
    "pid": 12, "exit_code": None, "signal": None, "timed_out": False, "error": None, "message": None, "usage": None, "stdout_bytes": 0,
    "stderr_bytes": 0, **TIMES, "ended_at": None,
}
artifact = {
    "artifact_id": ARTIFACT, "name": "sum.txt", "path": "sum.txt", "size": 2, "sha256": SHA, "mime_type": "text/plain", "metadata": None,
    "job_id": JOB, "session_id": None, "created_at": TIMES["created_at"], "expires_at": None, "content_url": f"/v1/artifacts/{ARTIFACT}/content",
}
entry = {"path": "d/a", "name": "a", "kind": "file", "size": 3, "mtime_ms": 1, "mode": "0644", "etag": "3-1-2"}
problem = {
    "type": "urn:ngx-sandbox:problem:rate_limited", "title": "Too many requests", "status": 429, "code": "rate_limited", "request_id": "r1",
    "retry_after_seconds": 2, "violations": [{"rule": "rates.tenant", "limit": "5/s", "observed": 6, "hint": "ask later"}],
}
field = {
    "type": "urn:ngx-sandbox:problem:invalid_request", "title": "The request has an invalid field", "status": 422,
    "code": "invalid_request", "request_id": "r1", "errors": [{"field": "/limits", "message": "must be an object"}],
}
ready = {"status": "ready", "reasons": [], "isolation": {"process": "ready"}, "missing_walls": []}

HEADERS = {"X-Request-Id": "r1", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "Cache-Control": "no-store"}


def reply(method, path, status, body=None, who="gateway", type_=JSON_TYPE, **headers):
    """A reply as it is read off a socket."""
    given = {**HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body is not None:
        given["Content-Type"] = type_
    lines = [(name.lower(), value) for name, value in given.items() if value is not None]
    data = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return validate.Reply("t/x.t", who, method, path, status, lines, data, False)


def events(*pairs):
    return "".join(f"event: {name}\nid: 0.0.1\ndata: {json.dumps(data)}\n\n" for name, data in pairs)


AT = {"Location": f"/v1/jobs/{JOB}"}
documents = {
    "a job": ("GET", f"/v1/jobs/{JOB}", 200, job, AT),
    "a list of jobs": ("GET", "/v1/jobs", 200, {"jobs": [listed], "next_cursor": None}, {}),
    "a session": ("GET", f"/v1/sessions/{SESSION}", 200, session, {"Location": f"/v1/sessions/{SESSION}"}),
    "a session as older clients know it": ("GET", f"/sessions/{SESSION}", 200, {**session, "sessionId": SESSION, "runtime": "python"},
                                           {"Location": f"/v1/sessions/{SESSION}"}),
    "a step": ("GET", f"/v1/sessions/{SESSION}/steps/{STEP}", 200, step, {"Location": f"/v1/sessions/{SESSION}/steps/{STEP}"}),
    "a process": ("GET", f"/v1/sessions/{SESSION}/processes/{PROCESS}", 200, process, {"Location": f"/v1/sessions/{SESSION}/processes/{PROCESS}"}),
    "an artifact": ("GET", f"/v1/artifacts/{ARTIFACT}", 200, artifact, {"Location": f"/v1/artifacts/{ARTIFACT}"}),
    "an entry": ("GET", f"/v1/sessions/{SESSION}/stat", 200, entry, {"ETag": '"3-1-2"'}),
    "a list of entries": ("GET", f"/v1/sessions/{SESSION}/files", 200, {"path": "", "entries": [entry], "unnamed": 0, "next": None}, {}),
    "readiness": ("GET", "/readyz", 200, ready, {}),
    "a refusal": ("POST", "/v1/jobs", 429, problem, {"type_": validate.PROBLEM, "Retry_After": "2"}),
    "a wrong field": ("POST", "/v1/jobs", 422, field, {"type_": validate.PROBLEM}),
}
# Members that may be missing, or that may be anything.
OPTIONAL = {"a refusal": {"violations", "request_id"}, "a wrong field": {"errors", "request_id"}}
ANYTHING = {"a job": {"result"}, "an artifact": {"metadata"}}


def wrongs():
    """Name and reply of each mutation that is more than a member of another type."""
    def of(what, **change):
        method, path, status, body, headers = documents[what]
        return reply(method, path, status, {**copy.deepcopy(body), **change}, **headers)

    problem_of = {"type_": validate.PROBLEM}
    at = f"/v1/jobs/{JOB}"
    yield "a status that is none", of("a job", status="done")
    yield "an id of another kind", of("a job", job_id=SESSION)
    yield "an id that is too short", of("a job", job_id="job_1")
    yield "an id with letters that are none of ours", of("a job", job_id="job_" + "l" * 26)
    yield "a job of a session", of("a job", session_id=SESSION)
    yield "succeeded with another exit code", of("a job", exit_code=1)
    yield "an exit code beyond 255", of("a job", status="failed", exit_code=256)
    yield "a negative count", of("a job", stdout_bytes=-1)
    yield "half a byte", of("a job", stdout_bytes=0.5)
    yield "over without an end", of("a job", finished_at=None)
    yield "running with an end", of("a job", status="running", exit_code=None)
    yield "a limit exceeded that is not named", of("a job", status="limit_exceeded", exit_code=None)
    yield "a violation of a limit that there is not", of("a job", status="limit_exceeded", violation={
        "rule": "limits.sleep", "name": "sleep", "limit": 1, "observed": 2, "hint": ""})
    yield "a time without milliseconds", of("a job", created_at="2026-01-02T03:04:05Z")
    yield "a time elsewhere", of("a job", created_at="2026-01-02T03:04:05.678+01:00")
    yield "an empty message", of("a job", message="")
    yield "metadata that is no text", of("a job", metadata={"a": 1})
    yield "a hash in capitals", of("an artifact", sha256=SHA.upper())
    yield "a URL of another host", of("an artifact", content_url="http://x/")
    yield "a session that ended without a reason", of("a session", status="ended", ended_at=TIMES["created_at"], contexts=[])
    yield "a reason of a session that runs", of("a session", reason="ttl")
    yield "a reason that is none", of("a session", status="ended", reason="bored", ended_at=TIMES["created_at"], contexts=[])
    yield "an older form's member in the new one", of("a session", sessionId=SESSION)
    yield "a duration that is a number", of("a session", ttl=3600)
    yield "a display that is none", of("a step", results=[{"kind": "picture", "data": {}}])
    yield "step number 0", of("a step", number=0)
    yield "a program and a line of shell", of("a process", command={"shell": "x", "argv": ["x"], "cwd": ""})
    yield "a process that ended never", of("a process", status="exited")
    yield "a file without a version", of("an entry", etag=None)
    yield "a directory with one", of("an entry", kind="directory")
    yield "a mode that is not octal", of("an entry", mode="0999")
    yield "not ready for no reason", reply("GET", "/readyz", 503, {**ready, "status": "unavailable"})
    yield "ready in spite of a reason", of("readiness", reasons=["draining"])
    yield "a code of another status", of("a refusal", code="not_found", type="urn:ngx-sandbox:problem:not_found", title="There is no such thing")
    yield "a code that is none", of("a refusal", code="go_away")
    yield "a title of another code", of("a refusal", title="The queue is full")
    yield "a type of another code", of("a refusal", type="urn:ngx-sandbox:problem:queue_full")
    yield "another status in the body", of("a refusal", status=503)
    yield "another request's id in the body", of("a refusal", request_id="r2")
    yield "no violation in violations", of("a refusal", violations=[])
    yield "errors that a 429 has not", of("a refusal", errors=[{"field": "", "message": "x"}])
    yield "a reason that only 410 has", of("a refusal", reason="ttl")
    yield "another Retry-After", reply("POST", "/v1/jobs", 429, problem, **problem_of, Retry_After="3")
    yield "no Retry-After", reply("POST", "/v1/jobs", 429, problem, **problem_of)
    yield "a Retry-After that is a date", reply("POST", "/v1/jobs", 429, problem, **problem_of, Retry_After="Fri, 01 Jan 2027 00:00:00 GMT")
    yield "a problem as plain JSON", reply("POST", "/v1/jobs", 429, problem, Retry_After="2")
    yield "a job as text", reply("GET", at, 200, job, type_="text/plain", **AT)
    yield "no content type", reply("GET", at, 200, job, type_=None, **AT)
    yield "no request id", reply("GET", at, 200, job, X_Request_Id=None, **AT)
    yield "a request id with a space", reply("GET", at, 200, job, X_Request_Id="r 1", **AT)
    yield "no trace context", reply("GET", at, 200, job, traceparent=None, **AT)
    yield "that may be kept", reply("GET", at, 200, job, Cache_Control="max-age=60", **AT)
    yield "no Location", reply("GET", at, 200, job)
    yield "a Location elsewhere", reply("GET", at, 200, job, Location="http://x/v1/jobs/1")
    yield "a header that nobody documented", reply("GET", at, 200, job, **AT, X_Debug="1")
    yield "a cookie", reply("GET", at, 200, job, **AT, Set_Cookie="a=b")
    yield "a status that is not documented", reply("GET", at, 201, job, **AT)
    yield "a refusal that is not documented", reply("GET", at, 507, {**field, "status": 507}, **problem_of)
    yield "an answer of a path that there is not", reply("GET", "/v1/nothing", 200, {})
    yield "an answer to a method that there is not", reply("PUT", "/v1/jobs", 200, {})
    yield "half a document", reply("GET", at, 200, json.dumps(job)[:-1], **AT)
    yield "two documents", reply("GET", at, 200, json.dumps(job) * 2, **AT)
    yield "a list", reply("GET", at, 200, [job], **AT)
    yield "nothing", reply("GET", at, 200, "", **AT)
    yield "HEAD with a body", reply("HEAD", at, 200, job, **AT)
    yield "204 with a body", reply("DELETE", f"/v1/artifacts/{ARTIFACT}", 204, "x")
    not_allowed = {"type": "urn:ngx-sandbox:problem:method_not_allowed", "title": "The method is not allowed here", "status": 405,
                   "code": "method_not_allowed", "request_id": "r1"}
    yield "a method refused without Allow", reply("PUT", "/v1/jobs", 405, not_allowed, **problem_of)
    yield "a method refused that Allow names", reply("PUT", "/v1/jobs", 405, not_allowed, **problem_of, Allow="GET, HEAD, POST, PUT")
    yield "Allow that leaves one out", reply("PUT", "/v1/jobs", 405, not_allowed, **problem_of, Allow="GET, POST")
    yield "the gateway's own problem, wrong", reply("GET", "/any", 401, {**problem, "status": 401}, who="edge", **problem_of)
    stream = {"type_": "text/event-stream", **AT}
    yield "an event that is none", reply("GET", at, 200, events(("finish", {})), **stream)
    yield "output with both forms", reply("GET", at, 200, events(("stdout", {"text": "a", "base64": "YQ=="})), **stream)
    yield "output that is not base64", reply("GET", at, 200, events(("stdout", {"base64": "a b"})), **stream)
    yield "a gap without a number", reply("GET", at, 200, events(("gap", {"stdout_bytes": 1, "events": 0})), **stream)
    yield "an end with the output", reply("GET", at, 200, events(("end", job)), **stream)
    yield "an event that is not JSON", reply("GET", at, 200, "event: usage\ndata: {\n\n", **stream)
    yield "an event without data", reply("GET", at, 200, "event: usage\n\n", **stream)
    yield "a line of no event", reply("GET", at, 200, "hello\n\n", **stream)
    twice = reply("GET", at, 200, job, **AT)
    twice.headers.append(("x-request-id", "r1"))
    yield "a request id twice", twice


def members(what):
    """Name and reply of each document with a member left out, of another type, or too many."""
    method, path, status, body, headers = documents[what]

    def walk(value, trail):
        if isinstance(value, dict):
            for key in value:
                if key in ANYTHING.get(what, ()):
                    continue
                if not (len(trail) == 0 and key in OPTIONAL.get(what, ())) and trail[-1:] not in (["limits"], ["isolation"], ["data"]):
                    yield [*trail, key], "left out"
                yield [*trail, key], "of another type"
                yield from walk(value[key], [*trail, key])
            if trail[-1:] not in (["metadata"], ["data"]):
                yield trail, "with a member too many"
        elif isinstance(value, list) and value:
            yield from walk(value[0], [*trail, 0])

    for trail, how in walk(body, []):
        copied = copy.deepcopy(body)
        at, last = copied, None
        for part in trail[:-1] if how != "with a member too many" else trail:
            at = at[part]
        if how == "with a member too many":
            at["surprise"] = 1
        elif how == "left out":
            del at[trail[-1]]
        else:
            last = at[trail[-1]]
            at[trail[-1]] = {"no": ["such", "thing"]} if not isinstance(last, dict) else "text"
        yield f"{what}: /{'/'.join(map(str, trail))} {how}", reply(method, path, status, copied, **headers)


def main():
    with open(validate.DOCUMENT, encoding="utf-8") as source:
        document = json.load(source)
    n = failed = 0

    def tell(good, name, more=""):
        nonlocal n, failed
        n += 1
        failed += not good
        print(f"{'ok' if good else 'not ok'} {n} - {name}")
        if not good and more:
            print(re.sub("(?m)^", "# ", more))

    for name, schema in document["components"]["schemas"].items():
        try:
            Draft202012Validator.check_schema(schema)
            said = ""
        except Exception as error:  # whatever it is, the schema is none
            said = str(error)
        tell(not said, f"{name} is a schema", said)

    judge = validate.Judge(document)
    right = {what: reply(*arguments[:4], **arguments[4]) for what, arguments in documents.items()}
    right["a stream"] = reply("GET", f"/v1/jobs/{JOB}", 200, ": hello\n\n" + events(
        ("stdout", {"text": "a"}), ("stderr", {"base64": "/w=="}), ("gap", {"stdout_bytes": 1, "stderr_bytes": 0, "events": 0}),
        ("end", {**listed, "files": []})), type_="text/event-stream", **AT)
    for what, made in right.items():
        judge.wrong.clear()
        judge.take(made)
        tell(not judge.wrong, f"{what} is right", str(judge.wrong))

    wrong = list(wrongs()) + [pair for what in documents for pair in members(what)]
    for name, made in wrong:
        judge.wrong.clear()
        judge.take(made)
        tell(judge.wrong, f"caught: {name}")
    print(f"1..{n}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
