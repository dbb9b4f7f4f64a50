"""The system calls that Python's os module does not have, each raising OSError like its neighbours."""

import ctypes
import fcntl
import os
import struct

_libc = ctypes.CDLL(None, use_errno=True)

# major and minor number
RELEASE = tuple(int(number) for number in os.uname().release.split("-")[0].split(".")[:2])

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_SYMLINK_FOLLOW = 0x400
CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_FORCE, MNT_DETACH = 1, 2
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4
FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_COLLAPSE_RANGE = 1, 2, 8
FALLOC_ZERO_RANGE, FALLOC_INSERT_RANGE, FALLOC_UNSHARE_RANGE = 16, 32, 64
STATX_BTIME = 0x800
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x80086601, 0x40086602
FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR = 0x801C581F, 0x401C5820
FS_IOC_GETVERSION = 0x80087601
FS_IMMUTABLE_FL, FS_APPEND_FL, FS_NODUMP_FL, FS_NOATIME_FL = 0x10, 0x20, 0x40, 0x80


def _check(result):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _bytes(path):
    return os.fsencode(path) if path is not None else None


def mount(source, target, fstype, flags=0, data=None):
    _check(_libc.mount(_bytes(source), _bytes(target), _bytes(fstype), ctypes.c_ulong(flags),
                       _bytes(data)))


def umount2(target, flags=0):
    _check(_libc.umount2(_bytes(target), flags))


def unshare(flags):
    _check(_libc.unshare(flags))


def become_subreaper():
    _check(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def renameat2(old, new, flags):
    _check(_libc.renameat2(AT_FDCWD, _bytes(old), AT_FDCWD, _bytes(new), flags))


def linkat(old_fd, old, new_fd, new, flags):
    _check(_libc.linkat(old_fd, _bytes(old), new_fd, _bytes(new), flags))


def fallocate(fd, mode, offset, length):
    _check(_libc.fallocate(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)))


def statx(path, flags=0, mask=0xFFF):
    """(mask, btime seconds, attributes) of a path."""
    buffer = ctypes.create_string_buffer(256)
    _check(_libc.statx(AT_FDCWD, _bytes(path), flags, mask, buffer))
    got, _, attributes = struct.unpack_from("=IIQ", buffer.raw, 0)
    (btime,) = struct.unpack_from("=q", buffer.raw, 80)
    return got, btime, attributes


def get_flags(fd):
    buffer = bytearray(8)
    fcntl.ioctl(fd, FS_IOC_GETFLAGS, buffer, True)
    return struct.unpack_from("=I", buffer)[0]


def set_flags(fd, flags):
    fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("=Q", flags))


def die_with_parent():
    _check(_libc.prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0))


class Directory:
    """opendir(3) with telldir and seekdir."""

    class _Dirent(ctypes.Structure):
        _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("reclen", ctypes.c_ushort),
                    ("type", ctypes.c_ubyte), ("name", ctypes.c_char * 256)]

    def __init__(self, path):
        _libc.opendir.restype = ctypes.c_void_p
        _libc.readdir.restype = ctypes.POINTER(self._Dirent)
        _libc.telldir.restype = ctypes.c_long
        self._dir = ctypes.c_void_p(_libc.opendir(_bytes(path)))
        if not self._dir:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    def read(self):
        """(name, inode, type) or None at the end."""
        ctypes.set_errno(0)
        entry = _libc.readdir(self._dir)
        if not entry:
            code = ctypes.get_errno()
            if code:
                raise OSError(code, os.strerror(code))
            return None
        return entry.contents.name, entry.contents.ino, entry.contents.type

    def tell(self):
        return _libc.telldir(self._dir)

    def seek(self, position):
        _libc.seekdir(self._dir, ctypes.c_long(position))

    def rewind(self):
        _libc.rewinddir(self._dir)

    def close(self):
        _libc.closedir(self._dir)
