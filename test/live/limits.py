"""Very many open files: each stays what it is while names move and go; where the daemon has no
descriptor left, the caller is told."""

import errno
import os
import resource

import modes
import sandbox


class FewDescriptors(modes.User):
    """Its daemon may have this many descriptors, and may not raise that."""
    count = 200

    def wrap(self, argv):
        return super().wrap(["prlimit", f"--nofile={self.count}:{self.count}", *argv])


class OpenFiles(sandbox.LiveCase):
    tools = ("mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "setpriv", "fusermount3", "prlimit")

    def test_ten_thousand(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        # the daemon has one for each, and others
        count = min(100_000 if self.long_form else 10_000, hard // 2)
        self.assertGreaterEqual(count, 10_000, "the hard limit of descriptors is low here")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        pool = self.pool(self.three_branches(), modes.Root(), ["minfreespace=1M"])
        os.chdir(pool.mountpoint)
        # from the root of the pool: the name that each file had at first
        first = [f"d{number % 10}/{number}" for number in range(count)]
        for number in range(10):
            os.mkdir(f"d{number}")
        start = pool.settle()
        files = [os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL) for name in first]
        self.assertEqual(pool.counters()["handles"], count)
        for number, file in enumerate(files):
            os.write(file, b"file %d" % number)
        # a third loses its name, a third gets another one, in another directory
        for number, name in enumerate(first):
            if number % 3 == 0:
                os.unlink(name)
            elif number % 3 == 1:
                os.rename(name, f"d{(number + 1) % 10}/moved-{number}")
        # new files take the free names, and are not what is open
        for number in range(0, count, 30):
            with open(first[number], "wb") as other:
                other.write(b"another")
        for number, file in enumerate(files):
            os.write(file, b" still")
            info = os.fstat(file)
            self.assertEqual((os.pread(file, 100, 0), info.st_nlink),
                             (b"file %d still" % number, 0 if number % 3 == 0 else 1), first[number])
        for number, file in enumerate(files):
            if number % 3 == 1:
                self.assertTrue(os.path.samestat(os.fstat(file), os.stat(f"d{(number + 1) % 10}/moved-{number}")))
        for file in files:
            os.close(file)
        for number in range(10):
            for name in os.listdir(f"d{number}"):
                os.unlink(f"d{number}/{name}")
        end = pool.settle(30)
        for name in ("nodes", "handles", "lookups", "holds", "victims", "edges"):
            self.assertEqual(end[name], start[name], f"{name} is not as before: {end}")
        os.chdir("/")
        self.assertEqual(pool.unmount(), 0, pool.said())

    def test_no_descriptor_left(self):
        self.open_fuse_to_all(True)
        mode = FewDescriptors()
        pool = self.pool([self.file_system("ext4", "disk", mode.uid)], mode, ["minfreespace=1M", "threads=4"])
        said = self.command(modes.User().wrap(self.script("many_open.py", pool.mountpoint, "1000")))
        opened, _, code = said.strip().partition(" ")
        self.assertEqual(code, errno.errorcode[errno.EMFILE])
        self.assertGreater(int(opened), FewDescriptors.count // 2)
        # with them closed everything is as before
        pool.shell("for i in $(seq 1 100); do echo $i > after-$i; done; cat after-* > /dev/null; rm -r *")
        counters = pool.settle()
        self.assertEqual((counters["nodes"], counters["handles"]), (1, 0), counters)
        self.assertEqual(pool.unmount(), 0, pool.said())
