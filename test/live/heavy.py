"""Heavy use by programs that check what they see: stress-ng's stressors of files, and a build of this
project inside the pool."""

import os
import shutil

import modes
import sandbox

SOURCES = os.path.dirname(os.path.dirname(sandbox.HERE))
# a disk that it fills refuses others what they verify, natively too
FALLOCATE_MOST = ["--fallocate-bytes", "64M"]
STRESSORS = ("dir", "dentry", "link", "rename", "fallocate", "seek", "mmap", "xattr", "chdir", "open", "utime")


class Heavy(sandbox.LiveCase):
    def nothing_left(self, pool):
        counters = pool.settle(30)
        self.assertEqual((counters["nodes"], counters["handles"]), (1, 0), counters)
        for name in ("overdrawn", "handler_exceptions", "malformed", "abandoned_replies", "device_errors"):
            self.assertEqual(counters.get(name, 0), 0, f"{name}: {counters}")
        self.assertEqual(pool.unmount(), 0, pool.said())


class Stress(Heavy):
    tools = ("mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "stress-ng")
    deadline = 150
    long_deadline = 1200

    def test_stressors(self):
        branches = self.three_branches()
        pool = self.pool(branches, modes.Root(), ["minfreespace=1M"])
        at_once, seconds = (1, 60) if self.long_form else (4, 5)
        for first in range(0, len(STRESSORS), at_once):
            group = [word for name in STRESSORS[first:first + at_once] for word in (f"--{name}", "2")]
            said = pool.run(["stress-ng", *group, *FALLOCATE_MOST, "--timeout", str(seconds), "--verify", "--no-rand-seed",
                             "--temp-path", pool.mountpoint], timeout=seconds + 120)
            for sign in ("stress-ng: fail", "stress-ng: error", "unsuccessful"):
                self.assertNotIn(sign, said)
            self.assertIn("successful run completed", said)
        for branch in branches:
            self.assertEqual(os.listdir(branch), [], "a stressor could not take away what it made")
        self.nothing_left(pool)


class Build(Heavy):
    tools = ("mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "cmake", "ninja", "c++")
    deadline = 150
    long_deadline = 1200

    def test_build_of_this_project(self):
        pool = self.pool(self.three_branches(), modes.Root(), ["minfreespace=1M"])
        os.mkdir(os.path.join(pool.mountpoint, "source"))
        for name in ("CMakeLists.txt", "proto", "policy", "session", "ops", "cli"):
            source, copy = os.path.join(SOURCES, name), os.path.join(pool.mountpoint, "source", name)
            (shutil.copytree if os.path.isdir(source) else shutil.copy)(source, copy)
        target = "boughfs" if self.long_form else "bough_policy"
        pool.shell("cmake -S source -B build -G Ninja -DBOUGH_TESTS=OFF -DCMAKE_BUILD_TYPE=Release", timeout=120)
        pool.shell('ninja -C build "$1"', target, timeout=900)
        self.assertEqual(pool.shell('ninja -C build -n "$1" | tail -n 1', target).split(": ")[-1].strip(),
                         "no work to do.", "times or names in the pool mislead ninja")
        if self.long_form:
            self.assertEqual(pool.shell("build/cli/boughfs --help"), self.command([self.boughfs, "--help"]))
        pool.shell("rm -r source build")
        self.nothing_left(pool)
