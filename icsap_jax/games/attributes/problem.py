"""Attributes under a budget as a learning problem: gradients move their levels, a projection keeps them within the budget.

    F = Σ_l w_l log(1 + s_l), over all attributes (utility) or over the first J (proxy);   s ≥ 0,  Σ s ≤ C

(Zhuang & Hadfield-Menell 2020.) The rule's parameters are levels before the projection. The slope goes through the projection, so that
what is learned moves along the budget once it binds: the attributes that count rise, and all others that are not yet used up fall alike.
Nobody else acts: one agent has one action and no gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.tree_util import register_dataclass
from optax import projections

from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule, Tree
from icsap_jax.games.attributes.optimum import counted, worth


@register_dataclass
@dataclass(frozen=True)
class AttributesEnv:
    """The numbers: the `weights` [L] in the human's utility and in the proxy (`seen` [L]), the `budget` [] and where levels `start` [L].
    numpy float64."""

    weights: Array
    seen: Array
    budget: Array
    start: Array


@dataclass(frozen=True)
class Attributes:
    """L attributes."""

    count: int
    objective: tuple[str, ...]
    agents: int = 1
    margin: float = 0.0
    rowwise: bool = False

    def draw(self, env: AttributesEnv, key: Array, count: int) -> Draw:
        """There is nothing to draw: one profile, of weight 1."""
        return Draw(weight=jnp.ones((1,)), types=None)

    def space(self, env: AttributesEnv, draw: Draw) -> Finite:
        """One action, [1, 1, 1]."""
        return Finite(mask=jnp.ones((1, 1, 1), bool))

    def recommended(self, env: AttributesEnv, draw: Draw) -> Array:
        """That one."""
        return jnp.ones((1, 1, 1))

    def decide(self, env: AttributesEnv, rule: Rule, seen: Tree, action: Array) -> Array:
        """The levels, [L]."""
        return within(rule(), env.budget)

    def utility(self, env: AttributesEnv, draw: Draw, decision: Array, action: Array) -> Array:
        """Nothing is at stake for anybody, […, 1, 1]."""
        return 0.0 * action[..., 0]

    def weight(self, env: AttributesEnv, draw: Draw, decision: Array) -> Array:
        """1, as [1, 1]."""
        return draw.weight[:, None]

    def score(self, env: AttributesEnv, draw: Draw, decision: Array, action: Array) -> Outcome:
        """The human's utility and the proxy, [1]; worked out for the one action there is, and linear in its probability."""
        each = jnp.log1p(decision)
        parts = {"utility": action[:, 0, 0] * (env.weights @ each), "proxy": action[:, 0, 0] * (env.seen @ each)}
        return Outcome(value=parts[self.objective[0]], objectives=parts, constraints={})


def within(levels: Array, budget: Array) -> Array:
    """The nearest point [L] that is ≥ 0 and adds up to at most the budget. Below the budget cutting off at 0 is all; else it is the
    nearest that adds up to it."""
    cut = jax.nn.relu(levels)
    return jnp.where(cut.sum() <= budget, cut, projections.projection_simplex(levels, jnp.asarray(budget, levels.dtype)))


_within = jax.jit(within)  # operation by operation it takes longer to compile


class Levels(nnx.Module):
    """A level [L] for each attribute, not yet projected."""

    def __init__(self, start: Array):
        self.levels = nnx.Param(start)

    def __call__(self) -> Array:
        return self.levels[...]


def chosen(model: Any, problem: Attributes, env: AttributesEnv, key: Array) -> Rule:
    """Where the levels begin; there is no chance in it."""
    return Rule.of(Levels(jnp.asarray(env.start)))


def details(problem: Attributes, env: AttributesEnv, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """The levels, and both objectives at them."""
    with jax.enable_x64(True):
        at = np.asarray(_within(double(rule)(), env.budget))
    return {"attributes": at.tolist(), "objectives": worth(model, at)}


def build(model: Any, folder: Path) -> tuple[Attributes, AttributesEnv]:
    """The problem a file describes and its numbers."""
    weights = counted(model)
    env = AttributesEnv(weights=weights["utility"], seen=weights["proxy"], budget=np.float64(model.budget), start=np.array(model.begun))
    return Attributes(count=model.attributes, objective=(model.objective,)), env
