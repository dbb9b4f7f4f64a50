"""Files that the kernel reads and writes on the branch itself: no open fails because of another one, all see the same
bytes, nothing is kept of what was closed, and what a program may notice is as on a disk."""

import contextlib
import errno
import itertools
import mmap
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import fcntl
import kernel
import modes
import processes
import sandbox

PAGE = mmap.PAGESIZE
SIZE = 8 * PAGE


class Passing(sandbox.LiveCase):
    tools = ("mkfs.ext4", "getfattr")
    deadline = 120

    @classmethod
    def prepare(cls, folder, boughfs, long_form):
        if kernel.RELEASE < (6, 9):
            raise sandbox.CannotRun("Linux has passthrough from 6.9 on")
        super().prepare(folder, boughfs, long_form)

    def serve(self, branches, options=(), name="pool", mode=None):
        return self.pool(branches, mode or modes.Root(), ["minfreespace=0", *options], name)

    def option(self, pool, key, value=None):
        """Reads it, or sets it."""
        control = os.path.join(pool.mountpoint, ".boughfs")
        if value is not None:
            os.setxattr(control, "user.boughfs." + key, value.encode())
        return os.getxattr(control, "user.boughfs." + key).decode()

    def ends_well(self, pool, opened=True):
        """Nothing is held of what was closed; `opened`: something was passed through."""
        def nothing_left():
            counters = pool.counters()
            return counters["handles"] == 0 and counters["backing_files"] == 0
        self.eventually(nothing_left, 15, "no handle and no backing file is left")
        counters = pool.settle()
        self.assertEqual(counters["nodes"], 1, counters)
        for name in ("overdrawn", "handler_exceptions", "malformed"):
            self.assertEqual(counters.get(name, 0), 0, f"{name}: {counters}")
        self.assertEqual(counters["backing_files_opened"] > 0, opened, counters)
        self.assertEqual(pool.unmount(), 0, pool.said())
        return counters


class Handle:
    """One open file and what it is to show."""

    def __init__(self, path, content, access, direct, mapped):
        self.content = content
        self.readable, self.writable = access != os.O_WRONLY, access != os.O_RDONLY
        self.direct = direct
        self.fd = os.open(path, access | (os.O_DIRECT if direct else 0))
        self.map = None
        if mapped and self.readable:
            protection = mmap.PROT_READ | (mmap.PROT_WRITE if self.writable else 0)
            self.map = mmap.mmap(self.fd, SIZE, mmap.MAP_SHARED, protection)
        self.buffer = mmap.mmap(-1, SIZE)

    def write(self, page, value):
        """A page of that value, by the mapping or by a call."""
        data = bytes([value]) * PAGE
        self.content[page * PAGE:(page + 1) * PAGE] = data
        if self.map is not None:
            self.map[page * PAGE:(page + 1) * PAGE] = data
            self.map.flush()
            return
        self.buffer[:PAGE] = data
        written = os.pwrite(self.fd, memoryview(self.buffer)[:PAGE], page * PAGE)
        assert written == PAGE, written

    def shows(self):
        """What is wrong with what it shows."""
        wrong = []
        if self.readable:
            if os.preadv(self.fd, [self.buffer], 0) != SIZE or self.buffer[:] != self.content:
                wrong.append("read")
            if self.map is not None and self.map[:] != self.content:
                wrong.append("mapped")
        if os.fstat(self.fd).st_size != SIZE:
            wrong.append("size")
        return wrong

    def close(self):
        os.close(self.fd)
        if self.map is not None:
            self.map.close()


class Orders(Passing):
    """Every two and three opens of one file, each with the options that it has then."""
    deadline = 200
    long_deadline = 7200

    # (cache.files, passthrough.io)
    OPTIONS = (("auto", "auto"), ("auto", "off"), ("auto", "ro"), ("partial", "wo"), ("off", "rw"), ("off", "off"),
               ("full", "auto"), ("off", "ro"))
    KINDS = [(*options, access, direct, mapped, replaced)
             for options in OPTIONS
             for access in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR)
             for direct in (False, True)
             for mapped in (False, True) if not (mapped and access == os.O_WRONLY)
             for replaced in (False,)]
    # the file is another one on the branch when this comes
    KINDS += [("auto", "auto", os.O_RDWR, False, True, True), ("off", "off", os.O_RDWR, False, False, True)]

    def setUp(self):
        super().setUp()
        self.branch = self.file_system("ext4", "disk")
        self.served = self.serve([self.branch])
        self.now = {}
        self.replace()

    def replace(self):
        self.content = bytearray(SIZE)
        new = os.path.join(self.branch, "new")
        with open(new, "wb") as file:
            file.write(self.content)
        os.rename(new, os.path.join(self.branch, "file"))

    def open(self, kind):
        cache, past, access, direct, mapped, replaced = kind
        for key, value in (("cache.files", cache), ("passthrough.io", past)):
            if self.now.get(key) != value:
                self.option(self.served, key, value)
                self.now[key] = value
        if replaced:
            self.replace()
        return Handle(os.path.join(self.served.mountpoint, "file"), self.content, access, direct, mapped)

    def try_order(self, number, kinds):
        handles = []
        try:
            for kind in kinds:
                handles.append(self.open(kind))
                for page, handle in enumerate(handles):
                    if handle.writable:
                        handle.write(page, (number + page) % 255 + 1)
                for handle in handles:
                    wrong = handle.shows()
                    if wrong:
                        self.fail(f"{kinds}, the {handles.index(handle) + 1}. of {len(handles)}: {wrong}")
        except OSError as error:
            self.fail(f"{kinds}: open {len(handles) + 1}: {error}")
        finally:
            # in each order, over time
            random.Random(number).shuffle(handles)
            for handle in handles:
                handle.close()

    def test_pairs(self):
        for number, kinds in enumerate(itertools.product(self.KINDS, repeat=2)):
            self.try_order(number, kinds)
        self.ends_well(self.served)

    def test_triples(self):
        every = itertools.product(self.KINDS, repeat=3)
        chosen = every if self.long_form else random.Random(7).sample(list(every), 3000)
        for number, kinds in enumerate(chosen):
            self.try_order(number, kinds)
        self.ends_well(self.served)


class Opens(Passing):
    def branch_goes(self, pool):
        """Its disk can be unmounted while the pool is there: the kernel holds no file on it either."""
        disk = os.path.dirname(pool.branches[0])

        def unmounted():
            return subprocess.run(["umount", disk], capture_output=True, check=False).returncode == 0
        self.eventually(unmounted, 20, f"{disk} can be unmounted")
        self.made.remove(disk)
        self.assertEqual(pool.unmount(), 0, pool.said())

    def test_nothing_leaks(self):
        """Many at once, of the same files: each open of one comes beside the last close of another."""
        pool = self.serve([self.file_system("ext4", "disk")])
        total, failed = 100_000 if self.long_form else 3_000, []

        def client(seed):
            rng = random.Random(seed)
            held = []
            try:
                for number in range(total // 4):
                    path = os.path.join(pool.mountpoint, f"file{rng.randrange(5)}")
                    flags = rng.choice((os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND))
                    held.append(os.open(path, flags | os.O_CREAT, 0o644))
                    if rng.random() < 0.05:
                        held.append(os.open(pool.mountpoint, os.O_TMPFILE | os.O_RDWR))
                    if rng.random() < 0.02:
                        with contextlib.suppress(FileNotFoundError):
                            os.rename(path, f"{path}-{seed}")
                    while len(held) > rng.randrange(3):
                        os.close(held.pop(rng.randrange(len(held))))
            except OSError as error:
                failed.append(f"open {number} of client {seed}: {error}")
            for file in held:
                os.close(file)
        clients = [threading.Thread(target=client, args=[seed]) for seed in range(4)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        self.assertEqual(failed, [])

        def none_left():
            counters = pool.counters()
            return counters["handles"] == 0 and counters["backing_files"] == 0
        self.eventually(none_left, 15, "no backing file is left")
        opened = pool.counters()["backing_files_opened"]
        print(f"{opened} backing files for {total} opens")
        self.assertGreater(opened, total // 50)
        self.branch_goes(pool)

    def test_killed_clients(self):
        """SIGKILL in the middle of opens, reads, writes and mappings."""
        pool = self.serve([self.file_system("ext4", "disk")])
        code = """
import mmap, os, random, sys
rng = random.Random(int(sys.argv[2]))
held = []
print("ready", flush=True)
while True:
    file = os.open(f"{sys.argv[1]}/file{rng.randrange(4)}", os.O_RDWR | os.O_CREAT, 0o644)
    os.pwrite(file, b"x" * 5000, rng.randrange(9) * 4096)
    mapping = mmap.mmap(file, 4096)
    mapping[0] = 65
    held.append((file, mapping))
    if len(held) > 8:
        file, mapping = held.pop(rng.randrange(8))
        os.close(file)
"""
        for round_number in range(20 if self.long_form else 6):
            clients = [subprocess.Popen([sys.executable, "-c", code, pool.mountpoint, str(number)],
                                        stdout=subprocess.PIPE) for number in range(3)]
            for client in clients:
                self.assertEqual(client.stdout.readline(), b"ready\n")
            time.sleep(0.02 * round_number)
            for client in clients:
                client.kill()
            for client in clients:
                client.wait(20)
                client.stdout.close()
        self.ends_well(pool)

    def test_killed_server(self):
        """What is open goes on, on the branch; what is acknowledged is there."""
        branch = self.file_system("ext4", "disk")
        pool = self.serve([branch])
        file = os.open(os.path.join(pool.mountpoint, "file"), os.O_RDWR | os.O_CREAT)
        self.assertEqual(os.write(file, b"before"), 6)
        os.kill(pool.pid, signal.SIGKILL)
        pool.process.wait(20)
        with self.assertRaises(OSError) as refused:
            os.open(os.path.join(pool.mountpoint, "file"), os.O_RDONLY)
        self.assertIn(refused.exception.errno, (errno.ENOTCONN, errno.ECONNABORTED))
        self.assertEqual(os.pread(file, 100, 0), b"before")
        with contextlib.suppress(OSError):
            os.pwrite(file, b"!", 6)
        with contextlib.suppress(OSError):
            os.close(file)
        self.assertIn(Path(branch, "file").read_bytes(), (b"before", b"before!"))
        kernel.umount2(pool.mountpoint, kernel.MNT_DETACH)
        self.eventually(lambda: subprocess.run(["umount", os.path.dirname(branch)], capture_output=True,
                                               check=False).returncode == 0, 10, "the disk can be unmounted")
        self.made.remove(os.path.dirname(branch))


class Stacked(Passing):
    def use(self, pool):
        """Files made, read back, mapped and changed there."""
        path = os.path.join(pool.mountpoint, "file")
        for number in range(3):
            with open(f"{path}{number}", "w+b") as file:
                file.write(b"text" * 3000)
                file.flush()
                with mmap.mmap(file.fileno(), 12000) as mapping:
                    self.assertEqual(mapping[:4], b"text")
                    mapping[:4] = b"TEXT"
            with open(f"{path}{number}", "rb") as file:
                self.assertEqual(file.read(), b"TEXT" + b"text" * 2999)

    def check(self, branch, depth, passes):
        """Used with that depth; the pool is left mounted if it is to be."""
        pool = self.serve([branch], [f"passthrough.max-stack-depth={depth}"], f"outer{depth}")
        self.use(pool)
        self.assertEqual(self.option(pool, "passthrough.io"), "auto")
        said = Path(pool.log).read_text()
        counters = self.ends_well(pool, opened=passes)
        self.assertEqual(counters["backing_refusals"] == 0, passes, counters)
        self.assertEqual(said.count("are not passed through"), 0 if passes else 1, said)
        if not passes:
            self.assertIn("passthrough.max-stack-depth", said)
        for name in os.listdir(branch):
            os.unlink(os.path.join(branch, name))

    def test_overlayfs(self):
        disk = self.file_system("ext4", "disk")
        for name in ("lower", "upper", "work"):
            os.mkdir(os.path.join(disk, name))
        overlay = self.directory("overlay")
        kernel.mount("overlay", overlay, "overlay", data=",".join(
            f"{name}dir={disk}/{name}" for name in ("lower", "upper", "work")))
        self.made.append(overlay)
        self.check(overlay, 1, False)
        self.check(overlay, 2, True)

    def test_pool_that_passes(self):
        inner = self.serve([self.file_system("ext4", "disk")], name="inner")
        self.check(inner.mountpoint, 1, False)
        self.check(inner.mountpoint, 2, True)
        self.ends_well(inner)

    def test_pool_that_does_not(self):
        inner = self.serve([self.file_system("ext4", "disk")], ["cache.writeback=true", "cache.files=partial"], "inner")
        self.assertEqual(self.option(inner, "passthrough.io"), "off")
        self.assertIn("writeback", self.option(inner, "passthrough.why-off"))
        self.check(inner.mountpoint, 1, True)
        self.ends_well(inner, opened=False)


class WhoMay(Passing):
    tools = (*Passing.tools, "setpriv", "fusermount3", "setfattr")

    def not_allowed(self, of_mode, options=(), told=0):
        type(self).open_fuse_to_all(True)
        branch = self.directory("branch", owner=of_mode.uid)
        # after everything is mounted: a namespace takes a copy of the mounts
        pool = self.serve([branch], options, mode=of_mode())

        def key(name):
            return pool.run(["getfattr", "--only-values", "-n", "user.boughfs." + name, ".boughfs"],
                            cwd=pool.mountpoint)
        self.assertEqual(key("passthrough.io"), "off")
        self.assertIn("root", key("passthrough.why-off"))
        set_it = ["setfattr", "-n", "user.boughfs.passthrough.io", pool.mountpoint + "/.boughfs", "-v"]
        self.assertEqual(Path(pool.log).read_text().count("\n"), told)
        pool.run([*set_it, "off"])
        self.assertIn("Invalid argument", pool.run([*set_it, "rw"], good=(1,)))
        pool.shell("echo text > f; test \"$(cat f)\" = text")
        counters = pool.counters()
        self.assertEqual((counters["backing_files_opened"], counters["backing_refusals"]), (0, 0))
        self.assertEqual(pool.unmount(), 0, pool.said())

    def test_ordinary_user(self):
        self.not_allowed(modes.User)

    def test_ordinary_user_who_asks(self):
        self.not_allowed(modes.User, ["passthrough.io=rw"], told=1)

    def test_user_namespace(self):
        self.not_allowed(modes.UserNamespace)


class Full(Passing):
    """On disks where room is short."""

    def small(self, name, *options):
        path = self.path(name)
        with open(path + ".img", "wb") as file:
            file.truncate(64 << 20)
        os.mkdir(path)
        self.command(["mkfs.ext4", "-q", "-F", *options, path + ".img"])
        self.command(["mount", "-o", "loop", path + ".img", path])
        self.made.append(path)
        os.chmod(path, 0o777)
        return path

    def test_reserved_blocks(self):
        """They are root's, and not his in whose files a user writes."""
        path = self.small("small", "-m", "40")
        pool = self.serve([path])
        fill = "import os, sys\nfile = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)\ntotal = 0\n" \
               "try:\n    while True: total += os.write(file, b'x' * 65536)\n" \
               "except OSError as error: print(error.errno, total)"
        kept = {}
        for top, place in (("native", path), ("pool", pool.mountpoint)):
            said = self.command(modes.User().wrap([sandbox.PYTHON, "-c", fill, os.path.join(place, "full")]))
            error, kept[top] = map(int, said.split())
            self.assertEqual(error, errno.ENOSPC)
            os.unlink(os.path.join(path, "full"))
            os.sync()
        self.assertLess(abs(kept["pool"] - kept["native"]), 4 << 20, kept)
        self.ends_well(pool)

    def test_freed_room(self):
        """What was removed makes room for what comes next, at once."""
        pool = self.serve([self.small("small", "-m", "0")])
        room = os.statvfs(pool.branches[0])
        data = mmap.mmap(-1, room.f_bavail * room.f_frsize * 9 // 10)
        for number in range(60):
            path = os.path.join(pool.mountpoint, f"f{number}")
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            self.assertEqual(os.write(file, data), len(data), f"file {number}")
            os.close(file)
            os.unlink(path)
        self.ends_well(pool)


class AsOnADisk(Passing):
    """Each step natively and in a pool, with the same result."""

    def both(self, steps):
        seen = {}
        pool = self.serve([self.file_system("ext4", "disk")])
        for name, top in (("native", self.file_system("ext4", "native")), ("pool", pool.mountpoint)):
            seen[name] = list(steps(top))
        self.assertEqual(seen["pool"], seen["native"])
        self.ends_well(pool)

    def test_size_and_times(self):
        """Attributes that the kernel has cached of a file do not outlive a write or a truncation."""
        def steps(top):
            path = os.path.join(top, "f")
            file = os.open(path, os.O_RDWR | os.O_CREAT)
            other = os.open(path, os.O_RDONLY)
            last = None
            for change in (lambda: os.pwrite(file, b"x" * 100, 0), lambda: os.pwrite(file, b"y", 70_000),
                           lambda: os.ftruncate(file, 10), lambda: os.posix_fallocate(file, 0, 9000),
                           lambda: os.truncate(path, 20_000),
                           lambda: os.pwritev(file, [b"z" * 10], 0, os.RWF_APPEND)):
                time.sleep(0.02)
                change()
                found = [os.stat(path), os.fstat(file), os.fstat(other)]
                moved = None if last is None else found[0].st_mtime_ns > last.st_mtime_ns
                last = found[0]
                yield [each.st_size for each in found], [each.st_mtime_ns == last.st_mtime_ns for each in found], moved
                yield os.lseek(other, 0, os.SEEK_END), len(os.pread(other, 1 << 20, 0))
            os.close(file), os.close(other)
        self.both(steps)

    def test_stores(self):
        """A store into a mapping moves the times, at the latest when the cached attributes are over."""
        def steps(top):
            path = os.path.join(top, "f")
            with open(path, "w+b") as file:
                file.truncate(9000)
                before = os.stat(path)
                time.sleep(1.1)
                with mmap.mmap(file.fileno(), 9000) as mapping:
                    mapping[5000] = 65
                    mapping.flush()
                time.sleep(1.1)
                after = os.stat(path)
                yield after.st_mtime_ns > before.st_mtime_ns, after.st_size, os.pread(file.fileno(), 1, 5000)
        self.both(steps)

    def test_served_afterwards(self):
        """The page cache of a node that was bound before shows what was done meanwhile, by a mapping too."""
        pool = self.serve([self.file_system("tmpfs", "disk")], ["passthrough.io=off"])
        path = os.path.join(pool.mountpoint, "f")
        for number in range(1, 4):
            self.option(pool, "passthrough.io", "off")
            with open(path, "wb") as file:
                file.write(bytes([number]) * SIZE)
            time.sleep(0.1)
            for _ in range(2):
                with open(path, "rb") as file:
                    self.assertEqual(file.read(), bytes([number]) * SIZE)
            self.option(pool, "passthrough.io", "rw")
            with open(path, "r+b") as file, mmap.mmap(file.fileno(), SIZE) as mapping:
                mapping[:] = bytes([number + 100]) * SIZE
            self.option(pool, "passthrough.io", "off")
            self.eventually(lambda: pool.counters()["backing_files"] == 0, 5, "it is closed")
            with open(path, "rb") as file:
                self.assertEqual(file.read(), bytes([number + 100]) * SIZE)
        self.ends_well(pool)

    def test_set_ids(self):
        """A write clears them unless the writer may keep them."""
        def steps(top):
            path = os.path.join(top, "f")
            write = "import os, sys; os.write(os.open(sys.argv[1], os.O_WRONLY), b'x')"
            for mode in (0o6777, 0o6767, 0o4777, 0o2777):
                for writer in (modes.Root(), modes.User()):
                    with open(path, "w", encoding="ascii"):
                        os.chmod(path, mode)
                    self.command(writer.wrap([sandbox.PYTHON, "-c", write, path]))
                    yield oct(mode), writer.name, oct(os.stat(path).st_mode)
            # set while the writer has it open already
            for owner in (0, modes.USER):
                os.chown(path, owner, owner)
                os.chmod(path, 0o666)
                late = subprocess.Popen(modes.User().wrap([sandbox.PYTHON, "-c", """
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY)
print("open", flush=True)
sys.stdin.readline()
os.write(file, b"x")""", path]), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                self.assertEqual(late.stdout.readline(), b"open\n")
                os.chmod(path, 0o6777)
                late.communicate(b"\n", timeout=20)
                yield owner, oct(os.stat(path).st_mode)
        self.both(steps)

    def test_file_size_limit(self):
        def steps(top):
            path = os.path.join(top, "f")
            child = os.fork()
            if child == 0:
                resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                file = os.open(path, os.O_WRONLY | os.O_CREAT)
                total = 0
                try:
                    while True:
                        total += os.write(file, b"x" * 2000)
                except OSError as error:
                    os._exit(1 if error.errno == errno.EFBIG and total == 5000 else 2)
            yield os.waitpid(child, 0)[1], os.stat(path).st_size
            child = os.fork()
            if child == 0:
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                os.pwrite(os.open(path, os.O_WRONLY), b"x", 6000)
                os._exit(0)
            yield os.WTERMSIG(os.waitpid(child, 0)[1])
        self.both(steps)

    def test_flags_cleared(self):
        """dd clears O_DIRECT for a last block that is not whole; O_APPEND cleared means it."""
        source = self.path("source")
        Path(source).write_bytes(os.urandom(1_048_676))

        def steps(top):
            path = os.path.join(top, "f")
            self.command(["dd", f"if={source}", f"of={path}", "bs=64k", "oflag=direct"])
            yield Path(path).read_bytes() == Path(source).read_bytes()
            file = os.open(path, os.O_RDWR | os.O_APPEND)
            fcntl.fcntl(file, fcntl.F_SETFL, os.O_RDWR)
            yield os.pwrite(file, b"here", 0), os.fstat(file).st_size, os.pread(file, 4, 0)
            fcntl.fcntl(file, fcntl.F_SETFL, os.O_RDWR | os.O_APPEND)
            yield os.pwrite(file, b"there", 0), os.fstat(file).st_size, os.pread(file, 4, 0)
            os.close(file)
        self.both(steps)

    def test_programs(self):
        """What runs cannot be written; what is open for writing cannot run."""
        def steps(top):
            path = os.path.join(top, "sleep")
            self.command(["cp", "/bin/sleep", path])
            program = subprocess.Popen([path, "100"])
            self.eventually(lambda: Path(f"/proc/{program.pid}/comm").read_text() == "sleep\n", 5, "it runs")
            with self.assertRaises(OSError) as busy:
                os.open(path, os.O_WRONLY)
            yield busy.exception.errno
            program.kill()
            program.wait()
            file = os.open(path, os.O_WRONLY)
            with self.assertRaises(OSError) as busy:
                subprocess.run([path, "0"], check=False)
            yield busy.exception.errno
            os.close(file)
            yield subprocess.run([path, "0"], check=False).returncode
        self.both(steps)


class Live(Passing):
    """Options that change on a live pool."""

    def test_next_open(self):
        trace = self.path("trace")
        pool = self.serve([self.file_system("tmpfs", "disk")], [f"trace={trace}"])
        path = os.path.join(pool.mountpoint, "f")
        Path(path).write_bytes(b"text" + bytes(SIZE))
        first = os.open(path, os.O_RDONLY)
        self.option(pool, "passthrough.io", "off")
        second = os.open(path, os.O_RDWR)
        self.assertEqual((os.pread(first, 4, 0), os.pread(second, 4, 0)), (b"text", b"text"))
        os.pwrite(second, b"more", 4)
        self.assertEqual(os.pread(first, 8, 0), b"textmore")
        os.close(first), os.close(second)
        self.eventually(lambda: pool.counters()["handles"] == 0, 5, "it is closed")
        third = os.open(path, os.O_RDONLY)
        self.assertEqual(os.pread(third, 8, 0), b"textmore")
        os.close(third)
        replies = [line.split("open=")[1].split()[0:2] for line in Path(trace).read_text().splitlines()
                   if " OPEN " in line and "open=" in line]
        ids = [words[1] for words in replies if words[1].startswith("backing_id=")]
        flags = [set(words[0].split("|")) - {"NOFLUSH", "0", "PARALLEL_DIRECT_WRITES"} for words in replies]
        self.assertEqual(flags[-3:], [{"PASSTHROUGH"}, {"PASSTHROUGH", "DIRECT_IO"}, set()])
        self.assertEqual(ids[-2], ids[-1])
        self.assertEqual(self.option(pool, "passthrough.why-off"), "")
        self.ends_well(pool)

    def test_chosen(self):
        """What an explicit mode passes, it passes alone."""
        pool = self.serve([self.file_system("tmpfs", "disk")], ["cache.files=off"])
        path = os.path.join(pool.mountpoint, "f")
        for past, reads, writes in (("ro", 0, 1), ("wo", 1, 0), ("rw", 0, 0), ("auto", 1, 1), ("off", 1, 1)):
            self.option(pool, "passthrough.io", past)
            before = pool.counters()
            with open(path, "wb", buffering=0) as file:
                file.write(b"text")
            self.eventually(lambda: pool.counters()["handles"] == 0, 5, "it is closed")
            with open(path, "rb", buffering=0) as file:
                self.assertEqual(file.read(4), b"text")
            self.eventually(lambda: pool.counters()["handles"] == 0, 5, "it is closed")
            after = pool.counters()
            self.assertEqual([after.get(f"requests_{kind}", 0) - before.get(f"requests_{kind}", 0)
                              for kind in ("read", "write")], [reads, writes], past)
        self.ends_well(pool)

    def test_measuring(self):
        """nullrw is to see each byte."""
        pool = self.serve([self.file_system("tmpfs", "disk")], ["nullrw=true"])
        self.assertEqual(self.option(pool, "passthrough.io"), "off")
        self.assertIn("nullrw", self.option(pool, "passthrough.why-off"))
        Path(pool.mountpoint, "f").write_bytes(b"text")
        self.ends_well(pool, opened=False)
