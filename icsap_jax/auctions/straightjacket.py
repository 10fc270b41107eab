"""The straight-jacket auction: one additive bidder, m items, values i.i.d. U[0, 1] (Giannakopoulos & Koutsoupias 2018).

The bidder may take any r items for p_r. The prices are set one after the other so that, of the types whose other values are
nearly zero, a share r/(m + 1) buys: the body {x ∈ [0,1]^r : every k coordinates sum to at most p_k} has volume 1 − r/(m + 1).
Hence p₁ = m/(m+1), p₂ = (2m − √2)/(m+1), …. It is optimal for m ≤ 6, and the published proof stops there.

With steps d_k = p_k − p_{k−1}, falling, such a body is a symmetric polymatroid, and its volume and the revenue are exact sums.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import combinations
from math import comb, factorial

import numpy as np
from scipy.optimize import brentq

MOST_ITEMS = 6


def body_volume(steps: np.ndarray) -> float:
    """The volume of {x ≥ 0 : the k largest coordinates sum to at most d_1 + … + d_k, for every k}; `steps` d [r] ≥ 0, falling.

    Lawrence's (1991) sum over the corners. A corner gives d_1, …, d_k to k coordinates in some order and 0 to the others; the
    edges that leave it have unit determinant, so with a generic direction c it adds (c·corner)^r / (r! Π_edges −c·edge). Orders
    are summed by the subset already served and its last member; powers are kept as truncated series of exp(c·corner).
    """
    r = len(steps)
    if r == 0:
        return 1.0
    direction = np.array([1.0, -1.4142, 2.6457, -3.3166, 4.1231, -5.5677])[:r]  # unrelated numbers, both signs: little cancels
    orders = np.arange(r + 1)
    scale = np.array([factorial(k) for k in orders], dtype=np.float64)

    def exponential(amount: float) -> np.ndarray:
        return amount**orders / scale

    served: dict[tuple[frozenset, int], np.ndarray] = {}
    total = np.zeros(r + 1)
    total += np.append(1.0, np.zeros(r)) / np.prod(-direction)  # the corner 0: its edges are +e_j
    for k in range(1, r + 1):
        latest: dict[tuple[frozenset, int], np.ndarray] = {}
        for chosen in map(frozenset, combinations(range(r), k)):
            others = np.prod([-direction[j] for j in range(r) if j not in chosen])
            for last in chosen:
                rest = chosen - {last}
                before = np.append(1.0, np.zeros(r)) if k == 1 else sum(
                    served[rest, previous] / (direction[previous] - direction[last]) for previous in rest)
                series = np.convolve(before, exponential(direction[last] * steps[k - 1]))[: r + 1]
                latest[chosen, last] = series
                total += series / (others * direction[last])
        served = latest
    return float(total[r])


@lru_cache
def prices(items: int) -> tuple[float, ...]:
    """The prices p_1 … p_m of 1 … m items; ValueError beyond six items.

    With five or six items the condition makes all m cheaper than m − 1, which nobody then buys; p_{m−1} is returned equal to p_m.
    """
    if not 1 <= items <= MOST_ITEMS:
        raise ValueError(f"The straight-jacket prices are known to be optimal for 1 to {MOST_ITEMS} items, not for {items}.")
    steps: list[float] = []
    for r in range(1, items + 1):
        volume = 1.0 - r / (items + 1)
        top = steps[-1] if steps else 1.0
        if body_volume(np.array([*steps, 0.0])) < volume:
            steps.append(_root(lambda d, volume=volume: body_volume(np.array([*steps, d])) - volume, top))
        else:
            steps[-1:] = [_root(lambda d, volume=volume: body_volume(np.array([*steps[:-1], d, 0.0])) - volume, top), 0.0]
    return tuple(np.cumsum(steps).tolist())


def _root(function: Callable[[float], float], top: float) -> float:
    return float(brentq(function, 0.0, top, xtol=1e-13))


def size_pricing_revenue(menu: tuple[float, ...]) -> float:
    """What one additive bidder with m i.i.d. U[0, 1] values pays, on average, when any k items cost menu[k − 1].

    The steps of the prices must fall and lie in [0, 1]. Types that buy a given set of k items split into two independent halves:
    the m − k left out form the body of the steps d_{k+1} …, and the shortfalls 1 − x of the k bought that of 1 − d_k, …, 1 − d_1.
    """
    steps = np.diff(np.append(0.0, menu))
    if np.any(np.diff(steps) > 1e-12) or steps.min() < 0 or steps.max() > 1:
        raise ValueError("Prices of 1, 2, … items must rise by falling steps between 0 and 1.")
    m = len(steps)
    return sum(
        menu[k - 1] * comb(m, k) * body_volume(1.0 - steps[:k][::-1]) * body_volume(steps[k:]) for k in range(1, m + 1)
    )
