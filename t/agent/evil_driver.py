"""A driver that breaks one rule (docs/agent.md, "Drivers"): the code of a step says which. t/agent/contexts.t."""
import json
import os
import signal
import sys
import time

mode = sys.argv[1]


def frame(kind, body=b"", length=None):
    data = kind + body
    return (len(data) if length is None else length).to_bytes(4, "little") + data


def say(data):
    while data:
        data = data[os.write(3, data) :]


def read(n):
    data = b""
    while len(data) < n:
        more = os.read(3, n - len(data))
        if not more:
            os._exit(0)
        data += more
    return data


def display(items, body=b"", kind="display"):
    head = {"kind": kind, "items": [{"mime": mime, "size": size} for mime, size in items]}
    return frame(b"D", json.dumps(head).encode() + b"\n" + body)


def outcome(**more):
    return frame(b"E", json.dumps({"status": "succeeded", "error": None, "exit_code": None, "dropped": 0, **more}).encode())


GOOD = outcome()
if mode == "exits":
    sys.exit(7)
if mode == "garbage":
    say(b"hello, this is no frame at all")
    time.sleep(1000)
if mode == "early":
    say(GOOD)
if mode == "silent":
    time.sleep(1000)
if mode == "closed":
    os.close(3)
    time.sleep(1000)
say(frame(b"R"))

while True:
    n = int.from_bytes(read(4), "little")
    head, code = read(n)[1:].split(b"\n", 1)
    head = json.loads(head)
    code = code.decode()
    if code == "head":
        print(json.dumps(head, sort_keys=True), flush=True)
        say(GOOD)
    else:
        exec(code)
