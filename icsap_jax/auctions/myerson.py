"""One item, any number of independent bidders with different priors, regular or not (Myerson 1981, sections 5 and 6).

A bidder's *revenue curve* is R(q) = q · v(q): sell with probability q by asking the price v(q) that a share q of the prior
accepts. Its least concave majorant is the ironed curve; the slope of that is the ironed virtual value, and the optimal auction
gives the item to the largest positive one. Its revenue is E[max(0, max_i slope_i(q_i))], with q_i uniform on [0, 1].

The curve is kept on about 24 000 points, dense in both tails, so slopes are constant on small cells and both steps are done
exactly for that staircase: the error is second order in the cell (below 1e-7 of the value for every prior tested; discrete
priors, whose curves are polygons, are exact). A marginal is any object with vectorised cdf and ppf and support() → (low, high),
in the style of scipy.stats; values must not be negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_TAIL = np.geomspace(1e-13, 1e-4, 1501)
_QUANTILES = np.unique(np.concatenate([np.linspace(0.0, 1.0, 20_001), _TAIL, 1.0 - _TAIL]))


@dataclass(frozen=True)
class RevenueCurve:
    """One bidder's ironed revenue curve: its corners `quantile` [K], ascending from 0 to 1, `price` [K] (the value asked to sell
    with that probability), `revenue` [K] = quantile · price, which is concave; `slope` [K − 1], falling: the ironed virtual value
    of the types between two corners."""

    quantile: np.ndarray
    price: np.ndarray
    revenue: np.ndarray
    slope: np.ndarray

    @property
    def best(self) -> float:
        """The most one posted price earns from this bidder alone."""
        return float(self.revenue.max())

    @property
    def reserve(self) -> float:
        """The price that earns it: the least type with a virtual value of at least zero."""
        return float(self.price[np.argmax(self.revenue)])

    def virtual(self, value: np.ndarray) -> np.ndarray:
        """The ironed virtual value of each value, same shape; −∞ below the prior's support."""
        corner = np.searchsorted(-self.price, -np.asarray(value, dtype=np.float64), side="left")  # the first price at or below it
        return np.append(self.slope, -np.inf)[np.maximum(corner - 1, 0)]


def value_grid(marginal: Any) -> np.ndarray:
    """Points of the support, ascending: quantiles, its finite ends, and the far side of every gap in it (so that the jump of the
    price across the gap is met exactly, and so is every atom of a discrete prior)."""
    low, high = marginal.support()
    points = np.concatenate([np.asarray(marginal.ppf(_QUANTILES), dtype=np.float64), [low, high]])
    points = np.unique(points[np.isfinite(points)])
    before = points[:-1][np.diff(points) > 1e-3 * (points[-1] - points[0])]
    after = np.asarray(marginal.ppf(np.minimum(marginal.cdf(before) + 1e-12, 1.0)), dtype=np.float64)
    return np.unique(np.concatenate([points, after[np.isfinite(after)]]))


def atoms(marginal: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """The values [K] and probabilities [K] of a discrete prior; None for one that has a density anywhere."""
    points = np.unique(np.asarray(marginal.ppf(np.linspace(0.0, 1.0, 1_001)), dtype=np.float64))
    points = points[np.isfinite(points)]
    points = np.unique(np.append(points, marginal.ppf(np.minimum(marginal.cdf(points) + 1e-12, 1.0))))
    mass = np.asarray(marginal.cdf(points)) - np.asarray(marginal.cdf(np.nextafter(points, -np.inf)))
    if mass.sum() < 1.0 - 1e-9:
        return None
    return points[mass > 0], mass[mass > 0]


def revenue_curve(marginal: Any) -> RevenueCurve:
    """The ironed revenue curve of one prior: the upper concave hull of (P(v ≥ p), p · P(v ≥ p)) over prices p, from (0, 0)."""
    price = value_grid(marginal)[::-1]
    quantile = 1.0 - np.asarray(marginal.cdf(np.nextafter(price, -np.inf)), dtype=np.float64)
    corners = upper_hull(np.append(0.0, quantile), np.append(0.0, quantile * price))
    quantile, price = np.append(0.0, quantile)[corners], np.append(price[0], price)[corners]
    revenue = quantile * price
    return RevenueCurve(quantile, price, revenue, np.diff(revenue) / np.diff(quantile))


def revenue_curves(marginals: Sequence[Any]) -> list[RevenueCurve]:
    """One curve for each bidder; bidders with the same prior share one."""
    known: dict[tuple, RevenueCurve] = {}
    curves = []
    for marginal in marginals:
        key = fingerprint(marginal)
        if key not in known:
            known[key] = revenue_curve(marginal)
        curves.append(known[key])
    return curves


def fingerprint(marginal: Any) -> tuple:
    """Numbers that tell two priors apart: the ends of the support and 33 quantiles."""
    return (*map(float, marginal.support()), *np.asarray(marginal.ppf((np.arange(33) + 0.5) / 33), dtype=np.float64).tolist())


def optimal_revenue(curves: Sequence[RevenueCurve]) -> float:
    """The revenue of Myerson's auction, E[max(0, max_i ironed virtual value)] = ∫₀^∞ 1 − Π_i P(virtual value_i ≤ x) dx."""
    steps = np.unique(np.concatenate([[0.0], *(curve.slope[curve.slope > 0] for curve in curves)]))
    nobody = np.ones(len(steps))
    seen: dict[int, np.ndarray] = {}
    for curve in curves:
        if id(curve) not in seen:
            above = np.searchsorted(-curve.slope, -steps, side="left")  # slopes fall: how many exceed x
            seen[id(curve)] = 1.0 - curve.quantile[above]
        nobody = nobody * seen[id(curve)]
    return float(np.sum(np.diff(steps) * (1.0 - nobody[:-1])))


def second_price_revenue(marginals: Sequence[Any]) -> float:
    """The expected second highest value: what a second-price auction without a reserve earns (Vickrey 1961)."""
    width, below = _common_cdf(marginals)
    others = [np.prod(np.delete(below, i, axis=0), axis=0) for i in range(len(below))]
    alone = sum((1.0 - below[i]) * others[i] for i in range(len(below)))
    return float(np.sum(width * (1.0 - np.prod(below, axis=0) - alone)))


def highest_value(marginals: Sequence[Any]) -> float:
    """The expected highest value: the surplus, which no auction that bidders enter freely can exceed."""
    width, below = _common_cdf(marginals)
    return float(np.sum(width * (1.0 - np.prod(below, axis=0))))


def highest_value_at_most(marginals: Sequence[Any]) -> float:
    """What the expected highest of values ≥ 0 cannot exceed, however they depend on each other: ∫ min(1, Σ_i P(v_i > x)) dx. Of values
    that may be negative: of their positive parts."""
    width, below = _common_cdf(marginals)
    return float(np.sum(width * np.minimum((1.0 - below).sum(axis=0), 1.0)))


def _common_cdf(marginals: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Cells that cut [0, highest value], their widths [C], and every bidder's cdf at their midpoints [N, C]."""
    distinct = {fingerprint(marginal): marginal for marginal in marginals}
    edges = np.unique(np.concatenate([[0.0], *(np.maximum(value_grid(marginal), 0.0) for marginal in distinct.values())]))
    middle = (edges[1:] + edges[:-1]) / 2
    below = {key: np.asarray(marginal.cdf(middle), dtype=np.float64) for key, marginal in distinct.items()}
    return np.diff(edges), np.stack([below[fingerprint(marginal)] for marginal in marginals])


def upper_hull(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The indices of the corners of the upper concave hull of points with ascending x (where x repeats, the last highest y wins),
    by Andrew's monotone chain."""
    order = np.lexsort((y, x))
    order = order[np.append(np.diff(x[order]) > 0, True)]
    xs, ys = x[order].tolist(), y[order].tolist()
    kept: list[int] = []
    for k in range(len(xs)):
        while len(kept) > 1:
            a, b = kept[-2], kept[-1]
            if (ys[b] - ys[a]) * (xs[k] - xs[a]) > (ys[k] - ys[a]) * (xs[b] - xs[a]):
                break
            kept.pop()
        kept.append(k)
    return order[kept]
