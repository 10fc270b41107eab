"""A separable convex function minimised under linear constraints, with a certified bound, by linear programmes.

    minimise  Σ_i weight_i f(x_i)   subject to   A x ≤ b,   low ≤ x ≤ high

Kelley's cutting planes (1960), one family of tangents for each variable: every tangent lies below f, so each programme's value is a
lower bound, and its solution satisfies the constraints, so f there is an upper bound. The two meet.

f may be infinite at the ends of its domain, as the pay for the highest utility is. Where a programme goes there, the next tangent is
taken half-way back; where it always does, no point has a finite value.

    solution = minimise([1.0, 1.0], np.square, lambda x: 2 * x, at_most=([[-1.0, -2.0]], [-5.0]), bounds=[(None, None)] * 2)
    solution.x, solution.value, solution.lower_bound        # [1, 2], 5, and less than 5 by at most 5e-9
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from icsap_jax.exact.lp import Constraint, Infeasible, LpError, LpSolution, Unbounded, solve

Bounds = Sequence[tuple[float | None, float | None]]
Elementwise = Callable[[np.ndarray], np.ndarray]

# HiGHS's smallest: the certificate is not wanted worse than the gap that is asked for.
_TIGHT = 1e-10
# The relative gap that is accepted where the programmes become too ill-conditioned to go on; `lower_bound` tells.
_GOOD_ENOUGH = 1e-6
# Tangents to begin with, around the first point and in its scale: without some on both sides the first programmes run away.
_AROUND = (-30.0, -3.0, 3.0, 30.0)
_WIDEST = 1e6  # times that, before values are said to fall for ever


@dataclass(frozen=True)
class ConvexSolution:
    """A minimiser `x` [variables], its `value`, a `lower_bound` on every feasible value, and the programmes solved."""

    value: float
    lower_bound: float
    x: np.ndarray
    rounds: int


def minimise(
    weights: Any, function: Elementwise, slope: Elementwise, *,
    at_most: Constraint, bounds: Bounds, tolerance: float = 1e-9, most_rounds: int = 300,
) -> ConvexSolution:  # fmt: skip
    """The minimum of Σ weights·function(x), to a relative `tolerance`.

    `weights` [variables] ≥ 0; `function` is convex and `slope` its derivative, both elementwise and finite inside the bounds (not
    necessarily at their ends); `at_most` (A, b) dense or sparse, met to 10⁻¹⁰; `bounds` one (low, high) for each variable, None for
    none. Raises `Infeasible` where no point has a finite value, `Unbounded` where values fall for ever, LpError where the bounds did
    not meet within `most_rounds` or before rounding hid the rest (gaps of 10⁻⁶ are then let pass).
    """
    weights = np.asarray(weights, dtype=np.float64)
    if weights.ndim != 1 or not np.all(np.isfinite(weights)) or np.any(weights < 0.0):
        raise ValueError("The weights of a separable convex function must be a vector of finite numbers ≥ 0.")
    costly = np.flatnonzero(weights)
    best = ConvexSolution(np.inf, -np.inf, np.zeros(weights.size), 0)
    point = _first_point(weights, at_most, bounds)
    relaxed = _Relaxation(weights, costly, at_most, bounds, *_shape(point[costly], slope))
    relaxed.tangents_around(point[costly], function, slope)
    for number in range(1, most_rounds + 1):
        with np.errstate(all="ignore"):
            value = float(weights[costly] @ function(point[costly]))
        if np.isfinite(value) and value < best.value:
            best = ConvexSolution(value, best.lower_bound, point, number)
        if not relaxed.cut(point[costly], function, slope):
            raise Infeasible("No point that satisfies the constraints has a finite value: each lies at the end of the function's domain.")
        try:
            solution = relaxed.solve(point[costly], function, slope)
        except LpError as error:
            # The constraints have a point, and more tangents only raise the minimum: from the second round on this is rounding.
            if number == 1 and isinstance(error, Unbounded):
                raise
            if best.value - best.lower_bound <= _GOOD_ENOUGH * max(1.0, abs(best.value)):
                return best
            raise LpError(f"The minimum is only known to lie between {best.lower_bound} and {best.value}: {error}") from error
        bound, point = max(best.lower_bound, solution.value), solution.x[: weights.size]
        best = ConvexSolution(best.value, bound, best.x, number)
        if np.isfinite(best.value) and best.value - bound <= tolerance * max(1.0, abs(best.value)):
            return best
    raise LpError(f"After {most_rounds} rounds the minimum is only known to lie between {best.lower_bound} and {best.value}.")


def _first_point(weights: np.ndarray, at_most: Constraint, bounds: Bounds) -> np.ndarray:
    """Where Σ weight·x is least, which for a rising f is not far from the minimum; any feasible point where that falls for ever."""
    try:
        return solve(weights, at_most=at_most, bounds=bounds, tolerance=_TIGHT).x
    except Unbounded:
        return solve(np.zeros_like(weights), at_most=at_most, bounds=bounds, tolerance=_TIGHT).x


def _reach(point: np.ndarray) -> float:
    """The scale of a point."""
    return max(1.0, float(np.abs(point).max(initial=0.0)))


def _shape(point: np.ndarray, slope: Elementwise) -> tuple[float, float]:
    """A common slope of f around a point, and the scale of what is left of f without it."""
    places = np.concatenate([point, *(point + step * _reach(point) for step in _AROUND)])
    with np.errstate(all="ignore"):
        slopes = slope(places)
    slopes = slopes[np.isfinite(slopes)]
    steep = float(np.median(slopes)) if slopes.size else 0.0
    bend = float(np.abs(slopes - steep).max(initial=0.0)) / _reach(point)
    return steep, min(max(bend, 1e-9), 1.0)


class _Relaxation:
    """The linear programme over (x, θ) in which steep·x_i + bend·θ_i stands for f(x_i), and lies above every tangent taken so far. With
    the common slope taken out and what is left in its own scale, HiGHS can tell the tangents of a nearly linear f apart."""

    def __init__(
        self, weights: np.ndarray, costly: np.ndarray, at_most: Constraint, bounds: Bounds, steep: float, bend: float
    ) -> None:  # fmt: skip
        self.costly, self.size, self.steep, self.bend = costly, weights.size, steep, bend
        self.cost = np.concatenate([steep * weights, bend * weights[costly]])
        self.bounds = [*bounds, *[(None, None)] * costly.size]
        self.blocks, self.limits = [sparse.csr_matrix(at_most[0], dtype=np.float64, copy=True)], [np.asarray(at_most[1], dtype=np.float64)]
        self.blocks[0].resize(self.blocks[0].shape[0], self.cost.size)  # no constraint of theirs is on θ
        self.ends = np.array([[np.nan if end is None else end for end in bounds[i]] for i in costly]).reshape(-1, 2)
        self.wide = 1.0
        self.known: list[np.ndarray] = []  # where tangents were taken, [costly] each; NaN where none was

    def cut(self, at: np.ndarray, function: Elementwise, slope: Elementwise) -> bool:
        """Add tangents at `at` [costly], or where the function is not finite half-way to the nearest point with one. False where a
        variable has no such point left."""
        outside = ~_finite(at, function, slope)
        if outside.any():
            known = np.where(np.isnan(self.known), np.inf, self.known) if self.known else np.full((1, at.size), np.inf)
            known = np.vstack([known, np.where(np.isnan(self.ends.T), np.inf, self.ends.T)])
            known[~_finite(known, function, slope)] = np.inf
            nearest = known[np.abs(known - at).argmin(0), np.arange(at.size)]
            middle = np.where(outside, 0.5 * (at + nearest), at)
            if np.any(outside & (middle == nearest)) or not _finite(middle, function, slope).all():
                return False
            at = middle
        self.tangents(at, function, slope)
        return True

    def tangents(self, at: np.ndarray, function: Elementwise, slope: Elementwise) -> None:
        """Add the tangents at `at` [costly] wherever the function is finite there and inside the bounds."""
        low, high = self.ends.T
        good = _finite(at, function, slope) & ~(at < low) & ~(at > high)
        self.known.append(np.where(good, at, np.nan))
        steep, height = slope(at[good]), function(at[good])
        number = np.arange(good.sum())
        columns = np.concatenate([self.costly[good], self.size + np.flatnonzero(good)])
        entries = np.concatenate([(steep - self.steep) / self.bend, -np.ones(number.size)])
        self.blocks.append(sparse.csr_matrix((entries, (np.tile(number, 2), columns)), shape=(number.size, self.cost.size)))
        self.limits.append((steep * at[good] - height) / self.bend)

    def tangents_around(self, point: np.ndarray, function: Elementwise, slope: Elementwise) -> None:
        """Add tangents on both sides of `point`, ten times further away at every call."""
        for step in _AROUND:
            self.tangents(point + self.wide * step * _reach(point), function, slope)
        self.wide *= 10.0

    def solve(self, point: np.ndarray, function: Elementwise, slope: Elementwise) -> LpSolution:
        """The programme's solution; where it runs away from `point`, with tangents further away than any so far."""
        while True:
            try:
                at_most = sparse.vstack(self.blocks, format="csr"), np.concatenate(self.limits)
                return solve(self.cost, at_most=at_most, bounds=self.bounds, tolerance=_TIGHT)
            except Unbounded:
                if self.wide > _WIDEST:
                    raise
                self.tangents_around(point, function, slope)


def _finite(at: np.ndarray, function: Elementwise, slope: Elementwise) -> np.ndarray:
    """Where the function and its slope are finite."""
    with np.errstate(all="ignore"):
        return np.isfinite(at) & np.isfinite(function(at)) & np.isfinite(slope(at))
