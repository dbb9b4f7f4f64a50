"""boughfs move, evacuate and balance: what they move is the same afterwards, for all who have it open, in exactly
one place whoever is killed; what they cannot move stays whole, and they say so."""

import json
import os
import random
import signal
import stat
import subprocess
import threading
import time

import kernel
import modes
import sandbox
from moving import Users, holders

STAYED = 9


def facts(path):
    """All that users can see of one name, but for its inode number."""
    info = os.lstat(path)
    seen = [stat.S_IFMT(info.st_mode), info.st_mode, info.st_uid, info.st_gid]
    if stat.S_ISLNK(info.st_mode):
        return (*seen, info.st_mtime_ns, os.readlink(path))
    if stat.S_ISDIR(info.st_mode):
        return tuple(seen)
    seen += [info.st_mtime_ns, info.st_rdev, info.st_nlink]
    if stat.S_ISREG(info.st_mode):
        with open(path, "rb") as file:
            seen.append(file.read())
    return tuple(seen)


def tree(top):
    return {os.path.relpath(os.path.join(folder, name), top): facts(os.path.join(folder, name))
            for folder, folders, files in os.walk(top) for name in folders + files}


def difference(found, wanted):
    """The names that are not the same in both trees. A directory or a special file that was just being made when the
    daemon was killed may lie about under a hidden name."""
    return {name: (name in found, name in wanted) for name in set(found) | set(wanted)
            if found.get(name) != wanted.get(name) and not os.path.basename(name).startswith(".boughfs-")}


def make_tree(top, files=20, seed=1):
    dice = random.Random(seed)
    for number in range(files):
        folder = os.path.join(top, "dir", f"sub{number % 4}")
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, f"file{number}")
        with open(path, "wb") as file:
            file.write(dice.randbytes(dice.choice([0, 1, 5000, 40000])))
        os.chmod(path, dice.choice([0o644, 0o600, 0o4755]))
        os.chown(path, number, 7)
        os.utime(path, (number, 1000 + number))
        if number % 5 == 0:
            os.link(path, os.path.join(top, f"link{number}"))
    os.symlink("nowhere/at all", os.path.join(top, "dir", "symlink"))
    os.mkfifo(os.path.join(top, "dir", "pipe"), 0o640)
    os.mkdir(os.path.join(top, "dir", "empty"), 0o2750)


class Movers(sandbox.LiveCase):
    deadline = 120

    def setUp(self):
        super().setUp()
        self.left = self.file_system("tmpfs", "left", megabytes=64)
        self.right = self.file_system("tmpfs", "right", megabytes=64)
        self.branches = [self.left, self.right]

    def served(self, *options):
        self.one = self.pool(self.branches, modes.Root(),
                             ["minfreespace=0", "category.create=ff", "passthrough.io=off", *options])
        return self.one.mountpoint

    def boughs(self, *words, good=(0,), **more):
        return self.command([self.boughfs, *words], good=good, **more)

    def check_clean(self):
        for branch in self.branches:
            self.assertEqual([name for name in os.listdir(branch) if name.startswith(".boughfs")], [], branch)

    def test_tree(self):
        """With hard links whose other names lie elsewhere; the plan changes nothing."""
        top = self.served()
        make_tree(self.left)
        before, on_left = tree(top), tree(self.left)
        said = self.boughs("move", top + "/dir", "--to", self.right)
        self.assertIn("the same with --go does it", said)
        self.assertEqual((tree(self.left), tree(self.right)), (on_left, {}))
        plan = json.loads(self.boughs("move", top + "/dir", "--to", self.right, "--json"))
        self.assertEqual((plan["event"], plan["files"], plan["go"]), ("plan", 22, False))
        self.boughs("move", top + "/dir", "--to", self.right, "--go", "--verify")
        self.assertEqual(tree(top), before)
        self.assertEqual(tree(self.right), before)
        self.assertEqual(tree(self.left), {})
        # once more: there is nothing to do
        self.boughs("move", top + "/dir", "--to", self.right, "--go")
        self.check_clean()
        self.assertEqual(self.one.unmount(), 0, self.one.said())

    def test_open(self):
        """Who reads, writes, maps and renames a file does not see that it moves."""
        top = self.served()
        users = Users(os.path.join(top, "file"), 3000, 0)
        moves = []

        def go_round():
            while not getattr(users, "over", False):
                there = holders(self.branches, os.path.relpath(users.names[0], top))
                to = self.right if there == [self.left] else self.left
                done = subprocess.run([self.boughfs, "move", users.names[0], "--to", to, "--go"], cwd="/",
                                      capture_output=True, text=True, check=False)
                moves.append((done.returncode, done.stdout + done.stderr))
        mover = threading.Thread(target=go_round)
        mover.start()
        users.run()
        mover.join()
        self.assertEqual(users.errors, [])
        self.assertGreater(sum(status == 0 for status, _ in moves), 1, moves)
        wanted = users.expected()
        for name in users.names:
            with open(name, "rb") as file:
                self.assertTrue(file.read() == wanted, name)
            self.assertEqual(len(holders(self.branches, os.path.relpath(name, top))), 1)
        users.close()
        self.check_clean()

    def test_refused(self):
        top = self.served()
        make_tree(self.left)
        before = tree(self.left)
        self.assertIn("has no such branch", self.boughs("move", top + "/dir", "--to", "/nowhere", good=(1,)))
        self.assertIn("does not exist", self.boughs("move", top + "/none", "--to", self.right, good=(1,)))
        self.assertIn("in no boughfs pool", self.boughs("move", self.left, "--to", self.right, good=(3,)))
        self.assertIn("a branch of no pool", self.boughs("evacuate", "/nowhere", good=(1,)))
        self.assertIn("bytes a second", self.boughs("balance", top, "--max-rate", "fast", good=(1,)))
        said = self.command(modes.User().wrap([self.boughfs, "move", top + "/dir", "--to", self.right, "--go"]),
                            good=(2,))
        self.assertIn("only root", said)
        self.assertEqual(tree(self.left), before)
        self.assertEqual(tree(self.right), {})

    def test_no_room(self):
        """What fits goes, what does not stays whole and is named."""
        top = self.served()
        for name, size in (("large", 40), ("small", 1)):
            with open(os.path.join(self.left, name), "wb") as file:
                file.write(os.urandom(size << 20))
        with open(os.path.join(self.right, "filler"), "wb") as file:
            file.write(bytes(40 << 20))
        before = tree(top)
        said = self.boughs("move", top + "/large", top + "/small", "--to", self.right, good=(0, STAYED))
        self.assertIn("NOT ENOUGH", said)
        said = self.boughs("move", top + "/large", top + "/small", "--to", self.right, "--go", good=(STAYED,))
        self.assertIn(f"stays: {self.left}/large: no other branch has room", said)
        self.assertEqual(tree(top), before)
        self.assertEqual(os.listdir(self.left), ["large"])
        self.check_clean()

    def test_two_copies(self):
        """Neither is moved over the other."""
        top = self.served()
        for branch in self.branches:
            with open(os.path.join(branch, "file"), "w", encoding="ascii") as file:
                file.write(branch)
        said = self.boughs("evacuate", self.left, "--go", good=(STAYED,))
        self.assertIn("another branch has something of that name", said)
        said = self.boughs("evacuate", self.right, "--go", good=(STAYED,))
        self.assertIn("fsck", said)
        for branch in self.branches:
            with open(os.path.join(branch, "file"), encoding="ascii") as file:
                self.assertEqual(file.read(), branch)

    def test_passed_through(self):
        """A file that the kernel reads by itself stays while it is open; the others go."""
        top = self.served("passthrough.io=rw")
        if os.getxattr(top + "/.boughfs", "user.boughfs.passthrough.why-off"):
            self.skipTest("nothing is passed through here")
        for name in ("one", "other"):
            with open(os.path.join(self.left, name), "w", encoding="ascii") as file:
                file.write(name)
        with open(os.path.join(top, "one"), encoding="ascii") as reader:
            said = self.boughs("move", top, "--to", self.right, "--go", good=(STAYED,))
            self.assertIn("/one: it is in use", said)
            self.assertEqual(reader.read(), "one")
        self.assertEqual((os.listdir(self.left), os.listdir(self.right)), (["one"], ["other"]))
        self.boughs("move", top, "--to", self.right, "--go")
        self.assertEqual(os.listdir(self.left), [])

    def started(self, *words):
        return subprocess.Popen([self.boughfs, *words], cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True)

    def moving(self, top):
        return os.getxattr(os.path.join(top, ".boughfs"), "user.boughfs.moves")

    def test_interrupted(self):
        """Ctrl-C, twice, and SIGKILL: the file stays; the same command ends it."""
        top = self.served()
        with open(os.path.join(self.left, "file"), "wb") as file:
            file.write(os.urandom(20 << 20))
        before = tree(top)
        for signals in ([signal.SIGINT, signal.SIGINT], [signal.SIGKILL]):
            mover = self.started("move", top + "/file", "--to", self.right, "--go", "--max-rate", "1M")
            self.eventually(lambda: self.moving(top), 20, "it moves")
            began = time.monotonic()
            for each in signals:
                time.sleep(0.3)
                mover.send_signal(each)
            said, _ = mover.communicate(timeout=20)
            self.assertLess(time.monotonic() - began, 10, "it waits for the whole file")
            if signals[0] == signal.SIGINT:
                self.assertEqual(mover.returncode, STAYED, said)
                self.assertIn("the same command goes on", said)
            self.eventually(lambda: not self.moving(top), 10, "nothing moves any more")
            self.assertEqual(tree(top), before)
            self.assertEqual((os.listdir(self.left), os.listdir(self.right)), (["file"], []))
        self.boughs("move", top + "/file", "--to", self.right, "--go")
        self.assertEqual(tree(self.right), before)

    def test_interrupted_once(self):
        """Ctrl-C: only what is under way is moved, and it is said how much; if that is all, nothing is broken off."""
        top = self.served()
        names = [str(number) for number in range(6)]
        for name in names:
            with open(os.path.join(self.left, name), "wb") as file:
                file.write(os.urandom(2 << 20))
        before = tree(top)
        for left, status in ((5, STAYED), (0, 0)):
            mover = self.started("evacuate", self.left, "--go", "--max-rate", "2M")
            self.eventually(lambda: self.moving(top), 20, "it moves")
            mover.send_signal(signal.SIGINT)
            said, _ = mover.communicate(timeout=20)
            self.assertIn("ending after the 1 file under way (2.0M)", said)
            self.assertEqual((mover.returncode, len(os.listdir(self.left))), (status, left), said)
            self.assertEqual("broken off" in said, left != 0, said)
            self.assertNotIn("stays:", said)
            self.assertEqual(tree(top), before)
            for name in os.listdir(self.left)[1:]:
                os.remove(os.path.join(top, name))
            before = tree(top)

    def test_rate(self):
        top = self.served()
        for number in range(4):
            with open(os.path.join(self.left, str(number)), "wb") as file:
                file.write(os.urandom(1 << 20))
        began = time.monotonic()
        said = self.boughs("move", top, "--to", self.right, "--go", "--max-rate", "2M", "--json")
        self.assertGreater(time.monotonic() - began, 1.5)
        events = [json.loads(line) for line in said.splitlines()]
        self.assertEqual(events[-1]["event"], "end")
        self.assertEqual((events[-1]["files"], events[-1]["stays"]), (4, 0))
        self.assertIn("progress", [each["event"] for each in events])

    def test_evacuate(self):
        """Nothing is left, and nothing new comes there."""
        top = self.served()
        make_tree(self.left, 200)
        os.mkdir(os.path.join(self.left, "lost+found"))
        before = tree(top)
        self.assertIn("it becomes NC", self.boughs("evacuate", self.left))
        self.boughs("evacuate", self.left + "/", "--go")
        self.assertEqual(tree(self.left), {"lost+found": facts(os.path.join(self.left, "lost+found"))})
        self.assertEqual(tree(top), before)
        with open(os.path.join(top, "new"), "xb"):
            pass
        self.assertEqual(holders(self.branches, "new"), [self.right])
        self.check_clean()

    def renamed_while_it_leaves(self, rename):
        """An evacuation of 300 files in three directories, and what rename(top) renames in the pool once it moves some:
        nothing is lost, and what is still there is named."""
        top = self.served()
        contents = {}
        for number in range(300):
            folder = os.path.join(self.left, f"dir{number % 3}")
            os.makedirs(folder, exist_ok=True)
            contents[number] = os.urandom(40000)
            with open(os.path.join(folder, f"file{number}"), "wb") as file:
                file.write(contents[number])
        mover = self.started("evacuate", self.left, "--go", "--max-rate", "6M")
        self.eventually(lambda: self.moving(top) or any(os.scandir(self.right)), 20, "it moves")
        renamed = rename(top)
        said, _ = mover.communicate(timeout=60)
        lie_there = [os.path.join(folder, name) for folder, folders, files in os.walk(self.left)
                     for name in folders + files]
        self.assertEqual(mover.returncode, STAYED if lie_there else 0, said)
        for path in lie_there:
            self.assertIn(f"stays: {path}: ", said)
        found = {}
        for folder, _, files in os.walk(top):
            for name in files:
                with open(os.path.join(folder, name), "rb") as file:
                    found[int(name.removeprefix("file"))] = file.read()
        self.assertEqual(set(found), set(contents))
        self.assertTrue(found == contents)
        for path in renamed:
            self.assertTrue(os.path.exists(path), path)
        self.check_clean()

    def test_evacuate_renamed_files(self):
        """What has another name when its turn comes is found under that."""
        def rename(top):
            names = [(f"{top}/dir{number % 3}/file{number}", f"{top}/dir{(number + 1) % 3}/file{number}")
                     for number in range(0, 300, 15)]
            for old, new in names:
                os.rename(old, new)
            return [new for _, new in names]
        self.renamed_while_it_leaves(rename)

    def test_evacuate_renamed_directory(self):
        def rename(top):
            for number in range(3):
                os.rename(f"{top}/dir{number}", f"{top}/renamed{number}")
            return [f"{top}/renamed{number}" for number in range(3)]
        self.renamed_while_it_leaves(rename)

    def test_evacuate_set_rw(self):
        """Who sets the branch RW again meanwhile is told: nothing new may come where a disk is taken out."""
        top = self.served()
        with open(os.path.join(self.left, "file"), "wb") as file:
            file.write(os.urandom(4 << 20))
        mover = self.started("evacuate", self.left, "--go", "--max-rate", "2M")
        self.eventually(lambda: self.moving(top), 20, "it moves")
        self.boughs("ctl", top, "set", "branches", f"{self.left}=RW:{self.right}=RW")
        said, _ = mover.communicate(timeout=60)
        self.assertEqual(mover.returncode, STAYED, said)
        self.assertIn("was set to RW meanwhile", said)

    def test_two_evacuations(self):
        """At once: neither undoes that the other's branch is NC."""
        third = self.file_system("tmpfs", "third", megabytes=64)
        self.branches.append(third)
        top = self.served()
        for _ in range(5):
            self.boughs("ctl", top, "set", "branches", ":".join(f"{branch}=RW" for branch in self.branches))
            both = [self.started("evacuate", branch, "--go") for branch in (self.left, self.right)]
            said = [one.communicate(timeout=60)[0] for one in both]
            self.assertEqual([one.returncode for one in both], [0, 0], said)
            shown = os.getxattr(top + "/.boughfs", "user.boughfs.branches").decode()
            self.assertEqual(shown, f"{self.left}=NC:{self.right}=NC:{third}=RW")

    def test_named_twice(self):
        """Paths that lie in each other, and hard links between them: each file is moved once."""
        top = self.served()
        make_tree(self.left)
        os.mkdir(os.path.join(self.left, "other"))
        os.link(os.path.join(self.left, "dir", "sub1", "file1"), os.path.join(self.left, "other", "link"))
        before = tree(top)
        said = self.boughs("move", top + "/dir", top + "/other", top + "/dir/sub1/file1", top + "/dir",
                           "--to", self.right, "--go", "--json")
        events = [json.loads(line) for line in said.splitlines()]
        self.assertEqual((events[0]["files"], events[-1]["files"], events[-1]["stays"]), (22, 22, 0), said)
        self.assertEqual(tree(top), before)
        self.assertEqual(tree(self.left), {})

    def test_balance(self):
        top = self.served()
        for number in range(40):
            with open(os.path.join(self.left, f"file{number}"), "wb") as file:
                file.write(os.urandom(1 << 20))
        before = tree(top)
        self.boughs("balance", top, "--go")
        used = []
        for branch in self.branches:
            room = os.statvfs(branch)
            used.append(100 * (room.f_blocks - room.f_bavail) / room.f_blocks)
        self.assertLess(abs(used[0] - used[1]), 5, used)
        self.assertEqual(tree(top), before)
        self.assertIn("there is nothing to do", self.boughs("balance", top))

    def test_killed(self):
        """The daemon, at any moment of an evacuation: after the next start each file is whole, in one place, and the
        same command goes on."""
        top = self.served()
        make_tree(self.left, 60)
        before = tree(top)
        files = [name for name, seen in before.items() if stat.S_ISREG(seen[0])]
        dice = random.Random(5)
        longest = 0.3
        moved_some = False
        for turn in range(200 if self.long_form else 8):
            source, target = (self.left, self.right) if turn % 2 == 0 else (self.right, self.left)
            mover = self.started("move", top, "--to", target, "--go")
            time.sleep(dice.random() * longest)
            self.one.process.kill()
            self.one.process.wait()
            kernel.umount2(top, kernel.MNT_DETACH)
            mover.communicate(timeout=30)
            self.one.start()
            self.assertEqual(difference(tree(top), before), {}, f"turn {turn}")
            for name in files:
                self.assertEqual(len(holders(self.branches, name)), 1, f"turn {turn}, {name}: {self.one.said()}")
            moved = sum(bool(holders([target], name)) for name in files)
            moved_some = moved_some or moved > 0
            # finds out how long it takes here
            longest *= 0.8 if moved == len(files) else 1.3 if moved == 0 else 1
            self.boughs("move", top, "--to", target, "--go")
            self.assertEqual(difference(tree(target), before), {}, f"turn {turn}")
            self.assertEqual(difference(tree(source), {}), {}, f"turn {turn}")
        if self.long_form:
            self.assertTrue(moved_some)
