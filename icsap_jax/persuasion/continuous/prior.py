"""Distributions of a state on an interval, by their moments up to any point, exact in float64.

All that persuasion by the mean asks of a prior is how much mass and how much state lie below a point: ∫ ω^k dF from the lowest state
on, for k = 0, 1, 2. From these the mass and the mean of every cell, pool and tail follow without any discretisation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import betainc, ndtr

Moments = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Prior:
    """A state in [low, high]; `partial` gives the integrals of 1, ω and ω² from `low` to points inside, [...] to [3, ...]."""

    low: float
    high: float
    partial: Moments

    def below(self, points: Any) -> np.ndarray:
        """Mass, first and second moment of the states below each point [...], as [3, ...]; points outside count as the ends."""
        return self.partial(np.clip(np.asarray(points, np.float64), self.low, self.high))

    def between(self, start: Any, end: Any) -> np.ndarray:
        """The same between two points, never negative in mass."""
        return self.below(end) - self.below(start)

    @property
    def mean(self) -> float:
        return float(self.below(self.high)[1])

    @property
    def second(self) -> float:
        """E ω²."""
        return float(self.below(self.high)[2])

    def mean_between(self, start: float, end: float) -> float:
        """The mean of the states between two points; where there is no mass, the middle."""
        mass, moment, _ = self.between(start, end)
        return float(np.clip(moment / mass, start, end)) if mass > 0 else 0.5 * (start + end)

    def cells(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(mass, mean, mean square) [count] of the state in cells of one width, lowest first."""
        edges = np.linspace(self.low, self.high, count + 1)
        mass, moment, square = np.diff(self.below(edges), axis=1)
        some = np.where(mass > 0, mass, 1.0)
        middle = 0.5 * (edges[:-1] + edges[1:])
        mean = np.clip(np.where(mass > 0, moment / some, middle), edges[:-1], edges[1:])
        return mass, mean, np.maximum(np.where(mass > 0, square / some, middle**2), mean**2)

    def start_of_pool(self, mean: float, end: float) -> float | None:
        """The state from which on those up to `end` have this mean; None where there is none."""
        if not self.mean_between(self.low, end) < mean < end:
            return None
        return float(brentq(lambda start: self.mean_between(start, end) - mean, self.low, end, xtol=1e-15))

    def end_of_pool(self, mean: float, start: float) -> float | None:
        """The state up to which those from `start` on have this mean; None where there is none."""
        if not start < mean < self.mean_between(start, self.high):
            return None
        return float(brentq(lambda end: self.mean_between(start, end) - mean, start, self.high, xtol=1e-15))


def _stretched(low: float, width: float, unit: np.ndarray) -> np.ndarray:
    """Moments [3, ...] of low + width·y from those of y."""
    zero, first, second = unit
    return np.stack([zero, low * zero + width * first, low**2 * zero + 2 * low * width * first + width**2 * second])


def uniform(model: Any) -> Prior:
    """From its model in a problem file."""
    width = model.high - model.low

    def partial(points: np.ndarray) -> np.ndarray:
        y = (points - model.low) / width
        return _stretched(model.low, width, np.stack([y, y**2 / 2, y**3 / 3]))

    return Prior(model.low, model.high, partial)


def beta(model: Any) -> Prior:
    """From its model in a problem file: y^k times a beta density is again one, with a + k."""
    a, b, width = model.a, model.b, model.high - model.low
    first = a / (a + b)
    second = first * (a + 1) / (a + b + 1)

    def partial(points: np.ndarray) -> np.ndarray:
        y = np.clip((points - model.low) / width, 0.0, 1.0)
        unit = np.stack([betainc(a, b, y), first * betainc(a + 1, b, y), second * betainc(a + 2, b, y)])
        return _stretched(model.low, width, unit)

    return Prior(model.low, model.high, partial)


def truncated_normal(model: Any) -> Prior:
    """From its model in a problem file: ∫ z φ = −φ and ∫ z² φ = Φ − z φ."""

    def primitive(points: Any) -> np.ndarray:
        z = (np.asarray(points) - model.mean) / model.std
        density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
        return np.stack([ndtr(z), -density, ndtr(z) - z * density])

    start = primitive(model.low)
    whole = primitive(model.high)[0] - start[0]

    def partial(points: np.ndarray) -> np.ndarray:
        unit = primitive(points) - start.reshape(3, *[1] * points.ndim)
        return _stretched(model.mean, model.std, unit / whole if whole > 0 else unit)

    return Prior(model.low, model.high, partial)


def histogram(model: Any) -> Prior:
    """From its model in a problem file."""
    heights = np.asarray(model.heights, np.float64)
    shares, width = heights / heights.sum(), (model.high - model.low) / len(heights)
    starts = model.low + width * np.arange(len(heights))

    def within(cell: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The moments of a share y of a cell, from its start on."""
        low = starts[cell]
        return shares[cell] * np.stack([y, low * y + width * y**2 / 2, low**2 * y + low * width * y**2 + width**2 * y**3 / 3])

    every = np.arange(len(heights))
    before = np.concatenate([np.zeros((3, 1)), within(every, np.ones(len(heights))).cumsum(1)], axis=1)

    def partial(points: np.ndarray) -> np.ndarray:
        cell = np.clip(((points - model.low) / width).astype(int), 0, len(heights) - 1)
        return before[:, cell] + within(cell, (points - starts[cell]) / width)

    return Prior(model.low, model.high, partial)
