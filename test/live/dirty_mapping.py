#!/usr/bin/env python3
"""dirty_mapping.py [--check] FILE BYTES: writes every page of a shared mapping of a new file of that size,
twice, and syncs it; or checks that this is in the file. Prints "ok"."""

import mmap
import os
import struct
import sys

PAGE = 4096


def main():
    check = sys.argv[1] == "--check"
    path, size = sys.argv[-2], int(sys.argv[-1])
    file = os.open(path, os.O_RDONLY if check else os.O_RDWR | os.O_CREAT | os.O_EXCL)
    if not check:
        os.ftruncate(file, size)
    mapped = mmap.mmap(file, size, prot=mmap.PROT_READ if check else mmap.PROT_READ | mmap.PROT_WRITE)
    for turn in ((2,) if check else (1, 2)):
        for offset in range(0, size, PAGE):
            wanted = struct.pack("QQ", turn, offset)
            if check:
                assert mapped[offset:offset + 16] == wanted, offset
            else:
                mapped[offset:offset + 16] = wanted
    if not check:
        mapped.flush()
        os.fsync(file)
    print("ok")


main()
