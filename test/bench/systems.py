"""What is measured: each system shows the same branches at a path."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time

# Both pools: one small minimum, the same create policy; all else is their default.
COMMON_OPTIONS = "minfreespace=1M,category.create=pfrd"
MERGERFS_OPTIONS = "cache.files=partial"


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class System:
    """One that needs no server: the first branch itself."""
    kind = "native"

    def __init__(self, name):
        self.name = name
        self.branches = []
        self.path = None
        self.process = None

    def command(self, branches, mountpoint):
        return None

    def describe(self):
        return "the first disk itself"

    def start(self, branches, mountpoint, log):
        self.branches, self.path = self.used(branches), mountpoint
        self.log = log
        argv = self.command(self.branches, mountpoint)
        if argv is None:
            self.path = branches[0]
            return
        os.makedirs(mountpoint, exist_ok=True)
        with open(log, "wb") as output:
            # Each round has disks of its own: what a pool remembers of the last ones would keep it from them.
            environment = dict(os.environ, STATE_DIRECTORY=tempfile.mkdtemp(dir=os.path.dirname(log)))
            self.process = subprocess.Popen(argv, cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            env=environment)
        if not wait_until(lambda: os.path.ismount(mountpoint) or self.process.poll() is not None, 20) \
                or self.process.poll() is not None:
            raise RuntimeError(f"{self.name} does not mount: {self.said()}")
        os.statvfs(mountpoint)

    def stop(self):
        if self.process is None:
            return
        # busy for a moment after its last user ended
        if not wait_until(lambda: subprocess.run(["umount", self.path], capture_output=True,
                                                 check=False).returncode == 0, 10):
            raise RuntimeError(f"{self.name} cannot be unmounted")
        self.process.wait(30)

    def used(self, branches):
        """Those of the branches that it shows."""
        return branches[:1]

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()[-2000:]

    def resident(self):
        """KiB of the server."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))

    def processor_time(self):
        """Nanoseconds that the server's threads have had; nothing where there is no server."""
        if self.process is None:
            return None
        total = 0
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), \
                    open(f"/proc/{self.process.pid}/task/{thread}/schedstat", encoding="ascii") as figures:
                total += int(figures.read().split()[0])
        return total

    def counters(self):
        """What the server counts, by name; nothing where it does not tell."""
        return {}


class Floor(System):
    kind = "floor"

    def __init__(self, name, program):
        super().__init__(name)
        self.program = program

    def command(self, branches, mountpoint):
        return [self.program, branches[0], mountpoint]

    def describe(self):
        return "a passthrough server of one branch that does as little as it may: what FUSE itself costs here"


class Mergerfs(System):
    kind = "mergerfs"

    def __init__(self, name, options):
        super().__init__(name)
        self.options = f"{COMMON_OPTIONS},{options}" if options else COMMON_OPTIONS

    def used(self, branches):
        return branches

    def command(self, branches, mountpoint):
        return ["mergerfs", "-f", "-o", self.options, ":".join(branches), mountpoint]

    def describe(self):
        version = subprocess.run(["mergerfs", "--version"], capture_output=True, text=True, check=False)
        return f"{(version.stdout + version.stderr).splitlines()[0]}; -o {self.options}"


class Boughfs(System):
    kind = "boughfs"

    def __init__(self, name, program, options):
        super().__init__(name)
        self.program = program
        self.options = f"{COMMON_OPTIONS},{options}" if options else COMMON_OPTIONS

    def used(self, branches):
        return branches

    def command(self, branches, mountpoint):
        return [self.program, "-f", "-o", self.options, ":".join(branches), mountpoint]

    def describe(self):
        return f"{self.program}; -o {self.options}"

    def counters(self):
        before = os.path.getsize(self.log)
        self.process.send_signal(signal.SIGUSR1)
        found = {}

        def read():
            with open(self.log, encoding="utf-8", errors="replace") as log:
                log.seek(before)
                found.update((words[0], int(words[1])) for words in map(str.split, log)
                             if len(words) == 2 and words[1].isdigit())
            return "node_bytes" in found
        wait_until(read, 5)
        return found
