"""Persuasion by obedience: a sender who sees the state recommends an action; a receiver who sees only the recommendation obeys
(Kamenica & Gentzkow 2011; Bergemann & Morris 2016, where such rules are Bayes correlated equilibria).

The states are few, so nothing is sampled: a draw is every state with its mass. The receiver's information sets are the signals,
one for each action, Z = A: following signal z means playing action z. The incentive gap of a signal is what the receiver would
gain, at the posterior that signal leaves it with, by the best other action; weighted by the mass of the signal it is linear in
the rule. Letters: S states, A actions, Z = A signals, one agent.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.replies import TIE
from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule


@register_dataclass
@dataclass(frozen=True)
class PersuasionEnv:
    """The numbers: `prior` [S], and the utility of the `sender` and of the `receiver` in each state under each action, [S, A]."""

    prior: Array
    sender: Array
    receiver: Array


@register_dataclass
@dataclass(frozen=True)
class Decision:
    """`signal` [S, Z]: the probability of each recommendation in each state; `joint` [S, Z]: times the prior; `posterior` [S, Z]:
    the receiver's belief over states after each signal, the prior where a signal has no mass."""

    signal: Array
    joint: Array
    posterior: Array


@dataclass(frozen=True)
class Persuasion:
    """S states and A actions; `margin`: by how much obeying must beat every other action, given the recommendation."""

    states: int
    actions: int
    margin: float = 0.0
    agents: int = 1
    rowwise: bool = False
    objective: tuple[str, ...] = ("sender",)
    committed: ClassVar[bool] = True

    def draw(self, env: PersuasionEnv, key: Array, count: int) -> Draw:
        """Every state [S] with its prior mass; the designer sees the state, by number. `key` and `count` are not needed."""
        return Draw(weight=jnp.asarray(env.prior), types=None, seen=jnp.arange(self.states))

    def space(self, env: PersuasionEnv, draw: Draw) -> Finite:
        """All actions after every signal, [1, 1, A]."""
        return Finite(mask=jnp.ones((1, 1, self.actions), bool))

    def recommended(self, env: PersuasionEnv, draw: Draw) -> Array:
        """Obedience: after signal z, action z for certain, [Z, 1, A]."""
        return jnp.eye(self.actions)[:, None]

    def scale(self, env: PersuasionEnv) -> Array:
        """The range of the receiver's payoffs, in which ties are measured."""
        return jnp.ptp(env.receiver)

    def decide(self, env: PersuasionEnv, rule: Rule, seen: Array, action: Array) -> Decision:
        """What the sender says in each state and what that makes the receiver believe; the receiver's action plays no part."""
        signal = rule(seen)
        joint = env.prior[:, None] * signal
        mass = joint.sum(0, keepdims=True)
        # The inner `where` keeps 0/0 out of the gradient, the outer one out of the value.
        posterior = jnp.where(mass > 0, joint / jnp.where(mass > 0, mass, 1.0), env.prior[:, None])
        return Decision(signal=signal, joint=joint, posterior=posterior)

    def utility(self, env: PersuasionEnv, draw: Draw, decision: Decision, action: Array) -> Array:
        """What the receiver expects at its posterior, […, Z, 1], from actions […, Z|1, 1, A]."""
        expected = decision.posterior.T @ env.receiver  # [Z, A]
        return (action * expected.reshape(*[1] * (action.ndim - 3), self.actions, 1, self.actions)).sum(-1)

    def weight(self, env: PersuasionEnv, draw: Draw, decision: Decision) -> Array:
        """The mass of each signal, [Z, 1]."""
        return decision.joint.sum(0)[:, None]

    def score(self, env: PersuasionEnv, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """What sender and receiver get in each state, [S] each, when `action` [Z, 1, A] follows the signals."""
        played = decision.signal @ action[:, 0]  # [S, A]
        sender, receiver = (played * env.sender).sum(-1), (played * env.receiver).sum(-1)
        return Outcome(value=sender, objectives={"sender": sender, "receiver": receiver}, constraints={})


def best_reply_value(
    joint: np.ndarray, sender: np.ndarray, receiver: np.ndarray, ties: Literal["for", "against"], tolerance: float = TIE
) -> float:
    """What the sender gets when the receiver best-replies to each of the signals with joint probabilities [S, Z] with the states;
    actions within `tolerance` of the best, as a share of the range of its payoffs, are ties, broken `for` or `against` the sender.
    Utilities [S, A]."""
    joint = joint[:, joint.sum(0) > 0]
    expected = joint.T @ receiver / joint.sum(0)[:, None]  # [Z, A], at the posterior
    tied = expected >= expected.max(1, keepdims=True) - tolerance * np.ptp(receiver)
    if ties == "for":
        return float(np.where(tied, joint.T @ sender, -np.inf).max(1).sum())
    return float(np.where(tied, joint.T @ sender, np.inf).min(1).sum())


def tables(model: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The prior [S], the sender's and the receiver's utilities [S, A] of a problem file, float64, the prior summing to one."""
    prior, sender, receiver = (np.asarray(table, np.float64) for table in (model.prior, model.sender, model.receiver))
    return prior / prior.sum(), sender, receiver


def build(model: Any, folder: Path) -> tuple[Persuasion, PersuasionEnv]:
    """The game a problem file describes and its numbers."""
    prior, sender, receiver = tables(model)  # float64 until something is compiled: rounding would break the receiver's ties
    states, actions = receiver.shape
    return Persuasion(states=states, actions=actions, margin=float(model.obedience_margin)), PersuasionEnv(prior, sender, receiver)
