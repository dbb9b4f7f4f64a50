"""Processes that are killed: clients in the middle of every operation, the daemon before it answered the
kernel's first request, and under sqlite and git."""

import json
import os
import pathlib
import random
import signal
import subprocess
import time

import modes
import processes
import sandbox


class Clients(sandbox.LiveCase):
    tools = ("mkfs.ext4", "mkfs.xfs", "mkfs.btrfs")
    deadline = 120

    def test_killed_in_every_operation(self):
        branches = self.three_branches()
        pool = self.pool(branches, modes.Root(), ["minfreespace=1M"])
        start = pool.settle()
        killed = json.loads(self.command(self.script("kill_clients.py", pool.mountpoint, "40" if self.long_form else "4"),
                                         timeout=500))
        self.assertGreaterEqual(len(killed), 26)
        for name, count in killed.items():
            self.assertEqual(count, 80 if self.long_form else 8, name)
        end = pool.settle(30)
        for name in ("nodes", "handles", "lookups", "holds", "victims", "edges", "node_bytes"):
            self.assertEqual(end[name], start[name], f"{name} is not as before: {end}")
        for name in ("overdrawn", "handler_exceptions", "malformed", "abandoned_replies", "device_errors"):
            self.assertEqual(end.get(name, 0), 0, f"{name}: {end}")
        self.assertEqual(pool.unmount(), 0, pool.said())
        for branch in branches:
            self.assertEqual(os.listdir(branch), [])


class Daemon(sandbox.LiveCase):
    def start(self, branch, mountpoint):
        return subprocess.Popen([self.boughfs, "-f", "-o", "minfreespace=0", branch, mountpoint], cwd="/",
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self, process):
        process.kill()
        self.assertEqual(process.wait(20), -signal.SIGKILL)

    def test_killed_at_any_time_of_its_start(self):
        """Whoever waits for the pool is told, and the mount point can be cleared and used again."""
        branch, mountpoint = self.directory("branch"), self.directory("pool")
        mounted = answered = 0
        for turn in range(200 if self.long_form else 40):
            daemon = self.start(branch, mountpoint)
            if turn % 2:
                processes.wait_until(lambda: processes.is_pool(mountpoint), 20, 0.0002)
            time.sleep(turn % 20 * 0.0005)
            client = subprocess.Popen(["stat", "-f", mountpoint], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(turn % 3 * 0.002)
            self.kill(daemon)
            answered += client.wait(20) == 0
            if processes.is_pool(mountpoint):
                mounted += 1
                self.command(["umount", mountpoint])
            self.assertFalse(processes.is_pool(mountpoint))
        self.assertGreater(mounted, 5)
        pool = self.pool([branch], modes.Root(), ["minfreespace=0"], name="another")
        pool.shell("echo x > x")
        self.assertEqual(pool.unmount(), 0, pool.said())

    def test_client_killed_while_it_waits_for_the_pool(self):
        """The daemon is stopped before it answers INIT; the clients that wait can be killed."""
        branch, mountpoint = self.directory("branch"), self.directory("pool")
        waited = 0
        for turn in range(60):
            daemon = self.start(branch, mountpoint)
            processes.wait_until(lambda: processes.is_pool(mountpoint), 20, 0.0001)
            os.kill(daemon.pid, signal.SIGSTOP)
            client = subprocess.Popen(["stat", mountpoint + "/x"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.02)
            waited += client.poll() is None
            self.kill(client)
            os.kill(daemon.pid, signal.SIGCONT)
            self.assertEqual(self.command(["stat", "-c", "%F", mountpoint]), "directory\n")
            self.command(["umount", mountpoint])
            self.assertEqual(daemon.wait(20), 0)
            if waited > 4:
                break
        self.assertGreater(waited, 4)


class Applications(sandbox.LiveCase):
    """The daemon is killed while sqlite or git works in its pool. Nothing that they were told is done may be
    missing afterwards: the branches' file systems live on."""
    tools = ("mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "sqlite3", "git")
    deadline = 120

    def setUp(self):
        super().setUp()
        self.served = self.pool(self.three_branches(), modes.Root(), ["minfreespace=1M"])
        self.random = random.Random(3)

    def kill_under(self, argv):
        """Runs the command, which ends with a file that it writes to after each thing done, and kills the daemon under
        it after six of them; mounts anew."""
        pathlib.Path(argv[-1]).touch()
        with subprocess.Popen(argv, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as client:
            for _ in range(6):
                before = os.stat(argv[-1]).st_mtime_ns
                self.eventually(lambda: os.stat(argv[-1]).st_mtime_ns != before, 20, "something done")
            time.sleep(self.random.uniform(0, 0.5))
            self.assertIsNone(client.poll(), "it ended by itself")
            self.served.process.kill()
            self.served.process.wait()
            self.assertNotEqual(client.wait(30), 0)
        # for a second the dead pool may still answer from the kernel's memory
        self.command(["umount", "-l", self.served.mountpoint])
        self.served.start()

    def test_sqlite(self):
        base, told = self.served.mountpoint + "/base", self.directory("told") + "/rows"
        for turn in range(20 if self.long_form else 4):
            journal = ("delete", "wal")[turn % 2]
            self.kill_under(self.script("sqlite_adder.py", base, journal, told))
            with open(told, "rb") as file:
                rows = int(file.read() or 0)
            said = self.served.run(["sqlite3", base, "PRAGMA integrity_check; SELECT count(*), max(number) + 1 FROM t "
                                    "WHERE length(data) = 9000;"])
            self.assertIn(said, (f"ok\n{rows}|{rows}\n", f"ok\n{rows + 1}|{rows + 1}\n"))
        self.assertGreater(rows, 20)
        self.assertEqual(self.served.unmount(), 0, self.served.said())

    def test_git(self):
        told = self.directory("told") + "/commits"
        script = """
            cd "$0"
            export HOME=$PWD GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org
            export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
            test -d r || git init -q -b main r
            cd r
            while true; do
                head -c 3000 /dev/urandom > file-$(date +%N)
                git add .
                git commit -q -m more
                git rev-parse HEAD >> "$1"
                test $(($(wc -l < "$1") % 7)) -ne 0 || git gc -q
            done
            """
        for _ in range(20 if self.long_form else 4):
            self.kill_under(["sh", "-euc", script, self.served.mountpoint, told])
            said = self.served.shell("""
                cd r
                find .git -name '*.lock' -delete
                git fsck --full
                for commit in $(cat "$1"); do git cat-file -e $commit; done
                git merge-base --is-ancestor "$(tail -n 1 "$1")" HEAD
                git reset -q --hard
                git rev-list --count HEAD
                """, told)
        self.assertGreater(int(said.split()[-1]), 10)
        self.assertEqual(self.served.unmount(), 0, self.served.said())


class Inside(sandbox.LiveCase):
    """A daemon whose own files lie in its branch or its pool."""

    def test_started_in_its_branch(self):
        branch, mountpoint = self.directory("branch"), self.directory("pool")
        self.command(["cp", self.boughfs, branch + "/boughfs"])
        process = subprocess.Popen(["./boughfs", "-f", "-o", "minfreespace=0", ".", mountpoint], cwd=branch,
                                   stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.eventually(lambda: processes.is_pool(mountpoint), 10, "mounted")
        # its own program, seen through its own pool, to the last page
        self.command(["cmp", self.boughfs, mountpoint + "/boughfs"])
        self.command(["sh", "-c", 'cd "$0" && echo x > new && mv new newer && rm newer', mountpoint])
        self.command([mountpoint + "/boughfs", "--version"])
        self.command(["umount", mountpoint])
        process.stderr.close()
        self.assertEqual(process.wait(20), 0)

    def refused(self, arguments, cwd="/"):
        before = processes.mounts()
        done = subprocess.run([self.boughfs, *arguments], cwd=cwd, timeout=20, capture_output=True, text=True,
                              check=False)
        self.assertNotEqual(done.returncode, 0, f"{arguments} was taken")
        self.assertIn("boughfs: ", done.stderr)
        self.assertEqual(processes.mounts(), before)

    def test_branch_and_mount_point_in_each_other(self):
        branch = self.directory("branch")
        os.mkdir(branch + "/inside")
        self.refused([branch, branch])
        self.refused([branch, branch + "/inside"])
        self.refused([branch + "/inside", branch])
        self.refused([".", "inside"], cwd=branch)

    def test_started_in_its_pool(self):
        """From inside one pool, another one over the same mount point, and one with the first as its branch."""
        branch = self.directory("branch")
        pool = self.pool([branch], modes.Root(), ["minfreespace=0"])
        os.mkdir(pool.mountpoint + "/sub")
        self.refused([".", pool.mountpoint], cwd=pool.mountpoint)
        self.refused([pool.mountpoint + "/sub", pool.mountpoint])
        self.assertEqual(pool.shell("echo x > x; cat x"), "x\n")
        self.assertEqual(pool.unmount(), 0, pool.said())
