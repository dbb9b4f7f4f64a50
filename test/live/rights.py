"""What an ordinary user with and without a supplementary group may do in a pool that root mounted, and
to whom new files belong: as natively."""

import json
import os

import calls
import modes
from parity import Comparison


class Rights(Comparison):
    def both(self, count, as_user):
        places = [self.file_system("ext4", "native")]
        branches = [self.file_system("ext4", f"disk{number}") for number in range(count)]
        for top in places + branches:
            os.chmod(top, 0o755)
        pool = self.pool(branches, modes.Root(), ["minfreespace=1M"])
        places.append(pool.mountpoint)
        results = []
        for place in places:
            self.command(self.script("calls.py", place, "prepare_rights"))
            results.append(json.loads(self.command(as_user.wrap(self.script("calls.py", place, "rights")), timeout=80)))
            # what the user was not allowed to see
            inside = json.loads(self.command(self.script("tree.py", "--without=mtime", place)))
            inside.pop(".")
            results[-1] += [[f"tree: {path}", what] for path, what in sorted(inside.items())]
        self.compare(*results)
        counters = pool.settle()
        self.assertEqual((counters["nodes"], counters["handles"]), (1, 0), counters)
        self.assertEqual(pool.unmount(), 0, pool.said())

    def test_one_branch(self):
        self.both(1, modes.User())

    def test_one_branch_with_a_group(self):
        self.both(1, modes.User([calls.GROUP]))

    def test_three_branches(self):
        self.both(3, modes.User())

    def test_three_branches_with_a_group(self):
        self.both(3, modes.User([calls.GROUP]))
