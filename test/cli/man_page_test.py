#!/usr/bin/env python3
"""The manual page as people see it. Usage: man_page_test.py BOUGHFS PAGE"""

import re
import subprocess
import sys
import unittest

BOUGHFS = ""
PAGE = ""


def groff(device, width=80):
    """What the page looks like, and what groff has to say against it."""
    # -P: plain characters, without bold and colours.
    done = subprocess.run(
        ["groff", "-k", "-ww", "-man", f"-rLL={width}n", f"-T{device}", "-P-cbou", PAGE],
        capture_output=True,
        check=True,
        text=True,
        encoding="utf-8" if device == "utf8" else "latin-1",
    )
    return done.stdout, done.stderr


def section(page, heading):
    match = re.search(rf"^{heading}$\n(.*?)(?=^\S|\Z)", page, re.MULTILINE | re.DOTALL)
    return match.group(1) if match else ""


class ManPage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        help_text = subprocess.run([BOUGHFS, "--help"], capture_output=True, check=True, text=True).stdout
        cls.page = groff("utf8", 400)[0]
        # Between the subcommands and the generic options stand the rows of the option table.
        rows = help_text[help_text.index("\nSubcommands") : help_text.index("\nGeneric options")]
        rows = rows[rows.index("\n\n") :]
        cls.options = dict(re.findall(r"^  ([a-z][a-z.-]*)(\S*)", rows, re.MULTILINE))
        cls.help_text = help_text

    def test_groff_has_no_complaint(self):
        for device in ("utf8", "latin1", "ascii"):
            for width in (60, 80, 400):
                with self.subTest(device=device, width=width):
                    self.assertEqual(groff(device, width)[1], "")

    def test_no_hyphen_is_put_into_a_name(self):
        for width in range(40, 120, 3):
            broken = re.findall(r"\S*[\u2010\u00ad]$", groff("utf8", width)[0], re.MULTILINE)
            self.assertEqual([], broken, width)
        files = section(self.page, "FILES")
        self.assertEqual(files.count("/etc/fstab"), 1)

    def test_every_option_has_an_entry(self):
        self.assertIn("minfreespace", self.options)
        self.assertGreater(len(self.options), 15)
        options = section(self.page, "OPTIONS")
        for name, form in self.options.items():
            entry = f"{name}{form}".replace("…", "...")
            with self.subTest(entry=entry):
                self.assertRegex(options, rf"(?m)^ +{re.escape(entry)}( |$)")

    def test_every_policy_has_an_entry(self):
        policies = section(self.page, "POLICIES")
        entries = {name for line in re.findall(r"^       ([a-z, ]+?)(?:  |$)", policies, re.MULTILINE)
                   for name in line.split(", ")}
        entries |= set(re.findall(r"^       ([a-z]+) ", policies, re.MULTILINE))
        for category in ("create", "search", "action"):
            done = subprocess.run([BOUGHFS, "-o", f"category.{category}=x"], capture_output=True, text=True)
            names = done.stderr.strip().split("wants one of: ")[1].split(", ")
            self.assertGreater(len(names), 3)
            for policy in names:
                with self.subTest(category=category, policy=policy):
                    self.assertIn(policy, entries)

    def test_exit_statuses_are_those_of_the_help_text(self):
        told = re.findall(r"^ +(\d+)  ", self.help_text[self.help_text.index("Exit status") :], re.MULTILINE)
        listed = re.findall(r"^ +(\d+) ", section(self.page, "EXIT STATUS"), re.MULTILINE)
        self.assertEqual(listed, told)

    def test_it_tells_the_version_of_the_command(self):
        version = subprocess.run([BOUGHFS, "--version"], capture_output=True, check=True, text=True).stdout
        self.assertIn(version.strip(), self.page.strip().splitlines()[-1])


if __name__ == "__main__":
    BOUGHFS, PAGE = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1])
