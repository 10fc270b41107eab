"""A common pool used once (Ostrom, Gardner & Walker 1994, "Rules, Games, and Common-Pool Resources"): of its endowment e an agent puts x
into the pool,

    payoff_i = w_i (e_i − x_i) + x_i (a_i − b X),    X = Σ x.

With a tax τ per unit the first-order condition a − w − τ − b X − b x = 0 has, for agents all alike, X = n (a − w − τ)/(b (n + 1)), while
the sum of payoffs is largest at X = (a − w)/(2 b): the tax that leads there is (a − w)(n − 1)/(2 n). With unlike agents Nash harvests
are a function of X alone, x_i = clip(m_i/b − X, 0, q_i) with m_i what a unit nets, and X is where they add up to it: a root of a
piecewise linear, falling function, so that it has a formula too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.types import Array, Draw
from icsap_jax.games.commons.problem import Commons, Regulation


@register_dataclass
@dataclass(frozen=True)
class PoolEnv:
    """`returns` a [N], `crowding` b [], `outside` w [N] and the endowments `high` e [N]."""

    returns: Array
    crowding: Array
    outside: Array
    high: Array


@dataclass(frozen=True)
class Pool(Commons):
    """The static stock."""

    def payoff(self, env: PoolEnv, harvest: Array) -> Array:
        """[…, N] of harvests […, N]."""
        returns, outside, high = (jnp.broadcast_to(each, harvest.shape) for each in (env.returns, env.outside, env.high))
        return outside * (high - harvest) + harvest * (returns - env.crowding * harvest.sum(-1, keepdims=True))

    def periods(self, env: PoolEnv) -> float:
        """The pool is used once."""
        return 1.0

    def unit(self, env: PoolEnv) -> float:
        """A tax that nobody would pay."""
        return float((env.returns - env.outside).max())

    def reply(self, env: PoolEnv, draw: Draw, decision: Regulation) -> Array:
        """The Nash equilibrium, [1, N, 1]: the total lies between two of the points where somebody's harvest reaches a bound, which tells
        who is at one; then X = (Σ others' m/b + Σ quotas of those who use them up) / (1 + how many others)."""
        may = jnp.broadcast_to(decision.quota * env.high, (self.agents,))
        wanted = jnp.broadcast_to((env.returns - env.outside - decision.tax / decision.kept) / env.crowding, (self.agents,))
        total = jax.lax.stop_gradient(_total(wanted, may))
        inside = (wanted - total > 0) & (wanted - total < may)
        full = wanted - total >= may
        total = (jnp.where(inside, wanted, 0.0).sum() + jnp.where(full, may, 0.0).sum()) / (1.0 + inside.sum())
        harvest = jnp.where(inside, wanted - total, jnp.where(full, may, 0.0))
        return (harvest / jnp.where(may > 0, may, 1.0))[None, :, None]


def _total(wanted: Array, may: Array) -> Array:
    """The root [] of Σ clip(wanted − X, 0, may) = X."""
    corners = jnp.sort(jnp.clip(jnp.concatenate([wanted, wanted - may, may.sum()[None], jnp.zeros((1,))]), 0.0, may.sum()))
    excess = jnp.clip(wanted[None] - corners[:, None], 0.0, may[None]).sum(-1) - corners  # falls from ≥ 0 to ≤ 0
    place = jnp.clip((excess >= 0).sum() - 1, 0, corners.shape[0] - 2)
    fall = excess[place] - excess[place + 1]
    share = excess[place] / jnp.where(fall > 0, fall, 1.0)
    return corners[place] + share * (corners[place + 1] - corners[place])


def build(model: Any, agents: int) -> tuple[Pool, PoolEnv]:
    """From its model in a problem file."""
    returns, outside, high = (np.broadcast_to(each.values, (agents,)).copy() for each in (model.returns, model.outside, model.endowment))
    return Pool(agents=agents), PoolEnv(returns=returns, crowding=np.float64(model.crowding), outside=outside, high=high)
