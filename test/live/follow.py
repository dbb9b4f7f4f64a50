"""The option follow-symlinks on real disks: what it is good for, and who gains nothing by it."""

import mmap
import os
import shutil
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
    tools = ("mkfs.ext4",)

    def link(self, target, name, owner=0):
        os.symlink(target, name)
        os.lchown(name, owner, owner)

    def following(self, branches, which="all", more=(), **how):
        return self.pool(branches, modes.Root(), [f"follow-symlinks={which}", "minfreespace=0", "allow-other",
                                                  "threads=2", "cache.attr=0", "cache.entry=0", *more], **how)

    def test_follow_symlinks(self):
        """Links of a branch are used as what they lead to, outside of the pool, too; users gain no rights by it."""
        disk, other = self.file_system("ext4", "disk"), self.file_system("tmpfs", "other")
        os.makedirs(os.path.join(other, "shared/sub"))
        Path(other, "shared/f").write_text("target")
        os.mkdir(os.path.join(other, "secret"), 0o700)
        Path(other, "secret/t").write_text("secret")
        Path(other, "roots").write_text("root's")
        os.chmod(os.path.join(other, "roots"), 0o600)
        os.mkfifo(os.path.join(other, "fifo"))
        for name, target in (("file", "shared/f"), ("directory", "shared"), ("secret", "secret/t"), ("roots", "roots"),
                             ("dangling", "nothing"), ("fifo", "fifo")):
            self.link(os.path.join(other, target), os.path.join(disk, name), modes.USER)
        os.mkdir(os.path.join(disk, "loop"))
        os.symlink("..", os.path.join(disk, "loop/up"))
        os.symlink("/", os.path.join(disk, "root"))
        os.chmod(disk, 0o777)
        pool = self.following([disk], "never")
        top = pool.mountpoint
        link, file, directory, fifo = stat.S_IFLNK, stat.S_IFREG, stat.S_IFDIR, stat.S_IFIFO
        for which, follows in (("never", {}), ("directory", {"directory": directory}),
                               ("regular", {"file": file, "roots": file}),
                               ("all", {"directory": directory, "file": file, "roots": file, "fifo": fifo})):
            os.setxattr(os.path.join(top, ".boughfs"), "user.boughfs.follow-symlinks", which.encode())
            names = ("file", "directory", "secret", "roots", "dangling", "fifo", "loop/up")
            kinds = {name: stat.S_IFMT(os.lstat(os.path.join(top, name)).st_mode) for name in names}
            self.assertEqual(kinds, {**dict.fromkeys(names, link), **follows}, which)
        self.command([*AS_USER, "cat", os.path.join(top, "roots")], good=(1,))
        self.command([*AS_USER, "cat", os.path.join(top, "secret")], good=(1,))
        self.assertEqual(self.command([*AS_USER, "cat", os.path.join(top, "file")]), "target")
        # a directory as Samba or NFS would use it
        pool.shell("""
            cp -a directory/f directory/copy
            printf more >> directory/copy
            mkdir -p directory/new/deep
            mv directory/copy directory/new/deep/moved
            printf +t >> file
            ln -s shared/f made || exit 1
            tar cf directory/t.tar directory/new
            rm -r directory/sub""")
        self.assertEqual(Path(other, "shared/new/deep/moved").read_text(), "targetmore")
        self.assertEqual(Path(other, "shared/f").read_text(), "target+t")
        self.assertEqual(sorted(os.listdir(os.path.join(top, "directory"))), ["f", "new", "t.tar"])
        self.assertEqual(sorted(os.listdir(os.path.join(other, "shared"))), ["f", "new", "t.tar"])
        with open(os.path.join(top, "file"), "r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
            mapped[:6] = b"MAPPED"
            mapped.flush()
        self.assertEqual(Path(other, "shared/f").read_text(), "MAPPED+t")
        # nothing goes in a circle, and the server never waits for itself
        self.command(["timeout", "30", "find", os.path.join(top, "loop")])
        within = os.path.join(top, "root" + top)
        for _ in range(8):
            self.command(["timeout", "20", "stat", within], good=(1,))
            self.command(["timeout", "20", "ls", "-la", os.path.dirname(within)], good=(0, 1))
        os.rename(os.path.join(top, "directory"), os.path.join(top, "renamed"))
        self.assertEqual(Path(top, "renamed/f").read_text(), "MAPPED+t")
        os.rmdir(os.path.join(top, "renamed"))
        os.unlink(os.path.join(top, "file"))
        self.assertEqual(sorted(os.listdir(os.path.join(other, "shared"))), ["f", "new", "t.tar"])
        self.assertFalse(os.path.lexists(os.path.join(disk, "renamed")))
        self.assertFalse(os.path.lexists(os.path.join(disk, "file")))
        os.setxattr(os.path.join(top, ".boughfs"), "user.boughfs.follow-symlinks", b"never")
        self.eventually(lambda: os.path.islink(os.path.join(top, "roots")), 10, "links are links again")
        self.assertEqual(pool.unmount(), 0, pool.said())

    def test_everyday(self):
        """Programs in a followed directory, and into it and out of it."""
        disks, other = [self.file_system("ext4", name) for name in ("disk1", "disk2")], self.file_system("ext4", "other")
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
        """Who swaps a link between the kernel's check and the call neither sees nor touches what is not his."""
        disk, other = self.file_system("ext4", "disk"), self.file_system("ext4", "other")
        for name, owner, mode in (("open", modes.USER, 0o777), ("secret", 0, 0o700)):
            os.mkdir(os.path.join(other, name))
            os.chown(os.path.join(other, name), owner, owner)
            os.chmod(os.path.join(other, name), mode)
        Path(other, "secret/marker").write_text("marker")
        Path(other, "secret/victim").write_text("secret")
        os.mkdir(os.path.join(disk, "home"))
        os.chown(os.path.join(disk, "home"), modes.USER, modes.USER)
        name = os.path.join(disk, "home/d")
        self.link(os.path.join(other, "open"), name, modes.USER)
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
                        self.link(os.path.join(other, target), name + ".next", modes.USER)
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

    def test_chains_and_other_branches(self):
        """A link through another one's link; a directory of one branch and a link of another."""
        disks, other = [self.file_system("ext4", name) for name in ("disk1", "disk2")], self.file_system("ext4", "other")
        os.makedirs(os.path.join(other, "secret/t"))
        Path(other, "secret/t/f").write_text("secret")
        os.chmod(os.path.join(other, "secret"), 0o700)
        os.mkdir(os.path.join(other, "etc"))
        Path(other, "etc/f").write_text("etc")
        self.link(os.path.join(other, "secret/t"), os.path.join(other, "roots"))
        self.link(os.path.join(other, "secret/t"), os.path.join(other, "his"), modes.USER)
        self.link(os.path.join(other, "roots"), os.path.join(disks[0], "his-to-roots"), modes.USER)
        self.link(os.path.join(other, "his"), os.path.join(disks[0], "roots-to-his"))
        self.link(os.path.join(other, "roots"), os.path.join(disks[0], "roots-to-roots"))
        for link, plain, name in ((0, 1, "first"), (1, 0, "second")):
            self.link(os.path.join(other, "etc"), os.path.join(disks[link], name), modes.USER)
            os.mkdir(os.path.join(disks[plain], name))
            os.chown(os.path.join(disks[plain], name), modes.USER, modes.USER)
            os.chmod(os.path.join(disks[plain], name), 0o777)
            Path(disks[plain], name, "own").write_text("own")
        pool = self.following(disks)
        top = pool.mountpoint
        self.assertTrue(os.path.islink(os.path.join(top, "his-to-roots")))
        self.assertTrue(os.path.islink(os.path.join(top, "roots-to-his")))
        self.assertEqual(Path(top, "roots-to-roots/f").read_text(), "secret")
        # the kernel judges by the directory that is shown, and that alone is acted in
        self.assertEqual(os.listdir(os.path.join(top, "first")), ["f"])
        self.assertEqual(os.listdir(os.path.join(top, "second")), ["own"])
        for name in ("first", "second"):
            self.command([*AS_USER, "sh", "-c", f"cd {top}/{name}; rm -f f own; echo x > new; mkdir d; chmod 777 ."],
                         good=(0, 1))
        self.assertEqual(os.listdir(os.path.join(other, "etc")), ["f"])
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(other, "etc")).st_mode), 0o755)
        self.assertEqual(Path(disks[1], "first/own").read_text(), "own")
        self.assertEqual(sorted(os.listdir(os.path.join(disks[0], "second"))), ["d", "new"])
        self.assertEqual(pool.unmount(), 0, pool.said())

    def test_mounts(self):
        """Not to a mount with less rights, nor into a pool, this one or another that leads back."""
        disks = [self.file_system("ext4", f"disk{i}", flags="nodev") for i in range(2)]
        narrow = self.file_system("tmpfs", "narrow", flags="nosuid,nodev")
        wide = self.file_system("tmpfs", "wide", flags="nodev")
        for place in (narrow, wide):
            Path(place, "f").write_text("text")
        for name, place in (("narrow", narrow), ("wide", wide)):
            self.link(place, os.path.join(disks[0], name))
            self.link(os.path.join(place, "f"), os.path.join(disks[0], name + "-file"))
        tops = [self.path("pool-a"), self.path("pool-b")]
        for disk, to in zip(disks, reversed(tops)):
            os.mkdir(os.path.join(disk, "d"))
            Path(disk, "d/f").write_text("text")
            self.link(to, os.path.join(disk, "other"))
            self.link(os.path.join(to, "d"), os.path.join(disk, "into"))
            self.link(os.path.join(to, "other/other/d"), os.path.join(disk, "back"))
            self.link("/", os.path.join(disk, "root"))
        pools = [self.following([disk], more=["threads=1"], name=name)
                 for disk, name in zip(disks, ("pool-a", "pool-b"))]
        top = pools[0].mountpoint
        kinds = {name: os.path.islink(os.path.join(top, name)) for name in os.listdir(top)}
        self.assertEqual(kinds, {"d": False, "narrow": True, "narrow-file": True, "wide": False, "wide-file": False,
                                 "other": True, "into": True, "back": True, "root": False})
        for pool, to in zip(pools, reversed(tops)):
            self.command(["timeout", "30", "ls", "-la", pool.mountpoint])
            # as the links that they are, they are the kernel's to follow
            self.command(["timeout", "30", "cat", os.path.join(pool.mountpoint, "into/f")])
            for below in tops:
                self.command(["timeout", "30", "stat", os.path.join(pool.mountpoint, "root" + below)], good=(1,))
            self.command(["timeout", "30", "ls", "-la", os.path.join(pool.mountpoint, "root" + self.folder)],
                         good=(0, 1))
        both = [subprocess.Popen(["timeout", "60", "find", pool.mountpoint, "-maxdepth", "3"],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for pool in pools]
        for walk in both:
            self.assertIn(walk.wait(), (0, 1))
        for pool in pools:
            self.assertEqual(pool.unmount(), 0, pool.said())
