"""Scores of a network as shares of what there is, feasible by construction: what a lottery over allocations could give.

Additive: for each item a softmax over bidders and nobody. Unit demand: the smaller of that and, for each bidder, a softmax over items
and nothing (Dütting et al. 2019, section 4). Combinatorial over two items: one softmax over who owns each of them. (There the paper
takes for each bundle the smallest of a bidder's and its items' softmaxes; those limits admit shares that no lottery over allocations
has, such as half of {1} and half of {2} for one bidder beside half of {1,2} for the other.)
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from icsap_jax.auctions.problem import Auction, AuctionEnv
from icsap_jax.bilevel.ties import largest, smallest
from icsap_jax.bilevel.types import Array, Fixed
from icsap_jax.constraints import Variation
from icsap_jax.objectives import differences


class Shares(nnx.Module):
    """Scores to feasible shares that are as even as the auction wants them by construction: as they are where it wants nothing, and else
    drawn towards their averages over items (`evened`), as far as its limits ask, `limit` [K]."""

    def __init__(self, problem: Auction, env: AuctionEnv):
        built_in = [(limit, numbers) for limit, numbers in zip(problem.limits, env.limits, strict=True)
                    if isinstance(limit, Variation) and limit.built_in]  # fmt: skip
        self.problem = problem
        self.categories = tuple(limit.categories or (tuple(range(problem.agents)),) for limit, _ in built_in)
        self.limits = nnx.List([Fixed(numbers["limit"]) for _, numbers in built_in])

    def __call__(self, scores: Array) -> Array:
        """[R, scores_needed] to [R, N, G]."""
        return self.even(feasible(self.problem, scores))

    def even(self, shares: Array) -> Array:
        """Shares […, N, G], evened."""
        for categories, limit in zip(self.categories, self.limits, strict=True):
            shares = evened(shares, categories, limit[...])
        return shares


def evened(shares: Array, categories: tuple[tuple[int, ...], ...], limit: Array) -> Array:
    """Shares z […, N, M] drawn towards each bidder's average over items until Σ_{i ∈ C_k} |z_ij − z_ij′| ≤ d_k, `limit` [K], for every
    category and pair of items: z̄ + s (z − z̄), where differences, being linear, shrink by s. A bidder in several categories is drawn as
    far as the strictest asks; who is in none stays as it is. Where bidders drawn differently far would be given more than there is of some
    item, all shares shrink alike, and differences with them."""
    apart = differences(shares, categories)  # […, K, pairs]
    if not apart.shape[-1]:
        return shares
    most = largest(apart)
    limit = limit.astype(shares.dtype).reshape(*[1] * (most.ndim - 1), -1)
    kept = jnp.where(most > limit, limit / jnp.where(most > limit, most, 1.0), 1.0)  # […, K]
    least = jnp.stack([_strictest(kept, agent, categories) for agent in range(shares.shape[-2])], -1)  # […, N]
    mean = shares.mean(-1, keepdims=True)
    drawn = mean + least[..., None] * (shares - mean)
    given = largest(drawn.sum(-2))
    return drawn / jnp.where(given > 1.0, given, 1.0)[..., None, None]


def _strictest(kept: Array, agent: int, categories: tuple[tuple[int, ...], ...]) -> Array:
    """The least […] that any of an agent's categories lets it keep, […, K]; 1 where it is in none."""
    own = [place for place, members in enumerate(categories) if agent in members]
    return smallest(jnp.stack([kept[..., place] for place in own], -1)) if own else jnp.ones_like(kept[..., 0])


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
