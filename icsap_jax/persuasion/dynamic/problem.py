"""Persuasion over time: in every period the sender, who sees the current state, recommends an action to a receiver who remembers all
that was recommended before, believes what that implies by Bayes' rule, and does not look ahead.

It is enough to recommend actions: of two messages after which the receiver does the same now, the difference can be told next period,
when the sender knows it still or knows better. So the rule is a tree, a table for every history of recommendations. Its nodes are
numbered as in a heap: the empty history is 0, and recommendation a after history h leads to history A·h + a + 1, so that those of
one period stand together. Nothing is sampled. The receiver's information sets are all (history, recommendation); its belief after one
drifts by the transitions before the next. Letters: S states, A actions, T periods, H = Σ_t A^(t−1) histories.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule
from icsap_jax.persuasion.rules import FAINT
from icsap_jax.persuasion.tables import UNSENT


@register_dataclass
@dataclass(frozen=True)
class DynamicEnv:
    """The numbers: `prior` [S] in the first period; `transitions` [S, S] to the next period's state; utilities of the `sender` and the
    `receiver`, [T, S, A]. numpy float64."""

    prior: Array
    transitions: Array
    sender: Array
    receiver: Array


@register_dataclass
@dataclass(frozen=True)
class Decision:
    """`signal` [H, S, A]: the probability of each recommendation after each history in each state; `joint` [H, S, A]: times the
    probability of that history and state; `posterior` [H, A, S]: the belief over the current state after each recommendation, that
    of somebody who was told nothing where it is never made."""

    signal: Array
    joint: Array
    posterior: Array


@dataclass(frozen=True)
class Tree:
    """Which histories there are when A `actions` are recommended in each of T `horizon` periods."""

    actions: int
    horizon: int

    @cached_property
    def periods(self) -> tuple[slice, ...]:
        """The histories of each period, T slices of [H]."""
        ends = np.cumsum([self.actions**period for period in range(self.horizon)])
        return tuple(slice(int(end) - self.actions**period, int(end)) for period, end in enumerate(ends))

    @property
    def size(self) -> int:
        """H, the number of histories."""
        return self.periods[-1].stop

    @property
    def period(self) -> np.ndarray:
        """The period of each history, [H], from 0."""
        return np.repeat(np.arange(self.horizon), [part.stop - part.start for part in self.periods])

    def said(self, history: int) -> tuple[int, ...]:
        """What was recommended, oldest first, in history number `history`."""
        past: list[int] = []
        while history:
            history, action = divmod(history - 1, self.actions)
            past.insert(0, action)
        return tuple(past)


@dataclass(frozen=True)
class DynamicPersuasion:
    """S states, A actions, T periods; `margin`: by how much obeying must beat every other action at each information set."""

    states: int
    actions: int
    horizon: int
    margin: float = 0.0
    agents: int = 1
    rowwise: bool = False
    objective: tuple[str, ...] = ("sender",)
    committed: ClassVar[bool] = True

    @property
    def tree(self) -> Tree:
        """The histories."""
        return Tree(self.actions, self.horizon)

    def draw(self, env: DynamicEnv, key: Array, count: int) -> Draw:
        """Every state of the first period [S] with its prior mass. `key` and `count` are not needed."""
        return Draw(weight=jnp.asarray(env.prior), types=None)

    def space(self, env: DynamicEnv, draw: Draw) -> Finite:
        """All actions at every information set, [1, 1, A]."""
        return Finite(mask=jnp.ones((1, 1, self.actions), bool))

    def recommended(self, env: DynamicEnv, draw: Draw) -> Array:
        """Obedience after every history, [H·A, 1, A]."""
        return jnp.tile(jnp.eye(self.actions), (self.tree.size, 1))[:, None]

    def scale(self, env: DynamicEnv) -> Array:
        """The range of the receiver's payoffs, in which ties are measured."""
        return jnp.ptp(env.receiver)

    def decide(self, env: DynamicEnv, rule: Rule, seen: Any, action: Any) -> Decision:
        """What the sender says after every history, and what that makes the receiver believe; what the receiver does plays no part."""
        signal = rule()
        joints, told_nothing = [], []
        reach, marginal = jnp.asarray(env.prior)[None], jnp.asarray(env.prior)  # [histories of the period, S], [S]
        for period in self.tree.periods:
            joint = reach[:, :, None] * signal[period]
            joints.append(joint)
            told_nothing.append(jnp.broadcast_to(marginal[None, None], (joint.shape[0], 1, self.states)))
            reach = jnp.einsum("hsa,sq->haq", joint, env.transitions).reshape(-1, self.states)
            marginal = marginal @ env.transitions
        joint = jnp.concatenate(joints)
        mass = joint.sum(1)[:, :, None]
        # The inner `where` keeps 0/0 out of the gradient, the outer one out of the value.
        belief = jnp.swapaxes(joint, 1, 2) / jnp.where(mass > UNSENT, mass, 1.0)
        return Decision(signal=signal, joint=joint, posterior=jnp.where(mass > UNSENT, belief, jnp.concatenate(told_nothing)))

    def utility(self, env: DynamicEnv, draw: Draw, decision: Decision, action: Array) -> Array:
        """What the receiver of each information set expects in its period, […, H·A, 1], from actions […, H·A|1, 1, A]."""
        receiver = jnp.asarray(env.receiver)[self.tree.period]
        expected = jnp.einsum("hzs,hsa->hza", decision.posterior, receiver)
        return (action * expected.reshape(*[1] * (action.ndim - 3), -1, 1, self.actions)).sum(-1)

    def weight(self, env: DynamicEnv, draw: Draw, decision: Decision) -> Array:
        """The probability of each information set, as a share of all periods, [H·A, 1]: they sum to one."""
        return decision.joint.sum(1).reshape(-1, 1) / self.horizon

    def score(self, env: DynamicEnv, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """What sender and receivers get over all periods from each first state on, [S] each, when `action` [H·A, 1, A] is what follows
        the recommendations."""
        acts = action[:, 0].reshape(-1, self.actions, self.actions)  # [H, recommended, done]
        utilities = jnp.stack([jnp.asarray(env.sender), jnp.asarray(env.receiver)])  # [2, T, S, A]
        ahead = jnp.zeros((2, self.tree.size * self.actions + 1 - self.tree.size, self.states), utilities.dtype)
        for number, period in reversed(list(enumerate(self.tree.periods))):
            now = jnp.einsum("hza,usa->uhzs", acts[period], utilities[:, number])
            later = ahead.reshape(2, -1, self.actions, self.states) @ env.transitions.T
            ahead = jnp.einsum("hsz,uhzs->uhs", decision.signal[period], now + later)
        sender, receiver = ahead[:, 0]
        return Outcome(value=sender, objectives={"sender": sender, "receiver": receiver}, constraints={})


class HistorySignal(nnx.Module):
    """Recommendations after every history by their logits [H, S, A]; a softmax makes each row a distribution."""

    def __init__(self, logits: Array):
        self.logits = nnx.Param(logits)

    def __call__(self) -> Array:
        return jax.nn.softmax(self.logits[...], axis=-1)


def history_signal(model: Any, problem: DynamicPersuasion, env: DynamicEnv, key: Array) -> Rule:
    """A scheme that says nearly nothing yet: after every history each recommendation is about equally likely in every state."""
    shape = (problem.tree.size, problem.states, problem.actions)
    return Rule.of(HistorySignal(FAINT * jax.random.normal(key, shape)))


def tables(model: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The prior [S], the transitions [S, S], the sender's and the receiver's utilities [T, S, A] of a problem file, float64, rows of
    probabilities summing to one."""
    prior, sender, receiver = (np.asarray(table, np.float64) for table in (model.prior, model.sender, model.receiver))
    transitions = np.eye(len(prior)) if model.transitions is None else np.asarray(model.transitions, np.float64)
    shape = (model.horizon, len(prior), receiver.shape[-1])
    sender, receiver = (np.array(np.broadcast_to(table, shape)) for table in (sender, receiver))
    return prior / prior.sum(), transitions / transitions.sum(1, keepdims=True), sender, receiver


def build(model: Any, folder: Path) -> tuple[DynamicPersuasion, DynamicEnv]:
    """The problem a file describes and its numbers."""
    env = DynamicEnv(*tables(model))
    horizon, states, actions = env.receiver.shape
    return DynamicPersuasion(states, actions, horizon, float(model.obedience_margin)), env
