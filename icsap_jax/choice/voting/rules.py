"""Rules that count votes: by points, by majorities, by lot.

All take ballots […, N, M!], one-hot orders, to probabilities […, M]. A rule that chooses one takes the first by the alphabet of those
that tie.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.choice.voting.problem import Voting, VotingEnv, ranks

HAIR = 1e-5  # as a share of the most points: what tallies may differ by and still be equal but for rounding


def first_of_the_best(tallies: Array) -> Array:
    """One-hot […, M]: the first whose tally is the largest, but for rounding."""
    best = tallies.max(-1, keepdims=True)
    tied = tallies >= best - HAIR * jnp.abs(tallies).max(-1, keepdims=True)
    return jax.nn.one_hot(jnp.argmax(tied, -1), tallies.shape[-1], dtype=tallies.dtype)


class Points(nnx.Module):
    """Most points win; `scores` by rank, first to last."""

    def __init__(self, scores: tuple[float, ...]):
        self.scores = scores

    def __call__(self, ballots: Array) -> Array:
        given = np.array(self.scores)[ranks(len(self.scores))]
        return first_of_the_best(ballots.sum(-2) @ jnp.asarray(given, ballots.dtype))


class SoftPoints(nnx.Module):
    """The softmax of points, whose scores by rank are a parameter [M]."""

    def __init__(self, scores: Array):
        self.scores = nnx.Param(scores)

    def __call__(self, ballots: Array) -> Array:
        given = self.scores[...][ranks(self.scores[...].shape[0])]
        return jax.nn.softmax(ballots.sum(-2) @ given, -1)


class Majorities(nnx.Module):
    """Most majorities against one other win."""

    def __init__(self, alternatives: int):
        self.alternatives = alternatives

    def __call__(self, ballots: Array) -> Array:
        at = ranks(self.alternatives)
        prefers = jnp.asarray(np.sign(at[:, None, :] - at[:, :, None]).reshape(len(at), -1), ballots.dtype)  # 1: a before b
        margin = (ballots.sum(-2) @ prefers).reshape(*ballots.shape[:-2], self.alternatives, self.alternatives)
        return first_of_the_best(jnp.sign(jnp.round(margin)).sum(-1) + self.alternatives)


class Tops(nnx.Module):
    """What each voter has first, with that voter's share of the lot."""

    def __init__(self, alternatives: int, shares: tuple[float, ...]):
        self.alternatives, self.shares = alternatives, shares

    def __call__(self, ballots: Array) -> Array:
        first = jnp.asarray(ranks(self.alternatives) == 0, ballots.dtype)
        return jnp.einsum("...no,om,n->...m", ballots, first, jnp.asarray(self.shares, ballots.dtype))


class Proportional(nnx.Module):
    """In proportion to points that fall with the rank and add up to 1 for each voter: a mixture, by the softmax of `raw` [M], of sharing
    a voter's lot evenly among its first 1, 2, … M."""

    def __init__(self, raw: Array):
        self.raw = nnx.Param(raw)

    def __call__(self, ballots: Array) -> Array:
        share = jax.nn.softmax(self.raw[...])
        count = share.shape[0]
        evenly = jnp.asarray(np.tril(np.ones((count, count))) / np.arange(1, count + 1)[:, None], share.dtype)
        points = share @ evenly  # by rank
        return ballots.mean(-2) @ points[ranks(count)]


def plurality(model: Any, problem: Voting, env: VotingEnv, key: Array) -> Rule:
    """A point for being first."""
    return Rule.of(Points((1.0, *[0.0] * (problem.alternatives - 1))))


def borda(model: Any, problem: Voting, env: VotingEnv, key: Array) -> Rule:
    """A point for every alternative behind."""
    return Rule.of(Points(tuple(float(each) for each in range(problem.alternatives - 1, -1, -1))))


def positional(model: Any, problem: Voting, env: VotingEnv, key: Array) -> Rule:
    """Points as given, or to be learned."""
    if model.scores is not None:
        return Rule.of(Points(tuple(model.scores)))
    begun = jnp.linspace(2.0, 0.0, problem.alternatives)
    return Rule.of(SoftPoints(begun + 0.1 * jax.random.normal(key, begun.shape)))


def copeland(model: Any, problem: Voting, env: VotingEnv, key: Array) -> Rule:
    """Majorities."""
    return Rule.of(Majorities(problem.alternatives))


def dictator(model: Any, problem: Voting, env: VotingEnv, key: Array) -> Rule:
    """All of the lot is one voter's."""
    return Rule.of(Tops(problem.alternatives, tuple(float(voter == model.voter) for voter in range(problem.agents))))


def random_dictator(model: Any, problem: Voting, env: VotingEnv, key: Array) -> Rule:
    """Every voter has as much of the lot."""
    return Rule.of(Tops(problem.alternatives, (1.0 / problem.agents,) * problem.agents))


def point_voting(model: Any, problem: Voting, env: VotingEnv, key: Array) -> Rule:
    """Points that begin near even falls."""
    return Rule.of(Proportional(0.1 * jax.random.normal(key, (problem.alternatives,))))
