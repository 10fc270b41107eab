"""Laws of one value in float64 that scipy.stats does not have, with the same methods as its frozen distributions: steps, mixtures,
and the falling line that is the marginal of a triangle. numpy only; every method takes arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class Step:
    """Finitely many `values` [K] with `probabilities` [K]: a discrete or an empirical law."""

    def __init__(self, values: np.ndarray, probabilities: np.ndarray):
        probabilities = np.asarray(probabilities, np.float64)
        self.values, place = np.unique(np.asarray(values)[probabilities > 0], return_inverse=True)
        mass = np.bincount(place.ravel(), probabilities[probabilities > 0])
        self.probabilities = mass / mass.sum()
        self._below = np.append(0.0, np.cumsum(self.probabilities))
        self._below[-1] = 1.0

    def cdf(self, x: Any) -> np.ndarray:
        return self._below[np.searchsorted(self.values, x, side="right")]

    def pdf(self, x: Any) -> np.ndarray:
        """Raises TypeError: all mass is on points. Work with `cdf` and `ppf`, or with `values` and `probabilities`."""
        raise TypeError("A law with finitely many values has no density; use cdf and ppf.")

    def ppf(self, q: Any) -> np.ndarray:
        return self.values[np.minimum(np.searchsorted(self._below[1:], q, side="left"), len(self.values) - 1)]

    def mean(self) -> float:
        return float(self.probabilities @ self.values)

    def var(self) -> float:
        return float(self.probabilities @ (self.values - self.mean()) ** 2)

    def support(self) -> tuple[float, float]:
        return float(self.values[0]), float(self.values[-1])


class Mixed:
    """`parts[k]` with probability `weights[k]`. It has a density if every part of positive weight has."""

    def __init__(self, weights: np.ndarray, parts: Sequence[Any]):
        used = [(weight, part) for weight, part in zip(weights, parts, strict=True) if weight > 0]
        self.weights, self.parts = [weight for weight, _ in used], [part for _, part in used]

    def _average(self, per_part: Sequence[Any]) -> Any:
        return sum(weight * each for weight, each in zip(self.weights, per_part, strict=True))

    def cdf(self, x: Any) -> np.ndarray:
        return self._average([part.cdf(x) for part in self.parts])

    def pdf(self, x: Any) -> np.ndarray:
        return self._average([part.pdf(x) for part in self.parts])

    def ppf(self, q: Any) -> np.ndarray:
        """The least x with cdf(x) ≥ q, bisected between the parts' quantiles until no float64 lies between."""
        q = np.asarray(q, np.float64)
        ends = np.stack([np.asarray(part.ppf(q), np.float64) for part in self.parts])
        low, high = ends.min(0), ends.max(0)
        high = np.where(self.cdf(low) >= q, low, high)
        for _ in range(128):
            middle = (low + high) / 2
            if np.all((middle == low) | (middle == high)):
                break
            reached = self.cdf(middle) >= q
            low, high = np.where(reached, low, middle), np.where(reached, middle, high)
        return high

    def mean(self) -> float:
        return float(self._average([part.mean() for part in self.parts]))

    def var(self) -> float:
        return float(self._average([part.var() + (part.mean() - self.mean()) ** 2 for part in self.parts]))

    def support(self) -> tuple[float, float]:
        lows, highs = zip(*(part.support() for part in self.parts), strict=True)
        return float(min(lows)), float(max(highs))


class Slope:
    """Density 2(1 − x/scale)/scale on [0, scale]: one coordinate of a point drawn uniformly below the triangle's diagonal."""

    def __init__(self, scale: float):
        self.scale = float(scale)

    def _share(self, x: Any) -> np.ndarray:
        return np.clip(np.asarray(x, np.float64) / self.scale, 0, 1)

    def cdf(self, x: Any) -> np.ndarray:
        return 1 - (1 - self._share(x)) ** 2

    def pdf(self, x: Any) -> np.ndarray:
        inside = (np.asarray(x) >= 0) & (np.asarray(x) <= self.scale)
        return np.where(inside, 2 * (1 - self._share(x)) / self.scale, 0.0)

    def ppf(self, q: Any) -> np.ndarray:
        return self.scale * (1 - np.sqrt(1 - np.asarray(q, np.float64)))

    def mean(self) -> float:
        return self.scale / 3

    def var(self) -> float:
        return self.scale**2 / 18

    def support(self) -> tuple[float, float]:
        return 0.0, self.scale
