"""One bidder and several items by linear programme: the exact optimum for finitely many types, and a proven upper bound for two
uniform items.

Both programmes choose, for every type t, the probability q(t) of each item and the utility u(t) it is left with, subject to
incentive compatibility u(t) ≥ u(s) + q(s)·(t − s) for all pairs, participation u ≥ 0, and 0 ≤ q ≤ 1 (Border-free: there is only
one bidder). Revenue is Σ mass(t) (q(t)·t − u(t)). Where no two items may be given away with probabilities further `apart` than so,
|q_j(t) − q_j′(t)| is bounded too.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations, product
from typing import Any

import numpy as np
from scipy import sparse

from icsap_jax.auctions.myerson import atoms
from icsap_jax.exact import lp

MOST_TYPES = 150  # 150² incentive constraints: about a second


def product_types(marginals: Sequence[Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """All types [T, M] of one bidder with independent discrete values, and their mass [T]; None where a value is not discrete or
    there are more than MOST_TYPES."""
    pairs = []
    for marginal in marginals:
        pair = atoms(marginal)
        if pair is None:
            return None
        pairs.append(pair)
        if np.prod([len(values) for values, _ in pairs]) > MOST_TYPES:
            return None
    types = np.array(list(product(*(values for values, _ in pairs))))
    mass = np.array([np.prod(weights) for weights in product(*(weights for _, weights in pairs))])
    return types, mass / mass.sum()


def optimal_revenue(types: np.ndarray, mass: np.ndarray, unit_demand: bool, apart: float = 1.0) -> float:
    """The most any rule earns from one bidder whose type is row t of `types` [T, M] with probability `mass` [T]."""
    return _programme(types, mass, unit_demand, np.zeros(types.shape[1]), apart)


def uniform_bound(low: np.ndarray, high: np.ndarray, unit_demand: bool, cells: int = 10) -> float:
    """An upper bound on the revenue from one bidder uniform on the box [low, high] ⊂ ℝ², cut into cells × cells equal parts.

    Average any incentive-compatible rule over each cell. Comparing points at the same place of two cells shows that the averages
    satisfy incentive compatibility between the cells' centres; and the average of v·q exceeds (centre)·(average q) by at most
    width/2 · min(q, 1 − q) for each item, all of a cell's q being then served to its best half. So the programme with that bonus
    is a relaxation, and its value falls to the optimum as the cells shrink.
    """
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    width = (high - low) / cells
    types = np.array(list(product(*(low[j] + width[j] * (np.arange(cells) + 0.5) for j in range(2)))))
    return _programme(types, np.full(len(types), 1.0 / len(types)), unit_demand, width / 2)


def _programme(types: np.ndarray, mass: np.ndarray, unit_demand: bool, bonus: np.ndarray, apart: float = 1.0) -> float:
    """The programme of the file's head over variables (q [T, M], u [T], s [T, M]), with bonus·s and s ≤ min(q, 1 − q) added."""
    count, items = types.shape
    allocation = np.arange(count * items).reshape(count, items)
    utility = count * items + np.arange(count)
    inside = utility[-1] + 1 + np.arange(count * items).reshape(count, items)
    size = count * (2 * items + 1)

    cost = np.zeros(size)
    cost[allocation] = mass[:, None] * types
    cost[utility] = -mass
    cost[inside] = mass[:, None] * bonus

    of, to = (index.ravel() for index in np.meshgrid(np.arange(count), np.arange(count), indexing="ij"))
    of, to = of[of != to], to[of != to]
    rows = np.arange(len(of))
    incentive = sparse.csr_matrix(  # u(to) − u(of) + q(to)·(of − to) ≤ 0: type `of` gains nothing as `to`
        (
            np.concatenate([np.ones(len(of)), -np.ones(len(of)), (types[of] - types[to]).ravel()]),
            (np.concatenate([rows, rows, np.repeat(rows, items)]), np.concatenate([utility[to], utility[of], allocation[to].ravel()])),
        ),
        shape=(len(of), size),
    )
    blocks, limits = [incentive], [np.zeros(len(of))]
    if unit_demand:
        blocks.append(sparse.csr_matrix((np.ones(count * items), (np.repeat(np.arange(count), items), allocation.ravel())), (count, size)))
        limits.append(np.ones(count))
    if apart < 1.0:
        for first, second in permutations(range(items), 2):  # q_j − q_j′ ≤ apart
            entries, columns = np.repeat([1.0, -1.0], count), np.concatenate([allocation[:, first], allocation[:, second]])
            blocks.append(sparse.csr_matrix((entries, (np.tile(np.arange(count), 2), columns)), (count, size)))
            limits.append(np.full(count, apart))
    if np.any(bonus > 0):
        each = np.arange(count * items)
        for sign, limit in ((-1.0, 0.0), (1.0, 1.0)):  # s ≤ q and s ≤ 1 − q
            entries = np.concatenate([np.ones(len(each)), np.full(len(each), sign)])
            columns = np.concatenate([inside.ravel(), allocation.ravel()])
            blocks.append(sparse.csr_matrix((entries, (np.concatenate([each, each]), columns)), (len(each), size)))
            limits.append(np.full(len(each), limit))
    upper = np.ones(size)
    upper[utility] = np.inf
    bounds = np.stack([np.zeros(size), upper], axis=1)
    return lp.solve(cost, at_most=(sparse.vstack(blocks), np.concatenate(limits)), bounds=bounds, maximise=True).value
