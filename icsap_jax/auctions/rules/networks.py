"""What the networks of several rules are made of: fully connected layers, reports brought to [−1, 1], and contexts as vectors."""

from __future__ import annotations

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.auctions.problem import Auction, AuctionEnv
from icsap_jax.bilevel.types import Array, Fixed

Support = tuple[np.ndarray, np.ndarray]


class Perceptron(nnx.Module):
    """Fully connected layers with Glorot-uniform weights, as published; rows [R, inputs] to [R, outputs]."""

    def __init__(self, inputs: int, hidden: list[int], outputs: int, activation: str, rngs: nnx.Rngs):
        sizes = [inputs, *hidden, outputs]
        glorot = nnx.initializers.glorot_uniform()
        self.layers = nnx.List([nnx.Linear(a, b, kernel_init=glorot, rngs=rngs) for a, b in pairwise(sizes)])
        self.activation = activation

    def __call__(self, rows: Array) -> Array:
        activation = getattr(jax.nn, self.activation)
        for layer in self.layers[:-1]:
            rows = activation(layer(rows))
        return self.layers[-1](rows)


class Scale(nnx.Module):
    """Reports as (report − centre)/half-width of the support, number by number; reports [R, N, T] keep their shape. Both are given, not
    learned, so that networks for different supports are one program."""

    def __init__(self, support: Support):
        low, high = support
        self.centre = Fixed(jnp.asarray((low + high) / 2, jnp.float32))
        self.half = Fixed(jnp.asarray(np.where(high > low, (high - low) / 2, 1.0), jnp.float32))

    def __call__(self, reports: Array) -> Array:
        return (reports - self.centre[...][None]) / self.half[...][None]


class Contexts(nnx.Module):
    """Public contexts as vectors of bidders […, N, size] and items […, M, size]: the vectors they are, or what is learned of each kind.
    Where there are none, who bids and what is sold stand for them: each its own kind."""

    def __init__(self, problem: Auction, env: AuctionEnv, embedding: int, rngs: nnx.Rngs):
        kinds = (problem.agents, problem.items) if env.contexts is None else env.contexts.encoded()
        self.size = embedding if kinds else env.contexts.dimension
        normal = nnx.initializers.normal(1.0)
        self.kinds = nnx.List([nnx.Param(normal(rngs.params(), (count, embedding))) for count in kinds]) if kinds else None

    def __call__(self, bidders: Array, items: Array) -> tuple[Array, Array]:
        return (bidders, items) if self.kinds is None else (self.kinds[0][...][bidders], self.kinds[1][...][items])


def unit_of(problem: Auction, env: AuctionEnv) -> float:
    """An item's average value, a constant as `support_of` is; 1 where that is nothing."""
    with jax.ensure_compile_time_eval():
        return float(problem.scale(env)) or 1.0


def support_of(problem: Auction, env: AuctionEnv) -> Support:
    """(low, high) [N, T] of the types: constants, also where the rule that needs them is being built under jit."""
    with jax.ensure_compile_time_eval():
        box = problem.space(env, None)
        shape = np.broadcast_shapes(np.shape(box.low), (problem.agents, 1))
        return tuple(np.broadcast_to(np.asarray(bound, np.float64), shape) for bound in (box.low, box.high))
