"""What can be handed back without a deficit, by linear programming: exactly among linear rules, and from both sides among all.

*Linear rules* h(y) = c₀ + Σ_j c_j·y_j (Guo & Conitzer 2010). Leaving out the agent of rank k leaves y_j = θ₍ⱼ₎ for j < k and θ₍ⱼ₊₁₎ from
there on, so that Σ_i h(θ₋ᵢ) = N·c₀ + Σ_j c_j·((N − j)·θ₍ⱼ₎ + j·θ₍ⱼ₊₁₎) is linear in the values by rank. So is what is collected, and a
linear inequality holds on all values low ≤ θ₍N₎ ≤ … ≤ θ₍₁₎ ≤ high where it holds at the N + 1 vertices, at which the first r are high and
the others low. The programme has N variables, and is exact.

*All rules, from above.* Cut the values into K cells of equal probability. Let any rule hand back h without a deficit, and H be its average
given the others' cells. Values are independent, so Σ_i H(cells₋ᵢ) is the average of Σ_i h given all cells, no more than what is
collected on average there. H solves the programme of the cells, whose value is therefore at least what any rule hands back: a proof, for
every K. Rules need not be symmetric: their average over permutations of like agents is, and hands back as much.

*All rules, from below.* Rules that are linear on each simplex of Freudenthal's triangulation of a grid: leaving out a value takes
simplices to simplices, and what is collected is linear on each, so that there is no deficit anywhere where there is none at grid
points. The best of them is the programme of the grid points; uniform values have known means on simplices. It is a rule that could be run.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import comb, factorial, prod
from typing import Any

import numpy as np
from scipy import sparse

from icsap_jax.choice.redistribution.ranks import rank_nodes
from icsap_jax.exact.lp import solve

PROFILES = 2_500  # of cells, or of grid points, in a programme: it takes a fraction of a second
MOST_PERMUTED = 5  # values whose orders are listed one by one


@dataclass(frozen=True)
class BestLinear:
    """The most that linear rules hand back on average, `returned`, and their `coefficients` [N]: the constant, then those by rank."""

    returned: float
    coefficients: np.ndarray


def best_linear(means: np.ndarray, units: int, low: float, high: float, participation: bool) -> BestLinear:
    """The best linear rule for values in [low, high] with these `means` [N] by rank; with `participation` h is nowhere negative."""
    agents = len(means)
    corners = np.array([[high] * r + [low] * (agents - r) for r in range(agents + 1)])
    rows, limits = _handed_back(corners), units * corners[:, units]
    if participation:
        others = np.array([[high] * r + [low] * (agents - 1 - r) for r in range(agents)])
        rows = np.vstack([rows, -np.hstack([np.ones((agents, 1)), others])])
        limits = np.append(limits, np.zeros(agents))
    found = solve(_handed_back(means[None])[0], at_most=(rows, limits), bounds=(None, None), maximise=True, tolerance=1e-10)
    return BestLinear(found.value, found.x)


def handed_back_on_average(coefficients: np.ndarray, means: np.ndarray) -> float:
    """E Σ_i h of a linear rule with these coefficients [N], the constant first."""
    return float(_handed_back(means[None])[0] @ coefficients)


def _handed_back(ranked: np.ndarray) -> np.ndarray:
    """Σ_i h as rows [P, N] over (c₀, c₁ … c_{N−1}), for values by rank [P, N]."""
    agents = ranked.shape[1]
    j = np.arange(1, agents)
    return np.hstack([np.full((len(ranked), 1), float(agents)), (agents - j) * ranked[:, :-1] + j * ranked[:, 1:]])


def fineness(agents: int, extra: int) -> int:
    """The largest even K for which profiles of `agents` among K + `extra` cells or points are no more than `PROFILES`, or 2. (Even numbers
    of cells give the tighter bounds: with ten agents .9990 of what is collected for 4, .9997 for 5.)"""
    size = 2
    while comb(size + 2 + extra + agents - 1, agents) <= PROFILES:
        size += 2
    return size


def from_above(law: Any, agents: int, units: int, participation: bool) -> float:
    """A bound on E Σ_i h for N independent values of one `law` without atoms, like scipy's."""
    cells = fineness(agents, 0)
    profiles = _falling(cells, agents)
    chance = np.array([factorial(agents) / prod(map(factorial, np.bincount(row))) for row in profiles]) / cells**agents
    rows, count = _left_out(profiles, cells)
    return _programme(rows, rows.T @ chance, units * _ranked_given_cells(law, profiles, cells, units), participation, count)


def from_below(agents: int, units: int, low: float, high: float, participation: bool) -> float:
    """What the best piecewise linear rule hands back of N independent values uniform on [low, high]."""
    steps = fineness(agents, 1)
    profiles = _falling(steps + 1, agents)
    rows, count = _left_out(profiles, steps + 1)
    collected = units * (low + (high - low) * profiles[:, units] / steps)
    return _programme(rows, agents * _uniform_weights(agents - 1, steps), collected, participation, count)


def _programme(rows: Any, gain: np.ndarray, collected: np.ndarray, participation: bool, count: int) -> float:
    bounds = (0.0 if participation else None, None)
    return solve(gain, at_most=(rows, collected), bounds=[bounds] * count, maximise=True, tolerance=1e-9).value


def _falling(cells: int, agents: int) -> np.ndarray:
    """Every profile of cells counted from 0, in falling order, [P, N]."""
    return np.array(list(itertools.combinations_with_replacement(range(cells - 1, -1, -1), agents)))


def _left_out(profiles: np.ndarray, cells: int) -> tuple[Any, int]:
    """Σ_i H as a sparse table [P, Q] over the Q profiles of one agent fewer, and Q."""
    agents = profiles.shape[1]
    place = {tuple(row): at for at, row in enumerate(_falling(cells, agents - 1).tolist())}
    found = [place[(*row[:i], *row[i + 1 :])] for row in map(tuple, profiles.tolist()) for i in range(agents)]
    table = sparse.csr_matrix((np.ones(len(found)), (np.repeat(np.arange(len(profiles)), agents), found)), (len(profiles), len(place)))
    return table, len(place)


def _ranked_given_cells(law: Any, profiles: np.ndarray, cells: int, units: int) -> np.ndarray:
    """E[θ₍M₊₁₎] given the cell of every agent, [P]: some rank among those in the cell of the agent in that place."""
    cell = profiles[:, units]
    rank = units + 1 - (profiles > cell[:, None]).sum(1)
    among = (profiles == cell[:, None]).sum(1)
    found = np.empty(len(profiles))
    for count, place in set(zip(among.tolist(), rank.tolist(), strict=True)):
        here = (among == count) & (rank == place)
        quantiles, weights = rank_nodes(count, place)
        means = law.ppf((np.arange(cells)[:, None] + quantiles) / cells) @ weights
        found[here] = means[cell[here]]
    return found


@cache
def _uniform_weights(size: int, steps: int) -> np.ndarray:
    """The weight of each grid point in the mean of a piecewise linear function of `size` uniform values in falling order, [Q]. A simplex of
    the triangulation is a corner and an order in which its numbers are raised by one; the mean on it is that of its size + 1 vertices, and
    all have one volume. Those with falling vertices are the ones inside."""
    place = {tuple(row): at for at, row in enumerate(_falling(steps + 1, size).tolist())}
    found = np.zeros(len(place))
    for corner in _falling(steps, size).tolist():
        ties = [i for i in range(size - 1) if corner[i] == corner[i + 1]]
        for order in itertools.permutations(range(size)):
            when = _inverse(order)
            if all(when[i] < when[i + 1] for i in ties):
                vertex = list(corner)
                found[place[tuple(vertex)]] += 1
                for i in order:
                    vertex[i] += 1
                    found[place[tuple(vertex)]] += 1
    return found / found.sum()


def _inverse(order: Sequence[int]) -> list[int]:
    found = [0] * len(order)
    for at, i in enumerate(order):
        found[i] = at
    return found
