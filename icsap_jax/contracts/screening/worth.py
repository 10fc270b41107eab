"""The functions of a screening problem in numpy: the principal's W(q) and the distribution of types on an interval. No jax is imported.

W(q) is concave with W(0) = 0: minus a convex cost, or a concave value. `of` is W, with `xp=jax.numpy` on jax arrays; `best(slope)` is
the quantity q ≥ 0 at which slope·q + W(q) is largest, infinite where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Power:
    """W(q) = scale · q^exponent with scale < 0 and exponent ≥ 1, or scale > 0 and 0 < exponent ≤ 1."""

    scale: Any
    exponent: Any

    def of(self, q: Any, xp: ModuleType = np) -> Any:
        """W(q), elementwise; the slope told at q = 0 is 0, where the true one may be infinite."""
        return xp.where(q > 0, self.scale * xp.where(q > 0, q, 1.0) ** self.exponent, 0.0)

    def best(self, slope: np.ndarray) -> np.ndarray:
        """From −W′(q) = slope."""
        slope = np.asarray(slope, dtype=np.float64)
        if self.exponent == 1.0:
            return np.where(slope + self.scale > 0, np.inf, 0.0)
        ratio = -slope / (self.scale * self.exponent)  # q^(exponent − 1), where an inner solution exists
        inner = np.where(ratio > 0, ratio, 1.0) ** (1.0 / (self.exponent - 1.0))
        return np.where(ratio > 0, inner, 0.0 if self.scale < 0 else np.inf)


@dataclass(frozen=True)
class Quadratic:
    """W(q) = linear · q − curvature · q²/2, curvature ≥ 0."""

    linear: Any
    curvature: Any

    def of(self, q: Any, xp: ModuleType = np) -> Any:
        """W(q), elementwise."""
        return self.linear * q - self.curvature * q * q / 2

    def best(self, slope: np.ndarray) -> np.ndarray:
        """From −W′(q) = slope."""
        margin = np.asarray(slope, dtype=np.float64) + self.linear
        if self.curvature == 0.0:
            return np.where(margin > 0, np.inf, 0.0)
        return np.maximum(margin, 0.0) / self.curvature


@dataclass(frozen=True)
class Uniform:
    """Uniform on [low, high]."""

    low: float
    high: float

    def cdf(self, types: np.ndarray) -> np.ndarray:
        """The probability of a type at or below each, which must lie in the interval."""
        return (types - self.low) / (self.high - self.low)

    def density(self, types: np.ndarray) -> np.ndarray:
        """Its derivative."""
        return np.full_like(types, 1.0 / (self.high - self.low))


@dataclass(frozen=True)
class TruncatedExponential:
    """A density proportional to exp(−rate · type) on [low, high]."""

    low: float
    high: float
    rate: float

    def cdf(self, types: np.ndarray) -> np.ndarray:
        """The probability of a type at or below each, which must lie in the interval."""
        return np.expm1(-self.rate * (types - self.low)) / np.expm1(-self.rate * (self.high - self.low))

    def density(self, types: np.ndarray) -> np.ndarray:
        """Its derivative."""
        return -self.rate * np.exp(-self.rate * (types - self.low)) / np.expm1(-self.rate * (self.high - self.low))


def power(model: Any, side: str) -> Power:
    """From its model in a problem file; `side` says whether it is a cost (sell) or a value (procure)."""
    return Power(scale=-model.scale if side == "sell" else model.scale, exponent=model.exponent)


def quadratic(model: Any, side: str) -> Quadratic:
    """From its model in a problem file; `side` says whether it is a cost (sell) or a value (procure)."""
    return Quadratic(linear=-model.linear if side == "sell" else model.linear, curvature=model.curvature)


def uniform(model: Any) -> Uniform:
    """From its model in a problem file."""
    return Uniform(model.low, model.high)


def truncated_exponential(model: Any) -> TruncatedExponential:
    """From its model in a problem file."""
    return TruncatedExponential(model.low, model.high, model.rate)
