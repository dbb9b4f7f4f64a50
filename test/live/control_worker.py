"""Works in one directory of a pool for some seconds: python3 control_worker.py DIRECTORY SEED SECONDS

Makes, writes, appends, reads, renames, lists and removes files, and ends with a message at the first
thing that fails or reads back differently. Prints how often it went round."""

import os
import random
import sys
import time


def work(top, seed, seconds):
    choose = random.Random(seed)
    end = time.monotonic() + seconds
    rounds = 0
    kept = {}
    while time.monotonic() < end:
        rounds += 1
        folder = os.path.join(top, f"d{choose.randrange(3)}")
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, f"f{rounds}")
        text = choose.randbytes(choose.choice([0, 10, 4096, 5000, 70000, 300000]))
        with open(path, "xb") as file:
            file.write(text)
        with open(path, "ab") as file:
            file.write(b"tail")
        with open(path, "r+b") as file:
            file.seek(len(text) // 2)
            file.write(b"middle")
        expected = bytearray(text + b"tail")
        at = len(text) // 2
        expected[at:at + 6] = b"middle"
        os.rename(path, path + "-renamed")
        kept[path + "-renamed"] = bytes(expected)
        try:
            os.stat(path)
            sys.exit(f"{path} is still there")
        except FileNotFoundError:
            pass
        for each in choose.sample(sorted(kept), min(3, len(kept))):
            with open(each, "rb") as file:
                if file.read() != kept[each]:
                    sys.exit(f"{each} does not read back")
            if os.stat(each).st_size != len(kept[each]):
                sys.exit(f"{each} has another size")
        listed = {os.path.join(folder, name) for name in os.listdir(folder)}
        if listed != {each for each in kept if os.path.dirname(each) == folder}:
            sys.exit(f"{folder} lists {sorted(listed)}")
        if len(kept) > 20:
            gone = choose.choice(sorted(kept))
            os.unlink(gone)
            del kept[gone]
    print(rounds)


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
