"""The best rule for the worst of several priors, for one bidder and one item.

Every incentive-compatible rule for one bidder and one item is a random posted price (Riley & Zeckhauser 1983), so that the designer's
problem is a game against nature, who picks the prior (Bergemann & Schlag 2011 for sets of all priors near one): maximise over measures μ of
prices the least of Σ_p μ(p)·p·P_s(v ≥ p) over priors s. A linear programme on a grid of prices gives μ and nature's mixture w; prices
at which Σ_s w_s·p·P_s(v ≥ p) is more than that are added until there are none. Posting several prices at random may be worth more in the
worst case than any one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from icsap_jax.auctions.myerson import value_grid
from icsap_jax.exact import lp

PRECISE = 1e-9  # by how much, as a share of the value, no price may be worth more to nature's mixture
ROUNDS = 12  # each has steps twenty times finer than the last
AROUND = np.linspace(-1.0, 1.0, 41)  # prices tried around a good one, in units of the step


@dataclass(frozen=True)
class Maximin:
    """`value`: what the random price earns in the worst case, and `most`: what no rule exceeds there; `prices` [P] and their `chances` [P];
    `mixture` [S], nature's; `posted`, the best single price, and what it earns at worst, `posted_value`."""

    value: float
    most: float
    prices: np.ndarray
    chances: np.ndarray
    mixture: np.ndarray
    posted: float
    posted_value: float


def revenues(laws: Sequence[Any], prices: np.ndarray) -> np.ndarray:
    """p·P_s(v ≥ p) of each law, [S, P]."""
    below = np.nextafter(prices, -np.inf)
    return np.stack([prices * (1.0 - np.asarray(law.cdf(below), np.float64)) for law in laws])


def random_price(laws: Sequence[Any]) -> Maximin:
    """The best random price for the worst of `laws`, float64 distributions of one value each."""
    every = np.unique(np.concatenate([value_grid(law) for law in laws]))
    every = every[every > 0]
    prices = every[:: max(1, len(every) // 400)]
    step = np.diff(every).max(initial=every[0])
    for _ in range(ROUNDS):
        earned = revenues(laws, prices)
        value, chances, mixture = _programme(earned)
        worth = mixture @ revenues(laws, every)
        most = max(float(worth.max()), value)
        peaks = (worth > value) & (worth >= np.append(0.0, worth[:-1])) & (worth >= np.append(worth[1:], 0.0))
        good = np.concatenate([prices[chances > 1e-9], every[peaks]])
        near = (good[:, None] + step * AROUND[None]).ravel()
        near = near[near > 0]
        better = mixture @ revenues(laws, near)
        most = max(most, float(better.max()))
        if most - value <= PRECISE * max(value, 1e-12):
            break
        prices, step = np.unique(np.concatenate([prices, good, near])), step / 20
    least = earned.min(0)
    return Maximin(value, most, prices[chances > 1e-9], chances[chances > 1e-9], mixture, float(prices[least.argmax()]), float(least.max()))


def _programme(earned: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The value, the designer's chances [P] and nature's mixture [S] of the game in which the designer gets `earned` [S, P]."""
    scenarios, prices = earned.shape
    found = lp.solve(
        np.append(np.zeros(prices), 1.0), maximise=True, tolerance=1e-10,
        at_most=(np.hstack([-earned, np.ones((scenarios, 1))]), np.zeros(scenarios)),
        equal=(np.append(np.ones(prices), 0.0)[None], [1.0]), bounds=[(0.0, None)] * prices + [(None, None)],
    )  # fmt: skip
    chances = np.maximum(found.x[:-1], 0.0)
    chances = chances / chances.sum()
    mixture = np.maximum(found.duals_at_most, 0.0)
    return float((earned @ chances).min()), chances, mixture / mixture.sum()

