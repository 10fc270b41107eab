"""Learners and imitators (Boyd & Richerson 1995, "Why does culture increase human adaptability?"; Rogers 1988) as a problem.

One of two behaviours is right; from one generation to the next the other becomes right with probability γ. A learner finds out, for C,
and is always right. An imitator looks at n others. If there is a learner among them it does as that one does, and is right; else, with
probability q^n at a share q of imitators, it copies an imitator, whose behaviour was right with probability P a generation ago. So

    P = (1 − q^n) + q^n ((1 − γ) P + γ (1 − P))      ⇒      2P − 1 = (1 − q^n) / (1 − (1 − 2γ) q^n),

    W_L = W₀ + D − C,                                       W_I = W₀ + D (2P − 1),

the last equation being often shown wrongly: only with it does what follows hold. Both kinds earn the same where 2P − 1 = 1 − C/D, and
then all earn W₀ + D − C, as if nobody imitated: Rogers' paradox. Mean fitness is (1 − q) W_L + q W_I; a learner makes imitators right,
and is not paid for it. A subsidy s to learners moves the point of rest to D (2P − 1) = D − C + s; that all pay for it
alike moves nothing.

x is the log odds of q. Under the replicator equation dx/dt = W_I − W_L − s, which is what `learn` does; smoothed, people who choose by a
logit of temperature T rest where T x = W_I − W_L − s, and at T → 0 at the replicator's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.types import Array, Draw, Outcome, Rule, Tree

KINDS = ("learner", "imitator")


@register_dataclass
@dataclass(frozen=True)
class PopulationEnv:
    """`switching` γ, `cost` C, `benefit` D, `base` W₀, [] each."""

    switching: Array
    cost: Array
    benefit: Array
    base: Array


def precision(env: PopulationEnv, models: int, share: Array) -> Array:
    """2P − 1 at a share [] of imitators: by how much oftener an imitator is right than wrong."""
    copied = share**models
    return (1.0 - copied) / (1.0 - (1.0 - 2.0 * env.switching) * copied)


@dataclass(frozen=True)
class Population:
    """Imitators look at `models` n. The agents are the two kinds, learners and imitators: what one of each would gain by being of the
    other kind is the gap."""

    models: int
    agents: int = 2
    margin: float = 0.0
    rowwise: bool = False
    objective: tuple[str, ...] = ("mean_fitness",)
    committed: ClassVar[bool] = True

    def draw(self, env: PopulationEnv, key: Array, count: int) -> Draw:
        """There is nothing to draw: one population."""
        return Draw(weight=jnp.ones((1,)), types=None)

    def space(self, env: PopulationEnv, draw: Draw) -> None:
        """No search: what a person can do is to be of the other kind, which the judge tries."""
        return None

    def recommended(self, env: PopulationEnv, draw: Draw) -> None:
        """Nobody recommends."""
        return None

    def decide(self, env: PopulationEnv, rule: Rule, seen: Tree, action: Array | None) -> Array:
        """The subsidy [] to a learner."""
        return rule()

    def utility(self, env: PopulationEnv, draw: Draw, decision: Array, action: Array) -> Array:
        """Fitness of both kinds, subsidy included and its costs not, [1, 2], at log odds x []."""
        learners = env.base + env.benefit - env.cost + decision
        imitators = env.base + env.benefit * precision(env, self.models, jax.nn.sigmoid(action))
        return jnp.stack([learners, imitators])[None]

    def weight(self, env: PopulationEnv, draw: Draw, decision: Array) -> Array:
        """1, as [1, 1]."""
        return draw.weight[:, None]

    def begin(self, env: PopulationEnv, draw: Draw) -> Array:
        """As many imitators as learners, []."""
        return jnp.zeros(())

    def misfit(self, env: PopulationEnv, draw: Draw, decision: Array, x: Array, temperature: Array) -> Array:
        """T x − (what imitators earn more than learners), []."""
        earned = self.utility(env, draw, decision, x)[0]
        return temperature * x - (earned[1] - earned[0])

    def learn(self, env: PopulationEnv, draw: Draw, decision: Array, x: Array, size: Array) -> Array:
        """A step of the replicator equation, []."""
        earned = self.utility(env, draw, decision, x)[0]
        return x + size * (earned[1] - earned[0])

    def score(self, env: PopulationEnv, draw: Draw, decision: Array, action: Array) -> Outcome:
        """Mean fitness, the share of imitators, and what is raised from each for the subsidy, [1]."""
        share = jax.nn.sigmoid(action)
        earned = self.utility(env, draw, decision, action)[0]
        raised = (1.0 - share) * decision
        fitness = (1.0 - share) * earned[0] + share * earned[1] - raised
        parts = {"mean_fitness": fitness, "imitators": share, "raised": raised}
        return Outcome(value=fitness[None], objectives={name: each[None] for name, each in parts.items()}, constraints={})


class Subsidy(nnx.Module):
    """subsidy = unit · share []."""

    def __init__(self, share: Array, unit: float):
        self.share, self.unit = nnx.Param(share), unit

    def __call__(self) -> Array:
        return self.unit * self.share[...]


def learning_subsidy(model: Any, problem: Population, env: PopulationEnv, key: Array) -> Rule:
    """Hardly any to begin with."""
    return Rule.of(Subsidy(0.02 * jax.random.normal(key, ()), float(env.cost)))


def build(model: Any, folder: Path) -> tuple[Population, PopulationEnv]:
    """The problem a file describes and its numbers, numpy float64."""
    numbers = (np.float64(each) for each in (model.switching, model.learning_cost, model.benefit, model.base))
    return Population(models=model.models), PopulationEnv(*numbers)
