#!/usr/bin/env python3
"""data_calls.py DIRECTORY [--unshared] [SECTION…]: as calls.py, with calls that read and write data in every way
there is. Memory is aligned for O_DIRECT wherever a step does not say otherwise. With --unshared it behaves as if
the kernel refused shared mappings."""

import errno
import fcntl
import hashlib
import json
import mmap
import os
import shutil
import struct
import subprocess
import sys
import traceback

import calls
import kernel

SECTIONS = {}
BOTH = mmap.PROT_READ | mmap.PROT_WRITE
STYLES = {"buffered": 0, "direct": os.O_DIRECT, "sync": os.O_SYNC, "dsync": os.O_DSYNC,
          "direct sync": os.O_DIRECT | os.O_SYNC, "direct dsync": os.O_DIRECT | os.O_DSYNC}
FEW_STYLES = {name: STYLES[name] for name in ("buffered", "direct", "sync")}


def section(function):
    SECTIONS[function.__name__] = function
    return function


def pattern(seed, size):
    return hashlib.shake_128(str(seed).encode()).digest(size)


def put(file, offset, data, shift=0):
    """pwrite from memory at a page, or `shift` behind one."""
    memory = mmap.mmap(-1, max(1, shift + len(data)))
    memory[shift:shift + len(data)] = data
    view = memoryview(memory)
    with view[shift:shift + len(data)] as part:
        return os.pwritev(file, [part], offset)


def put_here(file, data):
    """The same for write."""
    memory = mmap.mmap(-1, max(1, len(data)))
    memory[0:len(data)] = data
    with memoryview(memory) as view, view[0:len(data)] as part:
        return os.writev(file, [part])


def get(file, offset, size, shift=0):
    """pread to memory at a page, or `shift` behind one."""
    memory = mmap.mmap(-1, max(1, shift + size))
    with memoryview(memory) as view, view[shift:shift + size] as part:
        count = os.preadv(file, [part], offset)
    return memory[shift:shift + count]


def make(name, content):
    """On the disk, so that what other handles say is not what this one left in memory."""
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for at in range(0, len(content), 1 << 20):
        os.pwrite(file, content[at:at + (1 << 20)], at)
    os.fsync(file)
    os.close(file)


def whole(file):
    """(size, hash) as this handle has it."""
    size = os.fstat(file).st_size
    return [size, hashlib.sha1(get(file, 0, (size | 4095) + 1)).hexdigest()]


UNSHARED = False


def map_file(rec, step, file, size, kind=mmap.MAP_SHARED, access=BOTH):
    """A mapping, or None."""
    try:
        if UNSHARED and kind == mmap.MAP_SHARED:
            raise OSError(errno.ENODEV, "")
        area = mmap.mmap(file, size, kind, access)
    except OSError as error:
        rec.note(step, errno.errorcode[error.errno])
        return None
    rec.note(step, "ok")
    return area


RANGES = ((0, 4096), (4096, 8192), (8192, 512), (512, 512), (512, 1024), (3584, 1024), (1, 4096), (4097, 4095), (4096, 100),
          (100, 100), (4095, 2), (0, 0), (77, 0), (0, 65536), (12288, 131072), (512, 131072), (294912, 4096), (294912, 8192),
          (299_999, 1), (300_000, 4096), (299_520, 512), (303_104, 4096), (304_128, 512), (400_001, 10), (1 << 20, 4096),
          (1 << 20, 1 << 20), ((1 << 20) + 512, 1 << 20), (0, (2 << 20) + 4096), (1 << 62, 4096))


@section
def ranges(rec):
    """Every kind of range, read and written, aligned and not, inside the file, across its end and behind it."""
    for style, flags in STYLES.items():
        make(style, pattern(style, 300_000))
        file = rec.open(style, style, os.O_RDWR | flags)
        other = rec.open(f"{style}: other", style, os.O_RDONLY)
        if file is None:
            continue
        for offset, size in RANGES:
            step = f"{style}: {size} at {offset}"
            rec(f"{step}: read", get, file, offset, size)
            if offset < 1 << 40:
                rec(f"{step}: write", put, file, offset, pattern(step, size))
                rec(f"{step}: read again", get, file, offset, size)
                rec(f"{step}: the other reads", get, other, max(0, offset - 10), size + 20)
                rec(f"{step}: size", lambda f=file: os.fstat(f).st_size)
        rec(f"{style}: write at -1", os.pwrite, file, b"", -1)
        rec(f"{style}: fsync", os.fsync, file)
        rec.close(file, other)
        rec.state(style, style)


@section
def oversize(rec):
    """Longer than a FUSE message, and not aligned."""
    for style, flags in FEW_STYLES.items():
        make(style, pattern(style, 3 << 20))
        file = rec.open(style, style, os.O_RDWR | flags)
        if file is None:
            continue
        for offset, size in ((0, (1 << 20) + 100), (100, 1 << 20), (100, (1 << 20) + 412), (4000, 2 << 20)):
            step = f"{style}: {size} at {offset}"
            rec(f"{step}: read", get, file, offset, size)
            rec(f"{step}: write", put, file, offset, pattern(step, size))
            rec(f"{step}: whole", whole, file)
        rec.close(file)
        os.unlink(style)


@section
def memory(rec):
    """Memory that is not aligned as O_DIRECT wants it, and vectors of several pieces. The steps of all styles are
    the same but for their names."""
    for style, flags in FEW_STYLES.items():
        make(style, pattern("memory", 3 << 20))
        file = rec.open(style, style, os.O_RDWR | flags)
        if file is None:
            continue
        for shift in (1, 8, 512, 4096):
            for offset, size in ((0, 4096), (4096, 65536), (0, 1 << 20), (512, (1 << 20) + 512), (0, 2 << 20)):
                step = f"memory at {shift}: {size} at {offset}"
                rec(f"{style}: {step}: read", get, file, offset, size, shift)
                rec(f"{style}: {step}: write", put, file, offset, pattern(step, size), shift)
            rec(f"{style}: memory at {shift}: whole", whole, file)
        pages = [mmap.mmap(-1, 4096) for _ in range(5)]
        for number, page in enumerate(pages):
            page[:] = pattern(number, 4096)
        rec(f"{style}: writev", os.pwritev, file, pages, 8192)
        rec(f"{style}: readv", os.preadv, file, pages[::-1], 8192)
        rec(f"{style}: what readv read", lambda p=pages: bytes(p[0][0:16]))
        rec.close(file)
        rec.state(style, style)


@section
def append(rec):
    """Several handles and their positions: what is appended goes behind what is there, whoever put it there."""
    for style, flags in STYLES.items():
        one = rec.open(f"{style}: one", style, os.O_RDWR | os.O_CREAT | os.O_APPEND | flags)
        two = rec.open(f"{style}: two", style, os.O_WRONLY | os.O_APPEND)
        plain = rec.open(f"{style}: plain", style, os.O_RDWR)
        if one is None:
            continue
        for number in range(6):
            rec(f"{style}: {number} by one", put_here, one, pattern(number, 4096))
            rec(f"{style}: {number} by two", put_here, two, pattern(-number, 4096))
        rec(f"{style}: pwrite appends", put, one, 0, pattern("pwrite", 4096))
        rec(f"{style}: a plain write far behind", put, plain, 100 * 4096, b"far")
        rec(f"{style}: one at an odd end", put_here, one, pattern("odd", 4096))
        rec(f"{style}: two at an odd end", put_here, two, pattern("two odd", 1000))
        rec(f"{style}: ftruncate", os.ftruncate, plain, 5 * 4096)
        rec(f"{style}: one after ftruncate", put_here, one, pattern("after", 8192))
        rec(f"{style}: position of one", os.lseek, one, 0, os.SEEK_CUR)
        rec(f"{style}: position of two", os.lseek, two, 0, os.SEEK_CUR)
        rec(f"{style}: write where it is", os.write, plain, b"start")
        rec(f"{style}: one reads", get, one, 0, 200_000)
        rec.close(one, two, plain)
        rec.state(style, style)


def appended(path, rounds, writers):
    """`writers` are (open flags, handles, size of a record); all append at once. How the file looks afterwards."""
    calls.put(path, b"")
    ready, go = os.pipe(), os.pipe()
    children = []
    for who, (flags, handles, size) in enumerate(writers):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                files = [os.open(path, os.O_WRONLY | os.O_APPEND | flags) for _ in range(handles)]
                os.write(ready[1], b".")
                os.read(go[0], 1)
                for number in range(rounds):
                    record = struct.pack("<3I", who, number, size) + bytes([65 + who]) * (size - 12)
                    if put_here(files[number % handles], record) != size:
                        os._exit(2)
                status = 0
            except OSError as error:
                status = error.errno
            finally:
                os._exit(status)
        children.append(pid)
    for _ in writers:
        os.read(ready[0], 1)
    os.write(go[1], b"." * len(writers))
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    for end in ready + go:
        os.close(end)
    with open(path, "rb") as file:
        content = file.read()
    os.unlink(path)
    found, at = [[] for _ in writers], 0
    while at + 12 <= len(content):
        who, number, size = struct.unpack_from("<3I", content, at)
        if who >= len(writers) or size != writers[who][2] or \
                content[at + 12:at + size] != bytes([65 + who]) * (size - 12):
            return [statuses, f"torn at {at} of {len(content)}"]
        found[who].append(number)
        at += size
    if any(statuses) or at != len(content) or any(numbers != list(range(rounds)) for numbers in found):
        return [statuses, [len(numbers) for numbers in found], len(content) - at]
    return "good"


@section
def appenders(rec):
    """Processes with several handles each append at once: nothing is overwritten, lost, torn or out of order."""
    direct = os.O_DIRECT
    for label, writers in {"buffered": [(0, 1, 100), (0, 2, 3000), (0, 1, 5000), (0, 3, 13)],
                           "direct": [(direct, 1, 4096), (direct, 2, 8192), (direct, 1, 4096)],
                           "mixed": [(direct, 1, 4096), (0, 2, 4096), (direct, 1, 12288), (os.O_SYNC, 1, 8192)]}.items():
        try:
            outcome = appended(label, 40, writers)
        except OSError as error:
            outcome = errno.errorcode[error.errno]
        rec.note(label, str(outcome))


PAIRS = {"read": os.O_RDONLY, "write": os.O_WRONLY, "both": os.O_RDWR, "read direct": os.O_RDONLY | os.O_DIRECT,
         "write direct": os.O_WRONLY | os.O_DIRECT, "both direct": os.O_RDWR | os.O_DIRECT,
         "append": os.O_WRONLY | os.O_APPEND, "append direct": os.O_RDWR | os.O_APPEND | os.O_DIRECT,
         "sync": os.O_RDWR | os.O_SYNC, "truncate": os.O_RDWR | os.O_TRUNC, "noatime": os.O_RDONLY | os.O_NOATIME,
         "truncate direct": os.O_WRONLY | os.O_TRUNC | os.O_DIRECT}


@section
def openers(rec):
    """Two handles with each pair of flags: each sees at once what the other one does."""
    for first, first_flags in PAIRS.items():
        for second, second_flags in PAIRS.items():
            step = f"{first}, {second}"
            name = step.replace(" ", "-")
            make(name, pattern(name, 10_000))
            one = rec.open(f"{step}: one", name, first_flags)
            rec(f"{step}: one reads alone", get, one, 0, 4096)
            two = rec.open(f"{step}: two", name, second_flags)
            for turn, (writer, reader) in enumerate(((one, two), (two, one), (one, one), (two, two))):
                rec(f"{step}: {turn} read before", get, reader, 0, 16384)
                rec(f"{step}: {turn} write", put, writer, 4096 * turn, pattern((name, turn), 4096))
                rec(f"{step}: {turn} read after", get, reader, 0, 32768)
            rec(f"{step}: truncate", os.ftruncate, two, 5000)
            rec(f"{step}: read truncated", get, one, 4096, 4096)
            rec.close(one)
            rec(f"{step}: two goes on", put, two, 0, pattern("on", 512))
            rec(f"{step}: two reads", get, two, 0, 8192)
            rec.close(two)
            rec.state(step, name)
            os.unlink(name)


@section
def truncating(rec):
    for style, flags in STYLES.items():
        make(style, pattern(style, 100_000))
        file = rec.open(style, style, os.O_RDWR | flags)
        other = rec.open(f"{style}: other", style, os.O_RDWR)
        if file is None:
            continue
        for size in (50_000, 49_152, 49_153, 200_000, 1, 4096, 0, 8192, 5000, 300_000):
            step = f"{style}: to {size}"
            rec(f"{step}: ftruncate", os.ftruncate, file if size % 2 else other, size)
            rec(f"{step}: sizes", lambda: [os.fstat(file).st_size, os.fstat(other).st_size, os.stat(style).st_size])
            rec(f"{step}: read", get, file, 0, 1 << 19)
            rec(f"{step}: the other reads", get, other, 0, 1 << 19)
            rec(f"{step}: write behind it", put, file, (size // 4096 + 3) * 4096, pattern(step, 4096))
            rec(f"{step}: the other reads the gap", get, other, size // 4096 * 4096, 5 * 4096)
            rec(f"{step}: by name", os.truncate, style, size + 1000)
            rec(f"{step}: what is behind", get, file, size // 4096 * 4096, 5 * 4096)
        rec.close(file, other)
        rec.state(style, style)


@section
def holes(rec):
    keep, punch, zero = kernel.FALLOC_KEEP_SIZE, kernel.FALLOC_PUNCH_HOLE, kernel.FALLOC_ZERO_RANGE
    for style, flags in STYLES.items():
        make(style, pattern(style, 200_000))
        file = rec.open(style, style, os.O_RDWR | flags)
        other = rec.open(f"{style}: other", style, os.O_RDWR)
        if file is None:
            continue
        seen = mmap.mmap(other, 200_000, mmap.MAP_PRIVATE, mmap.PROT_READ)
        for label, mode, offset, size in (("punch", punch | keep, 8192, 16384), ("punch odd", punch | keep, 40_001, 9_999),
                                          ("punch in a page", punch | keep, 61_500, 100),
                                          ("punch over the end", punch | keep, 190_000, 100_000),
                                          ("punch behind", punch | keep, 1 << 20, 4096), ("zero", zero, 100_000, 10_000),
                                          ("zero longer", zero, 199_000, 20_000), ("reserve", 0, 210_000, 50_000),
                                          ("reserve behind", keep, 300_000, 50_000)):
            step = f"{style}: {label}"
            rec(f"{step}: write before", put, file, offset // 4096 * 4096, pattern(step, 4096))
            rec(f"{step}: read before", get, other, 0, 1 << 19)
            rec(f"{step}: fallocate", kernel.fallocate, file, mode, offset, size)
            rec(f"{step}: read", get, file, 0, 1 << 19)
            rec(f"{step}: the other reads", get, other, 0, 1 << 19)
            rec(f"{step}: mapped", lambda m=seen: hashlib.sha1(m[0:200_000]).hexdigest())
            rec(f"{step}: write into it", put, file, (offset // 4096 + 1) * 4096, pattern(step, 4096))
            rec(f"{step}: mapped again", lambda m=seen: hashlib.sha1(m[0:200_000]).hexdigest())
        seen.close()
        rec.close(file, other)
        rec.state(style, style)
        # another one: who looks at a hole through a mapping fills it, in tmpfs
        make(f"{style} unseen", pattern(style, 200_000))
        file = rec.open(f"{style} unseen", f"{style} unseen", os.O_RDWR | flags)
        rec(f"{style}: punch unseen", kernel.fallocate, file, punch | keep, 65536, 65536)
        rec(f"{style}: write behind the end", put, file, 1 << 20, pattern("end", 4096))
        os.fsync(file)
        for at in (0, 65536, 100_000, 131_072, 300_000):
            rec(f"{style}: data from {at}", os.lseek, file, at, os.SEEK_DATA)
            rec(f"{style}: hole from {at}", os.lseek, file, at, os.SEEK_HOLE)
        rec.close(file)


@section
def maps(rec):
    """Shared and private mappings beside reads and writes of every style."""
    for style, flags in STYLES.items():
        make(style, pattern(style, 100_000))
        file = rec.open(style, style, os.O_RDWR | flags)
        other = rec.open(f"{style}: other", style, os.O_RDWR)
        if file is None:
            continue
        shared = map_file(rec, f"{style}: map shared", file, 100_000)
        private = map_file(rec, f"{style}: map private", file, 100_000, mmap.MAP_PRIVATE)
        reading = map_file(rec, f"{style}: map read", other, 100_000, mmap.MAP_SHARED, mmap.PROT_READ)

        def seen(step):
            for label, area in (("shared", shared), ("private", private), ("read", reading)):
                rec(f"{step}: {label} mapping", lambda a=area: a and hashlib.sha1(a[0:100_000]).hexdigest())
            rec(f"{step}: read", get, file, 0, 1 << 17)
            rec(f"{step}: the other reads", get, other, 0, 1 << 17)
        seen(f"{style}: first")
        rec(f"{style}: write", put, file, 8192, pattern("file", 4096))
        rec(f"{style}: the other writes", put, other, 20_000, pattern("other", 5000))
        seen(f"{style}: written")
        if shared is not None:
            shared[30_000:31_000] = pattern("stored", 1000)
            shared[40_960:45_056] = pattern("page stored", 4096)
            seen(f"{style}: stored")
            shared.flush()
            seen(f"{style}: synced")
            shared[0:10] = b"0123456789"
            rec(f"{style}: write over a dirty page", put, file, 0, pattern("over", 4096))
            seen(f"{style}: written over")
            shared[4096:4106] = b"0123456789"
            rec(f"{style}: the other writes beside it", put, other, 5000, b"beside")
            seen(f"{style}: beside")
        if private is not None:
            private[60_000:60_010] = b"my own own"
            rec(f"{style}: write behind a private page", put, file, 57_344, pattern("behind", 4096))
            rec(f"{style}: private keeps its own", lambda p=private: p[60_000:60_010])
        rec(f"{style}: fsync", os.fsync, file)
        rec(f"{style}: truncate", os.ftruncate, other, 50_001)
        rec(f"{style}: truncate up", os.ftruncate, other, 100_000)
        seen(f"{style}: truncated")
        if shared is not None:
            shared[99_000:99_010] = b"late store"
        rec.close(file, other)
        if shared is not None:
            rec(f"{style}: mapped after close", lambda s=shared: hashlib.sha1(s[0:99_000]).hexdigest())
            shared[98_000:98_010] = b"last store"
        for area in (shared, private, reading):
            if area is not None:
                area.close()
        rec.state(style, style)
        file = rec.open(f"{style}: a reader", style, os.O_RDONLY | flags)
        rec(f"{style}: no shared writing of a reader", lambda f=file: mmap.mmap(f, 100_000, mmap.MAP_SHARED, BOTH) and "ok")
        map_file(rec, f"{style}: private writing of a reader", file, 100_000, mmap.MAP_PRIVATE)
        rec.close(file)


@section
def beside(rec):
    """A reader sees, at every moment, what was written up to some point and nothing else."""
    content = pattern("beside", 1 << 18)
    for writing, write_flags in FEW_STYLES.items():
        for reading, read_flags in (("buffered", 0), ("direct", os.O_DIRECT)):
            for how in ("growing", "over"):
                name = f"{writing}-{reading}-{how}"
                make(name, bytes(len(content)) if how == "over" else b"")
                rec(name.replace("-", " "), read_beside, name, write_flags, read_flags, content)
                rec.state(name, name)


def read_beside(name, write_flags, read_flags, content):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            file = os.open(name, os.O_WRONLY | write_flags)
            for at in range(0, len(content), 8192):
                put(file, at, content[at:at + 8192])
            status = 0
        finally:
            os._exit(status)
    file = os.open(name, os.O_RDONLY | read_flags)
    wrong, ended = None, False
    while wrong is None and not ended:
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        at = 0
        while at < len(content):
            got = get(file, at, 65536)
            if not got:
                break
            if got != content[at:at + len(got)] and any(new not in (wanted, 0) for new, wanted in zip(got, content[at:at + len(got)])):
                wrong = f"strange bytes at {at}"
            at += len(got)
    os.close(file)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return f"{status} {wrong}"


@section
def unlinked(rec):
    for style, flags in STYLES.items():
        make("gone", pattern(style, 50_000))
        file = rec.open(style, "gone", os.O_RDWR | flags)
        other = rec.open(f"{style}: other", "gone", os.O_RDWR)
        if file is None:
            continue
        area = map_file(rec, f"{style}: map private", other, 50_000, mmap.MAP_PRIVATE)
        rec(f"{style}: unlink", os.unlink, "gone")
        rec(f"{style}: write", put, file, 8192, pattern("gone", 8192))
        rec(f"{style}: the other reads", get, other, 0, 65536)
        rec(f"{style}: append", put, file, 65536, pattern("more", 4096))
        rec(f"{style}: mapped", lambda a=area: a[8192:8200])
        rec(f"{style}: truncate", os.ftruncate, file, 10_000)
        rec(f"{style}: punch", kernel.fallocate, file, kernel.FALLOC_PUNCH_HOLE | kernel.FALLOC_KEEP_SIZE, 4096, 4096)
        rec(f"{style}: read", get, file, 0, 65536)
        rec(f"{style}: fsync", os.fsync, file)
        rec.state(f"{style}: no name", file)
        for again, again_flags in PAIRS.items():
            reopened = rec.open(f"{style}: reopen {again}", f"/proc/self/fd/{file}", again_flags & ~os.O_TRUNC)
            rec(f"{style}: reopened {again} reads", get, reopened, 0, 4096)
            rec.close(reopened)
        make("gone", b"a new one of that name")
        rec(f"{style}: not the new one", get, file, 0, 65536)
        area.close()
        rec.close(file, other)
        rec.state(f"{style}: the new one", "gone")


@section
def renamed(rec):
    os.mkdir("elsewhere")
    for style, flags in STYLES.items():
        make("old", pattern(style, 50_000))
        make("target", b"what is replaced")
        file = rec.open(style, "old", os.O_RDWR | flags)
        replaced = rec.open(f"{style}: replaced", "target", os.O_RDWR)
        if file is None:
            continue
        rec(f"{style}: rename", os.rename, "old", "elsewhere/new")
        rec(f"{style}: write", put, file, 4096, pattern("renamed", 4096))
        other = rec.open(f"{style}: by the new name", "elsewhere/new", os.O_RDWR)
        rec(f"{style}: by the new name: read", get, other, 0, 65536)
        rec(f"{style}: over another", os.rename, "elsewhere/new", "target")
        rec(f"{style}: by the new name: write", put, other, 12_288, pattern("twice", 4096))
        rec(f"{style}: read", get, file, 0, 65536)
        rec(f"{style}: the replaced", get, replaced, 0, 100)
        rec(f"{style}: the replaced: write", put, replaced, 0, b"still there")
        rec(f"{style}: truncate", os.truncate, "target", 30_000)
        rec(f"{style}: size", lambda f=file: os.fstat(f).st_size)
        rec.close(file, other, replaced)
        rec.state(style, "target")


@section
def nameless(rec):
    for style, flags in STYLES.items():
        file = rec.open(style, ".", os.O_TMPFILE | os.O_RDWR | flags, 0o640)
        if file is None:
            continue
        rec(f"{style}: write", put, file, 0, pattern(style, 20_480))
        rec(f"{style}: read", get, file, 0, 65536)
        rec(f"{style}: odd", put, file, 20_480, b"odd")
        area = map_file(rec, f"{style}: map shared", file, 20_480)
        if area is not None:
            area[100:105] = b"store"
            rec(f"{style}: stored", get, file, 0, 4096)
        rec(f"{style}: name it", kernel.linkat, kernel.AT_FDCWD, f"/proc/self/fd/{file}", kernel.AT_FDCWD, style,
            kernel.AT_SYMLINK_FOLLOW)
        rec(f"{style}: write when named", put, file, 4096, pattern("named", 4096))
        other = rec.open(f"{style}: by name", style, os.O_RDONLY)
        rec(f"{style}: by name: read", get, other, 0, 65536)
        if area is not None:
            area.close()
        rec.close(file, other)
        rec.state(style, style)


@section
def truncating_open(rec):
    for style, flags in STYLES.items():
        make(style, pattern(style, 50_000))
        reader = rec.open(f"{style}: reader", style, os.O_RDONLY)
        rec(f"{style}: read", get, reader, 0, 65536)
        area = map_file(rec, f"{style}: private", reader, 50_000, mmap.MAP_PRIVATE, mmap.PROT_READ)
        for access_name, access in (("read", os.O_RDONLY), ("write", os.O_WRONLY), ("both", os.O_RDWR | os.O_CREAT)):
            file = rec.open(f"{style}: {access_name}", style, access | os.O_TRUNC | flags)
            rec(f"{style}: {access_name}: size", lambda r=reader: os.fstat(r).st_size)
            rec(f"{style}: {access_name}: nothing is read", get, reader, 0, 65536)
            rec(f"{style}: {access_name}: write", put, file, 8192, pattern(access_name, 4096))
            rec(f"{style}: {access_name}: the reader reads", get, reader, 0, 65536)
            rec.close(file)
        rec(f"{style}: mapped", lambda a=area: hashlib.sha1(a[0:12_288]).hexdigest())
        area.close()
        rec.close(reader)
        rec.state(style, style)


@section
def setfl(rec):
    """O_DIRECT and O_APPEND switched on and off on an open file."""
    def flags_of(file):
        return fcntl.fcntl(file, fcntl.F_GETFL) & (os.O_DIRECT | os.O_APPEND | os.O_SYNC | os.O_NONBLOCK | os.O_NOATIME)

    for style, flags in STYLES.items():
        make(style, pattern(style, 50_000))
        file = rec.open(style, style, os.O_RDWR | flags)
        other = rec.open(f"{style}: other", style, os.O_RDWR)
        if file is None:
            continue
        for number, (label, now) in enumerate((("direct", os.O_DIRECT), ("plain", 0), ("append", os.O_APPEND),
                                               ("append direct", os.O_APPEND | os.O_DIRECT), ("direct again", os.O_DIRECT),
                                               ("noatime", os.O_NOATIME), ("plain again", 0))):
            step = f"{style}: {label}"
            rec(f"{step}: set", fcntl.fcntl, file, fcntl.F_SETFL, now)
            rec(f"{step}: is", flags_of, file)
            for offset, size in ((4096 * number, 4096), (512, 512), (100, 50), (0, 100), (4096, 8191)):
                rec(f"{step}: write {size} at {offset}", put, file, offset, pattern((step, offset), size))
                rec(f"{step}: read {size} at {offset}", get, file, offset, size)
            rec(f"{step}: the other writes", put, other, 20_000 + number, b"other")
            rec(f"{step}: whole", whole, file)
            rec(f"{step}: the other's whole", whole, other)
        rec.close(file, other)
        rec.state(style, style)


@section
def reserved(rec):
    """Reads across the end of a file with room behind it. Where that room is only promised, XFS refuses what comes to it
    with O_DIRECT (EIO, Linux 6.18)."""
    for style, flags in FEW_STYLES.items():
        file = rec.open(style, style, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        reader = rec.open(f"{style}: reader", style, os.O_RDONLY | flags)
        if reader is None:
            continue
        # each makes the file longer, so that XFS promises it more than was written
        for offset, size in ((0, 65536), (65536, 4096), (69632, 4000)):
            rec(f"{style}: write {size} at {offset}", put, file, offset, pattern(style, size))
        # parts what is allocated from what is promised
        rec(f"{style}: reserve", kernel.fallocate, file, kernel.FALLOC_KEEP_SIZE, 65536, 16384)
        for when in ("at once", "synced"):
            for offset, size in ((0, 262_144), (65536, 65536), (69632, 4096), (0, 73_728), (73_728, 8192)):
                rec(f"{style}: {when}: read {size} at {offset}", get, reader, offset, size)
            rec(f"{style}: fsync", os.fsync, file)
        rec.close(file, reader)
        rec.state(style, style)


@section
def copies(rec):
    """copy_file_range, splice and sendfile from and to handles of each style."""
    make("source", pattern("source", 100_000))
    for source, source_flags in FEW_STYLES.items():
        for target, target_flags in FEW_STYLES.items():
            step = f"{source} to {target}"
            name = step.replace(" ", "-")
            one = rec.open(f"{step}: source", "source", os.O_RDONLY | source_flags)
            two = rec.open(f"{step}: target", name, os.O_RDWR | os.O_CREAT | target_flags)
            if one is None or two is None:
                continue
            rec(f"{step}: write first", put, two, 0, pattern("first", 65536))
            rec(f"{step}: read it", get, two, 0, 65536)
            rec(f"{step}: copy_file_range", os.copy_file_range, one, two, 16384, 4096, 8192)
            rec(f"{step}: seen", get, two, 0, 131072)
            rec(f"{step}: copy_file_range odd", os.copy_file_range, one, two, 777, 55, 99_999)
            rec(f"{step}: seen odd", get, two, 0, 131072)
            rec(f"{step}: copy_file_range over the end", os.copy_file_range, one, two, 50_000, 90_000, 4096)
            rec(f"{step}: within", os.copy_file_range, two, two, 4096, 0, 65536)
            rec(f"{step}: sendfile", os.sendfile, two, one, 8192, 8192)
            rec.close(one, two)
            rec.state(step, name)


@section
def copied_end(rec):
    """What is appended to a file whose last block a copy shares, where the disk can do that. It is appended at the end,
    since natively XFS (Linux 6.18) takes a direct write for one of whole blocks if the offset that it is given is one,
    and then loses what is in the last block."""
    for style, flags in STYLES.items():
        file = rec.open(style, style, os.O_RDWR | os.O_CREAT)
        appender = rec.open(f"{style}: appender", style, os.O_WRONLY | os.O_APPEND | flags)
        copy = rec.open(f"{style}: copy", f"{style} copied", os.O_RDWR | os.O_CREAT)
        if appender is None:
            continue
        rec(f"{style}: write", put, file, 0, pattern("first", 3584))
        rec(f"{style}: copy_file_range", os.copy_file_range, file, copy, 3584, 0, 0)
        rec(f"{style}: append", put, appender, 3584, pattern("appended", 24_576))
        rec(f"{style}: whole", whole, file)
        rec(f"{style}: copy's whole", whole, copy)
        rec.close(file, appender, copy)
        rec.state(style, style)


@section
def executing(rec):
    """A program in the pool is mapped and run, while others hold it open."""
    shutil.copy("/bin/true", "program")
    for style, flags in FEW_STYLES.items():
        reader = rec.open(f"{style}: reader", "program", os.O_RDONLY | flags)
        rec(f"{style}: run", lambda: subprocess.run(["./program"], check=False).returncode)
        rec(f"{style}: run again", lambda: subprocess.run(["./program"], check=False).returncode)
        rec(f"{style}: read", get, reader, 0, 4096)
        rec.close(reader)
        writer = rec.open(f"{style}: writer", "program", os.O_RDWR | flags)
        rec(f"{style}: not while it is written", lambda: subprocess.run(["./program"], check=False).returncode)
        rec.close(writer)
        # the kernel lets a FUSE file go a moment after close(2)
        for _ in range(100):
            try:
                status = subprocess.run(["./program"], check=False).returncode
                break
            except OSError as error:
                status = errno.errorcode[error.errno]
        rec.note(f"{style}: run afterwards", status)


def main():
    global UNSHARED
    directory, *wanted = sys.argv[1:]
    UNSHARED = "--unshared" in wanted
    wanted = [name for name in wanted if name != "--unshared"] or list(SECTIONS)
    os.chdir(directory)
    rec = calls.Recorder()
    for name in wanted:
        os.mkdir(name)
        os.chdir(name)
        rec.section = name
        try:
            SECTIONS[name](rec)
        except Exception:
            # a step that the sequence itself stands on failed
            rec.note("broke off", traceback.format_exc(limit=4))
        os.chdir("..")
    json.dump(rec.steps, sys.stdout)


if __name__ == "__main__":
    main()
