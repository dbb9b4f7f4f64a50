"""The rows: each measure does its work once on one system and returns its figures by row name. Every
figure is the smaller the better."""

import fnmatch
import json
import os
import shutil
import subprocess
import time

class Scale:
    """How much of everything. `pause` is in seconds: longer than any server here lets the kernel believe a
    look-up."""

    def __init__(self, rounds, files, listed, megabytes, tree_files, nodes, pause=1.1):
        self.rounds, self.files, self.listed = rounds, files, listed
        self.megabytes, self.tree_files, self.nodes, self.pause = megabytes, tree_files, nodes, pause


FULL = Scale(rounds=7, files=2000, listed=5000, megabytes=128, tree_files=3000, nodes=50000)
QUICK = Scale(rounds=3, files=600, listed=5000, megabytes=32, tree_files=800, nodes=10000)
# the numbers mean nothing: for the test that all of it runs
TINY = Scale(rounds=1, files=20, listed=50, megabytes=2, tree_files=40, nodes=200, pause=0)


class Measure:
    group = None
    # row name -> unit
    rows = {}
    tools = ()

    def wanted(self, pattern):
        return any(fnmatch.fnmatch(row, each) for row in self.rows for each in pattern.split(","))

    def missing_tool(self):
        """The name of a program that it needs and that is not here."""
        return next((tool for tool in self.tools if shutil.which(tool) is None), None)

    def run(self, system, tag):
        raise NotImplementedError


def output_of(argv, **more):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


class Calls(Measure):
    """Many calls of one kind, by the client program."""
    group = "metadata"

    def __init__(self, client, operation, count, made):
        self.client, self.operation, self.count, self.made = client, operation, count, made
        self.rows = {operation: "us/call"}

    def run(self, system, tag):
        folder = f"{type(self).__name__}-{self.operation}-{tag}"
        kind, count = self.made
        output_of([self.client, "make", kind, str(count), folder, *system.branches])
        figures = self.time(system, folder)
        for branch in system.branches:
            shutil.rmtree(os.path.join(branch, folder))
        return figures

    def time(self, system, folder):
        took = output_of([self.client, self.operation, str(self.count), os.path.join(system.path, folder)])
        return {self.operation: float(took) / 1000}


class ProcessorTime(Calls):
    """What the server spent of the processors while a client made the calls, look-ups before them included."""
    group = "processor"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.row = f"{self.operation}: processor"
        self.rows = {self.row: "us/call"}

    def time(self, system, folder):
        before = system.processor_time()
        super().time(system, folder)
        # the last RELEASE and FORGET come after the client's end
        time.sleep(0.05)
        return {self.row: None if before is None else (system.processor_time() - before) / 1000 / self.count}


def calls(client, scale, processor_time):
    files, directories, nothing = ("file", scale.files), ("directory", scale.files), ("file", 0)
    made = {"create": nothing, "stat": files, "missing": nothing, "open": files, "chmod": files, "rename": files,
            "unlink": files, "mkdir": nothing, "rmdir": directories}
    plan = [(client, operation, scale.files, what) for operation, what in made.items()]
    plan += [(client, operation, scale.listed, ("file", scale.listed)) for operation in ("readdir", "list")]
    kinds = (Calls, ProcessorTime) if processor_time else (Calls,)
    return [kind(*each) for kind in kinds for each in plan]


class Fio(Measure):
    """A system that refuses a kind of I/O has no figure for it."""
    group = "data"
    tools = ("fio", "fstrim")
    # Row -> how fio calls it, block, direct, more. Of several jobs on the one file: the time of a call
    # divided by them. What is warm was read by the row before it.
    JOBS = {"fio write": ("write", "1M", 0, []), "fio read": ("read", "1M", 0, []),
            "fio read warm": ("read", "1M", 0, ["--invalidate=0", "--loops=8"]),
            "fio write direct": ("write", "1M", 1, []), "fio read direct": ("read", "1M", 1, []),
            "fio random write 4k": ("randwrite", "4k", 1, []), "fio random read 4k": ("randread", "4k", 1, []),
            "fio 4 writers 4k": ("randwrite", "4k", 1, ["--numjobs=4", "--group_reporting"])}
    rows = {name: "us/call" if block == "4k" else "us/MiB" for name, (_, block, _, _) in JOBS.items()}

    def __init__(self, megabytes):
        self.megabytes = megabytes

    @staticmethod
    def cool(system, name):
        """On the disk, and in nobody's page cache, neither the pool's nor the branch's: else a row pays for the
        one before it, or profits."""
        for folder in (system.path, *system.branches):
            path = os.path.join(folder, name)
            if os.path.exists(path):
                file = os.open(path, os.O_RDONLY)
                os.fsync(file)
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(file)

    def run(self, system, tag):
        file = os.path.join(system.path, f"fio-{tag}")
        figures = {}
        for name, (kind, block, direct, more) in self.JOBS.items():
            if name != "fio read warm":
                self.cool(system, os.path.basename(file))
            amount = self.megabytes if block == "1M" else max(1, self.megabytes // 4)
            argv = ["fio", "--name=bench", f"--filename={file}", f"--rw={kind}", f"--bs={block}",
                    f"--direct={direct}", f"--size={self.megabytes}M", f"--io_size={amount}M", "--ioengine=psync",
                    "--fallocate=none", "--randseed=1", "--output-format=json", *more]
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            figures[name] = None
            if done.returncode == 0:
                job = json.loads(done.stdout)["jobs"][0]["read" if "read" in kind else "write"]
                figures[name] = 1e6 / (job["iops"] if block == "4k" else job["bw_bytes"] / (1 << 20))
            elif "Invalid argument" not in done.stderr:
                raise RuntimeError(f"{' '.join(argv)} on {system.name}: {done.stderr[-2000:]}")
        os.unlink(file)
        for branch in system.branches or [system.path]:
            # the image's RAM comes back
            output_of(["sync", "-f", branch])
            output_of(["fstrim", os.path.dirname(branch)])
        return figures


class Tree(Measure):
    """What people do with a tree of source files, each step after the kernel forgot its look-ups."""
    group = "tree"
    tools = ("git", "tar")
    STEPS = {"untar": ["tar", "-xf", "{archive}", "-C", "{tree}"],
             "find": ["find", "{tree}", "-newermt", "2100-01-01"],
             "grep -r": ["grep", "-rc", "no such words anywhere", "{tree}"],
             "git add": ["git", "-C", "{tree}", "add", "-A"],
             "git commit": ["git", "-C", "{tree}", "commit", "-q", "-m", "all of it"],
             "git status": ["git", "-C", "{tree}", "status", "--short"],
             "rm -rf": ["rm", "-rf", "{tree}"]}
    rows = {name: "ms" for name in STEPS}

    def __init__(self, archive, pause):
        self.archive, self.pause = archive, pause
        self.environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C",
                            "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "bench", "GIT_AUTHOR_EMAIL": "bench@bench",
                            "GIT_COMMITTER_NAME": "bench", "GIT_COMMITTER_EMAIL": "bench@bench",
                            "GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "gc.auto", "GIT_CONFIG_VALUE_0": "0",
                            "GIT_CONFIG_KEY_1": "safe.directory", "GIT_CONFIG_VALUE_1": "*"}

    def run(self, system, tag):
        tree = os.path.join(system.path, f"tree-{tag}")
        os.mkdir(tree)
        figures = {}
        for name, argv in self.STEPS.items():
            if name == "git add":
                output_of(["git", "init", "-q", tree], env=self.environment)
            time.sleep(self.pause)
            argv = [word.format(tree=tree, archive=self.archive) for word in argv]
            began = time.monotonic()
            done = subprocess.run(argv, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True, check=False)
            figures[name] = (time.monotonic() - began) * 1000
            # grep found nothing, as it was to
            if done.returncode != (1 if name == "grep -r" else 0):
                raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr[-2000:]}")
        return figures


def pack_tree(source, files, archive):
    """An archive of the first so many files of a directory, in order of their names."""
    chosen = []
    for folder, folders, names in os.walk(source):
        folders.sort()
        chosen += [os.path.relpath(os.path.join(folder, name), source) for name in sorted(names)
                   if os.path.isfile(os.path.join(folder, name))]
        if len(chosen) >= files:
            break
    subprocess.run(["tar", "-cf", archive, "-h", "-C", source, "--verbatim-files-from", "-T", "-"],
                   input="\n".join(chosen[:files]) + "\n", text=True, check=True)
    return min(len(chosen), files)


class Memory(Measure):
    """A server of its own, just mounted, and after so many files were looked up."""
    group = "memory"
    rows = {"RSS idle": "KiB", "RSS a node": "bytes", "counted a node": "bytes"}

    def __init__(self, client, nodes, mounted):
        """`mounted`: a function from a system to a copy of it in a context, mounted afresh."""
        self.client, self.nodes, self.mounted = client, nodes, mounted

    def run(self, system, tag):
        if system.kind == "native":
            return dict.fromkeys(self.rows)
        with self.mounted(system) as fresh:
            folder = f"memory-{tag}"
            output_of([self.client, "make", "file", str(self.nodes), folder, *fresh.branches])
            idle, counted = fresh.resident(), fresh.counters().get("node_bytes")
            output_of([self.client, "stat", str(self.nodes), os.path.join(fresh.path, folder)])
            figures = {"RSS idle": idle, "RSS a node": (fresh.resident() - idle) * 1024 / self.nodes,
                       "counted a node": None}
            if counted is not None:
                figures["counted a node"] = (fresh.counters()["node_bytes"] - counted) / self.nodes
        for branch in system.branches:
            shutil.rmtree(os.path.join(branch, folder))
        return figures
