"""Directories of every size that are listed while others change them: what is there all the time is seen
once, nothing is seen twice, and a position means the same later and to another descriptor."""

import contextlib
import os
import subprocess
import time

import kernel
import modes
import sandbox

CHANGERS = 2


class Listings(sandbox.LiveCase):
    tools = ("mkfs.ext4", "mkfs.xfs", "mkfs.btrfs")
    deadline = 120
    long_deadline = 600

    @contextlib.contextmanager
    def changing(self, directory):
        changers = [subprocess.Popen(self.script("list_changer.py", directory, str(who)), stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                    for who in range(CHANGERS)]
        try:
            yield
        finally:
            said = [changer.communicate(input="end\n", timeout=60)[0] for changer in changers]
        for changer, text in zip(changers, said):
            self.assertEqual(changer.returncode, 0, text)
            self.assertGreater(int(text), 10, "hardly anything was changed meanwhile")

    def rest_of(self, handle):
        names = []
        while (entry := handle.read()) is not None:
            names.append(entry[0])
        return names

    def each_once(self, names, staying, what):
        """`names`: all that one pass over the directory gave."""
        found = set(names)
        self.assertEqual(len(found), len(names), f"{what}: a name came twice")
        self.assertEqual(staying - found, set(), f"{what}: a name is missing that was there all the time")
        foreign = {name for name in found - staying if not name.startswith(b"go-") and name not in (b".", b"..")}
        self.assertEqual(foreign, set(), what)

    def staying_after(self, handle, position, staying):
        handle.seek(position)
        names = self.rest_of(handle)
        self.assertEqual(len(set(names)), len(names), "a name came twice")
        return set(names) & staying

    def positions(self, directory, staying):
        """From the positions of one pass, that pass's handle and another one continue in the same way."""
        count = len(staying)
        marks = sorted({count * part // 7 for part in range(8)})
        handle = kernel.Directory(directory)
        seen, at = [], {}
        while True:
            if len(seen) in marks:
                at[len(seen)] = handle.tell()
            entry = handle.read()
            if entry is None:
                break
            seen.append(entry[0])
        self.each_once(seen, staying, "a pass with telldir")
        for index in sorted(at, reverse=True):
            expected = set(seen[index:]) & staying
            self.assertEqual(self.staying_after(handle, at[index], staying), expected, f"seekdir to entry {index}")
            with contextlib.closing(kernel.Directory(directory)) as other:
                self.assertEqual(self.staying_after(other, at[index], staying), expected,
                                 f"another descriptor from entry {index}")
        handle.rewind()
        self.each_once(self.rest_of(handle), staying, "after rewinddir")
        handle.close()

    def directory_of(self, count):
        branches = self.three_branches()
        names = [f"stay-{number:07d}" for number in range(count)]
        for branch in branches:
            os.mkdir(os.path.join(branch, "d"))
        for number, name in enumerate(names):
            os.close(os.open(os.path.join(branches[number % 3], "d", name), os.O_CREAT | os.O_WRONLY))
            if number % 10 == 0:
                os.close(os.open(os.path.join(branches[(number + 1) % 3], "d", name), os.O_CREAT | os.O_WRONLY))
        pool = self.pool(branches, modes.Root(), ["minfreespace=1M"])
        directory = os.path.join(pool.mountpoint, "d")
        staying = {name.encode() for name in names}
        with self.changing(directory):
            end = time.monotonic() + (20 if self.long_form else 3)
            passes = 0
            while passes < 2 or time.monotonic() < end:
                with contextlib.closing(kernel.Directory(directory)) as handle:
                    self.each_once(self.rest_of(handle), staying, f"pass {passes}")
                passes += 1
            self.positions(directory, staying)
        self.assertEqual({name.encode() for name in os.listdir(directory)}, staying)
        counters = pool.settle()
        self.assertEqual((counters["nodes"], counters["handles"]), (1, 0), counters)
        self.assertEqual(pool.unmount(), 0, pool.said())

    def test_one_name(self):
        self.directory_of(1)

    def test_thousand_names(self):
        self.directory_of(1000)

    def test_very_many_names(self):
        self.directory_of(1_000_000 if self.long_form else 100_000)


class KeptListings(sandbox.LiveCase):
    """cache.readdir: the kernel serves listings that it has, and never one that is not right any more."""
    tools = ("mkfs.ext4", "mkfs.xfs", "mkfs.btrfs")
    deadline = 120
    settling = 2.7
    attributes = 1.0

    def asked(self, pool):
        counters = pool.counters()
        return counters.get("requests_readdir", 0) + counters.get("requests_readdirplus", 0)

    def kept(self, pool, directory, expected):
        """Lists until the kernel has it; then it asks no more. (Whoever drops the machine's caches
        meanwhile drops this one.)"""
        time.sleep(self.settling)

        def from_kernel():
            before = self.asked(pool)
            self.assertEqual(set(os.listdir(directory)), expected)
            return self.asked(pool) == before
        self.eventually(from_kernel, 10, "the kernel has the listing")

    def listing(self, branches):
        for branch in branches:
            os.mkdir(os.path.join(branch, "d"))
        names = {f"name-{number}" for number in range(300)}
        for number, name in enumerate(sorted(names)):
            os.close(os.open(os.path.join(branches[number % len(branches)], "d", name), os.O_CREAT))
        pool = self.pool(branches, modes.Root(), ["minfreespace=1M", "cache.readdir=true"])
        directory = os.path.join(pool.mountpoint, "d")
        self.kept(pool, directory, names)
        # through the pool: at once
        os.close(os.open(os.path.join(directory, "made"), os.O_CREAT))
        self.assertEqual(set(os.listdir(directory)), names | {"made"})
        self.kept(pool, directory, names | {"made"})
        os.unlink(os.path.join(directory, "made"))
        os.rename(os.path.join(directory, "name-7"), os.path.join(directory, "renamed"))
        names = names - {"name-7"} | {"renamed"}
        self.assertEqual(set(os.listdir(directory)), names)
        self.kept(pool, directory, names)
        # behind it, on the branch whose times are shown last, if ever: when attributes have expired
        hidden = os.path.join(branches[-1], "d", "behind")
        os.close(os.open(hidden, os.O_CREAT))
        time.sleep(self.attributes + 0.1)
        self.assertEqual(set(os.listdir(directory)), names | {"behind"})
        self.kept(pool, directory, names | {"behind"})
        os.unlink(hidden)
        time.sleep(self.attributes + 0.1)
        self.assertEqual(set(os.listdir(directory)), names)
        self.assertEqual(pool.unmount(), 0, pool.said())

    def test_one_branch(self):
        self.listing([self.file_system("ext4", "disk")])

    def test_three_branches(self):
        self.listing(self.three_branches())
