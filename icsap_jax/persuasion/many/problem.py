"""Persuading several receivers who are told apart: each is recommended an action, in private or before all (Bergemann & Morris 2019).

The rule is a table: in each state ω the probability of each profile r of recommendations, R = A^N of them. States are enumerated.

On private channels a receiver's information sets are its own A recommendations; what the others do depends on what they are told, and
its expectation is over their recommendations. In public the information sets are the R profiles, and everything but the posterior is
known. The incentive gap is a receiver's own: what it gains by another action while all others obey. `action` is a strategy for each
receiver, so that utilities and values are multilinear in it, one axis of the tables for each receiver. Where nobody cares what others
do the receivers are separable (Arieli & Babichenko 2019), and a receiver's utility needs its own axis alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule
from icsap_jax.persuasion.many.alike import Alike, AlikeEnv
from icsap_jax.persuasion.many.games import profiles, tables
from icsap_jax.persuasion.rules import FAINT, Signal
from icsap_jax.persuasion.tables import UNSENT


@register_dataclass
@dataclass(frozen=True)
class ManyEnv:
    """The numbers: `prior` [S], the utilities of the `sender` [S, R] and of the `receivers` [N, S, R] under each profile of actions, or
    [N, S, A] where they are separable."""

    prior: Array
    sender: Array
    receivers: Array


@register_dataclass
@dataclass(frozen=True)
class Decision:
    """`signal` [S, R]: the probability of each profile of recommendations in each state; `joint` [S, R]: times the prior."""

    signal: Array
    joint: Array


@dataclass(frozen=True)
class Profiles:
    """N `agents` of A `actions` each, S `states`; `margin`: by how much obeying must beat every other action, given what is heard. What
    is heard, on which channel, is for those below."""

    states: int
    agents: int
    actions: int
    margin: float = 0.0
    rowwise: bool = False
    objective: tuple[str, ...] = ("sender",)
    committed: ClassVar[bool] = True

    @property
    def profiles(self) -> np.ndarray:
        """What each profile tells each receiver, one-hot, [R, N, A]."""
        return np.eye(self.actions)[profiles(self.agents, self.actions)]

    def draw(self, env: ManyEnv, key: Array, count: int) -> Draw:
        """Every state [S] with its prior mass, seen by number. `key` and `count` are not needed."""
        return Draw(weight=jnp.asarray(env.prior), types=None, seen=jnp.arange(self.states))

    def space(self, env: ManyEnv, draw: Draw) -> Finite:
        """All actions, whatever is heard, [1, N, A]."""
        return Finite(mask=jnp.ones((1, self.agents, self.actions), bool))

    def scale(self, env: ManyEnv) -> Array:
        """The range of the receivers' payoffs, in which ties are measured."""
        return jnp.ptp(env.receivers)

    def decide(self, env: ManyEnv, rule: Rule, seen: Array, action: Array) -> Decision:
        """What is recommended in each state; what receivers make of it plays no part."""
        signal = rule(seen)
        return Decision(signal=signal, joint=env.prior[:, None] * signal)

    def heard(self, joint: Array) -> Array:
        """The joint probability of the state and what each receiver hears, [S, I, N], from that of state and profile [S, R]."""
        raise NotImplementedError

    def weight(self, env: ManyEnv, draw: Draw, decision: Decision) -> Array:
        """How likely each receiver hears each thing, [I, N]."""
        return self.heard(decision.joint).sum(0)

    def welfare(self, env: ManyEnv) -> Array:
        """What all receivers together get under each profile of actions, [S, R]."""
        return env.receivers.sum(0)

    def outcome(self, signal: Array, sender: Array, receivers: Array) -> Outcome:
        """From the probability of each signal in each state and what the sender and all receivers together get then, [S, R] each."""
        sender, receivers = (signal * sender).sum(-1), (signal * receivers).sum(-1)
        return Outcome(value=sender, objectives={"sender": sender, "receivers": receivers}, constraints={})

    def export_inputs(self, env: ManyEnv) -> tuple[np.ndarray, ...]:
        """Every state by number."""
        return (np.arange(self.states, dtype=np.int32),)


@dataclass(frozen=True)
class Private(Profiles):
    """Each receiver hears its own recommendation only: information sets I = A, the same numbers for each."""

    def recommended(self, env: ManyEnv, draw: Draw) -> Array:
        """Everyone does what it is told, [A, N, A]."""
        return jnp.broadcast_to(jnp.eye(self.actions)[:, None], (self.actions, self.agents, self.actions))

    def heard(self, joint: Array) -> Array:
        """See `Profiles`."""
        return jnp.einsum("sr,rna->san", joint, self.profiles)

    def utility(self, env: ManyEnv, draw: Draw, decision: Decision, action: Array) -> Array:
        """What each receiver expects given what it is told, […, A, N], from strategies […, A|1, N, A]."""
        lead = action.shape[:-3]
        action = jnp.broadcast_to(action, (*lead, self.actions, self.agents, self.actions))
        mass = self.weight(env, draw, decision)
        found = []
        for n in range(self.agents):
            played = self._played(env.receivers[n], action, [m for m in range(self.agents) if m != n])
            before, after = self.states * self.actions**n, self.actions ** (self.agents - n - 1)
            joint = decision.joint.reshape(before, self.actions, after)
            gets = jnp.einsum("pik,...pak->...ia", joint, played.reshape(*lead, before, self.actions, after))
            found.append((action[..., n, :] * gets).sum(-1) / _harmless(mass)[:, n].reshape(*[1] * len(lead), -1))
        return jnp.stack(found, -1)

    def score(self, env: ManyEnv, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """What the sender and all receivers together get in each state, [S], when these strategies [A, N, A] are played."""
        every = range(self.agents)
        sender, receivers = (self._played(table, action, every) for table in (env.sender, self.welfare(env)))
        return self.outcome(decision.signal, sender, receivers)

    def _played(self, table: Array, action: Array, who: Iterable[int]) -> Array:
        """A table [S, R] by profiles of actions as one by profiles in which the actions of `who` are recommendations that they follow by
        their strategies […, A, N, A]: […, S, R]."""
        lead = action.shape[:-3]
        found = jnp.broadcast_to(table.reshape(*[1] * len(lead), *table.shape), (*lead, *table.shape))
        for m in who:
            split = (*lead, self.states * self.actions**m, self.actions, self.actions ** (self.agents - m - 1))
            found = jnp.einsum("...ra,...pak->...prk", action[..., m, :], found.reshape(split))
        return found.reshape(*lead, *table.shape)


@dataclass(frozen=True)
class Public(Profiles):
    """All hear the whole profile: information sets I = R."""

    def recommended(self, env: ManyEnv, draw: Draw) -> Array:
        """Everyone does what it is told, [R, N, A]."""
        return jnp.asarray(self.profiles, jnp.float32)

    def heard(self, joint: Array) -> Array:
        """See `Profiles`."""
        return jnp.broadcast_to(joint[..., None], (*joint.shape, self.agents))

    def utility(self, env: ManyEnv, draw: Draw, decision: Decision, action: Array) -> Array:
        """What each receiver expects at the posterior after each profile, […, R, N], from actions […, R|1, N, A]."""
        signals = decision.joint.shape[-1]
        action = jnp.broadcast_to(action, (*action.shape[:-3], signals, self.agents, self.actions))
        mass = decision.joint.sum(0, keepdims=True)
        posterior = decision.joint / _harmless(mass)
        return self._played(jnp.einsum("nsp,sr->rnp", env.receivers, posterior), action)

    def score(self, env: ManyEnv, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """What the sender and all receivers together get in each state, [S], when these actions [R, N, A] are played."""
        both = jnp.concatenate([env.sender, self.welfare(env)])
        gets = self._played(jnp.broadcast_to(both, (both.shape[-1], *both.shape)), action).T
        return self.outcome(decision.signal, gets[: self.states], gets[self.states :])

    def _played(self, table: Array, action: Array) -> Array:
        """The expectation of a table [R, X, R] over the profile of actions, last axis, when after each signal, first axis, the actions are
        […, R, N, A]: […, R, X]."""
        lead = action.shape[:-3]
        found = jnp.broadcast_to(table.reshape(*[1] * len(lead), *table.shape), (*lead, *table.shape))
        for m in reversed(range(self.agents)):
            found = found.reshape(*found.shape[:-1], -1, self.actions)
            found = jnp.einsum("...rxka,...ra->...rxk", found, action[..., m, :])
        return found.reshape(found.shape[:-1])


class Separable(Profiles):
    """Nobody cares what others do."""

    separable: ClassVar[bool] = True

    def payoffs(self, env: ManyEnv, draw: Draw, decision: Decision) -> Array:
        """What each receiver expects of each action given what it hears, [I, N, A]."""
        told = self.heard(decision.joint)
        return jnp.einsum("sin,nsa->ina", told / _harmless(told.sum(0, keepdims=True)), env.receivers)

    def utility(self, env: ManyEnv, draw: Draw, decision: Decision, action: Array) -> Array:
        """The same under actions […, I|1, N, A], […, I, N]."""
        gets = self.payoffs(env, draw, decision)
        return (action * gets.reshape(*[1] * (action.ndim - 3), *gets.shape)).sum(-1)

    def welfare(self, env: ManyEnv) -> Array:
        """See `Profiles`."""
        return jnp.einsum("nsa,rna->sr", env.receivers, self.profiles)


class SeparablePrivate(Separable, Private):
    """Private recommendations to receivers none of whom cares what others do."""


class SeparablePublic(Separable, Public):
    """Public recommendations to receivers none of whom cares what others do."""


def _harmless(mass: Array) -> Array:
    """What to divide by: where something is never heard, 1."""
    return jnp.where(mass > UNSENT, mass, 1.0)


def recommendations(model: Any, problem: Profiles | Alike, env: Any, key: Array) -> Rule:
    """A rule that says nearly nothing yet: in each state all signals are about equally likely."""
    return Rule.of(Signal(FAINT * jax.random.normal(key, np.shape(env.sender))))


def build(model: Any, folder: Path) -> tuple[Profiles | Alike, ManyEnv | AlikeEnv]:
    """The problem a file describes and its numbers, numpy float64: rounding would break the receivers' ties."""
    prior, sender, receivers = tables(model)
    margin, states, (count, actions) = float(model.obedience_margin), len(prior), model.count
    if model.anonymous:
        return Alike(states, count, model.channel, margin), AlikeEnv(prior, sender, receivers)
    kinds = {"private": (Private, SeparablePrivate), "public": (Public, SeparablePublic)}
    kind = kinds[model.channel][model.separable]
    receivers = np.asarray(model.receivers, np.float64) if model.separable else receivers.reshape(count, states, -1)
    return kind(states, count, actions, margin), ManyEnv(prior, sender.reshape(states, -1), receivers)
