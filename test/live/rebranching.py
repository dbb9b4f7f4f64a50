"""Branches that are added, taken away, reordered and changed in mode while the pool is in use."""

import errno
import json
import mmap
import os
import random
import subprocess
import time
from pathlib import Path

import modes
import rebranch_worker
import sandbox

WORKERS = 4


class Rebranching(sandbox.LiveCase):
    tools = ("mkfs.ext4", "mkfs.xfs")
    deadline = 90

    def start(self, *kinds, options=()):
        self.branches = [self.file_system(kind, f"disk{number}", megabytes=400) for number, kind in enumerate(kinds)]
        self.disks = [os.path.dirname(branch) for branch in self.branches]
        self.served = self.pool(self.branches, modes.Root(), ["minfreespace=1M", *options])
        self.top = self.served.mountpoint

    def set(self, value):
        os.setxattr(os.path.join(self.top, ".boughfs"), "user.boughfs.branches", value.encode())

    def get(self):
        return os.getxattr(os.path.join(self.top, ".boughfs"), "user.boughfs.branches").decode()

    def refused(self, code, call, *arguments):
        with self.assertRaises(OSError) as caught:
            call(*arguments)
        self.assertEqual(errno.errorcode[caught.exception.errno], errno.errorcode[code])

    def unmounts(self, disk):
        return subprocess.run(["umount", disk], capture_output=True, check=False).returncode == 0

    def mount_again(self, disk):
        self.command(["mount", "-o", "loop,nosuid,nodev", disk + ".img", disk])

    def ends_well(self):
        self.assertIsNone(self.served.process.poll(), self.served.said())
        counters = self.served.settle()
        self.assertEqual((counters["nodes"], counters["handles"]), (1, 0), counters)
        for name in ("overdrawn", "handler_exceptions", "malformed", "abandoned_replies", "device_errors"):
            self.assertEqual(counters.get(name, 0), 0, f"{name}: {counters}")
        self.assertEqual(self.served.unmount(), 0, self.served.said())

    # --- while many work in it
    def test_busy(self):
        """No wrong error and no lost byte; a disk is free as soon as its branch has gone."""
        self.start("ext4", "ext4", "xfs")
        stays, *others = self.branches
        constants = [f"fixed/{number}" for number in range(20)]
        os.mkdir(os.path.join(stays, "fixed"))
        for name in constants:
            Path(stays, name).write_bytes(name.encode() * 1000)
        for who in "abcd"[:WORKERS]:
            for branch in self.branches:
                os.mkdir(os.path.join(branch, f"d{who}"))
        workers = [subprocess.Popen(self.script("rebranch_worker.py", self.top, who, *constants), cwd="/",
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                   for who in "abcd"[:WORKERS]]
        changes = 0
        shuffled = random.Random(4)
        end = time.monotonic() + (120 if self.long_form else 8)
        while time.monotonic() < end and all(worker.poll() is None for worker in workers):
            present = [stays, *shuffled.sample(others, shuffled.randrange(len(others) + 1))]
            shuffled.shuffle(present)
            modes_now = {branch: "RW" if branch == stays else shuffled.choice(["RW", "NC"]) for branch in present}
            self.set("=" + ":".join(f"{branch}={mode}" for branch, mode in modes_now.items()))
            self.assertEqual(self.get(), ":".join(f"{branch}={mode}" for branch, mode in modes_now.items()))
            absent = next((branch for branch in others if branch not in present), None)
            if absent is not None and changes % 4 == 0:
                disk = os.path.dirname(absent)
                self.eventually(lambda disk=disk: self.unmounts(disk), 5, f"{disk} is free")
                self.mount_again(disk)
            for branch in others:
                if branch not in present:
                    self.set(shuffled.choice(["+", "+>", "+<"]) + branch + "=RW")
            time.sleep(shuffled.random() * 0.05)
            changes += 1
        self.set("=" + ":".join(self.branches))
        said = [worker.communicate(timeout=60)[0] for worker in workers]
        self.assertEqual([worker.returncode for worker in workers], [0] * WORKERS, self.served.said())
        told = [json.loads(text) for text in said]
        self.assertGreater(changes, 20)
        self.assertGreater(min(each["rounds"] for each in told), 20, told)
        on_others = 0
        for who, each in zip("abcd", told):
            for number, name in each["kept"]:
                # an answer that failed for the name says nothing of whether the branch did it in time
                names = {name, name.removesuffix("-kept"), name.removesuffix("-kept") + "-kept"}
                found = [os.path.join(branch, each) for branch in self.branches for each in sorted(names)
                         if os.path.exists(os.path.join(branch, each))]
                self.assertEqual(len(found), 1, f"{name}: {found}")
                self.assertEqual(Path(found[0]).read_bytes(), rebranch_worker.content(who, number), found)
                self.assertTrue(os.path.exists(os.path.join(self.top, os.path.relpath(
                    found[0], next(branch for branch in self.branches if found[0].startswith(branch + "/"))))))
                on_others += not found[0].startswith(stays + "/")
        self.assertGreater(on_others, 0, "nothing was ever made on the branches that came and went")
        self.ends_well()

    # --- one at a time
    def test_open_files(self):
        """They work until they are closed; then, and not before, the disk can be unmounted."""
        self.start("ext4", "ext4")
        gone = self.branches[1]
        for name in ("file", "mapped", "unlinked", "untouched"):
            Path(gone, name).write_bytes(b"x" * 10_000)
        os.makedirs(os.path.join(gone, "there/removed"))
        files = [os.open(os.path.join(self.top, name), os.O_RDWR) for name in ("file", "mapped", "unlinked")]
        mapping = mmap.mmap(files[1], 10_000)
        listing = os.scandir(self.top)
        next(listing)
        inside = subprocess.Popen(["cat"], cwd=os.path.join(self.top, "there/removed"), stdin=subprocess.PIPE)
        os.unlink(os.path.join(self.top, "unlinked"))
        os.rmdir(os.path.join(self.top, "there/removed"))
        self.set("-*disk1*")
        self.assertEqual(os.listdir(self.top), [])
        for name in ("file", "untouched", "there"):
            self.refused(errno.ENOENT, os.stat, os.path.join(self.top, name))
        for file in files:
            self.assertEqual(os.fstat(file).st_size, 10_000)
            self.assertEqual(os.pread(file, 10, 0), b"x" * 10)
            self.assertEqual(os.pwrite(file, b"written", 5_000), 7)
            os.ftruncate(file, 9_000)
            os.fchmod(file, 0o604)
            os.utime(file, (5, 5))
            os.fsync(file)
            self.assertEqual(os.pread(file, 7, 5_000), b"written")
            self.assertEqual(os.fstat(file).st_mode & 0o777, 0o604)
        mapping[0:6] = b"mapped"
        mapping.flush()
        self.assertEqual(Path(gone, "mapped").read_bytes()[:6], b"mapped")
        self.assertFalse(self.unmounts(self.disks[1]))
        self.refused(errno.ENOENT, os.mkdir, os.path.join(self.top, "there/new"))
        mapping.close()
        for file in files:
            self.assertFalse(self.unmounts(self.disks[1]))
            os.close(file)
        inside.stdin.close()
        inside.wait()
        self.eventually(lambda: self.unmounts(self.disks[1]), 3, "the disk is free")
        listing.close()
        self.mount_again(self.disks[1])
        self.set("+" + gone)
        self.assertEqual(Path(self.top, "file").read_bytes()[5_000:5_007], b"written")
        self.ends_well()

    def test_caches_that_keep_for_long(self):
        """What came is there and what went is gone at once, whatever the kernel was told to keep."""
        self.start("ext4", "ext4", options=["cache.entry=3600", "cache.attr=3600", "cache.readdir=true"])
        a, b = self.branches
        for branch in (a, b):
            os.makedirs(os.path.join(branch, "dir/deep"))
            Path(branch, "dir/deep/both").write_text(branch)
            Path(branch, "dir", os.path.basename(os.path.dirname(branch))).write_text("x")
        inside = os.path.join(self.top, "dir/deep")
        cwd = os.open(inside, os.O_RDONLY)

        def seen():
            return sorted(os.listdir(os.path.join(self.top, "dir"))), Path(inside, "both").read_text()
        for _ in range(3):
            self.assertEqual(seen(), (["deep", "disk0", "disk1"], a))
            self.set(f"={b}:{a}")
            self.assertEqual(seen(), (["deep", "disk0", "disk1"], b))
            self.set("-" + b)
            self.assertEqual(seen(), (["deep", "disk0"], a))
            self.refused(errno.ENOENT, os.stat, os.path.join(self.top, "dir/disk1"))
            self.assertEqual(os.stat(inside).st_ino, os.fstat(cwd).st_ino)
            self.assertEqual(os.readlink(f"/proc/self/fd/{cwd}"), inside)
            self.set("+" + b)
            self.assertEqual(os.stat(os.path.join(self.top, "dir/disk1")).st_size, 1)
        os.close(cwd)
        self.ends_well()

    def test_idle(self):
        """Nobody has anything open: the disk is free at once."""
        self.start("ext4", "ext4", "xfs")
        self.served.shell("mkdir d; for i in $(seq 1 40); do echo $i > d/$i; cat d/$i; done; ls -lR > /dev/null")
        time.sleep(0.3)
        self.set("-<")
        self.set("->")
        for number in (0, 2):
            self.assertTrue(self.unmounts(self.disks[number]), f"disk {number} is busy")
            self.mount_again(self.disks[number])
        self.set(f"+{self.branches[0]}:{self.branches[2]}")
        self.served.shell("for i in $(seq 1 40); do test $(cat d/$i) = $i; done")
        self.ends_well()

    def test_refused(self):
        """A branch in the pool, around it, missing, there already: EINVAL, a line in the log, nothing changed."""
        self.start("tmpfs", "tmpfs")
        bound = self.directory("bound")
        self.command(["mount", "--bind", self.top, bound])
        link = self.path("link")
        os.symlink(self.top, link)
        os.mkdir(os.path.join(self.top, "sub"))
        before = self.get()
        for value in ("", "=", "+", "+=" + self.top, "-*", "--", "+relative", "+" + self.top, "+" + self.top + "/sub",
                      "+" + bound + "/sub", "+" + link, "+" + self.folder, "+/", "+/no/such", "+/etc/passwd",
                      "+" + self.branches[0], "+" + self.disks[0], self.branches[0] + "=XX",
                      ":".join(self.branches + self.branches[:1])):
            self.refused(errno.EINVAL, self.set, value)
            self.assertEqual(self.get(), before, value)
        said = Path(self.served.log).read_text()
        for words in ("in the pool itself", "would contain itself", "does not exist", "is not a directory",
                      "in the pool already", "without a branch", "absolute", "lies inside the other"):
            self.assertIn(words, said)
        self.assertIn(self.folder, self.command([self.boughfs, "ctl", self.top, "get", "srcmounts"]))
        self.command([self.boughfs, "ctl", self.top, "set", "branches", "->"])
        self.assertEqual(self.get(), self.branches[0] + "=RW")
        self.command(["umount", bound])
        self.ends_well()

    def test_one_thread(self):
        """Patterns that meet the pool's own mount point wait for nobody."""
        self.start("tmpfs", "tmpfs", options=["threads=1"])
        self.directory("more/disk")
        os.symlink(self.top, self.path("more/pool"))
        self.set("+" + self.path("more/*") + "=NC,3M")
        self.assertTrue(self.get().endswith(self.path("more/disk") + "=NC,3M"), self.get())
        self.ends_well()


class Start(sandbox.LiveCase):
    tools = ("mkfs.ext4",)
    deadline = 60

    def test_waits_for_disks(self):
        """branches-mount-timeout runs mount(8) for what is missing, waits for the rest, and then goes on or not."""
        disk = os.path.dirname(self.file_system("ext4", "disk", megabytes=30))
        other = self.directory("other")
        self.command(["umount", disk])
        fstab = self.path("fstab")
        Path(fstab).write_text(f"{disk}.img {disk} ext4 loop,noauto 0 0\n")
        self.command(["mount", "--bind", fstab, "/etc/fstab"])
        self.made.append("/etc/fstab")
        self.directory("refused")
        begun = time.monotonic()
        said = self.command([self.boughfs, "-o", "branches-mount-timeout=1,branches-mount-timeout-fail=true",
                             f"{disk}:{other}", self.path("refused")], good=(32,))
        self.assertGreater(time.monotonic() - begun, 0.9)
        self.assertIn(f"nothing is mounted at {other} ", said)
        self.assertTrue(os.path.ismount(disk))
        self.assertFalse(os.path.ismount(self.path("refused")))
        self.command(["umount", disk])
        os.setxattr(other, "user.mergerfs.branch", b"")
        begun = time.monotonic()
        pool = self.pool([disk, other], modes.Root(), ["branches-mount-timeout=20", "minfreespace=0"])
        self.assertLess(time.monotonic() - begun, 10)
        self.assertTrue(os.path.ismount(disk))
        Path(pool.mountpoint, "file").write_text("x")
        self.assertEqual(pool.unmount(), 0, pool.said())
        os.removexattr(other, "user.mergerfs.branch")
        pool = self.pool([disk, other], modes.Root(), ["branches-mount-timeout=1"], "warned")
        self.assertIn(f"nothing is mounted at {other} ", Path(pool.log).read_text())
        self.assertEqual(pool.unmount(), 0, pool.said())
