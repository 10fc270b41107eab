"""Affine maximisers on small menus of deterministic allocations: VCG, and the best weights and boosts (Roberts 1979).

An affine maximiser with bidder weights w > 0 and boosts b picks the allocation k that maximises Σ_i w_i v_i(k) + b_k, and charges
bidder i what its presence costs the others, in its own units:

    payment_i = (1/w_i) (max_l [Σ_{j≠i} w_j v_j(l) + b_l] − Σ_{j≠i} w_j v_j(k) − b_k)

Truth is a dominant strategy, and nobody loses by it as long as some allocation of each bidder's absence is in the menu. w = 1 and
b = 0 is VCG. The allocations are enumerated here rather than listed: the best known baseline code lists one of the nine
allocations of two items to two bidders twice, and so misses another.

The revenue is not smooth in the boosts (an allocation that is overtaken changes payments at a jump), so they are searched without
derivatives, on one sample of profiles common to all candidates, and then judged on fresh ones.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.optimize import minimize


def allocations(agents: int, items: int, valuation: str) -> np.ndarray:
    """Every deterministic allocation once, [K, N, G] of zeros and ones, nothing sold first. G goods: items, or for combinatorial
    values over two items the bundles {1}, {2}, {1,2}. A unit-demand bidder is given at most one item: more is worth no more to it."""
    holders = np.array(list(product(range(-1, agents), repeat=items)))  # [(N+1)^M, M]: who holds each item, −1 nobody
    held = (holders[:, None, :] == np.arange(agents)[:, None]).astype(np.float64)
    if valuation == "unit_demand":
        return held[held.sum(-1).max(-1) <= 1]
    if valuation == "combinatorial":
        both = held[..., 0] * held[..., 1]
        return np.stack([held[..., 0] - both, held[..., 1] - both, both], axis=-1)
    return held


def revenue(worth: np.ndarray, weights: np.ndarray, boosts: np.ndarray) -> np.ndarray:
    """Payments summed over bidders, [B], of the affine maximiser when bidder i values allocation k at `worth` [N, B, K].

    `weights` [N] > 0, `boosts` [K].
    """
    weighted = worth * weights[:, None, None]
    score = weighted.sum(0) + boosts
    profiles = np.arange(score.shape[0])
    chosen = score.argmax(1)
    best = score[profiles, chosen]
    total = np.zeros(len(best))
    for mine, weight in zip(weighted, weights, strict=True):
        without = score - mine
        total += (without.max(1) - best + mine[profiles, chosen]) / weight
    return total


def worth(values: np.ndarray, menu: np.ndarray) -> np.ndarray:
    """What each bidder gets from each allocation: values of the goods [B, N, G] and allocations [K, N, G] give [N, B, K]."""
    return np.stack([values[:, i] @ menu[:, i].T for i in range(values.shape[1])])


def vcg_revenue(values: np.ndarray, menu: np.ndarray) -> np.ndarray:
    """VCG's revenue profile by profile, [B], on values of the goods [B, N, G]."""
    return revenue(worth(values, menu), np.ones(values.shape[1]), np.zeros(len(menu)))


def search(values: np.ndarray, menu: np.ndarray, valuation: str, evaluations: int = 1_000) -> tuple[np.ndarray, np.ndarray]:
    """Weights [N] and boosts [K] (0 for nothing sold) that earn most on the sample `values` [B, N, G].

    Charging for an allocation is a negative boost, here in units of what the allocation is worth on average. A coarse search
    gives one such charge to each kind of allocation (how many items are sold, to how many bidders), coordinate by coordinate from
    several levels; Nelder and Mead's simplex then moves every boost and weight, first on a quarter of the sample.
    """
    agents = values.shape[1]
    full = worth(values, menu)
    rough, coarse = full[:, : max(1, values.shape[0] // 4)], full[:, : max(1, values.shape[0] // 16)]
    unit = np.maximum(full.mean(1).sum(0), 1e-12)  # the average worth of each allocation, [K]
    sizes = np.array([1, 1, 2]) if valuation == "combinatorial" else np.ones(menu.shape[2])  # items in each good
    kind = np.unique(np.stack([(menu.sum(2) > 0).sum(1), (menu @ sizes).sum(1)], axis=1), axis=0, return_inverse=True)[1].ravel()

    def split(point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.exp(np.append(0.0, point[: agents - 1])), np.append(0.0, point[agents - 1 :] * unit[1:])

    def loss(point: np.ndarray, on: np.ndarray) -> float:
        return -float(revenue(on, *split(point)).mean())

    def level(charges: np.ndarray) -> np.ndarray:
        return np.append(np.zeros(agents - 1), -charges[kind[1:] - 1])

    candidates = []
    for start in (0.3, 0.6, 0.9, 1.2):
        charges = np.full(kind.max(), start)
        for step in (0.3, 0.1, 0.1, 0.03):
            for k in range(len(charges)):
                tried = np.maximum(charges[k] + step * np.arange(-4, 5), 0.0)
                losses = [loss(level(np.where(np.arange(len(charges)) == k, charge, charges)), coarse) for charge in tried]
                charges[k] = tried[int(np.argmin(losses))]
        candidates.append(level(charges))
    point = min(candidates, key=lambda candidate: loss(candidate, rough))
    for on, radius, share in ((rough, 0.1, 0.7), (full, 0.02, 0.3)):
        simplex = np.vstack([point, point + radius * np.eye(len(point))])
        options = {"initial_simplex": simplex, "maxfev": int(share * evaluations), "xatol": 1e-4, "fatol": 1e-7, "adaptive": True}
        point = minimize(loss, point, args=(on,), method="Nelder-Mead", options=options).x
    return split(point)

