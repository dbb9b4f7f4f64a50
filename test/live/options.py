"""What single options do on a real mount, and which keys of the control file may be changed."""

import ctypes
import errno
import mmap
import os
import subprocess
import time
from pathlib import Path

import modes
import sandbox

# mergerfs' options by what setting them on a mounted pool gives
CHANGEABLE = """branches config minfreespace uid gid umask proxy-ioprio cache.files cache.files.process-names
    cache.attr cache.entry cache.negative-entry cache.statfs cache.readdir parallel-direct-writes dropcacheonclose
    flush-on-close passthrough.io inodecalc security-capability xattr follow-symlinks symlinkify symlinkify-timeout
    link-cow link-exdev rename-exdev ignorepponrename moveonenospc nfsopenhack statfs statfs-ignore category.action
    category.create category.search func.access func.chmod func.chown func.create func.getattr func.getxattr func.link
    func.listxattr func.mkdir func.mknod func.open func.readdir func.readlink func.removexattr func.rename func.rmdir
    func.setxattr func.symlink func.truncate func.unlink func.utimens debug log.file""".split()
FIXED = """mountpoint branches-mount-timeout branches-mount-timeout-fail fsname scheduling-priority allow-idmap
    export-support never-forget-nodes version pid read-thread-count process-thread-count
    process-thread-queue-depth pin-threads fuse-msg-size async-read cache.writeback cache.symlinks
    direct-io-allow-mmap nullrw kernel-permissions-check posix-acl handle-killpriv-v2""".split()
# mergerfs takes these and does nothing with them then
WITHOUT_EFFECT = ["lazy-umount-mountpoint", "threads", "readahead", "passthrough.max-stack-depth"]
# of options that are listed, and not listed themselves
OTHER_NAMES = ["mount", "noforget", "remember", "remember-nodes", "handle-killpriv"]


class Options(sandbox.LiveCase):
    tools = ("mkfs.ext4", "ionice", "setpriv")

    def start(self, *options, kind="ext4", name="pool"):
        self.branch = self.file_system(kind, "disk-" + name, megabytes=100)
        os.chmod(self.branch, 0o755)
        self.made_pool = self.pool([self.branch], modes.Root(), ["minfreespace=0", *options], name=name)
        self.top = self.made_pool.mountpoint
        return self.made_pool

    def set(self, key, value):
        """0, or the errno."""
        try:
            os.setxattr(os.path.join(self.top, ".mergerfs"), "user.mergerfs." + key, value.encode())
        except OSError as error:
            return error.errno
        return 0

    def get(self, key):
        return os.getxattr(os.path.join(self.top, ".mergerfs"), "user.mergerfs." + key).decode()

    def end(self):
        self.assertEqual(self.made_pool.unmount(), 0, self.made_pool.said())

    # --- the runtime interface
    def test_keys_that_change(self):
        self.start(kind="tmpfs")
        for key in CHANGEABLE:
            with self.subTest(key=key):
                self.assertEqual(self.set(key, self.get(key)), 0)
        self.assertEqual(self.set("nothing", "1"), errno.ENODATA)
        self.end()

    def test_keys_that_are_fixed(self):
        self.start(kind="tmpfs")
        for key in FIXED + WITHOUT_EFFECT + OTHER_NAMES + ["srcmounts"]:
            with self.subTest(key=key):
                self.assertEqual(self.set(key, self.get(key)), errno.EROFS)
        self.end()

    def test_keys_that_are_listed(self):
        self.start(kind="tmpfs")
        listed = [name.removeprefix("user.mergerfs.") for name in os.listxattr(os.path.join(self.top, ".mergerfs"))]
        self.assertEqual(listed, sorted(set(listed)))
        self.assertLessEqual(set(CHANGEABLE + FIXED + WITHOUT_EFFECT), set(listed))
        self.assertEqual(set(OTHER_NAMES) & set(listed), set())
        self.end()

    # --- caching
    def seen(self, path):
        try:
            return os.stat(path).st_size
        except FileNotFoundError:
            return None

    def test_times_of_attributes_and_names(self):
        """What changed behind the pool is seen when the time is over that the kernel was told."""
        for option, kept in (("cache.attr", 4), ("cache.entry", 4), ("cache.negative-entry", None)):
            for value in ("100", "0"):
                with self.subTest(option=option, value=value):
                    times = {"cache.attr": "100", "cache.entry": "100", "cache.negative-entry": "100", option: value}
                    if option == "cache.entry":
                        # a look-up brings the attributes along
                        times["cache.attr"] = "0" if value == "0" else "100"
                    name = f"{option}-{value}"
                    self.start(*(f"{key}={time}" for key, time in times.items()), kind="tmpfs", name=name)
                    path, behind = os.path.join(self.top, "f"), os.path.join(self.branch, "f")
                    if kept is not None:
                        Path(behind).write_text("text")
                    self.assertEqual(self.seen(path), kept)
                    Path(behind + ".new").write_text("another")
                    if option == "cache.attr":
                        Path(behind).write_text("another")
                    else:
                        os.rename(behind + ".new", behind)
                    self.assertEqual(self.seen(path), kept if value == "100" else 7)
                    self.end()

    def resident(self, path):
        """Pages of a file in the page cache."""
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
            pages = (len(mapped) + mmap.PAGESIZE - 1) // mmap.PAGESIZE
            states = (ctypes.c_ubyte * pages)()
            view = ctypes.c_char.from_buffer(mapped)
            result = ctypes.CDLL(None, use_errno=True).mincore(ctypes.c_void_p(ctypes.addressof(view)),
                                                               ctypes.c_size_t(len(mapped)), states)
            del view
            self.assertEqual(result, 0, os.strerror(ctypes.get_errno()))
            return sum(state & 1 for state in states)

    def test_dropcacheonclose(self):
        self.start("passthrough.io=off", "cache.files=off")
        path, behind = os.path.join(self.top, "f"), os.path.join(self.branch, "f")
        Path(path).write_bytes(b"x" * (1 << 20))
        self.assertEqual(self.resident(behind), (1 << 20) // mmap.PAGESIZE)
        self.assertEqual(self.set("dropcacheonclose", "true"), 0)

        def dropped(flags):
            file = os.open(path, flags)
            os.pread(file, 1 << 20, 0)
            if flags == os.O_RDWR:
                os.pwrite(file, b"more", 0)
            self.assertGreater(self.resident(behind), 0)
            os.close(file)
            # of what is just being written or read the kernel keeps some: then the next close does it
            return any(self.resident(behind) == 0 or time.sleep(0.02) for _ in range(10))

        for flags in (os.O_RDWR, os.O_RDONLY):
            self.eventually(lambda: dropped(flags), 10, "its pages are dropped")
        self.end()

    def test_nullrw(self):
        self.start("nullrw", "cache.files=off")
        Path(self.branch, "f").write_text("text")
        file = os.open(os.path.join(self.top, "f"), os.O_RDWR)
        self.assertEqual(os.pread(file, 100000, 0), bytes(100000))
        self.assertEqual(os.pwrite(file, b"x" * 100000, 50), 100000)
        os.close(file)
        self.assertEqual(Path(self.branch, "f").read_text(), "text")
        self.end()

    def test_proxy_ioprio(self):
        self.start("passthrough.io=off", "cache.files=off")
        path = os.path.join(self.top, "f")

        def priorities():
            tasks = os.listdir(f"/proc/{self.made_pool.pid}/task")
            return self.command(["ionice", "-p", *tasks], good=(0, 1)).splitlines()

        def use():
            self.command(["ionice", "-c2", "-n6", "sh", "-c", 'echo text > "$0"; cat "$0"', path])

        use()
        self.assertNotIn("best-effort: prio 6", priorities())
        self.assertEqual(self.set("proxy-ioprio", "true"), 0)
        use()
        self.assertIn("best-effort: prio 6", priorities())
        # whoever comes next is served with his own
        for _ in range(50):
            Path(path).write_text("text")
        self.assertNotIn("best-effort: prio 6", priorities())
        self.end()

    # --- set-ids
    def test_set_ids_go(self):
        """Whoever writes to another's set-id file, by whatever call, takes the bits away, unless he is root."""
        calls = {"write": "open('write', 'r+b', buffering=0).write(b'x')",
                 "append": "open('append', 'ab', buffering=0).write(b'x')",
                 "truncate": "os.truncate('truncate', 1)",
                 "ftruncate": "open('ftruncate', 'r+b').truncate(1)",
                 "open": "os.close(os.open('open', os.O_WRONLY | os.O_TRUNC))",
                 "fallocate": "os.posix_fallocate(os.open('fallocate', os.O_WRONLY), 0, 9000)"}
        for number, options in enumerate((["cache.files=off"], ["cache.files=full"],
                                          ["handle-killpriv=false", "cache.files=off"],
                                          ["handle-killpriv=false", "cache.files=full"])):
            self.start("passthrough.io=off", *options, name=f"pool{number}")
            for user, kept in ((modes.User(), 0), (modes.Root(), 0o6000)):
                for call in calls:
                    Path(self.branch, call).write_text("some text")
                    os.chmod(os.path.join(self.branch, call), 0o6777)
                subprocess.run(user.wrap(["sh", "-c", 'cd "$0" && exec python3 -c "$1"', self.top,
                                          "\n".join(["import os", *calls.values()])]), check=True, cwd="/")
                for call in calls:
                    with self.subTest(options=options, call=call, user=user.name):
                        self.assertEqual(os.stat(os.path.join(self.branch, call)).st_mode & 0o6000, kept)
                        os.unlink(os.path.join(self.branch, call))
            self.end()
