"""From measured rounds to medians, ratios and a table. Pure."""

import statistics

# A row of these groups wants boughfs at no more than that share of mergerfs' time. Data is not to be
# behind; 5 % of it is the noise of short runs.
TARGETS = {"metadata": 0.8, "tree": 0.8, "data": 1.05}


class Row:
    def __init__(self, name, group, unit, branches):
        self.name, self.group, self.unit, self.branches = name, group, unit, branches
        # by system, one value a round; None where a system has no such figure
        self.rounds = {}

    def add(self, system, value):
        self.rounds.setdefault(system, []).append(value)

    def median(self, system):
        values = [value for value in self.rounds.get(system, []) if value is not None]
        return statistics.median(values) if values else None

    def ratio(self, system, other):
        """The median over the rounds of what one took in a round as a multiple of what the other did:
        other load comes and goes, and meets both of a round."""
        pairs = [(one, two) for one, two in zip(self.rounds.get(system, []), self.rounds.get(other, []))
                 if one is not None and two]
        return statistics.median(one / two for one, two in pairs) if pairs else None

    def misses(self, system, mergerfs):
        target = TARGETS.get(self.group)
        ratio = self.ratio(system, mergerfs)
        return target is not None and ratio is not None and ratio > target


def compared(systems):
    """(boughfs build, what it is compared with), by name."""
    def named(kind):
        return [name for name, each in systems if each == kind]
    builds = named("boughfs")
    pairs = []
    for build in builds:
        pairs += [(build, other) for kind in ("native", "floor") for other in named(kind)]
        pairs += [(build, other) for other in named("mergerfs")]
        if build != builds[0]:
            pairs.append((build, builds[0]))
    return pairs


def number(value):
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def render(rows, systems):
    """`systems` are (name, kind). Every figure is the smaller the better."""
    pairs = compared(systems)
    mergerfs = [name for name, kind in systems if kind == "mergerfs"][:1]
    builds = [name for name, kind in systems if kind == "boughfs"]
    names = [name for name, _ in systems]
    lines = [["branches", "row", "unit"] + names + [f"{one}/{two}" for one, two in pairs] + [""]]
    for row in rows:
        missed = [build for build in builds for other in mergerfs if row.misses(build, other)]
        mark = f"MISS {TARGETS[row.group]:g}" if missed else ""
        if missed and len(builds) > 1:
            mark += ": " + " ".join(missed)
        lines.append([str(row.branches), row.name, row.unit] + [number(row.median(name)) for name in names]
                     + [number(row.ratio(one, two)) for one, two in pairs] + [mark])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = []
    for line in lines:
        cells = [cell.ljust(width) if i in (1, 2, len(line) - 1) else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(line, widths))]
        text.append("  ".join(cells).rstrip())
    return "\n".join(text) + "\n"


def as_json(rows, systems):
    return [{"row": row.name, "group": row.group, "unit": row.unit, "branches": row.branches,
             "rounds": row.rounds,
             "medians": {name: row.median(name) for name, _ in systems},
             "ratios": {f"{one}/{two}": row.ratio(one, two) for one, two in compared(systems)}}
            for row in rows]
