"""Dividing a cake among agents whose tastes are known (Brams & Taylor 1996; Moulin 2003).

N agents, P divisible pieces; agent i values all of piece p at v_ip, so that shares x [N, P], whose columns sum to 1, are worth
f_i = Σ_p v_ip x_ip to it. The designer wants Σ f (utilitarian), min f (maximin, Rawls), the geometric mean of f (Nash welfare: the same
best division as Σ log f, in the units of f), or −max_{i,j} |f_i − f_j| (equitable: equation 5 of Zhang et al. 2024, printed with the
inequality reversed). Two constraints, each signed, met when ≤ 0:

    envy_free      Σ_p v_ip (x_jp − x_ip)     what i thinks of j's share, over what it thinks of its own        (Foley 1967)
    proportional   Σ_p v_ip / N − f_i         what is missing to an N-th of the cake                            (Steinhaus 1948)

Nobody is asked anything, so nobody can misreport; agents have one thing to do, to eat.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.ties import largest, smallest
from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule, Tree
from icsap_jax.inequality import geometric_mean


@register_dataclass
@dataclass(frozen=True)
class CakeEnv:
    """`values` v [N, P]; `margin` [], by which constraints should hold, as a share of the cake. numpy float64."""

    values: Array
    margin: Array


@register_dataclass
@dataclass(frozen=True)
class Division:
    """`shares` x [N, P] of each piece."""

    shares: Array


@dataclass(frozen=True)
class Cake:
    """N `agents` and P `pieces`; `wish` is the objective, `constraints` the names of those that are asked for."""

    agents: int
    pieces: int
    wish: str
    constraints: tuple[str, ...]
    objective: tuple[str, ...]
    margin: float = 0.0
    rowwise: bool = False
    committed: ClassVar[bool] = True

    def draw(self, env: CakeEnv, key: Array, count: int) -> Draw:
        """There is nothing to draw: one profile, of weight 1."""
        return Draw(weight=jnp.ones(1), types=None)

    def space(self, env: CakeEnv, draw: Draw) -> Finite:
        """To eat, [1, N, 1]."""
        return Finite(mask=jnp.ones((1, self.agents, 1), bool))

    def recommended(self, env: CakeEnv, draw: Draw) -> Array:
        """To eat, [1, N, 1]."""
        return jnp.ones((1, self.agents, 1), draw.weight.dtype)

    def decide(self, env: CakeEnv, rule: Rule, seen: Tree, action: Any) -> Division:
        """The division."""
        return Division(rule())

    def utility(self, env: CakeEnv, draw: Draw, decision: Division, action: Array) -> Array:
        """What everybody gets, […, 1, N]."""
        return jnp.broadcast_to(enjoyed(env.values, decision.shares), action.shape[:-1])

    def weight(self, env: CakeEnv, draw: Draw, decision: Division) -> Array:
        """One, [1, 1]."""
        return draw.weight[:, None]

    def score(self, env: CakeEnv, draw: Draw, decision: Division, action: Array) -> Outcome:
        """Every objective, [1] each, and the constraints asked for, [1, …], tightened by the margin."""
        values = jnp.asarray(env.values)
        parts = {name: each[None] for name, each in wishes(enjoyed(values, decision.shares)).items()}
        slack = env.margin * values.sum(-1)
        missed = {"envy_free": envy(values, decision.shares) + slack[:, None] * (1 - jnp.eye(self.agents, dtype=values.dtype)),
                  "proportional": lacking(values, decision.shares) + slack}  # fmt: skip
        return Outcome(value=parts[self.wish], objectives=parts, constraints={name: missed[name][None] for name in self.constraints})


def enjoyed(values: Array, shares: Array) -> Array:
    """f: what everybody gets, […, N], of values and shares […, N, P]. For numpy and jax alike."""
    return (values * shares).sum(-1)


def wishes(gets: Array) -> dict[str, Array]:
    """Every objective, […], of what agents get, […, N]."""
    return {
        "utilitarian": gets.sum(-1), "maximin": smallest(gets),
        "nash_welfare": geometric_mean(gets, np if isinstance(gets, np.ndarray) else jnp),
        "equitable": smallest(gets) - largest(gets),
    }  # fmt: skip


def envy(values: Array, shares: Array) -> Array:
    """By how much agent i prefers what j has to its own, […, N, N], i before j."""
    thinks = values @ shares.swapaxes(-1, -2)
    return thinks - enjoyed(values, shares)[..., None]


def lacking(values: Array, shares: Array) -> Array:
    """What each agent is short of an N-th of the cake by its own measure, […, N]."""
    return values.sum(-1) / values.shape[-2] - enjoyed(values, shares)


class Softmax(nnx.Module):
    """Shares [N, P] from their `logits`."""

    def __init__(self, logits: Array):
        self.logits = nnx.Param(logits)

    def __call__(self) -> Array:
        return jax.nn.softmax(self.logits[...], axis=0)


def shares(model: Any, problem: Cake, env: CakeEnv, key: Array) -> Rule:
    """Nearly equal shares for all."""
    return Rule.of(Softmax(0.1 * jax.random.normal(key, (problem.agents, problem.pieces))))


def build(model: Any, folder: Path) -> tuple[Cake, CakeEnv]:
    """The problem a file describes and its numbers."""
    values = values_of(model)
    agents, pieces = values.shape
    constraints = tuple(sorted(model.constraints))
    return Cake(agents, pieces, model.objective, constraints, (model.objective,)), CakeEnv(values, np.float64(model.margin))


def values_of(model: Any) -> np.ndarray:
    """Tastes [N, P] as a checked problem file means them."""
    values = np.asarray(model.values, np.float64)
    return values / values.sum(1, keepdims=True) if model.normalise else values
