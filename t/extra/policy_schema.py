"""Compares the C reader of policies with the JSON Schema; prints what it found as JSON.

Usage: policy_schema.py SCHEMA READER SEED-FILE...

The seed files hold policies, or anything with policies somewhere in it. What the reader may refuse beyond the schema
is what the schema's own description says, computed here a second time: see `beyond`.
"""
import copy
import json
import math
import random
import re
import subprocess
import sys
from collections import Counter
from fractions import Fraction

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis_jsonschema import from_schema
from jsonschema import Draft202012Validator

GENERATED = 600
MUTANTS = 3  # of each generated document
SEED_MUTANTS = 60  # of each policy in the seed files
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
         "ms": 1, "s": 1000, "m": 60000, "h": 3600000}
VALUES = [None, True, False, -1, 0, 1, 1.0, 1.5, -0.0, 2**31, 2**53 + 1, 2**63, 2**64, 1e15, 1e308, 5e-324, 64, 64.0001, 65,
          0.01, 0.0099999999, 0.0105, 600, 600.0005, 86400, 86400.5, 1024, 1025, 4096, 4097, 8388607, 8388608, 68719476736,
          68719476737, 1073741824, 1073741825, 1000001, "", " ", "1", "0", "01", "1.", ".5", "1.2345", "-1", "+1", "1e3",
          "8Mi", "7Mi", "8191Ki", "64Gi", "65Gi", "0.1Gi", "1.5Gi", "0.5Ki", "0.001k", "1Ti", "999999999999999Ti",
          "9999999999999999", "1 Gi", "1gi", "500m", "0.5m", "9m", "10m", "64000m", "64001m", "65", "30s", "0.0005s", "0.5ms",
          "9ms", "10ms", "1440m", "24h", "25h", "600s", "10m", "601s", "0.001h", "1/s", "0/s", "3/h", "4/h", "1000000/s",
          "100/s\n", "\uff11/s", "1/d", "a", "a" * 63, "a" * 64, "a\n", "a\u0000", "\ud800", "a/b", "a+b", [], {}, ["python"], "process", "gvisor", "gVisor",
          ["a"] * 32, ["a"] * 4096, ["a"] * 4097, "*", "@a/b", "@a/*", "*.a.b", "*.1", "a.b:443", "a.b:65536", "10.0.0.1:1", "10.0.0.01", "1-2", "2-1", "1-65536", "9000-9000",
          ">=1.20,<2", ">=1.20,", "=1", "==1.2.3.4.5.6", "==1.2.3.4.5.6.7", "==1234567890", {"name": "a", "versions": "==1"}, {"name": "a"}, 65535, 65536, 3600000000, 3600000001, {"max": 1}, {"default": 1, "max": 1}, {"minimum": "gvisor"}, {"rate": "1/s"}, {"rate": "1/s", "burst": 0}]

FULL = {"version": 1, "id": "p", "limits": {
            "cpu": {"default": 0.01, "max": 64}, "cpu_time": {"default": 0.01, "max": 86400}, "memory": {"default": "8Mi", "max": "64Gi"},
            "disk": {"default": 65536, "max": 68719476736}, "processes": {"default": 1, "max": 4096},
            "time": {"default": "10ms", "max": "24h"}, "output": {"default": 1, "max": "1Gi"}},
        "languages": ["python"], "templates": ["default"], "env": {"max": 1}, "files": {"max": 1, "max_bytes": "1Mi"},
        "artifacts": {"max": 1, "max_bytes": 1, "total_bytes": "1Ti"}, "uploads": {"max_bytes": 0},
        "retention": {"records": 1, "artifacts": "87840h", "audit": "24h"},
        "sessions": {"max": 0, "max_lifetime": 0.01, "ttl": {"default": "10ms", "max": 86400}, "idle_timeout": {"max": "24h"},
                     "step_timeout": {"default": 1}, "cpu_time": {"default": 0.01, "max": "1h"}},
        "max_wait": "60s", "isolation": {"minimum": "process", "default": "gvisor"},
        "rates": {"tenant": {"rate": "1/s", "burst": 1}, "app": {"rate": "4/h"}, "agent": {"rate": "999999/s"},
                  "routes": {"jobs.create": {"rate": "1/m", "burst": 1000000}}, "tools": {"run_code": {"rate": "1/s"}}},
        "concurrency": {"tenant": 1, "app": 100000, "agent": 1, "routes": {"jobs.create": 1}, "tools": {"run_code": 2}},
        "tools": ["run_code"], "secrets": ["TOKEN"], "egress": ["*.example.com:443"],
        "dependencies": {"pip": ["numpy", {"name": "scipy", "versions": ">=1.20,<2"}], "npm": ["@types/*", {"name": "@a/b", "versions": "!=1.0.0"}]},
        "services": {"ports": [8080, "9000-9100"], "max": 4},
        "budgets": {"tenant": {"cpu_per_day": "10h"}, "app": {"cpu_per_day": 1}, "agent": {}}}


def ecma(node):
    """Python's $ matches before a final newline as well, JSON Schema's does not."""
    if isinstance(node, dict):
        return {k: re.sub(r"\$$", r"\\Z", v) if k == "pattern" else ecma(v) for k, v in node.items() if k not in ("$id", "$schema")}
    return [ecma(v) for v in node] if isinstance(node, list) else node


def amount(schema, name, value, kinds):
    """A limit in base units, or None; adds to kinds why the reader must refuse what the schema takes."""
    numeric = schema["$defs"][name] if name == "processes" else schema["$defs"][name]["oneOf"][0]
    scale = 1000 if numeric["type"] == "number" else 1
    if isinstance(value, str):
        number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", value).groups()
        factor = {"": 1000, "m": 1}[unit] if name == "cpu" else UNITS[unit]
        result = Fraction(number) * factor
        if result.denominator != 1:
            kinds.add("not whole")
        if not Fraction(str(numeric["minimum"])) * scale <= result <= numeric["maximum"] * scale:
            kinds.add("text out of bounds")
        return result
    if isinstance(value, float) and scale == 1:
        kinds.add("integer with a point")
        return None
    return math.floor(value * 1000 + 1e-6) if scale == 1000 else value


def has_pointed_integer(document):
    groups = [document.get(key, {}) for key in ("env", "files", "artifacts")]
    rates = document.get("rates", {})
    named = ("routes", "tools")
    rates = [rates[key] for key in rates if key not in named] + [rate for key in named for rate in rates.get(key, {}).values()]
    caps = document.get("concurrency", {})
    services = document.get("services", {})
    integers = [document["version"], *(cap for key, cap in caps.items() if key not in named)]
    integers += [cap for key in named for cap in caps.get(key, {}).values()] + services.get("ports", [])
    integers += [services["max"]] if "max" in services else []
    integers += [document["sessions"]["max"]] if "max" in document.get("sessions", {}) else []
    integers += [group["max"] for group in groups if "max" in group] + [rate["burst"] for rate in rates if "burst" in rate]
    return any(isinstance(value, float) for value in integers)


def beyond_lists(document, kinds):
    lists = [document.get(key, []) for key in ("languages", "templates", "tools", "secrets", "egress")]
    lists += [*document.get("dependencies", {}).values(), document.get("services", {}).get("ports", [])]
    if sum(map(len, lists)) > 4096:
        kinds.add("too many entries")
    for manager, packages in document.get("dependencies", {}).items():
        names = [re.sub("[-_.]+", "-", p["name"]).lower() if manager == "pip" else p["name"] for p in packages if isinstance(p, dict)]
        plain = [re.sub("[-_.]+", "-", p).lower() if manager == "pip" else p for p in packages if isinstance(p, str)]
        if any(n > 16 for name, n in Counter(names).items() if name not in plain):
            kinds.add("too many entries of one package")
    for ports in document.get("services", {}).get("ports", []):
        if isinstance(ports, str) and int(ports.split("-")[0]) > int(ports.split("-")[1]):
            kinds.add("ports end before they begin")


def beyond(schema, document):
    """Why the reader must refuse a document that the schema takes."""
    kinds = {"integer with a point"} if has_pointed_integer(document) else set()
    beyond_lists(document, kinds)
    spans = [({"cpu_time": "time"}.get(name, name), limit) for name, limit in document.get("limits", {}).items()]
    spans += [("time", span) for name, span in document.get("sessions", {}).items() if name not in ("max", "max_lifetime")]
    for kind, span in spans:
        values = {key: amount(schema, kind, value, kinds) for key, value in span.items()}
        if len(values) == 2 and None not in values.values() and values["default"] > values["max"]:
            kinds.add("default above max")
    if document.get("isolation") == {"minimum": "gvisor", "default": "process"}:
        kinds.add("default weaker than minimum")
    for key in ("files", "artifacts"):
        if "max_bytes" in document.get(key, {}):
            amount(schema, "bytes", document[key]["max_bytes"], kinds)
    for key, member in (("artifacts", "total_bytes"), ("uploads", "max_bytes")):
        if member in document.get(key, {}):
            amount(schema, "storedBytes", document[key][member], kinds)
    for value in document.get("retention", {}).values():
        amount(schema, "retention", value, kinds)
    for value in document.get("budgets", {}).values():
        if "cpu_per_day" in value:
            amount(schema, "cpuPerDay", value["cpu_per_day"], kinds)
    if "max_lifetime" in document.get("sessions", {}):
        amount(schema, "time", document["sessions"]["max_lifetime"], kinds)
    if "max_wait" in document:
        amount(schema, "wait", document["max_wait"], kinds)
    return kinds


def places(node):
    """Every (container, key) of a document."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield node, key
        yield from places(value)


def nudge(value, rng):
    if isinstance(value, bool) or value is None:
        return rng.choice(VALUES)
    if isinstance(value, (int, float)):
        return rng.choice([value + 1, value - 1, value * 2, -value, float(value), str(value), value + 0.0005])
    if isinstance(value, str) and value:
        at = rng.randrange(len(value))
        return value[:at] + rng.choice(["", "0", "9", ".", "/", "x", "\n", "\u00e9"]) + value[at + rng.randrange(2):]
    return rng.choice(VALUES)


def mutate(document, rng):
    document = copy.deepcopy(document)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        spots = list(places(document))
        if not spots:
            return copy.deepcopy(rng.choice(VALUES))
        container, key = rng.choice(spots)
        what = rng.randrange(6)
        if what == 0:
            del container[key]
        elif what == 1 and isinstance(container, dict):
            container[rng.choice(["max", "default", "burst", "rate", "routes", "Max", "", "memory", "x" * 64])] = copy.deepcopy(rng.choice(VALUES))
        elif what == 2 and isinstance(container, dict) and {"default", "max"} <= container.keys():
            container["default"], container["max"] = container["max"], container["default"]
        elif what == 2 and isinstance(container, dict) and {"default", "minimum"} <= container.keys():
            container["default"], container["minimum"] = container["minimum"], container["default"]
        elif what <= 3:
            container[key] = copy.deepcopy(rng.choice(VALUES))
        else:
            container[key] = nudge(container[key], rng)
    return document


def sweep():
    """Every value at every place of a document that says all there is to say; and every place left out."""
    for at in range(len(list(places(FULL)))):
        document = copy.deepcopy(FULL)
        container, key = list(places(document))[at]
        for value in VALUES:
            container[key] = value
            yield copy.deepcopy(document)
        del container[key]
        yield document
    for number in range(1, 21):
        yield {**FULL, "version": number, "isolation": {"minimum": "gvisor", "default": "process"}}


def policies_in(node):
    if isinstance(node, dict) and "version" in node:
        yield node
    for container, key in places(node):
        if isinstance(container[key], dict) and "version" in container[key]:
            yield container[key]


def documents(schema, seeds):
    rng = random.Random(20)
    out = [FULL, *sweep()]

    @settings(max_examples=GENERATED, database=None, derandomize=True, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))
    @given(from_schema(schema))
    def generate(document):
        out.append(document)
        out.extend(mutate(document, rng) for _ in range(MUTANTS))

    generate()
    for seed in seeds:
        out.append(seed)
        out.extend(mutate(seed, rng) for _ in range(SEED_MUTANTS))
    return out


def main():
    schema_file, reader, *seed_files = sys.argv[1:]
    schema = json.load(open(schema_file))
    Draft202012Validator.check_schema(schema)
    schema = ecma(schema)
    validator = Draft202012Validator(schema)
    seeds = [policy for name in seed_files for policy in policies_in(json.load(open(name)))]
    texts = sorted({json.dumps(document) for document in documents(schema, seeds)})
    done = subprocess.run([reader], input="\n".join(texts) + "\n", capture_output=True, text=True, timeout=60, check=True)
    said = done.stdout.splitlines()
    assert len(said) == len(texts), "the reader answered %d of %d lines" % (len(said), len(texts))

    count, kinds, wrong = Counter(), Counter(), []
    for text, answer in zip(texts, said):
        document = json.loads(text)
        valid = validator.is_valid(document)
        why = beyond(schema, document) if valid else set()
        kinds.update(why)
        count[("accepted" if answer == "ok" else "refused") + (" by both" if (answer == "ok") == valid else " by the reader alone")] += 1
        if (answer == "ok") != (valid and not why):
            wrong.append({"document": text[:2000], "schema": valid, "beyond": sorted(why), "reader": answer})
    print(json.dumps({"documents": len(texts), "seeds": len(seeds), "count": count, "kinds": kinds, "wrong": wrong[:20],
                      "n_wrong": len(wrong)}))


main()
