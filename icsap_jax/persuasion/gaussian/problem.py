"""Gaussian persuasion as a learning problem: the covariance of what a linear signal makes the receiver expect (Tamura 2018).

In its own units, z = Σ^(−½)ω, the state is standard normal. A signal tells a share of each of D directions of z, and any such W, 0 < W < 1,
is what some linear signal with noise tells; posterior means then have the covariance M = Σ^½ W Σ^½. The rule is a symmetric matrix, the
log odds of what is told: W has its directions, and as shares the logistic function of its eigenvalues. F is linear in W, and every
W is reached, so that no local optimum is in the way.

There is one information set: the receiver chooses once how to answer signals, a = R·E[ω|s], of which the best for a quadratic loss is
among such linear ones; R = 1 is recommended. Actions are the D² entries of R.
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

from icsap_jax.bilevel.types import Array, Box, Draw, Outcome, Rule, Tree
from icsap_jax.persuasion.gaussian.optimum import root

SPREAD = 0.1  # of the first log odds: about half of everything is told
FURTHEST = 2.0  # entries of R that are tried lie between −2 and 2


@register_dataclass
@dataclass(frozen=True)
class GaussianEnv:
    """The numbers, [D, D] each: the `covariance` Σ of the state, its `root`, the sender's matrices `sender` V and `cross` C. float64."""

    covariance: Array
    root: Array
    sender: Array
    cross: Array


@register_dataclass
@dataclass(frozen=True)
class Decision:
    """`told` W and `means` M [D, D]: what is told of the state in its own units, and the covariance of posterior means."""

    told: Array
    means: Array


@dataclass(frozen=True)
class Gaussian:
    """A state of D `numbers`."""

    numbers: int
    agents: int = 1
    margin: float = 0.0
    rowwise: bool = False
    objective: tuple[str, ...] = ("sender",)
    enumerated: ClassVar[bool] = True
    committed: ClassVar[bool] = True

    def draw(self, env: GaussianEnv, key: Array, count: int) -> Draw:
        """There is nothing to draw: expectations over states and noise are exact. One profile, of weight 1."""
        return Draw(weight=jnp.ones(1), types=None)

    def space(self, env: GaussianEnv, draw: Draw) -> Box:
        """Linear answers R to what is expected, entry by entry, [D²]."""
        size = self.numbers**2
        return Box(low=jnp.full(size, -FURTHEST), high=jnp.full(size, FURTHEST))

    def recommended(self, env: GaussianEnv, draw: Draw) -> Array:
        """What is expected, as it is: R = 1, [1, 1, D²]."""
        return jnp.eye(self.numbers).reshape(1, 1, -1)

    def decide(self, env: GaussianEnv, rule: Rule, seen: Tree, action: Array | None) -> Decision:
        """What the signal tells; what the receiver does plays no part."""
        told = rule()
        return Decision(told, env.root @ told @ env.root)

    def utility(self, env: GaussianEnv, draw: Draw, decision: Decision, action: Array) -> Array:
        """−E|Râ − ω|², […, 1, 1], for answers […, 1, 1, D²]: E âω′ = E ââ′ = M."""
        answer = action.reshape(*action.shape[:-1], self.numbers, self.numbers)
        taken = jnp.einsum("...ij,jk,...ik->...", answer, decision.means, answer)
        return 2 * jnp.einsum("...ij,ji->...", answer, decision.means) - taken - jnp.trace(env.covariance)

    def weight(self, env: GaussianEnv, draw: Draw, decision: Decision) -> Array:
        """1, as [1, 1]."""
        return draw.weight[:, None]

    def reservation(self, env: GaussianEnv, draw: Draw) -> Array:
        """What the receiver loses without any signal, [1, 1]: it need not listen."""
        return -jnp.trace(env.covariance).reshape(1, 1)

    def score(self, env: GaussianEnv, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """What sender and receiver expect, [1] each."""
        answer = action[:, 0].reshape(-1, self.numbers, self.numbers)
        taken = answer @ decision.means @ jnp.swapaxes(answer, -1, -2)  # E aa′
        crossed = answer @ decision.means  # E aω′
        sender = jnp.einsum("ij,bji->b", jnp.asarray(env.sender), taken) + jnp.einsum("ij,bij->b", jnp.asarray(env.cross), crossed)
        receiver = self.utility(env, draw, decision, action)[:, 0]
        return Outcome(value=sender, objectives={"sender": sender, "receiver": receiver}, constraints={})


@jax.custom_jvp
def logistic(matrix: Array) -> Array:
    """The logistic function of a symmetric matrix [D, D], of its eigenvalues. Its derivative is that of Daleckii & Krein, which unlike
    that of the eigenvectors is finite where eigenvalues are equal."""
    values, vectors = jnp.linalg.eigh(matrix)
    return (vectors * jax.nn.sigmoid(values)[None]) @ vectors.T


@logistic.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (matrix,), (move,) = primals, tangents
    values, vectors = jnp.linalg.eigh(matrix)
    shares = jax.nn.sigmoid(values)
    apart = values[:, None] - values[None]
    near = jnp.abs(apart) < jnp.finfo(values.dtype).eps ** 0.5
    # There the difference quotient is all rounding, and the slope in the middle is as good.
    middle = jax.nn.sigmoid(0.5 * (values[:, None] + values[None]))
    quotient = jnp.where(near, middle * (1.0 - middle), (shares[:, None] - shares[None]) / jnp.where(near, 1.0, apart))
    return (vectors * shares[None]) @ vectors.T, vectors @ (quotient * (vectors.T @ move @ vectors)) @ vectors.T


class LinearSignal(nnx.Module):
    """W [D, D], by the log odds of what is told; of its parameters the symmetric part counts."""

    def __init__(self, odds: Array):
        self.odds = nnx.Param(odds)

    def __call__(self) -> Array:
        odds = jnp.asarray(self.odds[...])
        return logistic(0.5 * (odds + odds.T))


def linear_signal(model: Any, problem: Gaussian, env: GaussianEnv, key: Array) -> Rule:
    """A signal that tells about half of every direction."""
    return Rule.of(LinearSignal(SPREAD * jax.random.normal(key, (problem.numbers, problem.numbers))))


def build(model: Any, folder: Path) -> tuple[Gaussian, GaussianEnv]:
    """The problem a file describes and its numbers."""
    covariance = np.asarray(model.covariance, np.float64)
    cross = np.zeros_like(covariance) if model.cross is None else np.asarray(model.cross, np.float64)
    env = GaussianEnv(covariance, root(covariance), np.asarray(model.sender, np.float64), cross)
    return Gaussian(numbers=len(covariance)), env
