"""RegretFormer (Ivanov, Safiulin, Filippov & Balabaeva 2022, section 3.1): attention between the items of a bidder and between the
bidders for an item.

An exchangeable layer turns each entry of the reports into features. Every block lets the entries of each bidder attend to each other,
and the entries of each item, puts both beside each other, and adds what a linear layer makes of them. In the end a bidder and an item
are the means of their entries' features, each through a linear map of its own; the score of a pair is their product, that of nobody for
an item minus the sum of all bidders' for it; a bidder pays a share of the reported value of what it gets. Parameters know neither the
number of bidders nor of items. Each attention has a layer normalisation before it and its input added after it. The loss of the same
paper, which meets a regret budget, is the lagrangian `budget`.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from icsap_jax.auctions.problem import Auction, AuctionEnv, Decision
from icsap_jax.auctions.rules.attention import attended
from icsap_jax.auctions.rules.networks import Support, support_of
from icsap_jax.auctions.rules.regret.exchangeable import TOLD, Exchangeable, Told, beside_nobody
from icsap_jax.auctions.rules.shares import Shares
from icsap_jax.bilevel.types import Array, Rule


class Attention(nnx.Module):
    """Self-attention with `heads` of `width` numbers among the rows of sequences [..., L, C], added to what came in."""

    def __init__(self, channels: int, heads: int, width: int, rngs: nnx.Rngs):
        self.heads = heads
        self.normal = nnx.LayerNorm(channels, rngs=rngs)
        self.asked = nnx.Linear(channels, 3 * heads * width, use_bias=False, rngs=rngs)
        self.answer = nnx.Linear(heads * width, channels, use_bias=False, rngs=rngs)

    def __call__(self, sequences: Array) -> Array:
        return sequences + self.answer(attended(self.asked(self.normal(sequences)), self.heads))


class Block(nnx.Module):
    """Entries [R, N, M, C] after each has attended to the rest of its bidder's and of its item's."""

    def __init__(self, channels: int, heads: int, width: int, rngs: nnx.Rngs):
        self.items, self.bidders = (Attention(channels, heads, width, rngs) for _ in range(2))
        self.both = nnx.Linear(2 * channels, channels, rngs=rngs)

    def __call__(self, entries: Array) -> Array:
        across_bidders = self.bidders(entries.swapaxes(1, 2)).swapaxes(1, 2)
        return entries + self.both(jnp.tanh(jnp.concatenate([self.items(entries), across_bidders], -1)))


class RegretFormer(nnx.Module):
    """Additive bidders as published; with unit demand a second pair of maps says how much an item is liked."""

    def __init__(self, problem: Auction, shares: Shares, support: Support, model: Any, rngs: nnx.Rngs):
        self.problem, self.shares, self.told = problem, shares, Told(support)
        channels = self.channels = model.channels
        self.first = Exchangeable(TOLD, channels, rngs)
        self.blocks = nnx.List([Block(channels, model.heads, model.head_width, rngs) for _ in range(model.blocks)])
        self.normal = nnx.LayerNorm(channels, rngs=rngs)
        pairs = 2 if problem.valuation == "unit_demand" else 1
        self.of_bidder, self.of_item = (
            nnx.List([nnx.Linear(channels, channels, use_bias=False, rngs=rngs) for _ in range(pairs)]) for _ in range(2))
        self.charged = nnx.Linear(channels, 1, rngs=rngs)

    def __call__(self, reports: Array) -> Decision:
        values = reports.reshape(-1, *reports.shape[-2:])
        entries = jnp.tanh(self.first(self.told(values)))
        for block in self.blocks:
            entries = jnp.tanh(block(entries))
        entries = self.normal(entries)
        bidders, items = entries.mean(2), entries.mean(1)  # [R, N, C], [R, M, C]
        scores = [
            jnp.einsum("rnc,rmc->rnm", ours(bidders), theirs(items)) / self.channels**0.5
            for ours, theirs in zip(self.of_bidder, self.of_item, strict=True)
        ]  # fmt: skip
        wanted, liked = scores[0], scores[-1]
        allocation = self.shares(beside_nobody(self.problem, wanted, -wanted.sum(1), liked, -liked.sum(2)))
        share = jax.nn.sigmoid(self.charged(self.of_bidder[0](bidders))[..., 0])
        payment = share * jnp.einsum("rnm,rnm->rn", allocation, values)
        return Decision(allocation=allocation.reshape(reports.shape), payment=payment.reshape(reports.shape[:-1]))


def regretformer(model: Any, problem: Auction, env: AuctionEnv, key: Array) -> Rule:
    """A freshly initialised RegretFormer for the auction."""
    return Rule.of(RegretFormer(problem, Shares(problem, env), support_of(problem, env), model, nnx.Rngs(key)))
