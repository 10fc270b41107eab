"""The textbook laws, one coordinate at a time: uniform, exponential, beta, truncated normal. Each is drawn by its inverse cdf,
which is exact, has no rejection loop, and lets any of them be a marginal of a copula.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc, ndtr, ndtri
from jax.tree_util import register_dataclass
from scipy.special import betaincinv
from scipy.special import ndtr as norm_cdf

from icsap_jax.auctions.priors.base import TAIL, Coordinatewise, distributions, leaf, per_coordinate
from icsap_jax.bilevel.types import Array
from icsap_jax.config import ConfigError


@register_dataclass
@dataclass(frozen=True)
class Uniform(Coordinatewise):
    """Uniform on [low, high]; leaves [N, M]."""

    low: Array
    high: Array

    def quantile(self, u: Array) -> Array:
        return self.low + (self.high - self.low) * u

    def cdf(self, values: Array) -> Array:
        return jnp.clip((values - self.low) / (self.high - self.low), 0, 1)

    def support(self) -> tuple[Array, Array]:
        return self.low, self.high

    def mean(self) -> Array:
        return (self.low + self.high) / 2

    def variance(self) -> Array:
        return (self.high - self.low) ** 2 / 12

    def marginals(self) -> list[list[Any]]:
        from scipy import stats
        return distributions(lambda low, high: stats.uniform(low, high - low), self.low, self.high)


@register_dataclass
@dataclass(frozen=True)
class Exponential(Coordinatewise):
    """Exponential with mean `scale` [N, M]. Values are not truncated; misreports stop at the .999 quantile."""

    scale: Array

    def quantile(self, u: Array) -> Array:
        return -self.scale * jnp.log1p(-u)

    def cdf(self, values: Array) -> Array:
        return -jnp.expm1(-jnp.maximum(values, 0) / self.scale)

    def support(self) -> tuple[Array, Array]:
        return jnp.zeros_like(self.scale), -self.scale * np.log(TAIL)

    def mean(self) -> Array:
        return self.scale

    def variance(self) -> Array:
        return self.scale**2

    def tail(self) -> Array:
        return jnp.full_like(self.scale, TAIL)

    def marginals(self) -> list[list[Any]]:
        from scipy import stats
        return distributions(lambda scale: stats.expon(scale=scale), self.scale)


@register_dataclass
@dataclass(frozen=True)
class Beta(Coordinatewise):
    """Beta(a, b) stretched to [low, high]; leaves [N, M] and `table` [N, M, K], the inverse cdf of Beta(a, b) at K equal steps of
    the normal score Φ⁻¹(u), where it is smooth at both ends. Interpolated, it is within TABLE_ERROR of the truth, and five times
    faster on a CPU than rejection. The table belongs to its a and b: for other shapes build another prior, do not replace them."""

    a: Array
    b: Array
    low: Array
    high: Array
    table: Array

    def quantile(self, u: Array) -> Array:
        last = self.table.shape[-1] - 1
        place = jnp.clip((ndtri(u) / SCORE + 1) * (last / 2), 0, last)
        node = jnp.minimum(place.astype(jnp.int32), last - 1)
        left = jnp.take_along_axis(self.table, node[..., None], -1)[..., 0]
        right = jnp.take_along_axis(self.table, node[..., None] + 1, -1)[..., 0]
        return self.low + (self.high - self.low) * (left + (place - node) * (right - left))

    def cdf(self, values: Array) -> Array:
        return betainc(self.a, self.b, jnp.clip((values - self.low) / (self.high - self.low), 0, 1))

    def support(self) -> tuple[Array, Array]:
        return self.low, self.high

    def mean(self) -> Array:
        return self.low + (self.high - self.low) * self.a / (self.a + self.b)

    def variance(self) -> Array:
        total = self.a + self.b
        return (self.high - self.low) ** 2 * self.a * self.b / (total**2 * (total + 1))

    def marginals(self) -> list[list[Any]]:
        from scipy import stats
        return distributions(lambda a, b, low, high: stats.beta(a, b, low, high - low), self.a, self.b, self.low, self.high)


SCORE = 6.0  # the table ends at ±6 normal scores: a float32 uniform never comes nearer to 0 or 1 than 5.3 of them
TABLE_ERROR = 1e-5  # largest error of an interpolated quantile, as a share of high − low


@functools.lru_cache(maxsize=256)
def _beta_table(a: float, b: float, nodes: int) -> tuple[np.ndarray, float]:
    """The inverse cdf of Beta(a, b) at `nodes` equal steps of the normal score, and the largest error of interpolating it."""
    scores = np.linspace(-SCORE, SCORE, 2 * nodes - 1)
    # Above the median by the mirrored law: 1 − u keeps the digits that u near 1 has lost.
    fine = np.where(scores < 0, betaincinv(a, b, norm_cdf(scores)), 1 - betaincinv(b, a, norm_cdf(-scores)))
    table = fine[::2]
    return table, float(np.abs((table[1:] + table[:-1]) / 2 - fine[1::2]).max())


def _beta_tables(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Tables [N, M, K] with K doubled until each is exact to TABLE_ERROR (K ≤ 2¹⁶, enough for a, b ≥ 0.02)."""
    for power in range(11, 17):
        made = [_beta_table(float(x), float(y), 2**power) for x, y in zip(a.ravel(), b.ravel(), strict=True)]
        if max(error for _, error in made) < TABLE_ERROR:
            break
    return np.stack([table for table, _ in made]).reshape(*a.shape, -1)


@register_dataclass
@dataclass(frozen=True)
class TruncatedNormal(Coordinatewise):
    """Normal(mean, std²) conditioned on [low, high]; leaves [N, M]."""

    centre: Array
    std: Array
    low: Array
    high: Array

    def _ends(self) -> tuple[Array, Array, Array]:
        """Both ends in standard units, mirrored (sign −1) where the interval lies right of the mean: Φ keeps its digits only in the
        left tail."""
        lower, upper = (self.low - self.centre) / self.std, (self.high - self.centre) / self.std
        mirrored = lower > 0
        return jnp.where(mirrored, -upper, lower), jnp.where(mirrored, -lower, upper), jnp.where(mirrored, -1.0, 1.0).astype(lower.dtype)

    def quantile(self, u: Array) -> Array:
        lower, upper, sign = self._ends()
        u = jnp.where(sign < 0, 1 - u, u)
        score = ndtri(ndtr(lower) + u * (ndtr(upper) - ndtr(lower)))
        return jnp.clip(self.centre + sign * self.std * score, self.low, self.high)

    def cdf(self, values: Array) -> Array:
        lower, upper, sign = self._ends()
        score = sign * (jnp.clip(values, self.low, self.high) - self.centre) / self.std
        below = jnp.clip((ndtr(score) - ndtr(lower)) / (ndtr(upper) - ndtr(lower)), 0, 1)
        return jnp.where(sign < 0, 1 - below, below)

    def support(self) -> tuple[Array, Array]:
        return self.low, self.high

    def _moments(self) -> tuple[Array, Array]:
        """Mean and variance by Gauss–Legendre quadrature where the density lives: the textbook formula loses every digit of a
        float32 when the interval is narrow or far from the mean. 200 nodes on at most 18 standard deviations: error < 1e-12."""
        peak = jnp.clip(self.centre, self.low, self.high)
        start, end = jnp.maximum(self.low, peak - 9 * self.std), jnp.minimum(self.high, peak + 9 * self.std)
        nodes, weights = (jnp.asarray(each, peak.dtype)[:, None, None] for each in np.polynomial.legendre.leggauss(200))
        start, end, peak, centre, std = (each[None] for each in (start, end, peak, self.centre, self.std))
        points = start + (end - start) * (nodes + 1) / 2
        density = weights * jnp.exp(-(points - peak) * (points + peak - 2 * centre) / (2 * std**2))
        density = density / density.sum(0, keepdims=True)
        mean = (density * points).sum(0)
        return mean, (density * (points - mean[None]) ** 2).sum(0)

    def mean(self) -> Array:
        return self._moments()[0]

    def variance(self) -> Array:
        return self._moments()[1]

    def marginals(self) -> list[list[Any]]:
        from scipy import stats

        def one(centre: float, std: float, low: float, high: float) -> Any:
            return stats.truncnorm((low - centre) / std, (high - centre) / std, centre, std)

        return distributions(one, self.centre, self.std, self.low, self.high)


def uniform(model: Any, agents: int, items: int, folder: Path) -> Uniform:
    """`uniform: {low, high}`."""
    return Uniform(*(leaf(per_coordinate(each, agents, items)) for each in (model.low, model.high)))


def exponential(model: Any, agents: int, items: int, folder: Path) -> Exponential:
    """`exponential: {scale}`."""
    return Exponential(leaf(per_coordinate(model.scale, agents, items)))


def beta(model: Any, agents: int, items: int, folder: Path) -> Beta:
    """`beta: {a, b, low, high}`."""
    a, b, low, high = (per_coordinate(each, agents, items) for each in (model.a, model.b, model.low, model.high))
    return Beta(leaf(a), leaf(b), leaf(low), leaf(high), leaf(_beta_tables(a, b)))


def truncated_normal(model: Any, agents: int, items: int, folder: Path) -> TruncatedNormal:
    """`truncated_normal: {mean, std, low, high}`. Raises ConfigError where float32 cannot tell the values of [low, high] apart."""
    numbers = [per_coordinate(each, agents, items) for each in (model.mean, model.std, model.low, model.high)]
    prior = TruncatedNormal(*(leaf(each) for each in numbers))
    lower, upper, _ = (np.asarray(each, np.float64) for each in prior._ends())
    mass = norm_cdf(upper) - norm_cdf(lower)
    # Φ is kept to about 1e-7 of itself, so a share of 1e-3 leaves steps of 1e-4 of the interval; below 1e-30 float32 nears its end.
    wrong = np.argwhere((mass < 1e-3 * norm_cdf(upper)) | (mass < 1e-30))
    if len(wrong):
        centre, std, low, high = (each[tuple(wrong[0])] for each in numbers)
        raise ConfigError(f"prior truncated_normal: a normal with mean {centre:g} and std {std:g} is flat on, or has no weight in, "
                          f"[{low:g}, {high:g}]; use kind: uniform, or a mean and std nearer to the interval.")
    return prior
