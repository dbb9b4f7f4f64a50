"""The control file as shell users, tools for mergerfs and boughfs ctl use it; virtual attributes."""

import ctypes
import decimal
import errno
import json
import os
import random
import re
import subprocess
import time
from pathlib import Path

import kernel
import modes
import sandbox

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.lgetxattr.restype = LIBC.llistxattr.restype = ctypes.c_ssize_t
PREFIXES = {".boughfs": "user.boughfs.", ".mergerfs": "user.mergerfs."}
UNITS = {"b": 0, "k": 10, "m": 20, "g": 30, "t": 40}


def by_doubling(call):
    """As the tools read an attribute: with 64 bytes first, and twice as many at each ERANGE."""
    size = 64
    while True:
        buffer = ctypes.create_string_buffer(size)
        got = call(buffer, size)
        if got >= 0:
            return buffer.raw[:got]
        if ctypes.get_errno() != errno.ERANGE:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        size *= 2


def get(path, name):
    return by_doubling(lambda buffer, size: LIBC.lgetxattr(os.fsencode(path), os.fsencode(name), buffer,
                                                           ctypes.c_size_t(size)))


def names_of(path):
    listed = by_doubling(lambda buffer, size: LIBC.llistxattr(os.fsencode(path), buffer, ctypes.c_size_t(size)))
    return [name.decode() for name in listed.split(b"\0")[:-1]]


def bytes_of(size):
    unit = UNITS.get(size[-1:].lower())
    return int(size) if unit is None else int(size[:-1]) << unit


# What values a form takes, and whether two of them mean the same. A form that is missing here is a list
# of words, or its key is only ever set to what it is.
FORMS = {
    "SECONDS": (["0", "0.25", "1", "30"], lambda a, b: decimal.Decimal(a) == decimal.Decimal(b)),
    "SIZE": (["0", "1M", "1500"], lambda a, b: a == b == "auto" or bytes_of(a) == bytes_of(b)),
    "NAME[|NAME…": (["rtorrent|qbittorrent-nox", "python3", "cat|dd|python3"],
                     lambda a, b: set(a.split("|")) == set(b.split("|"))),
    "ID|-1": (["-1"], lambda a, b: int(a) == int(b)),
    "OCTAL|-1": (["-1"], lambda a, b: int(a, 8) == int(b, 8)),
    "BOOL": (["true", "false"], lambda a, b: (a in ("true", "t", "1", "on", "yes")) == (b == "true")),
}


class Control(sandbox.LiveCase):
    deadline = 120
    tools = ("getfattr", "setfattr")

    def start(self, kinds=("ext4", "tmpfs", "tmpfs"), mode=None, options=("minfreespace=1M",)):
        mode = mode or modes.Root()
        self.branches = [self.file_system(kind, f"disk{number}", mode.uid, megabytes=300)
                         for number, kind in enumerate(kinds)]
        self.made_pool = self.pool(self.branches, mode, options)
        self.top = self.made_pool.mountpoint
        return self.made_pool

    def file(self, name=".boughfs"):
        return os.path.join(self.top, name)

    def key(self, key, name=".boughfs"):
        return get(self.file(name), PREFIXES[name] + key).decode()

    def set(self, key, value, flags=0):
        os.setxattr(self.file(), "user.boughfs." + key, value if isinstance(value, bytes) else value.encode(), flags)

    def refusal(self, call, *arguments):
        with self.assertRaises(OSError) as caught:
            call(*arguments)
        return caught.exception.errno

    def settable(self):
        """{key: form} of what may change on a live pool."""
        text = self.command([self.boughfs, "--help"])
        forms = {key: value for key, value in re.findall(r"^  ([a-z][a-z.-]*)\[?=([^\s\]]*)", text, re.M)}
        found = {}
        for name in names_of(self.file()):
            key = name.removeprefix("user.boughfs.")
            try:
                self.set(key, self.key(key))
                found[key] = forms[key]
            except OSError as error:
                self.assertEqual(error.errno, errno.EROFS, key)
        self.assertIn("category.create", found)
        self.assertIn("cache.attr", found)
        self.assertIn("branches", found)
        return found

    @staticmethod
    def values(form, now):
        if form in FORMS:
            return FORMS[form][0]
        return form.split("|") if re.fullmatch(r"[a-z-]+(\|[a-z-]+)+", form) else [now]

    def gone(self):
        """The end of each case: no node but the root is left, and the branches hold no file of ours."""
        counters = self.made_pool.settle()
        self.assertEqual((counters["nodes"], counters["handles"], counters["overdrawn"]), (1, 0, 0), counters)
        self.assertEqual(self.made_pool.unmount(), 0, self.made_pool.said())

    # --- the control file
    def test_as_shell_users_do(self):
        self.start()
        for branch in self.branches[1:]:
            Path(branch, ".mergerfs").write_text("real\n")
        for name, prefix in PREFIXES.items():
            self.assertTrue(os.path.exists(self.file(name)))
            self.assertNotIn(name, os.listdir(self.top))
            self.assertEqual(self.command(["stat", "-c", "%F %a %s %h %u %g", self.file(name)]),
                             "regular empty file 664 0 1 0 0\n")
            listed = names_of(self.file(name))
            self.assertEqual(listed, sorted(listed))
            self.assertGreater(len(listed), 20)
            told = self.command(["getfattr", "--absolute-names", "-d", "-m", ".", self.file(name)])
            for each in listed:
                self.assertTrue(each.startswith(prefix))
                value = get(self.file(name), each).decode()
                self.assertIn(f'{each}="{value}"\n', told)
        self.assertEqual(self.key("srcmounts"), ":".join(self.branches))
        self.assertEqual(self.key("branches", ".mergerfs"), ":".join(f"{each}=RW" for each in self.branches))
        self.assertEqual(self.key("pid"), str(self.made_pool.pid))
        self.assertEqual(self.key("mountpoint"), self.top)
        self.assertEqual("boughfs " + self.key("version") + "\n", self.command([self.boughfs, "--version"]))

        self.command(["setfattr", "-n", "user.mergerfs.category.create", "-v", "ff", self.file(".mergerfs")])
        self.assertEqual(self.command(["getfattr", "--absolute-names", "--only-values", "-n",
                                       "user.boughfs.category.create", self.file(".mergerfs")]), "ff")
        for number in range(8):
            Path(self.top, f"new{number}").write_text("x")
            self.assertTrue(os.path.exists(os.path.join(self.branches[0], f"new{number}")))
        said = self.command(["setfattr", "-n", "user.boughfs.cache.attr", "-v", "soon", self.file()], good=(1,))
        self.assertIn("Invalid argument", said)
        self.eventually(lambda: "cache.attr=soon: cache.attr wants a number of seconds" in self.made_pool.said(),
                        5, "the log says what was expected")
        said = self.command(["setfattr", "-n", "user.boughfs.threads", "-v", "8", self.file()], good=(1,))
        self.assertIn("Read-only file system", said)
        said = self.command(["getfattr", "-n", "user.boughfs.nothing", self.file()], good=(1,))
        self.assertIn("No such attribute", said)
        for key, value, expected in [("minfreespace", "18446744073709551616", errno.EOVERFLOW),
                                     ("minfreespace", "99999999999T", errno.EOVERFLOW),
                                     ("cache.attr", "9" * 30, errno.EOVERFLOW),
                                     ("minfreespace", "-1", errno.EINVAL), ("minfreespace", "5Kfoo", errno.EINVAL),
                                     ("minfreespace", "5x", errno.EINVAL), ("minfreespace", "", errno.EINVAL),
                                     ("dropcacheonclose", "True", errno.EINVAL),
                                     ("dropcacheonclose", "9" * 30, errno.EINVAL)]:
            self.assertEqual(self.refusal(self.set, key, value), expected, (key, value))
        self.assertEqual(self.refusal(self.set, "cache.attr", "1", os.XATTR_CREATE), errno.EEXIST)
        self.assertEqual(self.refusal(os.removexattr, self.file(), "user.boughfs.cache.attr"), errno.ENODATA)

        for name in PREFIXES:
            path, other = self.file(name), os.path.join(self.top, "new0")
            for call, arguments, expected in [
                    (open, (path,), errno.EPERM), (os.unlink, (path,), errno.EPERM),
                    (os.rename, (path, self.file("away")), errno.EPERM), (os.rename, (other, path), errno.EPERM),
                    (os.chmod, (path, 0o600), errno.EPERM), (os.chown, (path, 1, 1), errno.EPERM),
                    (os.truncate, (path, 0), errno.EPERM), (os.utime, (path,), errno.EPERM),
                    (os.link, (path, self.file("away")), errno.EPERM), (os.link, (other, path), errno.EEXIST),
                    (os.symlink, ("x", path), errno.EEXIST), (os.mkdir, (path,), errno.EEXIST),
                    (os.mkfifo, (path,), errno.EEXIST), (os.rmdir, (path,), errno.ENOTDIR),
                    (os.listdir, (path,), errno.ENOTDIR), (os.readlink, (path,), errno.EINVAL)]:
                with self.subTest(call=call.__name__, path=path):
                    self.assertEqual(self.refusal(call, *arguments), expected)
        for branch in self.branches[1:]:
            self.assertEqual(Path(branch, ".mergerfs").read_text(), "real\n")
        self.assertFalse(os.path.lexists(os.path.join(self.branches[0], ".mergerfs")))
        self.gone()

    def test_others_may_read_and_not_set(self):
        pool = self.start()
        user = modes.User()
        told = self.command(user.wrap(["getfattr", "--absolute-names", "-d", "-m", ".", self.file()]))
        self.assertIn("user.boughfs.category.create", told)
        said = self.command(user.wrap(["setfattr", "-n", "user.boughfs.category.create", "-v", "ff", self.file()]),
                            good=(1,))
        self.assertIn("Permission denied", said)
        said = self.command(user.wrap(["setfattr", "-n", "user.boughfs.cmd.gc", self.file()]), good=(1,))
        self.assertIn("Permission denied", said)
        said = self.command(user.wrap([self.boughfs, "ctl", self.top, "set", "category.create", "ff"]), good=(2,))
        self.assertIn("only root", said)
        self.assertEqual(self.key("category.create"), "pfrd")
        self.assertEqual(pool.unmount(), 0, pool.said())

    def test_who_mounted_may_set(self):
        self.open_fuse_to_all(True)
        pool = self.start(("tmpfs", "tmpfs"), modes.User())
        pool.run(["setfattr", "-n", "user.boughfs.category.create", "-v", "mfs", self.file()])
        self.assertIn('"mfs"', pool.run(["getfattr", "--absolute-names", "-n", "user.mergerfs.category.create",
                                         self.file()]))
        self.assertEqual(pool.run(["stat", "-c", "%u %g", self.file()]), f"{modes.USER} {modes.USER}\n")
        self.assertIn("lets in only the user who mounted it", self.ctl("list", good=2))
        self.assertEqual(pool.unmount(), 0, pool.said())

    def test_every_key_changes_while_others_work(self):
        pool = self.start()
        keys = self.settable()
        seconds = 60 if self.long_form else 8
        workers = []
        for number in range(8):
            folder = os.path.join(self.top, f"worker{number}")
            os.mkdir(folder)
            workers.append(subprocess.Popen(self.script("control_worker.py", folder, str(number), str(seconds)),
                                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        changes = 0
        choose = random.Random(1)
        while any(worker.poll() is None for worker in workers):
            for key, form in keys.items():
                value = choose.choice(self.values(form, self.key(key)))
                self.set(key, value)
                shown = self.key(key)
                self.assertTrue(form not in FORMS or FORMS[form][1](value, shown), (key, value, shown))
                changes += 1
            if changes % (5 * len(keys)) == 0:
                self.set("cmd.gc", b"")
            time.sleep(0.01)
        self.set("debug", "false")
        rounds = 0
        for worker in workers:
            said = worker.communicate()[0]
            self.assertEqual(worker.returncode, 0, said)
            rounds += int(said)
        self.assertGreater(rounds, 8 * 3)
        self.assertGreater(changes, 10 * len(keys))
        self.assertEqual(pool.counters()["handler_exceptions"], 0)
        self.gone()

    def test_random_values(self):
        self.start(("tmpfs", "tmpfs"))
        keys = self.settable()
        count = 1000 if self.long_form else 300
        choose = random.Random(4)
        accepted = refused = 0

        def random_value(valid):
            kind = choose.randrange(6)
            if kind == 0:
                return choose.choice(valid).encode()
            if kind == 1:
                return choose.randbytes(choose.choice([0, 1, 2, 5, 20, 300, 65536]))
            text = bytearray(choose.choice(valid).encode() or b"0")
            if kind == 2:
                text[choose.randrange(len(text))] = choose.randrange(256)
            elif kind == 3:
                text.insert(choose.randrange(len(text) + 1), choose.choice(b"0123456789.,-+eEkKmMgGtT \n\0=:|"))
            elif kind == 4:
                del text[choose.randrange(len(text))]
            else:
                text = str(choose.choice([-1, 0.5, 2**31, 2**32, 2**63, 2**64 - 1, 2**64, 10**30,
                                          choose.random() * 100])).encode()
            return bytes(text)

        for name in names_of(self.file()):
            key = name.removeprefix("user.boughfs.")
            first = self.key(key)
            if key in ("config", "log.file"):  # name files, which have errors of their own
                continue
            if key not in keys:
                for _ in range(count):
                    self.assertEqual(self.refusal(self.set, key, random_value([first])), errno.EROFS, key)
                self.assertEqual(self.key(key), first)
                continue
            form = keys[key]
            for _ in range(count):
                value = random_value(self.values(form, first))
                before = self.key(key)
                try:
                    self.set(key, value)
                    accepted += 1
                except OSError as error:
                    self.assertIn(error.errno, (errno.EINVAL, errno.EOVERFLOW), (key, value))
                    self.assertEqual(self.key(key), before, (key, value))
                    refused += 1
                    continue
                shown = self.key(key)
                if form in FORMS:
                    self.assertTrue(FORMS[form][1](value.decode(), shown), (key, value, shown))
                elif re.fullmatch(r"[a-z-]+(\|[a-z-]+)+", form):
                    self.assertEqual(value.decode(), shown, key)
                self.set(key, shown)
                self.assertEqual(self.key(key), shown, key)
            self.set(key, first)
        self.assertGreater(accepted, count // 10)
        self.assertGreater(refused, count // 10)
        Path(self.top, "file").write_text("still works")
        self.assertEqual(Path(self.top, "file").read_text(), "still works")
        self.gone()

    def test_invalidate_all_nodes(self):
        self.start(("tmpfs", "tmpfs"), options=("minfreespace=1M", "cache.entry=1000", "cache.attr=1000",
                                                       "cache.negative-entry=1000"))
        place = os.path.join(self.branches[0], "d", "e")
        os.makedirs(place)
        Path(place, "f").write_text("a")
        seen = Path(self.top, "d", "e", "f")
        self.assertEqual(seen.stat().st_size, 1)
        os.rename(os.path.join(place, "f"), os.path.join(place, "g"))
        Path(place, "f").write_text("replaced")
        self.assertEqual(seen.stat().st_size, 1, "names are not kept: this tests nothing")
        absent = Path(self.top, "later")
        self.assertFalse(absent.exists())
        Path(self.branches[0], "later").write_text("b")
        self.assertFalse(absent.exists(), "what is absent is not kept: this tests nothing")
        self.set("cmd.invalidate-all-nodes", b"")
        self.eventually(lambda: seen.stat().st_size == 8, 10, "the new file is seen")
        if kernel.RELEASE >= (6, 16):
            self.eventually(absent.exists, 10, "what was absent is seen")

        inside = os.path.join(self.top, "d")
        self.command(["mount", "-t", "tmpfs", "inside", inside])
        self.assertEqual(self.refusal(self.set, "cmd.invalidate-all-nodes", b""), errno.EBUSY)
        self.assertIn(inside + ",", self.made_pool.said())
        self.assertTrue(os.path.ismount(inside))
        said = self.command([self.boughfs, "ctl", self.top, "set", "cmd.invalidate-all-nodes"], good=(2,))
        self.assertIn("mounted inside", said)
        self.command(["umount", inside])
        self.set("cmd.invalidate-all-nodes", b"")
        self.gone()

    def test_shown_owner_and_permissions(self):
        self.start(("tmpfs", "tmpfs"), options=("minfreespace=1M", "umask=027", "cache.attr=0"))
        path = os.path.join(self.top, "file")
        Path(path).write_text("x")
        os.chmod(path, 0o4600)
        os.mkdir(self.file("d"))
        real = [each for each in (os.path.join(branch, "file") for branch in self.branches) if os.path.exists(each)]
        self.assertEqual(os.stat(real[0]).st_mode & 0o7777, 0o4600)
        self.assertEqual([os.stat(self.file(name)).st_mode for name in ("file", "d")], [0o100750, 0o40750])
        user = modes.User()
        self.command(user.wrap(["cat", path]), good=(1,))
        self.set("uid", str(modes.USER))
        self.set("gid", "1234")
        for name in ("file", "d", "."):
            shown = os.stat(self.file(name))
            self.assertEqual((shown.st_uid, shown.st_gid), (modes.USER, 1234), name)
        # The kernel checks by what is shown.
        self.assertEqual(self.command(user.wrap(["cat", path])), "x")
        self.assertEqual((os.stat(real[0]).st_uid, os.stat(real[0]).st_gid), (0, 0))
        for key in ("uid", "gid", "umask"):
            self.set(key, "-1")
            self.assertEqual(self.refusal(self.set, key, "-2"), errno.EINVAL)
        self.assertEqual(self.refusal(self.set, "umask", "1000"), errno.EINVAL)
        self.assertEqual(self.refusal(self.set, "umask", "8"), errno.EINVAL)
        shown = os.stat(path)
        self.assertEqual((shown.st_uid, shown.st_gid, shown.st_mode), (0, 0, 0o104600))
        self.gone()

    # --- virtual attributes
    def virtual(self, path, key):
        first = get(path, "user.boughfs." + key)
        self.assertEqual(get(path, "user.mergerfs." + key), first)
        return first.decode()

    def test_virtual_attributes_of_one_branch(self):
        self.start(("ext4",))
        [branch] = self.branches
        self.check_places([branch], "")
        os.mkdir(self.file("d"))
        Path(self.top, "d", "f").write_text("x")
        self.check_places([branch], "d")
        self.check_places([branch], "d/f")
        self.gone()

    def test_virtual_attributes_of_three_branches(self):
        self.start(("ext4", "tmpfs", "tmpfs"))
        long = "n" * 200
        for branch in self.branches[1:]:
            os.makedirs(os.path.join(branch, "d", long))
            Path(branch, "d", long, "f").write_text(branch)
        Path(self.branches[2], "alone").write_text("x")
        self.check_places(self.branches, "")
        self.check_places(self.branches[1:], "d")
        self.check_places(self.branches[1:], f"d/{long}/f")
        self.check_places(self.branches[2:], "alone")
        path = os.path.join(self.top, "d", long, "f")
        for key in ("version", "anything", ""):
            self.assertEqual(self.refusal(get, path, "user.boughfs." + key),
                             errno.ENODATA)
        os.setxattr(os.path.join(self.branches[1], "d", long, "f"), "user.mergerfs.left", b"1")
        os.setxattr(path, "user.kept", b"1")
        self.assertEqual(names_of(path), ["user.kept"])
        for name in ("user.boughfs.relpath", "user.mergerfs.left", "user.mergerfs.new"):
            self.assertEqual(self.refusal(os.setxattr, path, name, b"1"), errno.EPERM)
            self.assertEqual(self.refusal(os.removexattr, path, name), errno.EPERM)
        self.assertEqual(sorted(names_of(os.path.join(self.branches[1], "d", long, "f"))),
                         ["user.kept", "user.mergerfs.left"])
        with open(path, "rb") as file:
            os.unlink(path)
            self.assertEqual(self.refusal(os.getxattr, file.fileno(), "user.boughfs.fullpath"), errno.ENODATA)
        self.gone()

    def check_places(self, branches, relative):
        """As the tools put them together."""
        path = os.path.join(self.top, relative) if relative else self.top
        source_mounts = self.key("srcmounts", ".mergerfs").split(":")
        base = self.virtual(path, "basepath")
        self.assertIn(base, source_mounts)
        self.assertEqual(base, branches[0])
        self.assertEqual(self.virtual(path, "relpath"), relative)
        self.assertEqual(self.virtual(path, "fullpath"), f"{base}/{relative}")
        copies = self.virtual(path, "allpaths").split("\0")
        self.assertEqual(copies, [f"{branch}/{relative}" for branch in branches])
        self.assertIn(self.virtual(path, "fullpath"), copies)
        for copy in copies:
            self.assertTrue(os.path.lexists(copy))

    # --- boughfs ctl
    def ctl(self, *arguments, good=0, place=None):
        return self.command([self.boughfs, "ctl", place or self.top, *arguments], good=(good,))

    def test_ctl(self):
        self.start()
        os.mkdir(self.file("folder"))
        folder = self.file("folder")
        listed = self.ctl("list", place=folder).splitlines()
        self.assertEqual([line.split("=")[0] for line in listed],
                         [name.removeprefix("user.boughfs.") for name in names_of(self.file())])
        self.assertIn("category.create=pfrd", listed)
        values = json.loads(self.ctl("list", "--json"))
        self.assertEqual(values["schema"], "boughfs.ctl/1")
        self.assertEqual(values["mount_point"], self.top)
        self.assertEqual([f"{key}={value}" for key, value in values["values"].items()], listed)

        self.assertEqual(self.ctl("set", "category.create", "ff", place=folder), "")
        self.assertEqual(self.ctl("get", "category.create"), "ff\n")
        told = json.loads(self.ctl("set", "cache.attr", "1.50", "--json"))
        self.assertEqual((told["key"], told["value"]), ("cache.attr", "1.5"))
        self.assertEqual(json.loads(self.ctl("get", "--json", "attr_timeout"))["value"], "1.5")
        self.assertEqual(self.ctl("set", "cmd.gc"), "")

        for arguments, status, parts in [
                (["get", "categry.create"], 1, ["categry.create", "did you mean 'category.create'?"]),
                (["set", "cache.atr", "1"], 1, ["no key 'cache.atr'", "'cache.attr'"]),
                (["set", "zzzzzz", "1"], 1, ["no key 'zzzzzz'", "list shows all"]),
                (["get", "cmd.gc"], 1, ["command"]),
                (["set", "cache.attr", "-1"], 1, ["cache.attr=-1", "cache.attr wants a number of seconds"]),
                (["set", "category.create", "best"], 1, ["category.create", "wants one of:", "pfrd"]),
                (["set", "threads", "8"], 1, ["threads is fixed once mounted", "-o threads=8"]),
                (["set", "pid", "8"], 1, ["pid", "cannot be set"]),
                (["set", "branches", "+/nowhere"], 1,
                 ["branches=+/nowhere: branches was not changed: branch /nowhere does not exist"]),
                (["set", "branches", "+" + "/nowhere" * 100], 1, ["...: branches was not changed: "]),
                (["set", "attr_timeout", "-1"], 1, ["attr-timeout=-1: attr-timeout wants"]),
                (["set", "cache.attr"], 1, ["cache.attr wants a VALUE", "SECONDS"]),
                (["get"], 1, ["get wants a KEY"]), (["sing"], 1, ["'sing'"]), ([], 1, ["list, get, set or info"]),
                (["list", "x"], 1, ["'x'"]), (["--jsn", "list"], 1, ["--jsn"])]:
            with self.subTest(arguments=arguments):
                said = self.ctl(*arguments, good=status)
                self.assertEqual(said.count("\n"), 1, said)
                for part in parts:
                    self.assertIn(part, said)
        self.assertIn("no boughfs pool", self.ctl("list", good=3, place=self.branches[0]))
        self.assertIn("usage:", self.command([self.boughfs, "ctl", "--help"]))

        info = json.loads(self.ctl("info", "--json"))
        self.assertEqual([branch["path"] for branch in info["branches"]], self.branches)
        for branch in info["branches"]:
            room = os.statvfs(branch["path"])
            self.assertEqual(branch["mode"], "RW")
            self.assertEqual(branch["total_bytes"], room.f_blocks * room.f_frsize)
            self.assertAlmostEqual(branch["free_bytes"], room.f_bavail * room.f_frsize, delta=1 << 20)
        self.assertEqual(info["pid"], self.made_pool.pid)
        self.assertEqual(info["policies"]["category.create"], "ff")
        self.assertEqual(info["caching"]["cache.attr"], "1.5")
        text = self.ctl("info")
        self.assertIn(f"branch: {self.branches[0]} RW, ", text)
        self.assertIn("category.create: ff\n", text)

        bound = self.directory("bound")
        self.command(["mount", "--bind", folder, bound])
        self.made.append(bound)
        self.assertEqual(self.ctl("get", "category.create", place=bound), "ff\n")
        self.command(["umount", bound])
        self.made.remove(bound)
        self.gone()

    def test_why_refused(self):
        self.start(("tmpfs",))
        self.assertEqual(self.key("last-refusal"), "")
        self.assertEqual(self.refusal(self.set, "cache.attr", "so\non"), errno.EINVAL)
        self.assertRegex(self.key("last-refusal"), r"^1 cache\.attr=so\?on: cache\.attr wants a number of seconds")
        self.assertEqual(self.refusal(self.set, "branches", "-*"), errno.EINVAL)
        self.assertEqual(self.key("last-refusal", ".mergerfs"),
                         "2 branches=-*: branches would leave the pool without a branch")
        self.assertEqual(self.refusal(self.set, "last-refusal", "x"), errno.EROFS)
        # What was set may be any bytes; what is told of it is text.
        self.assertEqual(self.refusal(self.set, "branches", b"+/n\xd4\xc3\xbc"), errno.EINVAL)
        self.assertTrue(self.key("last-refusal").startswith("3 branches=+/n?\u00fc: branches was not changed: branch /n?"))
        # Of two clients each is told its own reason, or where it is to be found.
        work = [subprocess.Popen(["sh", "-c", f'for i in $(seq 30); do "$0" ctl "$1" set cache.attr {value} 2>&1; done',
                                  self.boughfs, self.top], stdout=subprocess.PIPE, text=True) for value in "xy"]
        for value, each in zip("xy", work):
            lines = each.communicate(timeout=60)[0].splitlines()
            self.assertEqual(len(lines), 30)
            for line in lines:
                self.assertRegex(line, f"^boughfs: cache.attr={value}: cache.attr (wants a number|was refused, and some)")
        self.gone()

    def test_ctl_on_a_read_only_pool(self):
        self.start(("tmpfs",), options=("ro", "minfreespace=1M"))
        self.assertEqual(self.ctl("get", "category.create"), "pfrd\n")
        self.assertIn("mounted read-only", self.ctl("set", "category.create", "ff", good=2))
        self.gone()

    def test_ctl_on_a_dead_pool(self):
        pool = self.start(("tmpfs",))
        pool.process.kill()
        pool.process.wait()
        for arguments in (["list"], ["get", "pid"], ["set", "cache.attr", "1"]):
            self.assertIn("does not answer", self.ctl(*arguments, good=2))
        self.command(["umount", self.top])
