#!/usr/bin/env python3
"""reused_numbers.py BOUGHFS OPTIONS BRANCH MOUNTPOINT ROUNDS PROGRAM…: to be run as the first process of a PID
namespace with its own /proc. Serves a pool and runs the programs by turns, all under one process number, each with
the argument MOUNTPOINT/PROGRAM-ROUND. Then prints "ready", and ends when its input does."""

import os
import signal
import subprocess
import sys

import processes

NUMBER = 1000


def main():
    boughfs, options, branch, mountpoint, rounds, *programs = sys.argv[1:]
    served = subprocess.Popen([boughfs, "-f", "-o", options, branch, mountpoint], stdin=subprocess.DEVNULL)
    if not processes.wait_until(lambda: processes.is_pool(mountpoint), 20):
        sys.exit("no pool")
    for turn in range(int(rounds)):
        for program in programs:
            with open("/proc/sys/kernel/ns_last_pid", "w", encoding="ascii") as last:
                last.write(str(NUMBER - 1))
            # the old number is free again: nothing waits for anything but this
            subprocess.run([program, os.path.join(mountpoint, f"{os.path.basename(program)}-{turn}")], check=True,
                           stdout=subprocess.DEVNULL)
    print("ready", flush=True)
    sys.stdin.read()
    subprocess.run(["umount", mountpoint], check=True)
    served.send_signal(signal.SIGTERM)
    sys.exit(served.wait(20))


if __name__ == "__main__":
    main()
