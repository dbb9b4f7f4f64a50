"""Option lines as public guides for media servers, torrents, NFS, Samba, SnapRAID and containers have them
(guides.txt): each mounts through the mount helper, and a hundred operations give what they give on a plain directory.
Where mergerfs is installed and knows the line, it gives the same, and puts the same files on the same disks."""

import errno
import os
import shutil
import subprocess

import processes
import sandbox

MEGABYTES = (48, 96, 64)
FILLING = "filling"
BY_CHANCE = ("rand", "pfrd")
# Words that the last mergerfs of Debian does not know or has other defaults for: not compared with.
NEWER = ("func.readdir", "direct-io-allow-mmap", "parallel-direct-writes", "inodecalc", "export-support", "fuse_msg_size",
         "rename-exdev", "link-exdev", "func.mkdir", "cache.files.process-names", "link_cow")


class Operations:
    """Called as do(step, function, *arguments): notes the result, or the name of the errno."""

    def __init__(self, top):
        self.top, self.steps = top, []

    def path(self, name):
        return os.path.join(self.top, name)

    def do(self, step, function, *arguments):
        try:
            result = function(*arguments)
        except OSError as error:
            result = errno.errorcode[error.errno]
        self.steps.append((step, result))

    def write(self, name, text, mode="w"):
        with open(self.path(name), mode, encoding="ascii") as file:
            return file.write(text)

    def read(self, name):
        with open(self.path(name), encoding="ascii") as file:
            return file.read()

    def move(self, old, new):
        """As mv(1): a policy that preserves paths may send it elsewhere."""
        try:
            os.rename(self.path(old), self.path(new))
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            shutil.copy2(self.path(old), self.path(new))
            os.unlink(self.path(old))

    def names(self, directory):
        """Without what fills the branches."""
        return sorted(name for name in os.listdir(self.path(directory)) if not name.startswith(FILLING))

    def status(self, name):
        found = os.lstat(self.path(name))
        return oct(found.st_mode), found.st_size, found.st_uid, int(found.st_mtime) if name.startswith("old") else None

    def run(self):
        path, do = self.path, self.do
        for name in ("films", "films/one", "films/two", "series", "series/s", "series/s/1", "music"):
            do(f"mkdir {name}", os.mkdir, path(name))
        do("mkdir again", os.mkdir, path("films"))
        do("mkdir in nothing", os.mkdir, path("none/sub"))
        names = [f"films/one/{number}" for number in range(6)] + [f"series/s/1/{number}" for number in range(6)] + ["music/a"]
        for name in names:
            do(f"write {name}", self.write, name, f"text of {name}\n")
            do(f"append {name}", self.write, name, "more\n", "a")
            do(f"read {name}", self.read, name)
        for directory in ("", "films", "films/one", "series/s/1", "music"):
            do(f"list {directory}", lambda each=directory: self.names(each))
        do("open missing", self.read, "films/none")
        do("open in a file", self.read, "music/a/b")
        do("truncate", os.truncate, path("films/one/0"), 4)
        do("read cut", self.read, "films/one/0")
        do("chmod", os.chmod, path("films/one/0"), 0o600)
        do("status", self.status, "films/one/0")
        do("old", self.write, "old", "old")
        do("utime", os.utime, path("old"), (1000, 2000))
        do("status of old", self.status, "old")
        do("rename in place", os.rename, path("films/one/1"), path("films/one/x"))
        do("rename over", os.rename, path("films/one/2"), path("films/one/x"))
        do("read renamed", self.read, "films/one/x")
        do("rename missing", os.rename, path("films/one/1"), path("films/one/y"))
        do("mv elsewhere", self.move, "films/one/3", "music/3")
        do("read moved", self.read, "music/3")
        do("mv away", os.path.exists, path("films/one/3"))
        do("link", os.link, path("series/s/1/0"), path("series/s/1/link"))
        do("read link", self.read, "series/s/1/link")
        do("link is there", os.link, path("series/s/1/0"), path("series/s/1/link"))
        do("symlink", os.symlink, "films/one/4", path("way"))
        do("readlink", os.readlink, path("way"))
        do("through it", self.read, "way")
        do("mkfifo", os.mkfifo, path("fifo"))
        do("status of fifo", self.status, "fifo")
        do("rmdir full", os.rmdir, path("films/one"))
        do("rmdir", os.rmdir, path("films/two"))
        do("rmdir again", os.rmdir, path("films/two"))
        do("rename a directory", os.rename, path("series/s"), path("series/t"))
        do("list renamed", lambda: sorted(os.listdir(path("series"))))
        do("read below", self.read, "series/t/1/5")
        do("unlink", os.unlink, path("series/t/1/5"))
        do("unlink again", os.unlink, path("series/t/1/5"))
        do("unlink a directory", lambda: os.unlink(path("music")))
        for name in ("films/one/4", "music/a"):
            do(f"make {name}.part", self.write, name + ".part", "a part")
            do(f"finish {name}", os.replace, path(name + ".part"), path(name))
            do(f"read finished {name}", self.read, name)
            do(f"no part of {name}", os.path.exists, path(name + ".part"))
        do("room", lambda: os.statvfs(self.top).f_bavail > 0)
        for name in ("films/one/x", "series/t/1/0", "music/3", "way", "fifo", "old"):
            do(f"last {name}", os.path.lexists, path(name))
        return self.steps


class Guides(sandbox.LiveCase):
    deadline = 240

    def lines(self):
        with open(os.path.join(sandbox.HERE, "guides.txt"), encoding="ascii") as file:
            for line in file:
                if not line.startswith("#"):
                    purpose, options = line.strip().split(" | ", 1)
                    yield purpose, options

    def branches(self, name):
        made = [self.file_system("tmpfs", f"{name}{number}", megabytes=size) for number, size in enumerate(MEGABYTES)]
        # so that no policy sees a tie
        for number, branch in enumerate(made):
            with open(os.path.join(branch, f"{FILLING}{number}"), "wb") as file:
                file.write(bytes((number + 1) << 20))
        return made

    def on(self, program, options, name):
        """The steps, and which branches hold each name, of a pool that the helper `program` mounts."""
        branches = self.branches(name)
        mountpoint = self.directory(f"{name}-pool")
        done = subprocess.run([program, ":".join(branches), mountpoint, "-o", "rw," + options], capture_output=True,
                              text=True, timeout=30, check=False)
        try:
            if done.returncode:
                return None, {}, done.stderr
            self.eventually(lambda: processes.is_pool(mountpoint) or os.path.ismount(mountpoint), 10, "a pool is mounted")
            steps = Operations(mountpoint).run()
        finally:
            if os.path.ismount(mountpoint):
                subprocess.run(["umount", mountpoint], timeout=30, check=True)
        held = {}
        for number, branch in enumerate(branches):
            for folder, _, files in os.walk(branch):
                for file in files:
                    held.setdefault(os.path.relpath(os.path.join(folder, file), branch), []).append(number)
            subprocess.run(["umount", "-l", os.path.dirname(branch)], timeout=30, check=True)
        return steps, held, done.stderr

    def test_lines(self):
        helper = self.path("mount.boughfs")
        os.symlink(self.boughfs, helper)
        lines = list(self.lines())
        self.assertEqual(len(lines), 30)
        native = Operations(self.directory("native")).run()
        self.assertGreaterEqual(len(native), 100)
        peer = shutil.which("mergerfs")
        compared = 0
        for number, (purpose, options) in enumerate(lines):
            with self.subTest(purpose=purpose, options=options):
                steps, held, said = self.on(helper, options, f"ours{number}")
                self.assertIsNotNone(steps, said)
                self.assertEqual([pair for pair in zip(native, steps) if pair[0] != pair[1]], [])
                self.assertNotIn("unknown", said)
                words = options.split(",")
                if not peer or any(word.split("=")[0] in NEWER for word in words):
                    continue
                # Its default is more than these disks have.
                room = "" if "minfreespace" in options else ",minfreespace=1"
                theirs, their_held, _ = self.on(peer, options + room, f"theirs{number}")
                # It does not know the line, or is dead: its statfs=full ends it.
                if theirs is None or (theirs[0][1] == "ECONNABORTED"):
                    continue
                self.assertEqual([pair for pair in zip(theirs, steps) if pair[0] != pair[1]], [])
                create = [word.split("=")[1] for word in words if word.startswith("category.create=")]
                if create and not create[-1].endswith(BY_CHANCE):
                    self.assertEqual(held, their_held)
                    compared += 1
        if peer:
            self.assertGreater(compared, 5)
