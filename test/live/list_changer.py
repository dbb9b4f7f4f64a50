#!/usr/bin/env python3
"""list_changer.py DIRECTORY WHO: creates, renames and removes names in a directory until standard input
ends; prints how many rounds there were. It leaves none of its names behind."""

import os
import select
import sys


def main():
    directory, who = sys.argv[1:3]
    os.chdir(directory)
    rounds = 0
    standing = []
    while not select.select([sys.stdin], [], [], 0)[0]:
        name = f"go-{who}-{rounds}"
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.rename(name, name + "-renamed")
        os.mkdir(name)
        standing.append(name)
        if len(standing) > 50:
            old = standing.pop(rounds * 7 % 50)
            os.rename(old + "-renamed", old + "-again")
            os.unlink(old + "-again")
            os.rmdir(old)
        rounds += 1
    for old in standing:
        os.unlink(old + "-renamed")
        os.rmdir(old)
    print(rounds)


main()
