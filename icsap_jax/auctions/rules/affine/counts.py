"""All deterministic allocations of many items, with a boost for how many of them each bidder gets: b(n_1, …, n_N).

That is an affine maximiser over (N + 1)^M allocations, 1 048 576 for ten items and three bidders, with no more boosts than there are
such vectors, 286. A boost can make a reserve, a discount for bundles, or a premium on selling everything to one; where items are
exchangeable nothing speaks for boosts that tell one item from another.

The highest score is found exactly, by a dynamic programme that hands out one item after the other: D_t(n) is the most that the first t
items bring, n_i of them having gone to bidder i, and the highest score is max_n D_M(n) + b(n). Without bidder i its items are worth as
much as unsold ones, so that D is over the others' counts and the best n_i that is left is added in the end.

While it is trained, every maximum is T·log Σ exp(·/T). By the envelope theorem the slope of the result F in a bidder's value for an item
is the probability with which it gets it, and F − T·∂F/∂T is the mean score: the same means as `maximiser.softly_chosen` takes of a list
(but where a bidder is absent, allocations that differ only in what it is given count once for each number of items).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.auctions.problem import Auction, AuctionEnv, Decision
from icsap_jax.auctions.rules.affine.maximiser import Choice, charged
from icsap_jax.auctions.rules.affine.menus import CHARGE, average_worth, even
from icsap_jax.auctions.rules.networks import unit_of
from icsap_jax.bilevel.ties import largest
from icsap_jax.bilevel.tiles import in_tiles
from icsap_jax.bilevel.types import Array, Rule

NEVER = -1e9  # the score, in units of an item's average value, of what cannot be: finite, so that its slope is 0 and not 0/0
ROWS = 4096  # profiles of which the best is found at once
# Tables of places are int32: jax would keep numpy's int64 as the int32 that it first met it as in training, and mix them when judging.
Reduce = Callable[[Array, int], Array]


@cache
def vectors(agents: int, items: int) -> np.ndarray:
    """How many items each bidder may get, [S, N], at most `items` in all."""
    found = [n for n in product(range(items + 1), repeat=agents) if sum(n) <= items]
    return np.array(found, int).reshape(len(found), agents)


@cache
def steps(agents: int, items: int) -> list[np.ndarray]:
    """For each item t = 1 … M where in `vectors(agents, t − 1)` one comes from, [S_t, N + 1]: by selling it to nobody, or to bidder i.
    What cannot be points behind the last."""
    found = []
    for t in range(1, items + 1):
        place = {tuple(n): s for s, n in enumerate(vectors(agents, t - 1).tolist())}
        sold = np.concatenate([np.zeros((1, agents), int), np.eye(agents, dtype=int)])
        found.append(np.array([[place.get(tuple((n - one).tolist()), len(place)) for one in sold] for n in vectors(agents, t)], np.int32))
    return found


@cache
def completions(agents: int, items: int) -> np.ndarray:
    """Where in `vectors(agents, items)` a vector of the others is with n = 0, 1, … M items for the one who is absent, [S, N, M + 1]."""
    place = {tuple(n): s for s, n in enumerate(vectors(agents, items).tolist())}
    return np.array([[[place.get((*n[:absent], k, *n[absent:]), len(place)) for k in range(items + 1)] for absent in range(agents)]
                     for n in map(tuple, vectors(agents - 1, items).tolist())], np.int32)


class CountBoosts(nnx.Module):
    """Decides by `boosts` [S], one for each of `vectors`; to sell nothing is the first and has none."""

    def __init__(self, problem: Auction, env: AuctionEnv):
        self.problem, self.unit = problem, unit_of(problem, env)
        charges = vectors(problem.agents, problem.items) @ average_worth(problem, env).mean(1)
        self.weights = nnx.Param(jnp.zeros((problem.agents,)))
        self.boosts = nnx.Param(jnp.asarray(-CHARGE * charges[1:], jnp.float32))

    def __call__(self, reports: Array, *, temperature: Array | None = None) -> Decision:
        rows = self.problem.values(reports.reshape(-1, *reports.shape[-2:]))
        weights, boosts = even(self.weights[...]), jnp.pad(self.boosts[...], (1, 0))

        weighted = rows * weights[None, :, None] / self.unit
        choice = chosen(boosts, weighted) if temperature is None else softly_chosen(boosts, weighted, temperature / self.unit)
        decision = charged(choice, weighted, weights / self.unit)
        lead = reports.shape[:-1]
        return Decision(allocation=decision.allocation.reshape(*lead, self.problem.goods), payment=decision.payment.reshape(lead))


def chosen(boosts: Array, weighted: Array) -> Choice:
    """The best allocation for each of R profiles of weighted values [R, N, M]. It is found without slopes; scores then have those of the
    allocations found, in values but not in boosts, as no rule is trained by its best choice."""
    others = _others(weighted)
    best, without, allocation, beside = in_tiles(partial(_found, jax.lax.stop_gradient(boosts)), jax.lax.stop_gradient(weighted), ROWS)
    return Choice(
        allocation=allocation,
        best=best + jnp.einsum("rnm,rnm->r", allocation, weighted - jax.lax.stop_gradient(weighted)),
        without=without + jnp.einsum("rnom,rnom->rn", beside, others - jax.lax.stop_gradient(others)),
    )


def _found(boosts: Array, weighted: Array) -> tuple[Array, ...]:
    """The highest scores with all [R] and without each [R, N]; who gets what [R, N, M], and which of the others without each
    [R, N, N − 1, M]: the slopes of the scores in values."""
    best, slope = jax.vjp(lambda weighted: with_all(boosts, weighted, largest), weighted)
    without, beside = jax.vjp(lambda others: without_each(boosts, others, largest), _others(weighted))
    return best, without, slope(jnp.ones_like(best))[0], beside(jnp.ones_like(without))[0]


def softly_chosen(boosts: Array, weighted: Array, temperature: Array) -> Choice:
    """Means under softmax at a temperature []."""

    def mean(highest: Callable[..., Array], values: Array) -> Array:
        best, entropy = jax.jvp(lambda heat: highest(boosts, values, smoothed(heat)), (temperature,), (jnp.ones_like(temperature),))
        return best - temperature * entropy

    best, slope = jax.vjp(lambda weighted: with_all(boosts, weighted, smoothed(temperature)), weighted)
    return Choice(allocation=slope(jnp.ones_like(best))[0], best=mean(with_all, weighted),
                  without=mean(without_each, _others(weighted)))  # fmt: skip


def smoothed(temperature: Array) -> Reduce:
    """T·log Σ exp(·/T) along an axis; written out, as jax.nn.logsumexp's care for infinities takes twice as long to compile."""

    def highest(values: Array, axis: int) -> Array:
        top = jax.lax.stop_gradient(values).max(axis)
        return top + temperature * jnp.log(jnp.exp((values - jnp.expand_dims(top, axis)) / temperature).sum(axis))

    return highest


def with_all(boosts: Array, weighted: Array, highest: Reduce) -> Array:
    """The highest score [R]; `highest` takes a maximum along an axis."""
    return highest(handed_out(weighted.transpose(2, 1, 0), highest) + boosts[:, None], 0)


def without_each(boosts: Array, others: Array, highest: Reduce) -> Array:
    """The highest score without each bidder [R, N], given the others' values [R, N, N − 1, M]: one programme for all of them, over
    profiles and who is absent."""
    profiles, agents, _, items = others.shape
    most = handed_out(others.transpose(3, 2, 1, 0).reshape(items, agents - 1, agents * profiles), highest)
    left = jnp.pad(boosts, (0, 1), constant_values=NEVER)[completions(agents, items)]
    return highest(most.reshape(-1, agents, profiles) + highest(left, 2)[..., None], 0).T


def _others(weighted: Array) -> Array:
    """For each bidder the values of the others, [R, N, N − 1, M]."""
    agents = weighted.shape[1]
    apart = np.array([[j for j in range(agents) if j != i] for i in range(agents)], np.int32)
    return weighted[:, apart.reshape(agents, agents - 1)]


def handed_out(worth: Array, highest: Reduce) -> Array:
    """The most that items worth [M, N, R] bring by how many go to whom, [S, R]."""
    items, agents, profiles = worth.shape
    most = jnp.zeros((1, profiles), worth.dtype)
    for gain, before in zip(jnp.pad(worth, ((0, 0), (1, 0), (0, 0))), steps(agents, items), strict=True):
        most = highest(jnp.pad(most, ((0, 1), (0, 0)), constant_values=NEVER)[before] + gain[None], 1)
    return most


def affine_by_count(model: Any, problem: Auction, env: AuctionEnv, key: Array) -> Rule:
    """From its model in a problem file."""
    return Rule.of(CountBoosts(problem, env))
