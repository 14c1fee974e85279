# SPDX-License-Identifier: Apache-2.0
"""Says where code objects of the standard library are, and which lines their bytecode has by the interpreter's own word."""
import argparse
import dis
import json
import sys
import types
import typing


def lines(code):
    if hasattr(code, "co_lines"):
        return [[start, end, line or 0] for start, end, line in code.co_lines()]
    starts = list(dis.findlinestarts(code)) + [(len(code.co_code), None)]
    return [[a, b, line] for (a, line), (b, _) in zip(starts, starts[1:])]


def codes(code, found):
    found.append(code)
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            codes(c, found)


def functions(module):
    for value in list(vars(module).values()):
        for f in [value] + (list(vars(value).values()) if isinstance(value, type) else []):
            if isinstance(f, types.FunctionType):
                yield f.__code__


found = []
source = "def f(x):\n" + "\n" * 200 + "    return (x +\n" + "\n" * 70 + "        1 / x)\n"
codes(compile(source, "über " + "\U0001f40d", "exec"), found)
for module in argparse, json.decoder, typing, types, dis:
    for code in functions(module):
        codes(code, found)
print(json.dumps([[id(c), getattr(c, "co_qualname", c.co_name), c.co_filename, lines(c)] for c in found]), flush=True)
sys.stdin.read()
