#!/usr/bin/env python3
"""disk_worker.py POOL WHO: creates, writes, reads, renames and removes files in the pool until standard
input ends, whatever fails. A line there starts the next phase. Prints as JSON, for each phase, how many
rounds went well and which errnos came; and the files that were synced, by phase.

Whatever is read must be what was written: else it ends with an assertion."""

import errno
import json
import os
import select
import sys

SIZE = 20_000
# in a phase: a fast machine may not fill the disks, whose lack of room would hide what is tested
MOST_KEPT = 800


def content(who, number):
    return (b"%s %d\n" % (who.encode(), number)) * SIZE


def one_round(who, number, phase, kept):
    name = f"d{who}/{number}"
    file = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR)
    try:
        if os.write(file, content(who, number)[:SIZE]) < SIZE:
            raise OSError(errno.ENOSPC, "written in part")
        os.fsync(file)
        got = os.pread(file, SIZE, 0)
        assert got == content(who, number)[:len(got)], name
    finally:
        os.close(file)
    os.rename(name, name + "-kept")
    if number % 4 or len(kept) >= MOST_KEPT * (phase + 1):
        os.unlink(name + "-kept")
        return
    kept[name + "-kept"] = phase
    directory = os.open(f"d{who}", os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    with open(name + "-kept", "rb") as again:
        got = again.read()
    assert got == content(who, number)[:SIZE], name
    os.listdir(f"d{who}")


def main():
    top, who = sys.argv[1:3]
    os.chdir(top)
    phases = [{"good": 0, "errors": {}}]
    kept = {}
    number = 0
    while True:
        if select.select([sys.stdin], [], [], 0)[0]:
            if not os.read(0, 1):
                break
            phases.append({"good": 0, "errors": {}})
        try:
            one_round(who, number, len(phases) - 1, kept)
            phases[-1]["good"] += 1
        except OSError as error:
            name = errno.errorcode[error.errno]
            phases[-1]["errors"][name] = phases[-1]["errors"].get(name, 0) + 1
        number += 1
    json.dump({"phases": phases, "kept": kept}, sys.stdout)


if __name__ == "__main__":
    main()
