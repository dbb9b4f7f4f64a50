"""posix-acl: the kernel judges by the ACLs that the branch holds."""

import os
import struct
import subprocess

import modes
import sandbox

ACCESS = "system.posix_acl_access"
DEFAULT = "system.posix_acl_default"
USER_OBJ, USER, GROUP_OBJ, MASK, OTHER = 1, 2, 4, 16, 32
NOBODY = 0xFFFFFFFF
GUEST = 4321


def acl(user, mask):
    """rw for the owner, `user` for GUEST, nothing for the rest."""
    entries = [(USER_OBJ, 6, NOBODY), (USER, user, GUEST), (GROUP_OBJ, 0, NOBODY), (MASK, mask, NOBODY),
               (OTHER, 0, NOBODY)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


class Acl(sandbox.LiveCase):
    tools = ("mkfs.ext4",)

    def guest_reads(self, path):
        return subprocess.run(["cat", path], user=GUEST, group=GUEST, extra_groups=[], capture_output=True,
                              check=False).returncode == 0

    def made_pool(self, *options):
        disk = self.file_system("ext4", "disk")
        return disk, self.pool([disk], modes.Root(), ["minfreespace=0", *options])

    def test_posix_acl(self):
        """A grant to a user counts, a directory's default ACL is inherited, and chmod changes the mask."""
        disk, pool = self.made_pool("posix-acl=true")
        os.chmod(disk, 0o755)
        self.assertEqual(os.getxattr(os.path.join(pool.mountpoint, ".boughfs"), "user.boughfs.posix-acl"), b"true")
        path = os.path.join(pool.mountpoint, "f")
        with open(path, "w", encoding="ascii") as file:
            file.write("text")
        os.chmod(path, 0o600)
        self.assertFalse(self.guest_reads(path))
        os.setxattr(path, ACCESS, acl(4, 4))
        self.assertEqual(os.getxattr(os.path.join(disk, "f"), ACCESS), acl(4, 4))
        self.assertTrue(self.guest_reads(path))
        os.chmod(path, 0o600)
        self.assertFalse(self.guest_reads(path))
        self.assertEqual(os.getxattr(os.path.join(disk, "f"), ACCESS), acl(4, 0))
        directory = os.path.join(pool.mountpoint, "d")
        os.mkdir(directory)
        os.setxattr(directory, DEFAULT, acl(4, 4))
        with open(os.path.join(directory, "g"), "w", encoding="ascii") as file:
            file.write("text")
        self.assertEqual(os.getxattr(os.path.join(disk, "d/g"), ACCESS), acl(4, 4))
        self.assertTrue(self.guest_reads(os.path.join(directory, "g")))
        self.assertEqual(pool.unmount(), 0)

    def test_without(self):
        """By default mode bits alone count."""
        disk, pool = self.made_pool()
        os.chmod(disk, 0o755)
        path = os.path.join(pool.mountpoint, "f")
        with open(os.path.join(disk, "f"), "w", encoding="ascii") as file:
            file.write("text")
        os.chmod(os.path.join(disk, "f"), 0o600)
        os.setxattr(os.path.join(disk, "f"), ACCESS, acl(4, 4))
        self.assertFalse(self.guest_reads(path))
        self.assertEqual(pool.unmount(), 0)

    def test_never_forget(self):
        """What has a name stays known after the kernel forgot it."""
        disk, pool = self.made_pool("never-forget-nodes=true")
        pool.shell("mkdir d; for i in $(seq 1 50); do echo > d/$i; done; ls -l d > /dev/null")
        kept = pool.counters()["nodes"]
        subprocess.run(["sh", "-c", "sync; echo 2 > /proc/sys/vm/drop_caches"], check=True)
        self.assertGreaterEqual(pool.counters()["nodes"], 52)
        self.assertGreaterEqual(kept, 52)
        pool.shell("rm -r d")
        self.eventually(lambda: pool.counters()["nodes"] <= 2, 10, "what has no name goes")
        self.assertEqual(os.listdir(disk), [])
        self.assertEqual(pool.unmount(), 0)
