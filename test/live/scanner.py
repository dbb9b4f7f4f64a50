#!/usr/bin/env python3
"""scanner.py LIBRARY DATABASE [--until-eof]: what media servers do. Walks the library, adds what is new to
its database, a list of paths, and purges from it what is no longer there: a name that is missing from a
listing that went well, or of which stat(2) says that there is no such file. What cannot be looked at is
kept. Prints each path that is purged; with --until-eof it goes on until standard input ends."""

import json
import os
import select
import sys


def seen_in(library, directory, unreadable):
    try:
        with os.scandir(os.path.join(library, directory)) as entries:
            found = list(entries)
    except OSError:
        unreadable.add(directory)
        return
    for entry in found:
        path = os.path.join(directory, entry.name)
        yield path
        if entry.is_dir(follow_symlinks=False):
            yield from seen_in(library, path, unreadable)


def is_below(path, directories):
    return "" in directories or any(path.startswith(each + "/") for each in directories)


def is_gone(path):
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def scan(library, known):
    unreadable = set()
    seen = set(seen_in(library, "", unreadable))
    unseen = {path for path in known - seen if not is_below(path, unreadable)}
    gone = unseen | {path for path in known if is_gone(os.path.join(library, path))}
    for path in sorted(gone):
        print(path, flush=True)
    return (known | seen) - gone


def main():
    library, database = sys.argv[1:3]
    known = set()
    if os.path.exists(database):
        with open(database, encoding="utf-8") as file:
            known = set(json.load(file))
    while True:
        known = scan(library, known)
        if "--until-eof" not in sys.argv or select.select([sys.stdin], [], [], 0.05)[0]:
            break
    with open(database, "w", encoding="utf-8") as file:
        json.dump(sorted(known), file)


if __name__ == "__main__":
    main()
