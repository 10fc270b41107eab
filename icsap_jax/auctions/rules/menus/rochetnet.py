"""RochetNet (Dütting, Feng, Narasimhan, Parkes & Ravindranath 2019, section 3): a learned menu for one bidder.

K entries, each a lottery over what there is and a price, and always nothing at 0. The bidder's utility max(0, max_k x_k·v − p_k) is
convex in its type, which is what being strategyproof means for one bidder (Rochet 1987, proposition 2). In use the bidder gets the
entry it likes best; while it is trained, a softmax over what the entries are worth to it.

A menu starts from a convex utility: entry k is the tangent at a type drawn from the prior, so that every entry is the favourite of the
types around it and none is dead. The paper's start is random.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from icsap_jax.auctions.problem import Auction, AuctionEnv, Decision
from icsap_jax.auctions.rules.networks import unit_of
from icsap_jax.auctions.rules.shares import Shares
from icsap_jax.bilevel.types import Array, Rule

AT_ONCE = 1024  # entries compared in one matrix product; a longer menu is gone through piece by piece
JITTER = 0.1  # of the values' spread: types that a discrete prior repeats give entries that differ


class Menu(nnx.Module):
    """Reports […, 1, T] to a Decision. Lotteries from `logits` [K, G], a sigmoid each for additive values and else a softmax over goods
    and nothing; prices from `raw` [K], unit·softplus, so that they are never negative."""

    def __init__(self, problem: Auction, shares: Shares, logits: Array, prices: Array, unit: float):
        self.problem, self.shares, self.unit = problem, shares, unit
        self.logits = nnx.Param(logits)
        self.raw = nnx.Param(_softplus_inverse(prices / unit))

    def entries(self) -> tuple[Array, Array]:
        """Lotteries [K, G] and prices [K]; nothing at 0 is not among them."""
        lotteries = _lotteries(self.problem, self.logits[...])
        return self.shares.even(lotteries[:, None])[:, 0], self.unit * jax.nn.softplus(self.raw[...])

    def __call__(self, reports: Array, temperature: Array | None = None) -> Decision:
        lead = reports.shape[:-2]
        values = self.problem.values(reports.reshape(-1, *reports.shape[-2:]))[:, 0]
        allocation, payment = self.offer(values, temperature)
        return Decision(allocation=allocation.reshape(*lead, 1, -1), payment=payment.reshape(*lead, 1))

    def offer(self, values: Array, temperature: Array | None) -> tuple[Array, Array]:
        """What bidders with these values of the goods [R, G] get [R, G] and pay [R]."""
        lotteries, prices = self.entries()
        if temperature is None:
            return chosen(values, lotteries, prices)
        return chosen_softly(values, lotteries, prices, temperature)


class SymmetricMenu(Menu):
    """The same for items that may change places. An entry stands for all its permutations: of these a bidder likes best the one that
    gives the larger probability of the item it values more (the rearrangement inequality), so that it is enough to compare lotteries
    sorted alike with values sorted alike, and to give back what is picked in the order of the values."""

    def entries(self) -> tuple[Array, Array]:
        """Lotteries [K, M], the largest probability first, and prices [K]."""
        lotteries, prices = super().entries()
        # Where the rule is compiled with its numbers as constants, sorting them there takes the compiler seconds.
        return -jnp.sort(-jax.lax.optimization_barrier(lotteries), axis=1), prices

    def offer(self, values: Array, temperature: Array | None) -> tuple[Array, Array]:
        """What bidders with these values of the items [R, M] get [R, M] and pay [R]."""
        order = jnp.argsort(-values, axis=1)
        allocation, payment = super().offer(jnp.take_along_axis(values, order, 1), temperature)
        return jnp.take_along_axis(allocation, jnp.argsort(order, axis=1), 1), payment


def chosen(values: Array, lotteries: Array, prices: Array) -> tuple[Array, Array]:
    """The entry each bidder likes best, or nothing: allocations [R, G] and payments [R]. Of entries that tie, the first; an entry that
    is worth its price is bought."""
    size = min(AT_ONCE, len(prices))
    starts = jnp.minimum(jnp.arange(0, len(prices), size), len(prices) - size)  # the last piece overlaps the one before

    def compare(seen: tuple[Array, Array], start: Array) -> tuple[tuple[Array, Array], None]:
        most, place = seen
        offers, asked = (jax.lax.dynamic_slice_in_dim(each, start, size) for each in (lotteries, prices))
        gain = jax.lax.stop_gradient(values @ offers.T - asked[None])
        first = jnp.argmax(gain, 1)
        here = jnp.take_along_axis(gain, first[:, None], 1)[:, 0]
        return (jnp.maximum(most, here), jnp.where(here > most, first.astype(jnp.int32) + start, place)), None

    none = (jnp.full_like(values[:, 0], -jnp.inf), jnp.zeros_like(values[:, 0], jnp.int32))
    (most, place), _ = jax.lax.scan(compare, none, starts.astype(jnp.int32))
    buys = most >= 0
    return jnp.where(buys[:, None], lotteries[place], 0.0), jnp.where(buys, prices[place], 0.0)


def chosen_softly(values: Array, lotteries: Array, prices: Array, temperature: Array) -> tuple[Array, Array]:
    """The mean over a softmax of what the entries and nothing are worth: allocations [R, G] and payments [R]."""
    temperature = jnp.asarray(temperature, values.dtype)
    worth = (values / temperature) @ lotteries.T - (prices / temperature)[None]
    most = jax.lax.stop_gradient(jnp.maximum(worth.max(1, keepdims=True), 0.0))
    odds = jnp.exp(worth - most)
    received = odds @ jnp.concatenate([lotteries, prices[:, None], jnp.ones_like(prices)[:, None]], 1)
    received = received[:, :-1] / (received[:, -1:] + jnp.exp(-most))
    return received[:, :-1], received[:, -1]


def rochetnet(model: Any, problem: Auction, env: AuctionEnv, key: Array) -> Rule:
    """A fresh menu for the auction: tangents of a convex utility at types from the prior."""
    draw_key, jitter_key = jax.random.split(key)
    values = problem.values(problem.draw(env, draw_key, model.menu_size).types)[:, 0]
    spread = jnp.where(values.std(0) > 0, values.std(0), 1.0)
    values = values + JITTER * spread[None] * jax.random.normal(jitter_key, values.shape, values.dtype)
    logits, prices = _tangents(problem, values, values.mean(0), spread / 2)
    return Rule.of((SymmetricMenu if model.symmetric else Menu)(problem, Shares(problem, env), logits, prices, unit_of(problem, env)))


def _tangents(problem: Auction, values: Array, centre: Array, width: Array) -> tuple[Array, Array]:
    """Logits [K, G] and prices [K] of the tangents at `values` [K, G] of the convex utility whose slope is a sigmoid of each value, or a
    softmax of all and nothing, moved so that it is zero at values of zero: then no price is negative."""
    width = width if problem.valuation == "additive" else jnp.broadcast_to(width.mean(), width.shape)

    def utility(values: Array) -> Array:
        scores = (values - centre[None]) / width[None]
        if problem.valuation == "additive":
            return jax.nn.softplus(scores) @ width
        return jax.nn.logsumexp(jnp.pad(scores, ((0, 0), (0, 1))), 1) * width[0]

    logits = (values - centre[None]) / width[None]
    gain = utility(values) - utility(jnp.zeros_like(values[:1]))
    return logits, jnp.maximum((_lotteries(problem, logits) * values).sum(1) - gain, 1e-3 * width.mean())


def _lotteries(problem: Auction, logits: Array) -> Array:
    """Feasible lotteries [K, G] for one bidder."""
    if problem.valuation == "additive":
        return jax.nn.sigmoid(logits)
    return jax.nn.softmax(jnp.pad(logits, ((0, 0), (0, 1))), 1)[:, :-1]


def _softplus_inverse(numbers: Array) -> Array:
    """The x of which log(1 + eˣ) is each of `numbers` > 0."""
    return numbers + jnp.log(-jnp.expm1(-numbers))
