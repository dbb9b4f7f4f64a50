"""ext4 file systems in images in RAM."""

import os
import subprocess

# Of all images together, however many they are; sparse, so that they need no more RAM than what is
# written to them. Even one of 64, 2 GiB, has room to spare as the disks of a pool have: boughfs asks
# a nearly full disk for its free space at each create.
TOTAL = 128 << 30
LARGEST = 8 << 30


class Disks:
    def __init__(self, folder, count):
        self.folder = folder
        self.paths = []
        size = min(TOTAL // count, LARGEST)
        for number in range(count):
            path = os.path.join(folder, f"disk{number}")
            os.mkdir(path)
            with open(path + ".img", "wb") as image:
                image.truncate(size)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "size=16", "-E",
                            "lazy_itable_init=1,lazy_journal_init=1,nodiscard", path + ".img"], check=True)
            subprocess.run(["mount", "-o", "loop,noinit_itable", path + ".img", path], check=True)
            self.paths.append(path)

    def branches(self, name):
        """A directory of that name on every disk."""
        made = [os.path.join(path, name) for path in self.paths]
        for path in made:
            os.mkdir(path)
        return made

    def remove(self):
        for path in self.paths:
            subprocess.run(["umount", path], check=True)
            os.unlink(path + ".img")
            os.rmdir(path)
