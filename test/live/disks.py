"""Disks that go, turn read-only, fill up or break while the pool is in heavy use."""

import collections
import json
import os
import subprocess
import time

import disk_worker
import modes
import processes
import sandbox

WORKERS = 3


class Disks(sandbox.LiveCase):
    tools = ("mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "losetup")
    deadline = 90

    def setUp(self):
        super().setUp()
        self.seconds = 8 if self.long_form else 1.5

    def start(self, *disks, options=()):
        """A pool in use; `disks` are (kind, size in MB) and become self.disks, self.branches."""
        self.branches = [self.file_system(kind, f"disk{number}", megabytes=size)
                         for number, (kind, size) in enumerate(disks)]
        self.disks = [os.path.dirname(branch) for branch in self.branches]
        self.served = self.pool(self.branches, modes.Root(), ["minfreespace=1M", *options])
        self.workers = []
        for who in "abc"[:WORKERS]:
            for branch in self.branches:
                os.mkdir(os.path.join(branch, f"d{who}"))
            self.workers.append(subprocess.Popen(self.script("disk_worker.py", self.served.mountpoint, who), cwd="/",
                                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        time.sleep(self.seconds)

    def next_phase(self):
        """What is started from now on meets the disks as they are now."""
        for worker in self.workers:
            worker.stdin.write(".")
            worker.stdin.flush()
        time.sleep(self.seconds)

    def stop(self):
        """[(good rounds, errors)] of each phase, and {file: phase}."""
        said = [worker.communicate(timeout=60)[0] for worker in self.workers]
        self.assertEqual([worker.returncode for worker in self.workers], [0] * len(said), self.served.said())
        good, errors, kept = collections.Counter(), collections.defaultdict(collections.Counter), {}
        for text in said:
            told = json.loads(text)
            kept.update(told["kept"])
            for phase, found in enumerate(told["phases"]):
                good[phase] += found["good"]
                errors[phase].update(found["errors"])
        return [(good[phase], dict(errors[phase])) for phase in sorted(good)], kept

    def intact(self, name):
        who, number = name[1], int(name.split("/")[1].split("-")[0])
        with open(os.path.join(self.served.mountpoint, name), "rb") as file:
            self.assertEqual(file.read(), disk_worker.content(who, number)[:disk_worker.SIZE], name)

    def ends_well(self):
        self.assertIsNone(self.served.process.poll(), self.served.said())
        counters = self.served.settle()
        self.assertEqual((counters["nodes"], counters["handles"]), (1, 0), counters)
        for name in ("overdrawn", "handler_exceptions", "malformed", "abandoned_replies", "device_errors"):
            self.assertEqual(counters.get(name, 0), 0, f"{name}: {counters}")
        self.assertEqual(self.served.unmount(), 0, self.served.said())

    def others_serve(self, phases, kept, allowed):
        """Disk 0 failed after phase 0; from phase 2 on the other one does what can be done."""
        for phase, (_, errors) in enumerate(phases):
            self.assertLessEqual(set(errors), allowed, f"phase {phase} of {phases}")
        good, errors = phases[-1]
        self.assertGreater(good, 30, phases)
        last = [name for name, phase in kept.items() if phase == len(phases) - 1]
        self.assertTrue(last)
        for name in last:
            self.intact(name)
            self.assertTrue(os.path.exists(os.path.join(self.branches[1], name)), name)

    def test_unmounted(self):
        self.start(("ext4", 300), ("xfs", 400), options=["branch-absent=hide"])
        self.command(["umount", "-l", self.disks[1]])
        self.next_phase()
        self.next_phase()
        phases, kept = self.stop()
        self.assertEqual(phases[0][1], {})
        # a file that somebody has just made there is gone with the disk
        self.assertLessEqual(set(phases[1][1]), {"ENOENT", "ESTALE"}, phases)
        self.assertEqual(phases[2][1], {}, "the others serve without it")
        self.assertGreater(phases[2][0], 30, phases)
        self.assertEqual(os.listdir(self.disks[1]), [], "written below the mount point of a disk that is gone")
        self.eventually(lambda: self.disks[1] + ".img" not in self.command(["losetup", "-a"]), 20, "the disk is let go")
        self.command(["mount", "-o", "loop", self.disks[1] + ".img", self.disks[1]])
        self.eventually(lambda: all(os.path.exists(os.path.join(self.served.mountpoint, name)) for name in kept), 10,
                        "what is on the disk that came back is seen")
        for name in kept:
            self.intact(name)
        self.ends_well()

    def test_full(self):
        self.start(("ext4", 300), ("xfs", 400))
        free = os.statvfs(self.disks[0])
        filler = os.path.join(self.disks[0], "filler")
        # with the root's reserve too
        subprocess.run(["fallocate", "-l", str(free.f_bfree * free.f_frsize - (1 << 18)), filler], check=False)
        self.assertLess(os.statvfs(self.disks[0]).f_bavail * free.f_frsize, 1 << 20)
        self.next_phase()
        self.next_phase()
        phases, kept = self.stop()
        self.others_serve(phases, kept, {"ENOSPC"})
        self.assertEqual(phases[-1][1], {}, "new files still go to the full disk")
        for name in kept:
            self.intact(name)
        os.unlink(filler)
        self.served.shell("for i in $(seq 1 60); do echo $i > again-$i; done")
        self.assertTrue(any(name.startswith("again") for name in os.listdir(self.branches[0])))
        self.ends_well()

    def test_turns_read_only(self):
        """As ext4 does by itself after an error (errors=remount-ro)."""
        self.start(("ext4", 300), ("ext4", 300))
        self.command(["mount", "-o", "remount,abort", self.disks[0]])
        self.next_phase()
        self.next_phase()
        # a directory has a copy there too, so that it cannot be synced as a whole
        phases, kept = self.stop()
        self.others_serve(phases, kept, {"EROFS", "EIO"})
        self.assertLess(sum(phases[-1][1].values()), phases[-1][0], "new files still go to that disk")
        self.ends_well()

    def breaks(self, kind):
        """The disk under the file system is gone: every access to it is an I/O error."""
        self.start((kind, 300), ("ext4", 300), options=["branch-absent=hide"])
        image = self.disks[0] + ".img"
        loop = self.command(["losetup", "-n", "-O", "NAME", "-j", image]).strip()

        def gone():
            # not to nothing: the block layer takes a capacity of 0 for one that is not known
            os.truncate(image, 1 << 20)
            self.command(["losetup", "-c", loop])
            # a write in between made the image long again
            return self.command(["blockdev", "--getsize64", loop]).strip() == str(1 << 20)
        self.eventually(gone, 10, "the disk is gone")
        self.next_phase()
        self.next_phase()
        phases, kept = self.stop()
        silent = kind == "btrfs" and not any(good for good, _ in phases[1:])
        if silent:
            # it answers nothing where it has to read a directory anew, and a name that may be there cannot be said to
            # be free
            self.assertEqual([set(errors) for _, errors in phases[1:]], [{"EIO"}] * 2)
        elif kind == "xfs":
            # not even of its root: it is absent
            self.others_serve(phases, kept, {"EIO", "ENOENT", "ESTALE"})
            self.assertEqual(phases[-1][1], {})
        else:
            # ENOMEM: what ext4 says of a block past the end of its device
            self.others_serve(phases, kept, {"EROFS", "EIO", "ENOMEM"})
        # taken out, it is missed by nobody
        self.command(["umount", "-l", self.disks[0]])
        new = os.path.join(self.served.mountpoint, "da", "new")

        refusals = []

        def works():
            try:
                with open(new, "x", encoding="ascii") as file:
                    file.write("x")
                return True
            except OSError as error:
                refusals.append(str(error))
                return False
        self.assertTrue(processes.wait_until(works, 5, 0.2),
                        f"the pool is not well without the broken disk: {collections.Counter(refusals)}")
        self.assertTrue(os.path.exists(os.path.join(self.branches[1], "da", "new")))
        for name in kept:
            if os.path.exists(os.path.join(self.branches[1], name)):
                self.intact(name)
        self.ends_well()

    def test_breaks_ext4(self):
        self.breaks("ext4")

    def test_breaks_xfs(self):
        self.breaks("xfs")

    def test_breaks_btrfs(self):
        self.breaks("btrfs")


class Applications(sandbox.LiveCase):
    """sqlite and git on a disk that fills up: what they were told is done is whole."""
    tools = ("mkfs.ext4", "sqlite3", "git")
    deadline = 90

    def setUp(self):
        super().setUp()
        # One disk alone: nothing can be put elsewhere. Its blocks are pages: of smaller ones sqlite allocates but the
        # last of each page of its mapped index, so that on a full disk it may die of SIGBUS.
        disk = self.file_system("ext4", "disk", megabytes=30, more=["-b", "4096"])
        self.served = self.pool([disk], modes.Root(), ["minfreespace=0"])

    def test_sqlite(self):
        for journal in ("delete", "wal"):
            said = self.served.run(self.script("sqlite_filler.py", self.served.mountpoint + "/base", journal))
            self.assertRegex(said, r"^full after \d+ rows\n$")
            self.served.shell("rm -f base base-*")
        self.assertEqual(self.served.unmount(), 0, self.served.said())

    def test_git(self):
        self.served.shell("""
            export HOME=$PWD GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org
            export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
            fallocate -l 12M filler
            git init -q -b main r
            cd r
            done=0
            for number in $(seq 1 60); do
                head -c 300000 /dev/urandom > file-$number || break
                git add . || break
                git commit -q -m $number || break
                done=$number
            done 2> /dev/null
            test $done -gt 3
            test $done -lt 60
            rm -f file-* .git/index.lock ../filler
            git fsck --full
            test $(git rev-list --count HEAD) -ge $done
            git reset -q --hard HEAD~3
            git gc -q --prune=now
            git fsck --full --strict
            """)
        self.assertEqual(self.served.unmount(), 0, self.served.said())
