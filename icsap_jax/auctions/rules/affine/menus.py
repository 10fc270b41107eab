"""What a menu may be made of, without a network: all deterministic allocations with free boosts (Roberts 1979), or with boosts that add
up over bidders (virtual valuations combinatorial auctions, Likhodedov & Sandholm 2005); or lotteries over allocations, learned with
their boosts (Curry, Sandholm & Dickerson 2023).

A menu begins as VCG that charges for an allocation a share of what it is worth on average, as a reserve would. Boosts are learned in
units of an item's average value, so that a learning rate suits auctions for pennies and for millions.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.auctions import affine
from icsap_jax.auctions.problem import Auction, AuctionEnv
from icsap_jax.auctions.rules.affine.maximiser import AffineMaximiser, Menu
from icsap_jax.auctions.rules.networks import unit_of
from icsap_jax.auctions.rules.shares import Shares, scores_needed
from icsap_jax.bilevel.types import Array, Rule

CHARGE = 0.7  # what an allocation is charged at first, as a share of what it is worth on average
CERTAIN = 6.0  # the score above the others' at which a share of a lottery begins all but certain
SPREAD = 2.0  # standard deviation of the scores of a random lottery at first
AVERAGED = 4096  # profiles over which a good's worth is averaged


@cache
def deterministic(agents: int, items: int, valuation: str) -> np.ndarray:
    """All deterministic allocations that sell something, [K, N, G]."""
    return affine.allocations(agents, items, valuation)[1:]


def even(logits: Array) -> Array:
    """Weights [N] > 0 that are 1 on average: only their ratios matter, and scores stay in the units of values."""
    return jax.nn.softmax(logits) * logits.shape[0]


def average_worth(problem: Auction, env: AuctionEnv) -> np.ndarray:
    """What each good is worth to each bidder on average, [N, G], in units of an item's average value: constants, as `support_of`."""
    with jax.ensure_compile_time_eval():
        values = problem.values(problem.draw(env, jax.random.key(0), AVERAGED).types)
        return np.asarray(values.mean(0) / problem.scale(env), np.float64)


def scores_of(problem: Auction, allocations: np.ndarray) -> np.ndarray:
    """Scores at which `feasible` gives deterministic allocations [K, N, G] but for a small chance of another."""

    def or_nobody(given: np.ndarray, axis: int) -> np.ndarray:
        return np.concatenate([given, 1 - given.sum(axis, keepdims=True)], axis)

    if problem.valuation == "combinatorial":
        first, second = (or_nobody(allocations[..., g] + allocations[..., 2], 1) for g in (0, 1))
        chosen = [first[:, :, None] * second[:, None, :]]
    else:
        chosen = [or_nobody(allocations, 1)] + ([or_nobody(allocations, 2)] if problem.valuation == "unit_demand" else [])
    return CERTAIN * np.concatenate([part.reshape(len(allocations), -1) for part in chosen], 1)


class FreeBoosts(AffineMaximiser):
    """All deterministic allocations, each with a boost of its own, `boosts` [K]."""

    def __init__(self, problem: Auction, env: AuctionEnv):
        self.problem, self.unit = problem, unit_of(problem, env)
        listed = deterministic(problem.agents, problem.items, problem.valuation)
        self.weights = nnx.Param(jnp.zeros((problem.agents,)))
        self.boosts = nnx.Param(jnp.asarray(-CHARGE * (listed * average_worth(problem, env)).sum((1, 2)), jnp.float32))

    def menu(self) -> Menu:
        """All allocations."""
        boosts = self.boosts[...] * self.unit
        listed = deterministic(self.problem.agents, self.problem.items, self.problem.valuation)
        return Menu(jnp.asarray(listed, boosts.dtype), even(self.weights[...]), boosts)


class AddedBoosts(AffineMaximiser):
    """All deterministic allocations; each bidder's bundle has a boost, `boosts` [N, bundles], and an allocation's is their sum."""

    def __init__(self, problem: Auction, env: AuctionEnv):
        self.problem, self.unit = problem, unit_of(problem, env)
        listed, _ = self._bundles()
        self.weights = nnx.Param(jnp.zeros((problem.agents,)))
        self.boosts = nnx.Param(jnp.asarray(-CHARGE * average_worth(problem, env) @ listed.T, jnp.float32))

    def menu(self) -> Menu:
        """All allocations."""
        boosts = self.boosts[...] * self.unit
        _, held = self._bundles()
        agents = self.problem.agents
        # No bundle, the first, has no boost: it would raise every allocation's alike, or be a charge for nothing.
        added = jnp.pad(boosts, ((0, 0), (1, 0)))[np.arange(agents, dtype=np.int32)[None], held].sum(1)
        allocations = deterministic(agents, self.problem.items, self.problem.valuation)
        return Menu(jnp.asarray(allocations, boosts.dtype), even(self.weights[...]), added)

    def _bundles(self) -> tuple[np.ndarray, np.ndarray]:
        """What a bidder can be given, [bundles, G], without nothing; and what each is given in each allocation, [K, N], 0 for nothing."""
        allocations = deterministic(self.problem.agents, self.problem.items, self.problem.valuation)
        listed, held = np.unique(allocations.reshape(-1, allocations.shape[-1]), axis=0, return_inverse=True)
        held = held.astype(np.int32)
        if self.problem.agents == 1:  # a lone bidder gets something in every allocation listed
            return listed, held.reshape(-1, 1) + 1
        return listed[1:], held.reshape(allocations.shape[:2])  # in order, nothing comes first


class Lotteries(AffineMaximiser):
    """K learned lotteries, `scores` [K, …] of their shares, and their `boosts` [K]."""

    def __init__(self, problem: Auction, env: AuctionEnv, entries: int, key: Array):
        self.problem, self.shares, self.unit = problem, Shares(problem, env), unit_of(problem, env)
        scores = SPREAD * jax.random.normal(key, (entries, scores_needed(problem)))
        if (problem.agents + 1) ** problem.items - 1 <= entries:
            certain = scores_of(problem, deterministic(problem.agents, problem.items, problem.valuation))
            scores = scores.at[: len(certain)].set(certain)
        charged = jnp.einsum("kng,ng->k", self.shares(scores), jnp.asarray(average_worth(problem, env), scores.dtype))
        self.weights = nnx.Param(jnp.zeros((problem.agents,)))
        self.scores = nnx.Param(scores)
        self.boosts = nnx.Param(-CHARGE * charged)

    def menu(self) -> Menu:
        """The lotteries as they are."""
        return Menu(self.shares(self.scores[...]), even(self.weights[...]), self.boosts[...] * self.unit)


def affine_maximiser(model: Any, problem: Auction, env: AuctionEnv, key: Array) -> Rule:
    """From its model in a problem file."""
    return Rule.of(FreeBoosts(problem, env))


def vvca(model: Any, problem: Auction, env: AuctionEnv, key: Array) -> Rule:
    """From its model in a problem file."""
    return Rule.of(AddedBoosts(problem, env))


def lottery_ama(model: Any, problem: Auction, env: AuctionEnv, key: Array) -> Rule:
    """From its model in a problem file."""
    return Rule.of(Lotteries(problem, env, model.menu_size, key))
