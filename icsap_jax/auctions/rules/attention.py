"""Attention over pairs of a bidder and an item: a transformer's encoder layer (Vaswani et al. 2017), and the layer made of two of them in
which a pair attends to its bidder's other items and to its item's other bidders (Duan et al. 2022). No number belongs to a bidder or an
item, so that what comes out moves with the order of either, and there may be any number of them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from icsap_jax.auctions.rules.networks import Perceptron
from icsap_jax.bilevel.types import Array


def attended(asked: Array, heads: int) -> Array:
    """What each of a sequence hears of the others by dot products, each head apart: queries, keys and values side by side […, L, 3·H·w]
    give […, L, H·w]."""
    *lead, length, numbers = asked.shape
    width = numbers // (3 * heads)
    queries, keys, values = jnp.moveaxis(asked.reshape(*lead, length, 3, heads, width), -3, 0)
    if length > 1:  # one alone attends to itself
        looks = jax.nn.softmax(jnp.einsum("...qhd,...khd->...hqk", queries, keys) / width**0.5, -1)
        values = jnp.einsum("...hqk,...khd->...qhd", looks, values)
    return values.reshape(*lead, length, heads * width)


class Encoder(nnx.Module):
    """Attention and a perceptron, each added to what came in and normalised; sequences […, L, width]."""

    def __init__(self, width: int, heads: int, rngs: nnx.Rngs):
        self.heads = heads
        self.asked = nnx.Linear(width, 3 * width, rngs=rngs)
        self.told = nnx.Linear(width, width, rngs=rngs)
        self.within = Perceptron(width, [width], width, "relu", rngs)
        self.norms = nnx.List([nnx.LayerNorm(width, rngs=rngs) for _ in range(2)])

    def __call__(self, sequences: Array) -> Array:
        sequences = self.norms[0](sequences + self.told(attended(self.asked(sequences), self.heads)))
        return self.norms[1](sequences + self.within(sequences))


class Crossed(nnx.Module):
    """Pairs […, N, M, width]: along the items, along the bidders, and the mean of all, put together by a perceptron."""

    def __init__(self, width: int, heads: int, outputs: int, rngs: nnx.Rngs):
        self.along_items, self.along_bidders = Encoder(width, heads, rngs), Encoder(width, heads, rngs)
        self.together = Perceptron(3 * width, [width], outputs, "relu", rngs)

    def __call__(self, pairs: Array) -> Array:
        rows, columns = self.along_items(pairs), self.along_bidders(pairs.swapaxes(-3, -2)).swapaxes(-3, -2)
        overall = jnp.broadcast_to(pairs.mean((-3, -2), keepdims=True), pairs.shape)
        return self.together(jnp.concatenate([rows, columns, overall], -1))
