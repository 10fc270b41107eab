"""Which rules nobody would give up for another: the Pareto front of objective and incentive gap, and an order for the rest.

A rule is dominated where another is worth at least as much to the designer, leaves agents no more to gain, and is strictly better in one
of the two. Only rules for one and the same problem are compared: members whose swept keys under `problem` differ have different optima.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]


def problem_of(row: Row) -> str:
    """What a row of a sweep's table sets of the problem, as text; rows with equal text are answers to the same question."""
    asked = {key: value for key, value in row["set"].items() if key.split(".")[0] == "problem"}
    return json.dumps(asked, sort_keys=True, default=str)


def dominating(points: Sequence[tuple[float, float]]) -> np.ndarray:
    """For each (objective, gap) of [R, 2] by how many others it is dominated, [R]."""
    objective, gap = np.asarray(points, dtype=float).reshape(-1, 2).T
    found = np.zeros(len(objective), dtype=int)
    for place in range(len(objective)):  # one row at a time: all pairs of thousands would take gigabytes
        as_good = (objective >= objective[place]) & (gap <= gap[place])
        found[place] = np.count_nonzero(as_good & ((objective > objective[place]) | (gap < gap[place])))
    return found


def dominated_by(rows: Sequence[Row]) -> list[int | None]:
    """For each row by how many of its own problem it is dominated, 0 on the front; None for rows without an objective or a gap."""
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        if row["objective"] is not None and row["gap_mean"] is not None:
            places.setdefault(problem_of(row), []).append(place)
    found: list[int | None] = [None] * len(rows)
    for those in places.values():
        counts = dominating([(rows[place]["objective"], rows[place]["gap_mean"]) for place in those])
        for place, count in zip(those, counts, strict=True):
            found[place] = int(count)
    return found


def by_interest(rows: Sequence[Row]) -> list[int]:
    """Which rows to look at first: the selected one, then the front from its smallest gap on, then what the fewest dominate. Rows that
    were not judged are left out."""
    counts = dominated_by(rows)
    judged = [place for place, count in enumerate(counts) if count is not None]
    return sorted(judged, key=lambda place: (not rows[place]["selected"], counts[place], rows[place]["gap_mean"], place))
