"""Hard and symbolic links: what the options about them do on real disks."""

import os
from pathlib import Path

import modes
import sandbox


class Links(sandbox.LiveCase):
    tools = ("mkfs.ext4",)

    def test_link_cow(self):
        """Whoever writes to a name with link-cow leaves the other names as they were."""
        disk = self.file_system("ext4", "disk")
        pool = self.pool([disk], modes.Root(), ["link-cow=true", "minfreespace=0"])
        with open(os.path.join(disk, "a"), "wb") as file:
            file.write(b"begin")
            file.truncate(8 << 20)
        os.chmod(os.path.join(disk, "a"), 0o640)
        os.setxattr(os.path.join(disk, "a"), "user.x", b"y")
        pool.shell("ln a b; ln a c; ls -li > /dev/null; printf B | dd of=b conv=notrunc status=none; head -c 5 b")
        heads = [Path(disk, name).read_bytes()[:5] for name in "abc"]
        self.assertEqual(heads, [b"begin", b"Begin", b"begin"])
        self.assertEqual([os.stat(os.path.join(disk, name)).st_nlink for name in "abc"], [2, 1, 2])
        copy = os.stat(os.path.join(disk, "b"))
        self.assertEqual((copy.st_size, copy.st_mode), (8 << 20, 0o100640))
        self.assertLess(copy.st_blocks * 512, 1 << 20, "the hole was filled")
        self.assertEqual(os.getxattr(os.path.join(disk, "b"), "user.x"), b"y")
        # a reader keeps what it opened, the writer's open succeeds at once
        with open(os.path.join(pool.mountpoint, "a"), "rb", buffering=0) as reader:
            with open(os.path.join(pool.mountpoint, "a"), "r+b", buffering=0) as writer:
                writer.write(b"A")
            self.assertEqual(reader.read(5), b"begin")
        self.assertEqual(Path(pool.mountpoint, "a").read_bytes()[:5], b"Aegin")
        self.assertNotEqual(os.stat(os.path.join(pool.mountpoint, "a")).st_ino,
                            os.stat(os.path.join(pool.mountpoint, "c")).st_ino)
        pool.shell("ln c d; truncate -s 3 c; stat -c %s d")
        self.assertEqual(os.path.getsize(os.path.join(disk, "d")), 8 << 20)
        self.assertEqual([name for name in os.listdir(disk) if name.startswith(".boughfs-")], [])
        self.assertEqual(pool.unmount(), 0)
