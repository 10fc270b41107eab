"""Signals of a continuous state: a table over the cells of its interval, or a network that can be asked about any state.

Every rule is an nnx module that maps states [R] to probabilities of the messages [R, Z].
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.persuasion.continuous.problem import MeanEnv, Quadratic, _ByTheMean

SPREAD = 0.1  # of the first logits: enough to tell messages apart, too little to prefer one
ORDERED = 1.0  # of a quadratic receiver's: messages that stand for no action must be told apart by the states they are for


class GridSignal(nnx.Module):
    """Logits [G, Z] of the messages in each of G cells of one width from `low` to `high`."""

    def __init__(self, logits: Array, low: float, high: float):
        self.logits, self.low, self.high = nnx.Param(logits), low, high

    def __call__(self, states: Array) -> Array:
        logits = jnp.asarray(self.logits[...])
        place = jnp.floor((states - self.low) / (self.high - self.low) * len(logits)).astype(int)
        return jax.nn.softmax(logits[jnp.clip(place, 0, len(logits) - 1)], axis=-1)


class StateNetwork(nnx.Module):
    """Layers with tanh between them, on the state's place between −1 and 1; logits are divided by `temperature`."""

    def __init__(self, widths: list[int], low: float, high: float, temperature: float, rngs: nnx.Rngs):
        self.layers = nnx.List([nnx.Linear(one, two, rngs=rngs) for one, two in pairwise(widths)])
        self.low, self.high, self.temperature = low, high, temperature

    def __call__(self, states: Array) -> Array:
        rows = (2.0 * (states - self.low) / (self.high - self.low) - 1.0)[:, None]
        for layer in self.layers[:-1]:
            rows = jnp.tanh(layer(rows))
        return jax.nn.softmax(self.layers[-1](rows) / self.temperature, axis=-1)


def grid_signal(model: Any, problem: _ByTheMean, env: MeanEnv, key: Array) -> Rule:
    """A signal that says nearly nothing yet; to a quadratic receiver, each message a little more likely near its part of the states."""
    logits = SPREAD * jax.random.normal(key, (problem.cells, problem.messages))
    if isinstance(problem, Quadratic):
        cells, messages = ((jnp.arange(count) + 0.5) / count for count in (problem.cells, problem.messages))
        logits = logits - ORDERED * problem.messages * jnp.abs(cells[:, None] - messages[None])
    return Rule.of(GridSignal(logits, problem.low, problem.high))


def state_network(model: Any, problem: _ByTheMean, env: MeanEnv, key: Array) -> Rule:
    """A network of random weights."""
    widths = [1, *model.hidden, problem.messages]
    return Rule.of(StateNetwork(widths, problem.low, problem.high, model.temperature, nnx.Rngs(key)))


def biased(rule: Rule, bias: np.ndarray) -> Rule:
    """A network's rule with its logits moved by `bias` [Z], float64."""
    with jax.enable_x64(True):
        module = nnx.merge(rule.graph, jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), rule.params))
        last = module.layers[-1]
        last.bias[...] = last.bias[...] + module.temperature * jnp.asarray(bias)
        return Rule(params=jax.tree.map(np.asarray, nnx.state(module)), graph=rule.graph)
