"""What /proc tells about processes and mounts. Nothing here touches a mounted pool."""

import os
import re
import signal
import time
from pathlib import Path


def parents():
    """pid → (parent, state) of every process."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            text = Path("/proc", entry, "stat").read_text()
        except OSError:
            continue
        state, parent = text.rpartition(")")[2].split()[:2]
        found[int(entry)] = (int(parent), state)
    return found


def descendants(root):
    """Living descendants of `root`, itself not included."""
    table = parents()
    children = {}
    for pid, (parent, state) in table.items():
        if state not in "ZX":
            children.setdefault(parent, []).append(pid)
    found, queue = [], [root]
    while queue:
        for pid in children.get(queue.pop(), []):
            found.append(pid)
            queue.append(pid)
    return found


def reap():
    """Collects every child that has ended."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def stacks(pid):
    """Where each thread of `pid` is in the kernel."""
    lines = []
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        lines.append(f"  process {pid}: {command.strip()[:160]}")
        for task in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
            folder = Path(f"/proc/{pid}/task/{task}")
            state = re.search(r"State:\s+(\S+)", (folder / "status").read_text()).group(1)
            name = (folder / "comm").read_text().strip()
            try:
                stack = (folder / "stack").read_text().split("\n")
            except OSError:
                stack = ["(no stack)"]
            calls = " < ".join(line.split("] ")[-1].split("+")[0] for line in stack if line)
            lines.append(f"    {task} {name} {state}: {calls or '(in user space)'}")
    except (OSError, AttributeError):
        lines.append(f"  process {pid}: gone")
    return "\n".join(lines)


def connections(pid):
    """Numbers of the FUSE connections that `pid` serves."""
    numbers = set()
    try:
        for entry in os.listdir(f"/proc/{pid}/fdinfo"):
            text = Path(f"/proc/{pid}/fdinfo/{entry}").read_text()
            found = re.search(r"^fuse_connection:\s*(\d+)", text, re.M)
            if found:
                numbers.add(int(found.group(1)))
        if not numbers and "/dev/fuse" in open_descriptors(pid):
            # older kernels do not tell; a connection has the minor number of the file system's device
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            number = device_at(os.fsdecode(arguments[-2]), pid).partition(":")[2]
            numbers |= {int(number)} if number else set()
    except OSError:
        pass
    return numbers


def mounts(pid="self"):
    """[(mount point, type, major:minor)] as `pid` sees them, in the order they were made."""
    rows = []
    try:
        text = Path(f"/proc/{pid}/mountinfo").read_text()
    except OSError:
        return rows
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        rows.append((fields[4].replace("\\040", " "), after.split()[0], fields[2]))
    return rows


def device_at(path, pid="self"):
    """major:minor of the pool that is the topmost mount at `path`; empty if none is."""
    at = [(kind, device) for where, kind, device in mounts(pid) if where == path]
    return at[-1][1] if at and at[-1][0] in ("fuse.boughfs", "fuse.mergerfs") else ""


def is_pool(path, pid="self"):
    """Whether the topmost mount at `path` is a boughfs pool."""
    return device_at(path, pid) != ""


def open_descriptors(pid):
    """What each descriptor of `pid` leads to."""
    found = []
    for entry in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{entry}"))
        except FileNotFoundError:
            pass
    return found


def status_field(pid, field, task=None):
    folder = f"/proc/{pid}" if task is None else f"/proc/{pid}/task/{task}"
    found = re.search(rf"^{field}:\s+(\d+)", Path(folder, "status").read_text(), re.M)
    return int(found.group(1))


def kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def wait_until(condition, seconds, step=0.02):
    """Calls `condition` until it is true; its last value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(step)
