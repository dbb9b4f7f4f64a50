"""Branches that are full, read-only, or gone."""

import errno
import os
import subprocess
import time
from pathlib import Path

import modes
import processes
import sandbox


class Branches(sandbox.LiveCase):
    tools = ("mkfs.ext4",)

    def where(self, pool_branches, name):
        """The branches that have it."""
        return [number for number, branch in enumerate(pool_branches) if os.path.lexists(os.path.join(branch, name))]

    def refused(self, code, call, *arguments):
        with self.assertRaises(OSError) as caught:
            call(*arguments)
        self.assertEqual(errno.errorcode[caught.exception.errno], errno.errorcode[code])

    def plain(self):
        return [self.directory(name) for name in ("a", "b", "c")]

    def test_disk_goes_and_comes_back(self):
        """An idle pool lets go of its disks; a mount point without its disk is absent, not empty."""
        branches = [self.file_system("ext4", "disk-a"), self.file_system("ext4", "disk-b")]
        disks = [os.path.dirname(branch) for branch in branches]
        for branch in branches:
            os.rmdir(branch)
        pool = self.pool(disks, modes.Root(), ["minfreespace=1M", "branch-absent=hide"])
        pool.shell("for i in $(seq 1 30); do echo $i > before-$i; done; ls > /dev/null")
        on_b = set(os.listdir(disks[1])) - {"lost+found"}
        self.assertTrue(on_b)
        done = processes.wait_until(
            lambda: subprocess.run(["umount", disks[1]], capture_output=True, check=False).returncode == 0, 20, 0.5)
        self.assertTrue(done, "an idle pool keeps a disk busy")
        pool.shell("for i in $(seq 1 30); do echo $i > after-$i; done")
        self.assertEqual(os.listdir(disks[1]), [], "written to a mount point whose disk is missing")
        self.assertFalse(on_b & set(os.listdir(pool.mountpoint)))
        self.command(["mount", "-o", "loop", disks[1] + ".img", disks[1]])
        time.sleep(1.5)
        self.eventually(lambda: on_b <= set(os.listdir(pool.mountpoint)), 10, "the disk is noticed again")
        pool.shell("for i in $(seq 1 30); do echo $i > again-$i; done; for i in $(seq 1 30); do cat before-$i; done")
        self.assertTrue(any(name.startswith("again") for name in os.listdir(disks[1])))
        self.assertEqual(pool.unmount(), 0)

    def test_modes(self):
        """RO is never written, NC gets nothing new, and each failure has its errno."""
        a, b, c = self.plain()
        for branch, name in ((a, "in-a"), (b, "in-b"), (c, "in-c")):
            Path(branch, name).write_text(name)
            os.mkdir(os.path.join(branch, "dir"))
        pool = self.pool([f"{a}=RO", f"{b}=NC", f"{c}=RW"], modes.Root(), ["minfreespace=0"])
        top = pool.mountpoint
        for number in range(20):
            Path(top, f"new-{number}").write_text("x")
            os.mkdir(os.path.join(top, f"dir/new-{number}"))
            self.assertEqual(self.where([a, b, c], f"new-{number}"), [2])
            self.assertEqual(self.where([a, b, c], f"dir/new-{number}"), [2])
        self.assertEqual([Path(top, name).read_text() for name in ("in-a", "in-b", "in-c")], ["in-a", "in-b", "in-c"])
        Path(top, "in-b").write_text("changed")
        self.assertEqual(Path(b, "in-b").read_text(), "changed")
        os.rename(os.path.join(top, "in-b"), os.path.join(top, "dir/moved"))
        self.assertEqual(self.where([a, b, c], "dir/moved"), [1])
        self.refused(errno.EROFS, os.open, os.path.join(top, "in-a"), os.O_RDWR)
        self.refused(errno.EROFS, os.truncate, os.path.join(top, "in-a"), 0)
        self.refused(errno.EROFS, os.unlink, os.path.join(top, "in-a"))
        self.refused(errno.EROFS, os.rename, os.path.join(top, "in-a"), os.path.join(top, "x"))
        self.refused(errno.EROFS, os.chmod, os.path.join(top, "in-a"), 0o600)
        self.refused(errno.EROFS, os.utime, os.path.join(top, "in-a"))
        self.refused(errno.EROFS, os.setxattr, os.path.join(top, "in-a"), "user.x", b"x")
        self.refused(errno.EEXIST, os.mkdir, os.path.join(top, "in-a"))
        self.assertEqual(sorted(os.listdir(a)), ["dir", "in-a"])
        self.assertEqual(os.listdir(os.path.join(a, "dir")), [])
        self.assertEqual(pool.unmount(), 0)

    def test_all_read_only(self):
        a, b, _ = self.plain()
        pool = self.pool([f"{a}=RO", f"{b}=RO"], modes.Root())
        self.refused(errno.EROFS, os.mkdir, os.path.join(pool.mountpoint, "x"))
        self.assertEqual(pool.unmount(), 0)

    def test_full(self):
        """A full disk, and no moves: its own errno for who writes there, the next disk for what is new."""
        small = self.file_system("tmpfs", "small", megabytes=8)
        large = self.file_system("tmpfs", "large", megabytes=200)
        pool = self.pool([small, large], modes.Root(), ["minfreespace=1M", "category.create=ff",
                                                        "moveonenospc=false"])
        top = pool.mountpoint
        file = os.open(os.path.join(top, "grows"), os.O_RDWR | os.O_CREAT)
        self.assertEqual(self.where([small, large], "grows"), [0])
        block = os.urandom(1 << 16)
        written = 0

        def fill():
            nonlocal written
            for _ in range(1000):
                written += os.write(file, block)
        self.refused(errno.ENOSPC, fill)
        self.assertGreater(written, 4 << 20)
        self.assertEqual(os.pread(file, 1 << 16, 0), block)
        self.refused(errno.ENOSPC, os.posix_fallocate, file, 0, 100 << 20)
        Path(top, "next").write_bytes(block * 100)
        self.assertEqual(self.where([small, large], "next"), [1])
        os.close(file)
        os.unlink(os.path.join(top, "grows"))
        # the pool hears of the close a moment later
        self.eventually(lambda: os.statvfs(small).f_bavail * os.statvfs(small).f_frsize > 4 << 20, 5, "room again")
        Path(top, "room-again").write_text("x")
        self.assertEqual(self.where([small, large], "room-again"), [0])
        self.assertEqual(pool.unmount(), 0)

    def test_nowhere_is_room(self):
        small = self.file_system("tmpfs", "small", megabytes=8)
        pool = self.pool([small], modes.Root(), ["minfreespace=100M"])
        self.refused(errno.ENOSPC, os.mkdir, os.path.join(pool.mountpoint, "x"))
        self.assertEqual(pool.unmount(), 0)

    def test_turns_read_only(self):
        """A disk whose file system went read-only takes nothing new; the others do."""
        branches = [self.file_system("ext4", "disk-a"), self.file_system("ext4", "disk-b")]
        pool = self.pool(branches, modes.Root(), ["minfreespace=1M", "category.create=ff"])
        top = pool.mountpoint
        Path(top, "before").write_text("x")
        self.assertEqual(self.where(branches, "before"), [0])
        # busy as long as the pool has not heard of the close
        self.eventually(lambda: subprocess.run(["mount", "-o", "remount,ro", os.path.dirname(branches[0])],
                                               capture_output=True, check=False).returncode == 0, 5, "remounted")
        for number in range(5):
            Path(top, f"after-{number}").write_text("x")
            self.assertEqual(self.where(branches, f"after-{number}"), [1])
        self.refused(errno.EROFS, os.open, os.path.join(top, "before"), os.O_WRONLY)
        self.refused(errno.EROFS, os.unlink, os.path.join(top, "before"))
        self.assertEqual(Path(top, "before").read_text(), "x")
        self.assertEqual(pool.unmount(), 0)

    def test_copies(self):
        """Files of one name on several branches: the first one is seen, all of them go."""
        a, b, c = self.plain()
        for branch in (b, c):
            Path(branch, "twice").write_text(branch)
            os.mkdir(os.path.join(branch, "dir"))
            Path(branch, "dir", os.path.basename(branch)).write_text("x")
        pool = self.pool([a, b, c], modes.Root())
        top = pool.mountpoint
        self.assertEqual(Path(top, "twice").read_text(), b)
        self.assertEqual(sorted(os.listdir(top)), ["dir", "twice"])
        self.assertEqual(sorted(os.listdir(os.path.join(top, "dir"))), ["b", "c"])
        self.refused(errno.ENOTEMPTY, os.rmdir, os.path.join(top, "dir"))
        self.assertEqual(self.where([a, b, c], "dir"), [1, 2])
        os.chmod(os.path.join(top, "twice"), 0o604)
        self.assertEqual([os.stat(os.path.join(branch, "twice")).st_mode & 0o777 for branch in (b, c)], [0o604] * 2)
        os.rename(os.path.join(top, "dir"), os.path.join(top, "moved"))
        self.assertEqual(self.where([a, b, c], "moved"), [1, 2])
        self.assertEqual(self.where([a, b, c], "dir"), [])
        os.unlink(os.path.join(top, "twice"))
        self.assertEqual(self.where([a, b, c], "twice"), [])
        for name in ("b", "c"):
            os.unlink(os.path.join(top, "moved", name))
        os.rmdir(os.path.join(top, "moved"))
        self.assertEqual(self.where([a, b, c], "moved"), [])
        self.assertEqual(pool.unmount(), 0)

    def test_symbolic_link_in_a_branch(self):
        """A directory of the pool that is a link on some branch does not lead out of that branch."""
        a, b, _ = self.plain()
        outside = self.directory("outside")
        os.mkdir(os.path.join(a, "dir"))
        os.symlink(outside, os.path.join(b, "dir"))
        pool = self.pool([a, b], modes.Root(), ["minfreespace=0"])
        for number in range(30):
            Path(pool.mountpoint, f"dir/{number}").write_text("x")
        self.assertEqual(os.listdir(outside), [])
        self.assertEqual(len(os.listdir(os.path.join(a, "dir"))), 30)
        self.assertEqual(pool.unmount(), 0)
