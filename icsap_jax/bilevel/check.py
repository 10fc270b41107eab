"""The gradient of the training loss against finite differences, in float64: `--check-gradients`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.fit import Trainer, TrainState
from icsap_jax.bilevel.types import Tree


def gradient_error(trainer: Trainer, env: Tree, state: TrainState, directions: int = 3, width: float = 1e-5) -> float:
    """The largest error, relative to the gradient's norm, of a directional derivative of the loss at one member's state; NaN where
    the loss or its gradient is not finite. The envelope theorem holds at the agents' best deviation: a search stopped short of it
    shows here."""
    with jax.enable_x64(True):
        env, rule = jax.tree.map(jnp.asarray, (double(env), double(state.rule)))
        flat, rebuild = ravel_pytree(rule)
        # One program for the loss and its slope: compiling a second one takes longer than all that is computed here.
        both = jax.jit(jax.value_and_grad(lambda numbers: trainer.loss(rebuild(numbers), env, state, jax.random.key(0))[0]))
        start = np.asarray(flat)
        slope = np.asarray(both(start)[1])
        errors = []
        for along in np.random.default_rng(0).normal(size=(directions, start.size)):
            along = along / np.linalg.norm(along)
            ahead, behind = (float(both(start + sign * width * along)[0]) for sign in (1, -1))
            errors.append(abs((ahead - behind) / (2 * width) - slope @ along) / max(np.linalg.norm(slope), 1e-12))
        return float(np.max(errors))
