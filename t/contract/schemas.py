#!/usr/bin/python3
"""Compares lib/sbx_schema with python3-jsonschema on generated schemas and values.

Usage: t/contract/schemas.py PROGRAM (t/tool/schema.c) [SEED [N]]
Prints TAP: a test for each schema on which both agree about all values, and what they disagree about.
"""
import json
import random
import subprocess
import sys
import warnings

warnings.simplefilter("ignore", DeprecationWarning)
from jsonschema import Draft202012Validator  # noqa: E402

TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]
NAMES = ["a", "b", "cd", "x1", "é"]
# What both mean the same by: Python's \d and \w know more of Unicode, its $ matches before a line's end.
PATTERNS = ["^a", "b$", "^[a-c]{1,2}$", "^(ab|c)*$", "x[^0-9]", "^.{2}$", "a|é", "^(?:a?b){0,3}$", "[0-9]+", "^[a-z0-9]+$", "^x"]
STRINGS = ["", "a", "b", "ab", "abab", "c", "x1", "xy", "é", "aé", "😀", "abcabc", "0"]
NUMBERS = [0, 1, -1, 2, 3, 1.0, 1.5, -2.5, 6, 10, 0.5, 1e3, 9007199254740993, 3e20, -9223372036854775808, 1e20]


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def value(self, depth=0):
        kind = self.random.randrange(8 if depth < 3 else 5)
        if kind == 0:
            return self.random.choice([None, True, False])
        if kind in (1, 2):
            return self.random.choice(NUMBERS)
        if kind in (3, 4):
            return self.random.choice(STRINGS)
        if kind == 5:
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        return {name: self.value(depth + 1) for name in self.random.sample(NAMES, self.random.randrange(4))}

    def some(self, low, high, make):
        return [make() for _ in range(self.random.randint(low, high))]

    def schema(self, depth=0):
        if self.random.random() < 0.06:
            return self.random.choice([True, False])
        made = {}
        for _ in range(self.random.randint(1, 3)):
            self.add(made, depth)
        return made

    def add(self, made, depth):
        deeper = ["properties", "patternProperties", "additionalProperties", "propertyNames", "items", "prefixItems", "allOf", "anyOf",
                  "oneOf", "not", "if", "$ref"]
        flat = ["type", "type", "types", "enum", "const", "required", "dependentRequired", "minProperties", "maxProperties", "minItems",
                "maxItems", "uniqueItems", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
                "multipleOf", "pattern", "title"]
        word = self.random.choice(flat + deeper * 2 if depth < 3 else flat)
        within = lambda: self.schema(depth + 1)  # noqa: E731
        if word == "type":
            made["type"] = self.random.choice(TYPES)
        elif word == "types":
            made["type"] = self.random.sample(TYPES, self.random.randint(1, 3))
        elif word == "enum":
            made["enum"] = self.some(1, 4, self.value)
        elif word == "const":
            made["const"] = self.value()
        elif word == "required":
            made["required"] = self.random.sample(NAMES, self.random.randrange(3))
        elif word == "dependentRequired":
            made[word] = {name: self.random.sample(NAMES, 2) for name in self.random.sample(NAMES, 2)}
        elif word in ("minProperties", "maxProperties", "minItems", "maxItems", "minLength", "maxLength"):
            made[word] = self.random.choice([0, 1, 1, 2, 2.0, 3])
        elif word == "uniqueItems":
            made[word] = self.random.random() < 0.8
        elif word in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            made[word] = self.random.choice(NUMBERS)
        elif word == "multipleOf":
            made[word] = self.random.choice([1, 2, 3, 0.5])
        elif word == "pattern":
            made[word] = self.random.choice(PATTERNS)
        elif word in ("title", "description"):
            made[word] = "anything"
        elif word == "properties":
            made[word] = {name: within() for name in self.random.sample(NAMES, self.random.randint(1, 3))}
        elif word == "patternProperties":
            made[word] = {pattern: within() for pattern in self.random.sample(PATTERNS, self.random.randint(1, 2))}
        elif word in ("additionalProperties", "propertyNames", "items", "not"):
            made[word] = within()
        elif word in ("prefixItems", "allOf", "anyOf", "oneOf"):
            made[word] = self.some(1, 3, within)
        elif word == "if":
            made["if"] = within()
            made["then"] = within()
            if self.random.random() < 0.7:
                made["else"] = within()
        elif word == "$ref":
            made["$ref"] = self.random.choice(["#/$defs/one", "#two", "#/$defs/three/items"])

    def document(self):
        schema = self.schema()
        if isinstance(schema, dict):
            # None of the definitions asks another about the same value: the circles go through items.
            schema["$defs"] = {
                "one": {"type": self.random.sample(TYPES, 4), "minLength": 1},
                "two": {"$anchor": "two", "properties": {"a": {"$ref": "#/$defs/one"}}, "items": {"$ref": "#two"}},
                "three": {"items": {"maximum": 2, "required": ["a"], "maxItems": 2}},
            }
        return schema


def main():
    program = sys.argv[1]
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 20261122
    n = int(sys.argv[3]) if len(sys.argv) > 3 else 2000
    maker = Maker(seed)
    cases = [[maker.document()] + [maker.value() for _ in range(20)] for _ in range(n)]
    text = "".join(json.dumps(case) + "\n" for case in cases)
    lines = subprocess.run([program], input=text, capture_output=True, text=True, check=True).stdout.splitlines()
    ok = len(lines) == n
    print(f"{'ok' if ok else 'not ok'} 1 - {len(lines)} answers to {n} schemas (seed {seed})")
    fitting = 0
    for number, (case, line) in enumerate(zip(cases, lines), 2):
        answer = json.loads(line)
        wrong = []
        if isinstance(answer, dict):
            wrong.append(f"refused: {answer['refused']}")
        else:
            theirs = Draft202012Validator(case[0])
            for value, ours in zip(case[1:], answer):
                fits = theirs.is_valid(value)
                fitting += fits
                if fits != (ours is True):
                    wrong.append(f"{json.dumps(value)}: {'fits' if fits else 'does not fit'} by theirs; ours: {ours}")
        if wrong:
            print(f"not ok {number} - {json.dumps(case[0])}")
            for what in wrong[:3]:
                print(f"# {what}")
        else:
            print(f"ok {number} - agreed")
    share = fitting / (20 * n)
    print(f"{'ok' if 0.1 < share < 0.9 else 'not ok'} {len(lines) + 2} - {share:.0%} of the values fit")
    print(f"1..{len(lines) + 2}")


main()
