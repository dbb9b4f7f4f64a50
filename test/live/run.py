#!/usr/bin/env python3
"""The live tests: real mounts of the built boughfs on real file systems.

    run.py --boughfs PATH [--long] [-k PATTERN] [--list] [GROUP…]

Exit status: 0 all passed, 1 some failed, 77 none could run. With CI=true in the environment a case
that cannot run counts as failed.
"""

import argparse
import fnmatch
import importlib
import os
import signal
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import kernel  # noqa: E402
import sandbox  # noqa: E402
import supervise  # noqa: E402

GROUPS = ["mounting", "branches", "everyday", "crowd", "parity", "rights", "idle", "filesystems", "listings",
          "idmapped", "limits", "agreed", "control", "functions", "heavy", "disks", "killed", "pressure",
          "data", "per_process", "parallel", "passthrough", "rebranching", "absent", "acl", "links", "follow",
          "moving", "powercut", "movers", "guides", "options", "tools"]


def cases_of(group):
    """{full name: (class, deadline in seconds)}, in the order written."""
    module = importlib.import_module(group)
    found = {}
    for suite in unittest.defaultTestLoader.loadTestsFromModule(module):
        for test in suite:
            found[test.id()] = type(test)
    return found


def run_one(name, folder, boughfs, long_form):
    module, class_name, method = name.split(".")
    cls = getattr(importlib.import_module(module), class_name)
    try:
        cls.prepare(folder, boughfs, long_form)
    except sandbox.CannotRun as reason:
        print(f"cannot run: {reason}")
        return supervise.CANNOT_RUN
    result = unittest.TextTestRunner(verbosity=0, stream=sys.stdout).run(cls(method))
    if result.skipped:
        return supervise.CANNOT_RUN
    return 0 if result.wasSuccessful() else 1


def main():
    parser = argparse.ArgumentParser(description="live tests of boughfs")
    parser.add_argument("--boughfs", required=True, help="the binary to test")
    parser.add_argument("--long", action="store_true", help="the long form of each case")
    parser.add_argument("--release", action="store_true",
                        help="the binary is an optimised build without sanitizers: measure it too")
    parser.add_argument("--budget", type=float, default=36000.0, metavar="SECONDS",
                        help="end by then, in good order; cases that find no time fail")
    parser.add_argument("-k", dest="pattern", default="", help="only cases whose name contains this, or matches it")
    parser.add_argument("--list", action="store_true", help="print the cases' names")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("groups", nargs="*", help=", ".join(GROUPS))
    options = parser.parse_args()
    options.boughfs = os.path.abspath(options.boughfs)
    if not os.access(options.boughfs, os.X_OK):
        parser.error(f"{options.boughfs} is no program")
    if options.release:
        os.environ["BOUGH_RELEASE"] = "1"

    if options.one:
        return run_one(options.one, options.groups[0], options.boughfs, options.long)

    selected = {}
    for group in options.groups or GROUPS:
        for name, cls in cases_of(group).items():
            pattern = options.pattern
            if pattern in name or fnmatch.fnmatch(name, pattern):
                selected[name] = cls
    if not selected:
        print(f"no case matches {options.pattern!r}")
        return 1
    if options.list:
        print("\n".join(selected))
        return 0

    if os.geteuid() == 0:
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
        sandbox.show_control()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    end = time.monotonic() + options.budget
    verdicts = {"ok": 0, "FAIL": 0, "CANNOT RUN": 0}
    for name, cls in selected.items():
        argv = [sys.executable, "-B", os.path.abspath(__file__), "--boughfs", options.boughfs,
                *(["--long"] if options.long else []), "--one", name]
        deadline = min(cls.long_deadline if options.long else cls.deadline, end - time.monotonic())
        if deadline > 0:
            outcome = supervise.run_case(argv, deadline, dict(os.environ))
        else:
            outcome = supervise.Outcome("FAIL", 0, f"no time is left of {options.budget} s")
        verdicts[outcome.verdict] += 1
        print(f"{outcome.verdict:10} {outcome.seconds:6.1f} s  {name}", flush=True)
        if outcome.verdict != "ok":
            print("\n".join("    " + line for line in outcome.text.splitlines()), flush=True)
    print(f"{verdicts['ok']} passed, {verdicts['FAIL']} failed, {verdicts['CANNOT RUN']} could not run")
    if verdicts["CANNOT RUN"]:
        print("*** NOT TESTED: the cases above that could not run (they need root, /dev/fuse and loop devices)")
    if verdicts["FAIL"] or (verdicts["CANNOT RUN"] and os.environ.get("CI") == "true"):
        return 1
    return 0 if verdicts["ok"] else supervise.CANNOT_RUN


if __name__ == "__main__":
    sys.exit(main())
