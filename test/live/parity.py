"""Each call made in the pool gives what it gives natively: result, errno and state. calls.py makes the
calls; ext4 is the native side and every branch, so that a difference is the pool's."""

import fnmatch
import json
import os

import calls
import kernel
import modes
import sandbox

# step patterns → (native outcome, the pool's), each with its reason. Nothing else may differ.
EXCEPTIONS = {
    # the kernel never sends these fallocate modes to a FUSE server
    "space: fallocate collapse": (None, "ENOTSUP"),
    "space: fallocate insert": (None, "ENOTSUP"),
    # chown to nobody arrives as a SETATTR that names no field, like others that must change nothing
    "modes_and_owners: chown f of * to -1 -1: state": ("*", "*"),
}
# A write that goes past the server clears set-ids whoever writes, if they came while the file was open.
EXCEPTIONS_OF_PASSTHROUGH = {
    "modes_and_owners: write to * by root: state": ("*", "*"),
    "modes_and_owners: truncate of * by root: state": ("*", "*"),
} if kernel.RELEASE >= (6, 9) else {}
EXCEPTIONS_OF_SEVERAL = {
    # the two names may lie on different branches, and data never moves for a rename
    "rename_exchange: *": ("*", "*"),
    # a directory's times are those of its first copy; a new name may go to another
    "times: * in moves mtime of d": (True, False),
    # likewise its flags: a copy that is made later is neither immutable nor append-only
    "flags: * d": ("*", "*"),
    "flags: * d: *": ("*", "*"),
    "flags: d: *": ("*", "*"),
    "flags: * in append only": ("*", "*"),
}
# outside the first user namespace the kernel refuses ACLs to FUSE servers that leave them unchecked
EXCEPTIONS_OF_USER_NAMESPACES = {
    "acls: *": ("*", "*"),
}


class Comparison(sandbox.LiveCase):
    """What both groups of parity cases share."""
    tools = ("mkfs.ext4",)
    deadline = 90

    def outcomes(self, directory, *sections, mode=modes.Root()):
        return json.loads(self.command(mode.wrap(self.script("calls.py", directory, *sections)), timeout=120))

    def allowed(self, step, native, pool, tables):
        for table in [EXCEPTIONS, *tables]:
            for pattern, (from_native, from_pool) in table.items():
                if fnmatch.fnmatchcase(step, pattern) and from_native in ("*", native) and from_pool in ("*", pool):
                    return True
        return False

    def compare(self, native, pool, *exceptions):
        differences = []
        for (step, outcome), (other_step, other) in zip(native, pool):
            self.assertEqual(step, other_step, "the two sequences went apart")
            if outcome != other and not self.allowed(step, outcome, other, exceptions):
                differences.append(f"{step}\n    native {outcome}\n    pool   {other}")
        self.assertEqual(len(native), len(pool))
        if differences:
            self.fail(f"{len(differences)} of {len(native)} steps differ:\n" + "\n".join(differences[:60]))


class Parity(Comparison):
    def check(self, section, count):
        native = self.file_system("ext4", "native")
        branches = [self.file_system("ext4", f"disk{number}") for number in range(count)]
        pool = self.pool(branches, modes.Root(), ["minfreespace=1M"])
        expected = self.outcomes(native, section)
        self.compare(expected, self.outcomes(pool.mountpoint, section), EXCEPTIONS_OF_PASSTHROUGH,
                     *([EXCEPTIONS_OF_SEVERAL] if count > 1 else []))
        counters = pool.settle()
        self.assertEqual((counters["nodes"], counters["handles"]), (1, 0), counters)
        self.assertEqual(pool.unmount(), 0, pool.said())
        self.branches_hold(native, branches, section)

    def branches_hold(self, native, branches, section):
        """Without the pool: the same names as natively, each file on one branch only."""
        def files(top):
            return {os.path.relpath(os.path.join(folder, name), top)
                    for folder, directories, names in os.walk(top) for name in names + directories
                    if name in names or os.path.islink(os.path.join(folder, name))}
        each = [files(branch) for branch in branches]
        everything = set().union(*each)
        if len(branches) == 1 or section not in ("rename_exchange", "flags"):
            self.assertEqual(everything, files(native))
            self.assertEqual(sum(map(len, each)), len(everything), "a file is on two branches")


def _case(section, count):
    def test(self):
        self.check(section, count)
    test.__name__ = f"test_{section}_{count}_branch{'es' if count > 1 else ''}"
    return test


for _section in calls.SECTIONS:
    for _count in (1, 3):
        _test = _case(_section, _count)
        setattr(Parity, _test.__name__, _test)


class OrdinaryUsers(Comparison):
    """The whole sequence by a user, in a pool of his own: what root may is refused in the same way."""
    deadline = 120

    def everything(self, mode_class, *exceptions):
        uid = mode_class.uid
        self.open_fuse_to_all(True)
        native = self.file_system("ext4", "native", uid)
        branches = [self.file_system("ext4", f"disk{number}", uid) for number in range(3)]
        mode = mode_class()
        pool = self.pool(branches, mode, ["minfreespace=1M"])
        self.compare(self.outcomes(native, mode=mode), self.outcomes(pool.mountpoint, mode=mode),
                     EXCEPTIONS_OF_SEVERAL, *exceptions)
        counters = pool.settle()
        self.assertEqual((counters["nodes"], counters["handles"]), (1, 0), counters)
        self.assertEqual(pool.unmount(), 0, pool.said())

    def test_user(self):
        self.everything(modes.User)

    def test_user_namespace(self):
        self.everything(modes.UserNamespace, EXCEPTIONS_OF_USER_NAMESPACES)
