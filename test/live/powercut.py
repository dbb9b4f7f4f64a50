"""The power fails while files move. All disks of the pool are parts of one file on a file system that can clone
(FICLONE), so that a clone is what they have at one moment. Each is mounted, and served, as after a crash: every byte
that fsync(2) promised is there, in one place, and nothing else is left."""

import errno
import fcntl
import os
import random
import threading
import time

import modes
import sandbox

FICLONE = 0x40049409
MIB = 1 << 20
RECORD = 16384
OPTIONS = ["minfreespace=0", "moveonenospc=true", "category.create=ff"]
# (first byte, bytes) of each disk
SMALL = (0, 14 * MIB)
LARGE = (16 * MIB, 64 * MIB)
# takes no part, but its root directory looks like the others': they were made in one second
TWIN = (80 * MIB, 16 * MIB)
EACH = 24


def record(turn, number):
    return (turn << 32 | number).to_bytes(8, "little") * (RECORD // 8)


class Writer(threading.Thread):
    """Appends records to a file of two names until it has so many; `synced` are promised."""

    def __init__(self, folder, turn, records):
        super().__init__()
        self.turn, self.records = turn, records
        self.written = self.synced = 0
        self.error = None
        os.mkdir(os.path.join(folder, "d"))
        self.file = os.open(os.path.join(folder, "d", "file"), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.link(os.path.join(folder, "d", "file"), os.path.join(folder, "link"))
        os.fsync(self.file)
        for each in (folder, os.path.join(folder, "d")):
            directory = os.open(each, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(directory)
            os.close(directory)

    def run(self):
        try:
            while self.written < self.records:
                if os.write(self.file, record(self.turn, self.written)) != RECORD:
                    raise OSError(errno.EIO, "a short write")
                self.written += 1
                if self.written % 16 == 0:
                    os.fsync(self.file)
                    self.synced = self.written
        except OSError as error:
            self.error = error
        finally:
            os.close(self.file)


class PowerCut(sandbox.LiveCase):
    tools = ("mkfs.ext4", "mkfs.xfs", "losetup")
    deadline = 120

    def setUp(self):
        super().setUp()
        self.room = self.file_system("xfs", "room", megabytes=1200)
        self.branches = [self.directory(name) for name in ("small", "large")]
        self.twin = self.directory("twin")
        self.dice = random.Random(5)

    def make(self, disks):
        with open(disks, "xb") as file:
            file.truncate(sum(TWIN))
        # always the same: the pool knows its disks again
        environment = {**os.environ, "E2FSPROGS_FAKE_TIME": "1700000000"}
        for number, (first, size) in enumerate((SMALL, LARGE, TWIN), 1):
            self.command(["mkfs.ext4", "-q", "-F", "-m", "0", "-U", f"{number:08}-0000-4000-8000-000000000000",
                          "-J", "size=4", "-E",
                          f"offset={first},nodiscard,lazy_itable_init=0", disks, f"{size >> 10}k"],
                         environment=environment)

    def plug(self, disks):
        for (first, size), branch in zip((SMALL, LARGE, TWIN), [*self.branches, self.twin]):
            self.command(["mount", "-t", "ext4", "-o", f"loop,offset={first},sizelimit={size}", disks, branch])
            self.made.append(branch)
            if os.path.isdir(os.path.join(branch, "lost+found")):
                os.rmdir(os.path.join(branch, "lost+found"))

    def unplug(self):
        for branch in [*self.branches, self.twin]:
            self.command(["umount", branch])
            self.made.remove(branch)

    def shoot(self, disks, shot):
        with open(disks, "rb") as source, open(shot, "xb") as target:
            fcntl.ioctl(target, FICLONE, source.fileno())

    def photograph(self, disks, writer):
        """[(clone, records that it must have)], from about when the first disk is full to when all is written."""
        shots = []
        while writer.is_alive() and (writer.written + 8) * RECORD < self.free:
            time.sleep(0.001)
        while writer.is_alive() and len(shots) < EACH:
            time.sleep(self.dice.random() * self.pause)
            promised = writer.synced
            shots.append((f"{disks}-{len(shots)}", promised))
            self.shoot(disks, shots[-1][0])
        return shots

    def holders(self, name):
        return [branch for branch in self.branches if os.path.lexists(os.path.join(branch, name))]

    def check(self, turn, pool, promised):
        said = f"turn {turn}: {pool.said()}"
        where = set()
        for name in ("d/file", "link"):
            self.assertEqual(len(self.holders(name)), 1, f"{name}: {said}")
            where.add(self.holders(name)[0])
            with open(os.path.join(pool.mountpoint, name), "rb") as file:
                got = file.read()
            self.assertGreaterEqual(len(got), promised * RECORD, f"{name}: {said}")
            for number in range(promised):
                self.assertTrue(got[number * RECORD:(number + 1) * RECORD] == record(turn, number),
                                f"{name}: record {number} of {promised}; {said}")
        self.assertEqual(len(where), 1, said)
        self.assertEqual(os.stat(os.path.join(pool.mountpoint, "link")).st_nlink, 2, said)
        left = [name for branch in self.branches for folder, names, files in os.walk(branch) for name in names + files
                if name.startswith(".boughfs")]
        self.assertEqual(left, [], said)
        return where.pop()

    def test_while_a_file_moves(self):
        wanted = 500 if self.long_form else 24
        on_each = dict.fromkeys(self.branches, 0)
        self.pause = 0.004
        pool = None
        turn = 0
        while sum(on_each.values()) < wanted:
            turn += 1
            self.assertLess(turn, 120, on_each)
            disks = os.path.join(self.room, f"disks{turn}")
            self.make(disks)
            self.plug(disks)
            info = os.statvfs(self.branches[0])
            self.free = info.f_bavail * info.f_frsize
            if pool is None:
                pool = self.pool([self.twin + "=NC", *self.branches], modes.Root(), OPTIONS)
            else:
                pool.start()
            writer = Writer(pool.mountpoint, turn, self.free // RECORD + 64)
            writer.start()
            shots = self.photograph(disks, writer)
            writer.join()
            self.assertIsNone(writer.error, pool.said())
            self.assertEqual(pool.unmount(), 0, pool.said())
            self.unplug()
            # some of each run: the clones of one are much alike
            for shot, promised in self.dice.sample(shots, min(len(shots), 12)):
                self.plug(shot)
                pool.start()
                on_each[self.check(turn, pool, promised)] += 1
                self.assertEqual(pool.unmount(), 0, pool.said())
                self.unplug()
            for name in os.listdir(self.room):
                os.unlink(os.path.join(self.room, name))
        self.assertTrue(all(on_each.values()), on_each)
