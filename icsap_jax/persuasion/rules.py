"""Rules a sender may commit to. With few states the whole rule is a table: the probability of each recommendation in each state.

Every rule is an nnx module that maps the numbers of the states seen [B] to probabilities of the signals [B, Z].
"""

from __future__ import annotations

from typing import Any

import jax
from flax import nnx

from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.persuasion.problem import Persuasion, PersuasionEnv

SPREAD = 0.1  # of the first logits: enough to tell signals apart, too little to prefer one


class Signal(nnx.Module):
    """A signalling scheme by its logits [S, Z]; a softmax makes each state's row a distribution."""

    def __init__(self, states: int, signals: int, rngs: nnx.Rngs):
        self.logits = nnx.Param(SPREAD * jax.random.normal(rngs.params(), (states, signals)))

    def __call__(self, states: Array) -> Array:
        return jax.nn.softmax(self.logits[...][states], axis=-1)


def signal(model: Any, problem: Persuasion, env: PersuasionEnv, key: Array) -> Rule:
    """A scheme that says nearly nothing yet: every recommendation is about equally likely in every state."""
    return Rule.of(Signal(problem.states, problem.actions, nnx.Rngs(key)))
