"""What a designer may do about a common resource: tax a unit harvested, allot quotas, or take a share of everything."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.bilevel.types import Array, Rule, Tree
from icsap_jax.games.commons.optimum import nash
from icsap_jax.games.commons.problem import Commons, Regulation

SPREAD = 0.02  # of the first numbers, so that members begin apart
LEAST = 1e-4  # a quota
STARTS = (0.3, 0.6, 0.9, 1.2)  # quotas to begin with, as shares of what is taken without any


class HarvestTax(nnx.Module):
    """tax = unit · share [1 or N]: shares are of size one whatever the money."""

    def __init__(self, shares: Array, unit: float):
        self.shares, self.unit = nnx.Param(shares), unit

    def __call__(self) -> Regulation:
        return Regulation(tax=self.unit * self.shares[...], quota=jnp.ones((1,)), kept=jnp.ones(()))


class Quota(nnx.Module):
    """An angle [1 or N] for each quota: sin² keeps a share between 0 and 1 and reaches both; but for a hair, as who may take nothing has no
    best harvest to be found."""

    def __init__(self, angles: Array):
        self.angles = nnx.Param(angles)

    def __call__(self) -> Regulation:
        return Regulation(tax=jnp.zeros((1,)), quota=LEAST + (1.0 - LEAST) * jnp.sin(self.angles[...]) ** 2, kept=jnp.ones(()))


class ProportionalTax(nnx.Module):
    """A logistic function of a free number [] for the share that is kept."""

    def __init__(self, free: Array):
        self.free = nnx.Param(free)

    def __call__(self) -> Regulation:
        return Regulation(tax=jnp.zeros((1,)), quota=jnp.ones((1,)), kept=jax.nn.sigmoid(self.free[...]))


def harvest_tax(model: Any, problem: Commons, env: Tree, key: Array) -> Rule:
    """Hardly any tax to begin with."""
    count = problem.agents if model.individual else 1
    return Rule.of(HarvestTax(SPREAD * jax.random.normal(key, (count,)), problem.unit(env)))


def quota(model: Any, problem: Commons, env: Tree, key: Array) -> Rule:
    """A quota that binds: one that does not changes nothing, and would never be learned."""
    return Rule.of(Quota(_angles(model, env, 0.6) + SPREAD * jax.random.normal(key, (problem.agents if model.individual else 1,))))


def quotas(model: Any, problem: Commons, env: Tree, key: Array) -> Rule:
    """Quotas side by side, from tight ones to one that binds nobody: with unlike agents there may be a best one in between that is worth
    less than none."""
    graph = quota(model, problem, env, key).graph
    begin = jnp.stack([_angles(model, env, share) for share in STARTS])
    begin = begin + SPREAD * jax.random.normal(key, begin.shape)
    return jax.vmap(lambda angles: Rule(Rule.of(Quota(angles)).params, graph))(begin)


def _angles(model: Any, env: Tree, share: float) -> Array:
    """The angles of a `share` of what agents take without a rule, of what the one takes that takes most where quotas are alike."""
    taken = nash(env) / env.high
    begin = np.clip(share * (taken if model.individual else taken.max()[None]), 1e-3, 0.98)
    return jnp.asarray(np.arcsin(np.sqrt(begin)), jnp.result_type(float))


def proportional_tax(model: Any, problem: Commons, env: Tree, key: Array) -> Rule:
    """About a tenth of the payoff."""
    return Rule.of(ProportionalTax(2.0 + SPREAD * jax.random.normal(key, ())))
