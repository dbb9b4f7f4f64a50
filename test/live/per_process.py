"""cache.files=per-process: real processes under listed and other names, and which mode each open got, as the trace
tells it."""

import os
import re
import shutil
import subprocess
import sys
import textwrap

import modes
import sandbox

LONG = "a-program-with-a-long-name"
READ = "import sys; open(sys.argv[1], 'rb').read()"


class PerProcess(sandbox.LiveCase):
    def setUp(self):
        super().setUp()
        self.branch = self.directory("branch")
        self.programs = self.directory("programs")
        self.trace = self.path("trace")
        self.opened = 0

    def program(self, name, of="/bin/cat"):
        """A copy of a program under another name."""
        return shutil.copy(os.path.realpath(of), os.path.join(self.programs, name))

    def python(self, name):
        return self.program(name, sys.executable)

    def serve(self, *names):
        options = ["minfreespace=1M", f"trace={self.trace}", "cache.files=per-process"]
        if names:
            options.append("cache.files.process-names=" + "|".join(names))
        self.served = self.pool([self.branch], modes.Root(), options)

    def file(self):
        """A new file of the pool."""
        self.opened += 1
        name = f"file{self.opened}"
        with open(os.path.join(self.branch, name), "w", encoding="ascii") as file:
            file.write("content")
        return os.path.join(self.served.mountpoint, name)

    def cached(self, path):
        """Whether each open of that file got the page cache."""
        with open(self.trace, encoding="utf-8", errors="replace") as lines:
            replies = re.findall(rf' OPEN .* path="/{os.path.basename(path)}" -> .* open=(\S*)', lines.read())
        self.assertTrue(replies, f"no open of {path}")
        return ["DIRECT_IO" not in reply for reply in replies]

    def check(self, expected, *argv, opens=1, **more):
        """The command opens a file, `opens` times."""
        path = self.file()
        self.command([*argv, path], **more)
        self.assertEqual(self.cached(path), [expected] * opens, argv)

    def ends(self):
        self.assertEqual(self.served.unmount(), 0, self.served.said())

    def test_default_names(self):
        self.serve()
        for name, listed in (("rtorrent", True), ("qbittorrent-nox", True), ("cat", False), ("rtorrent2", False),
                             ("rtorren", False), ("RTORRENT", False), ("qbittorrent-no", False),
                             ("rtorrent|qbitto", False), ("qbittorrent-nox-of-mine", True)):
            self.check(listed, self.program(name))
        self.ends()

    def test_long_names(self):
        self.serve("other", LONG)
        for name, listed in ((LONG, True), (LONG[:15], True), (LONG[:15] + "-also", True), (LONG[:14], False),
                             ("other", True), ("rtorrent", False)):
            self.check(listed, self.program(name))
        self.ends()

    def test_creating(self):
        """CREATE and TMPFILE as OPEN."""
        self.serve()
        code = "import os, sys; os.open(sys.argv[1] + '-new', os.O_CREAT | os.O_RDWR)\n" \
               "os.open(os.path.dirname(sys.argv[1]), os.O_TMPFILE | os.O_RDWR)"
        for name, direct in (("rtorrent", False), ("python", True)):
            before = os.path.getsize(self.trace)
            self.command([self.python(name), "-c", code, self.file()])
            with open(self.trace, encoding="utf-8", errors="replace") as lines:
                lines.seek(before)
                replies = re.findall(r" (CREATE|TMPFILE) .* -> .* open=(\S*)", lines.read())
            self.assertEqual([(made, "DIRECT_IO" in flags) for made, flags in replies],
                             [("CREATE", direct), ("TMPFILE", direct)])
        self.ends()

    def test_threads(self):
        """The process' name counts, not the thread's: that of its first thread, or that of its program."""
        code = textwrap.dedent("""
            import ctypes, os, sys, threading
            def name(text):
                assert ctypes.CDLL(None).prctl(15, text.encode(), 0, 0, 0) == 0
            def in_thread():
                name(sys.argv[2])
                open(sys.argv[3], "rb").read()
            if sys.argv[1]:
                name(sys.argv[1])
            thread = threading.Thread(target=in_thread)
            thread.start()
            thread.join()
            open(sys.argv[3], "rb").read()
        """)
        self.serve()
        listed, other = self.python("rtorrent"), self.python("cat")
        self.check(True, listed, "-c", code, "", "disk thread", opens=2)
        self.check(False, other, "-c", code, "", "rtorrent", opens=2)
        self.check(True, other, "-c", code, "rtorrent", "disk thread", opens=2)
        self.check(True, listed, "-c", code, "renamed", "renamed too", opens=2)
        self.check(False, other, "-c", code, "renamed", "rtorrent", opens=2)
        self.ends()

    def test_scripts(self):
        """A script has its own name when the kernel finds its interpreter, and that of the interpreter always."""
        self.serve("rtorrent", "interpreter")
        interpreter, other = self.python("interpreter"), self.python("python")
        for name, by, listed in (("rtorrent", other, True), ("script", interpreter, True), ("script", other, False)):
            script = os.path.join(self.programs, name)
            with open(script, "w", encoding="ascii") as file:
                file.write(f"#!{by}\n{READ}\n")
            os.chmod(script, 0o755)
            self.check(listed, script)
            self.check(by == interpreter, by, script)
        self.ends()

    def test_exec_after_fork(self):
        """One process number, with another name after exec, at once."""
        code = textwrap.dedent("""
            import os, sys
            path = sys.argv[-1]
            open(path, "rb").read()
            pid = os.fork()
            if pid == 0:
                open(path, "rb").read()
                os.execv(sys.argv[1], [sys.argv[1], path])
            sys.exit(os.waitpid(pid, 0)[1])
        """)
        self.serve()
        for _ in range(20):
            path = self.file()
            self.command([self.python("python"), "-c", code, self.program("rtorrent"), path])
            self.assertEqual(self.cached(path), [False, False, True])
            path = self.file()
            self.command([self.python("rtorrent"), "-c", code, self.program("cat"), path])
            self.assertEqual(self.cached(path), [True, True, False])
        self.ends()

    def test_pid_namespace(self):
        self.serve()
        for name, listed in (("rtorrent", True), ("cat", False)):
            self.check(listed, "unshare", "--pid", "--fork", self.program(name))
            self.check(listed, "unshare", "--pid", "--fork", "--mount-proc", "unshare", "--pid", "--fork", "--mount-proc",
                       self.program(name))
        # a thread of a process in there has other numbers in each namespace
        code = "import sys, threading; " \
               "thread = threading.Thread(target=lambda: open(sys.argv[1], 'rb').read()); thread.start(); thread.join()"
        for name, listed in (("rtorrent", True), ("python", False)):
            self.check(listed, "unshare", "--pid", "--fork", "--mount-proc", self.python(name), "-c", code)
        self.ends()

    def test_reused_numbers(self):
        """Another process that gets the number of one that has just ended; and callers whom the server's PID
        namespace does not know."""
        rounds = 20
        listed, other = self.program("rtorrent"), self.program("cat")
        for program in (listed, other):
            for number in range(rounds + 1):
                with open(os.path.join(self.branch, f"{os.path.basename(program)}-{number}"), "wb") as file:
                    file.write(b"content")
        mountpoint = self.directory("pool")
        options = f"minfreespace=1M,trace={self.trace},cache.files=per-process"
        server = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *self.script(
            "reused_numbers.py", self.boughfs, options, self.branch, mountpoint, str(rounds), listed, other)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
        self.assertEqual(server.stdout.readline(), b"ready\n")
        for program in (listed, other):
            path = os.path.join(mountpoint, f"{os.path.basename(program)}-{rounds}")
            self.command(["nsenter", "-t", str(server.pid), "-m", program, path])
            self.assertEqual(self.cached(path), [False], "a caller of another namespace is in no list")
        server.communicate(timeout=30)
        self.assertEqual(server.returncode, 0)
        with open(self.trace, encoding="utf-8", errors="replace") as lines:
            opens = re.findall(r' pid=(\d+) OPEN .* path="/(\w+)-(\d+)" -> .* open=(\S*)', lines.read())
        self.assertEqual([number for number, _, turn, _ in opens if int(turn) == rounds], ["0", "0"])
        same = [number for number, _, _, _ in opens].count("1000")
        self.assertGreater(same, rounds, "the numbers were not used again")
        for _, name, turn, flags in opens:
            if int(turn) < rounds:
                self.assertEqual("DIRECT_IO" not in flags, name == "rtorrent", (name, turn))
