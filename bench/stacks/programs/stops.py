# SPDX-License-Identifier: Apache-2.0
"""Runs in gdb, with a program to debug. Starts it, says its PID, waits for a line, and then says at each SIGSTOP, in JSON, when that was and
the frames that gdb finds: their files, and offsets in them, from the leaf on. A return address counts as the byte before it. Ends after the
given number of stops."""
import json
import os
import time

import gdb


def mappings(pid):
    """The executable mappings of a process: start, end, offset, path."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as lines:
        for line in lines:
            span, flags, offset, _, _, *path = line.split(None, 5)
            if "x" in flags:
                start, end = (int(n, 16) for n in span.split("-"))
                yield start, end, int(offset, 16), path[0].strip() if path else ""


def place(maps, address):
    for start, end, offset, path in maps:
        if start <= address < end:
            return {"file": path, "offset": address - start + offset}
    return {"file": "", "offset": address}


def frames(maps):
    frame, exact, found = gdb.newest_frame(), True, []
    while frame is not None:
        if frame.pc() == 0:
            break  # below the first call of a goroutine
        # Frames that gdb infers from debug information have no place on the stack.
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            where = place(maps, frame.pc() - (not exact))
            if found and not where["file"]:
                break  # gdb goes on over the end of a stack
            found.append(where)
            # Under a signal handler stands what was interrupted, and no call.
            exact = frame.type() == gdb.SIGTRAMP_FRAME
        frame = frame.older()
    return found


def main():
    for command in (
        "set pagination off", "set confirm off", "set startup-with-shell off", "set debuginfod enabled off",
        "set backtrace past-main on", "set backtrace limit unlimited", "handle SIGSTOP stop print nopass",
        "handle SIGPROF nostop noprint pass", "starti",
    ):
        gdb.execute(command, to_string=True)
    out, pid = os.fdopen(int(os.environ["STOPS_OUT"]), "w"), gdb.selected_inferior().pid
    print(pid, file=out, flush=True)
    os.read(int(os.environ["STOPS_IN"]), 1)
    for _ in range(int(os.environ["STOPS"])):
        gdb.execute("continue", to_string=True)
        if gdb.selected_inferior().pid == 0:
            break
        at = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        print(json.dumps({"at": at, "frames": frames(list(mappings(pid)))}), file=out, flush=True)
    out.close()
    if gdb.selected_inferior().pid:
        gdb.execute("kill", to_string=True)


main()
