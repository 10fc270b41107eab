"""What prices do over whole cells, and how little they must change so that nothing is given twice. Everything here is exact, in float64.

Axes: C cells of a bidder, L menus (profiles of the others' cells), K entries with nothing first, M items. Prices are [L, K], `most`
[C, K, K] is the largest of u_k − u_l over a cell before prices, and a set of items is the sum of 2^j over its items j.

An entry k may be somebody's favourite in a cell unless another, l, is better everywhere in it: p_k − p_l > most_kl. Being better
everywhere is transitive, so that where only some items may be taken in a cell, every other entry must be beaten there by one of those
that may be: p_k ≥ min_l (p_l + most_kl) over these. Such bounds rise with prices; going up from given prices until they hold gives the
least prices that do, all at once: what a mixed-integer programme over prices and over who beats whom would find (a test says so).
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.types import Array

FIRM = 0.5  # of the margin: what raised prices keep, and rounding of prices to float32 must leave

PATIENCE = 20  # rounds in which prices may drive each other up; where cells do not contradict each other, a few are enough


def items_of(entries: np.ndarray) -> tuple[int, ...]:
    """The set of items of each entry [K, M]."""
    return tuple(int(each) for each in entries @ (1 << np.arange(entries.shape[1])))


@partial(jax.jit, static_argnames="sets")
def raised(prices: Array, may: Array, most: Array, margin: Array, sets: tuple[int, ...]) -> Array:
    """The least prices [L, K], none below `prices`, at which nobody in a cell takes more than it `may` there, sets of items [C, L]. Where
    they are still rising after PATIENCE rounds, because two cells that touch ask for opposite things at their common border, the entry's
    price goes to where nobody who may not take it would want it: higher than it need be, and as certain."""
    allowed = (jnp.asarray(sets)[None, None] & ~may[..., None]) == 0  # [C, L, K]

    def bound(prices: Array) -> Array:
        beaten = [jnp.where(allowed, prices[None] + most[:, None, k], jnp.inf).min(-1) for k in range(len(sets))]
        return jnp.where(allowed, -jnp.inf, jnp.stack(beaten, -1) + margin).max(0)

    unwanted = jnp.where(allowed, -jnp.inf, most[:, None, :, 0] + margin).max(0)

    def rise(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        now, _, count = state
        higher = bound(now)
        rising = higher > now
        return jnp.where(rising, jnp.where(count < PATIENCE, higher, unwanted), now), rising.any(), count + 1

    return jax.lax.while_loop(lambda state: state[1], rise, (prices, jnp.array(True), jnp.array(0, jnp.int32)))[0]


@partial(jax.jit, static_argnames="sets")
def taken(prices: Array, most: Array, margin: Array, sets: tuple[int, ...]) -> Array:
    """All items that anybody in a cell might take from a menu, as sets [C, L]: those of entries that no other beats everywhere."""
    found = jnp.zeros((most.shape[0], prices.shape[0]), jnp.int32)
    for k, items in enumerate(sets):
        beaten = (prices[None, :, k, None] - prices[None] > most[:, None, k] + FIRM * margin).any(-1)
        found = found | jnp.where(beaten, 0, items)
    return found


@partial(jax.jit, static_argnames=("sets", "items"))
def eagerness(prices: Array, most: Array, sets: tuple[int, ...], items: int) -> Array:
    """By how much, at best, somebody in a cell likes its favourite with an item better than its favourite without it, [C, L, M]."""
    lead = [most[:, None, k] + prices[None] - prices[None, :, k, None] for k in range(len(sets))]  # of each k over each l, [C, L, K]
    found = []
    for item in range(items):
        without = jnp.asarray([entry for entry, each in enumerate(sets) if not each >> item & 1])
        found.append(jnp.stack([lead[k][..., without].min(-1) for k, each in enumerate(sets) if each >> item & 1]).max(0))
    return jnp.stack(found, -1)


@jax.jit
def earned(prices: Array, values: Array) -> Array:
    """What each menu earns on average, [L], from bidders who value the entries at `values` [S, K]."""
    best = jnp.broadcast_to(values[:, :1] - prices[None, :, 0], (values.shape[0], prices.shape[0]))
    paid = jnp.broadcast_to(prices[None, :, 0], best.shape)
    for k in range(1, prices.shape[1]):
        gain = values[:, k, None] - prices[None, :, k]
        paid, best = jnp.where(gain > best, prices[None, :, k], paid), jnp.maximum(gain, best)
    return paid.mean(0)


@partial(jax.jit, static_argnames="sets")
def improved(prices: Array, may: Array, most: Array, margin: Array, values: Array, moves: Array, sets: tuple[int, ...]) -> Array:
    """Prices [L, K] that earn no less from bidders who value the entries at `values` [S, K], and at which they take no more than they
    `may`: every menu tries each of `moves` [T, K] in turn, raised to what is allowed, and keeps what earns more."""
    prices = raised(prices, may, most, margin, sets)

    def attempt(state: tuple[Array, Array], move: Array) -> tuple[tuple[Array, Array], None]:
        kept, worth = state
        tried = raised(jnp.maximum(kept + move[None], 0.0), may, most, margin, sets)
        gain = earned(tried, values)
        better = gain > worth
        return (jnp.where(better[:, None], tried, kept), jnp.where(better, gain, worth)), None

    return jax.lax.scan(attempt, (prices, earned(prices, values)), moves)[0][0]
