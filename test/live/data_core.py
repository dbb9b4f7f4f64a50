"""What of group data is made on other kernels: some modes on ext4, with every call."""

import data


class Core(data.Matrix):
    tools = ("mkfs.ext4",)
    deadline = 600

    def test_calls(self):
        self.in_each_mode("ext4", ("off", "auto", "served", "writeback"))


class Exercise(data.Sequences):
    tools = ("mkfs.ext4",)
    deadline = 300

    def test_modes(self):
        self.in_each_mode("ext4", ("off", "partial", "auto", "writeback"), 600)
