"""What every live case stands in: a private mount namespace, a working folder in RAM, its own
/dev/fuse node, file systems in images, and a promise that no pool is left at the end."""

import os
import shutil
import stat
import subprocess
import sys
import unittest

import kernel
import modes
import processes
from pool import Pool

HERE = os.path.dirname(os.path.abspath(__file__))
# for programs that run as another user, who may not reach the interpreter of this process
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable
CONTROL = "/sys/fs/fuse/connections"


class CannotRun(Exception):
    """This machine lacks what the case needs."""


def show_control():
    """Mounts the FUSE control file system where it is not."""
    if not any(kind == "fusectl" for _, kind, _ in processes.mounts()):
        kernel.mount("fusectl", CONTROL, "fusectl")


def require_tools(*names):
    for name in names:
        if not any(os.access(os.path.join(folder, name), os.X_OK)
                   for folder in os.environ.get("PATH", "").split(":") + ["/sbin", "/usr/sbin"]):
            raise CannotRun(f"no {name} here")


class LiveCase(unittest.TestCase):
    deadline = 60
    long_deadline = 900
    tools = ()
    longMessage = True
    maxDiff = 4000

    @classmethod
    def prepare(cls, folder, boughfs, long_form):
        """Once, in the process of the one case that is to run."""
        if os.geteuid() != 0:
            raise CannotRun("not root")
        if not os.path.exists("/dev/fuse"):
            raise CannotRun("no /dev/fuse: modprobe fuse")
        require_tools(*cls.tools)
        os.environ["PATH"] += ":/sbin:/usr/sbin"
        os.environ["LC_ALL"] = "C.UTF-8"
        # what pools keep from one mount to the next
        os.environ["STATE_DIRECTORY"] = os.path.join(folder, "state")
        os.umask(0o022)
        cls.folder, cls.long_form = folder, long_form
        kernel.become_subreaper()
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
        show_control()
        kernel.mount("live", folder, "tmpfs", data="mode=755,size=90%")
        os.mkdir(os.environ["STATE_DIRECTORY"])
        os.chmod(os.environ["STATE_DIRECTORY"], 0o1777)
        cls.open_fuse_to_all(False)
        # where every user can reach them, wherever the sources and the build lie
        cls.boughfs = shutil.copy(boughfs, os.path.join(folder, "boughfs"))
        for name in os.listdir(HERE):
            if name.endswith(".py"):
                shutil.copy(os.path.join(HERE, name), folder)
        os.chmod(cls.boughfs, 0o755)
        # fusermount3 wants to know its caller's name
        users = shutil.copy("/etc/passwd", os.path.join(folder, "passwd"))
        with open(users, "a", encoding="ascii") as file:
            file.write(f"boughlive:x:{modes.USER}:{modes.USER}::/nonexistent:/bin/sh\n")
        kernel.mount(users, "/etc/passwd", None, kernel.MS_BIND)

    @classmethod
    def open_fuse_to_all(cls, everybody):
        """Every user, or only root, may open /dev/fuse. A node of our own is bound over it, so that
        nothing outside this namespace changes."""
        node = os.path.join(cls.folder, "fuse-all" if everybody else "fuse-root")
        if not os.path.exists(node):
            os.mknod(node, stat.S_IFCHR | 0o600, os.makedev(10, 229))
        os.chmod(node, 0o666 if everybody else 0o600)
        kernel.mount(node, "/dev/fuse", None, kernel.MS_BIND)

    def setUp(self):
        self.pools = []
        self.made = []

    def tearDown(self):
        for pool in self.pools:
            pool.end()
        for path, kind, _ in processes.mounts():
            if path.startswith(self.folder + "/") and kind.startswith("fuse"):
                kernel.umount2(path, kernel.MNT_DETACH)
                self.fail(f"the pool at {path} was left mounted")
        for mounted in reversed(self.made):
            subprocess.run(["umount", mounted], check=False, capture_output=True)

    # --- places
    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def directory(self, name, mode=0o755, owner=0):
        path = self.path(name)
        os.makedirs(path)
        os.chown(path, owner, owner)
        os.chmod(path, mode)
        return path

    def file_system(self, kind, name, owner=0, megabytes=None, flags="nosuid,nodev", more=()):
        """A new file system of that kind, mounted; `name` is its folder, `more` is for mkfs. In RAM."""
        path = self.path(name)
        os.makedirs(path)
        megabytes = megabytes or (3000 if self.long_form else 700)
        if kind == "tmpfs":
            numbers = {"nosuid": kernel.MS_NOSUID, "nodev": kernel.MS_NODEV}
            kernel.mount(name, path, "tmpfs", sum(numbers[flag] for flag in flags.split(",")),
                         f"size={megabytes}m,mode=755")
        else:
            image = path + ".img"
            with open(image, "wb") as file:
                file.truncate(megabytes << 20)
            make = {"ext4": ["mkfs.ext4", "-q", "-F", "-i", "8192", "-E", "lazy_itable_init=1,nodiscard"],
                    "xfs": ["mkfs.xfs", "-q", "-K"],
                    "btrfs": ["mkfs.btrfs", "-q", "-f", "-K"]}[kind]
            self.command([*make, *more, image])
            self.command(["mount", "-o", "loop," + flags, "-t", kind, image, path])
        self.made.append(path)
        # a directory of the file system, not its root: no lost+found among what is compared
        inside = os.path.join(path, "branch")
        os.mkdir(inside)
        os.chown(inside, owner, owner)
        return inside

    def three_branches(self, owner=0):
        """ext4, xfs and btrfs."""
        return [self.file_system(kind, f"disk-{kind}", owner) for kind in ("ext4", "xfs", "btrfs")]

    def script(self, name, *arguments):
        """The command that runs one of the programs of this folder, for any user."""
        return [PYTHON, "-B", self.path(name), *arguments]

    # --- doing
    def pool(self, branches, mode, options=(), name="pool", **more):
        """A pool that is being served; ended by tearDown at the latest."""
        pool = Pool(self.boughfs, mode, branches, self.directory(name, owner=mode.uid), options,
                    self.path(name + ".log"), **more)
        self.pools.append(pool)
        pool.start()
        return pool

    def command(self, argv, timeout=60, cwd="/", environment=None, good=(0,), text=None):
        """Output of a command; the case fails if its status is not good."""
        done = subprocess.run(argv, cwd=cwd, timeout=timeout, input=text, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", env=environment,
                              stdin=None if text is not None else subprocess.DEVNULL, check=False)
        if done.returncode not in good:
            self.fail(f"{' '.join(argv)[:300]} ended with {done.returncode}:\n{done.stdout[-3000:]}")
        return done.stdout

    def eventually(self, condition, seconds, what):
        if not processes.wait_until(condition, seconds):
            self.fail(f"after {seconds} s still not: {what}")
