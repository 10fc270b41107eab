"""Priors made of pieces, still one coordinate at a time: finitely many values, mixtures, and different laws for different items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax.auctions.priors.base import Coordinatewise, distributions, leaf
from icsap_jax.auctions.priors.marginals import Mixed, Step
from icsap_jax.bilevel.types import Array
from icsap_jax.config import ConfigError


@register_dataclass
@dataclass(frozen=True)
class Discrete(Coordinatewise):
    """Each coordinate takes one of K values, ascending; leaves [N, M, K]. A value of probability 0 is outside the support."""

    values: Array
    probabilities: Array

    def quantile(self, u: Array) -> Array:
        total = jnp.cumsum(self.probabilities, -1)
        place = (total / total[..., -1:] <= u[..., None]).sum(-1, keepdims=True)
        return jnp.take_along_axis(self.values, place, -1)[..., 0]

    def cdf(self, values: Array) -> Array:
        reached = self.values <= values[..., None]
        # The share not reached, so that the last value gives exactly 1.
        return 1 - jnp.where(reached, 0, self.probabilities).sum(-1)

    def support(self) -> tuple[Array, Array]:
        possible = self.probabilities > 0
        return jnp.where(possible, self.values, jnp.inf).min(-1), jnp.where(possible, self.values, -jnp.inf).max(-1)

    def mean(self) -> Array:
        return (self.probabilities * self.values).sum(-1)

    def variance(self) -> Array:
        return (self.probabilities * (self.values - self.mean()[..., None]) ** 2).sum(-1)

    def marginals(self) -> list[list[Any]]:
        return distributions(Step, self.values, self.probabilities)


@register_dataclass
@dataclass(frozen=True)
class Mixture(Coordinatewise):
    """Each of the N·M coordinates picks its part by itself, with probability `weights` [P], and draws its value from it; so a
    bidder's items stay independent. Parts are coordinatewise priors. `quantile` is found by bisection, `sample` does not need it."""

    weights: Array
    parts: tuple[Coordinatewise, ...]

    def sample(self, key: Array, count: int) -> Array:
        choice, *keys = jax.random.split(key, len(self.parts) + 1)
        draws = [part.sample(each, count) for part, each in zip(self.parts, keys, strict=True)]
        u = jax.random.uniform(choice, draws[0].shape, draws[0].dtype)
        total = jnp.cumsum(self.weights) / self.weights.sum()
        values = draws[-1]
        for part in reversed(range(len(draws) - 1)):
            values = jnp.where(u < total[part], draws[part], values)
        return values

    def quantile(self, u: Array) -> Array:
        ends = [part.quantile(u) for part in self.parts]
        low, high = jnp.stack(ends).min(0), jnp.stack(ends).max(0)  # at the parts' largest quantile every part's cdf has reached u

        def halve(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bracket
            middle = (low + high) / 2
            reached = self.cdf(middle) >= u
            return jnp.where(reached, low, middle), jnp.where(reached, middle, high)

        digits = jnp.finfo(u.dtype).nmant + 9  # nine more than a number has: the bracket may be wide and its answer small
        return jax.lax.fori_loop(0, digits, halve, (low, high))[1]

    def _average(self, per_part: Sequence[Array]) -> Array:
        return sum(self.weights[k] * each for k, each in enumerate(per_part))

    def cdf(self, values: Array) -> Array:
        return self._average([part.cdf(values) for part in self.parts])

    def support(self) -> tuple[Array, Array]:
        lows, highs = zip(*(part.support() for part in self.parts), strict=True)
        return jnp.stack(lows).min(0), jnp.stack(highs).max(0)

    def mean(self) -> Array:
        return self._average([part.mean() for part in self.parts])

    def variance(self) -> Array:
        mean = self.mean()
        return self._average([part.variance() + (part.mean() - mean) ** 2 for part in self.parts])

    def tail(self) -> Array:
        _, high = self.support()
        return self._average([1 - part.cdf(high) for part in self.parts])

    def marginals(self) -> list[list[Any]]:
        weights = np.asarray(self.weights, np.float64)
        parts = [part.marginals() for part in self.parts]
        agents, items = self.mean().shape
        return [[Mixed(weights / weights.sum(), [part[n][m] for part in parts]) for m in range(items)] for n in range(agents)]


@register_dataclass
@dataclass(frozen=True)
class Columns(Coordinatewise):
    """A prior of its own for each item: M coordinatewise priors over one item."""

    items: tuple[Coordinatewise, ...]

    def quantile(self, u: Array) -> Array:
        return jnp.concatenate([each.quantile(u[:, m:m + 1]) for m, each in enumerate(self.items)], -1)

    def cdf(self, values: Array) -> Array:
        return jnp.concatenate([each.cdf(values[:, m:m + 1]) for m, each in enumerate(self.items)], -1)

    def support(self) -> tuple[Array, Array]:
        lows, highs = zip(*(each.support() for each in self.items), strict=True)
        return jnp.concatenate(lows, -1), jnp.concatenate(highs, -1)

    def mean(self) -> Array:
        return jnp.concatenate([each.mean() for each in self.items], -1)

    def variance(self) -> Array:
        return jnp.concatenate([each.variance() for each in self.items], -1)

    def tail(self) -> Array:
        return jnp.concatenate([each.tail() for each in self.items], -1)

    def marginals(self) -> list[list[Any]]:
        columns = [each.marginals() for each in self.items]
        return [[column[n][0] for column in columns] for n in range(len(columns[0]))]


def discrete(model: Any, agents: int, items: int, folder: Path) -> Discrete:
    """`discrete: {values, probabilities}`: [K] for all coordinates, [M][K] per item or [N][M][K]."""
    values = np.asarray(model.values, np.float64)
    values = np.broadcast_to(values, (agents, items, values.shape[-1]))
    probabilities = np.broadcast_to(np.asarray(model.probabilities, np.float64), values.shape)
    order = np.argsort(values, -1, kind="stable")
    probabilities = np.take_along_axis(probabilities, order, -1)
    return Discrete(leaf(np.take_along_axis(values, order, -1)), leaf(probabilities / probabilities.sum(-1, keepdims=True)))


def mixture(model: Any, agents: int, items: int, folder: Path) -> Mixture:
    """`mixture: {weights, parts}`. Raises ConfigError for a part whose values depend on each other: each coordinate picks alone."""
    parts = tuple(part.build(agents, items, folder) for part in model.parts)
    for place, part in enumerate(parts):
        require_coordinatewise(part, f"mixture.parts.{place}")
    weights = np.asarray(model.weights, np.float64)
    return Mixture(leaf(weights / weights.sum()), parts)


def require_coordinatewise(prior: Any, where: str) -> None:
    """Raise ConfigError unless the prior's values are independent of each other."""
    if not isinstance(prior, Coordinatewise):
        raise ConfigError(f"prior {where}: a {type(prior).__name__.lower()} ties a bidder's values together, and here each value needs "
                          "a law of its own; use uniform, exponential, beta, truncated_normal, discrete or a mixture of them.")
