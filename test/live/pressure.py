"""Little memory: a program that dirties a large mapping of a file in the pool, and the daemon that is to
write it back, in one memory-limited cgroup. The one must not wait for the other."""

import contextlib
import os
import subprocess

import modes
import processes
import sandbox

# where each version of cgroups has its groups, and what limits the memory of one
VERSIONS = (("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"))


class Pressure(sandbox.LiveCase):
    tools = ("mkfs.ext4",)
    deadline = 120

    @contextlib.contextmanager
    def group(self, megabytes):
        folder, limit = next(filter(None, (self.new_group(*each) for each in VERSIONS)), ("", ""))
        if not folder:
            self.skipTest("no memory controller of cgroups here")
        try:
            self.write(os.path.join(folder, limit), megabytes << 20)
            yield os.path.join(folder, "cgroup.procs")
        finally:
            def removed():
                try:
                    os.rmdir(folder)
                    return True
                except OSError:
                    return False
            processes.wait_until(removed, 10)

    def new_group(self, top, limit):
        """A new group below `top`, if one can be made there and its memory be limited."""
        folder = os.path.join(top, f"boughfs-live-{os.getpid()}")
        try:
            os.mkdir(folder)
        except OSError:
            return None
        if os.path.exists(os.path.join(folder, limit)):
            return folder, limit
        os.rmdir(folder)
        return None

    def write(self, path, value):
        with open(path, "w", encoding="ascii") as file:
            file.write(str(value))

    def dirty_mapping(self, branch, limit):
        size = (2000 if self.long_form else 300) << 20
        pool = self.pool([branch], modes.Root(), ["minfreespace=1M"])
        path = os.path.join(pool.mountpoint, "mapped")
        with self.group(limit) as members:
            self.write(members, pool.pid)
            client = subprocess.Popen(["sh", "-c", 'echo $$ > "$0" && exec "$@"', members,
                                       *self.script("dirty_mapping.py", path, str(size))],
                                      cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            try:
                said = client.communicate(timeout=100)[0]
            except subprocess.TimeoutExpired:
                self.fail(f"a deadlock:\n{processes.stacks(client.pid)}\n{processes.stacks(pool.pid)}")
            self.assertEqual((client.returncode, said), (0, "ok\n"))
            self.assertIsNone(pool.process.poll(), "the daemon was killed for want of memory")
            self.command(self.script("dirty_mapping.py", "--check", os.path.join(branch, "mapped"), str(size)))
            os.unlink(path)
            self.assertEqual(pool.unmount(), 0, pool.said())

    def test_ext4(self):
        # a sanitizer's own memory counts too
        libraries = self.command(["ldd", self.boughfs])
        self.dirty_mapping(self.file_system("ext4", "disk"), 150 if "san.so" in libraries else 48)
