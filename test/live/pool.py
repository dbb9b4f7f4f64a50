"""One boughfs process and its mount, seen from outside: this process never has its descriptors."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import kernel
import processes


class Pool:
    def __init__(self, boughfs, mode, branches, mountpoint, options, log, arguments=None):
        self.mode = mode
        self.branches = branches
        self.mountpoint = mountpoint
        self.log = log
        self.process = None
        options = list(options)
        self.argv = [boughfs, "-f"]
        if options:
            self.argv += ["-o", ",".join(options)]
        self.argv += arguments or [":".join(branches), mountpoint]

    # --- life
    def start(self):
        dead = processes.device_at(self.mountpoint)

        def answers():
            return subprocess.run(self.mode.wrap(["stat", self.mountpoint]), cwd="/", timeout=20,
                                  capture_output=True, check=False).returncode == 0

        def serves():
            device = processes.device_at(self.mountpoint, self.pid)
            # the number of a dead pool that stood there may be given to the new one
            return device and (device != dead or answers())
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.mode.wrap(self.argv), cwd="/", stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        if not processes.wait_until(lambda: serves() or self.process.poll() is not None, 20):
            raise AssertionError(f"no mount after 20 s; {self.said()}")
        if self.process.poll() is not None:
            raise AssertionError(f"boughfs ended at once with {self.process.returncode}; {self.said()}")
        # the first answer: from then on signals are handled
        self.run(["stat", "-c", "%F", self.mountpoint])

    @property
    def pid(self):
        return self.process.pid

    def said(self):
        """What it printed, for messages."""
        return "it said: " + Path(self.log).read_text(errors="replace")[-3000:]

    def wait(self, seconds=20):
        """Its exit status."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"boughfs is still there after {seconds} s:\n{processes.stacks(self.pid)}\n"
                                 + self.said()) from None
        if status != 0 and "Sanitizer" in Path(self.log).read_text(errors="replace"):
            raise AssertionError(self.said())
        return status

    def unmount(self):
        """Unmounts in its user's way; the exit status. The pool must not be in use."""
        complaint = ""

        def unmounted():
            nonlocal complaint
            done = subprocess.run(self.mode.unmount_command(self.mountpoint), cwd="/", timeout=30,
                                  capture_output=True, text=True, check=False)
            complaint = done.stderr
            return done.returncode == 0
        # a pool can be busy for a moment after its last user ended
        if not processes.wait_until(unmounted, 5, 0.1):
            raise AssertionError(f"cannot unmount: {complaint}")
        return self.wait()

    def end(self):
        """However it stands, it is gone afterwards."""
        if self.process is not None and self.process.poll() is None:
            for number in processes.connections(self.pid):
                try:
                    Path("/sys/fs/fuse/connections", str(number), "abort").write_text("1")
                except OSError:
                    pass
            self.process.kill()
            self.process.wait()
            if processes.is_pool(self.mountpoint):
                kernel.umount2(self.mountpoint, kernel.MNT_DETACH)
        self.mode.close()

    # --- using it
    def run(self, argv, timeout=120, cwd=None, good=(0,), environment=None):
        """Runs a command as the pool's user; its output."""
        argv = list(argv)
        if cwd is not None:
            argv = ["sh", "-c", 'cd "$0" && exec "$@"', cwd, *argv]
        done = subprocess.run(self.mode.wrap(argv), cwd="/", stdin=subprocess.DEVNULL, env=environment,
                              timeout=timeout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        text = done.stdout.decode(errors="replace")
        if done.returncode not in good:
            raise AssertionError(f"{' '.join(argv)[:300]} ended with {done.returncode}:\n{text[-3000:]}\n"
                                 + self.said())
        return text

    def shell(self, script, *arguments, cwd=None, timeout=120, environment=None):
        return self.run(["sh", "-euc", script, "sh", *arguments], timeout, cwd or self.mountpoint,
                        environment=environment)

    # --- asking it
    def counters(self):
        """The counters that SIGUSR1 prints."""
        before = os.path.getsize(self.log)
        os.kill(self.pid, signal.SIGUSR1)

        def report():
            with open(self.log, "rb") as log:
                log.seek(before)
                first = log.read()
                if b"\nnodes " not in b"\n" + first or not first.endswith(b"\n"):
                    return None
                time.sleep(0.05)
                rest = log.read()
            return None if rest else first

        text = processes.wait_until(report, 10)
        if not text:
            raise AssertionError("no report 10 s after SIGUSR1; " + self.said())
        return {name.decode(): int(value) for name, value in re.findall(rb"^(\S+) (\d+)\b", text, re.M)}

    def settle(self, seconds=15):
        """Drops the kernel's caches until it holds nothing but the root; the counters then."""
        end = time.monotonic() + seconds
        while True:
            Path("/proc/sys/vm/drop_caches").write_text("2")
            counters = self.counters()
            if (counters["nodes"] == 1 and counters["handles"] == 0) or time.monotonic() > end:
                return counters
            time.sleep(0.2)
