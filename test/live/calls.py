#!/usr/bin/env python3
"""calls.py DIRECTORY [SECTION…]: makes a fixed sequence of system calls in a directory and prints what
each gave as JSON: [[step, outcome], …]. Run in a native directory and in a pool, the two must agree.
An outcome is a result, or the name of an errno."""

import ctypes
import errno
import fcntl
import hashlib
import json
import mmap
import os
import resource
import select
import signal
import socket
import stat
import struct
import sys
import time
import traceback

import kernel

SECTIONS = {}


def section(function):
    SECTIONS[function.__name__] = function
    return function


class Recorder:
    """Called as rec(step, function, *arguments): records the outcome and returns the result, or None."""

    def __init__(self):
        self.steps = []
        self.section = ""

    def note(self, step, outcome):
        self.steps.append([f"{self.section}: {step}", outcome])

    def __call__(self, step, function, *arguments, **more):
        try:
            result = function(*arguments, **more)
        except OSError as error:
            self.note(step, errno.errorcode.get(error.errno, str(error)))
            return None
        except TypeError:
            if None not in arguments:
                raise
            self.note(step, "no descriptor")
            return None
        if isinstance(result, bytes):
            self.note(step, result.hex() if len(result) < 200 else hashlib.sha1(result).hexdigest())
        elif isinstance(result, (list, tuple, set)):
            self.note(step, sorted(map(str, result)))
        else:
            self.note(step, result)
        return result

    def open(self, step, path, flags, mode=0o666, **more):
        """As above for os.open: what number it is does not matter."""
        try:
            file = os.open(path, flags, mode, **more)
        except OSError as error:
            self.note(f"{step}: open", errno.errorcode[error.errno])
            return None
        self.note(f"{step}: open", "ok")
        return file

    def close(self, *files):
        for file in files:
            if file is not None:
                os.close(file)

    def state(self, step, path, links=True):
        """Everything about a file that the caller can see."""
        try:
            info = os.lstat(path) if isinstance(path, str) else os.fstat(path)
        except OSError as error:
            self.note(f"{step}: state", errno.errorcode[error.errno])
            return
        found = {"mode": oct(info.st_mode), "uid": info.st_uid, "gid": info.st_gid}
        if stat.S_ISREG(info.st_mode):
            found["size"] = info.st_size
            if isinstance(path, str) and os.access(path, os.R_OK) and info.st_size < 1 << 26:
                with open(path, "rb") as file:
                    found["sha"] = hashlib.sha1(file.read()).hexdigest()
        if stat.S_ISLNK(info.st_mode):
            found["target"], found["size"] = os.readlink(path), info.st_size
        if stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
            found["rdev"] = info.st_rdev
        if not stat.S_ISDIR(info.st_mode) and links:
            found["nlink"] = info.st_nlink
        self.note(f"{step}: state", found)


def put(path, content=b"content\n", mode=None):
    with open(path, "wb") as file:
        file.write(content)
    if mode is not None:
        os.chmod(path, mode)


def in_child(function):
    """Runs it in a child; its exit status: 0, or the errno of an OSError."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            function()
            status = 0
        except OSError as error:
            status = error.errno
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return errno.errorcode.get(status, status)


@section
def open_flags(rec):
    put("file", b"0123456789")
    os.mkdir("dir")
    os.symlink("file", "to-file")
    os.symlink("dir", "to-dir")
    os.symlink("missing", "dangling")
    os.symlink("loop", "loop")
    names = {"RDONLY": os.O_RDONLY, "WRONLY": os.O_WRONLY, "RDWR": os.O_RDWR,
             "RDONLY|TRUNC": os.O_RDONLY | os.O_TRUNC, "WRONLY|TRUNC": os.O_WRONLY | os.O_TRUNC,
             "WRONLY|APPEND": os.O_WRONLY | os.O_APPEND,
             "RDONLY|NOFOLLOW": os.O_RDONLY | os.O_NOFOLLOW,
             "RDONLY|DIRECTORY": os.O_RDONLY | os.O_DIRECTORY,
             "RDWR|DIRECTORY": os.O_RDWR | os.O_DIRECTORY,
             "PATH": os.O_PATH, "PATH|NOFOLLOW": os.O_PATH | os.O_NOFOLLOW,
             "RDWR|SYNC": os.O_RDWR | os.O_SYNC, "RDWR|DSYNC": os.O_RDWR | os.O_DSYNC,
             "RDONLY|NOATIME": os.O_RDONLY | os.O_NOATIME, "RDWR|NONBLOCK": os.O_RDWR | os.O_NONBLOCK,
             "RDONLY|CREAT": os.O_RDONLY | os.O_CREAT, "WRONLY|CREAT": os.O_WRONLY | os.O_CREAT,
             "WRONLY|CREAT|TRUNC": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
             "WRONLY|CREAT|EXCL": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
             "WRONLY|CREAT|NOFOLLOW": os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW,
             "RDONLY|CREAT|DIRECTORY": os.O_RDONLY | os.O_CREAT | os.O_DIRECTORY}
    for flags, value in names.items():
        for name in ("file", "dir", "to-file", "to-dir", "dangling", "loop", "missing-" + flags.replace("|", "-"),
                     "file/below", "missing/below", "dir/", "file/", "to-dir/", "dir/../file", "x" * 255, "x" * 256):
            file = rec.open(f"{flags} {name[:20]}{len(name)}", name, value, 0o640)
            if file is not None:
                rec(f"{flags} {name[:20]} getfl", lambda f=file: fcntl.fcntl(f, fcntl.F_GETFL) & ~os.O_LARGEFILE)
                rec(f"{flags} {name[:20]} write", os.write, file, b"ab")
                rec(f"{flags} {name[:20]} read", os.read, file, 100)
                rec.close(file)
            rec.state(f"{flags} {name[:20]}", name)
        for made in ("missing", "x" * 255):
            try:
                os.unlink(made)
            except OSError:
                pass
        put("file", b"0123456789")
    rec("listing", os.listdir, ".")


@section
def exclusive(rec):
    for attempt in range(2):
        rec.close(rec.open(f"O_EXCL {attempt}", "x", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    os.symlink("nowhere", "dangling")
    rec.close(rec.open("O_EXCL over a dangling link", "dangling", os.O_RDWR | os.O_CREAT | os.O_EXCL))
    rec.close(rec.open("O_CREAT through a dangling link", "dangling", os.O_RDWR | os.O_CREAT, 0o604))
    rec.state("made through the link", "nowhere")
    # one of many wins
    won = [in_child(lambda: os.close(os.open("race", os.O_WRONLY | os.O_CREAT | os.O_EXCL))) for _ in range(4)]
    rec.note("race", sorted(map(str, won)))
    # the mode of a new file does not bind its first descriptor
    file = rec.open("mode 0", "locked", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0)
    rec("mode 0: write", os.write, file, b"abc")
    rec("mode 0: read", os.pread, file, 10, 0)
    rec.close(file)
    rec.state("mode 0", "locked")


@section
def append(rec):
    one = os.open("log", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    two = os.open("log", os.O_WRONLY | os.O_APPEND)
    plain = os.open("log", os.O_RDWR)
    for number in range(20):
        os.write(one if number % 2 else two, b"%03d\n" % number)
    rec("two appenders", os.pread, plain, 1000, 0)
    rec("pwrite appends", os.pwrite, one, b"pwrite\n", 3)
    rec("plain pwrite", os.pwrite, plain, b"XYZ", 4)
    rec("append after a longer write", os.pwrite, plain, b"far", 200)
    rec("append again", os.write, two, b"end")
    rec("position", os.lseek, two, 0, os.SEEK_CUR)
    fcntl.fcntl(plain, fcntl.F_SETFL, os.O_APPEND)
    rec("append set later", os.write, plain, b"later")
    fcntl.fcntl(plain, fcntl.F_SETFL, 0)
    rec("ftruncate", os.ftruncate, one, 50)
    rec("append after ftruncate", os.write, two, b"tail")
    rec.close(one, two, plain)
    rec.state("log", "log")

    def many():
        pids = []
        for who in range(4):
            pid = os.fork()
            if pid == 0:
                file = os.open("shared", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                for _ in range(100):
                    os.write(file, bytes([65 + who]) * 10)
                os._exit(0)
            pids.append(pid)
        for pid in pids:
            os.waitpid(pid, 0)
        with open("shared", "rb") as file:
            content = file.read()
        records = [content[i:i + 10] for i in range(0, len(content), 10)]
        return [len(records), sorted({r.decode() for r in records})]
    rec("four processes append", lambda: str(many()))


@section
def truncation(rec):
    put("f", b"x" * 10000)
    file = os.open("f", os.O_RDWR)
    reader = os.open("f", os.O_RDONLY)
    for size in (5000, 0, 1, 4096, 4097, 100000, 3):
        rec(f"ftruncate {size}", os.ftruncate, file, size)
        rec.state(f"ftruncate {size}", "f")
        rec(f"read after ftruncate {size}", os.pread, reader, 200000, 0)
    rec("truncate by name", os.truncate, "f", 77)
    rec("seen by the open file", lambda: os.fstat(file).st_size)
    rec("ftruncate a reader", os.ftruncate, reader, 1)
    rec("ftruncate negative", os.ftruncate, file, -1)
    rec("truncate beyond the largest", os.truncate, "f", 1 << 62)
    rec("truncate a directory", os.truncate, ".", 0)
    rec("truncate nothing", os.truncate, "missing", 0)
    rec("write, truncate, write", os.pwrite, file, b"A" * 50, 0)
    rec.close(rec.open("O_TRUNC of an open file", "f", os.O_WRONLY | os.O_TRUNC))
    rec("the other sees it", lambda: (os.fstat(file).st_size, os.fstat(reader).st_size))
    rec("nothing is read", os.pread, reader, 10, 0)
    rec("write leaves a hole", os.pwrite, file, b"end", 9000)
    rec.state("hole", "f")
    rec.close(file, reader)

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with open("limited", "wb", buffering=0) as limited_file:
            limited_file.write(b"x" * 2000)
            limited_file.write(b"x")
    rec("RLIMIT_FSIZE", in_child, limited)
    rec.state("RLIMIT_FSIZE", "limited")


@section
def reading_and_writing(rec):
    file = os.open("f", os.O_RDWR | os.O_CREAT)
    data = hashlib.sha512(b"seed").digest() * 40000
    rec("a big write", os.write, file, data)
    rec("read it", os.pread, file, len(data) + 10, 0)
    for offset, size in ((0, 0), (0, 1), (4095, 2), (1 << 20, 1 << 20), (len(data) - 1, 5), (len(data), 5),
                         (len(data) + 100, 5)):
        rec(f"pread {size} at {offset}", os.pread, file, size, offset)
    rec("pread at -1", os.pread, file, 1, -1)
    rec("writev", os.pwritev, file, [b"abc", b"", b"defgh" * 1000], 12345)
    rec("readv", os.pread, file, 6000, 12345)
    rec("write 0 bytes", os.write, file, b"")
    rec("lseek set", os.lseek, file, 100, os.SEEK_SET)
    rec("lseek cur", os.lseek, file, 10, os.SEEK_CUR)
    rec("lseek end", os.lseek, file, -10, os.SEEK_END)
    rec("lseek before the start", os.lseek, file, -1, os.SEEK_SET)
    rec("write sparse", os.pwrite, file, b"!", 50 << 20)
    rec("read the hole", os.pread, file, 1 << 16, 40 << 20)
    rec("fsync", os.fsync, file)
    rec("fdatasync", os.fdatasync, file)
    directory = os.open(".", os.O_RDONLY)
    rec("fsync a directory", os.fsync, directory)
    rec("read a directory", os.read, directory, 10)
    rec("pwrite a directory", os.pwrite, directory, b"x", 0)
    rec("ftruncate a directory", os.ftruncate, directory, 0)
    one, two = os.pipe()
    rec("splice out", os.splice, file, two, 4096, 64)
    rec("what came", os.read, one, 5000)
    os.write(two, b"through a pipe")
    rec("splice in", os.splice, one, file, 100, None, 7)
    rec("sendfile", os.sendfile, two, file, 0, 1000)
    rec("what sendfile sent", os.read, one, 2000)
    rec("posix_fadvise", os.posix_fadvise, file, 0, 0, os.POSIX_FADV_DONTNEED)
    rec.close(one, two, file, directory)
    rec.state("f", "f")
    file = os.open("f", os.O_WRONLY)
    rec("read of a write-only file", os.pread, file, 1, 0)
    rec.close(file)
    # several handles of one file see each other
    handles = [os.open("shared", os.O_RDWR | os.O_CREAT) for _ in range(5)]
    for number, handle in enumerate(handles):
        os.pwrite(handle, b"%d" % number, number)
    rec("each sees all", lambda: [os.pread(handle, 10, 0) for handle in handles])
    rec.close(*handles)


def _kinds(where):
    """One of each kind of thing, in `where`."""
    os.mkdir(where)
    put(f"{where}/file", b"file of " + where.encode())
    put(f"{where}/other", b"other")
    os.mkdir(f"{where}/empty")
    os.mkdir(f"{where}/full")
    put(f"{where}/full/inside")
    os.mkdir(f"{where}/full/deeper")
    os.symlink("file", f"{where}/link")
    os.symlink("nowhere", f"{where}/dangling")
    os.link(f"{where}/file", f"{where}/hard")
    os.mkfifo(f"{where}/fifo")


KINDS = ("file", "empty", "full", "link", "dangling", "hard", "fifo", "missing")


def _matrix(rec, label, function):
    for source in KINDS:
        for target in KINDS + ("missing/below", "file/below", "empty/below", "full/below", "missing/"):
            where = f"{label}-{source}-{target}".replace("/", "-")
            _kinds(where)
            step = f"{label} {source} → {target}"
            rec(step, function, f"{where}/{source}", f"{where}/{target}")
            rec(step + ": listing", lambda w=where: [os.path.join(os.path.relpath(folder, w), name)
                                                     for folder, dirs, files in os.walk(w) for name in dirs + files])
            for name in (source, target):
                rec.state(f"{step}: {name}", f"{where}/{name}")
    top = f"{label}-special"
    _kinds(top)
    for source, target in (("full", "full/deeper/inside"), ("full", "full/deeper"), ("full/deeper", "full"),
                           (".", "x"), ("full/..", "x"), ("full/.", "x"), ("empty", "."), ("full/", "renamed/"),
                           ("file/", "renamed-file"), ("file", "y" * 255), ("y" * 255, "y" * 256), ("other", "other"),
                           ("", "x"), ("other", "")):
        rec(f"{label} special {source[:20]} → {target[:20]}{len(target)}", function,
            f"{top}/{source}" if source else "", f"{top}/{target}" if target else "")
    rec(f"{label} special: listing", os.listdir, top)


@section
def rename(rec):
    _matrix(rec, "rename", os.rename)
    # an open file keeps its name-less self; the new name leads to the other
    put("a", b"old a"), put("b", b"old b")
    a, b = os.open("a", os.O_RDWR), os.open("b", os.O_RDWR)
    rec("over an open file", os.rename, "a", "b")
    rec("both handles", lambda: (os.pread(a, 10, 0), os.pread(b, 10, 0)))
    rec("links", lambda: (os.fstat(a).st_nlink, os.fstat(b).st_nlink))
    rec("write through both", lambda: (os.pwrite(a, b"new", 0), os.pwrite(b, b"gone", 0)))
    rec.state("b", "b")
    rec.close(a, b)
    # a directory moves with its contents, its open files and whoever stands in it
    os.makedirs("tree/x/y")
    put("tree/x/y/f", b"deep")
    file = os.open("tree/x/y/f", os.O_RDWR)
    directory = os.open("tree/x", os.O_RDONLY)
    os.mkdir("elsewhere")
    rec("a directory moves", os.rename, "tree/x", "elsewhere/z")
    rec("its file", os.pwrite, file, b"DEEP", 0)
    rec("by the descriptor", lambda: os.listdir(directory))
    rec("openat by the descriptor", lambda: os.close(os.open("y/new", os.O_CREAT | os.O_WRONLY, dir_fd=directory)))
    rec("new place", lambda: [os.path.join(f, n) for f, d, e in os.walk("elsewhere") for n in d + e])
    rec("old place", os.listdir, "tree")
    rec.state("moved file", "elsewhere/z/y/f")
    rec.close(file, directory)
    inode = os.stat("elsewhere/z/y/f").st_ino
    rec("the inode number stays", lambda: (os.rename("elsewhere/z/y/f", "moved"), os.stat("moved").st_ino == inode)[1])
    os.mkdir("many")
    for number in range(50):
        put(f"many/{number}", b"%d" % number)
        os.rename(f"many/{number}", f"many/{(number * 7) % 50 + 100}")
    rec("many", os.listdir, "many")


@section
def rename_noreplace(rec):
    _matrix(rec, "noreplace", lambda a, b: kernel.renameat2(a, b, kernel.RENAME_NOREPLACE))


@section
def rename_exchange(rec):
    _matrix(rec, "exchange", lambda a, b: kernel.renameat2(a, b, kernel.RENAME_EXCHANGE))
    rec("both flags", kernel.renameat2, "exchange-special", "x",
        kernel.RENAME_EXCHANGE | kernel.RENAME_NOREPLACE)
    rec("an unknown flag", kernel.renameat2, "exchange-special", "x", 64)


@section
def links(rec):
    _matrix(rec, "link", lambda a, b: os.link(a, b, follow_symlinks=False))
    put("file", b"linked")
    os.mkdir("dir")
    os.symlink("file", "to-file")
    rec("follow", os.link, "to-file", "followed", follow_symlinks=True)
    rec("same inode", lambda: os.stat("followed").st_ino == os.stat("file").st_ino)
    rec("not follow", os.link, "to-file", "not-followed", follow_symlinks=False)
    rec.state("not followed", "not-followed")
    for number in range(50):
        os.link("file", f"dir/{number}")
    rec.state("52 links", "file")
    rec("write through one", put, "dir/7", b"written")
    rec.state("read through another", "followed")
    rec("chmod through one", os.chmod, "dir/8", 0o604)
    rec.state("seen through another", "file")
    for number in range(50):
        os.unlink(f"dir/{number}")
    rec.state("2 links", "file")
    rec("one inode number", lambda: len({os.stat(name).st_ino for name in ("file", "followed")}))
    rec("unlink the first name", os.unlink, "file")
    rec.state("the other stays", "followed")


@section
def removal(rec):
    for kind in KINDS + ("full/inside", "full/.", "full/..", "empty/.", "empty/", "file/", "link/", "missing/x", "file/x",
                         "z" * 255, "z" * 256):
        for name, function in (("unlink", os.unlink), ("rmdir", os.rmdir)):
            where = f"{name}-{kind[:20].replace('/', '-')}-{len(kind)}"
            _kinds(where)
            rec(f"{name} {kind[:20]}{len(kind)}", function, f"{where}/{kind}")
            rec(f"{name} {kind[:20]}{len(kind)}: listing", os.listdir, where)
    rec("mkdir", os.mkdir, "d", 0o750)
    rec("mkdir again", os.mkdir, "d")
    rec("mkdir over a file", lambda: (put("f"), os.mkdir("f")))
    rec("mkdir below a file", os.mkdir, "f/x")
    rec("mkdir below nothing", os.mkdir, "nothing/x")
    rec("mkdir slash", os.mkdir, "d/slash/")
    rec("mkdir long", os.mkdir, "l" * 255)
    rec("mkdir too long", os.mkdir, "l" * 256)
    rec("mkdir dot", os.mkdir, ".")
    rec("mkdir dot dot", os.mkdir, "d/..")
    rec.state("d", "d")
    rec("rmdir full", os.rmdir, "d")
    rec("rmdir inner", os.rmdir, "d/slash")
    rec("rmdir now empty", os.rmdir, "d")
    rec("rmdir again", os.rmdir, "d")
    for number in range(100):
        put(f"gone{number}")
    for number in range(100):
        os.unlink(f"gone{number}")
    rec("100 come and go", lambda: [n for n in os.listdir(".") if n.startswith("gone")])
    rec("a name comes back as another kind", lambda: (put("n"), os.unlink("n"), os.mkdir("n"), os.rmdir("n"),
                                                      os.symlink("f", "n"), os.readlink("n"))[-1])


@section
def nameless(rec):
    """Files and directories without a name that are still open."""
    put("f", b"still here", 0o640)
    file = os.open("f", os.O_RDWR)
    inode = os.fstat(file).st_ino
    rec("unlink", os.unlink, "f")
    rec.state("unlinked", file)
    rec("same inode number", lambda: os.fstat(file).st_ino == inode)
    rec("read", os.pread, file, 100, 0)
    rec("write", os.pwrite, file, b"more", 10)
    rec("fchmod", os.fchmod, file, 0o604)
    rec("fchown", os.fchown, file, 5, 6)
    rec("ftruncate", os.ftruncate, file, 3)
    rec("futimens", os.utime, file, ns=(1, 2_000_000_003))
    rec("its mtime", lambda: os.fstat(file).st_mtime_ns)
    rec("fsetxattr", os.setxattr, file, "user.x", b"v")
    rec("fgetxattr", os.getxattr, file, "user.x")
    rec("flistxattr", os.listxattr, file)
    rec("fallocate", kernel.fallocate, file, 0, 0, 5000)
    rec("fsync", os.fsync, file)
    rec.state("changed", file)
    again = rec.open("again through /proc", f"/proc/self/fd/{file}", os.O_RDONLY)
    rec("and read", os.pread, again, 100, 0)
    rec("link back an unlinked file", kernel.linkat, kernel.AT_FDCWD, f"/proc/self/fd/{file}", kernel.AT_FDCWD, "back",
        kernel.AT_SYMLINK_FOLLOW)
    rec("its name in /proc", lambda: os.readlink(f"/proc/self/fd/{file}").rpartition("/")[2])
    rec("the name is free", lambda: put("f", b"another"))
    rec("they are two", lambda: (os.pread(file, 3, 0), open("f", "rb").read()))
    rec.close(file, again)

    file = rec.open("O_TMPFILE", ".", os.O_TMPFILE | os.O_RDWR, 0o640)
    rec.state("O_TMPFILE", file)
    rec("write", os.write, file, b"temporary")
    rec("no name", os.listdir, ".")
    rec("link", kernel.linkat, kernel.AT_FDCWD, f"/proc/self/fd/{file}", kernel.AT_FDCWD, "named",
        kernel.AT_SYMLINK_FOLLOW)
    rec.state("named", "named")
    rec.state("the open one", file)
    rec("link over an existing name", kernel.linkat, kernel.AT_FDCWD, f"/proc/self/fd/{file}", kernel.AT_FDCWD, "f",
        kernel.AT_SYMLINK_FOLLOW)
    rec("write after the link", os.write, file, b" more")
    rec.close(file)
    rec.state("closed", "named")
    file = rec.open("O_TMPFILE by AT_EMPTY_PATH", ".", os.O_TMPFILE | os.O_WRONLY, 0o600)
    rec("linkat AT_EMPTY_PATH", kernel.linkat, file, "", kernel.AT_FDCWD, "empty-path", kernel.AT_EMPTY_PATH)
    rec.close(file)
    rec.state("empty-path", "empty-path")
    file = rec.open("O_TMPFILE|O_EXCL", ".", os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)
    rec("cannot be linked", kernel.linkat, kernel.AT_FDCWD, f"/proc/self/fd/{file}", kernel.AT_FDCWD, "never",
        kernel.AT_SYMLINK_FOLLOW)
    rec.close(file)
    rec.open("O_TMPFILE read-only", ".", os.O_TMPFILE | os.O_RDONLY)
    rec.open("O_TMPFILE in a file", "f", os.O_TMPFILE | os.O_RDWR)

    # O_PATH of something that then goes
    put("path"), os.mkdir("path-dir"), os.symlink("x", "path-link")
    for name, remove in (("path", os.unlink), ("path-dir", os.rmdir), ("path-link", os.unlink)):
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW)
        remove(name)
        rec(f"O_PATH {name}", lambda h=handle: (oct(os.fstat(h).st_mode), os.fstat(h).st_nlink))
        rec.close(handle)
    # replaced by rename
    put("victim", b"victim"), put("winner", b"winner")
    handle = os.open("victim", os.O_PATH)
    os.rename("winner", "victim")
    rec("O_PATH replaced", lambda: (os.fstat(handle).st_nlink, os.fstat(handle).st_size))
    rec("read through it", lambda: os.close(os.open(f"/proc/self/fd/{handle}", os.O_RDONLY)))
    rec.close(handle)

    # a working directory that is gone
    os.makedirs("cwd/inner")
    handle = os.open("cwd/inner", os.O_RDONLY)
    here = os.getcwd()
    os.chdir("cwd/inner")
    rec("remove the working directory", os.rmdir, "../inner")
    rec("getcwd", os.getcwd)
    rec("stat .", lambda: (oct(os.stat(".").st_mode), os.stat(".").st_nlink))
    rec("list .", os.listdir, ".")
    rec("create in it", lambda: put("x"))
    rec("mkdir in it", os.mkdir, "x")
    rec("rename into it", os.rename, os.path.join(here, "f"), "x")
    rec("lookup in it", os.stat, "x")
    rec("..", lambda: sorted(os.listdir("..")))
    rec("fchmod of it", os.chmod, ".", 0o700)
    os.chdir(here)
    rec("the same name again", lambda: os.mkdir("cwd/inner"))
    rec("the old descriptor", os.listdir, handle)
    rec.close(handle)


@section
def symlinks(rec):
    for number, target in enumerate(("file", "a/b/../c", "/absolute", "x" * 255, "y" * 4095, "y" * 4096, "", "ünï",
                                     ".", "a b")):
        rec(f"symlink {number}", os.symlink, target, f"link{number}")
        rec(f"readlink {number}", os.readlink, f"link{number}")
        rec.state(f"link {number}", f"link{number}")
    put("file", b"by the link")
    os.mkdir("dir")
    rec("symlink over a file", os.symlink, "x", "file")
    rec("readlink of a file", os.readlink, "file")
    rec("readlink of a directory", os.readlink, "dir")
    rec("readlink of nothing", os.readlink, "nothing")
    rec("read through", lambda: open("link0", "rb").read())
    os.symlink("dir", "to-dir")
    rec("create through", put, "to-dir/made")
    rec("listing through", os.listdir, "to-dir")
    os.symlink("../dir/made", "dir/up")
    rec("up and down", lambda: open("to-dir/up", "rb").read())
    rec("lchown", os.chown, "link0", 7, 8, follow_symlinks=False)
    rec.state("lchown", "link0")
    rec.state("its target", "file")
    chain = "file"
    for number in range(39):
        os.symlink(chain, f"chain{number}")
        chain = f"chain{number}"
    rec("a chain of 39", lambda: open(chain, "rb").read())
    os.symlink(chain, "chain39"), os.symlink("chain39", "chain40")
    rec("a chain of 41", lambda: open("chain40", "rb").read())


@section
def times(rec):
    put("f"), os.mkdir("d"), os.symlink("f", "l")
    for name in ("f", "d", "l"):
        for atime, mtime in ((0, 0), (1, 999_999_999), (1_234_567_890_123_456_789, 987_654_321_987_654_321),
                             (-1_000_000_001, -5_000_000_000), (4_294_967_296_000_000_007, 4_294_967_295_999_999_999)):
            rec(f"{name} utimensat {atime}", os.utime, name, ns=(atime, mtime), follow_symlinks=False)
            rec(f"{name} then", lambda n=name: str((os.lstat(n).st_atime_ns, os.lstat(n).st_mtime_ns)))
    libc = ctypes.CDLL(None, use_errno=True)

    def utimens(name, atime, mtime):
        """(seconds, nanoseconds) each; UTIME_NOW and UTIME_OMIT are nanoseconds."""
        if libc.utimensat(-100, name.encode(), struct.pack("=qqqq", *atime, *mtime), 0x100) < 0:
            raise OSError(ctypes.get_errno(), "")
    now, omit = 0x3FFFFFFF, 0x3FFFFFFE
    utimens("f", (100, 5), (200, 6))
    rec("omit atime", utimens, "f", (0, omit), (300, 7))
    rec("then", lambda: str((os.stat("f").st_atime_ns, os.stat("f").st_mtime_ns)))
    rec("omit mtime", utimens, "f", (400, 8), (0, omit))
    rec("then", lambda: str((os.stat("f").st_atime_ns, os.stat("f").st_mtime_ns)))
    rec("omit both", utimens, "f", (0, omit), (0, omit))
    rec("bad nanoseconds", utimens, "f", (0, 1_000_000_000), (0, 0))
    rec("now", utimens, "f", (0, now), (500, 9))
    rec("then", lambda: (abs(os.stat("f").st_atime - time.time()) < 5, os.stat("f").st_mtime_ns == 500_000_000_009))

    def changes(name, what, field):
        """Whether doing `what` moved a time of `name` to now."""
        utimens(name, (1000, 0), (1000, 0))
        before = os.lstat(name).st_ctime_ns
        time.sleep(0.02)
        what()
        info = os.lstat(name)
        return info.st_ctime_ns > before if field == "ctime" else info.st_mtime > 1_000_000
    file = os.open("f", os.O_RDWR)
    for label, name, what in (
            ("write", "f", lambda: os.pwrite(file, b"w", 0)), ("ftruncate", "f", lambda: os.ftruncate(file, 3)),
            ("truncate same size", "f", lambda: os.truncate("f", 3)), ("chmod", "f", lambda: os.chmod("f", 0o600)),
            ("chown", "f", lambda: os.chown("f", 0, 0)), ("link", "f", lambda: os.link("f", "f2")),
            ("unlink a link", "f", lambda: os.unlink("f2")), ("setxattr", "f", lambda: os.setxattr("f", "user.t", b"")),
            ("fallocate", "f", lambda: kernel.fallocate(file, 0, 0, 9000)),
            ("punch", "f", lambda: kernel.fallocate(file, 3, 0, 4096)),
            ("rename", "f", lambda: (os.rename("f", "g"), os.rename("g", "f"))),
            ("read", "f", lambda: os.pread(file, 1, 0)),
            ("create in", "d", lambda: put("d/x")), ("mkdir in", "d", lambda: os.mkdir("d/y")),
            ("rename in", "d", lambda: os.rename("d/x", "d/z")), ("unlink in", "d", lambda: os.unlink("d/z")),
            ("rmdir in", "d", lambda: os.rmdir("d/y")), ("symlink in", "d", lambda: os.symlink("q", "d/s")),
            ("link in", "d", lambda: os.link("f", "d/f")), ("write in", "d", lambda: os.pwrite(file, b"x", 0)),
            ("list", "d", lambda: os.listdir("d"))):
        for field in ("ctime", "mtime"):
            if name == "d" and field == "ctime":
                continue
            rec(f"{label} moves {field} of {name}", changes, name, what, field)
    rec.close(file)
    # new files deep down, whatever has to be made for them elsewhere, are nothing to the directories above
    os.makedirs("above/between/below")
    for name in ("above/between", "above"):
        os.utime(name, ns=(1, 77_000_000_007))
    for number in range(30):
        put(f"above/between/below/{number}")
    time.sleep(1.2)
    rec("directories above", lambda: str([os.stat(name).st_mtime_ns for name in ("above/between", "above")]))


@section
def modes_and_owners(rec):
    os.umask(0)
    put("f"), os.mkdir("d"), os.symlink("f", "l"), os.mkfifo("p")
    for name in ("f", "d", "p", "l"):
        for mode in (0, 0o777, 0o4755, 0o2755, 0o6777, 0o1777, 0o7777, 0o644):
            rec(f"chmod {name} {mode:o}", os.chmod, name, mode)
            rec.state(f"chmod {name} {mode:o}", name)
    for mode in (0o6755, 0o6745, 0o2745, 0o4644):
        for uid, gid in ((1, -1), (-1, 2), (3, 4), (-1, -1), (0, 0)):
            for name in ("f", "d"):
                os.chmod(name, mode)
                rec(f"chown {name} of {mode:o} to {uid} {gid}", os.chown, name, uid, gid)
                rec.state(f"chown {name} of {mode:o} to {uid} {gid}", name)
        file = os.open("f", os.O_RDWR)
        os.chmod("f", mode)
        rec(f"write to {mode:o} by root", os.write, file, b"x")
        rec.state(f"write to {mode:o} by root", "f")
        rec(f"truncate of {mode:o} by root", os.ftruncate, file, 1)
        rec.state(f"truncate of {mode:o} by root", "f")
        rec.close(file)
    rec("fchmodat nofollow", os.chmod, "p", 0o600)
    rec("chown big", os.chown, "f", 4_000_000_000, 4_000_000_001)
    rec.state("chown big", "f")
    rec("chmod nothing", os.chmod, "nothing", 0o600)
    rec("chown nothing", os.chown, "nothing", 0, 0)
    for mask in (0, 0o022, 0o077, 0o777):
        os.umask(mask)
        rec.close(rec.open(f"umask {mask:o}", f"file-{mask:o}", os.O_CREAT | os.O_WRONLY, 0o6777))
        rec(f"umask {mask:o} mkdir", os.mkdir, f"dir-{mask:o}", 0o7777)
        rec(f"umask {mask:o} mknod", os.mknod, f"nod-{mask:o}", 0o777 | stat.S_IFREG)
        rec(f"umask {mask:o} fifo", os.mkfifo, f"fifo-{mask:o}", 0o777)
        rec(f"umask {mask:o} symlink", os.symlink, "x", f"sym-{mask:o}")
        rec.close(rec.open(f"umask {mask:o} tmpfile", ".", os.O_TMPFILE | os.O_RDWR, 0o777))
        for kind in ("file", "dir", "nod", "fifo", "sym"):
            rec.state(f"umask {mask:o}: {kind}", f"{kind}-{mask:o}")
    os.umask(0o022)


@section
def xattrs(rec):
    put("f"), os.mkdir("d"), os.symlink("f", "l"), os.mkfifo("p")
    for name in ("f", "d", "l", "p"):
        for space in ("user.a", "trusted.a", "security.a", "system.a", "nonsense.a", "user.", "user", "", "user." + "n" * 250,
                      "user." + "n" * 251):
            step = f"{name} {space[:12]}{len(space)}"
            rec(f"set {step}", os.setxattr, name, space, b"value", follow_symlinks=False)
            rec(f"get {step}", os.getxattr, name, space, follow_symlinks=False)
        rec(f"list {name}", os.listxattr, name, follow_symlinks=False)
    rec("create existing", os.setxattr, "f", "user.a", b"x", os.XATTR_CREATE)
    rec("create new", os.setxattr, "f", "user.b", b"x", os.XATTR_CREATE)
    rec("replace existing", os.setxattr, "f", "user.b", b"longer value", os.XATTR_REPLACE)
    rec("replace missing", os.setxattr, "f", "user.c", b"x", os.XATTR_REPLACE)
    rec("bad flags", os.setxattr, "f", "user.c", b"x", 8)
    rec("get", os.getxattr, "f", "user.b")
    rec("get missing", os.getxattr, "f", "user.c")
    rec("remove", os.removexattr, "f", "user.b")
    rec("remove again", os.removexattr, "f", "user.b")
    rec("empty value", os.setxattr, "f", "user.e", b"")
    rec("get empty", os.getxattr, "f", "user.e")
    rec("binary", os.setxattr, "f", "user.bin", bytes(range(256)))
    rec("get binary", os.getxattr, "f", "user.bin")
    rec("too large", os.setxattr, "f", "user.big", bytes(70000))
    libc = ctypes.CDLL(None, use_errno=True)

    def raw(function, *arguments):
        result = function(*arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), "")
        return result
    buffer = ctypes.create_string_buffer(1000)
    for size in (0, 1, 255, 256, 257):
        rec(f"getxattr size {size}", raw, libc.getxattr, b"f", b"user.bin", buffer, size)
    needed = raw(libc.listxattr, b"f", None, 0)
    rec("listxattr size", lambda: needed)
    rec("listxattr exact", raw, libc.listxattr, b"f", buffer, needed)
    rec("listxattr short", raw, libc.listxattr, b"f", buffer, needed - 1)
    rec("getxattr missing size 0", raw, libc.getxattr, b"f", b"user.none", None, 0)
    for number in range(30):
        os.setxattr("d", f"user.many{number}", b"%d" % number)
    rec("many", os.listxattr, "d")
    rec("nothing", os.getxattr, "nothing", "user.a")
    file = os.open("f", os.O_RDONLY)
    rec("by descriptor", os.setxattr, file, "user.fd", b"v")
    rec("get by descriptor", os.getxattr, file, "user.fd")
    rec.close(file)
    rec("kept by a rename", lambda: (os.rename("f", "g"), os.listxattr("g"))[1])


def _acl(entries):
    """The kernel's form of an ACL: [(tag, permissions, id)]."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, bits, who) for tag, bits, who in entries)


NOBODY = 0xFFFFFFFF


@section
def acls(rec):
    """Default ACLs and the umask, and modes that follow an ACL's mask."""
    os.umask(0o027)
    os.mkdir("d", 0o755)
    rec("default", os.setxattr, "d", "system.posix_acl_default", _acl(
        [(1, 7, NOBODY), (2, 6, 1234), (4, 5, NOBODY), (16, 7, NOBODY), (32, 1, NOBODY)]))
    rec("of the directory", os.getxattr, "d", "system.posix_acl_default")
    for mask in (0, 0o077):
        os.umask(mask)
        rec.close(rec.open(f"file {mask:o}", f"d/f{mask:o}", os.O_CREAT | os.O_WRONLY, 0o666))
        rec(f"mkdir {mask:o}", os.mkdir, f"d/d{mask:o}", 0o777)
        rec(f"mknod {mask:o}", os.mknod, f"d/n{mask:o}", 0o664 | stat.S_IFREG)
        rec(f"fifo {mask:o}", os.mkfifo, f"d/p{mask:o}", 0o666)
        rec(f"symlink {mask:o}", os.symlink, "x", f"d/s{mask:o}")
        file = rec.open(f"tmpfile {mask:o}", "d", os.O_TMPFILE | os.O_RDWR, 0o666)
        rec(f"tmpfile {mask:o} named", kernel.linkat, kernel.AT_FDCWD, f"/proc/self/fd/{file}", kernel.AT_FDCWD,
            f"d/t{mask:o}", kernel.AT_SYMLINK_FOLLOW)
        rec.close(file)
        for kind in "fdnpst":
            name = f"d/{kind}{mask:o}"
            rec.state(f"{kind} {mask:o}", name)
            rec(f"access of {kind} {mask:o}", os.getxattr, name, "system.posix_acl_access", follow_symlinks=False)
            rec(f"default of {kind} {mask:o}", os.getxattr, name, "system.posix_acl_default", follow_symlinks=False)
    os.mkdir("d/d0/deeper")
    rec("inherited twice", os.getxattr, "d/d0/deeper", "system.posix_acl_default")
    put("f", mode=0o640)
    rec("access", os.setxattr, "f", "system.posix_acl_access", _acl(
        [(1, 6, NOBODY), (2, 7, 99), (4, 4, NOBODY), (16, 6, NOBODY), (32, 0, NOBODY)]))
    rec.state("mode follows the mask", "f")
    rec("chmod", os.chmod, "f", 0o615)
    rec("mask follows the mode", os.getxattr, "f", "system.posix_acl_access")
    rec("a plain ACL is the mode", os.setxattr, "f", "system.posix_acl_access",
        _acl([(1, 7, NOBODY), (4, 1, NOBODY), (32, 2, NOBODY)]))
    rec.state("a plain ACL", "f")
    rec("nothing is stored", os.listxattr, "f")
    rec("not an ACL", os.setxattr, "f", "system.posix_acl_access", b"junk")
    rec("default of a file", os.setxattr, "f", "system.posix_acl_default", _acl(
        [(1, 7, NOBODY), (4, 1, NOBODY), (32, 2, NOBODY)]))
    rec("remove the default", os.removexattr, "d", "system.posix_acl_default")
    rec("gone", os.getxattr, "d", "system.posix_acl_default")
    os.umask(0o022)


@section
def setgid_directories(rec):
    os.umask(0o022)
    os.mkdir("d")
    os.chown("d", 0, 4321)
    os.chmod("d", 0o2775)
    put("d/f"), os.mkdir("d/s"), os.mkfifo("d/p"), os.symlink("x", "d/l"), put("d/s/f"), os.mkdir("d/s/t")
    os.mknod("d/n", stat.S_IFREG | 0o644)
    file = os.open("d", os.O_TMPFILE | os.O_WRONLY, 0o644)
    kernel.linkat(kernel.AT_FDCWD, f"/proc/self/fd/{file}", kernel.AT_FDCWD, "d/t", kernel.AT_SYMLINK_FOLLOW)
    rec.close(file)
    rec.close(rec.open("setgid file", "d/g", os.O_CREAT | os.O_WRONLY, 0o2775))
    for name in ("f", "s", "p", "l", "s/f", "s/t", "n", "t", "g"):
        rec.state(name, f"d/{name}")
    put("plain")
    rec("rename into it", os.rename, "plain", "d/plain")
    rec.state("keeps its group", "d/plain")


@section
def space(rec):
    """fallocate, holes, copy_file_range."""
    file = os.open("f", os.O_RDWR | os.O_CREAT)
    os.write(file, b"d" * 100_000)
    K, P, Z = kernel.FALLOC_KEEP_SIZE, kernel.FALLOC_PUNCH_HOLE, kernel.FALLOC_ZERO_RANGE
    for label, mode, offset, length in (("extend", 0, 90_000, 50_000), ("keep size", K, 200_000, 50_000),
                                        ("punch", K | P, 8192, 16384), ("punch unaligned", K | P, 50_001, 5_000),
                                        ("punch without keep", P, 0, 4096), ("zero", Z, 60_000, 1000),
                                        ("zero beyond", Z, 139_000, 5000), ("zero keep", Z | K, 300_000, 4096),
                                        ("punch beyond", K | P, 1 << 30, 4096), ("no length", 0, 0, 0),
                                        ("negative", 0, -1, 10), ("too far", 0, 1 << 62, 10), ("unknown", 0x1000, 0, 10),
                                        ("collapse", kernel.FALLOC_COLLAPSE_RANGE, 4096, 4096),
                                        ("insert", kernel.FALLOC_INSERT_RANGE, 4096, 4096)):
        rec(f"fallocate {label}", kernel.fallocate, file, mode, offset, length)
        if label not in ("collapse", "insert"):
            rec.state(f"fallocate {label}", "f")
    rec("blocks", lambda: os.fstat(file).st_blocks > 0)
    reader = os.open("f", os.O_RDONLY)
    rec("fallocate of a reader", kernel.fallocate, reader, 0, 0, 10)
    directory = os.open(".", os.O_RDONLY)
    rec("fallocate of a directory", kernel.fallocate, directory, 0, 0, 10)
    rec.close(file, reader, directory)

    file = os.open("sparse", os.O_RDWR | os.O_CREAT)
    for offset in (0, 1 << 20, 5 << 20):
        os.pwrite(file, b"s" * 65536, offset)
    os.ftruncate(file, 8 << 20)
    os.fsync(file)
    for offset in (0, 1, 65536, 65537, 1 << 20, (1 << 20) + 70000, 5 << 20, 6 << 20, (8 << 20) - 1, 8 << 20, 9 << 20, -1):
        for name, whence in (("DATA", os.SEEK_DATA), ("HOLE", os.SEEK_HOLE)):
            rec(f"SEEK_{name} {offset}", os.lseek, file, offset, whence)
    rec("position after", os.lseek, file, 0, os.SEEK_CUR)

    target = os.open("copy", os.O_RDWR | os.O_CREAT)
    for label, count, source, at in (("start", 100_000, 0, 0), ("middle", 5000, 1 << 20, 77),
                                     ("to the end", 1 << 20, (8 << 20) - 10, 500_000),
                                     ("past the end", 10, 9 << 20, 0), ("nothing", 0, 0, 0)):
        rec(f"copy_file_range {label}", os.copy_file_range, file, target, count, source, at)
        rec.state(f"copy_file_range {label}", "copy")
    rec("copy_file_range within", os.copy_file_range, target, target, 1000, 0, 200_000)
    rec("copy_file_range overlapping", os.copy_file_range, target, target, 1000, 0, 500)
    rec.state("copied within", "copy")
    reader = os.open("copy", os.O_RDONLY)
    rec("copy_file_range to a reader", os.copy_file_range, file, reader, 10, 0, 0)
    appender = os.open("copy", os.O_WRONLY | os.O_APPEND)
    rec("copy_file_range to an appender", os.copy_file_range, file, appender, 10, 0, 0)
    rec.close(file, target, reader, appender)
    for number in range(12):
        put(f"from{number}", b"%d" % number * 5000)
        one, two = os.open(f"from{number}", os.O_RDONLY), os.open(f"to{number}", os.O_WRONLY | os.O_CREAT)
        rec(f"copy_file_range between files {number}", os.copy_file_range, one, two, 4000)
        rec.close(one, two)
        rec.state(f"between files {number}", f"to{number}")


@section
def mapping(rec):
    file = os.open("f", os.O_RDWR | os.O_CREAT)
    os.ftruncate(file, 100_000)
    shared = mmap.mmap(file, 100_000, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    shared[0:5] = b"first"
    ready, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        own = os.open("f", os.O_RDWR)
        other = mmap.mmap(own, 100_000, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        good = other[0:5] == b"first"
        other[50_000:50_006] = b"second"
        os.write(ready[1], b"y" if good else b"n")
        os.read(go[0], 1)
        good = other[99_995:100_000] == b"third"
        os._exit(0 if good else 1)
    rec("another process sees it", os.read, ready[0], 1)
    rec("and is seen", lambda: bytes(shared[50_000:50_006]))
    shared[99_995:100_000] = b"third"
    os.write(go[1], b"x")
    rec("both ways", lambda: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    rec("pread sees the mapping", os.pread, file, 6, 50_000)
    rec("pwrite", os.pwrite, file, b"written", 20_000)
    rec("the mapping sees pwrite", lambda: bytes(shared[20_000:20_007]))
    rec("msync", lambda: shared.flush())
    shared[70_000:70_004] = b"late"
    shared.close()
    rec.close(file)
    rec.state("after munmap and close", "f")
    file = os.open("f", os.O_RDONLY)
    private = mmap.mmap(file, 100_000, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    private[0:7] = b"private"
    rec("a private mapping changes nothing", os.pread, file, 7, 0)
    private.close()
    both = mmap.PROT_READ | mmap.PROT_WRITE
    rec("no shared writing of a reader", lambda: mmap.mmap(file, 1000, mmap.MAP_SHARED, both) and "ok")
    os.unlink("f")
    kept = mmap.mmap(file, 100_000, mmap.MAP_SHARED, mmap.PROT_READ)
    rec.close(file)
    rec("mapped, closed, unlinked", lambda: bytes(kept[50_000:50_006]))
    kept.close()
    # past the end of the file is SIGBUS, as everywhere
    put("short", b"s" * 10)

    def beyond():
        with open("short", "r+b") as short:
            window = mmap.mmap(short.fileno(), 0)
            os.truncate("short", 0)
            _ = window[5]
    rec("SIGBUS beyond the end", in_child, beyond)


@section
def forbidding_modes(rec):
    """A new file whose mode forbids to open it once more, and O_DIRECT switched off and on."""
    def map_first(file):
        with mmap.mmap(file, 4096) as area:
            area[1:3] = b"mm"
            return area[0:4]

    pages = mmap.mmap(-1, 8192)
    pages[:] = bytes(range(256)) * 32
    for mode in (0o600, 0o400, 0o200, 0o000):
        for style, extra in (("plain", 0), ("direct", os.O_DIRECT)):
            step, name = f"{mode:04o} {style}", f"{mode:04o}-{style}"
            file = rec.open(step, name, os.O_RDWR | os.O_CREAT | os.O_EXCL | extra, mode)
            rec(f"{step}: write", os.pwritev, file, [pages], 0)
            buffered = fcntl.fcntl(file, fcntl.F_GETFL) & ~os.O_DIRECT
            rec(f"{step}: without O_DIRECT", fcntl.fcntl, file, fcntl.F_SETFL, buffered)
            rec(f"{step}: write the tail", os.pwrite, file, b"tail", 8192)
            rec(f"{step}: read the tail", os.pread, file, 100, 8190)
            rec(f"{step}: map", map_first, file)
            rec(f"{step}: with O_DIRECT", fcntl.fcntl, file, fcntl.F_SETFL, buffered | os.O_DIRECT)
            rec(f"{step}: read", os.preadv, file, [pages], 0)
            rec(f"{step}: write again", os.pwritev, file, [pages], 16384)
            rec(f"{step}: cut", os.ftruncate, file, 20_000)
            rec(f"{step}: readable", os.fchmod, file, 0o644)
            rec.close(file)
            rec.state(step, name)


@section
def special_files(rec):
    os.umask(0)
    rec("fifo", os.mkfifo, "fifo", 0o640)
    rec("char", os.mknod, "char", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    rec("block", os.mknod, "block", stat.S_IFBLK | 0o600, os.makedev(7, 300))
    rec("big numbers", os.mknod, "big", stat.S_IFCHR | 0o600, os.makedev(4000, 1000000))
    rec("socket", os.mknod, "sock", stat.S_IFSOCK | 0o600)
    rec("regular", os.mknod, "reg", stat.S_IFREG | 0o604)
    rec("again", os.mknod, "reg", stat.S_IFREG | 0o604)
    rec("directory", os.mknod, "dir", stat.S_IFDIR | 0o755)
    rec("link", os.mknod, "lnk", stat.S_IFLNK | 0o755)
    for name in ("fifo", "char", "block", "big", "sock", "reg"):
        rec.state(name, name)
    rec.open("device on nodev", "char", os.O_RDONLY)
    rec.open("a socket node", "sock", os.O_RDONLY)
    rec.open("fifo without a reader", "fifo", os.O_WRONLY | os.O_NONBLOCK)
    one = rec.open("fifo reader", "fifo", os.O_RDONLY | os.O_NONBLOCK)
    two = rec.open("fifo writer", "fifo", os.O_WRONLY | os.O_NONBLOCK)
    rec("write a fifo", os.write, two, b"through")
    rec("read a fifo", os.read, one, 100)
    rec.close(one, two)
    server = socket.socket(socket.AF_UNIX)
    rec("bind", server.bind, "socket")
    rec.state("socket", "socket")
    server.listen(1)
    client = socket.socket(socket.AF_UNIX)
    rec("connect", client.connect, "socket")
    rec("bind again", lambda: socket.socket(socket.AF_UNIX).bind("socket"))
    client.close(), server.close()
    rec("connect to nobody", lambda: socket.socket(socket.AF_UNIX).connect("socket"))
    rec("unlink a socket", os.unlink, "socket")
    os.umask(0o022)


@section
def birth_and_space(rec):
    put("f")
    got, birth, _ = kernel.statx("f")
    rec("btime is known", lambda: bool(got & kernel.STATX_BTIME))
    rec("and recent", lambda: abs(birth - time.time()) < 10)
    rec("of a directory", lambda: bool(kernel.statx(".")[0] & kernel.STATX_BTIME))
    os.utime("f", (1, 1))
    os.chmod("f", 0o600)
    rec("and stays", lambda: kernel.statx("f")[1] == birth)
    os.rename("f", "g")
    rec("over a rename", lambda: kernel.statx("g")[1] == birth)
    rec("statx of nothing", kernel.statx, "nothing")
    info = os.statvfs(".")
    rec("statvfs", lambda: (info.f_namemax, info.f_bsize > 0, info.f_frsize > 0, info.f_blocks > info.f_bavail > 0,
                            info.f_files > info.f_favail > 0))
    file = os.open("g", os.O_RDONLY)
    rec("fstatvfs", lambda: os.fstatvfs(file).f_namemax)
    rec.close(file)
    rec("pathconf link max", lambda: os.pathconf(".", "PC_NAME_MAX"))
    put("blocks", b"b" * 100_000)
    with open("blocks", "rb") as held:
        os.fsync(held.fileno())
    rec("st_blocks", lambda: os.stat("blocks").st_blocks)


@section
def names(rec):
    """Names of every length and any byte but / and 0."""
    os.mkdir("d")
    for length in (1, 2, 100, 254, 255, 256):
        rec(f"create {length}", put, "d/" + "n" * length)
        rec(f"stat {length}", lambda n=length: os.stat("d/" + "n" * n).st_size)
    odd = [bytes([byte]) + b"odd" for byte in range(1, 256) if byte != 47]
    for name in odd:
        put(b"d/" + name)
    rec("every byte", lambda: sorted(os.listdir(b"d")) == sorted(odd + [b"n" * k for k in (1, 2, 100, 254, 255)]))
    for name in (b"...", b".hidden", b"-rf", b" ", b"a\nb", "ü".encode(), "u\u0308".encode(), b"\xff\xfe"):
        rec(f"name {name!r}", put, b"d/" + name)
    rec("listing", lambda: sorted(os.listdir(b"d"))[:20])
    rec("case matters", lambda: (put("Case", b"1"), put("case", b"2"), open("Case", "rb").read())[2])
    path = "deep"
    for _ in range(15):
        os.mkdir(path)
        path += "/" + "p" * 200
    rec("a long path", put, path[:-201] + "/f")
    rec("PATH_MAX", os.stat, "./" * 2050)
    rec("stat of a long path", lambda: os.stat(path[:-201] + "/f").st_size)


@section
def depth(rec):
    """Directories whose paths are longer than any call may name, gone into and out of step by step."""
    os.mkdir("top")
    os.chdir("top")
    levels, name = 18, "n" * 255
    for level in range(levels):
        rec(f"mkdir {level}", os.mkdir, name)
        os.chdir(name)
    rec("getcwd", lambda: len(os.getcwd()) > 4096)
    rec("create", put, "f", b"deep")
    rec.state("f", "f")
    rec("rename", os.rename, "f", "g")
    rec("link", os.link, "g", "h")
    rec("symlink", os.symlink, "g", "s")
    rec("through it", lambda: open("s", "rb").read())
    rec("fifo", os.mkfifo, "p")
    rec("listing", os.listdir, ".")
    rec("chmod", os.chmod, "g", 0o600)
    rec("truncate", os.truncate, "g", 2)
    rec("setxattr", os.setxattr, "g", "user.deep", b"1")
    rec("listxattr", os.listxattr, "h")
    rec("statvfs", lambda: os.statvfs(".").f_namemax)
    rec("rename by a long way", os.rename, "g", "../" * levels + "up")
    rec("and back", os.rename, "../" * levels + "up", "g")
    rec("rename a directory above", os.rename, "../" * (levels - 2) + "../" + name, "../" * (levels - 2) + "../moved")
    rec("still here", lambda: open("g", "rb").read())
    rec("create after that", put, "later")
    rec("rename it back", os.rename, "../" * (levels - 2) + "../moved", "../" * (levels - 2) + "../" + name)
    held = os.open("g", os.O_RDWR)
    for name_here in ("g", "h", "s", "p", "later"):
        rec(f"unlink {name_here}", os.unlink, name_here)
    rec.state("the last one, open", held)
    rec("write to it", os.pwrite, held, b"more", 0)
    rec.close(held)
    for level in range(levels):
        os.chdir("..")
        rec(f"rmdir {level}", os.rmdir, name)
    os.chdir("..")
    rec("rmdir top", os.rmdir, "top")


@section
def huge(rec):
    """A file of 8 TiB with next to nothing in it."""
    end = 8 << 40
    file = os.open("f", os.O_RDWR | os.O_CREAT)
    rec("ftruncate", os.ftruncate, file, end)
    rec("size", lambda: os.fstat(file).st_size)
    rec("all hole", os.lseek, file, 0, os.SEEK_HOLE)
    rec("no data", os.lseek, file, 0, os.SEEK_DATA)
    for label, offset in (("first", 0), ("beyond 4 GiB", (1 << 32) + 4096), ("in the middle", 4 << 40),
                          ("last", end - 65536)):
        rec(f"write {label}", os.pwrite, file, label.encode().ljust(65536, b"."), offset)
    rec("fsync", os.fsync, file)
    for label, offset in (("0", 0), ("after the first", 65536), ("in the middle", 4 << 40), ("after it", (4 << 40) + 65536),
                          ("last", end - 65536), ("end", end)):
        rec(f"SEEK_DATA {label}", os.lseek, file, offset, os.SEEK_DATA)
        rec(f"SEEK_HOLE {label}", os.lseek, file, offset, os.SEEK_HOLE)
    rec("read the last", lambda: os.pread(file, 100_000, end - 65536))
    rec("read across the middle", lambda: os.pread(file, 131072, (4 << 40) - 30000))
    rec("read a hole", lambda: os.pread(file, 4096, 7 << 40) == bytes(4096))
    rec("read behind the end", os.pread, file, 10, end)
    mapped = mmap.mmap(file, 65536, offset=end - 65536)
    rec("mapped", lambda: mapped[:20])
    mapped[65530:] = b"mapped"
    rec("flush", mapped.flush)
    mapped.close()
    rec("what the mapping wrote", lambda: os.pread(file, 10, end - 10))
    other = os.open("copy", os.O_RDWR | os.O_CREAT)
    rec("copy_file_range", os.copy_file_range, file, other, 65536, end - 65536, end - 65536)
    rec("copy's size", lambda: os.fstat(other).st_size)
    rec("copy's end", lambda: os.pread(other, 65536, end - 65536))
    rec("append", lambda: (os.lseek(file, 0, os.SEEK_END), os.write(file, b"more"), os.fstat(file).st_size))
    rec("punch", kernel.fallocate, file, kernel.FALLOC_PUNCH_HOLE | kernel.FALLOC_KEEP_SIZE, 4 << 40, 65536)
    rec("punched", lambda: os.lseek(file, 3 << 40, os.SEEK_DATA))
    rec("sparse", lambda: os.fstat(file).st_blocks < 4096)
    rec("cut", os.ftruncate, file, 1 << 40)
    rec("no data after the cut", os.lseek, file, 1 << 39, os.SEEK_DATA)
    rec("as long as can be", os.ftruncate, file, (1 << 63) - 1)
    rec("write at the very end", os.pwrite, file, b"x", (1 << 63) - 2)
    rec.close(file, other)
    rec("unlink", os.unlink, "f")


@section
def listings(rec):
    names = [f"entry-{number:04d}" for number in range(3000)]
    os.mkdir("d")
    for number, name in enumerate(names):
        if number % 3 == 0:
            os.mkdir(f"d/{name}")
        elif number % 3 == 1:
            os.symlink("x", f"d/{name}")
        else:
            os.close(os.open(f"d/{name}", os.O_CREAT | os.O_WRONLY))
    everything = sorted([b".", b".."] + [name.encode() for name in names])
    rec("all once", lambda: sorted(os.listdir("d")) == names)
    kinds = {entry.name: (entry.is_dir(follow_symlinks=False), entry.is_symlink()) for entry in os.scandir("d")}
    rec("types", lambda: all(kinds[name] == (number % 3 == 0, number % 3 == 1) for number, name in enumerate(names)))
    rec("inode numbers are those of stat", lambda: all(
        entry.inode() == os.lstat(f"d/{entry.name}").st_ino for entry in os.scandir("d")))

    directory = kernel.Directory("d")
    order, positions = [], []
    while True:
        positions.append(directory.tell())
        entry = directory.read()
        if entry is None:
            break
        order.append(entry[0])
    rec("dots too, each once", lambda: sorted(order) == everything)
    rec("positions differ", lambda: len(set(positions)) == len(positions))
    rec("positions are not negative", lambda: min(positions) >= 0)

    def from_position(index):
        directory.seek(positions[index])
        rest = []
        while (entry := directory.read()) is not None:
            rest.append(entry[0])
        return rest == order[index:]
    rec("seekdir", lambda: all(from_position(index) for index in (0, 1, 2, 3, 1500, 2000, 700, 3001, 3002, 5)))
    directory.rewind()
    rec("rewind", lambda: directory.read()[0] == order[0])
    put("d/new")
    directory.rewind()
    seen = []
    while (entry := directory.read()) is not None:
        seen.append(entry[0])
    rec("rewind shows what is new", lambda: sorted(seen) == sorted(everything + [b"new"]))
    os.unlink("d/new")
    directory.close()

    # positions mean something to another descriptor of the directory
    other = kernel.Directory("d")
    other.seek(positions[1000])
    rest = []
    while (entry := other.read()) is not None:
        rest.append(entry[0])
    rec("another descriptor's position", lambda: rest == order[1000:])
    other.close()

    # removal in the middle of a listing: what stays is seen once, nothing comes back
    directory = kernel.Directory("d")
    first = [directory.read()[0] for _ in range(1000)]
    for name in names[::2]:
        path = f"d/{name}"
        os.rmdir(path) if stat.S_ISDIR(os.lstat(path).st_mode) else os.unlink(path)
    later = []
    while (entry := directory.read()) is not None:
        later.append(entry[0])
    directory.close()
    rec("listing under removal: none twice", lambda: len(set(first + later)) == len(first + later))
    rec("listing under removal: none of the others lost", lambda: {n.encode() for n in names[1::2]} <= set(first + later))
    rec("afterwards", lambda: sorted(os.listdir("d")) == sorted(names[1::2]))
    removed = 0
    directory = kernel.Directory("d")
    while (entry := directory.read()) is not None:
        if entry[0] not in (b".", b".."):
            path = b"d/" + entry[0]
            os.rmdir(path) if stat.S_ISDIR(os.lstat(path).st_mode) else os.unlink(path)
            removed += 1
    directory.close()
    rec("remove while listing", lambda: removed)
    rec("empty", os.listdir, "d")
    rec("rmdir", os.rmdir, "d")
    rec("listing a file", lambda: (put("f"), os.listdir("f"))[1])


@section
def flags(rec):
    """chattr and its relatives."""
    put("f", b"flagged"), os.mkdir("d")
    interesting = (kernel.FS_IMMUTABLE_FL | kernel.FS_APPEND_FL | kernel.FS_NODUMP_FL | kernel.FS_NOATIME_FL)
    for name in ("f", "d"):
        file = os.open(name, os.O_RDONLY)
        rec(f"get {name}", lambda f=file: kernel.get_flags(f) & interesting)
        before = kernel.get_flags(file)
        rec(f"nodump {name}", kernel.set_flags, file, before | kernel.FS_NODUMP_FL)
        rec(f"get nodump {name}", lambda f=file: kernel.get_flags(f) & interesting)
        rec(f"fsgetxattr {name}", lambda f=file: fcntl.ioctl(f, kernel.FS_IOC_FSGETXATTR, bytes(28))[0])
        rec(f"version {name}", lambda f=file: len(fcntl.ioctl(f, kernel.FS_IOC_GETVERSION, bytes(8))))
        rec(f"immutable {name}", kernel.set_flags, file, before | kernel.FS_IMMUTABLE_FL)
        rec(f"chmod immutable {name}", os.chmod, name, 0o700)
        rec(f"rename immutable {name}", os.rename, name, "x")
        rec(f"remove immutable {name}", os.unlink if name == "f" else os.rmdir, name)
        rec.close(rec.open(f"write immutable {name}", name if name == "f" else "d/x", os.O_WRONLY | os.O_CREAT))
        rec(f"utime immutable {name}", os.utime, name, (5, 5))
        rec(f"mutable {name}", kernel.set_flags, file, before)
        rec(f"append only {name}", kernel.set_flags, file, before | kernel.FS_APPEND_FL)
        if name == "f":
            rec.close(rec.open("write append only", "f", os.O_WRONLY))
            appender = rec.open("append append only", "f", os.O_WRONLY | os.O_APPEND)
            rec("append", os.write, appender, b" more")
            rec.close(appender)
            rec("truncate append only", os.truncate, "f", 0)
        else:
            rec("create in append only", put, "d/made")
            rec("remove in append only", os.unlink, "d/made")
        rec(f"plain {name}", kernel.set_flags, file, before)
        rec(f"unknown ioctl {name}", fcntl.ioctl, file, 0x8004_7777, bytes(4))
        rec.close(file)
        rec.state(name, name)


@section
def locks(rec):
    put("f", b"locked")
    file = os.open("f", os.O_RDWR)
    rec("lock", fcntl.lockf, file, fcntl.LOCK_EX, 100, 10)

    def try_lock(start, length):
        other = os.open("f", os.O_RDWR)
        fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
    rec("another process, same range", in_child, lambda: try_lock(50, 10))
    rec("another process, other range", in_child, lambda: try_lock(500, 10))
    rec("unlock", fcntl.lockf, file, fcntl.LOCK_UN, 100, 10)
    rec("another process, now free", in_child, lambda: try_lock(50, 10))
    rec("flock", fcntl.flock, file, fcntl.LOCK_EX)

    def try_flock():
        other = os.open("f", os.O_RDWR)
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
    rec("flock of another", in_child, try_flock)
    rec("flock release", fcntl.flock, file, fcntl.LOCK_UN)
    rec("flock of another then", in_child, try_flock)
    poller = select.poll()
    poller.register(file, select.POLLIN | select.POLLOUT)
    rec("poll is ready", lambda: bool(poller.poll(0)))
    rec.close(file)


# --- as an ordinary user, in directories that root made ready

USER, GROUP, OTHER = 12345, 23456, 34567


def prepare_rights():
    """By root, before `rights`."""
    os.umask(0)
    for name, owner, group, mode in (("group-writable", 0, GROUP, 0o775), ("setgid", 0, GROUP, 0o2775),
                                     ("own", USER, USER, 0o755), ("foreign", OTHER, OTHER, 0o755),
                                     ("private", OTHER, OTHER, 0o700), ("sticky", 0, 0, 0o1777),
                                     ("group-only", OTHER, GROUP, 0o070), ("searchable", OTHER, OTHER, 0o711),
                                     ("own-unreadable", USER, USER, 0o300), ("open", 0, 0, 0o777)):
        os.mkdir(name)
        put(f"{name}/of-root", b"root\n", 0o644)
        put(f"{name}/of-other", b"other\n", 0o666)
        os.chown(f"{name}/of-other", OTHER, OTHER)
        put(f"{name}/of-user", b"user\n", 0o6755)
        os.chown(f"{name}/of-user", USER, USER)
        os.chmod(f"{name}/of-user", 0o6755)
        put(f"{name}/of-group", b"group\n")
        os.chown(f"{name}/of-group", OTHER, GROUP)
        os.chmod(f"{name}/of-group", 0o660)
        put(f"{name}/writable-suid", b"suid\n")
        os.chown(f"{name}/writable-suid", OTHER, GROUP)
        os.chmod(f"{name}/writable-suid", 0o6777)
        os.mkdir(f"{name}/empty")
        os.chown(name, owner, group)
        os.chmod(name, mode)


def rights(rec):
    """As USER with GROUP among the supplementary groups."""
    os.umask(0o002)
    for where in ("group-writable", "setgid", "own", "foreign", "private", "sticky", "group-only", "searchable",
                  "own-unreadable", "open", "."):
        here = f"{where}/" if where != "." else ""
        rec.close(rec.open(f"{where}: create", f"{here}made", os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o666))
        rec.state(f"{where}: made", f"{here}made")
        rec.close(rec.open(f"{where}: create setgid", f"{here}made-sgid", os.O_CREAT | os.O_WRONLY, 0o6777))
        rec.state(f"{where}: made setgid", f"{here}made-sgid")
        rec(f"{where}: mkdir", os.mkdir, f"{here}made-dir", 0o777)
        rec.state(f"{where}: made dir", f"{here}made-dir")
        rec(f"{where}: symlink", os.symlink, "x", f"{here}made-link")
        rec.state(f"{where}: made link", f"{here}made-link")
        rec(f"{where}: fifo", os.mkfifo, f"{here}made-fifo", 0o666)
        rec.state(f"{where}: made fifo", f"{here}made-fifo")
        rec(f"{where}: device", os.mknod, f"{here}made-device", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        file = None
        if kernel.RELEASE >= (6, 1):  # FUSE has no O_TMPFILE before
            file = rec.open(f"{where}: tmpfile", where, os.O_TMPFILE | os.O_RDWR, 0o666)
        if file is not None:
            rec.state(f"{where}: tmpfile", file)
            rec(f"{where}: tmpfile linked", kernel.linkat, kernel.AT_FDCWD, f"/proc/self/fd/{file}", kernel.AT_FDCWD,
                f"{here}made-tmp", kernel.AT_SYMLINK_FOLLOW)
            rec.close(file)
        rec(f"{where}: listing", os.listdir, where)
        for name in ("of-root", "of-other", "of-user", "of-group", "writable-suid", "empty", "made", "made-dir", "missing"):
            path = here + name
            rec(f"{path}: access", lambda p=path: str([os.access(p, bits) for bits in (0, 1, 2, 4, 6, 7)]))
            for flags, label in ((os.O_RDONLY, "read"), (os.O_WRONLY, "write"), (os.O_RDONLY | os.O_NOATIME, "noatime")):
                rec.close(rec.open(f"{path}: {label}", path, flags))
            rec.state(path, path)
            rec(f"{path}: chmod", os.chmod, path, 0o2755)
            rec(f"{path}: chgrp to the group", os.chown, path, -1, GROUP)
            rec(f"{path}: chgrp to another", os.chown, path, -1, OTHER)
            rec(f"{path}: chown", os.chown, path, OTHER, -1)
            rec(f"{path}: utime now", os.utime, path)
            rec(f"{path}: utime", os.utime, path, (1, 1))
            rec(f"{path}: setxattr", os.setxattr, path, "user.u", b"1")
            rec(f"{path}: trusted", os.setxattr, path, "trusted.u", b"1")
            rec(f"{path}: listxattr", os.listxattr, path)
            rec(f"{path}: truncate", os.truncate, path, 2)
            rec(f"{path}: link", os.link, path, f"{here}linked-{name}")
            rec.state(f"{path} changed", path)
        file = rec.open(f"{where}: append to suid", f"{here}writable-suid", os.O_WRONLY | os.O_APPEND)
        if file is not None:
            rec(f"{where}: write", os.write, file, b"more")
            rec.close(file)
        rec.state(f"{where}: suid cleared by a write", f"{here}writable-suid")
        file = rec.open(f"{where}: own suid", f"{here}of-user", os.O_RDWR)
        if file is not None:
            rec(f"{where}: own suid set", os.fchmod, file, 0o6755)
            rec(f"{where}: own suid write", os.write, file, b"more")
            rec.state(f"{where}: own suid written", file)
            rec(f"{where}: own suid set again", os.fchmod, file, 0o6755)
            rec(f"{where}: own suid truncate", os.ftruncate, file, 1)
            rec.state(f"{where}: own suid truncated", file)
            rec(f"{where}: own suid set once more", os.fchmod, file, 0o6755)
            rec(f"{where}: own suid fallocate", kernel.fallocate, file, 0, 0, 100)
            rec.state(f"{where}: own suid allocated", file)
            rec.close(file)
        for name in ("of-root", "of-other", "of-user", "made"):
            rec(f"{here}{name}: rename", os.rename, here + name, f"{here}renamed-{name}")
        rec(f"{where}: rename over", os.rename, f"{here}made-link", f"{here}of-group")
        for name in ("of-group", "writable-suid", "renamed-of-other", "made-fifo"):
            rec(f"{here}{name}: unlink", os.unlink, here + name)
        for name in ("empty", "made-dir"):
            rec(f"{here}{name}: rmdir", os.rmdir, here + name)


def main():
    directory, wanted = sys.argv[1], sys.argv[2:] or list(SECTIONS)
    os.chdir(directory)
    rec = Recorder()
    if wanted == ["prepare_rights"]:
        prepare_rights()
    elif wanted == ["rights"]:
        rec.section = "rights"
        rights(rec)
    else:
        for name in wanted:
            os.mkdir(name)
            os.chdir(name)
            rec.section = name
            os.umask(0o022)
            try:
                SECTIONS[name](rec)
            except Exception:
                # a step that the sequence itself stands on failed
                rec.note("broke off", traceback.format_exc(limit=4))
            os.chdir("..")
    json.dump(rec.steps, sys.stdout)


if __name__ == "__main__":
    main()
