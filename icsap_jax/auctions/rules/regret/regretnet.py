"""RegretNet (Dütting, Feng, Narasimhan, Parkes, Ravindranath 2019, section 4): one network allocates, one charges. Allocations are
feasible and no truthful bidder pays more than it values what it gets, both by construction.

Every rule is an nnx module that maps reports […, N, T] to a `Decision`; leading axes become the rows of one matrix product.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from icsap_jax.auctions.problem import Auction, AuctionEnv, Decision
from icsap_jax.auctions.rules.networks import Perceptron, Scale, Support, support_of
from icsap_jax.auctions.rules.shares import Shares, scores_needed
from icsap_jax.bilevel.types import Array, Rule


class RegretNet(nnx.Module):
    """Allocation and payment networks over the reports of N bidders for M items; the shares are feasible (`shares`). Payment: a share in
    (0, 1) of the reported value of what the bidder gets, so a truthful bidder never loses. Both are cut down to a reported budget. Reports
    enter scaled when `normalise` is set."""

    def __init__(
        self, problem: Auction, shares: Shares, support: Support, hidden: list[int], activation: str, normalise: bool, rngs: nnx.Rngs
    ):
        self.problem, self.shares = problem, shares
        self.scale = Scale(support) if normalise else None
        inputs = support[0].size
        self.allocation = Perceptron(inputs, hidden, scores_needed(problem), activation, rngs)
        self.payment = Perceptron(inputs, hidden, problem.agents, activation, rngs)

    def __call__(self, reports: Array) -> Decision:
        lead, (agents, width) = reports.shape[:-2], reports.shape[-2:]
        said = reports.reshape(-1, agents, width)
        rows = (said if self.scale is None else self.scale(said)).reshape(-1, agents * width)
        allocation = self.shares(self.allocation(rows))
        payment = jax.nn.sigmoid(self.payment(rows)) * jnp.einsum("rnm,rnm->rn", allocation, self.problem.values(said))
        decision = self.problem.affordable(said, Decision(allocation=allocation, payment=payment))
        return Decision(allocation=decision.allocation.reshape(*lead, agents, -1), payment=decision.payment.reshape(*lead, agents))


def regretnet(model: Any, problem: Auction, env: AuctionEnv, key: Array) -> Rule:
    """A freshly initialised RegretNet for the auction."""
    shares, support = Shares(problem, env), support_of(problem, env)
    return Rule.of(RegretNet(problem, shares, support, list(model.hidden), model.activation, model.normalise, nnx.Rngs(key)))
