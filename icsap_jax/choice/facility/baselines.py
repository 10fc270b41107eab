"""The rules a user would otherwise use: the best percentiles, dictators and fixed places, found on a sample.

All combinations of K order statistics (or of K agents) are tried on the same profiles, so that the best of them is exact for the sample.
The best fixed places are quantisers of the prior (for K = 1 and distances added up the weighted median of its marginals), found by moving
one place at a time on a grid of quantiles until none gains (compare Lloyd 1982).
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from icsap_jax.choice.facility.problem import Facility, FacilityEnv, peaks_drawn, worth

PROFILES = 20_000  # on which alternatives are compared
TOLD = 100_000  # on which the best of them is told
MOST = 2_000  # combinations tried; of more, so many at random
GRID = 41  # fixed places tried


def orders_of(percentiles: list[float], agents: int) -> tuple[int, ...]:
    """Which sorted report each percentile stands for, counted from 0: ⌊p(N − 1)⌋. A hair keeps thirds of whole numbers whole."""
    return tuple(int(np.floor(share * (agents - 1) + 1e-9)) for share in percentiles)


def best_percentiles(problem: Facility, env: FacilityEnv) -> tuple[int, ...]:
    """The best K order statistics, counted from 0."""
    peaks = np.sort(peaks_drawn(problem, env, PROFILES), -1)
    return _best(problem, env, peaks, peaks, list(itertools.combinations(range(problem.agents), problem.facilities)))


def best_dictators(problem: Facility, env: FacilityEnv) -> tuple[int, ...]:
    """The best K agents, counted from 0."""
    peaks = peaks_drawn(problem, env, PROFILES)
    return _best(problem, env, peaks, peaks, list(itertools.combinations(range(problem.agents), problem.facilities)))


def _best(
    problem: Facility, env: FacilityEnv, peaks: np.ndarray, points: np.ndarray, combinations: list[tuple[int, ...]]
) -> tuple[int, ...]:
    """The best combination of columns of `points` [B, P] as places for `peaks`."""
    if len(combinations) > MOST:
        combinations = [combinations[at] for at in np.random.default_rng(0).choice(len(combinations), MOST, replace=False)]
    values = [worth(problem, env, peaks, points[:, list(each)]).mean() for each in combinations]
    return combinations[int(np.argmax(values))]


def best_fixed(problem: Facility, env: FacilityEnv) -> np.ndarray:
    """The best K places that never move, [K]."""
    peaks = peaks_drawn(problem, env, PROFILES // 4)
    grid = np.quantile(peaks, np.linspace(0.0, 1.0, GRID))

    def value(places: np.ndarray) -> float:
        return float(worth(problem, env, peaks, np.broadcast_to(places, (len(peaks), len(places)))).mean())

    places = np.quantile(peaks, (np.arange(problem.facilities) + 0.5) / problem.facilities)
    best, moved = value(places), True
    while moved:
        moved = False
        for at, point in itertools.product(range(len(places)), grid):
            tried = places.copy()
            tried[at] = point
            if (reached := value(tried)) > best + 1e-12:
                places, best, moved = tried, reached, True
    return np.sort(places)


def baselines(problem: Facility, env: FacilityEnv, model: Any) -> dict[str, float]:
    """What each is worth on the same profiles, once found."""
    peaks = peaks_drawn(problem, env, TOLD)
    fixed = best_fixed(problem, env)
    places = {"best_percentiles": np.sort(peaks, -1)[:, list(best_percentiles(problem, env))],
              "best_dictators": peaks[:, list(best_dictators(problem, env))],
              "best_fixed_places": np.broadcast_to(fixed, (TOLD, len(fixed)))}  # fmt: skip
    return {name: float(worth(problem, env, peaks, each).mean()) for name, each in places.items()}
