"""Persuading many receivers who are alike and either act or not: a rule is how likely it is, in each state, that k of N shall act.

Who the k are is drawn evenly, so that a receiver who is told to act learns how many others probably were told the same. One receiver
stands for all: its incentive gap is what it gains alone, the others obeying. Where all are judged together, those who are told the
same do the same, a mixture being one coin for all of them, so that the value is linear in what either half does.

What is heard: on private channels to act or not, I = 2; in public also how many, I = 2 (N + 1), in the order (k, own).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule


@register_dataclass
@dataclass(frozen=True)
class AlikeEnv:
    """The numbers: `prior` [S]; the utility of the `sender` [S, N + 1] by how many act, and of a receiver, `receivers` [S, 2, N], by its
    own action and by how many of the others act."""

    prior: Array
    sender: Array
    receivers: Array


@register_dataclass
@dataclass(frozen=True)
class Decision:
    """`signal` [S, N + 1]: in each state the probability that so many are told to act; `joint` [S, N + 1]: times the prior."""

    signal: Array
    joint: Array


@dataclass(frozen=True)
class Alike:
    """`count` receivers N, S states; `margin`: by how much obeying must beat the other action, given what is heard."""

    states: int
    count: int
    channel: Literal["private", "public"]
    margin: float = 0.0
    agents: int = 1
    rowwise: bool = False
    objective: tuple[str, ...] = ("sender",)
    committed: ClassVar[bool] = True

    @property
    def chance(self) -> np.ndarray:
        """How likely a receiver is to be told not to act, and to act, when k are, [N + 1, 2]."""
        acting = np.arange(self.count + 1) / self.count
        return np.stack([1 - acting, acting], -1)

    def draw(self, env: AlikeEnv, key: Array, count: int) -> Draw:
        """Every state [S] with its prior mass, seen by number. `key` and `count` are not needed."""
        return Draw(weight=jnp.asarray(env.prior), types=None, seen=jnp.arange(self.states))

    def space(self, env: AlikeEnv, draw: Draw) -> Finite:
        """To act or not, whatever is heard, [1, 1, 2]."""
        return Finite(mask=jnp.ones((1, 1, 2), bool))

    def recommended(self, env: AlikeEnv, draw: Draw) -> Array:
        """Obedience, [I, 1, 2]."""
        times = 1 if self.channel == "private" else self.count + 1
        return jnp.tile(jnp.eye(2)[:, None], (times, 1, 1))

    def scale(self, env: AlikeEnv) -> Array:
        """The range of the receivers' payoffs, in which ties are measured."""
        return jnp.ptp(env.receivers)

    def decide(self, env: AlikeEnv, rule: Rule, seen: Array, action: Array) -> Decision:
        """How many are told to act in each state; what receivers make of it plays no part."""
        signal = rule(seen)
        return Decision(signal=signal, joint=env.prior[:, None] * signal)

    def _heard(self, told: Array) -> Array:
        """Of numbers [N + 1, 2, …] by how many are told to act and one's own recommendation, those by what is heard, [I, …]: sums in
        private."""
        return told.sum(0) if self.channel == "private" else told.reshape(-1, *told.shape[2:])

    def weight(self, env: AlikeEnv, draw: Draw, decision: Decision) -> Array:
        """How likely a receiver hears each thing, [I, 1]."""
        return self._heard(decision.joint.sum(0)[:, None] * self.chance)[:, None]

    def payoffs(self, env: AlikeEnv, draw: Draw, decision: Decision) -> Array:
        """What a receiver expects of either action given what it hears, the others obeying, [I, 1, 2]."""
        # With k told to act and one's own recommendation i, k − i of the others act; where that is impossible its chance is 0.
        others = np.clip(np.arange(self.count + 1)[:, None] - np.arange(2), 0, self.count - 1)
        gets = jnp.einsum("sk,saki->kia", decision.joint, env.receivers[:, :, others]) * self.chance[..., None]
        mass = self.weight(env, draw, decision)[..., None]
        return self._heard(gets)[:, None] / jnp.where(mass > 0, mass, 1.0)

    def utility(self, env: AlikeEnv, draw: Draw, decision: Decision, action: Array) -> Array:
        """The same under actions […, I|1, 1, 2], […, I, 1]."""
        gets = self.payoffs(env, draw, decision)
        return (action * gets.reshape(*[1] * (action.ndim - 3), *gets.shape)).sum(-1)

    def score(self, env: AlikeEnv, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """What the sender and all receivers together get in each state, [S], when what is heard is followed by `action` [I, 1, 2]."""
        acting = np.arange(self.count + 1)
        does = jnp.broadcast_to(action.reshape(-1, 2, 2), (self.count + 1, 2, 2))  # [N + 1, told, done]
        # How many act where those told not to, and those told to, do one thing each: nobody, some, or all.
        act = np.stack([np.stack([0 * acting, acting], -1), np.stack([self.count - acting, 0 * acting + self.count], -1)], 1)
        likely = does[:, 0, :, None] * does[:, 1, None, :]  # [N + 1, done by the former, done by the latter]
        sender, receivers = (
            (decision.signal * jnp.einsum("kab,skab->sk", likely, table[:, act])).sum(-1) for table in (env.sender, self._welfare(env))
        )
        return Outcome(value=sender, objectives={"sender": sender, "receivers": receivers}, constraints={})

    def _welfare(self, env: AlikeEnv) -> Array:
        """What all receivers together get by how many act, [S, N + 1]."""
        acting = np.arange(self.count + 1)
        does, doesnt = env.receivers[:, 1, np.maximum(acting - 1, 0)], env.receivers[:, 0, np.minimum(acting, self.count - 1)]
        return acting[None] * does + (self.count - acting)[None] * doesnt

    def export_inputs(self, env: AlikeEnv) -> tuple[np.ndarray, ...]:
        """Every state by number."""
        return (np.arange(self.states, dtype=np.int32),)
