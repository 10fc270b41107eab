"""CITransNet (Duan, Tang, Yin, Feng, Yan, Zaheer & Deng 2022): an auction as a grid of bidders × items, each cell of which knows its
bid and both contexts, read by layers of attention along its rows and columns. No number of it belongs to a bidder or an item, so that
who bids and what is sold may be in any order, and of any number.

A cell begins as what a small network makes of (bid, context of the bidder, context of the item), the bid beside it. A layer (`attention`)
gives each cell what it learns among the bidder's cells, among the item's, and the mean of all, put together by a perceptron. The last says
three numbers of a cell: who of the bidders gets the item (softmax), with what probability (sigmoid), and, averaged over items, the
share of its value that the bidder pays. Of unit-demand bidders a fourth says which item each wants most.

Beside what is published, a cell may be told (`informed`) what its context says of its value: the bounds and the mean, and the bid as a
place between them. The designer knows the prior; a network that has to learn x · y from examples learns that first, and slowly.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from icsap_jax.auctions.contexts import Asked, Known
from icsap_jax.auctions.problem import Auction, AuctionEnv, Decision
from icsap_jax.auctions.rules.attention import Crossed
from icsap_jax.auctions.rules.networks import Contexts, Perceptron, Support, support_of
from icsap_jax.bilevel.types import Array, Rule


class CITransNet(nnx.Module):
    """See the module. `asked`: with what; `known` tells what contexts say of values, None where that is left to be learned."""

    def __init__(self, problem: Auction, support: Support, asked: Asked, contexts: Contexts, known: Known | None, model: Any,
                 rngs: nnx.Rngs):  # fmt: skip
        self.problem, self.asked, self.known, self.contexts = problem, asked, known, contexts
        low, high = (bound[:, : problem.items] for bound in support)
        self.low, self.span = float(low.min()), float(max(high.max() - low.min(), 1e-12))
        told = 1 + 2 * contexts.size + (0 if known is None else 4)
        self.first = Perceptron(told, [model.width], model.width - 1, "relu", rngs)
        channels = 3 if problem.valuation == "additive" else 4
        outputs = [model.width] * (model.layers - 1) + [channels]
        self.layers = nnx.List([Crossed(model.width, model.heads, count, rngs) for count in outputs])

    def __call__(self, reports: Array, bidders: Array | None = None, items: Array | None = None) -> Decision:
        self.asked.require(reports, bidders, items)
        lead, agents, goods = reports.shape[:-2], reports.shape[-2], self.problem.items
        bids = reports[..., :goods]
        if bidders is None or items is None:
            bidders, items = jnp.arange(agents), jnp.arange(goods)
        cells = self.cells(bids, bidders, items)
        rows = cells.reshape(-1, *cells.shape[-3:])
        for layer in self.layers:
            rows = layer(rows)
        said = jnp.moveaxis(rows, -1, 0).reshape(rows.shape[-1], *lead, agents, goods)
        allocation = jax.nn.softmax(said[0], axis=-2) * jax.nn.sigmoid(said[1])
        if self.problem.valuation == "unit_demand":
            wanted = jnp.concatenate([said[3], jnp.zeros_like(said[3][..., :1])], -1)
            allocation = jnp.minimum(allocation, jax.nn.softmax(wanted, axis=-1)[..., :-1])
        payment = jax.nn.sigmoid(said[2].mean(-1)) * jnp.einsum("...nm,...nm->...n", allocation, bids)
        return self.problem.affordable(reports, Decision(allocation=allocation, payment=payment))

    def cells(self, bids: Array, bidders: Array, items: Array) -> Array:
        """What each cell begins with, […, N, M, width], given bids […, N, M]. Contexts may have fewer leading axes than bids."""
        of_bidders, of_items = (each.astype(bids.dtype) for each in self.contexts(bidders, items))
        shape = (*of_bidders.shape[:-1], of_items.shape[-2])
        public = [jnp.broadcast_to(of_bidders[..., :, None, :], (*shape, self.contexts.size)),
                  jnp.broadcast_to(of_items[..., None, :, :], (*shape, self.contexts.size))]  # fmt: skip
        scaled = (bids - self.low) / self.span
        private = [scaled]
        if self.known is not None:
            low, high, mean = self.known((bidders, items), bids.dtype)
            public.append(jnp.stack([(each - self.low) / self.span for each in (low, high, mean)], -1))
            private.append((bids - _beside(low, bids)) / _beside(jnp.where(high > low, high - low, 1.0), bids))
        beside = jnp.concatenate(public, -1)
        beside = jnp.broadcast_to(beside, (*bids.shape, beside.shape[-1]))
        made = self.first(jnp.concatenate([jnp.stack(private, -1), beside], -1))
        return jnp.concatenate([private[-1][..., None], made], -1)


def _beside(numbers: Array, bids: Array) -> Array:
    return jnp.broadcast_to(numbers, bids.shape)


def citransnet(model: Any, problem: Auction, env: AuctionEnv, key: Array) -> Rule:
    """A freshly initialised CITransNet for the auction."""
    rngs = nnx.Rngs(key)
    known = None
    if env.contexts is not None and model.informed:
        with jax.ensure_compile_time_eval():
            known = env.contexts.known(env.prior)
    contexts = Contexts(problem, env, model.embedding, rngs)
    asked = Asked.by(env.contexts, problem.items, problem.items + problem.budgets)
    return Rule.of(CITransNet(problem, support_of(problem, env), asked, contexts, known, model, rngs))
