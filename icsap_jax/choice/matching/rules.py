"""A network that matches, whatever workers and firms are called (after Ravindranath et al. 2021, section 4, and their convolutions).

Each pair of a worker and a firm has h features. A layer takes them at a common length, and adds to them what it makes of a pair's own, the
largest along its worker's row and the largest along its firm's column: so permuting workers or firms permutes the matching. In the end
every worker and every firm spreads a probability of 1 over who is mutually acceptable and staying single, by softmax, and a pair is matched
with the smaller of its two probabilities: rows and columns sum to at most 1, and nobody gets whom it does not accept, by construction.

What a layer begins with is, besides both preferences, what deferred acceptance makes of them (`guarded`). A fresh network does nearly what
guarded deferred acceptance does, and learns where to leave it; without it all of a step's work goes into finding out what is stable. An
agent's report changes what the network begins with as it changes any function of reports, so that nothing is hidden from the gap.

With probability `dictators` a coin, not the network, has serial dictators of either side decide, who ask for consent. As nobody gains by
lying to those, the gap falls with that probability at least in proportion: it is how to go on along the frontier.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from icsap_jax.bilevel.tiles import in_tiles
from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.choice.matching.classical import Classical, in_rows, out_of_rows
from icsap_jax.choice.matching.guarded import halves

FEATURES = 13
TILE = 130  # profiles at a time on a CPU
LEAK = 0.01  # of what is negative, passed on
TRUST = (6.0, 6.0, 0.0, 0.0)  # at the start, as logits: in what is left of both stable matchings, and in both guarded ones


class MatchingNet(nnx.Module):
    """`width` h features, `depth` layers; kernels [3, h, h]. `dictators`: how likely they are to decide instead."""

    def __init__(self, width: int, depth: int, dictators: float, key: Array):
        self.dictators = dictators
        keys = jax.random.split(key, depth + 1)
        self.lift = nnx.Param(jax.random.normal(keys[0], (FEATURES, width)) / FEATURES**0.5)
        self.shift = nnx.Param(jnp.zeros((width,)))
        self.kernels = nnx.List([nnx.Param(jax.random.normal(each, (3, width, width)) * (1.5 / (3 * width)) ** 0.5) for each in keys[1:]])
        self.biases = nnx.List([nnx.Param(jnp.zeros((width,))) for _ in keys[1:]])
        self.head = nnx.Param(jnp.zeros((width, 4)))
        self.trust = nnx.Param(jnp.repeat(jnp.asarray(TRUST)[:, None], 2, 1))

    def __call__(self, p: Array, q: Array) -> Array:
        """The matching […, n, n] on preferences p and q […, n, n], workers before firms."""
        if not self.dictators:
            return self.learned(p, q)
        serial = [Classical("random_serial_dictatorship", side, consent=True)(p, q) for side in ("workers", "firms")]
        return (1.0 - self.dictators) * self.learned(p, q) + 0.5 * self.dictators * (serial[0] + serial[1])

    def learned(self, p: Array, q: Array) -> Array:
        """What the network says of it."""
        shape, size = p.shape, p.shape[-1]
        p, q = p.reshape(-1, size, size), q.reshape(-1, size, size)
        known = [out_of_rows(each, p) for each in halves(*in_rows(p, q))]
        if jax.default_backend() != "cpu":
            return self.matched((p, q, known)).reshape(shape)
        # What a tile holds stays in the processor's cache, also on the way back.
        return in_tiles(jax.checkpoint(self.matched), (p, q, known), TILE).reshape(shape)

    def matched(self, rows: tuple[Array, Array, list[Array]]) -> Array:
        """The matching of profiles [R, n, n] with what `halves` says of them."""
        p, q, known = rows
        fits = (p > 0) & (q > 0)
        x = jnp.stack([jax.nn.relu(p), jax.nn.relu(q), fits.astype(p.dtype), *known], -1) @ self.lift[...]
        x = x + self.shift[...].reshape(1, 1, 1, -1)
        for kernel, bias in zip(self.kernels, self.biases, strict=True):
            x = x + layer(of_length_one(x), kernel[...], bias[...])
        scores = of_length_one(x) @ self.head[...]
        trusted, trust = jnp.stack(known[: len(TRUST)], -1), self.trust[...]
        pairs = trusted @ trust
        alone = [(1.0 - trusted.sum(axis, keepdims=True)) @ trust for axis in (2, 1)]
        worker = shared(scores[..., 0] + pairs[..., 0], scores[..., 2].mean(2, keepdims=True) + alone[0][..., 0], fits, 2)
        firm = shared(scores[..., 1] + pairs[..., 1], scores[..., 3].mean(1, keepdims=True) + alone[1][..., 1], fits, 1)
        return jnp.where(worker <= firm, worker, firm)


def of_length_one(x: Array) -> Array:
    """Features divided by their root mean square, at each pair for itself (Zhang & Sennrich 2019)."""
    return x * jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-6)


@jax.custom_vjp
def layer(x: Array, kernel: Array, bias: Array) -> Array:
    """What a layer adds to features [R, n, n, h], kernel [3, h, h]: leaky relu of what is mixed. Its slope is written out, as what a
    compiler makes of it goes through memory twice as often; where several are largest along a row they share the slope."""
    return _layer(x, kernel, bias)[0]


def _layer(x: Array, kernel: Array, bias: Array) -> tuple[Array, Any]:
    row, column = highest(x, 2), highest(x, 1)
    y = x @ kernel[0] + (row @ kernel[1])[:, :, None] + (column @ kernel[2])[:, None] + bias.reshape(1, 1, 1, -1)
    return jnp.where(y > 0, y, LEAK * y), (x, kernel, y, row, column)


def _slope(kept: Any, slope: Array) -> tuple[Array, Array, Array]:
    x, kernel, y, row, column = kept
    mixed = jnp.where(y > 0, slope, LEAK * slope)
    along_row, along_column = jax.lax.optimization_barrier((mixed.sum(2), mixed.sum(1)))
    kernels = jnp.stack([_products(x, mixed), _products(row, along_row), _products(column, along_column)])
    own, by_row, by_column = jax.lax.optimization_barrier((mixed @ kernel[0].T, along_row @ kernel[1].T, along_column @ kernel[2].T))
    first, second = x == row[:, :, None], x == column[:, None]
    by_row, by_column = by_row / first.sum(2), by_column / second.sum(1)
    passed = jnp.where(first, by_row[:, :, None], 0.0) + jnp.where(second, by_column[:, None], 0.0)
    return own + passed, kernels, along_column.sum((0, 1))


def _products(one: Array, other: Array) -> Array:
    """Σ over all but the last axis, [h, h]."""
    return one.reshape(-1, one.shape[-1]).T @ other.reshape(-1, other.shape[-1])


layer.defvjp(_layer, _slope)


def highest(x: Array, axis: int) -> Array:
    """The largest along a short axis."""
    return reduce(jnp.maximum, [jax.lax.index_in_dim(x, place, axis, keepdims=False) for place in range(x.shape[axis])])


def shared(scores: Array, single: Array, fits: Array, axis: int) -> Array:
    """Softmax of scores [R, n, n] along an axis over those who fit and staying `single`, whose own share is left out."""
    top = jax.lax.stop_gradient(jnp.maximum(jnp.where(fits, scores, -jnp.inf).max(axis, keepdims=True), single))
    raised = jnp.where(fits, jnp.exp(jnp.where(fits, scores - top, 0.0)), 0.0)
    return raised / (raised.sum(axis, keepdims=True) + jnp.exp(single - top))


def matchingnet(model: Any, problem: Any, env: Any, key: Array) -> Rule:
    """From its model in a problem file."""
    return Rule.of(MatchingNet(model.width, model.depth, model.dictators, key))
