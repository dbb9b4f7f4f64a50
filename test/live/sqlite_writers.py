#!/usr/bin/env python3
"""sqlite_writers.py DATABASE JOURNAL WRITERS ROUNDS: processes that write one database at once. Prints
"ok" and the number of rows when every transaction of each is there."""

import multiprocessing
import sqlite3
import sys


def connect(path):
    return sqlite3.connect(path, timeout=120, isolation_level=None)


def write(path, who, rounds):
    base = connect(path)
    for number in range(rounds):
        base.execute("BEGIN IMMEDIATE")
        base.execute("INSERT INTO t VALUES (?, ?, ?)", (who, number, bytes(200 + number)))
        base.execute("UPDATE total SET n = n + 1")
        base.execute("COMMIT")
    base.close()


def main():
    path, journal, writers, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    base = connect(path)
    assert base.execute(f"PRAGMA journal_mode={journal}").fetchone()[0] == journal
    base.execute("CREATE TABLE t (who, number, data, PRIMARY KEY (who, number))")
    base.execute("CREATE TABLE total (n)")
    base.execute("INSERT INTO total VALUES (0)")
    base.close()
    processes = [multiprocessing.Process(target=write, args=(path, who, rounds)) for who in range(writers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert all(process.exitcode == 0 for process in processes), [p.exitcode for p in processes]
    base = connect(path)
    assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    rows = base.execute("SELECT count(*) FROM t").fetchone()[0]
    assert base.execute("SELECT n FROM total").fetchone()[0] == rows
    base.close()
    print("ok", rows)


if __name__ == "__main__":
    main()
