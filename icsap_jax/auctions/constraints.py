"""Constraints on what an auction's rules may do, as they are trained and judged: functions of an account that have to be ≤ 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from icsap_jax import objectives
from icsap_jax.bilevel.types import Array

Numbers = dict[str, Array]  # "weights" [objectives] and "value" []


@dataclass(frozen=True)
class Mean:
    """A bound on the mean of a weighted sum of objectives: a floor where `sign` is −1, a ceiling where it is 1."""

    name: str
    objective: tuple[str, ...]
    sign: int
    on_average: bool = True

    def signed(self, numbers: Numbers, account: objectives.Account) -> Array:
        """By how much each profile is above a ceiling or below a floor, […], in units of the objective; negative where it is not."""
        parts = objectives.evaluate(self.objective, account)
        reached = sum(numbers["weights"][k] * parts[name] for k, name in enumerate(self.objective))
        return self.sign * (reached - numbers["value"])


def at_least(model: Any) -> tuple[Mean, Numbers]:
    """A floor, from its model in a problem file."""
    return _mean(model, -1)


def at_most(model: Any) -> tuple[Mean, Numbers]:
    """A ceiling, from its model in a problem file."""
    return _mean(model, 1)


def _mean(model: Any, sign: int) -> tuple[Mean, Numbers]:
    weights = model.weights()
    numbers = {"weights": jnp.asarray(list(weights.values()), jnp.float32), "value": jnp.asarray(model.value, jnp.float32)}
    return Mean(model.title(), tuple(weights), sign), numbers
