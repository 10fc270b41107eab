"""The largest and the smallest of some values, with a slope that is always finite.

The derivative of `values.max()` shares the slope among all that equal the largest, and divides by how many there are. A compiler may
compute the values anew in the backward pass, in another order of operations; then none of them may equal the largest, to the last bit,
and the slope is 0/0. Here one of those that tie is picked, and it alone has the slope. So it is wherever such a value is differentiated.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from icsap_jax.bilevel.types import Array


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def largest(values: Array, axis: int = -1) -> Array:
    """The largest along an axis, which goes; its slope is that of one entry."""
    return values.max(axis)


@largest.defjvp
def _slope(axis: int, values: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    place = jnp.expand_dims(jnp.argmax(values[0], axis), axis)
    return values[0].max(axis), jnp.take_along_axis(tangents[0], place, axis=axis).squeeze(axis)


def smallest(values: Array, axis: int = -1) -> Array:
    """The smallest along an axis, which goes; its slope is that of one entry."""
    return -largest(-values, axis)
