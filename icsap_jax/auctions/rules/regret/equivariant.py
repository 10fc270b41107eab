"""EquivariantNet (Rahme, Jelassi, Bruna & Weinberg 2021): exchangeable layers from reports to allocation and payments, one network for
any number of bidders and items.

As published, an item's shares are a softmax over bidders and the chance that it is sold at all, and a bidder pays a share in (0, 1) of
the reported value of what it gets. Two things differ. Nobody is one more entry of the softmax, whose score is the mean over bidders of
an output of its own; this describes the same shares. And allocation, chance of sale and payments are outputs of one network rather than
of three: what one needs to know the others do, and a step costs a third.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from icsap_jax.auctions.problem import Auction, AuctionEnv, Decision
from icsap_jax.auctions.rules.networks import Support, support_of
from icsap_jax.auctions.rules.regret.exchangeable import TOLD, Exchangeable, Told, beside_nobody
from icsap_jax.auctions.rules.shares import Shares
from icsap_jax.bilevel.types import Array, Rule


class EquivariantNet(nnx.Module):
    """Additive or unit-demand bidders. `hidden`: channels of each hidden layer."""

    def __init__(self, problem: Auction, shares: Shares, support: Support, hidden: list[int], activation: str, rngs: nnx.Rngs):
        self.problem, self.shares, self.activation = problem, shares, activation
        self.told = Told(support)
        outputs = 5 if problem.valuation == "unit_demand" else 3
        self.layers = nnx.List([Exchangeable(a, b, rngs) for a, b in pairwise([TOLD, *hidden, outputs])])

    def __call__(self, reports: Array) -> Decision:
        values = reports.reshape(-1, *reports.shape[-2:])
        activation = getattr(jax.nn, self.activation)
        entries = self.told(values)
        for layer in self.layers[:-1]:
            entries = activation(layer(entries))
        wanted, nobody, charged, *choice = jnp.moveaxis(self.layers[-1](entries), -1, 0)
        liked, nothing = (choice[0], choice[1].mean(2)) if choice else (None, None)
        allocation = self.shares(beside_nobody(self.problem, wanted, nobody.mean(1), liked, nothing))
        payment = jax.nn.sigmoid(charged.mean(2)) * jnp.einsum("rnm,rnm->rn", allocation, values)
        return Decision(allocation=allocation.reshape(reports.shape), payment=payment.reshape(reports.shape[:-1]))


def equivariant(model: Any, problem: Auction, env: AuctionEnv, key: Array) -> Rule:
    """A freshly initialised EquivariantNet for the auction."""
    shares, support = Shares(problem, env), support_of(problem, env)
    return Rule.of(EquivariantNet(problem, shares, support, list(model.hidden), model.activation, nnx.Rngs(key)))
