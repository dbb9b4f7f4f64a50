#!/usr/bin/env python3
"""sqlite_filler.py DATABASE JOURNAL: adds rows, each in a transaction, until the disk is full; then every
row that was committed is there, the base is whole, and once there is room it goes on."""

import os
import sqlite3
import sys

from sqlite_writers import connect


def main():
    path, journal = sys.argv[1:3]
    base = connect(path)
    assert base.execute(f"PRAGMA journal_mode={journal}").fetchone()[0] == journal
    base.execute("CREATE TABLE t (number INTEGER PRIMARY KEY, data)")
    rows = 0
    with open(path + "-filler", "wb") as filler:
        filler.write(bytes(4 << 20))
    try:
        while True:
            base.execute("INSERT INTO t VALUES (?, randomblob(50000))", (rows,))
            rows += 1
    except sqlite3.OperationalError as error:
        # by where the disk was full: in the base, in its journal's data, or for a new journal
        assert any(text in str(error) for text in ("is full", "disk I/O", "unable to open")), error
    base.close()
    base = connect(path)
    assert base.execute("SELECT count(*), max(number) FROM t").fetchone() == (rows, rows - 1)
    assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert base.execute("SELECT count(*) FROM t WHERE length(data) = 50000").fetchone() == (rows,)
    os.unlink(path + "-filler")
    base.execute("INSERT INTO t VALUES (?, randomblob(50000))", (rows,))
    assert base.execute("SELECT count(*) FROM t").fetchone() == (rows + 1,)
    base.close()
    print(f"full after {rows} rows")


main()
