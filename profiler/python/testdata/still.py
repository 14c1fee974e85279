# SPDX-License-Identifier: Apache-2.0
"""Comes to rest in known places of several threads, says what their stacks are by the interpreter's own word, and waits."""
import json
import sys
import threading

resting = threading.Semaphore(0)
go_on = threading.Event()


class Wheel:
    def turn(self, n):
        if n > 0:
            return self.turn(n - 1)
        return sorted([2, 1], key=self.weigh)

    def weigh(self, x):
        return next(self.count(x))

    def count(self, x):
        yield from inner(x)


def inner(x):
    yield [lambdaed(x) for _ in range(1)]


lambdaed = lambda x: (
    list(map(rest, [x]))
)


def rest(x):
    (threading.current_thread() is threading.main_thread() and tell()) or resting.release() or go_on.wait()


def grün(x):
    if x: return rest(x)
    return 0


def deep(n):
    if n == 0:
        return rest(n)
    # far from the line before

    return (
        deep(
            n - 1)
    )


def stack(frame):
    frames = []
    while frame is not None:
        code = frame.f_code
        frames.append([getattr(code, "co_qualname", code.co_name), code.co_filename, frame.f_lineno])
        frame = frame.f_back
    return frames


def tell():
    for _ in others:
        resting.acquire()
    frames = sys._current_frames()
    all = {}
    for ident, frame in frames.items():
        while frame.f_code in (tell.__code__, stack.__code__):
            frame = frame.f_back
        all[str(ident)] = stack(frame)
    # one line, so that what follows doesn't move the frames
    print(json.dumps(all), flush=True)


others = [threading.Thread(target=f, args=[a], daemon=True) for f, a in [(deep, 60), (grün, 1), (Wheel().turn, 3)]]
for t in others:
    t.start()
exec(compile("\n" * 300 + "Wheel().turn(2)", "made of text", "exec"))
