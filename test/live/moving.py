"""moveonenospc: files whose branch fills up go on elsewhere, with all that is open of them. Each byte that
a program was told is written is there afterwards: by every handle and every name, after a remount, and
after the daemon was killed at any moment."""

import errno
import mmap
import os
import random
import signal
import subprocess
import threading
import time

import kernel
import modes
import sandbox

BLOCK = 4096
RECORD = 16384
# rewritten at random; records are appended behind it
HEAD = 256 * BLOCK
OPTIONS = ["minfreespace=0", "moveonenospc=true", "category.create=ff"]


def record(number):
    return number.to_bytes(8, "little") * (RECORD // 8)


def block(number, version):
    return (number << 32 | version).to_bytes(8, "little") * (BLOCK // 8)


class Users:
    """One file and those who use it at the same time, until it has so many records."""

    def __init__(self, path, records, flags):
        self.path, self.records = path, records
        self.appended = 0
        self.versions = [0] * (HEAD // BLOCK)
        self.errors = []
        self.names = [path]
        with open(path, "xb") as file:
            for number in range(HEAD // BLOCK):
                file.write(block(number, 0))
        self.appender = os.open(path, os.O_WRONLY | os.O_APPEND | flags)
        self.rewriter = os.open(path, os.O_RDWR)
        self.reader = os.open(path, os.O_RDONLY)
        self.mapping = mmap.mmap(self.reader, HEAD, mmap.MAP_SHARED, mmap.PROT_READ)

    def run(self):
        self.over = False
        threads = [threading.Thread(target=self.guard, args=[each])
                   for each in (self.append, self.rewrite, self.read, self.look, self.rename)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    def guard(self, work):
        try:
            work()
        except BaseException as error:  # pylint: disable=broad-except
            self.errors.append(f"{work.__name__}: {error!r}")
        finally:
            if work == self.append:
                self.over = True

    def append(self):
        while self.appended < self.records:
            wrote = os.write(self.appender, record(self.appended))
            if wrote != RECORD:
                raise AssertionError(f"{wrote} bytes written of record {self.appended}")
            self.appended += 1

    def rewrite(self):
        dice = random.Random(1)
        while not self.over:
            number = dice.randrange(len(self.versions))
            version = self.versions[number] + 1
            if os.pwrite(self.rewriter, block(number, version), number * BLOCK) != BLOCK:
                raise AssertionError("a short write")
            self.versions[number] = version

    def read(self):
        dice = random.Random(2)
        while not self.over:
            there = self.appended
            if there == 0:
                continue
            number = dice.randrange(there)
            if os.pread(self.reader, RECORD, HEAD + number * RECORD) != record(number):
                raise AssertionError(f"record {number} of {there} is not what was written")

    def look(self):
        while not self.over:
            for number in range(0, len(self.versions), 7):
                low = int.from_bytes(self.mapping[number * BLOCK:number * BLOCK + 8], "little")
                if low >> 32 != number:
                    raise AssertionError(f"block {number} is that of another: {low:x}")
            time.sleep(0.001)

    def rename(self):
        while self.appended < self.records // 3 and not self.over:
            time.sleep(0.001)
        folder = os.path.dirname(self.path)
        other = os.path.join(folder, "other")
        os.makedirs(other, exist_ok=True)
        linked = os.path.join(other, os.path.basename(self.path) + "-link")
        os.link(self.path, linked)
        while self.appended < self.records * 2 // 3 and not self.over:
            time.sleep(0.001)
        moved = self.path + "-moved"
        os.rename(self.path, moved)
        self.names = [linked, moved]

    def expected(self):
        return (b"".join(block(number, version) for number, version in enumerate(self.versions)) +
                b"".join(record(number) for number in range(self.appended)))

    def close(self):
        self.mapping.close()
        for each in (self.appender, self.rewriter, self.reader):
            os.close(each)


def holders(branches, name):
    return [branch for branch in branches if os.path.lexists(os.path.join(branch, name))]


class Moving(sandbox.LiveCase):
    tools = ("mkfs.ext4",)
    deadline = 120

    def content(self, path):
        with open(path, "rb") as file:
            return file.read()

    def one_round(self, number, pool, branches, flags):
        small = branches[0]
        users = Users(os.path.join(pool.mountpoint, f"file{number}"), 1600, flags)
        self.assertEqual(holders(branches, f"file{number}"), [small])
        users.run()
        self.assertEqual(users.errors, [])
        wanted = users.expected()
        for each in (users.reader, users.rewriter):
            self.assertTrue(os.pread(each, len(wanted) + 1, 0) == wanted, "by a handle")
        self.assertTrue(users.mapping[:] == wanted[:HEAD], "by a mapping")
        for name in users.names:
            self.assertTrue(self.content(name) == wanted, name)
            relative = os.path.relpath(name, pool.mountpoint)
            self.assertEqual(len(holders(branches, relative)), 1, relative)
            self.assertNotEqual(holders(branches, relative), [small], relative)
        infos = [os.stat(name) for name in users.names] + [os.fstat(users.reader)]
        self.assertEqual(len({(info.st_dev, info.st_ino, info.st_nlink) for info in infos}), 1, infos)
        users.close()
        return users.names, wanted

    def used_while_it_moves(self, kind, rounds):
        branches = [self.file_system("tmpfs", "small", megabytes=16),
                    self.file_system(kind, "large", megabytes=96)]
        pool = self.pool(branches, modes.Root(), OPTIONS)
        start = pool.settle()
        for number in range(rounds):
            names, wanted = self.one_round(number, pool, branches, os.O_DIRECT if number % 3 == 2 else 0)
            if number == 0:
                self.assertEqual(pool.unmount(), 0, pool.said())
                pool.start()
                for name in names:
                    self.assertTrue(self.content(name) == wanted, f"{name} after a remount")
            for name in names:
                os.unlink(name)
            self.assertEqual([name for branch in branches for name in os.listdir(branch)
                              if name.startswith(".boughfs")], [])
        end = pool.settle()
        for name in ("nodes", "handles", "lookups", "holds", "victims"):
            self.assertEqual(end[name], start[name], name)
        self.assertEqual(end["refused_moves"], 0, pool.said())

    def test_used_tmpfs(self):
        self.used_while_it_moves("tmpfs", 100 if self.long_form else 3)

    def test_used_ext4(self):
        self.used_while_it_moves("ext4", 100 if self.long_form else 3)

    def test_writers_together(self):
        """Four that were opened while there was room."""
        branches = [self.file_system("tmpfs", "small", megabytes=16),
                    self.file_system("ext4", "middle", megabytes=48),
                    self.file_system("tmpfs", "large", megabytes=64)]
        pool = self.pool(branches, modes.Root(), ["minfreespace=0", "moveonenospc=pfrd", "category.create=ff"])
        for turn in range(20 if self.long_form else 2):
            paths = [os.path.join(pool.mountpoint, f"d{number}", f"{turn}") for number in range(4)]
            for path in paths:
                os.makedirs(os.path.dirname(path), exist_ok=True)
            files = [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL) for path in paths]
            errors = []

            def write(file):
                try:
                    for number in range(14 << 20 >> 14):
                        if os.write(file, record(number)) != RECORD:
                            raise AssertionError("a short write")
                    os.fsync(file)
                except BaseException as error:  # pylint: disable=broad-except
                    errors.append(repr(error))

            threads = [threading.Thread(target=write, args=[file]) for file in files]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            self.assertEqual(errors, [], pool.said())
            wanted = b"".join(record(number) for number in range(14 << 20 >> 14))
            for file, path in zip(files, paths):
                os.close(file)
                self.assertTrue(self.content(path) == wanted, path)
                self.assertEqual(len(holders(branches, os.path.relpath(path, pool.mountpoint))), 1, path)
                os.unlink(path)

    def test_interrupted(self):
        """Who waits for a move can be stopped; the pool serves others meanwhile."""
        # so large that the move is seen however busy the machine is
        branches = [self.file_system("tmpfs", "small", megabytes=300), self.file_system("ext4", "large", megabytes=900)]
        pool = self.pool(branches, modes.Root(), OPTIONS)
        path = os.path.join(pool.mountpoint, "file")
        writer = subprocess.Popen(["dd", "if=/dev/zero", f"of={path}", "bs=1M", "status=none"], cwd="/")
        control = os.path.join(pool.mountpoint, ".boughfs")
        deadline = time.monotonic() + 30
        while not os.getxattr(control, "user.boughfs.moves") and writer.poll() is None:
            self.assertLess(time.monotonic(), deadline, "nothing moves")
        with open(os.path.join(pool.mountpoint, "small"), "xb") as file:
            file.write(b"text")
        writer.send_signal(signal.SIGINT)
        self.assertIn(writer.wait(30), (-signal.SIGINT, 130))
        self.eventually(lambda: len(holders(branches, "file")) == 1, 30, "one copy")
        self.assertEqual(self.content(os.path.join(pool.mountpoint, "small")), b"text")

    def test_no_room_anywhere(self):
        branches = [self.file_system("tmpfs", "one", megabytes=8), self.file_system("tmpfs", "other", megabytes=8)]
        pool = self.pool(branches, modes.Root(), OPTIONS)
        path = os.path.join(pool.mountpoint, "file")
        with open(path, "xb", buffering=0) as file:
            with self.assertRaises(OSError) as caught:
                for number in range(16 << 20 >> 14):
                    file.write(record(number))
        self.assertEqual(caught.exception.errno, errno.ENOSPC)
        self.assertEqual(len(holders(branches, "file")), 1)
        self.assertEqual([name for branch in branches for name in os.listdir(branch)], ["file"])
        self.assertGreaterEqual(os.stat(path).st_size, 7 << 20)

    def test_killed(self):
        """The daemon, at any moment: after the next start each file is whole, in one place."""
        small = self.file_system("tmpfs", "small", megabytes=12)
        large = self.file_system("ext4", "large", megabytes=200)
        branches = [small, large]
        dice = random.Random(3)
        on_each = {small: 0, large: 0}
        # finds out how long a move takes here
        longest = 0.02
        pool = self.pool(branches, modes.Root(), OPTIONS)
        for turn in range(500 if self.long_form else 12):
            os.mkdir(os.path.join(pool.mountpoint, "d"))
            path = os.path.join(pool.mountpoint, "d", "file")
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.link(path, os.path.join(pool.mountpoint, "link"))
            done = [0]
            near = threading.Event()

            def write():
                try:
                    while True:
                        if os.write(file, record(done[0])) != RECORD:
                            return
                        done[0] += 1
                        if done[0] * RECORD > (12 << 20) - (64 << 10):
                            near.set()
                except OSError:
                    near.set()

            writer = threading.Thread(target=write)
            writer.start()
            self.assertTrue(near.wait(30))
            time.sleep(dice.random() * longest)
            pool.process.kill()
            pool.process.wait()
            writer.join()
            try:
                os.close(file)
            except OSError:
                pass
            kernel.umount2(pool.mountpoint, kernel.MNT_DETACH)
            pool.start()
            wanted = b"".join(record(number) for number in range(done[0]))
            for name in ("d/file", "link"):
                self.assertEqual(len(holders(branches, name)), 1, f"turn {turn}, {name}: {pool.said()}")
                got = self.content(os.path.join(pool.mountpoint, name))
                # a record may be there that nobody was told of
                self.assertTrue(got[:len(wanted)] == wanted, f"turn {turn}, {name}: {len(got)} of {len(wanted)} bytes")
            was_moved = holders(branches, "link") == [large]
            on_each[large if was_moved else small] += 1
            longest *= 0.8 if was_moved else 1.25
            self.assertEqual(os.stat(os.path.join(pool.mountpoint, "link")).st_nlink, 2)
            for path in [os.path.join(branch, name) for branch in branches for name in os.listdir(branch)]:
                if os.path.basename(path).startswith(".boughfs"):
                    # at most a directory that was just being made
                    os.rmdir(path)
            for name in ("d/file", "link"):
                os.unlink(os.path.join(pool.mountpoint, name))
            os.rmdir(os.path.join(pool.mountpoint, "d"))
        if self.long_form:
            self.assertTrue(all(on_each.values()), on_each)

    def test_pinned(self):
        """A file that the kernel reads by itself stays where it is, and status can tell of it."""
        branches = [self.file_system("tmpfs", "small", megabytes=8), self.file_system("tmpfs", "large", megabytes=64)]
        pool = self.pool(branches, modes.Root(), OPTIONS)
        control = os.path.join(pool.mountpoint, ".boughfs")
        if os.getxattr(control, "user.boughfs.passthrough.why-off"):
            self.skipTest("nothing is passed through here")
        path = os.path.join(pool.mountpoint, "file")
        with open(path, "xb") as file:
            file.write(record(0) * 4)
        reader = os.open(path, os.O_RDONLY)
        writer = os.open(path, os.O_WRONLY)
        self.assertEqual(os.getxattr(control, "user.boughfs.pinned-files"), b"1")
        self.assertIn("cannot move to another branch, as they are passed through: 1\n",
                      self.command([self.boughfs, "status", pool.mountpoint]))
        with self.assertRaises(OSError) as caught:
            for number in range(10 << 20 >> 14):
                os.pwrite(writer, record(number), number * RECORD)
        self.assertEqual(caught.exception.errno, errno.ENOSPC)
        self.assertEqual(holders(branches, "file"), branches[:1])
        os.close(reader)
        os.close(writer)
        self.eventually(lambda: os.getxattr(control, "user.boughfs.pinned-files") == b"0", 10, "none is pinned")
        # the one who writes came first: readers do not keep it
        with open(path, "r+b", buffering=0) as file, open(path, "rb") as other:
            for number in range(10 << 20 >> 14):
                file.write(record(number))
            self.assertEqual(other.read(RECORD), record(0))
        self.assertEqual(holders(branches, "file"), branches[1:])
