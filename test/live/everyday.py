"""What people do with a pool: unpack, version control, copy there and back, a database. On three
branches of three kinds, as root, as an ordinary user, and in a user namespace."""

import json
import os
import unittest

import modes
import sandbox


class Everyday(sandbox.LiveCase):
    """The scenarios; the classes below say who runs them."""
    deadline = 90
    mode_of = modes.Root
    copying = ("-aHAX",)

    def setUp(self):
        super().setUp()
        self.open_fuse_to_all(self.mode_of is not modes.Root)
        self.branches = self.three_branches(self.mode_of.uid)
        # after everything is mounted: a namespace takes a copy of the mounts
        mode = self.mode_of()
        self.scratch = self.directory("scratch", owner=mode.uid)
        self.made_pool = self.pool(self.branches, mode)
        self.top = self.made_pool.mountpoint

    def tree(self, *tops, without=(), through=None):
        """What tree.py tells, seen by the pool's user or, without a pool, by root."""
        argv = self.script("tree.py", "--without=" + ",".join(without), *tops)
        return json.loads(through.run(argv) if through else self.command(argv))

    def same_trees(self, first, second, what):
        for path in sorted(set(first) | set(second)):
            if first.get(path) != second.get(path):
                self.fail(f"{what}: {path}\n   {first.get(path)}\n   {second.get(path)}")

    def afterwards(self):
        """What must be true after each use: one live node, no process, branches whole on their own."""
        pool = self.made_pool
        # seen from inside a user namespace, owners have other numbers; trusted.* needs true root
        without = ["uid", "gid"] if pool.mode.name == "userns" else []
        if pool.mode.name != "root":
            without.append("xattrs")
        seen = self.tree(self.top, without=without, through=pool)
        counters = pool.settle()
        self.assertEqual(counters["nodes"], 1, f"nodes left after the caches were dropped: {counters}")
        self.assertEqual(counters["handles"], 0, counters)
        self.assertEqual(pool.unmount(), 0, pool.said())
        whole = self.tree(*self.branches, without=without)
        # the pool's root is a directory of every branch
        seen.pop("."), whole.pop(".")
        self.same_trees(seen, whole, "the pool (first) and its branches without it (second) differ")
        used = sum(1 for branch in self.branches if any(os.scandir(branch)))
        self.assertGreater(used, 1, "everything went to one branch: this tested no union")

    # --- the scenarios
    def test_untar(self):
        parts = ["include"] if self.long_form else ["include/linux", "include/c++"]
        self.command(["tar", "-C", "/usr", "-cf", self.path("usr.tar"), *parts])
        self.made_pool.run(["tar", "-xf", self.path("usr.tar"), "-C", self.top], timeout=600)
        for part in parts:
            self.made_pool.run(["diff", "-r", "--no-dereference", f"/usr/{part}", f"{self.top}/{part}"],
                               timeout=600)
        native = self.directory("native", owner=self.made_pool.mode.uid)
        self.made_pool.run(["tar", "-xf", self.path("usr.tar"), "-C", native], timeout=600)
        pool = self.made_pool
        for part in parts:
            self.same_trees(self.tree(os.path.join(native, part), through=pool),
                            self.tree(os.path.join(self.top, part), through=pool),
                            "unpacked natively (first) and in the pool (second) differ")
        self.afterwards()

    def test_git(self):
        environment = {**os.environ, "HOME": self.scratch, "GIT_CONFIG_NOSYSTEM": "1",
                       "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org",
                       "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"}
        source = "/usr/include/linux" if self.long_form else "/usr/include/linux/netfilter"
        self.made_pool.shell("""
            git init -q -b main first
            cp -r "$1" first/source
            git -C first add .
            git -C first commit -q -m one
            git -C first mv source moved
            echo more > first/added
            git -C first add added
            git -C first commit -q -m two
            git clone -q first second
            git clone -q --bare --no-hardlinks first third.git
            diff -r "$1" second/moved
            echo changed > second/added
            git -C second commit -q -a -m three
            git -C second push -q origin main:other
            git -C first merge -q other
            test "$(cat first/added)" = changed
            git -C first gc -q
            for each in first second third.git; do git -C $each fsck --strict --full; done
            test -z "$(git -C first status --porcelain)"
            test "$(git -C first log --oneline | wc -l)" = 3
            """, source, environment=environment)
        self.afterwards()

    def _tree_of_everything(self, top):
        """Made natively: what rsync -aHAX is asked to carry."""
        pool = self.made_pool
        pool.shell("""
            mkdir -p deep/er/and/deeper empty .hidden 'a name with spaces and ünïcode'
            for i in $(seq 1 150); do echo "file $i" > "deep/er/file $i"; done
            head -c 3000000 /dev/urandom > big
            truncate -s 5M sparse; printf x | dd of=sparse bs=1 seek=3000000 conv=notrunc status=none
            ln -s ../nowhere dangling; ln -s deep/er link-to-directory; ln -s big link-to-file
            for i in 1 2 3; do ln big deep/big-$i; done; ln 'deep/er/file 7' empty-name; rm empty-name
            ln 'deep/er/file 8' deep/er/and/deeper/eight
            mkfifo fifo
            chmod 4755 'deep/er/file 1'; chmod 0600 'deep/er/file 2'; chmod 0444 'deep/er/file 3'
            chmod 2775 deep/er/and; chmod 1777 empty
            find . -exec touch -h -d '2005-05-05 05:05:05.5' {} +
            touch -d '2001-02-03 04:05:06.123456789' big deep .hidden
            touch -d '1969-07-20 20:17:40' 'deep/er/file 4'
            touch -h -d '2011-11-11 11:11:11' dangling
            """, cwd=top)
        for number in range(20):
            target = os.path.join(top, f"deep/er/file {number + 10}")
            os.setxattr(target, "user.one", b"value %d" % number)
            os.setxattr(target, "user.empty", b"")
        os.setxattr(os.path.join(top, "deep"), "user.on-a-directory", b"\0\1\2")
        if pool.mode.acls:
            self.command(["setfacl", "-m", "u:1:rw,g:2:r", os.path.join(top, "deep/er/file 5")])
            self.command(["setfacl", "-m", "u:3:rwx,d:u:4:rx", os.path.join(top, "deep/er/and")])
        if pool.mode.name == "root":
            os.mknod(os.path.join(top, "null"), 0o20666, os.makedev(1, 3))
            os.utime(os.path.join(top, "null"), (1_000_000_000, 1_000_000_000))
            os.chown(os.path.join(top, "deep/er/file 6"), 1234, 4321)
            os.chown(os.path.join(top, "dangling"), 12, 13, follow_symlinks=False)
            os.setxattr(os.path.join(top, "big"), "trusted.mark", b"of root")

    def test_rsync(self):
        pool = self.made_pool
        source = self.directory("source", owner=pool.mode.uid)
        back = self.directory("back", owner=pool.mode.uid)
        self._tree_of_everything(source)
        pool.run(["rsync", *self.copying, "--delete", source + "/", f"{self.top}/copy/"])
        pool.run(["rsync", *self.copying, "--delete", f"{self.top}/copy/", back + "/"])

        def no_difference(one, other):
            said = pool.run(["rsync", *self.copying, "-n", "--checksum", "--delete", "-i", one + "/", other + "/"])
            self.assertEqual(said, "", "rsync would still change something")

        no_difference(source, f"{self.top}/copy")
        no_difference(source, back)
        # independent of rsync; the tops themselves were made at different times before it came
        without = ["xattrs"] if pool.mode.name == "userns" else []
        there, gone, home = (self.tree(top, through=pool, without=without)
                             for top in (source, f"{self.top}/copy", back))
        for tree in (there, gone, home):
            tree.pop(".")
        self.same_trees(there, gone, "the source (first) and its copy in the pool (second) differ")
        self.same_trees(there, home, "the source (first) and what came back (second) differ")
        # a second copy has nothing to do, a changed file is found and carried
        pool.shell("echo changed > 'deep/er/file 9'; rm 'deep/er/file 10'; mv deep/er/and moved", cwd=source)
        pool.run(["rsync", *self.copying, "--delete", source + "/", f"{self.top}/copy/"])
        no_difference(source, f"{self.top}/copy")
        self.afterwards()

    def test_sqlite(self):
        pool = self.made_pool
        rounds = 400 if self.long_form else 60
        for journal in ("delete", "wal"):
            database = f"{self.top}/{journal}.db"
            said = pool.run(self.script("sqlite_writers.py", database, journal, "4", str(rounds)),
                            timeout=600)
            self.assertEqual(said.strip(), f"ok {4 * rounds}")
            self.assertEqual(pool.run(["sqlite3", database, "PRAGMA integrity_check"]).strip(), "ok")
        # sqlite takes its companions away with the last connection
        self.assertEqual(sorted(pool.run(["ls", self.top]).split()), ["delete.db", "wal.db"])
        pool.shell("mkdir more; for i in $(seq 1 20); do cp delete.db more/$i.db; done")
        self.afterwards()
        for branch in self.branches:
            for folder, _, files in os.walk(branch):
                for name in files:
                    self.assertEqual(self.command(["sqlite3", os.path.join(folder, name),
                                                   "PRAGMA integrity_check"]).strip(), "ok")


class AsRoot(Everyday):
    # XFS shows a superuser its ACLs a second time; a rule for attributes replaces rsync's own (system.*)
    copying = ("-aHAX", "--filter=-x trusted.SGI_ACL_*", "--filter=-x system.*")
    tools = ("mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "rsync", "git", "sqlite3", "setfacl")


class AsUser(Everyday):
    tools = AsRoot.tools + ("fusermount3", "setpriv")
    mode_of = modes.User


class InUserNamespace(Everyday):
    tools = AsRoot.tools + ("nsenter", "unshare")
    mode_of = modes.UserNamespace


def load_tests(loader, _tests, _pattern):
    return unittest.TestSuite(loader.loadTestsFromTestCase(each) for each in (AsRoot, AsUser, InUserNamespace))
