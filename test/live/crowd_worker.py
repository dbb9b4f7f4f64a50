#!/usr/bin/env python3
"""crowd_worker.py POOL WHO COUNT: one of many processes that create, list, rename, link and remove
files, some in a directory of their own and some in one that all share."""

import os
import sys


def main():
    top, who, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    os.chdir(top)
    own = f"own{who}"
    os.mkdir(own)

    def home(number):
        return "shared" if number % 4 == 0 else f"{own}/sub{number % 3}"
    for number in range(3):
        os.mkdir(f"{own}/sub{number}")
    for number in range(count):
        path = f"{home(number)}/{who}-{number}"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(file, b"%d of %d" % (number, who))
        os.close(file)
    for folder in ("shared", *(f"{own}/sub{number}" for number in range(3))):
        expected = {f"{who}-{number}" for number in range(count) if home(number) == folder}
        found = {entry.name for entry in os.scandir(folder) if entry.is_file() and entry.name.startswith(f"{who}-")}
        assert found == expected, (folder, len(found), len(expected))
    for number in range(count):
        os.rename(f"{home(number)}/{who}-{number}", f"{home(number + 1)}/{who}-renamed-{number}")
    for number in range(count):
        old, new = f"{home(number + 1)}/{who}-renamed-{number}", f"{home(number)}/{who}-linked-{number}"
        os.link(old, new)
        info, other = os.stat(old), os.stat(new)
        assert info.st_nlink == other.st_nlink == 2, (info, other)
        assert info.st_ino == other.st_ino
    for number in range(0, count, 7):
        with open(f"{home(number)}/{who}-linked-{number}", "rb") as file:
            assert file.read() == b"%d of %d" % (number, who)
    for number in range(count):
        os.unlink(f"{home(number + 1)}/{who}-renamed-{number}")
        linked = f"{home(number)}/{who}-linked-{number}"
        if number % 5 == 0:
            # gone while open
            file = os.open(linked, os.O_RDONLY)
            os.unlink(linked)
            assert os.read(file, 100) == b"%d of %d" % (number, who)
            assert os.fstat(file).st_nlink == 0
            os.close(file)
        else:
            os.unlink(linked)
    for number in range(3):
        os.rmdir(f"{own}/sub{number}")
    os.rmdir(own)


main()
