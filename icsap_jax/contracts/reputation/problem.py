"""An incentive that works through reputation, for the core: one AI, whose situations are (period, state, type).

Where reputation never ends anything the agent maximises u + w_s g in every situation by itself (`reputation_exact`); nothing is
recommended to it. The objective is the discounted sum of v − κ g, so a situation weighs δ^{s−1} P(ω) P(θ). Where a bad reputation
switches it off, see `suspension`. Letters: I = P·S·T situations, S states, T types, A actions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule, Tree
from icsap_jax.contracts.reputation.exact import Exact, Terms, of_model
from icsap_jax.contracts.reputation.suspension import SuspensionEnv, WithSuspension


@register_dataclass
@dataclass(frozen=True)
class ReputationEnv:
    """The numbers, numpy and float64 (jax makes float32 of them where it trains): of each situation its `mass` [I], the agent's
    `utility` and the human's `value` [I, A], and what a unit of incentive is worth to the agent, `worth` [I]; `seen` [S, A], what the
    human pays by; `cost` κ []; `scale` [], the sum of discounts."""

    mass: Array
    utility: Array
    value: Array
    worth: Array
    seen: Array
    cost: Array
    scale: Array


@dataclass(frozen=True)
class Reputation:
    """`periods` told apart (1 for ever), `states`, `types`, `actions`."""

    periods: int
    states: int
    types: int
    actions: int
    terms: Terms
    agents: int = 1
    margin: float = 0.0
    rowwise: bool = False
    objective: tuple[str, ...] = ("human",)

    def draw(self, env: ReputationEnv, key: Array, count: int) -> Draw:
        """Every situation [I] with its discounted mass."""
        return Draw(weight=jnp.asarray(env.mass), types=None)

    def space(self, env: ReputationEnv, draw: Draw) -> Finite:
        """All actions in every situation, [1, 1, A]."""
        return Finite(mask=jnp.ones((1, 1, self.actions), bool))

    def recommended(self, env: ReputationEnv, draw: Draw) -> None:
        """Nobody recommends: the agent does what is best for it."""
        return None

    def decide(self, env: ReputationEnv, rule: Rule, seen: Tree, action: Array | None) -> Array:
        """The incentive [I, A] for each action in each situation: it depends on the state alone."""
        incentive = rule(env.seen)  # [S, A]
        return jnp.broadcast_to(incentive[None, :, None], (self.periods, self.states, self.types, self.actions)).reshape(-1, self.actions)

    def utility(self, env: ReputationEnv, draw: Draw, decision: Array, action: Array) -> Array:
        """u + w g, […, I, 1], of actions […, I|1, 1, A]."""
        total = env.utility + jnp.asarray(env.worth)[:, None] * decision
        return (action * total.reshape(*[1] * (action.ndim - 3), -1, 1, self.actions)).sum(-1)

    def weight(self, env: ReputationEnv, draw: Draw, decision: Array) -> Array:
        """The mass of each situation, [I, 1]."""
        return draw.weight[:, None]

    def score(self, env: ReputationEnv, draw: Draw, decision: Array, action: Array) -> Outcome:
        """What the human gets in each situation [I], times the sum of discounts: value less the cost of incentives."""
        taken = action[:, 0]
        value, paid = env.scale * (taken * env.value).sum(-1), env.scale * (taken * decision).sum(-1)
        human = value - env.cost * paid
        return Outcome(value=human, objectives={"human": human, "value": value, "paid": paid}, constraints={})


def build(model: Any, folder: Path) -> tuple[Reputation | WithSuspension, ReputationEnv | SuspensionEnv]:
    """The problem a file describes and its numbers."""
    exact = of_model(model)
    types, states, actions = model.shape
    terms = Terms.of(exact)
    if exact.suspend_below is not None:
        tree = WithSuspension(periods=model.horizon, states=states, types=types, actions=actions, terms=terms, counts=exact.counts)
        return tree, SuspensionEnv.of(exact)
    return Reputation(periods=len(exact.period), states=states, types=types, actions=actions, terms=terms), _numbers(exact)


def _numbers(exact: Exact) -> ReputationEnv:
    shape = (*exact.mass.shape, exact.utility.shape[-1])
    return ReputationEnv(
        mass=exact.mass.ravel(), utility=np.broadcast_to(exact.utility, shape).reshape(-1, shape[-1]),
        value=np.broadcast_to(exact.value, shape).reshape(-1, shape[-1]),
        worth=np.broadcast_to(exact.period[:, None, None], exact.mass.shape).ravel(), seen=exact.seen, cost=np.asarray(exact.cost),
        scale=np.asarray(exact.scale),
    )  # fmt: skip
