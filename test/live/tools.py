"""What the tools that come with mergerfs do with a pool that they find, step by step: mergerfs.ctl, .fsck, .dedup,
.dup, .balance, .consolidate, .mktrash, and the library that is put before a program."""

import contextlib
import errno
import os
import stat
from pathlib import Path

import modes
import sandbox
from control import get, names_of


class Tools(sandbox.LiveCase):
    def setUp(self):
        super().setUp()
        self.branches = [self.file_system("tmpfs", f"disk{number}", megabytes=32) for number in range(2)]
        for number, branch in enumerate(self.branches):
            os.makedirs(os.path.join(branch, "films", f"only{number}"))
            Path(branch, "films", "both").write_text(f"copy {number}")
            Path(branch, "films", f"only{number}", "f").write_text(f"{number}")
        os.symlink("both", os.path.join(self.branches[1], "films", "link"))
        self.made_pool = self.pool(self.branches, modes.Root(), ["minfreespace=0", "subtype=mergerfs", "cache.attr=0",
                                                                 "cache.entry=0"])
        self.top = self.made_pool.mountpoint

    def tearDown(self):
        self.assertEqual(self.made_pool.unmount(), 0, self.made_pool.said())
        super().tearDown()

    def of(self, name, key):
        return get(os.path.join(self.top, name) if name else self.top, "user.mergerfs." + key).decode()

    def found_from(self, name):
        """Where the control file is, looked for upwards."""
        place = os.path.join(self.top, name)
        while not os.path.exists(os.path.join(place, ".mergerfs")):
            self.assertNotEqual(place, "/")
            place = os.path.dirname(place)
        return os.path.join(place, ".mergerfs")

    def key(self, key):
        return get(os.path.join(self.top, ".mergerfs"), "user.mergerfs." + key).decode()

    def sources(self):
        return self.key("srcmounts").split(":")

    def test_ctl(self):
        lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        (line,) = [words for words in lines if words[4] == self.top]
        self.assertEqual((line[3], line[line.index("-") + 1]), ("/", "fuse.mergerfs"))
        self.assertRegex(self.key("version"), r"^\d+\.\d+\.\d+")
        self.assertEqual(int(self.key("pid")), self.made_pool.pid)
        self.assertEqual(self.sources(), self.branches)
        control = os.path.join(self.top, ".mergerfs")
        for name in names_of(control):
            self.assertTrue(name.startswith("user.mergerfs."))
            get(control, name).decode("utf-8")
        more = self.directory("more")
        os.setxattr(control, "user.mergerfs.branches", b"+" + more.encode())
        self.assertEqual(self.sources(), [*self.branches, more])
        os.setxattr(control, "user.mergerfs.branches", b"-" + more.encode())
        self.assertEqual(self.sources(), self.branches)
        os.setxattr(control, "user.mergerfs.func.mkdir", b"ff")
        self.assertEqual(self.key("func.mkdir"), "ff")

    def test_fsck(self):
        self.assertEqual(self.of("", "fullpath"), self.branches[0] + "/")
        copies = self.of("films/both", "allpaths").split("\0")
        self.assertEqual(copies, [branch + "/films/both" for branch in self.branches])
        os.chmod(copies[0], 0o600)
        os.chown(copies[0], 5, 6)
        info = os.stat(os.path.join(self.top, "films/both"))
        self.assertEqual((stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid), (0o600, 5, 6))

    def test_dedup(self):
        self.assertEqual(self.of("films", "fullpath"), self.branches[0] + "/films")
        for name in ("films/both", "films/only1/f"):
            self.assertIn(self.of(name, "fullpath"), self.of(name, "allpaths").split("\0"))
        # what has none is empty for it
        with self.assertRaises(OSError) as caught:
            os.getxattr(os.path.join(self.top, "films/link"), "user.mergerfs.allpaths", follow_symlinks=False)
        self.assertEqual(caught.exception.errno, errno.ENODATA)
        os.unlink(self.of("films/both", "allpaths").split("\0")[0])
        self.assertEqual(Path(self.top, "films/both").read_text(), "copy 1")

    def test_dup(self):
        self.assertEqual(self.found_from("films/only1"), os.path.join(self.top, ".mergerfs"))
        self.assertIn(self.of("films", "basepath"), self.sources())
        name = "films/only1/f"
        relative = self.of(name, "relpath").strip("/")
        self.assertEqual(relative, name)
        for copy in self.of(name, "allpaths").split("\0"):
            self.assertIn(copy.removesuffix("/" + relative), self.sources())
        self.assertEqual(self.of("films", "relpath"), "films")
        # it copies to the other branch
        target = os.path.join(self.branches[0], relative)
        os.makedirs(os.path.dirname(target))
        Path(target).write_text("1")
        self.assertEqual(len(self.of(name, "allpaths").split("\0")), 2)

    def test_balance(self):
        self.assertEqual(self.found_from("films"), os.path.join(self.top, ".mergerfs"))
        self.assertTrue(self.key("version"))
        for branch in self.sources():
            self.assertGreater(os.statvfs(branch).f_blocks, 0)
        # rsync --remove-source-files from one branch to the other
        os.makedirs(os.path.join(self.branches[1], "films/only0"))
        os.rename(os.path.join(self.branches[0], "films/only0/f"), os.path.join(self.branches[0], "moved"))
        Path(self.branches[1], "films/only0/f").write_text("0")
        os.unlink(os.path.join(self.branches[0], "moved"))
        self.assertEqual(Path(self.top, "films/only0/f").read_text(), "0")
        self.assertEqual(self.of("films/only0/f", "basepath"), self.branches[1])

    def test_consolidate(self):
        for name, branch in (("films/only0/f", 0), ("films/only1/f", 1)):
            self.assertEqual(self.of(name, "basepath"), self.sources()[branch])
            self.assertEqual(self.of(name, "relpath").strip("/"), name)

    def test_mktrash(self):
        self.assertTrue(os.path.exists(os.path.join(self.top, ".mergerfs")))
        for branch in self.sources():
            os.mkdir(os.path.join(branch, ".Trash"))
            os.chmod(os.path.join(branch, ".Trash"), 0o1777)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.top, ".Trash")).st_mode), 0o1777)

    def test_library_before_a_program(self):
        """It opens the file on the branch in place of the one that was opened in the pool."""
        for name in ("films/both", "films/only1/f"):
            with contextlib.ExitStack() as stack:
                file = stack.enter_context(open(os.path.join(self.top, name), "r+b"))
                place = os.getxattr(file.fileno(), "user.mergerfs.fullpath").decode()
                direct = stack.enter_context(open(place, "r+b"))
                self.assertEqual(direct.read(), file.read())
                self.assertEqual(os.fstat(direct.fileno()).st_size, os.fstat(file.fileno()).st_size)
        directory = os.open(os.path.join(self.top, "films"), os.O_RDONLY | os.O_DIRECTORY)
        self.assertEqual(os.getxattr(directory, "user.mergerfs.fullpath").decode(), self.branches[0] + "/films")
        os.close(directory)
