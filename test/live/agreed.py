"""What is agreed with the kernel beyond the flags: how large a message is, how far is read ahead."""

import mmap
import os
import time
from pathlib import Path

import kernel
import modes
import processes
import sandbox

LIMIT = Path("/proc/sys/fs/fuse/max_pages_limit")
PAGE = mmap.PAGESIZE


def in_force(pool, *keys):
    """What the pool says of its options, as numbers."""
    return tuple(int(pool.run(["getfattr", "--only-values", "-n", "user.boughfs." + key, ".boughfs"],
                              cwd=pool.mountpoint)) for key in keys)


class Messages(sandbox.LiveCase):
    tools = ("mkfs.ext4", "getfattr")

    def setUp(self):
        super().setUp()
        self.limit = LIMIT.read_text() if LIMIT.exists() else None

    def tearDown(self):
        super().tearDown()
        if self.limit is not None and LIMIT.read_text() != self.limit:
            # the whole system's
            LIMIT.write_text(self.limit)

    def fill(self, size):
        """Page-aligned, and no two pages alike."""
        data = mmap.mmap(-1, size)
        for number in range(size // PAGE):
            data[number * PAGE:number * PAGE + 8] = number.to_bytes(8, "little")
        return data

    def requests(self, pool, kind):
        return pool.counters().get(f"requests_{kind}", 0)

    def test_large_messages(self):
        """64 MiB go in one message where the kernel lets them, and are forgotten in the quiet."""
        wanted = (64 << 20) // PAGE
        pool = self.pool([self.file_system("ext4", "disk")], modes.Root(),
                         ["minfreespace=1M", "fuse-msg-size=64M", "passthrough.io=off"])
        allowed = int(LIMIT.read_text()) if self.limit is not None else 256
        said = Path(pool.log).read_text()
        if self.limit is None:
            self.assertIn(f"fuse-msg-size is 256 pages instead of {wanted}", said)
        else:
            self.assertEqual((allowed, said), (wanted, ""))
        self.assertEqual(in_force(pool, "fuse-msg-size"), (allowed,))
        time.sleep(3)
        before = processes.status_field(pool.pid, "VmRSS")
        data = self.fill(wanted * PAGE)
        file = os.open(os.path.join(pool.mountpoint, "f"), os.O_RDWR | os.O_CREAT | os.O_DIRECT)
        writes = self.requests(pool, "write")
        self.assertEqual(os.pwrite(file, data, 0), len(data))
        self.assertEqual(self.requests(pool, "write") - writes, wanted // allowed)
        back = mmap.mmap(-1, len(data))
        reads = self.requests(pool, "read")
        self.assertEqual(os.preadv(file, [back], 0), len(data))
        self.assertEqual(self.requests(pool, "read") - reads, wanted // allowed)
        self.assertTrue(data[:] == back[:], "what was written is not what is read")
        os.close(file)
        # through the page cache, in pieces of any size
        with open(os.path.join(pool.mountpoint, "g"), "wb") as other:
            other.write(data[:])
            other.write(b"end")
        Path("/proc/sys/vm/drop_caches").write_text("3")
        with open(os.path.join(pool.mountpoint, "g"), "rb") as other:
            self.assertTrue(other.read() == data[:] + b"end")

        def small():
            return processes.status_field(pool.pid, "VmRSS") < before + (16 << 10)
        self.eventually(small, 20, f"idle, it needs little more memory than the {before} KiB at first")
        self.assertEqual(pool.unmount(), 0)

    def test_limit_is_not_lowered(self):
        pool = self.pool([self.file_system("tmpfs", "disk")], modes.Root(), ["fuse-msg-size=16", "passthrough.io=off"])
        self.assertEqual(LIMIT.read_text() if self.limit is not None else None, self.limit)
        data = self.fill(64 * PAGE)
        with open(os.path.join(pool.mountpoint, "f"), "wb", buffering=0) as file:
            file.write(data)
        self.assertGreaterEqual(self.requests(pool, "write"), 4)
        self.assertEqual(pool.unmount(), 0)

    def test_what_cannot_be_raised_is_told(self):
        if kernel.RELEASE < (6, 13):
            raise sandbox.CannotRun("this kernel has no limit that could be raised")
        type(self).open_fuse_to_all(True)
        user = modes.User()
        pool = self.pool([self.file_system("tmpfs", "disk", owner=user.uid)], user,
                         ["fuse-msg-size=100000"])
        said = Path(pool.log).read_text()
        self.assertEqual(said.count("\n"), 1, said)
        self.assertIn(f"fuse-msg-size is {int(self.limit)} pages instead of 100000", said)
        self.assertEqual(LIMIT.read_text(), self.limit)
        self.assertEqual(in_force(pool, "fuse-msg-size"), (int(self.limit),))
        self.assertEqual(pool.unmount(), 0)


class ReadAhead(sandbox.LiveCase):
    tools = ("mkfs.ext4", "setpriv", "fusermount3", "getfattr")

    def of(self, device):
        return int(Path(f"/sys/class/bdi/{device}/read_ahead_kb").read_text())

    def of_pool(self, pool):
        return self.of(processes.device_at(pool.mountpoint, pool.pid))

    def disk(self, branch):
        number = os.stat(branch).st_dev
        return f"{os.major(number)}:{os.minor(number)}"

    def test_as_far_as_a_message(self):
        branch = self.file_system("ext4", "disk")
        before = self.of(self.disk(branch))
        for options, expected in ((), 128), (("readahead=auto",), 1024), (("readahead=auto", "fuse-msg-size=512k"), 512), \
                (("readahead=auto", "fuse-msg-size=4k"), 128), (("readahead=0",), 128):
            with self.subTest(options=options):
                pool = self.pool([branch], modes.Root(), options, name="pool-" + "-".join(options))
                self.assertEqual(self.of_pool(pool), expected)
                self.assertEqual(in_force(pool, "readahead"), (expected,))
                self.assertEqual(self.of(self.disk(branch)), before, "the branch's disk is left alone")
                self.assertEqual(pool.said(), "it said: ")
                self.assertEqual(pool.unmount(), 0)

    def test_a_number(self):
        """It is for the pool and for the disks; what has none is named."""
        branches = [self.file_system(kind, f"disk-{kind}") for kind in ("ext4", "tmpfs")]
        pool = self.pool(branches, modes.Root(), ["readahead=512"])
        self.assertEqual((self.of_pool(pool), self.of(self.disk(branches[0]))), (512, 512))
        said = Path(pool.log).read_text()
        self.assertEqual(said.count("\n"), 1, said)
        self.assertIn(f"readahead of branch {branches[1]} cannot be set", said)
        self.assertEqual(pool.unmount(), 0)

    def test_who_may_not(self):
        type(self).open_fuse_to_all(True)
        user = modes.User()
        branch = self.file_system("ext4", "disk", owner=user.uid)
        pool = self.pool([branch], user, ["readahead=auto"])
        self.assertEqual((self.of_pool(pool), pool.said()), (128, "it said: "))
        self.assertEqual(pool.unmount(), 0)
        pool = self.pool([branch], user, ["readahead=512"], name="other")
        self.assertEqual(self.of_pool(pool), 128)
        said = Path(pool.log).read_text()
        self.assertEqual(said.count("\n"), 2, said)
        self.assertIn("readahead of the pool cannot be set: Permission denied", said)
        self.assertEqual(in_force(pool, "readahead"), (128,))
        self.assertEqual(pool.unmount(), 0)


class Background(sandbox.LiveCase):
    tools = ("setpriv", "fusermount3", "getfattr")

    def limits(self, pool):
        number = processes.device_at(pool.mountpoint, pool.pid).partition(":")[2]
        return tuple(int(Path(sandbox.CONTROL, number, name).read_text())
                     for name in ("max_background", "congestion_threshold"))

    def test_root(self):
        branch = self.file_system("tmpfs", "disk")
        for options, expected in ((), (128, 96)), (("max-background=60000",), (60000, 45000)), \
                (("max-background=10", "congestion-threshold=3"), (10, 3)), \
                (("congestion-threshold=1000",), (128, 128)):
            with self.subTest(options=options):
                pool = self.pool([branch], modes.Root(), options, name="pool-" + "-".join(options))
                self.assertEqual(self.limits(pool), expected)
                self.assertEqual(in_force(pool, "max-background", "congestion-threshold"), expected)
                self.assertEqual(pool.unmount(), 0)

    def test_user(self):
        type(self).open_fuse_to_all(True)
        most = int(Path("/sys/module/fuse/parameters/max_user_bgreq").read_text())
        user = modes.User()
        branch = self.file_system("tmpfs", "disk", owner=user.uid)
        pool = self.pool([branch], user, ["max-background=65535"])
        self.assertEqual(self.limits(pool)[0], min(most, 65535) if most else 65535)
        self.assertEqual(in_force(pool, "max-background", "congestion-threshold"), self.limits(pool))
        self.assertEqual(pool.unmount(), 0)
