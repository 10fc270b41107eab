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
    softmax over items and a dummy for each bidder; combinatorial over two items, one softmax over who owns each of them. (There
    the paper takes for each bundle the smallest of a bidder's and its items' softmaxes; those limits admit shares that no lottery
    over allocations has, such as half of {1} and half of {2} for one bidder beside half of {1,2} for the other.)
    Payment: a share in (0, 1) of the reported value of what the bidder gets, so a truthful bidder never loses. Reports enter as
    (report − centre)/half-width when `normalise` is set.
    """

    def __init__(self, problem: Auction, support: tuple, hidden: list[int], activation: str, normalise: bool, rngs: nnx.Rngs):
        agents, goods = problem.agents, problem.goods
        low, high = (np.asarray(bound, np.float64) for bound in support)
        self.problem = problem
        half = np.where(high > low, (high - low) / 2, 1.0)
        self.centre = tuple(((low + high) / 2).ravel()) if normalise else None
        self.half = tuple(half.ravel()) if normalise else None
        self.by_item = (agents + 1) * goods
        outputs = {"additive": self.by_item, "unit_demand": self.by_item + agents * (goods + 1), "combinatorial": (agents + 1) ** 2}
        inputs = agents * low.shape[-1]
        self.allocation = Perceptron(inputs, hidden, outputs[problem.valuation], activation, rngs)
        self.payment = Perceptron(inputs, hidden, agents, activation, rngs)

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
        """The probabilities of {1}, {2} and {1,2} for each bidder, from one lottery over the owners (bidder or nobody) of both items."""
        agents = self.problem.agents
        owners = jax.nn.softmax(scores, axis=1).reshape(-1, agents + 1, agents + 1)  # [R, owner of item 1, owner of item 2]
        both = jnp.diagonal(owners, axis1=1, axis2=2)
        apart = jnp.where(jnp.eye(agents + 1, dtype=bool)[None], 0.0, owners)
        return jnp.stack([apart.sum(2), apart.sum(1), both], axis=-1)[:, :agents]


def regretnet(model: Any, problem: Auction, env: AuctionEnv, key: Array) -> Rule:
    """A freshly initialised RegretNet for the auction."""
    with jax.ensure_compile_time_eval():  # the support scales the reports: a constant, also where building is being compiled
        box = problem.space(env, None)
        support = (np.asarray(box.low), np.asarray(box.high))
    return Rule.of(RegretNet(problem, support, list(model.hidden), model.activation, model.normalise, nnx.Rngs(key)))
