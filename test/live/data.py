"""The calls of data_calls.py in every mode of caching, on every kind of file system, each against the same kind
natively; which flags the OPEN replies had, as the trace tells them; and exerciser.py in every mode."""

import concurrent.futures
import json
import os
import re
import subprocess

import calls
import kernel
import modes
import parity

DIRECT, KEEP, PARALLEL, PAST = "DIRECT_IO", "KEEP_CACHE", "PARALLEL_DIRECT_WRITES", "PASSTHROUGH"
CACHED, PARALLEL_DIRECT = set(), {DIRECT, PARALLEL}
# the cache is kept if the file is unchanged since its last open
UNCHANGED = "unchanged"

# mode → (options, flags of an OPEN reply)
MODES = {
    "off": (["cache.files=off"], PARALLEL_DIRECT),
    "partial": (["cache.files=partial"], CACHED),
    "full": (["cache.files=full"], {KEEP}),
    "auto-full": (["cache.files=auto-full"], UNCHANGED),
    # the default: passthrough, where the kernel has it
    "auto": (["cache.files=auto"], UNCHANGED),
    "served": (["cache.files=auto", "passthrough.io=off"], UNCHANGED),
    "listed": (["cache.files=per-process", "cache.files.process-names=other|python3"], CACHED),
    "unlisted": (["cache.files=per-process", "cache.files.process-names=other"], PARALLEL_DIRECT),
    "libfuse": (["cache.files=libfuse"], CACHED),
    "libfuse-direct": (["cache.files=libfuse", "direct_io"], PARALLEL_DIRECT),
    "libfuse-kernel": (["cache.files=libfuse", "kernel_cache"], {KEEP}),
    "libfuse-auto": (["cache.files=libfuse", "auto_cache"], UNCHANGED),
    "writeback": (["cache.files=partial", "cache.writeback=true"], CACHED),
    "writeback-auto": (["cache.files=auto", "cache.writeback=true"], UNCHANGED),
    "writeback-off": (["cache.files=off", "cache.writeback=true"], PARALLEL_DIRECT),
    "serial": (["cache.files=off", "parallel-direct-writes=false"], {DIRECT}),
    "no-mmap": (["cache.files=off", "direct-io-allow-mmap=false"], PARALLEL_DIRECT),
}
KINDS = ("ext4", "xfs", "btrfs", "tmpfs")
# In the short form: these modes on the first kind of file system, with every call; three of them on the others;
# and all others, whose flags one of these has too, with a few calls.
SHORT = ("off", "partial", "full", "auto-full", "auto", "served", "writeback", "no-mmap")
FEW = ("off", "auto", "served", "writeback")
FEW_SECTIONS = ("append", "truncating_open", "nameless", "setfl")
# MB of disk: short of 1 GiB of room, what is opened for writing right after a removal does not pass.
ROOMY = 3000

# step patterns → (native outcome, the pool's), each with its reason. Nothing else may differ.
EXCEPTIONS = {
    # a call longer than a message comes in pieces, and one that is not aligned looks like one whose memory is not
    "oversize: direct: *": ("*", "*"),
}

# The kernel does not hear of O_DIRECT that is switched on later, and goes on through the branch's page cache.
EXCEPTIONS_OF_PASSTHROUGH = {f"setfl: {style}: *": ("*", "*") for style in ("buffered", "sync", "dsync")}

# XFS promises room only when the writes reach it
EXCEPTIONS_OF_LATE_WRITES = {"reserved: direct: *": ("*", "*")}

# before Linux 6.6 a private mapping of a direct file keeps what it saw first
EXCEPTIONS_OF_UNSHARED = {
    "holes: *: mapped": ("*", "*"),
    "holes: *: mapped again": ("*", "*"),
    "maps: *: private mapping": ("*", "*"),
    "unlinked: *: mapped": ("*", "*"),
    "truncating_open: *: mapped": ("*", "*"),
}

# of calls.py: the kernel keeps sizes and times itself
EXCEPTIONS_OF_WRITEBACK = {
    # it moves none for direct I/O, and takes none from a server
    "times: write moves ?time of f": (True, False),
    "times: truncate same size moves ?time of f": (True, False),
    # it asks for the mode that an ACL gave only when it asks for everything again
    "acls: *: state": ("*", "*"),
}

OPENED = re.compile(r" (OPEN|CREATE|TMPFILE) .* flags=(?P<flags>\S+) .* -> .* open=(?P<reply>\S*)")


def expected_flags(mode, open_flags):
    """The sets of flags that an OPEN reply may have, NOFLUSH aside."""
    if passes(mode):
        to_us = {"O_WRONLY", "O_RDWR"} & set(open_flags) and {"O_APPEND", "O_DIRECT"} & set(open_flags)
        # a trace does not tell which files are small, and while one is read as such none of its files is passed
        return [{PAST} | (PARALLEL_DIRECT if to_us else set()), *unbound_flags(mode, open_flags)]
    return unbound_flags(mode, open_flags)


def unbound_flags(mode, open_flags):
    flags = MODES[mode][1]
    if mode in ("auto", "served") and ("O_WRONLY" in open_flags
                                       or ("O_DIRECT" in open_flags and kernel.RELEASE >= (6, 6))):
        return [PARALLEL_DIRECT]
    return [CACHED, {KEEP}] if flags is UNCHANGED else [flags]


def passes(mode):
    """The kernel reads and writes the branch's files itself."""
    return mode == "auto" and kernel.RELEASE >= (6, 9)


# Sections of calls.py that make shared mappings.
MAPPING = ("mapping", "forbidding_modes")


def refuses_shared_maps(mode):
    """The kernel maps a direct file as shared only from 6.6 on, and if it is told to."""
    return DIRECT in MODES[mode][1] and (mode == "no-mmap" or kernel.RELEASE < (6, 6))


def expected_of(native):
    """What a pool is to give."""
    known = dict(native)

    def expected(step, outcome):
        # a server does not see how its caller's memory is aligned: it does what a buffered handle does
        if step.startswith("memory: direct: "):
            return known[step.replace(": direct: ", ": buffered: ")]
        # XFS itself loses what several append at once with O_DIRECT
        if step.startswith("appenders: ") and "torn" in outcome:
            return "good"
        return outcome
    return [(step, expected(step, outcome)) for step, outcome in native]


class Modes(parity.Comparison):
    tools = ("mkfs.ext4", "mkfs.xfs", "mkfs.btrfs")
    deadline = 150
    long_deadline = 3600

    def of_mode(self, mode, disk):
        """A pool in that mode over a directory of the disk: (pool, branch, trace file)."""
        branch = os.path.join(disk, mode)
        os.mkdir(branch)
        trace = self.path(f"{mode}.trace")
        options = ["minfreespace=1M", f"trace={trace}", *MODES[mode][0]]
        return self.pool([branch], modes.Root(), options, mode), branch, trace

    def ends_well(self, pool):
        counters = pool.settle()
        self.assertEqual((counters["nodes"], counters["handles"]), (1, 0), counters)
        for name in ("overdrawn", "handler_exceptions", "malformed", "abandoned_replies", "device_errors"):
            self.assertEqual(counters.get(name, 0), 0, f"{name}: {counters}")
        self.assertEqual(pool.unmount(), 0, pool.said())


class Matrix(Modes):
    def data_calls(self, directory, arguments=()):
        outcomes = json.loads(self.command(self.script("data_calls.py", directory, *arguments), timeout=200))
        self.assertEqual([outcome for step, outcome in outcomes if step.endswith(": broke off")], [])
        return outcomes

    def wrong_flags(self, trace, mode):
        """Where an OPEN, CREATE or TMPFILE was not answered as the mode has it."""
        wrong, opens, passed = [], 0, 0
        with open(trace, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                found = OPENED.search(line)
                if not found:
                    continue
                opens += 1
                flags = set(found["reply"].split("|")) - {"NOFLUSH", "0"}
                passed += PAST in flags
                if flags not in expected_flags(mode, found["flags"].split("|")):
                    wrong.append("    " + line.rstrip())
        self.assertGreater(opens, 30)
        if passes(mode):
            self.assertGreater(passed, opens // 3)
        return wrong

    def check(self, mode, disk, native, expected, sections):
        """What is wrong in that mode, in lines."""
        wrong = []
        pool, branch, trace = self.of_mode(mode, disk)
        seen = self.data_calls(pool.mountpoint, sections)
        try:
            stale = refuses_shared_maps(mode) and kernel.RELEASE < (6, 6)
            self.compare(expected, seen, EXCEPTIONS, EXCEPTIONS_OF_UNSHARED if stale else {},
                         EXCEPTIONS_OF_PASSTHROUGH if passes(mode) else {},
                         EXCEPTIONS_OF_LATE_WRITES if "cache.writeback=true" in MODES[mode][0] else {})
        except AssertionError as difference:
            wrong.append(f"{mode}: {difference}")
        self.ends_well(pool)
        flags = self.wrong_flags(trace, mode)
        if flags:
            wrong.append("\n".join([f"{mode}: {len(flags)} opens with other flags", *flags[:10]]))
        if not wrong:
            for section in set(os.listdir(branch)) - ({"setfl"} if passes(mode) else set()):
                left = subprocess.run(["diff", "-rq", os.path.join(native, section), os.path.join(branch, section)],
                                      capture_output=True, text=True, check=False)
                if left.returncode:
                    wrong.append(f"{mode}: what the branch holds: {left.stdout[:1000]}")
        subprocess.run(["rm", "-r", branch, trace], check=True)
        return wrong

    def in_each_mode(self, kind, chosen, sections=()):
        natives, expected = {}, {}
        for unshared in sorted({refuses_shared_maps(mode) for mode in chosen}):
            natives[unshared] = self.file_system(kind, "unshared" if unshared else "native")
            arguments = [*(["--unshared"] if unshared else []), *sections]
            expected[unshared] = expected_of(self.data_calls(natives[unshared], arguments))
        disk = self.file_system(kind, "disk", megabytes=ROOMY)

        def one(mode):
            unshared = refuses_shared_maps(mode)
            return self.check(mode, disk, natives[unshared], expected[unshared], sections)
        with concurrent.futures.ThreadPoolExecutor(2) as at_once:
            wrong = [line for lines in at_once.map(one, chosen) for line in lines]
        if wrong:
            self.fail("\n".join(wrong))


class Data(Matrix):
    def test_flags(self):
        """The modes that the short form leaves out."""
        self.in_each_mode(KINDS[0], [mode for mode in MODES if mode not in SHORT], FEW_SECTIONS)


def _case(kind):
    def test(self):
        self.in_each_mode(kind, MODES if self.long_form else SHORT if kind == KINDS[0] else FEW)
    return test


for _kind in KINDS:
    setattr(Data, f"test_{_kind}", _case(_kind))


class Sequences(Modes):
    """Random sequences, the same ones at each run."""

    def exercise(self, mode, kind, seed, operations):
        pool, branch, _ = self.of_mode(mode, self.disks[kind])
        for use in ("buffered", "direct", "mixed"):
            model = self.directory(f"{mode}-{kind}-{use}")
            place = os.path.join(pool.mountpoint, use)
            os.mkdir(place)
            words = [use, *(["no-maps"] if refuses_shared_maps(mode) else []), *(["xfs"] if kind == "xfs" else [])]
            self.command(self.script("exerciser.py", place, str(seed), str(operations // 3), ",".join(words)), cwd=model,
                         timeout=operations / 100 + 30)
        self.ends_well(pool)
        for use in ("buffered", "direct", "mixed"):
            self.command(["diff", "-r", self.path(f"{mode}-{kind}-{use}"), os.path.join(branch, use)])

    def in_each_mode(self, kind, chosen, operations):
        self.disks = {kind: self.file_system(kind, "disk")}
        for number, mode in enumerate(chosen):
            self.exercise(mode, kind, number, operations)


class Exercise(Sequences):
    pass


def _exercise(kind):
    def test(self):
        if self.long_form:
            # a million of each mode on all of them
            self.in_each_mode(kind, MODES, 250_000)
        elif kind == KINDS[0]:
            self.in_each_mode(kind, MODES, 3_000)
        else:
            self.in_each_mode(kind, FEW, 600)
    return test


for _kind in KINDS:
    setattr(Exercise, f"test_{_kind}", _exercise(_kind))


class Fio(Modes):
    """Four jobs at a time write one file, each a part of it, and verify what they read."""
    tools = ("mkfs.ext4", "fio")

    def verify(self, top, megabytes):
        jobs = []
        for engine, direct in (("psync", 0), ("psync", 1), ("libaio", 1)):
            for pattern, size in (("randwrite", "512-64k"), ("write", "128k-128k"), ("randrw", "4k-4k")):
                name = f"{engine}-{direct}-{pattern}"
                jobs += [f"--name={name}", "--stonewall", f"--filename={top}/{name}", f"--rw={pattern}", "--numjobs=4",
                         f"--bsrange={size}", f"--size={megabytes}m", f"--offset_increment={megabytes}m",
                         f"--direct={direct}", f"--ioengine={engine}", "--iodepth=8", "--group_reporting"]
        said = self.command(["fio", "--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--verify_state_save=0",
                             "--minimal", "--fallocate=none", "--randseed=7", *jobs], cwd=self.folder, timeout=600)
        self.assertNotIn("verify failed", said)

    def test_verify(self):
        disk = self.file_system("ext4", "disk")
        for mode in MODES if self.long_form else ("off", "partial", "auto", "served", "writeback"):
            pool, _, _ = self.of_mode(mode, disk)
            self.verify(pool.mountpoint, 64 if self.long_form else 1)
            self.ends_well(pool)
            self.command(["sh", "-c", 'rm -r "$0"/*/*', disk])


class Calls(Modes):
    """The calls of calls.py, which groups parity and filesystems make in the mode that is the default."""

    def test_calls(self):
        every = [section for section in calls.SECTIONS if section != "huge"]
        native = self.outcomes(self.file_system("ext4", "native"), *every)
        disk = self.file_system("ext4", "disk")
        wrong = []
        for mode in MODES if self.long_form else ("off", "writeback"):
            pool, _, _ = self.of_mode(mode, disk)
            sections = [section for section in every if section not in MAPPING or not refuses_shared_maps(mode)]
            expected = [(step, outcome) for step, outcome in native if step.split(":")[0] in sections]
            try:
                self.compare(expected, self.outcomes(pool.mountpoint, *sections),
                             EXCEPTIONS_OF_WRITEBACK if "writeback" in mode else {},
                             parity.EXCEPTIONS_OF_PASSTHROUGH if passes(mode) else {})
            except AssertionError as difference:
                wrong.append(f"{mode}: {difference}")
            self.ends_well(pool)
        if wrong:
            self.fail("\n".join(wrong))
