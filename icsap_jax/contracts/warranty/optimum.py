"""The used-car menu exactly, in float64: what sellers choose, the best menu for given choices, and the best of all.

A menu is (L, D, R): a lump sum, a deposit, and a deferred payment made with the probability s that the car survives. A seller with
discount β and reservation r compares L, D + β s R and r; the buyer pays L, or D + b s R with its own discount b.

For given choices the best menu is a linear programme. Over all menus the buyer's value is linear in each cell of an arrangement of
planes, where a type is indifferent between two choices or a payment is at its bound, and on the planes ties are the buyer's: so the best
menu is a point where three planes meet, and there are O(T³) of these, not 3^T programmes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, islice
from typing import Any

import numpy as np

from icsap_jax.exact.lp import solve

LUMP, DEFERRED, KEEP = range(3)
TIE = 1e-9  # of the size of payments: corners are computed to rounding
BATCH = 50_000  # corners judged at once


@dataclass(frozen=True)
class Sale:
    """The tables of a problem file: `survive` s, `reservation` r, `prior`, [T] each; the buyer's `value` of a car that survives;
    `seller_discount` β and `buyer_discount` b; `min_deposit` −∞ for none; `scale`, the size of payments."""

    survive: np.ndarray
    reservation: np.ndarray
    prior: np.ndarray
    value: float
    seller_discount: float
    buyer_discount: float
    min_deposit: float
    scale: float

    def utilities(self, menus: np.ndarray) -> np.ndarray:
        """What each type gets from each choice, […, T, 3], of menus […, 3]."""
        lump, deposit, deferred = (menus[..., place, None] for place in range(3))
        later = deposit + self.seller_discount * deferred * self.survive
        return np.stack(np.broadcast_arrays(lump, later, self.reservation), -1)

    def payoffs(self, menus: np.ndarray) -> np.ndarray:
        """What the buyer gets from each type's choice, […, T, 3]."""
        lump, deposit, deferred = (menus[..., place, None] for place in range(3))
        later = deposit + self.buyer_discount * deferred * self.survive
        worth = self.value * self.survive
        return np.stack(np.broadcast_arrays(worth - lump, worth - later, np.zeros_like(worth)), -1)

    def values(self, menus: np.ndarray) -> np.ndarray:
        """The buyer's expected payoff […] from menus […, 3], ties broken for the buyer."""
        gets = self.utilities(menus)
        tied = gets >= gets.max(-1, keepdims=True) - TIE * self.scale
        return np.where(tied, self.payoffs(menus), -np.inf).max(-1) @ self.prior


def sale(model: Any) -> Sale:
    """The tables of a problem file, the prior summing to one."""
    survive, reservation, prior = (np.asarray(getattr(model, name), np.float64) for name in ("survive", "reservation", "prior"))
    floor = -np.inf if model.min_deposit is None else model.min_deposit
    return Sale(survive, reservation, prior / prior.sum(), model.value, model.seller_discount, model.buyer_discount, floor, model.scale())


def best_for(given: Sale, choices: np.ndarray) -> np.ndarray:
    """The menu [3] that brings the buyer most when each type makes its choice [T], which must be best for it. Raises
    `exact.lp.Infeasible` where no menu makes it so."""
    ones, zeros, later = np.ones_like(given.survive), np.zeros_like(given.survive), given.seller_discount * given.survive
    linear = np.stack([np.stack([ones, zeros, zeros], 1), np.stack([zeros, ones, later], 1), np.zeros((len(ones), 3))], 1)  # [T, 3, 3]
    constant = np.stack([zeros, zeros, given.reservation], 1)
    types = np.arange(len(choices))
    rows = (linear - linear[types, choices][:, None]).reshape(-1, 3)
    right = (constant[types, choices][:, None] - constant).reshape(-1)
    paid = np.stack([choices == LUMP, choices == DEFERRED, given.buyer_discount * given.survive * (choices == DEFERRED)], 1)
    floor = None if np.isinf(given.min_deposit) else given.min_deposit
    bounds = [(0.0, None), (floor, None), (0.0, None)]
    return solve(given.prior @ paid, at_most=(rows, right), bounds=bounds, tolerance=1e-10).x


def planes(given: Sale) -> tuple[np.ndarray, np.ndarray]:
    """(normals [P, 3], offsets [P]): where a payment is at its bound, or a type is indifferent between two choices."""
    later = [[0.0, 1.0, given.seller_discount * s] for s in given.survive]
    bounds = [([1.0, 0.0, 0.0], 0.0), ([0.0, 0.0, 1.0], 0.0)]
    if np.isfinite(given.min_deposit):
        bounds.append(([0.0, 1.0, 0.0], given.min_deposit))
    ties = [*(([1.0, 0.0, 0.0], r) for r in given.reservation), *zip(later, given.reservation, strict=True),
            *(([1.0, -1.0, -s], 0.0) for _, _, s in later)]  # fmt: skip
    normals, offsets = zip(*bounds, *ties, strict=True)
    return np.array(normals), np.array(offsets)


def best_menu(given: Sale) -> tuple[np.ndarray, float]:
    """The best menu [3] and its value: the best corner."""
    normals, offsets = planes(given)
    corners, best, value = combinations(range(len(offsets)), 3), np.zeros(3), -np.inf
    while batch := list(islice(corners, BATCH)):
        places = np.array(batch)
        matrices = normals[places]
        meets = np.abs(np.linalg.det(matrices)) > 1e-12
        menus = np.linalg.solve(matrices[meets], offsets[places[meets]][..., None])[..., 0]
        lowest = np.array([0.0, given.min_deposit, 0.0]) - TIE * given.scale
        menus = menus[(menus >= lowest).all(1)]
        if len(menus):
            found = given.values(menus)
            if found.max() > value:
                best, value = menus[found.argmax()], float(found.max())
    return best, value


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}: the buyer's expected payoff under the best menu."""
    method = "the best corner of the cells in which every type's choice is the same"
    return {"value": best_menu(sale(model))[1], "method": method, "source": "exact enumeration", "upper_bound": None}


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """The buyer's payoff from one lump sum that every seller takes, from one that only sellers of the lowest reservation take, from
    the best lump sum, and when it knows the type."""
    given = sale(model)
    worth, reservation = given.value * given.survive, given.reservation
    lumps = {r: float(given.prior @ np.where(reservation <= r, worth - r, 0.0)) for r in reservation}
    return {
        "pooling_lump_sum": lumps[reservation.max()],
        "buy_bad_only": lumps[reservation.min()],
        "best_lump_sum": max(*lumps.values(), 0.0),
        "full_information": float(given.prior @ np.maximum(worth - reservation, 0.0)),
    }
