"""Classical rules for two-sided matching, exact, over any number of profiles at once.

    deferred_acceptance    one side proposes, the other keeps the best proposal so far (Gale & Shapley 1962): stable, and nobody of the side
                           that proposes gains by lying (Dubins & Freedman 1981; Roth 1982); of the other some do
    top_trading_cycles     everybody points to whom it likes best of who is left; cycles trade (Shapley & Scarf 1974, Abdulkadiroğlu &
                           Sönmez 2003): the side that trades has nothing to gain by lying, but the other may get partners it did not accept
    random_serial_dictatorship   in a random order agents pick the best who is left; exact probabilities, all orders at once. Of both sides,
                           or of one: nobody gains by lying, as nobody's list decides but in its own turn. If nobody's consent is asked,
                           partners may be unacceptable to those who are picked. If it is asked, whoever refuses the first who picks it
                           leaves and stays single, and who picked goes on to its next best: so whom an agent may have does not depend on
                           what it says, nobody gains by refusing whom it accepts, and nobody gets whom it does not accept

Profiles stand along the last axis here, so that each step of an algorithm is a few operations on long vectors: p and q are [n, n, R],
workers before firms. Where firms propose, workers and firms change places.
"""

from __future__ import annotations

import itertools
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from icsap_jax.bilevel.types import Array, Rule


def deferred_acceptance(p: Array, q: Array) -> Array:
    """The matching [n, n, R], as booleans, that workers propose. In a round every worker proposes to the best firm that has not refused it,
    and every firm refuses all but the best proposal. A round that is not the last refuses somebody, so that there are at most n² + 1."""
    size = p.shape[0]

    def proposals(open_: Array) -> Array:
        wish = jnp.where(open_, p, 0)
        return open_ & (wish == wish.max(1, keepdims=True))

    def refused(open_: Array) -> Array:
        asked = proposals(open_)
        offer = jnp.where(asked, q, 0)
        return open_ & ~(asked & (offer < offer.max(0, keepdims=True)))

    def unfinished(state: tuple[Array, Array, Array]) -> Array:
        before, now, rounds = state
        return jnp.any(before != now) & (rounds <= size * size)

    def again(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        _, now, rounds = state
        return now, refused(now), rounds + 1

    acceptable = (p > 0) & (q > 0)
    _, settled, _ = jax.lax.while_loop(unfinished, again, (jnp.zeros_like(acceptable), acceptable, jnp.zeros((), jnp.int32)))
    return proposals(settled)


def top_trading_cycles(p: Array, q: Array) -> Array:
    """The matching [n, n, R], as booleans, in which everybody points at the best who is left, whoever accepts nobody left at itself, and
    all cycles trade at once. A worker who points at itself leaves; so does everybody in a cycle; n rounds of trade are enough, each with
    those who leave before it."""
    size = p.shape[0]

    def trade(_: int, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        matched, workers, firms = state
        both = workers[:, None] & firms[None]
        wish, offer = (jnp.where(both & (each > 0), each, 0.0) for each in (p, q))
        points = (wish > 0) & (wish == wish.max(1, keepdims=True))
        back = (offer > 0) & (offer == offer.max(0, keepdims=True))
        # Who is in a cycle: who comes back to itself, through a firm and a worker at a time.
        step = _any(points[:, :, None] & back.swapaxes(0, 1)[None], 1)  # worker → worker, [n, n, R]
        reach, walk = step, step
        for _ in range(size - 1):
            walk = _any(walk[:, :, None] & step[None], 1)
            reach = reach | walk
        cycle = jnp.stack([reach[place, place] for place in range(size)])
        traded = points & cycle[:, None]
        return matched | traded, workers & ~cycle & _any(points, 1), firms & ~_any(traded, 0) & _any(back, 0)

    everybody = jnp.ones((size, p.shape[2]), bool)
    # In every round somebody trades or leaves.
    return jax.lax.fori_loop(0, 2 * size, trade, (jnp.zeros(p.shape, bool), everybody, everybody))[0]


def random_serial_dictatorship(p: Array, q: Array, orders: list[tuple[int, ...]], consent: bool = False) -> Array:
    """The probability [n, n, R] of each pair when all `orders` of agents, firms counted after workers, are as likely: each in its turn, if
    nobody picked it before, gets the best it accepts of who is left; with `consent`, of those who accept it, and whom it likes better
    leaves, having refused."""
    size = p.shape[0]
    # By agent, workers before firms: what it thinks of the other side, and whether that would have it, [2n, n, R].
    own = jnp.concatenate([p, q.swapaxes(0, 1)])
    willing = jnp.concatenate([q, p.swapaxes(0, 1)]) > 0 if consent else jnp.ones(own.shape, bool)

    def one(order: Array) -> Array:
        def turn(place: int, state: tuple[Array, Array]) -> tuple[Array, Array]:
            left, picked = state  # [2, n, R], workers before firms; [2n, n, R]
            agent = order[place]
            side = agent // size
            wish = jnp.where(left[1 - side] & left[side, agent % size][None] & (own[agent] > 0), own[agent], 0.0)
            best = jnp.where(willing[agent], wish, 0.0).max(0, keepdims=True)
            gone = (wish > 0) & (wish >= best)
            pick = gone & (wish == best)
            left = left.at[1 - side].set(left[1 - side] & ~gone).at[side, agent % size].set(left[side, agent % size] & ~_any(pick, 0))
            return left, picked.at[agent].set(pick)

        everybody = jnp.ones((2, size, p.shape[2]), bool)
        return jax.lax.fori_loop(0, order.shape[0], turn, (everybody, jnp.zeros(own.shape, bool)))[1]

    def add(total: Array, order: Array) -> tuple[Array, None]:
        return total + one(order), None

    total, _ = jax.lax.scan(add, jnp.zeros(own.shape, p.dtype), jnp.asarray(orders))
    return (total[:size] + total[size:].swapaxes(0, 1)) / len(orders)


def _any(values: Array, axis: int) -> Array:
    """Unrolled: the axis is short, and the last one, of profiles, is long."""
    return reduce(jnp.logical_or, [jax.lax.index_in_dim(values, place, axis, keepdims=False) for place in range(values.shape[axis])])


def in_rows(p: Array, q: Array) -> tuple[Array, Array]:
    """Preferences […, n, n] with all profiles along the last axis, [n, n, R]."""
    size = p.shape[-1]
    return tuple(jnp.moveaxis(each.reshape(-1, size, size), 0, -1) for each in (p, q))  # type: ignore[return-value]


def out_of_rows(matched: Array, like: Array) -> Array:
    """[n, n, R] as `like`, […, n, n]."""
    return jnp.moveaxis(matched, -1, 0).reshape(like.shape).astype(like.dtype)


class Classical(nnx.Module):
    """A rule without parameters: `algorithm` names it, `proposing` the side that proposes, trades or picks; dictators may ask `consent`."""

    def __init__(self, algorithm: str, proposing: str, consent: bool = False):
        self.algorithm, self.proposing, self.consent = algorithm, proposing, consent

    def __call__(self, p: Array, q: Array) -> Array:
        """The matching […, n, n] on preferences p and q."""
        sides = in_rows(p, q)
        firms = self.proposing == "firms"
        if firms:
            sides = sides[1].swapaxes(0, 1), sides[0].swapaxes(0, 1)
        size = p.shape[-1]
        if self.algorithm == "deferred_acceptance":
            found = deferred_acceptance(*sides)
        elif self.algorithm == "top_trading_cycles":
            found = top_trading_cycles(*sides)
        else:
            found = random_serial_dictatorship(*sides, orders_of(size, self.proposing), self.consent)
        return out_of_rows(found.swapaxes(0, 1) if firms else found, p)


def orders_of(size: int, proposing: str) -> list[tuple[int, ...]]:
    """All orders of those who pick: of one side, or of both."""
    return list(itertools.permutations(range(2 * size if proposing == "both" else size)))


def rule(model: Any, problem: Any, env: Any, key: Any) -> Rule:
    """From its model in a problem file."""
    return Rule.of(Classical(model.kind, model.proposing, getattr(model, "consent", False)))
