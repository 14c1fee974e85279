# SPDX-License-Identifier: Apache-2.0
"""Computes for the given seconds of CPU time, on the main thread or, with a second argument, on another: about 30% in thirty, at the end
of a recursion, and 70% in seventy, which is called back from C and runs a generator. Says cpu_ns of each."""
import sys
import threading
import time

cpu_ns = {"thirty": 0, "seventy": 0}


def thirty(end):
    n = 0
    while time.thread_time_ns() < end:
        for i in range(50):
            n += i * i
    return n


def descend(depth, end):
    return thirty(end) if depth == 0 else descend(depth - 1, end)


def weigh(x):
    return -x * x


def numbers():
    for x in range(20):
        yield x


def seventy(end):
    while time.thread_time_ns() < end:
        sorted(numbers(), key=weigh)


class Share:
    def __init__(self, name, function, length):
        self.name, self.function, self.length = name, function, length

    def work(self):
        before = time.thread_time_ns()
        self.function(before + self.length)
        cpu_ns[self.name] += time.thread_time_ns() - before


def run():
    shares = Share("thirty", lambda end: descend(4, end), 3000000), Share("seventy", seventy, 7000000)
    end = time.thread_time() + float(sys.argv[1])
    while time.thread_time() < end:
        for s in shares:
            s.work()


if len(sys.argv) > 2:
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
else:
    run()
for name, ns in cpu_ns.items():
    print(f"cpu_ns.{name}={ns}")
