"""Rules a sender may commit to. With few states the whole rule is a table: the probability of each signal in each state.

Every rule is an nnx module that maps the numbers of the states seen [B] to probabilities of the signals [B, Z].

What a signal is worth jumps where it begins to mean something else, so that there are many local optima, and training has many starts:
one that says nothing, one that says all, and random ones, from saying little to saying much.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.persuasion.problem import Persuasion, PersuasionEnv

FAINT, LOUD = 0.1, 4.0  # of random logits: enough to tell signals apart, and nearly telling states apart
NEVER = -1e4  # the logit of a signal that is not sent, as good as −∞ and finite


class Signal(nnx.Module):
    """A signalling scheme by its logits [S, Z]; a softmax makes each state's row a distribution."""

    def __init__(self, logits: Array):
        self.logits = nnx.Param(logits)

    def __call__(self, states: Array) -> Array:
        return jax.nn.softmax(jnp.asarray(self.logits[...])[states], axis=-1)


def signal(model: Any, problem: Persuasion, env: PersuasionEnv, key: Array) -> Rule:
    """A scheme that says nearly nothing yet: every signal is about equally likely in every state."""
    return Rule.of(Signal(FAINT * jax.random.normal(key, (problem.states, problem.signals))))


def signals(model: Any, problem: Persuasion, env: PersuasionEnv, key: Array) -> Rule:
    """Schemes side by side, leaves [starts, S, Z]."""
    shape = (problem.states, problem.signals)
    size = jnp.geomspace(FAINT, LOUD, model.start_count)[:, None, None]
    logits = size * jax.random.normal(key, (model.start_count, *shape))
    if model.start_count > 2:  # the first says nearly nothing by itself
        apart = LOUD * jax.nn.one_hot(jnp.arange(problem.states) % problem.signals, problem.signals)
        logits = logits.at[-1].set(apart + FAINT * logits[-1] / LOUD)
    graph = Rule.of(Signal(logits[0])).graph
    return jax.vmap(lambda one: Rule(params=Rule.of(Signal(one)).params, graph=graph))(logits)


def logits_of(signal: np.ndarray) -> np.ndarray:
    """The logits of probabilities, float64."""
    return np.maximum(np.log(np.where(signal > 0, signal, 1.0)), NEVER) + np.where(signal > 0, 0.0, NEVER)


def saying(rule: Rule, signal: np.ndarray) -> Rule:
    """A rule like `rule`, a table of logits, that sends each signal with the probabilities given, in float64."""
    return Rule(params=jax.tree.map(lambda _: logits_of(signal), rule.params), graph=rule.graph)
