"""Voting as a learning problem: ballots are orders, of which there are M!, and a rule makes a lottery of a profile of them.

    u_i = Σ_a p_a(ô_1, …, ô_N)·U[rank of a in o_i]

A voter's type is its order, one of M!, and what it does is to cast one: a finite action, [I, N, M!], one-hot. The recommended one is its
own. A decision is a lottery over alternatives, [I, M]. Profiles are enumerated with their probabilities or sampled; each is an information
set of its own, since the gap asks what a voter gains who knows how the others vote. Where all profiles are enumerated a rule is asked each
of them once, and deviations, which lead to others of them, look their lotteries up.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax import constraints, objectives
from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule, Tree
from icsap_jax.config import ConfigError
from icsap_jax.config.objectives import weights_of


@register_dataclass
@dataclass(frozen=True)
class VotingEnv:
    """The numbers: `tastes` [M!, M], what each order makes of each alternative; `laws` [N, M!], the probabilities of each voter's orders;
    `mass` [(M!)^N], of each profile, None where they are sampled; the `weights` of objectives in their order; and the numbers of each of
    `Voting.limits`. numpy float64."""

    tastes: Array
    laws: Array
    mass: Array | None
    weights: Array
    limits: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Voting(constraints.Limited):
    """N voters, M alternatives; `objective` names what the designer maximises, `limits` is what rules have to keep besides; `alike` and
    `impartial`: whether voters, and alternatives too, may change places without changing how profiles are drawn."""

    agents: int
    alternatives: int
    orders: int
    sampled: bool
    objective: tuple[str, ...] = ("welfare",)
    limits: tuple[Any, ...] = ()
    alike: bool = True
    impartial: bool = True
    margin: float = 0.0
    rowwise: bool = True

    def draw(self, env: VotingEnv, key: Array, count: int) -> Draw:
        """Ballots [B, N, M!] and their weights: every profile with its probability, or `count` by chance."""
        if self.sampled:
            cast = jax.random.categorical(key, jnp.log(jnp.asarray(env.laws)), -1, (count, self.agents))
            ballots = jax.nn.one_hot(cast, self.orders, dtype=jnp.asarray(env.tastes).dtype)
            return Draw(weight=jnp.full((count,), 1.0 / count, ballots.dtype), types=ballots)
        mass = jnp.asarray(env.mass)
        return Draw(weight=mass, types=self.ballots(mass.dtype))

    def ballots(self, dtype: Any) -> Array:
        """Every profile of ballots, [(M!)^N, N, M!]: the first voter's order changes last."""
        return jax.nn.one_hot(profiles(self.orders, self.agents), self.orders, dtype=dtype)

    def space(self, env: VotingEnv, draw: Draw) -> Finite:
        """Any order may be cast."""
        return Finite(mask=jnp.ones((1, self.agents, self.orders), bool))

    def scale(self, env: VotingEnv) -> Array:
        """How much better a first choice is than a last one, []."""
        return jnp.asarray(env.tastes).max() - jnp.asarray(env.tastes).min()

    def recommended(self, env: VotingEnv, draw: Draw) -> Array:
        """One's own order, [B, N, M!]."""
        return draw.types

    def reservation(self, env: VotingEnv, draw: Draw) -> None:
        """Nobody is asked whether to take part."""
        return None

    def decide(self, env: VotingEnv, rule: Rule, seen: Tree, action: Array) -> Array:
        """The lottery […, M] on ballots […, N, M!]. Raises ConfigError where the rule gives another shape."""
        if self.sampled:
            lottery = rule(action)
        else:
            place = jnp.tensordot(jnp.argmax(action, -1), np.array(self.orders ** np.arange(self.agents)[::-1]), 1)
            lottery = rule(self.ballots(action.dtype))[place]
        wanted = (*action.shape[:-2], self.alternatives)
        if lottery.shape != wanted:
            raise ConfigError(f"rule: on ballots of shape {list(action.shape)} its lottery has shape {list(lottery.shape)}; it should have "
                              f"{list(wanted)}.")
        return lottery

    def infeasibility(self, env: VotingEnv, decision: Array) -> Array:
        """By how much probabilities miss being some that add up to 1, []."""
        return jnp.maximum(jax.nn.relu(-decision).max(), jnp.abs(decision.sum(-1) - 1.0).max())

    def utility(self, env: VotingEnv, draw: Draw, decision: Array, action: Array) -> Array:
        """What each voter expects by its true order, […, I, N]."""
        tastes = jnp.einsum("ino,om->inm", draw.types, jnp.asarray(env.tastes))
        expected = jnp.einsum("...im,inm->...in", decision, tastes)
        # Under a lottery that stands, it is the same whatever is cast.
        return jnp.broadcast_to(expected, (*jnp.broadcast_shapes(expected.shape[:-1], action.shape[:-2]), self.agents))

    def weight(self, env: VotingEnv, draw: Draw, decision: Array) -> Array:
        """The probability of each profile, [B, 1]."""
        return jnp.expand_dims(draw.weight, -1)

    def score(self, env: VotingEnv, draw: Draw, decision: Array, action: Array) -> Outcome:
        """The designer's value, its named parts, and the signed constraints profile by profile. Votes count through the decision alone."""
        return self.scored(env, self.utility(env, draw, decision, action))

    def scored(self, env: VotingEnv, utility: Array) -> Outcome:
        """The same of expected utilities [B, N]."""
        account = objectives.Account(value=utility, transfer=jnp.zeros_like(utility))
        by_name = objectives.evaluate(self.objective, account)
        weights = jnp.asarray(env.weights)
        total = sum(weights[k] * by_name[name] for k, name in enumerate(self.objective))
        every, averages = constraints.signed_by_name(self.limits, env.limits, account)
        return Outcome(value=total, objectives=by_name, constraints=every, averages=averages)


def rankings(alternatives: int) -> np.ndarray:
    """Every order, [M!, M]: the alternatives from the first choice to the last; orders as in a dictionary."""
    return np.array(list(permutations(range(alternatives))))


def ranks(alternatives: int) -> np.ndarray:
    """At which rank each order has each alternative, [M!, M], counted from 0."""
    return np.argsort(rankings(alternatives), -1)


def profiles(orders: int, voters: int) -> np.ndarray:
    """Every profile as numbers of orders, [orders^voters, voters]; the first voter's changes last."""
    return np.stack(np.unravel_index(np.arange(orders**voters), (orders,) * voters), -1)


def masses(model: Any) -> np.ndarray:
    """The probability of every profile, in the order of `profiles`."""
    if model.joint is not None:
        return model.joint.ravel()
    cast = profiles(model.orders, model.voters)
    return np.prod(model.laws[np.arange(model.voters), cast], -1)


def build(model: Any, folder: Any) -> tuple[Voting, VotingEnv]:
    """The problem a file describes and its numbers."""
    weights = weights_of(model.objective)
    limits, numbers = constraints.build(model.constraints)
    env = VotingEnv(
        tastes=model.ladder[ranks(model.alternatives)], laws=np.array(model.laws), mass=masses(model) if model.enumerated else None,
        weights=np.array(list(weights.values())), limits=numbers,
    )  # fmt: skip
    problem = Voting(
        agents=model.voters, alternatives=model.alternatives, orders=model.orders, sampled=not model.enumerated, objective=tuple(weights),
        limits=limits, alike=model.alike, impartial=model.impartial,
    )  # fmt: skip
    return problem, env
