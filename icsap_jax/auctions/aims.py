"""Independent bidders and items sold one by one, for a designer who weighs revenue, welfare and what it keeps (after Myerson 1981).

What an auction comes to is an account (payments, values received, value kept). Where an aim is linear in it, a·payments + b·values +
c·kept, a bidder contributes a·R(q) + b·V(q) when a share q of its prior is sold to, dearest first: R is the revenue curve, V(q) = ∫₀^q v.
The slope of the least concave majorant is the ironed a·φ + b·v; the item goes to the largest above c·v₀, what it is worth unsold.

Floors and ceilings on expected objectives are priced: the auction that is best for aim − λ·limits is an extreme point of the accounts
that can be reached, and the best mixture of those found so far is a linear programme of a few rows, whose multipliers are the next λ
(Dantzig & Wolfe 1960). It ends when no further auction is worth more at the prices λ than the mixture is, which proves both. One item:
the exact optimum. Several, additive: the best of selling them apart, a lower bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from icsap_jax.auctions.myerson import fingerprint, upper_hull, value_grid
from icsap_jax.auctions.priors.base import decimal
from icsap_jax.exact import lp

# (payments, values received, value kept) in what each objective counts, once; no others are linear in them.
COUNTED = {"revenue": (1.0, 0.0, 0.0), "profit": (1.0, 0.0, 1.0), "welfare": (0.0, 1.0, 1.0), "utility": (-1.0, 1.0, 0.0)}
DEAR = 1e4  # what missing a limit costs, per unit of the aim: far beyond any price that is paid where it can be met
ROUNDS = 200
PROVEN = 1e-9  # relative difference between the mixture and what its prices prove


class Unattainable(Exception):
    """No auction meets the limits."""


@dataclass(frozen=True)
class Law:
    """One bidder's prior of one item: `revenue` [K] and `welfare` [K] from selling to a share `quantile` [K], from 0 to 1."""

    quantile: np.ndarray
    revenue: np.ndarray
    welfare: np.ndarray


@dataclass(frozen=True)
class Item:
    """One item: the `laws` of all bidders, and what it is worth unsold."""

    laws: tuple[Law, ...]
    outside: float


@dataclass(frozen=True)
class Best:
    """The best mixture of auctions: its `value`, its expected `account` [3], and the price `dual` [limits] of each limit: how much more
    there would be if it were loosened by one."""

    value: float
    account: np.ndarray
    dual: np.ndarray


def counted(weights: Mapping[str, float]) -> np.ndarray | None:
    """A weighted sum of objectives as weights [3] of the account; None where one of them is not linear in it, or a plugin's own."""
    if any(name not in COUNTED or getattr(name, "owner", "") for name in weights):
        return None
    return np.sum([weight * np.array(COUNTED[name]) for name, weight in weights.items()], axis=0)


def law(marginal: Any) -> Law:
    """Of one prior: exact on the points where it has atoms, and to second order in the cells where it has a density."""
    price = value_grid(marginal)[::-1]
    just_below = np.asarray(marginal.cdf(np.nextafter(price, -np.inf)), dtype=np.float64)
    quantile = np.append(0.0, 1.0 - just_below)
    atom = np.asarray(marginal.cdf(price), dtype=np.float64) - just_below
    spread = np.maximum(np.diff(quantile) - atom, 0.0)
    dearer = np.append(price[0], price[:-1])
    welfare = np.cumsum(atom * price + spread * (price + dearer) / 2)
    return Law(quantile, quantile * np.append(price[0], price), np.append(0.0, welfare))


def items_of(marginals: Sequence[Sequence[Any]], outside: Sequence[float]) -> list[Item]:
    """Each of M items from the marginals of N bidders; bidders with the same prior share one law."""
    known: dict[tuple, Law] = {}

    def once(marginal: Any) -> Law:
        key = fingerprint(marginal)
        if key not in known:
            known[key] = law(marginal)
        return known[key]

    return [Item(tuple(once(bidder[j]) for bidder in marginals), float(outside[j])) for j in range(len(outside))]


def sold_apart(items: Sequence[Item], weights: np.ndarray) -> np.ndarray:
    """The expected account [3] of the best auction of each item for weights a ≥ 0, b and c, added up."""
    return np.sum([_sold(item, weights) for item in items], axis=0)


def _sold(item: Item, weights: np.ndarray) -> np.ndarray:
    payments, values, kept = weights
    curves: dict[int, tuple[np.ndarray, ...]] = {}
    for each in item.laws:
        if id(each) not in curves:
            height = payments * each.revenue + values * each.welfare
            corners = upper_hull(each.quantile, height)
            share = each.quantile[corners]
            gains = np.stack([np.diff(each.revenue[corners]), np.diff(each.welfare[corners]), np.diff(share)])
            curves[id(each)] = share, np.diff(height[corners]) / np.diff(share), gains
    bidders = [curves[id(each)] for each in item.laws]
    account = np.zeros(3)
    for i, (_, slope, gains) in enumerate(bidders):
        wins = (slope > kept * item.outside).astype(np.float64)
        for j, (share, other, _) in enumerate(bidders):
            if j != i:  # of those that tie the first wins
                ahead = np.searchsorted(-other, -slope, side="right" if j < i else "left")
                wins = wins * (1.0 - share[ahead])
        account += gains @ wins
    return np.array([account[0], account[1], item.outside * (1.0 - account[2])])


def best(items: Sequence[Item], aim: np.ndarray, limits: np.ndarray, bounds: np.ndarray) -> Best | None:
    """The best mixture of auctions for `aim` [3] subject to limits [L, 3]·account ≤ bounds [L]; None where more can always be had by
    paying bidders, so that there is no best. Raises `Unattainable` where no auction meets the limits."""
    if not len(limits):
        if aim[0] < 0:
            return None
        account = sold_apart(items, aim)
        return Best(float(aim @ account), account, np.zeros(0))
    size = np.abs(aim).sum() or 1.0
    # Money may be handed back to bidders, whoever they are: a direction in which accounts may move for ever.
    handed_back = np.array([-1.0, 0.0, 0.0])
    accounts = [sold_apart(items, weights) for weights in (np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 1.0]))]
    for _ in range(ROUNDS):
        columns = np.stack([*accounts, handed_back])
        cost = np.concatenate([columns @ aim, np.full(len(limits), -DEAR * size)])
        rows = np.hstack([limits @ columns.T, -np.eye(len(limits))])
        mixed = np.concatenate([np.ones(len(accounts)), np.zeros(1 + len(limits))])[None]
        try:
            found = lp.solve(cost, at_most=(rows, bounds), equal=(mixed, [1.0]), maximise=True, tolerance=1e-10)
        except lp.Unbounded:
            return None
        prices = np.maximum(found.duals_at_most, 0.0)
        weights = aim - prices @ limits
        weights[0] = max(weights[0], 0.0)  # where it is 0 but for rounding
        proposed = sold_apart(items, weights)
        if weights @ proposed + prices @ bounds <= found.value + PROVEN * (abs(found.value) + size):
            if found.x[len(columns) :].max() > 1e-7:
                raise Unattainable("no auction meets the limits")
            return Best(found.value, found.x[: len(columns)] @ columns, prices)
        accounts.append(proposed)
    raise lp.LpError(f"The best auction under limits was not settled in {ROUNDS} rounds.")


def aim_of(problem: Any, env: Any) -> np.ndarray | None:
    """An auction's objective as weights [3] of the account; None where it is not linear in it."""
    return counted(dict(zip(problem.objective, decimal(env.weights), strict=True)))


def limits_of(problem: Any, env: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """An auction's constraints as (limits [L, 3], bounds [L]); None where one is not on the mean of something linear in the account."""
    limits, bounds = np.zeros((len(problem.limits), 3)), np.zeros(len(problem.limits))
    for place, (limit, numbers) in enumerate(zip(problem.limits, env.limits, strict=True)):
        weights = counted(dict(zip(limit.objective, decimal(numbers["weights"]), strict=True))) if limit.on_average else None
        if weights is None:
            return None
        limits[place], bounds[place] = limit.sign * weights, limit.sign * float(decimal(numbers["value"]))
    return limits, bounds


def apart(problem: Any, env: Any) -> Best | None:
    """The best of selling items one by one, as each constraint allows; None where its theory does not apply: bidders depend on each
    other, have budgets or want no more than one item of several, or the aim is not linear."""
    aim, limited = aim_of(problem, env), limits_of(problem, env)
    alone = problem.valuation == "additive" or problem.items == 1
    if aim is None or limited is None or not alone or not problem.independent(env) or problem.budgets:
        return None
    return best(items_of(env.prior.marginals(), decimal(env.outside)), aim, *limited)


def surplus(problem: Any, env: Any) -> float | None:
    """No auction that bidders enter freely is worth more: each item at its best for who values it most, or kept, constraints aside. None
    where the aim is not linear with weights ≥ 0, or a bidder may value two items above their sum."""
    aim = aim_of(problem, env)
    if aim is None or aim.min() < 0 or problem.valuation == "combinatorial" or not env.prior.independent_agents:
        return None
    all_paid = np.array([0.0, aim[0] + aim[1], aim[2]])
    return float(all_paid @ sold_apart(items_of(env.prior.marginals(), decimal(env.outside)), all_paid))
