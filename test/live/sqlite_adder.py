#!/usr/bin/env python3
"""sqlite_adder.py DATABASE JOURNAL TOLD: goes on adding rows to a base, each in a transaction, and tells after
each, in the file TOLD, that it was committed; ends when an error comes, as it does when the pool is gone."""

import os
import sqlite3
import sys

from sqlite_writers import connect


def main():
    path, journal, told = sys.argv[1:4]
    base = connect(path)
    assert base.execute(f"PRAGMA journal_mode={journal}").fetchone()[0] == journal
    base.execute("CREATE TABLE IF NOT EXISTS t (number INTEGER PRIMARY KEY, data)")
    number = base.execute("SELECT count(*) FROM t").fetchone()[0]
    with open(told, "r+b", buffering=0) as file:
        while True:
            base.execute("INSERT INTO t VALUES (?, randomblob(9000))", (number,))
            number += 1
            os.pwrite(file.fileno(), b"%9d" % number, 0)


try:
    main()
except (sqlite3.Error, OSError) as error:
    print(error, file=sys.stderr)
    sys.exit(3)
