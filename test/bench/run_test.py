#!/usr/bin/env python3
"""scripts/bench in its smallest form: every row has a figure of every system, and nothing is left behind.
No time is judged.

    run_test.py TOOLS BOUGHFS
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TOOLS, BOUGHFS = sys.argv[1:3]
SKIPPED = 77


def mounts():
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:
        return {line.split()[4] for line in lines}


class BenchTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="bough-bench-test-")
        self.addCleanup(shutil.rmtree, self.folder)

    def bench(self, *arguments):
        result = os.path.join(self.folder, "result.json")
        environment = dict(os.environ, TMPDIR=self.folder)
        done = subprocess.run([sys.executable, "-B", os.path.join(HERE, "bench.py"), "--tools", TOOLS, "--tiny",
                               "--json", result, *arguments], env=environment, capture_output=True, text=True,
                              timeout=240, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        # its folder is gone, and so is what was mounted in it
        self.assertEqual(sorted(os.listdir(self.folder)), ["result.json", "result.txt"])
        self.assertEqual([mount for mount in mounts() if mount.startswith(self.folder)], [])
        with open(result, encoding="utf-8") as file:
            return json.load(file), done.stdout

    def test_every_row(self):
        found, printed = self.bench("--boughfs", f"boughfs={BOUGHFS}", "--processor")
        rows = {(row["row"], row["branches"]): row for row in found["rows"]}
        for operation in ("create", "stat", "missing", "open", "chmod", "rename", "unlink", "mkdir", "rmdir",
                          "readdir", "list"):
            for branches in (1, 2):
                medians = rows[operation, branches]["medians"]
                self.assertGreater(min(medians[name] for name in found["systems"]), 0, operation)
                self.assertIn(f"\n       {branches}  {operation} ", printed)
        for step in ("untar", "find", "grep -r", "git add", "git commit", "git status", "rm -rf"):
            self.assertGreater(rows[step, 1]["ratios"]["boughfs/native"], 0)
        self.assertGreater(rows["create: processor", 1]["medians"]["boughfs"], 0)
        self.assertIsNone(rows["create: processor", 1]["medians"]["native"])
        self.assertGreater(rows["RSS idle", 1]["medians"]["boughfs"], 100)
        # it counts whole chunks of nodes, of which these may fill none
        self.assertGreaterEqual(rows["counted a node", 1]["medians"]["boughfs"], 0)
        if shutil.which("fio"):
            self.assertGreater(rows["fio random read 4k", 1]["medians"]["boughfs"], 0)

    def test_two_builds(self):
        found, _ = self.bench("--boughfs", f"before={BOUGHFS}", "--boughfs", f"after={BOUGHFS},threads=4",
                              "--rows", "stat", "--systems", "before,after", "--branches", "1", "--rounds", "2")
        self.assertEqual([row["row"] for row in found["rows"]], ["stat"])
        self.assertEqual(len(found["rows"][0]["rounds"]["after"]), 2)
        self.assertGreater(found["rows"][0]["ratios"]["after/before"], 0)


if __name__ == "__main__":
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        print("needs root and /dev/fuse")
        sys.exit(SKIPPED)
    unittest.main(argv=sys.argv[:1])
