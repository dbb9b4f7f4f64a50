#!/usr/bin/env python3
"""preopened.py MOUNTPOINT UID BOUGHFS ARGUMENT…: mounts a FUSE device that it opened itself, becomes
that user, and leaves the descriptor to boughfs, whose last argument is /dev/fd/N."""

import os
import sys

import kernel

mountpoint, uid, argv = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
device = os.open("/dev/fuse", os.O_RDWR)
os.set_inheritable(device, True)
kernel.mount("given", mountpoint, "fuse.boughfs", kernel.MS_NOSUID | kernel.MS_NODEV,
             f"fd={device},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other")
os.setgroups([])
os.setgid(uid)
os.setuid(uid)
os.execv(argv[0], [*argv, f"/dev/fd/{device}"])
