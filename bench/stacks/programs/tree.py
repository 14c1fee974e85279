# SPDX-License-Identifier: Apache-2.0
"""tree.py SECONDS: recursion, callbacks out of C, generators and json, in pure Python."""
import json
import sys
import time


def walk(depth, x):
    if depth == 0:
        return sum(sorted(range(200), key=lambda n: (n * x) % 101)[:20])
    return sum(walk(depth - 1, x + side) for side in range(2))


def main():
    end = time.monotonic() + float(sys.argv[1])
    x = 1
    while time.monotonic() < end:
        x = len(json.dumps({"value": walk(6, x % 1000)})) + x


main()
