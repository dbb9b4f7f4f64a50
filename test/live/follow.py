"""The option follow-symlinks on real mounts: what it is good for, and who gains nothing by it."""

import errno
import fcntl
import mmap
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import modes
import sandbox

AS_USER = ["setpriv", f"--reuid={modes.USER}", f"--regid={modes.USER}", "--clear-groups"]

# What a user does in a directory that is being swapped: everything he sees there is printed.
IN_SWAPPED = """
import os, sys, time
d = sys.argv[1]
end = time.monotonic() + float(sys.argv[2])
seen = set()
done = 0
while time.monotonic() < end:
    for call in (lambda: seen.update(os.listdir(d)),
                 lambda: os.unlink(d + "/victim"),
                 lambda: os.close(os.open(d + "/new", os.O_CREAT | os.O_WRONLY, 0o666)),
                 lambda: os.mkdir(d + "/made"),
                 lambda: os.rename(d + "/victim", d + "/../stolen"),
                 lambda: os.chmod(d, 0o777),
                 lambda: seen.add(open(d + "/victim").read())):
        try:
            call()
            done += 1
        except OSError:
            pass
print(done, *sorted(seen))
"""


class Follow(sandbox.LiveCase):
    def link(self, target, name, owner=0):
        os.symlink(target, name)
        os.lchown(name, owner, owner)

    def following(self, branches, which="all", more=(), mode=None, **how):
        mode = mode or modes.Root()
        if mode.uid == 0:
            more = ["allow-other", *more]
        return self.pool(branches, mode, [f"follow-symlinks={which}", "minfreespace=0", "threads=2", "cache.attr=0",
                                          "cache.entry=0", *more], **how)

    def test_in_vain(self):
        """Where nothing would be followed the option cannot be set at run time, and it is said why."""
        pool = self.pool([self.file_system("tmpfs", "disk")], modes.Root(), ["uid=1000"])
        control = pool.mountpoint + "/.boughfs"
        with self.assertRaises(OSError) as refused:
            os.setxattr(control, "user.boughfs.follow-symlinks", b"all")
        self.assertEqual(refused.exception.errno, errno.EINVAL)
        self.assertEqual(os.getxattr(control, "user.boughfs.follow-symlinks"), b"never")
        self.assertIn(b"uid, gid or umask is set", os.getxattr(control, "user.boughfs.last-refusal"))
        os.setxattr(control, "user.boughfs.follow-symlinks", b"never")

    def test_follow_symlinks(self):
        """Root's links are used as what they lead to outside of the branches; no other link is."""
        disk, other = self.file_system("tmpfs", "disk"), self.file_system("tmpfs", "other")
        os.makedirs(os.path.join(other, "shared/sub"))
        Path(other, "shared/f").write_text("target")
        os.mkdir(os.path.join(other, "secret"), 0o700)
        Path(other, "secret/t").write_text("secret")
        os.mkfifo(os.path.join(other, "fifo"))
        os.mkdir(os.path.join(disk, "plain"))
        for name, target in (("file", "shared/f"), ("directory", "shared"), ("dangling", "nothing"), ("fifo", "fifo"),
                             ("closed", "secret/t")):
            self.link(os.path.join(other, target), os.path.join(disk, name))
        self.link(os.path.join(other, "shared/f"), os.path.join(disk, "his"), modes.USER)
        self.link(os.path.join(other, "shared"), os.path.join(disk, "his-directory"), modes.USER)
        self.link("../../other/branch/shared/f", os.path.join(disk, "relative"))
        for name, target in (("up", ""), ("inside", "branch/plain")):
            self.link(os.path.join(os.path.dirname(disk), target), os.path.join(disk, name))
        self.link("/", os.path.join(disk, "root"))
        os.chmod(disk, 0o777)
        pool = self.following([disk], "never")
        top = pool.mountpoint
        names = os.listdir(top)
        link, file, directory = stat.S_IFLNK, stat.S_IFREG, stat.S_IFDIR
        for which, follows in (("never", {}), ("directory", {"directory": directory}),
                               ("regular", {"file": file, "closed": file}),
                               ("all", {"directory": directory, "file": file, "closed": file})):
            os.setxattr(os.path.join(top, ".boughfs"), "user.boughfs.follow-symlinks", which.encode())
            kinds = {name: stat.S_IFMT(os.lstat(os.path.join(top, name)).st_mode) for name in names}
            self.assertEqual(kinds, {**dict.fromkeys(names, link), "plain": directory, **follows}, which)
        # whoever made the link, the target's mode is what counts
        os.chmod(os.path.join(other, "secret/t"), 0o600)
        self.command([*AS_USER, "cat", os.path.join(top, "closed")], good=(1,))
        self.assertEqual(self.command([*AS_USER, "cat", os.path.join(top, "file")]), "target")
        # a user's own link is none, until root says otherwise
        self.command([*AS_USER, "ln", "-s", os.path.join(other, "shared"), os.path.join(top, "made")])
        self.assertTrue(os.path.islink(os.path.join(top, "made")))
        self.command(["chown", "-h", "root", os.path.join(disk, "made")])
        self.assertFalse(os.path.islink(os.path.join(top, "made")))
        # a directory as Samba or NFS would use it
        pool.shell("""
            cp -a directory/f directory/copy
            printf more >> directory/copy
            mkdir -p directory/new/deep
            mv directory/copy directory/new/deep/moved
            printf +t >> file
            tar cf directory/t.tar directory/new
            rm -r directory/sub""")
        self.assertEqual(Path(other, "shared/new/deep/moved").read_text(), "targetmore")
        self.assertEqual(Path(other, "shared/f").read_text(), "target+t")
        self.assertEqual(sorted(os.listdir(os.path.join(top, "directory"))), ["f", "new", "t.tar"])
        with open(os.path.join(top, "file"), "r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
            mapped[:6] = b"MAPPED"
            mapped.flush()
        self.assertEqual(Path(other, "shared/f").read_text(), "MAPPED+t")
        os.rename(os.path.join(top, "directory"), os.path.join(top, "renamed"))
        self.assertEqual(Path(top, "renamed/f").read_text(), "MAPPED+t")
        os.rmdir(os.path.join(top, "renamed"))
        os.unlink(os.path.join(top, "file"))
        self.assertEqual(sorted(os.listdir(os.path.join(other, "shared"))), ["f", "new", "t.tar"])
        self.assertFalse(os.path.lexists(os.path.join(disk, "renamed")))
        self.assertFalse(os.path.lexists(os.path.join(disk, "file")))
        os.setxattr(os.path.join(top, ".boughfs"), "user.boughfs.follow-symlinks", b"never")
        self.eventually(lambda: os.path.islink(os.path.join(top, "made")), 10, "links are links again")
        self.assertEqual(pool.unmount(), 0, pool.said())

    def test_one_file(self):
        """Several links to one file are one file: for cp, for locks, for what is cached and mapped."""
        disks, other = [self.file_system("tmpfs", name) for name in ("disk1", "disk2")], self.file_system("tmpfs", "other")
        os.mkdir(os.path.join(other, "d"))
        Path(other, "d/f").write_text("text")
        for disk, name, target in ((0, "a", "d/f"), (0, "b", "d/f"), (1, "c", "d/f"), (1, "d", "d"), (0, "base1", "db"),
                                   (1, "base2", "db")):
            self.link(os.path.join(other, target), os.path.join(disks[disk], name))
        sqlite3.connect(os.path.join(other, "db")).execute("create table t (i)").connection.close()
        for number, calc in enumerate(("hybrid-hash", "path-hash", "devino-hash")):
            pool = self.following(disks, more=[f"inodecalc={calc}", "cache.attr=1", "cache.entry=1", "cache.files=full"],
                                  name=f"pool-{calc}")
            names = [os.path.join(pool.mountpoint, name) for name in ("a", "b", "c", "d/f")]
            self.assertEqual(len({os.stat(name).st_ino for name in names}), 1)
            for name in names[1:]:
                self.command(["cp", names[0], name], good=(1,))
                self.command(["cp", name, names[0]], good=(1,))
                with open(names[0], "rb") as first, open(name, "rb") as second:
                    fcntl.flock(first, fcntl.LOCK_EX)
                    with self.assertRaises(BlockingIOError):
                        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with open(names[0], "r+b") as first, open(name, "r+b") as second:
                    with mmap.mmap(first.fileno(), 0) as one, mmap.mmap(second.fileno(), 0) as two:
                        one[:4] = b"TEXT"
                        self.assertEqual(two[:4], b"TEXT")
                        two[:4] = b"text"
                        os.pwrite(first.fileno(), b"x", 1)
                        self.assertEqual(two[:4], b"txxt")
                        os.pwrite(second.fileno(), b"e", 1)
                        self.assertEqual(os.pread(first.fileno(), 4, 0), b"text")
            bases = [sqlite3.connect(os.path.join(pool.mountpoint, name), timeout=1, isolation_level=None)
                     for name in ("base1", "base2")]
            for i in range(20):
                bases[i % 2].execute("insert into t values (?)", (i,))
                self.assertEqual(bases[1 - i % 2].execute("select count(*) from t").fetchone(), (number * 20 + i + 1,))
            bases[0].execute("begin immediate")
            with self.assertRaises(sqlite3.OperationalError):
                bases[1].execute("begin immediate")
            for base in bases:
                base.close()
            self.assertEqual(Path(other, "d/f").read_text(), "text")
            self.assertEqual(pool.unmount(), 0, pool.said())

    def test_ordinary_user(self):
        """In a user's own pool his links are followed, and root's."""
        self.open_fuse_to_all(True)
        disk, other = self.file_system("tmpfs", "disk", modes.USER), self.file_system("tmpfs", "other", modes.USER)
        Path(other, "f").write_text("text")
        for name, owner in (("his", modes.USER), ("roots", 0), ("another", modes.USER + 1)):
            self.link(os.path.join(other, "f"), os.path.join(disk, name), owner)
        pool = self.following([disk], mode=modes.User())
        kinds = [pool.run(["stat", "-c", "%F", os.path.join(pool.mountpoint, name)]) for name in ("his", "roots", "another")]
        self.assertEqual(kinds, ["regular file\n", "regular file\n", "symbolic link\n"])
        self.assertEqual(pool.unmount(), 0, pool.said())

    def test_everyday(self):
        """Programs in a followed directory, and into it and out of it."""
        disks, other = [self.file_system("tmpfs", name) for name in ("disk1", "disk2")], self.file_system("tmpfs", "other")
        os.mkdir(os.path.join(other, "work"))
        self.link(os.path.join(other, "work"), os.path.join(disks[1], "work"))
        os.mkdir(os.path.join(disks[0], "plain"))
        Path(disks[0], "plain/f").write_text("plain")
        pool = self.following(disks, more=["cache.attr=1", "cache.entry=1"])
        pool.shell("""
            cp -a plain work/copied
            cp -a work/copied plain/back
            mv plain/f work/moved-in
            mv work/moved-in plain/moved-out
            mkdir -p work/deep/er
            mv plain/back work/deep/er
            mv work/deep plain
            mv plain/deep work
            echo text > work/deep/er/new
            ln work/deep/er/new work/hard
            cmp work/hard work/deep/er/new
            chmod -R u=rwX,go= work/deep
            find work | sort > /dev/null
            sync -f work/hard""")
        if shutil.which("git"):
            pool.shell("""
                cd work
                git init -q -b main r
                cd r
                git config user.email x@example.com
                git config user.name x
                for i in 1 2 3; do
                    echo $i > f$i
                    git add -A
                    git commit -qm $i
                done
                git gc -q
                git fsck
                git clone -q . ../../plain/clone
                git status --porcelain""", timeout=120)
            self.assertTrue(os.path.isdir(os.path.join(other, "work/r/.git")))
        self.assertEqual(Path(other, "work/deep/er/back/f").read_text(), "plain")
        self.assertEqual(Path(pool.mountpoint, "plain/moved-out").read_text(), "plain")
        self.assertFalse(os.path.lexists(os.path.join(disks[0], "work")))
        # rm goes into it, and then removes the link
        pool.shell("rm -r work")
        self.assertEqual(os.listdir(os.path.join(other, "work")), [])
        self.assertFalse(os.path.lexists(os.path.join(disks[1], "work")))
        self.assertEqual(pool.unmount(), 0, pool.said())

    def test_swapped_link(self):
        """Of a link that is swapped between the kernel's check and the call nothing is seen or touched that is not his."""
        disk, other = self.file_system("tmpfs", "disk"), self.file_system("tmpfs", "other")
        for name, owner, mode in (("open", modes.USER, 0o777), ("secret", 0, 0o700)):
            os.mkdir(os.path.join(other, name))
            os.chown(os.path.join(other, name), owner, owner)
            os.chmod(os.path.join(other, name), mode)
        Path(other, "secret/marker").write_text("marker")
        Path(other, "secret/victim").write_text("secret")
        os.mkdir(os.path.join(disk, "home"))
        os.chown(os.path.join(disk, "home"), modes.USER, modes.USER)
        name = os.path.join(disk, "home/d")
        self.link(os.path.join(other, "open"), name)
        before = {path: os.lstat(os.path.join(other, "secret", path)) for path in (".", "marker", "victim")}
        for cached in (0, 1):
            pool = self.following([disk], more=["threads=4", f"cache.attr={cached}", f"cache.entry={cached}"],
                                  name=f"pool-{cached}")
            stop, swaps = threading.Event(), 0

            def swap():
                nonlocal swaps
                while not stop.is_set():
                    for target in ("secret", "open"):
                        Path(other, "open/victim").write_text("open")
                        self.link(os.path.join(other, target), name + ".next")
                        os.rename(name + ".next", name)
                        swaps += 1
                        time.sleep(0.0005)
            swapper = threading.Thread(target=swap)
            swapper.start()
            try:
                said = self.command([*AS_USER, sys.executable, "-c", IN_SWAPPED, os.path.join(pool.mountpoint, "home/d"),
                                     "6" if self.long_form else "3"])
            finally:
                stop.set()
                swapper.join()
            done, *seen = said.split()
            # what the kernel keeps of the secret one may keep him out for all the time
            if not cached:
                self.assertGreater(int(done), 0, "nothing came of the user's calls")
            self.assertGreater(swaps, 10)
            self.assertLessEqual(set(seen), {"victim", "new", "made", "open"})
            self.assertEqual(sorted(os.listdir(os.path.join(other, "secret"))), ["marker", "victim"])
            for path, was in before.items():
                now = os.lstat(os.path.join(other, "secret", path))
                self.assertEqual((now.st_ino, now.st_mode, now.st_uid, now.st_mtime_ns, now.st_ctime_ns),
                                 (was.st_ino, was.st_mode, was.st_uid, was.st_mtime_ns, was.st_ctime_ns), path)
            self.assertNotIn("marker", said)
            self.assertEqual(pool.unmount(), 0, pool.said())

    def test_mounts(self):
        """Not to a mount with less rights, nor into a pool, this one or another that leads back."""
        disks = [self.file_system("tmpfs", f"disk{i}", flags="nodev") for i in range(2)]
        narrow = self.file_system("tmpfs", "narrow", flags="nosuid,nodev")
        wide = self.file_system("tmpfs", "wide", flags="nodev")
        for place in (narrow, wide):
            Path(place, "f").write_text("text")
        for name, place in (("narrow", narrow), ("wide", wide)):
            self.link(place, os.path.join(disks[0], name))
            self.link(os.path.join(place, "f"), os.path.join(disks[0], name + "-file"))
        tops = [self.path("tops/pool-a"), self.path("tops/pool-b")]
        for disk, to in zip(disks, reversed(tops)):
            os.mkdir(os.path.join(disk, "d"))
            Path(disk, "d/f").write_text("text")
            self.link(to, os.path.join(disk, "other"))
            self.link(os.path.join(to, "d"), os.path.join(disk, "into"))
            self.link(os.path.join(to, "other/other/d"), os.path.join(disk, "back"))
            self.link(self.path("tops"), os.path.join(disk, "tops"))
        pools = [self.following([disk], more=["threads=1"], name=name)
                 for disk, name in zip(disks, ("tops/pool-a", "tops/pool-b"))]
        top = pools[0].mountpoint
        kinds = {name: os.path.islink(os.path.join(top, name)) for name in os.listdir(top)}
        self.assertEqual(kinds, {"d": False, "narrow": True, "narrow-file": True, "wide": False, "wide-file": False,
                                 "other": True, "into": True, "back": True, "tops": False})
        for pool, to in zip(pools, reversed(tops)):
            self.command(["timeout", "30", "ls", "-la", pool.mountpoint])
            # as the links that they are, they are the kernel's to follow
            self.command(["timeout", "30", "cat", os.path.join(pool.mountpoint, "into/f")])
            for below in ("pool-a", "pool-b"):
                self.command(["timeout", "30", "stat", os.path.join(pool.mountpoint, "tops", below)], good=(1,))
            self.command(["timeout", "30", "ls", "-la", os.path.join(pool.mountpoint, "tops")], good=(0, 1))
        both = [subprocess.Popen(["timeout", "60", "find", pool.mountpoint, "-maxdepth", "3"],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for pool in pools]
        for walk in both:
            self.assertIn(walk.wait(), (0, 1))
        for pool in pools:
            self.assertEqual(pool.unmount(), 0, pool.said())
