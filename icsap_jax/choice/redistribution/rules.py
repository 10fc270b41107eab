"""Rules that hand back what an efficient allocation collects: h(θ₋ᵢ), of the others' values by rank y₁ ≥ … ≥ y_{N−1}.

    cavallo            M·y_{M+1} / N, an N-th of what the others' own auction collects (Bailey 1997; Cavallo 2006)
    guo_conitzer       Σ_{j>M} c_j·y_j with the coefficients of Guo & Conitzer 2009, theorem 1: the largest share on the worst profile
    linear_rebate      c₀ + Σ_j c_j·y_j, learned
    redistributionnet  a network of y, learned; it begins near Cavallo's rule

All allocate alike and charge alike, and differ in `rebate` alone. Where nobody may lose by taking part, the network hands back nothing at
the least: that is all that who gets no unit is left with. (The linear one would not be linear then; it has the constraint's price to learn
by.)
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import comb
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.choice.redistribution.problem import Decision, Redistribution, RedistributionEnv


def ranked_others(values: Array) -> tuple[Array, Array]:
    """Of values […, N] each agent's rank, counted from 0, the first of those that tie coming first, […, N]; and the others' values in
    falling order, […, N, N − 1], into which its own does not enter."""
    order = jnp.argsort(-values, axis=-1, stable=True)
    rank = jnp.argsort(order, axis=-1)
    falling = jnp.take_along_axis(values, order, axis=-1)[..., None, :]
    places = jnp.arange(values.shape[-1] - 1).reshape((1,) * values.ndim + (-1,))
    return rank, jnp.where(places < rank[..., None], falling[..., :-1], falling[..., 1:])


class Rebates(nnx.Module):
    """The allocation and the price, which all rules share. Reports […, N, 1] to a Decision. `rebate(others)`: what an agent is handed back,
    […, N], by the others' values in falling order […, N, N − 1]."""

    rebate: Callable[[Array], Array]

    def __init__(self, units: int):
        self.units = units

    def __call__(self, reports: Array, temperature: Array | None = None) -> Decision:
        rank, others = ranked_others(reports[..., 0])
        won = jnp.where(rank < self.units, 1.0, 0.0).astype(reports.dtype)
        rebate = self.rebate(others)
        return Decision(allocation=won[..., None], payment=won * others[..., self.units - 1] - rebate, rebate=rebate)


class Fixed(Rebates):
    """Known multiples of the others' values."""

    def __init__(self, units: int, coefficients: np.ndarray):
        super().__init__(units)
        self.coefficients = tuple(coefficients.tolist())

    def rebate(self, others: Array) -> Array:
        return others @ jnp.asarray(self.coefficients, others.dtype)


class Linear(Rebates):
    """A constant, in units of `unit`, and a multiple of each of the others' values."""

    def __init__(self, problem: Redistribution, unit: float):
        super().__init__(problem.units)
        self.unit = unit
        self.constant = nnx.Param(jnp.zeros(()))
        self.coefficients = nnx.Param(jnp.asarray(cavallo_coefficients(problem.agents, problem.units), jnp.float32))

    def rebate(self, others: Array) -> Array:
        return self.unit * self.constant[...] + others @ self.coefficients[...]


class Network(Rebates):
    """A perceptron of the others' values, brought to [0, 1], beside a linear rule; at least 0 where `participation` asks for that."""

    def __init__(self, problem: Redistribution, low: float, high: float, hidden: list[int], rngs: nnx.Rngs):
        super().__init__(problem.units)
        self.low, self.width, self.participation = low, max(high - low, 1e-12), problem.participation
        sizes = [problem.agents - 1, *hidden, 1]
        glorot, small = nnx.initializers.glorot_uniform(), nnx.initializers.normal(1e-2)
        self.layers = nnx.List([
            nnx.Linear(a, b, kernel_init=small if place == len(hidden) else glorot, rngs=rngs)
            for place, (a, b) in enumerate(pairwise(sizes))
        ])  # fmt: skip
        self.coefficients = nnx.Param(jnp.asarray(cavallo_coefficients(problem.agents, problem.units), jnp.float32))

    def rebate(self, others: Array) -> Array:
        rows = ((others - self.low) / self.width).reshape(-1, others.shape[-1])
        found = rows
        for layer in self.layers[:-1]:
            found = jax.nn.relu(layer(found))
        linear = (others.reshape(rows.shape) @ self.coefficients[...])[:, None]
        given = (self.width * self.layers[-1](found) + linear).reshape(others.shape[:-1])
        return jax.nn.relu(given) if self.participation else given


def cavallo_coefficients(agents: int, units: int) -> np.ndarray:
    """c [N − 1] of Cavallo's rule; with N − 1 units the others would pay nothing."""
    found = np.zeros(agents - 1)
    found[units : units + 1] = units / agents
    return found


def worst_case_coefficients(agents: int, units: int) -> np.ndarray:
    """c [N − 1] of Guo & Conitzer 2009, theorem 1: for j = M + 1 … N − 1

    c_j = (−1)^{j+M−1} · (N − M)·C(N−1, M−1) / (j·Σ_{k=M}^{N−1} C(N−1, k)) · Σ_{k=j}^{N−1} C(N−1, k) / C(N−1, j)."""
    tail = [sum(comb(agents - 1, k) for k in range(j, agents)) for j in range(agents)]
    found = np.zeros(agents - 1)
    for j in range(units + 1, agents):
        sign = -1 if (j + units - 1) % 2 else 1
        found[j - 1] = sign * (agents - units) * comb(agents - 1, units - 1) / (j * tail[units]) * tail[j] / comb(agents - 1, j)
    return found


def cavallo(model: Any, problem: Redistribution, env: RedistributionEnv, key: Array) -> Rule:
    """See the module."""
    return Rule.of(Fixed(problem.units, cavallo_coefficients(problem.agents, problem.units)))


def guo_conitzer(model: Any, problem: Redistribution, env: RedistributionEnv, key: Array) -> Rule:
    """See the module."""
    return Rule.of(Fixed(problem.units, worst_case_coefficients(problem.agents, problem.units)))


def linear_rebate(model: Any, problem: Redistribution, env: RedistributionEnv, key: Array) -> Rule:
    """Cavallo's rule, to learn from."""
    return Rule.of(Linear(problem, _ends(env)[1]))


def redistributionnet(model: Any, problem: Redistribution, env: RedistributionEnv, key: Array) -> Rule:
    """A fresh network, near Cavallo's rule."""
    return Rule.of(Network(problem, *_ends(env), list(model.hidden), nnx.Rngs(key)))


def _ends(env: RedistributionEnv) -> tuple[float, float]:
    """The lowest and the highest value that anybody may have: constants, also where a rule is being built under jit."""
    with jax.ensure_compile_time_eval():
        low, high = env.prior.support()
        return float(np.asarray(low).min()), float(np.asarray(high).max())
