"""Taxes on income: one rate, or one for each bracket, and how a bracketed one is made exact.

A rate is 1 − exp(−θ), which is below one for any θ, zero at θ = 0 and a subsidy below; where there is a least rate it is approached as a
square is, so that it can be reached and left. Thresholds are sums of positive steps.

What brackets are worth jumps where a type is indifferent between two of them, and their best lies beside such a jump. So several schedules
are trained side by side, and the best of them is improved by Nelder & Mead's (1965) search on exact replies, ties against the designer.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.bilevel.types import Array, Rule, Tree
from icsap_jax.config import ConfigError
from icsap_jax.games.economy.exact import of_model
from icsap_jax.games.economy.optimum import best_rate
from icsap_jax.games.economy.problem import EconomyEnv, IncomeTax, Schedule
from icsap_jax.games.economy.search import improved
from icsap_jax.games.economy.social import EqualityProductivity

HIGHEST = 0.7  # of the mean rates that starts begin with
SPREAD = 0.35  # of their rates about that mean: rates that fall are often the best
CLEAR = 0.05  # of the way from the least rate to one: how far first rates stay from either
REACH = (0.1, 1.2)  # first thresholds lie between these, as shares of the least and the largest income without a tax


class LinearTax(nnx.Module):
    """θ of the one rate."""

    def __init__(self, angle: Array):
        self.angle = nnx.Param(angle)

    def __call__(self, seen: Tree) -> Schedule:
        angle = self.angle[...]
        return Schedule(rates=-jnp.expm1(-angle)[None], thresholds=jnp.zeros((0,), angle.dtype))


class BracketedTax(nnx.Module):
    """θ [K] of the rates, and where thresholds are learned the logarithms of their steps [K − 1], in a `unit` of income."""

    def __init__(self, angles: Array, steps: Array | None, unit: float, given: tuple[float, ...], least: float | None):
        self.angles = nnx.Param(angles)
        self.unit, self.given, self.least = unit, given, least
        if steps is not None:
            self.steps = nnx.Param(steps)

    def __call__(self, seen: Tree) -> Schedule:
        angles = self.angles[...]
        rates = -jnp.expm1(-angles) if self.least is None else self.least - (1.0 - self.least) * jnp.expm1(-(angles**2))
        thresholds = jnp.asarray(self.given, angles.dtype) if self.given else self.unit * jnp.cumsum(jnp.exp(self.steps[...]))
        return Schedule(rates=rates, thresholds=thresholds)


def linear_tax(model: Any, problem: IncomeTax, env: EconomyEnv, key: Array) -> Rule:
    """The rate that the file begins with."""
    return Rule.of(LinearTax(-jnp.log1p(-jnp.asarray(model.rate))))


def schedule_rule(model: Any, env: EconomyEnv, rates: Array, thresholds: Array) -> Rule:
    """The rule of a bracketed tax with these rates [K], none below the least, and learned thresholds [K − 1]; those that are given stay."""
    unit, given = float(np.max(env.free)), () if model.thresholds is None else tuple(model.thresholds.tolist())
    if model.least_rate is None:
        angles = -jnp.log1p(-rates)
    else:
        angles = jnp.sqrt(jnp.maximum(-jnp.log1p(-jnp.maximum(rates - model.least_rate, 0.0) / (1.0 - model.least_rate)), 0.0))
    steps = None if given else jnp.log(jnp.diff(thresholds, prepend=jnp.zeros((1,), thresholds.dtype)) / unit)
    return Rule.of(BracketedTax(angles, steps, unit, given, model.least_rate))


def bracketed_tax(model: Any, problem: IncomeTax, env: EconomyEnv, key: Array) -> Rule:
    """Rates about a level and thresholds, drawn at random."""
    level_key, rate_key, place_key = jax.random.split(key, 3)
    level = HIGHEST * jax.random.uniform(level_key)
    least = -0.5 if model.least_rate is None else model.least_rate
    rates = level + SPREAD * jax.random.normal(rate_key, (model.brackets,))
    rates = jnp.clip(rates, least + CLEAR * (1.0 - least), 1.0 - CLEAR * (1.0 - least))
    low, high = np.log(REACH[0] * np.min(env.free)), np.log(REACH[1] * np.max(env.free))
    places = jnp.sort(jax.random.uniform(place_key, (model.brackets - 1,)))
    apart = 0.02 * jnp.arange(model.brackets - 1)  # of the reach: no two begin at one income
    return schedule_rule(model, env, rates, jnp.exp(low + (high - low) * (0.9 * places + apart)))


def bracketed_taxes(model: Any, problem: IncomeTax, env: EconomyEnv, key: Array) -> Rule:
    """Starts side by side, leaves [starts, …]."""
    keys = jax.random.split(key, model.starts_tried)
    return jax.vmap(lambda each: bracketed_tax(model, problem, env, each))(keys)


def schedule_of(rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """(rates [K], thresholds [K − 1]) of a learned tax, float64."""
    with jax.enable_x64(True):
        told = rule.astype(jnp.float64)(None)
        return np.asarray(told.rates), np.asarray(told.thresholds)


def polish(problem: IncomeTax, env: EconomyEnv, model: Any, rule_model: Any, rule: Rule) -> tuple[Rule, dict[str, Any]]:
    """A bracketed tax improved by a local search, with what it was worth before and after, ties against the designer; a linear one as it
    was learned."""
    if rule_model.kind != "bracketed_tax":
        return rule, {}
    rates, thresholds = schedule_of(rule)
    found, before, after = improved(of_model(model), rates, thresholds, rule_model)
    told = {"value_before_polish": before, "value_after_polish": max(before, after)}
    if after <= before:
        return rule, told
    with jax.enable_x64(True):
        params = schedule_rule(rule_model, env, *map(jnp.asarray, found)).params
    return Rule(params=jax.tree.map(np.asarray, params), graph=rule.graph), told


def _require_a_best(config: Any) -> None:
    if best_rate(of_model(config.problem)) is None:
        raise ConfigError("problem.objective: has no best rate: the larger a subsidy, paid for by all alike, the more it is worth; give "
                          "the least skilled more weight, or write rule.kind=bracketed_tax, which has a least rate.")  # fmt: skip


def check(problem: IncomeTax, env: EconomyEnv, config: Any) -> None:
    """Raise ConfigError where the response cannot know what people do under the rule, or the rule has no best."""
    bracketed = config.rule.kind == "bracketed_tax"
    if not bracketed or config.rule.least_rate is None:
        _require_a_best(config)
    if not bracketed:
        return
    if config.training.response.kind == "stationary":
        raise ConfigError("training.response.kind = stationary: solves a first-order condition, which says nothing at the kinks between "
                          "brackets; write training.response.kind=equilibrium.")  # fmt: skip
    if isinstance(env.social, EqualityProductivity) and config.rule.least_rate is None:
        raise ConfigError("rule.least_rate = null: equality × productivity counts no leisure, so that subsidies that all pay for would "
                          "raise it without end; write rule.least_rate=0.")  # fmt: skip
