"""A pool that nobody uses costs next to nothing."""

import os
import time
import unittest

import modes
import processes
import sandbox

RSS_LIMIT_KIB = 8 * 1024


class Idle(sandbox.LiveCase):
    tools = ("mkfs.ext4", "mkfs.xfs", "mkfs.btrfs")

    def _used_pool(self):
        pool = self.pool(self.three_branches(), modes.Root())
        pool.shell("mkdir d; for i in $(seq 1 200); do echo $i > d/$i; done; cat d/* > /dev/null; ls -l d > /dev/null")
        return pool

    def _switches(self, pool):
        return {task: processes.status_field(pool.pid, "voluntary_ctxt_switches", task)
                for task in os.listdir(f"/proc/{pool.pid}/task")}

    def test_no_wake_ups(self):
        pool = self._used_pool()
        # closing files is asynchronous, and idle pools let go of descriptors once
        def quiet():
            before = self._switches(pool)
            time.sleep(5)
            return before == self._switches(pool)
        time.sleep(3)
        self.eventually(quiet, 25, f"5 s without any wake-up; {processes.stacks(pool.pid)}")
        self.assertEqual(pool.unmount(), 0)

    def test_no_wake_ups_of_a_fresh_pool(self):
        pool = self.pool(self.three_branches(), modes.Root())
        time.sleep(3)
        before = self._switches(pool)
        time.sleep(5)
        self.assertEqual(self._switches(pool), before, processes.stacks(pool.pid))
        self.assertEqual(pool.unmount(), 0)

    def test_what_it_needs(self):
        """Only libc, libstdc++, libgcc and libm."""
        names = {line.split()[0].split("/")[-1].split(".so")[0]
                 for line in self.command(["ldd", self.boughfs]).splitlines() if ".so" in line}
        sanitizers = {name for name in names if name.endswith("san")}
        wanted = {"linux-vdso", "ld-linux-x86-64", "ld-linux-aarch64", "libc", "libm", "libstdc++", "libgcc_s"}
        if sanitizers:
            wanted |= {"libdl", "libpthread", "librt"}
        self.assertLessEqual(names - sanitizers, wanted)


class Memory(sandbox.LiveCase):
    """Only of an optimised build without sanitizers."""
    tools = Idle.tools + ("strip",)

    def test_memory(self):
        stripped = self.path("stripped")
        self.command(["strip", "-o", stripped, self.boughfs])
        type(self).boughfs = stripped
        pool = self.pool(self.three_branches(), modes.Root())
        time.sleep(1)
        self.assertLess(processes.status_field(pool.pid, "VmRSS"), RSS_LIMIT_KIB)
        pool.shell("for i in $(seq 1 100); do mkdir d$i; for j in 1 2 3 4 5 6 7 8 9; do echo $i > d$i/$j; done; done; "
                   "find . > /dev/null; cat */* > /dev/null")
        pool.settle()
        self.assertLess(processes.status_field(pool.pid, "VmRSS"), RSS_LIMIT_KIB, "after some use")
        self.assertEqual(pool.unmount(), 0)


def load_tests(loader, _tests, _pattern):
    classes = [Idle] + ([Memory] if os.environ.get("BOUGH_RELEASE") else [])
    return unittest.TestSuite(loader.loadTestsFromTestCase(each) for each in classes)
