"""Direct writers of one file, inside its size, run side by side: on a branch where each write takes 20 ms, which
is far more than anything else here takes, so that ratios of times are what the number of writes at once makes them.
The branch is bench_floor --slow-writes, a FUSE server that takes any number of writes at once."""

import os
import statistics
import subprocess
import sys

import kernel
import modes
import processes
import sandbox

WRITERS = 8
SIZE = 4096
# runs in a process of its own: PATH FLAGS THREADS WRITES FIRST: each thread writes its own blocks; its time
WRITE = """
import mmap, os, sys, threading, time
path, flags, threads, writes, first = sys.argv[1], *map(int, sys.argv[2:])
file = os.open(path, os.O_WRONLY | flags)
def write(who):
    page = mmap.mmap(-1, 4096)
    page[:] = bytes([65 + who]) * 4096
    for number in range(writes):
        assert os.pwrite(file, page, (who * writes + number) * 4096) == 4096
workers = [threading.Thread(target=write, args=[first + number]) for number in range(threads)]
print("ready", flush=True)
sys.stdin.readline()
start = time.monotonic()
for worker in workers: worker.start()
for worker in workers: worker.join()
print(start, time.monotonic())
"""


class ParallelWrites(sandbox.LiveCase):
    @classmethod
    def prepare(cls, folder, boughfs, long_form):
        # the build has it there
        cls.floor = os.path.join(os.path.dirname(os.path.dirname(boughfs)), "test", "bench", "bench_floor")
        if not os.access(cls.floor, os.X_OK):
            raise sandbox.CannotRun(f"{cls.floor} is not built")
        if kernel.RELEASE < (6, 2):
            raise sandbox.CannotRun("Linux writes a direct file in parallel from 6.2 on")
        super().prepare(folder, boughfs, long_form)

    def setUp(self):
        super().setUp()
        self.behind = self.directory("behind")
        slow = self.directory("slow")
        self.server = subprocess.Popen([self.floor, "--slow-writes", "20", self.behind, slow])
        self.eventually(lambda: any(path == slow for path, _, _ in processes.mounts()), 10, "the slow branch is mounted")
        self.slow = slow

    def tearDown(self):
        for pool in self.pools:
            pool.end()
        kernel.umount2(self.slow, kernel.MNT_DETACH)
        self.server.wait(20)
        super().tearDown()

    def seconds(self, path, flags, processes_count, threads):
        """How long all writers took, from the first one's start to the last one's end."""
        started = [subprocess.Popen([sys.executable, "-c", WRITE, path, str(flags), str(threads), str(self.writes),
                                     str(first)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                   for first in range(processes_count)]
        for process in started:
            self.assertEqual(process.stdout.readline(), "ready\n")
        for process in started:
            process.stdin.write("go\n")
            process.stdin.flush()
        times = [[float(time) for time in process.communicate(timeout=120)[0].split()] for process in started]
        self.assertEqual([process.returncode for process in started], [0] * processes_count)
        return max(end for _, end in times) - min(start for start, _ in times)

    def ratios(self, writes, options, flags, name):
        """{how: time of 8 writers ÷ time of one}, by medians."""
        self.writes = writes * 4 if self.long_form else writes
        pool = self.pool([self.slow], modes.Root(), ["minfreespace=0", *options], name)
        path = os.path.join(pool.mountpoint, name)
        with open(os.path.join(self.behind, name), "wb") as file:
            file.write(b"." * (WRITERS * self.writes * SIZE))
        taken = {"one": [], "one handle": [], "eight handles": []}
        for _ in range(3):
            taken["one"].append(self.seconds(path, flags, 1, 1))
            taken["one handle"].append(self.seconds(path, flags, 1, WRITERS))
            with open(os.path.join(self.behind, name), "rb") as file:
                content = file.read()
            self.assertEqual(content, b"".join(bytes([65 + who]) * (self.writes * SIZE) for who in range(WRITERS)))
            taken["eight handles"].append(self.seconds(path, flags, WRITERS, 1))
        self.assertEqual(pool.unmount(), 0, pool.said())
        one = statistics.median(taken.pop("one"))
        self.assertGreater(one, 0.02 * self.writes)
        return {how: statistics.median(times) / one for how, times in taken.items()}

    def test_parallel(self):
        for name, options, flags in (("off", ["cache.files=off"], 0), ("auto", ["cache.files=auto"], os.O_DIRECT)):
            ratios = self.ratios(15, options, flags, name)
            print(name, ratios)
            for how, ratio in ratios.items():
                self.assertLess(ratio, 1.5, f"{name}: {how}")

    def test_serial(self):
        ratios = self.ratios(6, ["cache.files=off", "parallel-direct-writes=false"], 0, "serial")
        print(ratios)
        for how, ratio in ratios.items():
            self.assertGreater(ratio, 5, how)
