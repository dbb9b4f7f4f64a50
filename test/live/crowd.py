"""Many processes at once: nothing is lost, nothing is kept."""

import os
import subprocess
import threading
import time

import modes
import processes
import sandbox

WORKERS = 8


class Crowd(sandbox.LiveCase):
    tools = ("mkfs.ext4", "mkfs.xfs", "mkfs.btrfs")
    deadline = 150
    long_deadline = 1800

    def belongings(self, pool):
        """Threads and descriptors of a pool that has been quiet for so long that it keeps the least."""
        time.sleep(3)
        seen = None

        def quiet():
            nonlocal seen
            now = (len(os.listdir(f"/proc/{pool.pid}/task")), sorted(processes.open_descriptors(pool.pid)))
            same, seen = now == seen, now
            if not same:
                time.sleep(1)
            return same
        self.eventually(quiet, 30, "an idle pool changes no more")
        return seen

    def crowd(self, branches, files):
        pool = self.pool(branches, modes.Root())
        top = pool.mountpoint
        # once through everything, so that what is made on first use is there
        os.mkdir(os.path.join(top, "shared"))
        self.command(self.script("crowd_worker.py", top, "0", "200"))
        start = pool.settle()
        self.assertEqual((start["nodes"], start["handles"]), (1, 0), start)
        had = self.belongings(pool)

        workers = [subprocess.Popen(self.script("crowd_worker.py", top, str(who), str(files // WORKERS)),
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                   for who in range(WORKERS)]
        # beside them the kernel forgets what it can
        done = threading.Event()

        def forget():
            while not done.wait(1):
                with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
                    file.write("2")
        forgetter = threading.Thread(target=forget)
        forgetter.start()
        try:
            for worker in workers:
                said = worker.communicate()[0]
                self.assertEqual(worker.returncode, 0, said[-2000:] + pool.said())
        finally:
            done.set()
            forgetter.join()
        self.assertEqual(os.listdir(os.path.join(top, "shared")), [])
        end = pool.settle()
        for name in ("nodes", "handles", "lookups", "holds", "victims", "edges", "node_bytes", "inflight"):
            if name in start:
                self.assertEqual(end[name], start[name], f"{name} is not as before: {end}")
        self.assertIn("node_bytes", start)
        for name in ("overdrawn", "handler_exceptions", "malformed", "abandoned_replies", "device_errors"):
            if name in end:
                self.assertEqual(end[name], 0, f"{name}: {end}")
        self.assertEqual(self.belongings(pool), had)
        os.rmdir(os.path.join(top, "shared"))
        self.assertEqual(pool.unmount(), 0, pool.said())
        for branch in branches:
            self.assertEqual(os.listdir(branch), [])

    def test_three_branches(self):
        self.crowd(self.three_branches(), 100_000 if self.long_form else 10_000)

    def test_one_branch(self):
        self.crowd([self.file_system("tmpfs", "disk")], 100_000 if self.long_form else 4_000)
