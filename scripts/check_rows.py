#!/usr/bin/env python3
"""Checks test/mergerfs/SECTION.txt, which say what test shows each row of mergerfs' tables of options, policies and
behaviour: every line is "row | test file | test case", and that case is in that file. The rows of bugs.txt are
mergerfs' known bugs and traps, numbered: none may be missing. Prints the number of rows."""

import re
import sys
from pathlib import Path

FIELDS = 3
BUGS = "bugs.txt"
LAST_BUG = 19


# A doctest case, its name perhaps broken into several literals; a Python case.
CASE = re.compile(r'TEST_CASE(?:_FIXTURE)?\(\s*(?:\w+,\s*)?("(?:[^"\\]|\\.)*"(?:\s*"(?:[^"\\]|\\.)*")*)|def (test_\w+)\(')


def cases_of(text):
    """The names of all cases in a test file."""
    return {method or "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', literals)) for literals, method in CASE.findall(text)}


def complaints_of(root, path):
    cases = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        where = f"{path.relative_to(root)}:{number}"
        # A row may hold a bar, the two last fields do not.
        fields = [field.strip() for field in line.rsplit(" | ", FIELDS - 1)]
        if len(fields) != FIELDS or not all(fields):
            yield f"{where}: is not 'row | test file | test case'"
            continue
        _, file, case = fields
        if file not in cases:
            there = (root / file).is_file()
            cases[file] = cases_of((root / file).read_text(encoding="utf-8")) if there else None
        if cases[file] is None:
            yield f"{where}: there is no file {file}"
        elif case not in cases[file]:
            yield f"{where}: {file} has no case '{case}'"


def missing_bugs(root):
    text = (root / "test/mergerfs" / BUGS).read_text(encoding="utf-8")
    numbers = [int(number) for number in re.findall(r"^(\d+) ", text, re.M)]
    if numbers != sorted(set(numbers)) or len(numbers) != len(text.splitlines()):
        yield f"test/mergerfs/{BUGS}: each line begins with a number, in order"
    for number in range(1, LAST_BUG + 1):
        if number not in numbers:
            yield f"test/mergerfs/{BUGS}: number {number} is missing"


def main():
    root = Path(__file__).resolve().parent.parent
    lists = sorted((root / "test/mergerfs").glob("*.txt"))
    complaints = [complaint for path in lists for complaint in complaints_of(root, path)]
    complaints += missing_bugs(root)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    rows = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in lists)
    print(f"rows: {rows} in {len(lists)} lists, complaints: {len(complaints)}")
    return 1 if complaints or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
