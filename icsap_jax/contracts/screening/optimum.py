"""The best screening menu, exactly, by ironed virtual types (Mussa & Rosen 1978; Myerson 1981; Baron & Myerson 1982).

Write x for what a unit is worth to the agent: its type if it buys, minus its type if it sells. The agent gets x q − m, the principal
m + W(q). With rents by the envelope formula the principal's value is E[φ(x) q(x) + W(q(x))], q rising in x, where

    φ(x) = x − P(X > x) / density(x)        or, over finitely many types,        φ_i = x_i − (x_{i+1} − x_i) P(X > x_i) / p_i.

Where φ falls, pooling adjacent violators replaces it by its average over an interval; then the best q is the best of each point by
itself. A continuum is cut into 20 000 cells, whose average φ is exact (∫ φ dF = a P(X > a) − b P(X > b) over a cell from a to b), so
that the value is exact up to the variance of φ within a cell, below 1e-8 of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

CELLS = 20_000


@dataclass(frozen=True)
class Market:
    """The types from worst to best, K of them (or cells of a continuum): what a unit is worth to each, `strength` [K], its
    probability `mass` [K], its virtual strength `virtual` [K] before ironing, and `least` [K], the lowest strength in the cell. `worth`
    is the principal's W, `most` the largest quantity, `reservation` what each type must get."""

    strength: np.ndarray
    least: np.ndarray
    mass: np.ndarray
    virtual: np.ndarray
    worth: Any
    most: float
    reservation: float

    def best(self, slope: np.ndarray) -> np.ndarray:
        """The quantity in [0, most] at which slope·q + W(q) is largest."""
        return np.minimum(self.worth.best(slope), self.most)

    def surplus(self, slope: np.ndarray) -> np.ndarray:
        """max_q slope·q + W(q)."""
        quantity = self.best(slope)
        return slope * quantity + self.worth.of(quantity)


@dataclass(frozen=True)
class Solution:
    """The optimal menu: the principal's `value`, each type's `quantity` [K], and the agent's `expected_rent` over its reservation."""

    value: float
    quantity: np.ndarray
    expected_rent: float


def largest_quantity(model: Any) -> float:
    """What the best type is given when types are known, or `most`: no optimal menu gives any type more."""
    best = float(model.principal.build(model.side).best(np.array(model.strongest)))
    return best if model.most is None else min(best, model.most)


def market(model: Any) -> Market:
    """The market a problem file describes."""
    sign = 1.0 if model.side == "sell" else -1.0
    if model.prior is None:
        types, mass = np.asarray(model.types, np.float64), np.asarray(model.type_prior, np.float64)
        strength, mass = (sign * types, mass) if sign > 0 else (sign * types[::-1], mass[::-1])
        mass = mass / mass.sum()
        above = np.append(np.cumsum(mass[::-1])[::-1][1:], 0.0)
        virtual, least = strength - np.diff(strength, append=strength[-1]) * above / mass, strength
    else:
        prior = model.prior.build()
        types = np.linspace(prior.low, prior.high, CELLS + 1)
        edges = types if sign > 0 else -types[::-1]
        above = 1.0 - prior.cdf(types) if sign > 0 else prior.cdf(types)[::-1]
        mass = above[:-1] - above[1:]
        kept = mass > 1e-14  # where the density is next to nothing the average below would be rounding
        virtual = -np.diff(edges * above)[kept] / mass[kept]
        strength, least, mass = ((edges[1:] + edges[:-1]) / 2)[kept], edges[:-1][kept], mass[kept] / mass[kept].sum()
    return Market(strength, least, mass, virtual, model.principal.build(model.side), largest_quantity(model), model.agent.reservation)


def ironed(virtual: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """The rising sequence nearest to `virtual` [K] in squares weighted by `mass` [K] > 0: adjacent violators are pooled."""
    blocks: list[tuple[float, float, int]] = []  # (average, mass, length)
    for value, weight in zip(virtual.tolist(), mass.tolist(), strict=True):
        blocks.append((value, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (low, a, m), (high, b, n) = blocks[-2:]
            blocks[-2:] = [((low * a + high * b) / (a + b), a + b, m + n)]
    return np.repeat([value for value, _, _ in blocks], [length for _, _, length in blocks])


def solve(given: Market) -> Solution:
    """The optimal menu."""
    virtual = ironed(given.virtual, given.mass)
    quantity = given.best(virtual)
    value = float(given.mass @ (virtual * quantity + given.worth.of(quantity)))
    rent = float(given.mass @ ((given.strength - given.virtual) * quantity))
    return Solution(value - given.reservation, quantity, rent)


def first_best(given: Market) -> float:
    """The principal knows the type and leaves it its reservation utility."""
    return float(given.mass @ given.surplus(given.strength)) - given.reservation


def single_contract(given: Market) -> float:
    """The best one quantity at one price, take it or leave it: it is set for the weakest type that takes it, and all stronger ones
    take it too."""
    taken_by = np.cumsum(given.mass[::-1])[::-1]
    return float((taken_by * given.surplus(given.least)).max()) - given.reservation


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}: the principal's expected payoff under the best menu."""
    cells = "" if model.prior is None else f", {CELLS} cells"
    return {
        "value": solve(market(model)).value,
        "method": f"ironed virtual types{cells}",
        "source": "Mussa & Rosen 1978; Myerson 1981" if model.side == "sell" else "Baron & Myerson 1982; Myerson 1981",
        "upper_bound": None,
    }


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """The principal's payoff when it knows the type, and with one contract for all."""
    given = market(model)
    return {"first_best": first_best(given), "single_contract": single_contract(given)}
