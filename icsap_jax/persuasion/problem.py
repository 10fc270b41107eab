"""Persuasion: a sender who sees the state says something; a receiver, who knows the prior and what would be said when, updates its
belief by Bayes' rule and acts (Kamenica & Gentzkow 2011; eq. 19–20 of Zhang et al. 2024).

States are few, so nothing is sampled: a draw is every state with its mass. Information sets are the signals. Where the signals are
recommendations, one for each profile of the types' actions, what is recommended is obedience, and the incentive gap of a signal is what
a type would gain, at the posterior that signal leaves it with, by the best other action; weighted by the mass of the signal it is linear
in the rule. Where there is a number of signals without a meaning, or the receiver is quantal, nothing is recommended, the receiver does
what it does, and F depends on it.

Letters: S states, A actions, Z signals, N agents: the types of the receiver, which all hear the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import xlogy
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule
from icsap_jax.persuasion.tables import UNSENT, Game, game_of, profiles_of


@register_dataclass
@dataclass(frozen=True)
class PersuasionEnv:
    """The numbers: `prior` [S]; the utility of the `sender` [S, A] and of each type of the `receiver` [N, S, A]; `type_prior` [N];
    `cost` [] of a nat of information; `temperature` [] of a quantal receiver, 1 / precision."""

    prior: Array
    sender: Array
    receiver: Array
    type_prior: Array
    cost: Array
    temperature: Array


@register_dataclass
@dataclass(frozen=True)
class Decision:
    """`signal` [S, Z]: the probability of each signal in each state; `joint` [S, Z]: times the prior; `posterior` [S, Z]: the
    receiver's belief over states after each signal, the prior where a signal has no mass."""

    signal: Array
    joint: Array
    posterior: Array


@dataclass(frozen=True)
class Persuasion:
    """S states, A actions, N = `agents` types of receiver, Z `signals`, which are recommendations where `direct`; `margin`: by how much
    obeying must beat every other action, given the recommendation; `costly` signals; a `quantal` receiver."""

    states: int
    actions: int
    signals: int
    direct: bool = True
    margin: float = 0.0
    agents: int = 1
    costly: bool = False
    quantal: bool = False
    rowwise: bool = False
    objective: tuple[str, ...] = ("sender",)
    committed: ClassVar[bool] = True
    separable: ClassVar[bool] = True

    def draw(self, env: PersuasionEnv, key: Array, count: int) -> Draw:
        """Every state [S] with its prior mass; the designer sees the state, by number. `key` and `count` are not needed."""
        return Draw(weight=jnp.asarray(env.prior), types=None, seen=jnp.arange(self.states))

    def space(self, env: PersuasionEnv, draw: Draw) -> Finite:
        """All actions after every signal, [1, N, A]."""
        return Finite(mask=jnp.ones((1, self.agents, self.actions), bool))

    def recommended(self, env: PersuasionEnv, draw: Draw) -> Array | None:
        """Obedience: after signal j each type's part of profile j for certain, [Z, N, A]; None where signals have no meaning."""
        return jnp.eye(self.actions)[profiles_of(self.actions, self.agents)] if self.direct else None

    def scale(self, env: PersuasionEnv) -> Array:
        """The range of the receiver's payoffs, in which ties are measured."""
        return jnp.ptp(jnp.asarray(env.receiver))

    @property
    def temperature(self) -> Callable[[PersuasionEnv], Array] | None:
        """Of a quantal receiver."""
        return (lambda env: env.temperature) if self.quantal else None

    def decide(self, env: PersuasionEnv, rule: Rule, seen: Array, action: Array | None) -> Decision:
        """What the sender says in each state and what that makes the receiver believe; the receiver's action plays no part."""
        signal = rule(seen)
        joint = env.prior[:, None] * signal
        mass = joint.sum(0, keepdims=True)
        # The inner `where` keeps 0/0 out of the gradient, the outer one out of the value.
        posterior = jnp.where(mass > UNSENT, joint / jnp.where(mass > UNSENT, mass, 1.0), env.prior[:, None])
        return Decision(signal=signal, joint=joint, posterior=posterior)

    def payoffs(self, env: PersuasionEnv, draw: Draw, decision: Decision) -> Array:
        """What each type expects of each action at the posterior, [Z, N, A]."""
        return jnp.einsum("sz,nsa->zna", decision.posterior, env.receiver)

    def utility(self, env: PersuasionEnv, draw: Draw, decision: Decision, action: Array) -> Array:
        """What each type expects at its posterior, […, Z, N], from actions […, Z|1, N, A]."""
        expected = self.payoffs(env, draw, decision)
        return (action * expected.reshape(*[1] * (action.ndim - 3), *expected.shape)).sum(-1)

    def weight(self, env: PersuasionEnv, draw: Draw, decision: Decision) -> Array:
        """The mass of each signal with each type, [Z, N]."""
        return decision.joint.sum(0)[:, None] * jnp.asarray(env.type_prior)[None]

    def score(self, env: PersuasionEnv, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """What sender and receiver get in each state, [S] each, when `action` [Z, N, A] follows the signals. The sender pays `cost` for
        a nat of mutual information, a state's share of which is Σ_z π(z|ω) log(π(z|ω) / mass of z)."""
        played = jnp.einsum("sz,zna->sna", decision.signal, action) * jnp.asarray(env.type_prior)[None, :, None]
        sender = (played.sum(1) * env.sender).sum(-1)
        receiver = jnp.einsum("sna,nsa->s", played, env.receiver)
        told = {"sender": sender, "receiver": receiver}
        if self.costly:
            mass = decision.joint.sum(0)[None]
            told["information"] = (xlogy(decision.signal, decision.signal) - xlogy(decision.signal, mass)).sum(-1)
            sender = sender - env.cost * told["information"]
        return Outcome(value=sender, objectives=told, constraints={})

    def export_inputs(self, env: PersuasionEnv) -> tuple[np.ndarray]:
        """Every state once, by number."""
        return (np.arange(self.states, dtype=np.int32),)


def posed(game: Game, margin: float, signals: int | None) -> tuple[Persuasion, PersuasionEnv]:
    """A game as problem and numbers; `signals` None: recommendations to an exact receiver, and to a quantal one as many as states,
    since no scheme needs more posteriors (Kamenica & Gentzkow 2011, online appendix)."""
    states, actions = game.sender.shape
    quantal = game.precision is not None
    direct = signals is None and not quantal
    count = actions**game.types if direct else signals or states
    problem = Persuasion(
        states=states, actions=actions, signals=count, direct=direct, margin=0.0 if quantal else margin, agents=game.types,
        costly=game.cost > 0, quantal=quantal,
    )  # fmt: skip
    temperature = np.asarray(1.0 / game.precision if game.precision is not None else 1.0)
    # float64 until something is compiled: rounding would break the receiver's ties.
    return problem, PersuasionEnv(game.prior, game.sender, game.receiver, game.type_prior, np.asarray(game.cost), temperature)


def build(model: Any, folder: Path) -> tuple[Persuasion, PersuasionEnv]:
    """The game a problem file describes and its numbers."""
    return posed(game_of(model), float(model.obedience_margin), model.signals)
