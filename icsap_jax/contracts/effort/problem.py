"""Continuous effort and a linear wage (LEN: linear contract, exponential utility, normal noise; Holmström & Milgrom 1987, and with
several tasks 1991).

Effort a [T] is measured as x = a + ε, ε ~ N(0, Σ), and paid α + β·x. The agent's certainty equivalent and the principal's profit are

    α + β·a − c(a) − ½ r β′Σβ          B·a − α − β·a

The agent chooses a in a box; β is learned, zero for tasks that cannot be measured, and α makes the certainty equivalent the
reservation, at the effort that is best for the agent. One information set, one agent; T is the number of tasks.
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

from icsap_jax.bilevel.stationary import stationary_reply
from icsap_jax.bilevel.types import Array, Box, Draw, Outcome, Rule, Tree
from icsap_jax.contracts.effort.exact import Exact, of_model

START, SPREAD = 0.25, 0.02  # of the first slopes, as shares of the gains: too little incentive rather than none at all


@register_dataclass
@dataclass(frozen=True)
class Quadratic:
    """c(a) = ½ a′C a, `matrix` C [T, T]."""

    matrix: Array

    def __call__(self, effort: Array) -> Array:
        """[…, T] to […]."""
        return 0.5 * ((effort @ self.matrix) * effort).sum(-1)


@register_dataclass
@dataclass(frozen=True)
class Power:
    """c(a) = Σ scale |a|^exponent / exponent, `scale` [T], `exponent` []."""

    scale: Array
    exponent: Array

    def __call__(self, effort: Array) -> Array:
        """[…, T] to […]."""
        return jnp.abs(effort) ** self.exponent @ (self.scale / self.exponent)


@register_dataclass
@dataclass(frozen=True)
class EffortEnv:
    """The numbers: `gains` B [T], the `cost` of effort, the covariance `noise` Σ [T, T], `risk_aversion` r [], which tasks are
    `measured` (1 or 0) [T], the agent's `outside` certainty equivalent [], and the box of efforts `low`, `high` [T]."""

    gains: Array
    cost: Tree
    noise: Array
    risk_aversion: Array
    measured: Array
    outside: Array
    low: Array
    high: Array


@register_dataclass
@dataclass(frozen=True)
class Wage:
    """`slopes` β [T] on what is measured and the `fixed` part α []."""

    slopes: Array
    fixed: Array


@dataclass(frozen=True)
class Effort:
    """One agent with T `tasks`."""

    tasks: int
    agents: int = 1
    margin: float = 0.0
    rowwise: bool = False
    objective: tuple[str, ...] = ("principal",)
    enumerated: ClassVar[bool] = True

    def draw(self, env: EffortEnv, key: Array, count: int) -> Draw:
        """There is nothing to draw: one profile, of weight 1."""
        return Draw(weight=jnp.ones((1,)), types=None)

    def space(self, env: EffortEnv, draw: Draw) -> Box:
        """The efforts there are, [T]."""
        return Box(low=jnp.asarray(env.low), high=jnp.asarray(env.high))

    def start(self, env: EffortEnv, draw: Draw) -> Array:
        """Where the search for the agent's effort begins: in the middle, [1, 1, T]."""
        return jnp.asarray(0.5 * (env.low + env.high))[None, None]

    def recommended(self, env: EffortEnv, draw: Draw) -> None:
        """Nobody recommends: the agent does what is best for it."""
        return None

    def reservation(self, env: EffortEnv, draw: Draw) -> Array:
        """[1, 1]."""
        return jnp.broadcast_to(env.outside, (1, 1))

    def decide(self, env: EffortEnv, rule: Rule, seen: Tree, action: Array | None) -> Wage:
        """The wage. What effort is worth to the agent changes with β as β·a − c(a) does at the best a held fixed (envelope theorem),
        so that α needs no derivative of the effort."""
        unpaid = Wage(slopes=rule(seen) * env.measured, fixed=jnp.zeros(()))
        draw = self.draw(env, jax.random.key(0), 1)
        best = jax.lax.stop_gradient(stationary_reply(self, env, draw, unpaid)[0].action)
        return Wage(slopes=unpaid.slopes, fixed=env.outside - self.utility(env, draw, unpaid, best)[0, 0])

    def utility(self, env: EffortEnv, draw: Draw, decision: Wage, action: Array) -> Array:
        """The agent's certainty equivalent, […, 1, 1], of efforts […, 1, 1, T]."""
        risk = 0.5 * env.risk_aversion * (decision.slopes @ env.noise @ decision.slopes)
        return decision.fixed + action @ decision.slopes - env.cost(action) - risk

    def weight(self, env: EffortEnv, draw: Draw, decision: Wage) -> Array:
        """1, as [1, 1]."""
        return draw.weight[:, None]

    def score(self, env: EffortEnv, draw: Draw, decision: Wage, action: Array) -> Outcome:
        """What the principal keeps, [1]: gains less the expected wage."""
        effort = action[:, 0]
        gross, paid = effort @ env.gains, decision.fixed + effort @ decision.slopes
        return Outcome(value=gross - paid, objectives={"principal": gross - paid, "gross": gross, "wage": paid}, constraints={})


@dataclass(frozen=True)
class QuadraticEffort(Effort):
    """With a quadratic cost the agent's effort has a formula, as long as the box does not stop it."""

    def reply(self, env: EffortEnv, draw: Draw, decision: Wage) -> Array:
        """C⁻¹β, [1, 1, T]."""
        return jnp.linalg.solve(env.cost.matrix, decision.slopes)[None, None]


class Slopes(nnx.Module):
    """β = unit · share [T]: shares are of size one whatever the money."""

    def __init__(self, shares: Array, unit: float):
        self.shares, self.unit = nnx.Param(shares), unit

    def __call__(self, seen: Tree) -> Array:
        return self.unit * self.shares[...]


def linear_wage(model: Any, problem: Effort, env: EffortEnv, key: Array) -> Rule:
    """Slopes of a quarter of the gains or so. Which effort is best depends on the slopes, and where they pay for none the agent no
    longer notices them: so they begin above that."""
    with jax.ensure_compile_time_eval():
        unit = float(jnp.abs(env.gains).max())
    shares = START * jnp.asarray(env.gains) / unit + SPREAD * jax.random.normal(key, (problem.tasks,))
    return Rule.of(Slopes(shares, unit))


def quadratic(model: Any, exact: Exact) -> Quadratic:
    """From its model in a problem file and the problem in float64."""
    return Quadratic(matrix=exact.matrix)


def power(model: Any, exact: Exact) -> Power:
    """From its model in a problem file and the problem in float64."""
    return Power(scale=exact.scale, exponent=np.asarray(model.exponent))


def build(model: Any, folder: Path) -> tuple[Effort, EffortEnv]:
    """The agency a problem file describes and its numbers: numpy, float64, so that an evaluation has them as they were written; jax
    makes float32 of them where it trains."""
    exact = of_model(model)
    env = EffortEnv(
        gains=exact.gains, cost=model.cost.build(exact), noise=exact.noise, risk_aversion=np.asarray(exact.risk_aversion),
        measured=exact.measured, outside=np.asarray(exact.outside), low=exact.low, high=exact.high,
    )  # fmt: skip
    kind = Effort if exact.matrix is None else QuadraticEffort
    return kind(tasks=model.tasks), env
