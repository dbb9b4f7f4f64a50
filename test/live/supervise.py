"""Runs one case in a process of its own, under a deadline, and leaves nothing of it behind.

The case's process makes a private mount namespace, so its mounts go with its processes. This process
touches no mounted pool: on a timeout it shows where everything hangs, aborts the FUSE connections
and kills.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import kernel
import processes

CANNOT_RUN = 77
CONTROL = "/sys/fs/fuse/connections"


class Outcome:
    def __init__(self, verdict, seconds, text):
        self.verdict = verdict  # "ok", "FAIL" or "CANNOT RUN"
        self.seconds = seconds
        self.text = text


def _abort_connections(pids):
    for number in sorted(set().union(*[processes.connections(pid) for pid in pids])):
        try:
            Path(CONTROL, str(number), "abort").write_text("1")
        except OSError:
            pass


def _end_all(pids):
    """Frees clients that hang in a pool, then kills."""
    _abort_connections(pids)
    processes.kill(pids)


def _loops_under(folder):
    found = []
    for loop in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if loop.read_text().startswith(folder):
                found.append("/dev/" + loop.parts[3])
        except OSError:
            pass
    return found


def run_case(argv, deadline, environment):
    """`argv` gets the case's working folder as its last argument."""
    kernel.become_subreaper()
    folder = tempfile.mkdtemp(prefix="boughfs-live-")
    os.chmod(folder, 0o755)
    log = tempfile.TemporaryFile()
    start = time.monotonic()
    case = subprocess.Popen(argv + [folder], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                            env=environment, cwd="/", start_new_session=True,
                            preexec_fn=kernel.die_with_parent)
    complaints = []
    try:
        status = case.wait(deadline)
    except subprocess.TimeoutExpired:
        status = None
        left = [case.pid] + processes.descendants(case.pid)
        complaints.append(f"not done after {deadline:.0f} s; in the kernel:")
        complaints += [processes.stacks(pid) for pid in left]
        _end_all(left)
        try:
            case.wait(20)
        except subprocess.TimeoutExpired:
            complaints.append(f"  process {case.pid} cannot be killed")
    except BaseException:
        _end_all([case.pid] + processes.descendants(case.pid))
        raise

    def nothing_left():
        processes.reap()
        return not processes.descendants(os.getpid())

    if not processes.wait_until(nothing_left, 3):
        left = processes.descendants(os.getpid())
        if status is not None:
            complaints.append("the case left processes behind:")
            complaints += [processes.stacks(pid) for pid in left]
        _end_all(left)
        if not processes.wait_until(nothing_left, 10):
            complaints.append("  and they cannot be killed")
    if not processes.wait_until(lambda: not _loops_under(folder), 5):
        for device in _loops_under(folder):
            complaints.append(f"{device} was still attached")
            subprocess.run(["losetup", "-d", device], check=False)
    try:
        os.rmdir(folder)
    except OSError as error:
        complaints.append(f"{folder} is not empty after the case: {error}")

    log.seek(0)
    text = log.read().decode(errors="replace")
    if complaints:
        text += "\n" + "\n".join(complaints) + "\n"
    if status == CANNOT_RUN and not complaints:
        verdict = "CANNOT RUN"
    else:
        verdict = "ok" if status == 0 and not complaints else "FAIL"
    sys.stdout.flush()
    return Outcome(verdict, time.monotonic() - start, text)
