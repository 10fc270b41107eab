"""Rules an auction may use. RegretNet (Dütting, Feng, Narasimhan, Parkes, Ravindranath 2019, section 4): one network allocates,
one charges. Allocations are feasible and no truthful bidder pays more than it values what it gets, both by construction.

Every rule is an nnx module that maps reports […, N, T] to a `Decision`; leading axes become the rows of one matrix product.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.auctions.problem import Auction, AuctionEnv, Decision
from icsap_jax.bilevel.types import Array, Rule

# The two bundles that hold item 1, and item 2, among {1}, {2}, {1,2}.
BUNDLES_WITH = (np.array([0, 2]), np.array([1, 2]))


class Perceptron(nnx.Module):
    """Fully connected layers with Glorot-uniform weights, as published; rows [R, inputs] to [R, outputs]."""

    def __init__(self, inputs: int, hidden: list[int], outputs: int, activation: str, rngs: nnx.Rngs):
        sizes = [inputs, *hidden, outputs]
        glorot = nnx.initializers.glorot_uniform()
        self.layers = nnx.List([nnx.Linear(a, b, kernel_init=glorot, rngs=rngs) for a, b in pairwise(sizes)])
        self.activation = activation

    def __call__(self, rows: Array) -> Array:
        activation = getattr(jax.nn, self.activation)
        for layer in self.layers[:-1]:
            rows = activation(layer(rows))
        return self.layers[-1](rows)


class RegretNet(nnx.Module):
    """Allocation and payment networks over the reports of N bidders for M items.

    Feasible by construction: additive, a softmax over bidders and a dummy for each item; unit demand, the smaller of that and a
    softmax over items and a dummy for each bidder; combinatorial over two items, for each bundle the smaller of the bidder's
    softmax over bundles and the softmaxes of the items it holds. Payment: a share in (0, 1) of the reported value of what the
    bidder gets, so a truthful bidder never loses. Reports enter as (report − centre)/half-width when `normalise` is set.
    """

    def __init__(self, problem: Auction, support: tuple, hidden: list[int], activation: str, normalise: bool, rngs: nnx.Rngs):
        agents, goods = problem.agents, problem.goods
        low, high = (np.asarray(bound, np.float64) for bound in support)
        self.problem = problem
        half = np.where(high > low, (high - low) / 2, 1.0)
        self.centre = tuple(((low + high) / 2).ravel()) if normalise else None
        self.half = tuple(half.ravel()) if normalise else None
        by_item = (agents + 1) * problem.items if problem.valuation != "combinatorial" else agents * 4 + 2
        by_agent = {"additive": 0, "unit_demand": agents * (goods + 1), "combinatorial": agents * (goods + 1)}[problem.valuation]
        inputs = agents * low.shape[-1]
        self.allocation = Perceptron(inputs, hidden, by_item + by_agent, activation, rngs)
        self.payment = Perceptron(inputs, hidden, agents, activation, rngs)
        self.by_item = by_item

    def __call__(self, reports: Array) -> Decision:
        lead, (agents, width) = reports.shape[:-2], reports.shape[-2:]
        rows = reports.reshape(-1, agents * width)
        values = self.problem.values(reports.reshape(-1, agents, width))
        if self.centre is not None:
            rows = (rows - jnp.asarray([self.centre], rows.dtype)) / jnp.asarray([self.half], rows.dtype)
        allocation = self._feasible(self.allocation(rows))
        payment = jax.nn.sigmoid(self.payment(rows)) * jnp.einsum("rnm,rnm->rn", allocation, values)
        return Decision(allocation=allocation.reshape(*lead, *allocation.shape[1:]), payment=payment.reshape(*lead, agents))

    def _feasible(self, scores: Array) -> Array:
        """Feasible allocations [R, N, M] from the network's scores [R, outputs]."""
        agents, items, goods = self.problem.agents, self.problem.items, self.problem.goods
        if self.problem.valuation == "combinatorial":
            return self._bundles(scores)
        by_item = jax.nn.softmax(scores[:, : self.by_item].reshape(-1, agents + 1, items), axis=1)[:, :agents]
        if self.problem.valuation == "additive":
            return by_item
        by_agent = jax.nn.softmax(scores[:, self.by_item :].reshape(-1, agents, goods + 1), axis=2)[:, :, :goods]
        return jnp.minimum(by_item, by_agent)

    def _bundles(self, scores: Array) -> Array:
        """For each item a softmax over the (bidder, bundle holding it) pairs and a dummy; for each bidder one over bundles."""
        agents = self.problem.agents
        per_item = agents * 2 + 1
        by_agent = jax.nn.softmax(scores[:, self.by_item :].reshape(-1, agents, 4), axis=2)
        limits = [by_agent[:, :, 0], by_agent[:, :, 1], by_agent[:, :, 2]]
        for item, bundles in enumerate(BUNDLES_WITH):
            shares = jax.nn.softmax(scores[:, item * per_item : (item + 1) * per_item], axis=1)[:, :-1].reshape(-1, agents, 2)
            for place, bundle in enumerate(bundles):
                limits[bundle] = jnp.minimum(limits[bundle], shares[:, :, place])
        return jnp.stack(limits, axis=-1)


def regretnet(model: Any, problem: Auction, env: AuctionEnv, key: Array) -> Rule:
    """A freshly initialised RegretNet for the auction."""
    with jax.ensure_compile_time_eval():  # the support scales the reports: a constant, also where building is being compiled
        box = problem.space(env, None)
        support = (np.asarray(box.low), np.asarray(box.high))
    return Rule.of(RegretNet(problem, support, list(model.hidden), model.activation, model.normalise, nnx.Rngs(key)))
