"""The gradient of the training loss against finite differences, in float64: `--check-gradients`."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.fit import Trainer, TrainState
from icsap_jax.bilevel.types import Tree


def gradient_error(trainer: Trainer, env: Tree, state: TrainState, directions: int = 3, width: float = 1e-5) -> float:
    """The largest error, relative to the gradient's norm, of a directional derivative of the loss at one member's state. The
    envelope theorem holds at the agents' best deviation: a search stopped short of it shows here."""
    with jax.enable_x64(True):
        env, rule = jax.tree.map(jnp.asarray, (double(env), double(state.rule)))
        key = jax.random.key(0)
        value = jax.jit(lambda rule: trainer.loss(rule, env, state, key)[0])
        slope = jax.grad(value)(rule)
        norm = jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(slope)))
        worst = 0.0
        for place in range(directions):
            keys = jax.random.split(jax.random.fold_in(key, place), len(jax.tree.leaves(rule)))
            leaves, shape = jax.tree.flatten(rule)
            along = jax.tree.unflatten(shape, [jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)])
            size = jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(along)))
            along = jax.tree.map(lambda leaf, size=size: leaf / size, along)
            ahead, behind = (jax.tree.map(lambda a, b, sign=sign: a + sign * width * b, rule, along) for sign in (1, -1))
            numeric = (value(ahead) - value(behind)) / (2 * width)
            exact = sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(slope), jax.tree.leaves(along), strict=True))
            worst = max(worst, float(abs(numeric - exact) / jnp.maximum(norm, 1e-12)))
    return worst
