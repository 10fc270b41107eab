"""A network that divides any cake.

It keeps `width` numbers for each agent's opinion of each piece, and in each round adds to them what it makes of them, of their means over
the agents, over the pieces and over both (the exchangeable layer of Hartford et al. 2018: whatever the order of agents and pieces, the
same comes out), and of where the division stands: the shares, what everybody gets from them, and how much of a piece's worth to whoever
wants it most, by its need, each agent offers. Fractions of a piece, which most best divisions have a few of, must be just right; that is
what the rounds are for.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.division.family.problem import CakeFamily
from icsap_jax.division.problem import Division

TINY = 1e-6
SEEN = 7  # numbers that tell where the division stands


class Dividing(nnx.Module):
    """Reports […, N, P] to shares of the same shape. The weights of all rounds are stacked, [rounds, …], so that one round is compiled
    for all of them."""

    def __init__(self, width: int, rounds: int, key: Array):
        wide = 4 * width + SEEN
        drawn = jax.random.normal(key, (rounds, wide + width + 1, width))  # all at once: every call would be compiled for itself
        self.inner = nnx.Param(drawn[:, :wide] * (2 / wide) ** 0.5)
        self.outer = nnx.Param(drawn[:, wide:-1] * (0.1 / width) ** 0.5)
        self.shift = nnx.Param(jnp.zeros((rounds, 2, width)))  # of the inner and of the outer layer
        self.correction = nnx.Param(0.02 * drawn[:, -1])
        self.taste = nnx.Param(jnp.ones(()))  # how much the logarithm of a taste counts in the first division

    def __call__(self, reports: Array) -> Division:
        rows = reports.reshape(-1, *reports.shape[-2:])
        values = (rows + TINY) / (rows + TINY).sum(-1, keepdims=True)
        known = jnp.log(values * values.shape[-1] + 1e-3)

        def turn(carry: tuple[Array, Array], weights: tuple[Array, ...]) -> tuple[tuple[Array, Array], None]:
            opinions, scores = carry
            inner, outer, shift, correction = weights
            stands = standing(values, known, scores)
            means = [jnp.broadcast_to(opinions.mean(axes, keepdims=True), opinions.shape) for axes in (1, 2, (1, 2))]
            hidden = jax.nn.relu(jnp.concatenate([opinions, *means, stands], axis=-1) @ inner + _wide(shift[0]))
            opinions = opinions + hidden @ outer + _wide(shift[1])
            return (opinions, scores + opinions @ correction), None

        scores = self.taste[...] * known
        begin = jnp.zeros((*scores.shape, self.inner.shape[-1]), scores.dtype), scores
        weights = self.inner[...], self.outer[...], self.shift[...], self.correction[...]
        (_, scores), _ = jax.lax.scan(turn, begin, weights)
        return Division(jax.nn.softmax(scores, axis=1).reshape(reports.shape))


def _wide(shift: Array) -> Array:
    """[width] beside [R, N, P, width]."""
    return shift[None, None, None]


def standing(values: Array, known: Array, scores: Array) -> Array:
    """Where a division by `scores` stands, [R, N, P, SEEN]: tastes and their logarithms, scores, shares, what everybody gets and how far
    that is from the mean, and how near each agent comes to the highest offer for the piece, worth over what it has."""
    shares = jax.nn.softmax(scores, axis=1)
    gets = (values * shares).sum(-1, keepdims=True)
    offers = known - jnp.log(gets + 1e-3)
    away = jnp.log(gets + 1e-3) - jnp.log(gets.mean(1, keepdims=True) + 1e-3)
    behind = jnp.clip(offers - offers.max(1, keepdims=True), -4.0, 0.0)
    level = jnp.clip(scores - scores.mean(1, keepdims=True), -20.0, 20.0) / 5
    told = [values * values.shape[-1], known / 3, level, shares, gets * gets.shape[1], 5 * away, behind]
    return jnp.stack([jnp.broadcast_to(each, values.shape) for each in told], axis=-1)


def division_rule(model: Any, problem: CakeFamily, env: Any, key: Array) -> Rule:
    """A fresh network."""
    return Rule.of(Dividing(model.width, model.rounds, key))
