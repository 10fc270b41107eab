"""Menus for one bidder and two items, and the optimal ones that are known in closed form.

A rule for one bidder is a menu: pairs (allocation, price) from which the bidder picks its favourite. Where the type is uniform on
a polygon, the types that pick an entry form a polygon too, so the revenue Σ price · area/total is exact, and the same polygons
are the regions of the papers' figures.

Every known menu is proved optimal in its source among *all* incentive-compatible rules, lotteries included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Menu:
    """`allocations` [K, 2] and `prices` [K], the first entry being nothing at 0; `region` [V, 2]: the corners, in order, of the
    polygon on which types are uniform; `method` and `source` say where it comes from."""

    allocations: np.ndarray
    prices: np.ndarray
    region: np.ndarray
    method: str
    source: str

    @property
    def revenue(self) -> float:
        """Expected revenue, exact."""
        shares = np.array([area(region) for region in self.regions()]) / area(self.region)
        return float(shares @ self.prices)

    def regions(self) -> list[np.ndarray]:
        """For each entry the polygon [V, 2] of the types that pick it (no rows where none does)."""
        return [self._region(k) for k in range(len(self.prices))]

    def _region(self, k: int) -> np.ndarray:
        polygon = self.region
        for other in range(len(self.prices)):
            if other != k:
                polygon = clip(polygon, self.allocations[k] - self.allocations[other], self.prices[k] - self.prices[other])
        return polygon


def clip(polygon: np.ndarray, normal: np.ndarray, offset: float) -> np.ndarray:
    """The part [V′, 2] of a convex polygon [V, 2] where normal·x ≥ offset (Sutherland & Hodgman 1974, one half-plane)."""
    corners = []
    for here, there in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        inside, next_inside = normal @ here - offset, normal @ there - offset
        if inside >= 0:
            corners.append(here)
        if (inside >= 0) != (next_inside >= 0):
            corners.append(here + (there - here) * inside / (inside - next_inside))
    return np.array(corners).reshape(-1, 2)


def area(polygon: np.ndarray) -> float:
    """The area of a polygon [V, 2], by the shoelace formula."""
    if len(polygon) < 3:
        return 0.0
    x, y = polygon.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def rectangle(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The corners [4, 2] of the box between `low` [2] and `high` [2]."""
    return np.array([[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]], dtype=np.float64)


def additive_triangle(side: float) -> Menu:
    """Uniform on {v ≥ 0, v₁ + v₂ ≤ side}: the bundle at side/√3."""
    return Menu(
        np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0.0, side / np.sqrt(3)]), side * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]),
        "closed form: the bundle at √(1/3) of the triangle's side", "Haghpanah & Hartline 2015",
    )


def additive_rectangle(low: np.ndarray, high: np.ndarray) -> Menu | None:
    """The optimal menu for additive values uniform on a box [low, high] ⊂ ℝ², where one of the formulas below covers it."""
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    if np.all(np.abs(low) <= 1e-6 * high) and high.max() <= 2 * high.min():
        return _additive_from_zero(high)
    for first in (0, 1):  # item 1 of the formula is the U[4, 16] one
        second = 1 - first
        scaled = np.array([low[first], high[first], low[second], high[second]]) * 4 / max(low[first], 1e-300)
        if np.allclose(scaled, [4, 16, 4, 7], rtol=1e-6):
            return _additive_416_47(low, high, first)
    return None


def _additive_from_zero(high: np.ndarray) -> Menu:
    """U[0, h₁] × U[0, h₂], the longer side at most twice the shorter (Manelli & Vincent 2006 for the square; Thirumulanathan,
    Sundaresan & Narahari 2019): each item at 2/3 of its side, and both at the price that leaves a third of the types
    without anything, (2h₁ + 2h₂ − √(2 h₁ h₂))/3."""
    prices = np.array([0.0, 2 * high[0] / 3, 2 * high[1] / 3, (2 * high.sum() - np.sqrt(2 * high.prod())) / 3])
    square = np.isclose(high[0], high[1], rtol=1e-6)
    return Menu(
        np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), prices, rectangle(np.zeros(2), high),
        "closed form: items at 2/3, both at (4-sqrt 2)/3 of the side" if square else
        "closed form: items at 2/3 of their sides, both at (2a+2b-sqrt(2ab))/3",
        "Manelli & Vincent 2006" if square else "Thirumulanathan, Sundaresan & Narahari 2019",
    )


def _additive_416_47(low: np.ndarray, high: np.ndarray, first: int) -> Menu:
    """U[4, 16] × U[4, 7] and its multiples (Daskalakis, Deckelbaum & Tzamos 2017): half of the wide item with all of
    the narrow one at 8, both at 12."""
    lottery = np.array([1.0, 1.0])
    lottery[first] = 0.5
    return Menu(
        np.array([[0.0, 0.0], lottery, [1.0, 1.0]]), np.array([0.0, 8.0, 12.0]) * low[first] / 4, rectangle(low, high),
        "closed form: half of the wide item with all of the narrow one at 8, both at 12", "Daskalakis, Deckelbaum & Tzamos 2017",
    )


def unit_demand_square(low: float, high: float) -> Menu | None:
    """One item wanted, values i.i.d. U[low, high], with c = low/(high − low) (Pavlov 2011).

    c ≤ 1: each item at (2c + √(c² + 3))/3. c ≥ 1.372: the fair lottery over the two items at (2c + √(c² + 3/2))/3, each item 1/6
    dearer. Both in units of high − low. In between the optimum has two more lotteries and no formula here: None.
    """
    width = high - low
    c = low / width
    items = np.array([[1.0, 0.0], [0.0, 1.0]])
    region = rectangle(np.full(2, low), np.full(2, high))
    if c <= 1 + 1e-6:
        price = width * (2 * c + np.sqrt(c * c + 3)) / 3
        return Menu(
            np.vstack([np.zeros(2), items]), np.array([0.0, price, price]), region,
            "closed form: each item at (2c+sqrt(c^2+3))/3", "Pavlov 2011",
        )
    if c < 1.372:
        return None
    lottery = width * (2 * c + np.sqrt(c * c + 1.5)) / 3
    return Menu(
        np.vstack([np.zeros(2), [0.5, 0.5], items]), np.array([0.0, lottery, lottery + width / 6, lottery + width / 6]), region,
        "closed form: lottery (1/2,1/2) at (2c+sqrt(c^2+3/2))/3, items 1/6 dearer", "Pavlov 2011",
    )


def uniform_ends(marginal: Any) -> tuple[float, float] | None:
    """(low, high) where the marginal is uniform, told by its cdf being straight; else None."""
    low, high = map(float, marginal.support())
    if not (np.isfinite(low) and np.isfinite(high)) or high <= low:
        return None
    share = np.linspace(0.0, 1.0, 41)
    # The ends may have been kept in float32, and the cdf with them: 1e-6.
    return (low, high) if np.allclose(marginal.cdf(low + share * (high - low)), share, atol=1e-6) else None
