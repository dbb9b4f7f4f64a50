#!/usr/bin/env python3
"""tree.py [--without=FIELD,…] DIRECTORY…: everything under the directories as JSON. With several, they
are the branches of a pool: of each path the first one counts, as the search policy ff has it."""

import hashlib
import json
import os
import stat
import sys


def describe(path, without):
    info = os.lstat(path)
    found = {"type": stat.S_IFMT(info.st_mode), "mode": stat.S_IMODE(info.st_mode), "uid": info.st_uid,
             "gid": info.st_gid, "mtime": info.st_mtime_ns}
    if stat.S_ISREG(info.st_mode):
        with open(path, "rb") as file:
            found["sha"] = hashlib.file_digest(file, "sha1").hexdigest()
        found["size"] = info.st_size
    elif stat.S_ISLNK(info.st_mode):
        found["target"] = os.readlink(path)
    elif stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
        found["rdev"] = info.st_rdev
    if not stat.S_ISDIR(info.st_mode):
        found["nlink"] = info.st_nlink
    try:
        found["xattrs"] = {name: os.getxattr(path, name, follow_symlinks=False).hex()
                           for name in sorted(os.listxattr(path, follow_symlinks=False))
                           # XFS shows a superuser its ACLs a second time
                           if not name.startswith("trusted.SGI_ACL_")}
    except OSError as error:
        found["xattrs"] = error.errno
    for field in without:
        found.pop(field, None)
    return found


def walk(tops, without):
    found = {".": describe(tops[0], without)}
    for top in tops:
        for folder, directories, files in os.walk(top):
            for name in directories + files:
                path = os.path.join(folder, name)
                inside = os.path.relpath(path, top)
                if inside not in found:
                    found[inside] = describe(path, without)
                elif found[inside]["type"] == stat.S_IFDIR:
                    # a directory of the pool is as new as its newest copy
                    found[inside]["mtime"] = max(found[inside]["mtime"], os.lstat(path).st_mtime_ns)
    return found


if __name__ == "__main__":
    arguments = sys.argv[1:]
    leave_out = []
    if arguments[0].startswith("--without="):
        leave_out = arguments.pop(0).partition("=")[2].split(",")
    json.dump(walk(arguments, leave_out), sys.stdout)
