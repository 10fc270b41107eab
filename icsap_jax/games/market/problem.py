"""Pure exchange with Cobb–Douglas consumers, as a problem: goods are moved, then prices clear all markets.

Consumer i of N has u_i = Π_l x_il^{α_il}, Σ_l α_il = 1, spends the share α_il of its wealth m_i = p·e_i on good l of L, and demands
x_il = α_il m_i / p_l. In equilibrium Σ_i α_il m_i = p_l ω_l for every good, ω being what there is of it; one of these equations follows
from the others (Walras). Prices are in units of the last good, and x, what the equilibrium is solved for, is the logarithm of the
others [L − 1]. `misfit` is the value of excess demand as a share of all there is. Prices need no smoothing: the temperature is ignored.

A price-taker who does what is best for it at these prices has nothing to gain; that it is so is for the judge to find.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.types import Array, Draw, Outcome, Rule, Tree
from icsap_jax.config import ConfigError

LEAST = 0.02  # of a good, as a share: whoever has none begins with this much
SPREAD = 0.02


@register_dataclass
@dataclass(frozen=True)
class MarketEnv:
    """`exponents` α [N, L], `endowments` e [N, L], and the `aim`'s numbers: weights [N] or an allocation [N, L]."""

    exponents: Array
    endowments: Array
    aim: Array


@register_dataclass
@dataclass(frozen=True)
class Trade:
    """What prices lead to: the `wealth` [N], the `allocation` [N, L] demanded, and `utility` [N]."""

    wealth: Array
    allocation: Array
    utility: Array


def trade(exponents: Array, endowments: Array, prices: Array) -> Trade:
    """What consumers with endowments [N, L] demand at prices [L]."""
    wealth = endowments @ prices
    allocation = exponents * wealth[:, None] / prices[None]
    return Trade(wealth=wealth, allocation=allocation, utility=utility_of(exponents, allocation))


def utility_of(exponents: Array, allocation: Array) -> Array:
    """Π x^α, [N]; what is not wanted does not matter, and who has none of what it wants has no utility."""
    eaten = exponents * jnp.log(jnp.where(exponents > 0, jnp.maximum(allocation, jnp.finfo(allocation.dtype).tiny), 1.0))
    return jnp.exp(eaten.sum(-1))


def log_utilities(model: Any) -> Callable[..., Array]:
    """Σ weight · log u."""
    return _log_utilities


def _log_utilities(weights: Array, outcome: Trade, total: Array) -> Array:
    return weights @ jnp.log(outcome.utility)


def utilities(model: Any) -> Callable[..., Array]:
    """Σ weight · u."""
    return _utilities


def _utilities(weights: Array, outcome: Trade, total: Array) -> Array:
    return weights @ outcome.utility


def nash_welfare(model: Any) -> Callable[..., Array]:
    """The geometric mean."""
    return _nash_welfare


def _nash_welfare(weights: Array, outcome: Trade, total: Array) -> Array:
    return jnp.exp(jnp.log(outcome.utility).mean())


def maximin(model: Any) -> Callable[..., Array]:
    """The least utility, whose slope is the worst-off consumer's alone."""
    return _maximin


def _maximin(weights: Array, outcome: Trade, total: Array) -> Array:
    return outcome.utility[jnp.argmin(outcome.utility)]


def target(model: Any) -> Callable[..., Array]:
    """Minus the mean square of what is missed."""
    return _target


def _target(allocation: Array, outcome: Trade, total: Array) -> Array:
    return -(((outcome.allocation - allocation) / total[None]) ** 2).mean()


@dataclass(frozen=True)
class Market:
    """N consumers (`agents`), L `goods`; `aim(numbers, trade, total [L])` is what the designer values."""

    agents: int
    goods: int
    aim: Callable[..., Array]
    objective: tuple[str, ...]
    margin: float = 0.0
    rowwise: bool = False
    committed: ClassVar[bool] = True

    def draw(self, env: MarketEnv, key: Array, count: int) -> Draw:
        """There is nothing to draw: one economy."""
        return Draw(weight=jnp.ones((1,)), types=None)

    def space(self, env: MarketEnv, draw: Draw) -> None:
        """No search: what is best at given prices has a formula, which the judge compares with."""
        return None

    def recommended(self, env: MarketEnv, draw: Draw) -> None:
        """Nobody recommends."""
        return None

    def decide(self, env: MarketEnv, rule: Rule, seen: Tree, action: Array | None) -> Array:
        """The endowments [N, L] that consumers trade with."""
        return rule(jnp.asarray(env.endowments))

    def prices(self, x: Array) -> Array:
        """[L], the last of them 1."""
        return jnp.append(jnp.exp(x), 1.0)

    def utility(self, env: MarketEnv, draw: Draw, decision: Array, action: Array) -> Array:
        """[1, N] at log prices [L − 1]."""
        return trade(env.exponents, decision, self.prices(action)).utility[None]

    def weight(self, env: MarketEnv, draw: Draw, decision: Array) -> Array:
        """1, as [1, 1]."""
        return draw.weight[:, None]

    def begin(self, env: MarketEnv, draw: Draw) -> Array:
        """As if of every good there were as much in value, [L − 1]."""
        there = jnp.asarray(env.endowments).sum(0)
        return jnp.log(there[-1] / there[:-1])

    def excess(self, env: MarketEnv, decision: Array, x: Array) -> Array:
        """The value of excess demand for all goods but the last, [L − 1], as a share of all there is."""
        prices = self.prices(x)
        offered = decision.sum(0) * prices
        wanted = (decision @ prices) @ env.exponents
        return ((wanted - offered) / offered.sum())[:-1]

    def misfit(self, env: MarketEnv, draw: Draw, decision: Array, x: Array, temperature: Array) -> Array:
        """Zero where markets clear."""
        return self.excess(env, decision, x)

    def learn(self, env: MarketEnv, draw: Draw, decision: Array, x: Array, size: Array) -> Array:
        """A step of tâtonnement: what is wanted more than there is gets dearer."""
        return x + size * self.excess(env, decision, x)

    def score(self, env: MarketEnv, draw: Draw, decision: Array, action: Array) -> Outcome:
        """What the designer wants, and the usual sums of utilities, [1] each."""
        outcome = trade(env.exponents, decision, self.prices(action))
        value = self.aim(env.aim, outcome, decision.sum(0))
        parts = {"sum_of_utilities": outcome.utility.sum(), "sum_of_log_utilities": jnp.log(outcome.utility).sum(),
                 "least_utility": outcome.utility.min()}  # fmt: skip
        return Outcome(value=value[None], objectives={name: each[None] for name, each in parts.items()}, constraints={})


class Transfers(nnx.Module):
    """A softmax over consumers of free numbers [N, G] divides each good that may be moved (their numbers: `moved`) anew."""

    def __init__(self, free: Array, moved: tuple[int, ...]):
        self.free, self.moved = nnx.Param(free), moved

    def __call__(self, endowments: Array) -> Array:
        places = jnp.array(self.moved)
        there = endowments.sum(0)[places]
        return endowments.at[:, places].set(jax.nn.softmax(self.free[...], axis=0) * there[None])


def lump_sum_transfers(model: Any, problem: Market, env: MarketEnv, key: Array) -> Rule:
    """At first nearly what everybody has. Raises ConfigError where a good that is to be moved does not exist."""
    moved = tuple(range(problem.goods)) if model.goods is None else tuple(model.goods)
    if not moved or len(set(moved)) != len(moved) or not set(moved) <= set(range(problem.goods)):
        raise ConfigError(f"rule.goods = {list(moved)}: should be different numbers from 0 to {problem.goods - 1}, at least one.")
    shares = np.asarray(env.endowments / env.endowments.sum(0))[:, list(moved)]
    free = jnp.log(jnp.asarray(np.maximum(shares, LEAST), jnp.result_type(float)))
    return Rule.of(Transfers(free + SPREAD * jax.random.normal(key, free.shape), moved))


def build(model: Any, folder: Path) -> tuple[Market, MarketEnv]:
    """The problem a file describes and its numbers, numpy float64; exponents written with few digits sum to 1 exactly."""
    exponents = model.exponents.values / model.exponents.values.sum(1, keepdims=True)
    consumers, goods = exponents.shape
    numbers = np.ones(consumers) if model.aim.numbers is None else model.aim.numbers.values
    problem = Market(agents=consumers, goods=goods, aim=model.aim.build(), objective=(model.aim.kind_name(),))
    return problem, MarketEnv(exponents=exponents, endowments=model.endowments.values, aim=numbers)
