"""A disk that is missing is absent, not empty."""

import errno
import json
import os
import subprocess
import time
from pathlib import Path

import kernel
import modes
import sandbox


class Absent(sandbox.LiveCase):
    tools = ("mkfs.ext4", "losetup")
    deadline = 90

    def setUp(self):
        super().setUp()
        for number in range(3):
            branch = self.file_system("ext4", f"disk{number}", megabytes=60)
            for folder in ("shows", f"only{number}"):
                os.mkdir(os.path.join(branch, folder))
                for count in range(5):
                    Path(branch, folder, f"{count}-of-{number}").write_text(f"{number}")
        os.mkdir(self.path("disk0/branch/void"))
        self.disks = [self.path(f"disk{number}") for number in range(3)]
        self.wrote = 0

    # --- the system
    def fstab(self, *mount_points):
        table = self.path("fstab")
        Path(table).write_text("".join(f"{place}.img {place} ext4 nofail,loop 0 0\n" for place in mount_points))
        if not os.path.exists("/etc/fstab"):
            self.skipTest("no /etc/fstab to put another one over")
        kernel.mount(table, "/etc/fstab", None, kernel.MS_BIND)
        self.made.append("/etc/fstab")

    def take(self, number, *flags):
        self.command(["umount", *flags, self.disks[number]])
        self.assertEqual(os.listdir(self.disks[number]), [])

    def bring(self, number):
        self.command(["mount", "-o", "loop", self.disks[number] + ".img", self.disks[number]])

    def start(self, *options, name="pool"):
        self.top = self.path(name)
        self.served = self.pool([self.path("disk*/branch")], modes.Root(), ["minfreespace=1M", *options], name=name)
        return self.served

    # --- the one who would lose data
    def scanner(self, *more):
        return self.script("scanner.py", self.top, self.path("library"), *more)

    def purged(self):
        return self.command(self.scanner()).splitlines()

    def library(self):
        return json.loads(Path(self.path("library")).read_text())

    # --- looking
    def refusal(self, call, *arguments):
        try:
            call(*arguments)
        except OSError as error:
            return errno.errorcode[error.errno]
        return "none"

    def write(self, folder):
        self.wrote += 1
        Path(self.top, folder, f"new{self.wrote}").write_text("new")

    def key(self, name):
        return os.getxattr(os.path.join(self.top, ".boughfs"), "user.boughfs." + name).decode()

    def whole(self):
        """All three disks take part."""
        def listed():
            try:
                return len([name for name in os.listdir(os.path.join(self.top, "shows")) if "-of-" in name]) == 15
            except OSError:
                return False
        self.eventually(listed, 10, "everything is back; " + self.served.said())
        self.assertEqual(self.key("absent-branches"), "")
        for number in range(3):
            for folder in ("shows", f"only{number}"):
                for count in range(5):
                    path = Path(self.top, folder, f"{count}-of-{number}")
                    self.assertEqual(path.read_text(), f"{number}")

    def log_lines(self, text):
        return [line for line in Path(self.served.log).read_text().splitlines() if text in line]

    # --- cases
    def test_missing_at_start(self):
        self.fstab(*self.disks)
        self.start()
        self.assertEqual(self.purged(), [])
        self.assertEqual(len(self.library()), 35)
        self.assertEqual(self.served.unmount(), 0)
        self.take(1)
        self.start(name="again")
        self.assertIn(self.disks[1] + "/branch: nothing is mounted on", self.key("absent-branches"))
        self.assertEqual(len(self.log_lines("is absent")), 1)
        self.assertEqual(self.purged(), [])
        self.assertEqual(len(self.library()), 35)
        # what is there can be read and written, what may be on the disk is neither there nor not
        self.assertEqual(Path(self.top, "shows/1-of-0").read_text(), "0")
        with open(os.path.join(self.top, "shows/1-of-2"), "a", encoding="ascii") as file:
            file.write("more")
        Path(self.disks[2], "branch/shows/1-of-2").write_text("2")
        for path in ("shows/1-of-1", "only1", "only1/1-of-1", "nothing"):
            self.assertEqual(self.refusal(os.stat, os.path.join(self.top, path)), "EIO", path)
        for path in ("", "shows", "only0"):
            self.assertEqual(self.refusal(os.listdir, os.path.join(self.top, path)), "EIO", path)
        self.assertEqual(self.refusal(self.write, "shows"), "EIO")
        self.assertEqual(self.refusal(os.mkdir, os.path.join(self.top, "dir")), "EIO")
        self.assertEqual(self.refusal(os.unlink, os.path.join(self.top, "shows/0-of-0")), "EIO")
        self.assertEqual(self.refusal(os.rename, os.path.join(self.top, "shows/0-of-0"),
                                      os.path.join(self.top, "shows/0-of-1")), "EIO")
        self.assertEqual(self.refusal(os.rmdir, os.path.join(self.top, "void")), "EIO")
        self.assertEqual(os.listdir(self.disks[1]), [], "written beneath the mount point")
        for function, name in (("create", "shows/new"), ("unlink", "shows/0-of-0"), ("open", "shows/1-of-1")):
            said = self.command([self.boughfs, "explain", function, os.path.join(self.top, name)])
            self.assertIn(f"EIO (Input/output error): nothing is taken while a disk is missing: {self.disks[1]}", said)
            self.assertNotIn("one before it", said)
        self.assertIn(f"a disk is missing: {self.disks[1]}/branch", self.command(
            [self.boughfs, "explain", "create", os.path.join(self.top, "only1/new")], good=(2,)))
        self.bring(1)
        self.whole()
        self.assertEqual(len(self.log_lines("is back")), 1)
        self.assertEqual(self.purged(), [])
        for number in range(30):
            self.write("shows")
        self.assertTrue(any(name.startswith("new") for name in os.listdir(self.disks[1] + "/branch/shows")))
        self.assertEqual(self.served.unmount(), 0)

    def test_pulled_under_load(self):
        """Unmounted in use, another disk in its place, and back, while a scanner and a writer are at it."""
        self.start("cache.entry=60", "cache.attr=60", "cache.negative-entry=60", "cache.readdir")
        self.assertEqual(self.purged(), [])
        scanner = subprocess.Popen(self.scanner("--until-eof"), cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   text=True)
        refusals = set()

        def work(seconds):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                refusals.add(self.refusal(self.write, "shows"))
        work(1)
        self.assertEqual(refusals, {"none"})
        self.take(1, "-l")
        work(3)
        self.assertIn("it is not there", self.key("absent-branches"))
        self.assertEqual(os.listdir(self.disks[1]), [], "written beneath the mount point")
        other = self.file_system("ext4", "other", megabytes=60)
        self.command(["mount", "--move", os.path.dirname(other), self.disks[1]])
        os.makedirs(self.disks[1] + "/branch/shows")
        work(3)
        self.assertIn("it is not the directory that the pool used", self.key("absent-branches"))
        self.assertEqual(os.listdir(self.disks[1] + "/branch/shows"), [], "written to another disk")
        self.assertEqual(os.listdir(self.disks[1] + "/branch"), ["shows"])
        self.command(["umount", self.disks[1]])
        work(1)
        self.assertEqual(os.listdir(self.disks[1]), [], "written beneath the mount point")
        self.bring(1)
        self.whole()
        refusals.clear()
        work(1)
        self.assertEqual(refusals, {"none"})
        said, _ = scanner.communicate(timeout=30)
        self.assertEqual((said, scanner.returncode), ("", 0), "purged")
        self.assertEqual(self.purged(), [])
        self.assertEqual(len(self.log_lines("is absent")), 1, self.served.said())
        self.assertEqual(self.served.unmount(), 0)

    def test_unmounted_in_use(self):
        """The reason is that of the mount: what fstab says, and no advice that would take the empty mount point."""
        self.top = self.path("pool")
        self.fstab(*self.disks)
        self.served = self.pool([f"{self.disks[0]}/branch:{self.disks[1]}"], modes.Root(), ["minfreespace=1M"])
        self.take(1, "-l")
        self.eventually(lambda: self.refusal(os.listdir, self.top) == "EIO", 10, "it is missed")
        self.eventually(lambda: self.log_lines("is absent"), 5, self.served.said())
        for said in (self.log_lines("is absent")[0], self.key("absent-branches")):
            self.assertIn(f"nothing is mounted on {self.disks[1]}, which is a mount point by /etc/fstab", said)
            self.assertNotIn(".boughfs.branch", said)
        self.bring(1)
        self.eventually(lambda: self.key("absent-branches") == "", 10, "it is back")
        self.assertEqual(self.served.unmount(), 0)

    def test_hide(self):
        self.fstab(*self.disks)
        self.take(1)
        self.start("branch-absent=hide", "cache.negative-entry=60", "cache.entry=60", "cache.attr=60")
        self.assertEqual(len(os.listdir(os.path.join(self.top, "shows"))), 10)
        self.assertEqual(self.refusal(os.stat, os.path.join(self.top, "only1")), "ENOENT")
        for number in range(30):
            self.write("shows")
        os.unlink(os.path.join(self.top, "shows/0-of-0"))
        self.assertEqual(os.listdir(self.disks[1]), [], "written beneath the mount point")
        Path(self.top, "shows/0-of-0").write_text("0")
        self.bring(1)
        self.whole()
        self.assertEqual(self.served.unmount(), 0)

    def test_readonly(self):
        self.fstab(*self.disks)
        self.take(1)
        self.start("branch-absent=readonly")
        self.assertEqual(len(os.listdir(os.path.join(self.top, "shows"))), 10)
        self.assertEqual(self.refusal(os.stat, os.path.join(self.top, "only1")), "ENOENT")
        kept = os.path.join(self.top, "shows/0-of-0")
        self.assertEqual(self.refusal(self.write, "shows"), "EROFS")
        for call, arguments in ((os.unlink, ()), (os.rename, (kept + "x",)), (os.chmod, (0o600,)), (os.truncate, (0,)),
                                (os.open, (os.O_WRONLY,)), (os.link, (kept + "y",))):
            self.assertEqual(self.refusal(call, kept, *arguments), "EROFS", call)
        # the user decides otherwise
        self.command([self.boughfs, "ctl", self.top, "set", "branch-absent", "hide"])
        self.write("shows")
        self.bring(1)
        self.whole()
        self.assertEqual(self.served.unmount(), 0)

    def test_refuse(self):
        self.fstab(*self.disks)
        self.take(1)
        os.mkdir(self.path("place"))
        argv = [self.boughfs, "-o", "branch-absent=refuse", self.path("disk*/branch"), self.path("place")]
        self.take(2)
        said = self.command(argv, good=(1,))
        for disk in self.disks[1:]:
            self.assertIn(f"branch {disk}/branch is absent: nothing is mounted on {disk},", said)
        self.bring(1)
        self.bring(2)
        self.start("branch-absent=refuse")
        self.whole()
        self.assertEqual(self.served.unmount(), 0)

    def test_remembered(self):
        """Without fstab and mark: the pool knows its disks from one mount to the next, and a new one is accepted."""
        self.start()
        self.whole()
        self.assertEqual(self.served.unmount(), 0)
        self.take(1)
        os.makedirs(self.disks[1] + "/branch/shows")
        os.rmdir(self.path("pool"))
        self.start()
        self.assertIn("it is not the directory that the pool used", self.key("absent-branches"))
        self.assertEqual(self.refusal(self.write, "shows"), "EIO")
        self.assertEqual(os.listdir(self.disks[1] + "/branch/shows"), [])
        self.bring(1)
        self.whole()
        self.assertEqual(self.served.unmount(), 0)
        # another disk instead
        os.rmdir(self.path("pool"))
        self.command(["umount", self.disks[1]])
        other = self.file_system("ext4", "other", megabytes=60)
        self.command(["mount", "--move", os.path.dirname(other), self.disks[1]])
        os.mkdir(self.disks[1] + "/branch/shows")
        self.start()
        self.assertEqual(self.refusal(os.listdir, os.path.join(self.top, "shows")), "EIO")
        Path(self.disks[1], "branch/.boughfs.branch").write_text("")
        self.eventually(lambda: self.key("absent-branches") == "", 10, "the new disk is accepted")
        os.unlink(self.disks[1] + "/branch/.boughfs.branch")
        self.assertEqual(self.served.unmount(), 0)
        os.rmdir(self.path("pool"))
        self.start()
        self.assertEqual(self.key("absent-branches"), "")
        self.write("shows")
        self.assertEqual(self.served.unmount(), 0)

    def begin_again(self, *options):
        os.rmdir(self.top)
        self.start(*options)

    def test_pattern(self):
        """What a pattern meant at the last mount is absent, not left out, until it is taken out of the pool."""
        self.start()
        self.whole()
        self.assertEqual(self.served.unmount(), 0)
        self.take(1)
        lost = self.disks[1] + "/branch"
        self.assertIn(f"{lost} is absent: it is not there",
                      self.command([self.boughfs, "check", self.path("disk*/branch"), self.top], good=(6,)))
        self.assertIn(f"branch {lost} is absent: it is not there",
                      self.command([self.boughfs, "-o", "branch-absent=refuse", self.path("disk*/branch"), self.top],
                                   good=(1,)))
        # with one taken away before the mount
        self.assertIn(f"branch {lost} is absent", self.command(
            [self.boughfs, self.path("disk*/branch"), "-o", "branch-absent=refuse,branches=-*disk0*", self.top],
            good=(1,)))
        Path(self.path("options")).write_text(f"branches={self.path('disk*/branch')}\nbranch-absent=refuse\n")
        self.assertIn(f"branch {lost} is absent", self.command(
            [self.boughfs, "-o", f"mountpoint={self.top},config={self.path('options')}"], good=(1,)))
        self.begin_again()
        self.assertIn(f"{lost}: it is not there", self.key("absent-branches"))
        remedy = f"boughfs ctl {self.top} set branches -{lost}"
        self.assertEqual(len([line for line in self.log_lines("is absent") if remedy in line]), 1, self.served.said())
        self.assertEqual(self.refusal(os.listdir, os.path.join(self.top, "shows")), "EIO")
        self.bring(1)
        self.whole()
        self.assertEqual(self.served.unmount(), 0)
        # relative, of a list
        self.take(1)
        os.rmdir(self.top)
        os.mkdir(self.top)
        self.command([self.boughfs, "disk0/branch:disk1/branch", "pool"], cwd=self.folder)
        self.assertIn(f"{lost}: it is not there", self.key("absent-branches"))
        # on the live pool
        ctl = [self.boughfs, "ctl", self.top, "set", "branches"]
        self.command([*ctl, self.disks[0] + "/branch"])
        self.assertEqual(self.key("absent-branches"), "")
        self.command(["umount", self.top])
        # it was forgotten
        self.begin_again()
        self.assertEqual(self.key("absent-branches"), "")
        self.assertEqual(len(os.listdir(os.path.join(self.top, "shows"))), 10)
        self.bring(1)
        self.command([*ctl, "+" + lost])
        self.whole()
        self.assertEqual(self.served.unmount(), 0)
        self.take(1)
        self.begin_again()
        self.assertIn(f"{lost}: it is not there", self.key("absent-branches"))
        self.command(["/bin/sh", "-c", remedy.replace("boughfs", self.boughfs, 1)])
        self.assertEqual(self.key("absent-branches"), "")
        self.assertEqual(len(os.listdir(os.path.join(self.top, "shows"))), 10)
        self.assertEqual(self.served.unmount(), 0)
        self.begin_again()
        self.assertEqual(self.key("absent-branches"), "")
        self.assertEqual(self.served.unmount(), 0)

    def test_live_pattern(self):
        """A pattern that is set on the mounted pool means planned mounts too; what is named must be there."""
        self.fstab(*self.disks)
        self.take(1)
        self.top = self.path("pool")
        self.served = self.pool([self.disks[0] + "/branch"], modes.Root(), ["minfreespace=1M"])
        ctl = [self.boughfs, "ctl", self.top, "set", "branches"]
        self.command([*ctl, "+" + self.disks[1] + "/branch"], good=(1,))
        self.assertEqual(len(self.log_lines("was not changed: branch " + self.disks[1])), 1, self.served.said())
        self.command([*ctl, self.path("disk*/branch")])
        self.assertIn("nothing is mounted on", self.key("absent-branches"))
        self.eventually(lambda: len(self.log_lines("what it may hold")) == 1, 5, self.served.said())
        self.assertEqual(self.refusal(os.listdir, os.path.join(self.top, "shows")), "EIO")
        self.bring(1)
        self.whole()
        self.assertEqual(self.served.unmount(), 0)

    def test_added_is_remembered(self):
        """A branch that came at run time is known at the next mount, as those of the first are."""
        other = self.file_system("ext4", "other", megabytes=60)
        Path(other, "shows").mkdir()
        Path(other, "shows/other").write_text("x")
        self.start()
        self.command([self.boughfs, "ctl", self.top, "set", "branches", "+" + other])
        self.assertEqual(Path(self.top, "shows/other").read_text(), "x")
        self.assertEqual(self.served.unmount(), 0)
        self.command(["umount", os.path.dirname(other)])
        os.makedirs(other + "/shows")
        os.rmdir(self.top)
        self.served = self.pool([self.path("disk*/branch"), other], modes.Root())
        self.assertIn("it is not the directory that the pool used", self.key("absent-branches"))
        self.assertEqual(self.refusal(self.write, "shows"), "EIO")
        self.assertEqual(os.listdir(other + "/shows"), [])
        self.assertEqual(self.served.unmount(), 0)

    def test_another_device(self):
        """XFS, whose f_fsid is the number of the device, is known again on another one."""
        sandbox.require_tools("mkfs.xfs")
        branch = self.file_system("xfs", "away", megabytes=320)
        place = os.path.dirname(branch)
        Path(branch, "file").write_text("x")
        self.top = self.path("pool")
        self.served = self.pool([self.disks[0] + "/branch", branch], modes.Root(), ["minfreespace=1M"])
        self.assertEqual(Path(self.top, "file").read_text(), "x")
        before = os.stat(branch).st_dev
        self.command(["umount", "-l", place])
        self.eventually(lambda: self.refusal(os.stat, os.path.join(self.top, "file")) == "EIO", 10, "it is missed")
        self.eventually(lambda: not self.command(["losetup", "-j", place + ".img"]), 10, "it is let go of")
        # the first free device is given to others
        Path(self.path("spare.img")).write_bytes(bytes(1 << 20))
        spare = self.command(["losetup", "--find", "--show", self.path("spare.img")]).strip()
        try:
            self.command(["mount", "-o", "loop", place + ".img", place])
            self.assertNotEqual(os.stat(branch).st_dev, before)
            self.eventually(lambda: self.key("absent-branches") == "", 10, "it is back")
            self.assertEqual(Path(self.top, "file").read_text(), "x")
        finally:
            self.command(["losetup", "-d", spare])
        self.assertEqual(self.served.unmount(), 0)

    def test_nowhere_to_remember(self):
        os.rmdir(self.path("state"))
        Path(self.path("state")).write_text("in the way")
        self.start()
        self.assertEqual(len(self.log_lines("cannot be kept in")), 1)
        self.whole()
        self.assertEqual(self.served.unmount(), 0)

    def test_what_was_remembered_cannot_be_read(self):
        self.start()
        self.assertEqual(self.served.unmount(), 0)
        self.assertEqual(self.log_lines("cannot be read from"), [])
        (file,) = Path(self.path("state")).iterdir()
        file.unlink()
        file.mkdir()
        self.served.start()
        self.assertEqual(len(self.log_lines("cannot be read from")), 1)
        self.whole()
        self.assertEqual(self.served.unmount(), 0)

    def test_marked_mount_point(self):
        """Without fstab the user's mark beneath the disk says so."""
        self.take(1)
        os.mkdir(self.disks[1] + "/branch")
        Path(self.disks[1], "branch/.mergerfs.branch_mounts_here").write_text("")
        self.start()
        self.assertEqual(self.refusal(self.write, "shows"), "EIO")
        self.assertEqual(os.listdir(self.disks[1] + "/branch"), [".mergerfs.branch_mounts_here"])
        self.bring(1)
        self.whole()
        self.assertEqual(self.served.unmount(), 0)
