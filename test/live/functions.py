"""What is set for single functions of the pool, as programs see it."""

import os
from pathlib import Path

import modes
import sandbox


class Functions(sandbox.LiveCase):
    deadline = 60

    def start(self, options, branches=2):
        self.branches = [self.file_system("tmpfs", f"disk{number}", megabytes=32) for number in range(branches)]
        self.made_pool = self.pool(self.branches, modes.Root(), ["minfreespace=1M", *options])
        self.top = self.made_pool.mountpoint
        return self.made_pool

    def key(self, key):
        return os.getxattr(os.path.join(self.top, ".boughfs"), "user.boughfs." + key).decode()

    def set(self, key, value):
        os.setxattr(os.path.join(self.top, ".boughfs"), "user.boughfs." + key, value.encode())

    def copies(self, name, texts):
        """The first is the oldest."""
        for number, (branch, text) in enumerate(zip(self.branches, texts)):
            Path(branch, name).write_text(text)
            os.utime(os.path.join(branch, name), (1000 + number, 1000 + number))

    # --- func.readdir
    def listers(self):
        """The threads that open and read directories."""
        names = []
        for task in os.listdir(f"/proc/{self.made_pool.pid}/task"):
            try:
                names.append(Path(f"/proc/{self.made_pool.pid}/task/{task}/comm").read_text().strip())
            except OSError:
                pass
        return names.count("boughfs-list")

    def test_readdir(self):
        self.start(["func.readdir=cor:3", "cache.attr=0", "cache.entry=0"], branches=5)
        for number, branch in enumerate(self.branches):
            os.mkdir(os.path.join(branch, "d"))
            for each in range(200):
                Path(branch, "d", f"f{each * (number + 1)}").touch()
        path = os.path.join(self.top, "d")
        expected = None
        for kind in ("cor:3", "cosr:2:1", "seq", "cosr", "cor:-1"):
            self.set("func.readdir", kind)
            self.assertEqual(self.key("func.readdir"), kind)
            for _ in range(20):
                listed = os.listdir(path)
                expected = expected or listed
                self.assertEqual(listed, expected)
                self.assertLessEqual(self.listers(), 8)
        self.assertEqual(set(expected), {f"f{each * number}" for each in range(200) for number in range(1, 6)})
        self.set("func.readdir", "cor:3")
        os.listdir(path)
        self.assertGreater(self.listers(), 0)
        self.eventually(lambda: self.listers() == 0, 20, "the threads stay in the quiet")
        self.assertEqual(os.listdir(path), expected)
        self.assertEqual(self.made_pool.unmount(), 0, self.made_pool.said())

    # --- inodecalc
    def numbers(self):
        """{path: number}, and that every way to ask for one agrees."""
        found = {}
        for folder, _, _ in os.walk(self.top):
            # ls -i takes the number from the listing where it needs nothing else, find from stat
            listed = dict(line.split(None, 1)[::-1] for line in self.command(
                ["ls", "-1iaU", "--color=never", folder]).splitlines())
            for name, number in listed.items():
                path = os.path.join(folder, name)
                self.assertEqual(int(number), os.lstat(path).st_ino, path)
                self.assertEqual(self.command(["stat", "-c", "%i", path]).strip(), number, path)
                if name not in (".", ".."):
                    found[os.path.relpath(path, self.top)] = int(number)
        return found

    def test_inodecalc(self):
        kinds = ["passthrough", "path-hash", "path-hash32", "devino-hash", "devino-hash32", "hybrid-hash",
                 "hybrid-hash32"]
        self.start(["inodecalc=path-hash", "cache.attr=0", "cache.entry=0"])
        for branch in self.branches:
            os.makedirs(os.path.join(branch, "d/e"))
        Path(self.branches[1], "d/f").write_text("f")
        Path(self.branches[0], "d/linked").write_text("l")
        os.link(os.path.join(self.branches[0], "d/linked"), os.path.join(self.branches[0], "d/e/again"))
        seen = {}
        for kind in kinds:
            self.set("inodecalc", kind)
            seen[kind] = self.numbers()
            self.assertEqual(len(seen[kind]), 5)
            self.assertEqual(seen[kind]["d/linked"], seen[kind]["d/e/again"], kind)
            if kind.endswith("32"):
                self.assertLess(max(seen[kind].values()), 2**32)
        self.assertEqual(seen["passthrough"]["d/f"], os.stat(os.path.join(self.branches[1], "d/f")).st_ino)
        self.assertEqual(seen["hybrid-hash"]["d"], seen["path-hash"]["d"])
        self.assertEqual(seen["hybrid-hash"]["d/f"], seen["devino-hash"]["d/f"])
        self.assertEqual(self.made_pool.unmount(), 0, self.made_pool.said())
        self.made_pool = self.pool(self.branches[::-1], modes.Root(), ["minfreespace=1M", "inodecalc=devino-hash32"],
                                   name="again")
        self.top = self.made_pool.mountpoint
        self.assertEqual(self.numbers()["d/f"], seen["devino-hash32"]["d/f"])
        self.assertEqual(self.made_pool.unmount(), 0, self.made_pool.said())

    # --- func.*
    def test_policies(self):
        self.start(["func.open=newest", "category.search=newest", "func.getattr=ff", "func.mkdir=all",
                    "category.action=all", "func.unlink=epff", "cache.entry=0", "cache.attr=0"])
        self.assertEqual(self.key("category.search"), "ff,newest")
        self.assertEqual(self.key("category.create"), "all,pfrd")
        self.assertEqual(self.key("category.action"), "all,epff")
        os.mkdir(os.path.join(self.top, "both"))
        for branch in self.branches:
            self.assertTrue(os.path.isdir(os.path.join(branch, "both")))

        self.copies("f", ["old", "the newest"])
        path = os.path.join(self.top, "f")
        self.assertEqual(os.stat(path).st_size, len("the newest"))
        self.assertEqual(Path(path).read_text(), "the newest")
        with open(path, "a", encoding="ascii") as file:
            file.write(", longer")
            self.assertEqual(os.fstat(file.fileno()).st_size, len("the newest"))
        self.assertEqual(Path(self.branches[1], "f").read_text(), "the newest, longer")
        self.assertEqual(Path(self.branches[0], "f").read_text(), "old")

        with open(path, "r+", encoding="ascii") as kept:
            self.set("func.open", "ff")
            self.assertEqual(Path(path).read_text(), "old")
            self.assertEqual(kept.read(), "the newest, longer")
        self.set("category.search", "newest")
        self.assertEqual(self.key("func.getattr"), "newest")
        self.assertEqual(self.key("category.search"), "newest")
        self.assertEqual(self.made_pool.unmount(), 0, self.made_pool.said())
