#!/usr/bin/env python3
"""acknowledged.py FILE: appends numbered lines until it fails; prints how many were accepted, and the
error's name."""

import errno
import os
import sys

accepted = 0
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
print("started", flush=True)
try:
    while True:
        os.write(file, b"%09d\n" % accepted)
        accepted += 1
except OSError as error:
    print(accepted, errno.errorcode[error.errno], flush=True)
os._exit(0)  # closing answers the same error
