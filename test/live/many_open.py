#!/usr/bin/env python3
"""many_open.py DIRECTORY COUNT: creates files and keeps them open until one cannot be; prints how many
there were and the errno. Every file that was opened can be written, read and closed."""

import errno
import os
import resource
import sys


def main():
    directory, count = sys.argv[1], int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    os.chdir(directory)
    files, code = [], 0
    try:
        while len(files) < count:
            files.append(os.open(str(len(files)), os.O_RDWR | os.O_CREAT))
    except OSError as error:
        code = error.errno
    for file in files:
        os.write(file, b"%d" % file)
        assert os.pread(file, 100, 0) == b"%d" % file
        os.fsync(file)
        os.close(file)
    print(len(files), errno.errorcode.get(code, "all"))
    for name in os.listdir("."):
        os.unlink(name)


main()
