"""Many rows, some at a time, so that what is held meanwhile stays small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from icsap_jax.bilevel.types import Tree


def in_tiles(of: Callable[[Any], Tree], rows: Tree, size: int) -> Tree:
    """What `of` makes of rows, leaves [R, …] there and here, where each row is on its own: about `size` of them at a time, one lot after
    the other. All at once where there are no more, or nobody knows how many (a rule that is exported)."""
    count = jax.tree.leaves(rows)[0].shape[0]
    if not isinstance(count, int) or count <= size:
        return of(rows)
    tiles = -(-count // size)
    size = -(-count // tiles)

    def tiled(leaf: jax.Array) -> jax.Array:
        padded = jnp.pad(leaf, ((0, tiles * size - count), *[(0, 0)] * (leaf.ndim - 1)), mode="edge")
        return padded.reshape(tiles, size, *leaf.shape[1:])

    found = jax.lax.map(of, jax.tree.map(tiled, rows))
    return jax.tree.map(lambda leaf: leaf.reshape(tiles * size, *leaf.shape[2:])[:count], found)
