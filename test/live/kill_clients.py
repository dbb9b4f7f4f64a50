#!/usr/bin/env python3
"""kill_clients.py DIRECTORY ROUNDS: for each kind of operation, processes that do nothing else, each killed
in the middle of it. Prints how many were killed in each."""

import fcntl
import json
import mmap
import os
import random
import shutil
import signal
import sys
import time

import kernel

OPERATIONS = {}


def operation(function):
    OPERATIONS[function.__name__] = function
    return function


def new(name, flags=0):
    return os.open(name, os.O_CREAT | os.O_RDWR | flags, 0o644)


@operation
def create(number):
    os.close(new(f"f{number}", os.O_EXCL))


@operation
def create_and_leave(number):
    new(f"f{number}")


@operation
def nameless(_):
    os.write(os.open(".", os.O_TMPFILE | os.O_RDWR), b"x")


@operation
def nameless_linked(number):
    file = os.open(".", os.O_TMPFILE | os.O_RDWR)
    kernel.linkat(kernel.AT_FDCWD, f"/proc/self/fd/{file}", kernel.AT_FDCWD, f"l{number}", kernel.AT_SYMLINK_FOLLOW)
    os.close(file)


@operation
def write(number):
    file = new(f"w{number % 3}")
    os.write(file, bytes(1 << 20))
    os.close(file)


@operation
def write_and_fsync(number):
    file = new(f"w{number % 3}")
    os.write(file, bytes(1 << 16))
    os.fsync(file)
    os.close(file)


@operation
def direct(number):
    file = new("direct", os.O_DIRECT)
    with mmap.mmap(-1, 1 << 18) as buffer:
        os.pwritev(file, [buffer], (number % 8) << 18)
        os.preadv(file, [buffer], 0)
    os.close(file)


@operation
def read(_):
    file = os.open("../../big", os.O_RDONLY)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    while os.read(file, 1 << 20):
        pass
    os.close(file)


@operation
def mapping(number):
    file = new(f"m{number % 3}")
    os.ftruncate(file, 1 << 20)
    mapped = mmap.mmap(file, 1 << 20)
    for offset in range(0, 1 << 20, 4096):
        mapped[offset] = number & 255
    if number % 2:
        mapped.flush()
    mapped.close()
    os.close(file)


@operation
def rename(number):
    os.close(new("r"))
    os.rename("r", f"r{number % 2}")
    os.mkdir("rd") if not os.path.isdir("rd") else os.rename("rd", "rd2")
    if os.path.isdir("rd2"):
        os.rmdir("rd2")


@operation
def exchange(number):
    if number == 0:
        os.close(new("x1")), os.close(new("x2"))
    try:
        kernel.renameat2("x1", "x2", kernel.RENAME_EXCHANGE)
    except OSError:  # the two lie on different branches
        os.unlink("x1"), os.unlink("x2")
        os.close(new("x1")), os.close(new("x2"))


@operation
def link(number):
    if number == 0:
        os.close(new("a"))
    os.link("a", f"b{number}")
    if number > 20:
        os.unlink(f"b{number - 20}")


@operation
def unlink_open(number):
    file = new(f"u{number}")
    os.write(file, b"x")
    os.unlink(f"u{number}")
    os.read(file, 10)
    if number % 2:
        os.close(file)


@operation
def symlink(number):
    os.symlink("x" * 100, f"s{number}")
    os.readlink(f"s{number}")
    os.unlink(f"s{number}")


@operation
def directory(number):
    os.mkdir(f"d{number}")
    os.rmdir(f"d{number}")


@operation
def directory_gone(number):
    home = os.open(".", os.O_RDONLY)
    os.mkdir(f"d{number}")
    os.chdir(f"d{number}")
    os.rmdir(f"../d{number}")
    os.fchdir(home)
    os.close(home)


@operation
def special(number):
    os.mkfifo(f"p{number}")
    os.unlink(f"p{number}")


@operation
def listing(_):
    os.listdir("../../many")


@operation
def listing_half(_):
    handle = kernel.Directory("../../many")
    for _ in range(500):
        handle.read()
    handle.seek(handle.tell())


@operation
def stats(number):
    os.stat(f"../../many/{number % 2000}")
    try:
        os.stat(f"missing{number}")
    except FileNotFoundError:
        pass
    os.statvfs(".")
    os.access(f"../../many/{number % 2000}", os.R_OK)


@operation
def attributes(number):
    if number == 0:
        os.close(new("at"))
    os.chmod("at", 0o600 + number % 8)
    os.chown("at", number % 5, 7)
    os.utime("at")
    os.truncate("at", number % 10_000)


@operation
def xattrs(number):
    if number == 0:
        os.close(new("xa"))
    os.setxattr("xa", "user.a", b"v" * (number % 1000))
    os.getxattr("xa", "user.a")
    os.listxattr("xa")
    os.removexattr("xa", "user.a")


@operation
def space(number):
    file = new("sp")
    kernel.fallocate(file, 0, 0, 1 << 20)
    kernel.fallocate(file, kernel.FALLOC_PUNCH_HOLE | kernel.FALLOC_KEEP_SIZE, 4096 * (number % 10), 8192)
    os.lseek(file, 0, os.SEEK_HOLE)
    os.close(file)


@operation
def copy(_):
    source, target = os.open("../../big", os.O_RDONLY), new("copy")
    os.copy_file_range(source, target, 1 << 20, 0, 0)
    os.sendfile(target, source, 0, 1 << 19)
    os.close(source), os.close(target)


@operation
def locks(_):
    file = os.open("../../big", os.O_RDWR)
    fcntl.lockf(file, fcntl.LOCK_EX, 100)
    fcntl.lockf(file, fcntl.LOCK_UN, 100)
    fcntl.flock(file, fcntl.LOCK_EX)
    os.close(file)


@operation
def flags(number):
    if number == 0:
        os.close(new("fl"))
    file = os.open("fl", os.O_RDONLY)
    kernel.set_flags(file, kernel.get_flags(file) ^ kernel.FS_NODUMP_FL)
    os.close(file)


def client(function, ready):
    number = 0
    while True:
        function(number)
        if number == 0:
            os.write(ready, b".")
        number += 1


def main():
    top, rounds = sys.argv[1], int(sys.argv[2])
    os.chdir(top)
    os.mkdir("many")
    for number in range(2000):
        os.close(new(f"many/{number}"))
    with open("big", "wb") as big:
        big.write(os.urandom(4 << 20))
    chance = random.Random(7)
    killed = {}
    for name, function in OPERATIONS.items():
        for turn in range(rounds):
            home = f"{name}-{turn}"
            os.mkdir(home)
            started, ready = os.pipe()
            pids = []
            # two at once: what is shared is shared with somebody who lives on for a while
            for _ in range(2):
                pid = os.fork()
                if pid == 0:
                    try:
                        os.mkdir(f"{home}/{os.getpid()}")
                        os.chdir(f"{home}/{os.getpid()}")
                        client(function, ready)
                    finally:
                        os._exit(1)
                pids.append(pid)
            os.close(ready)
            for _ in pids:
                os.read(started, 1)
            for pid in pids:
                time.sleep(chance.uniform(0, 0.008))
                os.kill(pid, signal.SIGKILL)
            for pid in pids:
                if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL:
                    killed[name] = killed.get(name, 0) + 1
            os.close(started)
            shutil.rmtree(home)
    shutil.rmtree("many")
    os.unlink("big")
    json.dump(killed, sys.stdout)


main()
