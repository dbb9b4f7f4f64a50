#!/usr/bin/env python3
"""rebranch_worker.py POOL WHO CONSTANT…: works in the pool while its branches change, until standard input ends.
The files CONSTANT are on a branch that stays: they are always there, whole, and listed. Of its own files each may
be on a branch that has just gone: by name they may be missing, but an open one never fails.

Prints as JSON how many rounds it made, {"call: errno": times} for what was refused, and the files that it closed
and did not remove, under all names that each may have."""

import errno
import json
import os
import select
import sys

SIZE = 30_000
# a file whose branch has gone has no name any more
BY_NAME = {"rename": {"ENOENT"}, "unlink": {"ENOENT"}, "read": {"ENOENT"}}


def content(who, number):
    return ((b"%s %d\n" % (who.encode(), number)) * SIZE)[:SIZE]


class Worker:
    def __init__(self, who, constants):
        self.who, self.constants = who, constants
        self.refused = {}
        self.kept = []

    def by_name(self, what, call, *arguments):
        """Whether it went well; what may not fail so raises."""
        try:
            return call(*arguments) or True
        except OSError as error:
            name = errno.errorcode[error.errno]
            key = f"{what}: {name}"
            self.refused[key] = self.refused.get(key, 0) + 1
            if name not in BY_NAME[what]:
                raise
            return None

    def one_round(self, number):
        text = content(self.who, number)
        name = f"d{self.who}/{number}"
        file = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
        try:
            for at in range(0, SIZE, 10_000):
                assert os.pwrite(file, text[at:at + 10_000], at) == 10_000, name
            assert os.fstat(file).st_size == SIZE, name
            os.fchmod(file, 0o600)
            os.ftruncate(file, SIZE - 1)
            assert os.pwrite(file, text[-1:], SIZE - 1) == 1
            os.utime(file, (1, 1))
            os.setxattr(file, "user.who", self.who.encode())
            assert os.getxattr(file, "user.who") == self.who.encode()
            os.fsync(file)
            assert os.pread(file, SIZE, 0) == text, name
        finally:
            os.close(file)
        if self.by_name("rename", os.rename, name, name + "-kept"):
            name += "-kept"
        if number % 3 and self.by_name("unlink", os.unlink, name):
            return
        self.kept.append([number, name])

    def constant(self, number):
        """A file that is always there, by all ways to it."""
        name = self.constants[number % len(self.constants)]
        with open(name, "rb") as file:
            assert file.read() == name.encode() * 1000, name
        assert os.stat(name).st_size == 1000 * len(name), name
        missing = set(self.constants) - {"fixed/" + entry for entry in os.listdir("fixed")}
        assert not missing, f"not listed: {missing}"

    def read_back(self):
        number, name = self.kept[len(self.kept) // 2]

        def read():
            with open(name, "rb") as file:
                assert file.read() == content(self.who, number), name
        self.by_name("read", read)


def main():
    top, who = sys.argv[1:3]
    os.chdir(top)
    worker = Worker(who, sys.argv[3:])
    number = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        worker.one_round(number)
        worker.constant(number)
        if worker.kept:
            worker.read_back()
        number += 1
    assert os.getcwd() == top
    json.dump({"rounds": number, "refused": worker.refused, "kept": worker.kept}, sys.stdout)


if __name__ == "__main__":
    main()
