"""Affine maximisers (Roberts 1979): of a menu of allocations the one of most weighted welfare and boost, and what that costs the others.

With weights w_i > 0 and a boost b_k for each of K allocations, score(k) = Σ_i w_i·v_i(k) + b_k. The allocation of highest score is chosen,
and bidder i pays in its own units what its presence costs the others,

    payment_i = (1/w_i)·(max_l [score(l) − w_i·v_i(l)] − [score(k) − w_i·v_i(k)]).

To sell nothing, at score 0, is in every menu and is not listed. Truth is a dominant strategy, because what i gains is its share of the
highest score, less what it cannot change; and as values are ≥ 0 the score with i is never below the score without, so that nobody loses.

While a menu is trained its choices are softmaxes at a temperature, with and without each bidder, and both terms of the payment are their
means (Curry, Sandholm & Dickerson 2023, section 4). Nothing of size profiles × K is held at once where that is much: blocks of the menu
are scanned with running maxima and sums, and computed again for the slope.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.tree_util import register_dataclass

from icsap_jax.auctions.problem import Auction, Decision
from icsap_jax.bilevel.types import Array

SCORES = 2**24  # scores held at once (bidders + 1, profiles, block of the menu): 64 MiB in float32
PROFILES = 4096  # taken to be decided at once where a rule is compiled for any number of them
NEVER = -1e30  # the boost of what only fills up the last block: finite, so that 0 times it is 0


@register_dataclass
@dataclass(frozen=True)
class Menu:
    """`allocation` [K, N, G], feasible, without "nothing sold"; `weights` [N] > 0, 1 on average, so that scores are in the units of
    values; `boosts` [K]."""

    allocation: Array
    weights: Array
    boosts: Array


@register_dataclass
@dataclass(frozen=True)
class Choice:
    """Of R profiles: the `allocation` [R, N, G], its score `best` [R], and the highest score `without` [R, N] each bidder."""

    allocation: Array
    best: Array
    without: Array


class AffineMaximiser(nnx.Module):
    """Decides by its `menu()`, whatever that is made of, which no report can change; reports […, N, T]."""

    problem: Auction
    menu: Callable[..., Menu]

    def __call__(self, reports: Array, *, temperature: Array | None = None) -> Decision:
        return self.by(self.menu(), reports, temperature)

    def by(self, menu: Menu, reports: Array, temperature: Array | None) -> Decision:
        """The decision by one menu for all reports."""
        lead = reports.shape[:-1]
        decision = decided(menu, self.problem.values(reports.reshape(-1, *reports.shape[-2:])), temperature)
        return Decision(allocation=decision.allocation.reshape(*lead, self.problem.goods), payment=decision.payment.reshape(lead))


def decided(menu: Menu, values: Array, temperature: Array | None = None, scores: int = SCORES) -> Decision:
    """Allocation and payments on values of the goods [R, N, G], by softmax where there is a temperature; so many `scores` are held at
    once."""
    weighted = values * menu.weights[None, :, None]
    choice = chosen(menu, weighted, scores) if temperature is None else softly_chosen(menu, weighted, temperature, scores)
    return charged(choice, weighted, menu.weights)


def charged(choice: Choice, weighted: Array, weights: Array) -> Decision:
    """The decision at a choice, payments as above, given weighted values [R, N, G]."""
    mine = jnp.einsum("rng,rng->rn", choice.allocation, weighted)
    return Decision(allocation=choice.allocation, payment=(choice.without - (choice.best[:, None] - mine)) / weights[None])


def chosen(menu: Menu, weighted: Array, scores: int = SCORES) -> Choice:
    """The best of the menu. Where the maxima are is found block by block; their scores are then computed at those places, so that they
    have slopes (the envelope theorem) and nothing of the search is kept for them."""
    fixed, still = jax.lax.stop_gradient((menu, weighted))
    profiles, agents = weighted.shape[:2]

    def better(found: tuple[Array, Array], block: _Block) -> tuple[tuple[Array, Array], None]:
        best, place = found
        score = _scores(block, still)
        top = score.max(-1)
        return (jnp.maximum(best, top), jnp.where(top > best, block.first + score.argmax(-1), place)), None

    nothing = jnp.zeros((agents + 1, profiles), weighted.dtype), jnp.full((agents + 1, profiles), -1)
    _, place = _scan(better, nothing, fixed, profiles, scores)
    sold = (place >= 0).astype(weighted.dtype)
    place = jnp.maximum(place, 0)
    allocation = menu.allocation[place] * sold[..., None, None]  # [N + 1, R, N, G]
    welfare = jnp.einsum("arng,rng->arn", allocation, weighted)
    present = 1.0 - jnp.eye(agents + 1, agents, k=-1, dtype=weighted.dtype)  # all bidders, then without each
    score = jnp.einsum("arn,an->ar", welfare, present) + menu.boosts[place] * sold
    return Choice(allocation=allocation[0], best=score[0], without=score[1:].T)


def softly_chosen(menu: Menu, weighted: Array, temperature: Array, scores: int = SCORES) -> Choice:
    """Means under softmax(score / temperature): with all bidders, and without each."""
    profiles, agents, goods = weighted.shape

    def added(sums: tuple[Array, ...], block: _Block) -> tuple[tuple[Array, ...], None]:
        top, mass, mean, given = sums
        score = _scores(block, weighted)
        higher = jnp.maximum(top, jax.lax.stop_gradient(score).max(-1))
        kept, share = jnp.exp((top - higher) / temperature), jnp.exp((score - higher[..., None]) / temperature)
        given = kept[0][:, None] * given + share[0] @ block.allocation.reshape(-1, agents * goods)
        return (higher, kept * mass + share.sum(-1), kept * mean + (share * score).sum(-1), given), None

    nothing = jnp.zeros((agents + 1, profiles), weighted.dtype)
    start = nothing, jnp.ones_like(nothing), nothing, jnp.zeros((profiles, agents * goods), weighted.dtype)
    _, mass, mean, given = _scan(added, start, menu, profiles, scores)
    score = mean / mass
    return Choice(allocation=(given / mass[0][:, None]).reshape(weighted.shape), best=score[0], without=score[1:].T)


@register_dataclass
@dataclass(frozen=True)
class _Block:
    """Part of a menu: `allocation` [k, N, G], `boosts` [k], and the place of its `first` entry, []."""

    allocation: Array
    boosts: Array
    first: Array


def _scan(step: Callable[[Any, _Block], tuple[Any, None]], start: Any, menu: Menu, profiles: int, scores: int) -> Any:
    """`step` taken over the menu, all at once or in as few blocks as `scores` allow."""
    entries, agents = menu.allocation.shape[:2]
    profiles = profiles if isinstance(profiles, int) else PROFILES
    blocks = max(1, -(-entries * (agents + 1) * profiles // scores))
    size = -(-entries // blocks)
    if size == entries:
        return step(start, _Block(menu.allocation, menu.boosts, jnp.zeros((), int)))[0]
    blocks = -(-entries // size)
    missing = blocks * size - entries
    allocation = jnp.pad(menu.allocation, ((0, missing), (0, 0), (0, 0))).reshape(blocks, size, *menu.allocation.shape[1:])
    boosts = jnp.pad(menu.boosts, (0, missing), constant_values=NEVER).reshape(blocks, size)
    return jax.lax.scan(jax.checkpoint(step), start, _Block(allocation, boosts, size * jnp.arange(blocks)))[0]


def _scores(block: _Block, weighted: Array) -> Array:
    """Scores [N + 1, R, k]: with all bidders, then without each."""
    mine = jnp.einsum("rng,kng->nrk", weighted, block.allocation)
    total = mine.sum(0) + block.boosts[None]
    return jnp.concatenate([total[None], total[None] - mine])
