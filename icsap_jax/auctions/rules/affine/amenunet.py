"""AMenuNet (Duan, Sun, Chen & Deng 2023, section 4): a transformer over pairs of bidder and item writes an affine maximiser's menu.

Every bidder, "nobody" among them, and every item has a context: what is seen of it, or where nothing is, what is learned of it. Pairs of
them, [N + 1, M], go through layers in each of which a pair attends to the same bidder's other items, to the same item's other bidders,
and to the mean of all (`attention`). Each pair ends with K scores, whose softmax over bidders is the K lotteries, with K contributions to
the boosts, and a bidder with its weight. No report enters, so that whatever it writes is strategyproof. Where nothing is seen there is
one menu, written once.

From the paper's network this one differs in three things. Boosts start from a charge for what is sold, as a reserve would be, and the
perceptron that mixes them is no wider than the other layers (K × K numbers, twice, would be nine in ten of all there are). Weights are
softmaxes, 1 on average, instead of sigmoids: only ratios matter. Where values are not additive, a second K scores of each pair say how
much a bidder wants it (unit demand), or wants both items together.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from icsap_jax.auctions.problem import Auction, AuctionEnv, Decision
from icsap_jax.auctions.rules.affine.maximiser import AffineMaximiser, Menu, decided
from icsap_jax.auctions.rules.affine.menus import CHARGE, average_worth, even
from icsap_jax.auctions.rules.attention import Crossed
from icsap_jax.auctions.rules.networks import Contexts, Perceptron, unit_of
from icsap_jax.auctions.rules.shares import Shares
from icsap_jax.bilevel.types import Array, Rule

SHARPNESS = 10.0  # of the softmax over bidders, as published


class AMenuNet(AffineMaximiser):
    """Writes K lotteries, boosts and weights from contexts of bidders and items, or from what stands for them."""

    def __init__(self, problem: Auction, env: AuctionEnv, model: Any, rngs: nnx.Rngs):
        self.problem, self.unit, self.entries = problem, unit_of(problem, env), model.menu_size
        self.shares = Shares(problem, env)
        self.worth = tuple(map(tuple, average_worth(problem, env).tolist()))
        self.contexts = Contexts(problem, env, model.embedding, rngs)
        self.nobody = nnx.Param(nnx.initializers.normal(1.0)(rngs.params(), (1, self.contexts.size)))
        self.first = Perceptron(2 * self.contexts.size, [model.width], model.width, "relu", rngs)
        said = model.menu_size * (2 if problem.valuation == "additive" else 3) + 1
        self.layers = nnx.List([Crossed(model.width, model.heads, count, rngs) for count in [model.width] * (model.layers - 1) + [said]])
        self.mixed = Perceptron(model.menu_size, [model.width], model.menu_size, "relu", rngs)

    def __call__(
        self, reports: Array, bidders: Array | None = None, items: Array | None = None, *, temperature: Array | None = None
    ) -> Decision:
        agents, lead = self.problem.agents, reports.shape[:-1]
        if bidders is None or items is None:
            return self.by(self.menu(), reports, temperature)
        # Contexts may have fewer leading axes than reports: a menu is written for each of them once.
        own, rows = bidders.shape[0], self.problem.values(reports)
        rows = jnp.moveaxis(rows.reshape(-1, own, agents, self.problem.goods), 1, 0)
        decision = jax.vmap(lambda values, *seen: decided(self.menu(*seen), values, temperature))(rows, bidders, items)
        return Decision(allocation=jnp.moveaxis(decision.allocation, 0, 1).reshape(*lead, self.problem.goods),
                        payment=jnp.moveaxis(decision.payment, 0, 1).reshape(lead))  # fmt: skip

    def menu(self, bidders: Array | None = None, items: Array | None = None) -> Menu:
        """The menu for contexts of the bidders and items of one auction."""
        if bidders is None or items is None:
            bidders, items = jnp.arange(self.problem.agents), jnp.arange(self.problem.items)
        of_bidders, of_items = self.contexts(bidders, items)
        of_bidders = jnp.concatenate([of_bidders, self.nobody[...]])
        shape = (of_bidders.shape[0], of_items.shape[0], self.contexts.size)
        pairs = self.first(jnp.concatenate([jnp.broadcast_to(of_bidders[:, None], shape), jnp.broadcast_to(of_items[None], shape)], -1))
        for layer in self.layers:
            pairs = layer(pairs)
        said = jnp.moveaxis(pairs[..., 1:], -1, 0).reshape(-1, self.entries, *shape[:2])  # [2 or 3, K, N + 1, M]
        allocation = self.shares(SHARPNESS * self._scores(said[1:]))
        worth = jnp.einsum("kng,ng->k", allocation, jnp.asarray(self.worth, allocation.dtype))
        boosts = self.unit * (self.mixed(said[0].mean((1, 2))[None])[0] - CHARGE * worth)
        return Menu(allocation, even(pairs[:-1, :, 0].mean(1)), boosts)

    def _scores(self, said: Array) -> Array:
        """What `feasible` makes lotteries of, from scores [1 or 2, K, N + 1, M] of pairs: the second, where values are not additive, is of
        what is wanted."""
        entries, owners = said.shape[1:3]
        shares = said[0].reshape(entries, -1)
        if self.problem.valuation == "additive":
            return shares
        if self.problem.valuation == "unit_demand":
            wanted = jnp.pad(said[1, :, :-1], ((0, 0), (0, 0), (0, 1)))
            return jnp.concatenate([shares, wanted.reshape(entries, -1)], 1)
        both = jnp.eye(owners, dtype=said.dtype)[None] * said[1].mean(2)[:, :, None]
        return (said[0, :, :, :1] + said[0, :, None, :, 1] + both).reshape(entries, -1)


def amenunet(model: Any, problem: Auction, env: AuctionEnv, key: Array) -> Rule:
    """From its model in a problem file."""
    return Rule.of(AMenuNet(problem, env, model, nnx.Rngs(key)))
