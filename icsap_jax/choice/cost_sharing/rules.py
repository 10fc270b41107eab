"""Rules that decide who is served and what each pays.

*The largest unanimous set* (Moulin 1999; Moulin & Shenker 2001). Each set S of agents has shares ξ_i(S), which add up to its cost. All
are asked first; whoever is asked for more than it is worth to it leaves, and the rest are asked anew, until nobody leaves. Where ξ_i(S)
never falls as S shrinks (cross-monotonicity) who has left would not come back, so that the order of leaving does not matter, no agent and
no group gains by lying, nobody loses, and what is collected is exactly the cost.

    serial       ξ_i(S) = c(|S|)/|S|
    sequential   ξ_i(S) = c(k) − c(k − 1), i being the k-th of S in a fixed order
    unanimous    ξ_i(S) = C·Σ_p λ_p·w_pi / Σ_{j∈S} w_pj, learned: λ a distribution, w > 0

The last are averages of weighted Shapley values of a project's cost (Kalai & Samet 1987). While it is trained agents leave softly: starting
from all, s_i ← σ((v_i − ξ_i(s))/T), as often as there are agents, with s in the place of who is in S.

*costnet* is a network of all reports, x = σ(·), payments σ(·)·v·x: nobody loses, and the rest is learned.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.choice.cost_sharing.problem import CostEnv, CostSharing, Decision

LEAST = 1e-7  # sum of weights of a set that counts as empty, as it may be while agents leave softly
FARTHEST = 5.0  # from 0 that the logarithm of a weight may be: a weight e^10 times another's is nearly an order
SPREAD = 2.5  # of the logarithms of weights that later starts begin with


class Unanimous(nnx.Module):
    """Reports […, N, 1] to a Decision. `shares(inside)`: what each agent is asked for, […, N], where `inside` […, N] is who is still in;
    finite for all."""

    shares: Callable[[Array], Array]

    def __call__(self, reports: Array, temperature: Array | None = None) -> Decision:
        values = reports[..., 0]
        inside = jnp.ones_like(values)
        for _ in range(values.shape[-1]):
            ahead = values - self.shares(inside)
            if temperature is None:
                inside = inside * jnp.where(ahead >= 0, 1.0, 0.0).astype(values.dtype)
            else:
                inside = jax.nn.sigmoid(ahead / temperature)
        return Decision(allocation=inside[..., None], payment=inside * self.shares(inside))


class Serial(Unanimous):
    """Equal parts of `costs` [N]."""

    def __init__(self, costs: list[float]):
        self.costs = tuple(costs)

    def shares(self, inside: Array) -> Array:
        each = jnp.asarray(self.costs, inside.dtype) / jnp.arange(1, len(self.costs) + 1)
        count = jnp.round(inside.sum(-1, keepdims=True)).astype(int)
        return jnp.broadcast_to(each[jnp.maximum(count, 1) - 1], inside.shape)


class Sequential(Unanimous):
    """What each adds to `costs` [N] in an `order`."""

    def __init__(self, costs: list[float], order: list[int]):
        self.further = tuple(np.diff(costs, prepend=0.0).tolist())
        self.place = tuple(np.argsort(order).tolist())

    def shares(self, inside: Array) -> Array:
        place = np.array(self.place)
        before = jnp.asarray(place[None] < place[:, None], inside.dtype)
        count = jnp.round(inside @ before.T).astype(int)
        return jnp.asarray(self.further, inside.dtype)[count]


class Learned(Unanimous):
    """Parts [P] of the `cost`, each shared in proportion to weights: `lean` [P], whose softmax is λ, and `logarithm` [P, N] of weights."""

    def __init__(self, cost: float, logarithm: Array):
        self.cost = cost
        self.lean = nnx.Param(jnp.zeros(logarithm.shape[:1]))
        self.logarithm = nnx.Param(logarithm)

    def shares(self, inside: Array) -> Array:
        part = jax.nn.softmax(self.lean[...])
        weights = jax.nn.softmax(FARTHEST * jnp.tanh(self.logarithm[...] / FARTHEST), axis=-1)
        together = jnp.einsum("...n,pn->...p", inside, weights)
        return self.cost * jnp.einsum("p,pn,...p->...n", part, weights, 1.0 / jnp.where(together > LEAST, together, 1.0))


class CostNet(nnx.Module):
    """Reports […, N, 1] to a Decision: scores of a perceptron of all reports, brought to [−1, 1]."""

    def __init__(self, low: np.ndarray, high: np.ndarray, hidden: list[int], rngs: nnx.Rngs):
        self.centre = tuple(((low + high) / 2).tolist())
        self.half = tuple(np.maximum((high - low) / 2, 1e-12).tolist())
        sizes = [len(low), *hidden, 2 * len(low)]
        glorot = nnx.initializers.glorot_uniform()
        self.layers = nnx.List([nnx.Linear(a, b, kernel_init=glorot, rngs=rngs) for a, b in pairwise(sizes)])

    def __call__(self, reports: Array) -> Decision:
        agents = reports.shape[-2]
        values = reports.reshape(-1, agents)
        rows = (values - jnp.asarray([self.centre], values.dtype)) / jnp.asarray([self.half], values.dtype)
        for layer in self.layers[:-1]:
            rows = jnp.tanh(layer(rows))
        scores = jax.nn.sigmoid(self.layers[-1](rows))
        served, share = scores[:, :agents], scores[:, agents:]
        return Decision(allocation=served.reshape(reports.shape), payment=(share * served * values).reshape(reports.shape[:-1]))


def serial(model: Any, problem: CostSharing, env: CostEnv, key: Array) -> Rule:
    """See the module."""
    return Rule.of(Serial(_decimals(env.costs)))


def sequential(model: Any, problem: CostSharing, env: CostEnv, key: Array) -> Rule:
    """See the module."""
    return Rule.of(Sequential(_decimals(env.costs), list(range(problem.agents)) if model.order is None else model.order))


def unanimous(model: Any, problem: CostSharing, env: CostEnv, key: Array) -> Rule:
    """Nearly equal shares, to learn from."""
    return Rule.of(Learned(_decimals(env.costs)[0], 0.1 * jax.random.normal(key, (model.parts, problem.agents))))


def starts(model: Any, problem: CostSharing, env: CostEnv, key: Array) -> Rule:
    """Several, leaves [starts, …]: the first from nearly equal shares, the others from ever less equal ones."""
    spread = jnp.linspace(0.1, SPREAD, model.tried) if model.tried > 1 else jnp.full((1,), 0.1)
    drawn = spread[:, None, None] * jax.random.normal(key, (model.tried, model.parts, problem.agents))
    cost = _decimals(env.costs)[0]
    return jax.vmap(lambda logarithm: Rule.of(Learned(cost, logarithm)))(drawn)


def costnet(model: Any, problem: CostSharing, env: CostEnv, key: Array) -> Rule:
    """A fresh network."""
    with jax.ensure_compile_time_eval():
        low, high = (np.asarray(bound, np.float64)[:, 0] for bound in env.prior.support())
    return Rule.of(CostNet(low, high, list(model.hidden), nnx.Rngs(key)))


def _decimals(costs: Array) -> list[float]:
    """float32 costs as the decimals that were written, constants also where a rule is being built under jit."""
    with jax.ensure_compile_time_eval():
        return np.asarray(costs).astype(str).astype(np.float64).tolist()
