"""Where a cutter cuts, exactly, and the best chance of picking first, in float64.

Tastes are piecewise constant, so between the points where a taste changes or halves the cake, and as long as nobody changes his mind
about which piece is the better, all that anybody gets is linear in the cut. The cutter's best is therefore at one of these points. Where
the chooser is indifferent it may take either piece, and the cutter's utility jumps; so what can happen is a *plan*: a cut, and the pieces
taken there, each being the limit of what is strictly best beside it.

A plan is a subgame-perfect equilibrium where no cut is sure to bring the cutter more, whatever the chooser does when indifferent. There
may be many, of which the designer's best and worst are told. The cutter's utility is linear in the chance of picking first too, so that
it changes plans only where two of these lines cross; between such points F is linear (or, for the spread ex ante, bends where it is
zero), and its best is at one of them.

Strategic cutting against cutting sincerely at one's own median: Brams & Taylor 1996, chapter 1; the design problem: Zhang et al. 2024,
section 2, whose equation 5 is printed with the inequality reversed: F = −max |f_i − f_j|.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

TIE = 1e-9  # of a cake that is worth 1
SMALLER_IS_BETTER = ("ex_post_spread", "ex_ante_spread")


@dataclass(frozen=True)
class Tastes:
    """`edges` [K + 1] from 0 to 1; what each of the K parts is worth, `cutter` and `chooser` [K], which sum to 1."""

    edges: np.ndarray
    cutter: np.ndarray
    chooser: np.ndarray

    def left(self, cut: Any) -> np.ndarray:
        """What is left of cuts […] is worth to both, [2, …]."""
        return np.stack([np.interp(cut, self.edges, np.append(0.0, np.cumsum(own))) for own in (self.cutter, self.chooser)])

    def medians(self) -> np.ndarray:
        """Where either player finds both pieces alike; of an interval of such cuts, its ends are edges."""
        found = []
        for own in (self.cutter, self.chooser):
            below = np.append(0.0, np.cumsum(own))
            place = int(np.searchsorted(below, 0.5 - TIE)) - 1
            found.append(self.edges[place] + (0.5 - below[place]) / own[place] * np.diff(self.edges)[place])
        return np.array(found)

    @property
    def points(self) -> np.ndarray:
        """The cuts between which everything is linear, in order."""
        every = np.sort(np.concatenate([self.edges, self.medians()]))
        return every[np.append(True, np.diff(every) > TIE)]


@dataclass(frozen=True)
class Plan:
    """A `cut`, and what (cutter, chooser) then get where the cutter picks `first`, and where it picks `second`, [2] each."""

    cut: float
    first: np.ndarray
    second: np.ndarray

    def cutter(self, chance: float) -> float:
        """What the cutter expects where it picks first with probability `chance`."""
        return float(chance * self.first[0] + (1 - chance) * self.second[0])

    def expected(self, chance: float) -> np.ndarray:
        """What both expect, [2]."""
        return chance * self.first + (1 - chance) * self.second


def measures(chance: Any, first: Any, second: Any) -> dict[str, Any]:
    """Everything a designer may look at, by name, […], of what (cutter, chooser) get, […, 2], where the cutter picks first and where it
    picks second. For numpy and jax alike."""
    ahead, behind = first[..., 0] - first[..., 1], second[..., 0] - second[..., 1]
    least = [0.5 * (each[..., 0] + each[..., 1] - abs(each[..., 0] - each[..., 1])) for each in (first, second)]
    return {
        "ex_post_spread": chance * abs(ahead) + (1 - chance) * abs(behind),
        "ex_ante_spread": abs(chance * ahead + (1 - chance) * behind),
        "maximin": chance * least[0] + (1 - chance) * least[1],
        "welfare": chance * first.sum(-1) + (1 - chance) * second.sum(-1),
    }


def value(objective: str, chance: Any, first: Any, second: Any) -> Any:
    """The designer's F, […]: spreads count against it."""
    found = measures(chance, first, second)[objective]
    return 0.0 - found if objective in SMALLER_IS_BETTER else found  # nothing less nothing is 0, and not −0


def given_pieces(tastes: Tastes, cut: float, left: bool) -> np.ndarray:
    """What (cutter, chooser) get, [2], where the cutter has the piece to the `left` of the cut, or else the other."""
    worth = tastes.left(cut)
    return np.array([worth[0], 1.0 - worth[1]]) if left else np.array([1.0 - worth[0], worth[1]])


def liked(worth: float) -> tuple[bool, ...]:
    """Which pieces somebody may take to whom the left one is worth this much: True for the left one."""
    return (True, False) if abs(worth - 0.5) <= TIE else (worth > 0.5,)


def plans(tastes: Tastes, chance: float) -> tuple[list[Plan], float]:
    """Everything that can happen, and what the cutter can be sure of. Where a player is indifferent between cuts, the designer need not
    be: so plans are also made where the two get alike."""
    found, sure = [], -np.inf
    for low, high in pairwise(tastes.points):
        own, others = (liked(float(worth)) for worth in tastes.left(0.5 * (low + high)))
        for taken in own:
            options = [[plan(tastes, cut, taken, not other) for cut in (low, high)] for other in others]
            sure = max(sure, *(min(option[end].cutter(chance) for option in options) for end in (0, 1)))
            for (one, other), theirs in zip(options, others, strict=True):
                found += [one, other]
                found += [plan(tastes, low + share * (high - low), taken, not theirs) for share in _even(one, other, chance)]
    return found, sure


def plan(tastes: Tastes, cut: float, first: bool, second: bool) -> Plan:
    """The cutter having the left piece where it picks `first`, and where it picks `second`."""
    return Plan(float(cut), given_pieces(tastes, cut, first), given_pieces(tastes, cut, second))


def _even(one: Plan, other: Plan, chance: float) -> list[float]:
    """Where on the way from one plan to another, as shares of it, the two players get alike: either way, or on average."""
    shares: list[float] = []
    of_each: list[Callable[[Plan], np.ndarray]] = [lambda each: each.first, lambda each: each.second, lambda each: each.expected(chance)]
    for of in of_each:
        start, end = (float(of(each)[0] - of(each)[1]) for each in (one, other))
        if start * end < 0:
            shares.append(start / (start - end))
    return shares


def equilibria(tastes: Tastes, chance: float) -> list[Plan]:
    """The plans that are subgame-perfect equilibria."""
    every, sure = plans(tastes, chance)
    return [each for each in every if each.cutter(chance) >= sure - TIE]


def best_and_worst(tastes: Tastes, objective: str, chance: float) -> tuple[Plan, Plan]:
    """Of the equilibria the one that is best for the designer, and the one that is worst."""
    every = equilibria(tastes, chance)
    worth = [value(objective, chance, each.first, each.second) for each in every]
    return every[int(np.argmax(worth))], every[int(np.argmin(worth))]


def worth(tastes: Tastes, objective: str, chance: float) -> tuple[float, float]:
    """F at the best equilibrium and at the worst."""
    return tuple(float(value(objective, chance, each.first, each.second)) for each in best_and_worst(tastes, objective, chance))  # type: ignore


def turning_points(tastes: Tastes) -> np.ndarray:
    """The chances at which the cutter may change its plan, or what the two expect becomes alike, 0 and 1 among them, in order."""
    every = plans(tastes, 0.5)[0]
    lines = np.array([[each.second[0], each.first[0] - each.second[0]] for each in every])
    apart = np.array([[each.second[0] - each.second[1], each.first @ [1, -1] - each.second @ [1, -1]] for each in every])
    crossings = [(lines[i, 0] - lines[j, 0], lines[j, 1] - lines[i, 1]) for i in range(len(every)) for j in range(i)]
    ratios = [top / bottom for top, bottom in [*crossings, *((-start, slope) for start, slope in apart)] if abs(bottom) > TIE]
    return np.unique(np.round([0.0, 1.0, *(ratio for ratio in ratios if 0 < ratio < 1)], 12))


def best_chance(tastes: Tastes, objective: str) -> tuple[float, float]:
    """The chance with which the cutter should pick first (the lowest of the best), and F there, at the designer's best equilibrium."""
    every = turning_points(tastes)
    found = np.array([worth(tastes, objective, chance)[0] for chance in every])
    best = int(np.argmax(found >= found.max() - TIE))
    return float(every[best]), float(found[best])


def tastes_of(model: Any) -> Tastes:
    """From a checked problem file."""
    given = [taste for taste in (model.cutter, model.chooser, None if model.edges is None else model.edges[1:]) if taste is not None]
    parts = len(given[0]) if given else 1
    edges = np.linspace(0.0, 1.0, parts + 1) if model.edges is None else np.asarray(model.edges, np.float64)
    even = np.diff(edges)
    own = [even if taste is None else np.asarray(taste, np.float64) for taste in (model.cutter, model.chooser)]
    return Tastes(edges, own[0] / own[0].sum(), own[1] / own[1].sum())


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}: F at the best chance there is."""
    found = best_chance(tastes_of(model), model.objective)[1]
    return {"value": found, "method": "every plan of the cutter, at every chance where it changes plans",
            "source": "Zhang et al. 2024, section 2", "upper_bound": found}  # fmt: skip


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """F where the chooser always picks first (cut-and-choose), where the cutter does, with a fair coin at the worst equilibrium, and where
    the chooser picks first but the cutter cuts sincerely, at its own median."""
    tastes = tastes_of(model)
    cut = tastes.medians()[0]
    fair = plan(tastes, cut, True, not liked(float(tastes.left(cut)[1]))[0])
    return {
        "cut_and_choose": worth(tastes, model.objective, 0.0)[0],
        "cutter_picks_first": worth(tastes, model.objective, 1.0)[0],
        "fair_coin_at_worst": worth(tastes, model.objective, 0.5)[1],
        "sincere_cutter": float(value(model.objective, 0.0, fair.first, fair.second)),
    }
