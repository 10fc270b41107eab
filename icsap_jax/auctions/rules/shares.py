"""Scores of a network as shares of what there is, feasible by construction: what a lottery over allocations could give.

Additive: for each item a softmax over bidders and nobody. Unit demand: the smaller of that and, for each bidder, a softmax over items
and nothing (Dütting et al. 2019, section 4). Combinatorial over two items: one softmax over who owns each of them. (There the paper
takes for each bundle the smallest of a bidder's and its items' softmaxes; those limits admit shares that no lottery over allocations
has, such as half of {1} and half of {2} for one bidder beside half of {1,2} for the other.)
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from icsap_jax.auctions.problem import Auction
from icsap_jax.bilevel.types import Array


def scores_needed(problem: Auction) -> int:
    """How many scores `feasible` turns into shares."""
    agents, goods = problem.agents, problem.goods
    by_item = (agents + 1) * goods
    return {"additive": by_item, "unit_demand": by_item + agents * (goods + 1), "combinatorial": (agents + 1) ** 2}[problem.valuation]


def feasible(problem: Auction, scores: Array) -> Array:
    """Feasible shares [R, N, G] from scores [R, scores_needed]."""
    agents, goods = problem.agents, problem.goods
    if problem.valuation == "combinatorial":
        return _bundles(agents, scores)
    by_item = (agents + 1) * goods
    shares = jax.nn.softmax(scores[:, :by_item].reshape(-1, agents + 1, goods), axis=1)[:, :agents]
    if problem.valuation == "additive":
        return shares
    wanted = jax.nn.softmax(scores[:, by_item:].reshape(-1, agents, goods + 1), axis=2)[:, :, :goods]
    return jnp.minimum(shares, wanted)


def _bundles(agents: int, scores: Array) -> Array:
    """The probabilities of {1}, {2} and {1,2} for each bidder, from one lottery over the owners (bidder or nobody) of both items."""
    owners = jax.nn.softmax(scores, axis=1).reshape(-1, agents + 1, agents + 1)  # [R, owner of item 1, owner of item 2]
    both = jnp.diagonal(owners, axis1=1, axis2=2)
    apart = jnp.where(jnp.eye(agents + 1, dtype=bool)[None], 0.0, owners)
    return jnp.stack([apart.sum(2), apart.sum(1), both], axis=-1)[:, :agents]
