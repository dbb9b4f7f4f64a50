#!/usr/bin/env python3
"""Checks who includes whom: the layers of ARCHITECTURE.md, as a table.

Without arguments checks the tree that this script lies in. --self-test checks the checker: a tree for
every rule, once kept and once broken.
"""

import pathlib
import re
import sys
import tempfile

# A folder may include its own headers and those of the folders named here; nothing else.
EDGES = {
    "proto": set(),
    "policy": set(),
    "session": {"proto"},
    "ops": {"proto", "policy"},
    "cli": {"proto", "policy", "session", "ops"},
    "test": {"proto", "policy", "session", "ops", "cli"},
}

STANDARD = set(
    """algorithm any array atomic barrier bit bitset charconv chrono compare complex concepts
    condition_variable coroutine deque exception execution filesystem format forward_list fstream
    functional future initializer_list iomanip ios iosfwd iostream istream iterator latch limits list
    locale map memory memory_resource mutex new numbers numeric optional ostream queue random ranges
    ratio regex scoped_allocator semaphore set shared_mutex source_location span sstream stack
    stdexcept stop_token streambuf string string_view strstream syncstream system_error thread tuple
    type_traits typeindex typeinfo unordered_map unordered_set utility valarray variant vector version
    cassert cctype cerrno cfenv cfloat cinttypes climits clocale cmath csetjmp csignal cstdarg cstddef
    cstdint cstdio cstdlib cstring ctime cuchar cwchar cwctype""".split()
)

# What the purest folders do not use even of the standard library: clocks (durations are no clocks),
# randomness, threads, files.
CLOCKS = {"ctime"}
CLOCK_NAME = re.compile(r"\bstd::chrono::\w+_clock\b")
RANDOMNESS = {"random"}
THREADS = set(
    "thread mutex shared_mutex condition_variable future semaphore latch barrier stop_token".split()
)
FILES = set("filesystem fstream iostream".split())

PURE = STANDARD - CLOCKS - RANDOMNESS - THREADS - FILES

# The renderer spells out constants that the wire carries (O_*, POLL*, FS_IOC_*): it needs their values
# and calls nothing of these headers.
CONSTANTS = {"proto/render.cpp": {"fcntl.h", "linux/fs.h", "poll.h", "unistd.h"}}


def allowed_system_header(file, name):
    """Whether the file at `file`, from the top of the tree, may say #include <name>; if not, why."""
    folder = file.split("/")[0]
    if folder in ("proto", "policy"):
        allowed = PURE | CONSTANTS.get(file, set())
        return name in allowed, "only the pure part of the standard library belongs here"
    if name.startswith("boost/"):
        return folder in ("session", "cli", "test"), "Boost belongs to session and cli"
    if name.startswith("CLI/"):
        return folder == "cli", "CLI11 belongs to cli"
    if name.startswith("doctest"):
        return folder == "test", "doctest belongs to test"
    if name == "linux/fuse.h":
        return folder == "test", "the wire has names of our own: proto/kernel_abi.hpp"
    return True, ""


INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>|(\S.*))')


def complaints_about(root, path):
    file = path.relative_to(root).as_posix()
    folder = file.split("/")[0]
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix == ".hpp" and "#pragma once" not in lines:
        yield 1, "a header begins with #pragma once"
    for number, line in enumerate(lines, start=1):
        if folder in ("proto", "policy") and CLOCK_NAME.search(line):
            yield number, f"{folder} names a clock: time is handed in"
        match = INCLUDE.match(line)
        if not match:
            continue
        ours, system, other = match.groups()
        if other:
            yield number, f"an include names its file: {other}"
        elif system:
            good, why = allowed_system_header(file, system)
            if not good:
                yield number, f"{folder} includes <{system}>: {why}"
        else:
            target = ours.split("/")[0]
            if target not in EDGES or ".." in ours.split("/"):
                yield number, f'"{ours}" is not rooted: write it from the top of the tree'
            elif not (root / ours).is_file():
                yield number, f'"{ours}" does not exist'
            elif target != folder and target not in EDGES[folder]:
                allowed = ", ".join(sorted(EDGES[folder])) or "nothing else"
                yield number, f"{folder} includes {target}; it may include {allowed}"


def check(root):
    complaints = []
    for folder in sorted(EDGES):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".hpp", ".cpp", ".h", ".cc") or not path.is_file():
                continue
            for number, text in complaints_about(root, path):
                complaints.append(f"{path.relative_to(root)}:{number}: {text}")
    return complaints


# (folder, include, allowed): each rule kept and broken.
SELF_TEST = [
    ("proto", '"proto/x.hpp"', True),
    ("proto", '"policy/x.hpp"', False),
    ("proto", '"session/x.hpp"', False),
    ("proto", "<vector>", True),
    ("proto", "<fcntl.h>", False),
    ("proto", "<unistd.h>", False),
    ("proto", "<sys/stat.h>", False),
    ("proto", "<linux/fuse.h>", False),
    ("proto", "<mutex>", False),
    ("proto", "<chrono>", True),
    ("proto", "<ctime>", False),
    ("policy", "<algorithm>", True),
    ("policy", "<random>", False),
    ("policy", "<fcntl.h>", False),
    ("policy", '"policy/x.hpp"', True),
    ("policy", '"proto/x.hpp"', False),
    ("session", '"proto/x.hpp"', True),
    ("session", '"ops/x.hpp"', False),
    ("session", '"policy/x.hpp"', False),
    ("session", "<boost/asio.hpp>", True),
    ("session", "<CLI/CLI.hpp>", False),
    ("session", "<linux/fuse.h>", False),
    ("ops", '"proto/x.hpp"', True),
    ("ops", '"policy/x.hpp"', True),
    ("ops", '"session/x.hpp"', False),
    ("ops", '"cli/x.hpp"', False),
    ("ops", "<sys/stat.h>", True),
    ("ops", "<boost/asio.hpp>", False),
    ("cli", '"session/x.hpp"', True),
    ("cli", '"ops/x.hpp"', True),
    ("cli", '"test/x.hpp"', False),
    ("cli", "<CLI/CLI.hpp>", True),
    ("cli", "<doctest/doctest.h>", False),
    ("test", '"cli/x.hpp"', True),
    ("test", "<doctest/doctest.h>", True),
    ("ops", '"x.hpp"', False),
    ("ops", '"ops/../proto/x.hpp"', False),
    ("ops", '"ops/missing.hpp"', False),
    ("ops", "SOME_MACRO", False),
]


def self_test():
    wrong = []
    for folder, include, allowed in SELF_TEST:
        with tempfile.TemporaryDirectory() as name:
            root = pathlib.Path(name)
            for each in EDGES:
                (root / each).mkdir()
                (root / each / "x.hpp").write_text("#pragma once\n", encoding="utf-8")
            (root / folder / "subject.cpp").write_text(f"#include {include}\n", encoding="utf-8")
            if (not check(root)) != allowed:
                wrong.append(f"{folder}: #include {include} should be {'allowed' if allowed else 'refused'}")
    # (file, text, allowed): the rules that are about more than one include.
    for file, text, allowed in [
        ("ops/bare.hpp", "int x;\n", False),
        ("proto/render.cpp", "#include <fcntl.h>\n", True),
        ("proto/decode.cpp", "auto now = std::chrono::steady_clock::now();\n", False),
        ("proto/decode.cpp", "std::chrono::nanoseconds valid;\n", True),
        ("session/worker.cpp", "auto now = std::chrono::steady_clock::now();\n", True),
    ]:
        with tempfile.TemporaryDirectory() as name:
            root = pathlib.Path(name)
            (root / file).parent.mkdir()
            (root / file).write_text(text, encoding="utf-8")
            if (not check(root)) != allowed:
                wrong.append(f"{file}: {text.strip()} should be {'allowed' if allowed else 'refused'}")
    return wrong


def main():
    if sys.argv[1:] not in ([], ["--self-test"]):
        print(__doc__, file=sys.stderr)
        return 2
    root = pathlib.Path(__file__).resolve().parent.parent
    complaints = self_test() if sys.argv[1:] else check(root)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
