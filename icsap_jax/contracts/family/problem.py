"""Hidden-action problems drawn at random, all of which one rule is to solve: it sees the problem and answers with a contract.

B instances are drawn, of sizes that may differ: tables of A actions and K outcomes, of which a smaller instance fills the first rows
and columns. The agent is risk-neutral and cannot be made to pay.

In training the principal wants an action of each instance, its *target*, drawn by `share`; the contract offered for it should make the
agent take it, at little pay. So information sets are pairs of instance and target, I = B·A in that order; what is recommended is the
target, and what the agent would gain by anything else is the incentive gap. A finished rule has one target for each instance.
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
from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule, Tree

HIGHEST_REWARD = 10.0


@register_dataclass
@dataclass(frozen=True)
class Instances:
    """B problems: `outcome_probabilities` F [B, A, K], `costs` [B, A], `rewards` [B, K], `legal` [B, A], which actions there are. What
    an instance has not is zero."""

    outcome_probabilities: Array
    costs: Array
    rewards: Array
    legal: Array


@register_dataclass
@dataclass(frozen=True)
class Offer:
    """For each target the contract offered, `payments` [B, A, K], and how often the target is wanted, `share` [B, A]."""

    payments: Array
    share: Array


@register_dataclass
@dataclass(frozen=True)
class Settled:
    """What a finished rule answers: one contract for each instance, `payments` [B, K], and the `action` [B] it is for, by number."""

    payments: Array
    action: Array


class Law(Protocol):
    """A distribution of problems of one size, static and hashable; `highest`, the size of rewards, in which ties are measured."""

    highest: float

    def instance(self, key: Array, actions: Array, outcomes: Array, most: tuple[int, int]) -> Instances:
        """One instance, without the axis B, filled into tables of `most` (actions, outcomes)."""


@dataclass(frozen=True)
class OrderedSoftmax:
    """The law of `instances.hidden_action`, of which this draws other instances."""

    scale: float
    correlation: float
    order: bool
    highest: float = HIGHEST_REWARD

    def instance(self, key: Array, actions: Array, outcomes: Array, most: tuple[int, int]) -> Instances:
        """See `Law`."""
        reward_key, row_key, own_key, related_key = jax.random.split(key, 4)
        legal, there = jnp.arange(most[0]) < actions, jnp.arange(most[1]) < outcomes
        drawn = jax.random.uniform(reward_key, (most[1],), maxval=self.highest).at[0].set(0.0)
        rewards = jnp.where(there, jnp.sort(jnp.where(there, drawn, jnp.inf)), 0.0)
        logits = self.scale * jax.random.normal(row_key, most)
        F = jax.nn.softmax(jnp.where(there[None], logits, -jnp.inf), axis=-1) * legal[:, None]
        if self.order:
            F = F[jnp.argsort(jnp.where(legal, F @ rewards, jnp.inf))]
        related = self.correlation * jax.random.uniform(related_key, most[:1]) * (F @ rewards)
        own = (1.0 - self.correlation) * jax.random.uniform(own_key, most[:1]) * rewards.sum() / outcomes
        return Instances(F, jnp.where(legal, related + own, 0.0).at[0].set(0.0), rewards, legal)


@dataclass(frozen=True)
class ContractFamily:
    """Problems of the `sizes` ((actions, outcomes), …), evenly often, by the `law`, in tables of A `actions` and K `outcomes`; what rules
    are judged on is drawn by a seed of its own, `fresh` (seed, count)."""

    law: Law
    sizes: tuple[tuple[int, int], ...]
    actions: int
    outcomes: int
    fresh: tuple[int, int] = (Evaluation().seed, Evaluation().gap_profiles)
    margin: float = 0.0
    agents: int = 1
    rowwise: bool = False
    sampled: bool = True
    objective: tuple[str, ...] = ("principal",)
    committed: ClassVar[bool] = True

    def draw(self, env: Tree, key: Array, count: int) -> Draw:
        """`count` instances, seen by the designer and the agent alike."""
        size_key, key = jax.random.split(key)
        sizes = jnp.asarray(self.sizes)[jax.random.randint(size_key, (count,), 0, len(self.sizes))]
        keys = jax.random.split(key, count)
        seen = jax.vmap(lambda one, size: self.law.instance(one, size[0], size[1], (self.actions, self.outcomes)))(keys, sizes)
        return Draw(weight=jnp.full((count,), 1.0 / count, seen.costs.dtype), types=None, seen=seen)

    def judged_on(self, seed: int, count: int) -> ContractFamily:
        """The same, whose rules are judged on `count` instances drawn by another seed."""
        return replace(self, fresh=(seed, count))

    def space(self, env: Tree, draw: Draw) -> Finite:
        """The actions there are in each instance, whatever its target, [B·A, 1, A]."""
        return Finite(mask=jnp.repeat(draw.seen.legal, self.actions, axis=0)[:, None])

    def recommended(self, env: Tree, draw: Draw) -> Array:
        """The target, [B·A, 1, A]."""
        return jnp.tile(jnp.eye(self.actions, dtype=draw.weight.dtype), (draw.weight.shape[0], 1))[:, None]

    def scale(self, env: Tree) -> float:
        """The size of rewards."""
        return self.law.highest

    def decide(self, env: Tree, rule: Rule, seen: Instances, action: Any) -> Offer:
        """The contracts offered; what the agent does about them plays no part."""
        offered = rule(seen.outcome_probabilities, seen.costs, seen.rewards, seen.legal)
        if not isinstance(offered, Settled):
            return offered
        payments = jnp.broadcast_to(offered.payments[:, None], (*offered.payments.shape[:1], self.actions, self.outcomes))
        return Offer(payments, jax.nn.one_hot(offered.action, self.actions, dtype=payments.dtype))

    def payoffs(self, env: Tree, draw: Draw, decision: Offer) -> Array:
        """What the agent gets from each action [B·A, 1, A]."""
        return (_paid(draw, decision) - draw.seen.costs[:, None]).reshape(-1, 1, self.actions)

    def utility(self, env: Tree, draw: Draw, decision: Offer, action: Array) -> Array:
        """Expected utility […, B·A, 1] of actions […, B·A, 1, A]."""
        gets = self.payoffs(env, draw, decision)
        return (action * gets.reshape(*[1] * (action.ndim - 3), *gets.shape)).sum(-1)

    def weight(self, env: Tree, draw: Draw, decision: Offer) -> Array:
        """How often an instance comes with a target, [B·A, 1]."""
        return (draw.weight[:, None] * decision.share).reshape(-1, 1)

    def reservation(self, env: Tree, draw: Draw) -> Array:
        """Staying out is worth nothing, [B·A, 1]."""
        return jnp.zeros((draw.weight.shape[0] * self.actions, 1), draw.weight.dtype)

    def score(self, env: Tree, draw: Draw, decision: Offer, action: Array) -> Outcome:
        """What the principal keeps of each instance, and what it pays, [B] each."""
        chosen = decision.share[..., None] * action.reshape(-1, self.actions, self.actions)  # [B, target, action]
        brings = jnp.einsum("bak,bk->ba", draw.seen.outcome_probabilities, draw.seen.rewards)
        paid = (chosen * _paid(draw, decision)).sum((1, 2))
        principal = (chosen * brings[:, None]).sum((1, 2)) - paid
        return Outcome(value=principal, objectives={"principal": principal, "payment": paid}, constraints={})

    def export_inputs(self, env: Tree) -> tuple[np.ndarray, ...]:
        """A few instances: F [R, A, K], costs [R, A], rewards [R, K], legal [R, A]."""
        return tuple(np.asarray(leaf) for leaf in jax.tree.leaves(self.draw(env, jax.random.key(0), 16).seen))


def _paid(draw: Draw, decision: Offer) -> Array:
    """What the contract for a target pays in expectation for an action, [B, target, action]."""
    return jnp.einsum("btk,bak->bta", decision.payments, draw.seen.outcome_probabilities)


def ordered_softmax(model: Any) -> OrderedSoftmax:
    """From its model in a problem file."""
    return OrderedSoftmax(float(model.scale), float(model.correlation), model.order)


def build(model: Any, folder: Path) -> tuple[ContractFamily, Tree]:
    """The family a file describes; it has no numbers but those of its law."""
    actions, outcomes = model.largest
    sizes = tuple((int(size[0]), int(size[1])) for size in model.sizes)
    return ContractFamily(law=model.generator.build(), sizes=sizes, actions=actions, outcomes=outcomes), ()
