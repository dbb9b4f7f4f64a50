"""ext4 file systems in images in RAM."""

import os
import subprocess

# of all images together, however many they are; sparse
TOTAL = 1536 << 20
LARGEST = 1 << 30


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
            # mkfs would give so small a file system blocks of 1 KiB
            subprocess.run(["mkfs.ext4", "-q", "-F", "-b", "4096", "-i", "4096", "-E", "lazy_itable_init=1,nodiscard",
                            path + ".img"], check=True)
            subprocess.run(["mount", "-o", "loop", path + ".img", path], check=True)
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
