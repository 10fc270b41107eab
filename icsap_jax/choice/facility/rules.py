"""Rules without much to learn: the median, percentiles, dictators, and places that never move.

All are strategyproof. A facility at an order statistic of the peaks, or at one agent's, or at a fixed place, is a generalised median
(Moulin 1980): an agent that reports something else leaves it where it is or drives it further from its own peak. So it does with each of
several facilities at once, and with the nearest of them.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.choice.facility.baselines import best_dictators, best_percentiles, orders_of
from icsap_jax.choice.facility.problem import Facility, FacilityEnv, Placement, ends, surely


class Ordered(nnx.Module):
    """Facilities at the reports of these numbers, counted from 0, once they are sorted, of […, N, 1]."""

    def __init__(self, orders: tuple[int, ...]):
        self.orders = orders

    def __call__(self, reports: Array, temperature: Array | None = None) -> Placement:
        return surely(jnp.sort(reports[..., 0], -1)[..., np.array(self.orders)])


class Named(nnx.Module):
    """Facilities at the reports of these agents, of […, N, 1]."""

    def __init__(self, agents: tuple[int, ...]):
        self.agents = agents

    def __call__(self, reports: Array, temperature: Array | None = None) -> Placement:
        return surely(reports[..., np.array(self.agents), 0])


class Fixed(nnx.Module):
    """Facilities at places of their own, as shares of the line from `low` to `high`: a parameter [K], cut off at the ends."""

    def __init__(self, shares: Array, low: float, high: float):
        self.shares, self.low, self.high = nnx.Param(shares), low, high

    def __call__(self, reports: Array, temperature: Array | None = None) -> Placement:
        places = self.low + (self.high - self.low) * jnp.clip(self.shares[...], 0.0, 1.0)
        return surely(jnp.broadcast_to(places, (*reports.shape[:-2], places.shape[0])))


def median(model: Any, problem: Facility, env: FacilityEnv, key: Array) -> Rule:
    """The median, the lower of two."""
    return Rule.of(Ordered(((problem.agents - 1) // 2,)))


def percentile(model: Any, problem: Facility, env: FacilityEnv, key: Array) -> Rule:
    """The percentiles given, or the best."""
    found = best_percentiles(problem, env) if model.percentiles is None else orders_of(model.percentiles, problem.agents)
    return Rule.of(Ordered(found))


def dictators(model: Any, problem: Facility, env: FacilityEnv, key: Array) -> Rule:
    """The agents named, or the best."""
    return Rule.of(Named(best_dictators(problem, env) if model.agents is None else tuple(model.agents)))


def fixed_places(model: Any, problem: Facility, env: FacilityEnv, key: Array) -> Rule:
    """Places that begin at equal distances, a little by chance."""
    even = (jnp.arange(problem.facilities) + 0.5) / problem.facilities
    return Rule.of(Fixed(even + 0.05 * jax.random.normal(key, even.shape), *ends(problem, env)))
