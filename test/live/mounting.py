"""Every way in and every way out: exit status, no process and no mount left."""

import contextlib
import errno
import os
import signal
import subprocess
import time
from pathlib import Path

import kernel
import modes
import processes
import sandbox

STATUS_USAGE, STATUS_SERVING, STATUS_MOUNT = 1, 4, 32
CAP_SYS_RESOURCE = 1 << 24
# the protocol's minor version that brought a flag; kernels take none of these back into older versions
FLAGS_SINCE = {"HANDLE_KILLPRIV_V2": 33, "SETXATTR_EXT": 33, "INIT_EXT": 36, "SECURITY_CTX": 36,
               "DIRECT_IO_ALLOW_MMAP": 39, "PASSTHROUGH": 40, "NO_EXPORT_SUPPORT": 40, "HAS_RESEND": 40,
               "ALLOW_IDMAP": 41, "OVER_IO_URING": 42, "REQUEST_TIMEOUT": 43}


class Mounting(sandbox.LiveCase):
    deadline = 60

    def two_branches(self, owner=0):
        return [self.directory(name, owner=owner) for name in ("one", "two")]

    def is_served(self, pool):
        """The pool does something, and it reaches a branch."""
        pool.shell("mkdir -p d; echo text > d/f; test \"$(cat d/f)\" = text; ls -la . d > /dev/null")
        found = [branch for branch in pool.branches if os.path.exists(os.path.join(branch, "d/f"))]
        self.assertEqual(len(found), 1)

    def is_gone(self, pool, status=0):
        self.assertEqual(pool.wait(), status, pool.said())
        self.assertFalse(any(path == pool.mountpoint for path, _, _ in processes.mounts()),
                         "the mount is still there")
        self.assertEqual(os.listdir(pool.mountpoint), [])

    def plain_pool(self, mode=None, options=()):
        mode = mode or modes.Root()
        # fusermount3 opens the device with the rights of its caller
        self.open_fuse_to_all(mode.uid != 0)
        pool = self.pool(self.two_branches(mode.uid), mode, options)
        self.is_served(pool)
        return pool

    # --- ways out
    def test_sigint(self):
        pool = self.plain_pool()
        os.kill(pool.pid, signal.SIGINT)
        self.is_gone(pool)

    def test_sigterm(self):
        pool = self.plain_pool()
        os.kill(pool.pid, signal.SIGTERM)
        self.is_gone(pool)

    def test_sigterm_twice_at_once(self):
        pool = self.plain_pool()
        os.kill(pool.pid, signal.SIGTERM)
        try:
            os.kill(pool.pid, signal.SIGINT)
        except ProcessLookupError:
            pass
        self.is_gone(pool)

    def test_umount(self):
        pool = self.plain_pool()
        self.command(["umount", pool.mountpoint])
        self.is_gone(pool)

    def test_umount_lazily(self):
        pool = self.plain_pool()
        self.command(["umount", "-l", pool.mountpoint])
        self.is_gone(pool)

    def test_umount_of_a_busy_pool(self):
        pool = self.plain_pool()
        file = os.open(os.path.join(pool.mountpoint, "d/f"), os.O_RDWR)
        refused = subprocess.run(["umount", pool.mountpoint], capture_output=True, check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.is_served(pool)
        self.command(["umount", "-l", pool.mountpoint])
        time.sleep(0.5)
        self.assertIsNone(pool.process.poll(), "ended under an open file")
        self.assertEqual(os.pread(file, 100, 0), b"text\n")
        os.pwrite(file, b"late", 0)
        os.close(file)
        self.is_gone(pool)
        texts = [Path(b, "d/f").read_text() for b in pool.branches if Path(b, "d/f").exists()]
        self.assertEqual(texts, ["late\n"])

    def test_fusermount_by_root(self):
        pool = self.plain_pool()
        self.command(["fusermount3", "-u", pool.mountpoint])
        self.is_gone(pool)

    def _sigterm_under_a_dirty_mapping(self, mode):
        pool = self.plain_pool(mode)
        # mapped, written, never synced, and still mapped when the end comes
        script = ("import mmap, os, sys\n"
                  "fd = os.open('mapped', os.O_RDWR | os.O_CREAT); os.ftruncate(fd, 1 << 20)\n"
                  "m = mmap.mmap(fd, 1 << 20); m[:] = b'x' * (1 << 20)\n"
                  "print('written', flush=True); sys.stdin.read()\n")
        writer = subprocess.Popen(
            mode.wrap(["sh", "-c", 'cd "$0" && exec python3 -c "$1"', pool.mountpoint, script]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            self.assertEqual(writer.stdout.readline(), b"written\n")
            os.kill(pool.pid, signal.SIGTERM)
            self.is_gone(pool)
        finally:
            writer.kill()
            writer.communicate()
        found = [Path(b, "mapped") for b in pool.branches if Path(b, "mapped").exists()]
        self.assertEqual([f.read_bytes().count(b"x") for f in found], [1 << 20])

    def test_sigterm_under_a_dirty_mapping(self):
        self._sigterm_under_a_dirty_mapping(modes.Root())

    def test_sigterm_under_a_dirty_mapping_of_a_user(self):
        self._sigterm_under_a_dirty_mapping(modes.User())

    def test_the_end_under_a_branch_that_hangs(self):
        """Nobody is left waiting: neither the daemon when it is killed, nor the users of its pool."""
        below = self.plain_pool()
        above = self.pool([below.mountpoint], modes.Root(), name="above")
        os.listdir(above.mountpoint)
        os.kill(below.pid, signal.SIGSTOP)
        try:
            user = subprocess.Popen(["touch", os.path.join(above.mountpoint, "waits")],
                                    stderr=subprocess.DEVNULL)
            time.sleep(0.5)
            os.kill(above.pid, signal.SIGTERM)
            time.sleep(1)
            os.kill(above.pid, signal.SIGKILL)
            # the daemon's own threads may wait for the hanging branch, which SIGKILL ends
            self.assertIsNotNone(above.process.wait(10))
            user.wait(10)
        finally:
            os.kill(below.pid, signal.SIGCONT)
        subprocess.run(["umount", "-l", above.mountpoint], capture_output=True, check=False)
        self.assertEqual(below.unmount(), 0, below.said())

    def _abort(self, pool):
        numbers = processes.connections(pool.pid)
        self.assertEqual(len(numbers), 1)
        Path(sandbox.CONTROL, str(numbers.pop()), "abort").write_text("1")

    def test_abort(self):
        pool = self.plain_pool()
        self._abort(pool)
        self.is_gone(pool, STATUS_SERVING)

    def test_abort_of_a_users_pool(self):
        pool = self.plain_pool(modes.User())
        self._abort(pool)
        self.is_gone(pool, STATUS_SERVING)

    def test_sigterm_under_writers(self):
        """What was acknowledged is in the branch; nobody hangs; the pool is gone."""
        pool = self.plain_pool()
        writers = [subprocess.Popen(self.script("acknowledged.py", os.path.join(pool.mountpoint, f"w{number}")),
                                    stdout=subprocess.PIPE, text=True) for number in range(3)]
        for writer in writers:
            self.assertEqual(writer.stdout.readline(), "started\n")
        time.sleep(0.5)
        os.kill(pool.pid, signal.SIGTERM)
        for number, writer in enumerate(writers):
            accepted, error = writer.communicate(timeout=30)[0].split()
            self.assertEqual(writer.returncode, 0)
            self.assertIn(error, ("ENOTCONN", "ECONNABORTED"))
            lines = [Path(b, f"w{number}").read_text().splitlines() for b in pool.branches
                     if Path(b, f"w{number}").exists()]
            self.assertEqual(len(lines), 1)
            # the one that was answered with an error may have been done
            self.assertIn(len(lines[0]), (int(accepted), int(accepted) + 1))
            self.assertEqual([int(line) for line in lines[0]], list(range(len(lines[0]))))
            self.assertGreater(int(accepted), 10)
        self.is_gone(pool)

    # --- in the background
    def _start_in_background(self, mode, branches, mountpoint, options=(), good=(0,)):
        """(status, what it said, the server's pid or None)."""
        before = set(processes.descendants(os.getpid()))
        argv = [self.boughfs, *(["-o", ",".join(options)] if options else []), ":".join(branches), mountpoint]
        # both ends of the output are closed only when the server has let go of them too
        done = subprocess.run(mode.wrap(argv), cwd="/", capture_output=True, text=True, timeout=20,
                              stdin=subprocess.DEVNULL, check=False)
        self.assertIn(done.returncode, good, done.stderr)
        servers = sorted(set(processes.descendants(os.getpid())) - before)
        return done.returncode, done.stdout + done.stderr, servers

    def _background(self, mode):
        self.open_fuse_to_all(mode.uid != 0)
        branches = self.two_branches(mode.uid)
        mountpoint = self.directory("pool", owner=mode.uid)
        _, said, servers = self._start_in_background(mode, branches, mountpoint)
        self.assertEqual(said, "")
        self.assertEqual(len(servers), 1, "one server, and nothing else, stays")
        self.assertTrue(processes.is_pool(mountpoint))
        info = self.command(mode.wrap(["sh", "-euc", 'echo text > "$0/f"; stat -f -c %T "$0"; cat "$0/f"', mountpoint]))
        self.assertEqual(info.split(), ["fuseblk", "text"])
        self.assertEqual(os.readlink(f"/proc/{servers[0]}/cwd"), "/")
        self.assertEqual(os.getsid(servers[0]), servers[0])
        for standard in range(3):
            self.assertEqual(os.readlink(f"/proc/{servers[0]}/fd/{standard}"), "/dev/null")
        self.command(mode.unmount_command(mountpoint))
        # this process is the one that orphans fall to
        self.eventually(lambda: processes.parents()[servers[0]][1] == "Z", 10, "the server ends")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(servers[0], 0)[1]), 0)
        self.assertFalse(processes.is_pool(mountpoint))

    def test_background(self):
        self._background(modes.Root())

    def test_background_as_user(self):
        self._background(modes.User())

    def _fails(self, status, words, mode=None, branches=None, mountpoint=None, options=()):
        mode = mode or modes.Root()
        branches = branches or [self.path("one"), self.path("two")]
        mountpoint = mountpoint or self.path("pool")
        before = processes.mounts()
        _, said, left = self._start_in_background(mode, branches, mountpoint, options, (status,))
        self.assertEqual(left, [])
        self.assertEqual(processes.mounts(), before)
        said = [line for line in said.splitlines() if not line.startswith("fusermount3: ")]
        self.assertEqual(len(said), 1, said)
        self.assertTrue(said[0].startswith("boughfs: "), said)
        for word in words:
            self.assertIn(word, said[0])

    def test_failures_say_why(self):
        self.two_branches(modes.USER)
        self.directory("pool", owner=modes.USER)
        self.directory("private", 0o700)
        Path(self.path("file")).write_text("")
        missing = self.path("missing")
        self._fails(STATUS_USAGE, [missing], branches=[self.path("one"), missing])
        self._fails(STATUS_USAGE, [missing], mountpoint=missing)
        self._fails(STATUS_USAGE, [self.path("file")], mountpoint=self.path("file"))
        self._fails(STATUS_USAGE, ["frobnicate"], options=["frobnicate=1"])
        self._fails(STATUS_USAGE, [self.path("one")], mountpoint=self.path("one"))
        self._fails(STATUS_MOUNT, ["/dev/fuse", "Permission denied"], mode=modes.User())
        self.open_fuse_to_all(True)
        self._fails(STATUS_MOUNT, ["/etc/fuse.conf", "user_allow_other"], mode=modes.User(), options=["allow_other"])
        self._fails(STATUS_MOUNT, [self.path("private")], mode=modes.User(), mountpoint=self.path("private"))

    def test_no_helper(self):
        """An ordinary user without fusermount3 learns which package has it."""
        self.two_branches(modes.USER)
        self.directory("pool", owner=modes.USER)
        empty = self.directory("no-programs")
        for folder in ("/usr/bin", "/bin", "/usr/local/bin", "/sbin", "/usr/sbin"):
            helper = os.path.join(folder, "fusermount3")
            if os.path.exists(helper) and not os.path.islink(folder):
                kernel.mount("/dev/null", helper, None, kernel.MS_BIND)
        done = subprocess.run(modes.User().wrap([self.boughfs, "-f", f"{self.path('one')}:{self.path('two')}",
                                                 self.path("pool")]), capture_output=True, text=True, timeout=20,
                              check=False, cwd="/", env={**os.environ, "PATH": os.environ["PATH"] + ":" + empty})
        self.assertEqual(done.returncode, STATUS_MOUNT, done.stderr)
        self.assertIn("fuse3", done.stderr)

    # --- a dead mount
    def _dead_mount(self, mode):
        pool = self.plain_pool(mode)
        pool.process.kill()
        pool.process.wait()
        with self.assertRaises(OSError) as caught:
            os.stat(pool.mountpoint)
        self.assertIn(caught.exception.errno, (errno.ENOTCONN, errno.EACCES))
        again = sandbox.Pool(self.boughfs, mode, pool.branches, pool.mountpoint, (), self.path("again.log"))
        self.pools.append(again)
        again.start()
        again.run(["cat", os.path.join(again.mountpoint, "d/f")])
        self.assertEqual(again.unmount(), 0)
        self.is_gone(again)

    def test_dead_mount_is_mounted_over(self):
        self._dead_mount(modes.Root())

    def test_dead_mount_of_a_user(self):
        self._dead_mount(modes.User())

    def test_dead_mount_in_use_goes(self):
        pool = self.plain_pool(modes.Root())
        used = os.open(os.path.join(pool.mountpoint, "d/f"), os.O_RDONLY)
        try:
            pool.process.kill()
            pool.process.wait()
            again = sandbox.Pool(self.boughfs, modes.Root(), pool.branches, pool.mountpoint, (), self.path("again.log"))
            self.pools.append(again)
            again.start()
            self.assertEqual([path for path, _, _ in processes.mounts()].count(pool.mountpoint), 1)
        finally:
            # kernels that send a FLUSH for it say that nobody answers
            with contextlib.suppress(OSError):
                os.close(used)
        self.assertEqual(again.unmount(), 0)
        self.is_gone(again)

    def test_a_second_pool_is_refused(self):
        pool = self.plain_pool(modes.Root())
        done = subprocess.run([self.boughfs, self.path("one"), pool.mountpoint], capture_output=True, text=True,
                              timeout=20, check=False)
        self.assertEqual(done.returncode, STATUS_MOUNT, done.stderr)
        self.assertIn("has a pool already", done.stderr)
        self.assertEqual(pool.unmount(), 0)
        self.is_gone(pool)

    def test_what_is_mounted_over_a_pool_stays(self):
        pool = self.plain_pool(modes.Root())
        kernel.mount("upper", pool.mountpoint, "tmpfs")
        os.mkdir(os.path.join(pool.mountpoint, "upper's"))
        os.kill(pool.pid, signal.SIGTERM)
        self.assertEqual(pool.wait(), 0, pool.said())
        self.assertEqual(os.listdir(pool.mountpoint), ["upper's"])
        kernel.umount2(pool.mountpoint, 0)
        kernel.umount2(pool.mountpoint, kernel.MNT_DETACH)

    def test_of_two_pools_at_once_one_is_mounted(self):
        branches, mountpoint = self.two_branches(), self.directory("pool")
        for turn in range(20):
            starts = [subprocess.Popen([self.boughfs, branch, mountpoint], stderr=subprocess.PIPE, text=True)
                      for branch in branches]
            said = [start.communicate(timeout=20)[1] for start in starts]
            self.assertEqual(sorted(start.returncode for start in starts), [0, STATUS_MOUNT], f"turn {turn}: {said}")
            self.assertEqual([path for path, _, _ in processes.mounts()].count(mountpoint), 1)
            self.command(["umount", mountpoint])

    def test_a_pool_that_ends_leaves_the_next_alone(self):
        """The kernel gives the next mount the number of the last one."""
        branch, mountpoint = self.directory("one"), self.directory("pool")
        for turn in range(80):
            done = subprocess.run([self.boughfs, branch, mountpoint], capture_output=True, text=True, timeout=20,
                                  check=False)
            self.assertEqual(done.returncode, 0, f"turn {turn}: {done.stderr}")
            done = subprocess.run(["umount", mountpoint], capture_output=True, text=True, timeout=20, check=False)
            self.assertEqual(done.returncode, 0, f"turn {turn}: {done.stderr}")

    # --- who mounts
    def test_as_user(self):
        pool = self.plain_pool(modes.User())
        with self.assertRaises(PermissionError):
            os.stat(pool.mountpoint)  # not even root enters a user's pool
        self.assertEqual(pool.unmount(), 0)
        self.is_gone(pool)

    def test_as_user_by_signal(self):
        pool = self.plain_pool(modes.User())
        os.kill(pool.pid, signal.SIGTERM)
        self.is_gone(pool)

    def test_as_user_lazily(self):
        pool = self.plain_pool(modes.User())
        self.command(modes.User().wrap(["fusermount3", "-u", "-z", pool.mountpoint]))
        self.is_gone(pool)

    def test_in_user_namespace(self):
        self.open_fuse_to_all(True)
        branches = self.two_branches(modes.USER)
        for leave in ("umount", "signal", "abort"):
            mode = modes.UserNamespace()
            pool = self.pool(branches, mode, name="pool-" + leave)
            self.is_served(pool)
            self.assertFalse(processes.is_pool(pool.mountpoint), "seen outside the namespace")
            if leave == "umount":
                self.assertEqual(pool.unmount(), 0)
            elif leave == "signal":
                os.kill(pool.pid, signal.SIGTERM)
                self.assertEqual(pool.wait(), 0)
            else:
                self._abort(pool)
                self.assertEqual(pool.wait(), STATUS_SERVING)
            self.assertFalse(processes.is_pool(pool.mountpoint, mode.holder.pid))

    def test_in_user_namespace_without_the_device(self):
        """fusermount3 cannot help there, and the message names the device."""
        branches = self.two_branches(modes.USER)
        mountpoint = self.directory("pool", owner=modes.USER)
        mode = modes.UserNamespace()
        done = subprocess.run(mode.wrap([self.boughfs, "-f", ":".join(branches), mountpoint]), cwd="/",
                              capture_output=True, text=True, timeout=20, check=False)
        mode.close()
        self.assertEqual(done.returncode, STATUS_MOUNT, done.stderr)
        self.assertIn("/dev/fuse", done.stderr)

    def _given(self, uid):
        branches = self.two_branches(uid)
        mountpoint = self.directory("pool")
        log = self.path("given.log")
        with open(log, "wb") as out:
            server = subprocess.Popen(self.script("preopened.py", mountpoint, str(uid), self.boughfs, "-f",
                                                  ":".join(branches)), cwd="/", stdout=out, stderr=out)
        self.eventually(lambda: processes.is_pool(mountpoint) or server.poll() is not None, 10, "mounted")
        self.assertIsNone(server.poll(), Path(log).read_text())
        user = modes.User() if uid else modes.Root()
        self.command(user.wrap(["sh", "-euc", 'cd "$0"; mkdir d; echo text > d/f; test "$(cat d/f)" = text',
                                mountpoint]), timeout=20)
        return server, mountpoint, log

    def test_given_descriptor(self):
        server, mountpoint, log = self._given(0)
        self.command(["umount", mountpoint])
        self.assertEqual(server.wait(10), 0, Path(log).read_text())

    def test_given_descriptor_without_rights(self):
        server, mountpoint, log = self._given(modes.USER)
        # it cannot clone the device: all its workers share the one descriptor
        os.mkdir(os.path.join(mountpoint, "d/shared"), 0o777)
        user = modes.User()
        os.chown(os.path.join(mountpoint, "d/shared"), user.uid, user.uid)
        crowd = [subprocess.Popen(user.wrap(self.script("crowd_worker.py", mountpoint + "/d", str(who), "150")),
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for who in range(4)]
        for each in crowd:
            said = each.communicate()[0]
            self.assertEqual(each.returncode, 0, said)
        server.terminate()
        self.assertEqual(server.wait(10), 0, Path(log).read_text())
        self.assertTrue(processes.is_pool(mountpoint), "the mount belongs to whoever made it")
        kernel.umount2(mountpoint, kernel.MNT_DETACH)

    # --- what a mount looks like
    def test_what_was_agreed(self):
        """The trace's table fits the kernel's version; nothing is on that this kernel did not offer."""
        pool = self.plain_pool(options=["trace=" + self.path("trace")])
        self.assertEqual(pool.unmount(), 0)
        lines = Path(self.path("trace")).read_text().splitlines()
        first = next(line for line in lines if line.startswith("INIT kernel="))
        minor = int(first.split("kernel=7.")[1].split()[0])
        self.assertIn(f" agreed=7.{min(minor, 45)} ", first)
        rows = {line.split()[0]: line.split()[1:4] for line in lines if line.split()[1:2] in (["yes"], ["no"])}
        self.assertLessEqual(set(FLAGS_SINCE), set(rows))
        for flag, (offered, wanted, agreed) in rows.items():
            self.assertEqual(agreed, "yes" if (offered, wanted) == ("yes", "yes") else "no", flag)
            if minor < FLAGS_SINCE.get(flag, 0):
                self.assertEqual(offered, "no", f"{flag} on a kernel that speaks 7.{minor}")
        self.assertEqual(rows["BIG_WRITES"], ["yes"] * 3)

    def test_mount_table(self):
        pool = self.plain_pool(options=["fsname=my pool", "noatime"])
        found = self.command(["findmnt", "-n", "-o", "FSTYPE,SOURCE,OPTIONS", pool.mountpoint])
        for word in ("fuse.boughfs", "my", "pool", "nosuid", "nodev", "noatime", "allow_other", "default_permissions"):
            self.assertIn(word, found)
        self.assertEqual(pool.unmount(), 0)

    def test_read_only(self):
        pool = self.plain_pool()
        self.assertEqual(pool.unmount(), 0)
        again = self.pool(pool.branches, modes.Root(), ["ro"], name="read-only")
        self.assertEqual(Path(again.mountpoint, "d/f").read_text(), "text\n")
        for change in (lambda: os.mkdir(os.path.join(again.mountpoint, "x")),
                       lambda: os.open(os.path.join(again.mountpoint, "d/f"), os.O_WRONLY),
                       lambda: os.unlink(os.path.join(again.mountpoint, "d/f"))):
            with self.assertRaises(OSError) as caught:
                change()
            self.assertEqual(caught.exception.errno, errno.EROFS)
        self.assertEqual(again.unmount(), 0)

    def test_hygiene(self):
        pool = self.plain_pool()
        status = Path(f"/proc/{pool.pid}/status").read_text()
        self.assertIn("Umask:\t0000", status)
        capabilities = int(status.split("CapEff:\t")[1].split()[0], 16)
        self.assertFalse(capabilities & CAP_SYS_RESOURCE, "CAP_SYS_RESOURCE would let writers ignore quotas")
        own = int(Path("/proc/self/status").read_text().split("CapEff:\t")[1].split()[0], 16)
        if own & CAP_SYS_RESOURCE:  # without it nobody may lower it
            self.assertLess(int(Path(f"/proc/{pool.pid}/oom_score_adj").read_text()), 0)
        self.assertEqual(os.readlink(f"/proc/{pool.pid}/cwd"), "/")
        for entry in os.listdir(f"/proc/{pool.pid}/fdinfo"):
            if int(entry) > 2:
                flags = int(Path(f"/proc/{pool.pid}/fdinfo/{entry}").read_text().split("flags:\t")[1].split()[0], 8)
                self.assertTrue(flags & os.O_CLOEXEC, os.readlink(f"/proc/{pool.pid}/fd/{entry}"))
        limits = Path(f"/proc/{pool.pid}/limits").read_text()
        soft, hard = [line.split()[3:5] for line in limits.splitlines() if line.startswith("Max open files")][0]
        self.assertEqual(soft, hard)
        self.assertEqual(pool.unmount(), 0)
