#!/usr/bin/env python3
"""Measures boughfs beside the bare disk, the floor of FUSE and mergerfs: see --help."""

import argparse
import contextlib
import copy
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time

import rows
import systems
import table
from disks import Disks
from enclosure import run_enclosed

SKIPPED = 77

HOW = """
Every round does a row once on each system, one after the other, and each round begins with another
system, so that other load on the machine meets all of them. The disks are ext4 images in RAM, mounted
over loop devices. Native and floor use the first disk only.

How to read the table: every figure is the median of the rounds, and the smaller the better. A ratio
A/B is the median over the rounds of A's time divided by B's in the same round. MISS marks a row where
boughfs needs more of mergerfs' time than it may: 0.8 in metadata and tree rows; a data row may not be
behind (1.05: 5 % is noise). Only trust ratios of one run, and on a busy machine no single row that
another run does not confirm.

Metadata rows are microseconds a call, by a C++ client with one thread; a round's figure is that of the
median of its batches of 50 calls. create includes the close;
stat, missing (a stat that fails), readdir and list (readdir and a stat of each name, per name) are the
first that the kernel hears of a name; open (and close), chmod, rename, unlink and rmdir follow a look-up
that is not timed. Tree steps each begin after the kernel forgot what it looked up (1.1 s). "counted a
node" is what boughfs itself counts (SIGUSR1).

The floor answers with one call to the disk where that is possible, takes no care of rights, has no
xattrs and no FLUSH: no server that mounts by FUSE can be much faster than it.
"""


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", epilog=HOW,
                                     description="Measures boughfs beside the bare disk, the floor of FUSE and "
                                                 "mergerfs, in one run. Needs root.",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of everything: some minutes")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"{rows.FULL.rounds}; {rows.QUICK.rounds} with --quick")
    parser.add_argument("--rows", default="*", metavar="PATTERNS",
                        help="only the measures with such a row: 'create,stat', 'fio*'")
    parser.add_argument("--branches", metavar="N,N…",
                        help="pools of so many branches: 1,4,16,64, with --quick 1,4; all rows with 4 (or the only "
                             "number), with others the metadata rows")
    parser.add_argument("--systems", metavar="NAME,…", help="only these of the table's columns")
    parser.add_argument("--boughfs", action="append", metavar="[NAME=]PATH[,OPTIONS]",
                        help="a build to measure, instead of the one of this tree; may be repeated")
    parser.add_argument("--mergerfs", action="append", metavar="NAME=OPTIONS",
                        help=f"mergerfs with other options than {systems.MERGERFS_OPTIONS}; may be repeated")
    parser.add_argument("--processor", action="store_true",
                        help="also the processor time that each server spends on a call, which other load on the "
                             "machine disturbs less")
    parser.add_argument("--json", metavar="FILE", help="all rounds, and FILE.txt the table; build/bench/latest.json")
    parser.add_argument("--tools", help=argparse.SUPPRESS)
    parser.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def program(path):
    found = os.path.realpath(shutil.which(path) or path)
    if not os.access(found, os.X_OK):
        sys.exit(f"scripts/bench: {path} is no program")
    return found


def chosen_systems(options):
    made = [systems.System("native"), systems.Floor("floor", program(os.path.join(options.tools, "bench_floor")))]
    for text in options.mergerfs or [f"mergerfs={systems.MERGERFS_OPTIONS}"]:
        name, _, extra = text.partition("=")
        if shutil.which("mergerfs"):
            made.append(systems.Mergerfs(name, extra))
        else:
            print("mergerfs is not installed: left out")
    for text in options.boughfs:
        place, _, extra = text.partition(",")
        name, _, path = place.rpartition("=")
        made.append(systems.Boughfs(name or "boughfs", program(path), extra))
    if options.systems:
        made = [system for system in made if system.name in options.systems.split(",")]
    if len({system.name for system in made}) < len(made):
        sys.exit("scripts/bench: two systems have one name")
    return made


class Bench:
    def __init__(self, options, scale, folder):
        self.options, self.scale, self.folder = options, scale, folder
        self.client = program(os.path.join(options.tools, "bench_client"))
        self.systems = chosen_systems(options)
        self.names = [(system.name, system.kind) for system in self.systems]
        self.rows = []
        self.tree_files = 0

    def measures(self, everything):
        measures = rows.calls(self.client, self.scale, self.options.processor)
        if everything:
            measures.append(rows.Fio(self.scale.megabytes))
            archive = os.path.join(self.folder, "tree.tar")
            if not os.path.exists(archive):
                self.tree_files = rows.pack_tree("/usr/include", self.scale.tree_files, archive)
            measures.append(rows.Tree(archive, self.scale.pause))
        measures.append(rows.Memory(self.client, self.scale.nodes if everything else self.scale.files, self.fresh))
        measures = [measure for measure in measures if measure.wanted(self.options.rows)]
        for measure in measures:
            if measure.missing_tool():
                print(f"{measure.missing_tool()} is not installed: {', '.join(measure.rows)} are left out")
        return [measure for measure in measures if not measure.missing_tool()]

    @contextlib.contextmanager
    def fresh(self, system):
        again = copy.copy(system)
        again.start(system.branches, os.path.join(self.folder, "fresh"), system.log + ".fresh")
        try:
            yield again
        finally:
            again.stop()

    def run(self):
        counts = [int(count) for count in self.options.branches.split(",")]
        full = 4 if 4 in counts else counts[0]
        for count in counts:
            disks = Disks(self.folder, count)
            for system in self.systems:
                system.start(disks.branches(system.name), os.path.join(self.folder, "pool-" + system.name),
                             os.path.join(self.folder, system.name + ".log"))
            for measure in self.measures(count == full):
                self.measure(measure, count)
            for system in self.systems:
                system.stop()
            disks.remove()

    def measure(self, measure, count):
        made = {name: table.Row(name, measure.group, unit, count) for name, unit in measure.rows.items()}
        self.rows += made.values()
        for number in range(self.scale.rounds):
            if sys.stderr.isatty():
                print(f"\r\033[K{count} branches, {', '.join(made)}: round {number + 1}", end="", file=sys.stderr)
            first = number % len(self.systems)
            for system in self.systems[first:] + self.systems[:first]:
                for name, value in measure.run(system, number).items():
                    made[name].add(system.name, value)
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr)

    def report(self):
        """The table with what it was measured on, and the JSON text."""
        about = {"date": time.strftime("%Y-%m-%d %H:%M"), "kernel": platform.release(), "cpus": os.cpu_count(),
                 "load": [round(load, 1) for load in os.getloadavg()], "rounds": self.scale.rounds,
                 "files": self.scale.files, "tree_files": self.tree_files,
                 "systems": {system.name: system.describe() for system in self.systems}}
        head = (f"{about['date']}, Linux {about['kernel']}, {about['cpus']} CPUs, load at the end "
                f"{about['load'][0]}; {about['rounds']} rounds\n"
                + "".join(f"{name}: {text}\n" for name, text in about["systems"].items()))
        shown = [row for row in self.rows if any(row.median(name) is not None for name, _ in self.names)]
        return (head + "\n" + table.render(shown, self.names),
                json.dumps(about | {"rows": table.as_json(shown, self.names)}, indent=1) + "\n")


def main():
    options = arguments()
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        print("scripts/bench: needs root and /dev/fuse", file=sys.stderr)
        return SKIPPED
    scale = rows.TINY if options.tiny else rows.QUICK if options.quick else rows.FULL
    scale = copy.copy(scale)
    scale.rounds = options.rounds or scale.rounds
    options.branches = options.branches or ("1,2" if options.tiny else "1,4" if options.quick else "1,4,16,64")
    result = os.path.abspath(options.json or "build/bench/latest.json")
    os.makedirs(os.path.dirname(result), exist_ok=True)
    folder = tempfile.mkdtemp(prefix="bough-bench-")

    def inside():
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g,mode=755", "bench", folder], check=True)
        os.umask(0o022)
        # the priority that mergerfs gives itself
        os.setpriority(os.PRIO_PROCESS, 0, -10)
        bench = Bench(options, scale, folder)
        bench.run()
        text, everything = bench.report()
        print(text)
        with open(result, "w", encoding="utf-8") as file:
            file.write(everything)
        with open(os.path.splitext(result)[0] + ".txt", "w", encoding="utf-8") as file:
            file.write(text)
        print(f"all rounds are in {result}")
        return 0
    try:
        return run_enclosed(inside)
    finally:
        os.rmdir(folder)


if __name__ == "__main__":
    sys.exit(main())
