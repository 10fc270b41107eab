"""Screening: the agent knows its type, the principal only the distribution (Mussa & Rosen 1978; Baron & Myerson 1982).

The agent reports a type and is given a quantity q and a transfer t. A buyer of type θ gets θ q − t and the principal t − C(q); a seller
gets t − θ q and the principal V(q) − t. With `sign` +1 for selling and −1 for procuring, both are one problem: strength x = sign·θ,
the agent gets x q − sign·t, the principal sign·t + W(q). Utilities are told over and above the reservation utility.

Types are enumerated, never sampled. Finitely many are `Types`: a report is one of T finite actions. A continuum is `Interval`: reports
fill the interval, and types are the nodes of Gauss–Legendre quadrature in each of 64 panels, weighted by the density, which is exact
for rules that are polynomials between panel ends, and nothing is gained by a rule between the nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.types import Array, Box, Draw, Finite, Outcome, Rule, Tree
from icsap_jax.contracts.screening.optimum import largest_quantity, market
from icsap_jax.contracts.screening.worth import Power, Quadratic

PANELS = 64  # where a rule over a continuum may bend
NODES = 4  # of quadrature in each panel: exact for polynomials to degree 7

register_dataclass(Power, ["scale", "exponent"], [])
register_dataclass(Quadratic, ["linear", "curvature"], [])


@register_dataclass
@dataclass(frozen=True)
class ScreeningEnv:
    """The numbers: the types enumerated, from worst to best, by `strength` [B] with `mass` [B]; the principal's `worth` W; the agent's
    `reservation` []. numpy float64, so that the evaluation is exact."""

    strength: Array
    mass: Array
    worth: Any
    reservation: Array


@register_dataclass
@dataclass(frozen=True)
class Decision:
    """`quantity` and `transfer`, one of each for every report."""

    quantity: Array
    transfer: Array


@dataclass(frozen=True)
class _Screening:
    """What both kinds of types share. `strengths`: of the T types, or the two ends of the interval, worst first; `sign` +1 when the
    principal sells; `top`: no type is given more."""

    strengths: tuple[float, ...]
    sign: float
    top: float
    least_utility: float
    margin: float = 0.0
    agents: int = 1
    objective: tuple[str, ...] = ("principal",)

    def weight(self, env: ScreeningEnv, draw: Draw, decision: Decision) -> Array:
        """The probability of each type, [B, 1]."""
        return draw.weight[:, None]

    def principal(self, env: ScreeningEnv, decision: Decision) -> Array:
        """What each quantity and transfer leave to the principal."""
        return self.sign * decision.transfer + env.worth.of(decision.quantity, jnp)


@dataclass(frozen=True)
class Interval(_Screening):
    """Types fill an interval."""

    rowwise: bool = True
    enumerated: bool = True

    def draw(self, env: ScreeningEnv, key: Array, count: int) -> Draw:
        """Every node: types [B, 1, 1] with their weights. `key` and `count` are not needed."""
        return Draw(weight=jnp.asarray(env.mass), types=(self.sign * jnp.asarray(env.strength))[:, None, None])

    def space(self, env: ScreeningEnv, draw: Draw) -> Box:
        """The interval of types, [1, 1]."""
        low, high = sorted(self.sign * end for end in self.strengths)
        return Box(low=jnp.full((1, 1), low), high=jnp.full((1, 1), high))

    def recommended(self, env: ScreeningEnv, draw: Draw) -> Array:
        """The truth, [B, 1, 1]."""
        return draw.types

    def decide(self, env: ScreeningEnv, rule: Rule, seen: Tree, action: Array) -> Decision:
        """Quantity and transfer […, 1] for reports […, 1, 1]."""
        return rule(action)

    def utility(self, env: ScreeningEnv, draw: Draw, decision: Decision, action: Array) -> Array:
        """What the true type gets over its reservation, […, I, 1]."""
        received = jnp.einsum("...n,...n->...n", decision.quantity, draw.types[..., 0])
        return self.sign * (received - decision.transfer) - env.reservation

    def score(self, env: ScreeningEnv, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """What principal and agent get on each type, [B]."""
        value = self.principal(env, decision)[..., 0]
        rent = self.utility(env, draw, decision, action)[..., 0]
        return Outcome(value=value, objectives={"principal": value, "rent": rent}, constraints={})


@dataclass(frozen=True)
class Types(_Screening):
    """Finitely many types; the actions of each are the T reports."""

    rowwise: bool = False

    def draw(self, env: ScreeningEnv, key: Array, count: int) -> Draw:
        """Every type [T] with its probability. `key` and `count` are not needed."""
        return Draw(weight=jnp.asarray(env.mass), types=jnp.asarray(env.strength))

    def space(self, env: ScreeningEnv, draw: Draw) -> Finite:
        """Every type may be reported, [1, 1, T]."""
        return Finite(mask=jnp.ones((1, 1, len(self.strengths)), bool))

    def recommended(self, env: ScreeningEnv, draw: Draw) -> Array:
        """The truth, [T, 1, T]."""
        return jnp.eye(len(self.strengths), dtype=draw.weight.dtype)[:, None]

    def decide(self, env: ScreeningEnv, rule: Rule, seen: Tree, action: Array | None) -> Decision:
        """The whole menu, [T] each; which report is made plays no part."""
        return rule(jnp.arange(len(self.strengths)))

    def utility(self, env: ScreeningEnv, draw: Draw, decision: Decision, action: Array) -> Array:
        """What each type gets over its reservation, […, T, 1], from reports […, T|1, 1, T]."""
        gets = draw.types[:, None] * decision.quantity[None, :] - self.sign * decision.transfer[None, :] - env.reservation
        if action.shape[-3] == 1:  # one report for all types: a matrix product, where T³ numbers would be added up
            return jnp.einsum("...na,ta->...tn", action[..., 0, :, :], gets)
        return jnp.einsum("...tna,ta->...tn", action, gets)

    def reservation(self, env: ScreeningEnv, draw: Draw) -> Array:
        """Zero for every type [T, 1]: utilities are over and above the reservation."""
        return jnp.zeros_like(draw.weight)[:, None]

    def score(self, env: ScreeningEnv, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """What principal and agent get on each type, [T]."""
        value = action[:, 0] @ self.principal(env, decision)
        rent = self.utility(env, draw, decision, action)[:, 0]
        return Outcome(value=value, objectives={"principal": value, "rent": rent}, constraints={})

    def export_inputs(self, env: ScreeningEnv) -> tuple[np.ndarray]:
        """Every type by its place, worst first, [T] int32."""
        return (np.arange(len(self.strengths), dtype=np.int32),)


def build(model: Any, folder: Path) -> tuple[Types | Interval, ScreeningEnv]:
    """The problem a file describes and its numbers."""
    sign = 1.0 if model.side == "sell" else -1.0
    shared = {"sign": sign, "top": largest_quantity(model), "least_utility": model.agent.reservation}
    worth, reservation = model.principal.build(model.side), np.float64(model.agent.reservation)
    if model.prior is None:
        given = market(model)
        problem = Types(strengths=tuple(given.strength.tolist()), **shared)
        return problem, ScreeningEnv(given.strength, given.mass, worth, reservation)
    prior = model.prior.build()
    types, mass = nodes(prior)
    if sign < 0:
        types, mass = types[::-1], mass[::-1]
    ends = (prior.low, prior.high) if sign > 0 else (-prior.high, -prior.low)
    return Interval(strengths=ends, **shared), ScreeningEnv(sign * types, mass, worth, reservation)


def nodes(prior: Any) -> tuple[np.ndarray, np.ndarray]:
    """Types [B], increasing, and their weights [B], which sum to one: Gauss–Legendre in each panel, times the density."""
    at, weight = np.polynomial.legendre.leggauss(NODES)
    edges = np.linspace(prior.low, prior.high, PANELS + 1)
    half = np.diff(edges)[:, None] / 2
    types = (edges[:-1, None] + half * (at + 1.0)).ravel()
    mass = (half * weight).ravel() * prior.density(types)
    return types, mass / mass.sum()
