"""What an ordinary user with and without a supplementary group may do in a pool that root mounted, and
to whom new files belong: as natively."""

import json
import os
from pathlib import Path

import calls
import kernel
import modes
from parity import Comparison

# Kernels before 6.3 do not say to which supplementary group a creator belongs (CREATE_SUPP_GROUP): a new
# file that is to be set-gid to that group loses the bit, which gives nobody more rights.
EXCEPTIONS_WITHOUT_THE_GROUP = {
    "rights: setgid: made setgid: state": ("*", "*"),
    "tree: setgid/made-sgid": ("*", "*"),
}


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
        without = as_user.groups and kernel.RELEASE < (6, 3)
        if without:
            print("not compared on this kernel:", *EXCEPTIONS_WITHOUT_THE_GROUP)
        self.compare(*results, *([EXCEPTIONS_WITHOUT_THE_GROUP] if without else []))
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

    def test_names_swapped_under_an_open_directory(self):
        """A user exchanges his directory with one that he may not enter, over and over, while he works
        in it through a descriptor: he reaches nothing of the other."""
        user = modes.User()
        branches = [self.file_system("tmpfs", f"disk{number}") for number in range(3)]
        for top in branches:
            os.chmod(top, 0o755)
        for number, branch in enumerate(branches):
            os.makedirs(os.path.join(branch, "home", "mine"))
            os.makedirs(os.path.join(branch, "home", "private"), 0o700)
            for path in ("home", "home/mine"):
                os.chown(os.path.join(branch, path), user.uid, user.uid)
            for name in range(60):
                Path(branch, "home", "private", f"kept{number}-{name}").write_text("kept\n")
        pool = self.pool(branches, modes.Root(), ["minfreespace=1M"])
        script = ("import ctypes, os, sys, time\n"
                  "libc = ctypes.CDLL(None)\n"
                  "here = os.open('mine', os.O_RDONLY)\n"
                  "end = time.monotonic() + 3\n"
                  "if os.fork() == 0:\n"
                  "    while time.monotonic() < end:\n"
                  "        libc.renameat2(-100, b'mine', -100, b'private', 2)\n"
                  "    os._exit(0)\n"
                  "reached, count = 0, 0\n"
                  "while time.monotonic() < end:\n"
                  "    count += 1\n"
                  "    for number in range(3):\n"
                  "        try:\n"
                  "            os.unlink(f'kept{number}-{count % 60}', dir_fd=here); reached += 1\n"
                  "        except OSError: pass\n"
                  "    try: os.close(os.open(f'new{count}', os.O_CREAT | os.O_EXCL | os.O_WRONLY, dir_fd=here))\n"
                  "    except OSError: pass\n"
                  "os.wait()\n"
                  "print(reached)\n")
        said = self.command(user.wrap(["sh", "-c", 'cd "$0" && exec python3 -c "$1"',
                                       os.path.join(pool.mountpoint, "home"), script]))
        self.assertEqual(int(said.split()[-1]), 0, "files of the other directory were removed")
        for branch in branches:
            for name in ("mine", "private"):
                folder = Path(branch, "home", name)
                inside = {path.name.startswith("kept") for path in folder.iterdir()}
                self.assertLessEqual(len(inside), 1, f"{folder} holds files of both")
        self.assertEqual(pool.unmount(), 0, pool.said())
