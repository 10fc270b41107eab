"""What agents pay for what they report: payments [P, N] for every profile of reports, known or learned.

A rule is called with the profiles of types [P, N] and Clarke's payments [P, N], and gives the whole table, so that one call serves all
reports and misreports. Learned payments are in units of the largest of Clarke's, or of the values where those are nothing.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.games.mechanism.optimum import reports


class Exact(nnx.Module):
    """Clarke's payments, as the numbers of the problem have them."""

    def __init__(self, table: Array):
        self.table = nnx.Param(table)  # for the reader of an artifact: the problem's own numbers are what counts

    def __call__(self, profiles: Array, clarke: Array) -> Array:
        return clarke


class Rebated(nnx.Module):
    """Clarke's payments less a rebate [T^(N−1), N] for each agent and what the others report; `others` [P, N] names that."""

    def __init__(self, rebates: Array, unit: float, others: np.ndarray):
        self.rebates, self.unit = nnx.Param(rebates), unit
        self.others = tuple(map(tuple, others.tolist()))

    def __call__(self, profiles: Array, clarke: Array) -> Array:
        rebates = jnp.take_along_axis(self.rebates[...], jnp.asarray(self.others), 0)
        return clarke - self.unit * rebates


class Table(nnx.Module):
    """unit · share for every profile and agent, shares [P, N]."""

    def __init__(self, shares: Array, unit: float):
        self.shares, self.unit = nnx.Param(shares), unit

    def __call__(self, profiles: Array, clarke: Array) -> Array:
        return self.unit * self.shares[...]


class Network(nnx.Module):
    """tanh layers from the types reported, in units of the largest, to a share for each agent."""

    def __init__(self, widths: list[int], unit: float, rngs: nnx.Rngs):
        self.layers = nnx.List([nnx.Linear(wide, narrow, rngs=rngs) for wide, narrow in pairwise(widths)])
        self.unit = unit

    def __call__(self, profiles: Array, clarke: Array) -> Array:
        at = 2.0 * profiles / jnp.maximum(profiles.max(), 1e-9) - 1.0
        for layer in self.layers[:-1]:
            at = jnp.tanh(layer(at))
        return self.unit * self.layers[-1](at)


def unit_of(env: Any) -> float:
    """The size of payments."""
    with jax.ensure_compile_time_eval():
        largest = float(jnp.abs(env.clarke).max())
        return largest if largest > 0 else max(float(jnp.abs(env.fixed + env.profiles * env.scaled).max()), 1.0)


def clarke(model: Any, problem: Any, env: Any, key: Array) -> Rule:
    """Nothing is learned."""
    return Rule.of(Exact(jnp.asarray(env.clarke)))


def groves(model: Any, problem: Any, env: Any, key: Array) -> Rule:
    """Next to no rebates at first; with none at all many profiles would stand exactly where a deficit begins."""
    _, others = reports(problem.profiles, problem.agents)
    shares = 0.01 * jax.random.normal(key, (problem.profiles // problem.types, problem.agents))
    return Rule.of(Rebated(shares, unit_of(env), others))


def payment_table(model: Any, problem: Any, env: Any, key: Array) -> Rule:
    """Next to no payments at first; none at all would be a tie between reports that lead to the same policy."""
    return Rule.of(Table(0.01 * jax.random.normal(key, (problem.profiles, problem.agents)), unit_of(env)))


def payment_network(model: Any, problem: Any, env: Any, key: Array) -> Rule:
    """With small payments at first."""
    return Rule.of(Network([problem.agents, *model.hidden, problem.agents], unit_of(env), nnx.Rngs(key)))
