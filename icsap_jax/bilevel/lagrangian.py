"""Prices on incentive gaps, and on the excess of constraints over zero. Both are ≥ 0, so λ is an exact penalty and never comes down;
a budget's multiplier may. Where a problem has C constraints, they come after the N agents as if they were more of them. Constraints
on an average may be slack as well as missed: their multipliers are true prices, which rise and fall (`Duals`).

A lagrangian is a static object with `init(numbers, agents)`, `loss(state, value, gap)` and `update(state, gap, value, step, fraction)`;
its state is a pytree that rides in the training state, so every number in it can differ from member to member.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.types import Array

HAIR = 1e-8  # under the root of a gap of zero


@register_dataclass
@dataclass(frozen=True)
class Prices:
    """`multiplier` λ [N + C], `penalty` ρ [], `numbers` the model's settings as arrays, so that they may vary over members."""

    multiplier: Array
    penalty: Array
    numbers: dict[str, Array]


@register_dataclass
@dataclass(frozen=True)
class Duals:
    """Multipliers of E signed constraints g ≤ 0 on averages: (max(0, λ + ρ·g)² − λ²)/(2ρ), λ ← max(0, λ + ρ·rate·g) (Rockafellar 1973).
    Where λ comes to rest it is the price: what the objective would gain if a little more of the constraint were allowed. A batch's
    average is noisy, so that a step goes only a share, the rate, of the way. `multiplier` [E]; `penalty`, `rate` []."""

    multiplier: Array
    penalty: Array
    rate: Array

    @classmethod
    def of(cls, numbers: dict[str, Array], count: int) -> Duals:
        """Multipliers of zero."""
        return cls(multiplier=jnp.zeros((count,)), penalty=numbers["dual_penalty"], rate=numbers["dual_rate"])

    def cost(self, averages: Array) -> Array:
        """What averages [E] add to the loss."""
        pushed = jnp.maximum(0.0, self.multiplier + self.penalty * averages)
        return jnp.sum(pushed**2 - self.multiplier**2) / (2 * self.penalty)

    def update(self, averages: Array) -> Duals:
        """The multipliers after a step."""
        return replace(self, multiplier=jnp.maximum(0.0, self.multiplier + self.penalty * self.rate * averages))


class Priced:
    """A lagrangian whose prices are linear in the objective: the loss is −F + cost."""

    cost: Callable[[Prices, Array], Array]

    def loss(self, prices: Prices, value: Array, gap: Array) -> Array:
        """What is minimised, given the objective [] and the gaps [N]."""
        return self.cost(prices, gap) - value


@dataclass(frozen=True)
class AugmentedLagrangian(Priced):
    """Σ_i λ_i·gap_i + ρ/2·gap_i², with λ_i ← λ_i + ρ·gap_i every `every` steps (Dütting et al. 2019, section 4 and appendix).
    ρ grows by `penalty_increment` every `penalty_every` steps as published, or geometrically over training when `geometric`."""

    every: int
    penalty_every: int
    geometric: bool

    def init(self, numbers: dict[str, Array], agents: int) -> Prices:
        """Prices before the first step."""
        return Prices(multiplier=jnp.full((agents,), numbers["multiplier"]), penalty=numbers["penalty"], numbers=numbers)

    def cost(self, prices: Prices, gap: Array) -> Array:
        """What gaps [N] add to the loss."""
        return jnp.sum(prices.multiplier * gap + prices.penalty / 2 * gap**2)

    def update(self, prices: Prices, gap: Array, value: Array, step: Array, fraction: Array) -> Prices:
        """Prices after step number `step` (from 1), a `fraction` of training being done."""
        due = step % self.every == 0
        multiplier = jnp.where(due, prices.multiplier + prices.penalty * gap, prices.multiplier)
        if self.geometric:
            start, end = prices.numbers["penalty"], prices.numbers["penalty_end"]
            penalty = start * (end / start) ** fraction
        else:
            penalty = prices.penalty + jnp.where(step % self.penalty_every == 0, prices.numbers["penalty_increment"], 0.0)
        return replace(prices, multiplier=multiplier, penalty=penalty)


@dataclass(frozen=True)
class AnnealedPenalty(Priced):
    """Σ_i λ·gap_i with λ rising geometrically over the first `share` of training, then constant while the rule settles. The gap
    shrinks as 1/λ² all the way, so no step is spent waiting for a multiplier to grow by the gaps it sees."""

    def init(self, numbers: dict[str, Array], agents: int) -> Prices:
        """Prices before the first step."""
        return Prices(multiplier=jnp.full((agents,), numbers["multiplier"]), penalty=jnp.zeros(()), numbers=numbers)

    def cost(self, prices: Prices, gap: Array) -> Array:
        """What gaps [N] add to the loss."""
        return jnp.sum(prices.multiplier * gap)

    def update(self, prices: Prices, gap: Array, value: Array, step: Array, fraction: Array) -> Prices:
        """Prices after a `fraction` of training."""
        start, end = prices.numbers["multiplier"], prices.numbers["multiplier_end"]
        multiplier = start * (end / start) ** jnp.minimum(1.0, fraction / prices.numbers["share"])
        return replace(prices, multiplier=jnp.full_like(prices.multiplier, multiplier))


@dataclass(frozen=True)
class BudgetDual(Priced):
    """γ·Σ_i gap_i with log γ following log(gap / budget) (Ivanov et al. 2022, section 4): γ rises while the gap is over its
    budget and falls while it is under, so no penalty is set by hand. The budget is a share of the objective and shrinks
    geometrically from `target_start` to `target` over the first two thirds of training."""

    def init(self, numbers: dict[str, Array], agents: int) -> Prices:
        """Prices before the first step."""
        return Prices(multiplier=jnp.full((agents,), numbers["multiplier"]), penalty=jnp.zeros(()), numbers=numbers)

    def cost(self, prices: Prices, gap: Array) -> Array:
        """What gaps [N] add to the loss."""
        return jnp.sum(prices.multiplier * gap)

    def update(self, prices: Prices, gap: Array, value: Array, step: Array, fraction: Array) -> Prices:
        """Prices after step number `step`, `value` being the objective on the batch."""
        numbers = prices.numbers
        done = jnp.minimum(1.0, fraction * 1.5)
        budget = numbers["target_start"] * (numbers["target"] / numbers["target_start"]) ** done * jnp.abs(value) / gap.shape[0]
        distance = jnp.log(jnp.maximum(gap, 1e-3 * budget)) - jnp.log(jnp.maximum(budget, 1e-12))
        return replace(prices, multiplier=prices.multiplier * jnp.exp(numbers["rate"] * jnp.clip(distance, -2.0, 2.0)))


@dataclass(frozen=True)
class RootDifference:
    """−(√P − √R) + R, P being the objective and R the gaps added up over agents (Rahme, Jelassi & Weinberg 2021, equation 6): no number
    to set. A rule that gains P with a gap of R can be made into one without a gap that gains (√P − √R)², for one agent or for the
    Bayesian gap of several; the square root of that is what is maximised, and a little R besides."""

    def init(self, numbers: dict[str, Array], agents: int) -> Prices:
        """Nothing to remember."""
        return Prices(multiplier=jnp.ones((agents,)), penalty=jnp.zeros(()), numbers=numbers)

    def loss(self, prices: Prices, value: Array, gap: Array) -> Array:
        """What is minimised. √R has no slope at 0, and is begun a hair above it."""
        missed = gap.sum()
        return jnp.sqrt(missed + HAIR) - jnp.sqrt(HAIR) + missed - jnp.sqrt(jnp.maximum(value, HAIR))

    def update(self, prices: Prices, gap: Array, value: Array, step: Array, fraction: Array) -> Prices:
        """The prices at which a step now would change the loss as this one does, per unit of the objective."""
        price = (1 / jnp.sqrt(gap.sum() + HAIR) + 2.0) * jnp.sqrt(jnp.maximum(value, HAIR))
        return replace(prices, multiplier=jnp.full_like(prices.multiplier, price))


def augmented(model: Any) -> AugmentedLagrangian:
    """From its model in a problem file."""
    return AugmentedLagrangian(every=model.multiplier_every, penalty_every=model.penalty_every, geometric=model.penalty_end is not None)


def annealed(model: Any) -> AnnealedPenalty:
    """From its model in a problem file."""
    return AnnealedPenalty()


def root_difference(model: Any) -> RootDifference:
    """From its model in a problem file."""
    return RootDifference()


def budget(model: Any) -> BudgetDual:
    """From its model in a problem file."""
    return BudgetDual()


def numbers(model: Any) -> dict[str, Array]:
    """The settings of a model that are real numbers, as float32 arrays: those that may differ from member to member. Where a response
    stands inside another, as its `inner`, the settings of that are a mapping of their own."""
    found = {name: getattr(model, name) for name in type(model).model_fields}
    told: dict[str, Any] = {name: jnp.asarray(value, jnp.float32) for name, value in found.items() if isinstance(value, float)}
    return told if found.get("inner") is None else {**told, "inner": numbers(found["inner"])}


def handed_on(numbers: dict[str, Any]) -> dict[str, Any]:
    """What a response that stands inside another is given: its own settings, and what the training loop tells every response."""
    return {**{name: numbers[name] for name in ("pool_key", "fraction", "place") if name in numbers}, **numbers["inner"]}
