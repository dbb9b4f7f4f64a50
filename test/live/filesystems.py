"""The calls of calls.py on every kind of branch, each against the same kind natively; and on three kinds
at once, where a pool may answer as any of the three does."""

import itertools
import json
import subprocess

import modes
import parity

# kind of file system → what may differ, as in parity.py, which has ext4
EXCEPTIONS = {
    "xfs": {
        # both are right (POSIX, rename); that a directory is not empty the pool finds out by itself
        "rename: rename empty → full": ("EEXIST", "ENOTEMPTY"),
        # both are right (POSIX, truncate); the pool sets sizes by descriptor, and ftruncate(2) moves times
        "times: truncate same size moves ?time of f": (False, True),
    },
    "btrfs": {
        "times: truncate same size moves ?time of f": (False, True),
    },
    "tmpfs": {},
}


class FileSystems(parity.Comparison):
    tools = ("mkfs.ext4", "mkfs.xfs", "mkfs.btrfs")
    deadline = 120

    def at_once(self, *directories):
        """The outcomes of the whole sequence in each of the directories."""
        started = [subprocess.Popen(self.script("calls.py", directory), cwd="/", stdout=subprocess.PIPE)
                   for directory in directories]
        said = [process.communicate(timeout=100)[0] for process in started]
        self.assertEqual([process.returncode for process in started], [0] * len(started))
        outcomes = [json.loads(text) for text in said]
        for steps in outcomes:
            self.assertEqual([outcome for step, outcome in steps if step.endswith(": broke off")], [])
        return outcomes

    def whole_afterwards(self, pool):
        counters = pool.settle()
        self.assertEqual((counters["nodes"], counters["handles"]), (1, 0), counters)
        self.assertEqual(pool.unmount(), 0, pool.said())

    def one_kind(self, kind):
        native = self.file_system(kind, "native")
        pool = self.pool([self.file_system(kind, "disk")], modes.Root(), ["minfreespace=1M"])
        expected, seen = self.at_once(native, pool.mountpoint)
        self.compare(expected, seen, EXCEPTIONS[kind], parity.EXCEPTIONS_OF_PASSTHROUGH)
        self.whole_afterwards(pool)

    def test_three_kinds(self):
        natives = [self.file_system(kind, f"native-{kind}") for kind in ("ext4", "xfs", "btrfs")]
        pool = self.pool(self.three_branches(), modes.Root(), ["minfreespace=1M"])
        *expected, seen = self.at_once(*natives, pool.mountpoint)
        # some steps are named by what an earlier one gave, so that they are matched by name
        outcomes = {}
        for step, outcome in itertools.chain(*expected):
            outcomes.setdefault(step, []).append(outcome)
        self.assertLessEqual({step for step, _ in seen}, set(outcomes))
        nearest = [[step, outcome if outcome in outcomes[step] else outcomes[step][0]] for step, outcome in seen]
        self.compare(nearest, seen, parity.EXCEPTIONS_OF_SEVERAL, parity.EXCEPTIONS_OF_PASSTHROUGH)
        self.whole_afterwards(pool)


def _case(kind):
    def test(self):
        self.one_kind(kind)
    return test


for _kind in EXCEPTIONS:
    setattr(FileSystems, f"test_{_kind}", _case(_kind))
