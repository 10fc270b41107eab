"""Incentives a human may give: a function of what it values, g = f(v), or a table g(a, ω).

Every rule is an nnx module that maps the values the human can see, [S, A], to incentives of that shape. Those that are learned are
never below the least incentive by construction: what is learned is softplus of it, in units of what the agent must be offered to give up
its own preference. Numbers of the problem file (a fixed table, a fixed slope) are kept as they were written and are no parameters.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.config import ConfigError
from icsap_jax.contracts.reputation.exact import Terms

SPREAD = 1.5  # of the first parameters: softplus of them ranges over a factor of ten or so


class Table(nnx.Module):
    """g(a, ω) = least + unit·softplus(raw [S, A])."""

    def __init__(self, raw: Array, least: float, unit: float):
        self.raw, self.least, self.unit = nnx.Param(raw), least, unit

    def __call__(self, value: Array) -> Array:
        return self.least + self.unit * jax.nn.softplus(self.raw[...])


class Fixed(nnx.Module):
    """A table [S, A] that is not learned."""

    def __init__(self, table: np.ndarray):
        self.rows = tuple(map(tuple, table.tolist()))
        self.table = nnx.Param(jnp.asarray(table))  # for the reader of an artifact: `rows` is what counts

    def __call__(self, value: Array) -> Array:
        return jnp.asarray(self.rows)


class Piecewise(nnx.Module):
    """f is linear between `knots` and flat beyond them: least + unit·softplus(raw) at each, or where monotone the sum up to each."""

    def __init__(self, raw: Array, knots: tuple[float, ...], least: float, unit: float, monotone: bool):
        self.raw, self.knots, self.least, self.unit, self.monotone = nnx.Param(raw), knots, least, unit, monotone

    def __call__(self, value: Array) -> Array:
        heights = jax.nn.softplus(self.raw[...])
        heights = jnp.cumsum(heights) if self.monotone else heights
        value = jnp.asarray(value)
        found = jnp.interp(value.ravel(), jnp.asarray(self.knots), heights)
        return self.least + self.unit * found.reshape(value.shape)


class Network(nnx.Module):
    """f is a network of one hidden layer over v, scaled to [0, 1]; where monotone its weights are softplus of what is learned."""

    def __init__(self, hidden: int, low: float, high: float, least: float, unit: float, monotone: bool, rngs: nnx.Rngs):
        into, bias, out, shift = jax.random.split(rngs.params(), 4)
        self.into = nnx.Param(3.0 * jax.random.normal(into, (hidden,)))
        self.bias = nnx.Param(3.0 * jax.random.normal(bias, (hidden,)))
        self.out = nnx.Param(jax.random.normal(out, (hidden,)) - (1.0 if monotone else 0.0))
        self.shift = nnx.Param(jax.random.normal(shift, ()) - 1.0)
        self.low, self.width, self.least, self.unit, self.monotone = low, max(high - low, 1e-9), least, unit, monotone

    def __call__(self, value: Array) -> Array:
        share = ((jnp.asarray(value) - self.low) / self.width)[..., None]
        into, out = self.into[...], self.out[...]
        into, out = (jax.nn.softplus(into), jax.nn.softplus(out)) if self.monotone else (into, out)
        # A unit that turns at share −bias/into is anywhere in [0, 1] or so.
        hidden = jnp.tanh(share @ into[None] + jnp.broadcast_to(self.bias[...], (*share.shape[:-1], into.size)))
        return self.least + self.unit * jax.nn.softplus(hidden @ out + self.shift[...])


class Proportional(nnx.Module):
    """f(v) = k·v, at least `least` where there is one; k = unit·softplus(raw) where monotone, else unit·raw, or `fixed`."""

    def __init__(self, raw: Array, least: float | None, unit: float, monotone: bool, fixed: float | None):
        self.raw, self.least, self.unit, self.monotone, self.fixed = nnx.Param(raw), least, unit, monotone, fixed

    def __call__(self, value: Array) -> Array:
        slope = self.unit * (jax.nn.softplus(self.raw[...]) if self.monotone else self.raw[...])
        paid = (slope if self.fixed is None else self.fixed) * jnp.asarray(value)
        return paid if self.least is None else jnp.maximum(paid, self.least)


def incentive_table(model: Any, problem: Any, env: Any, key: Array) -> Rule:
    """A table at random, or the fixed one. Raises ConfigError where that is of another shape, or a learned one would have no bound."""
    shape = (problem.states, problem.actions)
    if model.fixed is None:
        return Rule.of(Table(SPREAD * jax.random.normal(key, shape), _bounded(problem.terms), problem.terms.unit))
    if model.fixed.shape != shape and (problem.states > 1 or model.fixed.shape != shape[1:]):
        expected = list(shape) if problem.states > 1 else list(shape[1:])
        raise ConfigError(f"rule.fixed: has shape {list(model.fixed.shape)}; it should be {expected}, one incentive for each action"
                          + (" in each state." if problem.states > 1 else "."))
    return Rule.of(Fixed(np.broadcast_to(model.fixed.values, shape)))


def incentive_of_value(model: Any, problem: Any, env: Any, key: Array) -> Rule:
    """A function of value at random, or the fixed proportion. Raises ConfigError where a learned one would have no bound."""
    terms = problem.terms
    if model.form == "linear":
        if model.slope is None:
            _check_slope(terms, model.monotone)
        reach = max(map(abs, terms.values)) or 1.0
        return Rule.of(Proportional(SPREAD * jax.random.normal(key, ()), terms.least, terms.unit / reach, model.monotone, model.slope))
    least = _bounded(terms)
    if model.form == "network":
        low, high = terms.values[0], terms.values[-1]
        return Rule.of(Network(model.hidden, low, high, least, terms.unit, model.monotone, nnx.Rngs(key)))
    raw = SPREAD * jax.random.normal(key, (len(terms.values),))
    return Rule.of(Piecewise(raw, terms.values, least, terms.unit, model.monotone))


def tables_from_many_starts(model: Any, problem: Any, env: Any, key: Array) -> Rule:
    """`start_count` tables, leaves [starts, …]."""
    return jax.vmap(lambda each: incentive_table(model, problem, env, each))(jax.random.split(key, model.start_count))


def values_from_many_starts(model: Any, problem: Any, env: Any, key: Array) -> Rule:
    """`start_count` functions of value, leaves [starts, …]."""
    return jax.vmap(lambda each: incentive_of_value(model, problem, env, each))(jax.random.split(key, model.start_count))


def _bounded(terms: Terms) -> float:
    if terms.least is None:
        raise ConfigError("problem.least_incentive = null: the human would lower this rule's incentives all together and for ever, which "
                          "saves money and changes nothing the agent does; give a number, or use rule.form = linear.")
    return terms.least


def _check_slope(terms: Terms, monotone: bool) -> None:
    if terms.least is None and (terms.best < 0 or (terms.worst > 0 and not monotone)):
        raise ConfigError("problem.least_incentive = null: with these human values an ever steeper slope fines the agent whatever it does, "
                          "which saves money for ever; give a number.")
