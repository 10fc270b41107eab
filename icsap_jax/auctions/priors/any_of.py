"""A set of priors of which the designer does not know which is true: what robust design is about (Bergemann & Schlag 2008, 2011).

Drawn from as it stands, each profile is of one of the parts, at even odds; so bidders' values tell of each other. But it is there to be
taken apart: `scenarios` gives each part as a prior of its own, with one thing shared, the box of reports. Whatever is true, a bidder may
report anything that might have been, and a rule has to stay honest there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax.auctions.priors.base import Coordinatewise, Prior
from icsap_jax.auctions.priors.marginals import Mixed
from icsap_jax.bilevel.types import Array


@register_dataclass
@dataclass(frozen=True)
class Scenario(Prior):
    """One `part`, as the prior that is true, while bidders may report anything between `low` and `high` [N, M]."""

    part: Prior
    low: Array
    high: Array

    @property
    def independent_agents(self) -> bool:  # type: ignore[override]
        return self.part.independent_agents

    def sample(self, key: Array, count: int) -> Array:
        return self.part.sample(key, count)

    def support(self) -> tuple[Array, Array]:
        return self.low, self.high

    def mean(self) -> Array:
        return self.part.mean()

    def variance(self) -> Array:
        return self.part.variance()

    def tail(self) -> Array:
        return above(self.part, self.high)

    def held_out(self) -> Scenario:
        return Scenario(self.part.held_out(), self.low, self.high)

    def marginals(self) -> list[list[Any]]:
        return self.part.marginals()


@register_dataclass
@dataclass(frozen=True)
class AnyOf(Prior):
    """`parts`, each a prior over the same bidders and items."""

    parts: tuple[Prior, ...]

    @property
    def independent_agents(self) -> bool:  # type: ignore[override]
        return self.mean().shape[0] == 1 or len(self.parts) == 1

    def scenarios(self) -> tuple[Scenario, ...]:
        """Each part, with the box of all."""
        return tuple(Scenario(part, *self.support()) for part in self.parts)

    def sample(self, key: Array, count: int) -> Array:
        choice, *keys = jax.random.split(key, len(self.parts) + 1)
        draws = jnp.stack([part.sample(each, count) for part, each in zip(self.parts, keys, strict=True)])
        which = jax.random.randint(choice, (count,), 0, len(self.parts))
        return draws[which, jnp.arange(count)]

    def support(self) -> tuple[Array, Array]:
        lows, highs = zip(*(part.support() for part in self.parts), strict=True)
        return jnp.stack(lows).min(0), jnp.stack(highs).max(0)

    def mean(self) -> Array:
        return jnp.stack([part.mean() for part in self.parts]).mean(0)

    def variance(self) -> Array:
        means = jnp.stack([part.mean() for part in self.parts])
        return jnp.stack([part.variance() for part in self.parts]).mean(0) + means.var(0)

    def tail(self) -> Array:
        return jnp.stack([above(part, self.support()[1]) for part in self.parts]).mean(0)

    def held_out(self) -> AnyOf:
        return AnyOf(tuple(part.held_out() for part in self.parts))

    def marginals(self) -> list[list[Any]]:
        parts = [part.marginals() for part in self.parts]
        even = np.full(len(parts), 1 / len(parts))
        agents, items = self.mean().shape
        return [[Mixed(even, [part[n][m] for part in parts]) for m in range(items)] for n in range(agents)]


def above(part: Prior, high: Array) -> Array:
    """The probability of a value above `high` [N, M], the end of a box that holds the part's own; of values that depend on each other it
    is told for their own box, and is at most that."""
    return 1 - part.cdf(high) if isinstance(part, Coordinatewise) else part.tail()


def any_of(model: Any, agents: int, items: int, folder: Path) -> AnyOf:
    """`any_of: {parts}`."""
    return AnyOf(tuple(part.build(agents, items, folder) for part in model.parts))
