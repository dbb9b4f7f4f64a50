#!/usr/bin/env python3
"""The arithmetic of scripts/bench: medians, ratios by round, and the rows that are marked."""

import unittest

import table

SYSTEMS = [("native", "native"), ("floor", "floor"), ("mergerfs", "mergerfs"), ("before", "boughfs"),
           ("after", "boughfs")]


def row(group, **rounds):
    made = table.Row("row", group, "us", 4)
    for system, values in rounds.items():
        for value in values:
            made.add(system, value)
    return made


class TableTest(unittest.TestCase):
    def test_median_leaves_out_what_is_missing(self):
        made = row("data", mergerfs=[None, 3, 1, 2], floor=[None])
        self.assertEqual(made.median("mergerfs"), 2)
        self.assertIsNone(made.median("floor"))
        self.assertIsNone(made.median("native"))

    def test_ratio_is_taken_within_a_round(self):
        # a second round under three times the load
        made = row("metadata", after=[1, 3, 1], mergerfs=[2, 6, 2])
        self.assertEqual(made.ratio("after", "mergerfs"), 0.5)
        self.assertEqual(row("data", after=[1, 9], mergerfs=[None, 3]).ratio("after", "mergerfs"), 3)
        self.assertIsNone(row("data", after=[1], mergerfs=[None]).ratio("after", "mergerfs"))

    def test_misses(self):
        for group, ratio, misses in (("metadata", 0.8, False), ("metadata", 0.81, True), ("tree", 0.81, True),
                                     ("data", 1.0, False), ("data", 1.1, True), ("memory", 9, False)):
            self.assertEqual(row(group, after=[ratio], mergerfs=[1]).misses("after", "mergerfs"), misses,
                             (group, ratio))

    def test_every_build_is_compared(self):
        self.assertEqual(table.compared(SYSTEMS),
                         [("before", "native"), ("before", "floor"), ("before", "mergerfs"),
                          ("after", "native"), ("after", "floor"), ("after", "mergerfs"), ("after", "before")])

    def test_rendered(self):
        made = row("metadata", native=[1], floor=[2], mergerfs=[4], before=[4], after=[3])
        text = table.render([made], SYSTEMS).splitlines()
        self.assertEqual(text[1].split(), ["4", "row", "us", "1.00", "2.00", "4.00", "4.00", "3.00", "4.00", "2.00",
                                           "1.00", "3.00", "1.50", "0.75", "0.75", "MISS", "0.8:", "before"])

    def test_json(self):
        made = row("data", mergerfs=[2, None], after=[1, 1])
        self.assertEqual(table.as_json([made], SYSTEMS[2:])[0]["ratios"],
                         {"before/mergerfs": None, "after/mergerfs": 0.5, "after/before": None})


if __name__ == "__main__":
    unittest.main()
