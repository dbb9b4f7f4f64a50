"""Who serves a pool and who uses it."""

import subprocess

USER = 12345


class Root:
    name = "root"
    uid = 0
    acls = True

    def wrap(self, argv):
        return list(argv)

    def unmount_command(self, mountpoint):
        return ["umount", mountpoint]

    def close(self):
        pass


class User(Root):
    """An ordinary user, who mounts with fusermount3. That opens /dev/fuse with his own rights."""
    name = "user"
    uid = USER

    def __init__(self, groups=()):
        self.groups = list(groups)

    def wrap(self, argv):
        groups = ["--groups", ",".join(map(str, self.groups))] if self.groups else ["--clear-groups"]
        return ["setpriv", "--reuid", str(self.uid), "--regid", str(self.uid), *groups, *argv]

    def unmount_command(self, mountpoint):
        return self.wrap(["fusermount3", "-u", mountpoint])


class UserNamespace(Root):
    """An ordinary user who is root in a user and mount namespace of his own."""
    name = "userns"
    uid = USER
    acls = False  # the kernel refuses them to a FUSE server outside the first user namespace

    def __init__(self):
        self.holder = subprocess.Popen(
            User().wrap(["unshare", "-Urm", "sh", "-c", "echo ready; exec cat"]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
        if self.holder.stdout.readline() != b"ready\n":
            raise AssertionError("no user namespace")

    def wrap(self, argv):
        return ["nsenter", "-t", str(self.holder.pid), "-U", "-m", *argv]

    def unmount_command(self, mountpoint):
        return self.wrap(["umount", mountpoint])

    def close(self):
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()
