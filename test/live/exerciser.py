#!/usr/bin/env python3
"""exerciser.py DIRECTORY SEED OPERATIONS KIND: a random sequence of calls that read and change the data of a few
files, through several handles and mappings, against a model in memory. KIND: buffered, direct or mixed, and behind
commas: "no-maps" leaves out mappings; "xfs" is for files that XFS holds. The same arguments give the same sequence.
The first difference ends it: the seed, the step and the last calls are printed, and the status is 1."""

import collections
import errno
import mmap
import os
import random
import sys

import kernel

FILES = 3
HANDLES = 4
LARGEST = 192 << 10
# of O_DIRECT, on all disks whose sectors are not larger
SECTOR = 512
REMEMBERED = 40


class Difference(Exception):
    pass


class Handle:
    def __init__(self, number, flags):
        self.number = number
        self.flags = flags
        self.readable = flags & os.O_ACCMODE != os.O_WRONLY
        self.writable = flags & os.O_ACCMODE != os.O_RDONLY
        self.appends = bool(flags & os.O_APPEND)
        self.direct = bool(flags & os.O_DIRECT)

    def __str__(self):
        names = [name for name in ("O_APPEND", "O_DIRECT", "O_SYNC", "O_DSYNC", "O_TRUNC")
                 if self.flags & getattr(os, name) == getattr(os, name)]
        return "|".join([("O_RDONLY", "O_WRONLY", "O_RDWR")[self.flags & os.O_ACCMODE], *names])


class File:
    def __init__(self, name):
        self.name = name
        self.content = bytearray()
        self.handles = []
        self.maps = []  # (mapping, its length)


class Exerciser:
    def __init__(self, directory, seed, kind, words):
        self.random = random.Random(seed)
        self.kind = kind
        self.on_xfs = "xfs" in words
        self.directory = directory
        self.last = collections.deque(maxlen=REMEMBERED)
        self.source = self.random.randbytes(1 << 20)
        self.memory = mmap.mmap(-1, LARGEST + mmap.PAGESIZE)
        self.view = memoryview(self.memory)
        self.files = []
        for number in range(FILES):
            file = File(os.path.join(directory, f"file{number}"))
            os.close(os.open(file.name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
            file.handles = [self.opened(file) for _ in range(HANDLES)]
            self.files.append(file)
        weights = {self.read: 25, self.write: 25, self.append: 8, self.truncate: 5, self.allocate: 8, self.copy: 5,
                   self.sync: 2, self.forget: 2, self.reopen: 5, self.rename: 1, self.replace: 1, self.sizes: 3, self.whole: 1}
        if "no-maps" not in words:
            weights.update({self.store: 10, self.load: 10, self.msync: 3, self.map: 2})
        self.actions = [action for action, weight in weights.items() for _ in range(weight)]

    # --- what is random
    def opened(self, file):
        chance = self.random.random
        flags = self.random.choice((os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR, os.O_RDWR))
        if chance() < 0.2:
            flags |= os.O_APPEND
        if self.kind == "direct" or (self.kind == "mixed" and chance() < 0.4):
            flags |= os.O_DIRECT
        if chance() < 0.1:
            flags |= self.random.choice((os.O_SYNC, os.O_DSYNC))
        if flags & os.O_ACCMODE != os.O_RDONLY and chance() < 0.03:
            flags |= os.O_TRUNC
        number = os.open(file.name, flags)
        if flags & os.O_TRUNC:
            file.content = bytearray()
        handle = Handle(number, flags)
        self.last.append(f"open {file.name} {handle} = {number}")
        return handle

    def length(self, handle):
        """Mostly small, seldom large; whole sectors for O_DIRECT, and often else."""
        most = self.random.choice((64, 4096, 8192, 8192, 65536))
        size = self.random.randint(1, most)
        if handle.direct or self.random.random() < 0.3:
            unit = self.random.choice((SECTOR, 4096))
            size = -(-size // unit) * unit
        return size

    def offset(self, file, handle):
        size = len(file.content)
        where = self.random.random()
        if where < 0.2:
            at = self.random.randint(0, size // 4096) * 4096
        elif where < 0.3:
            at = size
        elif where < 0.4:
            at = self.random.randint(0, LARGEST - 65536)
        else:
            at = self.random.randint(0, size)
        if handle is not None and handle.direct:
            at = at // SECTOR * SECTOR
        return min(at, LARGEST - 65536)

    def data(self, size):
        at = self.random.randrange(len(self.source) - size)
        return self.source[at:at + size]

    def pick(self, writing):
        file = self.random.choice(self.files)
        handle = self.random.choice(file.handles)
        return (file, handle) if (handle.writable if writing else handle.readable) else (file, None)

    # --- the model
    def put(self, file, at, data):
        content = file.content
        if len(content) < at:
            content.extend(bytes(at - len(content)))
        content[at:at + len(data)] = data

    def resize(self, file, size):
        if size < len(file.content):
            del file.content[size:]
        else:
            file.content.extend(bytes(size - len(file.content)))

    def same(self, what, expected, got):
        if expected == got:
            return
        if isinstance(expected, (bytes, bytearray)) and isinstance(got, (bytes, bytearray)):
            first = next((i for i, (a, b) in enumerate(zip(expected, got)) if a != b), min(len(expected), len(got)))
            raise Difference(f"{what}: {len(expected)} bytes expected, {len(got)} seen; they differ from {first} on: "
                             f"{bytes(expected[first:first + 16]).hex()} expected, {bytes(got[first:first + 16]).hex()} seen")
        raise Difference(f"{what}: {expected!r} expected, {got!r} seen")

    # --- the calls
    def read(self):
        file, handle = self.pick(False)
        if handle is None:
            return
        at, size = self.offset(file, handle), self.length(handle)
        self.last.append(f"pread {handle.number} {size} at {at}")
        try:
            count = os.preadv(handle.number, [self.view[:size]], at)
        except OSError as error:
            end = -(-len(file.content) // SECTOR) * SECTOR
            # natively too it refuses an O_DIRECT read that comes to room which it only promised behind the end (6.18)
            if not (self.on_xfs and handle.direct and error.errno == errno.EIO and at < end < at + size):
                raise
            self.last.append(f"pread {handle.number} {end - at} at {at}")
            count = os.preadv(handle.number, [self.view[:end - at]], at)
        self.same(f"pread {file.name}", file.content[at:at + size], self.memory[:count])

    def write(self, to_end=False):
        file, handle = self.pick(True)
        if handle is None:
            return
        size = self.length(handle)
        if handle.appends or to_end:
            at = len(file.content)
            if at + size > LARGEST or (handle.direct and at % SECTOR):
                return
        else:
            at = self.offset(file, handle)
        data = self.data(size)
        self.memory[:size] = data
        self.last.append(f"pwrite {handle.number} {size} at {at}")
        given = self.random.randrange(LARGEST) if handle.appends else at
        self.same(f"pwrite {file.name}", size, os.pwritev(handle.number, [self.view[:size]], given))
        self.put(file, at, data)

    def append(self):
        self.write(True)

    def truncate(self):
        file, handle = self.pick(True)
        size = self.random.choice((0, self.offset(file, None), self.random.randint(0, LARGEST // 4096) * 4096,
                                   self.random.randint(0, LARGEST)))
        self.last.append(f"truncate {file.name if handle is None else handle.number} to {size}")
        if handle is None:
            os.truncate(file.name, size)
        else:
            os.ftruncate(handle.number, size)
        self.resize(file, size)

    def allocate(self):
        file, handle = self.pick(True)
        if handle is None:
            return
        mode, what = self.random.choice(((kernel.FALLOC_PUNCH_HOLE | kernel.FALLOC_KEEP_SIZE, "punch"), (0, "allocate"),
                                         (kernel.FALLOC_ZERO_RANGE, "zero"),
                                         (kernel.FALLOC_ZERO_RANGE | kernel.FALLOC_KEEP_SIZE, "zero inside"),
                                         (kernel.FALLOC_KEEP_SIZE, "reserve")))
        at, size = self.offset(file, None), self.random.randint(1, 32768)
        self.last.append(f"{what} {handle.number} {size} at {at}")
        try:
            kernel.fallocate(handle.number, mode, at, size)
        except OSError as error:
            # tmpfs and btrfs do not have every mode
            if error.errno != 95:
                raise
            return
        if mode & kernel.FALLOC_KEEP_SIZE == 0 and at + size > len(file.content):
            self.resize(file, at + size)
        if mode & (kernel.FALLOC_PUNCH_HOLE | kernel.FALLOC_ZERO_RANGE):
            end = min(at + size, len(file.content))
            if at < end:
                file.content[at:end] = bytes(end - at)

    def copy(self):
        source, reader = self.pick(False)
        target, writer = self.pick(True)
        if reader is None or writer is None or writer.appends:
            return
        size = self.random.randint(1, 16384)
        at, to = self.offset(source, reader), self.offset(target, writer)
        if reader.direct or writer.direct:
            # as for reads and writes; whole sectors of the source
            at, to, size = (number // SECTOR * SECTOR for number in (at, to, size))
            if size == 0 or at + size > len(source.content):
                return
        # ranges of one file may not overlap
        if source is target and at < to + size and to < at + size:
            return
        expected = bytes(source.content[at:at + size])
        self.last.append(f"copy_file_range {reader.number} at {at} to {writer.number} at {to}: {size}")
        copied = 0
        while copied < len(expected):
            count = os.copy_file_range(reader.number, writer.number, size - copied, at + copied, to + copied)
            if count == 0:
                break
            copied += count
        self.same("copy_file_range", len(expected), copied)
        if copied:
            self.put(target, to, expected)

    def sync(self):
        file, handle = self.pick(True)
        if handle is None:
            return
        self.last.append(f"fsync {handle.number}")
        self.random.choice((os.fsync, os.fdatasync))(handle.number)

    def forget(self):
        """Of what is cached."""
        file, handle = self.pick(False)
        if handle is not None:
            self.last.append(f"fadvise dontneed {handle.number}")
            os.posix_fadvise(handle.number, 0, 0, os.POSIX_FADV_DONTNEED)

    def reopen(self):
        file = self.random.choice(self.files)
        place = self.random.randrange(HANDLES)
        self.last.append(f"close {file.handles[place].number}")
        os.close(file.handles[place].number)
        file.handles[place] = self.opened(file)

    def rename(self):
        file = self.random.choice(self.files)
        name = os.path.join(self.directory, f"renamed{self.random.randrange(1000)}")
        if any(other.name == name for other in self.files):
            return
        self.last.append(f"rename {file.name} {name}")
        os.rename(file.name, name)
        file.name = name

    def replace(self):
        """All handles stay on the old file until they are closed here, one by one, still in use."""
        file = self.random.choice(self.files)
        self.last.append(f"unlink {file.name}")
        os.unlink(file.name)
        for _ in range(3):
            reader = self.random.choice(file.handles)
            if reader.readable:
                size = -(-len(file.content) // 4096) * 4096
                count = os.preadv(reader.number, [self.view[:size]], 0)
                self.same(f"unlinked {file.name}", file.content, self.memory[:count])
        for handle in file.handles:
            os.close(handle.number)
        for mapping, length in file.maps:
            self.same(f"mapping of unlinked {file.name}", file.content[:length],
                      mapping[:min(length, len(file.content))])
            mapping.close()
        file.maps = []
        file.content = bytearray()
        os.close(os.open(file.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        file.handles = [self.opened(file) for _ in range(HANDLES)]

    def sizes(self):
        file = self.random.choice(self.files)
        handle = self.random.choice(file.handles)
        self.last.append(f"stat {file.name}")
        self.same(f"stat {file.name}", len(file.content), os.stat(file.name).st_size)
        self.same(f"fstat {file.name}", len(file.content), os.fstat(handle.number).st_size)
        self.same(f"lseek {file.name}", len(file.content), os.lseek(handle.number, 0, os.SEEK_END))

    def whole(self):
        file = self.random.choice(self.files)
        self.last.append(f"read all of {file.name}")
        with open(file.name, "rb", buffering=0) as reader:
            self.same(f"all of {file.name}", file.content, reader.read())

    def map(self):
        file = self.random.choice(self.files)
        if len(file.maps) >= 2:
            mapping, length = file.maps.pop(self.random.randrange(2))
            self.last.append(f"munmap {file.name} {length}")
            mapping.close()
        size = len(file.content)
        if size:
            self.last.append(f"mmap {file.name} {size}")
            flags = os.O_RDWR | (os.O_DIRECT if self.kind == "direct" else 0)
            number = os.open(file.name, flags)
            file.maps.append((mmap.mmap(number, size, mmap.MAP_SHARED), size))
            os.close(number)

    def mapped_range(self):
        file = self.random.choice(self.files)
        if not file.maps:
            return None
        mapping, length = self.random.choice(file.maps)
        length = min(length, len(file.content))
        if length == 0:
            return None
        at = self.random.randrange(length)
        return file, mapping, at, min(self.random.randint(1, 6000), length - at)

    def store(self):
        found = self.mapped_range()
        if found is None:
            return
        file, mapping, at, size = found
        data = self.data(size)
        self.last.append(f"store {file.name} {size} at {at}")
        mapping[at:at + size] = data
        file.content[at:at + size] = data

    def load(self):
        found = self.mapped_range()
        if found is None:
            return
        file, mapping, at, size = found
        self.last.append(f"load {file.name} {size} at {at}")
        self.same(f"load {file.name}", file.content[at:at + size], mapping[at:at + size])

    def msync(self):
        file = self.random.choice(self.files)
        if file.maps:
            self.last.append(f"msync {file.name}")
            # beyond the end of the file there is nothing to sync, which is no error
            self.random.choice(file.maps)[0].flush()

    # --- all of it
    def run(self, operations):
        for step in range(operations):
            try:
                self.random.choice(self.actions)()
            except (Difference, OSError) as found:
                self.last.append(f"step {step}: {type(found).__name__}: {found}")
                return False
        try:
            for file in self.files:
                with open(file.name, "rb", buffering=0) as reader:
                    self.same(f"at the end: {file.name}", file.content, reader.read())
                for handle in file.handles:
                    os.close(handle.number)
                for mapping, _ in file.maps:
                    mapping.close()
                with open(file.name, "rb", buffering=0) as reader:
                    self.same(f"all closed: {file.name}", file.content, reader.read())
        except (Difference, OSError) as found:
            self.last.append(f"after {operations} steps: {type(found).__name__}: {found}")
            return False
        return True


def main():
    directory, seed, operations = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    kind, *words = sys.argv[4].split(",")
    exerciser = Exerciser(directory, seed, kind, words)
    if not exerciser.run(operations):
        print(f"seed {seed}, {operations} operations, {sys.argv[4]}: a difference. The last calls:")
        print("\n".join("    " + line for line in exerciser.last))
        sys.exit(1)
    # what the branches must hold now
    for file in exerciser.files:
        with open(os.path.basename(file.name), "wb") as copy:
            copy.write(file.content)


if __name__ == "__main__":
    main()
