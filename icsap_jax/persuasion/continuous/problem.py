"""Persuasion by the mean as a learning problem: a state on an interval, cut into G cells in each of which the signal is the same.

A draw is every cell with its mass. What a signal makes a receiver believe comes from the cells' exact masses and means, so that the
value and the gap are those of a signal of the continuous state, and the cells only limit which signals there are. The receiver's
information sets are the Z messages. Letters: G cells, Z messages, A actions, one agent.

`Steps`: finitely many actions, worth a line in the state each; message z recommends action z. `Quadratic`: the receiver takes a number
and loses the square of its distance from the state; it is told to take the posterior mean, and what it might do instead is told by
its distance from that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass
from scipy import sparse

from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule
from icsap_jax.config import Config, ConfigError
from icsap_jax.exact.lp import Infeasible, solve
from icsap_jax.persuasion.continuous.lines import lines_of
from icsap_jax.persuasion.continuous.prior import Prior
from icsap_jax.persuasion.tables import UNSENT

# Utility is concave in the distance: who gains by none of these gains by nothing beyond them, and within them next to nothing.
DISTANCES = (0.0, 0.004, -0.004, 0.03, -0.03, 0.25, -0.25)  # from the posterior mean, in units of the interval


@register_dataclass
@dataclass(frozen=True)
class MeanEnv:
    """The numbers: of each cell its `middle`, and the `mass`, `mean` and mean `square` of the state in it, [G] each; `sender` and
    `receiver`: [A, 2] each, or of a quadratic receiver the sender's coefficients [6] and the distances [A] it considers. float64."""

    middle: Array
    mass: Array
    mean: Array
    square: Array
    sender: Array
    receiver: Array


@register_dataclass
@dataclass(frozen=True)
class Decision:
    """`signal` [G, Z]: the probability of each message in each cell; `joint` [G, Z]: times the mass; `mean`, `square` [Z]: the posterior
    means of the state and of its square after each message, the prior's where a message has no mass."""

    signal: Array
    joint: Array
    mean: Array
    square: Array


@dataclass(frozen=True)
class _ByTheMean:
    """What both kinds of receiver share. `low`, `high`: the ends of the state's interval."""

    cells: int
    messages: int
    actions: int
    low: float
    high: float
    margin: float = 0.0
    agents: int = 1
    rowwise: bool = False
    objective: tuple[str, ...] = ("sender",)
    committed: ClassVar[bool] = True

    def draw(self, env: MeanEnv, key: Array, count: int) -> Draw:
        """Every cell [G] with its mass; the designer sees its middle. `key` and `count` are not needed."""
        return Draw(weight=jnp.asarray(env.mass), types=None, seen=jnp.asarray(env.middle))

    def space(self, env: MeanEnv, draw: Draw) -> Finite:
        """All actions after every message, [1, 1, A]."""
        return Finite(mask=jnp.ones((1, 1, self.actions), bool))

    def decide(self, env: MeanEnv, rule: Rule, seen: Array, action: Array | None) -> Decision:
        """What is said in each cell and what that makes the receiver believe; the receiver's action plays no part."""
        signal = rule(seen)
        joint = env.mass[:, None] * signal
        mass = joint.sum(0)
        some = jnp.where(mass > UNSENT, mass, 1.0)  # 0/0 must not reach the gradient either
        mean, square = (jnp.where(mass > UNSENT, moment @ joint / some, env.mass @ moment) for moment in (env.mean, env.square))
        return Decision(signal, joint, mean, square)

    def weight(self, env: MeanEnv, draw: Draw, decision: Decision) -> Array:
        """The mass of each message, [Z, 1]."""
        return decision.joint.sum(0)[:, None]

    def utility(self, env: MeanEnv, draw: Draw, decision: Decision, action: Array) -> Array:
        """What the receiver expects at its posterior, […, Z, 1], from actions […, Z|1, 1, A]."""
        gets = self.expected(env, decision)
        return (action * gets.reshape(*[1] * (action.ndim - 3), self.messages, 1, self.actions)).sum(-1)

    def expected(self, env: MeanEnv, decision: Decision) -> Array:
        """Of each action after each message, [Z, A]."""
        raise NotImplementedError

    def export_inputs(self, env: MeanEnv) -> tuple[np.ndarray]:
        """The middle of every cell, [G] float32."""
        return (np.asarray(env.middle, np.float32),)


@dataclass(frozen=True)
class Steps(_ByTheMean):
    """Z = A: a message recommends an action."""

    def recommended(self, env: MeanEnv, draw: Draw) -> Array:
        """Obedience: after message z, action z for certain, [Z, 1, A]."""
        return jnp.eye(self.actions)[:, None]

    def scale(self, env: MeanEnv) -> Array:
        """The range of the receiver's payoffs over the interval, in which ties are measured."""
        ends = env.receiver[:, :1] + env.receiver[:, 1:] * jnp.asarray([[self.low, self.high]])
        return jnp.maximum(jnp.ptp(ends), 1e-6)

    def expected(self, env: MeanEnv, decision: Decision) -> Array:
        return env.receiver[None, :, 0] + env.receiver[None, :, 1] * decision.mean[:, None]

    def score(self, env: MeanEnv, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """What sender and receiver get in each cell, [G] each, when `action` [Z, 1, A] follows the messages."""
        played = decision.signal @ action[:, 0]  # [G, A]
        sender, receiver = ((played * (lines[None, :, 0] + lines[None, :, 1] * env.mean[:, None])).sum(-1)
                            for lines in (env.sender, env.receiver))  # fmt: skip
        return Outcome(value=sender, objectives={"sender": sender, "receiver": receiver}, constraints={})


@dataclass(frozen=True)
class Quadratic(_ByTheMean):
    """Actions are distances from the posterior mean; the first is none."""

    def recommended(self, env: MeanEnv, draw: Draw) -> Array:
        """The posterior mean itself, [Z, 1, A]."""
        return jnp.broadcast_to(jnp.eye(self.actions)[:1], (self.messages, self.actions))[:, None]

    def scale(self, env: MeanEnv) -> Array:
        """The square of the interval's width."""
        return jnp.asarray((self.high - self.low) ** 2)

    def expected(self, env: MeanEnv, decision: Decision) -> Array:
        taken = decision.mean[:, None] + env.receiver[None]
        return -(taken**2) + 2 * taken * decision.mean[:, None] - decision.square[:, None]

    def score(self, env: MeanEnv, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """What sender and receiver get in each cell, [G] each."""
        taken = decision.mean[:, None] + env.receiver[None]  # [Z, A]
        first, second = (decision.signal @ (action[:, 0] * power).sum(-1) for power in (taken, taken**2))
        squared, crossed, state_squared, linear, state, constant = env.sender
        told = (squared * second + crossed * first * env.mean + state_squared * env.square + linear * first + state * env.mean)
        sender = told + constant
        receiver = -second + 2 * first * env.mean - env.square
        return Outcome(value=sender, objectives={"sender": sender, "receiver": receiver}, constraints={})


def check(problem: _ByTheMean, env: MeanEnv, config: Config) -> None:
    """Raises ConfigError where the prior leaves a cell empty, and where no signal can be obeyed with the margin."""
    empty = np.flatnonzero(np.asarray(env.mass) <= 0)
    if len(empty):
        ends = np.linspace(problem.low, problem.high, problem.cells + 1)[empty[0] : empty[0] + 2]
        raise ConfigError(f"{config.source}: problem.prior must be interior, and has no mass (in 16 digits) on states from {ends[0]:g} to "
                          f"{ends[1]:g}; narrow low and high to the states there are.")  # fmt: skip
    if isinstance(problem, Steps) and problem.margin > 0 and not obeyable(problem, env, config.problem):
        raise ConfigError(f"{config.source}: problem.obedience_margin = {problem.margin:g}: no signal can leave that margin; "
                          "lower it.")  # fmt: skip


def obeyable(problem: Steps, env: MeanEnv, model: Any) -> bool:
    """Whether some signal over the cells is obeyed with the margin: a linear programme without an objective."""
    lines = lines_of(model)
    usable = lines.usable(problem.margin)
    if not len(usable):
        return False
    lo, hi = lines.intervals(problem.margin)[usable].T
    mean, mass = np.asarray(env.mean), np.asarray(env.mass)
    rows = [sparse.block_diag([side * (mean - at)[None] for at in ends]) for side, ends in ((-1.0, lo), (1.0, hi))]
    whole = sparse.hstack([sparse.identity(problem.cells)] * len(usable))
    try:
        solve(np.zeros(len(usable) * problem.cells), at_most=(sparse.vstack(rows), np.zeros(2 * len(usable))), equal=(whole, mass))
    except Infeasible:
        return False
    return True


def build(model: Any, folder: Path) -> tuple[Steps | Quadratic, MeanEnv]:
    """The problem a file describes and its numbers."""
    prior: Prior = model.prior.build()
    edges = np.linspace(prior.low, prior.high, model.grid + 1)
    cells = (0.5 * (edges[:-1] + edges[1:]), *prior.cells(model.grid))
    shared = {"cells": model.grid, "messages": model.messages, "low": prior.low, "high": prior.high}
    if model.receiver.lines is None:
        distances = (prior.high - prior.low) * np.array(DISTANCES)
        env = MeanEnv(*cells, np.asarray(model.sender.coefficients, np.float64), distances)
        return Quadratic(actions=len(distances), **shared), env
    lines = lines_of(model)
    return Steps(actions=model.messages, margin=float(model.obedience_margin), **shared), MeanEnv(*cells, lines.sender, lines.receiver)
