#!/usr/bin/env python3
"""The boughfs command from outside: its errors, its forms, its exit status. Usage: command_test.py BOUGHFS

Runs as root in a mount namespace of its own, so that nothing that goes wrong here stays mounted. Exit
status 77: it cannot run here (a failure where CI=true).
"""

import concurrent.futures
import contextlib
import errno
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BOUGHFS = ""
DEADLINE = 60
INSIDE = "--inside"


def wait_until(condition, what):
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain until {what}")
        time.sleep(0.01)


def mounts():
    """{mount point: (options, type, source, super options)}, unescaped."""
    found = {}
    for line in pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        words = [word.encode().decode("unicode_escape") for word in line.split(" ")]
        after = words.index("-", 6)
        found[words[4]] = (words[5], words[after + 1], words[after + 2], words[after + 3])
    return found


def servers():
    """The processes that run this binary and have not ended."""
    found = set()
    for process in pathlib.Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if os.path.samefile(process / "exe", BOUGHFS):
                found.add(int(process.name))
        except OSError:
            continue
    return found


class Case(unittest.TestCase):
    def setUp(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="boughfs-command-"))
        self.top.chmod(0o755)
        self.a, self.b, self.pool = (self.top / name for name in ("a", "b", "pool"))
        for each in (self.a, self.b, self.pool):
            each.mkdir()
        self.before = servers()

    def tearDown(self):
        for point in sorted(mounts(), reverse=True):
            if point.startswith(str(self.top)):
                subprocess.run(["umount", "-l", point], check=False)
        wait_until(lambda: servers() <= self.before, "the servers have ended")
        shutil.rmtree(self.top)

    def run_boughfs(self, *arguments, program=None, **more):
        return subprocess.run([program or BOUGHFS, *map(str, arguments)], text=True, timeout=DEADLINE,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              check=False, **more)

    def mounted(self):
        return mounts().get(str(self.pool))

    def check_refused(self, status, parts, *arguments, **more):
        """One line on stderr that holds every part, the exit status, nothing mounted, nobody left."""
        done = self.run_boughfs(*arguments, **more)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertTrue(done.stderr.startswith("boughfs: "), done.stderr)
        for part in parts:
            self.assertIn(str(part), done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertIsNone(self.mounted())
        self.assertLessEqual(servers(), self.before)

    def check_mounts(self, *arguments, program=None, **more):
        done = self.run_boughfs(*arguments, program=program, **more)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIsNotNone(self.mounted())

    def unmount(self):
        subprocess.run(["umount", self.pool], check=True)
        wait_until(lambda: servers() <= self.before, "the server has ended")


class Refused(Case):
    def test_no_arguments(self):
        self.check_refused(1, ["BRANCHES MOUNTPOINT", "--help"])
        self.check_refused(1, ["BRANCHES MOUNTPOINT"], self.pool)

    def test_a_misspelt_subcommand(self):
        mergerfs = self.top / "mergerfs"
        mergerfs.symlink_to(BOUGHFS)
        for word, meant, program in (("stat", "status", None), ("staus", "status", None), ("clt", "ctl", None),
                                     ("status", "status", mergerfs)):
            done = self.run_boughfs(word, self.pool, program=program)
            self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1))
            self.assertTrue(done.stderr.endswith(f"; did you mean the subcommand, boughfs {meant}?\n"), done.stderr)
        for words in (("nothing", self.pool), ("./stat", self.pool), ("stat",)):
            self.assertNotIn("subcommand", self.run_boughfs(*words).stderr)

    def test_unknown_flag(self):
        self.check_refused(1, ["-x", "--help"], "-x", self.a, self.pool)

    def test_unknown_option(self):
        self.check_refused(1, ["minfrespace", "minfreespace"], "-o", "minfrespace=1G", self.a, self.pool)

    def test_bad_value(self):
        self.check_refused(1, ["minfreespace", "lots", "4G"], "-o", "minfreespace=lots", self.a, self.pool)
        self.check_refused(1, ["category.create", "fastest", "pfrd"],
                           "-o", "category.create=fastest", self.a, self.pool)
        self.check_refused(1, ["threads", "wants a value"], "-o", "threads", self.a, self.pool)

    def test_texts_longer_than_the_kernel_takes(self):
        self.check_refused(1, ["fsname", "4095", "5000"], "-o", f"fsname={'n' * 5000}", self.a, self.pool)
        self.check_refused(1, ["subtype", "leave it out"], "-o", f"subtype={'s' * 5000}", self.a, self.pool)
        self.check_refused(32, ["context", "3900"], "-o", f"context={'c' * 5000}", self.a, self.pool)

    def test_branches(self):
        self.check_refused(1, [self.top / "gone", "does not exist"], f"{self.a}:{self.top}/gone", self.pool)
        self.check_refused(1, [f"{self.a}=RX", "RW"], f"{self.a}=RX", self.pool)
        (self.top / "file").touch()
        self.check_refused(1, [self.top / "file", "not a directory"], self.top / "file", self.pool)

    def test_mount_point(self):
        self.check_refused(1, [self.top / "gone", "mkdir"], self.a, self.top / "gone")
        (self.top / "file").touch()
        self.check_refused(1, [self.top / "file", "directory"], self.a, self.top / "file")

    def test_pool_and_branch_in_each_other(self):
        inside = self.pool / "inside"
        inside.mkdir()
        self.check_refused(1, [self.pool, "mount point"], f"{self.a}:{self.pool}", self.pool)
        self.check_refused(1, [inside, "inside the mount point"], f"{self.a}:{inside}", self.pool)
        self.check_refused(1, [self.pool, "inside the branch", self.top], self.top, self.pool)

    def test_debug_without_foreground(self):
        self.check_refused(1, ["debug", "-f", "log.file="], "-o", "debug", self.a, self.pool)

    def test_trace_file_that_cannot_be_written(self):
        self.check_refused(1, [self.top / "no" / "file"], "-o", f"trace={self.top}/no/file", self.a, self.pool)

    def test_trace_file_in_the_pool(self):
        for trace, holder in ((self.a / "trace", self.a), (self.pool / "trace", self.pool)):
            self.check_refused(1, [trace, holder, "outside of the pool"], "-o", f"trace={trace}", self.a, self.pool)
            self.assertFalse(trace.exists())

    def test_what_the_kernel_refuses(self):
        self.check_refused(32, [self.pool], "-o", "context=\\,nonsense", self.a, self.pool)


class AsUser(Case):
    """What an ordinary user meets. /etc/fuse.conf and fusermount3 are replaced in this namespace."""

    def setUp(self):
        super().setUp()
        self.user = pwd.getpwnam("nobody")
        for each in (self.a, self.b, self.pool):
            os.chown(each, self.user.pw_uid, self.user.pw_gid)
        self.covered = []
        os.mknod(self.top / "fuse", 0o020666, os.makedev(10, 229))
        os.chmod(self.top / "fuse", 0o666)
        self.cover(self.top / "fuse", "/dev/fuse")

    def tearDown(self):
        for path in reversed(self.covered):
            subprocess.run(["umount", path], check=True)
        super().tearDown()

    def cover(self, by, path):
        subprocess.run(["mount", "--bind", by, path], check=True)
        self.covered.append(path)

    def as_user(self):
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": [], "cwd": "/"}

    def test_mounts_by_helper_and_unmounts(self):
        self.check_mounts(self.a, self.pool, **self.as_user())
        self.assertEqual(self.mounted()[1:3], ("fuse.boughfs", str(self.a)))
        self.assertIn(f"user_id={self.user.pw_uid}", self.mounted()[3])
        done = subprocess.run(["fusermount3", "-u", self.pool], check=False, **self.as_user())
        self.assertEqual(done.returncode, 0)
        wait_until(lambda: servers() <= self.before, "the server has ended")

    def test_no_user_allow_other(self):
        (self.top / "fuse.conf").write_text("mount_max = 1000\n", encoding="utf-8")
        self.cover(self.top / "fuse.conf", "/etc/fuse.conf")
        self.check_refused(32, ["user_allow_other", "/etc/fuse.conf"],
                           "-o", "allow_other", self.a, self.pool, **self.as_user())

    def test_no_helper(self):
        (self.top / "not-executable").touch(mode=0o644)
        self.cover(self.top / "not-executable", os.path.realpath("/usr/bin/fusermount3"))
        self.check_refused(32, ["fusermount3", "package fuse3"], self.a, self.pool, **self.as_user())

    def test_no_right_to_the_mount_point(self):
        os.chown(self.pool, 0, 0)
        self.check_refused(32, [self.pool], self.a, self.pool, **self.as_user())

    def test_no_right_to_the_device(self):
        os.chmod(self.top / "fuse", 0o600)
        self.check_refused(32, ["/dev/fuse"], self.a, self.pool, **self.as_user())


class Mounted(Case):
    def test_forms_of_the_command(self):
        (self.a / "one").write_text("1", encoding="utf-8")
        (self.b / "two").write_text("2", encoding="utf-8")
        branches = f"{self.a}:{self.b}"
        for arguments in (
            [branches, self.pool],
            [self.a, self.b, self.pool],
            ["-o", f"mountpoint={self.pool}", self.a, self.b],
            ["-o", f"branches={branches}", self.pool],
            [branches, self.pool, "-o", "rw,defaults,nofail,_netdev,x-systemd.automount"],
            ["-o", "threads=4", "--", branches, self.pool],
        ):
            with self.subTest(arguments=arguments):
                self.check_mounts(*arguments)
                self.assertEqual(sorted(os.listdir(self.pool)), ["one", "two"])
                self.assertEqual(self.mounted()[1:3], ("fuse.boughfs", branches))
                self.unmount()

    def test_relative_names(self):
        self.check_mounts("a:b", "pool", cwd=self.top)
        (self.pool / "file").write_text("text", encoding="utf-8")
        self.assertTrue((self.a / "file").exists() or (self.b / "file").exists())

    def test_mount_options(self):
        self.check_mounts("-o", "ro,noexec,noatime,fsname=films\\, all", self.a, self.pool)
        options, _, source, kernel = self.mounted()
        for option in ("ro", "noexec", "noatime", "nosuid", "nodev"):
            self.assertIn(option, options.split(","))
        self.assertEqual(source, "films, all")
        for option in ("default_permissions", "allow_other"):
            self.assertIn(option, kernel.split(","))
        with self.assertRaises(OSError):
            (self.pool / "file").touch()

    def test_a_branch_inside_another_is_warned_of(self):
        inner, beside = self.a / "inner", self.top / "ab"
        inner.mkdir()
        beside.mkdir()
        (inner / "file").touch()
        for branches in (f"{self.a}:{beside}:{inner}", f"{inner}:{self.a}"):
            with self.subTest(branches=branches):
                done = self.run_boughfs(branches, self.pool)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(done.stderr, f"boughfs: warning: branch {inner} lies inside branch {self.a}: "
                                              "each of its files has two paths in the pool\n")
                self.assertEqual(sorted(os.listdir(self.pool)), ["file", "inner"])
                self.unmount()

    def test_the_longest_name_of_a_pool(self):
        self.check_mounts("-o", f"fsname={'n' * 4095}", self.a, self.pool)
        self.assertEqual(self.mounted()[2], "n" * 4095)

    def test_mount_helper(self):
        helper = self.top / "mount.boughfs"
        helper.symlink_to(BOUGHFS)
        self.check_mounts(f"{self.a}:{self.b}", self.pool, "-sv", "-o",
                          "rw,noatime,user=somebody,x-systemd.requires=/mnt,not-our-option", program=helper)
        options = self.mounted()[0].split(",")
        self.assertIn("noatime", options)
        self.assertNotIn("nosuid", options)
        self.assertNotIn("nodev", options)
        self.unmount()
        # mount -f: everything but the mount.
        done = self.run_boughfs(self.a, self.pool, "-f", program=helper)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIsNone(self.mounted())
        self.check_warned("minfrespace=1", "did you mean 'minfreespace'? passed over", program=helper)
        self.check_refused(1, ["category.create=wrong"], self.a, self.pool, "-o", "category.create=wrong",
                           program=helper)

    def check_warned(self, option, warning, program):
        """The pool is mounted, after one line that names the option."""
        done = self.run_boughfs(self.a, self.pool, "-o", option, program=program)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertTrue(done.stderr.startswith(f"boughfs: warning: -o {option}: "), done.stderr)
        self.assertIn(warning, done.stderr)
        self.assertIsNotNone(self.mounted())
        self.unmount()

    def key(self, name):
        return os.getxattr(self.pool / ".mergerfs", f"user.mergerfs.{name}").decode()

    def test_as_mergerfs(self):
        program = self.top / "mergerfs"
        program.symlink_to(BOUGHFS)
        self.check_warned("cache_files=full", "did you mean 'cache.files'? passed over", program=program)
        # A subcommand's name is a branch's.
        (self.top / "status").mkdir()
        self.check_mounts("status", "pool", program=program, cwd=self.top)
        self.assertEqual(self.mounted()[1], "fuse.mergerfs")
        self.assertEqual(self.key("cache.files"), "off")
        # What tools do with a pool that they found: every key that is listed can be read.
        control = self.pool / ".mergerfs"
        names = os.listxattr(control)
        for name in names:
            self.assertTrue(name.startswith("user.mergerfs."), name)
            os.getxattr(control, name).decode()
        self.assertLess({"user.mergerfs." + key for key in (
            "async-read", "branches", "cache.attr", "cache.entry", "cache.files", "category.create", "config",
            "export-support", "fsname", "kernel-permissions-check", "lazy-umount-mountpoint", "minfreespace",
            "mountpoint", "pid", "pin-threads", "process-thread-count", "process-thread-queue-depth",
            "read-thread-count", "scheduling-priority", "version")}, set(names))
        done = self.run_boughfs("status", self.pool)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.run_boughfs("ctl", self.pool, "get", "subtype").stdout, "mergerfs\n")
        # A second pool does not hide the first, and a dead one is cleared, whatever its type.
        done = self.run_boughfs(self.b, self.pool)
        self.assertEqual((done.returncode, done.stderr.count("has a pool already")), (32, 1))
        for server in servers() - self.before:
            os.kill(server, signal.SIGKILL)
        wait_until(lambda: servers() <= self.before, "the server has ended")
        self.check_mounts("-o", "subtype=boughfs", self.a, self.pool, program=program)
        self.assertEqual(self.mounted()[1], "fuse.boughfs")
        self.unmount()
        self.check_mounts("-o", "subtype=mergerfs", self.a, self.pool)
        self.assertEqual(self.mounted()[1], "fuse.mergerfs")
        self.assertEqual(self.key("cache.files"), "auto")

    @contextlib.contextmanager
    def installed(self, directory, *names):
        """Links of these names in /sbin or /usr/bin, as an overlay."""
        links = self.top / f"links{directory.replace('/', '-')}"
        links.mkdir()
        for name in names:
            (links / name).symlink_to(BOUGHFS)
        below = os.path.realpath(directory)
        overlay = ["mount", "-t", "overlay", "-o", f"lowerdir={links}:{below}", "overlay", below]
        if subprocess.run(overlay, check=False).returncode != 0:
            raise AssertionError(f"an overlay of {directory} is needed to put a link there")
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", below], check=True)  # umount itself lies there

    def test_lines_of_fstab_for_mergerfs(self):
        """mount(8) asks mount.mergerfs, or by way of mount.fuse the program mergerfs."""
        fstab = self.top / "fstab"
        options = "defaults,nofail,allow_other,use_ino,category.create=mfs,minfreespace=1GB,typo=1"
        other = self.top / "other fstab"
        for kind in ("mergerfs", "fuse.mergerfs"):
            with self.subTest(kind=kind), self.installed("/sbin", "mount.mergerfs"), \
                    self.installed("/usr/bin", "mergerfs"):
                fstab.write_text(f"{self.a}:{self.b} {self.pool} {kind} {options} 0 0\n", encoding="utf-8")
                done = subprocess.run(["mount", "-T", fstab, self.pool], check=False, text=True,
                                      stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(done.stderr.count("warning: "), 2, done.stderr)
                self.assertIn("minfreespace=1G\n", done.stderr)
                self.assertIn("'typo'", done.stderr)
                flags, shown, source, _ = self.mounted()
                self.assertEqual((shown, source), ("fuse.mergerfs", f"{self.a}:{self.b}"))
                self.assertNotIn("nosuid", flags.split(","))
                self.assertNotIn("nodev", flags.split(","))
                self.assertEqual(self.key("category.create"), "mfs")
                self.assertEqual(self.key("minfreespace"), "1G")
                # What mount -a does: the line is mounted already.
                done = subprocess.run(["mount", "-a", "-T", fstab], check=False, text=True,
                                      stderr=subprocess.PIPE)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                # By another source mount(8) does not know it; boughfs does.
                for branches, status, part in ((f"{self.a}:{self.b}", 0, ""), (f"{self.top}/[ab]", 0, ""),
                                               (f"{self.b}", 32, "has a pool already"),
                                               (f"{self.b}:{self.a}", 32, "has a pool already")):
                    other.write_text(f"{branches} {self.pool} {kind} {options},fsname=mergerfs 0 0\n", encoding="utf-8")
                    done = subprocess.run(["mount", "-a", "-T", other], check=False, text=True, stderr=subprocess.PIPE)
                    self.assertEqual(done.returncode, status, done.stderr)
                    self.assertIn(part, done.stderr)
                    self.assertEqual(bool(done.stderr), bool(part), done.stderr)
                self.assertEqual(self.mounted()[2], f"{self.a}:{self.b}")
                self.assertEqual(len(servers() - self.before), 1)
                self.unmount()
            shutil.rmtree(self.top / "links-sbin")
            shutil.rmtree(self.top / "links-usr-bin")

    def test_line_of_fstab(self):
        with self.installed("/sbin", "mount.boughfs", "mount.fuse.boughfs"):
            fstab = self.top / "fstab"
            fstab.write_text(f"{self.a}:{self.b} {self.pool} boughfs defaults,nofail,noatime,_netdev,"
                             "minfreespace=1M,x-systemd.mount-timeout=10s 0 0\n", encoding="utf-8")
            subprocess.run(["mount", "-T", fstab, self.pool], check=True, stdin=subprocess.DEVNULL)
            options, kind, source, _ = self.mounted()
            self.assertEqual((kind, source), ("fuse.boughfs", f"{self.a}:{self.b}"))
            self.assertIn("noatime", options.split(","))
            self.assertNotIn("nosuid", options.split(","))
            self.unmount()
            fstab.write_text(f"{self.a} {self.pool} fuse.boughfs wrong=1 0 0\n", encoding="utf-8")
            done = subprocess.run(["mount", "-T", fstab, self.pool], check=False, text=True,
                                  stderr=subprocess.PIPE)
            self.assertEqual(done.returncode, 0)
            self.assertIn("there is no option 'wrong'", done.stderr)
            self.assertEqual(self.mounted()[1], "fuse.boughfs")
            self.unmount()
            fstab.write_text(f"{self.a} {self.pool} boughfs category.create=wrong 0 0\n", encoding="utf-8")
            done = subprocess.run(["mount", "-T", fstab, self.pool], check=False, text=True,
                                  stderr=subprocess.PIPE)
            self.assertEqual(done.returncode, 1)
            self.assertIn("wrong", done.stderr)
            self.assertIsNone(self.mounted())

    def test_starter_sees_the_end_of_its_pipes(self):
        # subprocess.run waits for the end of both pipes, which a daemon must not hold.
        self.check_mounts(self.a, self.pool)
        self.assertEqual(len(servers() - self.before), 1)
        server = next(iter(servers() - self.before))
        self.assertEqual(os.readlink(f"/proc/{server}/cwd"), "/")
        self.assertEqual(os.getsid(server), server)
        for standard in range(3):
            self.assertEqual(os.readlink(f"/proc/{server}/fd/{standard}"), "/dev/null")

    def test_lazy_umount_of_what_is_mounted(self):
        (self.b / "new").touch()
        options = ["-o", "lazy-umount-mountpoint=true"]
        self.check_mounts(*options, self.a, self.pool)
        with open(self.pool / "old", "w", encoding="utf-8") as file:
            file.write("one ")
            self.check_mounts(*options, self.b, self.pool)
            self.assertEqual(os.listdir(self.pool), ["new"])
            file.write("two")
        self.assertEqual((self.a / "old").read_text(encoding="utf-8"), "one two")
        wait_until(lambda: len(servers() - self.before) == 1, "the old server has ended")
        self.unmount()
        self.assertIsNone(self.mounted())

    def test_scheduling_priority(self):
        self.check_mounts("-o", "scheduling-priority=7", self.a, self.pool)
        server = self.key("pid")
        self.assertEqual([os.getpriority(os.PRIO_PROCESS, int(task)) for task in os.listdir(f"/proc/{server}/task")],
                         [7] * len(os.listdir(f"/proc/{server}/task")))
        self.unmount()
        self.check_refused(1, ["-20 to 19"], "-o", "scheduling-priority=20", self.a, self.pool)

    def test_dead_pool_is_cleared(self):
        self.check_mounts(self.a, self.pool)
        for server in servers() - self.before:
            os.kill(server, signal.SIGKILL)
        wait_until(lambda: servers() <= self.before, "the server has ended")
        with self.assertRaises(OSError):
            os.listdir(self.pool)
        (self.a / "file").touch()
        self.check_mounts(self.a, self.pool)
        self.assertEqual(os.listdir(self.pool), ["file"])

    @contextlib.contextmanager
    def log(self):
        """A list that fills with (priority, line): a socket in the place of syslog's."""
        made = not os.path.lexists("/dev/log")
        if made:
            pathlib.Path("/dev/log").touch()
        path, lines = self.top / "log", []
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(str(path))
            path.chmod(0o666)
            subprocess.run(["mount", "--bind", path, os.path.realpath("/dev/log")], check=True)

            def receive():
                while got := receiver.recv(10000).decode():
                    priority, line = re.fullmatch(r"<(\d+)>.*? boughfs\[\d+\]: (.*?)\0?", got, re.S).groups()
                    lines.append((int(priority), line))
            thread = threading.Thread(target=receive)
            thread.start()
            try:
                yield lines
            finally:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                    sender.sendto(b"", str(path))
                thread.join()
                subprocess.run(["umount", os.path.realpath("/dev/log")], check=True)
                if made:
                    os.unlink("/dev/log")

    def test_log(self):
        daemon, error, warning, notice = 3 << 3, 3, 4, 5
        with self.log() as lines:
            mark = self.b / ".boughfs.branch_mounts_here"
            mark.touch()
            self.run_boughfs(f"{self.a}:{self.b}", self.pool)
            self.run_boughfs("ctl", self.pool, "set", "cache.attr", "soon")
            mark.unlink()
            wait_until(lambda: any("is back" in line for _, line in lines), "the branch is back")
            self.unmount()
            wait_until(lambda: any("unmounted" in line for _, line in lines), "the end is told")
            self.check_refused(1, ["/gone"], "/gone", self.pool)
            wait_until(lambda: any("/gone" in line for _, line in lines), "the refusal is told")
            for priority, part in ((notice, f"mounted at {self.pool}"), (warning, "cache.attr=soon: cache.attr wants"),
                                   (warning, f"branch {self.b} is absent: "), (notice, f"branch {self.b} is back"),
                                   (notice, f"unmounted from {self.pool}"), (error, "branch /gone does not exist")):
                found = [of for of, line in lines if part in line]
                self.assertEqual(found[:1], [daemon | priority], (part, lines))
            # Who has a terminal reads it there.
            del lines[:]
            own, terminal = os.openpty()
            subprocess.run([BOUGHFS, "/gone", self.pool], stderr=terminal, check=False)
            os.close(terminal)
            self.assertIn(b"/gone does not exist", os.read(own, 1000))
            os.close(own)
        self.assertEqual(lines, [])

    def foreground(self, *arguments):
        server = subprocess.Popen([BOUGHFS, "-f", *map(str, arguments), str(self.a), str(self.pool)],
                                  text=True, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.addCleanup(server.stderr.close)
        self.addCleanup(server.kill)
        wait_until(self.mounted, "the pool is mounted")
        return server

    def test_foreground_ends(self):
        for end in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, "umount"):
            with self.subTest(end=end):
                server = self.foreground()
                os.statvfs(self.pool)
                if end == "umount":
                    subprocess.run(["umount", self.pool], check=True)
                else:
                    server.send_signal(end)
                self.assertEqual(server.wait(DEADLINE), 0)
                self.assertIsNone(self.mounted())

    def test_config_file_is_read_again(self):
        config = self.top / "pool.ini"
        config.write_text(f"branches={self.a}:{self.b}\nmountpoint={self.pool}\n# more\ncache.attr=3\n",
                          encoding="utf-8")
        server = subprocess.Popen([BOUGHFS, "-f", "-o", "config=pool.ini"], cwd=self.top, text=True,
                                  stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.addCleanup(server.stderr.close)
        self.addCleanup(server.kill)
        wait_until(self.mounted, "the pool is mounted")
        self.assertEqual((self.key("config"), self.key("cache.attr")), (str(config), "3"))
        config.write_text("cache.attr=4\nminfrespace=1\nthreads=7\n", encoding="utf-8")
        server.send_signal(signal.SIGHUP)
        said = [server.stderr.readline() for _ in range(3)]
        self.assertEqual(said[0], f"boughfs: {config}:1: cache.attr is 4 now, and was 3\n")
        self.assertIn(f"{config}:2: minfrespace=1: there is no option 'minfrespace', did you mean", said[1])
        self.assertIn(f"{config}:3: threads=7: threads is fixed once mounted", said[2])
        self.assertEqual(self.key("cache.attr"), "4")
        for value, status, part in ((config, 1, "minfrespace"), ("/gone", 1, "No such file"),
                                    ("pool.ini", 1, "config wants an absolute path")):
            done = self.run_boughfs("ctl", self.pool, "set", "config", value)
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertIn(part, done.stderr)
        with self.assertRaises(FileNotFoundError):
            os.setxattr(self.pool / ".mergerfs", "user.mergerfs.config", b"/gone")
        for value in ("99999999999999999999", "-1"):
            self.check_refused_inside(1, "cache.attr wants a number of seconds", "ctl", self.pool, "set",
                                      "cache.attr", value)
        config.write_text("cache.attr=5\n", encoding="utf-8")
        self.assertEqual(self.run_boughfs("ctl", self.pool, "set", "config", config).stderr, "")
        self.assertEqual(self.key("cache.attr"), "5")
        server.send_signal(signal.SIGQUIT)
        self.assertEqual(server.wait(DEADLINE), 0)
        self.assertIsNone(self.mounted())

    def test_bad_line_of_a_config_file(self):
        config = self.top / "pool.ini"
        config.write_text("cache.attr=4\nminfrespace=1\n", encoding="utf-8")
        self.check_refused(1, [f"{config}:2: ", "minfreespace"], "-o", f"config={config}", self.a, self.pool)
        helper = self.top / "mount.boughfs"
        helper.symlink_to(BOUGHFS)
        done = self.run_boughfs(self.a, self.pool, "-o", f"config={config}", program=helper)
        self.assertEqual((done.returncode, done.stderr.count("\n")), (0, 1), done.stderr)
        self.assertTrue(done.stderr.startswith(f"boughfs: warning: {config}:2: minfrespace=1: "), done.stderr)
        self.assertEqual(self.key("cache.attr"), "4")
        self.unmount()
        self.check_refused(1, ["/gone", "No such file"], self.a, self.pool, "-o", "config=/gone", program=helper)

    def test_foreground_reports_and_outlives_other_signals(self):
        server = self.foreground()
        os.statvfs(self.pool)
        server.send_signal(signal.SIGHUP)
        server.send_signal(signal.SIGUSR2)
        server.send_signal(signal.SIGUSR1)
        line = server.stderr.readline()
        self.assertRegex(line, r"^[a-z][a-z0-9_.:-]* \d+\n$")
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(DEADLINE), 0)

    def test_log_file_of_debug(self):
        log = self.top / "log"
        self.check_mounts("-o", f"log.file={log}", self.a, self.pool)
        self.unmount()
        self.assertFalse(log.exists())
        self.check_mounts("-o", f"log.file={log},debug=true", self.a, self.pool)
        os.statvfs(self.pool)
        self.unmount()
        self.assertIn(" STATFS ", log.read_text(encoding="utf-8"))
        self.check_refused(1, ["log", "outside of the pool"], "-o", f"debug,log.file={self.a}/log", self.a, self.pool)
        self.assertFalse((self.a / "log").exists())

    def set_key(self, key, value):
        """0, or the errno."""
        try:
            os.setxattr(self.pool / ".boughfs", "user.boughfs." + key, str(value).encode())
        except OSError as error:
            return error.errno
        return 0

    def test_debug_and_log_file_at_run_time(self):
        first, second = self.top / "first", self.top / "second"
        self.check_mounts(self.a, self.pool)
        # a daemon has no standard error
        self.assertEqual(self.set_key("debug", "true"), errno.EINVAL)
        (self.top / "inward").symlink_to(self.pool)
        (self.top / "nowhere").symlink_to(self.pool / "log")
        os.mkfifo(self.top / "pipe")
        (self.a / "there").touch()
        for path, expected in ((self.pool / "log", errno.EDEADLK), (self.top / "inward" / "log", errno.EDEADLK),
                               (self.top / "inward" / "there", errno.EDEADLK), (self.top / "nowhere", errno.EDEADLK),
                               (self.a / "log", errno.EINVAL), (self.a / "there", errno.EINVAL),
                               (self.top / "gone" / "log", errno.ENOENT), (self.top, errno.EISDIR),
                               ("relative", errno.EINVAL), (self.top / "pipe", errno.EINVAL)):
            with self.subTest(path=path):
                self.assertEqual(self.set_key("log.file", path), expected)
                self.assertEqual(self.key("log.file"), "")
        self.assertEqual(sorted(os.listdir(self.a)), ["there"])
        self.assertEqual(self.set_key("log.file", first), 0)
        self.assertEqual((self.key("debug"), first.read_text(encoding="utf-8")), ("false", ""))
        self.assertEqual(self.set_key("debug", "true"), 0)
        os.statvfs(self.pool)
        wait_until(lambda: " STATFS " in first.read_text(encoding="utf-8"), "the first file tells of it")
        self.assertIn(" INIT\n", first.read_text(encoding="utf-8").split("STATFS")[0])
        said = self.run_boughfs("ctl", self.pool, "set", "log.file", f"{self.top}/gone/log")
        self.assertEqual(said.returncode, 1)
        self.assertIn("No such file", said.stderr)
        # the lines would tell of themselves
        self.assertEqual(self.set_key("branches", f"+{self.top}"), errno.EINVAL)
        self.assertEqual(self.set_key("log.file", second), 0)
        os.mkdir(self.pool / "made")
        wait_until(lambda: " MKDIR " in second.read_text(encoding="utf-8"), "the second file tells of it")
        self.assertNotIn(" MKDIR ", first.read_text(encoding="utf-8"))
        self.assertEqual(self.set_key("log.file", ""), errno.EINVAL)
        self.assertEqual(self.key("log.file"), str(second))
        self.assertEqual(self.set_key("debug", "false"), 0)
        length = second.stat().st_size
        os.rmdir(self.pool / "made")
        self.assertEqual(second.stat().st_size, length)
        self.assertEqual(self.set_key("log.file", ""), 0)
        self.unmount()

    def test_debug_of_a_pool_in_the_foreground(self):
        server = self.foreground()
        self.assertEqual(self.set_key("debug", "true"), 0)
        os.statvfs(self.pool)
        self.assertEqual(self.set_key("debug", "false"), 0)
        os.mkdir(self.pool / "made")
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(DEADLINE), 0)
        said = server.stderr.read()
        self.assertIn(" STATFS ", said)
        self.assertNotIn(" MKDIR ", said)

    def test_log_file_that_became_part_of_a_branch(self):
        """It was named while it lay outside, and nothing was written to it yet."""
        inside = self.b / "log"
        self.check_mounts("-o", f"log.file={inside}", self.a, self.pool)
        self.assertEqual(self.set_key("branches", f"+{self.b}"), 0)
        self.assertEqual(self.set_key("debug", "true"), errno.EINVAL)
        self.assertFalse(inside.exists())
        self.unmount()

    def test_trace_that_cannot_be_written(self):
        server = self.foreground("-o", "trace=/dev/full")
        for _ in range(3):
            os.statvfs(self.pool)
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(DEADLINE), 0)
        self.assertEqual(server.stderr.read(), "boughfs: the trace file /dev/full cannot be written, lines are "
                                               "missing from it: No space left on device\n")
        # A daemon says it before it leaves the terminal.
        done = self.run_boughfs("-o", "trace=/dev/full", self.a, self.pool)
        self.assertEqual((done.returncode, done.stderr.count("/dev/full")), (0, 1))

    def test_status(self):
        (self.a / "folder").mkdir()
        self.check_mounts(self.a, self.pool)
        done = self.run_boughfs("status", self.pool / "folder", "--json")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        status = json.loads(done.stdout)
        self.assertEqual(status["schema"], "boughfs.status/1")
        self.assertEqual(status["mount_point"], str(self.pool))
        self.assertEqual(status["source"], str(self.a))
        self.assertIs(status["answers"], True)
        self.assertEqual(status["changed_options"], {})
        with open(self.pool / "folder" / "open", "w", encoding="ascii"):
            branch = json.loads(self.run_boughfs("status", self.pool, "--json").stdout)["branches"][0]
        self.assertEqual((branch["path"], branch["open_files"]), (str(self.a), 1))
        self.assertIn(f"mount point: {self.pool}\n", self.run_boughfs("status", self.pool).stdout)
        # A pool that hangs, and one whose server is dead.
        server = next(iter(servers() - self.before))
        (self.top / "way").symlink_to("pool/folder")
        os.kill(server, signal.SIGSTOP)
        # A name that the kernel has no answer for.
        asked = [("status", self.pool), ("status", self.pool / "folder" / "unknown"),
                 ("status", self.top / "way" / "unknown"), ("status", self.pool, "--json"),
                 ("ctl", self.pool, "get", "pid"), ("ctl", self.pool, "set", "cache.attr", "1"),
                 ("ctl", self.pool, "info"), ("explain", "create", self.pool / "folder" / "unknown"),
                 ("explain", "open", self.top / "way" / "open"), ("fsck", self.pool)]
        with concurrent.futures.ThreadPoolExecutor(len(asked)) as crowd:
            answers = list(crowd.map(lambda words: self.run_boughfs(*words), asked))
        for words, done in zip(asked, answers):
            is_status = words[0] == "status"
            self.assertEqual(done.returncode, 8 if is_status else 2, words)
            if "--json" in words:
                self.assertEqual(json.loads(done.stdout)["why_silent"], "hangs")
            else:
                self.assertIn("does not answer: it hangs", done.stdout if is_status else done.stderr, words)
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: servers() <= self.before, "the server has ended")
        done = self.run_boughfs("status", self.pool / "folder")
        self.assertEqual(done.returncode, 8)
        self.assertIn("THE POOL does not answer: its server is gone", done.stdout)
        self.check_refused_inside(2, "its server is gone", "explain", "create", self.pool / "new")

    def test_explain(self):
        (self.a / "folder").mkdir()
        (self.a / "folder" / "f").touch()
        os.mkfifo(self.a / "folder" / "fifo")
        self.check_mounts(f"{self.a}:{self.b}=RO", self.pool, "-o", "minfreespace=1,category.create=ff")

        def explain(*words):
            done = self.run_boughfs("explain", *words, "--json")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            return json.loads(done.stdout)

        self.assertIs(explain("unlink", self.pool / "folder" / "f")["exists"], True)
        made = explain("create", self.pool / "folder" / "new")
        self.assertEqual([branch["verdict"] for branch in made["branches"]], ["chosen", "not-asked"])
        self.assertEqual((made["policy"], made["error"], made["exists"]), ("ff", None, False))
        self.assertIs(explain("mkdir", self.pool / "folder")["exists"], True)
        for name in ("f", "fifo", "."):
            removed = explain("unlink", self.pool / "folder" / name)
            self.assertEqual([branch["verdict"] for branch in removed["branches"]], ["chosen", "read-only"])
        self.assertIn(f"{self.a} RW: TAKEN", self.run_boughfs("explain", "create", self.pool / "new").stdout)
        (self.pool / "folder" / "f").chmod(0o600)
        for words, error in (("create folder/new", "EACCES"), ("unlink folder/f", "EACCES"), ("open folder/f", "EACCES"),
                             ("truncate folder/f", "EACCES"), ("getattr folder/f", None)):
            function, path = words.split()
            asked = subprocess.run([BOUGHFS, "explain", function, self.pool / path, "--json"], text=True,
                                   capture_output=True, check=True, user=65534, group=65534, extra_groups=[])
            self.assertEqual(json.loads(asked.stdout)["error"], error, words)
        subprocess.run(["mount", "-i", "-o", "remount,bind,ro", self.pool], check=True)
        for function, error in (("unlink", "EROFS"), ("chmod", "EROFS"), ("open", None)):
            self.assertEqual(explain(function, self.pool / "folder" / "f")["error"], error, function)
        self.assertIn("mounted read-only\n", self.run_boughfs("explain", "create", self.pool / "new").stdout)
        subprocess.run(["mount", "-i", "-o", "remount,bind,rw", self.pool], check=True)
        for status, part, words in ((1, "gone", ("open", self.pool / "gone")),
                                    (1, "no function 'remove'", ("remove", self.pool)),
                                    (1, "a listing is of all", ("func.readdir", self.pool)),
                                    (1, "the branch of that file", ("link", self.pool / "gone")),
                                    (3, "no boughfs pool", ("open", self.a))):
            done = self.run_boughfs("explain", *words)
            self.assertEqual(done.returncode, status)
            self.assertIn(part, done.stderr)

    def check(self, *words, good=0, **more):
        done = self.run_boughfs("check", *words, "--json", **more)
        self.assertEqual((done.returncode, done.stderr), (good, ""), done.stdout)
        self.assertEqual(self.run_boughfs("check", *words, **more).returncode, good)
        self.assertIsNone(self.mounted())
        return json.loads(done.stdout)["pools"]

    def texts(self, pool, level):
        return "\n".join(each["text"] for each in pool["findings"] if each["level"] == level)

    def on_disks_of_their_own(self):
        for branch in (self.a, self.b):
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", branch], check=True)

    def test_check(self):
        self.on_disks_of_their_own()
        line = f"{self.a}:{self.b}=NC,2M {self.pool} boughfs nofail,attr_timeout=5 0 0"
        pool, = self.check(line)
        self.assertEqual(pool["options"], {"cache.attr": "5"})
        self.assertEqual([(each["path"], each["mode"], each["type"], each["total_bytes"], each["least_bytes"])
                          for each in pool["branches"]],
                         [(str(self.a), "RW", "tmpfs", 1 << 20, (1 << 20) // 20),
                          (str(self.b), "NC", "tmpfs", 1 << 20, 2 << 20)])
        self.assertEqual((pool["would_be_mounted"], pool["mount_point"]), (True, str(self.pool)))
        self.assertIn("attr_timeout is another name of cache.attr", self.texts(pool, "note"))
        by_words, = self.check("-o", "attr_timeout=5", f"{self.a}:{self.b}=NC,2M", self.pool)
        self.assertEqual([by_words[key] for key in ("options", "branches")], [pool["options"], pool["branches"]])
        # What check says would be mounted is.
        self.check_mounts("-o", "attr_timeout=5", f"{self.a}:{self.b}=NC,2M", self.pool)
        fstab = self.top / "fstab"
        fstab.write_text(f"none /x tmpfs defaults 0 0\n{line}\n", encoding="utf-8")
        done = self.run_boughfs("check", "--fstab", fstab)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn(f"a pool is mounted at {self.pool} now", done.stdout)
        # The same place, otherwise spelt, where the pool hangs, and then is dead.
        server = next(iter(servers() - self.before))
        os.kill(server, signal.SIGSTOP)
        self.assertEqual(self.run_boughfs("check", "--fstab", fstab).stdout, done.stdout)
        os.kill(server, signal.SIGCONT)
        done = self.run_boughfs("check", self.a, "pool/", cwd=self.top)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"a pool is mounted at {self.pool} already", done.stdout)
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: servers() <= self.before, "the server has ended")
        done = self.run_boughfs("check", self.a, self.pool)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("a dead pool", done.stdout)

    def test_check_looks_at_the_whole_fstab(self):
        self.on_disks_of_their_own()
        fstab = self.top / "fstab"
        (self.top / "link").symlink_to("a")
        fstab.write_text(f"UUID=1 {self.a} ext4 defaults 0 0\nUUID=2 {self.b} ext4 defaults 0 0\n"
                         f"{self.a}:{self.b} {self.pool} boughfs minfreespace=1,x-systemd.requires-mounts-for={self.a}\n"
                         f"{self.a}:{self.b} /elsewhere\n"
                         f"{self.a}:{self.b} /far fuse.mergerfz defaults\n"
                         f"{self.a}:{self.top}/link {self.pool}/ boughfs minfreespace=1,x-systemd.requires-mounts-for="
                         f"{self.a}/x\n", encoding="ascii")
        one, two, three, four = self.check("--fstab", fstab, good=1)
        self.assertEqual([each["place"].split(":")[1] for each in (one, two, three, four)], ["3", "4", "5", "6"])
        self.assertEqual(self.texts(one, "note").count(f": x-systemd.requires-mounts-for={self.b}"), 1)
        self.assertEqual((two["type"], two["mount_point"]), (None, "/elsewhere"))
        self.assertIn("the line has 2 fields", self.texts(two, "refused"))
        self.assertIn("no type 'fuse.mergerfz', did you mean 'fuse.mergerfs'?", self.texts(three, "refused"))
        self.assertIn(f"line 3 mounts at {self.pool}", self.texts(four, "warning"))
        self.assertIn(f"{self.top}/link is the same directory as {self.a}", self.texts(four, "warning"))
        self.assertNotIn("requires-mounts-for", self.texts(four, "note"))
        self.assertEqual(len(self.check("--fstab", fstab, "/far", good=1)), 1)
        (self.a / "closed").mkdir(0o700)
        os.chmod(self.a, 0o711)

        def nobody():
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)

        done = self.run_boughfs("check", "-o", "minfreespace=1", self.a, self.pool, preexec_fn=nobody)
        self.assertIn(f"warning: branch: {self.a} may not be read by you", done.stdout, done.stderr)

    def test_check_warns(self):
        self.on_disks_of_their_own()
        subprocess.run(["mount", "-o", "remount,ro", self.b], check=True)
        (self.a / "in").mkdir()
        (self.top / "c").mkdir()
        (self.top / "c" / ".boughfs.branch_mounts_here").touch()
        branches = f"{self.a}=RW,4M:{self.b}:{self.a}/in:{self.top}/c"
        fstab = self.top / "fstab"
        fstab.write_text(f"{branches} {self.pool} fuse.mergerfs minfrespace=1,max_write=3\n", encoding="utf-8")
        pool, = self.check("--fstab", fstab, self.pool, good=6)
        self.assertEqual(pool["place"], f"{fstab}:1")
        warned = self.texts(pool, "warning")
        for part in ("did you mean 'minfreespace'", "max_write=3: means nothing here",
                     f"{self.a} is too full", f"{self.b} is RW, but its file system is mounted read-only",
                     f"{self.a}/in lies inside {self.a}", f"{self.top}/c is absent"):
            self.assertIn(part, warned)
        self.assertIn("ABSENT", self.run_boughfs("check", "--fstab", fstab).stdout)
        pool, = self.check("/", self.pool, good=1)
        self.assertIn("/ lies on the file system of /", self.texts(pool, "warning"))

    def test_check_tells_all_that_is_refused(self):
        config = self.top / "config"
        config.write_text("cache.files=off\nthreads=many\n", encoding="utf-8")
        pool, = self.check("--config", config, "-o", "fo=1,minfreespace=lots",
                           f"{self.a}:{self.top}/gone:{self.b}=RX", self.top / "no", good=1)
        refused = self.texts(pool, "refused")
        for part in (f"{config}:2: threads=many", "no option 'fo'", "minfreespace wants a size",
                     f"{self.top}/gone does not exist", 'the mode "RX"', f"{self.top}/no does not exist"):
            self.assertIn(part, refused)
        self.assertIs(pool["would_be_mounted"], False)
        pool, = self.check("--config", config, good=1)
        self.assertNotIn("mount point", self.texts(pool, "refused"))
        config.write_text("cache.files=off\n", encoding="utf-8")
        pool, = self.check("--config", config)
        self.assertEqual(pool["options"], {"cache.files": "off", "config": str(config)})
        pool, = self.check("-o", "branch-absent=refuse", self.a, good=1)
        self.assertIn("branches and a mount point are wanted", self.texts(pool, "refused"))
        for part, words in (("say what to check", ()), ("no line of fstab", ("/a /b ext4",)),
                            ("cannot be read", ("--fstab", self.top / "none")), ("wants a FILE", ("--config",)),
                            ("has no line of a pool", ("--fstab", config)), ("no flag -x", ("-x",))):
            self.check_refused(1, [part], "check", *words)
        self.assertIn("usage: boughfs check", self.run_boughfs("check", "--help").stdout)

    def test_status_elsewhere(self):
        self.check_refused(3, [self.a, "no boughfs pool"], "status", self.a)
        self.check_refused(3, ["/gone"], "status", self.top / "gone")
        self.check_refused(1, ["MOUNT", "status --help"], "status")
        self.assertEqual(self.run_boughfs("status", "--help").returncode, 0)
        # A branch of that name.
        (self.top / "status").mkdir()
        self.check_mounts("./status", "pool", cwd=self.top)

    def two_copies(self, name, contents=("first\n", "the second\n")):
        for branch, content, mode, age in zip((self.a, self.b), contents, (0o640, 0o2750), (100, 50)):
            path = branch / name
            path.write_text(content, encoding="utf-8")
            os.chown(path, 1000 + mode, 7)
            path.chmod(mode)
            os.setxattr(path, "user.of", branch.name.encode())
            os.utime(path, (time.time() - age, int(time.time()) - age))
        return [self.a / name, self.b / name]

    def fsck(self, *arguments, good=0, program=None, **more):
        done = self.run_boughfs(*(() if program else ("fsck",)), *arguments, program=program, **more)
        self.assertEqual((done.returncode, done.stderr), (good, ""))
        return done.stdout

    def test_fsck_finds_copies_that_differ(self):
        for branch in (self.a, self.b):
            (branch / "d").mkdir()
            (branch / "same").write_text("x", encoding="utf-8")
        self.two_copies("d/file\nname")
        (self.a / "d").chmod(0o700)
        (self.a / "size").write_text("one", encoding="utf-8")
        (self.b / "size").write_text("three", encoding="utf-8")
        (self.a / "link").symlink_to("d")
        (self.b / "link").symlink_to("d")
        os.chown(self.b / "link", 5, 5, follow_symlinks=False)
        self.check_mounts("-o", "cache.attr=0", f"{self.a}:{self.b}", self.pool)
        said = self.fsck(self.pool, good=5)
        self.assertEqual([line for line in said.splitlines() if line.startswith("*")],
                         [f"* {self.pool}/d", f"* {self.pool}/d/file?name", f"* {self.pool}/link"])
        for part in (f"  0: {self.a}/d uid=0 gid=0 mode=0700 type=directory", f"  1: {self.b}/d uid=0 gid=0 mode=0755",
                     f"  0: {self.a}/d/file?name uid={1000 + 0o640} gid=7 mode=0640 type=regular size=6 mtime=20"):
            self.assertIn(part, said)
        self.assertIn(f"* {self.pool}/size\n", self.fsck("--check-size", self.pool, good=5))
        self.assertNotIn("/size", self.fsck("--check-size", "false", self.pool, good=5))
        link = self.top / "fsck.mergerfs"
        link.symlink_to(BOUGHFS)
        self.assertIn("/size\n", self.fsck("--check-size", "true", self.pool, good=5, program=link))
        self.assertEqual(self.fsck(self.pool / "same"), "")
        self.fsck("--fix", "manual", self.pool / "d/file\nname", good=5)
        self.assertIn("* d\n", self.fsck("d", good=5, cwd=self.pool))
        self.assertIn("* ./d\n", self.fsck(".", good=5, cwd=self.pool))
        self.assertIn("* ../d/file?name\n", self.fsck("../d/", good=5, cwd=self.pool / "d").replace("d//", "d/"))
        inside = self.top / "inside"
        inside.mkdir()
        subprocess.run(["mount", "--bind", self.pool / "d", inside], check=True)
        self.assertIn(f"* {inside}/file?name\n", self.fsck(inside, good=5))
        self.assertIn("link\n", self.fsck("--fix", "newest", self.pool))
        self.assertEqual(self.fsck(self.pool), "")
        self.assertEqual(os.lstat(self.a / "link").st_uid, os.lstat(self.b / "link").st_uid)
        self.assertEqual((self.a / "d/file\nname").read_text(encoding="utf-8"), "first\n")
        self.check_refused_inside(3, "no boughfs pool", "fsck", self.a)
        self.check_refused_inside(1, "fsck --help", "fsck", "--fix", "some", self.pool)
        self.check_refused_inside(1, "fsck --help", "fsck")

    def check_refused_inside(self, status, part, *arguments):
        done = self.run_boughfs(*arguments)
        self.assertEqual((done.returncode, done.stderr.count("\n")), (status, 1), done.stderr)
        self.assertIn(part, done.stderr)

    def test_fsck_takes_owner_and_permissions_over(self):
        for how, answer, right in (("newest", None, 1), ("largest", None, 1), ("manual", "0\n", 0)):
            with self.subTest(how=how):
                copies = self.two_copies("file")
                want = copies[right].stat()
                self.check_mounts(f"{self.a}:{self.b}", self.pool)
                done = subprocess.run([BOUGHFS, "fsck", "--fix", how, self.pool], input=answer, text=True,
                                      stdout=subprocess.PIPE, check=False)
                self.assertEqual(done.returncode, 0, done.stdout)
                for copy in copies:
                    now = copy.stat()
                    self.assertEqual((now.st_mode, now.st_uid, now.st_gid), (want.st_mode, want.st_uid, want.st_gid))
                self.assertEqual([copy.read_text(encoding="utf-8") for copy in copies], ["first\n", "the second\n"])
                self.assertEqual(self.fsck(self.pool), "")
                self.fsck("--check-size", "--fix", "newest", self.pool, good=5)
                self.unmount()

    def test_fsck_left_alone(self):
        copies = self.two_copies("file")
        before = [copy.stat() for copy in copies]
        (self.a / "kind").mkdir()
        (self.b / "kind").touch()
        self.check_mounts(f"{self.a}:{self.b}", self.pool)
        for answer in ("\n", "", "2\n", "x\n"):
            done = subprocess.run([BOUGHFS, "fsck", "--fix", "manual", self.pool], input=answer, text=True,
                                  stdout=subprocess.PIPE, check=False)
            self.assertEqual(done.returncode, 5)
        self.assertEqual([copy.stat()[:9] for copy in copies], [each[:9] for each in before])
        os.link(self.a / "file", self.a / "other name")
        said = self.fsck("--fix", "newest", "--copy-file", self.pool, good=5)
        self.assertIn("kind: is of another type: left alone", said)
        self.assertNotIn("changed", said)
        self.assertIn(f"{self.a}/file: has other names", said)
        self.assertEqual((self.a / "file").read_text(encoding="utf-8"), "first\n")

    def test_fsck_copies_files(self):
        for right, how in ((1, "newest"), (1, "largest")):
            copies = self.two_copies("file", ("x" * 10, "y" * 3000000))
            os.truncate(copies[right], 50 << 20)
            os.utime(copies[right], ns=(5, 1700000000123456789 + (10 ** 18 if how == "newest" else 0)))
            used = copies[right].stat().st_blocks
            self.check_mounts(f"{self.a}:{self.b}", self.pool)
            said = self.fsck("--fix", how, "--copy-file=true", "--check-size", self.pool)
            self.assertIn(f"* {self.pool}/file\n", said)
            one, other = (copy.stat() for copy in copies)
            for name in ("st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns"):
                self.assertEqual(getattr(one, name), getattr(other, name), name)
            self.assertLess(one.st_blocks, used + 1000, "a hole was filled")
            self.assertEqual(copies[0].read_bytes(), copies[1].read_bytes())
            self.assertEqual(os.getxattr(copies[0], "user.of"), b"b")
            self.assertEqual(sorted(os.listdir(self.a)), ["file"])
            self.unmount()

    def test_fsck_tells_what_it_changes(self):
        one, other = self.two_copies("file", ("first\n", "other\n"))
        for each in (one, other):
            os.utime(each, (1700000000, 1700000000))
        self.check_mounts("-o", "cache.attr=0", f"{self.a}:{self.b}", self.pool)

        def contents():
            return [each.read_text(encoding="utf-8") for each in (one, other)]

        # Which of two that are equally new counts is not for a program to say.
        said = self.fsck("--fix", "newest", "--copy-file", self.pool, good=5)
        for part in (f"left alone: {one} and {other} are equally new and differ in content",
                     f"--fix {self.a} or --fix {self.b}"):
            self.assertIn(part, said)
        self.assertEqual(contents(), ["first\n", "other\n"])
        self.check_refused_inside(1, f"no such branch, but {self.a} {self.b}", "fsck", "--fix", self.top, self.pool)
        said = self.fsck("--fix", f"{self.b}/", "--copy-file", self.pool)
        self.assertIn(f"changed {one}: replaced whole by a copy of {other}, on the branch that was named\n", said)
        self.assertEqual(contents(), ["other\n", "other\n"])
        one.chmod(0o600)
        said = self.fsck("--fix", "newest", self.pool)
        self.assertIn(f"changed {other}: uid={1000 + 0o2750} gid=7 mode=0600 taken from {one}, as new as {other}, and the "
                      "first in the list of branches\n", said)
        one.chmod(0o640)
        one.write_text("more\nlines\n", encoding="utf-8")
        said = self.fsck("--fix", "newest", "--check-size", self.pool, good=5)
        self.assertIn(f" taken from {one}, the newest\n  left: their sizes differ still; --copy-file", said)

    def test_fsck_says_what_it_could_not_see(self):
        self.check_mounts("-o", "cache.attr=0,branch-absent=hide", f"{self.a}:{self.b}", self.pool)
        for branch, mode in ((self.a, 0o755), (self.b, 0o700)):
            (branch / "closed").mkdir()
            (branch / "closed/inside").write_text("x", encoding="ascii")
            (branch / "closed").chmod(0o700)
            (branch / "partly").mkdir(mode)
            (branch / "partly/file").write_text("x", encoding="ascii")
        self.check_refused_inside(1, f"{self.pool}/nope: No such file", "fsck", self.pool / "nope")

        def nobody():
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)

        done = self.run_boughfs("fsck", self.pool, preexec_fn=nobody)
        self.assertEqual(done.returncode, 7, done.stderr)
        for part in (f"not looked at: {self.pool}/closed: Permission denied\n",
                     f"not looked at: {self.b}/partly/file: Permission denied\n", "not all there is to tell"):
            self.assertIn(part, done.stderr)
        self.assertIn(f"* {self.pool}/partly\n", done.stdout)
        # What stands at the place of a missing disk is no copy.
        self.unmount()
        (self.b / ".boughfs.branch_mounts_here").touch()
        done = self.run_boughfs("-o", "cache.attr=0,branch-absent=hide", f"{self.a}:{self.b}", self.pool)
        self.assertEqual((done.returncode, done.stderr.count("is absent")), (0, 1), done.stderr)
        done = self.run_boughfs("fsck", "--fix", "newest", self.pool)
        self.assertEqual((done.returncode, done.stdout), (7, ""), done.stderr)
        self.assertIn(f"not looked at: branch {self.b}, which is absent: ", done.stderr)
        self.assertEqual(stat.S_IMODE(os.stat(self.b / "partly").st_mode), 0o700)
        os.setxattr(self.pool / ".boughfs", "user.boughfs.branch-absent", b"eio")
        done = self.run_boughfs("fsck", self.pool)
        self.assertEqual(done.returncode, 7)
        self.assertIn(f"not looked at: {self.pool}: Input/output error\n", done.stderr)

    def test_collect_info(self):
        self.check_mounts(self.a, self.pool)
        link = self.top / "mergerfs.collect-info"
        link.symlink_to(BOUGHFS)
        for program, arguments in ((BOUGHFS, ["collect-info"]), (link, [])):
            done = self.run_boughfs(*arguments, program=program)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            for part in ("=== boughfs --version\nboughfs ", "=== uname -a\nLinux ", "=== /etc/fstab\n",
                         f"=== boughfs status {self.pool}\nmount point: {self.pool}\n",
                         f"=== boughfs ctl {self.pool} list\n", f"branches={self.a}=RW\n", "=== df -h\n"):
                self.assertIn(part, done.stdout)
        self.check_refused_inside(1, "collect-info --help", "collect-info", "more")

    def test_help_and_version(self):
        done = self.run_boughfs("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("Exit status", done.stdout)
        link = self.top / "mergerfs"
        link.symlink_to(BOUGHFS)
        theirs = self.run_boughfs("--help", program=link).stdout
        for text, minimum, cache in ((done.stdout, "auto", "auto"), (theirs, "4294967295", "off")):
            plain = " ".join(text.split())
            for key, value in (("minfreespace=", minimum), ("cache.files=", cache)):
                at = plain.index(f" {key}")
                self.assertIn(f" [{value}]", plain[at:at + 700].split(" cache.files.process")[0], key)
        self.assertRegex(self.run_boughfs("--version").stdout, r"^boughfs \d+\.\d+\.\d+\n$")


def cannot_run(why):
    print(f"cannot run: {why}", file=sys.stderr)
    sys.exit(1 if os.environ.get("CI") == "true" else 77)


def main():
    global BOUGHFS
    if sys.argv[1] != INSIDE:
        if os.geteuid() != 0:
            cannot_run("this test mounts, and wants to be root")
        if not os.path.exists("/dev/fuse"):
            cannot_run("there is no /dev/fuse")
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private",
                              sys.executable, __file__, INSIDE, *sys.argv[1:]])
    # Where an ordinary user may run it, whatever the mode of the directories of the build.
    with tempfile.TemporaryDirectory(prefix="boughfs-command-") as folder:
        os.chmod(folder, 0o755)
        BOUGHFS = shutil.copy(sys.argv[2], os.path.join(folder, "boughfs"))
        unittest.main(argv=[sys.argv[0], *sys.argv[3:]])


if __name__ == "__main__":
    main()
