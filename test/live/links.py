"""Hard and symbolic links: what the options about them do on real disks."""

import mmap
import os
import stat
import time
from pathlib import Path

import modes
import sandbox


class Links(sandbox.LiveCase):
    tools = ("mkfs.ext4",)

    def test_link_cow(self):
        """Whoever writes to a name with link-cow leaves the other names as they were."""
        disk = self.file_system("ext4", "disk")
        pool = self.pool([disk], modes.Root(), ["link-cow=true", "minfreespace=0"])
        with open(os.path.join(disk, "a"), "wb") as file:
            file.write(b"begin")
            file.truncate(8 << 20)
        os.chmod(os.path.join(disk, "a"), 0o640)
        os.setxattr(os.path.join(disk, "a"), "user.x", b"y")
        pool.shell("ln a b; ln a c; ls -li > /dev/null; printf B | dd of=b conv=notrunc status=none; head -c 5 b")
        heads = [Path(disk, name).read_bytes()[:5] for name in "abc"]
        self.assertEqual(heads, [b"begin", b"Begin", b"begin"])
        self.assertEqual([os.stat(os.path.join(disk, name)).st_nlink for name in "abc"], [2, 1, 2])
        copy = os.stat(os.path.join(disk, "b"))
        self.assertEqual((copy.st_size, copy.st_mode), (8 << 20, 0o100640))
        self.assertLess(copy.st_blocks * 512, 1 << 20, "the hole was filled")
        self.assertEqual(os.getxattr(os.path.join(disk, "b"), "user.x"), b"y")
        # a reader keeps what it opened, the writer's open succeeds at once
        with open(os.path.join(pool.mountpoint, "a"), "rb", buffering=0) as reader:
            with open(os.path.join(pool.mountpoint, "a"), "r+b", buffering=0) as writer:
                writer.write(b"A")
            self.assertEqual(reader.read(5), b"begin")
        self.assertEqual(Path(pool.mountpoint, "a").read_bytes()[:5], b"Aegin")
        self.assertNotEqual(os.stat(os.path.join(pool.mountpoint, "a")).st_ino,
                            os.stat(os.path.join(pool.mountpoint, "c")).st_ino)
        pool.shell("ln c d; truncate -s 3 c; stat -c %s d")
        self.assertEqual(os.path.getsize(os.path.join(disk, "d")), 8 << 20)
        self.assertEqual([name for name in os.listdir(disk) if name.startswith(".boughfs-")], [])
        self.assertEqual(pool.unmount(), 0)

    def exdev_pool(self, option):
        """A file on the second branch, and a directory that only the first one has."""
        name = option.replace("=", "-")
        branches = [self.directory(f"{name}-{branch}") for branch in "ab"]
        os.mkdir(os.path.join(branches[0], "t"))
        os.mkdir(os.path.join(branches[1], "s"))
        for file in ("f", "g"):
            Path(branches[1], "s", file).write_text(file)
        options = ["category.create=epff", "minfreespace=0", option]
        return branches, self.pool(branches, modes.Root(), options, name=name)

    def test_rename_exdev(self):
        """What cannot come to the new directory is put aside, and the link to it can be used at once."""
        for how in ("rel-symlink", "abs-symlink"):
            with self.subTest(how):
                branches, pool = self.exdev_pool(f"rename-exdev={how}")
                old, new = os.path.join(pool.mountpoint, "s/f"), os.path.join(pool.mountpoint, "t/new")
                with open(old, "a", encoding="ascii") as file:
                    os.rename(old, new)
                    file.write("more")
                self.assertEqual(Path(new).read_text(), "fmore")
                self.assertFalse(os.path.lexists(old))
                self.eventually(lambda: os.path.islink(new), 5, "the new name is a link")
                self.assertEqual(Path(new).read_text(), "fmore")
                top = "../" if how == "rel-symlink" else pool.mountpoint + "/"
                self.assertEqual(os.readlink(os.path.join(branches[0], "t/new")), top + ".mergerfs_rename_exdev/s/f")
                self.assertEqual(Path(branches[1], ".mergerfs_rename_exdev/s/f").read_text(), "fmore")
                os.rename(os.path.join(pool.mountpoint, "s"), os.path.join(pool.mountpoint, "t/dir"))
                # until the kernel hears that the name is a link it takes it for the directory that moved
                moved = os.path.join(pool.mountpoint, "t/dir")
                self.eventually(lambda: os.path.islink(moved), 5, "the directory's new name is a link")
                self.assertEqual(Path(moved, "g").read_text(), "g")
                self.assertEqual(pool.unmount(), 0)

    def test_link_exdev(self):
        """A symbolic link where no hard link can be; each kind of it leads to the file."""
        for how in ("rel-symlink", "abs-base-symlink", "abs-pool-symlink"):
            with self.subTest(how):
                branches, pool = self.exdev_pool(f"link-exdev={how}")
                new = os.path.join(pool.mountpoint, "t/new")
                os.link(os.path.join(pool.mountpoint, "s/f"), new)
                self.assertEqual(Path(new).read_text(), "f")
                self.assertEqual(os.readlink(new), {"rel-symlink": "../s/f",
                                                    "abs-base-symlink": branches[1] + "/s/f",
                                                    "abs-pool-symlink": pool.mountpoint + "/s/f"}[how])
                self.assertEqual(pool.unmount(), 0)

    def test_symlinkify(self):
        """A file that is done with becomes a link to its branch, but never while somebody uses it."""
        disks = [self.file_system("ext4", name) for name in ("disk1", "disk2")]
        os.mkdir(os.path.join(disks[1], "d"))
        on_disk = os.path.join(disks[1], "d/f")
        Path(on_disk).write_text("text")
        Path(disks[1], "d/writable").write_text("w")
        os.chmod(on_disk, 0o444)
        pool = self.pool(disks, modes.Root(), ["symlinkify=true", "symlinkify-timeout=1", "cache.entry=60",
                                               "cache.attr=60", "cache.symlinks=true", "minfreespace=0"])
        path = os.path.join(pool.mountpoint, "d/f")

        def ask_again():
            os.setxattr(os.path.join(pool.mountpoint, ".boughfs"), "user.boughfs.cmd.invalidate-all-nodes", b"")

        def is_link():
            # The RELEASE of a file that was closed just now may come after the question.
            ask_again()
            return os.path.islink(path)

        with open(path, "rb", buffering=0) as reader, mmap.mmap(reader.fileno(), 4, prot=mmap.PROT_READ) as mapped:
            time.sleep(2)
            ask_again()
            self.assertTrue(os.path.samestat(os.lstat(path), os.fstat(reader.fileno())))
            reader.close()
            self.assertFalse(os.path.islink(path), "mapped, and a link")
            self.assertEqual(mapped[:], b"text")
        self.eventually(is_link, 10, "the file is shown as a link")
        self.assertEqual(os.readlink(path), on_disk)
        self.assertEqual(os.lstat(path).st_size, len(on_disk))
        self.assertEqual(Path(path).read_text(), "text")
        self.assertEqual(os.stat(path).st_dev, os.stat(on_disk).st_dev, "opened on the branch")
        self.assertFalse(os.path.islink(os.path.join(pool.mountpoint, "d/writable")))
        listed = self.command(["find", os.path.join(pool.mountpoint, "d"), "-type", "l"])
        self.assertEqual(listed.split(), [path])
        os.rename(os.path.join(pool.mountpoint, "d"), os.path.join(pool.mountpoint, "e"))
        path, on_disk = os.path.join(pool.mountpoint, "e/f"), os.path.join(disks[1], "e/f")
        self.assertEqual(os.readlink(path), on_disk)
        # chmod follows the link, where the pool does not see it; the name is a file at once all the same
        self.command(["chmod", "u+w", path])
        self.assertFalse(os.path.islink(path))
        with open(path, "a", encoding="ascii") as file:
            file.write("more")
        self.assertEqual(Path(on_disk).read_text(), "textmore")
        os.chmod(path, 0o444)
        self.assertFalse(os.path.islink(path))
        time.sleep(2)
        self.eventually(is_link, 10, "it is a link again")
        os.link(path, os.path.join(pool.mountpoint, "hard"), follow_symlinks=False)
        self.assertEqual(os.stat(on_disk).st_nlink, 2)
        self.assertEqual(Path(pool.mountpoint, "hard").read_text(), "textmore")
        os.rename(path, os.path.join(pool.mountpoint, "moved"))
        os.unlink(os.path.join(pool.mountpoint, "hard"))
        self.assertEqual(Path(disks[1], "moved").read_text(), "textmore")
        self.assertEqual(sorted(os.listdir(pool.mountpoint)), ["e", "moved"])
        os.setxattr(os.path.join(pool.mountpoint, ".boughfs"), "user.boughfs.symlinkify", b"false")
        self.assertFalse(os.path.islink(os.path.join(pool.mountpoint, "moved")))
        self.assertEqual(pool.unmount(), 0, pool.said())
