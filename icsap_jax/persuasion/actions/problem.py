"""Recommending one of n actions whose types are independent draws from q: the reduced form (Dughmi & Xu 2016).

Actions are alike before their types are known, so an optimal rule treats them alike, and it matters only through

    y(t)  =  the probability that the action recommended is of type t

Obeying brings the receiver Σ_t y(t) ρ(t); any other action is as likely as the next to be of what is left, and brings
(n Σ_t q(t) ρ(t) − Σ_t y(t) ρ(t)) / (n − 1). So obedience says that the recommended action is at least as good as an action is on average.

The rule is a race: an action of type t rings after an exponential time of rate e^score(t), and the first to ring is recommended. Hence
an action is recommended with a probability in proportion to e^score among those there are, and

    y(t)  =  n q(t) ∫ e^(u + score(t)) exp(−e^(u + score(t))) (Σ_τ q(τ) exp(−e^(u + score(τ))))^(n − 1) du

which is one sum for any n: the integrand is analytic and vanishes doubly exponentially, so that the trapezoid rule is exact to rounding.
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

from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule, Tree

PRIORITY = 20.0  # a lead that is as good as any: e^−20 is 2e-9
STEP = 0.25  # of the quadrature, whose error is e^(−π²/STEP)
BEFORE, AFTER = 40.0, 5.0  # nothing rings so early, and everything has rung so late


@register_dataclass
@dataclass(frozen=True)
class ActionsEnv:
    """The numbers: `probabilities` q [T] of the types, what an action of each brings the `receiver` and the `sender`, [T] each."""

    probabilities: Array
    receiver: Array
    sender: Array


@register_dataclass
@dataclass(frozen=True)
class Decision:
    """`recommended` [T]: the probability that the action recommended is of each type; `another` [T]: that any other is."""

    recommended: Array
    another: Array


@dataclass(frozen=True)
class Actions:
    """`count` actions n, T types; `margin`: by how much the recommended action must beat every other. The receiver's choice is to follow
    the recommendation or to take another action, all others being alike to it."""

    count: int
    types: int
    margin: float = 0.0
    agents: int = 1
    rowwise: bool = False
    objective: tuple[str, ...] = ("sender",)
    committed: ClassVar[bool] = True

    def draw(self, env: ActionsEnv, key: Array, count: int) -> Draw:
        """One recommendation, [1]: the types are summed over. `key` and `count` are not needed."""
        return Draw(weight=jnp.ones(1), types=None)

    def space(self, env: ActionsEnv, draw: Draw) -> Finite:
        """To follow or to take another, [1, 1, 2]."""
        return Finite(mask=jnp.ones((1, 1, 2), bool))

    def recommended(self, env: ActionsEnv, draw: Draw) -> Array:
        """To follow, [1, 1, 2]."""
        return jnp.eye(2)[None, :1]

    def scale(self, env: ActionsEnv) -> Array:
        """The range of the receiver's payoffs, in which ties are measured."""
        return jnp.ptp(env.receiver)

    def decide(self, env: ActionsEnv, rule: Rule, seen: Tree, action: Array) -> Decision:
        """What is recommended, as far as it matters; what the receiver makes of it plays no part."""
        recommended = chances(rule(), env.probabilities, self.count)
        return Decision(recommended, (self.count * env.probabilities - recommended) / (self.count - 1))

    def _brings(self, decision: Decision, of: Array) -> Array:
        """What following and taking another bring, by what an action of each type brings, [2]."""
        return jnp.stack([decision.recommended @ of, decision.another @ of])

    def utility(self, env: ActionsEnv, draw: Draw, decision: Decision, action: Array) -> Array:
        """What the receiver expects, […, 1, 1], from choices […, 1, 1, 2]."""
        return (action * self._brings(decision, env.receiver).reshape(*[1] * (action.ndim - 1), 2)).sum(-1)

    def weight(self, env: ActionsEnv, draw: Draw, decision: Decision) -> Array:
        """One, [1, 1]."""
        return draw.weight[:, None]

    def score(self, env: ActionsEnv, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """What sender and receiver expect, [1] each."""
        sender, receiver = (action[:, 0] @ self._brings(decision, of) for of in (env.sender, env.receiver))
        return Outcome(value=sender, objectives={"sender": sender, "receiver": receiver}, constraints={})


class Scores(nnx.Module):
    """A score for each type [T]. Leads of more than `PRIORITY` over the next are told as that."""

    def __init__(self, scores: Array):
        self.scores = nnx.Param(scores)

    def __call__(self) -> Array:
        scores = self.scores[...]
        order = jnp.argsort(scores)
        leads = jnp.minimum(jnp.diff(scores[order], prepend=scores[order][:1]), PRIORITY)
        return jnp.zeros_like(scores).at[order].set(jnp.cumsum(leads))


def chances(scores: Array, probabilities: Array, count: int) -> Array:
    """y [T]: how likely the action recommended is of each type, by scores [T] from 0 up, neighbours no further apart than `PRIORITY`."""
    types = scores.shape[0]
    nodes = int(np.ceil((PRIORITY * (types - 1) + BEFORE + AFTER) / STEP))
    # Even where the scores are close the nodes are no further apart than STEP, whatever the program was compiled for.
    at = -scores.max() - BEFORE + STEP * jnp.arange(nodes, dtype=scores.dtype)
    # Later than AFTER everything has rung: cut there, so that no exponential overflows.
    rung = jnp.minimum(at[:, None] + scores[None], AFTER)
    silent = jnp.exp(-jnp.exp(rung))
    rings = jnp.exp(rung) * silent * (silent @ probabilities)[:, None] ** (count - 1)
    found = probabilities * rings.sum(0)
    return found / found.sum()  # the integral is 1/n of it; cut ends and rounding are divided out


def scores(model: Any, problem: Actions, env: ActionsEnv, key: Array) -> Rule:
    """Nearly even scores: whatever there is is about equally likely to be recommended."""
    return Rule.of(Scores(0.1 * jax.random.normal(key, (problem.types,))))


def tables(model: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The types' probabilities, what an action of each brings the receiver, and the sender, [T] each, float64."""
    probabilities, receiver, sender = (np.asarray(table, np.float64) for table in (model.probabilities, model.receiver, model.sender))
    return probabilities / probabilities.sum(), receiver, sender


def build(model: Any, folder: Path) -> tuple[Actions, ActionsEnv]:
    """The problem a file describes and its numbers."""
    env = ActionsEnv(*tables(model))
    return Actions(count=model.count, types=len(env.sender), margin=float(model.obedience_margin)), env
