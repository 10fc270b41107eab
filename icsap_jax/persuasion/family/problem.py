"""Persuasion games drawn at random, all of which one rule is to answer: it sees the game and says what to tell in each state.

B games are drawn, of sizes that may differ: tables of S states and A actions, of which a smaller game fills the first rows and
columns. A state that a game has not has no prior probability, and an action that it has not is not legal.

Signals are recommendations. Information sets are pairs of game and recommendation, I = B·A in that order; what is recommended is
obedience, and what the receiver would gain by anything else at the posterior is the incentive gap. Beside its scheme a rule gives
multipliers λ on obedience, which prove by weak duality how much better any other scheme could be, game by game:

    UB(λ) = Σ_ω μ₀(ω) max_a [v(ω,a) + Σ_b λ(a,b) (u(ω,a) − u(ω,b))]  ≥  the best of all obedient schemes
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.schema import Evaluation
from icsap_jax.bilevel.ties import largest
from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule, Tree
from icsap_jax.persuasion.tables import UNSENT

FAR = 1e9


@register_dataclass
@dataclass(frozen=True)
class Games:
    """B games: `prior` [B, S], the utility of the `sender` and of the `receiver` [B, S, A], `legal` [B, A], which actions there are.
    What a game has not is zero."""

    prior: Array
    sender: Array
    receiver: Array
    legal: Array


@register_dataclass
@dataclass(frozen=True)
class Told:
    """What a rule answers: `signal` [B, S, A], the probability of each recommendation in each state; `multiplier` [B, A, A] ≥ 0 on
    (recommended, deviation), the sender's utility for a unit of the receiver's; `aside` [B], what a rule in training is charged
    besides, nothing once it is finished."""

    signal: Array
    multiplier: Array
    aside: Array


@register_dataclass
@dataclass(frozen=True)
class Decision:
    """What was `told`, its `joint` probability with the state [B, S, A], and the `posterior` [B, S, A] after each recommendation, the
    prior where it is never made."""

    told: Told
    joint: Array
    posterior: Array


class Law(Protocol):
    """A distribution of games, static and hashable; `range`, the size of utilities, in which ties are measured."""

    range: float

    def games(self, key: Array, states: Array, actions: Array, most: tuple[int, int]) -> Games:
        """One game of each size, `states` and `actions` [B], filled into tables of `most` (states, actions)."""


@dataclass(frozen=True)
class Uniform:
    """The law of `instances.uniform`, of which this draws other games."""

    range: float = 1.0

    def games(self, key: Array, states: Array, actions: Array, most: tuple[int, int]) -> Games:
        """See `Law`."""
        possible = jnp.arange(most[0])[None] < states[:, None]
        legal = jnp.arange(most[1])[None] < actions[:, None]
        there = possible[:, :, None] & legal[:, None]
        # All at once: every further call of the generator takes half a second to compile.
        numbers = jax.random.uniform(key, (len(states), most[0], 1 + 2 * most[1]))
        mass = jnp.where(possible, -jnp.log1p(-numbers[..., 0]), 0.0)
        receiver, sender = numbers[..., 1 : 1 + most[1]], self.sender(numbers[..., 1 + most[1] :])
        return Games(mass / mass.sum(-1, keepdims=True), *(self.range * jnp.where(there, each, 0.0) for each in (sender, receiver)), legal)

    def sender(self, numbers: Array) -> Array:
        """Its utilities [B, S, A] from independent numbers, U[0, 1]."""
        return numbers


@dataclass(frozen=True)
class StateIndependent(Uniform):
    """The law of `instances.state_independent`."""

    def sender(self, numbers: Array) -> Array:
        """Its utilities [B, S, A] from independent numbers, U[0, 1]: the same in every state."""
        return jnp.broadcast_to(numbers[:, :1], numbers.shape)


@dataclass(frozen=True)
class PersuasionFamily:
    """Games of the `sizes` ((states, actions), …), evenly often, by the `law`, in tables of S `states` and A `actions`;
    what rules are judged on is drawn by a seed of its own, `fresh` (seed, count)."""

    law: Law
    sizes: tuple[tuple[int, int], ...]
    states: int
    actions: int
    fresh: tuple[int, int] = (Evaluation().seed, Evaluation().gap_profiles)
    margin: float = 0.0
    agents: int = 1
    rowwise: bool = False
    sampled: bool = True
    objective: tuple[str, ...] = ("sender",)
    committed: ClassVar[bool] = True
    separable: ClassVar[bool] = True

    def draw(self, env: Tree, key: Array, count: int) -> Draw:
        """`count` games, seen by the sender and the receiver alike."""
        size_key, key = jax.random.split(key)
        which = jnp.floor(len(self.sizes) * jax.random.uniform(size_key, (count,))).astype(int)
        sizes = jnp.asarray(self.sizes)[which]
        seen = self.law.games(key, sizes[:, 0], sizes[:, 1], (self.states, self.actions))
        return Draw(weight=jnp.full((count,), 1.0 / count, seen.prior.dtype), types=None, seen=seen)

    def judged_on(self, seed: int, count: int) -> PersuasionFamily:
        """The same, whose rules are judged on `count` games drawn by another seed."""
        return replace(self, fresh=(seed, count))

    def space(self, env: Tree, draw: Draw) -> Finite:
        """The actions there are in each game, whatever is recommended, [B·A, 1, A]."""
        return Finite(mask=jnp.repeat(draw.seen.legal, self.actions, axis=0)[:, None])

    def recommended(self, env: Tree, draw: Draw) -> Array:
        """Obedience, [B·A, 1, A]."""
        return jnp.tile(jnp.eye(self.actions, dtype=draw.weight.dtype), (draw.weight.shape[0], 1))[:, None]

    def scale(self, env: Tree) -> float:
        """The size of the receiver's payoffs."""
        return self.law.range

    def decide(self, env: Tree, rule: Rule, seen: Games, action: Any) -> Decision:
        """What is told and what that makes the receivers believe; what they do about it plays no part."""
        told = rule(seen.prior, seen.sender, seen.receiver, seen.legal)
        prior = jnp.broadcast_to(seen.prior[..., None], told.signal.shape)
        joint = prior * told.signal
        mass = jnp.broadcast_to(joint.sum(1, keepdims=True), joint.shape)
        made = mass > UNSENT
        # The inner `where` keeps 0/0 out of the gradient, the outer one out of the value.
        posterior = jnp.where(made, joint / jnp.where(made, mass, 1.0), prior)
        joint = jnp.where(made, joint, 0.0)
        return Decision(told, joint, posterior)

    def payoffs(self, env: Tree, draw: Draw, decision: Decision) -> Array:
        """What a receiver expects of each action [B·A, 1, A]."""
        return jnp.einsum("bsz,bsa->bza", decision.posterior, draw.seen.receiver).reshape(-1, 1, self.actions)

    def utility(self, env: Tree, draw: Draw, decision: Decision, action: Array) -> Array:
        """Expected utility […, B·A, 1] of actions […, B·A, 1, A]."""
        gets = self.payoffs(env, draw, decision)
        return (action * gets.reshape(*[1] * (action.ndim - 3), *gets.shape)).sum(-1)

    def weight(self, env: Tree, draw: Draw, decision: Decision) -> Array:
        """How often a game comes with a recommendation, [B·A, 1]."""
        return (draw.weight[:, None] * decision.joint.sum(1)).reshape(-1, 1)

    def score(self, env: Tree, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """What the sender and the receiver get in each game, and what no sender can exceed, [B] each."""
        played = jnp.einsum("bsz,bza->bsa", decision.joint, action.reshape(-1, self.actions, self.actions))
        sender, receiver = (played * draw.seen.sender).sum((1, 2)), (played * draw.seen.receiver).sum((1, 2))
        proven = bound(draw.seen, decision.told.multiplier)
        return Outcome(value=sender - decision.told.aside, constraints={},
                       objectives={"sender": sender, "receiver": receiver, "bound": proven})  # fmt: skip

    def export_inputs(self, env: Tree) -> tuple[np.ndarray, ...]:
        """A few games: prior [R, S], sender and receiver [R, S, A], legal [R, A]."""
        return tuple(np.asarray(leaf) for leaf in jax.tree.leaves(self.draw(env, jax.random.key(0), 16).seen))


def bound(games: Games, multiplier: Array) -> Array:
    """UB of each game [B] at multipliers [B, A, A] ≥ 0 on (recommended, deviation)."""
    forgone = jnp.einsum("bsc,bac->bsa", games.receiver, multiplier)
    worth = games.sender + games.receiver * multiplier.sum(-1)[:, None] - forgone
    return (games.prior * largest(jnp.where(games.legal[:, None], worth, -FAR))).sum(-1)


def uniform(model: Any) -> Uniform:
    """From its model in a problem file."""
    return Uniform()


def state_independent(model: Any) -> StateIndependent:
    """From its model in a problem file."""
    return StateIndependent()


def build(model: Any, folder: Path) -> tuple[PersuasionFamily, Tree]:
    """The family a file describes; it has no numbers but those of its law."""
    states, actions = model.largest
    sizes = tuple((int(size[0]), int(size[1])) for size in model.sizes)
    return PersuasionFamily(law=model.generator.build(), sizes=sizes, states=states, actions=actions), ()
