"""The largest and the smallest have the slope of one entry, whoever else is as large."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.ties import largest, smallest


def test_of_those_that_tie_one_alone_has_the_slope() -> None:
    """Along any axis: the value is that of `max` and `min`, and the slopes add up to one where `max` would share them."""
    values = jnp.asarray([[1.0, 3.0, 3.0], [2.0, 2.0, -1.0]])
    for function, plain, places in ((largest, jnp.max, [1, 0]), (smallest, jnp.min, [0, 2])):
        np.testing.assert_array_equal(function(values), plain(values, -1))
        np.testing.assert_array_equal(function(values, 0), plain(values, 0))
        slope = jax.jit(jax.grad(lambda given, function=function: function(given).sum()))(values)
        np.testing.assert_array_equal(slope, np.eye(3)[places])
