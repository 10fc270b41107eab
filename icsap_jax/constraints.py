"""Constraints on what rules may do, as rules are trained and judged: functions of an account that have to be ≤ 0, each with a multiplier of
its own. A domain that scores an account keeps what is static of them in its problem and their numbers in its env, and adds what
`signed_by_name` gives to its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from icsap_jax import objectives
from icsap_jax.bilevel.types import Array, Outcome
from icsap_jax.config.objectives import weights_of

Numbers = dict[str, Array]


@dataclass(frozen=True)
class Bound:
    """A bound on a weighted sum of objectives: a floor where `sign` is −1, a ceiling where it is 1. Its numbers are "weights" [objectives]
    and "value" []."""

    name: str
    objective: tuple[str, ...]
    sign: int
    on_average: bool

    def signed(self, numbers: Numbers, account: objectives.Account) -> Array:
        """By how much each profile is above a ceiling or below a floor, […], in units of the objective; negative where it is not."""
        reached, _ = objectives.total(self.objective, numbers["weights"], account)
        return self.sign * (reached - numbers["value"])


@dataclass(frozen=True)
class Variation:
    """Σ_{i ∈ C_k} |z_ij − z_ij′| ≤ d_k (Kuo et al. 2020, definition 2). `categories`: each C_k, () for all agents as one; `built_in`:
    rules keep it by construction. Its numbers are the limits, "limit" [K]."""

    name: str
    categories: tuple[tuple[int, ...], ...]
    built_in: bool
    on_average: bool = False

    def signed(self, numbers: Numbers, account: objectives.Account) -> Array:
        """By how much each pair of things is given away too differently in each category, […, K, pairs], in probability; negative where it
        is not."""
        allocation = account.told("allocation")
        apart = objectives.differences(allocation, self.categories or (tuple(range(allocation.shape[-2])),))
        return apart - numbers["limit"].reshape(*[1] * (apart.ndim - 2), -1, 1)


Limit = Bound | Variation


class Limited:
    """A problem whose accounts are valued and bounded: `objective` names what it values and `limits` is what is static of its bounds; its
    env has the `weights` [objectives] and the numbers of each of the `limits`."""

    objective: tuple[str, ...]
    limits: tuple[Limit, ...]

    @property
    def averages(self) -> tuple[str, ...]:
        """The names of the constraints on expectations."""
        return named(self.limits, on_average=True)

    @property
    def constraints(self) -> tuple[str, ...]:
        """The names of the constraints on every profile."""
        return named(self.limits, on_average=False)

    def outcome(self, env: Any, account: objectives.Account) -> Outcome:
        """The designer's value of an account, its named parts, and the bounds' signed constraints, profile by profile."""
        value, parts = objectives.total(self.objective, jnp.asarray(env.weights), account)
        every, averages = signed_by_name(self.limits, env.limits, account)
        return Outcome(value=value, objectives=parts, constraints=every, averages=averages)


def at_least(model: Any) -> tuple[Bound, Numbers]:
    """A floor, from its model in a problem file."""
    return _bound(model, -1)


def at_most(model: Any) -> tuple[Bound, Numbers]:
    """A ceiling, from its model in a problem file."""
    return _bound(model, 1)


def variation(model: Any) -> tuple[Variation, Numbers]:
    """From its model in a problem file."""
    categories = tuple(tuple(members) for members in model.categories or ())
    return Variation(model.title(), categories, model.by == "construction"), {"limit": jnp.asarray(model.limits(), jnp.float32)}


def build(models: Sequence[Any]) -> tuple[tuple[Limit, ...], tuple[Numbers, ...]]:
    """Those of a problem file: what is static of each, and its numbers."""
    built = [model.build() for model in models]
    return tuple(limit for limit, _ in built), tuple(numbers for _, numbers in built)


def named(limits: Sequence[Limit], on_average: bool) -> tuple[str, ...]:
    """The names of those on averages, or of those on every profile."""
    return tuple(limit.name for limit in limits if limit.on_average == on_average)


def signed_by_name(
    limits: Sequence[Limit], numbers: Sequence[Numbers], account: objectives.Account
) -> tuple[dict[str, Array], dict[str, Array]]:
    """What an outcome tells of them: those on every profile, […] or […, C] each, and those on averages, […] each."""
    found = {limit.name: limit.signed(told, account) for limit, told in zip(limits, numbers, strict=True)}
    return {name: found[name] for name in named(limits, False)}, {name: found[name] for name in named(limits, True)}


def _bound(model: Any, sign: int) -> tuple[Bound, Numbers]:
    weights = weights_of(model.objective)
    numbers = {"weights": jnp.asarray(list(weights.values()), jnp.float32), "value": jnp.asarray(model.value, jnp.float32)}
    return Bound(model.title(), tuple(weights), sign, model.on_average()), numbers
