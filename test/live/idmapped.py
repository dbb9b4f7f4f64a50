"""allow-idmap: a pool's mount with other owners behaves as a file system's own."""

import contextlib
import ctypes
import errno
import os
import stat
import struct
import subprocess
import sys
import traceback
from pathlib import Path

import kernel
import modes
import sandbox

# what is on the disks, and who that is where the mount is idmapped
FIRST, COUNT = 100000, 65536
OWNER, OTHER = 1000, 1001
CLONE_NEWUSER = 0x10000000
SYS_OPEN_TREE, SYS_MOVE_MOUNT, SYS_MOUNT_SETATTR = 428, 429, 442
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC, MOVE_MOUNT_F_EMPTY_PATH = 1, os.O_CLOEXEC, 4
MOUNT_ATTR_IDMAP = 0x100000
BLOCK = b"x" * 5000

_libc = ctypes.CDLL(None, use_errno=True)


def system(number, *arguments):
    result = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


class Namespace:
    """A user namespace whose ids from 0 on are FIRST and those after it outside."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "-U", "sh", "-c", "echo ready; exec cat"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, cwd="/")
        if self.holder.stdout.readline() != b"ready\n":
            raise AssertionError("no user namespace")
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{self.holder.pid}/{name}").write_text(f"0 {FIRST} {COUNT}\n")
        self.fd = os.open(f"/proc/{self.holder.pid}/ns/user", os.O_RDONLY)

    def close(self):
        os.close(self.fd)
        self.holder.stdin.close()
        self.holder.stdout.close()
        self.holder.wait()


def mount_with_owners(source, target, namespace):
    """mount --bind -o X-mount.idmap=…, which Debian 12's mount(8) does not have."""
    tree = system(SYS_OPEN_TREE, kernel.AT_FDCWD, source.encode(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
    try:
        attributes = struct.pack("=QQQQ", MOUNT_ATTR_IDMAP, 0, 0, namespace)
        system(SYS_MOUNT_SETATTR, tree, b"", kernel.AT_EMPTY_PATH, attributes, ctypes.c_size_t(len(attributes)))
        system(SYS_MOVE_MOUNT, tree, b"", kernel.AT_FDCWD, target.encode(), MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree)


def in_child(body):
    """What `body` returns, told by a child process that may change who it is."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(ours)
            with os.fdopen(theirs, "w") as out:
                out.write(repr(body()))
            status = 0
        except BaseException:  # pylint: disable=broad-exception-caught
            traceback.print_exc(file=sys.stdout)
            sys.stdout.flush()
        os._exit(status)
    os.close(theirs)
    with os.fdopen(ours) as told:
        text = told.read()
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        raise AssertionError("the child failed")
    return eval(text, {"__builtins__": {}})  # pylint: disable=eval-used


class Calls:
    """Makes calls and keeps what came of each."""

    def __init__(self):
        self.results = []

    def rec(self, what, call, *arguments, **more):
        try:
            result = call(*arguments, **more)
        except OSError as error:
            result = errno.errorcode[error.errno]
        self.results.append((what, result if isinstance(result, (int, str, bytes, tuple)) else None))

    @contextlib.contextmanager
    def opened(self, what, path, flags, mode=0o644):
        try:
            fd = os.open(path, flags, mode)
        except OSError as error:
            self.results.append((what, errno.errorcode[error.errno]))
            yield None
            return
        self.results.append((what, "open"))
        try:
            yield fd
        finally:
            os.close(fd)

    def write(self, what, path, flags=0, mode=0o644):
        with self.opened(what, path, os.O_WRONLY | flags, mode) as fd:
            if fd is not None:
                self.rec(what + ": write", os.write, fd, BLOCK)

    def mode(self, path):
        self.rec("mode of " + path, lambda: oct(os.lstat(path).st_mode))

    def owner(self, path):
        self.rec("owner of " + path, lambda: (os.lstat(path).st_uid, os.lstat(path).st_gid))


def as_container_root():
    """Root of the namespace fills the place."""
    calls = Calls()
    rec = calls.rec
    for name, mode in (("d", 0o755), ("open", 0o777), ("shared", 0o2775)):
        rec("mkdir", os.mkdir, name)
        rec("chmod", os.chmod, name, mode)
    rec("give away", os.chown, "d", OWNER, OWNER)
    rec("give the group", os.chown, "shared", OWNER, OTHER)
    rec("set-gid again", os.chmod, "shared", 0o2775)
    rec("to nobody here", os.chown, "d", COUNT + 5, -1)
    calls.write("f", "f", os.O_CREAT | os.O_EXCL)
    rec("f to the user", os.chown, "f", OWNER, OTHER)
    calls.write("kept", "kept", os.O_CREAT)
    rec("fifo", os.mkfifo, "fifo", 0o600)
    rec("device", os.mknod, "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    rec("link", os.link, "f", "f-too")
    rec("symlink", os.symlink, "f", "symlink")
    rec("lchown", os.chown, "symlink", OTHER, OTHER, follow_symlinks=False)
    rec("rename", os.rename, "f-too", "open/f-too")
    calls.write("in the set-gid directory", "shared/made", os.O_CREAT)
    for name in ("d", "f", "kept", "fifo", "symlink", "shared/made"):
        calls.owner(name)
    calls.write("of root, with set-ids", "tool", os.O_CREAT)
    rec("set-ids", os.chmod, "tool", 0o6777)
    calls.write("tool again", "tool")
    calls.mode("tool")
    with calls.opened("flags", "kept", os.O_RDONLY) as fd:
        rec("nodump", kernel.set_flags, fd, kernel.get_flags(fd) | kernel.FS_NODUMP_FL)
        rec("immutable", kernel.set_flags, fd, kernel.get_flags(fd) | kernel.FS_IMMUTABLE_FL)
        rec("what they are", lambda: kernel.get_flags(fd) & (kernel.FS_NODUMP_FL | kernel.FS_IMMUTABLE_FL))
    rec("user xattr", os.setxattr, "kept", "user.note", b"text")
    rec("trusted xattr", os.setxattr, "kept", "trusted.note", b"text")
    rec("file capability", os.setxattr, "kept", "security.capability", struct.pack("<5I", 0x2000000, 1, 0, 0, 0))
    return calls.results


def as_container_user():
    """A user of the namespace, whose directory d is."""
    calls = Calls()
    rec = calls.rec
    calls.write("new", "d/new", os.O_CREAT)
    rec("mkdir", os.mkdir, "d/sub")
    rec("elsewhere", os.mkdir, "sub")
    rec("in the open one", os.mkdir, "open/sub")
    calls.write("in the set-gid directory", "shared/of-the-user", os.O_CREAT)
    rec("subdirectory of it", os.mkdir, "shared/sub")
    for name in ("d/new", "d/sub", "open/sub", "shared/of-the-user", "shared/sub"):
        calls.owner(name)
    calls.mode("shared/sub")
    calls.write("root's", "kept")
    calls.write("own, made by root", "f", os.O_APPEND)
    rec("truncate up", os.truncate, "f", 20000)
    rec("truncate", os.truncate, "f", 100)
    rec("truncate root's", os.truncate, "kept", 1)
    with calls.opened("own", "d/new", os.O_RDWR) as fd:
        rec("fallocate", kernel.fallocate, fd, 0, 0, 40000)
        rec("punch", kernel.fallocate, fd, kernel.FALLOC_PUNCH_HOLE | kernel.FALLOC_KEEP_SIZE, 0, 4096)
        with calls.opened("copy", "d/copy", os.O_RDWR | os.O_CREAT) as to:
            rec("copied", os.copy_file_range, fd, to, 30000)
    calls.write("cut by open", "d/copy", os.O_TRUNC)
    rec("set-ids of own", os.chmod, "d/new", 0o6755)
    calls.mode("d/new")
    calls.write("own with set-ids", "d/new")
    calls.mode("d/new")
    rec("set-ids again", os.chmod, "d/new", 0o6755)
    rec("cut with set-ids", os.truncate, "d/new", 7)
    calls.mode("d/new")
    calls.write("root's with set-ids", "tool")
    calls.mode("tool")
    rec("give away", os.chown, "d/new", OTHER, -1)
    rec("own group", os.chown, "d/new", -1, OWNER)
    rec("times", os.utime, "d/new", (1, 2))
    rec("times of root's", os.utime, "kept", (1, 2))
    rec("remove root's", os.unlink, "kept")
    rec("remove root's elsewhere", os.unlink, "open/f-too")
    rec("xattr", os.setxattr, "d/new", "user.note", b"text")
    rec("xattr of root's", os.setxattr, "kept", "user.note", b"other")
    rec("its xattrs", lambda: tuple(os.listxattr("kept")))
    with calls.opened("flags", "d/new", os.O_RDONLY) as fd:
        rec("nodump", kernel.set_flags, fd, kernel.get_flags(fd) | kernel.FS_NODUMP_FL)
        rec("append-only", kernel.set_flags, fd, kernel.get_flags(fd) | kernel.FS_APPEND_FL)
    return calls.results


def as_first_root():
    """Root of the machine is nobody where the mount is idmapped, and may nearly everything."""
    calls = Calls()
    rec = calls.rec
    calls.write("new", "d/of-root", os.O_CREAT)
    rec("mkdir", os.mkdir, "d/of-root.d")
    rec("symlink", os.symlink, "x", "d/of-root.l")
    calls.owner("d/new")
    calls.write("a user's", "d/new", os.O_APPEND)
    rec("set-ids", os.chmod, "d/new", 0o6755)
    calls.write("a user's with set-ids", "d/new")
    with calls.opened("the same", "d/new", os.O_RDWR) as fd:
        rec("allocated", kernel.fallocate, fd, 0, 0, 60000)
    rec("cut", os.truncate, "d/new", 70000)
    calls.mode("d/new")
    rec("trusted", os.setxattr, "kept", "trusted.note", b"text")
    rec("listed", lambda: tuple(sorted(os.listxattr("kept"))))
    with calls.opened("flags", "kept", os.O_RDONLY) as fd:
        rec("immutable", kernel.set_flags, fd, kernel.get_flags(fd) | kernel.FS_IMMUTABLE_FL)
        calls.write("immutable", "kept")
        rec("not any more", kernel.set_flags, fd, kernel.get_flags(fd) & ~kernel.FS_IMMUTABLE_FL)
    rec("given to one of there", os.chown, "d/copy", FIRST + OTHER, FIRST + OTHER)
    rec("given to one that is none there", os.chown, "d/copy", 5, 5)
    calls.owner("d/copy")
    rec("removed", os.unlink, "fifo")
    return calls.results


def as_stranger():
    """A user of the machine whom the mount does not know."""
    calls = Calls()
    calls.write("new", "open/of-a-stranger", os.O_CREAT)
    calls.rec("mkdir", os.mkdir, "open/of-a-stranger.d")
    calls.write("tool", "tool")
    calls.mode("tool")
    calls.rec("read", lambda: Path("kept").read_bytes())
    return calls.results


def become(namespace, uid):
    """`namespace`: the descriptor of a user namespace, or nothing."""
    os.setgroups([])
    if namespace is not None and _libc.setns(namespace, CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.setresgid(uid, uid, uid)
    # who was root of there before loses the rights
    os.setresuid(0, 0, 0)
    os.setresuid(uid, uid, uid)


def tree_of(top):
    """Every name below, with what it is."""
    found = []
    for folder, directories, files in os.walk(top):
        for name in sorted(directories + files):
            path = os.path.join(folder, name)
            info = os.lstat(path)
            content = Path(path).read_bytes() if stat.S_ISREG(info.st_mode) else b""
            found.append((os.path.relpath(path, top), oct(info.st_mode), info.st_uid, info.st_gid, content))
    return sorted(found)


class Idmapped(sandbox.LiveCase):
    tools = ("mkfs.ext4", "unshare", "getfattr")

    @classmethod
    def prepare(cls, folder, boughfs, long_form):
        super().prepare(folder, boughfs, long_form)
        if kernel.RELEASE < (6, 12):
            raise sandbox.CannotRun("no idmapped FUSE mounts before Linux 6.12")

    def setUp(self):
        super().setUp()
        self.namespace = Namespace()

    def tearDown(self):
        for path in self.mapped:
            kernel.umount2(path, kernel.MNT_DETACH)
        self.namespace.close()
        super().tearDown()

    mapped = ()

    def map_owners(self, source, name):
        target = self.directory(name)
        mount_with_owners(source, target, self.namespace.fd)
        self.mapped = (*self.mapped, target)
        return target

    def run_in(self, place, body, uid, inside):
        def run():
            os.chdir(place)
            os.umask(0o022)
            become(self.namespace.fd if inside else None, uid)
            return body()
        return in_child(run)

    def both(self, count, options=()):
        """The same calls in an idmapped ext4 and in an idmapped pool of such."""
        native = self.file_system("ext4", "native", flags="dev")
        branches = [self.file_system("ext4", f"disk{number}", flags="dev") for number in range(count)]
        for top in (native, *branches):
            os.chmod(top, 0o755)
        pool = self.pool(branches, modes.Root(), ["minfreespace=1M", "allow-idmap", "dev", *options])
        places = [self.map_owners(native, "native-mapped"), self.map_owners(pool.mountpoint, "pool-mapped")]
        told = {place: [] for place in places}
        for body, uid, inside in ((as_container_root, 0, True), (as_container_user, OWNER, True),
                                  (as_first_root, 0, False), (as_stranger, 4321, False)):
            for place in places:
                told[place] += [(body.__name__, *line) for line in self.run_in(place, body, uid, inside)]
        self.assertGreater(len(told[places[0]]), 100)
        self.assertEqual(told[places[0]], told[places[1]])
        self.assertEqual(tree_of(places[0]), tree_of(places[1]))
        self.assertEqual(tree_of(native), tree_of(pool.mountpoint))
        if count == 1:
            self.assertEqual(tree_of(native), tree_of(branches[0]))
        return pool, places

    def finish(self, pool):
        for path in self.mapped:
            kernel.umount2(path, kernel.MNT_DETACH)
        self.mapped = ()
        self.assertEqual(pool.unmount(), 0, pool.said())

    def test_one_branch(self):
        pool, places = self.both(1)
        # the same place twice, told apart by who is looked at
        self.assertEqual(os.lstat(os.path.join(pool.mountpoint, "d")).st_uid, OWNER)
        self.assertEqual(os.lstat(os.path.join(places[1], "d")).st_uid, FIRST + OWNER)
        self.finish(pool)

    def test_three_branches(self):
        self.finish(self.both(3)[0])

    def test_without_passthrough(self):
        self.finish(self.both(1, ["passthrough.io=off", "cache.files=off"])[0])

    def test_cached(self):
        self.finish(self.both(1, ["cache.files=full", "link-cow=true", "posix-acl=true"])[0])

    def test_off_by_default(self):
        branch = self.file_system("tmpfs", "disk")
        pool = self.pool([branch], modes.Root())
        self.assertEqual(os.getxattr(pool.mountpoint + "/.boughfs", "user.boughfs.allow-idmap"), b"false")
        with self.assertRaises(OSError) as caught:
            mount_with_owners(pool.mountpoint, self.directory("mapped"), self.namespace.fd)
        self.assertEqual(caught.exception.errno, errno.EINVAL)
        self.assertEqual(pool.unmount(), 0)

    def test_as_mergerfs(self):
        """There it is on, as with mergerfs."""
        program = self.path("mergerfs")
        os.link(self.boughfs, program)
        ours, self.boughfs = self.boughfs, program
        try:
            pool = self.pool([self.file_system("tmpfs", "disk")], modes.Root(), ["subtype=boughfs"])
        finally:
            self.boughfs = ours
        self.assertEqual(os.getxattr(pool.mountpoint + "/.mergerfs", "user.mergerfs.allow-idmap"), b"true")
        self.map_owners(pool.mountpoint, "mapped")
        self.finish(pool)

    def test_control_file(self):
        """Root of a container, to whom the control file belongs in an idmapped mount, does not rule the
        pool: he could make any directory of the machine a branch of it."""
        pool = self.pool([self.file_system("tmpfs", "disk")], modes.Root(), ["allow-idmap"])
        mapped = self.map_owners(pool.mountpoint, "mapped")
        key = "user.boughfs.func.mkdir"

        def attempt():
            calls = Calls()
            calls.rec("get", os.getxattr, ".boughfs", key)
            calls.rec("set", os.setxattr, ".boughfs", key, b"rand")
            calls.rec("branches", os.setxattr, ".boughfs", "user.boughfs.branches", b"+/etc")
            calls.rec("command", os.setxattr, ".boughfs", "user.boughfs.cmd.gc", b"")
            return calls.results

        refused = [("get", b"pfrd"), ("set", "EPERM"), ("branches", "EPERM"), ("command", "EPERM")]
        self.assertEqual(self.run_in(mapped, attempt, 0, True), refused)
        self.assertEqual(os.lstat(mapped + "/.boughfs").st_uid, FIRST)
        for place in (mapped, pool.mountpoint):
            unprivileged = self.run_in(place, attempt, 4321, False)
            self.assertEqual([result for _, result in unprivileged], [b"pfrd"] + ["EACCES"] * 3)
            os.setxattr(place + "/.boughfs", key, b"mfs")
            self.assertEqual(os.getxattr(place + "/.boughfs", key), b"mfs")
            os.setxattr(place + "/.boughfs", key, b"pfrd")
        self.finish(pool)

    def test_reserved_blocks(self):
        """They bind the owner of what is written, who is not root."""
        branch = self.file_system("ext4", "disk", megabytes=64)
        device = self.command(["findmnt", "-no", "SOURCE", "-T", branch]).strip()
        self.command(["tune2fs", "-m", "50", device])
        os.chmod(branch, 0o777)
        for options in (["cache.files=off"], ["passthrough.io=off"], []):
            with self.subTest(options=options):
                pool = self.pool([branch], modes.Root(), ["minfreespace=0", "allow-idmap", *options],
                                 name="pool-" + "-".join(options))
                path = os.path.join(pool.mountpoint, "f")
                Path(path).write_bytes(b"")
                os.chown(path, OWNER, OWNER)
                written = 0
                with self.assertRaises(OSError) as caught, open(path, "r+b", buffering=0) as file:
                    while True:
                        written += file.write(b"x" * (1 << 20))
                self.assertEqual(caught.exception.errno, errno.ENOSPC)
                self.assertLess(written, 40 << 20)
                self.assertGreater(os.statvfs(branch).f_bfree * os.statvfs(branch).f_frsize, 15 << 20)
                os.unlink(path)
                self.assertEqual(pool.unmount(), 0)
